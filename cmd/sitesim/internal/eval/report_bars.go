package eval

import (
	"fmt"
	"math"
	"slices"
)

// A bar is what is asked for, and what was measured.
type bar struct {
	name, want, got string
	ok              bool
}

func (r *report) bars() {
	var rows [][]string
	for _, set := range []string{Tuning, Sealed, "real"} {
		list := r.judgeBars(set)
		if set == "real" {
			list = r.judgeReal()
		}
		for _, b := range list {
			verdict := "**not reached**"
			if b.ok {
				verdict = "reached"
			}
			rows = append(rows, []string{set, b.name, b.want, b.got, verdict})
		}
	}
	r.f("## Bars\n\nOf tuning and sealed seeds synthetic; of real captures apart.\n\n")
	r.table([]string{"seeds", "what", "bar", "measured", ""}, rows)
}

// judgeReal are the bars of the real captures: an alert counts if it is listed.
func (r *report) judgeReal() (bars []bar) {
	list := r.of(Splice, "")
	if all := outcomes(list, anything); len(all) > 0 {
		k := 0
		for i := range all {
			if all[i].Listed {
				k++
			}
		}
		bars = append(bars, bar{"every attack on a device after its real benign days raises an alert of an accepted family on it", "all", share(all, inList), k == len(all)})
	}
	days, runs, alarms := 0.0, 0, 0
	for _, x := range list {
		if x.DeviceDays > 0 {
			days, runs, alarms = days+x.DeviceDays, runs+1, alarms+len(x.Alarms)
		}
	}
	if runs > 0 {
		bars = append(bars, bar{"alerts in the real benign days alone", "0", fmt.Sprintf("%d in %.0f device-days, exported %d times", alarms, days/float64(runs), runs), alarms == 0})
	}
	return bars
}

// struck are the trials with attacks of all parts that have learned devices on unsampled routers.
func (r *report) struck(set string) []*Result {
	return slices.Concat(r.of(Attacks, set), r.of(Bars, set), r.of(Timing, set))
}

func (r *report) judgeBars(set string) (bars []bar) {
	if benign := r.of(Benign, set); len(benign) > 0 {
		k, days := count(benign, func(a *Alarm) bool { return a.Notified }), sumDays(benign)
		rate := float64(k) / days
		bars = append(bars, bar{"notified alerts per benign device and day", "≤ 0.005 over ≥ 10,000 device-days", fmt.Sprintf("%.4f (%d in %.0f; 95 %% below %.4f)", rate, k, days, poissonUpper(k)/days), rate <= .005 && days >= 10000})
	}
	cells := r.struck(set)
	recall := func(name string, want float64, classes []string, keep func(x *Result, o *Outcome) bool) {
		list := outcomes(cells, func(x *Result, o *Outcome) bool { return slices.Contains(classes, o.Attack) && keep(x, o) })
		if len(list) == 0 {
			return
		}
		k := 0
		for _, o := range list {
			if o.Notified {
				k++
			}
		}
		bars = append(bars, bar{name, fmt.Sprintf("%.2f", want), share(list, notified), float64(k) >= want*float64(len(list))})
	}
	plain := func(x *Result, _ *Outcome) bool { return x.Sampling == 1 }
	grown := func(x *Result, _ *Outcome) bool { return x.Sampling == 1 && x.Maturity == "learned" }
	recall("scan, brute force and DDoS, unsampled", .98, quick, plain)
	var waits []float64
	for _, o := range outcomes(r.of(Timing, set), func(_ *Result, o *Outcome) bool {
		return slices.Contains(quick, o.Attack)
	}) {
		waits = append(waits, wait(o)-max(0, o.Hidden))
	}
	if len(waits) > 0 {
		p := quantile(waits, .95)
		bars = append(bars, bar{"their time to detect from the first record exported, p95, unsampled", "< 60 s", seconds(p), p <= 60})
	}
	recall("C2 on novel peers, learned devices, unsampled", .93, []string{"beacon"}, grown)
	recall("exfiltration of three times the daily upload or more, learned, unsampled", .95, []string{"exfiltration"}, func(x *Result, o *Outcome) bool { return grown(x, o) && o.Octets >= 3*o.Daily })
	recall("new destination, service and access, learned, unsampled", .97, []string{"new-destination", "new-service", "wan-access"}, grown)
	recall("lateral movement, spoofing, silence, learned, unsampled", .90, []string{"lateral", "spoof", "theft"}, grown)
	if list := outcomes(r.of(Poison, set), anything); len(list) > 0 {
		k := 0
		for _, o := range list {
			if o.Notified {
				k++
			}
		}
		bars = append(bars, bar{"poisoned from hour zero, within seven days", "0.70", share(list, notified), float64(k) >= .7*float64(len(list))})
	}
	return bars
}

// wait is the time to detect, endless if it never was.
func wait(o Outcome) float64 {
	if o.Seconds < 0 {
		return math.Inf(1)
	}
	return o.Seconds
}

func seconds(s float64) string {
	switch {
	case math.IsNaN(s):
		return "–"
	case math.IsInf(s, 1):
		return "never"
	case s < 120:
		return fmt.Sprintf("≤ %.0f s", s)
	case s < 7200:
		return fmt.Sprintf("≤ %.0f min", s/60)
	}
	return fmt.Sprintf("≤ %.1f h", s/3600)
}
