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

// What a told incident tells of does not make a weak sign that only an untold one
// tells of worth telling.
func TestBook_WhatIsToldElsewhereIsNotCountedForTheRest(t *testing.T) {
	at := time.Date(2026, 3, 9, 8, 0, 0, 0, time.UTC)
	scanner := &Incident{ID: 1, Device: 1, Opened: at, Changed: at, State: StateOpen, Notify: true}
	fleet := &Incident{ID: 3, Device: 3, Opened: at, Changed: at, State: StateOpen}
	victim := &Incident{ID: 2, Device: 2, Opened: at, Changed: at, State: StateOpen, seen: true, Lines: []Line{
		{Family: "failed_access", Stage: "access", Score: 38, Since: at, Until: at, Cause: scanner.Name(), new: true},
		{Family: "new_destination", Stage: "control", Score: 23, Since: at, Until: at, Cause: fleet.Name(), new: true},
	}}
	b := &book{all: []*Incident{scanner, fleet, victim}}
	b.weigh(Detectors(), nil, func(Device) float64 { return 1 })
	if victim.due {
		t.Errorf("people are told of a device with risk %d, of which 38 is told by the scanner's alert", victim.Risk)
	}
}
