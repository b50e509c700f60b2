package eval

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
)

// report is the document being written; its first error sticks.
type report struct {
	w   io.Writer
	err error
	all []*Result
}

func (r *report) f(format string, args ...any) {
	if r.err == nil {
		_, r.err = fmt.Fprintf(r.w, format, args...)
	}
}

// table writes a table of Markdown.
func (r *report) table(header []string, rows [][]string) {
	r.f("| %s |\n|%s\n", strings.Join(header, " | "), strings.Repeat("---|", len(header)))
	for _, row := range rows {
		r.f("| %s |\n", strings.Join(row, " | "))
	}
	r.f("\n")
}

// Write makes the document of some results. machine says what they were measured on.
func Write(w io.Writer, all []*Result, machine string) error {
	r := &report{w: w, all: all}
	r.head(machine)
	r.coverage()
	r.bars()
	r.benign()
	r.attacks()
	r.plain()
	r.times()
	r.delays()
	r.slow()
	r.real()
	r.failures()
	r.examples()
	r.limits()
	return r.err
}

// of are the results of a kind and set; an empty set means all.
func (r *report) of(kind, set string) []*Result {
	var list []*Result
	for _, x := range r.all {
		if x.Kind == kind && (set == "" || x.Set == set) {
			list = append(list, x)
		}
	}
	return list
}

func outcomes(list []*Result, keep func(r *Result, o *Outcome) bool) (all []Outcome) {
	for _, r := range list {
		for i := range r.Outcomes {
			if keep(r, &r.Outcomes[i]) {
				all = append(all, r.Outcomes[i])
			}
		}
	}
	return all
}

func anything(*Result, *Outcome) bool { return true }

// share is a recall with its interval: "12/13 0.92 (0.67-0.99)".
func share(list []Outcome, hit func(o *Outcome) bool) string {
	k := 0
	for i := range list {
		if hit(&list[i]) {
			k++
		}
	}
	if len(list) == 0 {
		return "–"
	}
	lo, hi := wilson(k, len(list))
	return fmt.Sprintf("%d/%d **%.2f** (%.2f–%.2f)", k, len(list), float64(k)/float64(len(list)), lo, hi)
}

func brief(list []Outcome, hit func(o *Outcome) bool) string {
	k := 0
	for i := range list {
		if hit(&list[i]) {
			k++
		}
	}
	if len(list) == 0 {
		return "–"
	}
	return fmt.Sprintf("%d/%d", k, len(list))
}

// interval is a recall with its interval in a narrow column: "12/13 (0.67–0.99)".
func interval(list []Outcome) string {
	if len(list) == 0 {
		return "–"
	}
	k := 0
	for i := range list {
		if list[i].Notified {
			k++
		}
	}
	lo, hi := wilson(k, len(list))
	return fmt.Sprintf("%d/%d (%.2f–%.2f)", k, len(list), lo, hi)
}

func notified(o *Outcome) bool { return o.Notified }
func inList(o *Outcome) bool   { return o.Listed }
func other(o *Outcome) bool    { return o.Other }

func (r *report) head(machine string) {
	programs := map[string]bool{}
	seconds, flows := 0.0, uint64(0)
	for _, x := range r.all {
		programs[x.Program] = true
		seconds += x.Seconds
		flows += x.Flows
	}
	r.f("# Evaluation\n\n")
	r.f("Written by `make eval` (scripts/eval.sh, cmd/sitesim); do not edit. Measured: %s, %s; %d trials, %.1f million flows, %s of the program's time.\n\n",
		strings.Join(slices.Sorted(maps.Keys(programs)), "; "), machine, len(r.all), float64(flows)/1e6, time.Duration(seconds*1e9).Round(time.Minute))
	r.f("Everything but [Real captures](#real-captures) is **synthetic**: devices drawn from the models of `sitesim models` (`sitesim models MODEL` shows the ranges), observed by emulated routers. " +
		"The unit is an attack on a device: it counts as found if an alert *of a family that names it rightly* (fixed beforehand, below) *about that device* is *notified* in time, by itself or by an alert that lists the device among those it tells of. " +
		"The simulator shares no code and no parameter with the program. `tuning` seeds may be looked at while detectors are tuned, `sealed` ones may not: of those only sums are shown. Causes, and what was mended since: [notes](evaluation-notes.md). Which devices are found, and what they are taken for: [devices](evaluation-devices.md).\n\n")
}

