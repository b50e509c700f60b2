package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"tidemark/profile"
)

// alertView is an incident as people and scripts read it: ids in hex, the device by name.
type alertView struct {
	profile.Incident
	ID     string   `json:"id"`
	Device string   `json:"device"`
	Level  string   `json:"level"`
	Now    uint8    `json:"risk_now"` // what is left of the risk
	Also   []string `json:"also"`     // ids of devices with the same
	device profile.Device
	others []string // what the devices of Also are called

	Siblings map[int]profile.Opinion `json:"siblings,omitempty"` // of the same kind, by line from 0; explained alerts only
}

func alertsCommand() *cli.Command {
	return &cli.Command{
		Name:  "alerts",
		Usage: "what stopped being normal, and why",
		Description: `Lists open alerts, the riskiest first. All that is found about a device is one
alert: it grows while more is found, and closes after a quiet day. "risk" is that of its
last finding, "now" what is left of it: each thing found counts half 12 hours later.

   tidemark alerts
   tidemark alerts --all --output json
   tidemark alerts --fail-on high               exit code 3 if there is one
   tidemark alerts explain 0123456789abcdef     expected, observed, risk term by term
   tidemark alerts explain --sql 0123456789abcdef
   tidemark alerts ack --reason "new firmware" 0123456789abcdef
   tidemark alerts expected --reason "the backup moved" 0123456789abcdef
   tidemark alerts expected --fleet --reason "new firmware" 0123456789abcdef`,
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "all", Usage: "closed and acknowledged ones too"},
			&cli.StringFlag{Name: "device", Usage: "of this `DEVICE`, named by MAC, address, id or label"},
			&cli.IntFlag{Name: "min-risk", Usage: "of this `RISK` (0-100) or more"},
			&cli.StringFlag{Name: "fail-on", Usage: "exit with 3 if an alert is listed of this `LEVEL` or above: low, medium, high, critical"},
			outputFlag(listForms),
		},
		Action: func(c *cli.Context) error {
			if err := wantArgs(c, 0, 0, "no argument, or the command explain, ack, expected, false-positive or malicious"); err != nil {
				return err
			}
			return withStore(c, func(s *store) error { return s.alerts(c) })
		},
		Subcommands: []*cli.Command{
			{
				Name: "explain", Usage: "what is observed and expected, line by line, the risk term by term, what to do, how to prove it", ArgsUsage: "ALERT",
				Flags: []cli.Flag{&cli.BoolFlag{Name: "sql", Usage: "only the statements that found it, ready to run"},
					&cli.IntFlag{Name: "line", Usage: "with --sql: that of line `N` only"}, outputFlag(pageForms)},
				Action: func(c *cli.Context) error {
					if err := wantArgs(c, 1, 1, "one ALERT"); err != nil {
						return err
					}
					return withStore(c, func(s *store) error { return s.explain(c) })
				},
			},
			judgeCommand("ack", "acknowledge an alert: people are told again only if it grows", ""),
			judgeCommand("expected", "say that this is wanted: close the alert, and hide the same for 90 days", profile.VerdictExpected),
			judgeCommand("false-positive", "say that nothing happened: acknowledge the alert, and count it as wrong", profile.VerdictFalsePositive),
			judgeCommand("malicious", "say that it was an attack: acknowledge the alert, and never learn as normal what the device did in it", profile.VerdictMalicious),
		},
	}
}

func judgeCommand(name, usage string, v profile.Verdict) *cli.Command {
	flags := []cli.Flag{
		&cli.StringFlag{Name: "reason", Usage: "`TEXT`: why, or who takes care of it (required)"},
		&cli.StringFlag{Name: "as", Usage: "`NAME` of who acts, beside the operating system's user"},
	}
	if v == profile.VerdictExpected {
		flags = append(flags, &cli.BoolFlag{Name: "fleet", Usage: "of all devices that have the same: their alerts are closed too, and it is hidden of their kind for 7 days"})
	}
	return &cli.Command{
		Name: name, Usage: usage + "; who and why becomes part of the record", ArgsUsage: "ALERT", Flags: flags,
		Action: func(c *cli.Context) error {
			if err := errors.Join(wantArgs(c, 1, 1, "one ALERT"), wantFlag(c, "reason")); err != nil {
				return err
			}
			return judge(c, v)
		},
	}
}

