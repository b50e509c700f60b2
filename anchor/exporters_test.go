package anchor

import (
	"bytes"
	"errors"
	"reflect"
	"slices"
	"testing"

	"tidemark/collector/flow"
)

func exporterCounts() []flow.ExporterCount {
	v4 := [16]byte{10: 0xff, 11: 0xff, 12: 192, 13: 0, 14: 2, 15: 7}
	v6 := [16]byte{0: 0x20, 1: 0x01, 2: 0x0d, 3: 0xb8, 15: 1}
	return []flow.ExporterCount{
		{Exporter: v6, Domain: 7, Protocol: flow.IPFIX, Unit: flow.Records, Expected: 1 << 40, Received: 1<<40 - 5, Undecodable: 1, Shed: 2, FirstSeq: 1<<32 - 3, LastSeq: 9},
		{Unit: flow.Datagrams, Expected: 100, Received: 90, Shed: 10},
		{Exporter: v4, Domain: 1, Protocol: flow.NetFlowV9, Unit: flow.Datagrams, Expected: 12, Received: 12, FirstSeq: 1, LastSeq: 12},
		{Exporter: v4, Domain: 1, Protocol: flow.NetFlowV5, Unit: flow.Records, Expected: 300, Received: 270, FirstSeq: 30, LastSeq: 330},
		{Exporter: v4, Domain: 0, Protocol: flow.SFlowV5, Unit: flow.Samples, Expected: 3, Received: 3, FirstSeq: 1, LastSeq: 3},
	}
}

func TestExporterTable_Golden(t *testing.T) {
	var out []byte
	for _, c := range []struct {
		name   string
		counts []flow.ExporterCount
	}{{"none", nil}, {"sockets", exporterCounts()[1:2]}, {"five", exporterCounts()}} {
		table, err := AppendExporterTable(nil, c.counts)
		if err != nil {
			t.Fatal(err)
		}
		hash := ExporterTableHash(table)
		out = vector(out, c.name+" table", table)
		out = vector(out, c.name+" hash", hash[:])
		back, err := ParseExporterTable(table)
		want := slices.SortedFunc(slices.Values(c.counts), compareCounts)
		if err != nil || !slices.Equal(back, want) {
			t.Errorf("%s: parsed %v, %v", c.name, back, err)
		}
	}
	golden(t, "exporters.golden", out)
}

// Whoever sends what is no export at all must not stop the ledger, nor must a
// flood of senders that fills the collector's accounts.
func TestExporterTable_TakesWhateverTheCollectorCounts(t *testing.T) {
	counts := []flow.ExporterCount{{Received: 5}}
	for i := range 65_536 {
		counts = append(counts, flow.ExporterCount{Exporter: [16]byte{10: 0xff, 11: 0xff, 12: 10, 13: byte(i >> 8), 14: byte(i)}, Undecodable: 3})
	}
	for _, p := range []flow.Protocol{flow.NetFlowV1, flow.NetFlowV5, flow.NetFlowV7, flow.NetFlowV9, flow.IPFIX, flow.SFlowV5} {
		counts = append(counts, flow.ExporterCount{Protocol: p, Unit: flow.Records, Expected: 1})
	}
	table, err := AppendExporterTable(nil, counts)
	if err != nil {
		t.Fatal(err)
	}
	if back, err := ParseExporterTable(table); err != nil || len(back) != len(counts) {
		t.Fatalf("read back: %d rows, %v; want %d", len(back), err, len(counts))
	}
}

func TestExporterTable_OrderOfCountsDoesNotMatterAndIsKept(t *testing.T) {
	counts := exporterCounts()
	a, _ := AppendExporterTable(nil, counts)
	if !reflect.DeepEqual(counts, exporterCounts()) {
		t.Fatal("counts were changed")
	}
	slices.Reverse(counts)
	if b, _ := AppendExporterTable(nil, counts); !bytes.Equal(a, b) {
		t.Fatal("another order, another table")
	}
}

func TestExporterTable_EveryFieldMatters(t *testing.T) {
	base, err := AppendExporterTable(nil, exporterCounts())
	if err != nil {
		t.Fatal(err)
	}
	for f := range reflect.TypeFor[flow.ExporterCount]().NumField() {
		if reflect.TypeFor[flow.ExporterCount]().Field(f).Name == "Away" {
			continue // an estimate, which the table has no place for
		}
		counts := exporterCounts()
		field := reflect.ValueOf(&counts[0]).Elem().Field(f)
		if field.Kind() == reflect.Array {
			field = field.Index(15)
		}
		field.SetUint(field.Uint() ^ 1)
		if got, err := AppendExporterTable(nil, counts); err != nil || bytes.Equal(got, base) {
			t.Errorf("%s does not matter (%v)", reflect.TypeFor[flow.ExporterCount]().Field(f).Name, err)
		}
	}
}

func TestExporterTable_Refusals(t *testing.T) {
	for name, spoil := range map[string]func(c []flow.ExporterCount) []flow.ExporterCount{
		"twice":             func(c []flow.ExporterCount) []flow.ExporterCount { return append(c, c[2]) },
		"protocol 32":       func(c []flow.ExporterCount) []flow.ExporterCount { c[0].Protocol = 32; return c },
		"unit 3":            func(c []flow.ExporterCount) []flow.ExporterCount { c[0].Unit = 3; return c },
		"sockets in detail": func(c []flow.ExporterCount) []flow.ExporterCount { c[1].Domain = 1; return c },
	} {
		if _, err := AppendExporterTable(nil, spoil(exporterCounts())); !errors.Is(err, ErrExporterTable) {
			t.Errorf("%s: %v, want ErrExporterTable", name, err)
		}
	}
	table, _ := AppendExporterTable(nil, exporterCounts())
	for n := range table {
		if _, err := ParseExporterTable(table[:n]); !errors.Is(err, ErrExporterTable) {
			t.Fatalf("prefix of %d octets: %v, want ErrExporterTable", n, err)
		}
	}
	for name, at := range map[string]int{"type": 0, "version": 1, "reserved": 3, "rows": 7, "order": 8 + 3*64, "reserved in a row": 8 + 23} {
		spoiled := bytes.Clone(table)
		spoiled[at] ^= 0x80
		if name == "order" {
			copy(spoiled[8:], table[8+64:8+128])
		}
		if _, err := ParseExporterTable(spoiled); !errors.Is(err, ErrExporterTable) {
			t.Errorf("%s: %v, want ErrExporterTable", name, err)
		}
	}
}

func FuzzParseExporterTable(f *testing.F) {
	table, _ := AppendExporterTable(nil, exporterCounts())
	f.Add(table)
	f.Add(table[:8])
	f.Fuzz(func(t *testing.T, p []byte) {
		counts, err := ParseExporterTable(p)
		if err != nil {
			return
		}
		if again, err := AppendExporterTable(nil, counts); err != nil || !bytes.Equal(again, p) {
			t.Fatalf("%x is another table when written again: %v", p, err)
		}
	})
}
