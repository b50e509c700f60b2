package netflow

import (
	"bytes"
	"math"
	"slices"
	"testing"

	"tidemark/collector/flow"
)

func TestDecoder_V9CountIsIgnored(t *testing.T) {
	b := v9(1, set(0, plain), set(256, plainRecord(1), plainRecord(2)))
	for _, count := range []uint16{0, 1, 2, 99, 65535} {
		copy(b[2:], u16(count))
		batch, r := run(t, New(Config{}), router, b)
		want(t, "flows", r.Flows, 2)
		want(t, "templates", r.Templates, 1)
		want(t, "second source port", batch.SrcPort[1], 2)
	}
}

func TestDecoder_HeaderFieldsReachTheRow(t *testing.T) {
	dg := router
	dg.Quality, dg.Transport = flow.Replayed, flow.File
	batch, r := run(t, New(Config{}), dg, v9(7, set(0, plain), set(256, plainRecord(1))))
	want(t, "protocol", batch.Protocol[0], flow.NetFlowV9)
	want(t, "transport", batch.Transport[0], flow.File)
	want(t, "received", batch.TimeReceived[0], dg.Received)
	want(t, "exporter", batch.SamplerAddress[0], dg.Exporter)
	want(t, "domain", batch.ObservationDomain[0], 7)
	want(t, "sequence", batch.SequenceNum[0], sequence)
	want(t, "export time", batch.ExportTime[0], exportUnix*1e9)
	want(t, "quality", batch.Quality[0], flow.Replayed|flow.SamplingAssumed)
	want(t, "result domain", r.Domain, 7)
	want(t, "result sequence", r.Sequence, sequence)
	want(t, "result units", r.SequenceUnits, 1)
	want(t, "result unit", r.Unit, flow.Datagrams)
	want(t, "result uptime", r.UptimeMs, uptime)

	_, r = run(t, New(Config{}), dg, ipfix(7, set(2, plain), set(256, plainRecord(1), plainRecord(2))))
	want(t, "IPFIX units", r.SequenceUnits, 2)
	want(t, "IPFIX unit", r.Unit, flow.Records)
}

func TestDecoder_PresenceTellsZeroFromAbsent(t *testing.T) {
	zero := make([]byte, 64)
	for _, c := range []struct {
		id, length uint16
		bit        uint16
	}{
		{1, 4, flow.HasBytes}, {85, 8, flow.HasBytes}, {2, 4, flow.HasPackets}, {86, 8, flow.HasPackets},
		{152, 8, flow.HasStart}, {22, 4, flow.HasStart}, {153, 8, flow.HasEnd}, {21, 4, flow.HasEnd},
		{6, 1, flow.HasTCPFlags}, {6, 2, flow.HasTCPFlags}, {61, 1, flow.HasDirection}, {5, 1, flow.HasTOS},
		{136, 1, flow.HasEndReason}, {56, 6, flow.HasSrcMAC}, {81, 6, flow.HasSrcMAC}, {80, 6, flow.HasDstMAC},
		{57, 6, flow.HasDstMAC}, {58, 2, flow.HasVLANIn}, {243, 2, flow.HasVLANIn}, {59, 2, flow.HasVLANOut},
		{254, 2, flow.HasVLANOut}, {10, 4, flow.HasInIf}, {14, 2, flow.HasOutIf}, {16, 4, flow.HasAS}, {17, 2, flow.HasAS},
		{233, 1, flow.HasEvents}, {230, 1, flow.HasEvents}, {8, 4, 0}, {4, 1, 0}, {234, 4, 0},
	} {
		batch, r := run(t, New(Config{}), router, v9(1, set(0, tmpl(256, c.id, c.length, 234, 4)), set(256, zero[:c.length+4])))
		want(t, "flows", r.Flows, 1)
		if batch.Presence[0] != c.bit {
			t.Errorf("element %d of %d octets: presence %016b, want %016b", c.id, c.length, batch.Presence[0], c.bit)
		}
	}
}