func (s *store) alerts(c *cli.Context) error {
	worst, err := level(c.String("fail-on"))
	if err != nil {
		return err
	}
	if r := c.Int("min-risk"); r < 0 || r > 100 {
		return usageError{fmt.Errorf("--min-risk: got %d, want 0 to 100", r)}
	}
	filter := profile.AlertFilter{OpenOnly: !c.Bool("all"), MinRisk: uint8(c.Int("min-risk"))}
	if name := c.String("device"); name != "" {
		d, err := s.device(c.Context, name)
		if err != nil {
			return err
		}
		filter.Device = d.ID
	}
	q, err := s.questions()
	if err != nil {
		return err
	}
	found, err := q.Alerts(c.Context, filter)
	if err != nil {
		return err
	}
	if !c.Bool("all") {
		found = slices.DeleteFunc(found, func(i profile.Incident) bool { return i.State == profile.StateAcknowledged })
	}
	views, err := s.viewAlerts(c, q, found)
	if err != nil {
		return err
	}
	if err := list(c, "alerts", views, alertColumns(c.Bool("all"))); err != nil {
		return err
	}
	for _, v := range views {
		if worst > 0 && v.Risk >= worst {
			return quietly(exitFindings)
		}
	}
	return nil
}

// level reads the least risk of a level; 0 for none.
func level(name string) (uint8, error) {
	levels := map[string]uint8{"": 0, "low": 20, "medium": 40, "high": 60, "critical": 80}
	risk, ok := levels[name]
	if !ok {
		return 0, usageError{fmt.Errorf("--fail-on: got %q, want low, medium, high or critical", name)}
	}
	return risk, nil
}

func (s *store) viewAlerts(c *cli.Context, q *profile.Scorer, found []profile.Incident) ([]alertView, error) {
	var ids []uint64
	for _, i := range found {
		ids = append(append(ids, i.Device), i.Also...)
	}
	known := map[uint64]profile.Device{}
	if len(ids) > 0 {
		devices, err := q.Devices(c.Context, profile.DeviceFilter{IDs: ids})
		if err != nil {
			return nil, err
		}
		for _, d := range devices {
			for _, id := range append([]uint64{d.ID}, d.Members...) {
				known[id] = d
			}
		}
	}
	at, err := q.Reached(c.Context)
	if err != nil {
		return nil, err
	}
	var views []alertView
	for _, i := range found {
		v := alertView{Incident: i, ID: i.Name(), Device: fmt.Sprintf("%016x", i.Device), Level: profile.Level(i.Risk), Also: []string{}, device: known[i.Device]}
		if v.device.ID == 0 {
			v.device.ID = i.Device
		}
		v.Now = q.RiskAt(i, v.device, at)
		for _, id := range i.Also {
			v.Also = append(v.Also, fmt.Sprintf("%016x", id))
			if d, ok := known[id]; ok {
				v.others = append(v.others, d.ShortTitle())
			}
		}
		views = append(views, v)
	}
	return views, nil
}

func alertColumns(all bool) []column[alertView] {
	state := func(a alertView) string { return string(a.State) }
	shown := state
	if !all {
		shown = func(alertView) string { return "" } // they are open
	}
	return []column[alertView]{
		{"alert", left, func(a alertView) string { return a.ID }, nil},
		{"risk", left, func(a alertView) string { return fmt.Sprintf("%d %s", a.Risk, a.Level) }, func(a alertView) string { return fmt.Sprint(a.Risk) }},
		{"now", right, func(a alertView) string { return fmt.Sprint(a.Now) }, nil},
		{"since (UTC)", left, func(a alertView) string { return stamp(a.Opened)[5:16] }, func(a alertView) string { return instant(a.Opened) }},
		{"device", flex, func(a alertView) string { return a.device.ShortTitle() }, func(a alertView) string { return a.device.Title() }},
		{"what", flex, func(a alertView) string { return a.what() }, func(a alertView) string { return a.Family }},
		{"observed", flex, func(a alertView) string { return a.Observed }, nil},
		{"state", left, shown, state},
	}
}

// what is the strongest family and how many others there are.
func (a alertView) what() string {
	if n := len(a.Families) - 1; n > 0 {
		return fmt.Sprintf("%s +%d", a.Family, n)
	}
	return a.Family
}

// namedAlert is the alert that the argument names, with what asks about it.
func (s *store) namedAlert(c *cli.Context) (*profile.Scorer, profile.Incident, error) {
	id, err := profile.ParseIncident(c.Args().First())
	if err != nil {
		return nil, profile.Incident{}, usageError{err}
	}
	q, err := s.questions()
	if err != nil {
		return nil, profile.Incident{}, err
	}
	found, err := q.Explain(c.Context, id)
	if isNameFault(err) {
		err = usageError{err}
	}
	return q, found, err
}

