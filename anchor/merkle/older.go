package merkle

import "fmt"

// Older turns the inclusion proof of leaf index in a tree of size leaves into
// that in the tree of its first older leaves. Of the hashes this has, that one
// has all but at most one: that of the incomplete subtree on the right border,
// which Edge finds and edge brings; nil if there is none. Requires index < older
// <= size.
func Older(proof []Hash, index, size, older uint64, edge *Hash) ([]Hash, error) {
	if _, err := RootFromInclusion(index, size, Hash{}, proof); err != nil {
		return nil, err
	}
	if index >= older || older > size {
		return nil, fmt.Errorf("older size is %d, want more than the index, %d, and at most %d", older, index, size)
	}
	if (edge == nil) != (Edge(index, size, older) < 0) {
		return nil, fmt.Errorf("hash of the border given: %t, want the opposite", edge != nil)
	}
	path := []Hash{}
	olderPath(index, size, older, func(at int) {
		if at < 0 {
			path = append(path, *edge)
		} else {
			path = append(path, proof[at])
		}
	})
	return path, nil
}

// Edge tells which hash of the inclusion proof of leaf index in the tree of the
// first older leaves is not in that in the tree of size leaves; -1: all are.
func Edge(index, size, older uint64) int {
	edge, n := -1, 0
	olderPath(index, size, older, func(at int) {
		if at < 0 {
			edge = n
		}
		n++
	})
	return edge
}

// olderPath calls take for each hash of the inclusion proof in the older tree,
// lowest level first, with its place in the proof in the newer one, -1 if it is
// not there. Complete subtrees are the same in both.
func olderPath(index, size, older uint64, take func(at int)) {
	at := 0
	for level := 0; (size-1)>>level > 0; level++ {
		node := index >> level
		left := node&1 == 1 // the sibling is on the left
		switch {
		case left || node < (older-1)>>level && (older == size || node+2 <= older>>level):
			take(at)
		case node < (older-1)>>level:
			take(-1)
		}
		if left || node < (size-1)>>level {
			at++
		}
	}
}
