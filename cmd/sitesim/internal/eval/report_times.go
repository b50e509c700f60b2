package eval

import (
	"fmt"
	"slices"
)

func (r *report) times() {
	r.f("## Time to detect, synthetic\n\n")
	r.f("From the first malicious packet, or from the first record about it that the router exported, to the end of the slice of exports after which the alert was there: learned devices, unsampled routers, active timeout 60 s, inactive 15 s. The slices end every 10 s for 3 min, then 5, 10, 20, 30 min, 1, 2, 4 and 8 h after the first packet, so each figure is an upper bound; what a live collector adds is the age of a batch (5 s). p95 is `never` when more than 5 %% were not found.\n\n")
	for _, set := range []string{Tuning, Sealed} {
		list := r.of(Timing, set)
		if len(list) == 0 {
			continue
		}
		var rows [][]string
		for _, class := range classes(list) {
			var all, found, hidden []float64
			for _, o := range outcomes(list, func(_ *Result, o *Outcome) bool { return o.Attack == class }) {
				all = append(all, wait(o)-max(0, o.Hidden))
				if o.Hidden >= 0 {
					hidden = append(hidden, o.Hidden)
				}
				if o.Seconds >= 0 {
					found = append(found, o.Seconds)
				}
			}
			rows = append(rows, []string{class, fmt.Sprintf("%d/%d", len(found), len(all)), seconds(quantile(hidden, .5)), seconds(quantile(found, .5)), seconds(quantile(all, .5)), seconds(quantile(all, .95))})
		}
		r.f("%s seeds:\n\n", set)
		r.table([]string{"attack", "found", "first record exported, p50", "found after the first packet, p50 of those found", "found after the first record, p50 of all", "p95 of all"}, rows)
	}
}

// quick are the attacks of which people must be told within a minute.
var quick = []string{"scan", "brute-force", "brute-out", "ddos", "syn-flood", "reflection"}

// delays are times to detect by level, sampling rate, maturity and identity.
func (r *report) delays() {
	for _, set := range []string{Tuning, Sealed} {
		fine := r.of(Timing, set)
		var rows [][]string
		row := func(name string, list []Outcome) {
			row := []string{name}
			for _, some := range [][]Outcome{list, slices.DeleteFunc(slices.Clone(list), func(o Outcome) bool { return !slices.Contains(quick, o.Attack) })} {
				var waits []float64
				found := 0
				for _, o := range some {
					waits = append(waits, wait(o)-max(0, o.Hidden))
					if o.Seconds >= 0 {
						found++
					}
				}
				row = append(row, fmt.Sprintf("%d/%d", found, len(some)), seconds(quantile(waits, .5)), seconds(quantile(waits, .95)))
			}
			rows = append(rows, row)
		}
		if list := outcomes(fine, anything); len(list) > 0 {
			row("1:1, learned, MAC (as above)", list)
		}
		for level := range 5 {
			if list := outcomes(fine, func(_ *Result, o *Outcome) bool { return o.Level == level }); len(list) > 0 {
				row(fmt.Sprintf("of these level %d", level), list)
			}
		}
		for _, x := range r.of(Delays, set) {
			row(fmt.Sprintf("1:%d, %s, %s", x.Sampling, x.Maturity, x.Identity), x.Outcomes)
		}
		if len(rows) > 0 {
			r.f("%s seeds, after the first record, by level, sampling rate, maturity and identity. Other combinations than the first in fewer slices (10, 20, 30, 45, 70 s, 2, 5, 15 min, 1 and 4 h), two attacks of each class:\n\n", set)
			r.table([]string{"trials", "all attacks found", "p50 of all", "p95 of all", "scan, brute force, DDoS found", "p50", "p95"}, rows)
		}
	}
}
