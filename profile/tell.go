package profile

import (
	"cmp"
	"context"
	_ "embed"
	"fmt"
	"slices"
	"time"
)

//go:embed query/told.sql
var toldSQL string

// Budget is how often people are told of alerts in a day; what is beyond is held
// back for a digest. Zero means the default.
type Budget struct {
	Device int // of one device; default 4
	Site   int // of the site; default 60
}

const (
	defaultDeviceBudget = 4
	defaultSiteBudget   = 60

	// digestTime is how long the first alert held back waits for others.
	digestTime = time.Hour
)

// ration decides which changes people are told of now, the riskiest first, and
// which wait for the digest.
func (s *Scorer) ration(ctx context.Context, b *book, watermark time.Time) error {
	var due []*Incident
	for _, i := range b.all {
		if i.due && i.State != StateClosed {
			due = append(due, i)
		}
	}
	if len(due) > 0 {
		slices.SortStableFunc(due, func(a, b *Incident) int { return cmp.Compare(b.Risk, a.Risk) })
		spent, err := s.spent(ctx, due)
		if err != nil {
			return fmt.Errorf("count what people were told: %w", err)
		}
		for _, i := range due {
			s.spend(i, spent)
		}
	}
	return s.digest(ctx, b, watermark)
}

// spent is how often people were told on each day an incident is due.
func (s *Scorer) spent(ctx context.Context, due []*Incident) (map[string]int, error) {
	since := due[0].Changed
	for _, i := range due {
		if i.Changed.Before(since) {
			since = i.Changed
		}
	}
	out := map[string]int{}
	return out, each(ctx, s, toldSQL, map[string]any{"site": s.config.Site, "since": since.UTC().Truncate(24 * time.Hour)}, func(r row) error {
		var day time.Time
		var n uint64
		if err := r.Scan(&day, &n); err != nil {
			return err
		}
		out[day.Format(time.DateOnly)] = int(n)
		return nil
	})
}

// spend tells of an incident if the budgets of its device and of the site allow.
func (s *Scorer) spend(i *Incident, spent map[string]int) {
	day := i.Changed.UTC().Format(time.DateOnly)
	if i.toldAt.UTC().Format(time.DateOnly) != day {
		i.toldToday = 0
	}
	i.mark()
	if int(i.toldToday) >= s.config.Budget.Device || spent[day] >= s.config.Budget.Site {
		i.due = false
		if i.held.IsZero() {
			i.held = i.Changed
		}
		return
	}
	spent[day]++
	i.toldToday++
	i.Told++
	i.held = time.Time{}
}

// digest tells of everything that is held back, once the first has waited long
// enough.
func (s *Scorer) digest(ctx context.Context, b *book, watermark time.Time) error {
	var held []*Incident
	first := time.Time{}
	for _, i := range b.all {
		if i.held.IsZero() {
			continue
		}
		held = append(held, i)
		if first.IsZero() || i.held.Before(first) {
			first = i.held
		}
	}
	if len(held) == 0 || watermark.Sub(first) < digestTime {
		return nil
	}
	slices.SortStableFunc(held, func(a, b *Incident) int { return cmp.Or(cmp.Compare(b.Risk, a.Risk), cmp.Compare(a.ID, b.ID)) })
	list := make([]any, len(held))
	for k, i := range held {
		list[k] = map[string]any{"alert": i.Name(), "device": fmt.Sprintf("%016x", i.Device), "family": i.Family, "families": texts(i.Families), "risk": int64(i.Risk), "text": i.Text}
	}
	body := map[string]any{"site": s.config.Site, "since": timestamp(first), "until": timestamp(watermark), "alerts": list}
	if err := s.emit(ctx, Event{Kind: "alert_digest", Time: watermark, Actor: "tidemark", Body: body, Held: held}); err != nil {
		return fmt.Errorf("write the digest of %d alerts to the ledger: %w", len(held), err)
	}
	for _, i := range held {
		i.held, i.seen = time.Time{}, true
		i.Told++
	}
	return nil
}

// write tells the ledger first and the table second: a crash between the two
// repeats the events, with the same bodies, instead of losing them.
func (s *Scorer) write(ctx context.Context, b *book) error {
	var changed []*Incident
	var events []Event
	for _, i := range b.all {
		if !i.event && !i.seen {
			continue
		}
		i.Version++
		kind := "alert_updated"
		switch {
		case i.Version == 1:
			kind = "alert"
		case i.State == StateClosed:
			kind = "alert_closed"
		case i.due && i.State == StateAcknowledged: // it grew beyond what was acknowledged
			i.State, i.Actor, i.Reason = StateUpdated, "tidemark", ""
		case i.event && i.State == StateOpen:
			i.State = StateUpdated
		}
		if i.event && len(i.Lines) > 0 {
			i.Text = i.line()
		}
		if i.event {
			events = append(events, i.change(kind))
		}
		changed = append(changed, i)
	}
	if err := s.tell(ctx, events...); err != nil {
		return err
	}
	if err := s.saveIncidents(ctx, changed); err != nil {
		return fmt.Errorf("store %d incidents: %w", len(changed), err)
	}
	return nil
}

// tell writes changes of incidents to the ledger: together, since each batch of
// events is sealed, stored and read back by itself.
func (s *Scorer) tell(ctx context.Context, events ...Event) error {
	if len(events) == 0 {
		return nil
	}
	if err := s.emit(ctx, events...); err != nil {
		return fmt.Errorf("write %d changes of incidents, the first of %s, to the ledger: %w", len(events), events[0].Incident.Name(), err)
	}
	for _, event := range events {
		i, e := event.Incident, s.log.Info()
		if i.due && event.Kind != "alert_closed" {
			e = s.log.Warn()
		}
		e.Str("incident", i.Name()).Str("kind", event.Kind).Str("family", i.Family).Uint8("risk", i.Risk).Msg(i.Text)
	}
	return nil
}

// change is the event of a change.
func (i *Incident) change(kind string) Event {
	return Event{Kind: kind, Time: i.Changed, Actor: i.Actor, Body: i.body(), Incident: i}
}
