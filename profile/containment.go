package profile

import (
	"cmp"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"tidemark/profile/hook"
)

var (
	//go:embed query/containments.sql
	containmentsSQL string
	//go:embed query/save_containment.sql
	saveContainmentSQL string
)

// What has become of a containment. With a hook it goes approved, applied, ending,
// ended; without one a person applies it and takes it back.
const (
	ContainByHand   = "by hand"
	ContainApproved = "approved" // the hook has yet to apply it
	ContainApplied  = "applied"
	ContainFailed   = "failed" // the hook did not apply it, and is not asked again
	ContainEnding   = "ending" // the hook has yet to take it back
	ContainEnded    = "ended"
)

// The hook is asked to apply a plan so often, and to take it back until it has:
// a filter that outlives its end is worse than one that never was.
const (
	maxApply    = 5
	hookTime    = 30 * time.Second
	hookPause   = 10 * time.Second // after the first failure, then twice as long each time
	maxHookWait = 10 * time.Minute
)

// Containment is a plan against a device that a person approved.
type Containment struct {
	Name     string    `json:"name"`   // of the rules in the filter
	Device   uint64    `json:"-"`      //
	Title    string    `json:"device"` // as of then
	Alert    string    `json:"alert"`  // empty: of the device as such
	Dialect  string    `json:"dialect"`
	Filter   string    `json:"filter"`
	Rules    []string  `json:"rules"` // in words
	Actor    string    `json:"approved_by"`
	Reason   string    `json:"reason"`
	Approved time.Time `json:"approved"`
	Expires  time.Time `json:"expires"`
	State    string    `json:"state"`
	Attempts uint32    `json:"attempts"` // of the hook in this state, that failed
	Next     time.Time `json:"-"`        // when the hook is asked again
	Said     string    `json:"error,omitempty"`

	changed time.Time
}

