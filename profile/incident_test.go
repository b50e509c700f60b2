package profile_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"tidemark/profile"
)

func (s *site) alerts(f profile.AlertFilter) []profile.Incident {
	s.t.Helper()
	list, err := s.Alerts(s.t.Context(), f)
	if err != nil {
		s.t.Fatal(err)
	}
	return list
}

// only is a configuration with those detectors and no other built-in one.
func only(names ...string) (c profile.Config) {
	for _, d := range profile.Detectors() {
		if !slices.Contains(names, d.Name) {
			c.Disabled = append(c.Disabled, d.Name)
		}
	}
	return c
}

func denied(at time.Time, n int) (out []talk) {
	for i := range n {
		out = append(out, talk{at: at.Add(time.Duration(i) * time.Second), from: "203.0.113.5", to: "10.0.0.2", mac: router, dmac: camera, port: 22, out: 60, firewall: 3})
	}
	return out
}

func scan(at time.Time, from string, mac uint64) (out []talk) {
	for i := range 30 {
		out = append(out, talk{at: at.Add(time.Duration(i) * time.Second), from: from, to: fmt.Sprintf("10.0.1.%d", i+1), mac: mac, port: 23, out: 60, flags: 0x02})
	}
	return out
}

func TestScore_RepeatedFindingsAreOneIncident(t *testing.T) {
	s := newSite(t, only("failed_access"))
	s.add(life(monday, 8)...)
	s.score()
	day9 := monday.AddDate(0, 0, 8)
	told := 0
	for i := range 12 {
		s.add(denied(day9.Add(time.Duration(i)*time.Minute), 20)...)
		told += len(s.score())
	}
	list := s.alerts(profile.AlertFilter{})
	if len(list) != 1 {
		t.Fatalf("%d incidents, want 1: %+v", len(list), list)
	}
	i := list[0]
	if i.Family != "failed_access" || i.State != profile.StateUpdated || i.Findings != 12 || told != 2 {
		t.Errorf("family %s, state %s, %d findings, told %d times; want failed_access, updated, 12, 2 (the first and the tenth)", i.Family, i.State, i.Findings, told)
	}
	if !strings.Contains(i.Observed, "203.0.113.5") || !strings.Contains(i.Text, "AXIS") || len(i.Terms) == 0 || len(i.Attack) == 0 || len(i.Flows) != 20 {
		t.Errorf("incident does not say what it must: %+v", i)
	}
}

// Who did it is found by the id that is kept of it.
func TestScore_AVictimPointsAtADeviceOfTwoIDs(t *testing.T) {
	s := newSite(t, only("scan", "failed_access"))
	s.add(life(monday, 8)...)
	s.add(hours(monday, 100, "10.0.0.40", "52.1.1.1", 0x001d9c000001)...)
	s.score()
	if err := s.Merge(t.Context(), s.find("10.0.0.40"), []profile.Device{s.find("10.0.0.9")}, profile.By{Actor: "ann", Reason: "one box", At: s.received}); err != nil {
		t.Fatal(err)
	}
	for i := range 30 {
		s.add(talk{at: monday.AddDate(0, 0, 8).Add(time.Duration(i) * time.Second), from: "10.0.0.9", to: "10.0.0.2", mac: sensor, dmac: camera, port: uint16(7000 + i), out: 60, in: 54, flags: 0x02, replyFlags: 0x14})
	}
	s.score()
	var cause, scanner string
	for _, i := range s.alerts(profile.AlertFilter{}) {
		for _, l := range i.Lines {
			if l.Family == "scan" {
				scanner = i.Name()
			}
			if l.Family == "failed_access" {
				cause = l.Cause
				if len(l.Flows) == 0 {
					t.Error("the victim's line names no flow")
				}
			}
		}
	}
	if scanner == "" || cause != scanner {
		t.Errorf("the victim points at %q, want the scanner's alert %q", cause, scanner)
	}
}

