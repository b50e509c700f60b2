package storage

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"syscall"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2"

	"tidemark/collector/flow"
)

// recordBlock is a block as ReadFlows gets it.
func recordBlock(first uint32, b *flow.Batch) []byte {
	columns := recordColumns()
	dst := binary.AppendUvarint(nil, uint64(1+len(columns)))
	dst = binary.AppendUvarint(dst, uint64(b.Len()))
	dst = appendHeader(dst, "pos", "UInt32")
	for i := range uint32(b.Len()) {
		dst = binary.LittleEndian.AppendUint32(dst, first+i)
	}
	for _, c := range columns {
		dst = appendHeader(dst, c.name, c.typ)
		dst = c.append(dst, b, b.Len())
	}
	return dst
}

func smallBatch(rows int) *flow.Batch {
	b := new(flow.Batch)
	for i := range rows {
		r := b.NextRow()
		b.SrcPort[r] = uint16(i)
		for k := range i % 3 {
			b.Extend(uint64(k), []byte{byte(i), 0})
			b.Extend(uint64(k), nil)
		}
		b.EndRow()
	}
	return b
}

func readBlocks(octets []byte) (*flow.Batch, error) {
	r := &blockReader{r: bufio.NewReader(bytes.NewReader(octets))}
	dst := new(flow.Batch)
	for !r.end() {
		r.flows(recordColumns(), dst)
	}
	if r.err == nil {
		r.err = r.checkPositions(0)
	}
	return dst, r.err
}

func TestBlockReader_JoinsBlocks(t *testing.T) {
	b := smallBatch(7)
	got, err := readBlocks(slices.Concat(recordBlock(0, b), recordBlock(7, new(flow.Batch)), recordBlock(7, b)))
	if err != nil || got.Len() != 14 {
		t.Fatalf("got %d rows, %v, want 14", got.Len(), err)
	}
	for i := range 14 {
		want := fmt.Sprint(values(b, i%7))
		if got := fmt.Sprint(values(got, i)); got != want {
			t.Errorf("row %d: got extensions %s, want %s", i, got, want)
		}
	}
}

func values(b *flow.Batch, i int) (all []string) {
	b.Ext.Each(i, func(key uint64, value []byte) { all = append(all, fmt.Sprintf("%d=%q", key, value)) })
	return all
}

func TestBlockReader_EveryPrefixFails(t *testing.T) {
	whole := recordBlock(0, smallBatch(4))
	for n := 1; n < len(whole); n++ {
		if _, err := readBlocks(whole[:n]); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatalf("%d of %d octets: got %v, want ErrUnexpectedEOF", n, len(whole), err)
		}
	}
}

func TestBlockReader_RowsOutOfPlaceAreATypeOfError(t *testing.T) {
	b := smallBatch(4)
	good := recordBlock(0, b)
	for name, c := range map[string]struct {
		octets    []byte
		positions []uint32
		first     int
	}{
		"first row missing": {recordBlock(1, b), []uint32{1, 2, 3, 4}, 0},
		"doubled":           {slices.Concat(good, good), []uint32{0, 1, 2, 3, 0, 1, 2, 3}, 4},
		"gap":               {slices.Concat(good, recordBlock(5, b)), []uint32{0, 1, 2, 3, 5, 6, 7, 8}, 4},
	} {
		got, err := readBlocks(c.octets)
		var wrong *PositionError
		if !errors.As(err, &wrong) || !slices.Equal(wrong.Positions, c.positions) || wrong.First != c.first || got.Len() != len(c.positions) {
			t.Errorf("%s: %d rows, %v, want %v and row %d", name, got.Len(), err, c.positions, c.first)
		}
		// A stream that breaks off says nothing of the rows.
		if _, err := readBlocks(c.octets[:len(c.octets)-1]); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%s, cut: got %v, want ErrUnexpectedEOF", name, err)
		}
	}
}

func TestBlockReader_RefusesOtherColumns(t *testing.T) {
	b := smallBatch(4)
	good := recordBlock(0, b)
	for name, octets := range map[string][]byte{
		"other name":    bytes.Replace(good, []byte("\x08src_port"), []byte("\x08dst_port"), 1),
		"other type":    bytes.Replace(good, []byte("src_port\x06UInt16"), []byte("src_port\x05Int16"), 1),
		"fewer columns": append([]byte{3}, good[1:]...),
	} {
		if got, err := readBlocks(octets); err == nil {
			t.Errorf("%s: no error, %d rows", name, got.Len())
		}
	}
}

func FuzzBlockReader_NeverPanics(f *testing.F) {
	f.Add(recordBlock(0, smallBatch(4)))
	f.Fuzz(func(t *testing.T, octets []byte) {
		b, err := readBlocks(octets)
		if err != nil {
			return
		}
		// What was read must be whole: writing it again must not panic.
		for _, c := range enrichmentColumns() {
			c.grow(b, b.Len())
		}
		AppendFlowsBlock(nil, 1, "", 1, b)
	})
}

func TestAppendFlowsBlock_AllocatesOnlyTheBlock(t *testing.T) {
	b := smallBatch(1000)
	dst := AppendFlowsBlock(nil, 1, "home", 1, b)
	allocs := testing.AllocsPerRun(10, func() { dst = AppendFlowsBlock(dst[:0], 1, "home", 1, b) })
	if columns := float64(len(recordColumns()) + len(enrichmentColumns())); allocs > 4*columns {
		t.Errorf("got %v allocations for 1000 rows, want some per column", allocs)
	}
}

func TestRetryable_OnlyTheBlockOrSchemaIsIncurable(t *testing.T) {
	exception := func(code int32) error {
		return fmt.Errorf("insert: %w", &clickhouse.Exception{Code: code, Message: "x"})
	}
	for _, c := range []struct {
		err  error
		want bool
	}{
		{nil, false},
		{io.ErrUnexpectedEOF, true},
		{&os.SyscallError{Syscall: "connect", Err: syscall.ECONNREFUSED}, true},
		{ErrYielded, true},
		{exception(159), true}, // TIMEOUT_EXCEEDED
		{exception(241), true}, // MEMORY_LIMIT_EXCEEDED
		{exception(243), true}, // NOT_ENOUGH_SPACE
		{exception(252), true}, // TOO_MANY_PARTS
		{exception(394), true}, // QUERY_WAS_CANCELLED
		{exception(203), true}, // the engine is shutting down
		{exception(27), false}, // CANNOT_PARSE_INPUT_ASSERTION_FAILED
		{exception(53), false}, // TYPE_MISMATCH
		{exception(60), false}, // UNKNOWN_TABLE
		{exception(69), false}, // ARGUMENT_OUT_OF_BOUND
		{exception(395), false},
	} {
		if got := Retryable(c.err); got != c.want {
			t.Errorf("%v: got %v, want %v", c.err, got, c.want)
		}
	}
}
