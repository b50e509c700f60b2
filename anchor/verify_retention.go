package anchor

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"tidemark/anchor/merkle"
)

// RetentionEvent is the kind of the event that announces that the rows received
// on one UTC day, its field "day" as in 2026-11-22, will be dropped. Rows of
// batches logged before it may then be missing, all rows of a batch or none.
const RetentionEvent = "retention"

// retention is what events of the log have announced, found when it is needed.
type retention struct {
	mu       sync.Mutex
	days     map[string]announcement   // day: the last that announces its retention
	erasures map[uint64][]announcement // batch: those that announce erasures in it
	lost     map[uint64]string         // batch: how the log told of its loss
	read     map[uint64]bool           // batches of events that were read
	readFor  uint64                    // size of the log then
}

// announcement is an event that says what will be removed, by whom and why.
type announcement struct {
	batch               uint64 // of the event itself
	at                  time.Time
	actor, rule, reason string
	positions, digest   string // of an erasure
	leaves              uint64 // that it accounts for
}

// dayOf is the UTC day on which the rows of a batch were received.
func dayOf(h *Header) string { return time.Unix(0, h.MinReceived).UTC().Format(time.DateOnly) }

// pruned says whether the log announced that the rows of h would go. The
// announcement must be sealed behind h, or rows could be made to vanish before
// they exist; it may be younger than the beginning of this run.
func (v *verification) pruned(ctx context.Context, h *Header) (a announcement, ok bool, err error) {
	r := &v.retention
	err = v.untilAnnounced(ctx, func() bool {
		a = r.days[dayOf(h)]
		ok = a.batch > h.Index
		return ok
	})
	return a, ok, err
}

// untilAnnounced calls found, and if it is false again after reading what the log
// has announced by now.
func (v *verification) untilAnnounced(ctx context.Context, found func() bool) error {
	r := &v.retention
	r.mu.Lock()
	defer r.mu.Unlock()
	if found() {
		return nil
	}
	size, err := v.committed()
	if err != nil || size == r.readFor {
		return err
	}
	if err := v.readRetention(ctx, size); err != nil {
		return err
	}
	r.readFor = size
	found()
	return nil
}

// readRetention reads the announcements in a log of size batches. The caller
// holds the lock.
func (v *verification) readRetention(ctx context.Context, size uint64) error {
	r := &v.retention
	if r.days == nil {
		r.days, r.erasures, r.lost, r.read = map[string]announcement{}, map[uint64][]announcement{}, map[uint64]string{}, map[uint64]bool{}
	}
	batches, err := v.announcements(ctx)
	if err != nil {
		return err
	}
	for _, index := range batches {
		if index >= size || r.read[index] {
			continue
		}
		events, err := v.sealedEvents(ctx, index)
		if err != nil {
			return err
		}
		r.read[index] = true
		for _, e := range events {
			r.take(index, &e)
		}
	}
	return nil
}

// take takes in what an event of batch index says.
func (r *retention) take(index uint64, e *Event) {
	fields, err := e.Fields()
	if err != nil {
		return
	}
	word := func(name string) string { s, _ := fields[name].(string); return s }
	a := announcement{batch: index, at: e.Time, actor: e.Actor, rule: word("rule"), reason: word("reason"), positions: word("positions"), digest: word("leaves_hash")}
	batch, err := strconv.ParseUint(fmt.Sprint(fields["batch"]), 10, 64)
	switch {
	case e.Kind == RetentionEvent:
		if day := word("day"); r.days[day].batch < index {
			r.days[day] = a
		}
	case e.Kind == ErasureEvent && err == nil:
		r.erasures[batch] = append(r.erasures[batch], a)
	case e.Kind == LossEvent && err == nil:
		r.lost[batch] = fmt.Sprintf("; the log told of the loss in batch %d: %.300s", index, a.reason)
	}
}

// loss is what the log tells of the loss of a batch, "" if nothing.
func (v *verification) loss(h *Header) string {
	v.retention.mu.Lock()
	defer v.retention.mu.Unlock()
	return v.retention.lost[h.Index]
}

func (v *verification) announcements(ctx context.Context) (batches []uint64, err error) {
	rows, err := v.DB.Conn().Query(ctx, verifyAnnounced, v.log)
	if err != nil {
		return nil, unreachable("look for announcements", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var index uint64
		if err := rows.Scan(&index); err != nil {
			return nil, unreachable("look for announcements", err)
		}
		batches = append(batches, index)
	}
	return batches, unreachable("look for announcements", rows.Err())
}

// sealedEvents returns the events of a batch if they are the ones that were
// sealed, none otherwise: what is wrong with them is found elsewhere.
func (v *verification) sealedEvents(ctx context.Context, index uint64) ([]Event, error) {
	slots, err := v.headerSlots(index, index+1)
	if err != nil {
		return nil, err
	}
	h := &slots[0].h
	at, err := v.ledger.location(index)
	if err != nil || slots[0].err != nil || h.Index != index || h.Flags&Events == 0 {
		return nil, nil
	}
	key, err := v.ledger.secretsOf(h, at.key)
	if err != nil {
		return nil, nil
	}
	bodies, leaves, err := v.readEventLeaves(ctx, h, key)
	if errors.Is(err, errRows) || schemaChanged(err) {
		return nil, nil
	} else if err != nil {
		return nil, unreachable("read events", err)
	}
	if merkle.Root(leaves) != h.RowRoot {
		return nil, nil
	}
	var events []Event
	for _, body := range bodies {
		if e, err := ParseEvent(body); body != nil && err == nil {
			events = append(events, e)
		}
	}
	return events, nil
}

// readGenesis learns what the log says of itself.
func (v *verification) readGenesis(ctx context.Context) error {
	if v.size == 0 {
		return nil
	}
	events, err := v.sealedEvents(ctx, 0)
	if err != nil || len(events) == 0 || events[0].Kind != "genesis" {
		return err
	}
	fields, err := events[0].Fields()
	if err != nil {
		return nil
	}
	v.site, _ = fields["site"].(string)
	if origin, _ := fields["origin"].(string); origin != v.ledger.Origin() {
		v.fault(Fault{Kind: OriginDiffers, Detail: fmt.Sprintf("the genesis is of %q, the key in this directory of %q", origin, v.ledger.Origin())})
	}
	return nil
}