func TestScore_NothingIsSaidTwiceAboutTheSameBatches(t *testing.T) {
	s := newSite(t, only("failed_access"))
	s.add(life(monday, 8)...)
	s.score()
	s.add(denied(monday.AddDate(0, 0, 8), 20)...)
	first := s.score()
	if second := s.score(); len(first) != 1 || len(second) != 0 {
		t.Fatalf("told %d, then %d, want 1 and 0", len(first), len(second))
	}
	// A crash between the ledger and the table: the same event, octet for octet.
	s.exec("ALTER TABLE score_cursors DELETE WHERE batch_index = 2 SETTINGS mutations_sync = 2")
	s.exec("TRUNCATE TABLE incidents")
	again := s.score()
	a, _ := json.Marshal(first[0])
	b, _ := json.Marshal(again[0])
	if len(again) != 1 || string(a) != string(b) {
		t.Errorf("after a crash the event is\n%s\nwant\n%s", b, a)
	}
}

func TestScore_LedgerRefusesThenNothingIsStored(t *testing.T) {
	s := newSite(t, only("failed_access"))
	s.add(life(monday, 8)...)
	s.score()
	s.add(denied(monday.AddDate(0, 0, 8), 20)...)
	s.commit()
	refuse := errors.New("disk full")
	broken, err := profile.New(s.db, profile.Config{Site: "home"}, func(context.Context, ...profile.Event) error { return refuse }, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	if err := broken.Score(t.Context(), time.Time{}); !errors.Is(err, refuse) {
		t.Fatalf("Score = %v, want the ledger's error", err)
	}
	if n := len(s.alerts(profile.AlertFilter{})); n != 0 {
		t.Errorf("%d incidents, want none before the ledger has them", n)
	}
	if n := len(s.score()); n != 1 {
		t.Errorf("the next Score told %d, want 1", n)
	}
}

func TestScore_LearningGate(t *testing.T) {
	s := newSite(t, profile.Config{})
	s.add(life(monday, 3)...)
	s.score()
	at := monday.AddDate(0, 0, 3)
	s.add(denied(at, 30)...)
	s.add(talk{at: at, from: "10.0.0.2", to: "185.9.9.9", mac: camera, dmac: router, port: 4444, out: 40_000_000, in: 800_000, inPackets: 20_000})
	if events := s.score(); len(events) != 0 {
		t.Errorf("while learning: %q", texts(events))
	}
	s.add(scan(at.Add(time.Hour), "10.0.0.2", camera)...)
	if got := families(s.score(), "alert"); len(got) != 1 || got[0] != "scan" {
		t.Errorf("a scan while learning: %q, want scan alone", got)
	}
}

func TestScore_FamiliesSupportEachOther(t *testing.T) {
	s := newSite(t, only("new_destination", "scan"))
	s.add(life(monday, 8)...)
	s.score()
	at := monday.AddDate(0, 0, 8)
	s.add(talk{at: at, from: "10.0.0.2", to: "185.9.9.9", mac: camera, dmac: router, port: 443, out: 40_000, in: 9000})
	s.score()
	alone := s.alerts(profile.AlertFilter{})
	if len(alone) != 1 || alone[0].Risk >= 40 || alone[0].Notify {
		t.Fatalf("a new destination alone: %+v", alone)
	}
	s.add(scan(at.Add(time.Hour), "10.0.0.2", camera)...)
	events := s.score()
	if got := families(events, "alert_updated"); len(events) != 1 || !events[0].Incident.Due() || !slices.Contains(got, "scan") || got[0] != "scan" || !slices.Contains(got, "new_destination") {
		t.Errorf("got %q, want the one incident of the device to grow by the scan, and people told", texts(events))
	}
	list := s.alerts(profile.AlertFilter{})
	if len(list) != 1 || list[0].ID != alone[0].ID || list[0].Risk < 80 || !list[0].Notify || list[0].Family != "scan" {
		t.Fatalf("got %+v, want the same incident, critical", list)
	}
	for _, l := range list[0].Lines {
		if l.Expected == "" || l.Observed == "" || l.Query == "" || len(l.Flows) == 0 || len(l.Attack) == 0 || l.Since.IsZero() || l.Count == 0 || l.Stage == "" || !l.Notified {
			t.Errorf("a line does not say what it must: %+v", l)
		}
	}
}

// People are told of an incident when it becomes worth their time, when it grows,
// and when it goes on after a day; not of each repetition.
func TestScore_ToldOnGrowthAndAfterADay(t *testing.T) {
	s := newSite(t, only("scan"))
	s.add(life(monday, 8)...)
	s.score()
	at := monday.AddDate(0, 0, 8)
	due := 0
	probe := func(at time.Time) {
		s.add(scan(at, "10.0.0.2", camera)...)
		for _, e := range s.score() {
			if e.Incident.Due() {
				due++
			}
		}
	}
	for i := range 6 {
		probe(at.Add(time.Duration(i) * 4 * time.Hour))
	}
	if due != 1 {
		t.Errorf("told %d times of a scan that goes on within a day, want once", due)
	}
	list := s.alerts(profile.AlertFilter{})
	if len(list) != 1 || list[0].Told != 1 {
		t.Fatalf("got %+v", list)
	}
}

// One device that tries all others is told of once: what the others say of it
// points there.
func TestScore_VictimsPointAtTheOneThatDidIt(t *testing.T) {
	s := newSite(t, profile.Config{Disabled: []string{"silence"}})
	for k := range 4 {
		for _, l := range life(monday, 8) {
			s.add(houseOf(k+1, l))
		}
	}
	if events := s.score(); len(events) > 0 {
		t.Fatalf("normal life raised %q", texts(events))
	}
	day9 := monday.AddDate(0, 0, 8)
	for k := range 4 { // the camera of the first house tries ports of the sensors of all
		for p := range 15 {
			s.add(talk{at: day9.Add(time.Duration(20*k+p) * time.Second), from: "10.1.0.2", to: fmt.Sprintf("10.%d.0.9", k+1), mac: camera + 1<<8, dmac: sensor + uint64(k+1)<<8,
				port: uint16(7000 + p), out: 60, in: 54, flags: 0x02, replyFlags: 0x14})
		}
	}
	s.score()
	var told, pointing int
	for _, i := range s.alerts(profile.AlertFilter{}) {
		if i.Notify {
			told++
			if i.Family != "scan" || len(i.Also) != 4 {
				t.Errorf("told of %s, %d others: %s", i.Family, len(i.Also), i.Text)
			}
			for _, l := range i.Lines {
				if l.Cause != "" {
					t.Errorf("the one that did it points elsewhere: %+v", l)
				}
			}
		}
		for _, l := range i.Lines {
			if l.Cause != "" {
				pointing++
			}
		}
	}
	if told != 1 || pointing != 4 {
		t.Errorf("told of %d incidents, %d lines point at another, want 1 and 4", told, pointing)
	}
}

// A new server of a maker is news about its devices, and one notice.
func TestScore_TheSameOnAFleetIsOneNotice(t *testing.T) {
	s := newSite(t, only("new_destination"))
	for k := range 5 {
		for _, l := range life(monday, 8) {
			s.add(houseOf(k+1, l))
		}
	}
	s.score()
	day9 := monday.AddDate(0, 0, 8)
	for k := range 5 {
		s.add(houseOf(k+1, talk{at: day9.Add(time.Duration(k) * time.Minute), from: "10.0.0.2", to: "185.9.9.9", mac: camera, dmac: router, port: 443, out: 40_000, in: 9000}))
		if k == 1 {
			s.score() // the first two are on their own
		}
	}
	s.score()
	list := s.alerts(profile.AlertFilter{})
	first, pointing := profile.Incident{}, 0
	for _, i := range list {
		if len(i.Also) > 0 {
			first = i
		}
		for _, l := range i.Lines {
			if l.Cause != "" {
				pointing++
			}
		}
	}
	if len(list) != 5 || len(first.Also) != 4 || pointing < 3 || !strings.Contains(first.Text, "The same on 4 other devices") {
		t.Fatalf("%d incidents, one with %d others, %d point at it: %s", len(list), len(first.Also), pointing, first.Text)
	}
	// It is accepted with one word, and nothing is said of the next device.
	made, err := s.AcceptFleet(t.Context(), first.ID, profile.By{Actor: "ann", Reason: "a new cloud of the maker", At: time.Now().UTC()})
	if err != nil || len(made) == 0 || made[0].Peer != "185.9.9.0/24" {
		t.Fatalf("accepted: %+v, %v", made, err)
	}
	for _, i := range s.alerts(profile.AlertFilter{OpenOnly: true}) {
		if i.Lines[0].Cause != "" || i.ID == first.ID {
			t.Errorf("still open: %s", i.Text)
		}
	}
	s.add(houseOf(4, talk{at: day9.Add(2 * time.Hour), from: "10.0.0.2", to: "185.9.9.9", mac: camera, dmac: router, port: 443, out: 40_000, in: 9000}))
	if events := s.score(); len(events) != 0 {
		t.Errorf("raised %q although accepted", texts(events))
	}
}

func TestScore_BudgetHoldsBackForADigest(t *testing.T) {
	c := only("scan")
	c.Budget = profile.Budget{Site: 2}
	s := newSite(t, c)
	for k := range 5 {
		for _, l := range life(monday, 8) {
			s.add(houseOf(k+1, l))
		}
	}
	s.score()
	day9 := monday.AddDate(0, 0, 8)
	for k := range 5 {
		for _, l := range scan(day9.Add(time.Duration(k)*time.Minute), "10.0.0.2", camera) {
			s.add(houseOf(k+1, l))
		}
	}
	due := 0
	for _, e := range s.score() {
		if e.Incident.Due() {
			due++
		}
	}
	if due != 2 {
		t.Errorf("told of %d incidents, want 2, the budget", due)
	}
	s.add(houseOf(1, talk{at: day9.Add(2 * time.Hour), from: "10.0.0.2", to: "52.1.1.10", mac: camera, dmac: router, port: 8883, out: 2000, in: 1500}))
	events := s.score()
	if len(events) != 1 || events[0].Kind != "alert_digest" || len(events[0].Held) != 3 || len(events[0].Body["alerts"].([]any)) != 3 {
		t.Fatalf("got %+v, want a digest of the other three", events)
	}
	s.add(houseOf(1, talk{at: day9.Add(4 * time.Hour), from: "10.0.0.2", to: "52.1.1.10", mac: camera, dmac: router, port: 8883, out: 2000, in: 1500}))
	if events := s.score(); len(events) != 0 {
		t.Errorf("told again: %+v", events)
	}
}

func TestScore_DetectorsInTheShadowCountNothing(t *testing.T) {
	c := only("scan")
	c.Shadow = []string{"scan"}
	s := newSite(t, c)
	s.add(life(monday, 8)...)
	s.score()
	s.add(scan(monday.AddDate(0, 0, 8), "10.0.0.2", camera)...)
	events := s.score()
	list := s.alerts(profile.AlertFilter{})
	if len(events) != 1 || events[0].Incident.Due() || len(list) != 1 || list[0].Risk != 0 || list[0].Notify || len(list[0].Lines) != 1 {
		t.Errorf("got %+v, want one incident of risk 0 that nobody is told of", list)
	}
}

func TestAck_QuietsUntilClosed(t *testing.T) {
	s := newSite(t, only("failed_access"))
	s.add(life(monday, 8)...)
	s.score()
	at := monday.AddDate(0, 0, 8)
	s.add(denied(at, 20)...)
	s.score()
	id := s.alerts(profile.AlertFilter{})[0].ID
	if err := s.Ack(t.Context(), id, "ann", "our own test"); err != nil {
		t.Fatal(err)
	}
	last := s.events[len(s.events)-1]
	if last.Kind != "alert_acknowledged" || last.Actor != "ann" || last.Body["reason"] != "our own test" || last.Body["state"] != "acknowledged" {
		t.Errorf("event %+v", last)
	}
	if err := s.Ack(t.Context(), id, "bob", "again"); err == nil {
		t.Error("a second acknowledgement is taken")
	}
	for i := range 10 {
		s.add(denied(at.Add(time.Duration(i)*time.Minute), 20)...)
		if events := s.score(); len(events) != 0 {
			t.Errorf("told %q although acknowledged", texts(events))
		}
	}
	s.add(life(at.AddDate(0, 0, 1), 2)...)
	if got := families(s.score(), "alert_closed"); len(got) != 1 {
		t.Errorf("closed %q after two quiet days, want one", got)
	}
	if open := s.alerts(profile.AlertFilter{OpenOnly: true}); len(open) != 0 {
		t.Errorf("still open: %+v", open)
	}
	if err := s.Ack(t.Context(), 12345, "ann", ""); !errors.Is(err, profile.ErrNotFound) {
		t.Errorf("Ack of an unknown alert = %v, want ErrNotFound", err)
	}
}

func TestDevice_IsFoundByEveryName(t *testing.T) {
	s := newSite(t, profile.Config{})
	s.add(life(monday, 2)...)
	s.score()
	list, err := s.Devices(t.Context(), profile.DeviceFilter{})
	if err != nil {
		t.Fatal(err)
	}
	if len(list) != 2 {
		t.Fatalf("%d devices, want 2, the gateway not among them: %+v", len(list), list)
	}
	cam, err := s.Device(t.Context(), "10.0.0.2")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.SetLabel(t.Context(), cam, "lobby", profile.By{Actor: "ann", Reason: "it hangs there", At: monday}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"00:40:8c:00:00:01", "10.0.0.2", cam.Name(), "lobby"} {
		d, err := s.Device(t.Context(), name)
		if err != nil || d.ID != cam.ID || d.Label != "lobby" || d.Vendor != "AXIS COMMUNICATIONS AB" || d.Learning != profile.LearningOpen {
			t.Errorf("Device(%q) = %+v, %v", name, d, err)
		}
	}
	for _, name := range []string{"10.0.0.77", "nobody", "52.1.1.10", "", "::"} {
		if d, err := s.Device(t.Context(), name); !errors.Is(err, profile.ErrNotFound) {
			t.Errorf("Device(%q) = %v, %v, want ErrNotFound", name, d.Name(), err)
		}
	}
	bindings, err := s.Bindings(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, b := range bindings {
		got = append(got, fmt.Sprintf("%s %012x %v", b.Addr, b.MAC, b.Gateway))
		if b.Since.Before(monday) || b.Since.After(monday.Add(time.Hour)) || !b.Seen.After(b.Since) {
			t.Errorf("%s has its MAC from %s to %s, want from %s on", b.Addr, b.Since, b.Seen, monday)
		}
	}
	want := "10.0.0.1 001c7f53d028 true, 10.0.0.2 00408c000001 false, 10.0.0.9 240ac4000002 false"
	if strings.Join(got, ", ") != want {
		t.Errorf("bindings %q, want %q", got, want)
	}
}

func TestConfig_ValidateReportsEveryFault(t *testing.T) {
	c := profile.Config{LearningPeriod: time.Second, Disabled: []string{"sacn"}, Parameters: map[string]map[string]float64{"scan": {"net": 3}, "volume": {"min_z": -1}, "x": nil}}
	err := c.Validate()
	if err == nil {
		t.Fatal("no fault found")
	}
	for _, want := range []string{"learning_period", `"sacn"`, `"net"`, "min_z", `"x"`} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not reported: %v", want, err)
		}
	}
	if err := (profile.Config{}).Validate(); err != nil {
		t.Errorf("the zero configuration: %v", err)
	}
}
