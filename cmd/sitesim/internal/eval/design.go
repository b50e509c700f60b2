// Package eval measures a collector from outside: it lets it replay simulated and real sites, asks it
// for its alerts, and compares them with the truth.
//
// It knows the collector's command line and the names of its families of alerts, and nothing of how
// it detects. All it may do to a detector is to run it.
package eval

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"tidemark/cmd/sitesim/internal/export"
	"tidemark/cmd/sitesim/internal/site"
	"tidemark/cmd/sitesim/internal/trial"
)

// Sets of seeds. The first is for tuning detectors; nobody looks at the failures of the second.
const (
	Tuning = "tuning"
	Sealed = "sealed"
)

// Kinds of trials, which are the parts of an evaluation.
const (
	Benign  = "benign"  // weeks of ordinary life with hard negatives
	Attacks = "attacks" // every attack at one sampling rate, maturity and identity
	Bars    = "bars"    // many of the attacks that have bars, on learned devices of unsampled routers
	Timing  = "timing"  // the same in slices of seconds, to see when an alert comes
	Delays  = "delays"  // the same at other sampling rates, maturities and identities, in fewer slices
	Poison  = "poison"  // attacks from the first hour on
	Ramp    = "ramp"    // uploads that grow day by day
	Told    = "told"    // what is wrong by what the operator configured, or is wrong with a router
	Splice  = "splice"  // real attacks on real devices
)

// Parts are all kinds, in the order in which they run.
var Parts = []string{Benign, Attacks, Bars, Timing, Delays, Poison, Ramp, Told, Splice}

// A design is one trial to run.
type design struct {
	Name, Kind, Set    string
	Sampling           int
	Maturity, Identity string
	Learned            time.Duration // devices are learned from then on
	config             trial.Config
	grafts             map[string][]string // of real attacks: accepted families
}

const day = 24 * time.Hour

// learning is the collector's default, as its documentation tells operators.
const learning = 7 * day

// monday is when every trial begins.
var monday = time.Date(2026, 9, 7, 0, 0, 0, 0, time.UTC)

// In summerZone clocks show UTC until summer, and an hour more from then on.
const summerZone = "Europe/London"

var summer = time.Date(2026, 3, 29, 0, 0, 0, 0, time.UTC)

// dated moves a trial whose clocks change to the weeks around a Sunday on which they do.
func dated(c *trial.Config) {
	changed := false
	c.Episodes = slices.DeleteFunc(c.Episodes, func(e trial.Timed) bool {
		again := changed && e.What == "daylight-saving"
		changed = changed || e.What == "daylight-saving"
		return again // they go ahead once
	})
	for i := range c.Episodes {
		if e := &c.Episodes[i]; e.What == "daylight-saving" {
			e.At = min(e.At/(7*day), c.Length/(7*day)-1)*7*day + 6*day
			c.Start = summer.Add(-e.At)
		}
	}
}

// bases of the seeds.
var bases = map[string]uint64{Tuning: 1000, Sealed: 770000}

// factors are one combination of factors.
type factors struct {
	sampling           int
	maturity, identity string
}

// size scales an evaluation.
type size struct {
	benignRuns, benignDevices, benignDays int
	attackDevices                         int
	barDevices                            int
	cells                                 int // of the 18 of sampling, maturity and identity
	barRuns                               int
	timingRuns                            int
	delays                                []factors
	rampDevices                           int
}

var (
	full  = size{benignRuns: 3, benignDevices: 130, benignDays: 28, attackDevices: 68, barDevices: 90, cells: 18, barRuns: 4, timingRuns: 2, rampDevices: 24, delays: []factors{{1, "learned", "IP"}, {1, "learning", "MAC"}, {1, "initial", "MAC"}, {100, "learned", "MAC"}, {1000, "learned", "MAC"}}}
	short = size{benignRuns: 1, benignDevices: 40, benignDays: 10, attackDevices: 70, barDevices: 90, cells: 1, barRuns: 1, timingRuns: 0, rampDevices: 0}
)

// designs are the trials of some parts with one set of seeds.
func designs(parts []string, set string, s size) []design {
	var all []design
	for _, part := range parts {
		switch part {
		case Benign:
			for i := range s.benignRuns {
				all = append(all, benign(set, i, s))
			}
		case Attacks:
			for i := range s.cells {
				all = append(all, attacks(set, i, s))
			}
		case Bars:
			for i := range s.barRuns {
				all = append(all, bars(set, i, s))
			}
		case Timing:
			for i := range s.timingRuns {
				all = append(all, timing(set, i, s))
			}
		case Delays:
			for i, c := range s.delays {
				all = append(all, delays(set, i, c))
			}
		case Poison:
			all = append(all, poison(set, s))
		case Ramp:
			if s.rampDevices > 0 {
				all = append(all, ramp(set, s))
			}
		case Told:
			all = append(all, configured(set))
		}
	}
	return all
}

