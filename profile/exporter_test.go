package profile_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestCoverage_WhatAnExporterStopsShowing: five exporters show sensors of their own
// network for two days and a half; then each but the last changes what it shows.
func TestCoverage_WhatAnExporterStopsShowing(t *testing.T) {
	change := monday.Add(48 * time.Hour)
	end := change.Add(8 * time.Hour)
	s := newSite(t, only("coverage"))
	hour := func(exporter int, at time.Time, network int, bytesIn uint64, rate uint32) {
		n := s.batch.Len()
		for d := range 3 {
			s.add(talk{at: at.Add(time.Duration(d) * time.Minute), lasts: 5 * time.Second, from: fmt.Sprintf("10.%d.%d.%d", exporter, network, 2+d), to: "52.1.1.10", port: 8883, out: 60_000, in: bytesIn, rate: rate})
		}
		for ; n < s.batch.Len(); n++ {
			s.batch.SamplerAddress[n] = netip.AddrFrom4([4]byte{192, 0, 2, byte(exporter)}).As16()
		}
	}
	for at := monday; at.Before(end); at = at.Add(time.Hour) {
		later := !at.Before(change)
		if !later {
			hour(1, at, 1, 50_000, 1) // falls silent
			hour(2, at, 1, 50_000, 1) // stops showing a network
			hour(3, at, 1, 50_000, 1) // shows one direction only
			hour(4, at, 1, 50_000, 1) // samples
		} else {
			hour(3, at, 1, 0, 1)
			hour(4, at, 1, 50_000, 100)
		}
		hour(2, at, 2, 50_000, 1)
		hour(5, at, 1, 50_000, 1)
		s.commit()
	}
	s.add(talk{at: end, lasts: time.Second, from: "0.0.0.0", to: "10.5.1.2", mac: sensor, port: 8080, out: 900, in: 900}) // it has no address yet
	told := map[string][]string{}
	for _, e := range append(s.score(), s.score()...) {
		if e.Kind != "alert" || !slices.Contains(named(e), "coverage") {
			continue
		}
		for _, l := range e.Body["lines"].([]any) {
			line := l.(map[string]any)
			title, _, _ := strings.Cut(e.Body["text"].(string), ": ")
			told[title] = append(told[title], line["observed"].(string)+"; expected "+line["expected"].(string)+" since "+line["since"].(string))
		}
		if risk := e.Body["risk"].(int64); risk < 20 || risk >= 40 {
			t.Errorf("risk is %d, want a low one", risk)
		}
	}
	want := map[string]string{
		"exporter 192.0.2.1": "nothing comes from it any more, while others are heard; expected something every hour since 2026-03-03T23",
		"exporter 192.0.2.2": "it shows nothing of the network any more (10.2.1.0/24); expected something every hour, of up to 3 devices",
		"exporter 192.0.2.3": "it shows only what devices of the network send (10.3.1.0/24); expected both directions",
		"exporter 192.0.2.4": "it samples one in 100 packets: what is small or short is not seen; expected one in 1 since 2026-03-04T00",
	}
	for title, text := range want {
		if len(told[title]) != 1 || !strings.HasPrefix(told[title][0], text) {
			t.Errorf("%s: got %q, want %q", title, told[title], text)
		}
	}
	var networks uint64
	if err := s.db.Conn().QueryRow(t.Context(), "SELECT uniqExact(network) FROM coverage_hours WHERE network != toIPv6('::')").Scan(&networks); err != nil || networks != 6 {
		t.Errorf("%d networks were noted, want 6; error %v", networks, err)
	}
	if len(told) != len(want) {
		t.Errorf("told of %d exporters, want %d: %q", len(told), len(want), told)
	}
}

// TestLull_TheOnlyExporterFallsSilent: nothing comes in that could be judged, so the
// clock tells; once, and no longer when flows come again.
func TestLull_TheOnlyExporterFallsSilent(t *testing.T) {
	c := only("coverage")
	c.Log = testLog
	s := newSite(t, c)
	hear := func(at time.Time) {
		s.add(talk{at: at, lasts: 5 * time.Second, from: "10.0.0.2", to: "52.1.1.10", mac: camera, dmac: router, port: 8883, out: 900, in: 900})
	}
	dead := monday.Add(30 * time.Hour)
	for at := monday; at.Before(dead); at = at.Add(10 * time.Minute) {
		if at.Equal(monday.Add(25 * time.Hour)) {
			continue // it once said nothing for twenty minutes
		}
		hear(at)
		if dead.Sub(at) < 24*time.Hour {
			s.commit()
		}
	}
	s.score()
	lull := func(after time.Duration) (told []string) {
		t.Helper()
		n := len(s.events)
		if err := s.Lull(t.Context(), dead.Add(after)); err != nil {
			t.Fatal(err)
		}
		for _, e := range s.events[n:] {
			told = append(told, e.Kind+" "+e.Body["text"].(string))
		}
		return told
	}
	for _, early := range []time.Duration{9 * time.Minute, 40 * time.Minute} {
		if got := lull(early); len(got) > 0 {
			t.Errorf("after %s: %q, want nothing: three times its longest pause is not over", early, got)
		}
	}
	want := "alert exporter 192.0.2.1: nothing comes from it any more, nor from any other exporter. Expected: no pause longer than 20 minutes. Since 2026-03-03 05:50:05 UTC."
	if got := lull(60 * time.Minute); len(got) != 1 || !strings.HasPrefix(got[0], want) {
		t.Errorf("got %q, want %q", got, want)
	}
	for _, later := range []time.Duration{61 * time.Minute, 65 * time.Minute} {
		if got := lull(later); len(got) > 0 {
			t.Errorf("after %s it is told again: %q", later, got)
		}
	}
	hear(dead.Add(70 * time.Minute))
	var kinds []string
	for _, e := range s.score() {
		kinds = append(kinds, e.Kind+" "+fmt.Sprint(e.Body["reason"]))
	}
	if len(kinds) != 1 || !strings.HasPrefix(kinds[0], "alert_closed it is over") {
		t.Errorf("flows come again: got %q, want the alert closed", kinds)
	}
}
