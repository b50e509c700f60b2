package profile

import (
	"cmp"
	"context"
	_ "embed"
	"fmt"
	"math"
	"slices"
	"time"
)

var (
	//go:embed query/windows.sql
	windowsSQL string
	//go:embed query/device_days.sql
	deviceDaysSQL string
	//go:embed query/reached.sql
	reachedSQL string
)

// Outcome is what becomes of a stored finding under other parameters.
type Outcome string

const (
	OutcomeNew  Outcome = "new"  // would have been found
	OutcomeGone Outcome = "gone" // would not have been found
	OutcomeSame Outcome = "same"
)

// Trial is a line of a backtest beside what is stored.
type Trial struct {
	Outcome  Outcome   `json:"outcome"`
	Device   uint64    `json:"-"`
	Family   string    `json:"family"`
	Target   string    `json:"target"`
	Since    time.Time `json:"since"`
	Until    time.Time `json:"until"`
	Score    uint8     `json:"score"`
	Risk     uint8     `json:"risk"`     // of its alert
	Notified bool      `json:"notified"` // people would have been told, or were
	Observed string    `json:"observed"`
}

// Backtest is what detectors would have found.
type Backtest struct {
	Since       time.Time `json:"since"` // event time
	Until       time.Time `json:"until"`
	DeviceDays  uint64    `json:"device_days"`
	LearnedDays uint64    `json:"learned_device_days"`
	Alerts      int       `json:"alerts"`
	Notified    int       `json:"notified"`        // alerts that people would have been told of
	Before      int       `json:"alerts_before"`   // stored ones of the same detectors
	BeforeTold  int       `json:"notified_before"` // that people were told of
	Lines       []Trial   `json:"lines"`
	Older       int       `json:"older_days"`     // before the first, of which no contacts are kept
	Untimed     []string  `json:"not_older_days"` // detectors that could not judge those
	Stopped     bool      `json:"stopped"`        // before the end: time was up, or there was too much

	timed time.Time // contacts are kept from then on; zero = since Since
}

// maxTried is how many alerts a backtest keeps in memory, about 10 kB each.
const maxTried = 20_000

// Backtest runs the scorer's detectors once more over what is stored since a time,
// and compares what they find with the stored alerts of the same detectors. Contacts
// (kept 14 days) are gone through by the hour of event time; what is older by the
// day, from edges (180 days) and hours (400 days), by the detectors that need no more.
// It writes nothing, and stops when most is over; 0 = it does not. What makes it
// differ from what was scored live: aggregates of whole days are those of today, and
// what befalls a fleet is not merged.
func (s *Scorer) Backtest(ctx context.Context, since time.Time, most time.Duration, progress func(at time.Time)) (Backtest, error) {
	r := Backtest{Since: since, Untimed: []string{}}
	begun := time.Now()
	b := newBook(s.config.Site, nil)
	b.trial = true
	logs := []uint64{s.config.Log}
	if s.config.Log == 0 {
		var err error
		if logs, err = column[uint64](ctx, s, logsSQL, nil); err != nil {
			return r, fmt.Errorf("backtest: %w", err)
		}
	}
	hidden, err := s.Exclusions(ctx)
	if err != nil {
		return r, err
	}
	s.refreshLists()
	s.refreshCalendars()
	s.trying = true
	if err := s.refreshDetectors(ctx); err != nil {
		return r, fmt.Errorf("backtest: %w", err)
	}
	if err := s.DetectorStatus().Err(); err != nil {
		return r, fmt.Errorf("backtest: %w: see tidemark detectors check", err)
	}
	described, err := s.Descriptions(ctx)
	if err != nil {
		return r, err
	}
	s.mud.any = len(described) > 0
	if err := s.refreshFrozen(ctx); err != nil {
		return r, err
	}
	if err := s.refreshJoined(ctx); err != nil {
		return r, err
	}
	older, err := s.olderDays(ctx, since)
	if err != nil {
		return r, fmt.Errorf("backtest: %w", err)
	}
	full := func() bool {
		r.Stopped = r.Stopped || len(b.all) >= maxTried || most > 0 && time.Since(begun) > most
		return r.Stopped
	}
	for _, day := range older {
		if full() || len(logs) == 0 {
			break
		}
		progress(day)
		if err := s.tryDay(ctx, b, hidden, logs[0], day); err != nil { // edges are of all logs
			return r, fmt.Errorf("backtest of %s: %w", day.Format(time.DateOnly), err)
		}
		r.timed = day.Add(24 * time.Hour)
		r.Older, r.Untimed, r.Until = r.Older+1, s.untimed(), r.timed
	}
	for _, log := range logs {
		windows, err := s.windows(ctx, log, since)
		if err != nil {
			return r, fmt.Errorf("backtest: list batches of log %016x: %w", log, err)
		}
		for _, w := range windows {
			if full() {
				break
			}
			progress(w.reached)
			if err := s.try(ctx, b, hidden, log, w); err != nil {
				return r, fmt.Errorf("backtest of batches %d to %d of log %016x: %w", w.after+1, w.upto, log, err)
			}
			r.Until = later(r.Until, w.reached)
		}
	}
	values := map[string]any{"site": s.config.Site, "since": since, "learning": uint64(s.config.LearningPeriod / time.Second)}
	if err := scalar(ctx, s, deviceDaysSQL, values, &r.DeviceDays, &r.LearnedDays); err != nil {
		return r, fmt.Errorf("backtest: count device-days: %w", err)
	}
	return r, s.compare(ctx, &r, b)
}

