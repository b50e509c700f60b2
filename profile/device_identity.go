package profile

import (
	"cmp"
	"context"
	_ "embed"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

var (
	//go:embed query/save_intervals.sql
	saveIntervalsSQL string
	//go:embed query/intervals.sql
	intervalsSQL string
	//go:embed query/device_observers.sql
	deviceObserversSQL string
	//go:embed query/save_aliases.sql
	saveAliasesSQL string
	//go:embed query/aliases_of.sql
	aliasesOfSQL string
	//go:embed query/conclude_addresses.sql
	concludeAddressesSQL string
	//go:embed query/conclude_names.sql
	concludeNamesSQL string
)

// Interval says that a device had an address in [From, To), and who says so.
type Interval struct {
	Device     uint64     `json:"device"` // under this id; 0 with Gateway
	Addr       netip.Addr `json:"addr"`
	VRF        uint32     `json:"vrf"`
	MAC        uint64     `json:"mac"`
	From       time.Time  `json:"from"` // zero = as long as anybody can tell
	To         time.Time  `json:"to"`   // zero = it still has it
	Source     string     `json:"source"`
	Confidence uint8      `json:"confidence"` // percent
	Name       string     `json:"name"`
	Gateway    bool       `json:"-"` // the address is a router's own, Device the id it would have
}

var (
	always = time.Unix(0, 0).UTC()
	never  = time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC)
)

// SaveIntervals stores intervals; one that is stored already is made longer.
func (s *Scorer) SaveIntervals(ctx context.Context, list []Interval, at time.Time) error {
	err := insert(ctx, s, saveIntervalsSQL, list, func(i Interval) []any {
		from, to, gateway := i.From, i.To, uint8(0)
		if from.IsZero() {
			from = always
		}
		if to.IsZero() || to.After(never) {
			to = never
		}
		if i.Gateway {
			gateway = 1
		}
		return []any{s.config.Site, i.Device, netip.AddrFrom16(i.Addr.As16()), i.VRF, i.MAC, from.Truncate(time.Millisecond), to.Truncate(time.Millisecond),
			i.Source, i.Confidence, i.Name, gateway, at.Truncate(time.Millisecond)}
	})
	if err != nil {
		return fmt.Errorf("store %d identity intervals: %w", len(list), err)
	}
	return nil
}

