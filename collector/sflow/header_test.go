package sflow

import (
	"net/netip"
	"strings"
	"testing"

	"tidemark/collector/flow"
)

// one decodes a sample of one raw header.
func one(t *testing.T, protocol, frame uint32, header []byte) *flow.Batch {
	t.Helper()
	batch, r := run(t, datagramOf(flowSampleOf(1, raw(protocol, frame, header))))
	want(t, "flows", r.Flows, 1)
	return batch
}

func keptRaw(b *flow.Batch) bool {
	_, ok := b.Ext.Value(0, flow.ExtensionKey(EnterpriseSFlow, rawHeader))
	return ok
}

func TestHeader_TaggedTwice(t *testing.T) { // 802.1ad around 802.1Q
	b := one(t, headerEthernet, 200, ethernet(0x88a8, join(vlan(100, 0x8100), vlan(7, typeIPv4), ipv4Of(17, 86, 0, udpOf(1, 2)))))
	want(t, "outer VLAN", b.SrcVLAN[0], 100)
	want(t, "inner VLAN", extension(t, b, 0, 0, dot1qCustomerVLAN), "\x00\x07")
	want(t, "port", b.DstPort[0], 2)
}

func TestHeader_MPLS(t *testing.T) {
	labels := []byte{0, 1, 0x00, 64, 0, 2, 0x01, 64}
	b := one(t, headerEthernet, 200, ethernet(typeMPLS, join(labels, ipv4Of(17, 86, 0, udpOf(1, 2)))))
	want(t, "first label", extension(t, b, 0, 0, 70), "\x00\x01\x00")
	want(t, "second label", extension(t, b, 0, 0, 71), "\x00\x02\x01")
	want(t, "port", b.DstPort[0], 2)
	b = one(t, headerMPLS, 200, join(labels, ipv6Of(6, 20, tcpOf(1, 22, 2))))
	want(t, "IPv6 behind labels", b.DstPort[0], 22)
}

func TestHeader_IPv6WithExtensionHeaders(t *testing.T) {
	hopByHop := []byte{43, 0, 5, 2, 0, 0, 1, 0}
	routing := []byte{60, 0, 0, 0, 0, 0, 0, 0}
	options := []byte{51, 0, 1, 4, 0, 0, 0, 0}
	authentication := append([]byte{6, 1}, make([]byte, 10)...)
	b := one(t, headerIPv6, 500, ipv6Of(0, 300, join(hopByHop, routing, options, authentication, tcpOf(1, 443, 2))))
	want(t, "protocol", b.Proto[0], 6)
	want(t, "port", b.DstPort[0], 443)
	want(t, "octets", b.Bytes[0], 340)
	want(t, "traffic class", b.TOS[0], 0xb8)
	want(t, "source", b.SrcAddr[0], netip.MustParseAddr("2001:db8::1").As16())

	fragment := []byte{17, 0, 0x05, 0xb9, 0, 0, 0, 9}
	b = one(t, headerIPv6, 500, ipv6Of(44, 300, join(fragment, []byte{1, 2, 3, 4})))
	want(t, "fragment's protocol", b.Proto[0], 17)
	want(t, "no ports in a later fragment", b.DstPort[0], 0)
	want(t, "identification", extension(t, b, 0, 0, fragmentIdentification), "\x00\x00\x00\x09")

	b = one(t, headerIPv6, 500, ipv6Of(58, 32, []byte{135, 0, 1, 2}))
	want(t, "ICMPv6 type and code", b.DstPort[0], 135<<8)
}

func TestHeader_IPv4Fragments(t *testing.T) {
	b := one(t, headerIPv4, 200, ipv4Of(17, 100, 0x2000, udpOf(1, 2)))
	want(t, "first fragment has ports", b.DstPort[0], 2)
	extension(t, b, 0, 0, fragmentIdentification)
	b = one(t, headerIPv4, 200, ipv4Of(17, 100, 0x00b9, []byte{9, 9, 9, 9}))
	want(t, "later fragment has none", b.DstPort[0], 0)
	want(t, "offset", extension(t, b, 0, 0, fragmentOffset), "\x00\xb9")
}

func TestHeader_ICMP(t *testing.T) {
	b := one(t, headerIPv4, 200, ipv4Of(1, 84, 0, []byte{3, 10, 0, 0}))
	want(t, "type and code", b.DstPort[0], 3<<8|10)
}

func TestHeader_LengthZeroCountsTheFrame(t *testing.T) { // segmentation offload
	b := one(t, headerEthernet, 9018, ethernet(typeIPv4, ipv4Of(6, 0, 0, tcpOf(1, 2, 0x10))))
	want(t, "octets", b.Bytes[0], 9004)
}

