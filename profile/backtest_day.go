package profile

import (
	"context"
	_ "embed"
	"fmt"
	"regexp"
	"strings"
	"time"
)

var (
	//go:embed query/contact_days.sql
	contactDaysSQL string
	//go:embed query/contacts_of_day.sql
	contactsOfDaySQL string
)

// olderDays are the days of a backtest before the contacts that are kept.
func (s *Scorer) olderDays(ctx context.Context, since time.Time) ([]time.Time, error) {
	days, err := column[time.Time](ctx, s, contactDaysSQL, map[string]any{"since": since})
	if err != nil {
		return nil, fmt.Errorf("list days before contacts: %w", err)
	}
	return days, nil
}

// tryDay finds what there is on a day of which only edges and hours are kept.
func (s *Scorer) tryDay(ctx context.Context, b *book, hidden []Exclusion, log uint64, day time.Time) error {
	end := day.Add(24 * time.Hour)
	s.days, s.day = s.daysTo(end), day
	defer func() { s.day = time.Time{} }()
	var found []finding
	for i := range s.detectors {
		d := &s.detectors[i]
		if d.brief || d.needs&profiled != 0 && !s.mud.any {
			continue
		}
		list, err := s.find(ctx, d, log, 0, 1)
		if err != nil {
			return err
		}
		found = append(found, list...)
	}
	if err := s.keep(ctx, found); err != nil {
		return err
	}
	return s.settleAndEnter(ctx, b, found, hidden, end)
}

// untimed are the detectors of a backtest that cannot judge days of which only edges
// are kept.
func (s *Scorer) untimed() (names []string) {
	for i := range s.detectors {
		if s.detectors[i].brief {
			names = append(names, s.detectors[i].Name)
		}
	}
	return names
}

var contacts = regexp.MustCompile(`\bFROM contacts\b( AS \w+)?`)

// ofDay makes a statement read the edges of a day for contacts.
func ofDay(sql string) string {
	return contacts.ReplaceAllStringFunc(sql, func(read string) string {
		alias := contacts.FindStringSubmatch(read)[1]
		if alias == "" {
			alias = " AS contacts"
		}
		return "FROM " + strings.TrimSpace(contactsOfDaySQL) + alias
	})
}
