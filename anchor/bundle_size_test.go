package anchor

import (
	"math/bits"
	"testing"

	"tidemark/anchor/merkle"
)

// alike is a tree of as many leaves as asked for, all of them the same: the way
// from any other leaf in it to the root is as long as in a real one.
func alike(leaf merkle.Hash) merkle.Subtree {
	var root func(n uint64) merkle.Hash
	levels := []merkle.Hash{leaf} // roots of 2^level leaves
	for range 40 {
		last := levels[len(levels)-1]
		levels = append(levels, merkle.HashNode(&last, &last))
	}
	root = func(n uint64) merkle.Hash {
		if n&(n-1) == 0 {
			return levels[bits.TrailingZeros64(n)]
		}
		k := uint64(1) << (bits.Len64(n) - 1)
		left, right := levels[bits.Len64(k)-1], root(n-k)
		return merkle.HashNode(&left, &right)
	}
	return func(begin, end uint64) (merkle.Hash, error) { return root(end - begin), nil }
}

// grownBundle is madeBundle of a row in the largest batch of a log of size
// batches, of which the first anchored were anchored.
func grownBundle(t testing.TB, index, anchored, size uint64) (*Bundle, *Trust, *toldChain) {
	t.Helper()
	b, trust, chain := madeBundle(t)
	row, err := AppendRow(nil, &b.Row, 0)
	if err != nil {
		t.Fatal(err)
	}
	path := func(leaf merkle.Hash, index, size uint64) ([]merkle.Hash, merkle.Hash) {
		proof, err := merkle.Inclusion(nil, index, size, alike(merkle.Hash{1}))
		if err != nil {
			t.Fatal(err)
		}
		root, err := merkle.RootFromInclusion(index, size, leaf, proof)
		if err != nil {
			t.Fatal(err)
		}
		return proof, root
	}
	h := &b.Header
	h.Index, h.FirstSeq, h.Rows = index, index*MaxRows, MaxRows
	b.RowProof, h.RowRoot = path(LeafHash(row, b.Salt), uint64(b.Name.Pos), MaxRows)
	b.Name.Batch, b.Exporters = index, nil
	var root merkle.Hash
	b.LogProof, root = path(h.Leaf(), index, size)
	signer, _ := goldenKey(t)
	if b.Checkpoint, err = (Checkpoint{Origin: trust.Origin, Size: size, Root: root}).Sign(signer); err != nil {
		t.Fatal(err)
	}
	b.Anchor.Size = anchored
	b.Anchor.Inclusion, b.Anchor.Root = path(h.Leaf(), index, anchored)
	chain.anchors[0].Size, chain.anchors[0].Root = anchored, b.Anchor.Root
	return b, trust, chain
}

// Issue: a flow proof within 3 KB. The whole bundle is: row, proofs, header,
// signed checkpoint and anchor, of a row with two extensions in a full batch.
func TestBundle_Within3000OctetsAtAMillionBatches(t *testing.T) {
	for _, c := range []struct{ index, anchored, size, most uint64 }{
		{3, 8, 1000, 3000}, {999_600, 999_700, 1_000_000, 3000}, {17, 600, 1_000_000, 3000}, {524_287, 700_001, 1_000_000, 3000},
		{700_000, 1_000_000, 1_000_000, 3000}, {1<<30 - 10, 1<<30 - 3, 1 << 30, 3500},
	} {
		b, trust, chain := grownBundle(t, c.index, c.anchored, c.size)
		p := bundleFileOf(t, b)
		if code, said := verifyFile(t, p, trust, chain); code != ExitOK {
			t.Fatalf("batch %d of %d: exit code %d:\n%s", c.index, c.size, code, said)
		}
		t.Logf("batch %d of %d, anchored at %d: %d octets", c.index, c.size, c.anchored, len(p))
		if uint64(len(p)) > c.most {
			t.Errorf("batch %d of %d: %d octets, want at most %d", c.index, c.size, len(p), c.most)
		}
	}
}
