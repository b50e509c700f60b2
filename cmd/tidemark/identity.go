package main

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"tidemark/enrich"
	"tidemark/enrich/binding"
	"tidemark/enrich/inventory"
	"tidemark/enrich/watch"
	"tidemark/profile"
)

const (
	// identityPause is how often what is new of identities is stored.
	identityPause = 30 * time.Second

	// renewal is how much longer a lease must run before that is stored: the
	// end of an interval may be so much too early.
	renewal = 6 * time.Hour
)

// identities keeps who had which address: sources beside the flows tell the
// enricher, and what they and the flows tell is stored for questions.
type identities struct {
	site     string
	enricher *enrich.Enricher
	ingest   *ingest
	scorer   *profile.Scorer
	watch    *watch.Watch
	log      zerolog.Logger

	saving  sync.Mutex
	table   *binding.Table // published last; nil = no sources
	saved   *binding.Table // stored last
	items   map[uint64]inventory.Item
	dropped uint64
	current sync.Mutex // of table
}

// openIdentities reads every source once, so that the first flow finds them.
func openIdentities(cfg Config, e *enrich.Enricher, g *ingest, s *profile.Scorer, log zerolog.Logger, metrics prometheus.Registerer) (*identities, error) {
	sources, err := cfg.sources()
	if err != nil {
		return nil, err
	}
	x := &identities{site: cfg.Site, enricher: e, ingest: g, scorer: s, log: log, items: map[uint64]inventory.Item{}}
	x.watch = watch.New(sources, watch.Deps{Publish: x.publish, Log: log, Registerer: metrics, Now: time.Now})
	x.watch.Read()
	return x, nil
}

func (x *identities) publish(t *binding.Table) {
	x.current.Lock()
	x.table = t
	x.current.Unlock()
	x.enricher.Bind(t)
}

// Run follows the sources and stores what is new until ctx ends.
func (x *identities) Run(ctx context.Context) {
	followed := make(chan struct{})
	go func() { defer close(followed); _ = x.watch.Run(ctx) }() // it ends by ctx only
	defer func() { <-followed }()
	tick := time.NewTicker(identityPause)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if err := x.save(ctx); err != nil && ctx.Err() == nil {
				x.log.Error().Err(err).Msg("store who had which address: told again by the sources, but what only flows showed may miss")
			}
		}
	}
}

// save stores what is new and joins the ids that it shows to be one device's.
func (x *identities) save(ctx context.Context) error {
	x.saving.Lock()
	defer x.saving.Unlock()
	x.current.Lock()
	table := x.table
	x.current.Unlock()
	list, dropped := x.ingest.Sightings()
	if dropped > x.dropped {
		x.log.Warn().Uint64("changes", dropped-x.dropped).Msg("addresses changed their stations faster than could be noted")
		x.dropped = dropped
	}
	if table != nil && table != x.saved {
		list = append(list, table.Since(x.saved, renewal)...)
	}
	intervals, bare, random := x.intervals(list)
	intervals = append(intervals, x.stations()...)
	now := time.Now().UTC()
	if err := x.scorer.SaveIntervals(ctx, intervals, now); err != nil {
		return err
	}
	x.saved = table
	if err := x.scorer.Declare(ctx, x.twins(), now); err != nil {
		return err
	}
	joined, err := x.scorer.Conclude(ctx, bare, random, now)
	for _, a := range joined {
		x.log.Info().Str("device", fmt.Sprintf("%016x", a.Device)).Str("is", fmt.Sprintf("%016x", a.Target)).Str("why", a.Reason).Msg("two ids are one device")
	}
	return err
}

// intervals puts device ids to what was told, and names the ids that may turn
// out to be another's: those by address, and those by a random MAC with a name.
func (x *identities) intervals(list []binding.Interval) (out []profile.Interval, bare, random []uint64) {
	for _, i := range list {
		byAddress := enrich.DeviceByAddress(x.site, i.VRF, netip.AddrFrom16(i.Addr.As16()).As16())
		p := profile.Interval{
			Device: byAddress, Addr: i.Addr, VRF: i.VRF, MAC: i.MAC, Source: i.Source.String(), Confidence: i.Source.Confidence(), Name: i.Name, Gateway: i.Gateway,
		}
		if i.From > 0 {
			p.From = time.Unix(0, i.From).UTC()
		}
		if i.To != binding.Open {
			p.To = time.Unix(0, i.To).UTC()
		}
		if !i.Gateway {
			p.Device = enrich.DeviceByMAC(x.site, i.MAC)
			bare = append(bare, byAddress)
			if enrich.RandomMAC(i.MAC) && i.Name != "" {
				random = append(random, p.Device)
			}
		}
		out = append(out, p)
	}
	return out, bare, random
}

// stations are the devices of an inventory that has their MACs and no address:
// their names are stored beside no address.
func (x *identities) stations() (out []profile.Interval) {
	for _, item := range x.watch.Items() {
		if len(item.MACs) == 0 || len(item.Addresses) > 0 || item.Gateway || item.Name == "" || x.items[item.MACs[0]].Name == item.Name {
			continue
		}
		x.items[item.MACs[0]] = item
		out = append(out, profile.Interval{
			Device: enrich.DeviceByMAC(x.site, item.MACs[0]), Addr: netip.IPv6Unspecified(), MAC: item.MACs[0], Name: item.Name,
			Source: binding.Inventory.String(), Confidence: binding.Inventory.Confidence(),
		})
	}
	return out
}

// twins are the MACs of devices that have several, by their inventory.
func (x *identities) twins() (out []profile.Alias) {
	for _, item := range x.watch.Items() {
		if item.Gateway || len(item.MACs) < 2 {
			continue
		}
		for _, mac := range item.MACs[1:] {
			out = append(out, profile.Alias{
				Device: enrich.DeviceByMAC(x.site, mac), Target: enrich.DeviceByMAC(x.site, item.MACs[0]),
				Source: "inventory", Actor: "tidemark", Reason: fmt.Sprintf("the inventory gives both MACs to %q", item.Name),
			})
		}
	}
	return out
}
