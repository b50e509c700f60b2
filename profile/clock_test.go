package profile_test

import (
	"net/netip"
	"testing"
	"time"

	"tidemark/profile"
)

// An exporter whose clock is trusted and shows another century does not end what is
// open; when all of them have gone on, time has.
func TestScore_OneExportersClockDoesNotMoveTheSite(t *testing.T) {
	dir := rules(t, map[string]string{"foreign_resolver.sql": example(t)})
	s := newSite(t, profile.Config{Detectors: dir})
	usual := func(at time.Time) talk {
		return talk{at: at, from: "10.0.0.2", to: "34.5.6.7", mac: camera, dmac: router, port: 443, out: 4000, in: 9000}
	}
	ofOther := func(talks ...talk) {
		from := s.batch.Len()
		s.add(talks...)
		for i := from; i < s.batch.Len(); i++ {
			s.batch.SamplerAddress[i] = netip.MustParseAddr("192.0.2.2").As16()
		}
	}
	state := func(when string, want profile.State) {
		t.Helper()
		list, err := s.Alerts(t.Context(), profile.AlertFilter{})
		if err != nil || len(list) == 0 {
			t.Fatalf("%s: %d alerts, %v", when, len(list), err)
		}
		closed := list[0].State == profile.StateClosed
		if closed != (want == profile.StateClosed) {
			t.Errorf("%s: the alert is %s, want %s", when, list[0].State, want)
		}
	}
	s.add(asked(monday, "9.9.9.9", 5)...)
	ofOther(usual(monday))
	s.score()
	state("at first", profile.StateOpen)
	far := time.Date(2106, 1, 1, 0, 0, 0, 0, time.UTC)
	ofOther(usual(far))
	s.score()
	state("one exporter in 2106", profile.StateOpen)
	s.add(usual(monday.Add(10 * time.Minute)))
	ofOther(usual(far.Add(10 * time.Minute)))
	s.score()
	state("and the other goes on", profile.StateOpen)
	s.add(usual(monday.AddDate(0, 0, 3)))
	s.score()
	state("when all have gone on", profile.StateClosed)
}
