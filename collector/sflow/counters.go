package sflow

import "encoding/binary"

// InterfaceCounters is what a counter sample says of the packets that came in by
// an interface: the part of if_counters (sFlow v5, Section 5; RFC 2863) that
// flow samples can be held against.
type InterfaceCounters struct {
	Index                         uint32
	Unicast, Multicast, Broadcast uint32 // they wrap
}

// unknown is the value of a counter that the agent does not have.
const unknown = 1<<32 - 1

// InSince returns how many packets came in since an earlier reading; ok is
// false when the agent began to count anew, or does not count.
func (c InterfaceCounters) InSince(earlier InterfaceCounters) (n uint64, ok bool) {
	for _, pair := range [][2]uint32{{c.Unicast, earlier.Unicast}, {c.Multicast, earlier.Multicast}, {c.Broadcast, earlier.Broadcast}} {
		d := pair[0] - pair[1]
		if pair[0] == unknown && pair[1] == unknown {
			continue
		}
		if d > 1<<31 {
			return 0, false
		}
		n += uint64(d)
	}
	return n, c.Unicast != unknown
}

// Formats of counter records of enterprise 0: if_counters of 88 octets (sFlow v5,
// Section 5), and port_name (sflow.org, "sFlow OpenFlow Structures").
const (
	genericCounters = 1
	portName        = 1005
)

// counters reads the records of a counter sample. Other records than those of
// interfaces, and what is cut, are passed over: the sample is counted.
func (x *pass) counters(s *sample) {
	if x.config.Counters == nil && x.config.PortName == nil {
		return
	}
	s.c.u32() // sequence
	class, index := s.c.dataSource(s.format == expandedCounterSample)
	for records := s.c.u32(); records > 0 && !s.c.short; records-- {
		format, n := s.c.u32(), s.c.u32()
		b := s.c.take(int64(n))
		switch {
		case format == genericCounters && len(b) >= 88 && x.config.Counters != nil:
			at := binary.BigEndian.Uint32
			x.config.Counters(x.dg.Exporter, x.agent.As16(), x.res.Domain, InterfaceCounters{Index: at(b), Unicast: at(b[32:]), Multicast: at(b[36:]), Broadcast: at(b[40:])})
		case format == portName && class == ifIndexClass && x.config.PortName != nil:
			r := cursor{rest: b}
			if name := r.take(int64(r.u32())); len(name) > 0 {
				x.config.PortName(x.dg.Exporter, x.agent.As16(), x.res.Domain, index, name)
			}
		}
	}
}
