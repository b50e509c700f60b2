package profile

import (
	"context"
	_ "embed"
	"fmt"
	"strconv"
	"time"
)

var (
	//go:embed query/incidents.sql
	incidentsSQL string
	//go:embed query/save_incident.sql
	saveIncidentSQL string
)

// AlertFilter selects incidents; a zero field selects all.
type AlertFilter struct {
	ID       uint64
	Device   uint64
	OpenOnly bool
	MinRisk  uint8
	Notified bool
	Limit    int // default 1000
}

// Alerts returns incidents, the riskiest first.
func (s *Scorer) Alerts(ctx context.Context, f AlertFilter) ([]Incident, error) {
	list, err := s.incidents(ctx, f)
	if err != nil {
		return nil, fmt.Errorf("read alerts: %w", err)
	}
	out := make([]Incident, len(list))
	for i, p := range list {
		out[i] = *p
	}
	return out, nil
}

func (s *Scorer) openIncidents(ctx context.Context) ([]*Incident, error) {
	return s.incidents(ctx, AlertFilter{OpenOnly: true, Limit: 1 << 30})
}

func (s *Scorer) incidents(ctx context.Context, f AlertFilter) ([]*Incident, error) {
	if f.Limit <= 0 {
		f.Limit = 1000
	}
	values := map[string]any{
		"site": s.config.Site, "id": f.ID, "device": f.Device, "open": f.OpenOnly, "risk": uint64(f.MinRisk), "notified": f.Notified, "limit": f.Limit,
	}
	return query(ctx, s, incidentsSQL, values, func(r row, v **Incident) error {
		i := &Incident{}
		*v = i
		var state string
		var names []string
		var values []int32
		var notify uint8
		err := r.Scan(&i.ID, &i.Version, &i.Site, &i.Device, &i.Family, &i.Target, &state, &i.Opened, &i.Changed, &i.Findings, &i.Risk,
			&i.Strength, &notify, &names, &values, &i.Expected, &i.Observed, &i.Text, &i.Attack, &i.Flows, &i.Query, &i.Actor, &i.Reason)
		i.State, i.Notify = State(state), notify != 0
		i.Opened, i.Changed = i.Opened.UTC(), i.Changed.UTC()
		for k := range names {
			i.Terms = append(i.Terms, Term{names[k], values[k]})
		}
		return err
	})
}

// ParseIncident reads an incident id: 16 hex digits.
func ParseIncident(s string) (uint64, error) {
	id, err := strconv.ParseUint(s, 16, 64)
	if err != nil || len(s) != 16 {
		return 0, fmt.Errorf("alert %q: want its 16 hex digits, as in the first column of `tidemark alerts`", s)
	}
	return id, nil
}

func (s *Scorer) incident(ctx context.Context, id uint64) (*Incident, error) {
	list, err := s.incidents(ctx, AlertFilter{ID: id})
	if err != nil {
		return nil, fmt.Errorf("read alert %016x: %w", id, err)
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("alert %016x: %w", id, ErrNotFound)
	}
	return list[0], nil
}

// Explain returns an incident with everything it rests on. Its Query is the
// statement that found it, with all values in place: run again it finds it
// again, as long as the contacts of its batches are kept (14 days).
func (s *Scorer) Explain(ctx context.Context, id uint64) (Incident, error) {
	i, err := s.incident(ctx, id)
	if err != nil {
		return Incident{}, err
	}
	return *i, nil
}

// Ack acknowledges an incident: who, and why. Later findings of the same kind
// and target are counted but not told again until it closes.
func (s *Scorer) Ack(ctx context.Context, id uint64, actor, reason string) error {
	i, err := s.incident(ctx, id)
	if err != nil {
		return err
	}
	if i.State == StateAcknowledged || i.State == StateClosed {
		return fmt.Errorf("acknowledge alert %s: it is %s already, by %s", i.Name(), i.State, i.Actor)
	}
	devices, err := s.devicesByID(ctx, []uint64{i.Device})
	if err != nil {
		return fmt.Errorf("acknowledge alert %s: %w", i.Name(), err)
	}
	i.device = devices[i.Device]
	i.Version++
	i.State, i.Actor, i.Reason = StateAcknowledged, actor, reason
	if err := s.tell(ctx, "alert_acknowledged", i); err != nil {
		return err
	}
	if err := s.saveIncidents(ctx, []*Incident{i}); err != nil {
		return fmt.Errorf("store alert %s: %w", i.Name(), err)
	}
	return nil
}

func (s *Scorer) saveIncidents(ctx context.Context, list []*Incident) error {
	if len(list) == 0 {
		return nil
	}
	batch, err := s.db.Conn().PrepareBatch(ctx, saveIncidentSQL)
	if err != nil {
		return err
	}
	defer batch.Abort()
	for _, i := range list {
		terms := make([]map[string]any, len(i.Terms))
		for k, t := range i.Terms {
			terms[k] = map[string]any{"name": t.Name, "value": t.Value}
		}
		notify := uint8(0)
		if i.Notify {
			notify = 1
		}
		err = batch.Append(i.ID, i.Version, i.Site, i.Device, i.Family, i.Target, string(i.State), i.Opened.Truncate(time.Millisecond), i.Changed.Truncate(time.Millisecond),
			i.Findings, i.Risk, roundRisk(i.Strength), notify, terms, i.Expected, i.Observed, i.Text, i.Attack, i.Flows, i.Query, i.Actor, i.Reason)
		if err != nil {
			return err
		}
	}
	return batch.Send()
}
