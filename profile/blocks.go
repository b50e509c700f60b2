package profile

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/ClickHouse/ch-go/proto"
)

// block is a block of an answer in ClickHouse's format Native: its columns are read
// in their order, each whole. Answers of a row for each device of a site are read
// so; the driver would take half a microsecond for a row. What a block runs out of
// reads as nothing and is an error at the end.
type block struct {
	r    *proto.Reader
	rows int
	err  error // the first; there is nothing after it
}

// maxBlock bounds what a broken answer can ask for; the engine makes blocks of 65,536 rows.
const maxBlock = 1 << 24

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
	return readBlocks(body, fn)
}

func readBlocks(answer io.Reader, fn func(*block)) error {
	b := block{r: proto.NewReader(answer)}
	for b.next() {
		fn(&b)
	}
	if b.err != nil {
		return fmt.Errorf("read an answer: %w", b.err)
	}
	return nil
}

// next begins a block, unless there is none any more.
func (b *block) next() bool {
	if b.err != nil {
		return false
	}
	_, err := b.r.Int() // columns
	if errors.Is(err, io.EOF) {
		return false
	}
	if err == nil {
		b.rows, err = b.r.Int()
	}
	if err == nil && (b.rows < 0 || b.rows > maxBlock) {
		err = fmt.Errorf("got a block of %d rows, want at most %d", b.rows, maxBlock)
	}
	b.fail(err)
	return b.err == nil
}

// fail ends the reading if there is an error.
func (b *block) fail(err error) {
	if err != nil {
		b.rows, b.err = 0, cmp.Or(b.err, err)
	}
}

// column reads the next column, which must be of the type want.
func (b *block) column(want string, c proto.ColResult) {
	if b.err != nil {
		return
	}
	name, err := b.r.Str()
	if err == nil {
		var got string
		if got, err = b.r.Str(); err == nil && stored(got) != want {
			err = fmt.Errorf("column %s is %s, want %s", name, got, want)
		}
	}
	if err == nil {
		err = c.DecodeColumn(b.r, b.rows)
	}
	b.fail(err)
}

// stored is the type of what a column holds: states of simple aggregates are
// stored as they are.
func stored(columnType string) string {
	state, ok := strings.CutPrefix(columnType, "SimpleAggregateFunction(")
	if !ok {
		return columnType
	}
	_, of, _ := strings.Cut(state, ", ")
	return strings.TrimSuffix(of, ")")
}

func (b *block) uint8s() []uint8 {
	var c proto.ColUInt8
	b.column("UInt8", &c)
	return c
}

func (b *block) uint64s() []uint64 {
	var c proto.ColUInt64
	b.column("UInt64", &c)
	return c
}

// times reads DateTime64(3): ms since 1970.
func (b *block) times() []int64 {
	var c proto.ColInt64
	b.column("DateTime64(3, 'UTC')", &c)
	return c
}

func (b *block) texts() (out []string) {
	var c proto.ColStr
	b.column("String", &c)
	for i := range b.rows {
		out = append(out, c.Row(i))
	}
	return out
}

// addresses reads an Array(IPv6): appends all of them to dst, and says where those
// of each row end.
func (b *block) addresses(dst [][16]byte) (all [][16]byte, ends []int) {
	var list proto.ColIPv6
	c := proto.NewArray[proto.IPv6](&list)
	b.column("Array(IPv6)", c)
	if b.err != nil {
		return dst, nil
	}
	for _, end := range c.Offsets {
		ends = append(ends, len(dst)+int(end))
	}
	for _, a := range list {
		dst = append(dst, a)
	}
	return dst, ends
}
