package profile_test

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"tidemark/collector/flow"
	"tidemark/enrich/binding"
	"tidemark/profile"
)

// lease tells enrichment who has an address from hour to hour of the monday.
func (s *site) lease(book *binding.Book, addr string, mac uint64, from, to int) {
	s.t.Helper()
	at := func(h int) int64 { return monday.Add(time.Duration(h) * time.Hour).UnixNano() }
	book.Add(binding.Interval{Addr: netip.MustParseAddr(addr), MAC: mac, From: at(from), To: at(to), Source: binding.Lease}, at(from))
	s.enrich.Bind(book.Table())
}

// via adds conversations as another exporter shows them.
func (s *site) via(exporter string, talks ...talk) {
	first := s.batch.Len()
	s.add(talks...)
	for i := first; i < s.batch.Len(); i++ {
		s.batch.SamplerAddress[i] = netip.MustParseAddr(exporter).As16()
	}
}

// known is a device as the catalogue has to list it.
type known struct {
	id    uint64
	flows uint64
	addrs []string // sorted
}

// TestScenarios_OfIdentity: what enrichment makes of the flows of devices that
// move, change and share addresses, as the catalogue lists it in the end: nobody
// split, nobody merged, no gateway, and nothing counted twice.
func TestScenarios_OfIdentity(t *testing.T) {
	const natBox, standby, virtual = 0x0014bf_000001, 0x001c7f_53d029, 0x00005e_000105
	talks := func(from, n int, addr string, mac, dmac uint64) []talk {
		out := hours(monday.Add(time.Duration(from)*time.Hour), n, addr, "52.1.1.1", mac)
		for i := range out {
			out[i].dmac, out[i].sport = dmac, uint16(41000+from+i)
		}
		return out
	}
	tests := map[string]struct {
		flows func(s *site)
		want  []known
	}{
		"DHCP renumber in mid-flow, MACs shown": {func(s *site) {
			long := talks(4, 1, "10.0.0.5", camera, router)
			long[0].lasts = 3 * time.Hour // ends after the change
			s.add(talks(0, 4, "10.0.0.5", camera, router)...)
			s.add(long...)
			s.add(talks(5, 5, "10.0.0.77", camera, router)...)
		}, []known{{byMAC(camera), 20, []string{"10.0.0.5", "10.0.0.77"}}}},
		"DHCP renumber in mid-flow, leases tell": {func(s *site) {
			book := binding.NewBook()
			s.lease(book, "10.0.0.5", camera, 0, 5)
			s.lease(book, "10.0.0.77", camera, 5, 24)
			long := talks(4, 1, "10.0.0.5", 0, 0)
			long[0].lasts = 3 * time.Hour
			s.add(talks(0, 4, "10.0.0.5", 0, 0)...)
			s.add(long...)
			s.add(talks(5, 5, "10.0.0.77", 0, 0)...)
		}, []known{{byMAC(camera), 20, []string{"10.0.0.5", "10.0.0.77"}}}},
		"address reuse by another device an hour later": {func(s *site) {
			book := binding.NewBook()
			s.lease(book, "10.0.0.5", camera, 0, 4)
			s.lease(book, "10.0.0.5", sensor, 5, 24)
			s.add(talks(0, 4, "10.0.0.5", 0, 0)...)
			s.add(talks(5, 7, "10.0.0.5", 0, 0)...)
		}, []known{{byMAC(camera), 8, []string{"10.0.0.5"}}, {byMAC(sensor), 14, []string{"10.0.0.5"}}}},
		"VLAN move": {func(s *site) {
			for i, a := range []string{"10.1.0.5", "10.2.0.5", "10.3.0.5"} {
				first := s.batch.Len()
				s.add(talks(3*i, 3, a, camera, router)...)
				for n := first; n < s.batch.Len(); n++ {
					s.batch.SrcVLAN[n] = uint16(10 * (i + 1))
					s.batch.Presence[n] |= flow.HasVLANIn
				}
			}
		}, []known{{byMAC(camera), 18, []string{"10.1.0.5", "10.2.0.5", "10.3.0.5"}}}},
		"roaming": {func(s *site) { // counted are the records of whoever saw most of an edge
			s.add(talks(0, 4, "10.1.0.5", camera, router)...)
			s.via("192.0.2.2", talks(4, 3, "10.1.0.5", camera, router)...)
			s.via("192.0.2.3", talks(7, 3, "10.2.0.5", camera, router)...)
		}, []known{{byMAC(camera), 8, []string{"10.1.0.5", "10.2.0.5"}}}},
		"two exporters, one of them without MACs": {func(s *site) {
			s.add(talks(0, 6, "10.0.0.5", camera, router)...)
			s.via("192.0.2.2", talks(0, 6, "10.0.0.5", 0, 0)...)
		}, []known{{byMAC(camera), 12, []string{"10.0.0.5"}}}},
		"NAT box": {func(s *site) {
			for range 3 {
				s.add(talks(0, 6, "10.0.0.50", natBox, router)...)
			}
		}, []known{{byMAC(natBox), 36, []string{"10.0.0.50"}}}},
		"exporter without MACs": {func(s *site) {
			s.add(talks(0, 6, "10.0.0.5", 0, 0)...)
			s.add(talks(0, 4, "10.0.0.6", 0, 0)...)
		}, []known{{byAddress("10.0.0.5"), 12, []string{"10.0.0.5"}}, {byAddress("10.0.0.6"), 8, []string{"10.0.0.6"}}}},
		"IPv6 privacy addresses": {func(s *site) {
			for i, a := range []string{"fd00::1:a1b2:c3d4:e5f6", "fd00::1:1122:3344:5566", "10.0.0.5"} {
				one := talks(8*i, 2, a, camera, router)
				for n := range one {
					one[n].to = map[bool]string{true: "52.1.1.1", false: "2a00::1"}[a == "10.0.0.5"]
				}
				s.add(one...)
			}
		}, []known{{byMAC(camera), 12, []string{"10.0.0.5", "fd00::1:1122:3344:5566", "fd00::1:a1b2:c3d4:e5f6"}}}},
		"gateway failover": {func(s *site) {
			for i, gateway := range []uint64{router, virtual, standby} {
				s.add(talks(2*i, 2, "10.0.0.5", camera, gateway)...)
				s.add(talk{at: monday.Add(time.Duration(2*i) * time.Hour), from: "10.0.0.1", to: "10.0.0.5", mac: gateway, dmac: camera, proto: 17, port: 40000, sport: 53, out: 100})
			}
		}, []known{{byMAC(camera), 15, []string{"10.0.0.5"}}}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, profile.Config{})
			tt.flows(s)
			s.commit()
			list, err := s.Devices(t.Context(), profile.DeviceFilter{})
			if err != nil {
				t.Fatal(err)
			}
			var got []known
			for _, d := range list {
				k := known{id: d.ID, flows: d.Flows}
				for _, a := range d.Addresses {
					k.addrs = append(k.addrs, a.String())
				}
				slices.Sort(k.addrs)
				got = append(got, k)
			}
			order := func(a, b known) int { return int(int64(a.flows) - int64(b.flows)) }
			slices.SortFunc(got, order)
			slices.SortFunc(tt.want, order)
			if !slices.EqualFunc(got, tt.want, func(a, b known) bool { return a.id == b.id && a.flows == b.flows && slices.Equal(a.addrs, b.addrs) }) {
				t.Errorf("listed %+v, want %+v", got, tt.want)
			}
		})
	}
}
