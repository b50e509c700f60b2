package netflow

import (
	"encoding/binary"
	"math"

	"tidemark/collector/flow"
)

const (
	systemInitTime      = 160
	samplingProbability = 311
	protocolICMP        = 1
	protocolICMPv6      = 58
)

// facts gathers what can only be judged when a record has been read whole.
type facts struct {
	start, end  stamp
	duration    int64
	hasDuration bool
	systemInit  int64 // ns since 1970
	hasInit     bool
	saidInit    bool // systemInitTime is among the extensions

	src, dst address
	sampling sampling
	icmp     [4]stamp
	numICMP  int
}

// address says which field filled an address column.
type address struct {
	op   *op
	zero bool
}

// head fills in row r what the datagram and the message say.
func (x *pass) head(r int) {
	b, m := x.dst, &x.m
	b.Protocol[r] = m.protocol
	b.Transport[r] = m.dg.Transport
	b.TimeReceived[r] = m.dg.Received
	b.SamplerAddress[r] = m.dg.Exporter
	b.ObservationDomain[r] = m.domain
	b.SequenceNum[r] = m.sequence
	b.ExportTime[r] = m.exportTime
	b.Quality[r] = m.dg.Quality | x.quality
}

// begin appends a row with what the datagram and the message say.
func (x *pass) begin() int {
	r := x.dst.NextRow()
	x.head(r)
	return r
}

// dataRecord appends the row of one Data Record, or two if it is bidirectional
// and the responder sent something. A record without an answer keeps its reverse
// fields as extensions: a row of zeros would claim an answer.
func (x *pass) dataRecord(p *plan, rec []byte) {
	answered := p.biflow && p.answered(rec)
	r := x.dst.NextRow()
	x.dataRow(p, rec, r, answered)
	if answered {
		x.reverse(p, rec, r)
	}
}

// dataRow makes the empty row r that of a Data Record.
func (x *pass) dataRow(p *plan, rec []byte, r int, answered bool) {
	x.head(r)
	x.f = facts{}
	rest := rec
	for i := range p.ops {
		o := &p.ops[i]
		var v []byte
		v, rest, _ = o.next(rest)
		switch {
		case !o.reverse:
			x.field(r, o, v)
		case !answered:
			x.extend(o, v)
		}
	}
	if p.constant != nil {
		x.dst.Extend(p.constantKey, p.constant)
	}
	if p.lists {
		x.lists(p, rec, r, false)
	}
	x.finish(r)
	x.sample(r)
	x.dst.EndRow()
	x.res.Flows++
}

// answered tells whether a reverse counter of rec is not zero.
func (p *plan) answered(rec []byte) bool {
	for i := range p.ops {
		o := &p.ops[i]
		var v []byte
		v, rec, _ = o.next(rec)
		if o.reverse && (o.column == toOctets || o.column == toPackets) && !zeros(v) {
			return true
		}
	}
	return false
}

// reverse appends the reverse half of the record in row f (RFC 5103): the ends
// swapped, the counters and other reverse fields from the record.
func (x *pass) reverse(p *plan, rec []byte, f int) {
	b := x.dst
	r := x.begin()
	b.SrcAddr[r], b.DstAddr[r] = b.DstAddr[f], b.SrcAddr[f]
	b.SrcPort[r], b.DstPort[r] = b.DstPort[f], b.SrcPort[f]
	if b.Proto[f] == protocolICMP || b.Proto[f] == protocolICMPv6 {
		b.SrcPort[r], b.DstPort[r] = b.SrcPort[f], b.DstPort[f] // type and code are no port
	}
	b.SrcMAC[r], b.DstMAC[r] = b.DstMAC[f], b.SrcMAC[f]
	b.SrcVLAN[r], b.DstVLAN[r] = b.DstVLAN[f], b.SrcVLAN[f]
	b.SrcAS[r], b.DstAS[r] = b.DstAS[f], b.SrcAS[f]
	b.InIf[r], b.OutIf[r] = b.OutIf[f], b.InIf[f]
	b.Proto[r], b.EndReason[r] = b.Proto[f], b.EndReason[f]
	b.FirewallEvent[r], b.NATEvent[r] = b.FirewallEvent[f], b.NATEvent[f]
	b.TimeFlowStart[r], b.TimeFlowEnd[r] = b.TimeFlowStart[f], b.TimeFlowEnd[f]
	b.SamplingRate[r] = b.SamplingRate[f]
	b.Quality[r] = b.Quality[f]&^flow.ExtensionCut | flow.BiflowReverse
	b.Presence[r] = reversedPresence(b.Presence[f])

	x.f = facts{}
	rest := rec
	for i := range p.ops {
		o := &p.ops[i]
		var v []byte
		v, rest, _ = o.next(rest)
		if o.reverse {
			x.field(r, o, v)
		}
	}
	if p.lists {
		x.lists(p, rec, r, true)
	}
	x.finish(r)
	b.EndRow()
	x.res.Flows++
	x.res.Reverse++
}

