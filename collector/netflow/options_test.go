package netflow

import (
	"bytes"
	"encoding/binary"
	"math"
	"testing"

	"tidemark/collector/flow"
)

// options9 is a v9 Options Template Set; scopes and fields come as pairs.
func options9(id uint16, scopes, fields []uint16) []byte {
	b := join(u16(id), u16(uint16(2*len(scopes))), u16(uint16(2*len(fields))))
	for _, f := range append(append([]uint16{}, scopes...), fields...) {
		b = append(b, u16(f)...)
	}
	return set(1, b)
}

// options10 is an IPFIX Options Template Set; the first scopes pairs are Scope Fields.
func options10(id uint16, scopes uint16, fields ...uint16) []byte {
	b := join(u16(id), u16(uint16(len(fields)/2)), u16(scopes))
	for _, f := range fields {
		b = append(b, u16(f)...)
	}
	return set(3, b)
}

// sampled decodes datagrams and returns rate and sampling quality of the last row.
func sampled(t *testing.T, d *Decoder, payloads ...[]byte) (uint32, uint16) {
	t.Helper()
	b, _ := run(t, d, router, payloads...)
	if b.Len() == 0 {
		t.Fatal("no row")
	}
	i := b.Len() - 1
	return b.SamplingRate[i], b.Quality[i] & (flow.SamplingAssumed | flow.SamplingFromConfig | flow.SamplingFromOption)
}

func TestSampling_V5HeaderRateWithoutModeBits(t *testing.T) {
	for _, c := range []struct {
		header  uint16
		rate    uint32
		quality uint16
		mode    byte
	}{
		{100, 100, 0, 0},
		{1<<14 | 100, 100, 0, 1}, // deterministic
		{2<<14 | 1000, 1000, 0, 2},
		{0, 1, flow.SamplingAssumed, 0},
		{1 << 14, 1, flow.SamplingAssumed, 1},
	} {
		batch, _ := run(t, New(Config{}), router, v5(1, c.header))
		want(t, "rate", batch.SamplingRate[0], c.rate)
		want(t, "quality", batch.Quality[0], c.quality)
		mode, _ := batch.Ext.Value(0, samplingAlgorithm)
		if c.mode != 0 && (len(mode) != 1 || mode[0] != c.mode) {
			t.Errorf("header %#x: mode %v, want %d", c.header, mode, c.mode)
		}
	}
}

func TestSampling_FromOptionsByScope(t *testing.T) {
	flowTemplate := set(0, tmpl(300, 10, 4, 14, 4, 48, 1, 61, 1))
	record := func(in, out uint32, sampler, direction byte) []byte {
		return set(300, u32(in), u32(out), u8(sampler, direction))
	}
	byInterface := join(options9(256, []uint16{2, 4}, []uint16{34, 4, 35, 1}), set(256, u32(7), u32(100), u8(1), u32(8), u32(200), u8(1)))
	bySampler := join(options9(257, []uint16{1, 4}, []uint16{48, 1, 49, 1, 50, 4}), set(257, u32(0), u8(1, 2), u32(1000), u32(0), u8(2, 2), u32(2000)))
	bySystem := join(options9(258, []uint16{1, 0}, []uint16{34, 4}), set(258, u32(64))) // scope of no octets: Juniper SRX
	for _, c := range []struct {
		name    string
		options []byte
		record  []byte
		rate    uint32
	}{
		{"interface", byInterface, record(7, 8, 0, 0), 100},
		{"egress flow by output interface", byInterface, record(7, 8, 0, 1), 200},
		{"only the output interface is sampled", byInterface, record(99, 8, 0, 0), 200},
		{"sampler", bySampler, record(7, 8, 2, 0), 2000},
		{"system", bySystem, record(7, 8, 0, 0), 64},
		{"sampler before interface before system", join(bySystem, byInterface, bySampler), record(7, 8, 1, 0), 1000},
		{"interface before system", join(bySystem, byInterface), record(8, 7, 0, 0), 200},
	} {
		rate, quality := sampled(t, New(Config{}), v9(1, flowTemplate, c.options, c.record))
		if rate != c.rate || quality != flow.SamplingFromOption {
			t.Errorf("%s: rate %d, quality %#x, want %d from options", c.name, rate, quality, c.rate)
		}
	}
	rate, quality := sampled(t, New(Config{}), v9(1, flowTemplate, bySampler, record(1, 2, 9, 0)))
	if rate != 1 || quality != flow.SamplingAssumed {
		t.Errorf("unknown sampler: rate %d, quality %#x, want 1 assumed", rate, quality)
	}
	d := New(Config{})
	run(t, d, router, v9(1, bySystem))
	rate, quality = sampled(t, d, v9(2, flowTemplate, record(1, 2, 0, 0)))
	if rate != 1 || quality != flow.SamplingAssumed {
		t.Errorf("other domain: rate %d, quality %#x, want 1 assumed", rate, quality)
	}
}

