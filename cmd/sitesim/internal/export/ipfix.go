package export

import "time"

// ipfix writes IPFIX (RFC 7011) as a firewall does: what it let through, as two flow records or one
// biflow (RFC 5103), and what it denied, with firewallEvent. Its sequence number counts data records.
type ipfix struct {
	options             Options
	state               State
	refreshed           int64
	uni, biflow, denied template
}

const (
	ipfixHeader          = 16
	ipfixTemplateSet     = 2
	ipfixOptionsTemplate = 3
	ipfixOptionsID       = 259
)

// firewallDenied is a value of Information Element 233, firewallEvent.
const firewallDenied = 3

var (
	ipfixUni    = template{256, ipfixCommon()}
	ipfixBiflow = template{257, append(ipfixCommon(),
		u64(1, reversePEN, func(r *record) uint64 { return r.Reverse.Octets }),
		u64(2, reversePEN, func(r *record) uint64 { return r.Reverse.Packets }),
		element{6, 2, reversePEN, func(b []byte, _ int64, r *record) []byte { return be.AppendUint16(b, uint16(r.Reverse.Flags)) }},
		millis(152, reversePEN, func(r *record) int64 { return r.Reverse.Start }),
		millis(153, reversePEN, func(r *record) int64 { return r.Reverse.End }),
		u8(239, func(*record) uint8 { return 1 }), // biflowDirection: the source began it
	)}
	ipfixDenied = template{258, append(ipfixCommon(), u8(233, func(*record) uint8 { return firewallDenied }))}
)

func ipfixCommon() []element {
	return append(append(addresses(), link()...),
		u16(7, func(r *record) uint16 { return port(r, r.SrcPort) }),
		u16(11, func(r *record) uint16 { return port(r, r.DstPort) }),
		u16(32, func(r *record) uint16 { return r.DstPort - port(r, r.DstPort) }), // icmpTypeCodeIPv4
		u8(4, func(r *record) uint8 { return r.Proto }),
		u8(5, func(r *record) uint8 { return r.TOS }),
		u16(6, func(r *record) uint16 { return uint16(r.Flags) }),
		u64(1, 0, func(r *record) uint64 { return r.Octets }),
		u64(2, 0, func(r *record) uint64 { return r.Packets }),
		millis(152, 0, func(r *record) int64 { return r.Start }),
		millis(153, 0, func(r *record) int64 { return r.End }),
		u8(136, func(r *record) uint8 { return r.EndReason }),
	)
}

// port is p, or 0 for ICMP, which has an element of its own.
func port(r *record, p uint16) uint16 {
	if r.Proto == 1 {
		return 0
	}
	return p
}

func (e *ipfix) keep() State { return e.state }
func (e *ipfix) refresh()    { e.refreshed = 0 }

func (e *ipfix) layout(r *record) template {
	switch {
	case r.Denied:
		return e.denied
	case r.Reverse.Packets > 0:
		return e.biflow
	}
	return e.uni
}

func (e *ipfix) encode(now int64, recs []record, st *Stats) ([]byte, int) {
	b := make([]byte, ipfixHeader, MaxDatagram)
	count := 0
	if e.refreshed == 0 || now-e.refreshed >= int64(TemplateRefresh) {
		b = e.appendTemplates(b)
		e.refreshed, count = now, 1
		st.Templates += 4
		st.OptionsRecords++
	}
	start, open, n := 0, uint16(0), 0
	for i := range recs {
		t := e.layout(&recs[i])
		if len(b)+4+t.size()+3 > MaxDatagram {
			break
		}
		if t.id != open {
			if open != 0 {
				b = closeSet(b, start)
			}
			start, open = len(b), t.id
			b = openSet(b, t.id)
		}
		b = t.appendRecord(b, e.state.Boot, &recs[i])
		n++
	}
	if open != 0 {
		b = closeSet(b, start)
	}

	be.PutUint16(b, 10)
	be.PutUint16(b[2:], uint16(len(b)))
	be.PutUint32(b[4:], uint32(now/int64(time.Second)))
	be.PutUint32(b[8:], e.state.Sequence)
	be.PutUint32(b[12:], e.options.Domain)
	e.state.Sequence += uint32(count + n)
	return b, n
}

// appendTemplates writes the three templates, the options template and its record: the sampling
// rate as samplingPacketInterval (305) and samplingPacketSpace (306) of selectorAlgorithm (304),
// RFC 5477, in the scope of observationDomainId (149).
func (e *ipfix) appendTemplates(b []byte) []byte {
	start := len(b)
	b = openSet(b, ipfixTemplateSet)
	for _, t := range []template{e.uni, e.biflow, e.denied} {
		b = t.appendTemplate(b)
	}
	b = closeSet(b, start)

	start = len(b)
	b = openSet(b, ipfixOptionsTemplate)
	for _, v := range []uint16{ipfixOptionsID, 4, 1, 149, 4, 304, 2, 305, 4, 306, 4} { // id, fields, scope fields, then (id, length)
		b = be.AppendUint16(b, v)
	}
	b = closeSet(b, start)

	start = len(b)
	b = openSet(b, ipfixOptionsID)
	b = be.AppendUint32(b, e.options.Domain)
	b = be.AppendUint16(b, 3) // random n out of N
	b = be.AppendUint32(b, 1)
	b = be.AppendUint32(b, uint32(e.options.Sampling-1))
	return closeSet(b, start)
}
