package merkle

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// chosen picks each index of a tree of size leaves with a chance of one in n.
func chosen(r *rand.Rand, size, n int) (indices []uint64, hashes []Hash) {
	all := numbered(size)
	for i := range size {
		if r.IntN(n) == 0 {
			indices, hashes = append(indices, uint64(i)), append(hashes, all[i])
		}
	}
	return indices, hashes
}

func TestMulti_ProvesAnyLeavesOfAnyTree(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for size := 1; size < 600; size += 1 + r.IntN(5) {
		all := numbered(size)
		for _, n := range []int{1, 2, 7, 100} {
			indices, hashes := chosen(r, size, n)
			proof, err := Multi(nil, indices, uint64(size), Leaves(all))
			if err != nil {
				t.Fatal(err)
			}
			root, err := MultiRoot(indices, hashes, uint64(size), proof)
			if err != nil || root != Root(all) {
				t.Fatalf("%d of %d leaves: root %x, %v, want %x", len(indices), size, root, err, Root(all))
			}
		}
	}
}

// One leaf needs the hashes of its RFC 9162 inclusion proof, in another order.
func TestMulti_OfOneLeafIsItsInclusionProof(t *testing.T) {
	for size := uint64(1); size < 70; size++ {
		all := numbered(int(size))
		for index := range size {
			single, err := Inclusion(nil, index, size, Leaves(all))
			if err != nil {
				t.Fatal(err)
			}
			many, err := Multi(nil, []uint64{index}, size, Leaves(all))
			if err != nil {
				t.Fatal(err)
			}
			if len(single) != len(many) || slices.ContainsFunc(single, func(h Hash) bool { return !slices.Contains(many, h) }) {
				t.Fatalf("index %d of %d: %d hashes, want the %d of the inclusion proof", index, size, len(many), len(single))
			}
		}
	}
}

func TestMultiRoot_RefusesWhatIsNotTheProof(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	all := numbered(300)
	indices, hashes := chosen(r, 300, 9)
	proof, err := Multi(nil, indices, 300, Leaves(all))
	if err != nil {
		t.Fatal(err)
	}
	want := Root(all)
	for i := range proof {
		changed := slices.Clone(proof)
		changed[i][3] ^= 1
		if root, err := MultiRoot(indices, hashes, 300, changed); err == nil && root == want {
			t.Errorf("hash %d changed, the root is the same", i)
		}
		if _, err := MultiRoot(indices, hashes, 300, slices.Delete(slices.Clone(proof), i, i+1)); err == nil {
			t.Errorf("hash %d left out and nobody minds", i)
		}
	}
	for name, bad := range map[string][]uint64{
		"twice": append(slices.Clone(indices[:1]), indices[:len(indices)-1]...), "beyond": append(slices.Clone(indices[:len(indices)-1]), 300),
	} {
		if _, err := MultiRoot(bad, hashes, 300, proof); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, err := MultiRoot(indices, hashes, 300, append(slices.Clone(proof), Hash{})); err == nil {
		t.Error("a hash too many is accepted")
	}
	if _, err := MultiRoot(nil, nil, 0, nil); err == nil {
		t.Error("a tree without leaves is accepted")
	}
}

func FuzzMultiRoot(f *testing.F) {
	f.Add(uint64(5), []byte{1, 3}, []byte{1, 2, 3})
	f.Add(uint64(1)<<63, []byte{0}, []byte{9})
	f.Fuzz(func(t *testing.T, size uint64, places, octets []byte) {
		var indices []uint64
		for _, p := range places {
			indices = append(indices, uint64(p))
		}
		proof := hashes(octets)
		_, _ = MultiRoot(indices, make([]Hash, len(indices)), size, proof)
	})
}
