package merkle

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/bits"
)

// Range is the right border of a growing tree: the roots of its complete
// subtrees, largest first, one for each set bit of the size. It is all that
// appending a leaf and computing the root need. The zero value is the empty tree.
type Range struct {
	size  uint64
	nodes []Hash
}

// Size is the number of leaves.
func (r *Range) Size() uint64 { return r.size }

// Append adds a leaf. It calls visit, unless nil, for every subtree that becomes
// complete, lowest first: node index of level covers the leaves
// [index<<level, (index+1)<<level).
func (r *Range) Append(leaf Hash, visit func(level uint, index uint64, h Hash)) {
	index := r.size
	r.size++
	for level := uint(0); ; level++ {
		if visit != nil {
			visit(level, index>>level, leaf)
		}
		if index>>level&1 == 0 {
			break
		}
		last := len(r.nodes) - 1
		leaf = HashNode(&r.nodes[last], &leaf)
		r.nodes = r.nodes[:last]
	}
	r.nodes = append(r.nodes, leaf)
}

// Root is the root hash over all leaves.
func (r *Range) Root() Hash {
	if len(r.nodes) == 0 {
		return Empty()
	}
	h := r.nodes[len(r.nodes)-1]
	for i := len(r.nodes) - 2; i >= 0; i-- {
		h = HashNode(&r.nodes[i], &h)
	}
	return h
}

// Clone is a copy that shares nothing with r.
func (r *Range) Clone() *Range {
	return &Range{size: r.size, nodes: append([]Hash(nil), r.nodes...)}
}

// AppendBinary appends the persistent form: the size as a big-endian u64, then
// the node hashes, largest subtree first.
func (r *Range) AppendBinary(b []byte) ([]byte, error) {
	b = binary.BigEndian.AppendUint64(b, r.size)
	for i := range r.nodes {
		b = append(b, r.nodes[i][:]...)
	}
	return b, nil
}

// MarshalBinary returns the persistent form.
func (r *Range) MarshalBinary() ([]byte, error) { return r.AppendBinary(nil) }

// UnmarshalBinary reads the persistent form, and nothing after it.
func (r *Range) UnmarshalBinary(b []byte) error {
	if len(b) < 8 {
		return fmt.Errorf("read compact range: got %d octets, want at least 8", len(b))
	}
	size := binary.BigEndian.Uint64(b)
	n := bits.OnesCount64(size)
	if got, want := len(b), 8+n*sha256.Size; got != want {
		return fmt.Errorf("read compact range of size %d: got %d octets, want %d", size, got, want)
	}
	nodes := make([]Hash, n)
	for i := range nodes {
		copy(nodes[i][:], b[8+i*sha256.Size:])
	}
	r.size, r.nodes = size, nodes
	return nil
}