func (s *store) explain(c *cli.Context) error {
	q, found, err := s.namedAlert(c)
	if err != nil {
		return err
	}
	views, err := s.viewAlerts(c, q, []profile.Incident{found})
	if err != nil {
		return err
	}
	if c.Bool("sql") {
		return views[0].writeSQL(c.App.Writer, c.Int("line"))
	}
	for k, l := range found.Lines {
		o, ok, err := q.Siblings(c.Context, views[0].device, l)
		if err != nil {
			return err
		}
		if ok {
			if views[0].Siblings == nil {
				views[0].Siblings = map[int]profile.Opinion{}
			}
			views[0].Siblings[k] = o
		}
	}
	return page(c, views[0], views[0].write)
}

// parts are the lines of an alert; one of a version before lines has one.
func (a alertView) parts() []profile.Line {
	if len(a.Lines) > 0 {
		return a.Lines
	}
	return []profile.Line{{
		Family: a.Family, Target: a.Target, Since: a.Opened, Until: a.Changed, Count: a.Findings, Score: uint8(100 * a.Strength),
		Expected: a.Expected, Observed: a.Observed, Attack: a.Attack, Flows: a.Flows, Query: a.Query,
	}}
}

// writeSQL writes the statement of one line, or of all: several are told apart by
// a comment that no shell takes for a flag.
func (a alertView) writeSQL(w io.Writer, line int) error {
	parts := a.parts()
	if line < 0 || line > len(parts) {
		return usageError{fmt.Errorf("--line: got %d, want 1 to %d", line, len(parts))}
	}
	if line > 0 {
		parts = parts[line-1 : line]
	}
	for k, l := range parts {
		if len(parts) > 1 {
			fmt.Fprintf(w, "/* %d: %s, %s */\n", k+1, l.Family, l.Target)
		}
		end := ""
		if len(parts) > 1 {
			end = ";"
		}
		if _, err := fmt.Fprintf(w, "%s%s\n", profile.Bare(l.Query), end); err != nil {
			return err
		}
	}
	return nil
}

func (a alertView) write(w io.Writer) error {
	line := func(name, format string, args ...any) {
		fmt.Fprintf(w, "%-10s %s\n", name, printable(fmt.Sprintf(format, args...)))
	}
	long := func(name, text string) {
		for _, part := range wrap(text, 86) {
			line(name, "%s", part)
			name = ""
		}
	}
	line("alert", "%s, %s, risk %d of 100 (%s), %d now", a.ID, a.State, a.Risk, a.Level, a.Now)
	line("device", "%s%s", a.device.Title(), a.place())
	line("since", "%s UTC, last %s UTC, %s", stamp(a.Opened), stamp(a.Changed), plural(a.Findings, "finding"))
	if len(a.Also) > 0 {
		line("also", "the same on %s: %s", plural(len(a.Also), "other device"), strings.Join(a.others, ", "))
	}
	if a.State == profile.StateAcknowledged || a.Verdict != "" {
		line("by", "%s: %s%s", a.Actor, saidText(a.Verdict), a.Reason)
	}
	parts := a.parts()
	for k, l := range parts {
		fmt.Fprintf(w, "\n%d. %s", k+1, l.Family)
		if l.Stage != "" {
			fmt.Fprintf(w, " (%s, %d %%)", l.Stage, l.Score)
		}
		fmt.Fprintln(w)
		long("observed", l.Observed)
		long("expected", l.Expected)
		if o, ok := a.Siblings[k]; ok {
			line("siblings", "%d of %d other devices of kind %s do this", o.Same, o.Of, o.Kind)
		}
		line("when", "%s to %s UTC, %s", stamp(l.Since), stamp(l.Until), plural(l.Count, "finding"))
		var attack []string
		for _, id := range l.Attack {
			attack = append(attack, profile.Technique(id))
		}
		long("ATT&CK", strings.Join(attack, ", "))
		if l.Cause != "" {
			line("cause", "tidemark alerts explain %s", l.Cause)
		}
		if n := len(l.Flows); n > 0 {
			more := ""
			if n > 2 {
				more = fmt.Sprintf(" and %d more", n-2)
			}
			line("flows", "%s%s", strings.Join(l.Flows[:min(n, 2)], " "), more)
		}
	}
	fmt.Fprintf(w, "\nrisk %d of 100\n", a.Risk)
	for _, t := range a.Terms {
		fmt.Fprintf(w, "  %+4d  %s\n", t.Value, printable(t.Name))
	}
	if len(a.Terms) > 1 {
		fmt.Fprintln(w, "        (they combine like chances that do not depend on each other, not as a sum; of what speaks of the same traffic the strongest counts)")
	}
	if percent, reasons := a.Confidence(a.device); percent > 0 {
		fmt.Fprintf(w, "sure to %d %%%s\n", percent, strings.TrimSuffix(": "+strings.Join(reasons, "; "), ": "))
	}
	fmt.Fprintln(w, "\nwhat to do")
	for _, step := range a.Steps() {
		fmt.Fprintf(w, "  - %s\n", step)
	}
	if slices.ContainsFunc(a.Lines, func(l profile.Line) bool { return len(l.Flows) > 0 && (l.Peer != "" || l.Port != 0) }) {
		fmt.Fprintf(w, "  - what a filter against it would cut: tidemark contain alert %s\n", a.ID)
	}
	_, err := fmt.Fprintf(w, "\nhow to prove it\n  tidemark evidence --alert %[1]s --out case.json     all of it; tidemark prove --flow NAME for one flow\n  tidemark alerts explain --sql --line 1 %[1]s     the query that found it\n", a.ID)
	return err
}

