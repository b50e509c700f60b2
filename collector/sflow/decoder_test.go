package sflow

import (
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tidemark/collector/flow"
)

func TestDecoder_FlowSampleIsOneRowOfOnePacket(t *testing.T) {
	batch, r := run(t, datagramOf(flowSampleOf(55, raw(headerEthernet, 1518, ethernet(typeIPv4, ipv4Of(6, 1500, 0, tcpOf(40000, 443, 0x12)))))))
	want(t, "flows", r.Flows, 1)
	want(t, "protocol", r.Protocol, flow.SFlowV5)
	want(t, "sub-agent", r.Domain, 9)
	want(t, "datagram sequence", r.Sequence, 1234)
	want(t, "units", r.SequenceUnits, 1)
	want(t, "uptime", r.UptimeMs, 60_000)
	want(t, "not decoded", r.Undecodable, [flow.NumReasons]uint32{})
	want(t, "sample sequence", batch.SequenceNum[0], 55)
	want(t, "domain", batch.ObservationDomain[0], 9)
	want(t, "packets", batch.Packets[0], 1)
	want(t, "octets: the IP packet", batch.Bytes[0], 1500)
	want(t, "rate", batch.SamplingRate[0], rate)
	want(t, "quality", batch.Quality[0], 0)
	want(t, "input", batch.InIf[0], inIf)
	want(t, "output with format bits", batch.OutIf[0], outIf)
	want(t, "source", batch.SrcAddr[0], netip.MustParseAddr("::ffff:10.0.0.1").As16())
	want(t, "ports", [2]uint16{batch.SrcPort[0], batch.DstPort[0]}, [2]uint16{40000, 443})
	want(t, "flags", batch.TCPFlags[0], 0x12)
	want(t, "TOS", batch.TOS[0], 0xb8)
	want(t, "source MAC", batch.SrcMAC[0], 0x0200_0000_0001)
	want(t, "no times", [3]int64{batch.TimeFlowStart[0], batch.TimeFlowEnd[0], batch.ExportTime[0]}, [3]int64{})
	want(t, "presence", batch.Presence[0], flow.HasBytes|flow.HasPackets|flow.HasTCPFlags|flow.HasTOS|flow.HasSrcMAC|flow.HasDstMAC|flow.HasInIf|flow.HasOutIf)
	want(t, "TTL", extension(t, batch, 0, 0, ipTTL), "\x3f")
	want(t, "frame", extension(t, batch, 0, 0, dataLinkFrameSize), string(words(1518)))
	want(t, "sample header", extension(t, batch, 0, EnterpriseSFlow, SampleHeader+flowSample), string(words(7, rate, 10_000, 0, inIf, outIf)))
	want(t, "extensions", batch.Ext.Count(0), 3)
}

func TestDecoder_ExpandedSampleReadsLikeACompactOne(t *testing.T) {
	batch, r := run(t, datagramOf(expandedSampleOf(55, raw(headerEthernet, 100, ethernet(typeIPv4, ipv4Of(17, 86, 0, udpOf(1, 2)))))))
	want(t, "flows", r.Flows, 1)
	want(t, "sequence", batch.SequenceNum[0], 55)
	want(t, "rate", batch.SamplingRate[0], rate)
	want(t, "input", batch.InIf[0], inIf)
	want(t, "output", batch.OutIf[0], outIf)
	want(t, "port", batch.DstPort[0], 2)
	extension(t, batch, 0, EnterpriseSFlow, SampleHeader+expandedFlowSample)
}

