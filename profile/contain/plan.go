// Package contain writes plans that would stop a device from doing what it
// should not, and says beforehand whom they would have hit. It applies nothing.
package contain

import (
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// Edge is what a device was seen to do: the unit a rule is tried on.
type Edge struct {
	Server   bool // the device serves; else it is the client
	Peer     netip.Addr
	Network  netip.Prefix // of peers outside the site, known by network; zero inside
	Title    string       // what to call the peer
	Proto    uint8
	Port     uint16 // of the service
	Flows    uint64
	Days     uint64
	Failed   uint64 // flows that were attempts without success
	Sure     uint8  // of the role, percent
	LastSeen time.Time
}

// peers are the addresses an edge may lead to.
func (e *Edge) peers() netip.Prefix {
	if e.Network.IsValid() {
		return e.Network
	}
	return netip.PrefixFrom(e.Peer, e.Peer.BitLen())
}

// Rule drops the traffic between a device and some peers for one service. Both
// directions of a conversation pass one filter, so dropping the packets of the
// side that begins is enough.
type Rule struct {
	Server bool         // the device is the responder: packets to it are dropped; else those from it
	Peer   netip.Prefix // zero = everybody
	Proto  uint8        // 0 = every protocol
	Port   uint16       // 0 = every port
	Name   string       // of the peer, if it has one; filters go by address
}

// hits says whether the rule would have dropped the traffic of e.
func (r *Rule) hits(e *Edge) bool {
	return r.Server == e.Server &&
		(r.Proto == 0 || r.Proto == e.Proto) && (r.Port == 0 || r.Port == e.Port) &&
		(!r.Peer.IsValid() || r.Peer.Overlaps(e.peers()))
}

func (r *Rule) String() string {
	service := "everything"
	switch {
	case r.Proto != 0 && r.Port != 0:
		service = fmt.Sprintf("%s/%d", protocol(r.Proto), r.Port)
	case r.Proto != 0:
		service = protocol(r.Proto)
	}
	peer := "anybody"
	if r.Peer.IsValid() {
		peer = r.Peer.String()
		if r.Name != "" {
			peer += " (" + r.Name + ")"
		}
	}
	if r.Server {
		return fmt.Sprintf("%s from %s to the device", service, peer)
	}
	return fmt.Sprintf("%s from the device to %s", service, peer)
}

// protocol is the name filters use for the common ones, else the number.
func protocol(p uint8) string {
	switch p {
	case 1:
		return "icmp"
	case 6:
		return "tcp"
	case 17:
		return "udp"
	case 58:
		return "icmpv6"
	case 132:
		return "sctp"
	}
	return fmt.Sprint(p)
}

func hasPorts(p uint8) bool { return p == 6 || p == 17 || p == 132 }

// Plan is what could be done about one device.
type Plan struct {
	Name      string // of the rules in the filter: letters, digits, hyphens
	Device    string // what to call it
	Addresses []netip.Addr
	Why       string
	Rules     []Rule
	Lasts     time.Duration
	From      time.Time // when it would begin
}

// Until is when the plan ends by itself, where the filter can do that.
func (p *Plan) Until() time.Time { return p.From.Add(p.Lasts) }

// Hit is an edge that a plan would cut.
type Hit struct {
	Edge
	Rule string
}

// DryRun is a plan tried on what a device did.
type DryRun struct {
	Flows   uint64 // of the device in the time looked at
	Dropped uint64
	Cut     []Hit // most flows first
}

// Try says what the plan would have dropped of edges, and with whom the device
// could then not have dealt.
func (p *Plan) Try(edges []Edge) DryRun {
	var d DryRun
	for _, e := range edges {
		d.Flows += e.Flows
		for i := range p.Rules {
			if p.Rules[i].hits(&e) {
				d.Dropped += e.Flows
				d.Cut = append(d.Cut, Hit{e, p.Rules[i].String()})
				break
			}
		}
	}
	slices.SortStableFunc(d.Cut, func(a, b Hit) int {
		switch {
		case a.Flows > b.Flows:
			return -1
		case a.Flows < b.Flows:
			return 1
		}
		return 0
	})
	return d
}
