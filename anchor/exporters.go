package anchor

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"tidemark/collector/flow"
)

const (
	tableHead  = 8
	tableEntry = 64
	// MaxExporters bounds the rows of an exporter table: 4 MiB, the most that the
	// collector accounts for and, for each protocol, those beyond.
	MaxExporters = 65_536 + 32
)

// ErrExporterTable is the class of all faults of an exporter table.
var ErrExporterTable = errors.New("invalid exporter table")

// AppendExporterTable appends the canonical form of counts, leaf kind 0x03:
// type, version, u16 zero, u32 number of rows, then per row exporter (16),
// domain u32, protocol u8, unit u8, u16 zero, first and last sequence number
// u32, expected, received, undecodable, shed u64. Rows ascend by (exporter,
// domain, protocol); counts need not. counts is left as it was.
func AppendExporterTable(dst []byte, counts []flow.ExporterCount) ([]byte, error) {
	if len(counts) > MaxExporters {
		return dst, fmt.Errorf("%w: %d rows, want at most %d", ErrExporterTable, len(counts), MaxExporters)
	}
	sorted := slices.SortedFunc(slices.Values(counts), compareCounts)
	be := binary.BigEndian
	base := len(dst)
	dst = append(dst, typeExporterTable, encodingVersion, 0, 0)
	dst = be.AppendUint32(dst, uint32(len(sorted)))
	for i := range sorted {
		c := &sorted[i]
		if err := checkCount(sorted, i); err != nil {
			return dst[:base], err
		}
		dst = append(dst, c.Exporter[:]...)
		dst = be.AppendUint32(dst, c.Domain)
		dst = append(dst, byte(c.Protocol), byte(c.Unit), 0, 0)
		dst = be.AppendUint32(dst, c.FirstSeq)
		dst = be.AppendUint32(dst, c.LastSeq)
		dst = be.AppendUint64(dst, c.Expected)
		dst = be.AppendUint64(dst, c.Received)
		dst = be.AppendUint64(dst, c.Undecodable)
		dst = be.AppendUint64(dst, c.Shed)
	}
	return dst, nil
}

// ParseExporterTable reads what AppendExporterTable wrote and refuses
// everything else.
func ParseExporterTable(p []byte) ([]flow.ExporterCount, error) {
	be := binary.BigEndian
	if len(p) < tableHead || !bytes.Equal(p[:4], []byte{typeExporterTable, encodingVersion, 0, 0}) {
		return nil, fmt.Errorf("%w: wrong first octets", ErrExporterTable)
	}
	if n := uint64(be.Uint32(p[4:])); n > MaxExporters || uint64(len(p)) != tableHead+n*tableEntry {
		return nil, fmt.Errorf("%w: %d octets for %d rows", ErrExporterTable, len(p), n)
	}
	counts := make([]flow.ExporterCount, 0, len(p)/tableEntry)
	for p = p[tableHead:]; len(p) > 0; p = p[tableEntry:] {
		if p[22] != 0 || p[23] != 0 {
			return nil, fmt.Errorf("%w: row %d: reserved octets are not zero", ErrExporterTable, len(counts))
		}
		counts = append(counts, flow.ExporterCount{
			Exporter:    [16]byte(p),
			Domain:      be.Uint32(p[16:]),
			Protocol:    flow.Protocol(p[20]),
			Unit:        flow.Unit(p[21]),
			FirstSeq:    be.Uint32(p[24:]),
			LastSeq:     be.Uint32(p[28:]),
			Expected:    be.Uint64(p[32:]),
			Received:    be.Uint64(p[40:]),
			Undecodable: be.Uint64(p[48:]),
			Shed:        be.Uint64(p[56:]),
		})
		if err := checkCount(counts, len(counts)-1); err != nil {
			return nil, err
		}
	}
	return counts, nil
}

// ExporterTableHash is SHA-256(0x00 || table).
func ExporterTableHash(table []byte) [32]byte {
	return sha256.Sum256(append([]byte{0}, table...))
}

func compareCounts(a, b flow.ExporterCount) int {
	return cmp.Or(bytes.Compare(a.Exporter[:], b.Exporter[:]), cmp.Compare(a.Domain, b.Domain), cmp.Compare(a.Protocol, b.Protocol))
}

// checkCount checks row i of a table and its place behind row i-1.
func checkCount(counts []flow.ExporterCount, i int) error {
	c := &counts[i]
	switch {
	case c.Protocol > 31:
		return fmt.Errorf("%w: row %d: protocol %d, want at most 31", ErrExporterTable, i, c.Protocol)
	case c.Unit > flow.Samples:
		return fmt.Errorf("%w: row %d: unit %d, want at most %d", ErrExporterTable, i, c.Unit, flow.Samples)
	case c.Protocol == 0 && (c.Domain != 0 || c.Unit != flow.Datagrams):
		return fmt.Errorf("%w: row %d: protocol 0 has no domain and counts datagrams", ErrExporterTable, i)
	case i > 0 && compareCounts(counts[i-1], *c) >= 0:
		return fmt.Errorf("%w: row %d: does not ascend by (exporter, domain, protocol)", ErrExporterTable, i)
	}
	return nil
}
