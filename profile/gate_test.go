package profile

import (
	"fmt"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"tidemark/storage/storagetest"
)

func TestGate_EdgesAreNewForADayAndTryOnce(t *testing.T) {
	const minute, day = int64(time.Minute / time.Millisecond), int64(24 * time.Hour / time.Millisecond)
	old, young := edge{device: 1, peer: 1, role: 1}, edge{device: 1, peer: 2, role: 1}
	served := edge{device: 1, peer: 3, role: roleServer}
	g := gate{begun: map[edge]int64{old: 0, young: 3 * day, served: 3*day + 2*minute}}
	for _, tt := range []struct {
		name    string
		touched map[edge]int64
		want    sign
	}{
		{"an old edge", map[edge]int64{old: 3 * day}, anything},
		{"one of an hour ago", map[edge]int64{young: 3*day + 60*minute}, novelty},
		{"one of these batches", map[edge]int64{old: 3*day - minute, young: 3 * day}, novelty | trying},
		{"somebody came", map[edge]int64{old: 3 * day, served: 3*day + 2*minute}, novelty},
		{"one that nothing is known of", map[edge]int64{{device: 2}: 3 * day}, novelty | trying},
	} {
		if got := g.signs(tt.touched); got != tt.want {
			t.Errorf("%s: got signs %b, want %b", tt.name, got, tt.want)
		}
	}
}

// TestAges_WhatTheAgeOfDevicesMeans: one batch touches a device of a month, one another
// of ten hours, and during one a third that says nothing ends its third day.
func TestAges_WhatTheAgeOfDevicesMeans(t *testing.T) {
	s, err := New(storagetest.Open(t), Config{Site: "home"}, nil, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	exec := func(format string, args ...any) {
		t.Helper()
		if err := s.db.Conn().Exec(t.Context(), fmt.Sprintf(format, args...)); err != nil {
			t.Fatal(err)
		}
	}
	const now = 1_780_000_000
	for device, age := range map[int]time.Duration{1: 30 * 24 * time.Hour, 2: 10 * time.Hour, 3: 3*24*time.Hour - time.Minute} {
		exec("INSERT INTO devices (site, device, received, identity, first, last) SELECT 'home', %d, today(), 'mac', toDateTime64(%d, 3, 'UTC'), toDateTime64(%d, 3, 'UTC')", device, now-int(age.Seconds()), now)
	}
	for batch, c := range map[int]struct{ device, lasts int }{1: {1, 10}, 2: {2, 10}, 3: {1, 120}} {
		exec("INSERT INTO contacts (log, batch_index, received, day, device, role, scope, first, last) SELECT 1, %d, today(), today(), %d, 'client', 'wan', toDateTime64(%d, 3, 'UTC'), toDateTime64(%d, 3, 'UTC')", batch, c.device, now, now+c.lasts)
	}
	for batch, want := range map[uint64]sign{1: learned, 2: arrived, 3: learned | graduated} {
		if got, err := s.ages(t.Context(), 1, batch-1, batch); err != nil || got != want {
			t.Errorf("batch %d: got signs %b, want %b; error %v", batch, got, want, err)
		}
	}
	for name, want := range map[string]sign{"volume": learned, "unexpected_hour": learned, "new_destination": learned, "new_device": arrived, "drift": graduated, "silence": anything} {
		d := detectorNamed(s.detectors, name)
		if d.due(steady, want) != true || want != anything && d.due(steady, (learned|arrived|graduated)&^want) {
			t.Errorf("%s does not run by sign %b alone", name, want)
		}
	}
}