func TestSampling_SelectorFieldsOfIPFIX(t *testing.T) {
	data := set(2, tmpl(300, 302, 4, 1, 4))
	probability := make([]byte, 8)
	binary.BigEndian.PutUint64(probability, math.Float64bits(0.001))
	for _, c := range []struct {
		name    string
		options []byte
		rate    uint32
	}{
		{"packet interval and space", join(options10(256, 1, 302, 4, 305, 4, 306, 4), set(256, u32(9), u32(1), u32(99))), 100},
		{"interval alone", join(options10(256, 1, 302, 4, 305, 4), set(256, u32(9), u32(512))), 512},
		{"size of population, an interval of 1 beside them", join(options10(256, 1, 302, 4, 305, 4, 309, 4, 310, 4), set(256, u32(9), u32(1), u32(1), u32(256))), 256},
		{"probability", join(options10(256, 1, 302, 4, 311, 8), set(256, u32(9), probability)), 1000},
		{"samplingInterval", join(options10(256, 1, 302, 4, 34, 4), set(256, u32(9), u32(30))), 30},
	} {
		rate, quality := sampled(t, New(Config{}), ipfix(1, data, c.options, set(300, u32(9), u32(1))))
		if rate != c.rate || quality != flow.SamplingFromOption {
			t.Errorf("%s: rate %d, quality %#x, want %d from options", c.name, rate, quality, c.rate)
		}
	}
}

func TestSampling_NotAnIntegerIsKeptExact(t *testing.T) {
	batch, _ := run(t, New(Config{}), router, ipfix(1, options10(256, 1, 149, 4, 309, 4, 310, 4), set(256, u32(1), u32(3), u32(10)),
		set(2, tmpl(300, 1, 4)), set(300, u32(5))))
	i := batch.Len() - 1
	want(t, "rate", batch.SamplingRate[i], 3)
	want(t, "probability", math.Float64frombits(binary.BigEndian.Uint64(extension(t, batch, i, 0, samplingProbability))), 0.3)
}

func TestSampling_DomainScopeMaySpeakOfAnotherDomain(t *testing.T) {
	d := New(Config{})
	run(t, d, router, ipfix(1, options10(256, 1, 149, 4, 34, 4), set(256, u32(2), u32(50))))
	rate, _ := sampled(t, d, ipfix(2, set(2, plain), set(256, plainRecord(1))))
	want(t, "rate of domain 2", rate, 50)
	rate, _ = sampled(t, d, ipfix(1, set(2, tmpl(300, 1, 4)), set(300, u32(1))))
	want(t, "rate of domain 1", rate, 1)
}

func TestSampling_LaterOptionsRecordWins(t *testing.T) {
	d := New(Config{})
	options := options9(257, []uint16{1, 4}, []uint16{34, 4})
	run(t, d, router, v9(1, options, set(257, u32(0), u32(10))), v9(1, set(257, u32(0), u32(20))))
	rate, _ := sampled(t, d, v9(1, set(0, plain), set(256, plainRecord(1))))
	want(t, "rate", rate, 20)
}

