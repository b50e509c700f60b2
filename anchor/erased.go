package anchor

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"tidemark/anchor/merkle"
)

// ErasureEvent is the kind of the event that announces that leaves of a batch,
// its fields "batch" and "positions", will be erased for good. Their hashes stay,
// with the salts of the others: the rest of the batch still verifies.
const ErasureEvent = "erasure"

const erasedDir = "erased" // one file per batch of which something was erased

var erasedMagic = []byte("TDMERASE")

const (
	erasedVersion = 1
	erasedHead    = 8 + 2 + 2 + 4 + 3*8 + 8
)

// erasedLeaves is what is kept of a batch when its salt key is destroyed: the
// hashes of the leaves that were erased and the salts of those that were not.
// Without the salt of a leaf its hash tells nothing of what it was.
type erasedLeaves struct {
	index        uint64
	nodes, table uint64 // as in location: all of it that is no secret
	positions    []uint32
	hashes       []merkle.Hash // of the leaves at positions
	salts        []byte        // of all leaves, zeros at positions
	started      bool          // an erasure goes on: what was erased may still be there
}

func (e *erasedLeaves) rows() uint64 { return uint64(len(e.salts) / saltSize) }

func (e *erasedLeaves) has(pos uint32) bool {
	_, ok := slices.BinarySearch(e.positions, pos)
	return ok
}

// within is the number of erased leaves in [begin, end).
func (e *erasedLeaves) within(begin, end uint64) uint64 {
	if e == nil {
		return 0
	}
	first, _ := slices.BinarySearch(e.positions, uint32(begin))
	n := first
	for n < len(e.positions) && uint64(e.positions[n]) < end {
		n++
	}
	return uint64(n - first)
}

// digest is what an erasure event says of the leaves at positions: SHA-256 over
// their hashes in order.
func (e *erasedLeaves) digest(positions []uint32) (sum [32]byte, ok bool) {
	h := sha256.New()
	for _, pos := range positions {
		i, found := slices.BinarySearch(e.positions, pos)
		if !found {
			return sum, false
		}
		h.Write(e.hashes[i][:])
	}
	return [32]byte(h.Sum(nil)), true
}

// append appends magic, version u16, 0 u16, number of erased leaves u32, index,
// nodes, table and number of leaves u64, the erased leaves as (position u32, hash), the
// salts, and SHA-256 of it all.
func (e *erasedLeaves) append(dst []byte) []byte {
	base, be := len(dst), binary.BigEndian
	dst = append(dst, erasedMagic...)
	dst = be.AppendUint16(dst, erasedVersion)
	dst = be.AppendUint16(dst, 0)
	dst = be.AppendUint32(dst, uint32(len(e.positions)))
	for _, v := range []uint64{e.index, e.nodes, e.table, e.rows()} {
		dst = be.AppendUint64(dst, v)
	}
	for i, pos := range e.positions {
		dst = append(be.AppendUint32(dst, pos), e.hashes[i][:]...)
	}
	dst = append(dst, e.salts...)
	sum := sha256.Sum256(dst[base:])
	return append(dst, sum[:]...)
}

func parseErased(p []byte, index uint64) (*erasedLeaves, error) {
	be := binary.BigEndian
	if len(p) < erasedHead+32 || !bytes.Equal(p[:8], erasedMagic) || be.Uint16(p[8:]) != erasedVersion {
		return nil, fmt.Errorf("no erasure record of version %d", erasedVersion)
	}
	if sum := sha256.Sum256(p[:len(p)-32]); !bytes.Equal(sum[:], p[len(p)-32:]) {
		return nil, errors.New("checksum is wrong")
	}
	n, rows := uint64(be.Uint32(p[12:])), be.Uint64(p[40:])
	e := &erasedLeaves{index: be.Uint64(p[16:]), nodes: be.Uint64(p[24:]), table: be.Uint64(p[32:])}
	if e.index != index || rows > MaxRows || n > rows || uint64(len(p)) != erasedHead+n*36+rows*saltSize+32 {
		return nil, fmt.Errorf("is of batch %d, %d of %d leaves, %d octets", e.index, n, rows, len(p))
	}
	for i := range n {
		at := p[erasedHead+i*36:]
		pos := be.Uint32(at)
		if uint64(pos) >= rows || i > 0 && pos <= e.positions[i-1] {
			return nil, fmt.Errorf("position %d out of order", pos)
		}
		e.positions, e.hashes = append(e.positions, pos), append(e.hashes, merkle.Hash(at[4:]))
	}
	e.salts = bytes.Clone(p[erasedHead+n*36 : len(p)-32])
	return e, nil
}

