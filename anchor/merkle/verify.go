package merkle

import (
	"errors"
	"fmt"
	"math/bits"
)

// ErrRoot says that a proof of the right shape leads to another root.
var ErrRoot = errors.New("root hash differs")

// VerifyInclusion checks that leaf is number index of the size leaves under
// root (RFC 9162, Section 2.1.3.2). Requires index < size.
func VerifyInclusion(index, size uint64, leaf Hash, proof []Hash, root Hash) error {
	got, err := RootFromInclusion(index, size, leaf, proof)
	if err != nil {
		return fmt.Errorf("verify inclusion of leaf %d in %d: %w", index, size, err)
	}
	if got != root {
		return fmt.Errorf("verify inclusion of leaf %d in %d: %w: got %x, want %x", index, size, ErrRoot, got, root)
	}
	return nil
}

// RootFromInclusion is the root hash that an inclusion proof leads to. Requires
// index < size.
func RootFromInclusion(index, size uint64, leaf Hash, proof []Hash) (Hash, error) {
	if index >= size {
		return Hash{}, fmt.Errorf("index is %d, want less than the size, %d", index, size)
	}
	// The paths of leaf index and of the last leaf part above inner; from there
	// on every sibling is on the left.
	inner := bits.Len64(index ^ (size - 1))
	border := bits.OnesCount64(index >> inner)
	if err := checkLength(proof, inner+border); err != nil {
		return Hash{}, err
	}
	return chainLeft(chain(leaf, proof[:inner], index), proof[inner:]), nil
}

// VerifyConsistency checks that the first leaves under root1 are the beginning
// of the second leaves under root2 (RFC 9162, Section 2.1.4.2). Unlike the RFC
// it refuses equal sizes and the empty tree: they prove nothing. Requires 0 <
// first < second.
func VerifyConsistency(first, second uint64, proof []Hash, root1, root2 Hash) error {
	wrap := func(err error) error {
		return fmt.Errorf("verify consistency of size %d with %d: %w", first, second, err)
	}
	if err := checkSizes(first, second); err != nil {
		return wrap(err)
	}
	shift := bits.TrailingZeros64(first)
	inner := bits.Len64((first-1)^(second-1)) - shift
	border := bits.OnesCount64((first - 1) >> (inner + shift))
	seed, skip := root1, 0
	if first != 1<<shift { // the older tree is no single complete subtree: the proof begins with one
		skip = 1
	}
	if err := checkLength(proof, skip+inner+border); err != nil {
		return wrap(err)
	}
	if skip == 1 {
		seed = proof[0]
	}
	within, beside := proof[skip:skip+inner], proof[skip+inner:]
	index := (first - 1) >> shift
	if got := chainLeft(chainOlder(seed, within, index), beside); got != root1 {
		return wrap(fmt.Errorf("older %w: got %x, want %x", ErrRoot, got, root1))
	}
	if got := chainLeft(chain(seed, within, index), beside); got != root2 {
		return wrap(fmt.Errorf("newer %w: got %x, want %x", ErrRoot, got, root2))
	}
	return nil
}

func checkLength(proof []Hash, want int) error {
	if len(proof) > MaxPath {
		return fmt.Errorf("proof has %d hashes, want at most %d", len(proof), MaxPath)
	}
	if len(proof) != want {
		return fmt.Errorf("proof has %d hashes, want %d", len(proof), want)
	}
	return nil
}

// chain climbs from the node h at index of its level, one level for each hash.
func chain(h Hash, proof []Hash, index uint64) Hash {
	for i := range proof {
		if index>>i&1 == 0 {
			h = HashNode(&h, &proof[i])
		} else {
			h = HashNode(&proof[i], &h)
		}
	}
	return h
}

// chainOlder climbs like chain in the tree that ends with the node at index:
// siblings on the right did not exist yet.
func chainOlder(h Hash, proof []Hash, index uint64) Hash {
	for i := range proof {
		if index>>i&1 == 1 {
			h = HashNode(&proof[i], &h)
		}
	}
	return h
}

// chainLeft climbs along the right border, where every sibling is on the left.
func chainLeft(h Hash, proof []Hash) Hash {
	for i := range proof {
		h = HashNode(&proof[i], &h)
	}
	return h
}
