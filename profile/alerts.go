package profile

import (
	"context"
	_ "embed"
	"fmt"
	"math"
	"slices"
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

	verdict Verdict
	touched []uint64  // not nil: of these devices, or quiet, or waiting for the digest
	quiet   time.Time // since when
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

func (s *Scorer) incidents(ctx context.Context, f AlertFilter) ([]*Incident, error) {
	if f.Limit <= 0 {
		f.Limit = 1000
	}
	values := map[string]any{
		"site": s.config.Site, "id": f.ID, "device": f.Device, "open": f.OpenOnly, "risk": uint64(f.MinRisk), "notified": f.Notified, "limit": f.Limit, "verdict": string(f.verdict),
		"touched": f.touched != nil, "devices": append([]uint64{0}, f.touched...), "quiet": f.quiet,
	}
	return query(ctx, s, incidentsSQL, values, func(r row, v **Incident) error {
		i := &Incident{}
		*v = i
		var state, verdict string
		var names []string
		var values []int32
		var notify uint8
		var lines []map[string]any
		err := r.Scan(&i.ID, &i.Version, &i.Site, &i.Device, &i.Family, &i.Target, &state, &i.Opened, &i.Changed, &i.Findings, &i.Risk,
			&i.Strength, &notify, &names, &values, &i.Expected, &i.Observed, &i.Text, &i.Attack, &i.Flows, &i.Query, &i.Actor, &i.Reason,
			&i.Families, &lines, &i.Also, &verdict, &i.Told, &i.toldToday, &i.toldAt, &i.toldRisk, &i.held)
		i.State, i.Notify, i.Verdict = State(state), notify != 0, Verdict(verdict)
		i.Opened, i.Changed, i.toldAt = i.Opened.UTC(), i.Changed.UTC(), i.toldAt.UTC()
		if i.held.UnixMilli() == 0 {
			i.held = time.Time{}
		}
		for _, l := range lines {
			i.Lines = append(i.Lines, readLine(l))
		}
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

// Judge is what a person says of an incident, and why: without a verdict it is
// acknowledged, later findings are counted, and people are told again only if it
// grows. What is expected is closed, and excluded from now on but for hard
// families: the exclusions are returned. The other verdicts acknowledge too.
func (s *Scorer) Judge(ctx context.Context, id uint64, v Verdict, by By) ([]Exclusion, error) {
	i, err := s.incident(ctx, id)
	if err != nil {
		return nil, err
	}
	if err := by.check(); err != nil {
		return nil, fmt.Errorf("alert %s: %w: %w", i.Name(), ErrRefused, err)
	}
	switch {
	case v == "" && (i.State == StateAcknowledged || i.State == StateClosed):
		return nil, fmt.Errorf("acknowledge alert %s: %w: it is %s already, by %s", i.Name(), ErrRefused, i.State, i.Actor)
	case v != "" && i.Verdict == v:
		return nil, fmt.Errorf("alert %s: %w: %s says it is %s already", i.Name(), ErrRefused, i.Actor, v)
	}
	if err := s.judge(ctx, i, v, by); err != nil || v != VerdictExpected {
		return nil, err
	}
	var hide []Exclusion
	for k := range i.Lines {
		if x, ok := i.Lines[k].exclusion(i.device.ID); ok && !slices.Contains(hide, x) {
			hide = append(hide, x)
		}
	}
	return s.Exclude(ctx, hide, by)
}

// fleetTime is how long what a fleet does is hidden: it is known by then.
const fleetTime = 7 * 24 * time.Hour

// AcceptFleet says that what befalls several devices is expected: the incident that
// tells of it is closed, and those that only point at it. From now on it is hidden
// of the same kind of device, or of these if their kind is not known.
func (s *Scorer) AcceptFleet(ctx context.Context, id uint64, by By) ([]Exclusion, error) {
	first, err := s.incident(ctx, id)
	if err != nil {
		return nil, err
	}
	if len(first.Also) == 0 {
		return nil, fmt.Errorf("alert %s: %w: no other device has the same", first.Name(), ErrRefused)
	}
	list, err := s.incidents(ctx, AlertFilter{Limit: math.MaxInt32, touched: first.Also})
	if err != nil {
		return nil, fmt.Errorf("read alerts: %w", err)
	}
	known, err := s.identities(ctx, append([]uint64{first.Device}, first.Also...))
	if err != nil {
		return nil, err
	}
	var hide []Exclusion
	for _, i := range list {
		whole := len(i.Lines) > 0 && i.State != StateClosed
		for k := range i.Lines {
			l := &i.Lines[k]
			if l.Cause != first.Name() {
				whole = false
				continue
			}
			for _, device := range []uint64{i.Device, first.Device} {
				x, ok := l.exclusion(known[device].ID)
				if kind := known[device].Kind; kind != "" {
					x.Device, x.Kind = 0, kind
				}
				x.Expires = by.At.Add(fleetTime)
				if ok && !slices.Contains(hide, x) {
					hide = append(hide, x)
				}
			}
		}
		if whole {
			if err := s.judge(ctx, i, VerdictExpected, by); err != nil {
				return nil, err
			}
		}
	}
	if err := s.judge(ctx, first, VerdictExpected, by); err != nil {
		return nil, err
	}
	return s.Exclude(ctx, hide, by)
}

// exclusion is what hides a line from now on; false: nothing may, or can without
// hiding more.
func (l *Line) exclusion(device uint64) (Exclusion, bool) {
	x := Exclusion{Device: device, Family: l.Family, Proto: l.Proto, Port: l.Port}
	if x.Port == 0 {
		x.Proto = 0
	}
	if of := l.subject(device); of.peerDevice != 0 {
		x.Peer = l.Peer
	} else if of.peer.IsValid() {
		x.Peer = network(of.peer)
	}
	return x, !slices.Contains(hardFamilies, l.Family)
}

// Ack acknowledges an incident without a verdict.
func (s *Scorer) Ack(ctx context.Context, id uint64, actor, reason string) error {
	_, err := s.Judge(ctx, id, "", By{Actor: actor, Reason: reason})
	return err
}

func (s *Scorer) judge(ctx context.Context, i *Incident, v Verdict, by By) error {
	devices, err := s.devicesByID(ctx, []uint64{i.Device})
	if err != nil {
		return fmt.Errorf("judge alert %s: %w", i.Name(), err)
	}
	i.device = devices[i.Device]
	s.frozen.read = s.frozen.read && i.Verdict != VerdictMalicious && v != VerdictMalicious
	i.Version++
	i.Verdict, i.Actor, i.Reason, i.due = v, by.Actor, by.Reason, i.Told > 0
	kind := "alert_acknowledged"
	switch {
	case v == VerdictExpected:
		i.State, kind = StateClosed, "alert_closed"
	case i.State != StateClosed:
		i.State = StateAcknowledged
	}
	i.mark()
	if err := s.tell(ctx, i.change(kind)); err != nil {
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
		s.frozen.read = s.frozen.read && i.Verdict != VerdictMalicious // it may have grown
		terms := make([]map[string]any, len(i.Terms))
		for k, t := range i.Terms {
			terms[k] = map[string]any{"name": t.Name, "value": t.Value}
		}
		lines := make([]map[string]any, len(i.Lines))
		for k := range i.Lines {
			lines[k] = i.Lines[k].row()
		}
		err = batch.Append(i.ID, i.Version, i.Site, i.Device, i.Family, i.Target, string(i.State), i.Opened.Truncate(time.Millisecond), i.Changed.Truncate(time.Millisecond),
			i.Findings, i.Risk, roundRisk(i.Strength), uint8(truth(i.Notify)), terms, i.Expected, i.Observed, i.Text, i.Attack, i.Flows, i.Query, i.Actor, i.Reason,
			i.Families, lines, i.Also, string(i.Verdict), i.Told, i.toldToday, sinceEpoch(i.toldAt), i.toldRisk, sinceEpoch(i.held))
		if err != nil {
			return err
		}
	}
	return batch.Send()
}

// row is the line as the table keeps it.
func (l *Line) row() map[string]any {
	return map[string]any{
		"family": l.Family, "target": l.Target, "stage": l.Stage, "role": l.Role, "peer": l.Peer, "proto": l.Proto, "port": l.Port,
		"since": l.Since.Truncate(time.Millisecond), "until": l.Until.Truncate(time.Millisecond), "count": l.Count, "score": l.Score, "confidence": l.Confidence,
		"expected": l.Expected, "observed": l.Observed, "attack": l.Attack, "flows": l.Flows, "query": l.Query,
		"notified": uint8(truth(l.Notified)), "cause": l.Cause,
	}
}

// readLine is the reverse of row. What is of another type stays empty: the table
// was not written by us.
func readLine(m map[string]any) (l Line) {
	l.Family, _ = m["family"].(string)
	l.Target, _ = m["target"].(string)
	l.Stage, _ = m["stage"].(string)
	l.Role, _ = m["role"].(string)
	l.Peer, _ = m["peer"].(string)
	l.Proto, _ = m["proto"].(uint8)
	l.Port, _ = m["port"].(uint16)
	l.Since, _ = m["since"].(time.Time)
	l.Until, _ = m["until"].(time.Time)
	l.Since, l.Until = l.Since.UTC(), l.Until.UTC()
	l.Count, _ = m["count"].(uint64)
	l.Score, _ = m["score"].(uint8)
	l.Confidence, _ = m["confidence"].(uint8)
	l.Expected, _ = m["expected"].(string)
	l.Observed, _ = m["observed"].(string)
	l.Attack, _ = m["attack"].([]string)
	l.Flows, _ = m["flows"].([]string)
	l.Query, _ = m["query"].(string)
	notified, _ := m["notified"].(uint8)
	l.Notified = notified != 0
	l.Cause, _ = m["cause"].(string)
	return l
}

// sinceEpoch is a time the table can hold; its zero is 1970.
func sinceEpoch(t time.Time) time.Time {
	if t.IsZero() {
		return always
	}
	return t.Truncate(time.Millisecond)
}

// roundRisk keeps a stored strength short; it is no more exact than that.
func roundRisk(f float64) float64 { return math.Round(f*1e4) / 1e4 }
