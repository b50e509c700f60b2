package storage

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"

	"github.com/ClickHouse/clickhouse-go/v2"

	"tidemark/collector/flow"
	"tidemark/storage/schema"
)

// Table is a table of flow records.
type Table string

const (
	Flows      Table = "flows"
	Quarantine Table = "flows_quarantine"
)

// Bounds on what a database may make us read: it may have been tampered with.
const (
	maxBatchRows  = 1 << 24
	maxBlockItems = 1 << 24 // keys or values of the extensions of one block
	maxValue      = 1 << 20 // octets of one extension
)

// PositionError says that the rows of a batch are not at positions 0, 1, 2 and
// so on: one is missing, doubled or out of place. Reading again does not help.
type PositionError struct {
	Positions []uint32 // of the rows that are there, ascending
	First     int      // the first of them that is not in its place
	Want      uint64   // the position it should have
}

func (e *PositionError) Error() string {
	return fmt.Sprintf("got position %d, want %d: a row is missing, doubled or out of place", e.Positions[e.First], e.Want)
}

// ReadFlows replaces the contents of dst by the records of one batch, ordered by
// position; enrichment columns are zero. A batch that is not there has no rows.
// After a *PositionError dst holds the rows that are there.
func (db *DB) ReadFlows(ctx context.Context, log, index uint64, dst *flow.Batch) error {
	return db.ReadFlowsFrom(ctx, Flows, log, index, dst)
}

// ReadFlowsFrom is ReadFlows on either table.
func (db *DB) ReadFlowsFrom(ctx context.Context, table Table, log, index uint64, dst *flow.Batch) error {
	return db.ReadFlowsRange(ctx, table, log, index, 0, math.MaxUint64, dst)
}

// ReadFlowsRange is ReadFlowsFrom of the rows at positions [begin, end).
func (db *DB) ReadFlowsRange(ctx context.Context, table Table, log, index, begin, end uint64, dst *flow.Batch) error {
	dst.Reset()
	err := db.readFlows(ctx, schema.ReadFlows, recordColumns(), table, log, index, begin, end, dst)
	for _, c := range enrichmentColumns() {
		c.grow(dst, dst.Len())
	}
	if err != nil {
		return fmt.Errorf("read batch %d of log %016x from %s: %w", index, log, table, err)
	}
	return nil
}

// ReadEnriched is ReadFlows with the enrichment that was stored with the records.
func (db *DB) ReadEnriched(ctx context.Context, log, index uint64, dst *flow.Batch) error {
	dst.Reset()
	columns := append(recordColumns(), enrichmentColumns()...)
	if err := db.readFlows(ctx, schema.ReadEnriched, columns, Flows, log, index, 0, math.MaxUint64, dst); err != nil {
		return fmt.Errorf("read batch %d of log %016x with its enrichment: %w", index, log, err)
	}
	return nil
}

func (db *DB) readFlows(ctx context.Context, statement string, columns []column, table Table, log, index, begin, end uint64, dst *flow.Batch) (err error) {
	body, err := db.queryFlows(ctx, statement, table, log, index, begin, end)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, body.Close()) }()
	r := db.readers.Get().(*blockReader)
	r.reset(body)
	defer func() { r.reset(nil); db.readers.Put(r) }()
	for !r.end() {
		r.flows(columns, dst)
	}
	if r.err != nil {
		return r.err
	}
	dst.ExportTime = slices.Grow(dst.ExportTime, dst.Len())[:dst.Len()]
	clear(dst.ExportTime)
	return r.checkPositions(begin)
}

// queryFlows returns the answer to one of the statements that read a batch.
func (db *DB) queryFlows(ctx context.Context, statement string, table Table, log, index, begin, end uint64) (io.ReadCloser, error) {
	ctx = clickhouse.Context(ctx, clickhouse.WithParameters(clickhouse.Parameters{
		"table": string(table), "log": fmt.Sprint(log), "batch_index": fmt.Sprint(index), "begin": fmt.Sprint(begin), "end": fmt.Sprint(end),
	}))
	return db.conn.QueryFormat(ctx, "Native", statement)
}

// blockReader reads Native blocks. Its first error sticks.
type blockReader struct {
	r   *bufio.Reader
	err error
	pos []uint32 // of all rows read
}

func newBlockReader() any { return &blockReader{r: bufio.NewReaderSize(nil, 1<<20)} }

func (r *blockReader) reset(body io.Reader) {
	r.r.Reset(body)
	r.err, r.pos = nil, r.pos[:0]
}

// checkPositions is called when all has been read: a stream that broke off must
// not pass for rows out of place.
func (r *blockReader) checkPositions(begin uint64) error {
	for i, pos := range r.pos {
		if want := begin + uint64(i); uint64(pos) != want {
			return &PositionError{Positions: slices.Clone(r.pos), First: i, Want: want}
		}
	}
	return nil
}

