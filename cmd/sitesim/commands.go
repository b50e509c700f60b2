package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/urfave/cli/v2"

	"tidemark/cmd/sitesim/internal/export"
	"tidemark/cmd/sitesim/internal/load"
	"tidemark/cmd/sitesim/internal/site"
)

const (
	outputFlags = "Where to"
	siteFlags   = "Routers"
)

// sendFlags are those of every command that simulates the site.
func sendFlags(more ...cli.Flag) []cli.Flag {
	return append(more,
		&cli.StringFlag{Name: "to", Category: outputFlags, Value: "127.0.0.1:2055", Usage: "send NetFlow and IPFIX to `ADDR:PORT`, loopback only"},
		&cli.StringFlag{Name: "ipfix-to", Category: outputFlags, Usage: "send IPFIX to `ADDR:PORT` instead"},
		&cli.StringFlag{Name: "sflow-to", Category: outputFlags, Usage: "send sFlow to `ADDR:PORT` instead"},
		&cli.StringFlag{Name: "pcap", Category: outputFlags, Usage: "write the datagrams to a capture `FILE` and send nothing"},
		&cli.StringFlag{Name: "state", Category: outputFlags, Usage: "keep virtual time and sequence numbers in `FILE` for the next run"},
		&cli.Float64Flag{Name: "pace", Category: outputFlags, Value: 20000, Usage: "at most `N` flow records per second of real time, 0 = no cap"},
		&cli.Float64Flag{Name: "speed", Category: outputFlags, Usage: "let `N` virtual seconds pass in one of real time, 1 = real time, 60 = an hour a minute; 0 = as fast as --pace lets them"},
		&cli.StringSliceFlag{Name: "exporters", Category: siteFlags, Value: cli.NewStringSlice("v9", "ipfix", "v5", "sflow"), Usage: "simulate these routers only, and the devices behind them"},
		&cli.DurationFlag{Name: "active", Category: siteFlags, Value: time.Minute, Usage: "active timeout of the flow caches"},
		&cli.DurationFlag{Name: "inactive", Category: siteFlags, Value: 15 * time.Second, Usage: "inactive timeout of the flow caches"},
		&cli.IntFlag{Name: "sampling", Category: siteFlags, Value: 128, Usage: "sFlow samples one packet in `N`"},
		&cli.IntFlag{Name: "packet-sampling", Category: siteFlags, Value: 1, Usage: "NetFlow and IPFIX see one packet in `N`"},
		&cli.BoolFlag{Name: "biflow", Category: siteFlags, Usage: "IPFIX exports both directions in one record (RFC 5103)"},
		&cli.BoolFlag{Name: "overlap", Category: siteFlags, Usage: "router A also sees what others send to the Internet: duplicates"},
	)
}

func lifeFlags() []cli.Flag {
	return []cli.Flag{
		&cli.Float64Flag{Name: "days", Value: 15, Usage: "`N` virtual days of life"},
		&cli.TimestampFlag{Name: "start", Layout: time.RFC3339, Value: cli.NewTimestamp(time.Date(2026, 10, 1, 0, 0, 0, 0, time.UTC)), Usage: "virtual `TIME` to start at", DefaultText: "2026-10-01T00:00:00Z"},
		&cli.Uint64Flag{Name: "seed", Value: 1, Usage: "everything random follows from it"},
	}
}

func assaultFlags(names string) []cli.Flag {
	return []cli.Flag{
		&cli.StringSliceFlag{Name: "attacks", Value: cli.NewStringSlice(strings.Split(names, ",")...), Usage: "what happens: NAME[:INTENSITY][@DEVICE], ..."},
		&cli.StringFlag{Name: "labels", Usage: "write the truth about the attacks to `FILE`, one JSON object a line"},
	}
}

// everyday are the attacks launched when none is named: one for each kind of alert.
const everyday = "odd-hour,new-destination,new-service,refused-access,scan,volume"