func TestDecoder_DiscardSampleIsARowWithItsReason(t *testing.T) {
	batch, r := run(t, datagramOf(discardSampleOf(5, 258, raw(headerEthernet, 100, ethernet(typeIPv4, ipv4Of(17, 86, 0, udpOf(1, 2)))), record(1036, words(42)))))
	want(t, "flows", r.Flows, 1)
	want(t, "discarded", r.DiscardedSamples, 1)
	want(t, "rate", batch.SamplingRate[0], 1)
	want(t, "quality", batch.Quality[0], flow.SamplingAssumed)
	want(t, "header with the reason", extension(t, batch, 0, EnterpriseSFlow, SampleHeader+discardSample), string(words(0, 7, 256, inIf, 0, 258)))
	want(t, "egress queue", extension(t, batch, 0, EnterpriseSFlow, 1036), string(words(42)))
}

func TestDecoder_CounterSamplesAreCounted(t *testing.T) {
	_, r := run(t, datagramOf(sampleOf(counterSample, words(1, 2, 0)), sampleOf(expandedCounterSample, words(1, 0, 2, 0)), flowSampleOf(1)))
	want(t, "counter samples", r.CounterSamples, 2)
	want(t, "flows", r.Flows, 1)
	want(t, "not decoded", r.Undecodable, [flow.NumReasons]uint32{})
}

func TestDecoder_RateZeroAndConfiguration(t *testing.T) {
	zero := datagramOf(sampleOf(flowSample, words(1, 7, 0, 0, 0, 1, 2, 0)))
	for _, c := range []struct {
		name       string
		configured uint32
		override   bool
		payload    []byte
		rate       uint32
		quality    uint16
	}{
		{"sample's rate", 99, false, datagramOf(flowSampleOf(1)), rate, 0},
		{"override", 99, true, datagramOf(flowSampleOf(1)), 99, flow.SamplingFromConfig},
		{"no rate", 0, false, zero, 1, flow.SamplingAssumed},
		{"no rate, configured", 99, false, zero, 99, flow.SamplingFromConfig},
	} {
		var b flow.Batch
		New(Config{Sampling: func([16]byte) (uint32, bool) { return c.configured, c.override }}).Decode(&b, agent, c.payload)
		if b.SamplingRate[0] != c.rate || b.Quality[0] != c.quality {
			t.Errorf("%s: rate %d, quality %#x, want %d, %#x", c.name, b.SamplingRate[0], b.Quality[0], c.rate, c.quality)
		}
	}
}

func TestDecoder_AgentThatIsNotTheSourceIsKept(t *testing.T) {
	dg := agent
	dg.Exporter = netip.MustParseAddr("::ffff:172.17.0.1").As16() // a NAT or bridge between
	var b flow.Batch
	New(Config{}).Decode(&b, dg, datagramOf(flowSampleOf(1)))
	want(t, "agent", extension(t, &b, 0, 0, originalExporterIPv4Address), string(ip(agent4)))

	v6 := join(words(5, 2), ip("2001:db8::9"), words(0, 1, 1, 1), flowSampleOf(1))
	b.Reset()
	New(Config{}).Decode(&b, dg, v6)
	want(t, "IPv6 agent", extension(t, &b, 0, 0, originalExporterIPv6Address), string(ip("2001:db8::9")))
}

func TestDecoder_SampledIPRecords(t *testing.T) {
	v4 := record(sampledIPv4, join(words(1400, 6), ip("10.1.1.1"), ip("10.1.1.2"), words(5000, 80, 0x18, 0x20)))
	mac := record(sampledEthernet, join(words(1418), srcMAC, []byte{0, 0}, dstMAC, []byte{0, 0}, words(0x0800)))
	batch, _ := run(t, datagramOf(flowSampleOf(1, mac, v4)))
	want(t, "source", batch.SrcAddr[0], netip.MustParseAddr("::ffff:10.1.1.1").As16())
	want(t, "octets", batch.Bytes[0], 1400)
	want(t, "flags", batch.TCPFlags[0], 0x18)
	want(t, "TOS", batch.TOS[0], 0x20)
	want(t, "MAC", batch.DstMAC[0], 0x0200_0000_0002)

	v6 := record(sampledIPv6, join(words(900, 17), ip("2001:db8::1"), ip("2001:db8::2"), words(53, 5353, 0, 0)))
	batch, _ = run(t, datagramOf(flowSampleOf(1, v6)))
	want(t, "IPv6", batch.DstAddr[0], netip.MustParseAddr("2001:db8::2").As16())
	want(t, "no flags for UDP", batch.Presence[0]&flow.HasTCPFlags, 0)

	header := raw(headerEthernet, 100, ethernet(typeIPv4, ipv4Of(17, 86, 0, udpOf(1, 2))))
	batch, _ = run(t, datagramOf(flowSampleOf(1, header, v4)))
	want(t, "the header wins", batch.DstPort[0], 2)
	extension(t, batch, 0, EnterpriseSFlow, sampledIPv4)
}