// benign is a site whose weeks hold one unusual but harmless thing after the other.
func benign(set string, i int, s size) design {
	seed := bases[set] + uint64(i)
	rng := rand.New(rand.NewPCG(seed, 1))
	c := trial.Config{Seed: seed, Devices: s.benignDevices, Start: monday, Length: time.Duration(s.benignDays) * day, Overlap: i%3 == 1, Taps: map[string]trial.Tap{
		"A": tap(rng, 1, i%4 == 3), "B": tap(rng, 1, false), "C": tap(rng, []int{1, 1, 100}[i%3], i%2 == 0), "D": tap(rng, []int{100, 1, 256, 1}[i%4], false),
	}}
	for name, t := range c.Taps {
		t.Loss, t.Skew = .003*rng.Float64(), time.Duration(rng.IntN(8)-3)*time.Second
		t.NoFlags = name == "A" && i%4 == 2
		t.NAT = name == "D" && i%4 == 1
		c.Taps[name] = t
	}
	var kinds []string
	for _, h := range site.Happenings() {
		kinds = append(kinds, h[0])
	}
	kinds = append(kinds, "exporter-reboot", "sampling-change")
	rng.Shuffle(len(kinds), func(i, j int) { kinds[i], kinds[j] = kinds[j], kinds[i] })
	at, k := learning+time.Duration(rng.IntN(24))*time.Hour, 0
	for at < c.Length-day {
		c.Episodes = append(c.Episodes, trial.Timed{What: kinds[k%len(kinds)], At: at})
		k++
		at += time.Duration(20+rng.IntN(24)) * time.Hour
	}
	for at := 3*day + 15*time.Hour + 30*time.Minute; at < c.Length; at += 84 * time.Hour {
		c.Cuts = append(c.Cuts, at) // so that scoring, which lags behind a fast replay, sees little of what is to come
	}
	c.Late = []site.Late{{Model: "phone-app", After: 8*day + time.Duration(rng.IntN(48))*time.Hour}, {Model: "tapo-plug", After: 9*day + 10*time.Hour}}
	dated(&c)
	return design{Name: fmt.Sprintf("benign-%s-%d", set, i), Kind: Benign, Set: set, Learned: learning, config: c}
}

// tap draws a router: with MAC addresses or without, at a sampling rate.
func tap(rng *rand.Rand, sampling int, bare bool) trial.Tap {
	t := trial.Tap{
		Active:   []time.Duration{2, 5, 5, 10, 30}[rng.IntN(5)] * time.Minute,
		Inactive: []time.Duration{15, 15, 30}[rng.IntN(3)] * time.Second, Sampling: sampling, NoMAC: bare,
	}
	protocols := []export.Protocol{export.NetFlow9, export.IPFIX, export.IPFIX}
	switch {
	case bare:
		protocols = append(protocols, export.NetFlow5)
	case sampling > 1:
		protocols = append(protocols, export.SFlow, export.SFlow)
	}
	t.Protocol = protocols[rng.IntN(len(protocols))]
	t.Biflow = t.Protocol == export.IPFIX && rng.IntN(2) == 0
	return t
}

// Factors of the attacks.
var (
	samplings  = []int{1, 100, 1000}
	maturities = []string{"initial", "learning", "learned"}
	identities = []string{"MAC", "IP"}
	ages       = map[string]time.Duration{"initial": 12 * time.Hour, "learning": 4 * day, "learned": 9 * day}
)

// names are the attacks with five levels, those that need a run of their own left out.
func names() []string {
	var all []string
	for _, a := range site.Attacks() {
		if a.Levels != [5]float64{} && a.Name != "ramp" {
			all = append(all, a.Name)
		}
	}
	return all
}

