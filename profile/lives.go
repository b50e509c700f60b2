package profile

import (
	"bytes"
	"context"
	_ "embed"
	"math"
	"net/netip"
	"time"

	"golang.org/x/sync/errgroup"
)

var (
	//go:embed query/lives.sql
	livesSQL string
	//go:embed query/router_ids.sql
	routerIDsSQL string
	//go:embed query/told_macs.sql
	toldMACsSQL string
	//go:embed query/like_routers.sql
	likeRoutersSQL string
)

// Identities as the tables number them.
const (
	seenByMAC   = 1
	seenGateway = 3
)

// glimpse is a row of device_lives: one identity under which an id was seen, or a
// part of it.
type glimpse struct {
	device, mac, sent uint64
	first, last       int64 // ms since 1970
	identity          uint8
	begin, end        int // of its addresses, in site.addresses
}

// site is who is at it: every id, and what decides whether it is a device.
type site struct {
	asOf      time.Time
	glimpses  []glimpse // by id
	addresses [][16]byte
	targets   map[uint64]uint64   // of ids that are another device's
	routers   map[uint64]struct{} // ids of addresses told to be routers' own
	gateways  map[uint64]struct{} // MACs behind which somebody was seen
	told      map[uint64]uint64   // MACs of ids that show none
	bare      bool                // an id was seen without a MAC of its own
}

// soul is a device as the catalogue's filters and orders know it: all glimpses of
// the ids that are one.
type soul struct {
	id          uint64
	first, last int64
	sent        uint64
	lowest      [16]byte // of its addresses, noAddress if it has none

	mac     uint64 // seen, own and not a gateway's
	macRank int64
	told    uint64
	bare    bool // seen without a MAC of its own

	lastIdentity uint8 // the latest
	lastBare     int64 // of those without a MAC: the latest, and its identity
	bareIdentity uint8
}

// noAddress comes after every address.
var noAddress = [16]byte(bytes.Repeat([]byte{255}, 16))

// readSite reads who is at the site.
func (s *Scorer) readSite(ctx context.Context) (*site, error) {
	all := &site{targets: map[uint64]uint64{}, routers: map[uint64]struct{}{}, gateways: map[uint64]struct{}{}, told: map[uint64]uint64{}}
	values := map[string]any{"site": s.config.Site, "ids": []uint64{}, "all": true}
	together, within := errgroup.WithContext(ctx)
	together.Go(func() error { return eachBlock(within, s, livesSQL, values, all.addGlimpses) })
	together.Go(func() error { return scalar(within, s, asOfSQL, values, &all.asOf) })
	together.Go(func() (err error) { all.targets, err = s.targets(within, values); return err })
	together.Go(func() error {
		return eachBlock(within, s, routerIDsSQL, values, func(b *block) {
			for _, id := range b.uint64s() {
				all.routers[id] = struct{}{}
			}
		})
	})
	if err := together.Wait(); err != nil {
		return nil, err
	}
	for i := range all.glimpses {
		g := &all.glimpses[i]
		all.bare = all.bare || g.identity != seenByMAC
		if g.identity == seenGateway && g.mac != 0 {
			all.gateways[g.mac] = struct{}{}
		}
	}
	if !all.bare {
		return all, nil
	}
	return all, eachBlock(ctx, s, toldMACsSQL, values, func(b *block) {
		devices, macs := b.uint64s(), b.uint64s()
		for i := range b.rows {
			all.told[devices[i]] = macs[i]
		}
	})
}

// addGlimpses reads a block of lives.sql.
func (all *site) addGlimpses(b *block) {
	devices, identities, macs, firsts, lasts, sents := b.uint64s(), b.uint8s(), b.uint64s(), b.times(), b.times(), b.uint64s()
	begin, ends := len(all.addresses), []int(nil)
	all.addresses, ends = b.addresses(all.addresses)
	for i := range b.rows {
		all.glimpses = append(all.glimpses, glimpse{devices[i], macs[i], sents[i], firsts[i], lasts[i], identities[i], begin, ends[i]})
		begin = ends[i]
	}
}

// kept is the id of the device that has an id.
func (all *site) kept(id uint64) uint64 {
	if target, ok := all.targets[id]; ok {
		return target
	}
	return id
}