// versionOf is the second word of what the program says of itself.
func versionOf(program string) string {
	if words := strings.Fields(program); len(words) > 1 {
		return words[1]
	}
	return program
}

// coverage says what of the whole evaluation these results are.
func (r *report) coverage() {
	var rows [][]string
	for _, set := range []string{Tuning, Sealed} {
		for _, part := range Parts {
			all := designs([]string{part}, set, full)
			done, programs := 0, map[string]bool{}
			for _, x := range r.of(part, set) {
				programs[versionOf(x.Program)] = true
				if slices.ContainsFunc(all, func(d design) bool { return d.Name == x.Name }) {
					done++
				}
			}
			if len(all) > 0 {
				rows = append(rows, []string{set, part, fmt.Sprintf("%d of %d", done, len(all)), strings.Join(slices.Sorted(maps.Keys(programs)), ", ")})
			}
		}
	}
	r.f("What was run of the whole:\n\n")
	r.table([]string{"seeds", "part", "trials", "version"}, rows)
}

func count(list []*Result, keep func(a *Alarm) bool) (n int) {
	for _, r := range list {
		for i := range r.Alarms {
			if keep(&r.Alarms[i]) {
				n++
			}
		}
	}
	return n
}

func sumDays(list []*Result) (days float64) {
	for _, r := range list {
		days += r.DeviceDays
	}
	return days
}

// person tells devices of people, which do what people like, from the others.
func person(class string) bool { return class == "pc" || class == "server" || class == "router" }

func (r *report) benign() {
	r.f("## False alarms, synthetic\n\n")
	for _, set := range []string{Tuning, Sealed} {
		list := r.of(Benign, set)
		if len(list) == 0 {
			continue
		}
		days, mature, episodes := sumDays(list), 0.0, 0
		for _, x := range list {
			mature += x.LearnedDays
			episodes += x.Episodes
		}
		r.f("### %s seeds: %.0f device-days, %.0f of them learned, %d hard negatives\n\n", set, days, mature, episodes)
		rate := func(keep func(a *Alarm) bool) []string {
			n, l := count(list, func(a *Alarm) bool { return keep(a) && a.Notified }), count(list, keep)
			return []string{fmt.Sprint(n), fmt.Sprintf("%.4f", float64(n)/days), fmt.Sprintf("%.4f", float64(n)/mature), fmt.Sprint(l), fmt.Sprintf("%.4f", float64(l)/days)}
		}
		rows := [][]string{
			append([]string{"all"}, rate(func(*Alarm) bool { return true })...),
			append([]string{"without PCs, servers, the gateway"}, rate(func(a *Alarm) bool { return !person(a.Class) })...),
			append([]string{"without what the authorised scan causes"}, rate(func(a *Alarm) bool { return a.Reason != "authorised-scan" })...),
			append([]string{"in ordinary life only"}, rate(func(a *Alarm) bool { return a.Reason == "ordinary life" })...),
		}
		r.table([]string{"alarms", "notified", "per device and day", "per learned device and day", "listed", "per device and day"}, rows)

		type cause struct{ family, reason string }
		causes := map[cause][2]int{}
		for _, x := range list {
			for _, a := range x.Alarms {
				c := causes[cause{a.Family, a.Reason}]
				c[1]++
				if a.Notified {
					c[0]++
				}
				causes[cause{a.Family, a.Reason}] = c
			}
		}
		rows = nil
		for _, c := range slices.SortedFunc(maps.Keys(causes), func(a, b cause) int {
			return cmp.Or(cmp.Compare(causes[b][0], causes[a][0]), cmp.Compare(causes[b][1], causes[a][1]), cmp.Compare(a.family+a.reason, b.family+b.reason))
		}) {
			rows = append(rows, []string{c.family, c.reason, fmt.Sprint(causes[c][0]), fmt.Sprint(causes[c][1])})
		}
		r.f("By family and by what happened to the device at the time (the latest unusual thing that touched it, up to a day after its end):\n\n")
		r.table([]string{"family", "what happened", "notified", "listed"}, rows)
		r.precision(set, float64(count(list, func(a *Alarm) bool { return a.Notified }))/days)
	}
}

