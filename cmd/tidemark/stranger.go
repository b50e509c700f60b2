package main

import (
	"fmt"
	"hash/fnv"
	"net/netip"
	"time"

	"tidemark/collector"
	"tidemark/profile"
	"tidemark/profile/notify"
)

// strangerRisk is that of a sender who is not on collector.allow: nothing of his is
// taken, but somebody sends what would have become evidence, or a router's address
// was changed.
const strangerRisk = 40

// stranger makes a sender that may not export to us an event of the ledger, and the
// first of a day a notification: a sender can make up any number of addresses.
func (n *node) stranger(s collector.Stranger) {
	fields := map[string]any{"address": s.Address.Addr().String(), "port": s.Address.Port()}
	if s.Network.IsValid() {
		fields["network"] = s.Network.String()
	}
	if err := n.ledger.Event("unknown_sender", "tidemark", fields); err != nil {
		n.log.Error().Err(err).Stringer("address", s.Address).Msg("an unknown sender is not in the record")
	}
	day := s.Time.UTC().Truncate(24 * time.Hour)
	if n.warn == nil || day.Equal(n.warned) {
		return
	}
	n.warned = day
	if err := n.warn(strangerAlert(s, n.cfg.Site)); err != nil {
		n.log.Error().Err(err).Stringer("address", s.Address).Msg("nobody is told of an unknown sender")
	}
}

func strangerAlert(s collector.Stranger, site string) notify.Alert {
	id := fnv.New64a()
	fmt.Fprint(id, site, s.Time.UTC().Format(time.DateOnly), "unknown_sender")
	from := s.Address.Addr()
	return notify.Alert{
		ID: fmt.Sprintf("%016x", id.Sum64()), Version: 1, Change: notify.Raised, Site: site, Family: "unknown_sender",
		Risk: strangerRisk, Level: profile.Level(strangerRisk), Terms: []notify.Term{{Name: "unknown sender", Value: strangerRisk}},
		Device: notify.Device{ID: fmt.Sprintf("%016x", 0), Name: from.String(), Addresses: []netip.Addr{from}},
		Text: fmt.Sprintf("%s sends flow exports to the collector of %s and is not on collector.allow: they are shed. Others may follow today, see `tidemark exporters`.",
			from, site),
		Expected: "exports from collector.allow only", Observed: "exports from " + from.String(),
		Since: s.Time, Until: s.Time, Findings: 1, Attack: []string{}, Flows: []string{}, Actor: "tidemark",
	}
}