// place is what else is known of the device: its kind, and how much it matters.
func (a alertView) place() string {
	out := ""
	if a.device.Kind != "" {
		out += ", " + a.device.Kind
	}
	if level := a.device.Facts["criticality"]; level != "" {
		out += ", criticality " + level
	}
	return out
}

func saidText(v profile.Verdict) string {
	if v == "" {
		return ""
	}
	return string(v) + ", "
}

// wrap breaks a text at spaces into lines of at most width characters.
func wrap(text string, width int) []string {
	var lines []string
	for _, word := range strings.Fields(text) {
		if n := len(lines); n > 0 && len(lines[n-1])+1+len(word) <= width {
			lines[n-1] += " " + word
			continue
		}
		lines = append(lines, word)
	}
	return lines
}

// judgement is what the daemon is asked when it runs.
type judgement struct {
	Alert   string          `json:"alert"`
	Fleet   bool            `json:"fleet"`   // with those that point at it
	Verdict profile.Verdict `json:"verdict"` // empty: acknowledged
	Actor   string          `json:"actor"`
	Reason  string          `json:"reason"`
}

// judge goes through whoever holds the ledger: the daemon, or this process.
func judge(c *cli.Context, v profile.Verdict) error {
	req := judgement{c.Args().First(), c.Bool("fleet"), v, actor(c.String("as")), c.String("reason")}
	if _, err := profile.ParseIncident(req.Alert); err != nil {
		return usageError{err}
	}
	hidden, err := askNode(c, "/v1/ack", req, func(ctx context.Context, n *node) ([]string, error) { return n.judge(ctx, req) })
	if err != nil {
		return err
	}
	word := "acknowledged " + req.Alert
	if v != "" {
		word = req.Alert + " is " + string(v)
	}
	fmt.Fprintf(c.App.ErrWriter, "%s, as %s; it is part of the record\n", word, req.Actor)
	if v == profile.VerdictExpected {
		fmt.Fprintf(c.App.ErrWriter, "%s hide the same from now on; scans, floods and the like are never hidden this way: `tidemark exclusions`\n", plural(len(hidden), "exclusion"))
	}
	return nil
}

// judge returns the exclusions that it made.
func (n *node) judge(ctx context.Context, req judgement) ([]string, error) {
	id, err := profile.ParseIncident(req.Alert)
	if err != nil {
		return nil, usageError{err}
	}
	n.scoring.Lock()
	defer n.scoring.Unlock()
	by := profile.By{Actor: req.Actor, Reason: req.Reason, At: time.Now().UTC()}
	var made []profile.Exclusion
	if req.Fleet && req.Verdict == profile.VerdictExpected {
		made, err = n.scorer.AcceptFleet(ctx, id, by)
	} else {
		made, err = n.scorer.Judge(ctx, id, req.Verdict, by)
	}
	if isNameFault(err) || errors.Is(err, profile.ErrRefused) {
		err = usageError{err}
	}
	names := []string{}
	for i := range made {
		names = append(names, made[i].Name())
	}
	return names, err
}

func (d *daemon) handleAck(w http.ResponseWriter, r *http.Request) {
	var req judgement
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 64<<10)).Decode(&req); err != nil {
		answer(w, nil, usageError{fmt.Errorf("judge an alert: %w", err)})
		return
	}
	hidden, err := d.node.judge(r.Context(), req)
	answer(w, hidden, err)
}
