package profile_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"tidemark/profile"
)

func by() profile.By {
	return profile.By{Actor: "ann", Reason: "agreed", At: time.Now().UTC().Truncate(time.Millisecond)}
}

// What is expected is closed and hidden from then on, counted, and comes back when
// the exclusion is removed.
func TestExclusions_HideWhatIsExpectedUntilRemoved(t *testing.T) {
	s := newSite(t, only("failed_access"))
	s.add(life(monday, 8)...)
	s.score()
	at := monday.AddDate(0, 0, 8)
	s.add(denied(at, 20)...)
	s.score()
	alert := s.alerts(profile.AlertFilter{})[0]
	p, err := s.Preview(t.Context(), profile.Exclusion{Device: alert.Device, Expires: by().At.AddDate(0, 0, 1)}, time.Time{})
	if err != nil || p.Whole != 1 || p.Alerts != 1 || p.Of != 1 || p.Findings != alert.Findings {
		t.Errorf("preview %+v, %v, want the one alert hidden", p, err)
	}
	if p, err := s.Preview(t.Context(), profile.Exclusion{Peer: "198.51.100.0/24", Expires: by().At.AddDate(0, 0, 1)}, time.Time{}); err != nil || p.Alerts != 0 {
		t.Errorf("preview of another peer: %+v, %v", p, err)
	}
	made, err := s.Judge(t.Context(), alert.ID, profile.VerdictExpected, by())
	if err != nil || len(made) != 1 || made[0].Family != "failed_access" || made[0].Peer != "203.0.113.0/24" || made[0].Port != 22 {
		t.Fatalf("made %+v, %v", made, err)
	}
	kinds := []string{}
	for _, e := range s.events[len(s.events)-2:] {
		kinds = append(kinds, e.Kind)
	}
	if strings.Join(kinds, " ") != "alert_closed exclusion_added" || s.alerts(profile.AlertFilter{})[0].Verdict != profile.VerdictExpected {
		t.Errorf("events %q", kinds)
	}
	s.add(denied(at.Add(10*time.Minute), 20)...)
	if events := s.score(); len(events) != 0 {
		t.Errorf("raised %q although expected", texts(events))
	}
	list, err := s.Exclusions(t.Context())
	if err != nil || len(list) != 1 || list[0].Hits != 1 || list[0].LastHit.IsZero() || list[0].Actor != "ann" {
		t.Fatalf("exclusions %+v, %v, want one with a hit", list, err)
	}
	if err := s.Include(t.Context(), list[0].ID, by()); err != nil {
		t.Fatal(err)
	}
	s.add(denied(at.Add(20*time.Minute), 20)...)
	if events := s.score(); len(events) != 1 || events[0].Kind != "alert" {
		t.Errorf("raised %q after the exclusion was removed, want the alert", texts(events))
	}
	if err := s.Include(t.Context(), 1, by()); !errors.Is(err, profile.ErrNotFound) {
		t.Errorf("removing no exclusion = %v, want ErrNotFound", err)
	}
}

func TestExclusions_HardFamiliesAreNotHiddenByTheWay(t *testing.T) {
	s := newSite(t, only("scan"))
	s.add(life(monday, 8)...)
	s.score()
	d, err := s.Device(t.Context(), "10.0.0.2")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Exclude(t.Context(), []profile.Exclusion{{Device: d.ID}}, by()); err != nil {
		t.Fatal(err)
	}
	at := monday.AddDate(0, 0, 8)
	s.add(scan(at, "10.0.0.2", camera)...)
	if got := families(s.score(), "alert"); len(got) != 1 {
		t.Errorf("raised %q, want the scan in spite of the exclusion of all else", got)
	}
	if _, err := s.Judge(t.Context(), s.alerts(profile.AlertFilter{})[0].ID, profile.VerdictExpected, by()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Exclude(t.Context(), []profile.Exclusion{{Device: d.ID, Family: "scan", Hard: true, Hours: "0-4"}}, by()); err != nil {
		t.Fatal(err)
	}
	s.add(scan(at.Add(3*time.Hour), "10.0.0.2", camera)...)
	if events := s.score(); len(events) != 0 {
		t.Errorf("raised %q, want the authorised hours hidden", texts(events))
	}
}

func TestExclusions_EveryFaultIsToldAndNothingIsChanged(t *testing.T) {
	s := newSite(t, profile.Config{})
	good := profile.Exclusion{Device: 1}
	_, err := s.Exclude(t.Context(), []profile.Exclusion{good, {Family: "scan"}, {Peer: "nobody", Hours: "9"}, {Kind: "camera", Hard: true}, {Port: 22, Expires: by().At.AddDate(3, 0, 0)}}, by())
	if !errors.Is(err, profile.ErrRefused) {
		t.Fatalf("got %v, want ErrRefused", err)
	}
	for _, want := range []string{"exclusion 2", "blind the site", "attack by itself", "exclusion 3", `"nobody"`, `"9"`, "exclusion 4", "authorised", "exclusion 5", "a year"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not told: %v", want, err)
		}
	}
	if list, err := s.Exclusions(t.Context()); err != nil || len(list) != 0 || len(s.events) != 0 {
		t.Errorf("%d exclusions, %d events, %v, want none", len(list), len(s.events), err)
	}
}

// Before this version there was an incident for each family; what is open of them
// takes no findings and is closed.
func TestScore_IncidentsOfEarlierVersionsAreClosed(t *testing.T) {
	s := newSite(t, only("failed_access"))
	s.add(life(monday, 8)...)
	s.score()
	at := monday.AddDate(0, 0, 8)
	d, err := s.Device(t.Context(), "10.0.0.2")
	if err != nil {
		t.Fatal(err)
	}
	s.exec(`INSERT INTO incidents (id, version, site, device, family, target, state, opened, changed, findings, risk, strength, notify, expected, observed, text, query)
		SELECT 7, 3, 'home', ` + fmt.Sprint(d.ID) + `, 'failed_access', 'server tcp/22 203.0.113.0/24', 'updated', toDateTime64('2026-03-09 20:00:00', 3, 'UTC'), toDateTime64('2026-03-09 21:00:00', 3, 'UTC'), 4, 28, 0.28, 0, 'e', 'o', 't', 'SELECT 1'`)
	s.add(denied(at, 20)...)
	if got := s.score(); len(got) != 1 || got[0].Kind != "alert" || got[0].Incident.ID == 7 {
		t.Fatalf("got %q, want an alert of its own", texts(got))
	}
	s.add(life(at, 2)...)
	if closed := families(s.score(), "alert_closed"); len(closed) != 1 { // an old one has no families
		t.Errorf("closed %q", closed)
	}
	for _, i := range s.alerts(profile.AlertFilter{}) {
		if i.State != profile.StateClosed {
			t.Errorf("still open: %+v", i)
		}
	}
}
