package collector

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"tidemark/collector/flow"
)

// What real exporters were seen to do to a collector, numbered as the list that
// came with the captures of them. Each test sends it over UDP and looks at the
// rows, as they are after enrichment, and at the account.

// 1. softflowd's v9 header Count is wrong: the datagram ends where it ends.
func TestBadInput01_V9CountIsNotBelieved(t *testing.T) {
	l := newLab(t, Config{})
	d := v9Of(1, 0, setOf(0, templateOf(256, usual...)), setOf(256, usualRecord(1, 10), usualRecord(2, 20)), setOf(256, usualRecord(3, 30)))
	for i, count := range []uint16{0, 1, 65535} {
		binary.BigEndian.PutUint16(d[2:], count)
		binary.BigEndian.PutUint32(d[12:], uint32(i+1))
		l.send("127.0.0.1", d)
	}
	l.clean("127.0.0.1")
	b := l.rows(9)
	equal(t, "octets of the last", b.Bytes[8], 30)
}

// 2. softflowd's IPFIX numbers count the records of the message itself.
func TestBadInput02_NumbersThatIncludeTheirOwnMessageShowNoLoss(t *testing.T) {
	l := newLab(t, Config{})
	sequence := uint32(0)
	for i := range 30 {
		n := 1 + i%3
		sequence += uint32(n)
		if i == 20 {
			continue // this one is really lost: 3 records
		}
		l.send("127.0.0.1", ipfixOf(sequence, 0, setOf(2, templateOf(256, usual...)), setOf(256, bytes.Repeat(usualRecord(1, 1), n))))
	}
	e := l.status("127.0.0.1")
	equal(t, "expected", e.Expected, uint64(sequence))
	equal(t, "lost", e.Lost, 3)
	equal(t, "restarts and the like", e.Restarts+e.Reordered+e.Duplicates, 0)
}

// 3. A restart of the exporter resets numbers, uptime and templates.
func TestBadInput03_RestartOfTheExporterIsNoLoss(t *testing.T) {
	for name, message := range map[string]func(sequence, uptime uint32) []byte{
		"v5": func(sequence, uptime uint32) []byte {
			d := v5(sequence, 2)
			binary.BigEndian.PutUint32(d[4:], uptime)
			binary.BigEndian.PutUint32(d[8:], labSeconds)
			return d
		},
		"v9": func(sequence, uptime uint32) []byte {
			d := v9Of(sequence, 0, setOf(0, templateOf(256, usual...)), setOf(256, usualRecord(1, 1), usualRecord(2, 1)))
			binary.BigEndian.PutUint32(d[4:], uptime)
			return d
		},
		"ipfix": func(sequence, _ uint32) []byte {
			return ipfixOf(sequence, 0, setOf(2, templateOf(256, usual...)), setOf(256, usualRecord(1, 1), usualRecord(2, 1)))
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, Config{})
			step := uint32(2)
			if name == "v9" {
				step = 1
			}
			for life := range uint32(2) {
				for i := range uint32(5) {
					base := 1_000_000 * (1 - life) // the first life is long, the second begins at 0
					l.send("127.0.0.1", message(base+i*step, base*3600+i*1000+1))
				}
			}
			l.clean("127.0.0.1")
			e := l.status("127.0.0.1")
			equal(t, "restarts", e.Restarts, 1)
			equal(t, "template conflicts", e.Conflicts, 0)
			l.rows(20)
		})
	}
}

