package merkle

import (
	"fmt"
)

// Multi appends to dst the proof that the leaves at indices are in the tree of
// size leaves: the roots of the largest subtrees that hold none of them, from
// left to right. Many leaves share it: what two paths have in common is written
// once, and what follows from the leaves not at all. Requires indices to ascend
// and to be below size.
func Multi(dst []Hash, indices []uint64, size uint64, tree Subtree) ([]Hash, error) {
	if err := checkIndices(indices, size); err != nil {
		return dst, err
	}
	return multi(dst, indices, 0, size, tree)
}

func multi(dst []Hash, indices []uint64, begin, end uint64, tree Subtree) ([]Hash, error) {
	switch {
	case len(indices) == 0:
		h, err := tree(begin, end)
		return append(dst, h), err
	case end-begin == 1:
		return dst, nil
	}
	middle := begin + split(end-begin)
	n := below(indices, middle)
	dst, err := multi(dst, indices[:n], begin, middle, tree)
	if err != nil {
		return dst, err
	}
	return multi(dst, indices[n:], middle, end, tree)
}

// MultiRoot is the root hash over size leaves, of which those at indices have
// the hashes leaves and the others hash to proof, as Multi made it. Every hash
// of the proof must be used.
func MultiRoot(indices []uint64, leaves []Hash, size uint64, proof []Hash) (Hash, error) {
	if err := checkIndices(indices, size); err != nil {
		return Hash{}, err
	}
	if len(leaves) != len(indices) {
		return Hash{}, fmt.Errorf("%d leaf hashes, want %d", len(leaves), len(indices))
	}
	m := multiReader{indices: indices, leaves: leaves, proof: proof}
	root := m.root(0, size)
	if m.short || len(m.proof) > 0 {
		return Hash{}, fmt.Errorf("proof of %d hashes is not that of %d leaves in a tree of %d", len(proof), len(indices), size)
	}
	return root, nil
}

// multiReader takes leaves and hashes from the front as the tree asks for them.
type multiReader struct {
	indices []uint64
	leaves  []Hash
	proof   []Hash
	short   bool
}

func (m *multiReader) root(begin, end uint64) (h Hash) {
	if m.short {
		return h
	}
	if len(m.indices) == 0 || m.indices[0] >= end {
		if m.short = len(m.proof) == 0; !m.short {
			h, m.proof = m.proof[0], m.proof[1:]
		}
		return h
	}
	if end-begin == 1 {
		h = m.leaves[0]
		m.indices, m.leaves = m.indices[1:], m.leaves[1:]
		return h
	}
	middle := begin + split(end-begin)
	left := m.root(begin, middle)
	right := m.root(middle, end)
	return HashNode(&left, &right)
}

// below is how many of indices, ascending, are less than end.
func below(indices []uint64, end uint64) int {
	n := 0
	for n < len(indices) && indices[n] < end {
		n++
	}
	return n
}

func checkIndices(indices []uint64, size uint64) error {
	if size == 0 {
		return fmt.Errorf("a tree without leaves")
	}
	for i, index := range indices {
		if index >= size || i > 0 && index <= indices[i-1] {
			return fmt.Errorf("index %d at place %d: want ascending indices below %d", index, i, size)
		}
	}
	return nil
}
