package sflow

import (
	"encoding/binary"

	"tidemark/collector/flow"
)

// Information Elements for fields of a sampled header that have no column.
// Octets behind the transport header are not kept: they are users' data.
const (
	fragmentIdentification = 54
	mplsTopLabelStack      = 70 // to 79, one per label (IE 70 to 79)
	fragmentOffset         = 88
	ipTTL                  = 192
	dot1qVLAN              = 243
	dot1qCustomerVLAN      = 245
	ethernetType           = 256
	dataLinkFrameSize      = 312
	layer2SegmentID        = 351
)

const (
	protocolICMP   = 1
	protocolTCP    = 6
	protocolUDP    = 17
	protocolICMPv6 = 58

	typeIPv4 = 0x0800
	typeIPv6 = 0x86dd
	typeMPLS = 0x8847
)

// headerReader reads a sampled packet header into a row.
type headerReader struct {
	config *Config
	b      *flow.Batch
	r      int
	rest   []byte
	whole  int    // octets of the sampled header
	frame  uint32 // octets of the frame
}

// cut takes n octets off; nil if there are fewer.
func (h *headerReader) cut(n int) []byte {
	if len(h.rest) < n {
		return nil
	}
	v := h.rest[:n]
	h.rest = h.rest[n:]
	return v
}

func (h *headerReader) octets(n uint64) {
	h.b.Bytes[h.r] = n
	h.b.Presence[h.r] |= flow.HasBytes
}

// ethernet reads a MAC header with up to two VLAN tags (802.1Q, 802.1ad). Each
// method tells whether it read all headers that it knows of.
func (h *headerReader) ethernet() bool {
	v := h.cut(14)
	if v == nil {
		return false
	}
	h.b.DstMAC[h.r], h.b.SrcMAC[h.r] = mac(v), mac(v[6:])
	h.b.Presence[h.r] |= flow.HasSrcMAC | flow.HasDstMAC
	kind := binary.BigEndian.Uint16(v[12:])
	for tags := 0; isTag(kind); tags++ {
		v := h.cut(4)
		if v == nil {
			return false
		}
		id := []byte{v[0] & 0x0f, v[1]}
		switch tags {
		case 0:
			h.b.SrcVLAN[h.r] = binary.BigEndian.Uint16(id)
			h.b.Presence[h.r] |= flow.HasVLANIn
			h.b.Extend(dot1qVLAN, id)
		default:
			h.b.Extend(dot1qCustomerVLAN, id)
		}
		kind = binary.BigEndian.Uint16(v[2:])
	}
	switch kind {
	case typeIPv4:
		return h.ipv4()
	case typeIPv6:
		return h.ipv6()
	case typeMPLS, typeMPLS + 1:
		return h.mpls()
	}
	h.b.Extend(ethernetType, []byte{byte(kind >> 8), byte(kind)})
	return false
}

// mpls reads the label stack (RFC 3032) and the IP packet that is behind it by
// its first nibble.
func (h *headerReader) mpls() bool {
	for i := uint64(0); ; i++ {
		v := h.cut(4)
		if v == nil {
			return false
		}
		h.b.Extend(mplsTopLabelStack+min(i, 9), v[:3])
		if v[2]&1 != 0 {
			break
		}
	}
	if len(h.rest) == 0 {
		return false
	}
	switch h.rest[0] >> 4 {
	case 4:
		return h.ipv4()
	case 6:
		return h.ipv6()
	}
	return false
}

func (h *headerReader) ipv4() bool {
	left := len(h.rest)
	v := h.cut(20)
	if v == nil || v[0]>>4 != 4 || v[0]&0xf < 5 {
		return false
	}
	if n := int(v[0]&0xf)*4 - 20; n > 0 && h.cut(n) == nil {
		return false
	}
	b, r := h.b, h.r
	b.SrcAddr[r], b.DstAddr[r] = mapped(v[12:16]), mapped(v[16:20])
	b.Proto[r], b.TOS[r] = v[9], v[1]
	b.Presence[r] |= flow.HasTOS
	b.Extend(ipTTL, v[8:9])
	if n := binary.BigEndian.Uint16(v[2:]); n > 0 { // 0 with segmentation offload: the frame tells
		h.octets(uint64(n))
	} else {
		h.withoutLinkLayer(left)
	}
	const moreFragments, offset = 0x2000, 0x1fff
	fragment := binary.BigEndian.Uint16(v[6:])
	if fragment&(moreFragments|offset) != 0 {
		b.Extend(fragmentIdentification, v[4:6])
		b.Extend(fragmentOffset, []byte{byte(fragment>>8) & 0x1f, byte(fragment)})
		if fragment&offset != 0 {
			return true // not the first: no ports
		}
	}
	return h.transport(v[9])
}

