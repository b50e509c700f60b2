package enrich

import (
	"net/netip"
	"runtime"
	"testing"

	"tidemark/collector/flow"
	"tidemark/enrich/binding"
)

const (
	phone1  = 0xdaa119_000001 // locally administered
	phone2  = 0xdaa119_000002
	vrrp    = 0x00005e_000105
	natBox  = 0x0014bf_000001
	minute  = 60 // seconds
	oneHour = 3600
)

// scene is a site at work: records go in, devices come out.
type scene struct {
	t    *testing.T
	e    *Enricher
	book *binding.Book
}

func newScene(t *testing.T) *scene { return &scene{t, enricher(t), binding.NewBook()} }

// lease tells of an address from and to seconds after now.
func (s *scene) lease(addr string, mac uint64, from, to int64) {
	s.book.Add(binding.Interval{Addr: netip.MustParseAddr(addr), MAC: mac, From: now + from*second, To: now + to*second, Source: binding.Lease}, now+from*second)
	s.e.Bind(s.book.Table())
}

// flow applies one record that lasts from and to seconds after now, and returns
// the devices of its ends.
func (s *scene) flow(r record, from, to int64) (src, dst uint64) {
	if r.proto == 0 {
		r.proto = 6
	}
	b := batch(r)
	b.TimeFlowStart[0], b.TimeFlowEnd[0] = now+from*second, now+to*second
	b.ExportTime[0], b.TimeReceived[0] = b.TimeFlowEnd[0], b.TimeFlowEnd[0]
	s.e.Apply(b)
	return b.SrcDevice[0], b.DstDevice[0]
}

func (s *scene) is(what string, got, want uint64) {
	s.t.Helper()
	if got != want {
		s.t.Errorf("%s: device %x, want %x", what, got, want)
	}
}

func mac(m uint64) uint64 { return DeviceByMAC("s", m) }

func TestScenario_DHCPRenumberInMidFlow(t *testing.T) {
	for _, shown := range []bool{true, false} { // the exporter shows MACs, or leases tell of them
		s := newScene(t)
		r := record{src: "10.0.0.5", dst: "52.1.1.1", sport: 40000, dport: 443}
		back := record{src: "52.1.1.1", dst: "10.0.0.5", sport: 443, dport: 40000}
		moved := record{src: "10.0.0.77", dst: "52.1.1.1", sport: 40001, dport: 443}
		if shown {
			r.smac, r.dmac, back.smac, back.dmac, moved.smac, moved.dmac = camera, router, router, camera, camera, router
		} else {
			s.lease("10.0.0.5", camera, -oneHour, 30*minute)
			s.lease("10.0.0.77", camera, 30*minute, oneHour)
		}
		src, _ := s.flow(r, 0, 10*minute)
		s.is("before", src, mac(camera))
		src, _ = s.flow(moved, 31*minute, 32*minute)
		s.is("after, from its new address", src, mac(camera))
		src, _ = s.flow(r, 20*minute, 40*minute)
		s.is("a flow of the old address that ends after the change", src, mac(camera))
		_, dst := s.flow(back, 20*minute, 40*minute)
		s.is("its other half", dst, mac(camera))
	}
}

func TestScenario_AddressReusedByAnotherDeviceAnHourLater(t *testing.T) {
	for _, shown := range []bool{true, false} {
		s := newScene(t)
		first := record{src: "10.0.0.5", dst: "10.0.0.9", sport: 40000, dport: 80}
		second := first
		if shown {
			first.smac, second.smac = camera, sensor
		} else {
			s.lease("10.0.0.5", camera, -oneHour, 10*minute)
			s.lease("10.0.0.5", sensor, 70*minute, 5*oneHour)
		}
		to := record{src: "10.0.0.9", dst: "10.0.0.5", sport: 80, dport: 40000}
		src, _ := s.flow(first, 0, minute)
		s.is("the first holder", src, mac(camera))
		src, _ = s.flow(second, 75*minute, 76*minute)
		s.is("the second holder", src, mac(sensor))
		_, dst := s.flow(to, 77*minute, 78*minute)
		s.is("what is sent to it now", dst, mac(sensor))
		_, dst = s.flow(to, minute, 2*minute) // reported an hour late
		s.is("what was sent to it then", dst, mac(camera))
	}
}

