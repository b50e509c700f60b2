package storage

import (
	"bufio"
	"bytes"
	"slices"
	"testing"

	"tidemark/collector/flow"
)

// holds is HoldsFlows of a stream.
func holds(t *testing.T, stream, block []byte) (bool, error) {
	t.Helper()
	want, err := spansOf(block)
	if err != nil {
		t.Fatal(err)
	}
	r := &blockReader{r: bufio.NewReaderSize(bytes.NewReader(stream), 16)}
	same := true
	for same && !r.end() {
		same = r.flowsAre(want)
	}
	return same && want.at == want.rows && r.err == nil, r.err
}

// part is rows [begin, end) of b as the engine sends them.
func part(b *flow.Batch, begin, end int) []byte {
	var c flow.Batch
	c.Append(b, begin, end)
	return recordBlock(uint32(begin), &c)
}

func TestHoldsFlows_HoweverTheRowsAreCut(t *testing.T) {
	b := smallBatch(9)
	block := AppendFlowsBlock(nil, 7, "home", 3, b)
	for first := range 10 {
		for second := first; second < 10; second++ {
			stream := slices.Concat(part(b, 0, first), part(b, first, second), part(b, second, 9))
			if same, err := holds(t, stream, block); !same {
				t.Errorf("cut at %d and %d: not the same, %v", first, second, err)
			}
		}
	}
	empty := AppendFlowsBlock(nil, 7, "home", 3, new(flow.Batch))
	if same, err := holds(t, nil, empty); !same || err != nil {
		t.Errorf("no rows: %v, %v", same, err)
	}
}

func TestHoldsFlows_EveryOtherOctetIsSeen(t *testing.T) {
	b := smallBatch(9)
	block := AppendFlowsBlock(nil, 7, "home", 3, b)
	stream := slices.Concat(part(b, 0, 4), part(b, 4, 9))
	for i := range stream {
		for _, flip := range []byte{1, 0x80} {
			stream[i] ^= flip
			if same, _ := holds(t, stream, block); same {
				t.Errorf("octet %d changed by %#x is not seen", i, flip)
			}
			stream[i] ^= flip
		}
		if same, _ := holds(t, stream[:i], block); same {
			t.Errorf("the first %d of %d octets pass for all", i, len(stream))
		}
	}
	for name, stream := range map[string][]byte{
		"a row missing": part(b, 0, 8), "a row more": slices.Concat(stream, part(b, 8, 9)), "nothing": nil,
		"rows exchanged": slices.Concat(part(b, 4, 9), part(b, 0, 4)),
	} {
		if same, _ := holds(t, stream, block); same {
			t.Errorf("%s: the same", name)
		}
	}
}

func TestViewRecords_IsTheBatchOfTheBlock(t *testing.T) {
	var view flow.Batch
	for _, rows := range []int{9, 0, 4, 30} { // memory of an earlier call does no harm
		b := smallBatch(rows)
		whose, err := ViewRecords(AppendFlowsBlock(nil, 7, "home", 3, b), &view)
		if err != nil || rows > 0 && whose != (FlowsBlock{Log: 7, Site: "home", Index: 3}) || view.Len() != rows {
			t.Fatalf("%d rows: %+v with %d, %v", rows, whose, view.Len(), err)
		}
		if rows > 0 && !bytes.Equal(AppendFlowsBlock(nil, 7, "home", 3, &view), AppendFlowsBlock(nil, 7, "home", 3, b)) {
			t.Errorf("%d rows: the view is another batch", rows)
		}
	}
}
