package enrich

import (
	"math/bits"

	"tidemark/collector/flow"
)

const (
	maxConversations = 1 << 17 // halves remembered; twice as many at most
	maxServers       = 1 << 14

	// Two halves belong to one conversation if the pause between them is at
	// most twice the usual active timeout of 30 minutes (RFC 3954, 5101).
	pairingTime = hour

	// The half that starts this much earlier is the initiator's: less is
	// within the resolution of exporters' clocks.
	earlierStart = int64(2e6)

	serverPeers = 5 // distinct peer ports that make a port a server's

	ephemeral = 32768 // from here on systems take ports for clients

	// Above this port a server is not told from a client over UDP: many small
	// stacks take ports for clients from far below the ephemeral range.
	maxServerGuess = 10000

	protoICMP  = 1
	protoTCP   = 6
	protoUDP   = 17
	protoICMP6 = 58
	protoSCTP  = 132

	tcpFIN, tcpSYN, tcpRST, tcpACK = 0x01, 0x02, 0x04, 0x10
	tcpControl                     = 0x3f

	ieBiflowDirection = 239
)

// Confidence in the initiator, percent (reference/detection.md, 3.1).
const (
	sureExported = 100 // the exporter says so: firewall event
	sureSYN      = 95
	sureBiflow   = 90 // RFC 5103 direction: often of the packet that was seen first
	sureEarlier  = 85
	sureLearned  = 85
	surePort     = 70
	sureFirst    = 65 // the exporter says so of a session whose beginning it did not see
	surePortWeak = 60 // the other port is no ephemeral one either
)

// conversation is what is known of both halves. Its ends are ordered by
// (address, port): low and high.
type conversation struct {
	start      [2]int64 // first start of the half sent by the low and the high end, exporter's clock
	syn        [2]bool
	exporter   [16]byte
	domain     uint32
	last       int64
	initiator  flow.Initiator // src = the low end
	confidence uint8
}

type serverKey struct {
	addr address
	port uint16
	prot uint8
}

func (k serverKey) hash() uint64 {
	return mix(k.addr.hi^0x9e3779b97f4a7c15, k.addr.lo^uint64(k.port)<<8^uint64(k.prot)^0xbf58476d1ce4e5b9)
}

// serverPort is a port that hosts with different ports talk to.
type serverPort struct {
	peers [serverPeers]uint16
	n     uint8
	host  address // whose ports they are, where only one host counts
}

// ends orders the two ends of record i and notes how they stand.
func (r *row) ends(b *flow.Batch, i int) (low, high end) {
	srcPort, dstPort := b.SrcPort[i], b.DstPort[i]
	if proto := b.Proto[i]; proto == protoICMP || proto == protoICMP6 {
		srcPort, dstPort = 0, 0 // type and code differ between request and reply
	}
	low, high = end{r.src.addr, srcPort}, end{r.dst.addr, dstPort}
	if r.reversed = high.less(low); r.reversed {
		low, high = high, low
	}
	return low, high
}

// observeConversation pairs record i with its other half and weighs what it
// says about who began.
func (e *Enricher) observeConversation(b *flow.Batch, i int, r *row) {
	proto := b.Proto[i]
	low, high := r.ends(b, i)
	c, known := e.conversations.entry(b.Conversation[i])
	if known && b.EventStart[i] > c.last+pairingTime {
		*c = conversation{}
	}
	c.last = max(c.last, b.EventEnd[i])
	r.conv = c
	half := 0
	if r.reversed {
		half = 1
	}
	if who, sure := exportedInitiator(b, i); sure > 0 {
		c.believe(who, half, sure)
	}
	if b.Presence[i]&flow.HasStart != 0 && b.TimeFlowStart[i] > 0 && c.start[half] == 0 {
		if c.start[1-half] == 0 {
			c.exporter, c.domain = b.SamplerAddress[i], b.ObservationDomain[i]
		}
		if c.exporter == b.SamplerAddress[i] && c.domain == b.ObservationDomain[i] {
			c.start[half] = b.TimeFlowStart[i]
			// The first packet sampled is seldom the first there was.
			c.syn[half] = b.SamplingRate[i] <= 1 && (proto != protoTCP || b.TCPFlags[i]&tcpSYN != 0)
			c.compareStarts()
		}
	}
	if c.confidence < surePort {
		e.observeServer(low, high, proto)
		e.observeServer(high, low, proto)
	}
}

