package netflow

import (
	"encoding/binary"

	"tidemark/collector/flow"
)

// layout is where NetFlow v1, v5 and v7 keep their fields; -1 means nowhere.
// All three begin records with addresses, next hop, interfaces, counters, times
// and ports at the same offsets.
type layout struct {
	protocol                              flow.Protocol
	header, record                        int
	sequence, engine, sampling            int // in the header
	proto, tos, flags, as, mask, shortcut int // in the record

	start, end op // the times, as v9 fields
}

func layouts() map[flow.Protocol]*layout {
	v5 := layout{
		protocol: flow.NetFlowV5, header: 24, record: 48,
		sequence: 16, engine: 20, sampling: 22,
		proto: 38, tos: 39, flags: 37, as: 40, mask: 44, shortcut: -1,
		start: op{key: 22, length: 4, column: toStart, form: formUptime},
		end:   op{key: 21, length: 4, column: toEnd, form: formUptime},
	}
	v1, v7 := v5, v5
	v1.protocol, v1.header, v1.sequence, v1.engine, v1.sampling = flow.NetFlowV1, 16, -1, -1, -1
	v1.flags, v1.as, v1.mask = 40, -1, -1
	v7.protocol, v7.record, v7.engine, v7.sampling, v7.shortcut = flow.NetFlowV7, 52, -1, -1, 48
	return map[flow.Protocol]*layout{flow.NetFlowV1: &v1, flow.NetFlowV5: &v5, flow.NetFlowV7: &v7}
}

// Elements that legacy fields without a column are kept under.
const (
	ipNextHopIPv4Address        = 15
	sourceIPv4PrefixLength      = 9
	destinationIPv4PrefixLength = 13
	samplingAlgorithm           = 35
	originalExporterIPv4Address = 403 // v7 router_sc: the router that the switch took a shortcut past
)

// message reads the header; ok is false if it is not whole.
func (l *layout) message(dg flow.Datagram, b []byte) (m message, ok bool) {
	if len(b) < l.header {
		return m, false
	}
	m = message{
		dg: dg, protocol: l.protocol,
		uptimeMs:   binary.BigEndian.Uint32(b[4:]),
		exportTime: int64(binary.BigEndian.Uint32(b[8:]))*1e9 + int64(binary.BigEndian.Uint32(b[12:])),
	}
	if l.sequence > 0 {
		m.sequence = binary.BigEndian.Uint32(b[l.sequence:])
	}
	if l.engine > 0 {
		m.domain = uint32(binary.BigEndian.Uint16(b[l.engine:]))
	}
	return m, true
}

// legacy reads a NetFlow v1, v5 or v7 datagram. What the datagram holds counts,
// not its Count: exporters append octets, and networks cut them.
func (x *pass) legacy(dg flow.Datagram, l *layout, b []byte) {
	res := &x.res
	res.Protocol, res.Unit = l.protocol, flow.Records
	var ok bool
	if x.m, ok = l.message(dg, b); !ok {
		x.fail(flow.ReasonShort)
		return
	}
	x.window = windowOf(&dg)
	sampled := x.configured
	var mode byte
	if l.sampling > 0 {
		v := binary.BigEndian.Uint16(b[l.sampling:])
		mode = byte(v >> 14) // the two top bits are the mode, not the rate
		if n := uint32(v & 0x3fff); n > 0 && !x.override {
			sampled = rate{n: n}
		}
	}
	if sampled.n == 0 {
		sampled = rate{n: 1, quality: flow.SamplingAssumed}
	}
	count := int(binary.BigEndian.Uint16(b[2:]))
	records := b[l.header:]
	size := l.record
	if l.protocol == flow.NetFlowV1 && len(records) == 52*count {
		size = 52 // some exporters add four reserved octets
	}
	whole := min(count, len(records)/size)
	for i := range whole {
		x.legacyRecord(l, records[i*size:(i+1)*size], sampled, mode)
	}
	res.Domain, res.Sequence = x.m.domain, x.m.sequence
	res.ExportTime, res.UptimeMs = x.m.exportTime, x.m.uptimeMs
	res.SequenceUnits = uint32(count)
	if whole < count {
		x.fail(flow.ReasonShort)
	} else if !zeros(records[whole*size:]) {
		x.fail(flow.ReasonTrailing)
	}
}

func (x *pass) legacyRecord(l *layout, rec []byte, sampled rate, mode byte) {
	b := x.dst
	r := x.begin()
	b.SrcAddr[r], b.DstAddr[r] = mapped(rec), mapped(rec[4:])
	b.InIf[r] = uint32(binary.BigEndian.Uint16(rec[12:]))
	b.OutIf[r] = uint32(binary.BigEndian.Uint16(rec[14:]))
	b.Packets[r] = uint64(binary.BigEndian.Uint32(rec[16:]))
	b.Bytes[r] = uint64(binary.BigEndian.Uint32(rec[20:]))
	b.SrcPort[r] = binary.BigEndian.Uint16(rec[32:])
	b.DstPort[r] = binary.BigEndian.Uint16(rec[34:])
	b.Proto[r], b.TOS[r], b.TCPFlags[r] = rec[l.proto], rec[l.tos], uint16(rec[l.flags])
	b.Presence[r] = flow.HasInIf | flow.HasOutIf | flow.HasPackets | flow.HasBytes | flow.HasTOS | flow.HasTCPFlags
	x.dst.Extend(ipNextHopIPv4Address, rec[8:12])
	if l.as > 0 {
		b.SrcAS[r] = uint32(binary.BigEndian.Uint16(rec[l.as:]))
		b.DstAS[r] = uint32(binary.BigEndian.Uint16(rec[l.as+2:]))
		b.Presence[r] |= flow.HasAS
	}
	if l.mask > 0 {
		b.Extend(sourceIPv4PrefixLength, rec[l.mask:l.mask+1])
		b.Extend(destinationIPv4PrefixLength, rec[l.mask+1:l.mask+2])
	}
	if l.shortcut > 0 {
		b.Extend(originalExporterIPv4Address, rec[l.shortcut:l.shortcut+4])
	}
	if mode != 0 {
		b.Extend(samplingAlgorithm, []byte{mode})
	}
	b.SamplingRate[r] = sampled.n
	b.Quality[r] |= sampled.quality
	x.f = facts{start: stamp{&l.start, rec[24:28]}, end: stamp{&l.end, rec[28:32]}}
	x.times(r)
	b.EndRow()
	x.res.Flows++
}

func mapped(v4 []byte) [16]byte {
	a := [16]byte{10: 0xff, 11: 0xff}
	copy(a[12:], v4[:4])
	return a
}
