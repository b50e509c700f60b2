package anchor

import (
	"errors"
	"fmt"
	"slices"

	"tidemark/anchor/merkle"
	"tidemark/collector/flow"
	"tidemark/storage"
)

// kept is what the ledger's files hold of a batch beside its header.
type kept struct {
	log uint64
	secrets
	nodes []merkle.Hash // roots of the blocks, nil if they are damaged
	tags  func() []byte // nil if there are none
}

// flow is the name of a row of h.
func (k *kept) flow(h *Header, pos uint32) string {
	return flow.Name{Log: k.log, Batch: h.Index, Pos: pos}.String()
}

// reader is the working memory of one goroutine that reads batches.
type reader struct {
	batch  flow.Batch
	leaves []merkle.Hash // by position
	there  []bool        // positions that have a row
	blocks []merkle.Hash
}

// compare hashes the rows of w.batch, one for each leaf of the batch, and
// compares them with what was sealed.
func (w *reader) compare(h *Header, k *kept, found *verdict) {
	b := &w.batch
	w.leaves = slices.Grow(w.leaves[:0], b.Len())[:b.Len()]
	err := Leaves(w.leaves, b, k.key)
	if err == nil {
		w.blocks = merkle.Blocks(w.blocks[:0], w.leaves)
		if merkle.Root(w.blocks) == h.RowRoot {
			if first, last := slices.Min(b.TimeReceived), slices.Max(b.TimeReceived); first != h.MinReceived || last != h.MaxReceived {
				found.add(h, HeaderAltered, nil, nil, fmt.Sprintf("says that its rows were received from %s to %s, they were from %s to %s",
					spellTime(h.MinReceived), spellTime(h.MaxReceived), spellTime(first), spellTime(last)))
			}
			return
		}
	}
	tags := k.tags()
	w.clear(h)
	named := w.place(h, k, tags, nil, found)
	rows, runs, _ := w.differences(k.nodes, tags)
	w.accuse(h, RowAltered, k, rows, runs, named, found)
}

// compareRest looks for altered rows in a batch of which rows are missing or too
// many: by their tags the others are where they were sealed, or are not. read
// reads the rows of a table into w.batch; if it cannot, nothing is added to what
// is known of the batch.
func (w *reader) compareRest(h *Header, k *kept, read func(storage.Table) error, found *verdict) {
	tags := k.tags()
	if tags == nil {
		return
	}
	w.clear(h)
	var named []uint32
	for _, table := range []storage.Table{storage.Flows, storage.Quarantine} {
		var at []uint32
		var misplaced *storage.PositionError
		if err := read(table); errors.As(err, &misplaced) {
			at = misplaced.Positions
		} else if err != nil {
			return
		}
		named = append(named, w.place(h, k, tags, at, found)...)
	}
	if rows, runs, ok := w.differences(k.nodes, tags); ok {
		w.accuse(h, RowAltered, k, rows, runs, named, found)
	}
}

// clear makes room for the leaves of h.
func (w *reader) clear(h *Header) {
	w.leaves = slices.Grow(w.leaves[:0], int(h.Rows))[:h.Rows]
	w.there = slices.Grow(w.there[:0], int(h.Rows))[:h.Rows]
	clear(w.leaves)
	clear(w.there)
}

// place hashes the rows of w.batch into the leaves; at are their positions, nil:
// 0, 1, 2 and so on. Of two at one position the one with the right tag counts.
// Rows that could not have been sealed in this batch are named, and returned.
func (w *reader) place(h *Header, k *kept, tags []byte, at []uint32, found *verdict) (named []uint32) {
	b := &w.batch
	var buf []byte
	for i := range b.Len() {
		pos := uint32(i)
		if at != nil {
			pos = at[i]
		}
		if uint64(pos) >= h.Rows || tags != nil && w.there[pos] && tagged(&w.leaves[pos], tags, int(pos)) {
			continue
		}
		w.leaves[pos], w.there[pos] = merkle.Hash{}, true
		var detail string
		var err error
		if buf, err = AppendRow(buf[:0], b, i); err != nil {
			detail = fmt.Sprintf("no row could be sealed like this: %v", err)
		} else {
			w.leaves[pos] = LeafHash(buf, k.salt(uint64(pos)))
		}
		if t := b.TimeReceived[i]; err == nil && (t < h.MinReceived || t > h.MaxReceived) {
			detail = fmt.Sprintf("received at %s, but the batch from %s to %s", spellTime(t), spellTime(h.MinReceived), spellTime(h.MaxReceived))
		}
		if detail != "" && len(found.faults) <= maxFaults {
			found.addRows(h, k, RowAltered, []uint32{pos}, detail)
			named = append(named, pos)
		}
	}
	return named
}