func erasedPath(dir string, index uint64) string {
	return filepath.Join(dir, erasedDir, fmt.Sprintf("%020d", index))
}

// readErased reads what is kept of a batch after an erasure, nil if nothing of it
// was erased.
func readErased(dir string, index uint64) (*erasedLeaves, error) {
	p, err := os.ReadFile(erasedPath(dir, index))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var e *erasedLeaves
	if err == nil {
		e, err = parseErased(p, index)
	}
	if err != nil {
		return nil, fmt.Errorf("read erasure record of batch %d: %w", index, err)
	}
	return e, nil
}

// secrets are what the leaves of a batch are hashed with: a salt key, or, after
// an erasure, what that left of it.
type secrets struct {
	key    SaltKey
	erased *erasedLeaves // nil: nothing of the batch was erased
}

func (s *secrets) salt(pos uint64) [16]byte {
	if s.erased != nil {
		return [16]byte(s.erased.salts[pos*saltSize:])
	}
	return s.key.Salt(pos)
}

// fill sets the hashes of erased leaves in leaves, which begin at position begin.
func (s *secrets) fill(leaves []merkle.Hash, begin uint64) {
	if s.erased == nil {
		return
	}
	for i, pos := range s.erased.positions {
		if at := uint64(pos); at >= begin && at < begin+uint64(len(leaves)) {
			leaves[at-begin] = s.erased.hashes[i]
		}
	}
}

// secretsOf returns what the leaves of h are hashed with.
func (r *Reader) secretsOf(h *Header, key SaltKey) (*secrets, error) {
	erased, err := readErased(r.dir, h.Index)
	if err != nil {
		return nil, err
	}
	if erased != nil && erased.rows() != h.Rows {
		return nil, fmt.Errorf("read erasure record of batch %d: it is of %d leaves, the batch has %d", h.Index, erased.rows(), h.Rows)
	}
	if erased == nil && key == (SaltKey{}) {
		return nil, fmt.Errorf("the salt key of batch %d was destroyed by an erasure, and its erasure record is missing", h.Index)
	}
	if erased != nil {
		erased.started = erasureStarted(r.dir)
	}
	return &secrets{key, erased}, nil
}

// spellPositions writes ascending positions as "0,5-9".
func spellPositions(positions []uint32) string {
	var b strings.Builder
	for i := 0; i < len(positions); {
		end := i + 1
		for end < len(positions) && positions[end] == positions[end-1]+1 {
			end++
		}
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(strconv.FormatUint(uint64(positions[i]), 10))
		if end > i+1 {
			b.WriteByte('-')
			b.WriteString(strconv.FormatUint(uint64(positions[end-1]), 10))
		}
		i = end
	}
	return b.String()
}

// parsePositions reads what spellPositions wrote for a batch of rows leaves.
func parsePositions(s string, rows uint64) ([]uint32, error) {
	var out []uint32
	for part := range strings.SplitSeq(s, ",") {
		first, last, isRun := strings.Cut(part, "-")
		if !isRun {
			last = first
		}
		a, errA := strconv.ParseUint(first, 10, 32)
		b, errB := strconv.ParseUint(last, 10, 32)
		if errA != nil || errB != nil || b < a || b >= rows || len(out) > 0 && a <= uint64(out[len(out)-1]) {
			return nil, fmt.Errorf("positions %.40q: want such as \"0,5-9\", ascending and below %d", s, rows)
		}
		for pos := a; pos <= b; pos++ {
			out = append(out, uint32(pos))
		}
	}
	if spellPositions(out) != s {
		return nil, fmt.Errorf("positions %.40q are not in their one form", s)
	}
	return out, nil
}