func lifeCommand() *cli.Command {
	return &cli.Command{
		Name:  "life",
		Usage: "let the devices live, without attacks",
		Description: `   sitesim life --to 127.0.0.1:2055 --days 15 --seed 1 --pace 20000 --state site.json
   sitesim life --pcap life.pcap --days 2 --exporters v9,ipfix

As a site does, from now on, in real time; export times are those of the clock on the wall:

   sitesim life --to 127.0.0.1:2055 --speed 1 --days 1 --start $(date -u +%FT%TZ)`,
		Flags:  sendFlags(lifeFlags()...),
		Action: func(c *cli.Context) error { return simulate(c, true, false) },
	}
}

func attackCommand() *cli.Command {
	return &cli.Command{
		Name:  "attack",
		Usage: "go on from --state and launch attacks, each at its hour of the virtual day",
		Description: `Life goes on around the attacks. ` + "`sitesim attacks`" + ` lists them.

   sitesim attack --state site.json --to 127.0.0.1:2055 --labels truth.ndjson
   sitesim attack --state site.json --attacks scan:0.1@cam-yard,volume:3
   sitesim attack --state site.json --attacks scan --speed 60      # an hour a minute`,
		Flags:  sendFlags(assaultFlags(everyday)...),
		Action: func(c *cli.Context) error { return simulate(c, false, true) },
	}
}

func runCommand() *cli.Command {
	return &cli.Command{
		Name:        "run",
		Usage:       "life, then attacks",
		Description: `   sitesim run --to 127.0.0.1:2055 --days 15 --labels truth.ndjson`,
		Flags:       sendFlags(append(lifeFlags(), assaultFlags(everyday)...)...),
		Action:      func(c *cli.Context) error { return simulate(c, true, true) },
	}
}

// simulate is life, attack and run.
func simulate(c *cli.Context, life, attack bool) (err error) {
	if err := noArguments(c); err != nil {
		return err
	}
	o, err := settingsOf(c)
	if err != nil {
		return err
	}
	st, err := initialState(c, life)
	if err != nil {
		return err
	}
	if attack { // a typing error must not cost two weeks of life
		trial, err := newScenario(o, st, nil, io.Discard)
		if err != nil {
			return err
		}
		if _, err := trial.launch(c.StringSlice("attacks")); err != nil {
			return err
		}
	}
	out, err := openOutput(c, o, st)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.close()) }()

	start := st.Now
	var total report
	if life {
		lived, err := newScenario(o, st, out, c.App.ErrWriter)
		if err != nil {
			return err
		}
		if err := lived.runTo(c.Context, start.Add(time.Duration(c.Float64("days")*24*float64(time.Hour)))); err != nil {
			return err
		}
		total.add(lived)
	}
	if attack {
		attacked, err := newScenario(o, st, out, c.App.ErrWriter)
		if err != nil {
			return err
		}
		if err := attacked.attack(c.Context, c.StringSlice("attacks")); err != nil {
			return err
		}
		total.add(attacked)
		if err := writeLabels(c.String("labels"), attacked.sim.Labels()); err != nil {
			return err
		}
	}
	if err := st.save(c.String("state")); err != nil {
		return err
	}
	total.Start, total.End = start, st.Now
	if u, ok := out.(*udpOutput); ok {
		total.Refused = u.refused
	}
	if err := json.NewEncoder(c.App.Writer).Encode(total); err != nil {
		return fmt.Errorf("print report: %w", err)
	}
	if total.Refused > 0 {
		fmt.Fprintf(c.App.ErrWriter, "sitesim: %d times nobody listened: is the collector running?\n", total.Refused)
	}
	return nil
}

