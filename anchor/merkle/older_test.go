package merkle

import (
	"fmt"
	"slices"
	"testing"
)

// For every leaf of every tree within every larger tree.
func TestOlder_EveryProofFollowsFromThatInTheLargerTree(t *testing.T) {
	leaves := make([]Hash, 70)
	for i := range leaves {
		leaves[i] = HashLeaf([]byte{byte(i)})
	}
	edges := 0
	for size := uint64(1); size <= uint64(len(leaves)); size++ {
		for older := uint64(1); older <= size; older++ {
			root := Root(leaves[:older])
			for index := range older {
				proof, err := Inclusion(nil, index, size, Leaves(leaves))
				if err != nil {
					t.Fatal(err)
				}
				want, err := Inclusion(nil, index, older, Leaves(leaves))
				if err != nil {
					t.Fatal(err)
				}
				var edge *Hash
				if at := Edge(index, size, older); at >= 0 {
					edge = &want[at]
					edges++
				}
				got, err := Older(proof, index, size, older, edge)
				if err != nil || !slices.Equal(got, want) {
					t.Fatalf("leaf %d of %d in %d: %v, %x, want %x", index, older, size, err, got, want)
				}
				if err := VerifyInclusion(index, older, leaves[index], got, root); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	if edges == 0 {
		t.Error("no proof had a border of its own: the test is wrong")
	}
}

func TestOlder_RefusesWhatDoesNotFit(t *testing.T) {
	proof := make([]Hash, 4) // of any leaf of 16
	for name, c := range map[string]struct {
		index, size, older uint64
		proof              []Hash
		edge               *Hash
	}{
		"index beyond the older tree": {9, 16, 9, proof, nil},
		"older tree is larger":        {3, 16, 17, proof, nil},
		"older tree is empty":         {0, 16, 0, proof, nil},
		"a hash is missing":           {3, 16, 9, proof[1:], new(Hash)},
		"no border given":             {3, 16, 9, proof, nil},
		"a border too many":           {3, 16, 8, proof, new(Hash)},
		"a border of the whole":       {3, 16, 16, proof, new(Hash)},
		"sizes of 64 bits":            {1 << 63, 1<<64 - 1, 1<<64 - 2, proof, nil},
	} {
		if path, err := Older(c.proof, c.index, c.size, c.older, c.edge); err == nil {
			t.Errorf("%s: %s", name, fmt.Sprint(path))
		}
	}
}
