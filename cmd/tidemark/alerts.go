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

	"github.com/prometheus/client_golang/prometheus"
	"github.com/urfave/cli/v2"

	"tidemark/profile"
)

// alertView is an incident as people and scripts read it: ids in hex, the device by name.
type alertView struct {
	profile.Incident
	ID     string   `json:"id"`
	Device string   `json:"device"`
	Level  string   `json:"level"`
	Also   []string `json:"also"` // ids of devices with the same
	device profile.Device
}

func alertsCommand() *cli.Command {
	return &cli.Command{
		Name:  "alerts",
		Usage: "what stopped being normal, and why",
		Description: `Lists open alerts, the riskiest first. All that is found about a device is one
alert: it grows while more is found, and closes after a quiet day.

   tidemark alerts
   tidemark alerts --all --output json
   tidemark alerts --fail-on high               exit code 3 if there is one
   tidemark alerts explain 0123456789abcdef     expected, observed, risk term by term
   tidemark alerts explain --sql 0123456789abcdef
   tidemark alerts ack --reason "new firmware" 0123456789abcdef`,
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "all", Usage: "closed and acknowledged ones too"},
			&cli.StringFlag{Name: "device", Usage: "of this `DEVICE`, named by MAC, address, id or label"},
			&cli.IntFlag{Name: "min-risk", Usage: "of this `RISK` (0-100) or more"},
			&cli.StringFlag{Name: "fail-on", Usage: "exit with 3 if an alert is listed of this `LEVEL` or above: low, medium, high, critical"},
			outputFlag(listForms),
		},
		Action: func(c *cli.Context) error {
			if err := wantArgs(c, 0, 0, "no argument, or the command explain or ack"); err != nil {
				return err
			}
			return withStore(c, func(s *store) error { return s.alerts(c) })
		},
		Subcommands: []*cli.Command{
			{
				Name: "explain", Usage: "expected, observed, the flows, risk term by term, and the query", ArgsUsage: "ALERT",
				Flags: []cli.Flag{&cli.BoolFlag{Name: "sql", Usage: "only the statement that found it, ready to run"}, outputFlag(pageForms)},
				Action: func(c *cli.Context) error {
					if err := wantArgs(c, 1, 1, "one ALERT"); err != nil {
						return err
					}
					return withStore(c, func(s *store) error { return s.explain(c) })
				},
			},
			{
				Name: "ack", Usage: "acknowledge an alert; who and why becomes part of the record", ArgsUsage: "ALERT",
				Flags: []cli.Flag{
					&cli.StringFlag{Name: "reason", Usage: "`TEXT`: why it is no trouble, or who takes care of it (required)"},
					&cli.StringFlag{Name: "as", Usage: "`NAME` of who acts, beside the operating system's user"},
				},
				Action: func(c *cli.Context) error {
					if err := errors.Join(wantArgs(c, 1, 1, "one ALERT"), wantFlag(c, "reason")); err != nil {
						return err
					}
					return ack(c)
				},
			},
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
	if err := list(c, views, alertColumns(c.Bool("all"))); err != nil {
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
		ids = append(ids, i.Device)
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
	var views []alertView
	for _, i := range found {
		v := alertView{Incident: i, ID: i.Name(), Device: fmt.Sprintf("%016x", i.Device), Level: profile.Level(i.Risk), Also: []string{}, device: known[i.Device]}
		if v.device.ID == 0 {
			v.device.ID = i.Device
		}
		for _, id := range i.Also {
			v.Also = append(v.Also, fmt.Sprintf("%016x", id))
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

func (s *store) explain(c *cli.Context) error {
	id, err := profile.ParseIncident(c.Args().First())
	if err != nil {
		return usageError{err}
	}
	q, err := s.questions()
	if err != nil {
		return err
	}
	found, err := q.Explain(c.Context, id)
	if isNameFault(err) {
		return usageError{err}
	}
	if err != nil {
		return err
	}
	if c.Bool("sql") {
		_, err := fmt.Fprintln(c.App.Writer, statement(found.Query))
		return err
	}
	views, err := s.viewAlerts(c, q, []profile.Incident{found})
	if err != nil {
		return err
	}
	return page(c, views[0], views[0].write)
}

// statement is a query without the comments before it: an argument that begins
// with two dashes would be taken for a flag.
func statement(query string) string {
	query = strings.TrimSpace(query)
	for strings.HasPrefix(query, "--") {
		_, query, _ = strings.Cut(query, "\n")
		query = strings.TrimSpace(query)
	}
	return query
}

func (a alertView) write(w io.Writer) error {
	line := func(name, text string) { fmt.Fprintf(w, "%-9s %s\n", name, printable(text)) }
	line("alert", fmt.Sprintf("%s, %s, %s", a.ID, a.Family, a.State))
	line("device", a.device.Title())
	line("since", fmt.Sprintf("%s UTC, last %s UTC, %s", stamp(a.Opened), stamp(a.Changed), plural(a.Findings, "finding")))
	line("expected", a.Expected)
	line("observed", a.Observed)
	line("risk", fmt.Sprintf("%d of 100 (%s)", a.Risk, a.Level))
	for _, t := range a.Terms {
		fmt.Fprintf(w, "%9s   %+d %s\n", "", t.Value, printable(t.Name))
	}
	if len(a.Terms) > 1 {
		fmt.Fprintf(w, "%9s   (they combine like chances that do not depend on each other, not as a sum)\n", "")
	}
	if len(a.Attack) > 0 {
		line("ATT&CK", strings.Join(a.Attack, ", "))
	}
	if a.State == profile.StateAcknowledged {
		line("by", a.Actor+": "+a.Reason)
	}
	for i, name := range a.Flows {
		title := ""
		if i == 0 {
			title = "flows"
		}
		line(title, name)
	}
	_, err := fmt.Fprintf(w, "\nEvidence of one flow: tidemark prove --flow NAME --out bundle.json\nThe query that found it: tidemark alerts explain --sql %s\n", a.ID)
	return err
}

// ackRequest is what the daemon is asked when it runs.
type ackRequest struct {
	Alert  string `json:"alert"`
	Actor  string `json:"actor"`
	Reason string `json:"reason"`
}

// ack goes through whoever holds the ledger: the daemon, or this process.
func ack(c *cli.Context) error {
	req := ackRequest{c.Args().First(), actor(c.String("as")), c.String("reason")}
	if _, err := profile.ParseIncident(req.Alert); err != nil {
		return usageError{err}
	}
	var done struct{}
	err := newDaemonClient(c.String("data-dir")).post(c.Context, "/v1/ack", req, &done)
	if errors.Is(err, errNoDaemon) {
		err = withStore(c, func(s *store) (err error) {
			n, err := openNode(c.Context, s.cfg, s.dir, s.db, nodeDeps{log: s.log, metrics: prometheus.NewRegistry()})
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, n.close()) }()
			return n.work(c.Context, func(ctx context.Context) error { return n.ack(ctx, req) })
		})
	}
	if err == nil {
		fmt.Fprintf(c.App.ErrWriter, "acknowledged %s as %s; it is part of the record\n", req.Alert, req.Actor)
	}
	return err
}

func (n *node) ack(ctx context.Context, req ackRequest) error {
	id, err := profile.ParseIncident(req.Alert)
	if err != nil {
		return usageError{err}
	}
	if strings.TrimSpace(req.Reason) == "" || strings.TrimSpace(req.Actor) == "" {
		return usageError{errors.New("acknowledge: want an actor and a reason")}
	}
	n.scoring.Lock()
	defer n.scoring.Unlock()
	err = n.scorer.Ack(ctx, id, req.Actor, req.Reason)
	if isNameFault(err) {
		return usageError{err}
	}
	return err
}

func (d *daemon) handleAck(w http.ResponseWriter, r *http.Request) {
	var req ackRequest
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 64<<10)).Decode(&req); err != nil {
		answer(w, nil, usageError{fmt.Errorf("acknowledge: %w", err)})
		return
	}
	answer(w, struct{}{}, d.node.ack(r.Context(), req))
}