// precision is what the rates mean for who is notified.
func (r *report) precision(set string, rate float64) {
	list := outcomes(r.of(Attacks, set), func(x *Result, _ *Outcome) bool { return x.Maturity == "learned" })
	if len(list) == 0 {
		return
	}
	k := 0
	for _, o := range list {
		if o.Notified {
			k++
		}
	}
	recall := float64(k) / float64(len(list))
	var rows [][]string
	for _, prevalence := range []float64{.01, .001} {
		hits := prevalence * recall
		rows = append(rows, []string{fmt.Sprintf("%.1f %%", 100*prevalence), fmt.Sprintf("%.2f", recall), fmt.Sprintf("%.2f", hits/(hits+rate))})
	}
	r.f("What share of notified alerts is true, if so many device-days see an attack of the kinds and levels below on a learned device:\n\n")
	r.table([]string{"attacked device-days", "recall", "precision"}, rows)
}

// classes are the attacks of some results in the order of the alphabet.
func classes(list []*Result) []string {
	set := map[string]bool{}
	for _, o := range outcomes(list, anything) {
		set[o.Attack] = true
	}
	return slices.Sorted(maps.Keys(set))
}

func (r *report) attacks() {
	r.f("## Attacks found, synthetic\n\n")
	r.f("Recall with the Wilson 95 %% interval (in the narrow columns the interval only). *Right name, notified* is what counts; *right name, listed* includes alerts too weak to notify; *any, notified* is a notified alert of whatever family about that device in time. Levels go from 0, faint, to 4, gross (`sitesim attacks`).\n\n")
	for _, set := range []string{Tuning, Sealed} {
		list := append(r.of(Attacks, set), r.of(Timing, set)...)
		if len(list) == 0 {
			continue
		}
		r.f("### %s seeds\n\n", set)
		var rows [][]string
		for _, class := range classes(list) {
			pick := func(level int) []Outcome {
				return outcomes(list, func(_ *Result, o *Outcome) bool { return o.Attack == class && (level < 0 || o.Level == level) })
			}
			row := []string{class, share(pick(-1), notified), brief(pick(-1), inList), brief(pick(-1), other)}
			for level := range 5 {
				row = append(row, interval(pick(level)))
			}
			rows = append(rows, row)
		}
		all := []string{"**all**", share(outcomes(list, anything), notified), brief(outcomes(list, anything), inList), brief(outcomes(list, anything), other)}
		for level := range 5 {
			all = append(all, interval(outcomes(list, func(_ *Result, o *Outcome) bool { return o.Level == level })))
		}
		r.table([]string{"attack", "right name, notified", "right name, listed", "any, notified", "level 0", "1", "2", "3", "4"}, append(rows, all))

		r.f("By sampling rate, maturity of the device and what it is known by (right name, notified):\n\n")
		rows = nil
		for _, class := range append(classes(list), "") {
			pick := func(keep func(x *Result) bool) string {
				return interval(outcomes(list, func(x *Result, o *Outcome) bool { return (class == "" || o.Attack == class) && keep(x) }))
			}
			name := class
			if class == "" {
				name = "**all**"
			}
			row := []string{name}
			for _, s := range samplings {
				row = append(row, pick(func(x *Result) bool { return x.Sampling == s }))
			}
			for _, m := range maturities {
				row = append(row, pick(func(x *Result) bool { return x.Maturity == m }))
			}
			for _, i := range identities {
				row = append(row, pick(func(x *Result) bool { return x.Identity == i }))
			}
			row = append(row, pick(func(x *Result) bool { return x.Sampling == 1 && x.Maturity == "learned" }))
			rows = append(rows, row)
		}
		r.table([]string{"attack", "1:1", "1:100", "1:1000", "initial", "learning", "learned", "MAC", "IP", "1:1 and learned"}, rows)
	}
}

// plain is the sample of the bars: what was done to learned devices on unsampled routers, in all parts.
func (r *report) plain() {
	for _, set := range []string{Tuning, Sealed} {
		if len(r.of(Bars, set)) > 0 {
			r.plainOf(set)
		}
	}
}

