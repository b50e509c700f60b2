package profile

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"tidemark/collector/flow/oneline"
	"tidemark/profile/mud"
)

var (
	//go:embed query/save_label.sql
	saveLabelSQL string
	//go:embed query/save_fact.sql
	saveFactSQL string
)

// Facts that operators give a device. An empty value takes one back.
const (
	FactApproved = "approved" // "yes"
	FactRetired  = "retired"  // "yes"
	FactMUD      = "mud"      // URL or file of its MUD profile (RFC 8520)
)

// LabelFacts are the facts that describe a device.
func LabelFacts() []string { return []string{"criticality", "zone", "owner", "note", "tags"} }

const (
	maxFact   = 255  // octets
	maxReason = 2000 // octets
)

// By is who changes something, why, and when.
type By struct {
	Actor  string
	Reason string
	At     time.Time
}

// check says what is missing or unfit: both stay in the ledger for ever.
func (by By) check() error {
	if strings.TrimSpace(by.Actor) == "" || strings.TrimSpace(by.Reason) == "" {
		return errors.New("want an actor and a reason")
	}
	return errors.Join(plain("the actor", by.Actor, maxFact), plain("the reason", by.Reason, maxReason))
}

// plain says why text is not one line of at most so many octets.
func plain(what, text string, most int) error {
	if len(text) > most {
		return fmt.Errorf("%s has %d octets, want %d at most", what, len(text), most)
	}
	if !oneline.Valid(text) {
		return fmt.Errorf("%s is %.60q, want one line of text in UTF-8 without control characters", what, text)
	}
	return nil
}

// ErrRefused says that a change makes no sense as it was asked for.
var ErrRefused = errors.New("refused")

// SetLabel gives a device the name people use for it; "" takes it back.
func (s *Scorer) SetLabel(ctx context.Context, d Device, label string, by By) error {
	if err := plain("the name", label, maxFact); err != nil {
		return fmt.Errorf("name device %s: %w: %w", d.Name(), ErrRefused, err)
	}
	if err := s.record(ctx, "device_named", d, by, map[string]any{"name": label, "before": d.Label}); err != nil {
		return err
	}
	return s.exec(ctx, saveLabelSQL, map[string]any{"site": s.config.Site, "device": d.ID, "label": label, "actor": by.Actor, "changed": by.At})
}

// SetFact says something of a device. Changes that change nothing are not
// recorded.
func (s *Scorer) SetFact(ctx context.Context, d Device, fact, value string, by By) error {
	if d.Facts[fact] == value {
		return nil
	}
	if err := plain(fact, value, maxFact); err != nil {
		return fmt.Errorf("device %s: %w: %w", d.Name(), ErrRefused, err)
	}
	more := map[string]any{"fact": fact, "value": value, "before": d.Facts[fact]}
	if fact == FactMUD && value != "" && !isURL(value) {
		p, err := mud.Read(value)
		if err != nil {
			return fmt.Errorf("device %s: %w: %w", d.Name(), ErrRefused, err)
		}
		more["profile"] = fmt.Sprintf("%016x", p.ID)
	}
	s.mud.done = s.mud.done && fact != FactMUD
	kinds := map[string]string{FactApproved: "device_approved", FactRetired: "device_retired", FactMUD: "device_mud"}
	kind := kinds[fact]
	switch {
	case kind == "" && !slices.Contains(LabelFacts(), fact):
		return fmt.Errorf("device %s: %w: no fact %q, want one of %s", d.Name(), ErrRefused, fact, strings.Join(LabelFacts(), ", "))
	case kind == "":
		kind = "device_labelled"
	}
	if err := s.record(ctx, kind, d, by, more); err != nil {
		return err
	}
	return s.exec(ctx, saveFactSQL, map[string]any{"site": s.config.Site, "device": d.ID, "fact": fact, "value": value, "actor": by.Actor, "reason": by.Reason, "changed": by.At})
}