// 4. Times in the future, ends before starts, 1970, years off: the row stays,
// labelled, with the raw time; where the exporter's clock is trusted, as is.
func TestBadInput04_ImpossibleTimesAreClampedLabelledAndKept(t *testing.T) {
	const day = 86400
	times := []struct {
		start, end uint32 // seconds since 1970
		clamped    bool
	}{
		{labSeconds - 10, labSeconds - 5, false},
		{labSeconds + 400*day, labSeconds + 401*day, true},
		{labSeconds - 5, labSeconds - 10, false}, // end before start
		{0, 0, true},                             // 1970
		{labSeconds - 3*365*day, labSeconds - 3*365*day + 60, true},
	}
	message := func() []byte {
		var records []byte
		for _, w := range times {
			records = octets(records, w.start, w.end, uint32(1))
		}
		return ipfixOf(0, 0, setOf(2, templateOf(256, 150, 4, 151, 4, 1, 4)), setOf(256, records))
	}()
	live := newLab(t, Config{})
	live.send("127.0.0.1", message)
	b := live.rows(len(times))
	for i, w := range times {
		equal(t, fmt.Sprint("clamped of row ", i), b.Quality[i]&flow.TimeClamped != 0, w.clamped)
		equal(t, "time received", b.TimeReceived[i], labNow)
		if w.clamped {
			has(t, b, i, 0, 150, octets(w.start))
			has(t, b, i, 0, 151, octets(w.end))
		}
		if b.EventEnd[i] < b.EventStart[i] || b.EventStart[i] < labNow-8*day*1e9 || b.EventEnd[i] > labNow+3600e9 {
			t.Errorf("row %d: for detection from %d to %d, want an interval about %d", i, b.EventStart[i], b.EventEnd[i], labNow)
		}
	}
	trusted := newLab(t, Config{Exporters: []ExporterConfig{{Address: Network{netip.MustParsePrefix("127.0.0.0/8")}, Clock: AsExported}}})
	trusted.send("127.0.0.1", message)
	b = trusted.rows(len(times))
	for i, w := range times {
		equal(t, fmt.Sprint("quality of row ", i), b.Quality[i]&(flow.TimeClamped|flow.AsExported), flow.AsExported)
		equal(t, "start as exported", b.TimeFlowStart[i], int64(w.start)*1e9)
	}
}

// 5. One record may span a week: it is one row, with its own start and end.
func TestBadInput05_AWeekInOneRecordIsOneRow(t *testing.T) {
	const week = 7 * 86400
	l := newLab(t, Config{})
	l.send("127.0.0.1", ipfixOf(0, 0, setOf(2, templateOf(256, 150, 4, 151, 4, 1, 4)), setOf(256, uint32(labSeconds-week), uint32(labSeconds), uint32(1e9))))
	b := l.rows(1)
	equal(t, "quality", b.Quality[0]&flow.TimeClamped, 0)
	equal(t, "length", b.TimeFlowEnd[0]-b.TimeFlowStart[0], week*int64(time.Second))
	equal(t, "length for detection", b.EventEnd[0]-b.EventStart[0], week*int64(time.Second))
}

// 6. Exporters count octets differently: each is stored as it was exported.
func TestBadInput06_OctetsOfTwoExportersAreNotMixed(t *testing.T) {
	l := newLab(t, Config{})
	for source, count := range map[string]uint32{"127.0.0.1": 1000, "127.0.0.2": 1028} {
		l.send(source, v9Of(1, 0, setOf(0, templateOf(256, usual...)), setOf(256, usualRecord(1, count))))
	}
	b := l.rows(2)
	for i := range 2 {
		want := uint64(1000)
		if b.SamplerAddress[i][15] == 2 {
			want = 1028
		}
		equal(t, "octets", b.Bytes[i], want)
	}
	equal(t, "conversation", b.Conversation[0], b.Conversation[1])
}

// 7. A VLAN tag in one direction only: the halves pair by the 5-tuple, and the
// device is the one its MAC names.
func TestBadInput07_VLANOfOneDirectionDoesNotPartTheHalves(t *testing.T) {
	device, router := []byte{2, 0, 0, 0, 0, 1}, []byte{2, 0, 0, 0, 0, 0xfe}
	l := newLab(t, Config{})
	l.send("127.0.0.1", v9Of(1, 0,
		setOf(0, templateOf(256, 8, 4, 12, 4, 7, 2, 11, 2, 4, 1, 56, 6, 80, 6, 58, 2), templateOf(257, 8, 4, 12, 4, 7, 2, 11, 2, 4, 1, 56, 6, 80, 6)),
		setOf(256, "10.0.0.1", "192.0.2.9", uint16(40000), uint16(443), 6, device, router, uint16(40)),
		setOf(257, "192.0.2.9", "10.0.0.1", uint16(443), uint16(40000), 6, router, device)))
	b := l.rows(2)
	equal(t, "conversation", b.Conversation[0], b.Conversation[1])
	equal(t, "device", b.SrcDevice[0], b.DstDevice[1])
	equal(t, "identity", b.DstIdentity[1], flow.IdentityMAC)
	equal(t, "VLAN tagged", b.SrcVLAN[0], 40)
	equal(t, "VLAN known, of both", [2]bool{b.Presence[0]&flow.HasVLANIn != 0, b.Presence[1]&flow.HasVLANIn != 0}, [2]bool{true, false})
}

