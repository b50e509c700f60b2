package anchor

import (
	"encoding/binary"
)

// A native block is what ClickHouse's format Native reads: number of columns,
// number of rows, then per column name, type and data, little-endian.
type native struct {
	buf  []byte
	rows int
}

func beginNative(dst []byte, columns, rows int) *native {
	dst = binary.AppendUvarint(dst, uint64(columns))
	return &native{binary.AppendUvarint(dst, uint64(rows)), rows}
}

func (n *native) text(s []byte) {
	n.buf = binary.AppendUvarint(n.buf, uint64(len(s)))
	n.buf = append(n.buf, s...)
}

// column begins a column and appends its rows.
func (n *native) column(name, kind string, row func(dst []byte, i int) []byte) {
	n.text([]byte(name))
	n.text([]byte(kind))
	for i := range n.rows {
		n.buf = row(n.buf, i)
	}
}

func (n *native) uint64(name, kind string, value uint64) {
	n.column(name, kind, func(dst []byte, _ int) []byte { return binary.LittleEndian.AppendUint64(dst, value) })
}

// appendEventsBlock appends a block of the table events.
func appendEventsBlock(dst []byte, log, index uint64, bodies [][]byte) []byte {
	n := beginNative(dst, 4, len(bodies))
	n.uint64("log", "UInt64", log)
	n.uint64("batch_index", "UInt64", index)
	n.column("pos", "UInt32", func(dst []byte, i int) []byte { return binary.LittleEndian.AppendUint32(dst, uint32(i)) })
	n.column("body", "String", func(dst []byte, i int) []byte {
		return append(binary.AppendUvarint(dst, uint64(len(bodies[i]))), bodies[i]...)
	})
	return n.buf
}

// appendHeaderBlock appends a block of the table headers, of one row.
func appendHeaderBlock(dst []byte, log uint64, h *Header) []byte {
	const instant = "DateTime64(9, 'UTC')"
	leaf := h.Leaf()
	n := beginNative(dst, 10, 1)
	n.uint64("log", "UInt64", log)
	n.uint64("batch_index", "UInt64", h.Index)
	n.column("flags", "UInt32", func(dst []byte, _ int) []byte { return binary.LittleEndian.AppendUint32(dst, uint32(h.Flags)) })
	n.uint64("first_seq", "UInt64", h.FirstSeq)
	n.uint64("row_count", "UInt64", h.Rows)
	n.uint64("min_received", instant, uint64(h.MinReceived))
	n.uint64("max_received", instant, uint64(h.MaxReceived))
	n.uint64("sealed", instant, uint64(h.Sealed))
	n.column("row_root", "FixedString(32)", func(dst []byte, _ int) []byte { return append(dst, h.RowRoot[:]...) })
	n.column("leaf", "FixedString(32)", func(dst []byte, _ int) []byte { return append(dst, leaf[:]...) })
	return n.buf
}
