package main

import (
	"context"
	"net/netip"
	"time"

	"github.com/rs/zerolog"

	"tidemark/enrich"
	"tidemark/profile"
)

// profile is the part of the configuration that package profile reads.
func (c Config) profile() profile.Config {
	tuned := map[string]map[string]float64{}
	for _, t := range c.Profile.Tune {
		if tuned[t.Detector] == nil {
			tuned[t.Detector] = map[string]float64{}
		}
		tuned[t.Detector][t.Parameter] = t.Value
	}
	zone, err := c.zone()
	if err != nil { // refused when the configuration was read
		zone = time.UTC
	}
	var described []profile.KindMUD
	for _, m := range c.Kinds.MUD {
		described = append(described, profile.KindMUD{Kind: m.Kind, File: m.Profile})
	}
	return profile.Config{
		MUD:  described,
		Zone: zone, Calendars: c.Profile.Calendars,
		Site: c.Site, LearningPeriod: time.Duration(c.Profile.Learning), Disabled: c.Profile.Disable, Shadow: c.Profile.Shadow, Detectors: c.Profile.Detectors, Lists: c.Profile.Lists, Parameters: tuned,
		Vendor: c.vendors().Name, Service: enrich.ServiceName,
		Criticality: c.criticality(), Budget: profile.Budget(c.Profile.Budget),
	}
}

// questions opens the profile for asking only.
func (s *store) questions() (*profile.Scorer, error) {
	return profile.New(s.db, s.cfg.profile(), nil, zerolog.Nop())
}

// device finds the id of a device by MAC, address, id or label.
func (s *store) device(ctx context.Context, name string) (profile.Device, error) {
	q, err := s.questions()
	if err != nil {
		return profile.Device{}, err
	}
	d, err := q.Device(ctx, name)
	if isNameFault(err) {
		err = usageError{err}
	}
	return d, err
}

// seed gives the enricher back what an earlier process learned of addresses.
func seed(ctx context.Context, s *profile.Scorer, e *enrich.Enricher) error {
	known, err := s.Bindings(ctx)
	if err != nil {
		return err
	}
	bindings := make([]enrich.Binding, len(known))
	for i, b := range known {
		bindings[i] = enrich.Binding{Addr: netip.AddrFrom16(b.Addr.As16()).As16(), MAC: b.MAC, Since: b.Since.UnixNano(), Seen: b.Seen.UnixNano(), Gateway: b.Gateway}
	}
	e.Seed(bindings)
	return nil
}
