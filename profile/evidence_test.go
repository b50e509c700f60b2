package profile_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"tidemark/profile"
)

func TestExplain_QueryFindsItAgain(t *testing.T) {
	s := newSite(t, only("new_destination", "new_service", "volume", "failed_access", "scan"))
	s.add(life(monday, 8)...)
	s.score()
	at := monday.AddDate(0, 0, 8)
	s.add(talk{at: at, from: "10.0.0.2", to: "185.9.9.9", mac: camera, dmac: router, port: 5555, out: 40_000, in: 9000})
	s.add(talk{at: at.Add(8 * time.Hour), lasts: time.Minute, from: "10.0.0.2", to: "34.5.6.7", mac: camera, dmac: router, port: 443, out: 300_000_000})
	s.add(denied(at, 20)...)
	s.add(scan(at.Add(time.Hour), "10.0.0.2", camera)...)
	s.score()
	list := s.alerts(profile.AlertFilter{})
	if len(list) != 1 || len(list[0].Lines) < 4 {
		t.Fatalf("want one incident of four lines or more: %+v", list)
	}
	e, err := s.Explain(t.Context(), list[0].ID)
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range e.Lines {
		rows, err := s.db.Conn().Query(t.Context(), i.Query)
		if err != nil {
			t.Errorf("%s: %v", i.Family, err)
			continue
		}
		n := 0
		for rows.Next() {
			n++
		}
		rows.Close()
		if n == 0 {
			t.Errorf("%s: the query of the incident finds nothing", i.Family)
		}
	}
}

// A day's edges may hold what a batch beside those looked at has just brought:
// the alert names its flows all the same.
func TestScore_FlowsOfAnotherBatchAreNamed(t *testing.T) {
	s := newSite(t, only("exfiltration"))
	s.add(life(monday, 8)...)
	s.score()
	day9 := monday.AddDate(0, 0, 8)
	s.add(talk{at: day9.Add(8 * time.Hour), lasts: time.Minute, from: "10.0.0.2", to: "185.9.9.9", mac: camera, dmac: router, port: 443, out: 9_000_000, in: 9000})
	s.commit()
	passed := fmt.Sprintf("INSERT INTO score_cursors SELECT log, pace, %d, watermark FROM score_cursors", s.index)
	if err := s.db.Conn().Exec(t.Context(), passed); err != nil {
		t.Fatal(err)
	}
	s.add(talk{at: day9.Add(8*time.Hour + 2*time.Minute), lasts: time.Second, from: "10.0.0.2", to: "185.9.9.9", mac: camera, dmac: router, port: 8443, out: 5000, in: 900})
	s.score()
	list := s.alerts(profile.AlertFilter{})
	if len(list) != 1 || len(list[0].Flows) == 0 || !strings.Contains(list[0].Observed, "185.9.9.9") {
		t.Fatalf("want one alert with its flows: %+v", list)
	}
}

// Somebody watches the camera while it scans: that flow is no evidence of it.
func TestScore_FlowsAreThoseOfTheRole(t *testing.T) {
	s := newSite(t, only("scan"))
	s.add(life(monday, 8)...)
	s.score()
	at := monday.AddDate(0, 0, 8).Add(12 * time.Hour)
	s.add(talk{at: at, lasts: 20 * time.Second, from: "10.0.0.9", to: "10.0.0.2", mac: sensor, dmac: camera, port: 80, out: 500, in: 3000})
	s.add(scan(at, "10.0.0.2", camera)...)
	s.score()
	list := s.alerts(profile.AlertFilter{})
	if len(list) != 1 || len(list[0].Flows) != 20 || !strings.HasSuffix(list[0].Flows[0], "-2") {
		t.Fatalf("want one alert with 20 flows, from the first of the scan on: %+v", list)
	}
}
