package eval

import (
	"math"
	"slices"
	"strings"
	"time"

	"tidemark/cmd/sitesim/internal/site"
	"tidemark/cmd/sitesim/internal/trial"
)

// Result is what came of one trial, as it is kept in a file.
type Result struct {
	Name, Kind, Set    string
	Sampling           int     `json:",omitempty"`
	Maturity, Identity string  `json:",omitempty"`
	Program            string  // version of the program under test
	Seconds            float64 // the program took
	Flows              uint64
	DeviceDays         float64            // of devices the collector can tell apart
	LearnedDays        float64            // of them, after the learning period
	Alarms             []Alarm            `json:",omitempty"` // of benign trials
	Outcomes           []Outcome          `json:",omitempty"` // of the others
	Episodes           int                `json:",omitempty"`
	Examples           map[string]Example `json:",omitempty"` // an alert of each family
}

// Example is an alert as a reader sees it.
type Example struct {
	Text      string // by which people are told
	Explained string // by `alerts explain`
}

// Alarm is an alert that should not be.
type Alarm struct {
	Device, Class, Model string
	Family               string
	Risk                 int
	Notified             bool
	Opened               time.Time
	Learned              bool   // the device was, by its age
	Reason               string // the happening that explains it, or "ordinary life"
	Text                 string
}

// Outcome is whether an attack was found.
type Outcome struct {
	Attack        string
	Level         int
	Device, Class string
	Start         time.Time
	Octets, Daily uint64
	Notified      bool     // an alert of an accepted family, notified, in time
	Listed        bool     // the same, notified or not
	Other         bool     // a notified alert about the device in time, of any family
	Families      []string // of all alerts about the device that opened or grew in time
	Seconds       float64  // to the notified alert; sliced trials only, -1 = never
	Hidden        float64  // seconds until the first record about it was exported, -1 = never
	Text          string   `json:",omitempty"` // of the alert
}

// identify maps the program's ids of devices to the truth.
func identify(devices []known, truth []trial.Device) map[string]*trial.Device {
	byMAC, byAddress := map[string]*trial.Device{}, map[string]*trial.Device{}
	for i := range truth {
		d := &truth[i]
		byMAC[d.MAC] = d
		for _, a := range d.Addresses {
			if byAddress[a] == nil {
				byAddress[a] = d
			}
		}
	}
	m := map[string]*trial.Device{}
	for _, k := range devices {
		if d := byMAC[k.MAC]; d != nil {
			m[k.ID] = d
			continue
		}
		for _, a := range k.Addresses {
			if d := byAddress[a]; d != nil {
				m[k.ID] = d
				break
			}
		}
	}
	return m
}

// subject is what an alert is about: a device by the program's id, or by the address its text begins
// with, since a device that got another id meanwhile is no longer listed by the first; or a router,
// which is no device.
func subject(a *alert, devices map[string]*trial.Device, truth *trial.Truth) *trial.Device {
	if d := devices[a.Device]; d != nil {
		return d
	}
	title, _, _ := strings.Cut(a.Text, ": ")
	for i := range truth.Devices {
		if d := &truth.Devices[i]; strings.Contains(title, d.MAC) && d.MAC != "" {
			return d
		}
	}
	address, _, _ := strings.Cut(title, " ")
	for i := range truth.Devices {
		if slices.Contains(truth.Devices[i].Addresses, address) {
			return &truth.Devices[i]
		}
	}
	exporter, _ := strings.CutPrefix(title, "exporter ")
	for _, r := range truth.Routers {
		if r.Address == exporter {
			return &trial.Device{Name: r.Name, Class: "exporter", Model: r.Name}
		}
	}
	return nil
}

// slack is how much earlier than the attack an alert about it may seem to begin: detectors that judge
// hours or days date an alert to the beginning of the hour. One that reaches into the attack may be
// dated to the beginning of its slice of captures, for that is replayed in seconds: hours are a batch.
const (
	slack = time.Hour
	slice = 5 * time.Hour
)

