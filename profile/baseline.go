package profile

import (
	"context"
	_ "embed"
	"fmt"
	"net/netip"
	"time"
)

var (
	//go:embed query/baseline_peers.sql
	baselinePeersSQL string
	//go:embed query/baseline_hours.sql
	baselineHoursSQL string
	//go:embed query/baseline_volumes.sql
	baselineVolumesSQL string
	//go:embed query/volumes.sql
	volumesSQL string
)

// Peer is one edge of a device: with whom it deals, by which service.
type Peer struct {
	Role       string     `json:"role"` // of the device: client, server, unknown
	Scope      string     `json:"scope"`
	Device     uint64     `json:"device"`  // the peer's id inside the site, or 0
	Title      string     `json:"title"`   // what to call it
	Network    string     `json:"network"` // outside the site: its /24 or /48
	Addr       netip.Addr `json:"addr"`    // one of its addresses
	Service    Service    `json:"service"`
	First      time.Time  `json:"first"`
	Last       time.Time  `json:"last"`
	Days       uint64     `json:"days"`
	BytesOut   uint64     `json:"bytes_out"`
	BytesIn    uint64     `json:"bytes_in"`
	Flows      uint64     `json:"flows"`
	Failed     uint64     `json:"failed"`
	Confidence uint8      `json:"confidence"` // in the role, percent
}

// Hour is an hour of the week, of all weeks seen.
type Hour struct {
	Seen  uint64 `json:"seen"` // how often it carried anything
	Flows uint64 `json:"flows"`
	Bytes uint64 `json:"bytes"`
}

// Quantiles of the bytes of an hour in which there were any.
type Quantiles struct {
	Scope  string `json:"scope"`
	Hours  uint64 `json:"hours"`
	Out    uint64 `json:"out"` // median
	OutP95 uint64 `json:"out_p95"`
	OutMax uint64 `json:"out_max"`
	In     uint64 `json:"in"`
	InP95  uint64 `json:"in_p95"`
	InMax  uint64 `json:"in_max"`
}

// Volume is what a device sent and received in one bin.
type Volume struct {
	Time       time.Time `json:"time"`
	BytesOut   uint64    `json:"bytes_out"`
	BytesIn    uint64    `json:"bytes_in"`
	PacketsOut uint64    `json:"packets_out"`
	PacketsIn  uint64    `json:"packets_in"`
	Flows      uint64    `json:"flows"`
}

// lastDate is near the last Date there is.
var lastDate = time.Date(2149, 1, 1, 0, 0, 0, 0, time.UTC)

// Baseline is how a device normally behaves.
type Baseline struct {
	Device  Device      `json:"device"`
	Zone    string      `json:"time_zone"` // what the site's clocks show
	Peers   []Peer      `json:"peers"`     // most bytes first
	Hours   [7][24]Hour `json:"hours"`     // Monday first, by the site's clocks; days off as Sundays
	Volumes []Quantiles `json:"volumes"`   // by scope
}

// Baseline reads the baseline of a device.
func (s *Scorer) Baseline(ctx context.Context, d Device) (Baseline, error) {
	b := Baseline{Device: d, Zone: s.config.Zone.String()}
	var err error
	if b.Peers, err = s.Peers(ctx, d, time.Time{}, time.Time{}); err != nil {
		return b, err
	}
	if err = s.hours(ctx, d, &b.Hours); err != nil {
		return b, fmt.Errorf("read hours of device %s: %w", d.Name(), err)
	}
	if b.Volumes, err = s.quantiles(ctx, d); err != nil {
		return b, fmt.Errorf("read volumes of device %s: %w", d.Name(), err)
	}
	return b, nil
}

// Peers returns the edges of a device on the days from from to before to, most
// bytes first, a thousand at most; zero times leave a side open.
func (s *Scorer) Peers(ctx context.Context, d Device, from, to time.Time) ([]Peer, error) {
	list, err := s.peers(ctx, d, from, to)
	if err != nil {
		return nil, fmt.Errorf("read peers of device %s: %w", d.Name(), err)
	}
	return list, nil
}