// Import gives a device what an inventory says of it: its name, and facts. It is
// one event, and none if nothing changes.
func (s *Scorer) Import(ctx context.Context, d Device, name string, facts map[string]string, from string, by By) (bool, error) {
	changed := map[string]any{}
	if name != "" && name != d.Label {
		changed["name"] = name
	}
	for fact, value := range facts {
		if value != "" && d.Facts[fact] != value {
			changed[fact] = value
		}
	}
	if len(changed) == 0 {
		return false, nil
	}
	s.mud.done = false
	if err := s.record(ctx, "device_imported", d, by, map[string]any{"changes": changed, "from": from}); err != nil {
		return false, err
	}
	for fact, value := range changed {
		statement := saveFactSQL
		values := map[string]any{"site": s.config.Site, "device": d.ID, "fact": fact, "value": value, "label": value, "actor": by.Actor, "reason": by.Reason, "changed": by.At}
		if fact == "name" {
			statement = saveLabelSQL
		}
		if err := s.exec(ctx, statement, values); err != nil {
			return false, fmt.Errorf("store %s of device %s: %w", fact, d.Name(), err)
		}
	}
	return true, nil
}

// Merge says that others are into: their history is joined with its own whenever
// it is asked for. Stored flows keep the ids they have.
func (s *Scorer) Merge(ctx context.Context, into Device, others []Device, by By) error {
	var list []Alias
	var names []any
	for _, o := range others {
		if o.ID == into.ID {
			return fmt.Errorf("merge %s into %s: %w: they are one device already", o.Name(), into.Name(), ErrRefused)
		}
		for _, id := range o.ids() {
			list = append(list, Alias{Device: id, Target: into.ID, Source: "operator", Actor: by.Actor, Reason: by.Reason, Changed: by.At})
			names = append(names, fmt.Sprintf("%016x", id))
		}
	}
	if err := s.record(ctx, "device_merged", into, by, map[string]any{"others": names}); err != nil {
		return err
	}
	return s.saveAliases(ctx, list)
}

// Split takes ids out of a device: each is a device of its own again. No ids
// means all that are not its own.
func (s *Scorer) Split(ctx context.Context, d Device, ids []uint64, by By) error {
	if len(ids) == 0 {
		ids = slices.DeleteFunc(slices.Clone(d.ids()), func(id uint64) bool { return id == d.ID })
	}
	if len(ids) == 0 {
		return fmt.Errorf("split %s: %w: it is stored under one id only; what was recorded with one MAC or address cannot be told apart", d.Name(), ErrRefused)
	}
	var list []Alias
	var names []any
	for _, id := range ids {
		if id == d.ID || !slices.Contains(d.ids(), id) {
			return fmt.Errorf("split %016x from %s: %w: it is not one of the ids that were joined with it", id, d.Name(), ErrRefused)
		}
		list = append(list, Alias{Device: id, Target: id, Source: "operator", Actor: by.Actor, Reason: by.Reason, Changed: by.At})
		names = append(names, fmt.Sprintf("%016x", id))
	}
	if err := s.record(ctx, "device_split", d, by, map[string]any{"others": names}); err != nil {
		return err
	}
	return s.saveAliases(ctx, list)
}

// record takes a change to the ledger. It comes before the row: a crash between
// the two leaves a change that is recorded and not made, and can be made again.
func (s *Scorer) record(ctx context.Context, kind string, d Device, by By, more map[string]any) error {
	if err := by.check(); err != nil {
		return fmt.Errorf("device %s: %w: %w", d.Name(), ErrRefused, err)
	}
	body := map[string]any{
		"site": s.config.Site, "device": d.Name(), "title": d.Title(), "mac": d.MACString(), "addresses": texts(d.addressStrings()), "reason": by.Reason,
	}
	for k, v := range more {
		body[k] = v
	}
	if err := s.emit(ctx, Event{Kind: kind, Time: by.At, Actor: by.Actor, Body: body}); err != nil {
		return fmt.Errorf("record the change of device %s: %w", d.Name(), err)
	}
	return nil
}
