package flow

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
)

func fill(b *Batch, seed int) {
	for i := range 5 {
		r := b.NextRow()
		b.SrcPort[r] = uint16(seed + i)
		for e := range i {
			b.Extend(ExtensionKey(uint32(e%2), uint16(9-e)), []byte{byte(seed), byte(e)})
			b.Extend(ExtensionKey(0, 7), []byte{byte(i)})
		}
		b.EndRow()
	}
}

func values(b *Batch, i int) (out []string) {
	b.Ext.Each(i, func(k uint64, v []byte) { out = append(out, string(rune(k))+string(v)) })
	return out
}

func TestBatch_AppendKeepsRowsAndExtensions(t *testing.T) {
	var src, dst Batch
	fill(&src, 10)
	fill(&dst, 50)
	dst.Append(&src, 1, 4)
	if dst.Len() != 8 {
		t.Fatalf("Len() = %d, want 8", dst.Len())
	}
	for i := 1; i < 4; i++ {
		if dst.SrcPort[4+i] != src.SrcPort[i] {
			t.Errorf("row %d: port %d, want %d", 4+i, dst.SrcPort[4+i], src.SrcPort[i])
		}
		if got, want := values(&dst, 4+i), values(&src, i); !reflect.DeepEqual(got, want) {
			t.Errorf("row %d: extensions %q, want %q", 4+i, got, want)
		}
	}
}

func TestBatch_TruncateDropsUnfinishedRow(t *testing.T) {
	var b Batch
	fill(&b, 1)
	b.NextRow()
	b.Extend(1, []byte("x"))
	b.Truncate(b.Len())
	if len(b.SrcPort) != 5 || b.Len() != 5 {
		t.Fatalf("rows %d, records %d, want 5 and 5", len(b.SrcPort), b.Len())
	}
	b.NextRow()
	b.EndRow()
	if n := b.Ext.Count(5); n != 0 {
		t.Fatalf("new row has %d extensions, want 0", n)
	}
}

func TestExtensions_AscendingKeysRepeatsInOrder(t *testing.T) {
	var b Batch
	b.NextRow()
	b.Extend(9, []byte("c"))
	b.Extend(2, []byte("a"))
	b.Extend(9, []byte("d"))
	b.Extend(ExtensionKey(6871, 1), []byte("pen"))
	b.EndRow()
	var keys []uint64
	var vals string
	b.Ext.Each(0, func(k uint64, v []byte) { keys = append(keys, k); vals += string(v) })
	if want := []uint64{2, 9, 9, 6871<<16 | 1}; !reflect.DeepEqual(keys, want) || vals != "acdpen" {
		t.Fatalf("got %v %q, want %v %q", keys, vals, want, "acdpen")
	}
	if v, ok := b.Ext.Value(0, 9); !ok || string(v) != "c" {
		t.Fatalf("Value(9) = %q %v, want c", v, ok)
	}
}

func TestName_RoundTripAndRefusal(t *testing.T) {
	n := Name{Log: 0x00ab, Batch: 7, Pos: 12}
	if got, err := ParseName(n.String()); err != nil || got != n {
		t.Fatalf("ParseName(%q) = %v, %v", n, got, err)
	}
	for _, s := range []string{"", "1-2-3", "00000000000000zz-1-2", "0000000000000000-1", "0000000000000000-1-99999999999"} {
		if _, err := ParseName(s); err == nil {
			t.Errorf("ParseName(%q): no error", s)
		}
	}
}

