package profile

import (
	"context"
	"slices"
)

// neighbours are the stations with a MAC of their own: at the addresses that others
// have without one, and the networks of all.
type neighbours struct {
	until map[[16]byte]int64 // when a station last had an address
	links map[[16]byte]struct{}
}

// isIPv4 says that an address is IPv4, as ::ffff:0:0/96.
func isIPv4(a [16]byte) bool { return [12]byte(a[:12]) == [12]byte{10: 255, 11: 255} }

// link is the network in which an address has its neighbours: its /24, or /64.
func link(a [16]byte) [16]byte {
	if isIPv4(a) {
		a[15] = 0
	} else {
		clear(a[8:])
	}
	return a
}

// hidden returns which of some souls without a MAC are no devices, though they sent
// something: those that were later seen with a MAC of their own; those with a
// gateway's MAC although their neighbours show MACs of their own, so that no router
// lies between; and those that have a router's address (the first or last of a /24,
// or alone in a network behind a gateway) and a router's talk.
func (s *Scorer) hidden(ctx context.Context, all *site, bare map[uint64]*soul) (map[uint64]struct{}, error) {
	out := map[uint64]struct{}{}
	near, alone := all.neighbours(), all.lonely()
	var placed []uint64
	for i := range all.glimpses {
		g := &all.glimpses[i]
		if g.identity == seenByMAC {
			continue
		}
		if d := bare[all.kept(g.device)]; d != nil && near.have(d, all.of(g)) {
			out[d.id] = struct{}{}
		}
		if bare[g.device] != nil && slices.ContainsFunc(all.of(g), func(a [16]byte) bool { return near.isPlace(a, g, alone) }) {
			placed = append(placed, g.device)
		}
	}
	slices.Sort(placed)
	for part := range slices.Chunk(slices.Compact(placed), idsPerQuery) {
		err := eachBlock(ctx, s, likeRoutersSQL, map[string]any{"ids": part}, func(b *block) {
			for _, id := range b.uint64s() {
				out[id] = struct{}{}
			}
		})
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// have says that somebody with a MAC has one of a device's addresses now, or lives
// beside one that is seen with a gateway's.
func (n *neighbours) have(d *soul, addresses [][16]byte) bool {
	for _, a := range addresses {
		if until, ok := n.until[a]; ok && until >= d.lastBare {
			return true
		}
		if d.bareIdentity == seenGateway && n.among(a) {
			return true
		}
	}
	return false
}

// among says that an address has stations beside it.
func (n *neighbours) among(a [16]byte) bool {
	_, ok := n.links[link(a)]
	return ok
}

// isPlace says that an address of a glimpse is one that routers have.
func (n *neighbours) isPlace(a [16]byte, g *glimpse, alone map[[16]byte]uint64) bool {
	if isIPv4(a) && (a[15] == 1 || a[15] == 254) || !isIPv4(a) && [8]byte(a[8:]) == [8]byte{7: 1} {
		return true
	}
	return g.identity == seenGateway && alone[link(a)] == g.device && !n.among(a)
}

func (all *site) neighbours() *neighbours {
	n := &neighbours{until: map[[16]byte]int64{}, links: map[[16]byte]struct{}{}}
	wanted := map[[16]byte]struct{}{}
	for i := range all.glimpses {
		if g := &all.glimpses[i]; g.identity != seenByMAC {
			for _, a := range all.of(g) {
				wanted[a] = struct{}{}
			}
		}
	}
	for i := range all.glimpses {
		g := &all.glimpses[i]
		if g.identity != seenByMAC || g.mac == 0 || all.isGateway(g.mac) {
			continue
		}
		for _, a := range all.of(g) {
			n.links[link(a)] = struct{}{}
			if _, ok := wanted[a]; ok {
				n.until[a] = max(n.until[a], g.last)
			}
		}
	}
	return n
}

// severalIDs stands for more than one id: none is 0.
const severalIDs = 0

// lonely is which id is alone in a network, of those without a MAC of their own.
func (all *site) lonely() map[[16]byte]uint64 {
	out := map[[16]byte]uint64{}
	for i := range all.glimpses {
		g := &all.glimpses[i]
		if g.identity == seenByMAC {
			continue
		}
		for _, a := range all.of(g) {
			if id, ok := out[link(a)]; !ok {
				out[link(a)] = g.device
			} else if id != g.device {
				out[link(a)] = severalIDs
			}
		}
	}
	return out
}