// accuse reports rows and runs of blocks that are not as they were sealed. Of
// the rows in named all has been said.
func (w *reader) accuse(h *Header, kind Kind, k *kept, rows []uint32, runs []blockRun, named []uint32, found *verdict) {
	before := len(found.faults)
	defer func() {
		for i := before; i < len(found.faults); i++ {
			found.faults[i].Proof = w.contrast(k, *found.faults[i].First)
		}
	}()
	extent := "the stored nodes are damaged"
	if k.nodes != nil {
		total := 0
		for _, r := range differing(w.blocks, k.nodes) {
			total += r.end - r.begin
		}
		extent = fmt.Sprintf("%d of %d blocks of %d rows are not as they were sealed", total, len(w.blocks), merkle.Block)
	}
	rows = slices.DeleteFunc(rows, func(pos uint32) bool { return slices.Contains(named, pos) })
	if len(rows) > 0 {
		found.addRows(h, k, kind, rows, extent+"; which rows, the tags in the ledger's directory say")
	}
	for _, r := range runs {
		first, last := r.rows(len(w.leaves))
		if slices.ContainsFunc(named, func(pos uint32) bool { return first <= pos && pos <= last }) && (k.nodes == nil || r.end-r.begin == 1) {
			continue
		}
		detail := extent
		switch {
		case k.nodes == nil:
			detail = "rows are not the ones that were sealed; which ones does not show, because " + extent
		case r.end-r.begin == len(w.blocks) && len(w.blocks) > 1:
			detail = "every block differs: all rows were changed, or the salt key in the ledger's directory"
		}
		found.add(h, kind, &first, &last, detail)
		if first == last && kind == RowAltered {
			found.faults[len(found.faults)-1].Flow = k.flow(h, first)
		}
	}
}

// contrast shows what was sealed of the block of a row beside what is there now;
// nil if the block is as it was sealed, or that is not known.
func (w *reader) contrast(k *kept, pos uint32) *FaultProof {
	block := int(pos) / merkle.Block
	if len(k.nodes) != len(w.blocks) || block >= len(w.blocks) || k.nodes[block] == w.blocks[block] {
		return nil
	}
	path, err := merkle.Inclusion(nil, uint64(block), uint64(len(k.nodes)), merkle.Leaves(k.nodes))
	if err != nil {
		return nil
	}
	first, last := blockRun{block, block + 1}.rows(len(w.leaves))
	p := &FaultProof{First: first, Last: last, Sealed: fmt.Sprintf("%x", k.nodes[block]), Found: fmt.Sprintf("%x", w.blocks[block]), Path: spellHashes(path)}
	if w.there[pos] {
		p.FoundLeaf = fmt.Sprintf("%x", w.leaves[pos])
	}
	if tags := k.tags(); tags != nil {
		p.SealedTag = fmt.Sprintf("%x", tags[int(pos)*tagSize:(int(pos)+1)*tagSize])
	}
	return p
}

// differences sets w.blocks and returns the rows that are not as they were
// sealed by their tags, and the runs of blocks that are not without the tags
// saying which row it is. ok is false if the tags are of no use.
func (w *reader) differences(nodes []merkle.Hash, tags []byte) (rows []uint32, blocks []blockRun, ok bool) {
	w.blocks = merkle.Blocks(w.blocks[:0], w.leaves)
	runs := differing(w.blocks, nodes)
	if tags == nil {
		return nil, runs, false
	}
	known := len(nodes) == len(w.blocks)
	for n := range w.blocks {
		begin, end := n*merkle.Block, min((n+1)*merkle.Block, len(w.leaves))
		present, before := 0, len(rows)
		for pos := begin; pos < end; pos++ {
			if !w.there[pos] {
				continue
			}
			present++
			if !tagged(&w.leaves[pos], tags, pos) {
				rows = append(rows, uint32(pos))
			}
		}
		differ := len(rows) - before
		switch {
		case known && w.blocks[n] == nodes[n]:
			if differ > 0 { // the block is as it was sealed: the tags are not
				return nil, runs, false
			}
		case differ == 0 && (!known || present < end-begin):
		case differ == 0 || differ == present && end-begin > 1: // they contradict the root, or the rows are all others
			rows = rows[:before]
			blocks = appendBlock(blocks, n)
		}
	}
	if !known && len(rows) == 0 && len(blocks) == 0 {
		return nil, runs, false
	}
	return rows, blocks, true
}

// blockRun is blocks [begin, end).
type blockRun struct{ begin, end int }

// rows are the first and the last of n rows that are in the blocks.
func (r blockRun) rows(n int) (first, last uint32) {
	return uint32(r.begin * merkle.Block), uint32(min(r.end*merkle.Block, n) - 1)
}

// appendBlock appends block n, which is behind those of runs.
func appendBlock(runs []blockRun, n int) []blockRun {
	if last := len(runs) - 1; last >= 0 && runs[last].end == n {
		runs[last].end++
		return runs
	}
	return append(runs, blockRun{n, n + 1})
}

// differing returns the runs of blocks that differ; all, if want is not known.
func differing(got, want []merkle.Hash) (runs []blockRun) {
	if len(want) != len(got) {
		return []blockRun{{0, len(got)}}
	}
	for n := range got {
		if got[n] != want[n] {
			runs = appendBlock(runs, n)
		}
	}
	return runs
}