// 8. Which elements hold the MACs differs; DHCP from 0.0.0.0 has only its MAC;
// the gateway's MAC stands for every host of the internet and is no device.
func TestBadInput08_MACsInAnyElementAndGateways(t *testing.T) {
	device, gateway := []byte{2, 0, 0, 0, 0, 1}, []byte{2, 0, 0, 0, 0, 0xfe}
	l := newLab(t, Config{})
	for i, pair := range [][2]uint16{{56, 57}, {56, 80}, {81, 80}} {
		l.send("127.0.0.1", v9Of(uint32(i), 0, setOf(0, templateOf(uint16(256+i), 8, 4, 12, 4, 7, 2, 11, 2, 4, 1, pair[0], 6, pair[1], 6)),
			setOf(uint16(256+i), "10.0.0.1", "192.0.2.9", uint16(40000+i), uint16(443), 6, device, gateway)))
	}
	var replies []byte // many hosts behind one MAC
	for i := range 40 {
		replies = octets(replies, []byte{198, 51, 100, byte(i)}, "10.0.0.1", uint16(443), uint16(50000+i), 6, gateway, device)
	}
	l.send("127.0.0.1", v9Of(3, 0, setOf(257, replies)))
	l.send("127.0.0.1", v9Of(4, 0, setOf(257, "0.0.0.0", "255.255.255.255", uint16(68), uint16(67), 17, device, []byte{255, 255, 255, 255, 255, 255})))
	b := l.rows(44)
	for i := range 3 {
		equal(t, "source MAC", b.SrcMAC[i], 0x020000000001)
		equal(t, "destination MAC", b.DstMAC[i], 0x0200000000fe)
	}
	if b.SrcDevice[43] == 0 || b.SrcDevice[43] != b.SrcDevice[0] || b.SrcIdentity[43] != flow.IdentityMAC {
		t.Errorf("DHCP: device %x by %v, want that of its MAC, %x", b.SrcDevice[43], b.SrcIdentity[43], b.SrcDevice[0])
	}
	for i := 3; i < 43; i++ {
		if b.SrcDevice[i] != 0 || b.DstDevice[i] != b.SrcDevice[0] {
			t.Fatalf("row %d: source device %x, destination %x: want none, and %x", i, b.SrcDevice[i], b.DstDevice[i], b.SrcDevice[0])
		}
	}
}

// 9. The rate is in the v5 header below two bits of mode, in options by
// interface, several per exporter, and may come after the data it is for.
func TestBadInput09_SamplingFromWhereverItIs(t *testing.T) {
	l := newLab(t, Config{})
	d := v5(0, 1)
	binary.BigEndian.PutUint16(d[22:], 1<<14|100)
	l.send("127.0.0.1", d)

	data := func(sequence uint32) []byte {
		return v9Of(sequence, 0, setOf(0, templateOf(256, 10, 4, 1, 4)), setOf(256, uint32(7), uint32(1), uint32(8), uint32(2), uint32(9), uint32(3)))
	}
	options := v9Of(2, 0, setOf(1, uint16(300), uint16(4), uint16(4), uint16(2), uint16(4), uint16(34), uint16(4)),
		setOf(300, uint32(7), uint32(10), uint32(8), uint32(1000)))
	l.send("127.0.0.2", data(1), options, data(3))
	b := l.rows(7)
	rates := func(quality uint16) (out []uint32) {
		for i := range b.Len() {
			if b.Quality[i]&(flow.SamplingAssumed|flow.SamplingFromOption) == quality {
				out = append(out, b.SamplingRate[i])
			}
		}
		return out
	}
	if got := rates(0); !slices.Equal(got, []uint32{100}) {
		t.Errorf("rates of the header: %v, want 100 without the mode", got)
	}
	if got := rates(flow.SamplingAssumed); !slices.Equal(got, []uint32{1, 1, 1, 1}) {
		t.Errorf("rates assumed: %v, want 1 before the options, and for the interface they do not name", got)
	}
	if got := rates(flow.SamplingFromOption); !slices.Equal(got, []uint32{10, 1000}) {
		t.Errorf("rates of options: %v, want 10 and 1000", got)
	}
}

