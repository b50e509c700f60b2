package sflow

import (
	"encoding/binary"

	"tidemark/collector/flow"
)

// Flow record formats of enterprise 0.
const (
	rawHeader       = 1
	sampledEthernet = 2
	sampledIPv4     = 3
	sampledIPv6     = 4
	extendedSwitch  = 1001
	extendedGateway = 1003
)

// Protocols of a raw header.
const (
	headerEthernet = 1
	headerIPv4     = 11
	headerIPv6     = 12
	headerMPLS     = 13
)

// records reads the flow records of a sample.
func (x *pass) records(r int, s *sample) {
	for ; s.records > 0; s.records-- {
		format, n := s.c.u32(), s.c.u32()
		body := s.c.take(int64(n))
		if s.c.short {
			x.fail(flow.ReasonShort)
			return
		}
		if !x.record(r, format, body) {
			x.keep(format, body)
		}
	}
	if !zeros(s.c.rest) {
		x.fail(flow.ReasonTrailing)
	}
}

// keep makes a record an extension, as exported.
func (x *pass) keep(format uint32, body []byte) {
	enterprise, id := format>>12, uint16(format&0xfff)
	if enterprise == 0 {
		enterprise = EnterpriseSFlow
	}
	x.dst.Extend(flow.ExtensionKey(enterprise, id), body)
}

// record puts a record into row r and tells whether the columns and IANA
// extensions hold all of it.
func (x *pass) record(r int, format uint32, body []byte) bool {
	c := cursor{rest: body}
	switch format {
	case rawHeader:
		return x.rawHeader(r, &c)
	case sampledEthernet:
		return x.ethernetRecord(r, &c)
	case sampledIPv4:
		return x.ipRecord(r, &c, 4)
	case sampledIPv6:
		return x.ipRecord(r, &c, 16)
	case extendedSwitch:
		x.switchRecord(r, &c)
	case extendedGateway:
		x.gatewayRecord(r, &c)
	}
	return false
}

func (x *pass) rawHeader(r int, c *cursor) bool {
	protocol, length := c.u32(), c.u32()
	c.u32() // octets stripped
	header := c.take(int64(c.u32()))
	if c.short {
		x.fail(flow.ReasonShort)
		return false
	}
	h := headerReader{config: x.config, b: x.dst, r: r, rest: header, whole: len(header), frame: length}
	h.octets(uint64(length))
	var read bool
	switch protocol {
	case headerEthernet:
		read = h.ethernet()
	case headerIPv4:
		read = h.ipv4()
	case headerIPv6:
		read = h.ipv6()
	case headerMPLS:
		read = h.mpls()
	}
	if read {
		var size [4]byte
		binary.BigEndian.PutUint32(size[:], length)
		x.dst.Extend(dataLinkFrameSize, size[:])
	}
	return read
}

func (x *pass) ethernetRecord(r int, c *cursor) bool {
	length := c.u32()
	src, dst := c.take(8), c.take(8) // 6 octets padded to 8 (RFC 4506, Section 4.9)
	kind := c.u32()
	if c.short {
		x.fail(flow.ReasonShort)
		return false
	}
	b := x.dst
	if b.Presence[r]&(flow.HasSrcMAC|flow.HasDstMAC) == 0 {
		b.SrcMAC[r], b.DstMAC[r] = mac(src), mac(dst)
		b.Presence[r] |= flow.HasSrcMAC | flow.HasDstMAC
	}
	if b.Presence[r]&flow.HasBytes == 0 {
		b.Bytes[r] = uint64(length)
		b.Presence[r] |= flow.HasBytes
	}
	b.Extend(ethernetType, []byte{byte(kind >> 8), byte(kind)})
	return kind <= 0xffff
}

// ipRecord reads a sampled IPv4 or IPv6 record; the raw header wins over it.
func (x *pass) ipRecord(r int, c *cursor, addressLen int64) bool {
	length, protocol := c.u32(), c.u32()
	src, dst := c.take(addressLen), c.take(addressLen)
	srcPort, dstPort, flags, tos := c.u32(), c.u32(), c.u32(), c.u32()
	if c.short {
		x.fail(flow.ReasonShort)
		return false
	}
	b := x.dst
	if b.SrcAddr[r] != ([16]byte{}) || b.DstAddr[r] != ([16]byte{}) {
		return false // the raw header said it; this one is kept beside it
	}
	b.SrcAddr[r], b.DstAddr[r] = mapped(src), mapped(dst)
	b.SrcPort[r], b.DstPort[r] = uint16(srcPort), uint16(dstPort)
	b.Proto[r], b.TOS[r] = uint8(protocol), uint8(tos)
	b.Bytes[r] = uint64(length)
	b.Presence[r] |= flow.HasBytes | flow.HasTOS
	if protocol == protocolTCP {
		b.TCPFlags[r] = uint16(flags)
		b.Presence[r] |= flow.HasTCPFlags
	}
	return srcPort <= 0xffff && dstPort <= 0xffff && protocol <= 0xff && tos <= 0xff && flags <= 0xffff
}

// switchRecord takes the VLANs the switch put the frame in, which are right
// where a tag on the wire may be absent; unknown is 2^32-1.
func (x *pass) switchRecord(r int, c *cursor) {
	in, _, out, _ := c.u32(), c.u32(), c.u32(), c.u32()
	if c.short {
		x.fail(flow.ReasonShort)
		return
	}
	b := x.dst
	if in <= 4095 {
		b.SrcVLAN[r] = uint16(in)
		b.Presence[r] |= flow.HasVLANIn
	}
	if out <= 4095 {
		b.DstVLAN[r] = uint16(out)
		b.Presence[r] |= flow.HasVLANOut
	}
}

// gatewayRecord takes the source AS and the last AS of the path to the destination.
func (x *pass) gatewayRecord(r int, c *cursor) {
	if _, ok := c.address(); !ok {
		x.fail(flow.ReasonShort)
		return
	}
	c.u32() // the router's own AS
	src := c.u32()
	c.u32() // the source's peer AS
	var dst uint32
	for segments := c.u32(); segments > 0 && !c.short; segments-- {
		c.u32() // set or sequence
		path := c.take(4 * int64(c.u32()))
		if len(path) > 0 {
			dst = binary.BigEndian.Uint32(path[len(path)-4:])
		}
	}
	if c.short {
		x.fail(flow.ReasonShort)
		return
	}
	b := x.dst
	b.SrcAS[r], b.DstAS[r] = src, dst
	b.Presence[r] |= flow.HasAS
}

func mac(b []byte) uint64 {
	return uint64(binary.BigEndian.Uint16(b))<<32 | uint64(binary.BigEndian.Uint32(b[2:]))
}

func mapped(b []byte) (a [16]byte) {
	if len(b) == 16 {
		return [16]byte(b)
	}
	a[10], a[11] = 0xff, 0xff
	copy(a[12:], b)
	return a
}
