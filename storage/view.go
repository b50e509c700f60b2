package storage

import (
	"encoding/binary"
	"fmt"
	"strings"
	"unsafe"

	"tidemark/collector/flow"
)

// FlowsBlock is whose rows a block of the table flows holds.
type FlowsBlock struct {
	Log   uint64
	Site  string
	Index uint64
}

// ViewFlows lays b over a block that AppendFlowsBlock has made: its columns,
// those of enrichment too, are the octets of block, without a copy. Extensions
// are left out, and so is ExportTime. b is for reading, as long as block lives.
func ViewFlows(block []byte, b *flow.Batch) (FlowsBlock, error) {
	*b = flow.Batch{}
	return viewFlows(block, b, (*blockView).passExtensions)
}

// ViewRecords is ViewFlows with the extensions, whose values are copied into the
// memory that b has for them from an earlier call.
func ViewRecords(block []byte, b *flow.Batch) (FlowsBlock, error) {
	*b = flow.Batch{Ext: flow.Extensions{DataEnds: b.Ext.DataEnds[:0], Data: b.Ext.Data[:0]}}
	return viewFlows(block, b, (*blockView).extensions)
}

func viewFlows(block []byte, b *flow.Batch, extensions func(v *blockView, b *flow.Batch, rows int)) (FlowsBlock, error) {
	v := &blockView{rest: block}
	whose, rows := v.begin()
	v.header("pos", "UInt32")
	v.take(4 * rows)
	for _, c := range append(recordColumns(), enrichmentColumns()...) {
		v.header(c.name, c.typ)
		if c.width == 0 {
			extensions(v, b, rows)
		} else {
			c.view(v, b, rows)
		}
	}
	if len(v.rest) > 0 {
		v.fail("%d octets behind the last column", len(v.rest))
	}
	if v.err != nil {
		*b = flow.Batch{}
		return FlowsBlock{}, fmt.Errorf("block of flows: %w", v.err)
	}
	return whose, nil
}

// begin takes what stands before the positions.
func (v *blockView) begin() (whose FlowsBlock, rows int) {
	want := uint64(4 + len(recordColumns()) + len(enrichmentColumns()))
	if n := v.uvarint(); n != want {
		v.fail("got %d columns, want %d", n, want)
	}
	rows = int(min(v.uvarint(), maxBatchRows+1))
	if rows > maxBatchRows {
		v.fail("more than %d rows", maxBatchRows)
		rows = 0
	}
	v.header("log", "UInt64")
	whose.Log = v.repeated(rows)
	v.header("site", "LowCardinality(String)")
	whose.Site = v.lowCardinality(rows)
	v.header("batch_index", "UInt64")
	whose.Index = v.repeated(rows)
	return whose, rows
}

// blockView is what is left of a block in memory. Its first error sticks.
type blockView struct {
	rest []byte
	err  error
}

func (v *blockView) fail(format string, args ...any) {
	if v.err == nil {
		v.err, v.rest = fmt.Errorf(format, args...), nil
	}
}

// take takes n octets, none if there are fewer.
func (v *blockView) take(n int) []byte {
	if n < 0 || n > len(v.rest) {
		v.fail("it ends before its time")
		return nil
	}
	p := v.rest[:n:n]
	v.rest = v.rest[n:]
	return p
}

func (v *blockView) uvarint() uint64 {
	n, size := binary.Uvarint(v.rest)
	if size <= 0 {
		v.fail("it ends before its time")
		return 0
	}
	v.rest = v.rest[size:]
	return n
}

func (v *blockView) text() string { return string(v.octets()) }

// header takes the name and type of a column. An Enum8 may have other names: a
// spool may hold a batch that an older program has sealed.
func (v *blockView) header(name, typ string) {
	const enum = "Enum8("
	gotName, gotType := v.text(), v.text()
	if strings.HasPrefix(gotType, enum) && strings.HasPrefix(typ, enum) {
		gotType = typ
	}
	if gotName != name || gotType != typ {
		v.fail("got column %s %s, want %s %s", gotName, gotType, name, typ)
	}
}

// repeated is the value of a UInt64 column that holds one.
func (v *blockView) repeated(rows int) uint64 {
	p := v.take(8 * rows)
	if len(p) < 8 {
		return 0
	}
	return binary.LittleEndian.Uint64(p)
}

// lowCardinality is the value of a column that appendLowCardinality made.
func (v *blockView) lowCardinality(rows int) string {
	v.take(8)
	if rows == 0 {
		return ""
	}
	v.take(8)
	if p := v.take(8); len(p) == 8 && binary.LittleEndian.Uint64(p) != 2 {
		v.fail("a site's name has %d values, want 1", binary.LittleEndian.Uint64(p)-1)
	}
	v.text()
	value := v.text()
	v.take(8 + rows)
	return value
}

// viewColumn is the next column of rows values.
func viewColumn[T word](v *blockView, rows int) []T {
	var one T
	p := v.take(rows * int(unsafe.Sizeof(one)))
	if len(p) == 0 {
		return nil
	}
	// T has no pointers, and the machines the engine exists for read words at
	// any address (see wire.go).
	return unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(p))), rows)
}

// passExtensions passes over extensions and keeps where those of each row end,
// by which a batch knows its length; the rows own none.
func (v *blockView) passExtensions(b *flow.Batch, rows int) {
	keys := lastEnd(viewColumn[uint64](v, rows))
	b.Ext.Ends = make([]uint64, rows)
	v.take(8 * keys)
	for range lastEnd(viewColumn[uint64](v, keys)) {
		if v.err != nil {
			return
		}
		v.octets()
	}
}

func (v *blockView) extensions(b *flow.Batch, rows int) {
	x := &b.Ext
	x.Ends = viewColumn[uint64](v, rows)
	x.Keys = viewColumn[uint64](v, lastEnd(x.Ends))
	x.ValueEnds = viewColumn[uint64](v, len(x.Keys))
	for range lastEnd(x.ValueEnds) {
		x.Data = append(x.Data, v.octets()...)
		x.DataEnds = append(x.DataEnds, uint64(len(x.Data)))
		if v.err != nil {
			return
		}
	}
}

// octets takes a length and as many octets.
func (v *blockView) octets() []byte {
	n := v.uvarint()
	return v.take(int(min(n, uint64(len(v.rest)+1))))
}

func lastEnd(ends []uint64) int {
	if len(ends) == 0 {
		return 0
	}
	return int(min(ends[len(ends)-1], maxBlockItems+1))
}
