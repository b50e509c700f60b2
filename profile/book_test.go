package profile

import (
	"testing"
	"time"
)

// Somebody scans a site. A device that was tried and has a weak sign of its own is
// not told of beside the scanner, unless nobody is told of the scanner.
func TestBook_VictimOfAnotherIsToldOnlyIfTheOtherIsNot(t *testing.T) {
	at := time.Date(2026, 3, 9, 8, 0, 0, 0, time.UTC)
	line := func(family, stage string, score uint8, cause string) Line {
		return Line{Family: family, Stage: stage, Score: score, Since: at, Until: at, Cause: cause, new: true}
	}
	scanner := &Incident{ID: 1, Device: 1, Opened: at, Changed: at, State: StateOpen, seen: true, Lines: []Line{line("scan", "recon", 76, "")}}
	for _, c := range []struct {
		name    string
		scanner *Incident
		own     Line
		want    bool
	}{
		{"a weak sign of its own", scanner, line("unexpected_hour", "impact", 20, ""), false},
		{"a strong sign of its own", scanner, line("threat_intel", "control", 80, ""), true},
		{"a scanner nobody is told of", &Incident{ID: 1, Device: 1, Opened: at, Changed: at, State: StateOpen}, line("unexpected_hour", "impact", 20, ""), true},
	} {
		victim := &Incident{ID: 2, Device: 2, Opened: at, Changed: at, State: StateOpen, seen: true,
			Lines: []Line{line("failed_access", "access", 38, c.scanner.Name()), c.own}}
		b := &book{all: []*Incident{c.scanner, victim}}
		b.weigh(Detectors(), nil, func(Device) float64 { return 1 })
		if victim.due != c.want {
			t.Errorf("%s: told %v of a device with risk %d, want %v", c.name, victim.due, victim.Risk, c.want)
		}
	}
}
