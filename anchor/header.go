package anchor

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
)

// HeaderSize is the length of a header in octets.
const HeaderSize = 256

// MaxRows bounds the leaves of one batch.
const MaxRows = 262_144

// Flags of a header.
type Flags uint32

const (
	Salted    Flags = 1 << iota // leaves carry a salt; always set by this version
	Empty                       // no leaf: the collector was there and saw nothing
	Restart                     // first batch of a process: counts of exporters begin again
	ClockStep                   // this machine's clock was set since the batch before
	Events                      // leaves are events, not rows
	allFlags  = Salted | Empty | Restart | ClockStep | Events
)

func (f Flags) String() string {
	var names []string
	for i, name := range []string{"salted", "empty", "restart", "clock-step", "events"} {
		if f&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return strings.Join(names, ",")
}

// Header is one batch of the log. Its 256 octets are a leaf of the log's tree.
// Times are nanoseconds since 1970 UTC.
type Header struct {
	SchemaID       uint16
	Flags          Flags
	LogID          [32]byte
	Index          uint64 // of the batch, and of the leaf in the log
	FirstSeq       uint64 // leaves in all batches before
	Rows           uint64 // leaves of this batch
	MinReceived    int64  // of the rows; events: of their times; 0 without leaves
	MaxReceived    int64
	Sealed         int64    // max(clock, Sealed of the batch before)
	EthBlockNumber uint64   // a finalized block seen before sealing
	EthBlockHash   [32]byte // zero: none was ever seen
	RowRoot        [32]byte // root hash of the leaves, RFC 9162, Section 2.1.1
	ExporterTable  [32]byte // zero: events
	PrevLeaf       [32]byte // zero: index 0
	SchemaHash     [32]byte
}

// ErrHeader is the class of all faults of a header by itself.
var ErrHeader = errors.New("invalid header")

// emptyRoot is MTH({}), RFC 9162, Section 2.1.1.
func emptyRoot() [32]byte { return sha256.Sum256(nil) }

// Append appends the 256 octets of the header to dst.
func (h *Header) Append(dst []byte) []byte {
	be := binary.BigEndian
	dst = append(dst, typeHeader, encodingVersion)
	dst = be.AppendUint16(dst, h.SchemaID)
	dst = be.AppendUint32(dst, uint32(h.Flags))
	dst = append(dst, h.LogID[:]...)
	dst = be.AppendUint64(dst, h.Index)
	dst = be.AppendUint64(dst, h.FirstSeq)
	dst = be.AppendUint64(dst, h.Rows)
	dst = be.AppendUint64(dst, uint64(h.MinReceived))
	dst = be.AppendUint64(dst, uint64(h.MaxReceived))
	dst = be.AppendUint64(dst, uint64(h.Sealed))
	dst = be.AppendUint64(dst, h.EthBlockNumber)
	dst = append(dst, h.EthBlockHash[:]...)
	dst = append(dst, h.RowRoot[:]...)
	dst = append(dst, h.ExporterTable[:]...)
	dst = append(dst, h.PrevLeaf[:]...)
	return append(dst, h.SchemaHash[:]...)
}

// ParseHeader reads the 256 octets of a header and refuses one that breaks a
// rule it can be held to alone (see Validate).
func ParseHeader(p []byte) (Header, error) {
	if len(p) != HeaderSize {
		return Header{}, fmt.Errorf("%w: %d octets, want %d", ErrHeader, len(p), HeaderSize)
	}
	if p[0] != typeHeader || p[1] != encodingVersion {
		return Header{}, fmt.Errorf("%w: type %#02x version %d, want type %#02x version %d", ErrHeader, p[0], p[1], typeHeader, encodingVersion)
	}
	be := binary.BigEndian
	h := Header{
		SchemaID:       be.Uint16(p[2:]),
		Flags:          Flags(be.Uint32(p[4:])),
		LogID:          [32]byte(p[8:]),
		Index:          be.Uint64(p[40:]),
		FirstSeq:       be.Uint64(p[48:]),
		Rows:           be.Uint64(p[56:]),
		MinReceived:    int64(be.Uint64(p[64:])),
		MaxReceived:    int64(be.Uint64(p[72:])),
		Sealed:         int64(be.Uint64(p[80:])),
		EthBlockNumber: be.Uint64(p[88:]),
		EthBlockHash:   [32]byte(p[96:]),
		RowRoot:        [32]byte(p[128:]),
		ExporterTable:  [32]byte(p[160:]),
		PrevLeaf:       [32]byte(p[192:]),
		SchemaHash:     [32]byte(p[224:]),
	}
	return h, h.Validate()
}

// Validate checks what a header says against itself.
func (h *Header) Validate() error {
	zero := [32]byte{}
	bad := func(format string, args ...any) error {
		return fmt.Errorf("%w %d: %s", ErrHeader, h.Index, fmt.Sprintf(format, args...))
	}
	switch {
	case h.SchemaID != SchemaID:
		return bad("schema %d, want %d: written by a newer version?", h.SchemaID, SchemaID)
	case h.Flags&^allFlags != 0:
		return bad("unknown flags %#x", uint32(h.Flags&^allFlags))
	case h.Flags&Salted == 0:
		return bad("leaves without salt are not read by this version")
	case (h.Flags&Empty != 0) != (h.Rows == 0):
		return bad("flags %v, but %d rows", h.Flags, h.Rows)
	case h.Flags&Empty != 0 && h.Flags&Events != 0:
		return bad("flags %v: events cannot be empty", h.Flags)
	case h.Rows > MaxRows:
		return bad("%d rows, want at most %d", h.Rows, MaxRows)
	case h.FirstSeq+h.Rows < h.FirstSeq:
		return bad("first sequence number %d overflows", h.FirstSeq)
	case h.Rows == 0 && h.RowRoot != emptyRoot():
		return bad("no rows, but root %x", h.RowRoot)
	case h.Rows == 0 && (h.MinReceived != 0 || h.MaxReceived != 0):
		return bad("no rows, but times of receipt")
	case h.MinReceived > h.MaxReceived:
		return bad("received from %d to %d", h.MinReceived, h.MaxReceived)
	case (h.ExporterTable == zero) != (h.Flags&Events != 0):
		return bad("flags %v, but exporter table %x", h.Flags, h.ExporterTable)
	case h.EthBlockHash == zero && h.EthBlockNumber != 0:
		return bad("Ethereum block %d without hash", h.EthBlockNumber)
	case h.Index == 0 && (h.FirstSeq != 0 || h.PrevLeaf != zero || h.Flags&Events == 0):
		return bad("is not a genesis")
	case h.Index != 0 && h.PrevLeaf == zero:
		return bad("names no header before it")
	}
	return nil
}

// Leaf is the header's leaf hash in the log, SHA-256(0x00 || header).
func (h *Header) Leaf() [32]byte {
	var buf [1 + HeaderSize]byte
	return sha256.Sum256(h.Append(buf[:1]))
}

// LogID names a log by its origin and key: SHA-256("tidemark/v1\n" || origin ||
// "\n" || public key). It is independent of any chain.
func LogID(origin string, key ed25519.PublicKey) [32]byte {
	return sha256.Sum256(append([]byte("tidemark/v1\n"+origin+"\n"), key...))
}

// ErrChain is a header that does not continue the one before it; ErrTimeClaim
// one that does, but claims a time that cannot be.
var (
	ErrChain     = errors.New("header does not continue the log")
	ErrTimeClaim = errors.New("header claims an impossible time")
)

// CheckSuccessor checks that next may stand behind prev in one log. Faults of
// sequence are ErrChain, faults of a claimed time ErrTimeClaim.
func CheckSuccessor(prev, next *Header) error {
	broken := func(class error, what string, got, want any) error {
		return fmt.Errorf("%w: header %d: %s: got %v, want %v", class, next.Index, what, got, want)
	}
	leaf := prev.Leaf()
	switch {
	case next.LogID != prev.LogID:
		return broken(ErrChain, "log id", fmt.Sprintf("%x", next.LogID), fmt.Sprintf("%x", prev.LogID))
	case next.Index != prev.Index+1:
		return broken(ErrChain, "index", next.Index, prev.Index+1)
	case next.FirstSeq != prev.FirstSeq+prev.Rows:
		return broken(ErrChain, "first sequence number", next.FirstSeq, prev.FirstSeq+prev.Rows)
	case next.PrevLeaf != leaf:
		return broken(ErrChain, "leaf hash of the header before", fmt.Sprintf("%x", next.PrevLeaf), fmt.Sprintf("%x", leaf))
	case next.SchemaID < prev.SchemaID:
		return broken(ErrChain, "schema", next.SchemaID, fmt.Sprintf("at least %d", prev.SchemaID))
	case next.SchemaID == prev.SchemaID && next.SchemaHash != prev.SchemaHash:
		return broken(ErrChain, "schema hash", fmt.Sprintf("%x", next.SchemaHash), fmt.Sprintf("%x", prev.SchemaHash))
	case next.Sealed < prev.Sealed:
		return broken(ErrTimeClaim, "sealed", next.Sealed, fmt.Sprintf("at least %d", prev.Sealed))
	case next.EthBlockNumber < prev.EthBlockNumber:
		return broken(ErrTimeClaim, "Ethereum block", next.EthBlockNumber, fmt.Sprintf("at least %d", prev.EthBlockNumber))
	case next.EthBlockNumber == prev.EthBlockNumber && prev.EthBlockHash != [32]byte{} && next.EthBlockHash != prev.EthBlockHash:
		return broken(ErrTimeClaim, "Ethereum block hash", fmt.Sprintf("%x", next.EthBlockHash), fmt.Sprintf("%x", prev.EthBlockHash))
	}
	return nil
}
