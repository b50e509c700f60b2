package profile_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"tidemark/profile"
)

// amounts are the lines of volume and unexpected_hour by the MAC of their device, with
// whether people were told of it.
func amounts(events []profile.Event) (lines map[string][]string, told map[string]bool) {
	lines, told = map[string][]string{}, map[string]bool{}
	for _, e := range events {
		mac := e.Body["device"].(map[string]any)["mac"].(string)
		told[mac] = told[mac] || e.Body["notify"] == int64(1)
		for _, l := range e.Body["lines"].([]any) {
			line := l.(map[string]any)
			lines[mac] = append(lines[mac], line["family"].(string)+" "+line["observed"].(string))
		}
	}
	return lines, told
}

// decide says what kind a device is.
func (s *site) decide(mac uint64, kind string) {
	s.t.Helper()
	err := s.db.Conn().Exec(s.t.Context(), "INSERT INTO kind_decisions SELECT 'home', device, ?, 'test', '', now64(3) FROM devices WHERE mac = ? LIMIT 1", kind, mac)
	if err != nil {
		s.t.Fatal(err)
	}
}

// What a device uploads is judged by what it usually does, and told alone if it is gross.
func TestVolume_OfSmallDevices(t *testing.T) {
	day9 := monday.AddDate(0, 0, 8)
	cases := []struct {
		name  string
		talk  talk
		kind  string
		lines string // "upload", "download" or both
		told  bool
	}{
		{"its usual report", talk{lasts: time.Minute, out: 2000, in: 1500}, "", "", false},
		{"ten times its hour", talk{lasts: time.Minute, out: 20_000, in: 1500}, "", "", false},
		{"more than a day's", talk{lasts: time.Minute, out: 60_000, in: 1500}, "", "upload", false},
		{"more than a month's", talk{lasts: time.Minute, out: 2_000_000, in: 90_000}, "", "upload", true},
		{"more than a month's, while somebody looks through it", talk{lasts: time.Minute, out: 2_000_000, in: 90_000}, "camera", "upload", false},
		{"a download and its acknowledgements", talk{lasts: time.Minute, out: 700_000, in: 40_000_000}, "", "download", false},
		{"for hours, in one flow", talk{lasts: 3 * time.Hour, out: 8_000_000, in: 90_000}, "", "upload", true},
	}
	s := newSite(t, only("volume"))
	plug := func(k int, at time.Time) talk {
		return houseOf(k, talk{at: at, from: "10.0.0.9", to: "52.1.1.10", mac: sensor, dmac: router, port: 8883, out: 2000, in: 1500})
	}
	for k := range cases {
		for h := range 8 * 24 {
			s.add(plug(k+1, monday.Add(time.Duration(h)*time.Hour+time.Minute)))
		}
	}
	s.score()
	for k, c := range cases {
		if c.kind != "" {
			s.decide(sensor+uint64(k+1)<<8, c.kind)
		}
	}
	for k, c := range cases {
		c.talk.at, c.talk.from, c.talk.to, c.talk.mac, c.talk.dmac, c.talk.port = day9.Add(10*time.Hour+50*time.Minute), "10.0.0.9", "52.1.1.10", sensor, router, 8883
		s.add(houseOf(k+1, c.talk))
		for h := 10; h < 15; h++ {
			s.add(plug(k+1, day9.Add(time.Duration(h)*time.Hour+time.Minute)))
		}
	}
	lines, told := amounts(append(s.score(), s.score()...))
	for k, c := range cases {
		mac := "24:0a:c4:00:0" + string(rune('1'+k)) + ":02"
		var got []string
		for _, word := range []string{"download", "upload"} {
			if slices.ContainsFunc(lines[mac], func(l string) bool { return strings.Contains(l, "of "+word) }) {
				got = append(got, word)
			}
		}
		if strings.Join(got, " ") != c.lines || told[mac] != c.told {
			t.Errorf("%s: listed %q, told: %t; want %q, told: %t", c.name, lines[mac], told[mac], c.lines, c.told)
		}
	}
}

// A device that is off at night and works then is told alone, if it is a thing.
func TestUnexpectedHour_OfWhatIsOffAtNight(t *testing.T) {
	s := newSite(t, only("unexpected_hour"))
	work := func(k int, at time.Time, out uint64) talk {
		return houseOf(k, talk{at: at, lasts: time.Minute, from: "10.0.0.9", to: "10.0.0.2", mac: sensor, dmac: camera, port: 1433, out: out, in: out})
	}
	for k := range 3 {
		for d := range 8 {
			for h := 8; h < 18; h++ {
				s.add(work(k+1, monday.AddDate(0, 0, d).Add(time.Duration(h)*time.Hour), 500_000))
			}
		}
	}
	s.score()
	s.decide(sensor+2<<8, "computer")
	for k, out := range []uint64{200_000, 200_000, 900} {
		s.add(work(k+1, monday.AddDate(0, 0, 8).Add(2*time.Hour+30*time.Minute), out))
	}
	lines, told := amounts(append(s.score(), s.score()...))
	for _, c := range []struct {
		name, mac    string
		listed, told bool
	}{
		{"a panel", "24:0a:c4:00:01:02", true, true},
		{"a computer", "24:0a:c4:00:02:02", true, false},
		{"next to nothing", "24:0a:c4:00:03:02", false, false},
	} {
		if len(lines[c.mac]) > 0 != c.listed || told[c.mac] != c.told {
			t.Errorf("%s: listed %q, told: %t; want listed: %t, told: %t", c.name, lines[c.mac], told[c.mac], c.listed, c.told)
		}
	}
}