func settingsOf(c *cli.Context) (settings, error) {
	names, err := routerNames(c.StringSlice("exporters"))
	o := settings{
		Exporters: names, Active: c.Duration("active"), Inactive: c.Duration("inactive"),
		Sampling: c.Int("sampling"), PacketSampling: c.Int("packet-sampling"), Biflow: c.Bool("biflow"), Overlap: c.Bool("overlap"),
	}
	errs := []error{err}
	if o.Active < time.Second || o.Active > time.Hour {
		errs = append(errs, fmt.Errorf("--active %s: want 1s to 1h", o.Active))
	}
	if o.Inactive < time.Second || o.Inactive > o.Active {
		errs = append(errs, fmt.Errorf("--inactive %s: want 1s to --active", o.Inactive))
	}
	if o.Sampling < 1 || o.Sampling > 1e6 {
		errs = append(errs, fmt.Errorf("--sampling %d: want 1 to 1000000", o.Sampling))
	}
	if o.PacketSampling < 1 || o.PacketSampling > 16383 {
		errs = append(errs, fmt.Errorf("--packet-sampling %d: want 1 to 16383, all that a NetFlow v5 header holds", o.PacketSampling))
	}
	switch v := c.Float64("speed"); {
	case !(v >= 0 && v <= 1e6):
		errs = append(errs, fmt.Errorf("--speed %g: want 0 to 1000000", v))
	case c.String("pcap") != "" && (v > 0 || c.IsSet("pace")):
		errs = append(errs, errors.New("--speed or --pace with --pcap: a capture is written at full speed; `tidemark replay --speed 1` reads it in real time"))
	}
	if d := c.Float64("days"); c.IsSet("days") && !(d > 0 && d <= 30) {
		errs = append(errs, fmt.Errorf("--days %g: want more than 0 and at most 30", d))
	}
	if t := c.Timestamp("start"); t != nil && (t.Year() < 2000 || t.Year() > 2100) {
		errs = append(errs, fmt.Errorf("--start %s: want a time from 2000 to 2100", t.Format(time.RFC3339)))
	}
	return o, errors.Join(errs...)
}

func initialState(c *cli.Context, life bool) (*state, error) {
	if !life {
		if c.String("state") == "" {
			return nil, errors.New("attack needs --state FILE, written by `sitesim life --state FILE`; or use `sitesim run`")
		}
		return loadState(c.String("state"))
	}
	return &state{Seed: c.Uint64("seed"), Now: c.Timestamp("start").UTC(), Routers: map[string]export.State{}, Ports: map[string]uint16{}}, nil
}

func openOutput(c *cli.Context, o settings, st *state) (output, error) {
	to := map[string]netip.AddrPort{}
	for _, name := range o.Exporters {
		target := c.String("to")
		for protocol, flag := range map[string]string{"ipfix": "ipfix-to", "sflow": "sflow-to"} {
			if router(name).Protocol == protocol && c.String(flag) != "" {
				target = c.String(flag)
			}
		}
		ap, err := loopback(target)
		if err != nil {
			return nil, err
		}
		to[name] = ap
	}
	if path := c.String("pcap"); path != "" {
		return createPcap(path, to)
	}
	return dialUDP(o.Exporters, to, st.Ports, newPacer(c.Context, c.Float64("pace"), c.Float64("speed")))
}

func writeLabels(path string, labels []*site.Label) error {
	if path == "" {
		return nil
	}
	f, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("write labels: %w", err)
	}
	enc := json.NewEncoder(f)
	for _, l := range labels {
		if err := enc.Encode(l); err != nil {
			return errors.Join(fmt.Errorf("write labels %s: %w", path, err), f.Close())
		}
	}
	return f.Close()
}

func loadCommand() *cli.Command {
	return &cli.Command{
		Name:  "load",
		Usage: "send prebuilt datagrams at a rate, to measure a collector",
		Description: `   sitesim load --to 127.0.0.1:2055 --rate 100000 --duration 10s --mix v5,v9,ipfix,sflow
   sitesim load --to 127.0.0.1:2055 --rate 0              # as fast as possible

Flows are shared evenly among the protocols. Sequence numbers are right, so a collector can count what it lost.`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "to", Value: "127.0.0.1:2055", Usage: "target `ADDR:PORT`, IPv4 loopback only"},
			&cli.Float64Flag{Name: "rate", Value: 10000, Usage: "`FLOWS` per second over all, 0 = as fast as possible"},
			&cli.DurationFlag{Name: "duration", Value: 10 * time.Second, Usage: "how long, at most 10m"},
			&cli.StringSliceFlag{Name: "mix", Value: cli.NewStringSlice("v5", "v9", "ipfix", "sflow"), Usage: "protocols"},
			&cli.IntFlag{Name: "sources", Value: 1, Usage: "exporters per protocol, each with an address of its own"},
			&cli.IntFlag{Name: "pool", Value: 4096, Usage: "flows prebuilt per exporter"},
			&cli.Uint64Flag{Name: "seed", Value: 1, Usage: "everything random follows from it"},
		},
		Action: runLoad,
	}
}

