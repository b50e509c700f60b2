package anchor

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// tellAlert writes the event of an alert and stores it, as profile does.
func (s *recordedSite) tellAlert(id uint64, version int, state string) {
	s.t.Helper()
	body := map[string]any{
		"incident": fmt.Sprintf("%016x", id), "version": version, "site": "lab", "state": state, "family": "new_peer", "target": "192.0.2.1",
		"device": map[string]any{"id": fmt.Sprintf("%016x", 7)}, "since": "2026-11-22T10:00:00.000Z", "findings": 3, "risk": 70,
		"expected": "nothing", "observed": "something", "text": "it did something", "query": "SELECT 1", "reason": "", "flows": []any{}, "attack": []any{"T1041"},
	}
	if _, _, err := s.ledger.EventNow(s.t.Context(), "alert", "tidemark", body); err != nil {
		s.t.Fatal(err)
	}
	s.exec(`INSERT INTO incidents (id, version, site, device, family, target, state, opened, changed, findings, risk, expected, observed, text, attack, query)
		VALUES (%d, %d, 'lab', 7, 'new_peer', '192.0.2.1', '%s', '2026-11-22 10:00:00.000', '2026-11-22 10:01:00.000', 3, 70, 'nothing', 'something', 'it did something', ['T1041'], 'SELECT 1')`,
		id, version, state)
}

// scored says that the detectors have been through a batch.
func (s *recordedSite) scored(batch uint64) {
	s.t.Helper()
	s.exec("TRUNCATE TABLE score_cursors")
	s.exec("INSERT INTO score_cursors (log, pace, batch_index, watermark) VALUES ({log}, 'prompt', %d, now64(3))", batch)
}

// A collector that was killed between telling the log of an alert and storing it
// has done nothing wrong; who deletes an alert has, and cannot pass for it.
func TestVerify_AlertToldAndNotStoredIsPending(t *testing.T) {
	s := newSite(t)
	s.tellAlert(1, 1, "open")
	s.tellAlert(2, 1, "open")
	if err := s.ledger.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	event := s.ledger.Reader().Size() - 1 // of alert 2
	s.exec("ALTER TABLE incidents DELETE WHERE id = 2 SETTINGS mutations_sync = 2")
	pending := func(what string, want bool) {
		t.Helper()
		r := s.verify()
		said := strings.Contains(text(r), "1 alert is pending")
		if fault := r.has(AlertAltered, -1) != nil; fault == want || said != want {
			t.Errorf("%s: pending %t, fault %t, want pending %t:\n%s", what, said, fault, want, text(r))
		}
	}
	s.scored(event - 1)
	pending("killed before it was stored", true)
	s.exec("INSERT INTO incidents SELECT * REPLACE (2 AS id, 0 AS version, 'closed' AS state) FROM incidents WHERE id = 1")
	pending("an older version is stored", true)
	s.exec("ALTER TABLE incidents DELETE WHERE id = 2 SETTINGS mutations_sync = 2")
	s.scored(event + 1)
	pending("what came after it was scored", false)

	// The table of what was scored is no evidence: the log tells how long the collector lived.
	s.scored(0)
	pending("said not to be scored, and the collector did not live on", true)
	seal := func(later time.Duration) {
		t.Helper()
		s.ledger.clock = func() time.Time { return time.Now().Add(later) }
		if _, err := s.ledger.Seal(t.Context(), siteRows(5, 3, midday(time.Now())), nil); err != nil {
			t.Fatal(err)
		}
		if err := s.ledger.Drain(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	seal(10 * time.Second)
	pending("a batch later", true)
	seal(2 * time.Minute)
	pending("said not to be scored, though the collector lived on", false)
}

func TestVerify_AlertsAreThoseOfTheLog(t *testing.T) {
	s := newSite(t)
	s.tellAlert(1, 1, "open")
	s.tellAlert(1, 2, "acknowledged")
	s.tellAlert(2, 1, "open")
	// A repeat that changes nothing but the count is no event.
	s.exec("INSERT INTO incidents SELECT * REPLACE (2 AS version, 9 AS findings) FROM incidents WHERE id = 2")
	if err := s.ledger.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.scored(s.ledger.Reader().Size() - 1)
	s.clean("untouched")
	s.exec("OPTIMIZE TABLE incidents FINAL")
	s.clean("after OPTIMIZE FINAL")
	s.exec("CREATE TABLE kept_incidents AS incidents")
	s.exec("INSERT INTO kept_incidents SELECT * FROM incidents")
	for name, edit := range map[string]string{
		"the table emptied": "TRUNCATE TABLE incidents",
		"one deleted":       "ALTER TABLE incidents DELETE WHERE id = 2 SETTINGS mutations_sync = 2",
		"one made open":     "ALTER TABLE incidents UPDATE state = 'open' WHERE id = 1 SETTINGS mutations_sync = 2",
		"its text":          "ALTER TABLE incidents UPDATE text = 'all is well' WHERE id = 1 SETTINGS mutations_sync = 2",
		"another device":    "ALTER TABLE incidents UPDATE device = 8 WHERE id = 2 SETTINGS mutations_sync = 2",
	} {
		s.exec("%s", edit)
		if r := s.verify(); r.has(AlertAltered, -1) == nil || r.ExitCode() != ExitFailed {
			t.Errorf("%s: not found:\n%s", name, text(r))
		}
		s.exec("TRUNCATE TABLE incidents")
		s.exec("INSERT INTO incidents SELECT * FROM kept_incidents")
	}
	s.exec("INSERT INTO incidents SELECT * REPLACE (3 AS id) FROM kept_incidents WHERE kept_incidents.id = 1")
	if f := s.verify().has(AlertAltered, -1); f == nil || !strings.Contains(f.Detail, "does not tell") {
		t.Errorf("an alert that the log does not know: %+v", f)
	}
}

func TestVerify_RecordsOfAnotherLogAreIntrudersInADatabaseOfOneLog(t *testing.T) {
	s := newSite(t)
	s.exec("INSERT INTO flows SELECT * REPLACE (log + 1 AS log) FROM flows WHERE batch_index = %d LIMIT 3", bigBatch)
	if r := s.verify(); len(r.Faults) > 0 || !strings.Contains(text(r), "3 flow records and 0 other records") {
		t.Errorf("in a cluster they may be another collector's:\n%s", text(r))
	}
	o := s.options()
	o.Alone = true
	if r := s.verifyWith(o); r.has(RowsAdded, -1) == nil {
		t.Errorf("not found:\n%s", text(r))
	}
}
