package site

import (
	"math"
	"net/netip"
	"strings"
	"testing"
	"time"

	"tidemark/cmd/sitesim/internal/packet"
)

func TestWeek_TimePassesByItsWeight(t *testing.T) {
	monday := time.Date(2026, 10, 5, 0, 0, 0, 0, time.UTC)
	half := Week{Weekday: "........9999............"} // 08:00 to 12:00
	for _, c := range []struct {
		from string
		span time.Duration
		want string
	}{
		{"2026-10-05T00:00:00Z", 30 * time.Minute, "2026-10-05T08:30:00Z"},
		{"2026-10-05T11:30:00Z", 45 * time.Minute, "2026-10-06T08:15:00Z"},
		{"2026-10-05T09:10:00Z", 2 * time.Hour, "2026-10-05T11:10:00Z"},
	} {
		from, err := time.Parse(time.RFC3339, c.from)
		if err != nil {
			t.Fatal(err)
		}
		if got := time.Unix(0, half.after(from.UnixNano(), int64(c.span), calendar{})).UTC().Format(time.RFC3339); got != c.want {
			t.Errorf("%s of activity from %s end at %s, want %s", c.span, c.from, got, c.want)
		}
	}
	third := Week{Weekday: strings.Repeat("3", 24)}
	if got, want := third.after(monday.UnixNano(), int64(time.Hour), calendar{}), monday.Add(3*time.Hour).UnixNano(); math.Abs(float64(got-want)) > 1e6 {
		t.Errorf("an hour at weight 1/3 takes %s, want 3h", time.Duration(got-monday.UnixNano()))
	}
}

// The tables are data: a typing error in them would silently make a device mute.
func TestTables_AreConsistent(t *testing.T) {
	devices, domains, macs, addresses := map[string]Device{}, map[string]bool{}, map[packet.MAC]bool{}, map[netip.Addr]bool{}
	for _, d := range Domains() {
		domains[d.Name] = true
		if last := 10 + 17*(d.Addresses-1); d.Addresses < 1 || last > 254 {
			t.Errorf("domain %s: %d addresses end at .%d", d.Name, d.Addresses, last)
		}
		if !netip.MustParseAddr(d.Prefix).Is4() {
			t.Errorf("domain %s: prefix %s", d.Name, d.Prefix)
		}
	}
	for _, d := range Devices() {
		if _, twice := devices[d.Name]; twice || macs[d.MAC] || addresses[d.Address()] {
			t.Errorf("device %s shares its name, MAC or address", d.Name)
		}
		devices[d.Name], macs[d.MAC], addresses[d.Address()] = d, true, true
	}
	for _, d := range Devices() {
		states := map[string]bool{"": true}
		for _, s := range d.States {
			states[s.Name] = true
			checkWeek(t, d.Name, s.Hours)
		}
		for _, s := range d.States {
			for _, next := range s.Next {
				if !states[next] || next == "" {
					t.Errorf("%s: state %s goes to %q", d.Name, s.Name, next)
				}
			}
		}
		checkWeek(t, d.Name, d.Powered)
		for _, r := range d.Routines {
			checkWeek(t, d.Name, r.Hours)
			_, device := devices[r.To]
			_, err := netip.ParseAddr(r.To)
			if group := err == nil && r.Do == Announce; !device && !domains[r.To] && !group {
				t.Errorf("%s talks to %q", d.Name, r.To)
			}
			if !states[r.State] || (r.Every > 0) == (r.Poisson > 0) || r.Up.Median <= 0 {
				t.Errorf("%s: routine %+v lacks a state, a period or a size", d.Name, r)
			}
		}
	}
	for _, a := range Attacks() {
		if _, ok := devices[a.Device]; a.Device != "" && !ok {
			t.Errorf("attack %s befalls %q", a.Name, a.Device)
		}
	}
}

func checkWeek(t *testing.T, device string, w Week) {
	t.Helper()
	for _, day := range []string{w.Weekday, w.Weekend} {
		if day != "" && (len(day) != 24 || strings.Trim(day, ".0123456789") != "") {
			t.Errorf("%s: day %q, want 24 digits or dots", device, day)
		}
	}
	if w.Weekday == "" && w.Weekend != "" {
		t.Errorf("%s: a weekend without a week", device)
	}
}

func TestBoundary_IsTheNextChangeOfPower(t *testing.T) {
	s := &Sim{now: time.Date(2026, 10, 9, 12, 0, 0, 0, time.UTC).UnixNano()} // Friday noon
	n := &node{Device: Device{Powered: shift}}
	if got := time.Unix(0, s.boundary(n, false)).UTC(); got.Hour() != 18 || got.Day() != 9 {
		t.Errorf("switched off at %s, want Friday 18:00", got)
	}
	if got := time.Unix(0, s.boundary(n, true)).UTC(); got.Hour() != 13 {
		t.Errorf("next hour of power is %s, want Friday 13:00", got)
	}
	s.now = time.Date(2026, 10, 9, 18, 0, 0, 0, time.UTC).UnixNano()
	if got := time.Unix(0, s.boundary(n, true)).UTC(); got.Weekday() != time.Monday || got.Hour() != 6 {
		t.Errorf("switched on at %s, want Monday 06:00", got)
	}
}
