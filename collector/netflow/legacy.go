package netflow

import (
	"encoding/binary"

	"tidemark/collector/flow"
)

// legacy is a NetFlow version without templates: the plan of its records is
// known beforehand, written as that of a v9 template.
type legacy struct {
	protocol                           flow.Protocol
	header, sequence, engine, sampling int     // offsets in the header, 0 = nowhere; header is its length
	plans                              []*plan // by sampling mode, see modes
	longer                             *plan   // records with octets added, nil = none
}

// Elements that legacy fields without a column are kept under.
const (
	samplingAlgorithm           = 35
	originalExporterIPv4Address = 403 // v7 router_sc: the router that the switch took a shortcut past

	// modes are the values of the two top bits of v5's sampling field.
	modes = 4
)

// Fields that all three begin with: addresses, next hop, interfaces, packets,
// octets, first and last, ports. Then v1 on the one hand, v5 and v7 on the other.
func legacies() map[flow.Protocol]*legacy {
	ids := func(f ...uint16) (out []field) {
		for i := 0; i < len(f); i += 2 {
			out = append(out, field{id: f[i], length: f[i+1]})
		}
		return out
	}
	begin := []uint16{8, 4, 12, 4, 15, 4, 10, 2, 14, 2, 2, 4, 1, 4, 22, 4, 21, 4, 7, 2, 11, 2}
	end1 := append(begin[:len(begin):len(begin)], paddingOctets, 2, 4, 1, 5, 1, 6, 1)
	end5 := append(begin[:len(begin):len(begin)], paddingOctets, 1, 6, 1, 4, 1, 5, 1, 16, 2, 17, 2, 9, 1, 13, 1, paddingOctets, 2)
	v1 := &legacy{protocol: flow.NetFlowV1, header: 16}
	v1.plans = []*plan{legacyPlan(v1.protocol, ids(append(end1, paddingOctets, 7)...), 0)}
	v1.longer = legacyPlan(v1.protocol, ids(append(end1, paddingOctets, 11)...), 0) // some exporters add four reserved octets
	v5 := &legacy{protocol: flow.NetFlowV5, header: 24, sequence: 16, engine: 20, sampling: 22}
	for mode := range byte(modes) {
		v5.plans = append(v5.plans, legacyPlan(v5.protocol, ids(end5...), mode))
	}
	v7 := &legacy{protocol: flow.NetFlowV7, header: 24, sequence: 16}
	v7.plans = []*plan{legacyPlan(v7.protocol, ids(append(end5, originalExporterIPv4Address, 4)...), 0)}
	return map[flow.Protocol]*legacy{flow.NetFlowV1: v1, flow.NetFlowV5: v5, flow.NetFlowV7: v7}
}

// legacyPlan compiles a plan whose records were sampled by mode, 0 = not said.
func legacyPlan(protocol flow.Protocol, fields []field, mode byte) *plan {
	t := template{fields: fields}
	if mode != 0 {
		t.constant, t.constantKey = []byte{mode}, samplingAlgorithm
	}
	return compile(protocol, t)
}

// message reads the header; ok is false if it is not whole.
func (l *legacy) message(dg flow.Datagram, b []byte) (m message, ok bool) {
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
func (x *pass) legacy(dg flow.Datagram, l *legacy, b []byte) {
	res := &x.res
	res.Protocol, res.Unit = l.protocol, flow.Records
	var ok bool
	if x.m, ok = l.message(dg, b); !ok {
		x.fail(flow.ReasonShort)
		return
	}
	x.window = windowOf(&dg)
	x.observation = &x.d.unknown
	p := l.plans[0]
	if l.sampling > 0 {
		v := binary.BigEndian.Uint16(b[l.sampling:])
		p = l.plans[v>>14] // the two top bits are the mode, not the rate
		if n := uint32(v & 0x3fff); n > 0 && !x.override {
			x.configured = rate{n: n}
		}
	}
	x.override = true // nothing else states a rate
	count := int(binary.BigEndian.Uint16(b[2:]))
	records := b[l.header:]
	if l.longer != nil && len(records) == l.longer.size*count {
		p = l.longer
	}
	whole := min(count, len(records)/p.size)
	x.dataRecords(p, records, whole)
	res.Domain, res.Sequence = x.m.domain, x.m.sequence
	res.ExportTime, res.UptimeMs = x.m.exportTime, x.m.uptimeMs
	res.SequenceUnits = uint32(count)
	if whole < count {
		x.fail(flow.ReasonShort)
	} else if !zeros(records[whole*p.size:]) {
		x.fail(flow.ReasonTrailing)
	}
}
