package collector

import (
	"encoding/binary"
	"net/netip"

	"github.com/gopacket/gopacket/layers"
)

// udpDatagram is a UDP datagram found in a packet; payload aliases the packet
// or the reassembler.
type udpDatagram struct {
	from    netip.AddrPort
	to      uint16
	payload []byte
	cut     bool // the capture holds less than was on the wire
}

// packetReader finds the UDP datagrams in captured packets. Anything else is
// passed over: a capture of an exporter's link holds ARP, TCP and more.
type packetReader struct {
	fragments fragments
}

// Link layer constants, from pcap-linktype(7), IEEE 802.3 and linux/if_ether.h.
const (
	etherIPv4 = 0x0800
	etherIPv6 = 0x86dd
	etherVLAN = 0x8100
	etherQinQ = 0x88a8
	etherOld  = 0x9100 // Q-in-Q before the standard
	maxTags   = 4
)

// datagram returns the UDP datagram in a packet of the link type. A fragment
// gives its datagram when the last part has come.
func (p *packetReader) datagram(link layers.LinkType, packet []byte) (udpDatagram, bool) {
	ip, ok := network(link, packet)
	if !ok || len(ip) == 0 {
		return udpDatagram{}, false
	}
	switch ip[0] >> 4 {
	case 4:
		return p.ipv4(ip)
	case 6:
		return p.ipv6(ip)
	}
	return udpDatagram{}, false
}

// network strips the link layer.
func network(link layers.LinkType, b []byte) (ip []byte, ok bool) {
	switch link {
	case layers.LinkTypeEthernet:
		return etherPayload(b, 12)
	case layers.LinkTypeLinuxSLL: // LINKTYPE_LINUX_SLL: protocol in octets 14, 15
		return etherPayload(b, 14)
	case layers.LinkTypeLinuxSLL2: // LINKTYPE_LINUX_SLL2: protocol first, header of 20
		if len(b) < 20 {
			return nil, false
		}
		return etherType(binary.BigEndian.Uint16(b), b[20:])
	case layers.LinkTypeNull, layers.LinkTypeLoop: // 4 octets of address family, in either order
		if len(b) < 4 {
			return nil, false
		}
		return b[4:], true
	case layers.LinkTypeRaw, layers.LinkTypeIPv4, layers.LinkTypeIPv6, 12, 14: // 12, 14: DLT_RAW of some systems
		return b, true
	}
	return nil, false
}

// readableLink reports whether packets of the link type can be read at all.
func readableLink(link layers.LinkType) bool {
	switch link {
	case layers.LinkTypeEthernet, layers.LinkTypeLinuxSLL, layers.LinkTypeLinuxSLL2, layers.LinkTypeNull,
		layers.LinkTypeLoop, layers.LinkTypeRaw, layers.LinkTypeIPv4, layers.LinkTypeIPv6, 12, 14:
		return true
	}
	return false
}

func etherPayload(b []byte, at int) ([]byte, bool) {
	if len(b) < at+2 {
		return nil, false
	}
	return etherType(binary.BigEndian.Uint16(b[at:]), b[at+2:])
}

// etherType strips VLAN tags, which are a type and 2 octets each.
func etherType(kind uint16, b []byte) ([]byte, bool) {
	for range maxTags {
		switch kind {
		case etherIPv4, etherIPv6:
			return b, true
		case etherVLAN, etherQinQ, etherOld:
			if len(b) < 4 {
				return nil, false
			}
			kind, b = binary.BigEndian.Uint16(b[2:]), b[4:]
		default:
			return nil, false
		}
	}
	return nil, false
}

const protocolUDP = 17

// ipv4 reads an IPv4 packet (RFC 791). A total length of 0 is that of a packet
// captured before segmentation offload filled it in: all octets count.
func (p *packetReader) ipv4(b []byte) (udpDatagram, bool) {
	if len(b) < 20 || b[9] != protocolUDP {
		return udpDatagram{}, false
	}
	header, total := int(b[0]&15)*4, int(binary.BigEndian.Uint16(b[2:]))
	if total == 0 {
		total = len(b)
	}
	if header < 20 || header > len(b) || total < header {
		return udpDatagram{}, false
	}
	body, cut := cutTo(b[header:], total-header)
	from := netip.AddrFrom4([4]byte(b[12:16]))
	flags := binary.BigEndian.Uint16(b[6:])
	if offset, more := int(flags&0x1fff)*8, flags&0x2000 != 0; offset > 0 || more {
		key := fragmentKey{from: from, to: netip.AddrFrom4([4]byte(b[16:20])), id: uint32(binary.BigEndian.Uint16(b[4:]))}
		whole, ok := p.fragments.add(key, offset, more, body, cut)
		if !ok {
			return udpDatagram{}, false
		}
		body = whole
	}
	return udp(from, body)
}

