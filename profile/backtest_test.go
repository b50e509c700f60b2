package profile_test

import (
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
		r, err := s.Backtest(t.Context(), at, func(time.Time) {})
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
	r, err := s.Backtest(t.Context(), at, func(time.Time) {})
	if err != nil || len(r.Lines) != 0 {
		t.Errorf("with 50 and nothing stored: %+v, %v", r, err)
	}
	s.open(only("failed_access"))
	if r, err = s.Backtest(t.Context(), at, func(time.Time) {}); err != nil || len(r.Lines) != 1 || r.Lines[0].Outcome != profile.OutcomeNew {
		t.Errorf("with nothing stored: %+v, %v, want what is found to be new", r, err)
	}
	if len(s.events) != events || len(s.alerts(profile.AlertFilter{})) != 0 {
		t.Errorf("a backtest wrote something")
	}
}