// believe keeps the surer of two opinions; who is meant as seen from half.
func (c *conversation) believe(who flow.Initiator, half int, confidence uint8) {
	if confidence <= c.confidence {
		return
	}
	if half == 1 {
		who = other(who)
	}
	c.initiator, c.confidence = who, confidence
}

func other(who flow.Initiator) flow.Initiator {
	switch who {
	case flow.InitiatorSrc:
		return flow.InitiatorDst
	case flow.InitiatorDst:
		return flow.InitiatorSrc
	}
	return who
}

// compareStarts trusts an earlier start only where both records hold the
// beginning of their half: of a long flow cut by the active timeout each slice
// has a start that says nothing.
func (c *conversation) compareStarts() {
	if c.start[0] == 0 || c.start[1] == 0 || !c.syn[0] || !c.syn[1] {
		return
	}
	switch d := c.start[1] - c.start[0]; {
	case d >= earlierStart:
		c.believe(flow.InitiatorSrc, 0, sureEarlier)
	case d <= -earlierStart:
		c.believe(flow.InitiatorDst, 0, sureEarlier)
	}
}

// exportedInitiator reads who began from record i alone. TCP flags are those
// of all packets of the flow, so they tell only where a handshake failed or a
// single packet was seen.
func exportedInitiator(b *flow.Batch, i int) (flow.Initiator, uint8) {
	if b.FirewallEvent[i] != 0 {
		return flow.InitiatorSrc, sureExported // firewallEvent is reported for the initiator's direction
	}
	hasFlags := b.Proto[i] == protoTCP && b.Presence[i]&flow.HasTCPFlags != 0
	if hasFlags && b.TCPFlags[i]&(tcpSYN|tcpACK) == tcpSYN {
		return flow.InitiatorSrc, sureSYN
	}
	if v, ok := b.Ext.Value(i, flow.ExtensionKey(0, ieBiflowDirection)); ok && len(v) == 1 && (v[0] == 1 || v[0] == 2) {
		// RFC 5103, Section 6.3: 1 the source of the record is the initiator, 2
		// it is not. The reverse half carries the value of its record. Of a TCP
		// session without a SYN the exporter knows who spoke first after it began
		// to look, or after its active timeout.
		sure := uint8(sureBiflow)
		if b.Proto[i] == protoTCP && b.TCPFlags[i]&tcpSYN == 0 {
			sure = sureFirst
		}
		if (v[0] == 1) != (b.Quality[i]&flow.BiflowReverse != 0) {
			return flow.InitiatorSrc, sure
		}
		return flow.InitiatorDst, sure
	}
	switch b.Proto[i] {
	case protoTCP:
		// Of more packets it may be a client's SYN and its ACKs.
		if hasFlags && b.TCPFlags[i]&tcpControl == tcpSYN|tcpACK && b.Packets[i] == 1 {
			return flow.InitiatorDst, sureSYN
		}
	case protoICMP:
		switch b.DstPort[i] >> 8 {
		case 8, 13:
			return flow.InitiatorSrc, sureSYN
		case 14: // an echo reply is 0, as is a type that was not exported
			return flow.InitiatorDst, sureSYN
		}
	case protoICMP6:
		switch b.DstPort[i] >> 8 {
		case 128:
			return flow.InitiatorSrc, sureSYN
		case 129:
			return flow.InitiatorDst, sureSYN
		}
	}
	return flow.InitiatorUnknown, 0
}

// observeServer counts the distinct ports that talk to port of s.
func (e *Enricher) observeServer(s, peer end, proto uint8) {
	if !transportPorts(proto) || wellKnown(s.port) != wellKnown(peer.port) {
		return // the port table decides
	}
	p, _ := e.servers.entry(serverKey{s.addr, s.port, proto})
	if int(p.n) == len(p.peers) {
		return
	}
	if proto == protoUDP && s.port >= ephemeral {
		// A client that keeps one port for all it asks has many peers with ports
		// of their own. One host that comes back with new ports has a server here.
		if p.n <= 1 && p.host != peer.addr {
			p.host, p.n = peer.addr, 0
		}
		if p.host != peer.addr {
			return
		}
	}
	for _, seen := range p.peers[:p.n] {
		if seen == peer.port {
			return
		}
	}
	p.peers[p.n] = peer.port
	p.n++
}