// 10. Data before its template; options only; a message without any template.
func TestBadInput10_DataBeforeItsTemplateWaits(t *testing.T) {
	l := newLab(t, Config{})
	l.send("127.0.0.1", v9Of(1, 0, setOf(256, usualRecord(1, 1), usualRecord(2, 2))), v9Of(2, 0, setOf(999, usualRecord(9, 9))))
	equal(t, "waiting", l.status("127.0.0.1").Waiting, 2)
	l.send("127.0.0.1", v9Of(3, 0, setOf(0, templateOf(256, usual...))))
	equal(t, "late flows", l.status("127.0.0.1").Late, 2)
	equal(t, "still waiting", l.status("127.0.0.1").Waiting, 1)
	l.send("127.0.0.1", v9Of(4, 0, setOf(256, usualRecord(3, 3))))
	l.send("127.0.0.2", v9Of(1, 0, setOf(1, uint16(300), uint16(4), uint16(4), uint16(2), uint16(4), uint16(34), uint16(4)), setOf(300, uint32(7), uint32(10))))
	l.clean("127.0.0.2")
	equal(t, "options records", l.status("127.0.0.2").OptionsRecords, 1)
	b := l.rows(3)
	for i, late := range []bool{true, true, false} {
		equal(t, "port, in order", b.SrcPort[i], uint16(i+1))
		equal(t, "late", b.Quality[i]&flow.LateTemplate != 0, late)
	}
	l.undecodable("127.0.0.1", flow.ReasonTemplateUnknown, 1) // given up when the collector ended
}

// 11. Template ids are reused by another exporter on the address, by another
// protocol and in another domain.
func TestBadInput11_ReusedTemplateIDsAreKeptApart(t *testing.T) {
	l := newLab(t, Config{})
	other := []uint16{1, 4, 8, 4}
	record := octets(uint32(77), "10.0.0.7")
	l.send("127.0.0.1/a", v9Of(1, 0, setOf(0, templateOf(256, usual...))))
	l.send("127.0.0.1/b", v9Of(1, 0, setOf(0, templateOf(256, other...))))
	l.send("127.0.0.1/a", v9Of(1, 5, setOf(0, templateOf(256, other...))), ipfixOf(0, 0, setOf(2, templateOf(256, other...))))
	l.send("127.0.0.1/a", v9Of(2, 0, setOf(256, usualRecord(9, 9))), v9Of(2, 5, setOf(256, record)), ipfixOf(0, 0, setOf(256, record)))
	l.send("127.0.0.1/b", v9Of(2, 0, setOf(256, record)))
	l.clean("127.0.0.1")
	b := l.rows(4)
	for i, want := range []uint64{9, 77, 77, 77} {
		equal(t, fmt.Sprint("octets of row ", i), b.Bytes[i], want)
	}
	for _, e := range l.Exporters() {
		equal(t, "conflicts", e.Conflicts, 0)
	}
}

// 12. Zero-length fields and scopes, zeros after the last set, octets after the
// records of v5, and templates that are illegal, broken or incomplete.
func TestBadInput12_NonsenseCostsItselfOnly(t *testing.T) {
	l := newLab(t, Config{})
	l.send("127.0.0.1", v9Of(1, 0, setOf(0, templateOf(256, 8, 4, 1, 4, 95, 0)), setOf(256, "10.0.0.1", uint32(5)))) // a field of no octets
	l.send("127.0.0.1", v9Of(2, 0, setOf(1, uint16(300), uint16(4), uint16(4), uint16(1), uint16(0), uint16(34), uint16(4)), setOf(300, uint32(64)), setOf(256, "10.0.0.2", uint32(6))))
	l.send("127.0.0.1", v9Of(3, 0, setOf(256, "10.0.0.3", uint32(7)), make([]byte, 32))) // Palo Alto
	l.clean("127.0.0.1")

	l.send("127.0.0.2", append(v5(0, 2), 1, 2, 3))
	l.undecodable("127.0.0.2", flow.ReasonTrailing, 1)

	whole := setOf(256, "10.0.0.4", uint32(8))
	for name, bad := range map[string][]byte{
		"id below 256":          setOf(0, templateOf(255, 8, 4)),
		"no fields":             setOf(0, templateOf(257)),
		"no octets in a record": setOf(0, templateOf(257, 8, 0)),
		"fields cut off":        setOf(0, uint16(257), uint16(9), uint16(8), uint16(4)),
	} {
		before := l.status("127.0.0.1").Undecodable[flow.ReasonTemplateInvalid.String()]
		l.send("127.0.0.1", v9Of(4, 0, bad, whole))
		if got := l.status("127.0.0.1").Undecodable[flow.ReasonTemplateInvalid.String()]; got != before+1 {
			t.Errorf("%s: %d templates refused, want %d", name, got, before+1)
		}
	}
	l.send("127.0.0.1", v9Of(5, 0, whole, octets(uint16(256), uint16(3)))) // a set shorter than its header
	l.undecodable("127.0.0.1", flow.ReasonMalformed, 1)
	b := l.rows(3 + 2 + 4 + 1)
	equal(t, "rate of the scope without octets", b.SamplingRate[1], 64)
}

