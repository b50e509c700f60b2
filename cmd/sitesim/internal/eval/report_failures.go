package eval

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// most bounds the lists of failures.
const most = 40

// failures lists what went wrong with tuning seeds.
func (r *report) failures() {
	r.f("## Failures\n\nOf tuning seeds and real captures only; at most %d of each.\n\n", most)
	var rows [][]string
	for _, x := range r.of(Benign, Tuning) {
		for _, a := range x.Alarms {
			if a.Notified {
				rows = append(rows, []string{x.Name, a.Model, a.Family, a.Reason, cell(a.Text)})
			}
		}
	}
	r.f("### Notified false alarms: %d\n\n", len(rows))
	slices.SortStableFunc(rows, func(a, b []string) int { return strings.Compare(a[3]+a[2], b[3]+b[2]) })
	r.table([]string{"trial", "device", "family", "what happened", "alert"}, thin(rows))
	missed := func(title string, list []*Result, keep func(x *Result) bool) {
		var rows [][]string
		for _, x := range list {
			for _, o := range x.Outcomes {
				if !o.Notified && keep(x) {
					rows = append(rows, []string{o.Attack, fmt.Sprint(o.Level), x.Name, o.Device, o.Start.Format("Mon 15:04"), fmt.Sprint(o.Octets), fmt.Sprint(o.Daily), yes(o.Listed), strings.Join(o.Families, ", ")})
				}
			}
		}
		r.f("### %s: %d\n\n", title, len(rows))
		slices.SortStableFunc(rows, func(a, b []string) int { return strings.Compare(a[0]+a[1], b[0]+b[1]) })
		r.table([]string{"attack", "level", "trial", "device", "began", "octets", "usual upload a day", "right name, listed", "families of alerts there were"}, thin(rows))
	}
	plain := func(x *Result) bool { return x.Sampling == 1 && x.Maturity == "learned" }
	missed("Attacks on learned devices that unsampled routers saw and nobody was notified of by the right name", r.struck(Tuning), plain)
	missed("The same of younger devices or through sampling", r.struck(Tuning), func(x *Result) bool { return !plain(x) })
	missed("The same of poisoning, ramps, and what the operator configured", slices.Concat(r.of(Poison, Tuning), r.of(Ramp, Tuning), r.of(Told, Tuning)), func(*Result) bool { return true })
	missed("The same of real attacks", r.of(Splice, ""), func(*Result) bool { return true })
}

// thin picks at most so many rows, evenly.
func thin(rows [][]string) [][]string {
	if len(rows) <= most {
		return rows
	}
	var some [][]string
	for i := range most {
		some = append(some, rows[i*len(rows)/most])
	}
	return some
}

func (r *report) examples() {
	seen := map[string]Example{}
	for _, x := range r.all {
		for family, e := range x.Examples {
			if _, ok := seen[family]; !ok {
				seen[family] = e
			}
		}
	}
	if len(seen) == 0 {
		return
	}
	r.f("## One alert of each family\n\nFrom these trials: the line by which people are told, and how `tidemark alerts explain` explains it.\n\n")
	for _, family := range slices.Sorted(maps.Keys(seen)) {
		r.f("### %s\n\n> %s\n\n```\n%s\n```\n\n", family, cell(seen[family].Text), strings.TrimSpace(seen[family].Explained))
	}
}

func (r *report) limits() {
	r.f("## What counts as the right name\n\n")
	var rows [][]string
	for _, class := range slices.Sorted(maps.Keys(accepted)) {
		rows = append(rows, []string{class, strings.Join(accepted[class].families, ", "), accepted[class].within.String()})
	}
	r.table([]string{"attack", "families", "within"}, rows)
	r.f("## Limits\n\n" +
		"- Synthetic devices are simpler than real ones; a rate of false alarms measured on them is a lower bound until real sites say otherwise. Half of the parameters are guesses (`sitesim models` says which).\n" +
		"- A trial is replayed as fast as it goes: a batch holds hours of simulated time, where a live collector has seconds. Times to detect come from trials replayed in slices.\n" +
		"- Many attacks meet one site in a trial, on different devices; a collector that merges alerts across devices or limits them per site is judged by what it says of each device.\n" +
		"- Attacks of one class and level differ by device, hour and random numbers only.\n")
}
