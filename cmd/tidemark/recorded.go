package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"tidemark/collector/flow"
)

// Events that the daemon itself has to record, beside what is found and decided.
const (
	configurationEvent = "configuration" // the settings that bear on evidence, when they are others than before
	inputLostEvent     = "input_lost"    // datagrams that came and gave no flow, or were never seen
)

// evidentSettings are the settings that decide what is recorded, for how long,
// and how it is read: whoever judges the record must know them.
func (c Config) evidentSettings() map[string]any {
	exporters := []any{}
	for _, e := range c.Collector.Exporters {
		exporters = append(exporters, map[string]any{"address": fmt.Sprint(e.Address), "clock": e.Clock, "sampling_rate": e.SamplingRate, "sampling_override": e.SamplingOverride})
	}
	words := func(list []string) []string { return append([]string{}, list...) }
	var networks, allow []string
	for _, n := range c.Networks {
		networks = append(networks, fmt.Sprint(n))
	}
	for _, n := range c.Collector.Allow {
		allow = append(allow, fmt.Sprint(n))
	}
	return map[string]any{
		"site": c.Site, "networks": words(networks), "collector.listen": words(c.Collector.Listen), "collector.allow": words(allow),
		"collector.rate_limit": c.Collector.RateLimit, "collector.exporters": exporters,
		"storage.retention": c.Storage.Retention.String(), "storage.min_free": c.Storage.MinFree.String(),
		"ledger.seal": c.Ledger.Seal.String(), "ledger.empty": c.Ledger.Empty.String(), "chain.interval": c.Chain.Interval.String(),
		"profile.learning": c.Profile.Learning.String(), "profile.disable": words(c.Profile.Disable), "profile.detectors": c.Profile.Detectors,
	}
}

//go:embed sql/last_configuration.sql
var lastConfigurationSQL string

// recordConfiguration writes the settings into the log if they are not those
// recorded last. A crash may have it written twice.
func (n *node) recordConfiguration(ctx context.Context, by string) error {
	settings := n.cfg.evidentSettings()
	text, err := json.Marshal(settings)
	if err != nil {
		return fmt.Errorf("record the configuration: %w", err)
	}
	var last string
	params := clickhouse.Parameters{"log": fmt.Sprint(n.ledger.ID()), "kind": configurationEvent}
	if err := n.db.Conn().QueryRow(clickhouse.Context(ctx, clickhouse.WithParameters(params)), lastConfigurationSQL).Scan(&last); err != nil {
		return fmt.Errorf("read the configuration recorded last: %w", err)
	}
	changed, err := changedSettings(last, text)
	if err != nil || len(changed) == 0 {
		return err
	}
	return n.ledger.Event(configurationEvent, by, map[string]any{"settings": settings, "changed": changed, "version": version})
}

// changedSettings names the settings that differ between two JSON objects; before
// may be empty.
func changedSettings(before string, now []byte) (changed []string, err error) {
	var old, current map[string]json.RawMessage
	if before != "" {
		if err := json.Unmarshal([]byte(before), &old); err != nil {
			return nil, fmt.Errorf("read the configuration recorded last: %w", err)
		}
	}
	if err := json.Unmarshal(now, &current); err != nil {
		return nil, err
	}
	for name, value := range current {
		if !sameJSON(old[name], value) {
			changed = append(changed, name)
		}
	}
	slices.Sort(changed)
	return changed, nil
}

// sameJSON compares values whatever the order of their fields.
func sameJSON(a, b json.RawMessage) bool {
	var x, y any
	if len(a) == 0 || json.Unmarshal(a, &x) != nil || json.Unmarshal(b, &y) != nil {
		return false
	}
	p, errA := json.Marshal(x)
	q, errB := json.Marshal(y)
	return errA == nil && errB == nil && string(p) == string(q)
}

// inputWatchEvery is how often lost input is looked for: the headers count it in
// any case, the event says when it happened in words.
const inputWatchEvery = time.Minute

// watchInput records when input was shed, undecodable or lost on the way.
func (d *daemon) watchInput(ctx context.Context) {
	before, since := map[exporterKey]flow.ExporterCount{}, time.Now()
	for sleep(ctx, inputWatchEvery) == nil {
		now := time.Now()
		fields := lostInput(before, d.node.collector.Counts(), since, now)
		since = now
		if fields == nil {
			continue
		}
		if err := d.node.ledger.Event(inputLostEvent, "tidemark", fields); err != nil {
			d.log.Error().Err(err).Msg("record that input was lost")
		}
	}
}

type exporterKey struct {
	exporter [16]byte
	domain   uint32
	protocol flow.Protocol
}

// mostExporters is how many exporters an event names.
const mostExporters = 20

// lostInput compares the accounts with those before, which it replaces, and says
// what came of the input meanwhile; nil: nothing was lost. Of what is missing,
// while_down was sent before this daemon began to listen.
func lostInput(before map[exporterKey]flow.ExporterCount, counts []flow.ExporterCount, since, until time.Time) map[string]any {
	var shed, undecodable, missing, away uint64
	var list []any
	for _, c := range counts {
		key := exporterKey{c.Exporter, c.Domain, c.Protocol}
		old := before[key]
		before[key] = c
		gone := grown(deficit(c), deficit(old))
		s, u, down := grown(c.Shed, old.Shed), grown(c.Undecodable, old.Undecodable), grown(c.Away, old.Away)
		if s+u+gone == 0 {
			continue
		}
		shed, undecodable, missing, away = shed+s, undecodable+u, missing+gone, away+down
		if len(list) < mostExporters {
			name := strings.TrimPrefix(netip.AddrFrom16(c.Exporter).Unmap().String(), "::ffff:")
			list = append(list, map[string]any{"exporter": name, "domain": c.Domain, "protocol": c.Protocol.String(), "shed": s, "undecodable": u, "missing": gone, "while_down": down})
		}
	}
	if shed+undecodable+missing == 0 {
		return nil
	}
	return map[string]any{"since": since.UTC().Format(time.RFC3339), "until": until.UTC().Format(time.RFC3339),
		"shed": shed, "undecodable": undecodable, "missing": missing, "while_down": away, "exporters": list}
}

// deficit is what the sequence numbers say should have come and did not.
func deficit(c flow.ExporterCount) uint64 { return grown(c.Expected, c.Received) }

func grown(now, before uint64) uint64 {
	if now < before {
		return 0
	}
	return now - before
}
