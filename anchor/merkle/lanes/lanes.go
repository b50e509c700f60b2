// Package lanes computes SHA-256 of many messages side by side, one in each
// 32-bit lane of the vector registers.
//
// It is bytes in, bytes out, and every level gives the same bytes as
// crypto/sha256. It allocates nothing.
package lanes

import (
	"crypto/sha256"
	"encoding/binary"
	"os"
)

//go:generate go run gen.go

// Hash is a SHA-256 digest.
type Hash = [sha256.Size]byte

// Level is a way to hash; a higher one uses more lanes.
type Level uint8

const (
	Generic Level = iota // crypto/sha256, one message after the other
	AVX2                 // 8 lanes
	AVX512               // 16 lanes
)

func (l Level) String() string { return [...]string{"generic", "avx2", "avx512"}[l] }

// width is the most lanes of any level.
const width = 16

// supported is the highest level of this machine, best the one to use. Neither
// ever changes.
var (
	supported = highest()
	best      = choose(os.Getenv("TIDEMARK_LANES"))
)

// Best is the fastest level of this machine, the highest. The environment
// variable TIDEMARK_LANES (generic, avx2 or avx512), read when the program
// starts, lowers it, for tests and benchmarks.
//
// Eight lanes are ahead of crypto/sha256 even where that has the SHA
// instructions (Zen 5: 45 against 60 ns for a block, 90 against 150 for a node).
func Best() Level { return best }

// Supported is the highest level of this machine. The methods of a higher one
// do what this one does.
func Supported() Level { return supported }

func choose(forced string) Level {
	for l := range supported {
		if forced == l.String() {
			return l
		}
	}
	return supported
}

// blockSize is the octets of a SHA-256 block.
const blockSize = sha256.BlockSize

// Pad appends to data the padding of the message data[begin:]: FIPS 180-4,
// Section 5.1.1.
func Pad(data []byte, begin int) []byte {
	size := len(data) - begin
	zeros := [blockSize + 8]byte{0x80}
	data = append(data, zeros[:1+(2*blockSize-9-size%blockSize)%blockSize]...)
	return binary.BigEndian.AppendUint64(data, uint64(size)*8)
}

// message is a padded message without its padding.
func message(padded []byte) []byte {
	return padded[:binary.BigEndian.Uint64(padded[len(padded)-8:])/8]
}

const (
	// maxBlocks is the length in blocks of the longest messages that are hashed
	// side by side: rarely are there enough longer ones of equal length.
	maxBlocks = 8
	// fewest is the number of messages from which on a call of the widest level
	// costs less than crypto/sha256 with the SHA instructions.
	fewest = 4
)

// group are messages of equal length in blocks.
type group struct {
	n       int
	offsets [width]uint64 // of the messages in the data
	index   [width]int    // of their digests
}

// Sum sets dst[i] to the digest of message i. The messages are in data, one
// after the other, each with its padding; message i ends before data[ends[i]].
// Requires len(dst) == len(ends). It panics at a message without padding.
func (l Level) Sum(dst []Hash, data []byte, ends []int) {
	var groups [maxBlocks + 1]group
	l = min(l, supported)
	begin := 0
	for i, end := range ends {
		padded := data[begin:end]
		blocks := len(padded) / blockSize
		if l == Generic || blocks == 0 || blocks > maxBlocks {
			dst[i] = sha256.Sum256(message(padded))
		} else {
			g := &groups[blocks]
			g.offsets[g.n], g.index[g.n] = uint64(begin), i
			if g.n++; g.n == width {
				l.sum(dst, data, g, blocks)
			}
		}
		begin = end
	}
	for blocks := range groups {
		if groups[blocks].n > 0 {
			l.sum(dst, data, &groups[blocks], blocks)
		}
	}
}

// sum hashes the messages of g and empties it.
func (l Level) sum(dst []Hash, data []byte, g *group, blocks int) {
	n := g.n
	g.n = 0
	if n < fewest {
		for i, begin := range g.offsets[:n] {
			dst[g.index[i]] = sha256.Sum256(message(data[begin : int(begin)+blocks*blockSize]))
		}
		return
	}
	for i := n; i < width; i++ { // lanes without a message
		g.offsets[i] = g.offsets[0]
	}
	var out [width]Hash
	l.sumLanes(&out, data, &g.offsets, n, blocks)
	for i, at := range g.index[:n] {
		dst[at] = out[i]
	}
}

// Nodes sets dst[i] to SHA-256(0x01 || children[2i] || children[2i+1]): RFC 9162,
// Section 2.1.1. dst may be the beginning of children. Requires an even
// len(children) and len(dst) == len(children)/2.
func (l Level) Nodes(dst, children []Hash) {
	_ = children[:2*len(dst)]
	done := min(l, supported).nodeLanes(dst, children)
	for i := done; i < len(dst); i++ {
		var message [1 + 2*sha256.Size]byte
		message[0] = 0x01
		copy(message[1:], children[2*i][:])
		copy(message[1+sha256.Size:], children[2*i+1][:])
		dst[i] = sha256.Sum256(message[:])
	}
}
