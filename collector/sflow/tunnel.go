package sflow

import (
	"encoding/binary"
)

// A tunnel's row is about the outer packet, the one that was sampled. The ends of
// the packet inside stand beside it as extensions, as they do for IPFIX exporters
// that send both: what devices behind an overlay do is nowhere else. A tunnel in a
// tunnel is not read, and of the inner packet nothing behind its ports.
const (
	protocolIPv4 = 4  // RFC 2003
	protocolIPv6 = 41 // RFC 4213
	protocolGRE  = 47

	portVXLAN      = 4789
	portVXLANLinux = 8472 // of Linux before there was a number
	portGeneve     = 6081

	typeEthernet = 0x6558 // transparent Ethernet bridging

	protocolIdentifier    = 4
	sourceTransportPort   = 7
	sourceIPv4Address     = 8
	destTransportPort     = 11
	destIPv4Address       = 12
	sourceIPv6Address     = 27
	destIPv6Address       = 28
	sourceMACAddress      = 56
	destinationMACAddress = 80
)

// udpTunnel reads what UDP to the row's destination port carries; b begins
// behind the UDP header.
func (h *headerReader) udpTunnel(b []byte) {
	switch h.b.DstPort[h.r] {
	case portVXLAN, portVXLANLinux:
		h.vxlan(b)
	case portGeneve:
		h.geneve(b)
	}
}

// vxlan keeps the network identifier (RFC 7348, Section 5) as layer2SegmentId,
// whose first octet says what it is of.
func (h *headerReader) vxlan(b []byte) {
	const size, valid = 8, 0x08
	if len(b) < size || b[0]&valid == 0 {
		return
	}
	h.b.Extend(layer2SegmentID, []byte{1, 0, 0, 0, 0, b[4], b[5], b[6]})
	h.innerFrame(b[size:])
}

// geneve reads RFC 8926, Section 3.4.
func (h *headerReader) geneve(b []byte) {
	const size = 8
	if len(b) < size || b[0]>>6 != 0 {
		return
	}
	if n := size + int(b[0]&0x3f)*4; n <= len(b) {
		h.innerOf(binary.BigEndian.Uint16(b[2:]), b[n:])
	}
}

// gre reads RFC 2784 and the key and sequence number of RFC 2890.
func (h *headerReader) gre(b []byte) {
	const checksum, routing, key, sequence, version = 0x8000, 0x4000, 0x2000, 0x1000, 7
	if len(b) < 4 {
		return
	}
	flags, n := binary.BigEndian.Uint16(b), 4
	if flags&(routing|version) != 0 {
		return
	}
	for _, f := range []uint16{checksum, key, sequence} {
		if flags&f != 0 {
			n += 4
		}
	}
	if n <= len(b) {
		h.innerOf(binary.BigEndian.Uint16(b[2:]), b[n:])
	}
}

// innerOf reads an inner packet of an Ethernet type.
func (h *headerReader) innerOf(kind uint16, b []byte) {
	switch kind {
	case typeIPv4:
		h.innerIPv4(b)
	case typeIPv6:
		h.innerIPv6(b)
	case typeEthernet:
		h.innerFrame(b)
	}
}

func (h *headerReader) innerFrame(b []byte) {
	const size, tag = 14, 4
	if len(b) < size {
		return
	}
	h.b.Extend(sourceMACAddress, b[6:12])
	h.b.Extend(destinationMACAddress, b[:6])
	kind, b := binary.BigEndian.Uint16(b[12:]), b[size:]
	for isTag(kind) && len(b) >= tag {
		kind, b = binary.BigEndian.Uint16(b[2:]), b[tag:]
	}
	h.innerOf(kind, b)
}

func (h *headerReader) innerIPv4(b []byte) {
	const size, offset = 20, 0x1fff
	if len(b) < size || b[0]>>4 != 4 || b[0]&0xf < 5 {
		return
	}
	h.b.Extend(protocolIdentifier, b[9:10])
	h.b.Extend(sourceIPv4Address, b[12:16])
	h.b.Extend(destIPv4Address, b[16:20])
	if n := int(b[0]&0xf) * 4; n <= len(b) && binary.BigEndian.Uint16(b[6:])&offset == 0 {
		h.innerPorts(b[9], b[n:])
	}
}

func (h *headerReader) innerIPv6(b []byte) {
	const size = 40
	if len(b) < size || b[0]>>4 != 6 {
		return
	}
	h.b.Extend(protocolIdentifier, b[6:7])
	h.b.Extend(sourceIPv6Address, b[8:24])
	h.b.Extend(destIPv6Address, b[24:40])
	h.innerPorts(b[6], b[size:])
}

func (h *headerReader) innerPorts(protocol uint8, b []byte) {
	if hasPorts(protocol) && len(b) >= 4 {
		h.b.Extend(sourceTransportPort, b[:2])
		h.b.Extend(destTransportPort, b[2:4])
	}
}

func isTag(kind uint16) bool { return kind == 0x8100 || kind == 0x88a8 || kind == 0x9100 }

// hasPorts holds for TCP, UDP, DCCP, SCTP and UDP-Lite, with ports at the same place.
func hasPorts(protocol uint8) bool {
	switch protocol {
	case protocolTCP, protocolUDP, 33, 132, 136:
		return true
	}
	return false
}
