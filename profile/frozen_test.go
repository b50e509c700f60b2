package profile_test

import (
	"slices"
	"testing"
	"time"

	"tidemark/profile"
)

// TestFrozen_WhatWasMaliciousIsNotLearned: three devices do on day 9 what they should
// not, and again on day 12. It is news of the one that was judged, and not of the one
// that nobody judged, nor of the one whose verdict was taken back.
func TestFrozen_WhatWasMaliciousIsNotLearned(t *testing.T) {
	s := newSite(t, only("new_destination", "volume"))
	normal := func(day, days int) {
		for k := range 3 {
			for _, l := range life(monday.AddDate(0, 0, day), days) {
				s.add(houseOf(k+1, l))
			}
		}
	}
	bad := func(day int) {
		at := monday.AddDate(0, 0, day).Add(14 * time.Hour)
		for k := range 3 {
			s.add(houseOf(k+1, talk{at: at, lasts: time.Minute, from: "10.0.0.2", to: "185.9.9.9", mac: camera, dmac: router, port: 4444, out: 60_000_000, in: 90_000}))
		}
	}
	found := map[string][]string{} // families of each camera in the last round
	round := func(day int) {
		t.Helper()
		bad(day)
		clear(found)
		for _, e := range append(s.score(), s.score()...) {
			mac := e.Body["device"].(map[string]any)["mac"].(string)
			if e.Kind != "alert_closed" {
				found[mac] = append(found[mac], named(e)...)
			}
		}
	}
	news := func(mac string) bool {
		return slices.Contains(found[mac], "new_destination") && slices.Contains(found[mac], "volume")
	}
	const first, second, third = "00:40:8c:00:01:01", "00:40:8c:00:02:01", "00:40:8c:00:03:01"
	normal(0, 8)
	s.score()
	round(8)
	if !news(first) || !news(second) || !news(third) {
		t.Fatalf("on day 9: found %q", found)
	}
	judge := func(house uint64, verdicts ...profile.Verdict) {
		t.Helper()
		alerts, err := s.Alerts(t.Context(), profile.AlertFilter{Device: byMAC(camera + house<<8)})
		if err != nil || len(alerts) != 1 {
			t.Fatalf("got %d alerts, error %v", len(alerts), err)
		}
		for _, v := range verdicts {
			if _, err := s.Judge(t.Context(), alerts[0].ID, v, profile.By{Actor: "test", Reason: "ticket 7", At: time.Now().UTC()}); err != nil {
				t.Fatal(err)
			}
			if last := s.events[len(s.events)-1]; last.Body["verdict"] != string(v) {
				t.Errorf("the verdict is recorded as %v, want %s", last.Body["verdict"], v)
			}
		}
	}
	judge(1, profile.VerdictMalicious)
	judge(3, profile.VerdictMalicious, profile.VerdictFalsePositive)
	normal(9, 3)
	s.score()
	round(11)
	for mac, want := range map[string]bool{first: true, second: false, third: false} {
		if news(mac) != want {
			t.Errorf("%s on day 12: found %q, want it to be news: %t", mac, found[mac], want)
		}
	}
}