// EndRows is EndRow for records that are alike.
func TestBatch_EndRowsIsEndRowManyTimes(t *testing.T) {
	records := make([]byte, 5*64)
	for i := range records {
		records[i] = byte(i)
	}
	for name, values := range map[string][][3]int{ // key, offset, length
		"none": {}, "one": {{7, 3, 1}}, "lengths": {{1, 0, 1}, {2, 1, 2}, {3, 3, 4}, {9, 7, 16}, {10, 0, 0}},
		"repeats": {{7, 9, 2}, {7, 1, 4}, {8, 0, 3}, {8, 0, 3}, {8, 5, 1}},
	} {
		var got, want Batch
		for _, b := range []*Batch{&got, &want} {
			fill(b, 3)
		}
		var s Shape
		for _, v := range values {
			s.Add(uint64(v[0]), v[1], v[2])
		}
		got.Grow(5)
		s.AddConstant(12, []byte("xy"))
		s.AddConstant(12, []byte("z"))
		for i := range 5 {
			want.NextRow()
			want.Extend(12, []byte("xy"))
			want.Extend(12, []byte("z"))
			for _, v := range values {
				want.Extend(uint64(v[0]), records[i*64+v[1]:i*64+v[1]+v[2]])
			}
			want.EndRow()
		}
		got.EndRows(2, &s, records, 64)
		got.EndRows(3, &s, records[2*64:], 64)
		if !reflect.DeepEqual(got.Ext, want.Ext) && (len(got.Ext.Data) > 0 || len(want.Ext.Data) > 0) {
			t.Errorf("%s: extensions %+v, want %+v", name, got.Ext, want.Ext)
		}
		if got.Len() != want.Len() || !reflect.DeepEqual(got.SrcPort, want.SrcPort) {
			t.Errorf("%s: %d rows, want %d", name, got.Len(), want.Len())
		}
	}
}

func TestBatch_GrowGivesZerosAfterReset(t *testing.T) {
	var b Batch
	fill(&b, 9)
	b.Quality[2], b.SrcAddr[2] = 7, [16]byte{1}
	b.Reset()
	if first := b.Grow(4); first != 0 {
		t.Fatalf("Grow after Reset = %d, want 0", first)
	}
	if b.SrcPort[1] != 0 || b.Quality[2] != 0 || b.SrcAddr[2] != [16]byte{} {
		t.Error("a row begun by Grow holds what was there before")
	}
	b.Extend(3, make([]byte, MaxExtension+1))
	b.EndRow()
	b.SrcPort[1] = 5
	b.Clear(1)
	b.EndRow()
	b.Truncate(b.Len())
	if len(b.SrcPort) != 2 || b.Quality[0] != ExtensionCut || b.Quality[1] != 0 || b.SrcPort[1] != 0 {
		t.Errorf("%d rows, quality %v, ports %v", len(b.SrcPort), b.Quality, b.SrcPort)
	}
}

// Whatever the order and repeats of the keys, and whatever was begun before.
func TestBatch_ExtendSortsLikeAStableSort(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var b Batch
	var want [][]string
	for row := range 500 {
		if rng.IntN(4) == 0 { // begun and left
			b.NextRow()
			b.Extend(uint64(rng.IntN(9)), []byte("x"))
			b.Extend(uint64(rng.IntN(9)), []byte("y"))
			if rng.IntN(2) == 0 {
				b.Truncate(b.Len())
			}
		}
		if rng.IntN(2) == 0 {
			b.Truncate(b.Len())
			b.Grow(1)
		} else {
			b.Truncate(b.Len())
			b.NextRow()
		}
		byKey := map[int][]string{}
		n := rng.IntN(6)
		if row%50 == 0 {
			n = 40 + rng.IntN(40)
		}
		for i := range n {
			key := rng.IntN(8)
			value := strconv.Itoa(i) + strings.Repeat("-", rng.IntN(5))
			b.Extend(uint64(key), []byte(value))
			byKey[key] = append(byKey[key], fmt.Sprint(key, value))
		}
		b.EndRow()
		var all []string
		for key := range 8 {
			all = append(all, byKey[key]...)
		}
		want = append(want, all)
	}
	for i, w := range want {
		var got []string
		b.Ext.Each(i, func(key uint64, v []byte) { got = append(got, fmt.Sprint(key, string(v))) })
		if !slices.Equal(got, w) {
			t.Fatalf("row %d: %q, want %q", i, got, w)
		}
	}
	if b.Len() != 500 || len(b.Protocol) != 500 {
		t.Errorf("%d rows of %d", b.Len(), len(b.Protocol))
	}
}