func TestDecoder_SwitchRouterAndGateway(t *testing.T) {
	header := raw(headerEthernet, 100, ethernet(0x8100, join(vlan(7, typeIPv4), ipv4Of(17, 86, 0, udpOf(1, 2)))))
	sw := record(extendedSwitch, words(10, 1, 20, 2))
	router := record(1002, join(words(1), ip("10.0.0.254"), words(24, 16)))
	gateway := record(extendedGateway, join(words(1), ip("10.0.0.253"), words(64500, 64501, 64502, 2, 2, 2, 1, 2, 1, 1, 64599, 1, 77, 100)))
	batch, r := run(t, datagramOf(flowSampleOf(1, header, sw, router, gateway)))
	want(t, "not decoded", r.Undecodable, [flow.NumReasons]uint32{})
	want(t, "VLANs of the switch", [2]uint16{batch.SrcVLAN[0], batch.DstVLAN[0]}, [2]uint16{10, 20})
	want(t, "tag on the wire", extension(t, batch, 0, 0, dot1qVLAN), "\x00\x07")
	want(t, "source AS", batch.SrcAS[0], 64501)
	want(t, "destination AS: the path's last", batch.DstAS[0], 64599)
	want(t, "router as exported", extension(t, batch, 0, EnterpriseSFlow, 1002), string(router[8:]))
	want(t, "gateway as exported", extension(t, batch, 0, EnterpriseSFlow, extendedGateway), string(gateway[8:]))

	unknown := record(extendedSwitch, words(0xffffffff, 0, 0xffffffff, 0))
	batch, _ = run(t, datagramOf(flowSampleOf(1, unknown)))
	want(t, "unknown VLANs are absent", batch.Presence[0]&(flow.HasVLANIn|flow.HasVLANOut), 0)
}

func TestDecoder_VendorRecordsAreKept(t *testing.T) {
	batch, _ := run(t, datagramOf(flowSampleOf(1, record(9<<12|5, words(1, 2)))))
	want(t, "vendor", extension(t, batch, 0, 9, 5), string(words(1, 2)))
}