func TestScenario_MACRandomisationIsNewDeviceByMACEachTime(t *testing.T) {
	s := newScene(t)
	a, _ := s.flow(record{src: "10.0.0.5", dst: "1.1.1.1", smac: phone1, dmac: router, dport: 443}, 0, 1)
	b, _ := s.flow(record{src: "10.0.0.5", dst: "1.1.1.1", smac: phone2, dmac: router, dport: 443}, oneHour, oneHour+1)
	s.is("tonight's MAC", a, mac(phone1))
	s.is("tomorrow's MAC", b, mac(phone2)) // joined by its host name at query time (package profile)
	if Vendor(phone1) != "(random)" {
		t.Errorf("vendor of a random MAC: %q", Vendor(phone1))
	}
}

func TestScenario_VLANMoveAndRoamingKeepTheDevice(t *testing.T) {
	s := newScene(t)
	for i, r := range []record{
		{src: "10.1.0.5", vlan: 10, exporter: 1}, {src: "10.2.0.5", vlan: 20, exporter: 1}, {src: "10.2.0.5", vlan: 20, exporter: 2}, {src: "192.168.7.7", vlan: 30, exporter: 3},
	} {
		r.dst, r.smac, r.dmac, r.dport = "52.1.1.1", camera, router, 443
		src, _ := s.flow(r, int64(i)*oneHour, int64(i)*oneHour+1)
		s.is(r.src, src, mac(camera))
	}
}

func TestScenario_TwoExportersOneWithMACs(t *testing.T) {
	s := newScene(t)
	r := record{src: "10.0.0.5", dst: "52.1.1.1", sport: 40000, dport: 443, smac: camera, dmac: router, exporter: 1}
	bare := r
	bare.smac, bare.dmac, bare.exporter = 0, 0, 2
	behind := r
	behind.smac, behind.dmac, behind.exporter = router, router2, 3 // beyond the gateway
	s.flow(record{src: "8.8.8.8", dst: "10.0.0.5", smac: router, dmac: camera, sport: 53, dport: 40000}, 0, 1)
	for _, r := range []record{r, bare, behind} {
		src, _ := s.flow(r, 2, 3)
		s.is("as each of three exporters shows it", src, mac(camera))
	}
	bareConv, shownConv := batch(bare), batch(r)
	s.e.Apply(bareConv)
	s.e.Apply(shownConv)
	if bareConv.Conversation[0] != shownConv.Conversation[0] {
		t.Error("two exporters' records of one flow have two conversations")
	}
}

func TestScenario_NATBoxIsOneDevice(t *testing.T) {
	s := newScene(t)
	for i := range 200 { // all that is behind it shows its one address and MAC
		src, _ := s.flow(record{src: "10.0.0.50", dst: "52.1.1.1", sport: uint16(40000 + i), dport: 443, smac: natBox, dmac: router}, int64(i), int64(i)+1)
		s.is("behind a NAT box", src, mac(natBox))
	}
	_, dst := s.flow(record{src: "52.1.1.1", dst: "10.0.0.50", sport: 443, dport: 40000, smac: router, dmac: natBox}, 300, 301)
	s.is("answers to it", dst, mac(natBox))
}

func TestScenario_ExporterWithoutMACs(t *testing.T) {
	s := newScene(t)
	src, _ := s.flow(record{src: "10.0.0.5", dst: "52.1.1.1", dport: 443}, 0, 1)
	s.is("nobody knows a MAC", src, addressID("10.0.0.5"))
	s.lease("10.0.0.5", camera, 0, 10*oneHour)
	src, _ = s.flow(record{src: "10.0.0.5", dst: "52.1.1.1", dport: 443}, 10, 11)
	s.is("a lease tells of it", src, mac(camera))
	src, _ = s.flow(record{src: "10.0.0.5", dst: "52.1.1.1", dport: 443}, -2*oneHour, -oneHour)
	s.is("a flow from before the lease", src, addressID("10.0.0.5"))
}

