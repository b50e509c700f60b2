package profile_test

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"tidemark/profile"
)

// TestGrowth_SlowlyAndNotAtOnce: a device that sends eight percent more each day is told of;
// one that begins to send five times as much, one that always varied, and one that sends
// less than is worth a word are not.
func TestGrowth_SlowlyAndNotAtOnce(t *testing.T) {
	s := newSite(t, only("growth"))
	devices := map[string]func(day int) float64{
		"10.0.0.2": func(day int) float64 { return 1e5 * math.Pow(1.08, float64(max(0, day-8))) },
		"10.0.0.3": func(day int) float64 { return []float64{1e5, 5e5}[min(1, day/14)] },
		"10.0.0.4": func(day int) float64 { return 1e5 * float64(1+day*7%9) },
		"10.0.0.5": func(day int) float64 { return 1e3 * math.Pow(1.08, float64(max(0, day-8))) },
	}
	const days = 27
	for day := range days {
		for from, upload := range devices {
			for hour := 0; hour < 24; hour += 2 {
				at := monday.AddDate(0, 0, day).Add(time.Duration(hour)*time.Hour + 5*time.Minute)
				s.add(talk{at: at, lasts: time.Minute, from: from, to: "52.1.1.10", port: 8883, out: uint64(upload(day)), in: 900})
			}
		}
		s.commit()
	}
	s.add(talk{at: monday.AddDate(0, 0, days).Add(time.Minute), lasts: time.Second, from: "10.0.0.2", to: "52.1.1.10", port: 8883, out: 900, in: 900})
	var told []string
	for _, e := range s.score() {
		if e.Kind == "alert" && slices.Contains(named(e), "growth") {
			told = append(told, e.Body["text"].(string))
		}
	}
	if len(told) != 1 || !strings.HasPrefix(told[0], "10.0.0.2") || !strings.Contains(told[0], "1.14 MiB to 1.14 MiB a day out of the site") || !strings.Contains(told[0], "Since 2026-03-11 00:00") {
		t.Errorf("got %q, want one alert about 10.0.0.2", told)
	}
}

// An exporter may date flows by any clock: no statement fails for it.
func TestDetectors_TimesBeyondAllClocks(t *testing.T) {
	s := newSite(t, profile.Config{})
	for _, year := range []int{1905, 1970, 2107, 2200} {
		s.add(talk{at: time.Date(year, 3, 2, 0, 0, 0, 0, time.UTC), lasts: time.Second, from: "10.0.0.2", to: "52.1.1.10", mac: camera, dmac: router, port: 443, out: 2000, in: 1500})
		s.score()
	}
}