// reversedPresence keeps the bits of fields that hold for both directions, the
// paired ones exchanged.
func reversedPresence(p uint16) uint16 {
	out := p & (flow.HasStart | flow.HasEnd | flow.HasEndReason | flow.HasAS | flow.HasEvents)
	for _, pair := range [][2]uint16{
		{flow.HasSrcMAC, flow.HasDstMAC}, {flow.HasVLANIn, flow.HasVLANOut}, {flow.HasInIf, flow.HasOutIf},
	} {
		if p&pair[0] != 0 {
			out |= pair[1]
		}
		if p&pair[1] != 0 {
			out |= pair[0]
		}
	}
	return out
}

// field puts one value where it belongs; one that does not fit its column
// becomes an extension.
func (x *pass) field(r int, o *op, v []byte) {
	if o.column == toExtension || !x.fill(r, o, v) || o.also {
		x.extend(o, v)
	}
}

// extend keeps a value as exported. A field of fixed length 0 says nothing.
func (x *pass) extend(o *op, v []byte) {
	if o.length > 0 && o.key != paddingOctets {
		x.dst.Extend(o.key, v)
	}
}

func (x *pass) fill(r int, o *op, v []byte) bool {
	b := x.dst
	switch o.column {
	case toOctets:
		return store(&b.Bytes[r], v, &b.Presence[r], flow.HasBytes)
	case toPackets:
		return store(&b.Packets[r], v, &b.Presence[r], flow.HasPackets)
	case toSrcAddr:
		return x.address(&b.SrcAddr[r], &x.f.src, o, v)
	case toDstAddr:
		return x.address(&b.DstAddr[r], &x.f.dst, o, v)
	case toSrcPort:
		return store(&b.SrcPort[r], v, nil, 0)
	case toDstPort:
		return store(&b.DstPort[r], v, nil, 0)
	case toProto:
		return store(&b.Proto[r], v, nil, 0)
	case toDirection:
		return store(&b.Direction[r], v, &b.Presence[r], flow.HasDirection)
	case toTCPFlags:
		return store(&b.TCPFlags[r], v, &b.Presence[r], flow.HasTCPFlags)
	case toTOS:
		return store(&b.TOS[r], v, &b.Presence[r], flow.HasTOS)
	case toEndReason:
		return store(&b.EndReason[r], v, &b.Presence[r], flow.HasEndReason)
	case toFirewallEvent:
		return store(&b.FirewallEvent[r], v, &b.Presence[r], flow.HasEvents)
	case toNATEvent:
		return store(&b.NATEvent[r], v, &b.Presence[r], flow.HasEvents)
	case toSrcMAC:
		return len(v) == 6 && store(&b.SrcMAC[r], v, &b.Presence[r], flow.HasSrcMAC)
	case toDstMAC:
		return len(v) == 6 && store(&b.DstMAC[r], v, &b.Presence[r], flow.HasDstMAC)
	case toSrcVLAN:
		return store(&b.SrcVLAN[r], v, &b.Presence[r], flow.HasVLANIn)
	case toDstVLAN:
		return store(&b.DstVLAN[r], v, &b.Presence[r], flow.HasVLANOut)
	case toInIf:
		return store(&b.InIf[r], v, &b.Presence[r], flow.HasInIf)
	case toOutIf:
		return store(&b.OutIf[r], v, &b.Presence[r], flow.HasOutIf)
	case toSrcAS:
		return store(&b.SrcAS[r], v, &b.Presence[r], flow.HasAS)
	case toDstAS:
		return store(&b.DstAS[r], v, &b.Presence[r], flow.HasAS)
	}
	return x.note(o, v)
}

