package anchor

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"tidemark/anchor/merkle"
	"tidemark/anchor/merkle/lanes"
	"tidemark/collector/flow"
)

const (
	rowFixed  = 39 * 4 // octets of a row without extensions, the leaf prefix included
	saltSize  = 16
	leafBlock = 4096 // rows one worker takes at a time
	// sideBySide rows are encoded and then hashed together: many, that few lanes
	// stay empty, and few, that they are still in the cache.
	sideBySide = 256
	maxMAC     = 1<<48 - 1
	penFollow  = 1 << 15
)

// SaltKey is the AES-128 key of one batch's salts. The salt of leaf i is block
// i of the AES-CTR keystream under the key, the counter block being i as a
// 128-bit big-endian integer. Who has the key can tell a guessed row from the
// leaf hash; who destroys it makes the remaining leaves tell nothing.
type SaltKey [16]byte

// stream is the keystream from the salt of leaf first on.
func (k SaltKey) stream(first uint64) cipher.Stream {
	block, err := aes.NewCipher(k[:])
	if err != nil { // cannot be: the key has 16 octets
		panic(err)
	}
	var counter [aes.BlockSize]byte
	binary.BigEndian.PutUint64(counter[8:], first)
	return cipher.NewCTR(block, counter[:])
}

// Salt returns the salt of leaf i of the batch.
func (k SaltKey) Salt(i uint64) (salt [16]byte) {
	k.stream(i).XORKeyStream(salt[:], salt[:])
	return salt
}

// RowError is a row whose columns do not fit the encoding: hashing it would
// leave part of a column outside the hash.
type RowError struct {
	Pos    int
	Column string
	Reason string
}

func (e *RowError) Error() string {
	return fmt.Sprintf("encode row %d: column %s: %s", e.Pos, e.Column, e.Reason)
}

// AppendRow appends 0x00 || row, encoding version 1, of record i of b: what a
// leaf hashes before the salt. Every bit of every hashed column of flow.Batch
// is in it; a row for which that cannot be is refused with a *RowError.
func AppendRow(dst []byte, b *flow.Batch, i int) ([]byte, error) {
	if err := checkFixed(b, i); err != nil {
		return dst, err
	}
	base := len(dst)
	dst = slices.Grow(dst, rowFixed)[:base+rowFixed]
	w := (*[rowFixed]byte)(dst[base:]) // every octet is set below: w[6:8] at the end
	be := binary.BigEndian
	w[0], w[1], w[2] = 0x00, typeRow, encodingVersion
	w[3] = byte(b.Protocol[i])<<3 | byte(b.Transport[i])
	be.PutUint16(w[4:], SchemaID)
	be.PutUint64(w[8:], uint64(b.TimeReceived[i]))
	be.PutUint64(w[16:], uint64(b.TimeFlowStart[i]))
	be.PutUint64(w[24:], uint64(b.TimeFlowEnd[i]))
	copy(w[32:], b.SamplerAddress[i][:])
	be.PutUint32(w[48:], b.ObservationDomain[i])
	be.PutUint32(w[52:], b.SequenceNum[i])
	copy(w[56:], b.SrcAddr[i][:])
	copy(w[72:], b.DstAddr[i][:])
	be.PutUint16(w[88:], b.SrcPort[i])
	be.PutUint16(w[90:], b.DstPort[i])
	w[92], w[93] = b.Proto[i], b.Direction[i]
	be.PutUint16(w[94:], b.TCPFlags[i])
	be.PutUint64(w[96:], b.Bytes[i])
	be.PutUint64(w[104:], b.Packets[i])
	be.PutUint32(w[112:], b.SamplingRate[i])
	be.PutUint32(w[116:], uint32(b.SrcMAC[i]>>16))
	be.PutUint64(w[120:], b.SrcMAC[i]<<48|b.DstMAC[i])
	be.PutUint16(w[128:], b.SrcVLAN[i])
	be.PutUint16(w[130:], b.DstVLAN[i])
	be.PutUint32(w[132:], b.InIf[i])
	be.PutUint32(w[136:], b.OutIf[i])
	be.PutUint16(w[140:], b.Presence[i])
	w[142], w[143] = b.TOS[i], b.EndReason[i]
	w[144], w[145] = b.FirewallEvent[i], b.NATEvent[i]
	be.PutUint16(w[146:], b.Quality[i])
	be.PutUint32(w[148:], b.SrcAS[i])
	be.PutUint32(w[152:], b.DstAS[i])

	dst, n, err := appendExtensions(dst, &b.Ext, i)
	if err != nil {
		return dst[:base], err
	}
	be.PutUint16(dst[base+6:], uint16(n))
	return dst, nil
}

func checkFixed(b *flow.Batch, i int) error {
	switch {
	case b.Protocol[i] > 31:
		return &RowError{i, "type", fmt.Sprintf("got %d, want at most 31", b.Protocol[i])}
	case b.Transport[i] > 7:
		return &RowError{i, "transport", fmt.Sprintf("got %d, want at most 7", b.Transport[i])}
	case b.SrcMAC[i] > maxMAC:
		return &RowError{i, "src_mac", fmt.Sprintf("got %#x, want 48 bits", b.SrcMAC[i])}
	case b.DstMAC[i] > maxMAC:
		return &RowError{i, "dst_mac", fmt.Sprintf("got %#x, want 48 bits", b.DstMAC[i])}
	}
	return nil
}

