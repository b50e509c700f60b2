package profile_test

import (
	"slices"
	"testing"
	"time"
)

// A device is missed however long its flows last, whose samples count in the hour
// in which they began, and however rarely it speaks, if it is gone for long enough.
func TestSilence_LongFlowsAndRareOnes(t *testing.T) {
	s := newSite(t, only("silence"))
	gone := monday.AddDate(0, 0, 8)
	long := func(day int) talk {
		return talk{at: monday.AddDate(0, 0, day).Add(20*time.Hour + 30*time.Minute), lasts: 2 * time.Hour, from: "10.0.0.9", to: "10.0.0.2", mac: sensor, dmac: camera, port: 8080, out: 50_000_000, in: 1_000_000}
	}
	rare := func(hour int) talk { // of a device that speaks every other hour
		return talk{at: monday.Add(time.Duration(hour)*time.Hour + 5*time.Minute), from: "10.0.0.30", to: "10.0.0.2", mac: sensor + 1, dmac: camera, port: 8080, out: 500, in: 300}
	}
	for k := range 6 {
		for _, l := range life(monday, 9) {
			if k != 2 || l.mac != sensor || l.at.Before(gone) {
				s.add(houseOf(k+1, l))
			}
		}
	}
	for d := range 8 {
		s.add(houseOf(3, long(d)))
	}
	for h := 0; h < 9*24; h += 2 {
		s.add(houseOf(4, rare(h)))
		if h < 8*24 {
			s.add(houseOf(5, rare(h)))
		}
	}
	var got []string
	for _, e := range append(s.score(), s.score()...) {
		got = append(got, e.Body["device"].(map[string]any)["mac"].(string))
	}
	slices.Sort(got)
	if want := []string{"24:0a:c4:00:03:02", "24:0a:c4:00:05:03"}; !slices.Equal(slices.Compact(got), want) {
		t.Errorf("missed are %q, want the sensor of house 3 and the rare device of house 5: %q", got, want)
	}
}

// Its router is away, and of all that lies behind it another router shows a little:
// the device is not missed there, where others are lively.
func TestSilence_ItsOwnRouterIsAway(t *testing.T) {
	s := newSite(t, only("silence"))
	const away, lively = "192.0.2.1", "192.0.2.2"
	gone := monday.AddDate(0, 0, 8)
	for _, l := range life(monday, 9) {
		for k := range 6 {
			s.via(lively, houseOf(k+11, l))
			if l.at.Before(gone) {
				s.via(away, houseOf(k+1, l))
			}
		}
		if l.mac == sensor && l.at.Equal(gone.Add(12*time.Hour+3*time.Minute)) {
			s.via(lively, houseOf(3, l))
		}
	}
	for _, e := range append(s.score(), s.score()...) {
		t.Errorf("told: %s", e.Body["text"])
	}
}

// Whoever was told of one client of a service that is new was not told of the next.
func TestNewService_AnotherClientLater(t *testing.T) {
	s := newSite(t, only("new_service"))
	telnet := func(h int, from string, mac uint64) talk {
		return talk{at: monday.AddDate(0, 0, 8).Add(time.Duration(h) * time.Hour), lasts: time.Minute, from: from, to: "10.0.0.2", mac: mac, dmac: camera, port: 23, out: 400, in: 900}
	}
	for _, l := range life(monday, 8) {
		s.add(l)
		if l.mac == sensor { // another device of the house
			l.from, l.mac, l.at = "10.0.0.30", sensor+1, l.at.Add(5*time.Minute)
			s.add(l)
		}
	}
	s.score()
	s.add(telnet(8, "10.0.0.9", sensor))
	s.score()
	s.add(telnet(17, "10.0.0.30", sensor+1))
	since := map[string]bool{}
	for _, e := range s.score() {
		for _, l := range e.Body["lines"].([]any) {
			line := l.(map[string]any)
			if line["family"] == "new_service" && line["role"] == "server" {
				since[line["since"].(string)[11:13]] = true
			}
		}
	}
	if !since["08"] || !since["17"] {
		t.Errorf("lines of telnet offered since %v o'clock, want one since 8 and one since 17", since)
	}
}
