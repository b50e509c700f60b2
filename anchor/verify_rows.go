package anchor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"golang.org/x/sync/errgroup"

	"tidemark/anchor/merkle"
	"tidemark/storage"
)

// verdict is what was found of one batch.
type verdict struct {
	state  RowState
	faults []Fault
}

// checkBatches reads the leaves of batches [From, To) and hashes them anew.
func (v *verification) checkBatches(ctx context.Context) error {
	free := make(chan *reader, v.Parallel)
	for range v.Parallel {
		free <- &reader{}
	}
	for begin := uint64(0); begin < v.size; begin += verifyWindow {
		end := min(begin+verifyWindow, v.size)
		slots, err := v.headerSlots(begin, end)
		if err != nil {
			return err
		}
		verdicts := make([]verdict, len(slots))
		if begin < v.To && end > v.From {
			if err := v.checkWindow(ctx, slots, verdicts, free); err != nil {
				return err
			}
		}
		for i := range slots {
			v.extend(&slots[i], &verdicts[i])
		}
	}
	if v.notCopied > 0 {
		v.report.Notes = append(v.report.Notes, fmt.Sprintf("the table headers, a copy for queries, lacks %s", plural(v.notCopied, "batch")))
	}
	return nil
}

func (v *verification) checkWindow(ctx context.Context, slots []slot, verdicts []verdict, free chan *reader) error {
	first, last := slots[0].at, slots[len(slots)-1].at
	have, err := v.holdings(ctx, first, last, 3*verifyWindow)
	if err == nil {
		err = v.checkCopy(ctx, slots, first, last)
	}
	if schemaChanged(err) {
		for i := range verdicts {
			verdicts[i].state = Faulty
		}
		v.fault(Fault{Kind: RowsUnreadable, Batch: &first, Detail: fmt.Sprintf("batches %d to %d: %v", first, last, err)})
		return nil
	} else if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(v.Parallel)
	for i := range slots {
		s := &slots[i]
		if !v.wanted(s) {
			continue
		}
		if s.err != nil || s.h.Index != s.at {
			verdicts[i].state = Faulty // said by the walk along the headers
			continue
		}
		g.Go(func() error {
			w := <-free
			defer func() { free <- w }()
			held := have[s.at]
			if held == nil {
				held = &holding{}
			}
			found, err := v.checkTwice(ctx, w, &s.h, held)
			verdicts[i] = found
			v.progress(s.h.Rows)
			return err
		})
	}
	return g.Wait()
}

func (v *verification) progress(leaves uint64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.done += leaves
	v.Progress(v.done, v.total)
}

func (v *verification) fault(f Fault) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.report.add(f)
}

// checkTwice checks a batch and, before it accuses, checks it again: a fault of
// reading or a table that just changed its shape must not pass for tampering.
func (v *verification) checkTwice(ctx context.Context, w *reader, h *Header, have *holding) (verdict, error) {
	found, err := v.checkBatch(ctx, w, h, have)
	if err != nil || len(found.faults) == 0 {
		return found, err
	}
	again, err := v.holdings(ctx, h.Index, h.Index, 3)
	if err != nil {
		return found, err
	}
	have = again[h.Index]
	if have == nil {
		have = &holding{}
	}
	second, err := v.checkBatch(ctx, w, h, have)
	if err == nil && len(second.faults) == 0 && second.state == Intact {
		v.mu.Lock()
		v.report.Notes = append(v.report.Notes, fmt.Sprintf("batch %d was intact only when read a second time: check memory and disk of the database's machine", h.Index))
		v.mu.Unlock()
	}
	return second, err
}

