package site

import (
	"net/netip"

	"tidemark/cmd/sitesim/internal/packet"
)

// peer is the other end as the device's router sees it.
type peer struct {
	addr    netip.Addr
	mac     packet.MAC
	vlan    uint16
	ifIndex uint16
	rtt     int64
}

// conversation is one 5-tuple at work: up is from the end that began, down is to it. Both are the
// models of the trains it sends.
type conversation struct {
	sim      *Sim
	router   string
	up, down packet.Train
	rtt      int64
	gap      int64 // between two full packets at the speed of the line
	payload  int   // of a full packet
	label    *Label
}

// Octets of headers and the payload of a full packet.
const (
	synSize   = 60
	tcpHeader = 52
	udpHeader = 28
	segment   = 1448
	longest   = 1472
)

// reach finds a peer by name, address or domain, asking DNS when needed, and says when the device may go on.
func (s *Sim) reach(n *node, to string) (peer, int64) {
	if to == "gateway" {
		p := s.local(n, s.nodes["gateway"])
		p.addr = netip.AddrFrom4([4]byte{10, 20, uint8(n.VLAN), 1})
		p.mac, p.vlan = s.nodes["gateway"].MAC, n.VLAN
		return p, s.now
	}
	if other := s.nodes[to]; other != nil {
		return s.local(n, other), s.now
	}
	d, ok := s.domains[to]
	if !ok {
		return s.external(n, netip.MustParseAddr(to), int64(40*second/1000)), s.now
	}
	return s.resolve(n, d)
}

// local is another device of the site, behind the gateway if it is in another network.
func (s *Sim) local(n, other *node) peer {
	p := peer{addr: other.addr, mac: other.MAC, vlan: other.VLAN, ifIndex: uplink, rtt: dur(.0006)}
	if other.VLAN != n.VLAN {
		p.mac = s.nodes["gateway"].MAC
	}
	if other.Exporter == n.Exporter && other.Name != "gateway" {
		p.ifIndex = other.port
	}
	return p
}

func (s *Sim) external(n *node, addr netip.Addr, rtt int64) peer {
	p := peer{addr: addr, mac: s.nodes["gateway"].MAC, ifIndex: wan, rtt: rtt}
	if n.Name == "gateway" {
		p.mac = upstream
	}
	return p
}

// resolve finds an address of the domain: the cached one until its TTL has passed, then any.
func (s *Sim) resolve(n *node, d Domain) (peer, int64) {
	name, at := d.Name, s.now
	base := netip.MustParseAddr(d.Prefix).As4()
	if d.Sites > 0 {
		site := s.favourite(n, d.Sites)
		base[2] += uint8(site)
		name += string(rune('0' + site))
	}
	known, ok := n.answers[name]
	if !ok || known.expires <= s.now {
		if d.Networks > 1 {
			k := uint8(n.rng.IntN(d.Networks))
			base[1], base[2] = base[1]+k/3*7, base[2]+k*29
		}
		base[3] = uint8(10 + 17*n.rng.IntN(d.Addresses))
		known = answer{netip.AddrFrom4(base), s.now + int64(d.TTL)}
		n.answers[name] = known
		if n.Name != "gateway" {
			p, _ := s.reach(n, "gateway")
			at = s.converse(n, p, false, packet.UDP, 53, nil).exchange(at, 28+len(d.Name)/2, 60+16*d.Addresses, 0)
		}
	}
	return s.external(n, known.addr, int64(d.RTT)), at
}

// favourite picks one of so many sites by Zipf's law: the k-th with a weight of 1/k.
func (s *Sim) favourite(n *node, sites int) int {
	total := 0.0
	for k := 1; k <= sites; k++ {
		total += 1 / float64(k)
	}
	x := n.rng.Float64() * total
	for k := 1; k < sites; k++ {
		if x -= 1 / float64(k); x < 0 {
			return k - 1
		}
	}
	return sites - 1
}

// converse sets up a conversation of n with p. inbound means p begins it and n serves the port.
func (s *Sim) converse(n *node, p peer, inbound bool, proto uint8, port uint16, label *Label) *conversation {
	out := packet.Train{
		Key:    packet.Key{Src: n.addr, Dst: p.addr, Proto: proto, In: n.port},
		SrcMAC: n.MAC, DstMAC: p.mac, VLAN: n.VLAN, OutVLAN: p.vlan, Out: p.ifIndex,
	}
	back := packet.Train{
		Key:    out.Key.Reverse(p.ifIndex),
		SrcMAC: p.mac, DstMAC: n.MAC, VLAN: p.vlan, OutVLAN: n.VLAN, Out: n.port,
	}
	c := &conversation{sim: s, router: n.Exporter, up: out, down: back, rtt: p.rtt, gap: dur(.0001), label: label}
	if p.ifIndex == wan {
		c.gap = dur(.0006)
	}
	if inbound {
		c.up, c.down = back, out
	}
	if proto == packet.ICMP {
		c.up.DstPort = 8 << 8 // echo; echo reply is 0
		return c
	}
	c.up.SrcPort, c.up.DstPort = n.clientPort(proto, port), port
	c.down.SrcPort, c.down.DstPort = c.up.DstPort, c.up.SrcPort
	return c
}

