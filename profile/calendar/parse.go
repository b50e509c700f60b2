package calendar

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"tidemark/profile/stamp"
)

// A file is small and local; the bounds keep a wrong one from costing much.
const (
	maxFile   = 4 << 20
	maxEvents = 20_000
	maxRules  = 500
	maxDays   = 100_000
	maxFaults = 10

	// maxSteps bounds the repetitions and days of all events together; dailySteps
	// is what a daily rule with conditions is taken for, which may try every day
	// until the year 9999.
	maxSteps   = 2_000_000
	dailySteps = 40_000
)

// Days before and after these years are not listed.
var (
	firstDay = time.Date(1990, 1, 1, 0, 0, 0, 0, time.UTC)
	lastDay  = time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)
)

// moment is a DATE or DATE-TIME (RFC 5545, 3.3.4 and 3.3.5). A date is midnight UTC.
type moment struct {
	time.Time
	date bool
}

// event is a VEVENT (RFC 5545, 3.6.1) with the line on which it begins.
type event struct {
	line       int
	uid        string
	start, end moment
	duration   time.Duration
	days       int // of duration, for dates
	rule       string
	more, less []moment // RDATE, EXDATE
	instead    *moment  // RECURRENCE-ID
	cancelled  bool
}

// parser reads one file.
type parser struct {
	file   string
	zone   *time.Location
	events []event
	faults []error
	bad    int
	steps  int // left to go
}

func (p *parser) fault(line int, format string, args ...any) {
	if p.bad++; p.bad <= maxFaults {
		p.faults = append(p.faults, fmt.Errorf("calendar %s, line %d: %s", p.file, line, fmt.Sprintf(format, args...)))
	}
}

// read returns the days the events of the file stand for.
func (s Source) read(zone *time.Location) ([]uint16, error) {
	text, err := stamp.Read(s.File, maxFile)
	if err != nil {
		return nil, fmt.Errorf("read calendar: %w", err)
	}
	return parse(s.File, text, zone, s.Days == Work)
}

// parse reads a calendar; every fault is reported, with its line.
func parse(file string, text []byte, zone *time.Location, work bool) ([]uint16, error) {
	p := &parser{file: file, zone: zone, steps: maxSteps}
	p.components(unfold(string(text)))
	days := p.expand(work)
	if p.bad > maxFaults {
		p.faults = append(p.faults, fmt.Errorf("calendar %s: %d faults", file, p.bad))
	}
	return days, errors.Join(p.faults...)
}

type contentLine struct {
	number                  int
	name, parameters, value string
	broken                  bool // no colon
}

// unfold joins what was folded (RFC 5545, 3.1) and takes lines apart.
func unfold(text string) (out []contentLine) {
	text = strings.TrimPrefix(text, "\ufeff")
	var whole []string
	var numbers []int
	var line []byte // which the next one may go on with
	number, begun := 0, 0
	flush := func() {
		if len(line) > 0 {
			whole, numbers = append(whole, string(line)), append(numbers, begun)
		}
	}
	for next := range strings.SplitSeq(text, "\n") {
		number++
		next = strings.TrimSuffix(next, "\r")
		switch {
		case next == "":
		case len(line) > 0 && (next[0] == ' ' || next[0] == '\t'):
			line = append(line, next[1:]...)
		default:
			flush()
			line, begun = append(line[:0], next...), number
		}
	}
	flush()
	for i, line := range whole {
		head, value, ok := cutUnquoted(line, ':')
		name, parameters, _ := strings.Cut(head, ";")
		out = append(out, contentLine{numbers[i], strings.ToUpper(name), parameters, value, !ok})
	}
	return out
}

// cutUnquoted cuts at the first separator that is not between quotes.
func cutUnquoted(s string, sep byte) (before, after string, found bool) {
	quoted := false
	for i := range len(s) {
		switch {
		case s[i] == '"':
			quoted = !quoted
		case s[i] == sep && !quoted:
			return s[:i], s[i+1:], true
		}
	}
	return s, "", false
}

// parameter is a value of `;NAME=VALUE;...`.
func (l contentLine) parameter(name string) string {
	rest := l.parameters
	for rest != "" {
		var one string
		one, rest, _ = cutUnquoted(rest, ';')
		if key, value, _ := strings.Cut(one, "="); strings.EqualFold(key, name) {
			return strings.Trim(value, `"`)
		}
	}
	return ""
}

// components reads the events of a VCALENDAR; other components are skipped.
func (p *parser) components(lines []contentLine) {
	if len(lines) == 0 || lines[0].name != "BEGIN" || !strings.EqualFold(lines[0].value, "VCALENDAR") {
		p.fault(1, "no calendar: want BEGIN:VCALENDAR first (RFC 5545)")
		return
	}
	var stack []string
	var e *event
	for _, l := range lines {
		if l.broken {
			p.fault(l.number, "got %.40q, want NAME:VALUE (RFC 5545, 3.1)", l.name)
			continue
		}
		switch l.name {
		case "BEGIN":
			stack = append(stack, strings.ToUpper(l.value))
			if len(stack) == 2 && stack[1] == "VEVENT" {
				e = &event{line: l.number}
			}
		case "END":
			n := len(stack)
			if n == 0 || stack[n-1] != strings.ToUpper(l.value) {
				p.fault(l.number, "END:%.40s ends nothing that was begun", l.value)
				return
			}
			stack = stack[:n-1]
			if n == 2 && e != nil {
				p.add(*e)
				e = nil
			}
		default:
			if e != nil && len(stack) == 2 {
				p.property(e, l)
			}
		}
	}
	if len(stack) > 0 {
		p.fault(lines[len(lines)-1].number, "the file ends within %s: it is cut off", stack[len(stack)-1])
	}
}