func TestDecoder_UnknownAndEnterpriseElementsAreKeptRaw(t *testing.T) {
	template := join(u16(256), u16(5), u16(234), u16(4), pen(9999, 1, 3), u16(210), u16(2), u16(95), u16(65535), pen(9999, 1, 2))
	record := join(u32(42), []byte("abc"), u16(0xdead), u8(4), []byte("dns!"), []byte("xy"))
	batch, r := run(t, New(Config{}), router, ipfix(1, set(2, template), set(256, record)))
	want(t, "flows", r.Flows, 1)
	want(t, "ingressVRFID", string(extension(t, batch, 0, 0, 234)), string(u32(42)))
	want(t, "applicationId", string(extension(t, batch, 0, 0, 95)), "dns!")
	want(t, "enterprise", string(extension(t, batch, 0, 9999, 1)), "abc")
	want(t, "values", batch.Ext.Count(0), 4) // the repeat too, the padding not
	hasNot(t, batch, 0, 0, 210)
}

func TestDecoder_ReducedSizeAndOversizeEncodings(t *testing.T) {
	// RFC 7011, Section 6.2: octets in 3 octets, an interface in 1, AS in 2.
	batch, _ := run(t, New(Config{}), router, ipfix(1, set(2, tmpl(256, 1, 3, 10, 1, 16, 2, 7, 1)), set(256, u8(1, 0, 0), u8(9), u16(65001), u8(53))))
	want(t, "octets", batch.Bytes[0], 65536)
	want(t, "input", batch.InIf[0], 9)
	want(t, "AS", batch.SrcAS[0], 65001)
	want(t, "port", batch.SrcPort[0], 53)

	// Wider than the column: fits or becomes an extension, never cut.
	batch, _ = run(t, New(Config{}), router, ipfix(1, set(2, tmpl(256, 10, 8, 14, 8, 8, 2)), set(256, u64(7), u64(math.MaxUint32+1), u16(3))))
	want(t, "input", batch.InIf[0], 7)
	want(t, "output", batch.OutIf[0], 0)
	want(t, "presence", batch.Presence[0], flow.HasInIf)
	want(t, "output raw", string(extension(t, batch, 0, 0, 14)), string(u64(math.MaxUint32+1)))
	want(t, "address of 2 octets", string(extension(t, batch, 0, 0, 8)), string(u16(3)))
}

func TestDecoder_VariableLengthInsideV9(t *testing.T) { // H3C
	long := bytes.Repeat([]byte{'x'}, 300)
	batch, r := run(t, New(Config{}), router, v9(1, set(0, tmpl(256, 96, 65535, 1, 4)),
		set(256, u8(3), []byte("abc"), u32(1), u8(255), u16(300), long, u32(2), u8(0), u32(3))))
	want(t, "flows", r.Flows, 3)
	want(t, "short", string(extension(t, batch, 0, 0, 96)), "abc")
	want(t, "long", string(extension(t, batch, 1, 0, 96)), string(long))
	want(t, "empty", len(extension(t, batch, 2, 0, 96)), 0)
	want(t, "octets", batch.Bytes[2], 3)
}

func TestDecoder_ZeroLengthFieldsSayNothing(t *testing.T) {
	batch, r := run(t, New(Config{}), router, v9(1, set(0, tmpl(256, 234, 0, 1, 4, 2, 0)), set(256, u32(5))))
	want(t, "flows", r.Flows, 1)
	want(t, "presence", batch.Presence[0], flow.HasBytes)
	want(t, "extensions", batch.Ext.Count(0), 0)
}