func runLoad(c *cli.Context) error {
	if err := noArguments(c); err != nil {
		return err
	}
	to, err := loopback(c.String("to"))
	if err != nil {
		return err
	}
	o := load.Options{To: to, Sources: c.Int("sources"), Rate: c.Float64("rate"), Duration: c.Duration("duration"), Pool: c.Int("pool"), Seed: c.Uint64("seed")}
	for _, p := range c.StringSlice("mix") {
		o.Mix = append(o.Mix, export.Protocol(p))
	}
	switch {
	case !to.Addr().Is4():
		return fmt.Errorf("target %s: load only sends over IPv4; use 127.0.0.1", to)
	case o.Rate < 0, o.Duration <= 0, o.Duration > 10*time.Minute:
		return fmt.Errorf("--rate %g --duration %s: want a rate of 0 or more, and a duration of up to 10m", o.Rate, o.Duration)
	case o.Sources < 1 || o.Sources*len(o.Mix) > 250:
		return fmt.Errorf("--sources %d: want 1 or more, and at most 250 exporters in all", o.Sources)
	case o.Pool < 1024 || o.Pool > 1<<20:
		return fmt.Errorf("--pool %d: want 1024 to 1048576", o.Pool)
	}
	r, err := load.Run(c.Context, o)
	if err != nil {
		return err
	}
	if err := json.NewEncoder(c.App.Writer).Encode(r); err != nil {
		return fmt.Errorf("print report: %w", err)
	}
	return nil
}

func devicesCommand() *cli.Command {
	return &cli.Command{Name: "devices", Usage: "show the devices and the routers that see them", Action: func(c *cli.Context) error {
		printDevices(c.App.Writer)
		return nil
	}}
}

func attacksCommand() *cli.Command {
	return &cli.Command{Name: "attacks", Usage: "show the attacks", Action: func(c *cli.Context) error {
		printAttacks(c.App.Writer)
		return nil
	}}
}

func printDevices(w io.Writer) {
	t := newTable(w, "DEVICE", "CLASS", "VENDOR", "MAC", "ADDRESS", "VLAN", "EXPORTER", "TALKS TO")
	for _, d := range site.Devices() {
		var peers []string
		for _, r := range d.Routines {
			if r.To != "gateway" && !strings.Contains(strings.Join(peers, " "), r.To) {
				peers = append(peers, r.To)
			}
		}
		t.AppendRow(table.Row{d.Name, d.Class, d.Vendor, d.MAC, d.Address(), d.VLAN, d.Exporter + " " + router(d.Exporter).Protocol, strings.Join(peers, " ")})
	}
	t.Render()
	t = newTable(w, "EXPORTER", "PROTOCOL", "SOURCE", "AGENT", "DOMAIN", "WHAT IT IS")
	for _, r := range site.Routers() {
		t.AppendRow(table.Row{r.Name, r.Protocol, r.Source, r.Agent, r.Domain, r.About})
	}
	t.Render()
}

func printAttacks(w io.Writer) {
	t := newTable(w, "ATTACK", "DEVICE", "AT", "LASTS", "AT INTENSITY 1")
	for _, a := range site.Attacks() {
		device := a.Device
		if device == "" {
			device = "(several)"
		}
		t.AppendRow(table.Row{a.Name, device, fmt.Sprintf("%02d:00", a.Hour), a.Lasts, a.About})
	}
	t.Render()
}

func newTable(w io.Writer, header ...any) table.Writer {
	t := table.NewWriter()
	t.SetOutputMirror(w)
	t.SetStyle(table.StyleLight)
	t.Style().Options = table.OptionsNoBordersAndSeparators
	t.AppendHeader(header)
	return t
}

// noArguments refuses what urfave/cli would silently ignore: a flag after a word is a word to it.
func noArguments(c *cli.Context) error {
	if c.Args().Present() {
		return fmt.Errorf("%s takes no argument %q; flags come before anything else", c.Command.Name, c.Args().First())
	}
	return nil
}