// 13. Variable lengths within v9 (H3C), addresses of 2 octets, reduced sizes,
// enterprise elements, and YAF's lists of lists.
func TestBadInput13_LengthsNobodyExpects(t *testing.T) {
	l := newLab(t, Config{})
	l.send("127.0.0.1", v9Of(1, 0, setOf(0, templateOf(256, 96, 65535, 8, 4)), setOf(256, 2, []byte("ab"), "10.0.0.1", 255, uint16(3), []byte("xyz"), "10.0.0.2")))
	l.send("127.0.0.1", v9Of(2, 0, setOf(0, templateOf(257, 8, 2, 1, 3)), setOf(257, uint16(0x0a00), 1, 0, 0)))
	var fields []byte
	enterprises := []uint32{6876, 6871, 35632, 5951, 3054, 29305, 15397, 10704, 2011, 637, 2636, 25461, 26866}
	for _, pen := range enterprises {
		fields = octets(fields, uint16(0x8000|7), uint16(2), pen)
	}
	l.send("127.0.0.2", ipfixOf(0, 0, setOf(2, uint16(256), uint16(len(enterprises)), fields), setOf(256, bytes.Repeat([]byte{0xab, 0xcd}, len(enterprises)))))
	list := []byte{3, 1, 1, 0, 4, 1, 2, 3, 4} // semantic, template id, length, content: kept whole
	l.send("127.0.0.3", ipfixOf(0, 0, setOf(2, templateOf(256, 8, 4, 293, 65535, 1, 4)), setOf(256, "10.0.0.3", len(list), list, uint32(9))))
	for _, e := range []string{"127.0.0.1", "127.0.0.2", "127.0.0.3"} {
		l.clean(e)
	}
	b := l.rows(5)
	has(t, b, 0, 0, 96, []byte("ab"))
	has(t, b, 1, 0, 96, []byte("xyz"))
	equal(t, "second address", b.SrcAddr[1], netip.MustParseAddr("10.0.0.2").As16())
	has(t, b, 2, 0, 8, []byte{0x0a, 0})
	equal(t, "octets in three octets", b.Bytes[2], 65536)
	for _, pen := range enterprises {
		if pen == 29305 { // RFC 5103: the reverse of element 7, but no record answers
			continue
		}
		has(t, b, 3, pen, 7, []byte{0xab, 0xcd})
	}
	has(t, b, 4, 0, 293, list)
	equal(t, "octets behind the list", b.Bytes[4], 9)
}

// 14. NetFlow v5 on the sFlow port: the protocol is told by content.
func TestBadInput14_ProtocolIsToldByContent(t *testing.T) {
	l := newLab(t, Config{Listen: []string{"127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"}})
	for i := range 3 {
		l.sendTo(i, fmt.Sprintf("127.0.0.%d", 1+i), v5(0, 1), v9Of(1, 0, setOf(0, templateOf(256, usual...)), setOf(256, usualRecord(1, 1))),
			ipfixOf(0, 0, setOf(2, templateOf(256, usual...)), setOf(256, usualRecord(1, 1))), sflowOf(sflowSample(1, 0)))
	}
	for _, e := range l.Exporters() {
		equal(t, e.Protocol+" datagrams", e.Datagrams, 1)
	}
	equal(t, "exporters and protocols", len(l.Exporters()), 12)
	l.rows(12)
}

// 15. sFlow: counters only, expanded samples, discarded packets, a raw IPv4
// header, padding after samples, and datagrams that were cut.
func TestBadInput15_SFlowOfEveryShape(t *testing.T) {
	l := newLab(t, Config{})
	plain := sflowSample(1, 0)
	records := plain[8+32:]
	expanded := octets(uint32(1), uint32(0), uint32(7), uint32(512), uint32(1000), uint32(0), uint32(0), uint32(3), uint32(0), uint32(4), uint32(1), records)
	discarded := octets(uint32(1), uint32(0), uint32(7), uint32(256), uint32(3), uint32(0), uint32(262), uint32(1), records)
	l.send("127.0.0.1", sflowOf(octets(uint32(2), uint32(12), uint32(1), uint32(7), uint32(0)))) // counters, none in it
	l.send("127.0.0.1", sflowOf(octets(uint32(3), uint32(len(expanded)), expanded), octets(uint32(5), uint32(len(discarded)), discarded)))
	l.send("127.0.0.1", sflowOf(sflowSample(1, 8)))
	if got := l.Exporters()[0]; got.CounterSamples != 1 || len(got.Undecodable) != 0 {
		t.Errorf("%d counter samples, not decoded %v; want 1, none", got.CounterSamples, got.Undecodable)
	}
	cut := sflowOf(plain, sflowSample(2, 0))
	l.send("127.0.0.1", cut[:len(cut)-20])
	l.undecodable("127.0.0.1", flow.ReasonShort, 1)
	b := l.rows(5)
	for i := range 4 { // of the last, the packet's header was cut off
		equal(t, fmt.Sprint("source of row ", i), b.SrcAddr[i], netip.MustParseAddr("10.0.0.1").As16())
	}
	for i, rate := range []uint32{512, 1, 512, 512, 512} { // a discarded packet stands for itself
		equal(t, fmt.Sprint("rate of row ", i), b.SamplingRate[i], rate)
	}
}