func TestDecoder_BothAddressFamiliesInOneTemplate(t *testing.T) {
	fields := []uint16{27, 16, 8, 4, 28, 16, 12, 4}
	v6 := "2001:db8::1"
	batch, _ := run(t, New(Config{}), router, v9(1, set(0, tmpl(256, fields...)), set(256,
		make([]byte, 16), ip("10.0.0.1"), make([]byte, 16), ip("10.0.0.2"),
		ip(v6), make([]byte, 4), ip(v6), make([]byte, 4),
		ip(v6), ip("10.0.0.3"), ip(v6), ip("10.0.0.4"))))
	want(t, "IPv4", batch.SrcAddr[0], address16("::ffff:10.0.0.1"))
	want(t, "zero IPv6 kept", len(extension(t, batch, 0, 0, 27)), 16)
	want(t, "IPv6", batch.DstAddr[1], address16(v6))
	want(t, "tunnel: outer first", batch.SrcAddr[2], address16(v6))
	want(t, "tunnel: inner kept", string(extension(t, batch, 2, 0, 12)), string(ip("10.0.0.4")))
}

func TestDecoder_FirstChoiceFillsTheColumnOthersAreKept(t *testing.T) {
	mac := func(n byte) []byte { return []byte{2, 0, 0, 0, 0, n} }
	batch, _ := run(t, New(Config{}), router, v9(1, set(0, tmpl(256, 81, 6, 56, 6, 57, 6, 80, 6, 243, 2, 58, 2, 85, 8, 1, 4)),
		set(256, mac(81), mac(56), mac(57), mac(80), u16(243), u16(58), u64(85), u32(1))))
	want(t, "source MAC", batch.SrcMAC[0], 0x0200_0000_0000+56)
	want(t, "destination MAC", batch.DstMAC[0], 0x0200_0000_0000+80)
	want(t, "VLAN", batch.SrcVLAN[0], 58)
	want(t, "octets", batch.Bytes[0], 1)
	for _, id := range []uint16{81, 57, 243, 85} {
		extension(t, batch, 0, 0, id)
	}
	want(t, "extensions", batch.Ext.Count(0), 4)

	batch, _ = run(t, New(Config{}), router, v9(1, set(0, tmpl(256, 57, 6, 81, 6, 254, 2, 85, 8)), set(256, mac(57), mac(81), u16(254), u64(85))))
	want(t, "destination MAC by 57", batch.DstMAC[0], 0x0200_0000_0000+57)
	want(t, "source MAC by 81", batch.SrcMAC[0], 0x0200_0000_0000+81)
	want(t, "VLAN out by 254", batch.DstVLAN[0], 254)
	want(t, "octets by total", batch.Bytes[0], 85)
	extension(t, batch, 0, 0, 85) // a total is no delta: labelled
}

func TestDecoder_ICMPTypeAndCodeGoToTheDestinationPort(t *testing.T) {
	for _, c := range []struct {
		name   string
		fields []uint16
		record []byte
		port   uint16
		kept   int
	}{
		{"icmpTypeCodeIPv4", []uint16{4, 1, 32, 2}, join(u8(1), u16(0x0803)), 0x0803, 0},
		{"icmpTypeCodeIPv6 before the protocol", []uint16{139, 2, 4, 1}, join(u16(0x8700), u8(58)), 0x8700, 0},
		{"type and code apart", []uint16{4, 1, 176, 1, 177, 1}, u8(1, 3, 10), 0x030a, 0},
		{"IPv6 type and code apart", []uint16{4, 1, 178, 1, 179, 1}, u8(58, 1, 4), 0x0104, 0},
		{"destination port of 0 yields", []uint16{4, 1, 11, 2, 32, 2}, join(u8(1), u16(0), u16(0x0800)), 0x0800, 0},
		{"destination port already has it", []uint16{4, 1, 11, 2, 32, 2}, join(u8(1), u16(0x0800), u16(0x0800)), 0x0800, 0},
		{"destination port says otherwise", []uint16{4, 1, 11, 2, 32, 2}, join(u8(1), u16(7), u16(0x0800)), 7, 1},
		{"not ICMP", []uint16{4, 1, 11, 2, 32, 2}, join(u8(6), u16(443), u16(0x0800)), 443, 1},
		{"wrong family", []uint16{4, 1, 139, 2}, join(u8(1), u16(0x8700)), 0, 1},
	} {
		batch, r := run(t, New(Config{}), router, v9(1, set(0, tmpl(256, c.fields...)), set(256, c.record)))
		if r.Flows != 1 || batch.DstPort[0] != c.port || batch.Ext.Count(0) != c.kept {
			t.Errorf("%s: %d flows, port %#x, %d extensions, want 1, %#x, %d", c.name, r.Flows, batch.DstPort[0], batch.Ext.Count(0), c.port, c.kept)
		}
	}
}