func TestSampling_OrderOfAuthority(t *testing.T) {
	options := join(options9(257, []uint16{1, 4}, []uint16{34, 4}), set(257, u32(0), u32(10)))
	own := join(set(0, tmpl(300, 34, 4, 1, 4)), set(300, u32(7), u32(1)))
	none := join(set(0, plain), set(256, plainRecord(1)))
	zero := join(set(0, tmpl(300, 34, 4, 1, 4)), set(300, u32(0), u32(1)))
	config := func(rate uint32, override bool) Config {
		return Config{Sampling: func([16]byte) (uint32, bool) { return rate, override }}
	}
	for _, c := range []struct {
		name    string
		config  Config
		payload []byte
		rate    uint32
		quality uint16
	}{
		{"record over options", Config{}, v9(1, options, own), 7, 0},
		{"record over configuration", config(99, false), v9(1, own), 7, 0},
		{"options over configuration", config(99, false), v9(1, options, none), 10, flow.SamplingFromOption},
		{"configuration over nothing", config(99, false), v9(1, none), 99, flow.SamplingFromConfig},
		{"override over the record", config(99, true), v9(1, options, own), 99, flow.SamplingFromConfig},
		{"override over the v5 header", config(99, true), v5(1, 100), 99, flow.SamplingFromConfig},
		{"header over configuration", config(99, false), v5(1, 100), 100, 0},
		{"a rate of 0 in the record is none", Config{}, v9(1, options, zero), 10, flow.SamplingFromOption},
		{"nothing", Config{}, v9(1, none), 1, flow.SamplingAssumed},
		{"override of 0 is none", config(0, true), v9(1, none), 1, flow.SamplingAssumed},
	} {
		rate, quality := sampled(t, New(c.config), c.payload)
		if rate != c.rate || quality != c.quality {
			t.Errorf("%s: rate %d, quality %#x, want %d, %#x", c.name, rate, quality, c.rate, c.quality)
		}
	}
}

func TestOptions_InterfaceNames(t *testing.T) {
	d := New(Config{})
	name := func(s string, n int) []byte { return append([]byte(s), make([]byte, n-len(s))...) }
	_, r := run(t, d, router,
		v9(3, options9(256, []uint16{2, 4}, []uint16{82, 8, 83, 16}), set(256, u32(7), name("Gi0/1", 8), name("to the cameras", 16))),
		ipfix(3, options10(256, 1, 10, 4, 82, 65535), set(256, u32(8), u8(4), []byte("ge-0"))),
		ipfix(3, set(256, u32(8), u8(4), []byte("ge-1"))))
	want(t, "options", r.OptionsRecords, 1)
	got, ok := nameOf(d, 3, 7)
	want(t, "v9", got, Label{"Gi0/1", "to the cameras"})
	want(t, "known", ok, true)
	got, _ = nameOf(d, 3, 8)
	want(t, "IPFIX: the later name", got.Name, "ge-1")
	_, ok = nameOf(d, 4, 7)
	want(t, "other domain", ok, false)
}

// nameOf is what the router calls an interface.
func nameOf(d *Decoder, domain, index uint32) (Label, bool) {
	v9, _ := d.Names(router.Exporter, flow.NetFlowV9)
	ipfix, _ := d.Names(router.Exporter, flow.IPFIX)
	for _, n := range append(v9, ipfix...) {
		if n.Domain == domain && n.Index == index {
			return n.Label, true
		}
	}
	return Label{}, false
}

func TestOptions_TablesAreBounded(t *testing.T) {
	o := observation{session: &session{state: &budget{limit: 1 << 30}}}
	for i := range uint32(maxOptionEntries + 5) {
		became := o.set(option{kind: optionInterfaceRate, id: uint64(i), rate: rate{n: 2}})
		want(t, "kept", became == added, i < maxOptionEntries)
	}
	want(t, "known keys still change", o.set(option{kind: optionInterfaceRate, id: 5, rate: rate{n: 3}}), redefined)
}

func TestOptions_StateIsBoundedOverAllSessions(t *testing.T) {
	d := New(Config{MaxStateBytes: 1 << 20})
	var refused uint32
	for port := range uint16(40) {
		for id := range uint16(50) {
			var fields []uint16
			for range 40 {
				fields = append(fields, 1, 4)
			}
			_, r := run(t, d, from("192.0.2.7", port), v9(1, set(0, tmpl(256+id, fields...))))
			refused += r.Undecodable[flow.ReasonLimit]
		}
	}
	if used := d.state.used.Load(); refused == 0 || used > 1<<20 {
		t.Errorf("%d octets used, %d templates refused, want at most 1 MiB and some", used, refused)
	}
	d.mu.Lock()
	for _, s := range d.sessions {
		d.forget(s)
	}
	d.mu.Unlock()
	want(t, "octets after all are forgotten", d.state.used.Load(), 0)
}