// withoutLinkLayer counts the frame less what came before the IP header; left
// is what was left of the sampled header there.
func (h *headerReader) withoutLinkLayer(left int) {
	if before := uint64(h.whole - left); uint64(h.frame) > before {
		h.octets(uint64(h.frame) - before)
	}
}

func (h *headerReader) ipv6() bool {
	left := len(h.rest)
	v := h.cut(40)
	if v == nil || v[0]>>4 != 6 {
		return false
	}
	b, r := h.b, h.r
	b.SrcAddr[r], b.DstAddr[r] = mapped(v[8:24]), mapped(v[24:40])
	b.TOS[r] = v[0]<<4 | v[1]>>4
	b.Presence[r] |= flow.HasTOS
	b.Extend(ipTTL, v[7:8])
	if n := binary.BigEndian.Uint16(v[4:]); n > 0 {
		h.octets(uint64(n) + 40)
	} else {
		h.withoutLinkLayer(left)
	}
	next := v[6]
	for {
		var n int
		switch next {
		case 0, 43, 60, 135, 139, 140: // RFC 8200: hop-by-hop, routing, destination; mobility, HIP, shim6
			if len(h.rest) < 2 {
				b.Proto[r] = next
				return false
			}
			n = int(h.rest[1])*8 + 8
		case 51: // authentication (RFC 4302): in units of 4 octets, less 2
			if len(h.rest) < 2 {
				b.Proto[r] = next
				return false
			}
			n = int(h.rest[1])*4 + 8
		case 44: // fragment
			if len(h.rest) < 8 {
				b.Proto[r] = next
				return false
			}
			n = 8
			offset := binary.BigEndian.Uint16(h.rest[2:]) >> 3
			b.Extend(fragmentIdentification, h.rest[4:8])
			b.Extend(fragmentOffset, []byte{byte(offset >> 8), byte(offset)})
			if offset != 0 {
				b.Proto[r] = h.rest[0]
				return true
			}
		default:
			b.Proto[r] = next
			return h.transport(next)
		}
		after := h.rest[0]
		if h.cut(n) == nil {
			b.Proto[r] = next
			return false
		}
		next = after
	}
}

// transport reads ports, flags, ICMP type and code, and the ends of what a tunnel carries.
func (h *headerReader) transport(protocol uint8) bool {
	b, r := h.b, h.r
	switch {
	case hasPorts(protocol):
		v := h.cut(4)
		if v == nil {
			return false
		}
		b.SrcPort[r], b.DstPort[r] = binary.BigEndian.Uint16(v), binary.BigEndian.Uint16(v[2:])
		if protocol != protocolTCP {
			const lengthAndChecksum = 4
			if protocol == protocolUDP && len(h.rest) > lengthAndChecksum {
				h.udpTunnel(h.rest[lengthAndChecksum:])
				h.payload(lengthAndChecksum)
			}
			return true
		}
		if v = h.cut(10); v == nil {
			return false
		}
		b.TCPFlags[r] = binary.BigEndian.Uint16(v[8:]) & 0x0fff
		b.Presence[r] |= flow.HasTCPFlags
		h.payload(int(v[8]>>4)*4 - 14) // window, checksum, urgent pointer, options
	case protocol == protocolICMP, protocol == protocolICMPv6:
		v := h.cut(2)
		if v == nil {
			return false
		}
		b.DstPort[r] = binary.BigEndian.Uint16(v)
	case protocol == protocolIPv4:
		h.innerIPv4(h.rest)
	case protocol == protocolIPv6:
		h.innerIPv6(h.rest)
	case protocol == protocolGRE:
		h.gre(h.rest)
	}
	return true
}

// payload hands on what is behind the transport header, of which skip octets
// are left.
func (h *headerReader) payload(skip int) {
	ports := h.config.Ports
	if ports == nil || skip < 0 || len(h.rest) <= skip {
		return
	}
	src, dst := h.b.SrcPort[h.r], h.b.DstPort[h.r]
	if ports[src/64]&(1<<(src%64)) == 0 && ports[dst/64]&(1<<(dst%64)) == 0 {
		return
	}
	h.config.Payload(h.b, h.r, h.rest[skip:])
}
