package profile_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"tidemark/profile"
)

// strange are ten uploads to a host nobody of the site ever met, 400 kB in three minutes.
func strange(at time.Time, port uint16) []talk {
	return repeat(10, 20*time.Second, talk{at: at, lasts: 10 * time.Second, from: "10.0.0.2", to: "185.9.9.9", mac: camera, dmac: router, port: port, out: 40_000, in: 9000})
}

// toldOf says whether people were told of a new destination of the camera of house k.
func (s *site) toldOf(k int) bool {
	return slices.ContainsFunc(s.alerts(profile.AlertFilter{}), func(i profile.Incident) bool {
		return slices.ContainsFunc(i.Lines, func(l profile.Line) bool {
			return l.Family == "new_destination" && l.Notified && l.Peer != "" && i.Device == s.find(fmt.Sprintf("10.%d.0.2", k)).ID
		})
	})
}

// The cloud of a service that is used in the morning only has not moved because it is
// not called in the evening; in the morning that is known.
func TestNewDestination_IsJudgedAgainWhenItsCloudIsMet(t *testing.T) {
	s := newSite(t, only("new_destination"))
	evening, morning := monday.AddDate(0, 0, 8).Add(18*time.Hour), monday.AddDate(0, 0, 9).Add(8*time.Hour)
	during := func(from, to time.Time) {
		for _, l := range life(monday, 10) {
			if !l.at.Before(from) && l.at.Before(to) {
				s.add(houseOf(1, l))
			}
		}
	}
	during(monday, evening)
	s.score()
	for _, l := range strange(evening, 443) {
		s.add(houseOf(1, l))
	}
	during(evening, evening.Add(time.Hour))
	s.score()
	if s.toldOf(1) {
		t.Fatal("told while nobody knows whether the cloud moved")
	}
	for hour := evening.Add(time.Hour); hour.Before(morning.Add(2 * time.Hour)); hour = hour.Add(2 * time.Hour) {
		during(hour, hour.Add(2*time.Hour))
		s.score()
	}
	if !s.toldOf(1) {
		t.Error("not told though its cloud is met as ever")
	}
	for _, i := range s.alerts(profile.AlertFilter{}) {
		if i.Findings > 3 {
			t.Errorf("%d findings of one transfer judged again, want no more than it brought", i.Findings)
		}
	}
}

