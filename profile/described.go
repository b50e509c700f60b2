package profile

import (
	"context"
	_ "embed"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"tidemark/profile/mud"
	"tidemark/profile/stamp"
)

var (
	//go:embed query/mud_wanted.sql
	mudWantedSQL string
	//go:embed query/mud_profiles.sql
	mudProfilesSQL string
	//go:embed query/save_mud_rules.sql
	saveMUDRulesSQL string
	//go:embed query/save_mud_profiles.sql
	saveMUDProfilesSQL string
)

// KindMUD is the MUD profile (RFC 8520) of the devices of a kind.
type KindMUD struct{ Kind, File string }

// described is what was done about MUD files.
type described struct {
	any  bool // a device or kind has a profile
	done bool // nothing was attached or taken off since
	seen map[string]stamp.Stamp
}

// Description is a MUD profile that devices are judged by.
type Description struct {
	Device  uint64 // 0 = of a kind
	Kind    string
	Profile uint64
	File    string
	URL     string
	Notes   []string // what of it flows cannot be judged by
}

// isURL says that a MUD profile is only named: nothing is fetched, so nothing is
// judged by it.
func isURL(where string) bool { return strings.HasPrefix(where, "https://") }

// Descriptions are the MUD profiles that devices are judged by.
func (s *Scorer) Descriptions(ctx context.Context) ([]Description, error) {
	list, err := query(ctx, s, mudProfilesSQL, map[string]any{"site": s.config.Site}, func(r row, d *Description) error {
		return r.Scan(&d.Device, &d.Kind, &d.Profile, &d.File, &d.URL, &d.Notes)
	})
	if err != nil {
		return nil, fmt.Errorf("read MUD profiles: %w", err)
	}
	return list, nil
}

// refreshProfiles reduces MUD files that were attached, or changed, since the last look. A
// file that cannot be read leaves what was read of it before.
func (s *Scorer) refreshProfiles(ctx context.Context) error {
	if s.mud.done && !s.mud.changed() {
		return nil
	}
	have, err := s.Descriptions(ctx)
	if err != nil {
		return err
	}
	type owner struct {
		device uint64
		kind   string
	}
	before := map[owner]Description{}
	for _, d := range have {
		before[owner{d.Device, d.Kind}] = d
	}
	wanted := map[owner]string{}
	for _, k := range s.config.MUD {
		wanted[owner{kind: k.Kind}] = k.File
	}
	err = each(ctx, s, mudWantedSQL, map[string]any{"site": s.config.Site}, func(r row) error {
		var device uint64
		var where string
		err := r.Scan(&device, &where)
		wanted[owner{device: device}] = where
		return err
	})
	if err != nil {
		return fmt.Errorf("read which MUD profiles are attached: %w", err)
	}
	s.mud.seen, s.mud.any = map[string]stamp.Stamp{}, false
	var save []Description
	for o, where := range wanted {
		if isURL(where) {
			continue
		}
		s.mud.seen[where] = stamp.Of(where)
		p, err := mud.Read(where)
		if err != nil {
			s.log.Warn().Err(err).Msg("a MUD file cannot be read; what was read of it before stays in force")
			_, ok := before[o]
			s.mud.any = s.mud.any || ok
			delete(before, o)
			continue
		}
		if old, ok := before[o]; !ok || old.Profile != p.ID || old.File != where {
			if err := s.saveRules(ctx, p); err != nil {
				return fmt.Errorf("store rules of MUD file %s: %w", where, err)
			}
			save = append(save, Description{Device: o.device, Kind: o.kind, Profile: p.ID, File: where, URL: p.URL, Notes: p.Notes})
		}
		delete(before, o)
		s.mud.any = true
	}
	for o := range before { // taken off
		save = append(save, Description{Device: o.device, Kind: o.kind, Notes: []string{}})
	}
	now := time.Now().UTC()
	err = insert(ctx, s, saveMUDProfilesSQL, save, func(d Description) []any {
		if d.Notes == nil {
			d.Notes = []string{}
		}
		return []any{s.config.Site, d.Device, d.Kind, d.Profile, d.File, d.URL, d.Notes, now}
	})
	if err != nil {
		return fmt.Errorf("store MUD profiles: %w", err)
	}
	s.mud.done = true
	return nil
}

func (s *Scorer) saveRules(ctx context.Context, p *mud.Profile) error {
	n := 0
	return insert(ctx, s, saveMUDRulesSQL, p.Rules, func(r mud.Rule) []any {
		n++
		low, high := r.Low, r.High
		if !low.IsValid() {
			low, high = netip.IPv6Unspecified(), netip.IPv6Unspecified()
		}
		return []any{s.config.Site, p.ID, uint16(n), r.Role, r.Proto, r.PortLow, r.PortHigh, string(r.Peer), low, high, r.Name}
	})
}

// changed says whether a file is another one than at the last look.
func (m *described) changed() bool {
	for file, seen := range m.seen {
		if stamp.Of(file) != seen {
			return true
		}
	}
	return false
}
