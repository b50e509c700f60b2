package anchor

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"tidemark/anchor/merkle"
	"tidemark/storage"
)

// Removal is what the log says was taken out of the database, of batches that
// follow each other: how much, by whom, when and under which rule.
type Removal struct {
	What   RowState `json:"what"` // Pruned or Erased
	First  uint64   `json:"first_batch"`
	Last   uint64   `json:"last_batch"`
	Flows  uint64   `json:"flows"`
	Events uint64   `json:"events"`
	Actor  string   `json:"actor"`
	Rule   string   `json:"rule"`
	Reason string   `json:"reason,omitempty"`
	Time   string   `json:"time"`  // of the announcement
	Batch  uint64   `json:"batch"` // that announced it
}

// removed enters n leaves of h that a removed, one more by each batch.
func (v *verification) removed(what RowState, h *Header, a announcement, n uint64) {
	r := Removal{What: what, First: h.Index, Last: h.Index, Actor: a.actor, Rule: a.rule, Reason: a.reason, Time: a.at.Format(time.RFC3339), Batch: a.batch}
	if r.Flows = n; h.Flags&Events != 0 {
		r.Flows, r.Events = 0, n
	}
	v.mu.Lock()
	v.removals = append(v.removals, r)
	v.mu.Unlock()
}

// mergeRemovals makes one of removals that the same people made under one rule at
// one time, in the order of batches.
func mergeRemovals(all []Removal) (out []Removal) {
	slices.SortFunc(all, func(a, b Removal) int {
		return int(min(max(int64(a.First)-int64(b.First), -1), 1))
	})
	last := map[Removal]int{}
	for _, r := range all {
		key := Removal{What: r.What, Actor: r.Actor, Rule: r.Rule, Reason: r.Reason, Time: r.Time[:min(len(r.Time), len(time.DateOnly))]}
		if i, ok := last[key]; ok {
			o := &out[i]
			o.Last, o.Flows, o.Events = r.Last, o.Flows+r.Flows, o.Events+r.Events
			continue
		}
		last[key] = len(out)
		out = append(out, r)
	}
	return out
}

func (s *secrets) erasedPositions() []uint32 {
	if s.erased == nil {
		return nil
	}
	return s.erased.positions
}

// checkAnnounced holds what is missing of a batch against what the log, behind
// it, announced: every leaf, under its hash.
func (v *verification) checkAnnounced(ctx context.Context, h *Header, e *erasedLeaves, found *verdict) error {
	var told []announcement
	missing := func() []uint32 {
		told = nil
		left := slices.Clone(e.positions)
		for _, a := range v.retention.erasures[h.Index] {
			positions, err := parsePositions(a.positions, h.Rows)
			if a.batch <= h.Index || err != nil {
				continue
			}
			if sum, ok := e.digest(positions); !ok || hex.EncodeToString(sum[:]) != a.digest {
				continue // not (yet) carried out, or of other leaves
			}
			before := len(left)
			left = slices.DeleteFunc(left, func(pos uint32) bool { _, ok := slices.BinarySearch(positions, pos); return ok })
			if len(left) < before { // an erasure announced twice counts once
				told = append(told, a)
				told[len(told)-1].leaves = uint64(before - len(left))
			}
		}
		return left
	}
	var left []uint32
	if err := v.untilAnnounced(ctx, func() bool { left = missing(); return len(left) == 0 }); err != nil {
		return err
	}
	if len(left) > 0 {
		found.addRows(h, &kept{log: v.log}, RowsMissing, left, "erased, but no event of the log announced that, or not under these hashes")
		return nil
	}
	if found.state == Intact && len(found.faults) == 0 {
		found.state = Erased
		for _, a := range told {
			v.removed(Erased, h, a, a.leaves)
		}
	}
	return nil
}