func (r *report) plainOf(set string) {
	list := slices.DeleteFunc(r.struck(set), func(x *Result) bool { return x.Sampling != 1 || x.Maturity != "learned" })
	var rows [][]string
	for _, class := range classes(list) {
		pick := func(keep func(x *Result, o *Outcome) bool) []Outcome {
			return outcomes(list, func(x *Result, o *Outcome) bool { return o.Attack == class && keep(x, o) })
		}
		all := pick(anything)
		row := []string{class, share(all, notified), brief(all, inList), brief(all, other)}
		for level := range 5 {
			row = append(row, interval(pick(func(_ *Result, o *Outcome) bool { return o.Level == level })))
		}
		for _, i := range identities {
			row = append(row, interval(pick(func(x *Result, _ *Outcome) bool { return x.Identity == i })))
		}
		rows = append(rows, row)
	}
	r.f("### %s seeds: learned devices on unsampled routers\n\nWith the trials of the part bars, which are in none of the tables above but that of the bars.\n\n", set)
	r.table([]string{"attack", "right name, notified", "right name, listed", "any, notified", "level 0", "1", "2", "3", "4", "MAC", "IP"}, rows)
}

// slow are poisoning and ramps.
func (r *report) slow() {
	for _, part := range []struct{ kind, title, text string }{
		{Poison, "Poisoned from hour zero", "Attacks that begin in the first hours of learning; an alert of a fitting family, or of drift, within seven days counts."},
		{Ramp, "Ramps", "Uploads that grow by 2, 5, 10, 20 and 50 % a day (levels 0 to 4) for three weeks on learned devices, judged day by day."},
		{Told, "What the operator configured, and routers", "Two hosts of an intelligence list are called (threat_intel), two devices do what the MUD files of their makers do not permit (mud: judged every five minutes, so people may have been told by another line of the same alert, *any*), two devices come that nobody announced (new_device), and a router falls silent (coverage, which is listed and never notified: it speaks of no device)."},
	} {
		if len(r.of(part.kind, "")) == 0 {
			continue
		}
		r.f("## %s\n\n%s\n\n", part.title, part.text)
		var rows [][]string
		for _, set := range []string{Tuning, Sealed} {
			list := r.of(part.kind, set)
			for _, class := range classes(list) {
				pick := outcomes(list, func(_ *Result, o *Outcome) bool { return o.Attack == class })
				rows = append(rows, []string{set, class, share(pick, notified), brief(pick, inList), brief(pick, other)})
			}
		}
		r.table([]string{"seeds", "attack", "right name, notified", "listed", "any, notified"}, rows)
	}
}

func (r *report) real() {
	list := r.of(Splice, "")
	if len(list) == 0 {
		return
	}
	r.f("## Real captures\n\n")
	r.f("Real attack captures, put onto five real home devices after six real days of their own (five of them to learn), exported by two emulated routers. Not synthetic, but few.\n\n")
	days, alarms, beside := 0.0, 0, 0
	var rows [][]string
	for _, x := range list {
		days += x.DeviceDays
		for _, a := range x.Alarms {
			if x.DeviceDays > 0 {
				alarms++
				rows = append(rows, []string{x.Name, a.Device, a.Family, fmt.Sprint(a.Risk), cell(a.Text)})
			} else {
				beside++
			}
		}
	}
	runs := 0
	for _, x := range list {
		if x.DeviceDays > 0 {
			runs++
		}
	}
	r.f("%.0f real benign device-days, replayed as %d exports: %d alerts; beside the attacks, on devices not attacked: %d.", days/float64(max(1, runs)), runs, alarms, beside)
	if alarms == 0 && days > 0 {
		r.f(" None in so many days bounds the rate at %.2f a day only.", 3/(days/float64(max(1, runs))))
	}
	r.f("\n\n")
	if len(rows) > 0 {
		r.table([]string{"export", "device", "family", "risk", "alert"}, rows)
	}
	rows = nil
	for _, x := range list {
		for _, o := range x.Outcomes {
			rows = append(rows, []string{o.Attack, strings.Split(x.Name, "-")[1], o.Device, yes(o.Notified), yes(o.Listed), yes(o.Other), strings.Join(o.Families, ", ")})
		}
	}
	slices.SortStableFunc(rows, func(a, b []string) int { return strings.Compare(a[0], b[0]) })
	found := outcomes(list, anything)
	r.f("Right name, notified: %s.\n\n", share(found, notified))
	r.table([]string{"attack", "export", "device", "right name, notified", "listed", "any, notified", "families"}, rows)
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// cell is a text for a cell of a table.
func cell(s string) string {
	return strings.ReplaceAll(strings.ReplaceAll(s, "|", "/"), "\n", " ")
}
