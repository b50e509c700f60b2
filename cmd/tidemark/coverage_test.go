package main

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"tidemark/collector"
	"tidemark/collector/flow"
	"tidemark/enrich"
	"tidemark/profile/aggregate"
	"tidemark/storage"
	"tidemark/storage/storagetest"
)

// half is what one exporter shows of a conversation in one direction.
type half struct {
	from, to string
	mac      uint64 // of from, 0 = not exported
	packets  uint64
	rate     uint32
	vlan     uint16
	exporter string
	flags    uint16
	input    uint32 // interface, 0 = not exported
	output   uint32
}

func storeHalves(t *testing.T, s *store, halves []half) {
	t.Helper()
	e, err := enrich.New(enrich.Config{Site: s.cfg.Site, Networks: s.cfg.networks()})
	if err != nil {
		t.Fatal(err)
	}
	var b flow.Batch
	for i, h := range halves {
		r := b.NextRow()
		now := time.Now().Add(time.Duration(i) * time.Second).UnixNano()
		b.Protocol[r], b.Proto[r], b.SamplingRate[r] = flow.NetFlowV9, 6, max(h.rate, 1)
		b.SamplerAddress[r] = netip.AddrFrom16(netip.MustParseAddr(h.exporter).As16()).As16()
		b.SrcAddr[r], b.DstAddr[r] = netip.AddrFrom16(netip.MustParseAddr(h.from).As16()).As16(), netip.AddrFrom16(netip.MustParseAddr(h.to).As16()).As16()
		b.SrcPort[r], b.DstPort[r] = 40000, 443
		b.Packets[r], b.Bytes[r], b.TCPFlags[r], b.SrcMAC[r], b.SrcVLAN[r] = h.packets, h.packets*100, h.flags, h.mac, h.vlan
		b.Presence[r] = flow.HasBytes | flow.HasPackets | flow.HasStart | flow.HasEnd | flow.HasTCPFlags
		if h.mac != 0 {
			b.Presence[r] |= flow.HasSrcMAC
		}
		if h.input != 0 {
			b.InIf[r] = h.input
			b.Presence[r] |= flow.HasInIf
		}
		if h.output != 0 {
			b.OutIf[r] = h.output
			b.Presence[r] |= flow.HasOutIf
		}
		if h.vlan != 0 {
			b.Presence[r] |= flow.HasVLANIn
		}
		b.TimeReceived[r], b.TimeFlowStart[r], b.TimeFlowEnd[r], b.ExportTime[r] = now, now, now, now
		b.EndRow()
	}
	e.Apply(&b)
	if err := s.db.InsertFlows(t.Context(), 1, s.cfg.Site, 1, &b); err != nil {
		t.Fatal(err)
	}
	for _, block := range aggregate.New().Blocks(1, s.cfg.Site, 1, &b) {
		if err := s.db.InsertBlock(t.Context(), block.Table, storage.FlowsToken(1, 1), block.Data); err != nil {
			t.Fatal(err)
		}
	}
}

