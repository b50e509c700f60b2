package eval

import (
	"fmt"
	"slices"
	"testing"

	"tidemark/cmd/sitesim/internal/export"
	"tidemark/cmd/sitesim/internal/trial"
)

// TestBars_TheSampleIsWhatTheNotesSay: of each class as many strikes as were fixed, half of them on
// devices known by MAC and half by address, at even levels, each on a device of its own, all of them
// learned and seen by unsampled routers of every protocol that names devices.
func TestBars_TheSampleIsWhatTheNotesSay(t *testing.T) {
	least := map[string]int{"beacon": 32, "exfiltration": 24, "new-destination": 16, "new-service": 16, "wan-access": 16, "lateral": 8, "plc-write": 8, "spoof": 8, "theft": 8}
	for _, set := range []string{Tuning, Sealed} {
		count, levels, protocols := map[string]int{}, map[string]int{}, map[string]bool{}
		for _, d := range designs([]string{Bars}, set, full) {
			if d.Sampling != 1 || d.Maturity != "learned" {
				t.Errorf("%s: devices are %s, sampled 1 in %d", d.Name, d.Maturity, d.Sampling)
			}
			for name, tap := range d.config.Taps {
				if tap.Sampling != 1 || tap.NoMAC != (d.Identity == "IP") || tap.Protocol == export.NetFlow5 && d.Identity == "MAC" {
					t.Errorf("%s: router %s is %+v", d.Name, name, tap)
				}
				protocols[fmt.Sprint(d.Identity, " ", tap.Protocol, " ", tap.Biflow)] = true
			}
			victims, err := trial.Victims(d.config)
			if err != nil {
				t.Fatal(err)
			}
			if len(victims) != len(d.config.Strikes) {
				t.Errorf("%s: %d of %d strikes find a device", d.Name, len(victims), len(d.config.Strikes))
			}
			var struck []string
			for _, s := range victims {
				count[s.Attack]++
				levels[fmt.Sprint(s.Attack, " ", d.Identity, " ", s.Level)]++
				struck = append(struck, s.Device)
			}
			slices.Sort(struck)
			if n := len(slices.Compact(struck)); n != len(victims) {
				t.Errorf("%s: %d strikes on %d devices", d.Name, len(victims), n)
			}
		}
		for attack, n := range least {
			if count[attack] < n {
				t.Errorf("%s: %d strikes of %s, want %d", set, count[attack], attack, n)
			}
			for _, identity := range identities {
				if attack == "spoof" && identity == "IP" {
					continue
				}
				for level := 1; level < 5; level++ {
					if a, b := levels[fmt.Sprint(attack, " ", identity, " ", level)], levels[fmt.Sprint(attack, " ", identity, " 0")]; a != b {
						t.Errorf("%s: %s by %s %d times at level %d, %d times at level 0", set, attack, identity, a, level, b)
					}
				}
			}
		}
		for _, want := range []string{"MAC v9 false", "MAC ipfix false", "MAC ipfix true", "IP v5 false", "IP v9 false", "IP ipfix false", "IP ipfix true"} {
			if !protocols[want] {
				t.Errorf("%s: no router of %s", set, want)
			}
		}
	}
}

// TestBars_ADayIsNoBusierThanInThePartAttacks: no more strikes a day, and no more of a class from one
// network outside, than where they were measured so far.
func TestBars_ADayIsNoBusierThanInThePartAttacks(t *testing.T) {
	most := len(attacks(Tuning, 4, full).config.Strikes)
	for _, d := range designs([]string{Bars}, Tuning, full) {
		perDay, perCamp, days := map[int]int{}, map[string]int{}, map[int]int{}
		for _, s := range d.config.Strikes {
			perDay[int(s.At/day)]++
			perCamp[fmt.Sprint(s.Attack, " ", s.Camp)]++
			if on, ok := days[s.Camp]; ok && on != int(s.At/day) {
				t.Errorf("%s: camp %d strikes on two days, so that its hosts are old on the second", d.Name, s.Camp)
			}
			days[s.Camp] = int(s.At / day)
		}
		for at, n := range perDay {
			if n > most {
				t.Errorf("%s: %d strikes on day %d, %d in a trial of the part attacks", d.Name, n, at, most)
			}
		}
		for camp, n := range perCamp {
			if n > 2 {
				t.Errorf("%s: %d strikes of %s", d.Name, n, camp)
			}
		}
	}
}

// TestDelays_EveryFactorIsTimedAndFindsItsDevices: beside what the part timing has.
func TestDelays_EveryFactorIsTimedAndFindsItsDevices(t *testing.T) {
	for _, set := range []string{Tuning, Sealed} {
		seen := map[string]bool{"1": true, "learned": true, "MAC": true}
		for _, d := range designs([]string{Delays}, set, full) {
			seen[fmt.Sprint(d.Sampling)], seen[d.Maturity], seen[d.Identity] = true, true, true
			victims, err := trial.Victims(d.config)
			if err != nil {
				t.Fatal(err)
			}
			if len(victims) != len(d.config.Strikes) {
				t.Errorf("%s: %d of %d strikes find a device", d.Name, len(victims), len(d.config.Strikes))
			}
		}
		for _, s := range samplings {
			if !seen[fmt.Sprint(s)] {
				t.Errorf("%s: nothing is timed at 1 in %d", set, s)
			}
		}
		for _, f := range append(maturities, identities...) {
			if !seen[f] {
				t.Errorf("%s: nothing is timed of %s", set, f)
			}
		}
	}
}