func TestHeader_WhatCannotBeReadIsKeptRaw(t *testing.T) {
	tcp := ethernet(typeIPv4, ipv4Of(6, 1500, 0, tcpOf(40000, 443, 0x12)))
	for name, c := range map[string]struct {
		protocol uint32
		header   []byte
		octets   uint64
	}{
		"ARP":                    {headerEthernet, ethernet(0x0806, make([]byte, 28)), 1000},
		"PPP":                    {7, []byte{1, 2, 3, 4}, 1000},
		"cut in the TCP header":  {headerEthernet, tcp[:len(tcp)-12], 1500},
		"cut in the IP header":   {headerEthernet, tcp[:20], 1000},
		"cut in the MAC header":  {headerEthernet, tcp[:10], 1000},
		"IPv4 that says IPv6":    {headerIPv4, ipv6Of(6, 1, nil), 1000},
		"IPv4 header too small":  {headerIPv4, append([]byte{0x44}, make([]byte, 30)...), 1000},
		"cut in a VLAN tag":      {headerEthernet, ethernet(0x8100, []byte{1}), 1000},
		"labels without an end":  {headerMPLS, []byte{0, 0, 0, 1}, 1000},
		"cut in IPv6 extensions": {headerIPv6, ipv6Of(0, 300, []byte{6}), 340},
	} {
		b := one(t, c.protocol, 1000, c.header)
		want(t, name+": kept raw", keptRaw(b), true)
		want(t, name+": octets", b.Bytes[0], c.octets)
	}
}

func TestHeader_PayloadIsNotKept(t *testing.T) {
	const secret = "GET /camera?password=hunter2"
	batch, _ := run(t, datagramOf(flowSampleOf(1, raw(headerEthernet, 200,
		join(ethernet(typeIPv4, ipv4Of(6, 186, 0, tcpOf(40000, 80, 0x18))), []byte(secret))))))
	batch.Ext.Each(0, func(key uint64, v []byte) {
		if strings.Contains(string(v), "hunter2") {
			t.Errorf("extension %#x holds the packet's payload", key)
		}
	})
}

// A tunnel's row is about the outer packet; the ends of the inner one stand beside
// it, and nothing behind its ports.
func TestHeader_TunnelsShowBothPackets(t *testing.T) {
	const secret = "SECRET"
	inner := ipv4Of(6, 60, 0, join(tcpOf(40000, 22, 2), []byte(secret)))
	copy(inner[12:], ip("198.51.100.1"))
	copy(inner[16:], ip("198.51.100.2"))
	inner6 := ipv6Of(17, 20, join(udpOf(5353, 53), []byte(secret)))
	frame := ethernet(typeIPv4, inner)
	vni := []byte{0x08, 0, 0, 0, 0x12, 0x34, 0x56, 0}
	for name, c := range map[string]struct {
		packet  []byte
		proto   uint8
		dstPort uint16
		six     bool // the inner packet is of IPv6
		frame   bool // there is an inner Ethernet header
	}{
		"vxlan":                {ipv4Of(17, 200, 0, join(udpOf(50000, 4789), vni, frame)), 17, 4789, false, true},
		"vxlan of old linux":   {ipv4Of(17, 200, 0, join(udpOf(50000, 8472), vni, frame)), 17, 8472, false, true},
		"vxlan, inner tags":    {ipv4Of(17, 200, 0, join(udpOf(50000, 4789), vni, ethernet(0x88a8, join(vlan(5, 0x8100), vlan(6, typeIPv6), inner6)))), 17, 4789, true, true},
		"geneve with options":  {ipv4Of(17, 200, 0, join(udpOf(50000, 6081), []byte{1, 0, 0x65, 0x58, 0, 0, 1, 0, 9, 9, 9, 9}, frame)), 17, 6081, false, true},
		"gre":                  {ipv4Of(47, 200, 0, join([]byte{0, 0, 8, 0}, inner)), 47, 0, false, false},
		"gre with all fields":  {ipv4Of(47, 200, 0, join([]byte{0xb0, 0, 0x86, 0xdd}, make([]byte, 12), inner6)), 47, 0, true, false},
		"gre of frames":        {ipv4Of(47, 200, 0, join([]byte{0x20, 0, 0x65, 0x58, 0, 0, 0, 1}, frame)), 47, 0, false, true},
		"ip in ip":             {ipv4Of(4, 200, 0, inner), 4, 0, false, false},
		"ip in ip, in options": {join([]byte{0x46}, ipv4Of(4, 200, 0, nil)[1:], []byte{1, 1, 1, 1}, inner), 4, 0, false, false},
		"6in4":                 {ipv4Of(41, 200, 0, inner6), 41, 0, true, false},
	} {
		b := one(t, headerEthernet, 250, ethernet(typeIPv4, c.packet))
		want(t, name+": protocol", b.Proto[0], c.proto)
		want(t, name+": port", b.DstPort[0], c.dstPort)
		want(t, name+": octets", b.Bytes[0], 200)
		want(t, name+": outer source", b.SrcAddr[0], netip.MustParseAddr("::ffff:10.0.0.1").As16())
		want(t, name+": outer destination", b.DstAddr[0], netip.MustParseAddr("::ffff:10.0.0.2").As16())
		if c.six {
			want(t, name+": inner source", extension(t, b, 0, 0, sourceIPv6Address), string(ip("2001:db8::1")))
			want(t, name+": inner destination", extension(t, b, 0, 0, destIPv6Address), string(ip("2001:db8::2")))
			want(t, name+": inner protocol", extension(t, b, 0, 0, protocolIdentifier), "\x11")
			want(t, name+": inner port", extension(t, b, 0, 0, destTransportPort), "\x00\x35")
		} else {
			want(t, name+": inner source", extension(t, b, 0, 0, sourceIPv4Address), string(ip("198.51.100.1")))
			want(t, name+": inner destination", extension(t, b, 0, 0, destIPv4Address), string(ip("198.51.100.2")))
			want(t, name+": inner protocol", extension(t, b, 0, 0, protocolIdentifier), "\x06")
			want(t, name+": inner port", extension(t, b, 0, 0, destTransportPort), "\x00\x16")
		}
		if c.frame {
			want(t, name+": inner source MAC", extension(t, b, 0, 0, sourceMACAddress), string(srcMAC))
			want(t, name+": inner destination MAC", extension(t, b, 0, 0, destinationMACAddress), string(dstMAC))
		}
		if strings.HasPrefix(name, "vxlan") {
			want(t, name+": network identifier", extension(t, b, 0, 0, layer2SegmentID), "\x01\x00\x00\x00\x00\x12\x34\x56")
		}
		b.Ext.Each(0, func(key uint64, v []byte) {
			if strings.Contains(string(v), secret) {
				t.Errorf("%s: extension %#x holds the inner payload", name, key)
			}
		})
	}
}