// TestCoverage_NamesBlindSpots: one network shown both ways, one of which only
// what is sent, a host that only receives, one that was merely scanned, and a
// network of the configuration of which there is nothing.
func TestCoverage_NamesBlindSpots(t *testing.T) {
	s := &store{cfg: Defaults(), db: storagetest.Open(t)}
	s.cfg.Networks = []collector.Network{{Prefix: netip.MustParsePrefix("10.1.0.0/16")}, {Prefix: netip.MustParsePrefix("10.9.0.0/16")}}
	storeHalves(t, s, []half{
		{from: "10.1.1.5", to: "198.51.100.7", mac: 0x00408c000001, packets: 40, exporter: "192.0.2.1", flags: 0x1b},
		{from: "198.51.100.7", to: "10.1.1.5", packets: 40, exporter: "192.0.2.1", flags: 0x1b},
		{from: "10.1.2.5", to: "198.51.100.7", packets: 500, rate: 100, vlan: 20, exporter: "192.0.2.2", flags: 0x1b},
		{from: "198.51.100.9", to: "10.1.3.5", packets: 60, exporter: "192.0.2.1", flags: 0x1b},
		{from: "10.1.1.5", to: "10.1.3.77", mac: 0x00408c000001, packets: 60, exporter: "192.0.2.1", flags: 0x02},
		{from: "10.1.2.6", to: "198.51.100.7", packets: 3, rate: 100, exporter: "192.0.2.2", flags: 0x1b},
	})
	v, err := s.coverage(t.Context(), 7)
	if err != nil {
		t.Fatal(err)
	}
	networks := map[string]networkCoverage{}
	for _, n := range v.Networks {
		networks[n.Network] = n
	}
	if n := networks["10.1.1.0/24"]; n.Devices != 1 || n.Both != 1 || n.ByMAC != 1 || n.Sampling != 1 || n.blind() != "" {
		t.Errorf("shown both ways: %+v, blind %q", n, n.blind())
	}
	if n := networks["10.1.2.0/24"]; n.Devices != 2 || n.NoReturn != 1 || n.ByAddress != 2 || n.Sampling != 100 || !slices.Equal(n.Exporters, []string{"192.0.2.2"}) {
		t.Errorf("shown one way: %+v", n)
	}
	if n := networks["10.1.3.0/24"]; n.Devices != 1 || n.NoSending != 1 {
		t.Errorf("only sent to: %+v", n)
	}
	var missing []string
	for _, d := range v.Devices {
		missing = append(missing, d.Address+" "+d.Missing)
	}
	slices.Sort(missing)
	if want := []string{"10.1.2.5 what it receives", "10.1.3.5 what it sends"}; !slices.Equal(missing, want) {
		t.Errorf("got %q, want %q", missing, want)
	}
	if !slices.Equal(v.Unseen, []string{"10.9.0.0/16"}) {
		t.Errorf("unseen %v", v.Unseen)
	}
	if len(v.VLANs) != 1 || v.VLANs[0].VLAN != 20 || v.VLANs[0].Sent != 500 || v.VLANs[0].Received != 0 {
		t.Errorf("VLANs %+v", v.VLANs)
	}
}

// TestCoverage_NamesInterfacesShownOneWay: interface 3 both ways, 4 only what its
// devices send; of an exporter that tells no output interface nothing is said.
func TestCoverage_NamesInterfacesShownOneWay(t *testing.T) {
	s := &store{cfg: Defaults(), db: storagetest.Open(t)}
	s.cfg.Names.Interfaces = []InterfaceConfig{{netip.MustParseAddr("192.0.2.1"), 4, "barn"}}
	storeHalves(t, s, []half{
		{from: "10.1.1.5", to: "198.51.100.7", packets: 40, exporter: "192.0.2.1", flags: 0x1b, input: 3, output: 9},
		{from: "198.51.100.7", to: "10.1.1.5", packets: 40, exporter: "192.0.2.1", flags: 0x1b, input: 9, output: 3},
		{from: "10.1.4.5", to: "198.51.100.7", packets: 40, exporter: "192.0.2.1", flags: 0x1b, input: 4, output: 9},
		{from: "10.1.4.5", to: "198.51.100.7", packets: 40, exporter: "192.0.2.2", flags: 0x1b, input: 5},
		{from: "10.1.4.5", to: "198.51.100.8", packets: 40, exporter: "192.0.2.2", flags: 0x02, input: 6},
	})
	v, err := s.coverage(t.Context(), 7)
	if err != nil {
		t.Fatal(err)
	}
	want := []interfaceCoverage{
		{Exporter: "192.0.2.1", Index: 3, Sent: 40, Received: 40, Devices: 1},
		{Exporter: "192.0.2.1", Index: 4, Name: "barn", Sent: 40, Devices: 1, Missing: missingReceived},
		{Exporter: "192.0.2.2", Index: 5, Sent: 40, Devices: 1},
	}
	if !slices.Equal(v.Interfaces, want) {
		t.Errorf("got %+v, want %+v", v.Interfaces, want)
	}
	var text strings.Builder
	v.writeInterfaces(&text)
	if got, want := text.String(), "\nbarn (interface 4) at 192.0.2.1: nothing that its devices receive is shown there\n"; got != want {
		t.Errorf("says %q, want %q", got, want)
	}
}
