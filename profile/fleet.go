package profile

import (
	"cmp"
	"context"
	_ "embed"
	"fmt"
	"maps"
	"slices"
	"time"
)

//go:embed query/alike.sql
var alikeSQL string

// So many devices with the same line have one cause.
const fleetSize = 3

// blame points new lines of devices that were only the target at the incident of
// the device that did it.
func (b *book) blame() {
	for _, i := range b.all {
		for k := range i.Lines {
			l := &i.Lines[k]
			if !l.new || l.from == nil {
				continue
			}
			by := b.of[l.from.PeerDevice]
			if l.Role != "server" || by == nil || by == i || !slices.ContainsFunc(by.Lines, func(o Line) bool { return o.does(l, i.Device) }) {
				continue
			}
			l.Cause = by.Name()
			by.tellOf(i.Device)
		}
	}
}

// does says whether o is the doing of which l is what a victim saw: it is about that
// device, or about several by the same service.
func (o *Line) does(l *Line, victim uint64) bool {
	return o.Role == "client" && o.Cause == "" && (o.Peer == fmt.Sprintf("%016x", victim) || o.Peer == "" && (o.Port == 0 || l.Port == 0 || o.Port == l.Port))
}

// tellOf notes another device whose incident points here.
func (i *Incident) tellOf(device uint64) {
	if device == i.Device || slices.Contains(i.Also, device) {
		return
	}
	i.Also = append(i.Also, device)
	slices.Sort(i.Also)
	i.seen = true
	if n := uint64(len(i.Also)); n == fleetSize-1 || powerOfTen(n) && n > 1 {
		i.event = true
	}
}

// common says whether several devices with the same line are one thing that
// happens to all of them, such as a new server of their maker. What is an attack by
// itself is none.
func (l *Line) common(d *Detector) bool {
	return l.new && l.Cause == "" && l.from != nil && l.from.Peer != 0 && l.from.PeerDevice == 0 && d != nil && !d.Hard && l.Score < 50
}

// fleet points new lines that at least fleetSize devices have within a day at the
// incident of the first of them: of devices of one vendor or kind, or if somebody
// outside tries them all.
func (s *Scorer) fleet(ctx context.Context, b *book) error {
	type key struct{ family, target string }
	type group struct {
		first   uint64 // device
		since   time.Time
		devices []uint64
		lines   map[uint64]*Line
	}
	groups := map[key]*group{}
	families, targets := []string{}, []string{}
	since := time.Time{}
	for _, i := range b.all {
		for k := range i.Lines {
			l := &i.Lines[k]
			if !l.common(detectorNamed(s.detectors, l.Family)) {
				continue
			}
			g := groups[key{l.Family, l.Target}]
			if g == nil {
				g = &group{first: i.Device, since: l.Since, lines: map[uint64]*Line{}}
				groups[key{l.Family, l.Target}] = g
				families, targets = append(families, l.Family), append(targets, l.Target)
			}
			g.devices = append(g.devices, i.Device)
			g.lines[i.Device] = l
			if since.IsZero() || l.Since.Before(since) {
				since = l.Since
			}
		}
	}
	if len(groups) == 0 {
		return nil
	}
	before := map[uint64]uint64{} // device: incident
	err := each(ctx, s, alikeSQL, map[string]any{"site": b.site, "since": since.Add(-quietTime), "families": families, "targets": targets}, func(r row) error {
		var k key
		var incident, device uint64
		var devices []uint64
		if err := r.Scan(&k.family, &k.target, &incident, &device, &devices); err != nil {
			return err
		}
		if g := groups[k]; g != nil {
			g.first = device
			g.devices = append(g.devices, devices...)
			before[device] = incident
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, k := range slices.SortedFunc(maps.Keys(groups), func(a, b key) int { return cmp.Or(cmp.Compare(a.family, b.family), cmp.Compare(a.target, b.target)) }) {
		g := groups[k]
		slices.Sort(g.devices)
		g.devices = slices.Compact(g.devices)
		if len(g.devices) < fleetSize {
			continue
		}
		known, err := s.identities(ctx, g.devices)
		if err != nil {
			return err
		}
		first := b.of[g.first]
		if first == nil {
			list, err := s.incidents(ctx, AlertFilter{ID: before[g.first]})
			if err != nil {
				return err
			}
			if len(list) == 0 || list[0].State == StateClosed {
				continue
			}
			first = list[0]
			b.enter(first)
		}
		like := []uint64{}
		for _, d := range g.devices {
			l := g.lines[d]
			a, o := known[g.first], known[d]
			same := a.Vendor != "" && a.Vendor == o.Vendor || a.Kind != "" && a.Kind == o.Kind || l != nil && l.Role == "server"
			if same || d == g.first {
				like = append(like, d)
			}
		}
		if len(like) < fleetSize {
			continue
		}
		for _, d := range like {
			if l := g.lines[d]; l != nil && d != g.first {
				l.Cause = first.Name()
			}
			first.tellOf(d)
		}
	}
	return nil
}