func TestScenario_IPv6PrivacyAddresses(t *testing.T) {
	s := newScene(t)
	temporary := []string{"fd00::1:a1b2:c3d4:e5f6", "fd00::1:1122:3344:5566", "fe80::240:8cff:fe00:1", "10.0.0.5"}
	for _, a := range temporary {
		src, _ := s.flow(record{src: a, dst: "fd00::9", smac: camera, dport: 443}, 0, 1)
		s.is(a, src, mac(camera))
	}
	bare := newScene(t) // an exporter without MACs: the neighbour table knows
	for _, a := range temporary {
		bare.book.Add(binding.Interval{Addr: netip.MustParseAddr(a), MAC: camera, Source: binding.Neighbour}, now)
	}
	bare.e.Bind(bare.book.Table())
	for _, a := range temporary {
		src, _ := bare.flow(record{src: a, dst: "fd00::9", dport: 443}, 0, 1)
		bare.is(a+" without MAC", src, mac(camera))
	}
}

func TestScenario_GatewayFailover(t *testing.T) {
	s := newScene(t)
	first := record{src: "8.8.8.8", dst: "10.0.0.5", sport: 443, dport: 40000, smac: router, dmac: camera}
	s.flow(first, 0, 1)
	s.flow(record{src: "10.0.0.1", dst: "10.0.0.5", smac: router, dmac: camera, proto: 17, sport: 53, dport: 40000}, 1, 2)
	for i, m := range []uint64{vrrp, router2} { // the virtual router's MAC, then the standby's own
		at := int64(i+1) * 10 * minute
		_, dst := s.flow(record{src: "8.8.8.8", dst: "10.0.0.5", sport: 443, dport: 40000, smac: m, dmac: camera}, at, at+1)
		s.is("a device keeps its identity", dst, mac(camera))
		src, _ := s.flow(record{src: "10.0.0.1", dst: "10.0.0.5", smac: m, dmac: camera, proto: 17, sport: 53, dport: 40000}, at+2, at+3)
		s.is("the gateway's address", src, addressID("10.0.0.1"))
		src, _ = s.flow(record{src: "10.0.0.5", dst: "8.8.8.8", smac: camera, dmac: m, dport: 443}, at+4, at+5)
		s.is("a device that sends through it", src, mac(camera))
	}
}

// A gateway's own address is told as such, whatever shows it, so that no list of
// devices has it.
func TestSightings_GatewaysOwnAddresses(t *testing.T) {
	reach := record{src: "8.8.8.8", dst: "10.0.0.5", smac: router, dmac: camera, dport: 40000}
	own := record{src: "10.9.0.1", dst: "10.0.0.5", smac: router, dmac: camera, proto: 17, sport: 53, dport: 40000}
	ttl := own
	ttl.ext = map[uint64][]byte{flow.ExtensionKey(0, ieTTL): {64}}
	hop := record{src: "10.0.0.5", dst: "10.0.7.7", smac: camera, dport: 80, ext: map[uint64][]byte{flow.ExtensionKey(0, ieNextHop4): {10, 9, 0, 1}}}
	inventory := func(s *scene) {
		s.book.Add(binding.Interval{Addr: netip.MustParseAddr("10.9.0.1"), MAC: router, Source: binding.Inventory, Gateway: true}, now)
		s.e.Bind(s.book.Table())
	}
	arp := func(s *scene) {
		s.book.Add(binding.Interval{Addr: netip.MustParseAddr("10.9.0.1"), MAC: router, Source: binding.Neighbour}, now)
		s.e.Bind(s.book.Table())
	}
	for name, tt := range map[string]struct {
		told func(*scene)
		rs   []record
		want bool
	}{
		"nothing shows it":             {nil, []record{reach, own}, false},
		"it sends with a fresh TTL":    {nil, []record{reach, ttl}, true},
		"it is a next hop":             {nil, []record{reach, hop, own}, true},
		"the inventory says so":        {inventory, []record{own}, true},
		"ARP shows a gateway's MAC":    {arp, []record{reach, own}, true},
		"ARP shows a MAC of no router": {arp, []record{own}, false},
	} {
		s := newScene(t)
		if tt.told != nil {
			tt.told(s)
		}
		for i, r := range tt.rs {
			s.flow(r, int64(i), int64(i)+1)
		}
		list, _ := s.e.Sightings()
		got := false
		for _, i := range list {
			got = got || i.Gateway && i.Addr.String() == "10.9.0.1"
			if i.Gateway && i.Addr.String() == "10.0.0.5" {
				t.Errorf("%s: the camera is told as a gateway", name)
			}
		}
		if got != tt.want {
			t.Errorf("%s: told as a gateway's own: %t, want %t", name, got, tt.want)
		}
	}
}

