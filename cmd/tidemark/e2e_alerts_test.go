package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

type listedAlert struct {
	ID       string   `json:"id"`
	Device   string   `json:"device"`
	State    string   `json:"state"`
	Level    string   `json:"level"`
	Family   string   `json:"family"`
	Families []string `json:"families"`
	Expected string   `json:"expected"`
	Observed string   `json:"observed"`
	Risk     uint8    `json:"risk"`
	Notify   bool     `json:"notify"`
	Terms    []any    `json:"terms"`
	Flows    []string `json:"flows"`
}

// Two quiet days are learned, then everything happens at once; what is said of
// it, and what a person answers, is part of the record.
func TestAlerts_RaisedExplainedAndAcknowledgedArePartOfTheRecord(t *testing.T) {
	t.Parallel()
	told := filepath.Join(t.TempDir(), "told.ndjson")
	s := newSite(t, "profile: {learning: 1d}", `notify: [{name: log, url: "file://`+told+`"}]`)
	s.start("--dev-chain")
	state := filepath.Join(s.root, "state.json")
	s.simulate("life", "--to", s.udp, "--days", "2", "--exporters", "v9,ipfix", "--state", state, "--pace", "15000")
	s.want(exitOK, "anchor", "now")
	trust := s.trust()
	s.says(exitOK, []string{"no alerts"}, "alerts", "--fail-on", "low")

	s.simulate("attack", "--to", s.udp, "--exporters", "v9,ipfix", "--state", state, "--pace", "15000")
	s.want(exitOK, "anchor", "now")
	var alerts []listedAlert
	s.read(&alerts, "alerts", "--output", "json")
	families := map[string]bool{}
	for _, a := range alerts {
		for _, f := range a.Families {
			families[f] = true
		}
		if a.Expected == "" || a.Observed == "" || len(a.Terms) == 0 || len(a.Flows) == 0 && a.Family != "silence" || a.Risk == 0 {
			t.Errorf("alert without an expectation, an observation, risk terms or flows: %+v", a)
		}
		if n := s.number(fmt.Sprintf("SELECT count() FROM events WHERE kind = 'alert' AND JSONExtractString(body, 'incident') = '%s'", a.ID)); n != 1 {
			t.Errorf("%d events raised alert %s, want 1", n, a.ID)
		}
	}
	for _, want := range []string{"new_service", "failed_access", "scan"} {
		if !families[want] {
			t.Errorf("no alert of the family %s: %+v", want, alerts)
		}
	}
	if t.Failed() {
		t.FailNow()
	}
	s.want(exitFindings, "alerts", "--fail-on", "high")
	wantTold(t, told, alerts)
	s.says(exitOK, []string{told}, "notify", "--output", "json")
	s.want(exitOK, "notify", "test", "log")

	worst := alerts[0]
	s.says(exitOK, []string{worst.Expected, worst.Observed, "ATT&CK", worst.Flows[0], "what to do", "tidemark prove"}, "alerts", "explain", worst.ID)
	query := s.want(exitOK, "alerts", "explain", "--sql", "--line", "1", worst.ID).stdout
	if found := s.sql(query); found == "" {
		t.Errorf("the query of alert %s finds nothing:\n%s", worst.ID, query)
	}
	s.untilFinal(trust)
	s.want(exitOK, "prove", "--flow", worst.Flows[0], "--out", filepath.Join(s.root, "bundle.txt"))

	for _, a := range alerts {
		if !slices.Contains(a.Families, "new_service") {
			continue
		}
		r := s.want(exitOK, "contain", "alert", a.ID)
		if !strings.Contains(r.stdout, "counter drop") || !strings.Contains(r.stderr, "it would have dropped ") || !strings.Contains(r.stderr, "Nothing was applied") {
			t.Errorf("the plan against %s is\n%s\n%s", a.Observed, r.stdout, r.stderr)
		}
	}

	// A person answers, beside the daemon and without it.
	s.says(exitUsage, []string{"--reason is missing"}, "alerts", "ack", worst.ID)
	s.says(exitUsage, []string{"0123456789abcdef"}, "alerts", "ack", "--reason", "no such thing", "0123456789abcdef")
	s.want(exitOK, "alerts", "ack", "--reason", "a test of ours", "--as", "night shift", worst.ID)
	s.stop()
	second := alerts[1]
	s.want(exitOK, "alerts", "ack", "--reason", "known", second.ID)
	for id, words := range map[string][]string{worst.ID: {"a test of ours", "night shift"}, second.ID: {"known"}} {
		body := s.sql(fmt.Sprintf("SELECT body FROM events WHERE kind = 'alert_acknowledged' AND JSONExtractString(body, 'incident') = '%s'", id))
		for _, w := range words {
			if !strings.Contains(body, w) || strings.Contains(body, "\n") {
				t.Errorf("the event that acknowledges %s does not say %q, or is not one: %s", id, w, body)
			}
		}
	}
	s.exclusions(worst)
	var left []listedAlert
	s.read(&left, "alerts", "--output", "json")
	for _, a := range left {
		if a.ID == worst.ID || a.ID == second.ID {
			t.Errorf("an acknowledged alert is still listed: %+v", a)
		}
	}
	if report := s.intact(trust); report.Events < uint64(len(alerts))+2 {
		t.Errorf("%d events verified, want at least %d", report.Events, len(alerts)+2)
	}
}