// Intervals returns which addresses a device had when, in order of time. What
// one source says of one address and MAC without a gap is one.
func (s *Scorer) Intervals(ctx context.Context, d Device) ([]Interval, error) {
	var out []Interval
	err := each(ctx, s, intervalsSQL, map[string]any{"site": s.config.Site, "ids": d.ids()}, func(r row) error {
		var i Interval
		if err := r.Scan(&i.Device, &i.Addr, &i.VRF, &i.MAC, &i.From, &i.To, &i.Source, &i.Confidence, &i.Name); err != nil {
			return err
		}
		i.Addr, i.From, i.To = i.Addr.Unmap(), i.From.UTC(), i.To.UTC()
		out = join(out, i)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read identity of device %s: %w", d.Name(), err)
	}
	for k := range out {
		if out[k].From.Equal(always) {
			out[k].From = time.Time{}
		}
		if out[k].To.Equal(never) {
			out[k].To = time.Time{}
		}
	}
	return out, nil
}

// joinGap is the silence after which an address is taken for given up.
const joinGap = 24 * time.Hour

func join(list []Interval, i Interval) []Interval {
	for k := len(list) - 1; k >= 0; k-- {
		p := &list[k]
		if p.Addr == i.Addr && p.VRF == i.VRF && p.MAC == i.MAC && p.Source == i.Source {
			if i.From.After(p.To.Add(joinGap)) {
				break
			}
			p.To = later(p.To, i.To)
			p.Name = cmp.Or(i.Name, p.Name)
			return list
		}
	}
	return append(list, i)
}

// Observer is an exporter, in one direction of its interfaces, that sees a
// device. The first of several is its home: only what it saw is counted.
type Observer struct {
	Exporter netip.Addr `json:"exporter"`
	Packets  uint64     `json:"packets"` // in the device's last seven days
	Until    time.Time  `json:"until"`
}

// Observers returns who sees a device, the one that sees most first.
func (s *Scorer) Observers(ctx context.Context, d Device) ([]Observer, error) {
	values := map[string]any{"ids": d.ids(), "from": d.Last.AddDate(0, 0, -7)}
	out, err := query(ctx, s, deviceObserversSQL, values, func(r row, o *Observer) error {
		var text string
		if err := r.Scan(&text, &o.Packets, &o.Until); err != nil {
			return err
		}
		exporter, err := netip.ParseAddr(text)
		o.Exporter, o.Until = exporter.Unmap(), o.Until.UTC()
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read observers of device %s: %w", d.Name(), err)
	}
	return out, nil
}

// ids are all ids of a device.
func (d Device) ids() []uint64 {
	if len(d.Members) == 0 {
		return []uint64{d.ID}
	}
	return d.Members
}

// Alias says that an id is another device's, or with Target = Device that it is
// its own again.
type Alias struct {
	Device  uint64    `json:"device"`
	Target  uint64    `json:"target"`
	Source  string    `json:"source"` // operator, or what it was concluded from
	Actor   string    `json:"actor"`
	Reason  string    `json:"reason"`
	Changed time.Time `json:"changed"`
}

// Aliases returns what was ever concluded or decided about the ids of a device.
func (s *Scorer) Aliases(ctx context.Context, d Device) ([]Alias, error) {
	out, err := query(ctx, s, aliasesOfSQL, map[string]any{"site": s.config.Site, "ids": d.ids()}, func(r row, a *Alias) error {
		err := r.Scan(&a.Device, &a.Target, &a.Source, &a.Actor, &a.Reason, &a.Changed)
		a.Changed = a.Changed.UTC()
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read aliases of device %s: %w", d.Name(), err)
	}
	return out, nil
}

func (s *Scorer) saveAliases(ctx context.Context, list []Alias) error {
	err := insert(ctx, s, saveAliasesSQL, list, func(a Alias) []any {
		return []any{s.config.Site, a.Device, a.Target, a.Source, a.Actor, a.Reason, a.Changed.Truncate(time.Millisecond)}
	})
	if err != nil {
		return fmt.Errorf("store %d aliases: %w", len(list), err)
	}
	return nil
}

// Declare stores aliases that a source gives, but for those known already and
// those an operator has decided about.
func (s *Scorer) Declare(ctx context.Context, list []Alias, at time.Time) error {
	if len(list) == 0 {
		return nil
	}
	ids := make([]uint64, len(list))
	for i, a := range list {
		ids[i] = a.Device
	}
	known := map[uint64]Alias{}
	for part := range slices.Chunk(ids, idsPerQuery) {
		stored, err := s.Aliases(ctx, Device{ID: part[0], Members: part})
		if err != nil {
			return err
		}
		for _, a := range stored {
			known[a.Device] = a
		}
	}
	list = slices.DeleteFunc(list, func(a Alias) bool {
		k, ok := known[a.Device]
		return ok && (k.Source == "operator" || k.Target == a.Target)
	})
	for i := range list {
		list[i].Changed = at
	}
	return s.saveAliases(ctx, list)
}

// idsPerQuery keeps a statement with ids in it below ClickHouse's 256 KiB.
const idsPerQuery = 4000

// Conclude joins ids that turn out to be one device's: bare are ids by address of
// which something new is known, devices those by MAC. What an operator has
// decided stays. It returns what it concluded.
func (s *Scorer) Conclude(ctx context.Context, bare, devices []uint64, at time.Time) ([]Alias, error) {
	var found []Alias
	for part := range slices.Chunk(bare, idsPerQuery) {
		list, err := s.concludeAddresses(ctx, part, at)
		if err != nil {
			return nil, fmt.Errorf("join devices by address: %w", err)
		}
		found = append(found, list...)
	}
	for part := range slices.Chunk(devices, idsPerQuery) {
		list, err := s.concludeNames(ctx, part, at)
		if err != nil {
			return nil, fmt.Errorf("join devices by host name: %w", err)
		}
		found = append(found, list...)
	}
	return found, s.saveAliases(ctx, found)
}

func (s *Scorer) concludeAddresses(ctx context.Context, bare []uint64, at time.Time) ([]Alias, error) {
	return query(ctx, s, concludeAddressesSQL, map[string]any{"site": s.config.Site, "ids": bare}, func(r row, a *Alias) error {
		a.Actor, a.Source, a.Changed = "tidemark", "address", at
		var source string
		err := r.Scan(&a.Device, &a.Target, &source)
		a.Reason = fmt.Sprintf("its address had one MAC only (%s)", source)
		return err
	})
}

// commonNames are what devices call themselves before anybody named them.
var commonNames = []string{"iphone", "ipad", "android", "localhost", "unknown", "espressif", "wlan0", "user", "phone", "mobile", "watch", "applewatch", "macbook", "galaxy"}

// concludeNames joins devices that change their MAC: one host name, one after the
// other. Two that were alive at the same time are two, and their name tells
// nothing.
func (s *Scorer) concludeNames(ctx context.Context, devices []uint64, at time.Time) (out []Alias, err error) {
	err = each(ctx, s, concludeNamesSQL, map[string]any{"site": s.config.Site, "ids": devices}, func(r row) error {
		var name string
		var list [][]any
		if err := r.Scan(&name, &list); err != nil {
			return err
		}
		out = append(out, sameName(name, list, at)...)
		return nil
	})
	return out, err
}

func sameName(name string, list [][]any, at time.Time) (out []Alias) {
	if slices.Contains(commonNames, strings.ToLower(name)) {
		return nil
	}
	type life struct {
		device     uint64
		born, seen time.Time
		joined     bool
	}
	var lives []life
	for _, t := range list {
		device, _ := t[0].(uint64)
		born, _ := t[1].(time.Time)
		seen, _ := t[2].(time.Time)
		joined, _ := t[3].(uint8)
		lives = append(lives, life{device, born, seen, joined != 0})
	}
	slices.SortFunc(lives, func(a, b life) int { return cmp.Or(a.born.Compare(b.born), cmp.Compare(a.device, b.device)) })
	for i := 1; i < len(lives); i++ {
		if lives[i].born.Before(lives[i-1].seen) {
			return nil
		}
	}
	for _, l := range lives[1:] {
		if l.joined {
			continue
		}
		out = append(out, Alias{Device: l.device, Target: lives[0].device, Source: "host name", Actor: "tidemark", Changed: at,
			Reason: fmt.Sprintf("a random MAC with the host name %q of one that has gone", name)})
	}
	return out
}
