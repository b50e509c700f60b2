package netflow

import (
	"math/rand/v2"
	"reflect"
	"sync"
	"testing"

	"tidemark/collector/flow"
)

// meaningful are the elements that mean something to the decoder, and some that
// do not.
var meaningful = sync.OnceValue(func() []uint16 {
	ids := []uint16{95, paddingOctets, 500}
	for id := range uint16(1 << 15) {
		if lookup(id) != (element{}) {
			ids = append(ids, id)
		}
	}
	return append(ids, 40005)
})

// anyTemplate makes a Template Record 256 of three octets per field.
func anyTemplate(version byte, shape []byte) []byte {
	ids := meaningful()
	lengths := []uint16{0, 1, 2, 3, 4, 4, 4, 5, 6, 6, 8, 8, 16, 2, 1, 9}
	var fields []byte
	n := 0
	for ; len(shape) >= 3 && n < 30; shape, n = shape[3:], n+1 {
		id, length := ids[int(shape[0])%len(ids)], lengths[shape[1]%16]
		switch {
		case version == 10 && shape[2]%8 == 0:
			fields = append(fields, pen(reversePEN, id, length)...)
		case version == 10 && id >= 1<<15:
			fields = append(fields, pen(9999, id, length)...)
		default:
			fields = append(fields, join(u16(id), u16(length))...)
		}
	}
	return join(u16(256), u16(uint16(n)), fields)
}

// circumstance is what else decides on a row, by the bits of how.
func circumstance(how byte) (config Config, dg flow.Datagram, options [][]byte) {
	dg = router
	if how&2 != 0 {
		dg.Quality = flow.AsExported
	}
	if how&4 != 0 {
		config.Sampling = func([16]byte) (uint32, bool) { return 77, how&8 != 0 }
	}
	if how&1 == 0 {
		if how&16 != 0 { // by interface
			options = append(options, options9(300, []uint16{2, 4}, []uint16{34, 4}), set(300, u32(1), u32(10), u32(0), u32(20)))
		}
		if how&32 != 0 { // by sampler
			options = append(options, options9(301, []uint16{1, 4}, []uint16{48, 1, 50, 4}), set(301, u32(0), u8(0), u32(30), u32(0), u8(1), u32(40)))
		}
		return config, dg, options
	}
	if how&16 != 0 {
		options = append(options, options10(300, 1, 10, 4, 34, 4), set(300, u32(1), u32(10), u32(0), u32(20)))
	}
	if how&32 != 0 { // the second share is no integer
		options = append(options, options10(301, 1, 302, 1, 309, 4, 310, 4), set(301, u8(0), u32(1), u32(30), u8(1), u32(2), u32(3)))
	}
	if how&64 != 0 { // of the domain, with the exporter's start
		options = append(options, options10(302, 1, 149, 4, 305, 4, 160, 8), set(302, u32(0), u32(5), u64(exportUnix*1000-uptime)))
	}
	return config, dg, options
}

// sameByColumnsAndByRecord decodes data twice. It tells whether columns were used.
func sameByColumnsAndByRecord(t *testing.T, how byte, shape, data []byte) bool {
	t.Helper()
	version := byte(9)
	if how&1 != 0 {
		version = 10
	}
	message, templateSet := v9, uint16(0)
	if version == 10 {
		message, templateSet = ipfix, 2
	}
	config, dg, options := circumstance(how)
	var batches [2]flow.Batch
	var results [2]flow.Result
	used := false
	for way := range 2 {
		d := New(config)
		if len(options) > 0 {
			d.Decode(&batches[way], dg, message(1, options...))
		}
		d.Decode(&batches[way], dg, message(1, set(templateSet, anyTemplate(version, shape))))
		s := d.sessions[sessionOf(&dg)]
		if s == nil {
			return false
		}
		p := s.plans[templateKey{domainKey{flow.Protocol(version), 1}, 256}]
		if p == nil || p.columns == nil {
			return false
		}
		if way == 1 {
			p.columns = nil
		}
		used = used || len(data) >= p.size
		results[way] = d.Decode(&batches[way], dg, message(1, set(256, data)))
	}
	if results[0] != results[1] {
		t.Fatalf("by columns %+v\nby record %+v", results[0], results[1])
	}
	sameRows(t, &batches[0], &batches[1])
	return used
}

// sameRows compares every column of two batches.
func sameRows(t *testing.T, got, want *flow.Batch) {
	t.Helper()
	g, w := reflect.ValueOf(got).Elem(), reflect.ValueOf(want).Elem()
	for i := range g.NumField() {
		f := g.Type().Field(i)
		if !f.IsExported() {
			continue
		}
		if f.Name == "Ext" {
			sameExtensions(t, &got.Ext, &want.Ext)
		} else if g.Field(i).Len() != w.Field(i).Len() || g.Field(i).Len() > 0 && !reflect.DeepEqual(g.Field(i).Interface(), w.Field(i).Interface()) {
			t.Fatalf("%s by columns %v\nby record %v", f.Name, g.Field(i), w.Field(i))
		}
	}
}