// exclusions adds, lists and removes what shall not alert.
func (s *site) exclusions(worst listedAlert) {
	s.t.Helper()
	s.says(exitUsage, []string{"[0].scope: got none", "nothing was changed"}, "exclusions", "add", "--reason", "all of it")
	file := filepath.Join(s.root, "exclusions.yaml")
	bad := "- {device: " + worst.Device + ", family: sacn, reason: a}\n- {peer: 192.0.2.0/24, hours: late}\n- {kind: camera, for: ever, colour: red}\n"
	if err := os.WriteFile(file, []byte(bad), 0o600); err != nil {
		s.t.Fatal(err)
	}
	s.says(exitUsage, []string{"line 3", "colour", "[2].for: got \"ever\"", `no detector "sacn"`, "[1].hours: got \"late\"", "nothing was changed"}, "exclusions", "add", "--reason", "r", "--file", file)
	s.says(exitOK, []string{"would have hidden"}, "exclusions", "preview", "--device", worst.Device)
	id := strings.TrimSpace(s.want(exitOK, "exclusions", "add", "--device", worst.Device, "--service", "tcp/22", "--for", "30d", "--reason", "backup").stdout)
	s.says(exitOK, []string{id, "tcp/22", "backup"}, "exclusions")
	out := s.want(exitOK, "exclusions", "export").stdout
	if err := os.WriteFile(file, []byte(out), 0o600); err != nil {
		s.t.Fatal(err)
	}
	s.want(exitOK, "exclusions", "remove", "--reason", "over", id)
	if again := strings.TrimSpace(s.want(exitOK, "exclusions", "add", "--reason", "back", "--file", file).stdout); again != id || !strings.Contains(out, "for: 30d") {
		s.t.Errorf("exported and read back: got %s, want %s of\n%s", again, id, out)
	}
	s.want(exitOK, "exclusions", "remove", "--reason", "over", id)
	if n := s.number("SELECT countIf(kind = 'exclusion_added') * 10 + countIf(kind = 'exclusion_removed') FROM events"); n != 22 {
		s.t.Errorf("events of exclusions: got %d, want two of each", n)
	}
}

// wantTold waits until the channel has every alert that is worth a person's time.
func wantTold(t *testing.T, path string, alerts []listedAlert) {
	t.Helper()
	missing := []string{"all"}
	for deadline := time.Now().Add(30 * time.Second); len(missing) > 0 && time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		text, _ := os.ReadFile(path) // not there yet
		missing = nil
		for _, a := range alerts {
			if a.Notify && !strings.Contains(string(text), a.ID) {
				missing = append(missing, a.ID)
			}
		}
	}
	if len(missing) > 0 {
		t.Errorf("alerts %v were not told within 30 s", missing)
	}
}