// ipv6 reads an IPv6 packet and walks its extension headers (RFC 8200, Section 4).
func (p *packetReader) ipv6(b []byte) (udpDatagram, bool) {
	if len(b) < 40 {
		return udpDatagram{}, false
	}
	from, to := netip.AddrFrom16([16]byte(b[8:24])), netip.AddrFrom16([16]byte(b[24:40]))
	next, total := b[6], int(binary.BigEndian.Uint16(b[4:]))
	body := b[40:]
	cut := false
	if total > 0 {
		body, cut = cutTo(body, total)
	}
	for range 8 {
		switch next {
		case protocolUDP:
			return udp(from, body)
		case 0, 43, 60: // hop-by-hop, routing, destination options
			if len(body) < 8 {
				return udpDatagram{}, false
			}
			size := 8 + int(body[1])*8
			if size > len(body) {
				return udpDatagram{}, false
			}
			next, body = body[0], body[size:]
		case 44: // fragment
			if len(body) < 8 {
				return udpDatagram{}, false
			}
			field := binary.BigEndian.Uint16(body[2:])
			offset, more := int(field&^7), field&1 != 0
			key := fragmentKey{from: from, to: to, id: binary.BigEndian.Uint32(body[4:])}
			next, body = body[0], body[8:]
			if offset == 0 && !more {
				continue // an atomic fragment (RFC 6946)
			}
			if next != protocolUDP {
				return udpDatagram{}, false
			}
			whole, ok := p.fragments.add(key, offset, more, body, cut)
			if !ok {
				return udpDatagram{}, false
			}
			return udp(from, whole)
		default:
			return udpDatagram{}, false
		}
	}
	return udpDatagram{}, false
}

// udp reads a UDP datagram (RFC 768). What was cut off is for the decoder to
// miss: the octets that are there may hold whole records.
func udp(from netip.Addr, b []byte) (udpDatagram, bool) {
	if len(b) < 8 {
		return udpDatagram{}, false
	}
	d := udpDatagram{from: netip.AddrPortFrom(from, binary.BigEndian.Uint16(b)), to: binary.BigEndian.Uint16(b[2:])}
	length := int(binary.BigEndian.Uint16(b[4:]))
	if length == 0 {
		length = len(b) // RFC 2675; offload leaves 0 as well
	}
	if length < 8 {
		return udpDatagram{}, false
	}
	d.payload, d.cut = cutTo(b[8:], length-8)
	return d, true
}

// cutTo returns the first n octets of b, or all if there are fewer.
func cutTo(b []byte, n int) (head []byte, cut bool) {
	if n > len(b) {
		return b, true
	}
	return b[:n], false
}

// fragments reassembles datagrams. It is bounded in number and size; what it
// gives up is counted in dropped.
type fragments struct {
	parts   map[fragmentKey]*assembly
	order   []fragmentKey // oldest first
	dropped int
}

type fragmentKey struct {
	from, to netip.Addr
	id       uint32
}

type assembly struct {
	data []byte
	have []span // ascending, apart
	end  int    // length of the whole, 0 = last fragment has not come
}

type span struct{ begin, end int }

const (
	maxAssemblies = 64
	maxSpans      = 64
)

// add keeps one fragment and returns the whole once all parts are there.
func (f *fragments) add(key fragmentKey, offset int, more bool, body []byte, cut bool) ([]byte, bool) {
	if f.parts == nil {
		f.parts = map[fragmentKey]*assembly{}
	}
	a := f.parts[key]
	if a == nil {
		if len(f.order) == maxAssemblies {
			f.drop(f.order[0])
		}
		a = new(assembly)
		f.parts[key] = a
		f.order = append(f.order, key)
	}
	// A fragment that is not whole, too long, or contradicts the end known spoils the datagram.
	end := offset + len(body)
	if cut || end > maxDatagram || a.end > 0 && (end > a.end || !more && end != a.end) || !a.insert(span{offset, end}) {
		f.drop(key)
		return nil, false
	}
	if grow := end - len(a.data); grow > 0 {
		a.data = append(a.data, make([]byte, grow)...)
	}
	copy(a.data[offset:], body)
	if !more {
		a.end = end
	}
	if a.end == 0 || len(a.have) != 1 || a.have[0] != (span{0, a.end}) {
		return nil, false
	}
	f.remove(key)
	return a.data, true
}

// insert notes that the octets of s have come. Parts that overlap are merged:
// the later copy of an octet wins.
func (a *assembly) insert(s span) bool {
	if s.begin == s.end {
		return true
	}
	i := 0
	for i < len(a.have) && a.have[i].end < s.begin {
		i++
	}
	j := i
	for j < len(a.have) && a.have[j].begin <= s.end {
		s.begin, s.end = min(s.begin, a.have[j].begin), max(s.end, a.have[j].end)
		j++
	}
	a.have = append(a.have[:i], append([]span{s}, a.have[j:]...)...)
	return len(a.have) <= maxSpans
}

func (f *fragments) remove(key fragmentKey) {
	delete(f.parts, key)
	for i, k := range f.order {
		if k == key {
			f.order = append(f.order[:i], f.order[i+1:]...)
			return
		}
	}
}

func (f *fragments) drop(key fragmentKey) {
	f.remove(key)
	f.dropped++
}

// abandon gives up every datagram that is not whole and returns how many were
// given up since the beginning.
func (f *fragments) abandon() int {
	f.dropped += len(f.parts)
	f.parts, f.order = nil, nil
	return f.dropped
}
