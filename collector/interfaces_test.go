package collector

import (
	"bytes"
	"net/netip"
	"slices"
	"testing"

	"tidemark/collector/sflow"
)

// counterSample is a counter sample of one interface: packets in, all unicast.
func counterSample(index, packets uint32) []byte {
	counters := make([]byte, 88)
	copy(counters, octets(index))
	copy(counters[32:], octets(packets))
	body := octets(uint32(1), index, uint32(1), uint32(1), uint32(len(counters)), counters)
	return octets(uint32(2), uint32(len(body)), body)
}

// What the counters say of an interface stands beside what its samples say, for
// the same time; an interface that is not sampled is left out of the sum.
func TestInterfaces_CountersAreHeldAgainstSamples(t *testing.T) {
	l := newLab(t, Config{})
	l.send("127.0.0.1", sflowOf(sflowSample(1, 0)))                                 // before the first counters: not compared
	l.send("127.0.0.1", sflowOf(counterSample(3, 1<<32-1000), counterSample(9, 0))) // the counter is about to wrap
	l.send("127.0.0.1", sflowOf(sflowSample(2, 0), sflowSample(3, 0)))              // interface 3, 1 in 512
	l.send("127.0.0.1", sflowOf(counterSample(3, 24), counterSample(9, 5000)))      // 1024 packets later
	l.send("127.0.0.1", sflowOf(sflowSample(4, 0)))                                 // after the last counters
	e := l.status("127.0.0.1")
	want := []InterfaceStatus{{Index: 3, CountedPackets: 1024, SampledPackets: 1024}, {Index: 9, CountedPackets: 5000}}
	if !slices.Equal(e.Interfaces, want) || e.CountedPackets != 1024 || e.SampledPackets != 1024 {
		t.Errorf("%+v, %d counted, %d sampled; want %+v", e.Interfaces, e.CountedPackets, e.SampledPackets, want)
	}
	l.send("127.0.0.1", sflowOf(counterSample(3, 7))) // the agent restarted
	if e := l.status("127.0.0.1"); e.CountedPackets != 1024 {
		t.Errorf("%d packets counted after a restart of the agent, want 1024", e.CountedPackets)
	}
}

func TestInterfaces_AreBounded(t *testing.T) {
	f := newInterfaces()
	for i := range uint32(maxExporterInterfaces + 10) {
		f.counters([16]byte{1}, [16]byte{}, 0, sflow.InterfaceCounters{Index: i})
		f.named([16]byte{1}, [16]byte{}, 0, i, bytes.Repeat([]byte("x"), 60000))
	}
	equal(t, "interfaces of an exporter", len(f.m), maxExporterInterfaces)
	for _, i := range f.m {
		equal(t, "octets of a name", len(i.name), maxInterfaceName)
	}
	for e := range byte(20) {
		for i := range uint32(maxExporterInterfaces) {
			f.counters([16]byte{2, e}, [16]byte{}, 0, sflow.InterfaceCounters{Index: i})
		}
	}
	equal(t, "interfaces of all", len(f.m), maxInterfaces)
}

// nameSample is a counter sample with a port_name record alone.
func nameSample(format uint32, source []byte, name string) []byte {
	text := append([]byte(name), make([]byte, (4-len(name)%4)%4)...)
	body := octets(uint32(1), source, uint32(1), uint32(1005), uint32(4+len(text)), uint32(len(name)), text)
	return octets(format, uint32(len(body)), body)
}

// Names stand beside the counters, whichever comes first, the later one holds;
// those of other things than interfaces are left out.
func TestInterfaces_AreNamedByCounterSamples(t *testing.T) {
	l := newLab(t, Config{})
	l.send("127.0.0.1", sflowOf(nameSample(2, octets(uint32(3)), "swp1"), nameSample(4, octets(uint32(0), uint32(9)), "uplink\x00\x00"), nameSample(2, octets(uint32(2<<24|7)), "slot")))
	l.send("127.0.0.1", sflowOf(counterSample(3, 1000)))
	l.send("127.0.0.1", sflowOf(sflowSample(1, 0), sflowSample(2, 0)))
	l.send("127.0.0.1", sflowOf(counterSample(3, 2024), nameSample(2, octets(uint32(3)), "swp3")))
	e := l.status("127.0.0.1")
	want := []InterfaceStatus{{Index: 3, Name: "swp3", CountedPackets: 1024, SampledPackets: 1024}, {Index: 9, Name: "uplink"}}
	if !slices.Equal(e.Interfaces, want) {
		t.Errorf("%+v, want %+v", e.Interfaces, want)
	}
}

// Names that options data gave are listed, of both kinds.
func TestExporters_ListNamesOfInterfacesAndVRFs(t *testing.T) {
	l := newLab(t, Config{})
	l.send("127.0.0.1", ipfixOf(0, 5, setOf(3, uint16(300), uint16(3), uint16(1), uint16(10), uint16(4), uint16(82), uint16(8), uint16(83), uint16(4)),
		setOf(300, uint32(8), []byte("eth8\x00\x00\x00\x00"), []byte("wan\x00"), uint32(7), []byte("eth7\x00\x00\x00\x00"), []byte("lan\x00")),
		setOf(3, uint16(301), uint16(2), uint16(1), uint16(234), uint16(4), uint16(236), uint16(4)), setOf(301, uint32(9), []byte("red\x00"))))
	e := l.status("127.0.0.1")
	want := []InterfaceStatus{{Domain: 5, Index: 7, Name: "eth7", Description: "lan"}, {Domain: 5, Index: 8, Name: "eth8", Description: "wan"}}
	if !slices.Equal(e.Interfaces, want) {
		t.Errorf("interfaces %+v, want %+v", e.Interfaces, want)
	}
	if len(e.VRFs) != 1 || e.VRFs[0].Name != "red" || e.VRFs[0].ID != 9 || e.Address != netip.MustParseAddr("127.0.0.1") {
		t.Errorf("VRFs %+v", e.VRFs)
	}
}