// attacks is one cell of the factors. Levels take turns, so that each attack meets each level in
// about as many cells (a Latin square); the learned, unsampled, MAC cell has all of them.
func attacks(set string, cell int, s size) design {
	if s.cells == 1 {
		cell = 4 // unsampled, learned, MAC
	}
	sampling, maturity, identity := samplings[cell/6], maturities[cell/2%3], identities[cell%2]
	seed := bases[set] + 100 + uint64(cell)
	rng := rand.New(rand.NewPCG(seed, 2))
	begin := ages[maturity]
	c := trial.Config{Seed: seed, Devices: s.attackDevices, Start: monday, Length: begin + 28*time.Hour, Taps: taps(rng, sampling, identity)}
	for at := begin; at < c.Length; at += 5 * time.Hour {
		c.Cuts = append(c.Cuts, at) // a device that is gone for hours is back at the end of the day
	}
	for k, name := range names() {
		if name == "spoof" && identity == "IP" || name == "theft" && maturity == "initial" {
			continue // there is nothing to see
		}
		for _, level := range []int{(k + cell) % 5, (k + cell + 2) % 5} {
			c.Strikes = append(c.Strikes, trial.Strike{Attack: name, Level: level, At: begin + hour(name, rng)})
		}
	}
	return design{Name: fmt.Sprintf("attacks-%s-%d-%s-%s", set, sampling, maturity, identity), Kind: Attacks, Set: set, Sampling: sampling, Maturity: maturity, Identity: identity, Learned: learning, config: c}
}

// samples are the attacks of the part bars and how many there are of each with one set of seeds: so
// many that a share of 0.93 or 0.97 means something. Fixed on 2026-11-23, before any of them was run.
var samples = []struct {
	attack string
	n      int
}{
	{"beacon", 40}, {"exfiltration", 40},
	{"new-destination", 20}, {"new-service", 20}, {"wan-access", 20},
	{"lateral", 10}, {"plc-write", 10}, {"spoof", 10}, {"theft", 10},
}

// identified are the exporters by what devices are known by: NetFlow v5 has no MAC addresses.
var identified = map[string][]trial.Tap{
	"MAC": {{Protocol: export.NetFlow9}, {Protocol: export.IPFIX}, {Protocol: export.NetFlow9}, {Protocol: export.IPFIX, Biflow: true}},
	"IP":  {{Protocol: export.NetFlow5}, {Protocol: export.NetFlow9}, {Protocol: export.IPFIX}, {Protocol: export.IPFIX, Biflow: true}},
}

// bars is one of the trials that make the sample of the bars large enough. Half of them know devices
// by MAC, half by address; the strikes of a class are dealt to them in turn, with levels in turn, and
// to two days. A site has about as many strikes a day as one of the part attacks, and no more of
// them from one network outside: two of each class, on one day.
func bars(set string, i int, s size) design {
	identity := identities[i%2]
	seed := bases[set] + 600 + uint64(i)
	rng := rand.New(rand.NewPCG(seed, 7))
	begin := ages["learned"]
	c := trial.Config{Seed: seed, Devices: s.barDevices, Start: monday, Length: begin + 52*time.Hour, Taps: taps(rng, 1, identity)}
	for k, name := range []string{"A", "B", "C", "D"} {
		t, like := c.Taps[name], identified[identity][(k+i/2)%4]
		t.Protocol, t.Biflow = like.Protocol, like.Biflow
		c.Taps[name] = t
	}
	for at := begin; at < c.Length; at += 5 * time.Hour {
		c.Cuts = append(c.Cuts, at)
	}
	for _, x := range samples {
		dealt := 0
		for j := range x.n {
			to := j % 4
			if x.attack == "spoof" { // nothing to see without MAC addresses
				to = j % 2 * 2
			}
			if to != i {
				continue
			}
			c.Strikes = append(c.Strikes, trial.Strike{Attack: x.attack, Level: j / 2 % 5, Camp: dealt/4*2 + dealt%2, At: begin + time.Duration(dealt%2)*day + hour(x.attack, rng)})
			dealt++
		}
	}
	return design{Name: fmt.Sprintf("bars-%s-%d-%s", set, i, identity), Kind: Bars, Set: set, Sampling: 1, Maturity: "learned", Identity: identity, Learned: learning, config: c}
}

func taps(rng *rand.Rand, sampling int, identity string) map[string]trial.Tap {
	m := map[string]trial.Tap{}
	for _, name := range []string{"A", "B", "C", "D"} {
		t := tap(rng, sampling, identity == "IP")
		t.Active = []time.Duration{1, 5, 10}[rng.IntN(3)] * time.Minute
		m[name] = t
	}
	return m
}

// hour is when an attack strikes after the cut, which is at midnight, or at noon of the first day.
func hour(name string, rng *rand.Rand) time.Duration {
	switch name {
	case "odd-hour":
		return 2*time.Hour + 30*time.Minute
	case "slow-scan":
		return time.Hour
	case "theft", "beacon":
		return time.Duration(60+rng.IntN(240)) * time.Minute
	}
	return time.Duration(60+rng.IntN(1200)) * time.Minute
}

