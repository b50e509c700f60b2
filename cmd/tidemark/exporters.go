package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"tidemark/collector"
)

// collectorStatus is what only the daemon knows: its sockets and its exporters.
type collectorStatus struct {
	Listening   []string                   `json:"listening"`
	KernelDrops uint64                     `json:"kernel_drops"` // datagrams
	Exporters   []collector.ExporterStatus `json:"exporters"`
}

func exportersCommand() *cli.Command {
	return &cli.Command{
		Name:  "exporters",
		Usage: "who sends what, how much, and what was lost on the way",
		Description: `Lists each exporter and protocol the running daemon has heard since it started.
"lost" is told by sequence numbers, in the unit the protocol counts in; what this
machine's kernel dropped is counted apart and printed below the table. "not decoded" counts
datagrams shed by collector.allow or collector.rate_limit, those that could not be
read, by reason, and the Data Sets that wait for their template.

   tidemark exporters
   tidemark exporters --output json`,
		Flags: []cli.Flag{outputFlag()},
		Action: func(c *cli.Context) error {
			if err := wantArgs(c, 0, 0, "none"); err != nil {
				return err
			}
			var status collectorStatus
			if err := newDaemonClient(c.String("data-dir")).get(c.Context, "/v1/exporters", &status); err != nil {
				return needDaemon(c, err)
			}
			if err := list(c, status.Exporters, exporterColumns(time.Now())); err != nil {
				return err
			}
			fmt.Fprintf(c.App.ErrWriter, "listening on %s; %s datagrams dropped by this machine's kernel since start\n",
				strings.Join(status.Listening, ", "), count(status.KernelDrops))
			return nil
		},
	}
}

// needDaemon explains an answer that only a daemon can give.
func needDaemon(c *cli.Context, err error) error {
	if err == errNoDaemon {
		return codedError{exitUnreachable, fmt.Errorf("%s: no daemon runs on %s; start one with `tidemark --data-dir %s run`",
			c.Command.Name, c.String("data-dir"), c.String("data-dir"))}
	}
	return err
}

func exporterColumns(now time.Time) []column[collector.ExporterStatus] {
	type E = collector.ExporterStatus
	return []column[E]{
		{"exporter", left, func(e E) string {
			if !e.Address.IsValid() {
				return "(all others)"
			}
			return e.Address.String()
		}},
		{"protocol", left, func(e E) string { return e.Protocol }},
		{"flows", right, func(e E) string { return count(e.Flows) }},
		{"flows/s", right, func(e E) string { return fmt.Sprintf("%.1f", e.FlowsPerSecond) }},
		{"lost", right, func(e E) string { return count(e.Lost) + " " + e.Unit + ", " + percent(e.Lost, e.Expected) }},
		{"templates", right, templates},
		{"not decoded", flex, func(e E) string { return reasons(notDecoded(e)) }},
		{"sampling", left, sampling},
		{"clock", left, func(e E) string { return clockOffset(e) }},
		{"last seen", right, func(e E) string { return ago(now, e.LastSeen) }},
	}
}

func templates(e collector.ExporterStatus) string {
	if e.TemplatesKnown == 0 && e.Templates == 0 {
		return "-" // the protocol may have none
	}
	return count(uint64(e.TemplatesKnown))
}

// notDecoded is why what arrived gave no flow, or has not yet.
func notDecoded(e collector.ExporterStatus) map[string]uint64 {
	out := maps.Clone(e.Undecodable)
	if out == nil {
		out = map[string]uint64{}
	}
	for reason, n := range e.ShedBy {
		out["shed: "+reason] = n
	}
	if e.Waiting > 0 {
		out["waiting for a template"] = uint64(e.Waiting)
	}
	return out
}

func reasons(counts map[string]uint64) string {
	if len(counts) == 0 {
		return "0"
	}
	var parts []string
	for reason, n := range counts {
		parts = append(parts, count(n)+" "+reason)
	}
	slices.Sort(parts)
	return strings.Join(parts, ", ")
}

func sampling(e collector.ExporterStatus) string {
	if e.SamplingRate == 0 {
		return "-"
	}
	return fmt.Sprintf("1:%d (%s)", e.SamplingRate, e.SamplingSource)
}

func clockOffset(e collector.ExporterStatus) string {
	switch {
	case e.Clock == collector.AsExported:
		return "as exported"
	case e.ClockOffset == nil:
		return "-"
	case e.ClockOffset.Abs() < time.Second:
		return "in step"
	case *e.ClockOffset > 0:
		return span(*e.ClockOffset) + " behind"
	}
	return span(-*e.ClockOffset) + " ahead"
}
