package anchor

import (
	"fmt"
	"slices"

	"tidemark/anchor/merkle"
	"tidemark/collector/flow"
)

// reader is the working memory of one goroutine that reads batches.
type reader struct {
	batch  flow.Batch
	leaves []merkle.Hash
	blocks []merkle.Hash
}

// compare hashes the rows of w.batch and compares them with what was sealed.
// nodes are the stored block roots, nil if they are damaged.
func (w *reader) compare(log uint64, h *Header, key SaltKey, nodes []merkle.Hash, found *verdict) {
	b := &w.batch
	w.leaves = slices.Grow(w.leaves[:0], b.Len())[:b.Len()]
	err := Leaves(w.leaves, b, key)
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
	w.locate(log, h, key, nodes, found)
}

// locate says where the rows differ. Blocks of 256 rows are compared by their
// stored roots; within one a row shows only if it could not have been sealed at all.
func (w *reader) locate(log uint64, h *Header, key SaltKey, nodes []merkle.Hash, found *verdict) {
	b := &w.batch
	named := map[uint32]bool{}
	name := func(pos uint32, detail string) {
		found.add(h, RowAltered, &pos, &pos, detail)
		found.faults[len(found.faults)-1].Flow = flow.Name{Log: log, Batch: h.Index, Pos: pos}.String()
		named[pos/merkle.Block] = true
	}
	var buf []byte
	for i := range b.Len() {
		w.leaves[i] = merkle.Hash{}
		var err error
		if buf, err = AppendRow(buf[:0], b, i); err == nil {
			w.leaves[i] = LeafHash(buf, key.Salt(uint64(i)))
		}
		switch t := b.TimeReceived[i]; {
		case len(found.faults) > maxFaults:
		case err != nil:
			name(uint32(i), fmt.Sprintf("no row could be sealed like this: %v", err))
		case t < h.MinReceived || t > h.MaxReceived:
			name(uint32(i), fmt.Sprintf("received at %s, but the batch from %s to %s", spellTime(t), spellTime(h.MinReceived), spellTime(h.MaxReceived)))
		}
	}
	w.blocks = merkle.Blocks(w.blocks[:0], w.leaves)
	if nodes == nil {
		if len(named) == 0 {
			first, last := uint32(0), uint32(b.Len()-1)
			found.add(h, RowAltered, &first, &last, "rows are not the ones that were sealed; which ones does not show, because the stored nodes are damaged")
		}
		return
	}
	runs := differing(w.blocks, nodes)
	total := 0
	for _, r := range runs {
		total += r.end - r.begin
	}
	for _, r := range runs {
		if r.end-r.begin == 1 && named[uint32(r.begin)] {
			continue // what is wrong in it was said
		}
		first, last := r.rows(b.Len())
		detail := fmt.Sprintf("%d of %d blocks of %d rows are not as they were sealed", total, len(nodes), merkle.Block)
		if total == len(nodes) && total > 1 {
			detail = "every block differs: all rows were changed, or the salt key in the ledger's directory"
		}
		found.add(h, RowAltered, &first, &last, detail)
		if first == last {
			found.faults[len(found.faults)-1].Flow = flow.Name{Log: log, Batch: h.Index, Pos: first}.String()
		}
	}
}

// blockRun is blocks [begin, end).
type blockRun struct{ begin, end int }

// rows are the first and the last of n rows that are in the blocks.
func (r blockRun) rows(n int) (first, last uint32) {
	return uint32(r.begin * merkle.Block), uint32(min(r.end*merkle.Block, n) - 1)
}

// differing returns the runs of blocks that differ; all, if want is not known.
func differing(got, want []merkle.Hash) (runs []blockRun) {
	if len(want) != len(got) {
		return []blockRun{{0, len(got)}}
	}
	for i := range got {
		switch n := len(runs); {
		case got[i] == want[i]:
		case n > 0 && runs[n-1].end == i:
			runs[n-1].end = i + 1
		default:
			runs = append(runs, blockRun{i, i + 1})
		}
	}
	return runs
}
