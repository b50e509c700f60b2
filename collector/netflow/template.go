package netflow

import (
	"encoding/binary"
	"slices"

	"tidemark/collector/flow"
)

// variable is the field length that says the record carries the length
// (RFC 7011, Section 7).
const variable = 0xffff

// maxFields bounds a template; a datagram has room for 16,000 fields.
const maxFields = 1024

// field is one Field Specifier.
type field struct {
	pen    uint32
	id     uint16
	length uint16
}

// template is a Template Record or, with scopes > 0 or options set, an Options
// Template Record.
type template struct {
	id      uint16
	options bool
	scopes  int // how many of fields are Scope Fields
	fields  []field

	// constant, if not nil, is an extension of every record: what a legacy header
	// says of its records.
	constant    []byte
	constantKey uint64
}

func (t *template) equal(u *template) bool {
	return t.options == u.options && t.scopes == u.scopes && slices.Equal(t.fields, u.fields)
}

// op moves one field of a record.
type op struct {
	key     uint64 // extension key
	length  uint16
	column  column
	form    form
	also    bool
	reverse bool
}

// plan is a compiled template: how to read a Data Record in one pass.
type plan struct {
	template
	size   int // octets of a record, the least when fixed is false
	fixed  bool
	biflow bool // some field counts the reverse direction
	lists  bool // some field is a list that may hold what the row lacks
	ops    []op

	columns *columns // nil: records are read one by one
}

// compile returns nil when the template describes records of no octets.
func compile(protocol flow.Protocol, t template) *plan {
	p := &plan{template: t, fixed: true, ops: make([]op, len(t.fields))}
	var best [2][numColumns]int // [reverse][column] -> index+1 of the op that fills it
	rank := func(i int) uint8 {
		e, _ := classify(protocol, t.fields[i].pen, t.fields[i].id)
		return e.rank
	}
	for i, f := range t.fields {
		if f.length == variable {
			p.fixed = false
			p.size++
		} else {
			p.size += int(f.length)
		}
		e, reverse := classify(protocol, f.pen, f.id)
		p.ops[i] = op{key: flow.ExtensionKey(f.pen, f.id), length: f.length, column: e.column, form: e.form, also: e.also, reverse: reverse}
		p.lists = p.lists || !reverse && isList(p.ops[i].key)
		if e.column == toExtension || mayRepeat(e.column) {
			continue
		}
		slot := &best[index(reverse)][e.column]
		if *slot == 0 {
			*slot = i + 1
		} else if e.rank < rank(*slot-1) {
			p.demote(*slot - 1)
			*slot = i + 1
		} else {
			p.demote(i)
		}
	}
	p.dropOneSidedAnswers(&best)
	for _, o := range p.ops {
		if o.reverse && (o.column == toOctets || o.column == toPackets) {
			p.biflow = true
		}
	}
	if p.size == 0 {
		return nil
	}
	p.columns = newColumns(protocol, p)
	return p
}

// dropOneSidedAnswers makes responderOctets or -Packets an extension when the
// forward column is filled by an element that is not its initiator twin.
func (p *plan) dropOneSidedAnswers(best *[2][numColumns]int) {
	for _, c := range []column{toOctets, toPackets} {
		answer := best[1][c] - 1
		if answer < 0 || p.fields[answer].pen != 0 {
			continue
		}
		if forward := best[0][c] - 1; forward >= 0 && p.fields[forward].id != p.fields[answer].id-1 {
			p.demote(answer)
		}
	}
}

func (p *plan) demote(i int) {
	p.ops[i].column, p.ops[i].also = toExtension, false
	if p.fields[i].pen != reversePEN {
		p.ops[i].reverse = false
	}
}

// mayRepeat holds for columns whose candidates are weighed record by record.
func mayRepeat(c column) bool {
	switch c {
	case toSrcAddr, toDstAddr, toICMP, toICMPType, toICMPCode, toSampler:
		return true
	}
	return false
}

func index(reverse bool) int {
	if reverse {
		return 1
	}
	return 0
}

// measure returns the length of the record that b begins with.
func (p *plan) measure(b []byte) (n int, ok bool) {
	if p.fixed {
		return p.size, len(b) >= p.size
	}
	rest := b
	for i := range p.ops {
		if _, rest, ok = p.ops[i].next(rest); !ok {
			return 0, false
		}
	}
	return len(b) - len(rest), true
}

// fits tells whether a set could be made of p's records and padding.
func (p *plan) fits(set []byte) bool {
	rest := len(set) % p.size
	return !p.fixed || rest <= 3 || zeros(set[len(set)-rest:])
}

// next cuts the field's value off b.
func (o *op) next(b []byte) (value, rest []byte, ok bool) {
	n := int(o.length)
	if o.length == variable {
		if len(b) < 1 {
			return nil, nil, false
		}
		n, b = int(b[0]), b[1:]
		if n == 255 {
			if len(b) < 2 {
				return nil, nil, false
			}
			n, b = int(b[0])<<8|int(b[1]), b[2:]
		}
	}
	if len(b) < n {
		return nil, nil, false
	}
	return b[:n], b[n:], true
}

// templateReader reads the records of a Template Set or Options Template Set.
type templateReader struct {
	protocol flow.Protocol
	options  bool
	rest     []byte
	fault    flow.Reason // why reading ended, ReasonNone at the end of the set
}

// next returns the next record, ok is false when there is none. A record
// without fields is a Template Withdrawal (RFC 7011, Section 8.1).
func (r *templateReader) next() (t template, ok bool) {
	b := r.rest
	if len(b) < 4 || zeros(b) {
		return t, false
	}
	r.fault = flow.ReasonTemplateInvalid
	t = template{id: binary.BigEndian.Uint16(b), options: r.options}
	n := int(binary.BigEndian.Uint16(b[2:]))
	b = b[4:]
	if r.options && (n > 0 || r.protocol == flow.NetFlowV9) {
		if len(b) < 2 {
			return t, false
		}
		second := int(binary.BigEndian.Uint16(b))
		b = b[2:]
		if r.protocol == flow.NetFlowV9 { // two lengths in octets (RFC 3954, Section 6.1)
			t.scopes, n = n/4, n/4+second/4
		} else { // counts; the first includes the second (RFC 7011, Section 3.4.2.2)
			t.scopes = second
		}
	}
	if n > maxFields || t.scopes > n || len(b) < 4*n {
		return t, false
	}
	t.fields = make([]field, n)
	for i := range t.fields {
		f := &t.fields[i]
		if len(b) < 4 {
			return t, false
		}
		f.id, f.length, b = binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:]), b[4:]
		if r.protocol == flow.IPFIX && f.id&0x8000 != 0 {
			if len(b) < 4 {
				return t, false
			}
			f.id, f.pen, b = f.id&0x7fff, binary.BigEndian.Uint32(b), b[4:]
		}
	}
	r.rest, r.fault = b, flow.ReasonNone
	return t, true
}

func zeros(b []byte) bool {
	for _, x := range b {
		if x != 0 {
			return false
		}
	}
	return true
}
