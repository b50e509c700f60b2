package main

import (
	"errors"
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
	Listening []string                   `json:"listening"`
	Totals    collector.Totals           `json:"totals"`
	Record    recordStatus               `json:"record"`
	Exporters []collector.ExporterStatus `json:"exporters"`
}

// recordStatus is how far the flows of Totals have come on the way into the record.
type recordStatus struct {
	SealedFlows    uint64 `json:"sealed_flows"`
	LeftOutFlows   uint64 `json:"left_out_flows"`  // could not be encoded: a bug, logged
	WaitingBatches int    `json:"waiting_batches"` // sealed, not yet stored and given back unchanged
	WaitingBytes   int64  `json:"waiting_bytes"`
}

func (n *node) recordStatus() recordStatus {
	return recordStatus{SealedFlows: n.ingest.sealed.Load(), LeftOutFlows: n.ingest.leftOut.Load(),
		WaitingBatches: len(n.spool.Records()), WaitingBytes: n.spool.Size()}
}

func exportersCommand() *cli.Command {
	return &cli.Command{
		Name:  "exporters",
		Usage: "who sends what, how much, and what was lost on the way",
		Description: `Lists each exporter and protocol the running daemon has heard since it started.
"flows/s" is the mean of the last minute. "lost" is told by sequence numbers, in the
unit the protocol counts in; what this machine's kernel dropped is counted apart and
printed below the table. "not decoded" counts datagrams shed by collector.allow or
collector.rate_limit, what could not be read, and the Data Sets that wait for their
template. Below stands for each exporter what is missing, where it is and what to do.
"sampling" says who told the rate: "assumed" is nobody.
Where an sFlow agent sends counters too, "% of counters" is the packets that its samples
stand for: far from 100, its rate is not what it says, or samples are lost.
"clock" is how far the exporter's clock is from this machine's.

   tidemark exporters
   tidemark exporters --output json`,
		Flags: []cli.Flag{outputFlag(listForms)},
		Action: func(c *cli.Context) error {
			if err := wantArgs(c, 0, 0, "no argument"); err != nil {
				return err
			}
			var status collectorStatus
			if err := newDaemonClient(c.String("data-dir")).get(c.Context, "/v1/exporters", &status); err != nil {
				return needDaemon(c, err)
			}
			if err := list(c, "exporters", status.Exporters, exporterColumns(time.Now())); err != nil {
				return err
			}
			fmt.Fprintln(c.App.ErrWriter, summary(status))
			return nil
		},
	}
}

// needDaemon explains an answer that only a daemon can give.
func needDaemon(c *cli.Context, err error) error {
	if errors.Is(err, errNoDaemon) {
		return codedError{exitUnreachable, fmt.Errorf("%s: no daemon runs on %s; start one with `tidemark --data-dir %s run`",
			commandPath(c), c.String("data-dir"), c.String("data-dir"))}
	}
	return err
}

// exporterName is the address; those past collector.max_exporters have one line.
func exporterName(e collector.ExporterStatus) string {
	if !e.Address.IsValid() {
		return "(all others)"
	}
	return e.Address.String()
}

func exporterColumns(now time.Time) []column[collector.ExporterStatus] {
	type E = collector.ExporterStatus
	return []column[E]{
		{"exporter", left, exporterName, nil},
		{"protocol", left, func(e E) string { return e.Protocol }, nil},
		{"flows", right, func(e E) string { return count(e.Flows) }, func(e E) string { return fmt.Sprint(e.Flows) }},
		{"flows/s", right, func(e E) string { return rate(e.FlowsPerSecond) }, func(e E) string { return fmt.Sprintf("%.3f", e.FlowsPerSecond) }},
		{"lost", right, lost, func(e E) string { return fmt.Sprint(e.Lost) }},
		{"templates", right, templates, nil},
		{"not decoded", right, func(e E) string { return count(sum(notDecoded(e))) }, func(e E) string { return reasons(notDecoded(e)) }},
		{"sampling", left, sampling, nil},
		{"clock", left, clockOffset, nil},
		{"last seen", right, func(e E) string { return ago(now, e.LastSeen) }, func(e E) string { return instant(e.LastSeen) }},
	}
}

// lost is in the unit the protocol counts in.
func lost(e collector.ExporterStatus) string {
	if e.Lost == 0 {
		return "0"
	}
	return fmt.Sprintf("%s (%s)", plural(e.Lost, strings.TrimSuffix(e.Unit, "s")), percent(e.Lost, e.Expected))
}

func templates(e collector.ExporterStatus) string {
	if e.TemplatesKnown == 0 && e.Templates == 0 {
		return "-" // the protocol may have none
	}
	if e.Conflicts > 0 {
		return fmt.Sprintf("%s, %s redefined", count(uint64(e.TemplatesKnown)), count(e.Conflicts))
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

func sum(counts map[string]uint64) (n uint64) {
	for _, m := range counts {
		n += m
	}
	return n
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
	if e.SamplingRate == 1 {
		return "unsampled (" + e.SamplingSource + ")"
	}
	source := e.SamplingSource
	if e.CountedPackets > 0 {
		source += fmt.Sprintf(", %.0f %% of counters", 100*float64(e.SampledPackets)/float64(e.CountedPackets))
	}
	return fmt.Sprintf("1 in %s (%s)", count(e.SamplingRate), source)
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