func sameExtensions(t *testing.T, got, want *flow.Extensions) {
	t.Helper()
	if len(got.Ends) != len(want.Ends) {
		t.Fatalf("%d rows ended, want %d", len(got.Ends), len(want.Ends))
	}
	type value struct {
		key   uint64
		value string
	}
	for i := range got.Ends {
		var values [2][]value
		for j, x := range []*flow.Extensions{got, want} {
			x.Each(i, func(key uint64, v []byte) { values[j] = append(values[j], value{key, string(v)}) })
		}
		if !reflect.DeepEqual(values[0], values[1]) {
			t.Fatalf("row %d: extensions by columns %v\nby record %v", i, values[0], values[1])
		}
	}
	for name, pair := range map[string][2]int{"Keys": {len(got.Keys), len(want.Keys)}, "ValueEnds": {len(got.ValueEnds), len(want.ValueEnds)},
		"DataEnds": {len(got.DataEnds), len(want.DataEnds)}, "Data": {len(got.Data), len(want.Data)}} {
		if pair[0] != pair[1] {
			t.Fatalf("%s: %d, want %d", name, pair[0], pair[1])
		}
	}
}

func TestColumns_GiveTheRowsThatRecordsGive(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	octets := func(n int, zeros uint32) []byte {
		b := make([]byte, n)
		for i := range b {
			if rng.Uint32N(4) >= zeros {
				b[i] = byte(rng.Uint32())
			}
		}
		return b
	}
	used := 0
	rounds := 20_000
	if testing.Short() {
		rounds = 4000
	}
	for range rounds {
		if sameByColumnsAndByRecord(t, byte(rng.Uint32()), octets(3*(1+rng.IntN(8)), 0), octets(1+rng.IntN(900), rng.Uint32N(4))) {
			used++
		}
	}
	if used < rounds/20 {
		t.Errorf("columns were used in %d of %d sets", used, rounds)
	}
}

func FuzzColumns(f *testing.F) {
	f.Add(byte(3), []byte{5, 4, 1, 6, 4, 1, 20, 2, 1, 21, 1, 1}, []byte("0123456789abcdefghijklmnopqrstuvwxyz"))
	f.Add(byte(0x72), []byte{9, 4, 1, 1, 2, 1, 50, 1, 1}, make([]byte, 300))
	f.Fuzz(func(t *testing.T, how byte, shape, data []byte) {
		if len(data) < 60_000 {
			sameByColumnsAndByRecord(t, how, shape, data)
		}
	})
}

// The layouts of real routers are read by columns, or the work is for nothing.
func TestColumns_AreUsedForUsualTemplates(t *testing.T) {
	for name, fields := range map[string][]uint16{"softflowd": softflowd, "router v9": router9, "router ipfix": router10, "plain": plainFields} {
		d := New(Config{})
		run(t, d, router, ipfix(1, set(2, tmpl(256, fields...))))
		if p := d.sessions[sessionOf(&router)].plans[templateKey{domainKey{flow.IPFIX, 1}, 256}]; p.columns == nil {
			t.Errorf("%s is read record by record", name)
		}
	}
}

// The same for the versions without templates, whatever the octets.
func TestColumns_LegacyRecords(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	for protocol, l := range New(Config{}).legacy {
		for round := range 200 {
			p := l.plans[round%len(l.plans)]
			if l.longer != nil && round%3 == 0 {
				p = l.longer
			}
			if p.columns == nil {
				t.Fatalf("%v: read record by record", protocol)
			}
			records := make([]byte, p.size*(1+rng.IntN(40)))
			for i := range records {
				records[i] = byte(rng.Uint32()) & byte(-rng.IntN(2))
			}
			var batches [2]flow.Batch
			for way := range 2 {
				d := New(Config{})
				x := pass{d: d, dst: &batches[way], observation: &d.unknown, configured: rate{n: uint32(round % 3)}, override: true}
				x.m = message{dg: router, protocol: protocol, uptimeMs: uptime, exportTime: exportUnix * 1e9}
				x.window = windowOf(&router)
				if way == 0 {
					x.dataRecords(p, records, len(records)/p.size)
				} else {
					for at := 0; at < len(records); at += p.size {
						x.dataRecord(p, records[at:at+p.size])
					}
				}
				if x.res.Flows != len(records)/p.size {
					t.Fatalf("%v: %d flows, want %d", protocol, x.res.Flows, len(records)/p.size)
				}
			}
			sameRows(t, &batches[0], &batches[1])
		}
	}
}