func (all *site) isGateway(mac uint64) bool {
	_, ok := all.gateways[mac]
	return ok
}

// of are the addresses of a glimpse.
func (all *site) of(g *glimpse) [][16]byte { return all.addresses[g.begin:g.end] }

// souls joins glimpses by device, in no order. Of several MACs the one under the
// device's own id counts, then the latest.
func (all *site) souls() []soul {
	list := make([]soul, 0, len(all.glimpses))
	joined := map[uint64]int{} // where those of several ids are
	for _, target := range all.targets {
		joined[target] = -1
	}
	for i := range all.glimpses {
		g := &all.glimpses[i]
		id := all.kept(g.device)
		k, several := joined[id]
		if !several {
			k = len(list) - 1 // glimpses of an id follow each other
		}
		if k < 0 || list[k].id != id {
			k = len(list)
			list = append(list, soul{id: id, first: math.MaxInt64, last: math.MinInt64, lastBare: math.MinInt64, macRank: math.MinInt64, lowest: noAddress})
			if several {
				joined[id] = k
			}
		}
		list[k].add(g, all)
	}
	return list
}

func (d *soul) add(g *glimpse, all *site) {
	if g.last > d.last {
		d.last, d.lastIdentity = g.last, g.identity
	}
	d.first, d.sent = min(d.first, g.first), max(d.sent, g.sent)
	if g.identity == seenByMAC {
		rank := g.last
		if g.device == d.id {
			rank += 1e16
		}
		if g.mac != 0 && rank > d.macRank && !all.isGateway(g.mac) { // an exporter without MACs sees it too
			d.mac, d.macRank = g.mac, rank
		}
	} else {
		d.bare = true
		d.told = max(d.told, all.told[g.device])
		if g.last > d.lastBare {
			d.lastBare, d.bareIdentity = g.last, g.identity
		}
	}
	for _, a := range all.of(g) {
		if bytes.Compare(a[:], d.lowest[:]) < 0 && !isNowhere(a) {
			d.lowest = a
		}
	}
}

// isNowhere says that an address is that of a station that has none yet.
func isNowhere(a [16]byte) bool { return a == [16]byte{} || a == [16]byte{10: 255, 11: 255} }

// ownMAC is the MAC that it shows, or that is told of it.
func (d *soul) ownMAC() uint64 {
	if d.mac != 0 {
		return d.mac
	}
	return d.told
}

// knownBy is what its identity rests on.
func (d *soul) knownBy() string {
	switch {
	case d.mac != 0:
		return "mac"
	case d.told != 0:
		return "assigned"
	case d.lastIdentity == seenGateway:
		return "gateway"
	}
	return "address"
}

// isThere says that it is more than a gateway's MAC, or than an address that has
// just answered once or twice (what a scanner stirs up).
func (d *soul) isThere() bool {
	return d.ownMAC() != 0 || d.bare && (d.sent >= 5 || d.last >= d.first+time.Minute.Milliseconds())
}

// aliasesOf are the ids, with their devices, that are one of some devices.
func (all *site) aliasesOf(devices []uint64) map[uint64]uint64 {
	wanted := make(map[uint64]struct{}, len(devices))
	for _, id := range devices {
		wanted[id] = struct{}{}
	}
	out := map[uint64]uint64{}
	for id, target := range all.targets {
		if _, ok := wanted[target]; ok {
			out[id] = target
		}
	}
	return out
}

// lives are the glimpses of some ids.
func (all *site) lives(ids []uint64) []life {
	wanted := make(map[uint64]struct{}, len(ids))
	for _, id := range ids {
		wanted[id] = struct{}{}
	}
	var out []life
	for i := range all.glimpses {
		g := &all.glimpses[i]
		if _, ok := wanted[g.device]; !ok {
			continue
		}
		l := life{device: g.device, identity: [...]string{"none", "mac", "address", "gateway"}[g.identity&3], mac: g.mac, gateway: all.isGateway(g.mac), born: time.UnixMilli(g.first), seen: time.UnixMilli(g.last)}
		for _, a := range all.of(g) {
			l.addresses = append(l.addresses, netip.AddrFrom16(a))
		}
		out = append(out, l)
	}
	return out
}