// checkBatch compares one batch with its header. have is what the tables hold of it.
func (v *verification) checkBatch(ctx context.Context, w *reader, h *Header, have *holding) (verdict, error) {
	var found verdict
	fault := func(kind Kind, format string, args ...any) {
		found.faults = append(found.faults, Fault{Kind: kind, Batch: &h.Index, Detail: fmt.Sprintf(format, args...)})
	}
	rows := have.flows + have.quarantine
	isEvents := h.Flags&Events != 0
	if isEvents && rows > 0 {
		fault(RowsAdded, "%d flows are of this batch, which holds events", rows)
	}
	if !isEvents && have.events > 0 {
		fault(RowsAdded, "%d events are of this batch, which holds flows", have.events)
	}
	at, err := v.ledger.location(h.Index)
	if err != nil {
		fault(KeyMissing, "its salt key cannot be read from the file %s: %v", batchesFile, err)
		found.state = Faulty
		return found, nil
	}
	if _, err := v.ledger.readTable(h, at); err != nil {
		fault(TableAltered, "%v", err)
	}
	nodes, err := v.ledger.readNodes(h, at)
	if err != nil {
		fault(NodesAltered, "%v", err)
	}
	key, err := v.ledger.secretsOf(h, at.key)
	if err != nil {
		fault(KeyMissing, "%v", err)
		found.state = Faulty
		return found, nil
	}
	k := &kept{log: v.log, secrets: *key, nodes: nodes, tags: func() []byte { return v.ledger.readTags(h) }}
	found.state = Intact
	switch {
	case isEvents:
		err = v.checkEvents(ctx, w, h, k, &found)
	case h.Rows == 0:
		if rows > 0 {
			fault(RowsAdded, "%d flows are of this batch, which was sealed empty", rows)
		}
	case key.erased != nil && have.flows+have.quarantine > 0 || uint64(len(key.erasedPositions())) == h.Rows:
		err = v.checkErasedFlows(ctx, w, h, k, have, &found)
	default:
		err = v.checkFlows(ctx, w, h, k, have, &found)
	}
	if key.erased != nil && err == nil && found.state != Pruned {
		err = v.checkAnnounced(ctx, h, key.erased, &found)
	}
	if len(found.faults) > 0 {
		found.state = Faulty
	}
	return found, err
}

func (v *verification) checkEvents(ctx context.Context, w *reader, h *Header, k *kept, found *verdict) error {
	_, leaves, err := v.readEventLeaves(ctx, h, &k.secrets)
	if errors.Is(err, errRows) || schemaChanged(err) {
		found.add(h, EventAltered, nil, nil, err.Error())
		return nil
	} else if err != nil {
		return unreachable("read events", err)
	}
	w.clear(h)
	copy(w.leaves, leaves)
	for i := range w.there {
		w.there[i] = true
	}
	if rows, runs, _ := w.differences(k.nodes, k.tags()); merkle.Root(w.blocks) != h.RowRoot {
		w.accuse(h, EventAltered, k, rows, runs, nil, found)
	}
	return nil
}

func (v *verification) checkFlows(ctx context.Context, w *reader, h *Header, k *kept, have *holding, found *verdict) error {
	if have.flows+have.quarantine == 0 {
		a, pruned, err := v.pruned(ctx, h)
		if pruned {
			found.state = Pruned
			v.removed(Pruned, h, a, h.Rows-k.erased.within(0, h.Rows))
		} else if err == nil {
			found.add(h, BatchMissing, nil, nil, fmt.Sprintf("none of its %d rows is left, and no event announced their retention (received on %s)%s", h.Rows, dayOf(h), v.loss(h)))
		}
		return err
	}
	if have.flows > 0 && have.quarantine > 0 || have.flows+have.quarantine != h.Rows {
		return v.checkPositions(ctx, w, h, k, have, found)
	}
	table := storage.Flows
	if have.quarantine > 0 {
		table = storage.Quarantine
	}
	err := v.DB.ReadFlowsFrom(ctx, table, v.log, h.Index, &w.batch)
	if err == nil && uint64(w.batch.Len()) != h.Rows {
		err = fmt.Errorf("%d rows were read", w.batch.Len())
	}
	if err != nil {
		return v.explain(ctx, w, h, k, have, err, found)
	}
	w.compare(h, k, found)
	if len(have.sites) > 1 {
		found.add(h, SiteAltered, nil, nil, fmt.Sprintf("rows of one batch are of different sites, %q; the column is not covered by the hash", have.sites))
	} else if len(have.sites) == 1 && have.sites[0] != v.site {
		v.mu.Lock()
		v.otherSites++
		v.mu.Unlock()
	}
	return nil
}

// explain finds out why a batch with the right number of rows cannot be read.
func (v *verification) explain(ctx context.Context, w *reader, h *Header, k *kept, have *holding, cause error, found *verdict) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	before := len(found.faults)
	if err := v.checkPositions(ctx, w, h, k, have, found); err != nil {
		return errors.Join(unreachable("read rows", cause), err)
	}
	if len(found.faults) > before {
		return nil
	}
	var e *clickhouse.Exception
	if schemaChanged(cause) || !errors.As(cause, &e) { // the database answers, but not with such rows
		found.add(h, RowsUnreadable, nil, nil, cause.Error())
		return nil
	}
	return unreachable("read rows", cause)
}