// IPv6 carries tunnels too; a fragment, a header that is cut and a tunnel of
// another kind have no inner ends.
func TestHeader_TunnelsThatCannotBeReadHaveNoInnerEnds(t *testing.T) {
	inner := ipv4Of(6, 60, 0, tcpOf(40000, 22, 2))
	b := one(t, headerIPv6, 250, ipv6Of(60, 80, join([]byte{4, 0, 1, 4, 0, 0, 0, 0}, inner))) // RFC 2473, with its options
	want(t, "in IPv6", extension(t, b, 0, 0, destTransportPort), "\x00\x16")
	want(t, "outer", b.SrcAddr[0], netip.MustParseAddr("2001:db8::1").As16())
	for name, packet := range map[string][]byte{
		"later fragment":     ipv4Of(4, 200, 7, inner),
		"cut inner header":   ipv4Of(4, 200, 0, inner[:19]),
		"no IPv4":            ipv4Of(4, 200, 0, ipv6Of(6, 20, tcpOf(1, 22, 2))),
		"GRE with routing":   ipv4Of(47, 200, 0, join([]byte{0x40, 0, 8, 0}, make([]byte, 8), inner)),
		"GRE version 1":      ipv4Of(47, 200, 0, join([]byte{0x20, 1, 0x88, 0x0b}, make([]byte, 4), inner)),
		"GRE cut":            ipv4Of(47, 200, 0, []byte{0xb0, 0, 8, 0, 1}),
		"VXLAN without flag": ipv4Of(17, 200, 0, join(udpOf(1, 4789), make([]byte, 8), ethernet(typeIPv4, inner))),
		"VXLAN cut":          ipv4Of(17, 200, 0, join(udpOf(1, 4789), []byte{8, 0, 0, 0})),
		"Geneve, options":    ipv4Of(17, 200, 0, join(udpOf(1, 6081), []byte{0x3f, 0, 8, 0, 0, 0, 1, 0}, inner)),
	} {
		b := one(t, headerIPv4, 250, packet)
		for _, id := range []uint64{sourceIPv4Address, destIPv4Address, sourceIPv6Address, destTransportPort} {
			if v, ok := b.Ext.Value(0, id); ok {
				t.Errorf("%s: extension %d is %x", name, id, v)
			}
		}
	}
	b = one(t, headerIPv4, 250, ipv4Of(4, 200, 0, ipv4Of(6, 60, 9, []byte{1, 2, 3, 4})))
	if _, ok := b.Ext.Value(0, destTransportPort); ok {
		t.Error("a later inner fragment has ports")
	}
	b = one(t, headerIPv4, 250, ipv4Of(4, 200, 0, ipv4Of(4, 100, 0, inner)))
	want(t, "of a tunnel in a tunnel the outer one: protocol", extension(t, b, 0, 0, protocolIdentifier), "\x04")
}
