package netflow

import (
	"cmp"
	"slices"

	"tidemark/collector/flow"
)

// columns is how to read a set field by field, each down all its rows, instead
// of record by record. It is for templates whose records are of one length, and
// whose fields can be judged one by one. A record that turns out to need more (a
// value too large for its column, a time out of range) is read by itself as
// without columns, so that both ways give the same rows.
type columns struct {
	size     int      // octets of a record
	moves    []placed // fields that fill a column
	presence uint16   // their presence bits
	sampling []placed
	icmp     []placed
	// shapes are the extensions of a record; bit i of the index is set when
	// icmp[i] is one: it is if the record is not of ICMP, or has a port.
	shapes [1 << maxICMPColumns]flow.Shape
	uptime bool // a time counts from the exporter's start
}

const maxICMPColumns = 2

// placed is a field and where it begins in the record.
type placed struct {
	op     *op
	offset int
}

// kept is an extension of the record; icmp is 0, or the bit of its shape.
type kept struct {
	key            uint64
	offset, length int
	icmp           int
	constant       []byte // instead of octets of the record
}

func (at *placed) keep(icmp int) kept {
	return kept{key: at.op.key, offset: at.offset, length: int(at.op.length), icmp: icmp}
}

// newColumns returns nil when records of p must be read one by one.
func newColumns(protocol flow.Protocol, p *plan) *columns {
	const padding = 4 // records this small may be padding
	if p.options || !p.fixed || p.biflow || p.lists || p.size < padding {
		return nil
	}
	c := &columns{size: p.size}
	var keep, late []kept
	var filled [numColumns]bool
	offset, icmp := 0, 0
	for i := range p.ops {
		at := placed{&p.ops[i], offset}
		o := at.op
		offset += int(o.length)
		if o.length > flow.MaxExtension {
			return nil
		}
		if isICMP(o.column) && !o.reverse {
			icmp++
		}
		switch role := o.role(); {
		case o.length == 0: // says nothing
		case role == roleExtension:
			keep = append(keep, at.keep(0))
		case role == roleICMP:
			late = append(late, at.keep(1<<len(c.icmp))) // as finish does
			c.icmp = append(c.icmp, at)
		case role == roleRecord || filled[o.column] && role == roleMove:
			return nil
		default:
			filled[o.column] = true
			if role == roleMove {
				c.moves = append(c.moves, at)
				c.presence |= presenceOf(o.column)
				c.uptime = c.uptime || o.form == formUptime
			} else if role == roleSampling {
				c.sampling = append(c.sampling, at)
			}
			if o.also {
				keep = append(keep, at.keep(0))
			}
		}
	}
	if icmp > maxICMPColumns || len(c.icmp) > maxICMPColumns ||
		filled[toDuration] && !(filled[toStart] && filled[toEnd]) || // it makes the one that is missing
		filled[toSystemInit] && c.uptime && protocol == flow.IPFIX { // times count from a field of the record
		return nil
	}
	if p.constant != nil {
		keep = append(keep, kept{key: p.constantKey, constant: p.constant})
	}
	c.shape(append(keep, late...))
	return c
}

// shape makes the shapes; keep is in the order in which a record is read.
func (c *columns) shape(keep []kept) {
	slices.SortStableFunc(keep, func(a, b kept) int { return cmp.Compare(a.key, b.key) })
	for mask := range 1 << len(c.icmp) {
		shape := &c.shapes[mask]
		for _, k := range keep {
			switch {
			case k.key == paddingOctets, k.icmp&^mask != 0:
			case k.constant != nil:
				shape.AddConstant(k.key, k.constant)
			default:
				shape.Add(k.key, k.offset, k.length)
			}
		}
	}
}

// role is what becomes of a field of one length.
type role uint8

const (
	roleExtension role = iota
	roleMove           // fills a column
	roleSampling       // helps to find the sampling rate
	roleICMP           // type and code
	roleAlso           // an extension whose meaning is used elsewhere
	roleRecord         // must be judged with the rest of its record
)

func (o *op) role() role {
	switch c := o.column; {
	case o.reverse, c == toExtension:
		return roleExtension // a record that counts nothing in reverse is no biflow
	case c == toSrcAddr, c == toDstAddr:
		if o.form == formIPv4 && o.length != 4 || o.form == formIPv6 && o.length != 16 {
			return roleExtension
		}
		return roleMove
	case c == toSrcMAC, c == toDstMAC:
		if o.length != 6 {
			return roleExtension
		}
		return roleMove
	case isICMP(c):
		return roleICMP
	case o.length > 8, o.form == formNTP && o.length != 8:
		return roleRecord
	case c == toDuration, c == toSystemInit:
		return roleAlso
	case c >= toRate && c <= toSampler:
		return roleSampling
	}
	return roleMove
}

func isICMP(c column) bool { return c == toICMP || c == toICMPType || c == toICMPCode }

// presenceOf is the bit of a column that is filled.
func presenceOf(c column) uint16 {
	switch c {
	case toOctets:
		return flow.HasBytes
	case toPackets:
		return flow.HasPackets
	case toStart:
		return flow.HasStart
	case toEnd:
		return flow.HasEnd
	case toDirection:
		return flow.HasDirection
	case toTCPFlags:
		return flow.HasTCPFlags
	case toTOS:
		return flow.HasTOS
	case toEndReason:
		return flow.HasEndReason
	case toFirewallEvent, toNATEvent:
		return flow.HasEvents
	case toSrcMAC:
		return flow.HasSrcMAC
	case toDstMAC:
		return flow.HasDstMAC
	case toSrcVLAN:
		return flow.HasVLANIn
	case toDstVLAN:
		return flow.HasVLANOut
	case toInIf:
		return flow.HasInIf
	case toOutIf:
		return flow.HasOutIf
	case toSrcAS, toDstAS:
		return flow.HasAS
	}
	return 0
}
