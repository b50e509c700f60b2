package anchor

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"tidemark/anchor/merkle"
)

func TestReader_ProofsVerify(t *testing.T) {
	f := newFixture(t)
	const size = 600
	for i := 1; i < size; i++ {
		if _, err := f.l.Seal(t.Context(), nil, nil); err != nil {
			t.Fatal(err)
		}
	}
	f.mustCommit()
	r, err := OpenReader(f.w.dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	roots := map[uint64]merkle.Hash{}
	sizes := []uint64{1, 2, 255, 256, 257, 511, 512, 513, size}
	for _, n := range sizes {
		if roots[n], err = r.Root(n); err != nil {
			t.Fatal(err)
		}
		for _, i := range []uint64{0, n / 2, n - 1} {
			h := f.header(i)
			proof, err := f.l.Reader().Inclusion(i, n)
			if err == nil {
				err = merkle.VerifyInclusion(i, n, h.Leaf(), proof, roots[n])
			}
			if err != nil {
				t.Errorf("inclusion of %d in %d: %v", i, n, err)
			}
		}
	}
	for i, second := range sizes {
		for _, first := range sizes[:i] {
			proof, err := f.l.Consistency(first, second)
			if err == nil {
				err = merkle.VerifyConsistency(first, second, proof, roots[first], roots[second])
			}
			if err != nil {
				t.Errorf("consistency of %d and %d: %v", first, second, err)
			}
		}
	}
	if _, err := r.Root(size + 1); !errors.Is(err, ErrNoBatch) {
		t.Errorf("root of a longer log: %v, want ErrNoBatch", err)
	}
}

func TestReader_SeesWhatARunningLedgerCommits(t *testing.T) {
	f := newFixture(t)
	r, err := OpenReader(f.w.dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	if r.Size() != 0 {
		t.Fatalf("size %d before anything is committed", r.Size())
	}
	f.seal(1, 3)
	f.mustCommit()
	if err := r.Refresh(); err != nil || r.Size() != 2 {
		t.Fatalf("size %d, %v, want 2", r.Size(), err)
	}
	// What stands behind the last header is not there.
	headers, err := os.OpenFile(filepath.Join(f.w.dir, headersFile), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := headers.Write(make([]byte, 100)); err != nil {
		t.Fatal(err)
	}
	if err := headers.Close(); err != nil {
		t.Fatal(err)
	}
	if err := r.Refresh(); err != nil || r.Size() != 2 {
		t.Fatalf("size %d, %v, want 2", r.Size(), err)
	}
	if _, err := r.Header(2); !errors.Is(err, ErrNoBatch) {
		t.Fatalf("Header(2): %v, want ErrNoBatch", err)
	}
}

func TestAppendNodes_IsBlocksAndKeepsWhatIsThere(t *testing.T) {
	for _, n := range []int{0, 1, 255, 256, 257, leafBlock, leafBlock + 1, 3*leafBlock - 5} {
		leaves := make([]merkle.Hash, n)
		for i := range leaves {
			leaves[i] = merkle.HashLeaf([]byte{byte(i), byte(i >> 8)})
		}
		before := []merkle.Hash{octets(9)}
		if got, want := appendNodes(before, leaves), merkle.Blocks(before[:1:1], leaves); !slices.Equal(got, want) {
			t.Errorf("%d leaves: %d nodes differ from %d", n, len(got), len(want))
		}
	}
}
