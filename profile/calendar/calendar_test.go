package calendar

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func berlin(t *testing.T) *time.Location {
	t.Helper()
	zone, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	return zone
}

// ics wraps the lines of events.
func ics(events ...string) string {
	text := "BEGIN:VCALENDAR\nVERSION:2.0\nPRODID:-//test//EN\n"
	for _, e := range events {
		text += "BEGIN:VEVENT\n" + e + "\nEND:VEVENT\n"
	}
	return strings.ReplaceAll(text+"END:VCALENDAR\n", "\n", "\r\n")
}

// in2026 are the days of a calendar in 2026, as MM-DD.
func in2026(days []uint16) (out []string) {
	for _, d := range days {
		if t := time.Unix(int64(d)*86400, 0).UTC(); t.Year() == 2026 {
			out = append(out, t.Format("01-02"))
		}
	}
	return out
}

func TestParse_DaysOfEvents(t *testing.T) {
	tests := []struct {
		name   string
		events []string
		work   bool
		want   string
	}{
		{"one day", []string{"DTSTART;VALUE=DATE:20261225\nDTEND;VALUE=DATE:20261226"}, false, "12-25"},
		{"without an end", []string{"DTSTART;VALUE=DATE:20261225"}, false, "12-25"},
		{"several days", []string{"DTSTART;VALUE=DATE:20261224\nDURATION:P3D"}, false, "12-24 12-25 12-26"},
		{"every year", []string{"DTSTART;VALUE=DATE:20200501\nRRULE:FREQ=YEARLY"}, false, "05-01"},
		{"fourth Thursday of November", []string{"DTSTART;VALUE=DATE:20201126\nRRULE:FREQ=YEARLY;BYMONTH=11;BYDAY=4TH"}, false, "11-26"},
		{"until, and one left out", []string{"DTSTART;VALUE=DATE:20260105\nRRULE:FREQ=WEEKLY;UNTIL=20260126\nEXDATE;VALUE=DATE:20260112"}, false, "01-05 01-19 01-26"},
		{"one moved", []string{"UID:a\nDTSTART;VALUE=DATE:20260105\nRRULE:FREQ=WEEKLY;COUNT=2", "UID:a\nRECURRENCE-ID;VALUE=DATE:20260112\nDTSTART;VALUE=DATE:20260113"}, false, "01-05 01-13"},
		{"one called off", []string{"UID:a\nDTSTART;VALUE=DATE:20260105\nRRULE:FREQ=WEEKLY;COUNT=2", "UID:a\nSTATUS:CANCELLED\nRECURRENCE-ID;VALUE=DATE:20260112\nDTSTART;VALUE=DATE:20260112"}, false, "01-05"},
		{"cancelled", []string{"STATUS:CANCELLED\nDTSTART;VALUE=DATE:20261225"}, false, ""},
		{"folded", []string{"SUMMARY:a b\n c\nDTSTART;VALUE=DA\n TE:20261225"}, false, "12-25"},
		{"an afternoon is no day off", []string{"DTSTART:20261224T140000\nDTEND:20261225T000000"}, false, ""},
		{"an afternoon and a day", []string{"DTSTART:20261224T140000\nDTEND:20261226T000000"}, false, "12-25"},
		{"a shift is worked", []string{"DTSTART:20261003T060000\nDTEND:20261003T140000"}, true, "10-03"},
		{"a night shift is of two days", []string{"DTSTART:20261003T220000\nDURATION:PT8H"}, true, "10-03 10-04"},
		{"a shift until midnight", []string{"DTSTART:20261003T160000\nDURATION:PT8H"}, true, "10-03"},
		{"the site's zone decides", []string{"DTSTART:20261003T223000Z\nDURATION:PT1H"}, true, "10-04"},
		{"another zone", []string{"DTSTART;TZID=\"Asia/Tokyo\":20261004T060000\nDURATION:PT1H"}, true, "10-03"},
		{"alarms are no events", []string{"DTSTART;VALUE=DATE:20261225\nBEGIN:VALARM\nDTSTART;VALUE=DATE:20260101\nEND:VALARM"}, false, "12-25"},
	}
	for _, tt := range tests {
		days, err := parse("x.ics", []byte(ics(tt.events...)), berlin(t), tt.work)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
		if got := strings.Join(in2026(days), " "); got != tt.want {
			t.Errorf("%s: got days %s, want %s", tt.name, got, tt.want)
		}
	}
}

func TestParse_FaultsWithLineAndReason(t *testing.T) {
	tests := []struct{ text, want string }{
		{"", "line 1: no calendar"},
		{"<html>\n<body>", "line 1: no calendar"},
		{ics("SUMMARY:nothing"), "line 4: the event has no DTSTART"},
		{ics("DTSTART;VALUE=DATE:20261399"), "line 5: DTSTART: got \"20261399\", want a date"},
		{ics("DTSTART:tomorrow"), "line 5: DTSTART: got \"tomorrow\""},
		{ics("DTSTART;TZID=Middle/Earth:20261004T060000"), "line 5: DTSTART: no time zone \"Middle/Earth\""},
		{ics("DTSTART;VALUE=DATE:20261225\nDTEND;VALUE=DATE:20261220"), "line 4: DTEND is no time after DTSTART"},
		{ics("DTSTART;VALUE=DATE:20261225\nRRULE:FREQ=HOURLY"), "line 4: RRULE: got FREQ=HOURLY"},
		{ics("DTSTART;VALUE=DATE:20261225\nRRULE:EVERY DAY"), "line 4: RRULE:"},
		{ics("DTSTART;VALUE=DATE:20261225\nDURATION:long"), "line 6: DURATION: got \"long\""},
		{"BEGIN:VCALENDAR\nBEGIN:VEVENT\nDTSTART;VALUE=DATE:20261225\n", "line 3: the file ends within VEVENT"},
		{"BEGIN:VCALENDAR\nnonsense\nEND:VCALENDAR", "line 2: got \"NONSENSE\", want NAME:VALUE"},
	}
	for _, tt := range tests {
		if _, err := parse("x.ics", []byte(tt.text), time.UTC, false); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%.60q: got error %v, want %q in it", tt.text, err, tt.want)
		}
	}
}

