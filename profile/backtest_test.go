package profile_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"tidemark/profile"
)

// A backtest finds what was found, loses what stricter parameters lose, finds what
// looser ones find, and writes nothing.
func TestBacktest_SaysWhatOtherParametersWouldHaveFound(t *testing.T) {
	s := newSite(t, only("failed_access"))
	s.add(life(monday, 8)...)
	s.score()
	at := monday.AddDate(0, 0, 8)
	s.add(denied(at.Add(8*time.Hour), 20)...)
	s.score()
	s.add(denied(at.Add(20*time.Hour), 7)...) // too few
	s.score()
	stored := s.alerts(profile.AlertFilter{})
	if len(stored) != 1 || len(stored[0].Lines) != 1 {
		t.Fatalf("want one alert of one line: %+v", stored)
	}
	events := len(s.events)
	for _, tt := range []struct {
		min             float64
		fresh, gone, as int
	}{{10, 0, 0, 1}, {50, 0, 1, 0}} {
		c := only("failed_access")
		c.Parameters = map[string]map[string]float64{"failed_access": {"min_failed": tt.min}}
		s.open(c)
		r, err := s.Backtest(t.Context(), at, 0, func(time.Time) {})
		if err != nil {
			t.Fatal(err)
		}
		counts := map[profile.Outcome]int{}
		for _, l := range r.Lines {
			counts[l.Outcome]++
		}
		if counts[profile.OutcomeNew] != tt.fresh || counts[profile.OutcomeGone] != tt.gone || counts[profile.OutcomeSame] != tt.as || r.Before != 1 || r.DeviceDays == 0 {
			t.Errorf("with %v: %+v", tt.min, r)
		}
	}
	s.exec("TRUNCATE TABLE incidents")
	r, err := s.Backtest(t.Context(), at, 0, func(time.Time) {})
	if err != nil || len(r.Lines) != 0 {
		t.Errorf("with 50 and nothing stored: %+v, %v", r, err)
	}
	s.open(only("failed_access"))
	if r, err = s.Backtest(t.Context(), at, 0, func(time.Time) {}); err != nil || len(r.Lines) != 1 || r.Lines[0].Outcome != profile.OutcomeNew {
		t.Errorf("with nothing stored: %+v, %v, want what is found to be new", r, err)
	}
	if len(s.events) != events || len(s.alerts(profile.AlertFilter{})) != 0 {
		t.Errorf("a backtest wrote something")
	}
}

// TestBacktest_DaysWithoutContacts: contacts of the first days have gone; what edges
// and hours tell of them is found all the same, and what they do not tell is not
// called gone.
func TestBacktest_DaysWithoutContacts(t *testing.T) {
	s := newSite(t, only("new_destination", "new_service", "volume", "scan"))
	s.add(life(monday, 8)...)
	s.score()
	day9 := monday.AddDate(0, 0, 8)
	at := day9.Add(14 * time.Hour)
	s.add(talk{at: at, lasts: time.Minute, from: "10.0.0.2", to: "185.9.9.9", mac: camera, dmac: router, port: 4444, out: 60_000_000, in: 90_000})
	for i := range 40 {
		s.add(talk{at: at.Add(time.Duration(i) * time.Second), from: "10.0.0.2", to: fmt.Sprintf("10.0.7.%d", 1+i), mac: camera, dmac: router, port: 23, out: 60, flags: 2})
	}
	s.score()
	s.add(life(day9.AddDate(0, 0, 1), 2)...)
	s.score()
	s.exec("DELETE FROM contacts WHERE day <= '2026-03-10'")
	r, err := s.Backtest(t.Context(), day9, 0, func(time.Time) {})
	if err != nil {
		t.Fatal(err)
	}
	is := map[string]profile.Outcome{}
	for _, l := range r.Lines {
		is[l.Family] = l.Outcome
	}
	for _, family := range []string{"new_destination", "new_service", "volume"} {
		if is[family] != profile.OutcomeSame {
			t.Errorf("%s is %q, want the same; all: %v", family, is[family], is)
		}
	}
	if _, ok := is["scan"]; ok || r.Older != 1 || !slices.Contains(r.Untimed, "scan") {
		t.Errorf("scan is %q; %d older days, not judged by %q", is["scan"], r.Older, r.Untimed)
	}
	if r, err = s.Backtest(t.Context(), day9, time.Nanosecond, func(time.Time) {}); err != nil || !r.Stopped || len(r.Lines) != 0 {
		t.Errorf("without time: stopped is %t, %d lines, error %v", r.Stopped, len(r.Lines), err)
	}
}