func (r *blockReader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf(format, args...)
	}
}

// end reports whether no block follows.
func (r *blockReader) end() bool {
	if r.err != nil {
		return true
	}
	_, err := r.r.Peek(1)
	if err != nil && err != io.EOF {
		r.err = err
	}
	return err != nil
}

func (r *blockReader) uvarint() uint64 {
	if r.err != nil {
		return 0
	}
	v, err := binary.ReadUvarint(r.r)
	r.broken(err)
	return v
}

// broken notes an error in the middle of a block.
func (r *blockReader) broken(err error) {
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	if r.err == nil && err != nil {
		r.err = fmt.Errorf("block: %w", err)
	}
}

// appendString appends a string of at most maxLen octets to dst.
func (r *blockReader) appendString(dst []byte, maxLen uint64) []byte {
	n := r.uvarint()
	if n > maxLen {
		r.fail("block: string of %d octets, want at most %d", n, maxLen)
	}
	if r.err != nil {
		return dst
	}
	begin := len(dst)
	dst = slices.Grow(dst, int(n))[:begin+int(n)]
	_, err := io.ReadFull(r.r, dst[begin:])
	r.broken(err)
	return dst
}

// readWords fills s.
func readWords[T word](r *blockReader, s []T) {
	if r.err == nil {
		r.broken(readWire(r.r, s))
	}
}

// header reads the name and type of a column and checks them.
func (r *blockReader) header(name, typ string) {
	const longest = 1 << 12
	gotName := string(r.appendString(nil, longest))
	gotType := string(r.appendString(nil, longest))
	if r.err == nil && (gotName != name || gotType != typ) {
		r.fail("block: got column %s %s, want %s %s", gotName, gotType, name, typ)
	}
}

// flows reads a block of pos and the record columns and appends it to dst.
func (r *blockReader) flows(columns []column, dst *flow.Batch) {
	if n := r.uvarint(); r.err == nil && n != uint64(1+len(columns)) {
		r.fail("block: got %d columns, want %d", n, 1+len(columns))
	}
	n := r.uvarint()
	before := dst.Len()
	if n > uint64(maxBatchRows-before) {
		r.fail("block: more than %d rows in one batch", maxBatchRows)
	}
	if r.err != nil {
		return
	}
	rows := int(n)
	r.header("pos", "UInt32")
	r.pos = slices.Grow(r.pos, rows)[:before+rows]
	readWords(r, r.pos[before:])
	for _, c := range columns {
		r.header(c.name, c.typ)
		if r.err != nil {
			return
		}
		c.read(r, dst, rows)
	}
}

// readExtensions appends the extensions of a block. Ends count from the start
// of the block on the wire and from the start of the batch in dst.
func readExtensions(r *blockReader, b *flow.Batch, rows int) {
	x := &b.Ext
	keys := r.appendEnds(&x.Ends, rows, len(x.Keys))
	base := len(x.Keys)
	x.Keys = slices.Grow(x.Keys, keys)[:base+keys]
	readWords(r, x.Keys[base:])
	values := r.appendEnds(&x.ValueEnds, keys, len(x.DataEnds))
	for values > 0 && r.err == nil {
		values -= r.buffered(x, values)
		if values > 0 { // one that is not whole in the buffer
			x.Data = r.appendString(x.Data, maxValue)
			x.DataEnds = append(x.DataEnds, uint64(len(x.Data)))
			values--
		}
	}
}

// buffered appends the values, n at most, that are whole in the buffer, and
// returns how many.
func (r *blockReader) buffered(x *flow.Extensions, n int) (read int) {
	window, _ := r.r.Peek(r.r.Buffered())
	at := uint64(0)
	for ; read < n; read++ {
		length, size := binary.Uvarint(window[at:])
		begin := at + uint64(size)
		if size <= 0 || length > maxValue || begin+length > uint64(len(window)) {
			break
		}
		at = begin + length
		x.Data = append(x.Data, window[begin:at]...)
		x.DataEnds = append(x.DataEnds, uint64(len(x.Data)))
	}
	_, _ = r.r.Discard(int(at)) // it is in the buffer
	return read
}

// appendEnds appends n ends, shifted by base, and returns how many items of the
// block they span.
func (r *blockReader) appendEnds(ends *[]uint64, n, base int) int {
	if r.err != nil {
		return 0
	}
	begin := len(*ends)
	*ends = slices.Grow(*ends, n)[:begin+n]
	fresh := (*ends)[begin:]
	readWords(r, fresh)
	last := uint64(0)
	for i, end := range fresh {
		if end < last || end > maxBlockItems {
			r.fail("block: ends of arrays do not ascend: %d after %d", end, last)
			return 0
		}
		last = end
		fresh[i] = end + uint64(base)
	}
	return int(last)
}
