package main

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"tidemark/collector"
)

// mostNotes is how many lines a listing explains.
const mostNotes = 20

// note says what a count counts, what became of it and what to do.
type note struct{ noun, text string }

// undecodableNotes are by reason, see collector/flow.
var undecodableNotes = map[string]note{
	"short":            {"datagram", "shorter than its lengths say: cut by the network or the exporter"},
	"version":          {"datagram", "of no protocol we read"},
	"malformed":        {"datagram", "with lengths that contradict each other"},
	"template_unknown": {"Data Set", "given up, no template came: have the exporter send templates every 60 s"},
	"template_invalid": {"template", "refused: it cannot be"},
	"limit":            {"template or option", "refused at a bound: too many, or forged; list the real exporters in collector.allow"},
	"trailing":         {"datagram", "with octets behind the last record"},
	"sample_type":      {"sample", "of a kind that is not read"},
	"panic":            {"datagram", "broke a decoder: please report this, the log has it"},
}

var shedNotes = map[string]string{
	"not_allowed": "shed: the sender is not in collector.allow",
	"rate_limit":  "shed: over collector.rate_limit",
	"stopped":     "shed: still in the socket when the collector stopped",
}

// notes say of an exporter what is missing, where it is and what to do about it,
// and what else is odd.
func notes(e collector.ExporterStatus) (out []string) {
	add := func(format string, a ...any) { out = append(out, fmt.Sprintf(format, a...)) }
	unit := strings.TrimSuffix(e.Unit, "s")
	if n := e.Lost - min(e.LostAway, e.Lost); n > 0 {
		add("%s of %s lost on the way: in the network, the exporter, or this machine's kernel (see its drops)", plural(n, unit), count(e.Expected))
	}
	if e.LostAway > 0 {
		add("%s sent while the daemon was down, or not yet stored when it was killed", plural(e.LostAway, unit))
	}
	for _, reason := range slices.Sorted(maps.Keys(e.ShedBy)) {
		add("%s %s", plural(e.ShedBy[reason], "datagram"), shedNotes[reason])
	}
	for _, reason := range slices.Sorted(maps.Keys(e.Undecodable)) {
		n := undecodableNotes[reason]
		add("%s %s", plural(e.Undecodable[reason], n.noun), n.text)
	}
	if e.Waiting > 0 {
		add("%s kept until the template comes: have the exporter send templates every 60 s", plural(uint64(e.Waiting), "Data Set"))
	}
	if e.Conflicts > 0 {
		add("%s redefined with another layout: two exporters behind one address and domain, or it was changed", plural(e.Conflicts, "template"))
	}
	if e.Duplicates > 0 {
		add("%s came twice: is it exported, or forwarded, by two ways?", plural(e.Duplicates, "datagram"))
	}
	if e.Restarts > 0 {
		add("its numbering began anew, %s", plural(e.Restarts, "time"))
	}
	if len(e.Agents) > 0 {
		add("the agent calls itself %s: it reaches us through NAT, a bridge or a proxy, and rows name the address it came from", addressList(e.Agents))
	}
	if e.ClockOffset != nil && e.Clock == collector.Live && e.ClockOffset.Abs() > 2*time.Second {
		add("its clock is %s: set its NTP; times for detection are corrected meanwhile", clockOffset(e))
	}
	return out
}

// addressList is the first few.
func addressList(all []netip.Addr) string {
	const few = 3
	var parts []string
	for _, a := range all[:min(len(all), few)] {
		parts = append(parts, a.String())
	}
	if more := len(all) - few; more > 0 {
		parts = append(parts, fmt.Sprintf("%d more", more))
	}
	return strings.Join(parts, ", ")
}

// noteLines are the notes of all exporters, the name of each once.
func noteLines(exporters []collector.ExporterStatus) (out []string) {
	for _, e := range exporters {
		name := exporterName(e) + " " + e.Protocol + ": "
		for _, n := range notes(e) {
			out = append(out, name+n)
			name = strings.Repeat(" ", len(name))
		}
	}
	if more := len(out) - mostNotes; more > 1 {
		out = append(out[:mostNotes], fmt.Sprintf("and %s more, see --output json", count(more)))
	}
	return out
}

// summary says where all that was sent to this machine is.
func summary(s collectorStatus) string {
	t, r := s.Totals, s.Record
	lostFlows := t.LostFlows + r.LeftOutFlows
	var foreign uint64
	lost := map[string]uint64{}
	for _, e := range s.Exporters {
		if e.Protocol == "unknown" {
			foreign += e.Datagrams - e.Shed
		} else if e.Lost > 0 {
			lost[strings.TrimSuffix(e.Unit, "s")] += e.Lost
		}
	}
	lines := []string{
		"listening on " + strings.Join(s.Listening, ", "),
		fmt.Sprintf("since start %s reached this machine: %s read, %s dropped by its kernel (receive buffer full)",
			plural(t.Datagrams+t.KernelDrops, "datagram"), count(t.Datagrams), count(t.KernelDrops)),
		fmt.Sprintf("of those read: %s shed, %s of no protocol we read, %s given to a decoder",
			count(t.Shed), count(foreign), count(t.Datagrams-min(t.Datagrams, t.Shed+foreign))),
		fmt.Sprintf("of %s decoded: %s sealed, %s on the way, %s lost before the record; %s sealed and not yet stored",
			plural(t.Flows, "flow"), count(r.SealedFlows), count(t.Flows-min(t.Flows, r.SealedFlows+lostFlows)), count(lostFlows),
			plural(uint64(r.WaitingBatches), "batch")),
	}
	if len(lost) > 0 {
		var parts []string
		for _, unit := range slices.Sorted(maps.Keys(lost)) {
			parts = append(parts, plural(lost[unit], unit))
		}
		lines = append(lines, "by their numbers missing: "+strings.Join(parts, ", ")+"; what the kernel dropped is among them")
	}
	return strings.Join(append(lines, noteLines(s.Exporters)...), "\n")
}
