package profile_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tidemark/profile"
)

// operator is a program that notes what it is asked, and refuses while there is a
// file "refuse" beside it.
func operator(t *testing.T) (path string, asked func() []string) {
	dir := t.TempDir()
	path = filepath.Join(dir, "hook")
	script := "#!/bin/sh\ncd '" + dir + "'\ncat >> asked\necho >> asked\n[ ! -e refuse ] || { echo the switch is away; exit 3; }\n"
	if err := os.WriteFile(path, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	return path, func() (actions []string) {
		text, _ := os.ReadFile(filepath.Join(dir, "asked"))
		for line := range strings.Lines(string(text)) {
			var x struct{ Action, Name, Filter string }
			if err := json.Unmarshal([]byte(line), &x); err != nil || x.Filter == "" {
				t.Fatalf("the hook read %q: %v", line, err)
			}
			actions = append(actions, x.Action+" "+x.Name)
		}
		return actions
	}
}

func (s *site) containment(name string) profile.Containment {
	s.t.Helper()
	list, err := s.Containments(s.t.Context(), true)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, x := range list {
		if x.Name == name {
			return x
		}
	}
	s.t.Fatalf("no containment %s in %+v", name, list)
	return profile.Containment{}
}

func (s *site) kinds() string {
	var out []string
	for _, e := range s.events {
		out = append(out, strings.TrimPrefix(e.Kind, "containment_"))
	}
	s.events = nil
	return strings.Join(out, " ")
}

// A plan is applied once, taken back when its time is over, and each step is in
// the ledger; a hook that fails is asked again, to take back until it has.
func TestContain_AppliedAndTakenBackByTheHook(t *testing.T) {
	s := newSite(t, only("scan"))
	path, asked := operator(t)
	refuse := filepath.Join(filepath.Dir(path), "refuse")
	now := by().At
	plan := profile.Containment{Name: "tidemark-1", Dialect: "nftables", Filter: "drop it", Rules: []string{"everything"}, Expires: now.Add(time.Hour)}
	d := profile.Device{ID: 7}
	enforce := func(at time.Time, fails bool) {
		t.Helper()
		if err := s.Enforce(t.Context(), path, at); (err != nil) != fails {
			t.Errorf("enforce: %v, want a fault %v", err, fails)
		}
	}
	if err := s.Contain(t.Context(), d, plan, false, true, by()); err != nil {
		t.Fatal(err)
	}
	if err := s.Contain(t.Context(), d, plan, false, true, by()); !errors.Is(err, profile.ErrRefused) {
		t.Errorf("approved twice: %v", err)
	}
	enforce(now.Add(time.Second), false)
	enforce(now.Add(2*time.Second), false)
	if x := s.containment("tidemark-1"); x.State != profile.ContainApplied || x.Actor != "ann" {
		t.Errorf("got %+v, want it applied", x)
	}
	if got := strings.Join(asked(), ", "); got != "apply tidemark-1" {
		t.Errorf("asked %q", got)
	}
	if err := os.WriteFile(refuse, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	enforce(now.Add(time.Hour), true)
	enforce(now.Add(time.Hour+time.Second), false) // too early to ask again
	if x := s.containment("tidemark-1"); x.State != profile.ContainEnding || x.Attempts != 1 || !strings.Contains(x.Said, "the switch is away") {
		t.Errorf("got %+v, want it ending, and why", x)
	}
	for i := range 20 {
		enforce(now.Add(2*time.Hour+time.Duration(i)*time.Hour), true)
	}
	if err := os.Remove(refuse); err != nil {
		t.Fatal(err)
	}
	enforce(now.AddDate(0, 0, 3), false)
	if x := s.containment("tidemark-1"); x.State != profile.ContainEnded || x.Said != "" {
		t.Errorf("got %+v, want it ended", x)
	}
	if got := len(asked()); got != 1+22 {
		t.Errorf("asked %d times, want 23", got)
	}
	if got := s.kinds(); got != "approved applied lifted removed" {
		t.Errorf("events %q", got)
	}
	if open, err := s.Containments(t.Context(), false); err != nil || len(open) != 0 {
		t.Errorf("in force: %+v, %v", open, err)
	}
}

// A hook that does not apply a plan is given up, and what a crash may have left of
// it is taken back all the same.
func TestContain_GivenUpAndLifted(t *testing.T) {
	s := newSite(t, only("scan"))
	path, asked := operator(t)
	refuse := filepath.Join(filepath.Dir(path), "refuse")
	now := by().At
	plan := profile.Containment{Name: "tidemark-2", Dialect: "ios", Filter: "deny", Rules: []string{"tcp/23"}, Expires: now.AddDate(0, 0, 2)}
	if err := errors.Join(os.WriteFile(refuse, nil, 0o600), s.Contain(t.Context(), profile.Device{ID: 7}, plan, false, true, by())); err != nil {
		t.Fatal(err)
	}
	for i := range 8 {
		_ = s.Enforce(t.Context(), path, now.Add(time.Duration(i+1)*time.Hour))
	}
	if x := s.containment("tidemark-2"); x.State != profile.ContainFailed || len(asked()) != 5 {
		t.Errorf("got %+v after %d attempts, want it given up after 5", x, len(asked()))
	}
	later := by()
	later.At = now.Add(9 * time.Hour)
	if err := errors.Join(os.Remove(refuse), s.Lift(t.Context(), "tidemark-2", later), s.Enforce(t.Context(), path, later.At)); err != nil {
		t.Fatal(err)
	}
	if got := asked(); got[len(got)-1] != "lift tidemark-2" || s.containment("tidemark-2").State != profile.ContainEnded {
		t.Errorf("asked %q, state %+v", got, s.containment("tidemark-2"))
	}
	if got := s.kinds(); got != "approved failed lifted removed" {
		t.Errorf("events %q", got)
	}
	if err := s.Lift(t.Context(), "tidemark-2", later); !errors.Is(err, profile.ErrNotFound) {
		t.Errorf("lifted twice: %v", err)
	}
}

// Without a hook nothing runs; and a device on which much hangs is not cut off
// without a person's word for it.
func TestContain_ByHandAndCritical(t *testing.T) {
	c := only("scan")
	c.Criticality = func(kind string) string { return map[string]string{"plc": "critical"}[kind] }
	s := newSite(t, c)
	now := by().At
	plan := profile.Containment{Name: "tidemark-3", Dialect: "ios", Filter: "deny", Expires: now.Add(time.Hour)}
	plc := profile.Device{ID: 9, Kind: "plc"}
	if err := s.Contain(t.Context(), plc, plan, false, false, by()); !errors.Is(err, profile.ErrRefused) || !strings.Contains(err.Error(), "--critical") {
		t.Errorf("a critical device: %v", err)
	}
	nameless := by()
	nameless.Reason = " "
	if err := s.Contain(t.Context(), plc, plan, true, false, nameless); !errors.Is(err, profile.ErrRefused) {
		t.Errorf("without a reason: %v", err)
	}
	if err := s.Contain(t.Context(), plc, plan, true, false, by()); err != nil {
		t.Fatal(err)
	}
	if err := s.Enforce(t.Context(), "", now.Add(time.Minute)); err != nil || s.containment("tidemark-3").State != profile.ContainByHand {
		t.Errorf("got %+v, %v", s.containment("tidemark-3"), err)
	}
	if err := s.Enforce(t.Context(), "", now.Add(time.Hour)); err != nil || s.containment("tidemark-3").State != profile.ContainEnded {
		t.Errorf("got %+v, %v, want its time over", s.containment("tidemark-3"), err)
	}
	if got := s.kinds(); got != "approved lifted" {
		t.Errorf("events %q", got)
	}
}