func (s *Scorer) peers(ctx context.Context, d Device, from, to time.Time) ([]Peer, error) {
	if from.IsZero() {
		from = time.Unix(0, 0)
	}
	if to.IsZero() {
		to = lastDate
	}
	var ids []uint64
	out, err := query(ctx, s, baselinePeersSQL, map[string]any{"devices": d.ids(), "from": from, "to": to}, func(r row, p *Peer) error {
		var addr string
		err := r.Scan(&p.Role, &p.Scope, &p.Device, &addr, &p.Service.Proto, &p.Service.Port, &p.Service.Peers, &p.First, &p.Last, &p.Days,
			&p.BytesOut, &p.BytesIn, &p.Flows, &p.Failed, &p.Confidence)
		if err != nil {
			return err
		}
		if p.Addr, err = netip.ParseAddr(addr); err != nil {
			return err
		}
		p.Addr = p.Addr.Unmap()
		p.Service.Name = s.config.Service(p.Service.Proto, p.Service.Port)
		p.First, p.Last = p.First.UTC(), p.Last.UTC()
		p.Title = p.Addr.String()
		if p.Device == 0 && p.Scope != "multicast" {
			p.Network = network(p.Addr)
			p.Title = p.Network
		}
		if p.Device != 0 {
			ids = append(ids, p.Device)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	known, err := s.devicesByID(ctx, ids)
	if err != nil {
		return nil, err
	}
	for i := range out {
		if k, ok := known[out[i].Device]; ok {
			out[i].Device, out[i].Title = k.ID, k.Title()
		}
	}
	return joinPeers(out), nil
}

// joinPeers makes one of the rows of a peer that is stored under several ids.
func joinPeers(list []Peer) (out []Peer) {
	type edge struct {
		role, scope string
		device      uint64
		proto       uint8
		port        uint16
	}
	at := map[edge]int{}
	for _, p := range list {
		k := edge{p.Role, p.Scope, p.Device, p.Service.Proto, p.Service.Port}
		i, seen := at[k]
		if p.Device == 0 || !seen {
			at[k] = len(out)
			out = append(out, p)
			continue
		}
		o := &out[i]
		if p.First.Before(o.First) {
			o.First = p.First
		}
		o.Last, o.Days, o.Confidence = later(o.Last, p.Last), max(o.Days, p.Days), max(o.Confidence, p.Confidence)
		o.BytesOut, o.BytesIn, o.Flows, o.Failed = o.BytesOut+p.BytesOut, o.BytesIn+p.BytesIn, o.Flows+p.Flows, o.Failed+p.Failed
	}
	return out
}

// network is the /24 or /48 by which peers outside the site are known.
func network(a netip.Addr) string {
	bits := 48
	if a.Is4() {
		bits = 24
	}
	p, err := a.Prefix(bits)
	if err != nil {
		return a.String()
	}
	return p.String()
}

func (s *Scorer) hours(ctx context.Context, d Device, out *[7][24]Hour) error {
	s.refreshCalendars()
	off, _ := s.calendars.Days(time.Time{}, lastDate)
	return each(ctx, s, baselineHoursSQL, map[string]any{"devices": d.ids(), "zone": s.config.Zone.String(), "off": off}, func(r row) error {
		var day, hour uint8
		var h Hour
		if err := r.Scan(&day, &hour, &h.Seen, &h.Flows, &h.Bytes); err != nil {
			return err
		}
		if day >= 1 && day <= 7 && hour < 24 {
			out[day-1][hour] = h
		}
		return nil
	})
}

func (s *Scorer) quantiles(ctx context.Context, d Device) ([]Quantiles, error) {
	return query(ctx, s, baselineVolumesSQL, map[string]any{"devices": d.ids()}, func(r row, q *Quantiles) error {
		return r.Scan(&q.Scope, &q.Hours, &q.Out, &q.OutP95, &q.OutMax, &q.In, &q.InP95, &q.InMax)
	})
}

// Volumes returns the bins of an id in [from, to): of five minutes (kept 14
// days) or of an hour (400 days).
func (s *Scorer) Volumes(ctx context.Context, device uint64, hourly bool, from, to time.Time) ([]Volume, error) {
	return s.volumes(ctx, Device{ID: device}, hourly, from, to)
}

// Hourly returns the hours of a device in [from, to), under all its ids.
func (s *Scorer) Hourly(ctx context.Context, d Device, from, to time.Time) ([]Volume, error) {
	return s.volumes(ctx, d, true, from, to)
}

func (s *Scorer) volumes(ctx context.Context, d Device, hourly bool, from, to time.Time) ([]Volume, error) {
	table := "volumes_5m"
	if hourly {
		table = "volumes_1h"
	}
	values := map[string]any{"hourly": hourly, "devices": d.ids(), "from": from, "to": to}
	out, err := query(ctx, s, volumesSQL, values, func(r row, v *Volume) error {
		err := r.Scan(&v.Time, &v.BytesOut, &v.BytesIn, &v.PacketsOut, &v.PacketsIn, &v.Flows)
		v.Time = v.Time.UTC()
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read %s of device %s: %w", table, d.Name(), err)
	}
	return out, nil
}
