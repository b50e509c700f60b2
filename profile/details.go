package profile

import (
	"cmp"
	"context"
	_ "embed"
	"net/netip"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

var (
	//go:embed query/device_aliases.sql
	deviceAliasesSQL string
	//go:embed query/devices.sql
	devicesSQL string
	//go:embed query/device_said.sql
	deviceSaidSQL string
	//go:embed query/as_of.sql
	asOfSQL string
)

// maxAddresses bounds the addresses of a Device, as the catalogue's tables do.
const maxAddresses = 16

// life is one identity under which an id was seen.
type life struct {
	device    uint64
	identity  string
	mac       uint64
	gateway   bool // the MAC is a gateway's
	born      time.Time
	seen      time.Time
	addresses []netip.Addr
}

// saying is what somebody says of an id: see device_said.sql.
type saying struct {
	device uint64
	what   string
	value  string
	at     time.Time
	number uint64
	worst  uint8
}

// details reads who the devices with some ids are, in the order of the ids. Ids
// of one device give it once, ids of none nothing. It is read by small statements
// and joined here: one statement of that takes longer to plan than to run.
func (s *Scorer) details(ctx context.Context, ids []uint64) ([]Device, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	values := s.naming(ids)
	targets, err := s.targets(ctx, values)
	if err != nil {
		return nil, err
	}
	if values["all"] == false {
		values["ids"] = withAliases(ids, targets)
	}
	var asOf time.Time
	var lives []life
	var said []saying
	together, ctx := errgroup.WithContext(ctx)
	together.Go(func() error { return scalar(ctx, s, asOfSQL, values, &asOf) })
	together.Go(func() (err error) { lives, err = s.lives(ctx, values); return err })
	together.Go(func() (err error) { said, err = s.said(ctx, values); return err })
	if err := together.Wait(); err != nil {
		return nil, err
	}
	return s.assemble(ids, targets, lives, said, asOf), nil
}

// chosen are the devices that a filter selects, and how many there are without its
// limit.
func (s *Scorer) chosen(ctx context.Context, f DeviceFilter) ([]Device, uint64, error) {
	ids, total, all, err := s.choose(ctx, f)
	if err != nil || len(ids) == 0 {
		return nil, total, err
	}
	values := s.naming(ids)
	joined := withAliases(ids, all.aliasesOf(ids))
	if values["all"] == false {
		values["ids"] = joined
	}
	said, err := s.said(ctx, values)
	if err != nil {
		return nil, 0, err
	}
	return s.assemble(ids, all.targets, all.lives(joined), said, all.asOf), total, nil
}

// naming are values that name ids to a statement, or all if they are too many.
func (s *Scorer) naming(ids []uint64) map[string]any {
	if len(ids) > idsPerQuery {
		return map[string]any{"site": s.config.Site, "ids": []uint64{}, "all": true}
	}
	return map[string]any{"site": s.config.Site, "ids": ids, "all": false}
}

// targets reads of which other devices ids are.
func (s *Scorer) targets(ctx context.Context, values map[string]any) (map[uint64]uint64, error) {
	out := map[uint64]uint64{}
	return out, eachBlock(ctx, s, deviceAliasesSQL, values, func(b *block) {
		devices, targets := b.uint64s(), b.uint64s()
		for i := range b.rows {
			out[devices[i]] = targets[i]
		}
	})
}

func (s *Scorer) lives(ctx context.Context, values map[string]any) ([]life, error) {
	return query(ctx, s, devicesSQL, values, func(r row, l *life) error {
		var gateway uint8
		var addresses []string
		err := r.Scan(&l.device, &l.identity, &l.mac, &gateway, &l.born, &l.seen, &addresses)
		l.gateway = gateway != 0
		for _, text := range addresses {
			if a, err := netip.ParseAddr(text); err == nil {
				l.addresses = append(l.addresses, a)
			}
		}
		return err
	})
}

func (s *Scorer) said(ctx context.Context, values map[string]any) ([]saying, error) {
	return query(ctx, s, deviceSaidSQL, values, func(r row, v *saying) error {
		return r.Scan(&v.device, &v.what, &v.value, &v.at, &v.number, &v.worst)
	})
}

// withAliases are ids, the ids they are aliases of, and their aliases.
func withAliases(ids []uint64, targets map[uint64]uint64) []uint64 {
	out := slices.Clone(ids)
	for device, target := range targets {
		out = append(out, device, target)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// assemble makes devices of what is stored of their ids.
func (s *Scorer) assemble(ids []uint64, targets map[uint64]uint64, lives []life, said []saying, asOf time.Time) []Device {
	kept := func(id uint64) uint64 {
		if target, ok := targets[id]; ok {
			return target
		}
		return id
	}
	livesOf, saidOf := map[uint64][]life{}, map[uint64][]saying{}
	for _, l := range lives {
		livesOf[kept(l.device)] = append(livesOf[kept(l.device)], l)
	}
	for _, v := range said {
		saidOf[kept(v.device)] = append(saidOf[kept(v.device)], v)
	}
	var out []Device
	given := map[uint64]bool{}
	for _, id := range ids {
		id = kept(id)
		if given[id] {
			continue
		}
		given[id] = true
		if d := newDevice(id, livesOf[id], saidOf[id]); d.Identity != "" {
			out = append(out, s.complete(d, asOf))
		}
	}
	return out
}

// newDevice joins what is stored of a device's ids. Of several MACs, names and
// labels the one under its own id counts, then the latest. It has no Identity if
// nothing is known of it but a gateway's MAC.
func newDevice(id uint64, lives []life, said []saying) Device {
	d := Device{ID: id, Facts: map[string]string{}}
	slices.SortFunc(lives, func(a, b life) int { return cmp.Or(a.seen.Compare(b.seen), cmp.Compare(a.mac, b.mac)) })
	told := map[uint64]saying{}
	slices.SortStableFunc(said, func(a, b saying) int { return a.at.Compare(b.at) })
	for _, v := range said {
		if v.what == "told" {
			told[v.device] = v
		}
	}
	var seenMAC, assignedMAC uint64
	var ownSeen, ownAssigned, byAddress bool
	for i, l := range lives {
		own := l.device == id
		if l.identity == "mac" && !l.gateway && (own || !ownSeen) {
			seenMAC, ownSeen = l.mac, own
		}
		if t := told[l.device]; t.number != 0 && (own || !ownAssigned) {
			assignedMAC, ownAssigned = t.number, own
		}
		if name := told[l.device].value; name != "" {
			d.Host = name
		}
		if i == 0 || l.born.Before(d.First) {
			d.First = l.born.UTC()
		}
		d.Last = l.seen.UTC()
		d.Identity = "address"
		if l.identity == "gateway" {
			d.Identity = "gateway"
		}
		byAddress = byAddress || l.identity != "mac"
		if !slices.Contains(d.Members, l.device) {
			d.Members = append(d.Members, l.device)
		}
	}
	switch {
	case seenMAC != 0:
		d.Identity, d.MAC = "mac", seenMAC
	case assignedMAC != 0:
		d.Identity, d.MAC = "assigned", assignedMAC
	case !byAddress:
		d.Identity = ""
	}
	d.Addresses = addressesOf(lives)
	d.say(said)
	return d
}

// say adds what is said of a device, the latest last.
func (d *Device) say(said []saying) {
	var ownLabel, decided bool
	for _, v := range said {
		own := v.device == d.ID
		what, which, _ := strings.Cut(v.what, " ")
		switch {
		case what == "label" && (own || !ownLabel):
			d.Label, ownLabel = v.value, own
		case what == "fact":
			d.Facts[which] = v.value
		case what == "decided" && own:
			d.Kind, decided = v.value, true
		case what == "judged" && own:
			d.IoT = which
			if !decided {
				d.Kind = v.value
			}
		case what == "incidents":
			d.Alerts, d.Risk = d.Alerts+v.number, max(d.Risk, v.worst)
		}
	}
}

// addressesOf are the addresses of lives, in order of time, the latest of them,
// IPv4 first.
func addressesOf(lives []life) []netip.Addr {
	var out []netip.Addr
	for _, l := range slices.Backward(lives) {
		for _, a := range l.addresses {
			if a = a.Unmap(); a.IsUnspecified() || slices.Contains(out, a) {
				continue
			}
			if len(out) < maxAddresses {
				out = append(out, a)
			}
		}
	}
	slices.SortFunc(out, netip.Addr.Compare) // IPv4 is less than IPv6
	return out
}

// complete adds what follows from the rest, as of a time.
func (s *Scorer) complete(d Device, asOf time.Time) Device {
	if d.MAC != 0 {
		d.Vendor = s.config.Vendor(d.MAC)
	}
	d.Learned = d.First.Add(s.config.LearningPeriod)
	switch {
	case !asOf.Before(d.Learned):
		d.Learning = LearningDone
	case !asOf.Before(d.First.Add(s.config.LearningPeriod / 7)):
		d.Learning = LearningOpen
	default:
		d.Learning = LearningNew
	}
	d.State = s.state(d.First, d.Last, asOf, d.Facts[FactRetired] != "")
	return d
}

// state is where a device stands as of a time.
func (s *Scorer) state(first, last, asOf time.Time, retired bool) Lifecycle {
	switch {
	case retired:
		return DeviceRetired
	case !asOf.Before(last.Add(SilentAfter)):
		return DeviceSilent
	case !asOf.Before(first.Add(s.config.LearningPeriod)):
		return DeviceActive
	case !asOf.Before(first.Add(s.config.LearningPeriod / 7)):
		return DeviceLearning
	}
	return DeviceNew
}
