package main

import (
	"fmt"
	"io"
	"math"
	"strings"

	"github.com/urfave/cli/v2"

	"tidemark/profile"
)

func baselineCommand() *cli.Command {
	return &cli.Command{
		Name:      "baseline",
		Usage:     "what one device normally does: peers, services, hours, volumes",
		ArgsUsage: "DEVICE",
		Description: `DEVICE is a MAC, an address, an id of 16 hex digits or a label. json and ndjson hold all
of it, csv and markdown the peers.

   tidemark baseline 00:40:8c:12:34:56
   tidemark baseline --output json 10.20.1.11`,
		Flags: []cli.Flag{
			&cli.UintFlag{Name: "peers", Value: 15, Usage: "list at most `N` peers, 0 = all"},
			outputFlag(listForms),
		},
		Action: func(c *cli.Context) error {
			if err := wantArgs(c, 1, 1, "one DEVICE"); err != nil {
				return err
			}
			return withStore(c, func(s *store) error { return s.baseline(c) })
		},
	}
}

func (s *store) baseline(c *cli.Context) error {
	d, err := s.device(c.Context, c.Args().First())
	if err != nil {
		return err
	}
	q, err := s.questions()
	if err != nil {
		return err
	}
	b, err := q.Baseline(c.Context, d)
	if err != nil {
		return err
	}
	if f := c.String("output"); f == "csv" || f == "markdown" {
		return list(c, "peers", b.Peers, peerColumns())
	}
	view := struct {
		Device deviceView `json:"device"`
		profile.Baseline
	}{viewDevice(b.Device), b}
	return page(c, view, func(w io.Writer) error {
		writeDevice(w, d)
		writeVolumes(w, b.Volumes)
		writeHours(w, b.Hours, b.Zone)
		most := len(b.Peers)
		if n := c.Uint("peers"); n > 0 {
			most = min(most, int(min(n, math.MaxInt32)))
		}
		fmt.Fprintln(w)
		if err := list(c, "peers", b.Peers[:most], peerColumns()); err != nil {
			return err
		}
		if more := len(b.Peers) - most; more > 0 {
			fmt.Fprintf(w, "and %s more; --peers 0 lists all\n", count(more))
		}
		return nil
	})
}

func writeDevice(w io.Writer, d profile.Device) {
	line := func(name, format string, args ...any) {
		fmt.Fprintf(w, "%-10s %s\n", name, printable(fmt.Sprintf(format, args...)))
	}
	line("device", "%s", d.Title())
	line("id", "%s, identified by %s", d.Name(), identityText(d))
	line("addresses", "%s", addresses(d, 8))
	line("seen", "%s to %s UTC, %s", stamp(d.First), stamp(d.Last), plural(d.Flows, "flow"))
	if d.Learning == profile.LearningDone {
		line("state", "learned (since %s UTC)", stamp(d.Learned))
	} else {
		line("state", "%s until %s UTC: its deviations do not alert yet", d.Learning, stamp(d.Learned))
	}
	line("serves", "%s", orDash(services(d.Serves)))
	line("uses", "%s", orDash(services(d.Uses)))
	if d.Alerts > 0 {
		line("alerts", "%d open, highest risk %d of 100 (%s)", d.Alerts, d.Risk, profile.Level(d.Risk))
	}
}

func identityText(d profile.Device) string {
	switch d.Identity {
	case "mac":
		return "MAC"
	case "gateway":
		return "address (behind a gateway)"
	}
	return "address"
}

func writeVolumes(w io.Writer, volumes []profile.Quantiles) {
	for _, q := range volumes {
		fmt.Fprintf(w, "%-10s %s: out %s (at most %s), in %s (at most %s); median and most of %s with traffic\n",
			"an hour", q.Scope, octets(q.Out), octets(q.OutMax), octets(q.In), octets(q.InMax), plural(q.Hours, "hour"))
	}
}

// writeHours draws the week, an hour a character: how much of what the busiest
// hour carries.
func writeHours(w io.Writer, hours [7][24]profile.Hour, zone string) {
	var most uint64
	for _, day := range hours {
		for _, h := range day {
			most = max(most, perWeek(h))
		}
	}
	fmt.Fprintf(w, "\n%-10s %s   %s, bytes an hour\n", "hours", "0     6     12    18   ", zone)
	for i, name := range []string{"Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"} {
		var row strings.Builder
		for _, h := range hours[i] {
			row.WriteRune(shade(perWeek(h), most))
		}
		fmt.Fprintf(w, "%-10s %s\n", name, row.String())
	}
	fmt.Fprintf(w, "%-10s · none  ░ up to 1 %%  ▒ 10 %%  ▓ 50 %%  █ more, of the busiest hour (%s)\n", "", octets(most))
}

// perWeek is the mean of an hour of the week over the weeks it was seen in.
func perWeek(h profile.Hour) uint64 {
	if h.Seen == 0 {
		return 0
	}
	return h.Bytes / h.Seen
}

func shade(v, most uint64) rune {
	switch {
	case v == 0:
		return '·'
	case v*100 <= most:
		return '░'
	case v*10 <= most:
		return '▒'
	case v*2 <= most:
		return '▓'
	}
	return '█'
}

func peerColumns() []column[profile.Peer] {
	type P = profile.Peer
	return []column[P]{
		{"peer", flex, func(p P) string { return p.Title }, nil},
		{"device is", left, func(p P) string { return p.Role }, nil},
		{"service", left, func(p P) string { return p.Service.Name }, nil},
		{"scope", left, func(p P) string { return p.Scope }, nil},
		{"out", right, func(p P) string { return octets(p.BytesOut) }, func(p P) string { return fmt.Sprint(p.BytesOut) }},
		{"in", right, func(p P) string { return octets(p.BytesIn) }, func(p P) string { return fmt.Sprint(p.BytesIn) }},
		{"flows", right, func(p P) string { return count(p.Flows) }, func(p P) string { return fmt.Sprint(p.Flows) }},
		{"failed", right, func(p P) string { return count(p.Failed) }, func(p P) string { return fmt.Sprint(p.Failed) }},
		{"days", right, func(p P) string { return count(p.Days) }, func(p P) string { return fmt.Sprint(p.Days) }},
		{"last seen (UTC)", left, func(p P) string { return stamp(p.Last)[:16] }, func(p P) string { return instant(p.Last) }},
	}
}
