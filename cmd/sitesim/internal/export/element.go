package export

import (
	"encoding/binary"
	"time"

	"tidemark/cmd/sitesim/internal/packet"
)

var be = binary.BigEndian

// element is one Information Element of a template, with the way to write its value.
type element struct {
	id, length uint16
	pen        uint32 // Private Enterprise Number, 0 = IANA
	put        func(b []byte, boot int64, r *record) []byte
}

// template is a Template Record and the layout of its Data Records.
type template struct {
	id       uint16
	elements []element
}

// size is the length of one Data Record.
func (t template) size() (n int) {
	for _, e := range t.elements {
		n += int(e.length)
	}
	return n
}

func (t template) appendRecord(b []byte, boot int64, r *record) []byte {
	for _, e := range t.elements {
		b = e.put(b, boot, r)
	}
	return b
}

// appendTemplate writes the Template Record (RFC 7011, Section 3.4.1; without enterprise elements it is that of RFC 3954).
func (t template) appendTemplate(b []byte) []byte {
	b = be.AppendUint16(b, t.id)
	b = be.AppendUint16(b, uint16(len(t.elements)))
	for _, e := range t.elements {
		if e.pen != 0 {
			b = be.AppendUint16(b, e.id|0x8000)
			b = be.AppendUint16(b, e.length)
			b = be.AppendUint32(b, e.pen)
			continue
		}
		b = be.AppendUint16(b, e.id)
		b = be.AppendUint16(b, e.length)
	}
	return b
}

// reversePEN marks the Information Elements of the other direction (RFC 5103, Section 6.1).
const reversePEN = 29305

func u8(id uint16, v func(*record) uint8) element {
	return element{id, 1, 0, func(b []byte, _ int64, r *record) []byte { return append(b, v(r)) }}
}

func u16(id uint16, v func(*record) uint16) element {
	return element{id, 2, 0, func(b []byte, _ int64, r *record) []byte { return be.AppendUint16(b, v(r)) }}
}

func u32(id uint16, v func(*record) uint32) element {
	return element{id, 4, 0, func(b []byte, _ int64, r *record) []byte { return be.AppendUint32(b, v(r)) }}
}

func u64(id uint16, pen uint32, v func(*record) uint64) element {
	return element{id, 8, pen, func(b []byte, _ int64, r *record) []byte { return be.AppendUint64(b, v(r)) }}
}

func mac(id uint16, v func(*record) packet.MAC) element {
	return element{id, 6, 0, func(b []byte, _ int64, r *record) []byte { m := v(r); return append(b, m[:]...) }}
}

func millis(id uint16, pen uint32, v func(*record) int64) element {
	return u64(id, pen, func(r *record) uint64 { return uint64(v(r) / int64(time.Millisecond)) })
}

func switched(id uint16, v func(*record) int64) element {
	return element{id, 4, 0, func(b []byte, boot int64, r *record) []byte { return be.AppendUint32(b, uptime(boot, v(r))) }}
}

// addresses are sourceIPv4Address and destinationIPv4Address.
func addresses() []element {
	return []element{
		{8, 4, 0, func(b []byte, _ int64, r *record) []byte { a := r.Src.As4(); return append(b, a[:]...) }},
		{12, 4, 0, func(b []byte, _ int64, r *record) []byte { a := r.Dst.As4(); return append(b, a[:]...) }},
	}
}

// link are the elements of layers 1 and 2: interfaces, MAC addresses and VLANs.
func link() []element {
	return []element{
		u32(10, func(r *record) uint32 { return uint32(r.In) }),
		u32(14, func(r *record) uint32 { return uint32(r.Out) }),
		mac(56, func(r *record) packet.MAC { return r.SrcMAC }),
		mac(80, func(r *record) packet.MAC { return r.DstMAC }),
		u16(58, func(r *record) uint16 { return r.VLAN }),
		u16(59, func(r *record) uint16 { return r.OutVLAN }),
	}
}

// closeSet fills in the length of the set that began at start, after padding it to 4 octets.
func closeSet(b []byte, start int) []byte {
	for (len(b)-start)%4 != 0 {
		b = append(b, 0)
	}
	be.PutUint16(b[start+2:], uint16(len(b)-start))
	return b
}

// openSet begins a set or FlowSet; closeSet ends it.
func openSet(b []byte, id uint16) []byte { return be.AppendUint16(be.AppendUint16(b, id), 0) }
