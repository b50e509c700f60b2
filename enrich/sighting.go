package enrich

import (
	"encoding/binary"
	"net/netip"

	"tidemark/collector/flow"
	"tidemark/enrich/binding"
)

// Binding is what Seed restores: an address and the MAC that sends from it.
type Binding struct {
	VRF     uint32
	Addr    [16]byte
	MAC     uint64
	Since   int64 // since when the MAC is a device's; ns since 1970, detection clock; 0 = only Seen is known
	Seen    int64
	Gateway bool // the MAC is a gateway's
}

// Seed restores what an earlier process learned, so that a restart neither
// takes a gateway for a device nor gives a device a second id, and knows whose
// foreign source addresses are forged.
func (e *Enricher) Seed(bindings []Binding) {
	for _, b := range bindings {
		if b.MAC == 0 || b.MAC&groupMAC != 0 {
			continue
		}
		s := e.identity.station(b.MAC)
		addr := makeAddress(&b.Addr)
		if b.Gateway {
			s.gateway = max(s.gateway, b.Seen+gatewayTime)
		}
		if e.networks.place(addr) != placeInside {
			continue
		}
		end := side{addr: addr, vrf: b.VRF, place: placeInside, sta: s, host: e.identity.host(hostKey{addr, b.VRF})}
		end.host.sends = true
		if b.Since != 0 && !b.Gateway {
			s.observeInside(addr, b.Since)
		}
		s.observeInside(addr, b.Seen)
		e.identity.bind(&end, b.Seen, true)
	}
}

// Bind makes a table of bindings the one that is asked; any goroutine may call
// it. The next Apply uses it.
func (e *Enricher) Bind(t *binding.Table) { e.bindings.Store(t) }

// noteTime is how much longer an address must have been seen with its station
// before Sightings tells of it again.
const noteTime = 6 * hour

// Sightings returns which addresses were seen with which stations in the flows:
// what changed since the last call, and what has gone on for hours. Addresses of
// gateways are told as such. dropped is how many changes found no room so far.
// The caller of Apply calls it, or holds it back meanwhile.
func (e *Enricher) Sightings() (list []binding.Interval, dropped uint64) {
	d := e.identity
	list, d.changes = d.changes, nil
	d.hosts.each(func(k hostKey, h *host) {
		switch {
		case h.router && h.noted == 0:
			i := h.interval(k, h.seen, binding.Open)
			i.Gateway = true
			list = append(list, i)
			h.noted = 1
		case h.router || h.station == nil || !h.sent || h.station.isGateway(h.seen):
		case h.noted == 0 || h.seen >= h.noted+noteTime:
			list = append(list, h.interval(k, h.since, h.seen+1))
			h.noted = h.seen
		}
	})
	return list, d.dropped
}

func (h *host) interval(k hostKey, from, to int64) binding.Interval {
	var a [16]byte
	binary.BigEndian.PutUint64(a[:8], k.addr.hi)
	binary.BigEndian.PutUint64(a[8:], k.addr.lo)
	i := binding.Interval{Addr: netip.AddrFrom16(a).Unmap(), VRF: k.vrf, From: from, To: to, Source: binding.Flow}
	if h.station != nil {
		i.MAC = h.station.mac
	}
	return i
}

// Elements that tell of routers: a next hop is one, and what leaves a gateway's
// MAC with an initial TTL is the gateway's own.
const (
	ieNextHop4     = 15
	ieNextHop6     = 62
	ieMinimumTTL   = 52
	ieTTL          = 192
	maxNextHopSize = 16
)

// observeRouters learns which addresses are routers' own. It is asked only for
// records that carry more than columns.
func (e *Enricher) observeRouters(b *flow.Batch, i int, r *row) {
	for _, ie := range [...]uint16{ieNextHop4, ieNextHop6} {
		v, ok := b.Ext.Value(i, flow.ExtensionKey(0, ie))
		if !ok || len(v) != 4 && len(v) != maxNextHopSize {
			continue
		}
		hop, ok := netip.AddrFromSlice(v)
		if !ok || hop.IsUnspecified() {
			continue
		}
		a16 := hop.As16()
		a := makeAddress(&a16)
		if a == r.src.addr || a == r.dst.addr || e.networks.place(a) != placeInside {
			continue // v5 puts the destination itself there, where it is on the link
		}
		e.identity.host(hostKey{a, r.dst.vrf}).router = true
	}
	if r.src.place != placeInside || r.src.sta == nil || !r.src.sta.isGateway(b.EventEnd[i]) {
		return
	}
	for _, ie := range [...]uint16{ieTTL, ieMinimumTTL} {
		if v, ok := b.Ext.Value(i, flow.ExtensionKey(0, ie)); ok && len(v) == 1 && (v[0] == 64 || v[0] == 128 || v[0] == 255) {
			r.src.host.router = true
		}
	}
}
