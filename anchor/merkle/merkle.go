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
	// stack holds the roots of complete subtrees, sizes strictly falling: one
	// per set bit of the number of leaves read.
	var stack [64]Hash
	top := 0
	for i := range leaves {
		stack[top] = leaves[i]
		top++
		for n := i + 1; n&1 == 0; n >>= 1 {
			top--
			stack[top-1] = HashNode(&stack[top-1], &stack[top])
		}
	}
	for ; top > 1; top-- {
		stack[top-2] = HashNode(&stack[top-2], &stack[top-1])
	}
	return stack[0]
}

// Block is the number of leaves below a node of level 8, the level whose nodes
// are stored: 32 octets for 256 rows, and the height of a tlog tile.
const Block = 256

// Blocks appends to dst the root of every Block leaves, of the rest last. As
// every split of a larger tree is a multiple of Block, Root(Blocks(leaves)) ==
// Root(leaves) whenever there are leaves.
func Blocks(dst, leaves []Hash) []Hash {
	for len(leaves) > 0 {
		n := min(Block, len(leaves))
		dst = append(dst, Root(leaves[:n]))
		leaves = leaves[n:]
	}
	return dst
}

// NumBlocks is the number of hashes that Blocks gives for size leaves.
func NumBlocks(size uint64) uint64 { return size/Block + (size%Block+Block-1)/Block }