// judge says what became of each attack. before are the alerts there were before the first attack: of
// those only such count that have grown since.
func (d *design) judge(truth *trial.Truth, devices map[string]*trial.Device, before, after []alert) []Outcome {
	before, after = apart(before), apart(after)
	old := map[string]alert{}
	for _, a := range before {
		old[a.ID] = a
	}
	classes := map[string]string{}
	for _, t := range truth.Devices {
		classes[t.Name] = t.Class
	}
	var out []Outcome
	for _, attack := range truth.Attacks {
		o := Outcome{Attack: attack.Attack, Level: attack.Level, Device: attack.Device, Class: classes[attack.Device], Start: attack.Start, Octets: attack.Octets, Daily: attack.Daily, Seconds: -1, Hidden: -1}
		if !attack.Exported.IsZero() {
			o.Hidden = attack.Exported.Sub(attack.Start).Seconds()
		}
		for _, a := range after {
			who := subject(&a, devices, truth)
			if who == nil || who.Name != attack.Device && !slices.Contains(attack.Also, who.Name) {
				continue
			}
			was, had := old[a.ID]
			grown := had && (a.Findings > was.Findings || a.Risk > was.Risk) && !a.Changed.Before(attack.Start)
			early := attack.Start.Add(-slack)
			if a.Changed.After(attack.Start) {
				early = attack.Start.Add(-slice)
			}
			fresh := !had && !a.Opened.Before(early) && !a.Opened.After(attack.Start.Add(d.window(attack.Attack)))
			if d.Kind == Ramp {
				fresh = !had && !a.Opened.Before(attack.Start)
			}
			if !grown && !fresh {
				continue
			}
			for _, family := range a.names() {
				if !slices.Contains(o.Families, family) {
					o.Families = append(o.Families, family)
				}
				o.Other = o.Other || a.Notify
				if !d.accepts(attack.Attack, family) {
					continue
				}
				o.Listed = true
				if teller := told(&a, after, attack.Start); teller != nil && !o.Notified {
					o.Notified, o.Text = true, teller.Text
				}
			}
		}
		slices.Sort(o.Families)
		out = append(out, o)
	}
	return out
}

// told is the alert by which people are told of a: itself, or a notified one that lists its device
// among those it tells of, such as that of the device that did it. nil if nobody is told.
func told(a *alert, list []alert, since time.Time) *alert {
	if a.Notify {
		return a
	}
	for i := range list {
		if b := &list[i]; b.Notify && !b.Changed.Before(since) && slices.Contains(b.Also, a.Device) {
			return b
		}
	}
	return nil
}

// listed is the least risk of an alert that operators see in their list.
const listed = 20

// alarms are the alerts of a trial without attacks, each with what explains it best.
func (d *design) alarms(truth *trial.Truth, devices map[string]*trial.Device, list []alert) []Alarm {
	var out []Alarm
	for _, a := range list {
		if a.Risk < listed {
			continue
		}
		who := subject(&a, devices, truth)
		if who == nil {
			who = &trial.Device{Name: "(nobody)", Class: "unknown", Model: "unknown"}
		}
		out = append(out, Alarm{
			Device: who.Name, Class: who.Class, Model: who.Model, Family: a.names()[0], Risk: a.Risk, Notified: a.Notify, Opened: a.Opened,
			Learned: a.Opened.Sub(d.config.Start) >= d.Learned, Reason: reason(who.Name, a.Opened, truth.Episodes), Text: a.Text,
		})
	}
	return out
}

// reason is the latest episode that touched the device and had begun, at most a day after its end.
func reason(device string, at time.Time, episodes []site.Episode) string {
	best, why := time.Time{}, "ordinary life"
	for _, e := range episodes {
		if e.Start.After(at.Add(time.Hour)) || at.After(e.End.Add(24*time.Hour)) || e.Start.Before(best) || !slices.Contains(e.Devices, device) {
			continue
		}
		best, why = e.Start, e.What
	}
	return why
}

// days are the device-days of a trial, and those of learned devices.
func (d *design) days(truth *trial.Truth) (all, learned float64) {
	length := d.config.Length.Hours() / 24
	for _, t := range truth.Devices {
		if t.Seen {
			all += length
			learned += max(0, length-d.Learned.Hours()/24)
		}
	}
	return all, learned
}

// wilson is the 95 % interval of a share (Wilson, JASA 22, 1927).
func wilson(k, n int) (lo, hi float64) {
	if n == 0 {
		return 0, 1
	}
	const z = 1.96
	p, m := float64(k)/float64(n), float64(n)
	mid := p + z*z/(2*m)
	half := z * math.Sqrt(p*(1-p)/m+z*z/(4*m*m))
	return max(0, (mid-half)/(1+z*z/m)), min(1, (mid+half)/(1+z*z/m))
}

// quantile is the q-quantile of the values, the larger one of two.
func quantile(values []float64, q float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(values))
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}

// poissonUpper is the upper end of the one-sided 95 % interval of a Poisson count.
func poissonUpper(k int) float64 {
	lo, hi := float64(k), float64(k)+10+5*math.Sqrt(float64(k)+1)
	for range 60 { // P(X <= k | m) falls as m grows
		m := (lo + hi) / 2
		term, sum := math.Exp(-m), 0.0
		for i := 0; i <= k; i++ {
			sum += term
			term *= m / float64(i+1)
		}
		if sum > .05 {
			lo = m
		} else {
			hi = m
		}
	}
	return hi
}
