package eval

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tidemark/cmd/sitesim/internal/trial"
)

// TestClocks_AreThoseOfARealZone: clocks change on the day of the trial on which they
// do in the zone that the program is told.
func TestClocks_AreThoseOfARealZone(t *testing.T) {
	zone, err := time.LoadLocation(summerZone)
	if err != nil {
		t.Fatal(err)
	}
	changed := 0
	for i := range 12 {
		d := benign(Tuning, i, full)
		if d.config.Start.Weekday() != time.Monday {
			t.Errorf("trial %d begins on a %s", i, d.config.Start.Weekday())
		}
		more, err := clocks(d.config, t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range d.config.Episodes {
			if e.What != "daylight-saving" {
				continue
			}
			changed++
			at := d.config.Start.Add(e.At)
			_, before := at.In(zone).Zone()
			if _, after := at.Add(2 * time.Hour).In(zone).Zone(); before != 0 || after != 3600 || e.At >= d.config.Length || !strings.Contains(more, summerZone) {
				t.Errorf("trial %d: clocks change at %s, which in %s is from %d to %d s; configured %s", i, at, summerZone, before, after, more)
			}
		}
	}
	if changed == 0 {
		t.Error("no trial has a change of clocks")
	}
}

func TestClocks_TheCalendarHoldsTheHolidays(t *testing.T) {
	dir := t.TempDir()
	if _, err := clocks(trial.Config{Start: monday, Episodes: []trial.Timed{{What: "holiday", At: 9*day + 5*time.Hour}, {What: "backup", At: 10 * day}}}, dir); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "holidays.ics"))
	if err != nil || strings.Count(string(text), "DTSTART") != 1 || !strings.Contains(string(text), "VALUE=DATE:20260916") {
		t.Errorf("got calendar %q, error %v, want 2026-09-16 only", text, err)
	}
}
