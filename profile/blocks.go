package profile

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
)

// block is a block of an answer in ClickHouse's format Native: its columns are read
// in their order, each whole. Answers of a row for each device of a site are read
// so; the driver would take half a microsecond for a row. What a block runs out of
// reads as nothing and is an error at the end.
type block struct {
	rest []byte
	rows int
	err  error // the first; there is nothing after it
}

// eachBlock binds values into a statement, runs it, and calls fn with every block;
// fn reads all of its columns.
func eachBlock(ctx context.Context, s *Scorer, statement string, values map[string]any, fn func(*block)) (err error) {
	bound, err := bind(statement, values)
	if err != nil {
		return err
	}
	body, err := s.db.Conn().QueryFormat(ctx, "Native", bound)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, body.Close()) }()
	all, err := io.ReadAll(body)
	if err != nil {
		return err
	}
	return readBlocks(all, fn)
}

func readBlocks(answer []byte, fn func(*block)) error {
	b := block{rest: answer}
	for len(b.rest) > 0 && b.err == nil {
		b.number() // of columns
		b.rows = b.number()
		fn(&b)
	}
	if b.err != nil {
		return fmt.Errorf("read answer of %d octets: %w", len(answer), b.err)
	}
	return nil
}

// fail ends the reading.
func (b *block) fail(err error) { b.rest, b.rows, b.err = nil, 0, cmp.Or(b.err, err) }

// take returns the next n octets, nil if there are fewer.
func (b *block) take(n int) []byte {
	if n > len(b.rest) {
		b.fail(io.ErrUnexpectedEOF)
		return nil
	}
	out := b.rest[:n]
	b.rest = b.rest[n:]
	return out
}

// number reads a count: nothing that is counted takes less than an octet, or it is
// of columns of such.
func (b *block) number() int {
	n, size := binary.Uvarint(b.rest)
	if size <= 0 || n > uint64(len(b.rest)) {
		b.fail(io.ErrUnexpectedEOF)
		return 0
	}
	b.take(size)
	return int(n)
}

// begin reads name and type of a column.
func (b *block) begin(want string) {
	name := b.take(b.number())
	got := string(b.take(b.number()))
	if plain, ok := strings.CutPrefix(got, "SimpleAggregateFunction("); ok { // its values are stored as they are
		_, plain, _ = strings.Cut(plain, ", ")
		got = strings.TrimSuffix(plain, ")")
	}
	if b.err == nil && got != want {
		b.fail(fmt.Errorf("column %s is %s, want %s", name, got, want))
	}
}

func (b *block) uint8s() []uint8 {
	b.begin("UInt8")
	return b.take(b.rows)
}

func (b *block) uint64s() []uint64 {
	b.begin("UInt64")
	return b.words(b.rows)
}

func (b *block) words(n int) []uint64 {
	raw := b.take(8 * n)
	out := make([]uint64, len(raw)/8)
	for i := range out {
		out[i] = binary.LittleEndian.Uint64(raw[8*i:])
	}
	return out
}

// times reads DateTime64(3): ms since 1970.
func (b *block) times() []int64 {
	b.begin("DateTime64(3, 'UTC')")
	words := b.words(b.rows)
	out := make([]int64, len(words))
	for i, w := range words {
		out[i] = int64(w)
	}
	return out
}

func (b *block) texts() []string {
	b.begin("String")
	out := make([]string, b.rows)
	for i := range out {
		if b.err != nil {
			return nil
		}
		out[i] = string(b.take(b.number()))
	}
	return out
}

// addresses reads an Array(IPv6): appends all of them to dst, and says where those
// of each row end.
func (b *block) addresses(dst [][16]byte) (all [][16]byte, ends []int) {
	b.begin("Array(IPv6)")
	offsets := b.words(b.rows)
	before, n := len(dst), uint64(0)
	for _, end := range offsets {
		if end < n || end > uint64(len(b.rest)) {
			b.fail(io.ErrUnexpectedEOF)
			return dst, nil
		}
		n = end
		ends = append(ends, before+int(end))
	}
	raw := b.take(16 * int(n))
	if b.err != nil {
		return dst, nil
	}
	for ; len(raw) > 0; raw = raw[16:] {
		dst = append(dst, [16]byte(raw))
	}
	return dst, ends
}
