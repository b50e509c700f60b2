package netflow

import (
	"encoding/binary"

	"tidemark/collector/flow"
)

const (
	v9Header    = 20
	ipfixHeader = 16
	setHeader   = 4

	maxSets     = 64    // FlowSets that a second header in a datagram may claim
	maxDomains  = 1024  // Observation Domains with options data, per session
	maxLateRows = 65536 // rows of waiting sets appended for one datagram
	maxSearches = 32    // through the other sessions, for one datagram
)

// message is the header of one export datagram.
type message struct {
	dg         flow.Datagram
	protocol   flow.Protocol
	domain     uint32
	sequence   uint32
	exportTime int64 // ns since 1970
	uptimeMs   uint32
}

func (m *message) key() domainKey { return domainKey{m.protocol, m.domain} }

// pass is the decoding of one datagram.
type pass struct {
	d   *Decoder
	s   *session // v9 and IPFIX only, locked
	dst *flow.Batch
	res flow.Result

	m           message
	window      window
	quality     uint16
	observation *observation // what options said of m's domain, never nil

	configured rate
	override   bool
	searches   int

	f facts // of the record being read
}

func (x *pass) fail(r flow.Reason) { x.res.Undecodable[r]++ }

// enter makes m the message whose sets are read.
func (x *pass) enter(m message) {
	x.m = m
	x.window = windowOf(&m.dg)
	x.observation = x.s.domains[m.key()]
	if x.observation == nil {
		x.observation = &x.d.unknown
	}
}

// header9 reads a NetFlow v9 header (RFC 3954, Section 5.1). Its Count is wrong
// in several exporters (softflowd among them) and not used: the datagram ends
// where it ends.
func header9(dg flow.Datagram, b []byte) (m message, sets []byte, ok bool) {
	if len(b) < v9Header {
		return m, nil, false
	}
	return message{
		dg: dg, protocol: flow.NetFlowV9,
		uptimeMs:   binary.BigEndian.Uint32(b[4:]),
		exportTime: int64(binary.BigEndian.Uint32(b[8:])) * 1e9,
		sequence:   binary.BigEndian.Uint32(b[12:]),
		domain:     binary.BigEndian.Uint32(b[16:]),
	}, b[v9Header:], true
}

// header10 reads an IPFIX Message Header (RFC 7011, Section 3.1).
func header10(dg flow.Datagram, b []byte) (m message, sets []byte, ok bool) {
	if len(b) < ipfixHeader {
		return m, nil, false
	}
	return message{
		dg: dg, protocol: flow.IPFIX,
		exportTime: int64(binary.BigEndian.Uint32(b[4:])) * 1e9,
		sequence:   binary.BigEndian.Uint32(b[8:]),
		domain:     binary.BigEndian.Uint32(b[12:]),
	}, b[ipfixHeader:], true
}

// length bounds the sets of an IPFIX Message by its Length field.
func (x *pass) length(payload, sets []byte) []byte {
	n := int(binary.BigEndian.Uint16(payload[2:]))
	switch {
	case n < ipfixHeader:
		x.fail(flow.ReasonMalformed)
	case n > len(payload):
		x.fail(flow.ReasonShort)
	default:
		if !zeros(payload[n:]) {
			x.fail(flow.ReasonTrailing)
		}
		return payload[ipfixHeader:n]
	}
	return sets
}

// sets reads every set of a message. A set with a fault costs itself, not those after it.
func (x *pass) sets(b []byte) {
	for len(b) >= setHeader {
		id, n := binary.BigEndian.Uint16(b), int(binary.BigEndian.Uint16(b[2:]))
		if id == uint16(flow.NetFlowV9) && x.m.protocol == flow.NetFlowV9 && n <= maxSets && len(b) >= v9Header {
			m, rest, _ := header9(x.m.dg, b) // two messages glued together: 9 is no FlowSet ID
			x.enter(m)
			x.res.SequenceUnits++
			b = rest
			continue
		}
		if n < setHeader {
			if !zeros(b) { // Palo Alto pads datagrams with zeros
				x.fail(flow.ReasonMalformed)
			}
			return
		}
		cut := n > len(b)
		if cut {
			if x.res.Undecodable[flow.ReasonShort] == 0 {
				x.fail(flow.ReasonShort)
			}
			n = len(b)
		}
		x.set(id, b[setHeader:n], cut)
		b = b[n:]
	}
	if !zeros(b) {
		x.fail(flow.ReasonTrailing)
	}
}

// set reads one set; cut says that the datagram ended before the set did.
func (x *pass) set(id uint16, b []byte, cut bool) {
	v9 := x.m.protocol == flow.NetFlowV9
	switch {
	case id >= 256:
		x.dataSet(templateKey{x.m.key(), id}, b, cut)
	case v9 && id == 0, !v9 && id == 2:
		x.templateSet(false, b)
	case v9 && id == 1, !v9 && id == 3:
		x.templateSet(true, b)
	default: // reserved
		x.fail(flow.ReasonMalformed)
	}
}