func TestDecoder_FirewallAndNATEvents(t *testing.T) {
	batch, _ := run(t, New(Config{}), router, v9(1, set(0, tmpl(256, 233, 1, 230, 1), tmpl(257, 40005, 1, 33002, 2)),
		set(256, u8(3, 1)), set(257, u8(2), u16(1001))))
	want(t, "firewallEvent", batch.FirewallEvent[0], 3)
	want(t, "natEvent", batch.NATEvent[0], 1)
	want(t, "ASA's own event field", batch.FirewallEvent[1], 2)
	want(t, "extended event", string(extension(t, batch, 1, 0, 33002)), string(u16(1001)))
}

func TestDecoder_TrailingOctetsAreToleratedAndCounted(t *testing.T) {
	for _, c := range []struct {
		name     string
		payload  []byte
		trailing uint32
	}{
		{"zeros to align", v9(1, set(0, plain), set(256, plainRecord(1), u8(0, 0, 0))), 0},
		{"garbage that aligns", v9(1, set(0, plain), set(256, plainRecord(1), u8(1, 2, 3))), 0},
		{"garbage longer than padding", v9(1, set(0, plain), set(256, plainRecord(1), u8(1, 2, 3, 4, 5))), 1},
		{"zeros after the sets", v9(1, set(0, plain), set(256, plainRecord(1)), make([]byte, 40)), 0},
		{"three octets after the sets", v9(1, set(0, plain), set(256, plainRecord(1)), u8(1, 2, 3)), 1},
		{"octets after an IPFIX message", join(ipfix(1, set(2, plain), set(256, plainRecord(1))), u8(1)), 1},
	} {
		_, r := run(t, New(Config{}), router, c.payload)
		if r.Flows != 1 || r.Undecodable[flow.ReasonTrailing] != c.trailing {
			t.Errorf("%s: %d flows, trailing %d, want 1 and %d", c.name, r.Flows, r.Undecodable[flow.ReasonTrailing], c.trailing)
		}
	}
}

func TestDecoder_TwoV9MessagesInOneDatagram(t *testing.T) {
	_, r := run(t, New(Config{}), router, join(v9(1, set(0, plain), set(256, plainRecord(1))), v9(1, set(256, plainRecord(2), plainRecord(3)))))
	want(t, "flows", r.Flows, 3)
	want(t, "units", r.SequenceUnits, 2)
}

func TestDecoder_CutDatagramKeepsItsWholeRecords(t *testing.T) {
	whole := v9(1, set(0, plain), set(256, plainRecord(1), plainRecord(2), plainRecord(3)))
	batch, r := run(t, New(Config{}), router, whole[:len(whole)-10])
	want(t, "flows", r.Flows, 2)
	want(t, "short", r.Undecodable[flow.ReasonShort], 1)
	want(t, "port", batch.SrcPort[1], 2)

	whole = ipfix(1, set(2, plain), set(256, plainRecord(1), plainRecord(2), plainRecord(3)))
	_, r = run(t, New(Config{}), router, whole[:len(whole)-10])
	want(t, "IPFIX flows", r.Flows, 2)
	want(t, "IPFIX short", r.Undecodable[flow.ReasonShort], 1)
}

func TestDecoder_SmallRecordsAreNotPadding(t *testing.T) {
	_, r := run(t, New(Config{}), router, v9(1, set(0, tmpl(256, 4, 1)), set(256, u8(6, 17, 1, 0, 6, 0, 0, 0))))
	want(t, "flows", r.Flows, 5) // three zeros at the end pad, the one inside is a record
}

