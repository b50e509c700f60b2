package enrich

import (
	"net/netip"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"tidemark/collector/flow"
)

const (
	camera  = 0x0040_8c00_0001 // Axis
	sensor  = 0x240a_c400_0002 // Espressif
	router  = 0x001c_7f53_d028
	router2 = 0x3223_0311_752c
	now     = 1_700_000_000 * second
)

// record is a flow in short form: "addr port" of both ends.
type record struct {
	src, dst     string
	sport, dport uint16
	smac, dmac   uint64
	proto        uint8
	flags        uint16
	at           int64 // start = end, seconds after now
	vlan         uint16
	quality      uint16
	firewall     uint8
	ext          map[uint64][]byte
	exporter     byte
	packets      uint64 // 0 = 1
	sampling     uint32
}

func add(b *flow.Batch, r record) {
	i := b.NextRow()
	b.SrcAddr[i], b.DstAddr[i] = netip.MustParseAddr(r.src).As16(), netip.MustParseAddr(r.dst).As16()
	b.SrcPort[i], b.DstPort[i] = r.sport, r.dport
	b.Proto[i], b.TCPFlags[i] = r.proto, r.flags
	b.SamplerAddress[i][15] = r.exporter
	b.Packets[i], b.SamplingRate[i] = max(1, r.packets), r.sampling
	b.Presence[i] = flow.HasStart | flow.HasEnd | flow.HasTCPFlags
	if r.smac != 0 {
		b.SrcMAC[i] = r.smac
		b.Presence[i] |= flow.HasSrcMAC
	}
	if r.dmac != 0 {
		b.DstMAC[i] = r.dmac
		b.Presence[i] |= flow.HasDstMAC
	}
	b.SrcVLAN[i] = r.vlan
	b.Quality[i], b.FirewallEvent[i] = r.quality, r.firewall
	t := now + r.at*second
	b.TimeFlowStart[i], b.TimeFlowEnd[i], b.ExportTime[i], b.TimeReceived[i] = t, t, t, t
	for k, v := range r.ext {
		b.Extend(k, v)
	}
	b.EndRow()
}

func batch(rs ...record) *flow.Batch {
	b := &flow.Batch{}
	for _, r := range rs {
		add(b, r)
	}
	return b
}