func TestSightings_TellWhoHadAnAddressFromWhenToWhen(t *testing.T) {
	s := newScene(t)
	s.flow(record{src: "10.0.0.5", dst: "10.0.0.9", smac: camera, dport: 80}, 0, minute)
	first, _ := s.e.Sightings()
	if len(first) != 1 || first[0].MAC != camera || first[0].From != now+minute*second {
		t.Fatalf("first told: %+v, want the camera from its first flow", first)
	}
	if again, _ := s.e.Sightings(); len(again) != 0 {
		t.Fatalf("told again without news: %+v", again)
	}
	s.flow(record{src: "10.0.0.5", dst: "10.0.0.9", smac: sensor, dport: 80}, oneHour, oneHour)
	list, dropped := s.e.Sightings()
	if len(list) != 2 || dropped != 0 || list[0].MAC != camera || list[0].To != now+oneHour*second || list[1].MAC != sensor || list[1].From != now+oneHour*second {
		t.Fatalf("after another took the address: %+v, want the camera until then and the sensor from then", list)
	}
}

// BenchmarkApply_Leases is BenchmarkApply where no record shows a device's MAC
// and a table of 100,000 leases tells them.
func BenchmarkApply_Leases(b *testing.B) {
	e := enricher(b)
	book := binding.NewBook()
	for i := range uint64(100_000) {
		book.Add(binding.Interval{Addr: netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), MAC: camera + i, Source: binding.Lease}, now)
	}
	e.Bind(book.Table())
	src := &flow.Batch{}
	for i := range 20000 {
		d := netip.AddrFrom4([4]byte{10, 0, byte(i % 1000 >> 8), byte(i % 1000)}).String()
		p := netip.AddrFrom4([4]byte{52, byte(i >> 8), byte(i), 1}).String()
		port := uint16(40000 + i%20000)
		add(src, record{src: d, dst: p, sport: port, dport: 443, proto: 6, flags: 0x1b, smac: router, dmac: router2})
		add(src, record{src: p, dst: d, sport: 443, dport: port, proto: 6, flags: 0x1b, smac: router2, dmac: router})
	}
	measure(b, e, src)
}

func TestGateways_ComeAndGoWithTheInventory(t *testing.T) {
	s := newScene(t)
	r := record{src: "10.0.0.1", dst: "10.0.0.2", smac: router, dmac: camera, dport: 80}
	for i, listed := range []bool{false, true, false} {
		s.book.SetGateways(nil)
		want := mac(router)
		if listed {
			s.book.SetGateways([]uint64{router})
			want = addressID("10.0.0.1")
		}
		s.e.Bind(s.book.Table())
		src, _ := s.flow(r, int64(i), int64(i)+1)
		s.is("listed as a gateway or not", src, want)
	}
}

// BenchmarkMemory is what 100,000 devices with two addresses each, a lease for
// each, and a full table of conversations hold.
func BenchmarkMemory(b *testing.B) {
	const devices = 100_000
	address := func(i, family int) (a [16]byte) {
		if family == 0 {
			return netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}).As16()
		}
		return netip.AddrFrom16([16]byte{0: 0xfd, 13: byte(i >> 16), 14: byte(i >> 8), 15: byte(i)}).As16()
	}
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	for b.Loop() {
		before := heap()
		e := enricher(b)
		book := binding.NewBook()
		src := &flow.Batch{}
		for i := range devices {
			book.Add(binding.Interval{Addr: netip.AddrFrom16(address(i, 0)), MAC: camera + uint64(i), Source: binding.Lease, Name: "host-name"}, now)
			for family := range 2 {
				n := src.NextRow()
				src.SrcAddr[n], src.DstAddr[n], src.SrcMAC[n] = address(i, family), netip.AddrFrom4([4]byte{52, byte(i >> 8), byte(i), 1}).As16(), camera+uint64(i)
				src.SrcPort[n], src.DstPort[n], src.Proto[n] = uint16(40000+family), 443, 6
				src.Presence[n] = flow.HasSrcMAC
				src.TimeReceived[n], src.ExportTime[n] = now, now
				src.EndRow()
			}
			if src.Len() == 1000 {
				e.Bind(nil)
				e.Apply(src)
				src.Reset()
			}
		}
		e.Bind(book.Table())
		e.Apply(src)
		b.ReportMetric(float64(heap()-before)/(1<<20), "MiB")
		runtime.KeepAlive(book)
		runtime.KeepAlive(e)
	}
}
