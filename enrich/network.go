package enrich

import (
	"encoding/binary"
	"math/bits"
	"net/netip"

	"tidemark/collector/flow"
)

// address is 16 octets as two big-endian words; IPv4 is ::ffff:a.b.c.d.
type address struct{ hi, lo uint64 }

const prefix4 = 0xffff << 32 // low word of ::ffff:0.0.0.0

func makeAddress(a *[16]byte) address {
	return address{binary.BigEndian.Uint64(a[:8]), binary.BigEndian.Uint64(a[8:])}
}

func (a address) is4() bool  { return a.hi == 0 && a.lo>>32 == 0xffff }
func (a address) v4() uint32 { return uint32(a.lo) }
func (a address) unspecified() bool {
	return a.hi == 0 && (a.lo == 0 || a.lo == prefix4)
}
func (a address) linkLocal6() bool { return a.hi>>54 == 0xfe80>>6 }

// place is where an address stands, seen from the site.
type place uint8

const (
	placeNowhere place = iota // unspecified, loopback, reserved: no host
	placeInside
	placeOutside
	placeGroup // multicast, broadcast
)

// maxOnLink bounds the IPv6 networks learned from EUI-64 addresses.
const maxOnLink = 64

type network struct{ addr, mask address }

// networks are the site's own networks.
type networks struct {
	configured []network
	onLink     []uint64 // upper words of learned /64s
}

func (n *networks) add(p netip.Prefix) {
	length := p.Bits()
	if p.Addr().Is4() {
		length += 96
	}
	a16 := p.Addr().As16()
	a := makeAddress(&a16)
	m := address{mask(length), mask(length - 64)}
	n.configured = append(n.configured, network{address{a.hi & m.hi, a.lo & m.lo}, m})
}

func mask(length int) uint64 {
	if length <= 0 {
		return 0
	}
	return ^uint64(0) << max(64-length, 0)
}

// addOnLink learns a /64 of the site and says whether it is known now.
func (n *networks) addOnLink(hi uint64) bool {
	if len(n.onLink) >= maxOnLink {
		return false
	}
	n.onLink = append(n.onLink, hi)
	return true
}

func (n *networks) inside(a address) (network, bool) {
	for _, net := range n.configured {
		if a.hi&net.mask.hi == net.addr.hi && a.lo&net.mask.lo == net.addr.lo {
			return net, true
		}
	}
	if !a.is4() {
		for _, hi := range n.onLink {
			if a.hi == hi {
				return network{address{hi, 0}, address{^uint64(0), 0}}, true
			}
		}
	}
	return network{}, false
}

func (n *networks) place(a address) place {
	if a.is4() {
		v := a.v4()
		switch {
		case v>>28 == 0xe || v == 0xffffffff:
			return placeGroup
		case v>>24 == 0 || v>>24 == 127 || v>>28 == 0xf:
			return placeNowhere
		}
	} else {
		switch {
		case a.hi>>56 == 0xff:
			return placeGroup
		case a.hi == 0 && a.lo < 1<<32: // ::, ::1
			return placeNowhere
		}
	}
	net, ok := n.inside(a)
	if !ok {
		return placeOutside
	}
	if host := ^net.mask.lo; a.is4() && bits.OnesCount64(host) >= 2 && a.lo&host == host {
		return placeGroup // the network's own broadcast address
	}
	return placeInside
}

// scope says how far record i reaches. Plumbing of the link (DHCP, neighbour
// discovery) and service discovery count as multicast wherever they are sent
// inside the site: their answers are unicast and would look like scans.
func scope(b *flow.Batch, i int, r *row) flow.Scope {
	src, dst := r.src.place, r.dst.place
	switch {
	case src == placeGroup || dst == placeGroup:
		return flow.ScopeMulticast
	case src == placeOutside && dst == placeOutside:
		return flow.ScopeTransit
	case src == placeInside && dst == placeOutside, src == placeOutside && dst == placeInside:
		return flow.ScopeWAN
	case src == placeInside && dst == placeInside:
		if plumbing(b.Proto[i], b.SrcPort[i], b.DstPort[i]) {
			return flow.ScopeMulticast
		}
		return flow.ScopeLAN
	}
	return flow.ScopeUnknown
}

func plumbing(proto uint8, src, dst uint16) bool {
	switch proto {
	case protoUDP:
		return plumbingPort(src) || plumbingPort(dst)
	case protoICMP6:
		return dst>>8 >= 130 && dst>>8 <= 143 // MLD, neighbour discovery
	case 2: // IGMP
		return true
	}
	return false
}

func plumbingPort(p uint16) bool {
	switch p {
	case 67, 68, 546, 547, 1900, 3702, 5353, 5355: // DHCP, SSDP, WS-Discovery, mDNS, LLMNR
		return true
	}
	return false
}