// Containments returns what people approved, newest first: what has not ended, or all.
func (s *Scorer) Containments(ctx context.Context, all bool) ([]Containment, error) {
	list, err := query(ctx, s, containmentsSQL, map[string]any{"site": s.config.Site, "all": all}, func(r row, x *Containment) error {
		err := r.Scan(&x.Name, &x.Device, &x.Title, &x.Alert, &x.Dialect, &x.Filter, &x.Rules, &x.Actor, &x.Reason, &x.Approved, &x.Expires, &x.State, &x.Attempts, &x.Next, &x.Said, &x.changed)
		x.Approved, x.Expires, x.Next = x.Approved.UTC(), x.Expires.UTC(), x.Next.UTC()
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read containments: %w", err)
	}
	return list, nil
}

// Critical says whether much hangs on a device: as people say, else by its kind.
func (s *Scorer) Critical(d Device) bool {
	return cmp.Or(d.Facts["criticality"], s.config.Criticality(d.Kind)) == "critical"
}

// Contain records that a person wants a plan in force. sure is that person's word
// that the device may be cut off although people or machines depend on it. If
// there is a hook, Enforce has it applied.
func (s *Scorer) Contain(ctx context.Context, d Device, x Containment, sure, hooked bool, by By) error {
	if s.Critical(d) && !sure {
		return fmt.Errorf("contain %s: %w: it is critical (%s): ask who depends on it, and say so with --critical", d.Title(), ErrRefused, cmp.Or(d.Facts["criticality"], d.Kind))
	}
	if !x.Expires.After(by.At) {
		return fmt.Errorf("contain %s: %w: it would have ended at %s", d.Title(), ErrRefused, x.Expires.UTC().Format(time.RFC3339))
	}
	if strings.TrimSpace(by.Actor) == "" || strings.TrimSpace(by.Reason) == "" || len(by.Reason) > maxFact {
		return fmt.Errorf("contain %s: %w: want an actor, and a reason of 1 to %d octets", d.Title(), ErrRefused, maxFact)
	}
	open, err := s.Containments(ctx, false)
	if err != nil {
		return err
	}
	for i := range open {
		if open[i].Name == x.Name {
			return fmt.Errorf("contain %s: %w: %s is %s since %s; lift it first", d.Title(), ErrRefused, x.Name, open[i].State, open[i].Approved.Format(time.RFC3339))
		}
	}
	x.Device, x.Title, x.Actor, x.Reason, x.Approved, x.Next, x.changed = d.ID, d.Title(), by.Actor, by.Reason, by.At, by.At, by.At
	x.State = ContainByHand
	if hooked {
		x.State = ContainApproved
	}
	return s.saveContainment(ctx, &x, "containment_approved", by)
}

// Lift ends a containment before its time. Of one that the hook has failed to take
// back it is a person's word that it is gone.
func (s *Scorer) Lift(ctx context.Context, name string, by By) error {
	if strings.TrimSpace(by.Actor) == "" || strings.TrimSpace(by.Reason) == "" {
		return fmt.Errorf("lift %s: %w: want an actor and a reason", name, ErrRefused)
	}
	open, err := s.Containments(ctx, false)
	if err != nil {
		return err
	}
	for i := range open {
		if open[i].Name == name {
			return s.endContainment(ctx, &open[i], by)
		}
	}
	return fmt.Errorf("containment %s: %w among those in force", name, ErrNotFound)
}

// endContainment ends x. The hook takes back even what it never said it applied: a
// crash may have come between.
func (s *Scorer) endContainment(ctx context.Context, x *Containment, by By) error {
	state := ContainEnding
	if x.State == ContainByHand || x.State == ContainEnding {
		state = ContainEnded
	}
	x.State, x.Attempts, x.Next, x.Said = state, 0, by.At, ""
	return s.saveContainment(ctx, x, "containment_lifted", by)
}

// Enforce does what is due by now: has plans applied by the program at path, and
// taken back when they end. It may be interrupted anywhere, so the program may be
// asked for the same again. path may be empty: then only time passes. The error
// joins what went wrong, of which the containments tell as well.
func (s *Scorer) Enforce(ctx context.Context, path string, now time.Time) error {
	open, err := s.Containments(ctx, false)
	if err != nil {
		return err
	}
	var errs []error
	for i := range open {
		x := &open[i]
		if !x.Expires.After(now) && x.State != ContainEnding {
			if err := s.endContainment(ctx, x, By{Actor: "tidemark", Reason: "its time is over", At: now}); err != nil {
				errs = append(errs, err)
				continue
			}
		}
		if path == "" || x.Next.After(now) || x.State != ContainApproved && x.State != ContainEnding {
			continue
		}
		errs = append(errs, s.callHook(ctx, path, x, now))
	}
	return errors.Join(errs...)
}

// callHook asks for the next step of x and notes what came of it.
func (s *Scorer) callHook(ctx context.Context, path string, x *Containment, now time.Time) error {
	action, done, kind := "apply", ContainApplied, "containment_applied"
	if x.State == ContainEnding {
		action, done, kind = "lift", ContainEnded, "containment_removed"
	}
	body, err := json.Marshal(struct {
		Action string `json:"action"`
		*Containment
	}{action, x})
	if err != nil {
		return err
	}
	bounded, cancel := context.WithTimeout(ctx, hookTime)
	defer cancel()
	failed := hook.Run(bounded, path, []string{"TIDEMARK_ACTION=" + action, "TIDEMARK_PLAN=" + x.Name}, body)
	if ctx.Err() != nil {
		return ctx.Err() // stopped, not refused: asked again after the start
	}
	by := By{Actor: "tidemark", Reason: x.Reason, At: now}
	if failed == nil {
		x.State, x.Attempts, x.Said = done, 0, ""
		return s.saveContainment(ctx, x, kind, by)
	}
	x.Attempts++
	x.Said = failed.Error()
	x.Next = now.Add(min(hookPause<<min(x.Attempts-1, 10), maxHookWait))
	kind = "" // a step that is tried again is no event yet
	if x.State == ContainApproved && x.Attempts >= maxApply {
		x.State, kind, by.Reason = ContainFailed, "containment_failed", x.Said
	}
	return errors.Join(fmt.Errorf("%s %s: %w", action, x.Name, failed), s.saveContainment(ctx, x, kind, by))
}

// saveContainment records a change, then stores it. An empty kind is no event.
func (s *Scorer) saveContainment(ctx context.Context, x *Containment, kind string, by By) error {
	if kind != "" {
		rules := make([]any, len(x.Rules))
		for i, r := range x.Rules {
			rules[i] = r
		}
		err := s.emit(ctx, Event{Kind: kind, Time: by.At, Actor: by.Actor, Body: map[string]any{
			"site": s.config.Site, "plan": x.Name, "device": fmt.Sprintf("%016x", x.Device), "alert": x.Alert, "dialect": x.Dialect, "rules": rules,
			"filter_sha256": fmt.Sprintf("%x", sha256.Sum256([]byte(x.Filter))), "expires": timestamp(x.Expires), "state": x.State, "reason": by.Reason,
		}})
		if err != nil {
			return fmt.Errorf("record containment %s: %w", x.Name, err)
		}
	}
	if !x.changed.Before(by.At) {
		by.At = x.changed.Add(time.Millisecond) // versions are told apart by their time
	}
	x.changed = by.At
	err := s.exec(ctx, saveContainmentSQL, map[string]any{
		"site": s.config.Site, "name": x.Name, "device": x.Device, "title": x.Title, "alert": x.Alert, "dialect": x.Dialect, "filter": x.Filter, "rules": x.Rules,
		"actor": x.Actor, "reason": x.Reason, "approved": x.Approved, "expires": x.Expires, "state": x.State, "attempts": uint64(x.Attempts),
		"next": x.Next, "said": x.Said, "changed": x.changed,
	})
	if err != nil {
		return fmt.Errorf("store containment %s: %w", x.Name, err)
	}
	return nil
}