// timing has two waves of attacks on learned devices of unsampled routers, and slices around them.
func timing(set string, i int, s size) design {
	seed := bases[set] + 200 + uint64(i)
	rng := rand.New(rand.NewPCG(seed, 3))
	c := trial.Config{Seed: seed, Devices: s.attackDevices, Start: monday, Length: 9*day + 14*time.Hour, Taps: taps(rng, 1, "MAC")}
	for name, t := range c.Taps {
		t.Active, t.Inactive = time.Minute, 15*time.Second
		c.Taps[name] = t
	}
	waves := []time.Duration{8*day + 10*time.Hour, 8*day + 19*time.Hour}
	for k, name := range names() {
		if slow(name) {
			continue
		}
		for w, wave := range waves {
			c.Strikes = append(c.Strikes, trial.Strike{Attack: name, Level: 1 + (k+i+2*w)%4, At: wave})
		}
	}
	for _, wave := range waves {
		c.Cuts = append(c.Cuts, wave)
		for after := 10 * time.Second; after <= 3*time.Minute; after += 10 * time.Second {
			c.Cuts = append(c.Cuts, wave+after)
		}
		for _, after := range []time.Duration{5, 10, 20, 30, 60, 120, 240, 480} {
			c.Cuts = append(c.Cuts, wave+after*time.Minute)
		}
	}
	return design{Name: fmt.Sprintf("timing-%s-%d", set, i), Kind: Timing, Set: set, Sampling: 1, Maturity: "learned", Identity: "MAC", Learned: learning, config: c}
}

// delays has one wave of attacks, two of each class, and slices around it.
func delays(set string, i int, f factors) design {
	seed := bases[set] + 700 + uint64(i)
	rng := rand.New(rand.NewPCG(seed, 8))
	wave := ages[f.maturity] + 10*time.Hour
	c := trial.Config{Seed: seed, Devices: 60, Start: monday, Length: wave + 4*time.Hour, Taps: taps(rng, f.sampling, f.identity), Cuts: []time.Duration{wave}}
	for name, t := range c.Taps {
		t.Active, t.Inactive = time.Minute, 15*time.Second
		c.Taps[name] = t
	}
	for k, name := range names() {
		if slow(name) || name == "spoof" && f.identity == "IP" {
			continue
		}
		for w := range 2 {
			c.Strikes = append(c.Strikes, trial.Strike{Attack: name, Level: 1 + (k+i+2*w)%4, At: wave})
		}
	}
	for _, after := range []time.Duration{10, 20, 30, 45, 70, 120, 300, 900, 3600} {
		c.Cuts = append(c.Cuts, wave+after*time.Second)
	}
	return design{Name: fmt.Sprintf("delays-%s-%d-%s-%s", set, f.sampling, f.maturity, f.identity), Kind: Delays, Set: set, Sampling: f.sampling, Maturity: f.maturity, Identity: f.identity, Learned: learning, config: c}
}

// slow are attacks that seconds say nothing of.
func slow(name string) bool { return name == "odd-hour" || name == "slow-scan" || name == "theft" }

// poison has attacks from the second hour on, every day for a week.
func poison(set string, s size) design {
	seed := bases[set] + 300
	rng := rand.New(rand.NewPCG(seed, 4))
	c := trial.Config{Seed: seed, Devices: min(70, s.attackDevices), Start: monday, Length: 7 * day, Taps: taps(rng, 1, "MAC")}
	for k, name := range []string{"beacon", "exfiltration", "slow-scan", "scan", "brute-out", "dns-tunnel", "lateral", "wan-access", "new-destination", "plc-write"} {
		for n := range 3 {
			c.Strikes = append(c.Strikes, trial.Strike{Attack: name, Level: (k + 2*n) % 5, At: time.Duration(1+n) * time.Hour})
		}
	}
	return design{Name: "poison-" + set, Kind: Poison, Set: set, Sampling: 1, Maturity: "initial", Identity: "MAC", Learned: learning, config: c}
}

// ramp lets the uploads of learned devices grow for three weeks.
func ramp(set string, s size) design {
	seed := bases[set] + 400
	rng := rand.New(rand.NewPCG(seed, 5))
	c := trial.Config{Seed: seed, Devices: s.rampDevices, Start: monday, Length: 30 * day, Taps: taps(rng, 1, "MAC")}
	for at := 9 * day; at < c.Length; at += day {
		c.Cuts = append(c.Cuts, at) // a device is judged every day, not after three weeks
	}
	for n := range 10 {
		c.Strikes = append(c.Strikes, trial.Strike{Attack: "ramp", Level: n % 5, At: 9 * day})
	}
	return design{Name: "ramp-" + set, Kind: Ramp, Set: set, Sampling: 1, Maturity: "learned", Identity: "MAC", Learned: learning, config: c}
}