func TestNewDestination_CloudsTakeThePlaceOfPeersThatChange(t *testing.T) {
	day9 := monday.AddDate(0, 0, 8)
	const alike = "10.0.0.40"
	turns := func(from time.Time, days int, network string) (out []talk) { // another host every day
		for d := range days {
			day := from.AddDate(0, 0, d)
			for h := range 24 {
				out = append(out, talk{at: day.Add(time.Duration(h)*time.Hour + 20*time.Minute), lasts: time.Second, from: "10.0.0.2", to: fmt.Sprintf("%s.%d.10", network, 20+day.YearDay()%100), mac: camera, dmac: router, port: 9999, out: 900, in: 900})
			}
		}
		return out
	}
	inside := func(from time.Time, days int) (out []talk) {
		for d := range days {
			out = append(out, talk{at: from.AddDate(0, 0, d).Add(3 * time.Hour), lasts: time.Second, from: "10.0.0.2", to: alike, mac: camera, dmac: sensor, port: 8443, out: 900, in: 900})
		}
		return out
	}
	sent := strange(day9.Add(8*time.Hour), 9999)
	for i := range sent {
		sent[i].out *= 10
	}
	cases := []struct {
		name          string
		before, after []talk
		want          bool
	}{
		{"hosts that change within one cloud, and a stranger", turns(monday, 8, "3.16"), append(turns(day9, 1, "3.16"), strange(day9.Add(8*time.Hour), 9999)...), true},
		{"hosts that change within one cloud, and one more of it", turns(monday, 8, "3.16"), append(turns(day9, 1, "3.16"),
			repeat(10, 20*time.Second, talk{at: day9.Add(8 * time.Hour), lasts: 10 * time.Second, from: "10.0.0.2", to: "3.20.9.9", mac: camera, dmac: router, port: 9999, out: 40_000, in: 9000})...), false},
		{"the cloud whose hosts change moves", turns(monday, 8, "3.16"), append(turns(day9, 1, "3.16")[:8], strange(day9.Add(8*time.Hour), 9999)...), false},
		{"clouds that change", append(turns(monday, 4, "3.16"), append(turns(monday.AddDate(0, 0, 4), 1, "18.32"), turns(monday.AddDate(0, 0, 5), 3, "3.16")...)...),
			append(turns(day9, 1, "3.16"), strange(day9.Add(8*time.Hour), 9999)...), false},
		{"one of two clouds was left the night before", append(turns(monday, 8, "3.16"), turns(monday, 8, "18.32")...), append(turns(day9, 1, "3.16"), strange(day9.Add(8*time.Hour), 9999)...), false},
		{"one of two clouds was left two days before", append(turns(monday, 8, "3.16"), turns(monday, 6, "18.32")...), append(turns(day9, 1, "3.16"), strange(day9.Add(8*time.Hour), 9999)...), true},
		{"the cloud moves, and the new one is sent megabytes, as none was", turns(monday, 8, "3.16"), append(turns(day9, 1, "3.16")[:8], sent...), true},
		{"the cloud moves, and the new one is sent megabytes, as another was", append(turns(monday, 8, "3.16"), talk{at: monday.Add(9 * time.Hour), lasts: time.Minute, from: "10.0.0.2", to: "3.16.20.10", mac: camera, dmac: router, port: 9999, out: 1_000_000, in: 9000}),
			append(turns(day9, 1, "3.16")[:8], sent...), false},
		{"a server of the site is no cloud that moved", inside(monday, 8), strange(day9.Add(8*time.Hour), 8443), true},
	}
	s := newSite(t, only("new_destination"))
	for k, c := range cases {
		for _, l := range append(life(monday, 8), c.before...) {
			s.add(houseOf(k+1, l))
		}
	}
	s.score()
	for k, c := range cases {
		for _, l := range append(life(day9, 1)[:60], c.after...) {
			l := houseOf(k+1, l)
			if l.to == "185.9.9.9" { // nobody else's
				l.to = fmt.Sprintf("185.9.%d.9", k+1)
			}
			s.add(l)
		}
	}
	s.score()
	for k, c := range cases {
		if got := s.toldOf(k + 1); got != c.want {
			t.Errorf("%s: told %t, want %t", c.name, got, c.want)
		}
	}
}

// People who know that a device met a stranger are told that its maker forbade it.
func TestMUD_IsToldOfADeviceThatWasTold(t *testing.T) {
	s := newSite(t, only("new_destination", "mud"))
	s.add(life(monday, 8)...)
	s.commit()
	file := filepath.Join(t.TempDir(), "camera.json")
	mudFile(t, file,
		`"ipv4": {"protocol": 6}, "tcp": {"destination-port": {"operator": "eq", "port": 8883}}`,
		`"ipv4": {"protocol": 6, "destination-ipv4-network": "34.5.6.0/24"}, "tcp": {"destination-port": {"operator": "eq", "port": 443}}`,
		`"ietf-mud:mud": {"controller": "urn:ietf:params:mud:dns"}, "ipv4": {"protocol": 17}, "udp": {"destination-port": {"operator": "eq", "port": 53}}`,
		`"ipv4": {"protocol": 17}, "udp": {"destination-port": {"operator": "eq", "port": 123}}`,
		`"ietf-mud:mud": {"local-networks": [null]}, "ipv4": {"protocol": 6}, "tcp": {"source-port": {"operator": "eq", "port": 80}}`)
	if err := s.SetFact(t.Context(), s.find("10.0.0.2"), profile.FactMUD, file, profile.By{Actor: "test", Reason: "from the maker", At: monday}); err != nil {
		t.Fatal(err)
	}
	s.score()
	if list := s.alerts(profile.AlertFilter{}); len(list) > 0 {
		t.Fatalf("ordinary life raised %+v", list)
	}
	s.add(strange(monday.AddDate(0, 0, 8).Add(8*time.Hour), 8443)...)
	s.score()
	told := map[string]bool{}
	for _, i := range s.alerts(profile.AlertFilter{}) {
		for _, l := range i.Lines {
			told[l.Family] = told[l.Family] || l.Notified
		}
	}
	if !told["new_destination"] || !told["mud"] {
		t.Errorf("people were told of %v, want new_destination, and mud after it", told)
	}
}