func (p *parser) add(e event) {
	switch {
	case e.cancelled && e.instead == nil:
		return
	case e.start.IsZero():
		p.fault(e.line, "the event has no DTSTART that can be read")
		return
	case e.start.Year() < 1600 || e.start.Year() > 2200:
		p.fault(e.line, "DTSTART is in the year %d, want one from 1600 to 2200", e.start.Year())
		return
	case !e.end.IsZero() && (e.end.date != e.start.date || e.end.Before(e.start.Time)):
		p.fault(e.line, "DTEND is no time after DTSTART")
		return
	case len(p.events) == maxEvents:
		p.fault(e.line, "more than %d events", maxEvents)
		return
	}
	if !e.end.IsZero() {
		e.duration = e.end.Sub(e.start.Time)
	}
	if e.start.date {
		if e.days = int(e.duration / (24 * time.Hour)); e.days == 0 {
			e.days = 1 // RFC 5545, 3.6.1
		}
	}
	if e.duration > 400*24*time.Hour {
		p.fault(e.line, "the event lasts longer than 400 days")
		return
	}
	p.events = append(p.events, e)
}

// property reads what of an event says when it is.
func (p *parser) property(e *event, l contentLine) {
	one := func() (m moment) {
		m, err := p.moment(l, l.value)
		if err != nil {
			p.fault(l.number, "%s: %v", l.name, err)
		}
		return m
	}
	list := func(to *[]moment) {
		for value := range strings.SplitSeq(l.value, ",") {
			m, err := p.moment(l, value)
			if err != nil {
				p.fault(l.number, "%s: %v", l.name, err)
				return
			}
			if len(*to) < maxDays {
				*to = append(*to, m)
			}
		}
	}
	switch l.name {
	case "UID":
		e.uid = l.value
	case "STATUS":
		e.cancelled = strings.EqualFold(l.value, "CANCELLED")
	case "DTSTART":
		e.start = one()
	case "DTEND":
		e.end = one()
	case "DURATION":
		var err error
		if e.duration, err = duration(l.value); err != nil {
			p.fault(l.number, "%s: %v", l.name, err)
		}
	case "RRULE":
		if e.rule != "" {
			p.fault(l.number, "a second RRULE; want one (RFC 5545, 3.8.5.3)")
		}
		e.rule = l.value
	case "RDATE":
		list(&e.more)
	case "EXDATE":
		list(&e.less)
	case "RECURRENCE-ID":
		if l.parameter("RANGE") != "" {
			p.fault(l.number, "RECURRENCE-ID with RANGE is not read")
		}
		m := one()
		e.instead = &m
	}
}

// moment reads a date or a time; one without a zone is of the site's.
func (p *parser) moment(l contentLine, value string) (m moment, err error) {
	if l.parameter("VALUE") == "DATE" || l.parameter("VALUE") == "" && len(value) == 8 {
		t, err := time.ParseInLocation("20060102", value, time.UTC)
		if err != nil {
			return m, fmt.Errorf("got %.40q, want a date such as 20261225", value)
		}
		return moment{t, true}, nil
	}
	zone := p.zone
	if id := l.parameter("TZID"); id != "" {
		if zone, err = time.LoadLocation(id); err != nil {
			return m, fmt.Errorf("no time zone %.60q, want one such as Europe/Berlin", id)
		}
	}
	if utc, ok := strings.CutSuffix(value, "Z"); ok {
		value, zone = utc, time.UTC
	}
	t, err := time.ParseInLocation("20060102T150405", value, zone)
	if err != nil {
		return m, fmt.Errorf("got %.40q, want a date such as 20261225 or a time such as 20261225T060000", value)
	}
	return moment{t, false}, nil
}

var durationForm = regexp.MustCompile(`^\+?P(?:(\d{1,3})W|(?:(\d{1,4})D)?(?:T(?:(\d{1,5})H)?(?:(\d{1,6})M)?(?:(\d{1,8})S)?)?)$`)

// duration reads one of RFC 5545, 3.3.6.
func duration(text string) (time.Duration, error) {
	m := durationForm.FindStringSubmatch(text)
	if m == nil {
		return 0, fmt.Errorf("got %.40q, want a duration such as P1D or PT8H", text)
	}
	var sum time.Duration
	for i, unit := range []time.Duration{7 * 24 * time.Hour, 24 * time.Hour, time.Hour, time.Minute, time.Second} {
		n, _ := strconv.Atoi("0" + m[i+1]) // digits only
		sum += time.Duration(n) * unit
	}
	return sum, nil
}