// checkPositions names the rows that are missing or too many, and those that
// others have taken the place of.
func (v *verification) checkPositions(ctx context.Context, w *reader, h *Header, k *kept, have *holding, found *verdict) error {
	extra, err := v.positions(ctx, verifyExtra, v.log, h.Index, v.log, h.Index, h.Rows)
	if err != nil {
		return err
	}
	missing, err := v.positions(ctx, verifyMissing, h.Rows, v.log, h.Index, v.log, h.Index)
	if err != nil {
		return err
	}
	count := fmt.Sprintf("%d rows were sealed, flows holds %d and the quarantine %d", h.Rows, have.flows, have.quarantine)
	if max(len(extra), len(missing)) == maxPositions {
		count += fmt.Sprintf("; only the first %d positions were looked for", maxPositions)
	}
	if len(extra) > 0 {
		found.addRows(h, k, RowsAdded, extra, "not sealed there, or there twice; "+count)
	}
	if len(missing) > 0 {
		found.addRows(h, k, RowsMissing, missing, count)
	}
	if len(extra)+len(missing) > 0 && have.flows+have.quarantine <= 2*MaxRows { // else it would take long
		w.compareRest(h, k, func(table storage.Table) error { return v.DB.ReadFlowsFrom(ctx, table, v.log, h.Index, &w.batch) }, found)
	}
	return nil
}

func (d *verdict) add(h *Header, kind Kind, first, last *uint32, detail string) {
	d.faults = append(d.faults, Fault{Class: Integrity, Kind: kind, Batch: &h.Index, First: first, Last: last, Detail: detail})
}

// addRows adds a fault of the rows at these positions, ascending.
func (d *verdict) addRows(h *Header, k *kept, kind Kind, at []uint32, detail string) {
	d.add(h, kind, &at[0], &at[len(at)-1], detail)
	f := &d.faults[len(d.faults)-1]
	f.Rows = at[:min(len(at), maxRows):len(at)]
	f.MoreRows = uint64(len(at) - len(f.Rows))
	if len(at) == 1 && kind != EventAltered {
		f.Flow = k.flow(h, at[0])
	}
}

// extend adds a batch to the ranges, and its faults to the report.
func (v *verification) extend(s *slot, found *verdict) {
	r := v.report
	for _, f := range found.faults {
		r.add(f)
	}
	if found.state == "" {
		found.state = NotChecked
	}
	h := &s.h
	g := Range{First: s.at, Last: s.at, State: v.state(s.at, h.Sealed), Content: found.state, from: h.Sealed, to: h.Sealed,
		seen: ChainBlock{Number: h.EthBlockNumber, Hash: h.EthBlockHash}}
	if h.Flags&Events != 0 {
		g.Events = h.Rows
	} else {
		g.Flows = h.Rows
	}
	switch found.state {
	case Intact, Faulty, Erased:
		r.Batches, r.Flows, r.Events = r.Batches+1, r.Flows+g.Flows, r.Events+g.Events
	case Pruned:
		r.PrunedBatches++
	}
	if a, ok := v.claimed.anchorOf(s.at); ok {
		after := timeBetween(h.Sealed, a.Block.Time*int64(time.Second)).Seconds()
		low, high := after, after
		g.AnchoredAfterLow, g.AnchoredAfterHigh = &low, &high
		g.anchored = &a.Block
	}
	if n := len(r.Ranges); n > 0 && r.Ranges[n-1].State == g.State && r.Ranges[n-1].Content == g.Content &&
		(r.Ranges[n-1].seen.Hash == [32]byte{}) == (g.seen.Hash == [32]byte{}) { // or the range would have no time after which it was recorded
		r.Ranges[n-1].merge(&g)
		return
	}
	r.Ranges = append(r.Ranges, g)
}

func (g *Range) merge(next *Range) {
	g.Last, g.Flows, g.Events = next.Last, g.Flows+next.Flows, g.Events+next.Events
	g.from, g.to = min(g.from, next.from), max(g.to, next.to)
	g.anchored = next.anchored
	if g.AnchoredAfterLow == nil {
		g.AnchoredAfterLow, g.AnchoredAfterHigh = next.AnchoredAfterLow, next.AnchoredAfterHigh
	} else if next.AnchoredAfterLow != nil {
		*g.AnchoredAfterLow, *g.AnchoredAfterHigh = min(*g.AnchoredAfterLow, *next.AnchoredAfterLow), max(*g.AnchoredAfterHigh, *next.AnchoredAfterHigh)
	}
}