func TestDecoder_FaultsAreCountedAndWholePartsKept(t *testing.T) {
	header := raw(headerEthernet, 100, ethernet(typeIPv4, ipv4Of(17, 86, 0, udpOf(1, 2))))
	two := datagramOf(flowSampleOf(1, header), flowSampleOf(2, header))
	for _, c := range []struct {
		name    string
		payload []byte
		reason  flow.Reason
		flows   int
	}{
		{"nothing", nil, flow.ReasonVersion, 0},
		{"version 4", words(4, 1), flow.ReasonVersion, 0},
		{"unknown address type", words(5, 3, 0, 0, 0, 0, 0), flow.ReasonMalformed, 0},
		{"cut in the second sample's record", two[:len(two)-8], flow.ReasonShort, 2},
		{"cut in the second sample's header", two[:len(two)-len(flowSampleOf(2, header))+20], flow.ReasonShort, 1},
		{"fewer samples than it says", two[:len(two)-len(flowSampleOf(2, header))], flow.ReasonShort, 1},
		{"octets after the samples", join(two, []byte{1}), flow.ReasonTrailing, 2},
		{"sample of a vendor", datagramOf(sampleOf(9<<12|1, words(1)), flowSampleOf(1)), flow.ReasonSampleType, 1},
		{"octets after the records", datagramOf(sampleOf(flowSample, words(1, 7, rate, 0, 0, 1, 2, 0), words(3))), flow.ReasonTrailing, 1},
		{"more records than fit", datagramOf(sampleOf(flowSample, words(1, 7, rate, 0, 0, 1, 2, 0xffffffff))), flow.ReasonShort, 1},
		{"AS path beyond its record", datagramOf(flowSampleOf(1, record(extendedGateway, join(words(1), ip("10.0.0.253"), words(1, 2, 3, 1, 2, 0x40000000, 5))))), flow.ReasonShort, 1},
		{"header longer than its record", datagramOf(flowSampleOf(1, record(rawHeader, words(1, 64, 0, 900, 1)))), flow.ReasonShort, 1},
	} {
		_, r := run(t, c.payload)
		if r.Undecodable[c.reason] != 1 || r.Flows != c.flows {
			t.Errorf("%s: %d flows, reasons %v, want %d and one %v", c.name, r.Flows, r.Undecodable, c.flows, c.reason)
		}
	}
	if _, r := run(t, join(two, make([]byte, 6))); r.Undecodable != [flow.NumReasons]uint32{} {
		t.Errorf("zeros after the samples: %v, want nothing counted", r.Undecodable)
	}
}

func TestDecoder_SteadyStateDoesNotAllocate(t *testing.T) {
	payload := benchDatagram()
	d := New(Config{})
	var b flow.Batch
	d.Decode(&b, agent, payload)
	allocs := testing.AllocsPerRun(100, func() {
		b.Reset()
		d.Decode(&b, agent, payload)
	})
	if allocs > 0 {
		t.Errorf("%v allocations per datagram, want 0", allocs)
	}
}

func benchDatagram() []byte {
	header := raw(headerEthernet, 1518, join(ethernet(0x8100, join(vlan(7, typeIPv4), ipv4Of(6, 1500, 0, tcpOf(40000, 443, 0x12)))), make([]byte, 70)))
	var samples [][]byte
	for i := range 7 {
		samples = append(samples, flowSampleOf(uint32(i), header, record(extendedSwitch, words(7, 0, 7, 0))))
	}
	return datagramOf(samples...)
}

func BenchmarkDecode(b *testing.B) {
	payload := benchDatagram()
	d := New(Config{})
	var batch flow.Batch
	for batch.Len() < 8192 {
		d.Decode(&batch, agent, payload)
	}
	b.ReportAllocs()
	before := cpu(b)
	for b.Loop() {
		if batch.Len() >= 8192 {
			batch.Reset()
		}
		d.Decode(&batch, agent, payload)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*7), "ns/flow")
	b.ReportMetric(float64((cpu(b)-before).Nanoseconds())/float64(b.N*7), "cpu-ns/flow")
}

// cpu is the CPU time of this process: on a machine that is shared, the figure
// to compare.
func cpu(b *testing.B) time.Duration {
	b.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// What Header reads is what Decode says of the same octets.
func TestHeader_AgreesWithDecode(t *testing.T) {
	for name, whole := range samples() {
		for n := range len(whole) + 1 {
			h, ok := Header(whole[:n])
			var b flow.Batch
			r := New(Config{}).Decode(&b, flow.Datagram{}, whole[:n])
			if !ok {
				if n >= 40 {
					t.Errorf("%s cut to %d octets: no header", name, n)
				}
				continue
			}
			if h.Protocol != r.Protocol || h.Domain != r.Domain || h.Sequence != r.Sequence || h.UptimeMs != r.UptimeMs ||
				h.Unit != r.Unit || h.SequenceUnits != r.SequenceUnits {
				t.Errorf("%s cut to %d octets: header %+v, decoded %+v", name, n, h, r)
			}
		}
	}
}