// Options outlive a restart, the later value of each; a session whose exporter
// comes back by another port takes over the rates of its address.
func TestOptions_OutliveARestartAndAChangeOfPort(t *testing.T) {
	store := &memoryStore{records: map[string][]byte{}}
	d := New(Config{Templates: store})
	flows := set(0, tmpl(300, 10, 4, 48, 1))
	run(t, d, router, v9(3, flows, options9(256, []uint16{2, 4}, []uint16{34, 4, 82, 8, 83, 4}), set(256, u32(7), u32(10), []byte("oldnameX"), []byte("up\x00\x00"))))
	run(t, d, router, v9(3, set(256, u32(7), u32(100), []byte("eth0\x00\x00\x00\x00"), []byte("up\x00\x00"))))
	run(t, d, router, v9(3, options9(257, []uint16{1, 4}, []uint16{48, 1, 50, 4}), set(257, u32(0), u8(1), u32(1000), u32(0), u8(2), u32(2000))))
	run(t, d, router, v9(4, options9(258, []uint16{1, 4}, []uint16{34, 4}), set(258, u32(0), u32(64))))
	run(t, d, router, ipfix(5, options10(256, 1, 234, 4, 236, 8), set(256, u32(9), []byte("red\x00\x00\x00\x00\x00"))))
	saves := store.saves
	run(t, d, router, v9(3, set(256, u32(7), u32(100), []byte("eth0\x00\x00\x00\x00"), []byte("up\x00\x00"))))
	want(t, "saves of what is known", store.saves, saves)

	check := func(d *Decoder, from flow.Datagram) {
		t.Helper()
		b, _ := run(t, d, from, v9(3, set(300, u32(7), u8(0), u32(8), u8(1), u32(8), u8(2))), v9(4, flows, set(300, u32(1), u8(0))))
		for i, rate := range []uint32{100, 1000, 2000, 64} {
			want(t, "rate", b.SamplingRate[i], rate)
			want(t, "quality", b.Quality[i], flow.SamplingFromOption)
		}
	}
	check(d, router)
	restarted := New(Config{Templates: store})
	want(t, "restored", restarted.Restore(), Restored{Templates: 6, Options: 6})
	check(restarted, router)
	got, _ := nameOf(restarted, 3, 7)
	want(t, "interface", got, Label{"eth0", "up"})

	moved := router
	moved.Port++
	again := New(Config{Templates: store})
	again.Restore()
	check(again, moved)
	stranger := from("192.0.2.2", router.Port)
	b, _ := run(t, again, stranger, v9(4, flows, set(300, u32(1), u8(0))))
	want(t, "quality of another exporter", b.Quality[0], flow.SamplingAssumed)
}

func TestOptions_RatesThatSessionsDoNotAgreeOnAreNotTakenOver(t *testing.T) {
	d := New(Config{})
	rate := options9(258, []uint16{1, 4}, []uint16{34, 4})
	for port, n := range map[uint16]uint32{1: 64, 2: 128} {
		run(t, d, from("192.0.2.1", port), v9(4, rate, set(258, u32(0), u32(n))))
	}
	b, _ := run(t, d, from("192.0.2.1", 3), v9(4, set(0, tmpl(300, 1, 4)), set(300, u32(1))))
	want(t, "quality", b.Quality[0], flow.SamplingAssumed)
}

// What the budget of 256 MiB admits, the file of 64 MiB has room for.
func TestOptions_StoredOctetsAreAQuarterOfThoseCharged(t *testing.T) {
	store := &memoryStore{records: map[string][]byte{}}
	d := New(Config{Templates: store})
	for i := range uint32(1000) {
		name := join(bytes.Repeat([]byte("n"), int(1+i%200)), make([]byte, 212-i%200))
		run(t, d, router, ipfix(i%100, options10(uint16(256+i), 1, 10, 4, 82, 213, 34, 4), set(uint16(256+i), u32(i), name, u32(i+2))))
	}
	stored := int64(0)
	for key, r := range store.records {
		stored += int64(len(key)+len(r)) + 11
	}
	if used := d.state.used.Load(); len(store.records) != 3001 || stored > used/4 {
		t.Errorf("%d records of %d octets, %d charged", len(store.records), stored, used)
	}
	d.mu.Lock()
	for _, s := range d.sessions {
		d.forget(s)
	}
	d.mu.Unlock()
	want(t, "records of forgotten sessions", len(store.records), 0)
}