// announcement is a conversation without an answer, with a multicast or broadcast group.
func (s *Sim) announcement(n *node, group string, port uint16) *conversation {
	to := netip.MustParseAddr(group)
	mac := packet.MAC{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	if b := to.As4(); to.IsMulticast() {
		mac = packet.MAC{0x01, 0x00, 0x5e, b[1] & 0x7f, b[2], b[3]} // RFC 1112, Section 6.4
	}
	return s.converse(n, peer{addr: to, mac: mac, vlan: n.VLAN, ifIndex: uplink}, false, packet.UDP, port, nil)
}

// clientPort is the port a client speaks from: fixed in some old protocols, else the next ephemeral one.
func (n *node) clientPort(proto uint8, port uint16) uint16 {
	if proto == packet.UDP {
		switch port {
		case 67:
			return 68
		case 123, 5060, 5353, 16384:
			return port
		}
	}
	n.lastPort += uint16(1 + n.rng.IntN(7))
	if n.lastPort < 32768 || n.lastPort > 60999 {
		n.lastPort = 32768
	}
	return n.lastPort
}

// send puts count equal packets on their way.
func (c *conversation) send(at int64, model *packet.Train, count, size int, gap int64, flags uint8) {
	if count <= 0 {
		return
	}
	t := *model
	t.At, t.Count, t.Size, t.Gap, t.Flags = at, count, size, gap, flags
	if c.label != nil {
		t.Mark = c.label.mark
	}
	c.sim.push(&event{at: at, router: c.router, label: c.label, train: t})
}

// open is the TCP handshake; it returns when data may follow.
func (c *conversation) open(at int64) int64 {
	c.send(at, &c.up, 1, synSize, 0, packet.SYN)
	c.send(at+c.rtt, &c.down, 1, synSize, 0, packet.SYN|packet.ACK)
	c.send(at+c.rtt+dur(.0001), &c.up, 1, tcpHeader, 0, packet.ACK)
	return at + c.rtt + dur(.0002)
}

// transfer moves octets both ways over an open connection: one after the other at the speed of the
// line, or, if it lasts, both spread evenly over that time.
func (c *conversation) transfer(at int64, up, down int, lasts int64) int64 {
	end := c.data(at, &c.up, &c.down, up, lasts)
	if lasts == 0 {
		at = end + c.rtt
	}
	return max(end, c.data(at, &c.down, &c.up, down, lasts)) + c.rtt
}

// data sends octets one way, with an acknowledgement for every second packet.
func (c *conversation) data(at int64, way, back *packet.Train, octets int, lasts int64) int64 {
	mss := c.payload
	if mss == 0 {
		mss = segment
	}
	full, rest, gap := octets/mss, octets%mss, c.gap
	if lasts > 0 {
		gap = lasts / int64(full+1)
	}
	last := at + int64(full)*gap
	// PSH ends a write (RFC 9293, Section 3.9.1.2): what is spread over time is written packet by packet.
	switch {
	case lasts > 0:
		c.send(at, way, full, tcpHeader+mss, gap, packet.PSH|packet.ACK)
	case rest > 0:
		c.send(at, way, full, tcpHeader+mss, gap, packet.ACK)
	case full > 0:
		c.send(at, way, full-1, tcpHeader+mss, gap, packet.ACK)
		c.send(last-gap, way, 1, tcpHeader+mss, 0, packet.PSH|packet.ACK)
	}
	if rest > 0 {
		c.send(last, way, 1, tcpHeader+rest, 0, packet.PSH|packet.ACK)
		full++
	}
	c.send(at+c.rtt, back, (full+1)/2, tcpHeader, 2*gap, packet.ACK)
	return last
}

// finish closes a connection from both sides.
func (c *conversation) finish(at int64) {
	c.send(at, &c.up, 1, tcpHeader, 0, packet.FIN|packet.ACK)
	c.send(at+c.rtt, &c.down, 1, tcpHeader, 0, packet.FIN|packet.ACK)
	c.send(at+c.rtt+dur(.0001), &c.up, 1, tcpHeader, 0, packet.ACK)
}

// exchange sends octets over UDP or ICMP, and the answer; it returns when the answer has come.
func (c *conversation) exchange(at int64, up, down int, lasts int64) int64 {
	end := c.messages(at, &c.up, up, lasts)
	if c.up.Proto == packet.ICMP {
		down = up
	}
	if lasts == 0 {
		at = end + c.rtt
	}
	return max(end, c.messages(at, &c.down, down, lasts))
}

func (c *conversation) messages(at int64, way *packet.Train, octets int, lasts int64) int64 {
	most := c.payload
	if most == 0 {
		most = longest
	}
	full, rest, gap := octets/most, octets%most, c.gap
	if lasts > 0 {
		gap = lasts / int64(full+1)
	}
	last := at + int64(full)*gap
	c.send(at, way, full, udpHeader+most, gap, 0)
	if rest > 0 {
		c.send(last, way, 1, udpHeader+rest, 0, 0)
	}
	return last
}
