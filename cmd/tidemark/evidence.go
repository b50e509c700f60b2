package main

import (
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/urfave/cli/v2"

	"tidemark/anchor"
	"tidemark/anchor/chainproof"
	"tidemark/collector/flow"
	"tidemark/profile"
)

func evidenceCommand() *cli.Command {
	return &cli.Command{
		Name:  "evidence",
		Usage: "write the evidence of an alert, a device or any flows into one file that verifies without our database",
		Description: `   tidemark evidence --alert 0123456789abcdef --out case-17.json
   tidemark evidence --device 10.20.1.11 --since 7d --out camera.json
   tidemark evidence --address 198.51.100.7 --port 443 --since 24h --rows 500 --out seen.json
   tidemark evidence --flow 0123456789abcdef-42-7 --flow 0123456789abcdef-43-0 --out two.json
   tidemark verify-bundle --trust trust.json --rpc URL case-17.json

The file holds the flows with every field, the events of the alert, their proofs, the
signed checkpoint, and where the log was anchored, with the proofs of those blocks if the
publisher archived them. A page for people is written beside it (case-17.html).

Exit code 6: not everything in it is anchored yet. It is no proof that there is nothing
else: what was asked for and found is in it.`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "alert", Usage: "the `ALERT`: its events and the flows they name"},
			&cli.StringSliceFlag{Name: "flow", Usage: "a flow by `NAME`; may be given many times"},
			&cli.StringFlag{Name: "device", Usage: "flows of this `DEVICE`, named by MAC, address, id or label"},
			&cli.StringFlag{Name: "address", Usage: "flows from or to this IP `ADDRESS`"},
			&cli.UintFlag{Name: "port", Usage: "flows from or to this `PORT`", DefaultText: "any"},
			&cli.StringFlag{Name: "since", Usage: "flows that began after this `TIME` (RFC 3339) or span before now (24h, 7d)"},
			&cli.StringFlag{Name: "until", Usage: "flows that began before this `TIME` or span before now"},
			&cli.Uint64Flag{Name: "rows", Value: 1000, Usage: "at most `N` flows, the newest"},
			&cli.StringFlag{Name: "out", Usage: "write to `FILE`, the page for people beside it (required)"},
			rpcFlag(),
		},
		Action: func(c *cli.Context) error {
			if err := errors.Join(wantArgs(c, 0, 0, "no argument: see --alert, --flow, --device and --address"), wantFlag(c, "out")); err != nil {
				return err
			}
			asked := 0
			for _, kind := range [][]string{{"alert"}, {"flow"}, {"device", "address", "port", "since", "until"}} {
				for _, flag := range kind {
					if c.IsSet(flag) {
						asked++
						break
					}
				}
			}
			if asked != 1 {
				return usageError{errors.New("evidence: want one of --alert, --flow, or a choice of flows by --device, --address, --port, --since and --until")}
			}
			return withStore(c, func(s *store) error { return s.evidence(c) })
		},
	}
}

func (s *store) evidence(c *cli.Context) error {
	from, err := s.openProofs(c)
	if err != nil {
		return err
	}
	defer from.close()
	leaves, question, err := s.question(c, from.Ledger.ID())
	if err != nil {
		return err
	}
	evidence, err := anchor.Gather(c.Context, anchor.GatherOptions{
		Sources: from.Sources, Leaves: leaves, Archive: &chainproof.Archive{Dir: evidenceDir(s.dir)},
		Question: anchor.Question{Text: question, Made: time.Now(), By: actor("")},
	})
	if err != nil {
		return proofError(err)
	}
	return writeEvidence(c, evidence, anchor.Given{Trust: from.own, Chain: from.Chain})
}

// writeEvidence writes the file and its page, and says what they are worth.
func writeEvidence(c *cli.Context, evidence *anchor.Evidence, given anchor.Given) error {
	text, err := evidence.Marshal()
	if err != nil {
		return err
	}
	report, err := anchor.VerifyEvidence(c.Context, evidence, given)
	if err != nil {
		return err
	}
	if len(report.Faults) > 0 {
		return codedError{exitVerification, fmt.Errorf("evidence: what was gathered does not verify: %s", report.Faults[0].Detail)}
	}
	out := c.String("out")
	if err := os.WriteFile(out, text, 0o644); err != nil {
		return fmt.Errorf("write evidence: %w", err)
	}
	page := strings.TrimSuffix(out, filepath.Ext(out)) + ".html"
	if err := writePage(page, evidence, report, filepath.Base(out)); err != nil {
		return err
	}
	fmt.Fprintf(c.App.ErrWriter, "wrote %s (%s, %s, %s) and %s\n", out, plural(evidence.Flows(), "flow"), plural(evidence.Events(), "event"), octets(uint64(len(text))), page)
	for _, note := range evidence.Question.Notes {
		fmt.Fprintln(c.App.ErrWriter, "note: "+note)
	}
	if report.Development {
		fmt.Fprintln(c.App.ErrWriter, anchor.DevelopmentWarning)
	}
	if code := report.ExitCode(); code != exitOK {
		fmt.Fprintln(c.App.ErrWriter, "not all of it is in a final block yet: `tidemark anchor now --final`, then gather it again")
		return quietly(exitUnanchored)
	}
	return nil
}