// appendExtensions appends n_ext x { id u16, length u15 with top bit "PEN
// follows", [PEN u32], octets, zeros to a multiple of 4 } and returns n_ext.
func appendExtensions(dst []byte, x *flow.Extensions, i int) ([]byte, int, error) {
	refuse := func(format string, args ...any) ([]byte, int, error) {
		return dst, 0, &RowError{i, "extensions", fmt.Sprintf(format, args...)}
	}
	n := 0
	for k := before(x.Ends, uint64(i)); k < x.Ends[i]; k++ {
		key := x.Keys[k]
		switch first := k == before(x.Ends, uint64(i)); {
		case key > maxMAC:
			return refuse("key %#x: want PEN << 16 | id, 48 bits", key)
		case !first && key <= x.Keys[k-1]:
			return refuse("key %#x after %#x: want ascending keys", key, x.Keys[k-1])
		case before(x.ValueEnds, k) == x.ValueEnds[k]:
			return refuse("key %#x has no value", key) // it would leave no trace in the row
		}
		for v := before(x.ValueEnds, k); v < x.ValueEnds[k]; v++ {
			value := x.Data[before(x.DataEnds, v):x.DataEnds[v]]
			if len(value) > flow.MaxExtension {
				return refuse("key %#x: value of %d octets, want at most %d", key, len(value), flow.MaxExtension)
			}
			dst = appendExtension(dst, key, value)
			n++
		}
	}
	if n > 1<<16-1 {
		return refuse("%d values, want at most %d", n, 1<<16-1)
	}
	return dst, n, nil
}

func appendExtension(dst []byte, key uint64, value []byte) []byte {
	pen, id := flow.ExtensionID(key)
	dst = binary.BigEndian.AppendUint16(dst, id)
	if pen == 0 {
		dst = binary.BigEndian.AppendUint16(dst, uint16(len(value)))
	} else {
		dst = binary.BigEndian.AppendUint16(dst, uint16(len(value))|penFollow)
		dst = binary.BigEndian.AppendUint32(dst, pen)
	}
	dst = append(dst, value...)
	var zeros [3]byte
	return append(dst, zeros[:-len(value)&3]...)
}

func before(ends []uint64, i uint64) uint64 {
	if i == 0 {
		return 0
	}
	return ends[i-1]
}

// LeafHash is SHA-256(encoded || salt), encoded being the result of AppendRow
// or AppendEvent.
func LeafHash(encoded []byte, salt [16]byte) [32]byte {
	return sha256.Sum256(append(encoded[:len(encoded):len(encoded)], salt[:]...))
}

// Leaves sets dst[i] to the leaf hash of record i of b, for all of them;
// len(dst) must be b.Len(). It uses all processors and allocates per block of
// rows, not per row.
func Leaves(dst [][32]byte, b *flow.Batch, key SaltKey) error {
	if len(dst) != b.Len() {
		return fmt.Errorf("hash leaves: room for %d, want %d", len(dst), b.Len())
	}
	return inBlocks(len(dst), func() blockFunc {
		var s rowScratch
		return func(begin, end int) error { return s.hash(dst, b, key, begin, end) }
	})
}

// appendNodes is merkle.Blocks on all processors: it appends the level-8 nodes
// over leaves.
func appendNodes(dst, leaves []merkle.Hash) []merkle.Hash {
	base := len(dst)
	dst = slices.Grow(dst, int(merkle.NumBlocks(uint64(len(leaves)))))
	_ = inBlocks(len(leaves), func() blockFunc {
		return func(begin, end int) error {
			at := base + begin/merkle.Block // leafBlock is a multiple of it
			merkle.Blocks(dst[at:at], leaves[begin:end])
			return nil
		}
	})
	return dst[:base+int(merkle.NumBlocks(uint64(len(leaves))))]
}

// blockFunc works on elements [begin, end).
type blockFunc func(begin, end int) error

// inBlocks works on the blocks of leafBlock that [0, n) consists of, on all
// processors, each with a worker of its own, and returns the error of the first
// block that had one.
func inBlocks(n int, worker func() blockFunc) error {
	blocks := (n + leafBlock - 1) / leafBlock
	if blocks <= 1 {
		return worker()(0, n)
	}
	var next atomic.Int64
	errs := make([]error, blocks)
	var wg sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), blocks) {
		wg.Go(func() {
			do := worker()
			for i := int(next.Add(1)) - 1; i < blocks; i = int(next.Add(1)) - 1 {
				errs[i] = do(i*leafBlock, min((i+1)*leafBlock, n))
			}
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// rowScratch holds rows side by side between encoding and hashing.
type rowScratch struct {
	data  []byte
	ends  [sideBySide]int
	salts [sideBySide * saltSize]byte
}

// hash hashes records [begin, end). It is the one place where rows become hashes.
func (s *rowScratch) hash(dst [][32]byte, b *flow.Batch, key SaltKey, begin, end int) error {
	var err error
	rows := min(sideBySide, end-begin)
	data, ends := slices.Grow(s.data[:0], rows*256), s.ends[:0] // enough for most rows
	salts, stream := s.salts[:rows*saltSize], key.stream(uint64(begin))
	defer func() { s.data = data }()
	for ; begin < end; begin += len(ends) {
		data, ends = data[:0], ends[:0]
		clear(salts)
		stream.XORKeyStream(salts, salts)
		for i := range min(rows, end-begin) {
			row := len(data)
			if data, err = AppendRow(data, b, begin+i); err != nil {
				return err
			}
			data = append(data, salts[i*saltSize:(i+1)*saltSize]...)
			data = lanes.Pad(data, row)
			ends = append(ends, len(data))
		}
		lanes.Best().Sum(dst[begin:begin+len(ends)], data, ends)
	}
	return nil
}
