package netflow

import (
	"testing"

	"tidemark/collector/flow"
)

func TestLegacy_V5EveryField(t *testing.T) {
	batch, r := run(t, New(Config{}), router, v5(2, 100))
	want(t, "flows", r.Flows, 2)
	want(t, "units", r.SequenceUnits, 2)
	want(t, "unit", r.Unit, flow.Records)
	want(t, "protocol", batch.Protocol[0], flow.NetFlowV5)
	want(t, "engine type and id", batch.ObservationDomain[0], 0x0102)
	want(t, "sequence", batch.SequenceNum[0], sequence)
	want(t, "source", batch.SrcAddr[0], address16("::ffff:10.0.0.1"))
	want(t, "destination", batch.DstAddr[0], address16("::ffff:10.0.0.2"))
	want(t, "ports", [2]uint16{batch.SrcPort[0], batch.DstPort[0]}, [2]uint16{1234, 443})
	want(t, "interfaces", [2]uint32{batch.InIf[0], batch.OutIf[0]}, [2]uint32{3, 4})
	want(t, "packets", batch.Packets[1], 6)
	want(t, "octets", batch.Bytes[0], 600)
	want(t, "protocol number", batch.Proto[0], 6)
	want(t, "flags", batch.TCPFlags[0], 0x1b)
	want(t, "TOS", batch.TOS[0], 0x20)
	want(t, "AS", [2]uint32{batch.SrcAS[0], batch.DstAS[0]}, [2]uint32{65001, 65002})
	want(t, "next hop", string(extension(t, batch, 0, 0, 15)), string(ip("10.0.0.254")))
	want(t, "source mask", string(extension(t, batch, 0, 0, 9)), "\x18")
	want(t, "destination mask", string(extension(t, batch, 0, 0, 13)), "\x10")
	want(t, "presence", batch.Presence[0], flow.HasBytes|flow.HasPackets|flow.HasStart|flow.HasEnd|flow.HasTCPFlags|flow.HasTOS|flow.HasInIf|flow.HasOutIf|flow.HasAS)
}

func TestLegacy_CountAndLengthDisagree(t *testing.T) {
	cut := v5(3, 0)
	_, r := run(t, New(Config{}), router, cut[:len(cut)-1])
	want(t, "cut: flows", r.Flows, 2)
	want(t, "cut: short", r.Undecodable[flow.ReasonShort], 1)
	want(t, "cut: units by Count", r.SequenceUnits, 3)

	more := v5(3, 0)
	copy(more[2:], u16(1))
	_, r = run(t, New(Config{}), router, more)
	want(t, "more: flows", r.Flows, 1)
	want(t, "more: trailing", r.Undecodable[flow.ReasonTrailing], 1)

	_, r = run(t, New(Config{}), router, join(v5(1, 0), make([]byte, 20)))
	want(t, "zeros: trailing", r.Undecodable[flow.ReasonTrailing], 0)
}

func TestLegacy_V1AndV7(t *testing.T) {
	v1 := join(u16(1), u16(1), u32(uptime), u32(exportUnix), u32(0),
		ip("10.0.0.1"), ip("10.0.0.2"), ip("10.0.0.254"), u16(3), u16(4), u32(5), u32(600), u32(uptime-2000), u32(uptime-1000),
		u16(1234), u16(443), u16(0), u8(6, 0x20, 0x1b, 0, 0, 0), u32(0))
	batch, r := run(t, New(Config{}), router, v1)
	want(t, "v1 flows", r.Flows, 1)
	want(t, "v1 flags", batch.TCPFlags[0], 0x1b)
	want(t, "v1 protocol", batch.Proto[0], 6)
	want(t, "v1 AS is absent", batch.Presence[0]&flow.HasAS, 0)
	want(t, "v1 start", batch.TimeFlowStart[0], exportNs-2e9)
	_, r = run(t, New(Config{}), router, join(v1, u32(1)))
	want(t, "v1 of 52 octets", r.Undecodable, [flow.NumReasons]uint32{})

	v7 := join(u16(7), u16(1), u32(uptime), u32(exportUnix), u32(0), u32(sequence), u32(0),
		ip("10.0.0.1"), ip("10.0.0.2"), ip("10.0.0.254"), u16(3), u16(4), u32(5), u32(600), u32(uptime-2000), u32(uptime-1000),
		u16(1234), u16(443), u8(0, 0x1b, 6, 0x20), u16(65001), u16(65002), u8(24, 16), u16(0), ip("192.0.2.77"))
	batch, r = run(t, New(Config{}), router, v7)
	want(t, "v7 flows", r.Flows, 1)
	want(t, "v7 sequence", batch.SequenceNum[0], sequence)
	want(t, "v7 AS", batch.DstAS[0], 65002)
	want(t, "v7 router", string(extension(t, batch, 0, 0, 403)), string(ip("192.0.2.77")))
}