func (e *Enricher) isServer(s end, proto uint8) bool {
	p := e.servers.find(serverKey{s.addr, s.port, proto})
	return p != nil && int(p.n) == len(p.peers)
}

// resolveInitiator writes who began the conversation of record i, how sure that
// is, and the port of the other side.
func (e *Enricher) resolveInitiator(b *flow.Batch, i int, r *row) {
	who, sure := r.conv.initiator, r.conv.confidence
	if r.reversed {
		who = other(who)
	}
	proto, src, dst := b.Proto[i], b.SrcPort[i], b.DstPort[i]
	if r.dst.place == placeGroup {
		who, sure = flow.InitiatorSrc, sureSYN // a group never begins
	}
	if sure < sureLearned && transportPorts(proto) {
		if w, s := e.byPort(end{r.src.addr, src}, end{r.dst.addr, dst}, proto); s > sure {
			who, sure = w, s
		}
	}
	b.Initiator[i], b.InitiatorConfidence[i] = who, sure
	switch {
	case !transportPorts(proto):
		b.ServicePort[i] = 0
	case who == flow.InitiatorSrc:
		b.ServicePort[i] = dst
	case who == flow.InitiatorDst:
		b.ServicePort[i] = src
	case src == dst:
		b.ServicePort[i] = src // NTP and others use one port at both ends
	default:
		b.ServicePort[i] = 0
	}
}

// byPort guesses the server by its port: the one that is well known, else one
// that many ports talk to, else the one that looks more like a server's.
func (e *Enricher) byPort(src, dst end, proto uint8) (flow.Initiator, uint8) {
	if src.port == dst.port {
		return flow.InitiatorUnknown, 0
	}
	s, d := ofServer(src.port), ofServer(dst.port)
	if wellKnown(src.port) == wellKnown(dst.port) {
		switch ss, dd := e.isServer(src, proto), e.isServer(dst, proto); {
		case dd && !ss:
			return flow.InitiatorSrc, sureLearned
		case ss && !dd:
			return flow.InitiatorDst, sureLearned
		case s == d:
			return flow.InitiatorUnknown, 0
		}
	}
	who, server, client := flow.InitiatorSrc, dst.port, src.port
	if s > d {
		who, server, client = flow.InitiatorDst, src.port, dst.port
	}
	switch {
	case !serviceLike(server) && proto == protoUDP && server >= maxServerGuess:
		return flow.InitiatorUnknown, 0
	case !serviceLike(server) || client < ephemeral:
		return who, surePortWeak
	}
	return who, surePort
}

// wellKnown says whether a port is a server's: a known one that no system takes
// for clients.
func wellKnown(port uint16) bool { return port < ephemeral && serviceLike(port) }

// ofServer is how much a port looks like a server's. A known one from 32768 on
// is as likely drawn by a client as one below is unknown.
func ofServer(port uint16) int {
	switch {
	case port < 1024:
		return 3
	case wellKnown(port):
		return 2
	case port < ephemeral || serviceLike(port):
		return 1
	}
	return 0
}

func transportPorts(proto uint8) bool {
	return proto == protoTCP || proto == protoUDP || proto == protoSCTP
}

type end struct {
	addr address
	port uint16
}

func (a end) less(b end) bool {
	switch {
	case a.addr.hi != b.addr.hi:
		return a.addr.hi < b.addr.hi
	case a.addr.lo != b.addr.lo:
		return a.addr.lo < b.addr.lo
	}
	return a.port < b.port
}

// hashConversation is stable across restarts and machines; it need not resist
// an attacker, who could as well send the same 5-tuple.
func hashConversation(low, high end, proto uint8, vrf uint32) uint64 {
	h := mix(low.addr.hi^0x9e3779b97f4a7c15, low.addr.lo^0xbf58476d1ce4e5b9)
	h = mix(h^high.addr.hi, high.addr.lo^0x94d049bb133111eb)
	return mix(h^uint64(vrf), uint64(low.port)<<32|uint64(high.port)<<16|uint64(proto)^0xd6e8feb86659fd93)
}

func mix(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a, b|1)
	return hi ^ lo ^ b
}
