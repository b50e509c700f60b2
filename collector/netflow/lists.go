package netflow

import (
	"encoding/binary"

	"tidemark/collector/flow"
)

// Lists of RFC 6313. They are extensions, whole, like every element without a
// column. Of the records in a subTemplateList or subTemplateMultiList the row
// takes what says of the flow what its own record leaves out: MAC addresses, VLANs
// and TCP flags, which YAF exports so. A basicList, many values of one element, has
// nothing for a column that holds one, and lists within lists are not read.
const (
	subTemplateList      = 292
	subTemplateMultiList = 293

	// maxListRecords bounds the records read of one list.
	maxListRecords = 32

	// YAF's TCP flags, of the first packet and of all after it.
	initialTCPFlags = certPEN<<16 | 14
	unionTCPFlags   = certPEN<<16 | 15
)

func isList(key uint64) bool { return key == subTemplateList || key == subTemplateMultiList }

// lists fills row r from the lists of a record; reverse asks for what they say of
// the reverse direction.
func (x *pass) lists(p *plan, rec []byte, r int, reverse bool) {
	l := list{x: x, row: r, reverse: reverse, had: x.dst.Presence[r]}
	for i := range p.ops {
		o := &p.ops[i]
		var v []byte
		v, rec, _ = o.next(rec)
		if !o.reverse && isList(o.key) {
			l.left = maxListRecords
			l.read(o.key, v)
		}
	}
}

// list is the reading of the lists of one record.
type list struct {
	x       *pass
	row     int
	reverse bool
	had     uint16 // presence bits that lists do not change
	left    int    // records that may still be read
}

// read reads a list; what is inside it may lie about its lengths.
func (l *list) read(key uint64, b []byte) {
	const semantic, head, multiHead = 1, 3, 4
	if len(b) < head {
		return
	}
	if key == subTemplateList { // RFC 6313, Section 4.5.2
		l.records(binary.BigEndian.Uint16(b[semantic:]), b[head:])
		return
	}
	for b = b[semantic:]; len(b) >= multiHead; { // Section 4.5.3
		n := int(binary.BigEndian.Uint16(b[2:]))
		if n < multiHead || n > len(b) {
			return
		}
		l.records(binary.BigEndian.Uint16(b), b[multiHead:n])
		b = b[n:]
	}
}

// records reads the records of one template, if it is known.
func (l *list) records(template uint16, b []byte) {
	p := l.x.find(templateKey{l.x.m.key(), template})
	if p == nil {
		return
	}
	for ; len(b) >= p.size && l.left > 0; l.left-- {
		n, ok := p.measure(b)
		if !ok {
			return
		}
		rest := b
		for i := range p.ops {
			o := &p.ops[i]
			var v []byte
			v, rest, _ = o.next(rest)
			l.field(o, v)
		}
		b = b[n:]
	}
}

// field takes one field of a record in a list; the first of several holds.
func (l *list) field(o *op, v []byte) {
	b, r := l.x.dst, l.row
	switch key := o.key; {
	case o.reverse != l.reverse && o.column != toExtension:
		return
	case o.column == toSrcMAC || o.column == toDstMAC || o.column == toSrcVLAN || o.column == toDstVLAN || o.column == toTCPFlags:
		if b.Presence[r]&presenceOf(o.column) == 0 {
			l.x.fill(r, o, v)
		}
	case l.had&flow.HasTCPFlags == 0 && l.flags(key) && len(v) == 1:
		b.TCPFlags[r] |= uint16(v[0])
		b.Presence[r] |= flow.HasTCPFlags
	}
}

// flags reports whether key is of YAF's TCP flags in the direction asked for.
func (l *list) flags(key uint64) bool {
	if l.reverse {
		key ^= certReverse
	}
	return key == initialTCPFlags || key == unionTCPFlags
}