func TestDecoder_OtherReasons(t *testing.T) {
	for _, c := range []struct {
		name    string
		payload []byte
		reason  flow.Reason
	}{
		{"nothing", nil, flow.ReasonShort},
		{"unknown version", u16(8), flow.ReasonVersion},
		{"v9 header cut", v9(1)[:19], flow.ReasonShort},
		{"IPFIX header cut", ipfix(1)[:15], flow.ReasonShort},
		{"v5 header cut", v5(1, 0)[:23], flow.ReasonShort},
		{"reserved set", v9(1, set(100, u32(1))), flow.ReasonMalformed},
		{"v9 template set id in IPFIX", ipfix(1, set(0, plain)), flow.ReasonMalformed},
		{"set shorter than its header", v9(1, join(u16(256), u16(3), u32(1))), flow.ReasonMalformed},
		{"IPFIX length below its header", join(u16(10), u16(3), make([]byte, 12)), flow.ReasonMalformed},
		{"IPFIX length beyond the datagram", join(u16(10), u16(99), make([]byte, 12)), flow.ReasonShort},
		{"template of no octets", v9(1, set(0, tmpl(256, 1, 0))), flow.ReasonTemplateInvalid},
		{"template without fields", v9(1, set(0, tmpl(256), tmpl(257, 1, 4))), flow.ReasonTemplateInvalid},
		{"template with the id of a set", v9(1, set(0, tmpl(3, 1, 4))), flow.ReasonTemplateInvalid},
		{"template longer than its set", v9(1, set(0, u16(256), u16(9), u16(1), u16(4))), flow.ReasonTemplateInvalid},
		{"template of too many fields", v9(1, set(0, u16(256), u16(maxFields+1), make([]byte, 4*(maxFields+1)-1), u8(1))), flow.ReasonTemplateInvalid},
		{"more scopes than fields", ipfix(1, set(3, u16(256), u16(1), u16(2), u16(1), u16(4))), flow.ReasonTemplateInvalid},
		{"withdrawal over UDP", ipfix(1, set(2, tmpl(256))), flow.ReasonTemplateInvalid},
		{"variable length beyond the set", v9(1, set(0, tmpl(256, 96, 65535)), set(256, u8(9), u32(1))), flow.ReasonShort},
	} {
		_, r := run(t, New(Config{}), router, c.payload)
		if r.Undecodable[c.reason] != 1 || r.Flows != 0 {
			t.Errorf("%s: %d flows, reasons %v, want one %v", c.name, r.Flows, r.Undecodable, c.reason)
		}
	}
}

func TestDecoder_LongExtensionIsCutAndMarked(t *testing.T) {
	long := bytes.Repeat([]byte{7}, flow.MaxExtension+1)
	batch, r := run(t, New(Config{}), router, ipfix(1, set(2, tmpl(256, 96, 65535)), set(256, u8(255), u16(uint16(len(long))), long)))
	want(t, "flows", r.Flows, 1)
	want(t, "cut", batch.Quality[0]&flow.ExtensionCut, flow.ExtensionCut)
	want(t, "length", len(extension(t, batch, 0, 0, 96)), flow.MaxExtension)
}

func TestDecoder_SteadyStateDoesNotAllocate(t *testing.T) {
	d := New(Config{})
	records := slices.Repeat([][]byte{plainRecord(9)}, 30)
	for _, c := range []struct {
		name           string
		template, data []byte
	}{
		{"v5", v5(1, 0), v5(30, 100)},
		{"v9", v9(1, set(0, plain)), v9(1, set(256, records...))},
		{"IPFIX", ipfix(1, set(2, plain)), ipfix(1, set(256, records...))},
	} {
		var b flow.Batch
		d.Decode(&b, router, c.template)
		d.Decode(&b, router, c.data)
		allocs := testing.AllocsPerRun(100, func() {
			b.Reset()
			d.Decode(&b, router, c.data)
		})
		if b.Len() != 30 || allocs > 0 {
			t.Errorf("%s: %d rows, %v allocations per datagram, want 30 and 0", c.name, b.Len(), allocs)
		}
	}
}
