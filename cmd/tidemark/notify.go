package main

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"github.com/urfave/cli/v2"

	"tidemark/profile"
	"tidemark/profile/notify"
	"tidemark/profile/strict"
)

func notifyCommand() *cli.Command {
	return &cli.Command{
		Name:  "notify",
		Usage: "who is told of alerts, and what still waits to be told",
		Description: `Channels stand in the configuration under "notify". Alerts that are worth a person's
time wait in a queue on disk until the channel has taken them.

   notify:
     - {name: noc, url: "https://hooks.example.org/T0/B0", format: slack}
     - {name: siem, url: "syslog+tls://siem.example.org", format: cef}
     - {name: duty, url: "smtps://tidemark@mail.example.org", secret_file: /etc/tidemark/mail,
        from: tidemark@example.org, to: [duty@example.org], min_risk: 60}

   tidemark --config tidemark.yaml notify test noc     send a test through one channel
   tidemark --config tidemark.yaml notify              the channels and their queues`,
		Flags: []cli.Flag{outputFlag(listForms)},
		Action: func(c *cli.Context) error {
			if err := wantArgs(c, 0, 0, "no argument, or the command test"); err != nil {
				return err
			}
			return notifyStatus(c)
		},
		Subcommands: []*cli.Command{{
			Name: "test", Usage: "send a made-up alert, by the way real ones take", ArgsUsage: "CHANNEL",
			Action: func(c *cli.Context) error {
				if err := wantArgs(c, 1, 1, "one CHANNEL, a name of the configuration"); err != nil {
					return err
				}
				return notifyTest(c)
			},
		}},
	}
}

// notifier opens the queues of a data directory. Only the daemon delivers from
// them; registerer and log are its.
func notifier(cfg Config, dir string, log zerolog.Logger, registerer prometheus.Registerer) (*notify.Notifier, error) {
	n, err := notify.New(notify.Options{
		Dir: filepath.Join(dir, "notify"), Site: cfg.Site, Version: version, Channels: cfg.Notify, Log: log, Registerer: registerer,
	})
	if err != nil {
		return nil, usageError{fmt.Errorf("notify: %w", err)}
	}
	return n, nil
}

func notifyStatus(c *cli.Context) error {
	cfg, err := LoadConfig(c.String("config"))
	if err != nil {
		return err
	}
	var status []notify.Status
	err = newDaemonClient(c.String("data-dir")).get(c.Context, "/v1/notify", &status)
	if errors.Is(err, errNoDaemon) {
		n, openErr := notifier(cfg, c.String("data-dir"), zerolog.Nop(), nil)
		if openErr != nil {
			return openErr
		}
		status, err = n.Status(), nil
	}
	if err != nil {
		return err
	}
	return list(c, "channels: name some under notify in the configuration", status, []column[notify.Status]{
		{title: "CHANNEL", cell: func(s notify.Status) string { return s.Channel }},
		{title: "TO", kind: flex, cell: func(s notify.Status) string { return s.To }},
		{title: "FORMAT", cell: func(s notify.Status) string { return string(s.Format) }},
		{title: "WAITING", kind: right, cell: func(s notify.Status) string { return fmt.Sprint(s.Waiting) }},
		{title: "SET ASIDE", kind: right, cell: func(s notify.Status) string { return fmt.Sprint(s.Aside) }},
		{title: "LAST ERROR", kind: flex, cell: func(s notify.Status) string { return s.Error }},
	})
}

func notifyTest(c *cli.Context) error {
	cfg, err := LoadConfig(c.String("config"))
	if err != nil {
		return err
	}
	name, names := c.Args().First(), []string{}
	for _, channel := range cfg.Notify {
		names = append(names, channel.Name)
	}
	n, err := notifier(cfg, c.String("data-dir"), zerolog.Nop(), nil)
	if err != nil {
		return err
	}
	if err := n.Test(c.Context, name); errors.Is(err, notify.ErrNoChannel) {
		if len(names) == 0 {
			return usageError{errors.New("the configuration names no channel: see `tidemark notify --help`")}
		}
		return usageError{fmt.Errorf("no channel %q%s", name, strict.DidYouMean(name, names))}
	} else if err != nil {
		return codedError{exitUnreachable, fmt.Errorf("channel %s: %w", name, err)}
	}
	fmt.Fprintf(c.App.ErrWriter, "channel %s took the test\n", name)
	return nil
}

// tell queues a change of an incident that is worth a person's time, and digests.
func tell(n *notify.Notifier, e profile.Event) error {
	if len(e.Held) > 0 {
		return n.Enqueue(digest(e))
	}
	i := e.Incident
	change, known := map[string]notify.Change{
		"alert": notify.Raised, "alert_updated": notify.Updated, "alert_acknowledged": notify.Acknowledged, "alert_closed": notify.Closed,
	}[e.Kind]
	if !known || i == nil || !i.Due() {
		return nil
	}
	d := i.About()
	a := notify.Alert{
		ID: i.Name(), Version: i.Version, Change: change, Site: i.Site, Family: i.Family, Families: i.Families, Risk: i.Risk, Level: profile.Level(i.Risk),
		Device: notify.Device{ID: fmt.Sprintf("%016x", i.Device), Name: d.Title(), MAC: d.MACString(), Vendor: d.Vendor, Addresses: d.Addresses},
		Text:   i.Text, Expected: i.Expected, Observed: i.Observed, Since: i.Opened, Until: i.Changed, Findings: i.Findings,
		Attack: i.Attack, Flows: i.Flows, Actor: i.Actor, Reason: i.Reason, Steps: i.Steps(),
	}
	for _, t := range i.Terms {
		a.Terms = append(a.Terms, notify.Term(t))
	}
	for _, l := range i.Lines {
		a.Lines = append(a.Lines, notify.Line{Family: l.Family, Target: l.Target, Expected: l.Expected, Observed: l.Observed, Since: l.Since, Until: l.Until, Count: l.Count, Score: l.Score, Attack: l.Attack})
	}
	return n.Enqueue(a)
}

// digest is one message about the alerts that the day's budget held back. The
// riskiest stands for them.
func digest(e profile.Event) notify.Alert {
	worst := e.Held[0]
	d := worst.About()
	a := notify.Alert{
		ID: worst.Name(), Version: worst.Version, Change: notify.Digest, Site: worst.Site, Family: worst.Family, Families: worst.Families,
		Risk: worst.Risk, Level: profile.Level(worst.Risk),
		Device:   notify.Device{ID: fmt.Sprintf("%016x", worst.Device), Name: d.Title(), MAC: d.MACString(), Vendor: d.Vendor, Addresses: d.Addresses},
		Expected: "no more alerts a day than profile.budget allows", Observed: plural(len(e.Held), "alert") + " more were held back",
		Since: worst.Opened, Until: e.Time, Attack: worst.Attack, Flows: worst.Flows, Actor: "tidemark", Findings: uint64(len(e.Held)),
	}
	a.Text = fmt.Sprintf("%s more on %s than the budget of notifications allows; the riskiest: %s", plural(len(e.Held), "alert"), worst.Site, worst.Text)
	for _, t := range worst.Terms {
		a.Terms = append(a.Terms, notify.Term(t))
	}
	for _, i := range e.Held {
		about := i.About()
		a.Lines = append(a.Lines, notify.Line{Family: i.Family, Target: about.Title(), Expected: i.Expected, Observed: i.Observed, Since: i.Opened, Until: i.Changed, Count: i.Findings, Score: i.Risk, Attack: i.Attack, Alert: i.Name()})
	}
	return a
}
