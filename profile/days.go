package profile

import "time"

// calendarTime is how far back hours are compared, so how many days of a calendar
// a statement holds.
const calendarTime = 400 * 24 * time.Hour

// days are those that are not like others of their week, as days since 1970 by the
// site's clocks: days off and days worked.
type days struct{ off, work []uint16 }

// refreshCalendars reads the operator's calendars anew if they changed.
func (s *Scorer) refreshCalendars() {
	changed, err := s.calendars.Refresh()
	if err != nil {
		s.log.Warn().Err(err).Msg("a calendar cannot be read")
	} else if changed {
		s.log.Info().Msg("calendars are in force")
	}
}

// daysTo returns the days of the calendars that batches up to a time are compared
// by.
func (s *Scorer) daysTo(at time.Time) (d days) {
	d.off, d.work = s.calendars.Days(at.Add(-calendarTime), at.Add(24*time.Hour))
	return d
}