// note keeps a value for finish.
func (x *pass) note(o *op, v []byte) bool {
	f := &x.f
	switch o.column {
	case toStart:
		f.start = stamp{o, v}
	case toEnd:
		f.end = stamp{o, v}
	case toICMP, toICMPType, toICMPCode:
		if f.numICMP == len(f.icmp) {
			return false
		}
		f.icmp[f.numICMP] = stamp{o, v}
		f.numICMP++
	case toDuration:
		if u, ok := number(v, math.MaxUint64); ok {
			unit := int64(1e6)
			if o.form == formMicro {
				unit = 1e3
			}
			f.duration, f.hasDuration = scale(u, unit), true
		}
	case toSystemInit:
		f.saidInit = true
		if u, ok := number(v, math.MaxInt64/1_000_000); ok && u > 0 {
			f.systemInit, f.hasInit = int64(u)*1e6, true
		}
	default:
		f.sampling.field(o.column, v)
		if o.column == toRate && !o.also {
			return f.sampling.sane()
		}
	}
	return true
}

// address fills an address column. Some templates carry both families, one of
// them zero: the other fills the column, and the zero one is an extension.
func (x *pass) address(dst *[16]byte, by *address, o *op, v []byte) bool {
	if (o.form == formIPv4 && len(v) != 4) || (o.form == formIPv6 && len(v) != 16) {
		return false
	}
	zero := zeros(v)
	if by.op != nil {
		if zero || !by.zero {
			return false
		}
		x.dst.Extend(by.op.key, make([]byte, by.op.length))
	}
	*by = address{o, zero}
	if o.form == formIPv4 {
		*dst = [16]byte{10: 0xff, 11: 0xff}
		copy(dst[12:], v)
	} else {
		copy(dst[:], v)
	}
	return true
}

// finish completes row r from what note kept.
func (x *pass) finish(r int) {
	x.times(r)
	for i := range x.f.numICMP {
		if s := x.f.icmp[i]; !x.icmp(r, s) {
			x.extend(s.op, s.value)
		}
	}
}

// icmp puts type and code into the destination port, where v5 and v9 keep
// them, unless the record has its own value there.
func (x *pass) icmp(r int, s stamp) bool {
	b := x.dst
	want := uint8(protocolICMP)
	if s.op.form == formIPv6 {
		want = protocolICMPv6
	}
	u, ok := number(s.value, math.MaxUint16)
	if !ok || b.Proto[r] != want {
		return false
	}
	var mask uint16
	switch s.op.column {
	case toICMP:
		mask = math.MaxUint16
	case toICMPType:
		mask, u = 0xff00, u<<8
	default:
		mask = 0xff
	}
	if u&^uint64(mask) != 0 || (b.DstPort[r]&mask != 0 && b.DstPort[r]&mask != uint16(u)) {
		return false
	}
	b.DstPort[r] |= uint16(u)
	return true
}

// rate finds the sampling rate of a record with the fields s: the operator's
// override, the record, options data, the operator's default, or 1 and a quality
// bit.
func (x *pass) rate(s *sampling, inIf, outIf uint32, egress bool) rate {
	found := x.configured
	if !x.override {
		if own, ok := s.resolve(); ok {
			found = own
		} else if told, ok := x.observation.find(s, inIf, outIf, egress); ok {
			found = told
		}
	}
	if found.n == 0 {
		found = rate{n: 1, quality: flow.SamplingAssumed}
	}
	return found
}

// sample fills the sampling rate of row r.
func (x *pass) sample(r int) {
	b := x.dst
	found := x.rate(&x.f.sampling, b.InIf[r], b.OutIf[r], b.Direction[r] == 1)
	b.SamplingRate[r] = found.n
	b.Quality[r] |= found.quality
	if found.inexact() {
		var p [8]byte
		binary.BigEndian.PutUint64(p[:], math.Float64bits(found.probability))
		b.Extend(flow.ExtensionKey(0, samplingProbability), p[:])
	}
}

// number reads a big-endian unsigned integer of any length (reduced-size
// encoding, RFC 7011, Section 6.2); ok is false if it has no octets or exceeds max.
func number(v []byte, max uint64) (u uint64, ok bool) {
	switch len(v) {
	case 0:
		return 0, false
	case 1:
		u = uint64(v[0])
	case 2:
		u = uint64(binary.BigEndian.Uint16(v))
	case 4:
		u = uint64(binary.BigEndian.Uint32(v))
	case 8:
		u = binary.BigEndian.Uint64(v)
	default:
		for i, x := range v {
			if i < len(v)-8 && x != 0 {
				return 0, false
			}
			u = u<<8 | uint64(x)
		}
	}
	return u, u <= max
}

// store stores a number that fits and marks it present.
func store[T uint8 | uint16 | uint32 | uint64](dst *T, v []byte, presence *uint16, bit uint16) bool {
	u, ok := number(v, uint64(^T(0)))
	if !ok {
		return false
	}
	*dst = T(u)
	if presence != nil {
		*presence |= bit
	}
	return true
}
