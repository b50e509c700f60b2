package netflow

import (
	"testing"

	"tidemark/collector/flow"
)

// yaf is a bidirectional template as RFC 5103 has it: octets and packets both
// ways, flags both ways, MACs, interfaces, AS and a reverse VLAN.
var yaf = join(u16(256), u16(20), u16(8), u16(4), u16(12), u16(4), u16(7), u16(2), u16(11), u16(2), u16(4), u16(1),
	u16(1), u16(4), pen(reversePEN, 1, 4), u16(2), u16(4), pen(reversePEN, 2, 4), u16(6), u16(1), pen(reversePEN, 6, 1),
	u16(56), u16(6), u16(80), u16(6), u16(10), u16(4), u16(14), u16(4), u16(16), u16(4), u16(17), u16(4),
	u16(150), u16(4), pen(reversePEN, 58, 2), pen(reversePEN, 234, 1))

func yafRecord(proto byte, forward, reverse uint32) []byte {
	return join(ip("10.0.0.1"), ip("192.0.2.9"), u16(40000), u16(443), u8(proto), u32(forward), u32(reverse), u32(10), u32(reverse/100),
		u8(0x1b, 0x13), u8(2, 0, 0, 0, 0, 1), u8(2, 0, 0, 0, 0, 2), u32(7), u32(8), u32(65001), u32(65002), u32(exportUnix-9), u16(99), u8(5))
}

func TestBiflow_BecomesTwoRecords(t *testing.T) { // RFC 5103
	batch, r := run(t, New(Config{}), router, ipfix(1, set(2, yaf), set(256, yafRecord(6, 1000, 5000))))
	want(t, "flows", r.Flows, 2)
	want(t, "reverse", r.Reverse, 1)
	want(t, "records by sequence", r.SequenceUnits, 1)
	want(t, "forward octets", batch.Bytes[0], 1000)
	want(t, "forward flags", batch.TCPFlags[0], 0x1b)
	want(t, "forward quality", batch.Quality[0]&flow.BiflowReverse, 0)
	hasNot(t, batch, 0, reversePEN, 234)

	want(t, "quality", batch.Quality[1]&flow.BiflowReverse, flow.BiflowReverse)
	want(t, "source", batch.SrcAddr[1], batch.DstAddr[0])
	want(t, "destination", batch.DstAddr[1], batch.SrcAddr[0])
	want(t, "source port", batch.SrcPort[1], 443)
	want(t, "destination port", batch.DstPort[1], 40000)
	want(t, "octets", batch.Bytes[1], 5000)
	want(t, "packets", batch.Packets[1], 50)
	want(t, "flags", batch.TCPFlags[1], 0x13)
	want(t, "source MAC", batch.SrcMAC[1], batch.DstMAC[0])
	want(t, "input", batch.InIf[1], 8)
	want(t, "AS", batch.SrcAS[1], 65002)
	want(t, "start", batch.TimeFlowStart[1], batch.TimeFlowStart[0])
	want(t, "reverse VLAN", batch.SrcVLAN[1], 99)
	want(t, "reverse element without column", string(extension(t, batch, 1, reversePEN, 234)), "\x05")
	want(t, "presence", batch.Presence[1], flow.HasBytes|flow.HasPackets|flow.HasTCPFlags|flow.HasSrcMAC|flow.HasDstMAC|
		flow.HasInIf|flow.HasOutIf|flow.HasAS|flow.HasStart|flow.HasVLANIn)
}

func TestBiflow_WithoutAnswerStaysOneRecord(t *testing.T) {
	batch, r := run(t, New(Config{}), router, ipfix(1, set(2, yaf), set(256, yafRecord(6, 1000, 0))))
	want(t, "flows", r.Flows, 1)
	want(t, "reverse counter kept", string(extension(t, batch, 0, reversePEN, 1)), string(u32(0)))
	want(t, "reverse flags kept", string(extension(t, batch, 0, reversePEN, 6)), "\x13")
}

func TestBiflow_ICMPTypeIsNoPortToSwap(t *testing.T) {
	batch, _ := run(t, New(Config{}), router, ipfix(1, set(2, yaf), set(256, yafRecord(1, 1000, 5000))))
	want(t, "type and code", batch.DstPort[1], batch.DstPort[0])
}

// asa is Cisco ASA's NSEL: initiator and responder octets, no packets, an event.
var asa = tmpl(260, 8, 4, 12, 4, 7, 2, 11, 2, 4, 1, 233, 1, 231, 4, 232, 4, 323, 8, 225, 4, 40000, 20)

func asaRecord(event byte, initiator, responder uint32) []byte {
	return join(ip("10.0.0.1"), ip("192.0.2.9"), u16(40000), u16(443), u8(6, event), u32(initiator), u32(responder),
		u64(exportUnix*1000), ip("203.0.113.7"), []byte("LOCAL\\cam"), make([]byte, 11))
}

func TestBiflow_ASAInitiatorAndResponder(t *testing.T) {
	batch, r := run(t, New(Config{}), router, v9(1, set(0, asa), set(260, asaRecord(2, 700, 90000), asaRecord(3, 0, 0), asaRecord(1, 0, 0))))
	want(t, "flows", r.Flows, 4)
	want(t, "reverse", r.Reverse, 1)
	want(t, "initiator octets", batch.Bytes[0], 700)
	want(t, "responder octets", batch.Bytes[1], 90000)
	want(t, "responder is the source", batch.SrcPort[1], 443)
	want(t, "event on both", batch.FirewallEvent[1], 2)
	want(t, "no start", batch.Presence[0]&flow.HasStart, 0)
	want(t, "no packets", batch.Presence[1]&flow.HasPackets, 0)
	want(t, "event time", batch.TimeFlowEnd[0], exportNs)
	want(t, "post-NAT address", string(extension(t, batch, 0, 0, 225)), string(ip("203.0.113.7")))
	want(t, "denied: one record", batch.FirewallEvent[2], 3)
	want(t, "denied: zero octets exported", batch.Presence[2]&flow.HasBytes, flow.HasBytes)
}

func TestBiflow_InitiatorPacketsToo(t *testing.T) {
	batch, r := run(t, New(Config{}), router, ipfix(1, set(2, tmpl(256, 231, 8, 232, 8, 298, 8, 299, 8)), set(256, u64(1), u64(2), u64(3), u64(4))))
	want(t, "flows", r.Flows, 2)
	want(t, "packets", batch.Packets[0], 3)
	want(t, "responder packets", batch.Packets[1], 4)
}

func TestBiflow_DeltaCountsBesideInitiatorOctetsAreNotSplit(t *testing.T) {
	batch, r := run(t, New(Config{}), router, ipfix(1, set(2, tmpl(256, 1, 8, 231, 8, 232, 8)), set(256, u64(1), u64(2), u64(3))))
	want(t, "flows", r.Flows, 1)
	want(t, "octets", batch.Bytes[0], 1)
	want(t, "kept", batch.Ext.Count(0), 2)
}
