package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"tidemark/cmd/sitesim/internal/export"
	"tidemark/cmd/sitesim/internal/site"
)

// settings are the flags of life, attack and run.
type settings struct {
	Exporters        []string
	Active, Inactive time.Duration
	Sampling         int // of sFlow
	PacketSampling   int // of NetFlow and IPFIX
	Biflow, Overlap  bool
}

// state is what one run leaves for the next: the virtual time, and the routers as they stand. It is
// written after the last datagram; after a crash in between, the next run starts over from the old one.
type state struct {
	Seed    uint64                  `json:"seed"`
	Now     time.Time               `json:"now"`
	Routers map[string]export.State `json:"routers"`
	Ports   map[string]uint16       `json:"ports,omitempty"` // UDP source ports, so that a transport session goes on
}

// scenario is the site with its routers and the way out.
type scenario struct {
	settings
	state     *state
	sim       *site.Sim
	exporters map[string]export.Exporter
	out       output
	fault     error // the first error of out
	progress  io.Writer
	records   uint64
}

// output is where datagrams go.
type output interface {
	send(router string, d export.Datagram) error
	close() error
}

// newScenario sets the site up at the time of st and lets its routers go on from there.
func newScenario(o settings, st *state, out output, progress io.Writer) (*scenario, error) {
	c := &scenario{settings: o, state: st, exporters: map[string]export.Exporter{}, out: out, progress: progress}
	observers := map[string]site.Observer{}
	for i, r := range site.Routers() {
		if !slices.Contains(o.Exporters, r.Name) {
			continue
		}
		options := export.Options{
			Protocol: export.Protocol(r.Protocol), Agent: netip.MustParseAddr(r.Agent), Domain: r.Domain,
			Active: o.Active, Inactive: o.Inactive, Sampling: o.PacketSampling, Biflow: o.Biflow,
			Interfaces: site.Interfaces(r.Name), Seed: st.Seed + uint64(i),
		}
		if options.Protocol == export.SFlow {
			options.Sampling = o.Sampling
		}
		keep, ok := st.Routers[r.Name]
		if !ok { // switched on some days ago
			keep.Boot = st.Now.Add(-time.Duration(3+2*i)*24*time.Hour - 1234*time.Second).UnixNano()
		}
		e, err := export.New(options, keep, func(d export.Datagram) { c.send(r.Name, d) })
		if err != nil {
			return nil, fmt.Errorf("set up exporter %s: %w", r.Name, err)
		}
		c.exporters[r.Name] = e
		observers[r.Name] = e
	}
	c.sim = site.New(site.Options{Seed: st.Seed, Start: st.Now.UnixNano(), Observers: observers, Overlap: o.Overlap})
	return c, nil
}

func (c *scenario) send(router string, d export.Datagram) {
	c.records += uint64(d.Records)
	if c.fault == nil {
		c.fault = c.out.send(router, d)
	}
}

// runTo lets virtual time pass, a day at a time.
func (c *scenario) runTo(ctx context.Context, until time.Time) error {
	for now := c.state.Now; now.Before(until); {
		next := now.Truncate(24 * time.Hour).Add(24 * time.Hour)
		if next.After(until) {
			next = until
		}
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("stopped at virtual time %s: %w", now.Format(time.RFC3339), err)
		}
		before := c.records
		c.sim.Run(next.UnixNano())
		if next == until {
			c.sim.Finish()
		}
		if c.fault != nil {
			return c.fault
		}
		fmt.Fprintf(c.progress, "sitesim: %s  %7d flow records, %d so far\n", now.Format("Mon 2006-01-02 15:04"), c.records-before, c.records)
		now = next
	}
	c.state.Now = until
	for name, e := range c.exporters {
		c.state.Routers[name] = e.State()
	}
	return nil
}

// attack launches the attacks at their hours and runs until the last is over.
func (c *scenario) attack(ctx context.Context, specs []string) error {
	end, err := c.launch(specs)
	if err != nil {
		return err
	}
	return c.runTo(ctx, end)
}

// launch plans the attacks and says when the last will be over.
func (c *scenario) launch(specs []string) (time.Time, error) {
	end := c.state.Now
	for _, spec := range specs {
		e, err := c.sim.Launch(spec)
		if err != nil {
			return end, err
		}
		if t := time.Unix(0, e).UTC(); t.After(end) {
			end = t
		}
	}
	return end, nil
}

// report is what a run prints on stdout.
type report struct {
	Start     time.Time        `json:"virtual_start"`
	End       time.Time        `json:"virtual_end"`
	Records   uint64           `json:"records"`
	Datagrams uint64           `json:"datagrams"`
	Refused   uint64           `json:"refused"` // datagrams nobody listened for
	Exporters []exporterReport `json:"exporters"`
	Attacks   []*site.Label    `json:"attacks,omitempty"`
}

type exporterReport struct {
	Name     string       `json:"name"`
	Protocol string       `json:"protocol"`
	Source   string       `json:"source"`
	Domain   uint32       `json:"domain"`
	Observed site.Traffic `json:"observed"` // what devices sent past it, before any sampling
	export.Stats
}

// add counts in what a scenario did.
func (r *report) add(c *scenario) {
	shown := c.sim.Shown()
	for _, known := range site.Routers() {
		e := c.exporters[known.Name]
		if e == nil {
			continue
		}
		i := slices.IndexFunc(r.Exporters, func(x exporterReport) bool { return x.Name == known.Name })
		if i < 0 {
			i = len(r.Exporters)
			r.Exporters = append(r.Exporters, exporterReport{Name: known.Name, Protocol: known.Protocol, Source: known.Source, Domain: known.Domain})
		}
		x, s := &r.Exporters[i], e.Stats()
		x.Observed.Packets += shown[known.Name].Packets
		x.Observed.Octets += shown[known.Name].Octets
		x.Stats.Add(s)
		r.Records += s.Records
		r.Datagrams += s.Datagrams
	}
	r.Attacks = append(r.Attacks, c.sim.Labels()...)
}

// loadState reads the state of an earlier run.
func loadState(path string) (*state, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read state: %w; run `sitesim life --state %s` first", err, path)
	}
	if err != nil {
		return nil, fmt.Errorf("read state: %w", err)
	}
	st := &state{}
	if err := json.Unmarshal(b, st); err != nil {
		return nil, fmt.Errorf("read state %s: %w", path, err)
	}
	if st.Now.IsZero() || st.Routers == nil {
		return nil, fmt.Errorf("read state %s: it has no virtual time or no routers; was it written by `sitesim life`?", path)
	}
	return st, nil
}

// save writes the state beside its place and renames it, so that a crash leaves the old one or the new one.
func (st *state) save(path string) error {
	if path == "" {
		return nil
	}
	b, err := json.MarshalIndent(st, "", "  ")
	if err != nil {
		return fmt.Errorf("write state %s: %w", path, err)
	}
	if err := os.WriteFile(path+".new", append(b, '\n'), 0o644); err != nil {
		return fmt.Errorf("write state: %w", err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("write state: %w", err)
	}
	return nil
}

// routerNames takes names or protocols of exporters and returns names.
func routerNames(list []string) ([]string, error) {
	var names, known []string
	for _, r := range site.Routers() {
		known = append(known, r.Name+" ("+r.Protocol+")")
		if slices.ContainsFunc(list, func(s string) bool { return strings.EqualFold(s, r.Name) || s == r.Protocol }) {
			names = append(names, r.Name)
		}
	}
	if len(names) != len(list) {
		return nil, fmt.Errorf("exporters %s: want some of %s", strings.Join(list, ","), strings.Join(known, ", "))
	}
	return names, nil
}
