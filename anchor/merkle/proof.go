package merkle

import "fmt"

// MaxPath is the longest proof a verifier reads: no tree of 2^64 leaves needs more.
const MaxPath = 64

// A Subtree gives the root hash over leaves [begin, end) of a tree. Proofs ask
// only for ranges that are nodes of the tree of the size asked about.
type Subtree func(begin, end uint64) (Hash, error)

// Leaves is the Subtree of a tree whose leaf hashes are all at hand.
func Leaves(leaves []Hash) Subtree {
	return func(begin, end uint64) (Hash, error) {
		if begin >= end || end > uint64(len(leaves)) {
			return Hash{}, fmt.Errorf("read leaves [%d, %d): have [0, %d)", begin, end, len(leaves))
		}
		return Root(leaves[begin:end]), nil
	}
}

// Stored is the Subtree of a tree that keeps blocks, the roots of its complete
// blocks of Block leaves (the root of an incomplete last block may follow and
// is not used). It reads single leaves only inside a block.
func Stored(blocks []Hash, read func(begin, end uint64) ([]Hash, error)) Subtree {
	return func(begin, end uint64) (Hash, error) {
		if begin >= end {
			return Hash{}, fmt.Errorf("read leaves [%d, %d): empty", begin, end)
		}
		first, last := begin/Block, end/Block // blocks [first, last) are complete
		if begin/Block == (end-1)/Block && end-begin < Block {
			last = first // inside one block: by its leaves
		} else if begin%Block != 0 {
			return Hash{}, fmt.Errorf("read leaves [%d, %d): not a node of a tree", begin, end)
		}
		if last > uint64(len(blocks)) {
			return Hash{}, fmt.Errorf("read leaves [%d, %d): have %d blocks of %d, want %d", begin, end, len(blocks), Block, last)
		}
		complete := blocks[first:last]
		from := max(begin, last*Block)
		if from == end {
			return Root(complete), nil
		}
		leaves, err := read(from, end)
		if err != nil {
			return Hash{}, fmt.Errorf("read leaves [%d, %d): %w", from, end, err)
		}
		if uint64(len(leaves)) != end-from {
			return Hash{}, fmt.Errorf("read leaves [%d, %d): got %d, want %d", from, end, len(leaves), end-from)
		}
		tail := Root(leaves)
		if len(complete) == 0 {
			return tail, nil
		}
		return Root(append(append(make([]Hash, 0, len(complete)+1), complete...), tail)), nil
	}
}

// Inclusion appends to dst the proof that leaf index is in the tree of size
// leaves, lowest level first (RFC 9162, Section 2.1.3.1). Requires index < size.
func Inclusion(dst []Hash, index, size uint64, tree Subtree) ([]Hash, error) {
	if index >= size {
		return dst, fmt.Errorf("prove inclusion of leaf %d: tree size is %d, want more than the index", index, size)
	}
	return path(dst, index, 0, size, tree)
}

// path is PATH of RFC 9162, Section 2.1.3.1 for the leaves [begin, end).
func path(dst []Hash, index, begin, end uint64, tree Subtree) ([]Hash, error) {
	if end-begin == 1 {
		return dst, nil
	}
	middle := begin + split(end-begin)
	inBegin, inEnd, besideBegin, besideEnd := begin, middle, middle, end
	if index >= middle {
		inBegin, inEnd, besideBegin, besideEnd = middle, end, begin, middle
	}
	dst, err := path(dst, index, inBegin, inEnd, tree)
	if err != nil {
		return dst, err
	}
	beside, err := tree(besideBegin, besideEnd)
	return append(dst, beside), err
}

// Consistency appends to dst the proof that the tree of first leaves is the
// beginning of the tree of second leaves (RFC 9162, Section 2.1.4.1). Requires
// 0 < first < second.
func Consistency(dst []Hash, first, second uint64, tree Subtree) ([]Hash, error) {
	if err := checkSizes(first, second); err != nil {
		return dst, fmt.Errorf("prove consistency: %w", err)
	}
	return subproof(dst, first, 0, second, true, tree)
}

// subproof is SUBPROOF of RFC 9162, Section 2.1.4.1: first lies in (begin, end],
// whole says that [begin, first) is the older tree itself, whose root the
// verifier has.
func subproof(dst []Hash, first, begin, end uint64, whole bool, tree Subtree) ([]Hash, error) {
	if first == end {
		if whole {
			return dst, nil
		}
		h, err := tree(begin, end)
		return append(dst, h), err
	}
	middle := begin + split(end-begin)
	var err error
	besideBegin, besideEnd := middle, end
	if first <= middle {
		dst, err = subproof(dst, first, begin, middle, whole, tree)
	} else {
		dst, err = subproof(dst, first, middle, end, false, tree)
		besideBegin, besideEnd = begin, middle
	}
	if err != nil {
		return dst, err
	}
	beside, err := tree(besideBegin, besideEnd)
	return append(dst, beside), err
}

func checkSizes(first, second uint64) error {
	if first == 0 {
		return fmt.Errorf("first size is 0, want at least 1: every tree extends the empty one")
	}
	if second <= first {
		return fmt.Errorf("second size is %d, want more than the first, %d", second, first)
	}
	return nil
}
