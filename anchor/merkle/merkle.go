// Package merkle builds Merkle trees over leaf hashes and proves things about
// them, as RFC 9162, Section 2.1 defines: SHA-256, prefix 0x00 for a leaf, 0x01
// for a node, an odd node promoted and never duplicated.
//
// It is bytes in, bytes out. Leaf hashes are made by the caller; a tree is
// determined by its leaf hashes in order. Ranges are [begin, end).
package merkle

import (
	"crypto/sha256"
	"math/bits"

	"tidemark/anchor/merkle/lanes"
)

// Hash is a leaf hash, a node hash or a root hash.
type Hash = [sha256.Size]byte

// HashLeaf is the leaf hash of data (RFC 9162, Section 2.1.1).
func HashLeaf(data []byte) Hash {
	buf := make([]byte, 1+len(data))
	copy(buf[1:], data)
	return sha256.Sum256(buf)
}

// HashNode is the hash of the node above left and right. It does not allocate.
func HashNode(left, right *Hash) Hash {
	var buf [1 + 2*sha256.Size]byte
	buf[0] = 0x01
	copy(buf[1:], left[:])
	copy(buf[1+sha256.Size:], right[:])
	return sha256.Sum256(buf[:])
}

// Empty is the root hash of the tree without leaves: SHA-256 of nothing.
func Empty() Hash { return sha256.Sum256(nil) }

// split is the largest power of two smaller than n. Requires n > 1.
func split(n uint64) uint64 { return 1 << (bits.Len64(n-1) - 1) }

// Root is the root hash over leaves. It neither allocates nor writes to leaves.
func Root(leaves []Hash) Hash {
	if len(leaves) == 0 {
		return Empty()
	}
	var s stack
	if len(leaves) < 2*side {
		for i := range leaves {
			s.push(&leaves[i])
		}
		return s.root()
	}
	var roots [side]Hash
	for len(leaves) > 0 {
		n := min(len(leaves), len(roots)*Block)
		for i := range blockRoots(&roots, leaves[:n]) {
			s.push(&roots[i])
		}
		leaves = leaves[n:]
	}
	return s.root()
}

// stack holds the roots of complete subtrees, sizes strictly falling: one per
// set bit of the number of nodes pushed. The last node may be incomplete.
type stack struct {
	nodes [64]Hash
	top   int
	n     uint64
}

func (s *stack) push(h *Hash) {
	s.nodes[s.top] = *h
	s.top++
	s.n++
	for n := s.n; n&1 == 0; n >>= 1 {
		s.merge()
	}
}

func (s *stack) merge() {
	s.top--
	s.nodes[s.top-1] = HashNode(&s.nodes[s.top-1], &s.nodes[s.top])
}

func (s *stack) root() Hash {
	for s.top > 1 {
		s.merge()
	}
	return s.nodes[0]
}

// Block is the number of leaves below a node of level 8, the level whose nodes
// are stored: 32 octets for 256 rows, and the height of a tlog tile.
const Block = 256

// side is the number of nodes to hash side by side.
const side = 16

// Blocks appends to dst the root of every Block leaves, of the rest last. As
// every split of a larger tree is a multiple of Block, Root(Blocks(leaves)) ==
// Root(leaves) whenever there are leaves.
func Blocks(dst, leaves []Hash) []Hash {
	var roots [side]Hash
	for len(leaves) > 0 {
		n := min(len(leaves), len(roots)*Block)
		dst = append(dst, blockRoots(&roots, leaves[:n])...)
		leaves = leaves[n:]
	}
	return dst
}

// blockRoots puts the roots of up to side blocks into roots. It climbs to level
// 4 block by block, to keep what it needs in the cache, and from there, where a
// block alone no longer fills the lanes, with all of them.
func blockRoots(roots *[side]Hash, leaves []Hash) []Hash {
	var level4 [side * Block >> 4]Hash
	var buf [Block / 2]Hash
	nodes := level4[:0]
	for ; len(leaves) >= Block; leaves = leaves[Block:] {
		low := parents(buf[:], leaves[:Block])
		low = parents(low, low)
		low = parents(low, low)
		nodes = nodes[:len(nodes)+len(parents(level4[len(nodes):], low))]
	}
	for range 4 {
		nodes = parents(nodes, nodes)
	}
	n := copy(roots[:], nodes)
	if len(leaves) > 0 { // the incomplete last block
		rest := parents(buf[:], leaves)
		for len(rest) > 1 {
			rest = parents(rest, rest)
		}
		roots[n], n = rest[0], n+1
	}
	return roots[:n]
}

// parents sets dst, which may be nodes itself, to the level above nodes: an odd
// last node is promoted.
func parents(dst, nodes []Hash) []Hash {
	n := len(nodes) / 2
	lanes.Best().Nodes(dst[:n], nodes[:2*n])
	if len(nodes)%2 == 1 {
		dst[n] = nodes[2*n]
		n++
	}
	return dst[:n]
}

// NumBlocks is the number of hashes that Blocks gives for size leaves.
func NumBlocks(size uint64) uint64 { return size/Block + (size%Block+Block-1)/Block }
