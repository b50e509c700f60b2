package main

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"tidemark/enrich"
	"tidemark/profile"
	"tidemark/profile/contain"
)

// triedDays is how far back a plan is tried.
const triedDays = 14

func containCommand() *cli.Command {
	return &cli.Command{
		Name:  "contain",
		Usage: "write what would stop a device from doing what it should not, and approve it",
		Description: `Writes the filter to standard output, and to standard error what it would have
dropped in the last 14 days and with whom the device could no longer deal. Read
both, then apply it yourself, or approve it: who and why becomes part of the
record, and the program that the configuration names as contain.hook, if any, is
given the plan (JSON on its standard input), and again when it ends. Without that
program Tidemark never applies anything.

   tidemark contain alert 0123456789abcdef                          nftables, for 24 hours
   tidemark contain alert --dialect ios --for 72h 0123456789abcdef
   tidemark contain device 10.20.1.11                               everything from and to it
   tidemark contain alert --approve --reason "ticket 81" 0123456789abcdef
   tidemark contain list                                            what is approved and in force
   tidemark contain lift --reason "cleaned" tidemark-0123456789abcdef
   tidemark contain mud --url https://mud.example.org/c.json 10.20.1.11
                                                                    what it normally does (RFC 8520)`,
		Subcommands: []*cli.Command{
			{
				Name: "alert", Usage: "drop what an alert is about", ArgsUsage: "ALERT", Flags: containFlags(),
				Action: func(c *cli.Context) error { return containBy(c, "one ALERT", (*store).containAlert) },
			},
			{
				Name: "device", Usage: "drop everything from and to a device", ArgsUsage: "DEVICE", Flags: containFlags(),
				Action: func(c *cli.Context) error { return containBy(c, "one DEVICE", (*store).containDevice) },
			},
			containListCommand(),
			containLiftCommand(),
			{
				Name: "mud", Usage: "write what a device normally does as a MUD file (RFC 8520)", ArgsUsage: "DEVICE",
				Flags: []cli.Flag{
					&cli.StringFlag{Name: "url", Usage: "`URL` (https) where the file will be served; it is part of the file (required)"},
				},
				Action: func(c *cli.Context) error {
					if err := errors.Join(wantArgs(c, 1, 1, "one DEVICE"), wantFlag(c, "url")); err != nil {
						return err
					}
					if !strings.HasPrefix(c.String("url"), "https://") {
						return usageError{fmt.Errorf("--url: got %q, want https://HOST/FILE.json (RFC 8520 section 3.1)", c.String("url"))}
					}
					return withStore(c, func(s *store) error { return s.mud(c) })
				},
			},
		},
	}
}

func containFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "dialect", Value: "nftables", Usage: "`LANGUAGE` of the filter: " + strings.Join(contain.Dialects(), ", ")},
		&cli.DurationFlag{Name: "for", Value: 24 * time.Hour, Usage: "`TIME` the filter is meant to stay"},
		&cli.BoolFlag{Name: "approve", Usage: "record that it shall be in force, and hand it to contain.hook"},
		&cli.BoolFlag{Name: "critical", Usage: "approve it although the device is critical"},
		&cli.StringFlag{Name: "reason", Usage: "`WHY` it is approved"},
		&cli.StringFlag{Name: "as", Usage: "your `NAME`, beside that of this system's user"},
	}
}

// containBy writes the plan that one argument asks for, and approves it if so told.
func containBy(c *cli.Context, want string, plan func(*store, *cli.Context) (profile.Containment, error)) error {
	if err := wantArgs(c, 1, 1, want); err != nil {
		return err
	}
	if c.Bool("approve") {
		if err := wantFlag(c, "reason"); err != nil {
			return err
		}
	}
	var approval profile.Containment
	err := withStore(c, func(s *store) (err error) {
		approval, err = plan(s, c)
		return err
	})
	if err != nil || !c.Bool("approve") {
		return err
	}
	return approve(c, approval)
}

func (s *store) containAlert(c *cli.Context) (none profile.Containment, _ error) {
	q, i, err := s.namedAlert(c)
	if err != nil {
		return none, err
	}
	rules, err := q.Rules(c.Context, i)
	if err != nil {
		return none, err
	}
	d, err := s.device(c.Context, fmt.Sprintf("%016x", i.Device))
	if err != nil {
		return none, err
	}
	if len(rules) == 0 {
		return none, fmt.Errorf("alert %s names no peer or service that could be dropped alone (or its contacts, kept 14 days, are gone): to cut the device off, `tidemark contain device %016x`", i.Name(), d.ID)
	}
	x, err := s.plan(c, q, d, contain.Plan{Name: "tidemark-" + i.Name(), Why: i.Observed, Rules: rules, From: time.Now()}, i.Opened)
	x.Alert = i.Name()
	return x, err
}