func TestCalendars_TheOldOneStaysInForceAndWorkBeatsOff(t *testing.T) {
	dir := t.TempDir()
	holidays, shifts := filepath.Join(dir, "holidays.ics"), filepath.Join(dir, "shifts.ics")
	write := func(file, text string, at time.Time) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(file, at, at); err != nil {
			t.Fatal(err)
		}
	}
	begin := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	write(holidays, ics("DTSTART;VALUE=DATE:20261225\nDURATION:P3D"), begin) // the third is a Sunday, which is off anyway
	write(shifts, ics("DTSTART:20261226T060000\nDURATION:PT8H", "DTSTART:20261228T060000\nDURATION:PT8H"), begin)
	c := New([]Source{{File: holidays}, {File: shifts, Days: Work}}, time.UTC)
	want := func(off, work string) {
		t.Helper()
		gotOff, gotWork := c.Days(begin, begin.AddDate(1, 0, 0))
		if o, w := strings.Join(in2026(gotOff), " "), strings.Join(in2026(gotWork), " "); o != off || w != work {
			t.Errorf("got days off %q and worked %q, want %q and %q", o, w, off, work)
		}
	}
	if changed, err := c.Refresh(); !changed || err != nil {
		t.Fatal(changed, err)
	}
	want("12-25", "12-26")
	if changed, err := c.Refresh(); changed || err != nil {
		t.Fatal("read again without a change:", changed, err)
	}
	write(holidays, "no calendar", begin.Add(time.Hour))
	if changed, err := c.Refresh(); changed || err == nil || !strings.Contains(err.Error(), "stay in force") {
		t.Fatalf("a calendar that is none: got %t, %v", changed, err)
	}
	want("12-25", "12-26")
	write(holidays, ics("DTSTART;VALUE=DATE:20261231"), begin.Add(2*time.Hour))
	if changed, err := c.Refresh(); !changed || err != nil {
		t.Fatal(changed, err)
	}
	want("12-31", "12-26")
}

func FuzzParse(f *testing.F) {
	f.Add(ics("DTSTART;VALUE=DATE:20261225\nRRULE:FREQ=YEARLY"), false)
	f.Add(ics("DTSTART:20261003T220000Z\nDURATION:PT8H\nRRULE:FREQ=WEEKLY;COUNT=3\nEXDATE:20261010T220000Z"), true)
	f.Add(ics("DTSTART;VALUE=DATE:20260230\nRRULE:FREQ=DAILY;INTERVAL=0"), false)
	f.Fuzz(func(t *testing.T, text string, work bool) {
		if strings.Count(text, "RRULE") > 3 {
			return // each may run through a hundred years
		}
		days, err := parse("x.ics", []byte(text), time.UTC, work)
		if err == nil && !slices.IsSorted(days) {
			t.Errorf("days %v are not sorted", days)
		}
	})
}

// A small file can ask for very much.
func TestParse_FilesMadeToHurtEndSoon(t *testing.T) {
	const all = "DTSTART;VALUE=DATE:19900101"
	var left []string
	for i := range 90_000 {
		left = append(left, firstDay.AddDate(0, 0, i%40_000).Format("20060102"))
	}
	moved := []string{"UID:a\n" + all + "\nRRULE:FREQ=DAILY"}
	never := []string{}
	for i := range 20_000 - 1 {
		moved = append(moved, "UID:a\nRECURRENCE-ID;VALUE=DATE:"+firstDay.AddDate(0, 0, i).Format("20060102")+"\nSTATUS:CANCELLED\n"+all)
	}
	for range 400 {
		never = append(never, all+"\nRRULE:FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30")
	}
	tests := []struct {
		name   string
		events []string
		fault  string
		days   int
	}{
		{"folded a million times", []string{all + "\nDESCRIPTION:x" + strings.Repeat("\n y", 1_000_000)}, "", 1},
		{"each day left out", []string{all + "\nRRULE:FREQ=DAILY;UNTIL=20890101\nEXDATE;VALUE=DATE:" + strings.Join(left, ",")}, "", 0},
		{"each day moved", moved, "", 40_177 - 19_999},
		{"years that begin each day", []string{all + "\nDURATION:P365D\nRRULE:FREQ=DAILY"}, "line 2: up to this event there are more than 2000000", 0},
		{"rules that no day fits", never, "daily rules with conditions", 0},
	}
	for _, tt := range tests {
		text := "BEGIN:VCALENDAR\nBEGIN:VEVENT\n" + strings.Join(tt.events, "\nEND:VEVENT\nBEGIN:VEVENT\n") + "\nEND:VEVENT\nEND:VCALENDAR\n"
		begun := time.Now()
		days, err := parse("x.ics", []byte(text), time.UTC, false)
		if tt.fault == "" && err != nil || tt.fault != "" && (err == nil || !strings.Contains(err.Error(), tt.fault)) {
			t.Errorf("%s: got %v, want %q", tt.name, err, tt.fault)
		}
		if tt.fault == "" && len(days) != tt.days {
			t.Errorf("%s: got %d days, want %d", tt.name, len(days), tt.days)
		}
		t.Logf("%s: %v", tt.name, time.Since(begun))
	}
}