func enricher(t testing.TB) *Enricher {
	t.Helper()
	e, err := New(Config{Site: "s"})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func addressID(a string) uint64 { return DeviceByAddress("s", 0, netip.MustParseAddr(a).As16()) }

func TestApply_Identity(t *testing.T) {
	cam, sens := DeviceByMAC("s", camera), DeviceByMAC("s", sensor)
	many := func(n int, mac uint64) (rs []record) {
		for i := range n {
			rs = append(rs, record{src: netip.AddrFrom4([4]byte{10, 9, 0, byte(i + 1)}).String(), dst: "10.0.0.2", smac: mac, dmac: camera, proto: 17})
		}
		return rs
	}
	type want struct {
		src, dst uint64
		si, di   flow.Identity
	}
	const none, mac, addr, gw = flow.IdentityNone, flow.IdentityMAC, flow.IdentityAddress, flow.IdentityGateway
	tests := []struct {
		name    string
		batches [][]record
		want    want // of the last record
	}{
		{"MAC on both sides", [][]record{{{src: "10.0.0.2", dst: "10.0.0.3", smac: camera, dmac: sensor}}}, want{cam, sens, mac, mac}},
		{"no MAC: address", [][]record{{{src: "10.0.0.2", dst: "10.0.0.3"}}}, want{addressID("10.0.0.2"), addressID("10.0.0.3"), addr, addr}},
		{"an internet peer is no device, nor is the gateway that owns it",
			[][]record{{{src: "10.0.0.2", dst: "8.8.8.8", smac: camera, dmac: router}}}, want{cam, 0, mac, none}},
		{"gateway's own address, gateway proved later in the batch",
			[][]record{{{src: "8.8.8.8", dst: "10.0.0.2", smac: router, dmac: camera}, {src: "10.0.0.1", dst: "10.0.0.2", smac: router, dmac: camera}}},
			want{addressID("10.0.0.1"), cam, gw, mac}},
		{"gateway's own address, proved after it",
			[][]record{{{src: "10.0.0.2", dst: "8.8.8.8", smac: camera, dmac: router}}, {{src: "10.0.0.2", dst: "10.0.0.1", smac: camera, dmac: router}}},
			want{cam, addressID("10.0.0.1"), mac, gw}},
		{"host behind a gateway", [][]record{{{src: "8.8.8.8", dst: "10.0.0.2", smac: router}}, {{src: "10.7.0.9", dst: "10.0.0.2", smac: router, dmac: camera}}},
			want{addressID("10.7.0.9"), cam, gw, mac}},
		{"host behind a gateway whose MAC another exporter saw",
			[][]record{{{src: "10.7.0.9", dst: "10.0.0.2", smac: sensor}, {src: "8.8.8.8", dst: "10.0.0.2", smac: router}}, {{src: "10.7.0.9", dst: "10.0.0.2", smac: router, dmac: camera}}},
			want{sens, cam, addr, mac}},
		{"next hop's MAC on what is sent to a gateway's address",
			[][]record{{{src: "8.8.8.8", dst: "10.0.0.2", smac: router}, {src: "10.0.0.1", dst: "10.0.0.2", smac: router}}, {{src: "10.0.0.2", dst: "10.0.0.1", smac: camera, dmac: router2}}},
			want{cam, addressID("10.0.0.1"), mac, gw}},
		{"a MAC with many addresses is a gateway", [][]record{many(9, router)}, want{addressID("10.9.0.9"), cam, gw, mac}},
		{"a MAC with a few addresses is a device", [][]record{many(8, sensor)}, want{sens, cam, mac, mac}},
		{"VRRP's MAC is never a device", [][]record{{{src: "10.0.0.1", dst: "10.0.0.2", smac: 0x00005e000105, dmac: camera}}}, want{addressID("10.0.0.1"), cam, gw, mac}},
		{"IPv4 and IPv6 of a MAC", [][]record{{{src: "10.0.0.2", dst: "10.0.0.3", smac: camera}, {src: "fe80::1", dst: "fe80::2", smac: camera, dmac: sensor}}}, want{cam, sens, mac, mac}},
		{"global IPv6 made of the MAC", [][]record{{{src: "10.0.0.2", dst: "10.0.0.3", smac: camera}, {src: "2001:db8::240:8cff:fe00:1", dst: "2001:4860::1", smac: camera, dmac: router}}}, want{cam, 0, mac, none}},
		{"a gateway's own link-local address", [][]record{{{src: "8.8.8.8", dst: "10.0.0.2", smac: router}, {src: "fe80::1", dst: "fe80::2", smac: router, dmac: camera}}}, want{0, cam, gw, mac}},
		{"DHCP carries the MAC", [][]record{{{src: "0.0.0.0", dst: "255.255.255.255", sport: 68, dport: 67, smac: camera, dmac: 0xffffffffffff, proto: 17}}}, want{cam, 0, mac, none}},
		{"multicast is no device", [][]record{{{src: "10.0.0.2", dst: "224.0.0.251", smac: camera, dmac: 0x01005e0000fb, proto: 17}}}, want{cam, 0, mac, none}},
		{"broadcast of a /24 inside the site", [][]record{{{src: "192.168.1.9", dst: "192.168.1.255", proto: 17}}}, want{addressID("192.168.1.9"), 0, addr, none}},
		{"address bound to a MAC by an earlier batch", [][]record{{{src: "10.0.0.2", dst: "10.0.0.3", smac: camera}}, {{src: "10.0.0.3", dst: "10.0.0.2"}}}, want{addressID("10.0.0.3"), cam, addr, mac}},
		{"address that moved to another MAC", [][]record{{{src: "10.0.0.2", dst: "10.0.0.3", smac: camera}}, {{src: "10.0.0.2", dst: "10.0.0.9", smac: sensor}, {src: "10.0.0.9", dst: "10.0.0.2"}}}, want{addressID("10.0.0.9"), sens, addr, mac}},
		{"forged sources of a device known for a day",
			[][]record{{{src: "10.0.0.2", dst: "10.0.0.3", smac: camera}}, {{src: "203.0.113.7", dst: "198.51.100.1", smac: camera, dmac: router, at: 90000}}},
			want{cam, 0, mac, none}},
		{"two VRFs with one address", [][]record{{{src: "10.0.0.2", dst: "10.0.0.3", ext: map[uint64][]byte{234: {0, 0, 0, 7}}}}},
			want{DeviceByAddress("s", 7, netip.MustParseAddr("10.0.0.2").As16()), DeviceByAddress("s", 7, netip.MustParseAddr("10.0.0.3").As16()), addr, addr}},
	}
	for _, tt := range tests {
		e := enricher(t)
		var b *flow.Batch
		for _, rs := range tt.batches {
			b = batch(rs...)
			e.Apply(b)
		}
		i := b.Len() - 1
		got := want{b.SrcDevice[i], b.DstDevice[i], b.SrcIdentity[i], b.DstIdentity[i]}
		if got != tt.want {
			t.Errorf("%s: got %x, want %x", tt.name, got, tt.want)
		}
	}
}

func TestSeed_RestoresGatewaysAndBindings(t *testing.T) {
	e := enricher(t)
	e.Seed([]Binding{
		{Addr: netip.MustParseAddr("10.0.0.1").As16(), MAC: router, Seen: now, Gateway: true},
		{Addr: netip.MustParseAddr("10.0.0.2").As16(), MAC: camera, Seen: now},
	})
	b := batch(record{src: "10.0.0.1", dst: "10.0.0.2", smac: router})
	e.Apply(b)
	if b.SrcDevice[0] != addressID("10.0.0.1") || b.DstDevice[0] != DeviceByMAC("s", camera) {
		t.Fatalf("got %x and %x, want the gateway by address and the camera by MAC", b.SrcDevice[0], b.DstDevice[0])
	}
}

func TestApply_Initiator(t *testing.T) {
	const unknown, src, dst = flow.InitiatorUnknown, flow.InitiatorSrc, flow.InitiatorDst
	tests := []struct {
		name  string
		rs    []record
		who   []flow.Initiator
		sure  uint8
		port  uint16
		pairs bool // first and last record are halves of one conversation
	}{
		{"client port against HTTPS", []record{{src: "10.0.0.2", dst: "1.1.1.1", sport: 50000, dport: 443, proto: 6, flags: 0x1b}}, []flow.Initiator{src}, 70, 443, false},
		{"reply half alone", []record{{src: "1.1.1.1", dst: "10.0.0.2", sport: 443, dport: 50000, proto: 6, flags: 0x1b}}, []flow.Initiator{dst}, 70, 443, false},
		{"halves in order, earlier start", []record{{src: "10.0.0.2", dst: "1.1.1.1", sport: 50000, dport: 40000, proto: 17}, {src: "1.1.1.1", dst: "10.0.0.2", sport: 40000, dport: 50000, proto: 17, at: 1}}, []flow.Initiator{src, dst}, 85, 40000, true},
		{"halves in reverse order, VLAN tag in one direction", []record{{src: "1.1.1.1", dst: "10.0.0.2", sport: 40000, dport: 50000, proto: 17, at: 1}, {src: "10.0.0.2", dst: "1.1.1.1", sport: 50000, dport: 40000, proto: 17, vlan: 7}}, []flow.Initiator{dst, src}, 85, 40000, true},
		{"starts of two exporters are not compared", []record{{src: "10.0.0.2", dst: "1.1.1.1", sport: 50000, dport: 40000, proto: 17}, {src: "1.1.1.1", dst: "10.0.0.2", sport: 40000, dport: 50000, proto: 17, at: 1, exporter: 9}}, []flow.Initiator{unknown, unknown}, 0, 0, true},
		{"SYN without ACK", []record{{src: "1.1.1.1", dst: "10.0.0.2", sport: 443, dport: 40000, proto: 6, flags: 0x02}}, []flow.Initiator{src}, 95, 40000, false},
		{"SYN answered by RST", []record{{src: "1.1.1.1", dst: "10.0.0.2", sport: 50000, dport: 23, proto: 6, flags: 0x02}, {src: "10.0.0.2", dst: "1.1.1.1", sport: 23, dport: 50000, proto: 6, flags: 0x14}}, []flow.Initiator{src, dst}, 95, 23, true},
		{"SYN-ACK alone", []record{{src: "1.1.1.1", dst: "10.0.0.2", sport: 443, dport: 40000, proto: 6, flags: 0x12}}, []flow.Initiator{dst}, 95, 443, false},
		{"a client's SYN and ACKs", []record{{src: "10.0.0.2", dst: "1.1.1.1", sport: 40000, dport: 443, proto: 6, flags: 0x12, packets: 2}}, []flow.Initiator{src}, 70, 443, false},
		{"starts of sampled halves", []record{{src: "1.1.1.1", dst: "10.0.0.2", sport: 123, dport: 123, proto: 17, sampling: 10}, {src: "10.0.0.2", dst: "1.1.1.1", sport: 123, dport: 123, proto: 17, at: 1000, sampling: 10}}, []flow.Initiator{unknown, unknown}, 0, 123, true},
		{"firewall event", []record{{src: "1.1.1.1", dst: "10.0.0.2", sport: 80, dport: 50000, proto: 6, firewall: 3}}, []flow.Initiator{src}, 100, 50000, false},
		{"biflow direction", []record{{src: "10.0.0.2", dst: "1.1.1.1", sport: 443, dport: 50000, proto: 6, flags: 0x1b, ext: map[uint64][]byte{239: {1}}}, {src: "1.1.1.1", dst: "10.0.0.2", sport: 50000, dport: 443, proto: 6, flags: 0x1b, quality: flow.BiflowReverse, ext: map[uint64][]byte{239: {1}}}}, []flow.Initiator{src, dst}, 90, 50000, true},
		{"biflow direction against a SYN in a record of its own", []record{{src: "10.0.0.2", dst: "1.1.1.1", sport: 80, dport: 64768, proto: 6, flags: 0x1b, ext: map[uint64][]byte{239: {1}}}, {src: "1.1.1.1", dst: "10.0.0.2", sport: 64768, dport: 80, proto: 6, flags: 0x02, ext: map[uint64][]byte{239: {2}}}}, []flow.Initiator{dst, src}, 95, 80, true},
		{"biflow direction of a session whose beginning the exporter did not see", []record{{src: "10.0.0.2", dst: "10.0.0.3", sport: 554, dport: 53693, proto: 6, flags: 0x18, ext: map[uint64][]byte{239: {1}}}}, []flow.Initiator{dst}, 70, 554, false},
		{"biflow direction where the ports say nothing", []record{{src: "10.0.0.2", dst: "10.0.0.3", sport: 60000, dport: 53693, proto: 6, flags: 0x18, ext: map[uint64][]byte{239: {1}}}}, []flow.Initiator{src}, 65, 53693, false},
		{"a known port that a client may have drawn", []record{{src: "10.0.0.2", dst: "10.0.0.3", sport: 37215, dport: 4070, proto: 6, flags: 0x1b}}, []flow.Initiator{unknown}, 0, 0, false},
		{"a known port among those of clients, against HTTPS", []record{{src: "10.0.0.2", dst: "10.0.0.3", sport: 37215, dport: 443, proto: 6, flags: 0x1b}}, []flow.Initiator{src}, 70, 443, false},
		{"a known port among those of clients", []record{{src: "10.0.0.2", dst: "10.0.0.3", sport: 50000, dport: 37215, proto: 6, flags: 0x1b}}, []flow.Initiator{src}, 70, 37215, false},
		{"NTP from port to port", []record{{src: "10.0.0.2", dst: "1.1.1.1", sport: 123, dport: 123, proto: 17}}, []flow.Initiator{unknown}, 0, 123, false},
		{"ping and its answer", []record{{src: "10.0.0.2", dst: "1.1.1.1", dport: 8 << 8, proto: 1}, {src: "1.1.1.1", dst: "10.0.0.2", proto: 1}}, []flow.Initiator{src, dst}, 95, 0, true},
		{"multicast", []record{{src: "10.0.0.2", dst: "239.1.1.1", sport: 50000, dport: 50001, proto: 17}}, []flow.Initiator{src}, 95, 50001, false},
	}
	for _, tt := range tests {
		e := enricher(t)
		b := batch(tt.rs...)
		e.Apply(b)
		last := b.Len() - 1
		for i, who := range tt.who {
			if b.Initiator[i] != who || b.InitiatorConfidence[i] != tt.sure || b.ServicePort[i] != tt.port {
				t.Errorf("%s, record %d: initiator %d at %d %%, port %d, want %d at %d %%, port %d", tt.name, i,
					b.Initiator[i], b.InitiatorConfidence[i], b.ServicePort[i], who, tt.sure, tt.port)
			}
		}
		if tt.pairs && b.Conversation[0] != b.Conversation[last] {
			t.Errorf("%s: halves have conversations %x and %x", tt.name, b.Conversation[0], b.Conversation[last])
		}
	}
}

func TestApply_LearnsServerPort(t *testing.T) {
	e := enricher(t)
	for i := range 5 {
		e.Apply(batch(record{src: "10.0.0.2", dst: "10.0.0.3", sport: uint16(50000 + i), dport: 61000, proto: 17}))
	}
	b := batch(record{src: "10.0.0.3", dst: "10.0.0.2", sport: 61000, dport: 50009, proto: 17})
	e.Apply(b)
	if b.Initiator[0] != flow.InitiatorDst || b.InitiatorConfidence[0] != sureLearned || b.ServicePort[0] != 61000 {
		t.Fatalf("initiator %d at %d %%, port %d, want dst at 85 %%, port 61000", b.Initiator[0], b.InitiatorConfidence[0], b.ServicePort[0])
	}
}

// A client's port that happens to be a known one makes the client no server of a
// service that is known from others.
func TestApply_LearnedServerAgainstAKnownPortOfClients(t *testing.T) {
	e := enricher(t)
	for i := range 5 {
		e.Apply(batch(record{src: "10.0.0.2", dst: "10.0.0.3", sport: uint16(50000 + i), dport: 4070, proto: 6, flags: 0x1b}))
	}
	b := batch(record{src: "10.0.0.2", dst: "10.0.0.3", sport: 37215, dport: 4070, proto: 6, flags: 0x1b})
	e.Apply(b)
	if b.Initiator[0] != flow.InitiatorSrc || b.ServicePort[0] != 4070 {
		t.Fatalf("initiator %d, port %d, want src, port 4070", b.Initiator[0], b.ServicePort[0])
	}
}

// A camera that keeps one ephemeral UDP port for all relays it asks is no server.
func TestApply_ClientThatKeepsItsUDPPortIsNoServer(t *testing.T) {
	e := enricher(t)
	for i := range 20 {
		e.Apply(batch(record{src: "10.0.0.2", dst: netip.AddrFrom4([4]byte{52, 1, 1, byte(i)}).String(), sport: 51000, dport: uint16(33000 + 7*i), proto: 17}))
	}
	b := batch(record{src: "52.1.1.99", dst: "10.0.0.2", sport: 40001, dport: 51000, proto: 17},
		record{src: "52.1.1.99", dst: "10.0.0.2", sport: 40001, dport: 20500, proto: 17})
	e.Apply(b)
	for i := range 2 {
		if b.Initiator[i] != flow.InitiatorUnknown {
			t.Errorf("record %d: initiator %d at %d %%, want unknown", i, b.Initiator[i], b.InitiatorConfidence[i])
		}
	}
}

func TestApply_InitiatorStaysWithLaterSlices(t *testing.T) {
	e := enricher(t)
	e.Apply(batch(record{src: "10.0.0.2", dst: "1.1.1.1", sport: 443, dport: 50000, proto: 6, firewall: 1}))
	b := batch(record{src: "1.1.1.1", dst: "10.0.0.2", sport: 50000, dport: 443, proto: 6, flags: 0x18, at: 1800})
	e.Apply(b)
	if b.Initiator[0] != flow.InitiatorDst || b.InitiatorConfidence[0] != sureExported {
		t.Fatalf("initiator %d at %d %%, want dst at 100 %%", b.Initiator[0], b.InitiatorConfidence[0])
	}
	b = batch(record{src: "1.1.1.1", dst: "10.0.0.2", sport: 50000, dport: 443, proto: 6, flags: 0x18, at: 1800 + 3*3600})
	e.Apply(b)
	if b.InitiatorConfidence[0] != surePort {
		t.Fatalf("confidence %d after a pause of three hours, want %d: a new conversation", b.InitiatorConfidence[0], surePort)
	}
}

func TestApply_Scope(t *testing.T) {
	tests := []struct {
		src, dst string
		proto    uint8
		port     uint16
		want     flow.Scope
	}{
		{"10.0.0.2", "192.168.1.3", 6, 80, flow.ScopeLAN},
		{"10.0.0.2", "9.9.9.9", 6, 80, flow.ScopeWAN},
		{"9.9.9.9", "10.0.0.2", 6, 80, flow.ScopeWAN},
		{"9.9.9.9", "8.8.8.8", 6, 80, flow.ScopeTransit},
		{"10.0.0.2", "10.255.255.255", 17, 9, flow.ScopeMulticast},
		{"10.0.0.2", "ff02::1", 17, 9, flow.ScopeMulticast},
		{"10.0.0.2", "10.0.0.3", 17, 1900, flow.ScopeMulticast},
		{"10.0.0.2", "9.9.9.9", 17, 1900, flow.ScopeWAN},
		{"127.0.0.1", "10.0.0.2", 6, 80, flow.ScopeUnknown},
		{"fe80::1", "fe80::2", 58, 135 << 8, flow.ScopeMulticast},
		{"fe80::1", "fe80::2", 6, 80, flow.ScopeLAN},
	}
	for _, tt := range tests {
		b := batch(record{src: tt.src, dst: tt.dst, proto: tt.proto, sport: 50000, dport: tt.port})
		enricher(t).Apply(b)
		if b.Scope[0] != tt.want {
			t.Errorf("%s -> %s proto %d port %d: scope %d, want %d", tt.src, tt.dst, tt.proto, tt.port, b.Scope[0], tt.want)
		}
	}
}

func TestClock(t *testing.T) {
	const h, day = hour, 24 * hour
	const both = flow.HasStart | flow.HasEnd
	tests := []struct {
		name                           string
		quality, presence              uint16
		start, end, exported, received int64
		wantStart, wantEnd             int64
	}{
		{"live, clocks agree", 0, both, now - 60*second, now - 5*second, now, now + second, now - 60*second, now - 5*second},
		{"live, exporter three years behind", 0, both, now - 1000*day - 60*second, now - 1000*day, now - 1000*day, now, now - 60*second, now},
		{"live, flow times of another clock", 0, both, 1 * second, 2 * second, now, now, now - maxAge, now - maxAge},
		{"live, start in the far future", 0, both, now + 100*day, now + 100*day, now, now, now + maxAhead, now + maxAhead},
		{"live, flow of a hundred days", 0, both, now - 100*day, now, now, now, now - maxAge, now},
		{"live, no times", 0, 0, 0, 0, now - 10*second, now - 9*second, now - 10*second, now - 10*second},
		{"live, end before start", 0, both, now, now - h, now, now, now, now},
		{"as exported, years ago", flow.AsExported, both, now - 1000*day, now - 999*day, now - 999*day, now, now - 1000*day, now - 999*day},
		{"as exported, no times", flow.AsExported, 0, 0, 0, now - 999*day, now, now - 999*day, now - 999*day},
		{"as exported, no clock at all", flow.AsExported, 0, 0, 0, 0, now, now, now},
		{"as exported, end only", flow.AsExported, flow.HasEnd, 0, now - day, now, now, now - day, now - day},
	}
	for _, tt := range tests {
		b := &flow.Batch{}
		i := b.NextRow()
		b.Quality[i], b.Presence[i] = tt.quality, tt.presence
		b.TimeFlowStart[i], b.TimeFlowEnd[i], b.ExportTime[i], b.TimeReceived[i] = tt.start, tt.end, tt.exported, tt.received
		b.EndRow()
		enricher(t).Apply(b)
		if b.EventStart[0] != tt.wantStart || b.EventEnd[0] != tt.wantEnd {
			t.Errorf("%s: [%d, %d] s from now, want [%d, %d]", tt.name, (b.EventStart[0]-now)/second, (b.EventEnd[0]-now)/second,
				(tt.wantStart-now)/second, (tt.wantEnd-now)/second)
		}
	}
}

func TestVendor(t *testing.T) {
	for mac, want := range map[uint64]string{
		0x00408c123456: "AXIS COMMUNICATIONS AB",
		0x240ac4123456: "Espressif Inc.",
		0x741ae01a0000: "Socionext Inc.",
		0x70b3d5719123: "2M Technology",    // MA-S
		0x0050c27d5123: "DEUTA-WERKE GmbH", // IAB
		0x322303117500: "(random)",
		0x000001ffffff: "XEROX CORPORATION",
	} {
		if got := Vendor(mac); got != want {
			t.Errorf("Vendor(%012x) = %q, want %q", mac, got, want)
		}
	}
	if n := len(assignments()); n < 40000 {
		t.Errorf("table of %d assignments, want more than 40000", n)
	}
}

func TestServiceName(t *testing.T) {
	for _, tt := range []struct {
		proto uint8
		port  uint16
		want  string
	}{{6, 443, "https"}, {17, 443, "https"}, {6, 123, "tcp/123"}, {17, 123, "ntp"}, {1, 0, "icmp"}, {47, 0, "gre"}, {99, 1, "proto-99"}} {
		if got := ServiceName(tt.proto, tt.port); got != tt.want {
			t.Errorf("ServiceName(%d, %d) = %q, want %q", tt.proto, tt.port, got, tt.want)
		}
	}
}

func TestRecent_IsBoundedAndKeepsWhatIsUsed(t *testing.T) {
	r := newRecent[int, int](100, func(k int) uint64 { return hashWord(uint64(k)) })
	for i := range 100000 {
		r.entry(i)
		r.find(0)
		if n := r.young.n + r.old.n; n > 200 {
			t.Fatalf("%d entries, want at most 200", n)
		}
	}
	if _, known := r.entry(0); !known {
		t.Fatal("an entry used all the time was dropped")
	}
	if _, known := r.entry(5); known {
		t.Fatal("an entry used once, 99995 entries ago, is still there")
	}
}

// BenchmarkApply is the cost per flow on two halves of 20,000 conversations of
// 1,000 devices.
func BenchmarkApply(b *testing.B) {
	e := enricher(b)
	src := &flow.Batch{}
	for i := range 20000 {
		d := netip.AddrFrom4([4]byte{10, 0, byte(i % 1000 >> 8), byte(i % 1000)}).String()
		p := netip.AddrFrom4([4]byte{52, byte(i >> 8), byte(i), 1}).String()
		port := uint16(40000 + i%20000)
		add(src, record{src: d, dst: p, sport: port, dport: 443, proto: 6, flags: 0x1b, smac: camera + uint64(i%1000), dmac: router})
		add(src, record{src: p, dst: d, sport: 443, dport: port, proto: 6, flags: 0x1b, smac: router, dmac: camera + uint64(i%1000)})
	}
	measure(b, e, src)
}

// measure reports the time and the CPU time of a flow: the second is what the
// machine's other work does not touch.
func measure(b *testing.B, e *Enricher, src *flow.Batch) {
	b.Helper()
	cpu := func() int64 {
		var u unix.Rusage
		if err := unix.Getrusage(unix.RUSAGE_THREAD, &u); err != nil {
			b.Fatal(err)
		}
		return u.Utime.Nano() + u.Stime.Nano()
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	e.Apply(src)
	b.ReportAllocs()
	begun := cpu()
	for b.Loop() {
		e.Apply(src)
	}
	n := float64(b.N * src.Len())
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/n, "ns/flow")
	b.ReportMetric(float64(cpu()-begun)/n, "cpu-ns/flow")
}

func TestApply_TrustedExporterWithoutClockSharesThatOfTheOthers(t *testing.T) {
	e, err := New(Config{Site: "s"})
	if err != nil {
		t.Fatal(err)
	}
	b := batch(record{src: "10.0.0.1", dst: "10.0.0.2", proto: 17, quality: flow.AsExported},
		record{src: "10.0.0.3", dst: "10.0.0.4", proto: 17, quality: flow.AsExported, exporter: 1})
	b.ExportTime[1], b.Presence[1], b.TimeReceived[1] = 0, 0, now+900*24*hour // sFlow: no time of its own
	e.Apply(b)
	if b.EventStart[1] != now || b.EventEnd[1] != now {
		t.Errorf("event of the sFlow record at %d to %d, want the other exporter's %d", b.EventStart[1], b.EventEnd[1], int64(now))
	}
}