func (s *store) containDevice(c *cli.Context) (none profile.Containment, _ error) {
	d, err := s.device(c.Context, c.Args().First())
	if err != nil {
		return none, err
	}
	q, err := s.questions()
	if err != nil {
		return none, err
	}
	rules := []contain.Rule{{}, {Server: true}}
	return s.plan(c, q, d, contain.Plan{Name: fmt.Sprintf("tidemark-%016x", d.ID), Why: "cut off", Rules: rules, From: time.Now()}, d.Last)
}

// plan completes a plan about d, tries it on the days before upto, and writes it.
func (s *store) plan(c *cli.Context, q *profile.Scorer, d profile.Device, p contain.Plan, upto time.Time) (x profile.Containment, _ error) {
	p.Device, p.Addresses, p.Lasts = d.Title(), d.Addresses, c.Duration("for")
	if p.Lasts < time.Minute {
		return x, usageError{fmt.Errorf("--for: got %s, want a minute or more", p.Lasts)}
	}
	text, err := p.Write(c.String("dialect"))
	if err != nil {
		return x, usageError{err}
	}
	from := upto.AddDate(0, 0, -triedDays)
	peers, err := q.Peers(c.Context, d, from, upto)
	if err != nil {
		return x, err
	}
	edges := make([]contain.Edge, len(peers))
	for i := range peers {
		edges[i] = peers[i].Edge()
	}
	if edges, err = q.SplitEdges(c.Context, d, p.Rules, edges, from, upto); err != nil {
		return x, err
	}
	if _, err := io.WriteString(c.App.Writer, text); err != nil {
		return x, err
	}
	writeDryRun(c.App.ErrWriter, &p, edges, from, upto)
	if !c.Bool("approve") {
		fmt.Fprintln(c.App.ErrWriter, "Nothing was applied.")
	}
	x = profile.Containment{Name: p.Name, Device: d.ID, Dialect: c.String("dialect"), Filter: text, Expires: p.Until().UTC()}
	for i := range p.Rules {
		x.Rules = append(x.Rules, p.Rules[i].String())
	}
	return x, nil
}

// maxCut is how many of the edges a plan would cut are named.
const maxCut = 10

func writeDryRun(w io.Writer, p *contain.Plan, edges []contain.Edge, from, upto time.Time) {
	try := p.Try(edges)
	fmt.Fprintf(w, "\n%s, until %s:\n", p.Device, p.Until().UTC().Format("2006-01-02 15:04 UTC"))
	for i := range p.Rules {
		fmt.Fprintf(w, "  drop %s\n", &p.Rules[i])
	}
	fmt.Fprintf(w, "From %s to the day before %s it would have dropped %s of the device's %s flows.\n",
		from.UTC().Format(time.DateOnly), upto.UTC().Format(time.DateOnly), count(try.Dropped), count(try.Flows))
	for i, h := range try.Cut {
		if i == maxCut {
			fmt.Fprintf(w, "  and %d more\n", len(try.Cut)-i)
			break
		}
		way := "to"
		if h.Server {
			way = "from"
		}
		fmt.Fprintf(w, "  cut: %s %s %s: %s flows on %d days\n", enrich.ServiceName(h.Proto, h.Port), way, h.Title, count(h.Flows), h.Days)
	}
	if len(try.Cut) == 0 && try.Flows > 0 {
		fmt.Fprintln(w, "  nothing it normally does is cut")
	}
}

func (s *store) mud(c *cli.Context) error {
	d, err := s.device(c.Context, c.Args().First())
	if err != nil {
		return err
	}
	q, err := s.questions()
	if err != nil {
		return err
	}
	peers, err := q.Peers(c.Context, d, time.Time{}, time.Time{})
	if err != nil {
		return err
	}
	edges := make([]contain.Edge, len(peers))
	for i := range peers {
		edges[i] = peers[i].Edge()
	}
	networks := s.cfg.networks()
	file, left, err := contain.MUD(contain.MUDOptions{URL: c.String("url"), Info: d.Title(), Made: time.Now(), Local: func(a netip.Addr) bool {
		for _, n := range networks {
			if n.Contains(a) {
				return true
			}
		}
		return false
	}}, edges)
	if err != nil {
		return err
	}
	if _, err := c.App.Writer.Write(file); err != nil {
		return err
	}
	w := c.App.ErrWriter
	fmt.Fprintf(w, "%s: %d edges are allowed, %d are left out", d.Title(), len(edges)-len(left), len(left))
	var flows uint64
	for _, e := range left {
		flows += e.Flows
	}
	fmt.Fprintf(w, " (%s flows): seen on fewer than 3 days, mostly failing, or nobody knows who began.\n", count(flows))
	fmt.Fprintln(w, "It is a proposal: peers outside are allowed by network, not by name, and the device may do more than it did so far.")
	return nil
}
