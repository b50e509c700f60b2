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
	mu      sync.Mutex
	days    map[string]uint64 // day: the last batch that announces it
	lost    map[uint64]string // batch: how the log told of its loss
	read    map[uint64]bool   // batches of events that were read
	readFor uint64            // size of the log then
}

// dayOf is the UTC day on which the rows of a batch were received.
func dayOf(h *Header) string { return time.Unix(0, h.MinReceived).UTC().Format(time.DateOnly) }

// pruned says whether the log announced that the rows of h would go. The
// announcement must be sealed behind h, or rows could be made to vanish before
// they exist; it may be younger than the beginning of this run.
func (v *verification) pruned(ctx context.Context, h *Header) (bool, error) {
	r := &v.retention
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.days[dayOf(h)] > h.Index {
		return true, nil
	}
	size, err := v.committed()
	if err != nil || size == r.readFor {
		return false, err
	}
	if err := v.readRetention(ctx, size); err != nil {
		return false, err
	}
	r.readFor = size
	return r.days[dayOf(h)] > h.Index, nil
}

// readRetention reads the announcements in a log of size batches. The caller
// holds the lock.
func (v *verification) readRetention(ctx context.Context, size uint64) error {
	r := &v.retention
	if r.days == nil {
		r.days, r.lost, r.read = map[string]uint64{}, map[uint64]string{}, map[uint64]bool{}
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
	switch e.Kind {
	case RetentionEvent:
		if day, ok := fields["day"].(string); ok {
			r.days[day] = max(r.days[day], index)
		}
	case LossEvent:
		reason, _ := fields["reason"].(string)
		if batch, err := strconv.ParseUint(fmt.Sprint(fields["batch"]), 10, 64); err == nil {
			r.lost[batch] = fmt.Sprintf("; the log told of the loss in batch %d: %.300s", index, reason)
		}
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
	bodies, err := (&database{db: v.DB}).ReadEvents(ctx, v.log, index, h.Rows)
	if errors.Is(err, errRows) || schemaChanged(err) {
		return nil, nil
	} else if err != nil {
		return nil, unreachable("read events", err)
	}
	leaves := make([]merkle.Hash, len(bodies))
	if err := EventLeaves(leaves, bodies, at.key); err != nil || merkle.Root(leaves) != h.RowRoot {
		return nil, nil
	}
	var events []Event
	for _, body := range bodies {
		if e, err := ParseEvent(body); err == nil {
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