func (x *pass) dataSet(k templateKey, b []byte, cut bool) {
	if len(b) == 0 {
		return
	}
	p := x.find(k)
	if p == nil || !p.fits(b) && x.s.plan(k) == nil {
		x.wait(k, b)
		return
	}
	if x.s.pending.any() {
		x.release(k, p)
	}
	if !x.s.used.Load() {
		x.s.used.Store(true)
		x.d.saveUsed(x.s, k.domainKey)
	}
	x.records(p, b, cut)
}

// find returns the template k of the session, or else one to borrow.
func (x *pass) find(k templateKey) *plan {
	p := x.s.plan(k)
	if p == nil && x.searches < maxSearches {
		x.searches++
		p = x.d.borrow(x.s, k)
	}
	return p
}

// wait keeps a set whose template is unknown.
func (x *pass) wait(k templateKey, b []byte) {
	x.res.Uncounted++
	kept, expired := x.s.pending.add(k, &x.m, b, &x.d.pendingBytes, x.d.config.MaxPendingBytes)
	x.res.Undecodable[flow.ReasonTemplateUnknown] += uint32(expired)
	if !kept && x.searches < maxSearches {
		x.searches++
		if x.d.makePendingRoom(x.s, len(b)) {
			kept, _ = x.s.pending.add(k, &x.m, b, &x.d.pendingBytes, x.d.config.MaxPendingBytes)
		}
	}
	if kept {
		x.res.Waiting++
	} else {
		x.fail(flow.ReasonTemplateUnknown)
	}
}

// release decodes the sets that waited for k, oldest first, as of the messages
// they came in. Those over maxLateRows wait for the next datagram.
func (x *pass) release(k templateKey, p *plan) {
	sets := x.s.pending.take(k, &x.d.pendingBytes, p.size, maxLateRows-x.res.Late)
	if len(sets) == 0 {
		return
	}
	now, units, flows := x.m, x.res.SequenceUnits, x.res.Flows
	x.quality |= flow.LateTemplate
	for _, w := range sets {
		x.enter(w.m)
		x.records(p, w.set, false)
	}
	x.quality &^= flow.LateTemplate
	x.enter(now)
	x.res.SequenceUnits = units
	x.res.Late += x.res.Flows - flows
}

// records reads the records of a Data Set.
func (x *pass) records(p *plan, b []byte, cut bool) {
	whole := len(b)
	if n := len(b) / p.size; n > 0 && x.readable(p) {
		x.dataRecords(p, b, n)
		if x.res.Unit == flow.Records {
			x.res.SequenceUnits += uint32(n)
		}
		b = b[n*p.size:]
	}
	for len(b) >= p.size {
		if len(b) < 4 && zeros(b) {
			break // padding (RFC 7011, Section 3.3.1), even if a record could be as small
		}
		n, ok := p.measure(b)
		if !ok {
			x.fail(flow.ReasonShort)
			return
		}
		if x.res.Unit == flow.Records {
			x.res.SequenceUnits++
		}
		if p.options {
			x.optionsRecord(p, b[:n])
		} else {
			x.dataRecord(p, b[:n])
		}
		b = b[n:]
	}
	if !cut && !padding(b, whole) {
		x.fail(flow.ReasonTrailing)
	}
}

// padding tells whether the octets left of a set of n octets align it to 4
// (RFC 7011, Section 3.3.1); some exporters (pmacct, Cisco WLC) do not zero them.
func padding(rest []byte, n int) bool {
	return zeros(rest) || len(rest) < 4 && n%4 == 0
}

func (x *pass) templateSet(options bool, b []byte) {
	r := templateReader{protocol: x.m.protocol, options: options, rest: b}
	for t, ok := r.next(); ok; t, ok = r.next() {
		x.template(t)
	}
	switch {
	case r.fault != flow.ReasonNone:
		x.fail(r.fault)
	case !padding(r.rest, len(b)):
		x.fail(flow.ReasonTrailing)
	}
}

func (x *pass) template(t template) {
	if len(t.fields) == 0 && x.m.protocol == flow.IPFIX {
		x.withdraw(t)
		return
	}
	var p *plan
	if t.id >= 256 && len(t.fields) > 0 {
		p = compile(x.m.protocol, t)
	}
	if p == nil {
		x.fail(flow.ReasonTemplateInvalid)
		return
	}
	x.res.Templates++
	k := templateKey{x.m.key(), t.id}
	became := x.s.learn(k, p, x.d.config.MaxTemplatesPerSession)
	if became == refused && x.d.makeRoom(x.s, x.m.dg.Received) {
		became = x.s.learn(k, p, x.d.config.MaxTemplatesPerSession)
	}
	switch became {
	case refused:
		x.fail(flow.ReasonLimit)
		return
	case redefined:
		x.res.Conflicts++
		x.d.saveTemplate(x.s, k, p)
	case added:
		x.d.saveTemplate(x.s, k, p)
	}
	x.release(k, x.s.plan(k))
}

// withdraw obeys a Template Withdrawal. Over UDP there must be none (RFC 7011,
// Section 8.4), and obeying a forged one would blind us.
func (x *pass) withdraw(t template) {
	if !x.m.dg.Transport.Connected() {
		x.fail(flow.ReasonTemplateInvalid)
		return
	}
	x.s.withdraw(x.m.key(), t.id, t.options)
}
