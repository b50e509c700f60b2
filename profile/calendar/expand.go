package calendar

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/teambition/rrule-go"
)

// expand lists the days of all events, repeated as their rules say.
func (p *parser) expand(work bool) []uint16 {
	days := map[uint16]bool{}
	type occurrence struct {
		uid string
		at  int64 // seconds since 1970
	}
	instead := map[occurrence]bool{} // that have an event of their own
	rules := 0
	for i := range p.events {
		e := &p.events[i]
		if e.instead != nil {
			instead[occurrence{e.uid, e.instead.Unix()}] = true
		}
		if e.rule != "" {
			rules++
		}
	}
	if rules > maxRules {
		p.fault(1, "%d events repeat, want %d at most", rules, maxRules)
		return nil
	}
	for i := range p.events {
		e := &p.events[i]
		if e.cancelled {
			continue
		}
		starts, err := e.starts(&p.steps)
		if err != nil {
			p.fault(e.line, "%v", err)
			continue
		}
		for _, at := range starts {
			if e.instead == nil && instead[occurrence{e.uid, at.Unix()}] {
				continue
			}
			for d := range e.covers(at, p.zone, work) {
				if p.steps--; p.steps < 0 {
					break
				}
				days[d] = true
			}
		}
		if p.steps < 0 {
			p.fault(e.line, "up to this event there are more than %d repetitions and days of events: too many", maxSteps)
			return nil
		}
		if len(days) > maxDays {
			p.fault(e.line, "the events are on more than %d days", maxDays)
			return nil
		}
	}
	out := make([]uint16, 0, len(days))
	for d := range days {
		out = append(out, d)
	}
	slices.Sort(out)
	return out
}

// starts are the beginnings of the event: by its rule, and those added and left
// out. It takes what it does off steps, and ends early when none are left.
func (e *event) starts(steps *int) ([]time.Time, error) {
	list := []time.Time{e.start.Time}
	if e.rule != "" {
		rule, err := e.repeats(steps)
		if err != nil {
			return nil, err
		}
		list = list[:0]
		next := rule.Iterator()
		for at, ok := next(); ok && at.Before(lastDay) && *steps >= 0; at, ok = next() {
			*steps--
			if at.Before(firstDay) {
				continue
			}
			if len(list) > maxDays {
				return nil, fmt.Errorf("RRULE: more than %d repetitions", maxDays)
			}
			list = append(list, at)
		}
	}
	for _, m := range e.more {
		list = append(list, m.Time)
	}
	less := map[int64]bool{}
	for _, m := range e.less {
		less[m.Unix()] = true
	}
	return slices.DeleteFunc(list, func(at time.Time) bool { return less[at.Unix()] }), nil
}

// repeats is the rule of RFC 5545, 3.3.10, of days and longer.
func (e *event) repeats(steps *int) (*rrule.RRule, error) {
	option, err := rrule.StrToROptionInLocation(strings.TrimSpace(e.rule), e.start.Location())
	if err != nil {
		return nil, fmt.Errorf("RRULE: %w", err)
	}
	if option.Freq > rrule.DAILY {
		return nil, fmt.Errorf("RRULE: got FREQ=%s, want YEARLY, MONTHLY, WEEKLY or DAILY", option.Freq)
	}
	if option.Interval < 0 || option.Interval > 1000 || option.Count < 0 || len(option.Byhour)+len(option.Byminute)+len(option.Bysecond) > 0 {
		return nil, fmt.Errorf("RRULE: got %.80q, want an INTERVAL of 1 to 1000, and no BYHOUR, BYMINUTE or BYSECOND", e.rule)
	}
	if option.Freq == rrule.DAILY && strings.Contains(strings.ToUpper(e.rule), "BY") {
		if *steps -= dailySteps; *steps < 0 {
			return nil, fmt.Errorf("RRULE: more than %d daily rules with conditions", maxSteps/dailySteps)
		}
	}
	option.Dtstart = e.start.Time
	rule, err := rrule.NewRRule(*option)
	if err != nil {
		return nil, fmt.Errorf("RRULE: %w", err)
	}
	return rule, nil
}

// covers yields the days of an occurrence that begins at: those it fills, or with
// work those it touches.
func (e *event) covers(at time.Time, zone *time.Location, work bool) func(func(uint16) bool) {
	first, end := at, at.AddDate(0, 0, e.days) // civil midnights in UTC
	if !e.start.date {
		from, to := at.In(zone), at.Add(e.duration).In(zone)
		first = time.Date(from.Year(), from.Month(), from.Day(), 0, 0, 0, 0, time.UTC)
		end = time.Date(to.Year(), to.Month(), to.Day(), 0, 0, 0, 0, time.UTC)
		midnight := func(t time.Time) bool { return t.Hour()+t.Minute()+t.Second() == 0 }
		if work && (!midnight(to) || e.duration == 0) {
			end = end.AddDate(0, 0, 1)
		} else if !work && !midnight(from) {
			first = first.AddDate(0, 0, 1)
		}
	}
	return func(yield func(uint16) bool) {
		for d := first; d.Before(end); d = d.AddDate(0, 0, 1) {
			if !d.Before(firstDay) && d.Before(lastDay) && !yield(Day(d)) {
				return
			}
		}
	}
}