func writePage(path string, evidence *anchor.Evidence, report *anchor.EvidenceReport, file string) error {
	f, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("write page: %w", err)
	}
	if err := errors.Join(anchor.WriteEvidencePage(f, evidence, report, file), f.Close()); err != nil {
		return fmt.Errorf("write page %s: %w", path, err)
	}
	return nil
}

var (
	//go:embed sql/evidence_flows.sql
	evidenceFlowsSQL string
	//go:embed sql/alert_events.sql
	alertEventsSQL string
)

// question finds the leaves that were asked for, and says in a line what that was.
func (s *store) question(c *cli.Context, log uint64) (leaves []flow.Name, text string, err error) {
	switch {
	case c.IsSet("flow"):
		for _, name := range c.StringSlice("flow") {
			n, err := flow.ParseName(name)
			if err != nil {
				return nil, "", usageError{err}
			}
			leaves = append(leaves, n)
		}
		return leaves, plural(len(leaves), "flow") + " by name", nil
	case c.IsSet("alert"):
		return s.alertLeaves(c, log)
	}
	if n := c.Uint64("rows"); n == 0 || n > 20_000 {
		return nil, "", usageError{fmt.Errorf("--rows: got %d, want 1 to 20000", n)}
	}
	params, err := s.flowParameters(c)
	if err != nil {
		return nil, "", err
	}
	leaves, err = s.leaves(c, evidenceFlowsSQL, params, nil)
	if err == nil && len(leaves) == 0 {
		err = usageError{errors.New("evidence: no such flow; `tidemark flows` takes the same choice and shows what there is")}
	}
	if uint64(len(leaves)) == c.Uint64("rows") {
		fmt.Fprintf(c.App.ErrWriter, "there may be more flows than the newest %s: raise --rows, or choose less\n", count(len(leaves)))
	}
	return leaves, flowsAsked(c), err
}

// flowsAsked says which flows were chosen.
func flowsAsked(c *cli.Context) string {
	text := "Flows"
	for _, f := range [][2]string{{"device", " of device "}, {"address", " of address "}, {"port", " with port "}, {"since", " since "}, {"until", " until "}} {
		if !c.IsSet(f[0]) {
			continue
		}
		value := fmt.Sprint(c.Value(f[0]))
		if t, err := timeFlag(c, f[0]); (f[0] == "since" || f[0] == "until") && err == nil {
			value = stamp(t) + " UTC"
		}
		text += f[1] + value
	}
	return text
}

// alertLeaves are the events of an alert and the flows that they name.
func (s *store) alertLeaves(c *cli.Context, log uint64) (leaves []flow.Name, text string, err error) {
	id, err := profile.ParseIncident(c.String("alert"))
	if err != nil {
		return nil, "", usageError{err}
	}
	name := fmt.Sprintf("%016x", id)
	leaves, err = s.leaves(c, alertEventsSQL, clickhouse.Parameters{"incident": name, "log": fmt.Sprint(log)}, &text)
	if err == nil && len(leaves) == 0 {
		err = usageError{fmt.Errorf("evidence: the log has no alert %s; `tidemark alerts --all` lists them", name)}
	}
	return leaves, "Alert " + name + ": " + text, err
}

// leaves runs a query for (log, batch_index, pos, text, names of flows).
func (s *store) leaves(c *cli.Context, sql string, params clickhouse.Parameters, text *string) (leaves []flow.Name, err error) {
	rows, err := s.db.Conn().Query(clickhouse.Context(c.Context, clickhouse.WithParameters(params)), sql)
	if err != nil {
		return nil, fmt.Errorf("find what was asked for: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var n flow.Name
		var said string
		var named []string
		if err := rows.Scan(&n.Log, &n.Batch, &n.Pos, &said, &named); err != nil {
			return nil, fmt.Errorf("find what was asked for: %w", err)
		}
		leaves = append(leaves, n)
		if text != nil && said != "" {
			*text = said
		}
		for _, name := range named {
			if n, err := flow.ParseName(name); err == nil {
				leaves = append(leaves, n)
			}
		}
	}
	return leaves, rows.Err()
}

// verifyEvidence is verify-bundle of an evidence file.
func verifyEvidence(c *cli.Context, path string, text []byte) error {
	evidence, err := anchor.ParseEvidence(text)
	if err != nil {
		return codedError{exitVerification, fmt.Errorf("FAILED: %s proves nothing: %w; want the file that `tidemark evidence` wrote, unchanged and whole (this one has %s)",
			path, err, plural(len(text), "octet"))}
	}
	given, done, err := givenBy(c)
	if err != nil {
		return err
	}
	defer done()
	report, err := anchor.VerifyEvidence(c.Context, evidence, given)
	if err != nil {
		return err
	}
	if out := c.String("page"); out != "" {
		if err := writePage(out, evidence, report, filepath.Base(path)); err != nil {
			return err
		}
	}
	if err := page(c, report, func(w io.Writer) error { return report.WriteText(w) }); err != nil {
		return err
	}
	return quietly(report.ExitCode())
}
