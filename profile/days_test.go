package profile_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"tidemark/profile"
	"tidemark/profile/calendar"
)

// office is days of a sensor that calls its cloud each hour, and sends a lot in the
// hours that its clock shows.
func office(zone *time.Location, from time.Time, days int, busy func(day time.Time) []int) (out []talk) {
	for d := range days {
		y, m, day := from.AddDate(0, 0, d).Date()
		midnight := time.Date(y, m, day, 0, 0, 0, 0, zone)
		for h := range 24 {
			out = append(out, talk{at: midnight.Add(time.Duration(h) * time.Hour).UTC(), lasts: 5 * time.Second, from: "10.0.0.9", to: "52.1.1.10", mac: sensor, dmac: router, port: 8883, out: 2000, in: 1500})
		}
		for _, h := range busy(midnight) {
			at := time.Date(y, m, day, h, 10, 0, 0, zone).UTC()
			out = append(out, talk{at: at, lasts: time.Minute, from: "10.0.0.9", to: "52.1.1.10", mac: sensor, dmac: router, port: 8883, out: 300_000, in: 1500})
		}
	}
	return out
}

// odd are the expectations of unexpected_hour among events.
func odd(events []profile.Event) (out []string) {
	for _, e := range events {
		for _, l := range e.Body["lines"].([]any) {
			if line := l.(map[string]any); line["family"] == "unexpected_hour" {
				out = append(out, line["expected"].(string))
			}
		}
	}
	return out
}

// TestZone_SummerTimeIsNoUnexpectedHour: at Troll station clocks go two hours ahead
// on 29 March 2026.
func TestZone_SummerTimeIsNoUnexpectedHour(t *testing.T) {
	troll, err := time.LoadLocation("Antarctica/Troll")
	if err != nil {
		t.Fatal(err)
	}
	c := only("unexpected_hour")
	utc := c
	c.Zone = troll
	s := newSite(t, c)
	s.add(office(troll, monday.AddDate(0, 0, 14), 17, func(time.Time) []int { return []int{8} })...)
	s.commit()
	if got := odd(append(s.score(), s.score()...)); len(got) != 0 {
		t.Errorf("by the site's clocks: got unexpected hours %q, want none", got)
	}
	s = s.again(utc)
	if got := odd(append(s.score(), s.score()...)); len(got) == 0 || !strings.Contains(got[0], "06:00 UTC") {
		t.Errorf("by UTC: got unexpected hours %q, want one at 06:00 UTC", got)
	}
	d, err := s.Device(t.Context(), "10.0.0.9")
	if err != nil {
		t.Fatal(err)
	}
	s.open(c)
	b, err := s.Baseline(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	for hour, h := range b.Hours[1] { // Tuesdays of winter and of summer
		if busy := h.Bytes > 200_000*h.Seen; busy != (hour == 8) {
			t.Errorf("hour %d of Tuesday: busy is %t by the site's clocks", hour, busy)
		}
	}
}

func TestCalendar_ADayOffIsComparedWithWeekendsAndAWorkedOneWithWorkingDays(t *testing.T) {
	holiday, worked := monday.AddDate(0, 0, 31), monday.AddDate(0, 0, 33) // a Thursday and a Saturday
	dir := t.TempDir()
	file := func(name string, day time.Time) string {
		path := filepath.Join(dir, name)
		text := fmt.Sprintf("BEGIN:VCALENDAR\nBEGIN:VEVENT\nDTSTART;VALUE=DATE:%s\nEND:VEVENT\nEND:VCALENDAR\n", day.Format("20060102"))
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	free := func(day time.Time) bool {
		return day.Equal(holiday) || !day.Equal(worked) && (day.Weekday() == time.Saturday || day.Weekday() == time.Sunday)
	}
	without := only("unexpected_hour")
	with := without
	with.Calendars = []calendar.Source{{File: file("holidays.ics", holiday)}, {File: file("shifts.ics", worked), Days: calendar.Work}}
	s := newSite(t, with)
	s.add(office(time.UTC, monday, 34, func(day time.Time) []int {
		if free(day) {
			return []int{20}
		}
		return []int{9, 10, 11}
	})...)
	s.commit()
	if got := odd(append(s.score(), s.score()...)); len(got) != 0 {
		t.Errorf("with calendars: got unexpected hours %q, want none", got)
	}
	s = s.again(without)
	got := strings.Join(odd(append(s.score(), s.score()...)), "\n")
	for _, want := range []string{"20:00 UTC on a Thursday", "09:00 UTC on a Saturday"} {
		if !strings.Contains(got, want) {
			t.Errorf("without calendars: got unexpected hours %s, want one at %s", got, want)
		}
	}
	// what is odd on a day off still is
	s = s.again(with)
	s.add(office(time.UTC, holiday, 1, func(time.Time) []int { return []int{3} })...)
	if got := odd(append(s.score(), s.score()...)); !slices.ContainsFunc(got, func(e string) bool { return strings.Contains(e, "03:00 UTC on a day off") }) {
		t.Errorf("an odd hour of a day off: got unexpected hours %q", got)
	}
}
