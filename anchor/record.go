package anchor

import (
	"encoding/binary"
	"errors"
	"fmt"

	"tidemark/anchor/merkle"
)

// Kinds of spool records.
const (
	recordFlows  = 1 // block: rows of flows
	recordEvents = 2 // block: rows of events
	recordEmpty  = 3 // no block
)

const (
	metaVersion = 2
	metaHead    = 4 + HeaderSize + saltSize + 4
)

// ErrRecord is a spool record that cannot be read.
var ErrRecord = errors.New("invalid spool record")

// sealed is what the spool keeps of a batch beside its rows: all that the log
// needs of it. The header is final: committing a batch, however often it is
// begun anew, writes the same octets.
type sealed struct {
	header Header
	key    SaltKey
	table  []byte        // canonical exporter table, nil for events
	nodes  []merkle.Hash // level-8 nodes over the leaves
}

// append appends version, three zero octets, header, salt key, u32 length of
// the exporter table, exporter table, nodes.
func (s *sealed) append(dst []byte) []byte {
	dst = append(dst, metaVersion, 0, 0, 0)
	dst = s.header.Append(dst)
	dst = append(dst, s.key[:]...)
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(s.table)))
	dst = append(dst, s.table...)
	return appendNodeHashes(dst, s.nodes)
}

func appendNodeHashes(dst []byte, nodes []merkle.Hash) []byte {
	for i := range nodes {
		dst = append(dst, nodes[i][:]...)
	}
	return dst
}

// parseNodes reads the nodes over the leaves of h.
func parseNodes(p []byte, h *Header) ([]merkle.Hash, error) {
	nodes := make([]merkle.Hash, merkle.NumBlocks(h.Rows))
	if len(p) != len(nodes)*32 {
		return nil, fmt.Errorf("%d octets of nodes, want %d", len(p), len(nodes)*32)
	}
	for n := range nodes {
		nodes[n] = merkle.Hash(p[n*32:])
	}
	if root := merkle.Root(nodes); root != h.RowRoot {
		return nil, fmt.Errorf("root of the nodes is %x, want %x", root, h.RowRoot)
	}
	return nodes, nil
}

// parseSealed reads what append wrote for the record (index, kind).
func parseSealed(index uint64, kind uint8, p []byte) (*sealed, error) {
	bad := func(format string, args ...any) (*sealed, error) {
		return nil, fmt.Errorf("%w of batch %d: %w", ErrRecord, index, fmt.Errorf(format, args...))
	}
	if len(p) < metaHead || p[0] != metaVersion || p[1]|p[2]|p[3] != 0 {
		return bad("%d octets, want version %d and at least %d octets", len(p), metaVersion, metaHead)
	}
	h, err := ParseHeader(p[4 : 4+HeaderSize])
	if err != nil {
		return bad("%w", err)
	}
	rest, length := p[metaHead:], uint64(binary.BigEndian.Uint32(p[metaHead-4:]))
	if uint64(len(rest)) < length {
		return bad("exporter table of %d octets in a record of %d", length, len(p))
	}
	nodes, err := parseNodes(rest[length:], &h)
	if err != nil {
		return bad("%w", err)
	}
	s := &sealed{header: h, key: SaltKey(p[4+HeaderSize:]), table: rest[:length:length], nodes: nodes}
	want := uint8(recordFlows)
	switch {
	case h.Flags&Events != 0:
		want = recordEvents
	case h.Flags&Empty != 0:
		want = recordEmpty
	}
	switch {
	case h.Index != index:
		return bad("header is of batch %d", h.Index)
	case kind != want:
		return bad("kind %d, want %d for flags %v", kind, want, h.Flags)
	case want == recordEvents && len(s.table) != 0:
		return bad("events with an exporter table")
	case want == recordEvents:
		s.table = nil
	case ExporterTableHash(s.table) != h.ExporterTable:
		return bad("exporter table is not that of the header")
	}
	return s, nil
}
