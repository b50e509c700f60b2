package storage

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2"

	"tidemark/storage/schema"
)

// HoldsFlows reports whether a table has of a batch the records that block holds,
// and no others: it reads them back and compares positions and every column of
// the record, octet by octet, with block, which AppendFlowsBlock has made.
// Enrichment is not compared. It costs a fraction of hashing the rows anew, and
// says nothing but yes or no: what differs, ReadFlows shows.
func (db *DB) HoldsFlows(ctx context.Context, table Table, log, index uint64, block []byte) (same bool, err error) {
	want, err := spansOf(block)
	if err != nil {
		return false, fmt.Errorf("compare batch %d of log %016x: %w", index, log, err)
	}
	body, err := db.queryRaw(ctx, schema.CompareFlows, url.Values{
		"param_table": {string(table)}, "param_log": {fmt.Sprint(log)}, "param_batch_index": {fmt.Sprint(index)},
	})
	if err != nil {
		return false, fmt.Errorf("compare batch %d of log %016x with %s: %w", index, log, table, err)
	}
	defer func() { err = errors.Join(err, body.Close()) }()
	r := db.readers.Get().(*blockReader)
	r.reset(body)
	defer func() { r.reset(nil); db.readers.Put(r) }()
	same = true
	for same && !r.end() {
		same = r.flowsAre(want)
	}
	if r.err != nil {
		return false, fmt.Errorf("compare batch %d of log %016x with %s: %w", index, log, table, r.err)
	}
	return same && want.at == want.rows, nil
}

// queryRaw returns the answer to a statement in format Native. Of our own engine it
// comes as it is: the driver copies all of it to look for the frame of an
// exception, which is nothing that a comparison takes for rows.
func (db *DB) queryRaw(ctx context.Context, statement string, values url.Values) (io.ReadCloser, error) {
	if db.engine == nil {
		parameters := clickhouse.Parameters{}
		for name := range values {
			parameters[strings.TrimPrefix(name, "param_")] = values.Get(name)
		}
		return db.conn.QueryFormat(clickhouse.Context(ctx, clickhouse.WithParameters(parameters)), "Native", statement)
	}
	values.Set("database", db.database)
	values.Set("default_format", "Native")
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://engine/?"+values.Encode(), strings.NewReader(statement))
	if err != nil {
		return nil, err
	}
	response, err := db.engine.RoundTrip(request)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(response.Body, 4<<10)) // what there is of it
		return nil, errors.Join(fmt.Errorf("the engine answers %s: %s", response.Status, text), response.Body.Close())
	}
	return response.Body, nil
}

// spans are the columns of the records of a block, in place, and how many of the
// rows have been met.
type spans struct {
	rows, at int
	columns  []columnSpan

	ends, keys, valueEnds []uint64 // of the extensions
	values                []byte   // of which those of row at begin here, each with its length before it
	words                 []uint64 // scratch
}

// columnSpan is one column: its octets, width for each row; 0: the extensions.
type columnSpan struct {
	name, typ string
	octets    []byte
	width     int
}

func spansOf(block []byte) (*spans, error) {
	v := &blockView{rest: block}
	_, rows := v.begin()
	s := &spans{rows: rows}
	v.header("pos", "UInt32")
	s.columns = append(s.columns, columnSpan{"pos", "UInt32", v.take(4 * rows), 4})
	for _, c := range recordColumns() {
		v.header(c.name, c.typ)
		if c.width > 0 {
			s.columns = append(s.columns, columnSpan{c.name, c.typ, v.take(c.width * rows), c.width})
			continue
		}
		s.columns = append(s.columns, columnSpan{name: c.name, typ: c.typ})
		s.ends = viewColumn[uint64](v, rows)
		s.keys = viewColumn[uint64](v, lastEnd(s.ends))
		s.valueEnds = viewColumn[uint64](v, len(s.keys))
		s.values = v.rest
	}
	if v.err != nil {
		return nil, fmt.Errorf("block of flows: %w", v.err)
	}
	return s, nil
}

// flowsAre reads a block of pos and the record columns and reports whether it
// holds the next rows of s. After a difference the rest is not read.
func (r *blockReader) flowsAre(s *spans) bool {
	columns, n := r.uvarint(), r.uvarint()
	if r.err != nil || columns != uint64(len(s.columns)) || n > uint64(s.rows-s.at) {
		return false
	}
	begin, end := s.at, s.at+int(n)
	for i := range s.columns {
		c := &s.columns[i]
		r.header(c.name, c.typ)
		if c.width > 0 && !r.same(c.octets[begin*c.width:end*c.width]) || c.width == 0 && !r.extensionsAre(s, begin, end) {
			return false
		}
	}
	s.at = end
	return r.err == nil
}

// same reads as many octets as want has and reports whether they are the same.
func (r *blockReader) same(want []byte) bool {
	for len(want) > 0 {
		if _, err := r.r.Peek(1); err != nil { // fills the buffer
			r.broken(err)
		}
		if r.err != nil {
			return false
		}
		window, _ := r.r.Peek(min(r.r.Buffered(), len(want)))
		if !bytes.Equal(window, want[:len(window)]) {
			return false
		}
		want = want[len(window):]
		_, _ = r.r.Discard(len(window)) // it is in the buffer
	}
	return true
}

// extensionsAre is same for the extensions of rows [begin, end). Ends count from
// the start of a block, and the rows begin amid that of s.
func (r *blockReader) extensionsAre(s *spans, begin, end int) bool {
	keys, key := s.endsAre(r, s.ends, begin, end)
	if key < 0 || !r.same(octets(s.keys[keys:key])) {
		return false
	}
	values, value := s.endsAre(r, s.valueEnds, keys, key)
	if value < 0 {
		return false
	}
	size := uint64(0)
	for range value - values {
		length, width := binary.Uvarint(s.values[min(size, uint64(len(s.values))):])
		size += uint64(width) + length
		if width <= 0 || size > uint64(len(s.values)) {
			r.fail("block to compare with: its extensions end before their time")
			return false
		}
	}
	same := r.same(s.values[:size])
	s.values = s.values[size:]
	return same
}

// endsAre reads the ends of items [begin, end) and returns which items of the
// next level they own; last is below 0 if the ends are not those wanted.
func (s *spans) endsAre(r *blockReader, want []uint64, begin, end int) (first, last int) {
	s.words = slices.Grow(s.words[:0], end-begin)[:end-begin]
	readWords(r, s.words)
	if r.err != nil {
		return 0, -1
	}
	base := uint64(0)
	if begin > 0 {
		base = want[begin-1]
	}
	previous := base
	for i, e := range s.words {
		if w := want[begin+i]; e != w-base || w < previous || w > want[len(want)-1] {
			return 0, -1
		}
		previous = want[begin+i]
	}
	return int(base), int(previous)
}