// configured has a site whose operator keeps a list of bad addresses and has the MUD files of makers: two
// listed hosts are called, two devices do what their files don't permit, two come that nobody
// announced, and a router falls silent. See told.go.
func configured(set string) design {
	seed := bases[set] + 500
	rng := rand.New(rand.NewPCG(seed, 6))
	begin := 9 * day
	c := trial.Config{Seed: seed, Devices: 50, Start: monday, Length: begin + 16*time.Hour, Taps: taps(rng, 1, "MAC"),
		Cuts:     []time.Duration{begin, begin + 10*time.Hour},
		Episodes: []trial.Timed{{What: "exporter-gone", At: begin + 10*time.Hour}},
		Late:     []site.Late{{Model: "tapo-plug", After: begin + 2*time.Hour}, {Model: "phone-app", After: begin + 3*time.Hour}},
	}
	for n := range 2 {
		at := begin + time.Duration(1+n)*time.Hour
		c.Strikes = append(c.Strikes, trial.Strike{Attack: "beacon", Level: 2 * n, At: at}, trial.Strike{Attack: "lateral", Level: 2 + n, At: at})
	}
	return design{Name: "told-" + set, Kind: Told, Set: set, Sampling: 1, Maturity: "learned", Identity: "MAC", Learned: learning, config: c}
}

// accepted are the families of alerts that name an attack rightly, and how long after its beginning
// one counts. Fixed before any run.
var accepted = map[string]struct {
	families []string
	within   time.Duration
}{
	"scan":            {[]string{"scan"}, time.Hour},
	"slow-scan":       {[]string{"scan"}, 26 * time.Hour},
	"brute-force":     {[]string{"brute_force", "access", "failed_access"}, time.Hour},
	"brute-out":       {[]string{"brute_force", "scan"}, time.Hour},
	"ddos":            {[]string{"flood", "ddos"}, time.Hour},
	"syn-flood":       {[]string{"flood", "ddos"}, time.Hour},
	"reflection":      {[]string{"reflection", "flood", "ddos"}, time.Hour},
	"beacon":          {[]string{"beacon", "new_destination", "threat_intel"}, 24 * time.Hour},
	"dns-tunnel":      {[]string{"exfiltration", "dns_tunnel", "volume"}, 2 * time.Hour},
	"exfiltration":    {[]string{"exfiltration", "new_destination", "volume"}, 90 * time.Minute},
	"new-destination": {[]string{"new_destination"}, 2 * time.Hour},
	"new-service":     {[]string{"new_service", "access"}, 2 * time.Hour},
	"wan-access":      {[]string{"access"}, 2 * time.Hour},
	"lateral":         {[]string{"lateral", "new_destination", "new_service"}, 2 * time.Hour},
	"plc-write":       {[]string{"ics", "access", "lateral", "new_service"}, 2 * time.Hour},
	"spoof":           {[]string{"spoof"}, 2 * time.Hour},
	"theft":           {[]string{"silence"}, 26 * time.Hour},
	"odd-hour":        {[]string{"unexpected_hour"}, 4 * time.Hour},
	"volume":          {[]string{"volume", "drift", "exfiltration"}, 3 * time.Hour},
	"ramp":            {[]string{"growth", "drift", "volume", "exfiltration"}, 21 * day},
	listedPeer:        {[]string{"threat_intel"}, 2 * time.Hour},
	notPermitted:      {[]string{"mud"}, 2 * time.Hour},
	newDevice:         {[]string{"new_device"}, 2 * time.Hour},
	routerGone:        {[]string{"coverage"}, 2 * time.Hour},
}

// sliced says whether the trial tells when an alert comes.
func (d *design) sliced() bool { return d.Kind == Timing || d.Kind == Delays }

// window is how long after its beginning an alert about an attack of this trial counts.
func (d *design) window(attack string) time.Duration {
	switch d.Kind {
	case Poison:
		return 7 * day
	case Splice:
		return 2 * time.Hour
	}
	return accepted[attack].within
}

func (d *design) accepts(attack, family string) bool {
	return slices.Contains(accepted[attack].families, family) || slices.Contains(d.grafts[attack], family) || d.Kind == Poison && family == "drift"
}