// 16. Options that name an interface anew; ASA's templates without start or
// packets; exporters over IPv6; several domains on an address.
func TestBadInput16_NamesThatChangeAndFieldsThatAreNot(t *testing.T) {
	l := newLab(t, Config{Listen: []string{"127.0.0.1:0", "[::1]:0"}})
	name := func(sequence uint32, n string) []byte {
		return v9Of(sequence, 0, setOf(1, uint16(300), uint16(4), uint16(4), uint16(2), uint16(4), uint16(82), uint16(8)), setOf(300, uint32(7), []byte(n)))
	}
	l.send("127.0.0.1", name(1, "ge-0/0/0"), name(2, "uplink\x00\x00"))
	if got := l.status("127.0.0.1").Interfaces; !slices.Equal(got, []InterfaceStatus{{Index: 7, Name: "uplink"}}) {
		t.Errorf("interfaces %+v, want 7 by its later name", got)
	}
	asa := []uint16{8, 4, 12, 4, 7, 2, 11, 2, 4, 1, 233, 1, 323, 8, 231, 4, 232, 4}
	event := octets("10.0.0.1", "192.0.2.9", uint16(40000), uint16(443), 6, 2, uint64(labSeconds*1000), uint32(100), uint32(900))
	l.sendTo(1, "::1", v9Of(1, 1, setOf(0, templateOf(256, asa...)), setOf(256, event)), v9Of(1, 2, setOf(0, templateOf(256, asa...)), setOf(256, event)))
	e := l.status("::1")
	if !slices.Equal(e.Domains, []uint32{1, 2}) || e.Lost != 0 {
		t.Errorf("domains %v, %d lost: want 1 and 2 counted apart", e.Domains, e.Lost)
	}
	b := l.rows(4)
	equal(t, "octets both ways", [2]uint64{b.Bytes[0], b.Bytes[1]}, [2]uint64{100, 900})
	equal(t, "start and packets known", b.Presence[0]&(flow.HasStart|flow.HasPackets), 0)
	equal(t, "start for detection", b.EventStart[0], labSeconds*int64(time.Second)+0)
	equal(t, "event", b.FirewallEvent[0], 2)
	equal(t, "exporter", b.SamplerAddress[0], netip.MustParseAddr("::1").As16())
}

// 17. A flood: 37,669 flows of one packet from one MAC with random sources.
func TestBadInput17_AFloodFromOneMACIsOneDevice(t *testing.T) {
	const flows, perDatagram = 37_669, 40
	device, victim := []byte{2, 0, 0, 0, 0, 1}, []byte{2, 0, 0, 0, 0, 2}
	l := newLab(t, Config{})
	sequence := uint32(0)
	for sent := 0; sent < flows; {
		var records []byte
		for range min(perDatagram, flows-sent) {
			sent++
			source := uint32(sent) * 2654435761 // anywhere
			records = octets(records, source|1<<30, "10.0.0.2", uint16(sent), uint16(80), 6, uint32(40), uint32(1), device, victim)
		}
		sequence++
		l.send("127.0.0.1", v9Of(sequence, 0, setOf(0, templateOf(256, append(slices.Clone(usual), 56, 6, 80, 6)...)), setOf(256, records)))
	}
	l.clean("127.0.0.1")
	b := l.rows(flows)
	devices := map[uint64]int{}
	for i := range b.Len() {
		devices[b.SrcDevice[i]]++
	}
	delete(devices, 0)
	if len(devices) > 1 {
		t.Errorf("%d devices, want at most the one that has the MAC", len(devices))
	}
}