// Reached is the event time of the newest contacts; zero if there are none.
func (s *Scorer) Reached(ctx context.Context) (time.Time, error) {
	var at time.Time
	if err := scalar(ctx, s, reachedSQL, nil, &at); err != nil {
		return at, fmt.Errorf("read the newest contacts: %w", err)
	}
	if at.UnixMilli() <= 0 {
		return time.Time{}, nil
	}
	return at.UTC(), nil
}

// window is an hour of batches (after, upto].
type window struct {
	after, upto uint64
	reached     time.Time
}

func (s *Scorer) windows(ctx context.Context, log uint64, since time.Time) ([]window, error) {
	list, err := query(ctx, s, windowsSQL, map[string]any{"log": log, "since": since}, func(r row, w *window) error {
		err := r.Scan(&w.after, &w.upto, &w.reached)
		w.reached = w.reached.UTC()
		w.after--
		return err
	})
	if err != nil {
		return nil, err
	}
	var out []window
	for _, w := range list { // exporters' clocks differ: an hour may begin before another ends
		if n := len(out); n > 0 {
			w.after = max(w.after, out[n-1].upto)
		}
		for w.after < w.upto {
			part := window{w.after, min(w.upto, w.after+maxBatches), w.reached}
			out = append(out, part)
			w.after = part.upto
		}
	}
	return out, nil
}

// try finds what there is in a window and enters it, as Score does.
func (s *Scorer) try(ctx context.Context, b *book, hidden []Exclusion, log uint64, w window) error {
	var found []finding
	s.days = s.daysTo(w.reached)
	for _, p := range []pace{prompt, steady} {
		list, err := s.findAll(ctx, p, log, w.after, w.upto)
		if err != nil {
			return err
		}
		found = append(found, list...)
	}
	return s.settleAndEnter(ctx, b, found, hidden, w.reached)
}

// settleAndEnter ends the round before and enters what was found in this one.
func (s *Scorer) settleAndEnter(ctx context.Context, b *book, found []finding, hidden []Exclusion, at time.Time) error {
	found, _, err := s.without(ctx, found, hidden)
	if err != nil {
		return err
	}
	b.settle(at)
	return s.enter(ctx, b, found)
}

// settle ends a round of a trial: what was due was told, what was quiet is closed.
func (b *book) settle(watermark time.Time) {
	for _, i := range b.all {
		if i.due {
			i.mark()
			i.Told++
		}
		i.seen, i.event, i.due = false, false, false
		i.Version = 1
		for k := range i.Lines {
			i.Lines[k].new, i.Lines[k].from = false, nil
		}
		if i.State != StateClosed && watermark.Sub(i.Changed) >= quietTime {
			i.State = StateClosed
			delete(b.of, i.Device)
		}
	}
}

// compare sets what a trial found beside what is stored.
func (s *Scorer) compare(ctx context.Context, r *Backtest, b *book) error {
	b.settle(time.Time{})
	var trial, before []Trial
	for _, i := range b.all {
		r.Alerts++
		if i.Told > 0 {
			r.Notified++
		}
		trial = append(trial, i.trials()...)
	}
	stored, err := s.incidents(ctx, AlertFilter{Limit: math.MaxInt32})
	if err != nil {
		return fmt.Errorf("backtest: read alerts: %w", err)
	}
	for _, i := range stored {
		lines := slices.DeleteFunc(i.trials(), func(t Trial) bool {
			d := detectorNamed(s.detectors, t.Family)
			return t.Until.Before(r.Since) || d == nil || r.Stopped && t.Since.After(r.Until) || t.Until.Before(r.timed) && d.brief
		})
		if len(lines) == 0 {
			continue
		}
		r.Before++
		if i.Told > 0 {
			r.BeforeTold++
		}
		before = append(before, lines...)
	}
	for _, t := range trial {
		t.Outcome = OutcomeNew
		if slices.ContainsFunc(before, t.meets) {
			t.Outcome = OutcomeSame
		}
		r.Lines = append(r.Lines, t)
	}
	for _, t := range before {
		if !slices.ContainsFunc(trial, t.meets) {
			t.Outcome = OutcomeGone
			r.Lines = append(r.Lines, t)
		}
	}
	slices.SortStableFunc(r.Lines, func(a, b Trial) int {
		return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.Device, b.Device), cmp.Compare(a.Family, b.Family))
	})
	return nil
}

func (i *Incident) trials() []Trial {
	var out []Trial
	for k := range i.Lines {
		l := &i.Lines[k]
		out = append(out, Trial{Device: i.Device, Family: l.Family, Target: l.Target, Since: l.Since, Until: l.Until, Score: l.Score, Risk: i.Risk, Notified: l.Notified, Observed: l.Observed})
	}
	return out
}

// meets says whether two lines tell of the same: of one family and device, at
// times an hour apart at most.
func (t Trial) meets(o Trial) bool {
	return t.Device == o.Device && t.Family == o.Family && t.Since.Sub(o.Until) <= time.Hour && o.Since.Sub(t.Until) <= time.Hour
}