// checkErasedFlows is checkFlows of a batch of which rows were erased.
func (v *verification) checkErasedFlows(ctx context.Context, w *reader, h *Header, k *kept, have *holding, found *verdict) error {
	tags := k.tags()
	w.clear(h)
	var named, extra []uint32
	for _, table := range []storage.Table{storage.Flows, storage.Quarantine} {
		var at []uint32
		var misplaced *storage.PositionError
		if err := v.DB.ReadFlowsFrom(ctx, table, v.log, h.Index, &w.batch); errors.As(err, &misplaced) {
			at = misplaced.Positions
		} else if err != nil {
			return v.explain(ctx, w, h, k, have, err, found)
		}
		for i := range w.batch.Len() {
			pos := uint32(i)
			if at != nil {
				pos = at[i]
			}
			if uint64(pos) >= h.Rows || w.there[pos] || at != nil && i > 0 && at[i-1] == pos || k.erased.has(pos) {
				extra = append(extra, pos)
			}
		}
		named = append(named, w.place(h, k, tags, at, found)...)
	}
	if k.erased.started && !slices.ContainsFunc(extra, func(pos uint32) bool { return !k.erased.has(pos) }) {
		extra = nil // what a started erasure has yet to delete
	}
	if len(extra) > 0 {
		slices.Sort(extra)
		found.addRows(h, k, RowsAdded, slices.Compact(extra), "erased, not sealed there, or there twice")
	}
	for _, pos := range k.erased.positions {
		w.there[pos] = true
	}
	k.fill(w.leaves, 0)
	var missing []uint32
	for pos := range w.there {
		if !w.there[pos] {
			missing = append(missing, uint32(pos))
		}
	}
	if len(missing) > 0 {
		found.addRows(h, k, RowsMissing, missing, fmt.Sprintf("%d rows were sealed, %d of them erased as announced", h.Rows, len(k.erased.positions)))
	}
	rows, runs, ok := w.differences(k.nodes, tags)
	if merkle.Root(w.blocks) != h.RowRoot && (ok || len(missing) == 0) {
		w.accuse(h, RowAltered, k, rows, runs, named, found)
	}
	return nil
}

// readEventLeaves reads the events of a batch and hashes them; a body that was
// erased is nil. errRows: the table does not hold the others.
func (v *verification) readEventLeaves(ctx context.Context, h *Header, key *secrets) (bodies [][]byte, leaves []merkle.Hash, err error) {
	bodies, err = readEventBodies(ctx, v.DB, v.log, h, key.erased)
	if err != nil {
		return nil, nil, err
	}
	leaves = make([]merkle.Hash, h.Rows)
	var buf []byte
	for i, body := range bodies {
		if body != nil {
			buf = AppendEvent(buf[:0], body)
			leaves[i] = LeafHash(buf, key.salt(uint64(i)))
		}
	}
	key.fill(leaves, 0)
	return bodies, leaves, nil
}

// readEventBodies reads the events of a batch, nil for those that were erased.
func readEventBodies(ctx context.Context, db *storage.DB, log uint64, h *Header, erased *erasedLeaves) (bodies [][]byte, err error) {
	if erased == nil {
		return (&database{db: db}).ReadEvents(ctx, log, h.Index, h.Rows)
	}
	rows, err := db.Conn().Query(ctx, readEvents, log, h.Index)
	if err != nil {
		return nil, fmt.Errorf("read events of batch %d: %w", h.Index, err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	bodies = make([][]byte, h.Rows)
	for rows.Next() {
		var pos uint32
		var body string
		if err := rows.Scan(&pos, &body); err != nil {
			return nil, fmt.Errorf("read events of batch %d: %w", h.Index, err)
		}
		if uint64(pos) >= h.Rows || bodies[pos] != nil {
			return nil, fmt.Errorf("%w: an event of batch %d stands at position %d, where one was erased, is already, or never was", errRows, h.Index, pos)
		}
		bodies[pos] = []byte(body)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read events of batch %d: %w", h.Index, err)
	}
	for pos, body := range bodies {
		if gone := erased.has(uint32(pos)); gone && body != nil && !erased.started {
			return nil, fmt.Errorf("%w: event %d of batch %d was erased, and is there", errRows, pos, h.Index)
		} else if gone {
			bodies[pos] = nil // the erasure has yet to delete it
		} else if body == nil {
			return nil, fmt.Errorf("%w: event %d of batch %d is missing", errRows, pos, h.Index)
		}
	}
	return bodies, nil
}

// erasureStarted says whether an erasure was begun in the ledger of dir and has
// not come to its end.
func erasureStarted(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, erasingFile))
	return err == nil
}
