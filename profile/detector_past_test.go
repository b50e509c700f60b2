package profile_test

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"tidemark/profile"
)

// TestSpoof_OnlyAnAddressThatComesBackHasTwoCards
func TestSpoof_OnlyAnAddressThatComesBackHasTwoCards(t *testing.T) {
	const other = 0x02bbcc000001
	day9 := monday.AddDate(0, 0, 8)
	at := func(m int) time.Time { return day9.Add(8*time.Hour + time.Duration(m)*time.Minute) }
	s := newSite(t, only("spoof"))
	for k := range 2 {
		for _, l := range life(monday, 8) {
			s.add(houseOf(k+1, l))
		}
	}
	s.score()
	had := func(house int, mac uint64, from, to time.Time) profile.Interval {
		addr := netip.AddrFrom4([4]byte{10, byte(house), 0, 2})
		return profile.Interval{Device: byMAC(mac), Addr: addr, MAC: mac, From: from, To: to, Source: "flow", Confidence: 90}
	}
	camera1, camera2 := uint64(camera+1<<8), uint64(camera+2<<8)
	err := s.SaveIntervals(t.Context(), []profile.Interval{
		had(1, camera1, monday, at(0)), had(1, other, at(0), at(3)), had(1, camera1, at(3), at(4)), had(1, other, at(4), at(5)), had(1, camera1, at(5), at(30)),
		had(2, camera2, monday, at(0)), had(2, other, at(0), at(30)), // its lease is another's now
	}, s.received)
	if err != nil {
		t.Fatal(err)
	}
	for k := range 2 {
		s.add(houseOf(k+1, talk{at: at(10), lasts: 5 * time.Second, from: "10.0.0.2", to: "52.1.1.10", mac: camera, dmac: router, port: 8883, out: 2000, in: 1500}))
	}
	var spoofed []string
	for _, e := range append(s.score(), s.score()...) {
		if slices.Contains(named(e), "spoof") {
			spoofed = append(spoofed, e.Body["device"].(map[string]any)["mac"].(string))
		}
	}
	if !slices.Equal(spoofed, []string{"00:40:8c:00:01:01"}) {
		t.Errorf("spoofed are %q, want the camera of house 1 only", spoofed)
	}
}

// TestDrift_WhatWasThereOnTheFirstDayOnly: a device is looked at again when three
// days of it are known.
func TestDrift_WhatWasThereOnTheFirstDayOnly(t *testing.T) {
	at := monday.Add(2 * time.Hour)
	daily := func(from time.Time, days int, to string) (out []talk) {
		for d := range days {
			out = append(out, talk{at: from.AddDate(0, 0, d), lasts: time.Minute, from: "10.0.0.2", to: to, mac: camera, dmac: router, port: 443, out: 9000, in: 9000})
		}
		return out
	}
	often := func(from time.Time, lasts time.Duration, to string) (out []talk) {
		for at := from; at.Before(from.Add(lasts)); at = at.Add(10 * time.Minute) {
			out = append(out, talk{at: at, lasts: time.Second, from: "10.0.0.2", to: to, mac: camera, dmac: router, port: 8443, out: 20_000, in: 9000})
		}
		return out
	}
	cases := []struct {
		name  string
		talks []talk
		want  bool
	}{
		{"nothing", nil, false},
		{"an upload to a stranger", []talk{{at: at, lasts: time.Minute, from: "10.0.0.2", to: "185.9.9.1", mac: camera, dmac: router, port: 443, out: 5_000_000, in: 90_000}}, true},
		{"a download", []talk{{at: at, lasts: time.Minute, from: "10.0.0.2", to: "185.9.9.2", mac: camera, dmac: router, port: 443, out: 600_000, in: 50_000_000}}, false},
		{"telnet to the sensor", []talk{{at: at, lasts: time.Minute, from: "10.0.0.2", to: "10.0.0.9", mac: camera, dmac: sensor, port: 23, out: 4000, in: 9000}}, true},
		{"an upload just before the day's first session with its cloud", append(daily(at.Add(40*time.Minute), 3, "34.9.9.1"), talk{at: at, lasts: time.Minute, from: "10.0.0.2", to: "185.9.9.3", mac: camera, dmac: router, port: 443, out: 5_000_000, in: 90_000}), true},
		{"a cloud that hands over", append(often(monday, 10*time.Hour, "185.9.9.4"), often(monday.Add(10*time.Hour), 80*time.Hour, "34.9.9.1")...), false},
		{"one of many networks of its cloud", append(often(monday.Add(time.Hour), 95*time.Hour, "34.9.9.1"), often(monday.Add(2*time.Hour), 5*time.Hour, "34.9.77.1")...), false},
		{"web pages of the sensor", []talk{{at: at, lasts: time.Minute, from: "10.0.0.2", to: "10.0.0.9", mac: camera, dmac: sensor, port: 80, out: 4000, in: 9000}}, false},
	}
	s := newSite(t, only("drift"))
	for k, c := range cases {
		for _, l := range append(life(monday, 4), c.talks...) {
			s.add(houseOf(k+1, l))
		}
	}
	s.add(houseOf(9, talk{at: at, lasts: time.Minute, from: "10.0.0.9", to: "185.9.9.9", mac: sensor, dmac: router, port: 443, out: 5_000_000, in: 90_000}))
	for _, l := range life(monday, 4) {
		s.add(houseOf(9, l))
	}
	var got []string
	for _, e := range append(s.score(), s.score()...) {
		if slices.Contains(named(e), "drift") {
			got = append(got, e.Body["device"].(map[string]any)["mac"].(string))
		}
	}
	if mac := "24:0a:c4:00:09:02"; !slices.Contains(got, mac) {
		t.Errorf("drift is told of %q, want %s too: it was outside on one day only, and sent 5 MB", got, mac)
	}
	for k, c := range cases {
		mac := "00:40:8c:00:0" + string(rune('1'+k)) + ":01"
		if slices.Contains(got, mac) != c.want {
			t.Errorf("%s: drift is told of %q, want told: %t", c.name, got, c.want)
		}
	}
}
