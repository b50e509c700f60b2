// Package calendar reads iCalendar files (RFC 5545) and says which days of a site
// are not like the others of their week: days off, and days that are worked.
package calendar

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"tidemark/profile/stamp"
)

// Source is a calendar as the configuration names it.
type Source struct {
	File string `yaml:"file" doc:"iCalendar file (.ics, RFC 5545); read anew when it changes"`
	Days string `yaml:"days" doc:"off (the default): days that an event covers from midnight to midnight are like a weekend; work: days on which an event lies, such as a shift, are like a working day, on a weekend or holiday too"`
}

// What the days of a calendar are.
const (
	Off  = "off"
	Work = "work"
)

// Calendars are the calendars in force. Its methods may be called at once.
type Calendars struct {
	sources []Source
	zone    *time.Location

	mu        sync.Mutex
	seen      []stamp.Stamp
	off, work []uint16 // days since 1970, sorted
}

// New names the calendars of a site whose clocks show zone; Refresh reads them.
func New(sources []Source, zone *time.Location) *Calendars {
	return &Calendars{sources: sources, zone: zone, seen: make([]stamp.Stamp, len(sources))}
}

// Validate reads all calendars and reports every fault, each by its path below
// `calendars`.
func Validate(sources []Source, zone *time.Location) (errs []error) {
	for i, s := range sources {
		if s.Days != "" && s.Days != Off && s.Days != Work {
			errs = append(errs, fmt.Errorf("[%d].days: got %q, want %s or %s", i, s.Days, Off, Work))
		}
		if s.File == "" {
			errs = append(errs, fmt.Errorf("[%d].file: got none, want the path of an iCalendar file", i))
			continue
		}
		if _, err := s.read(zone); err != nil {
			errs = append(errs, fmt.Errorf("[%d].file: %w", i, err))
		}
	}
	return errs
}

// Refresh reads all calendars anew if a file has changed, and says whether it
// did. If one cannot be read, all stay as they were.
func (c *Calendars) Refresh() (bool, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.changed() {
		return false, nil
	}
	var off, work []uint16
	var errs []error
	for _, s := range c.sources {
		days, err := s.read(c.zone)
		if err != nil {
			errs = append(errs, err)
		} else if s.Days == Work {
			work = append(work, days...)
		} else {
			off = append(off, days...)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return false, fmt.Errorf("%w\nthe calendars read before stay in force", err)
	}
	slices.Sort(work)
	slices.Sort(off)
	c.off = slices.DeleteFunc(slices.Compact(off), func(d uint16) bool {
		_, worked := slices.BinarySearch(work, d)
		return worked || weekend(d)
	})
	c.work = slices.DeleteFunc(slices.Compact(work), func(d uint16) bool { return !weekend(d) })
	return true, nil
}

// weekend says whether a day is off, or worked, without a calendar: it is compared
// with all days of its kind only as long as no calendar marks it.
func weekend(d uint16) bool { return (d+3)%7 > 4 } // day 0 was a Thursday

// changed says whether a file is another one than at the last look.
func (c *Calendars) changed() (any bool) {
	for i, s := range c.sources {
		now := stamp.Of(s.File)
		any = any || now != c.seen[i]
		c.seen[i] = now
	}
	return any
}

// Days returns the days off and the days worked from one civil day to before
// another, as days since 1970-01-01. A day that is both is worked.
func (c *Calendars) Days(from, to time.Time) (off, work []uint16) {
	c.mu.Lock()
	defer c.mu.Unlock()
	a, b := Day(from.In(c.zone)), Day(to.In(c.zone))
	return between(c.off, a, b), between(c.work, a, b)
}

// Day is the civil day that a clock shows at t, as days since 1970-01-01; days
// that 16 bits do not hold are the nearest that they do.
func Day(t time.Time) uint16 {
	days := time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, time.UTC).Unix() / 86400
	return uint16(max(0, min(days, 1<<16-1)))
}

func between(days []uint16, from, to uint16) []uint16 {
	a, _ := slices.BinarySearch(days, from)
	b, _ := slices.BinarySearch(days, to)
	return slices.Clone(days[a:max(a, b)])
}
