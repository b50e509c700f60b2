package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// anchoredSite is a daemon with a few batches of flows that are in final blocks.
func anchoredSite(t *testing.T) (s *site, trust string) {
	t.Helper()
	s = newSite(t)
	s.start("--dev-chain")
	s.simulate("life", "--to", s.udp, "--days", "0.3", "--pace", "3000")
	s.want(exitOK, "anchor", "now")
	trust = s.trust()
	s.untilFinal(trust)
	return s, trust
}

// columns are those that the ledger hashes, each with another value for it.
const hashedColumns = `SELECT name, type FROM system.columns WHERE database = currentDatabase() AND table = 'flows'
	AND default_kind = '' AND position < (SELECT position FROM system.columns WHERE database = currentDatabase() AND table = 'flows' AND name = 'event_start_ns')
	AND name NOT IN ('log', 'site', 'batch_index', 'pos') ORDER BY position`

// otherValue is an expression for a value that the column has not.
func otherValue(name, kind string) string {
	switch {
	case name == "type":
		return "if(type = 'ipfix', 'netflow_v9', 'ipfix')"
	case name == "transport":
		return "if(transport = 'udp', 'tcp', 'udp')"
	case kind == "IPv6":
		return fmt.Sprintf("if(%s = toIPv6('2001:db8::1'), toIPv6('2001:db8::2'), toIPv6('2001:db8::1'))", name)
	case strings.HasPrefix(kind, "DateTime64"):
		return fmt.Sprintf("addNanoseconds(%s, 1)", name)
	case strings.HasPrefix(kind, "Map"):
		return fmt.Sprintf("mapUpdate(%s, map(99::UInt64, ['x']))", name)
	}
	return fmt.Sprintf("bitXor(%s, 1)", name)
}

func TestVerify_AnAlteredColumnOfAnyRowIsNamed(t *testing.T) {
	t.Parallel()
	s, trust := anchoredSite(t)
	batch, rows := s.longestBatch()
	var changes []string
	columns := strings.Split(s.sql(hashedColumns), "\n")
	if len(columns) < 33 || uint64(len(columns)) > rows {
		t.Fatalf("%d hashed columns, %d rows in batch %d; want one row for each of at least 33 columns", len(columns), rows, batch)
	}
	s.sql("CREATE TABLE backup AS flows")
	s.sql("INSERT INTO backup SELECT * FROM flows")
	want := map[string]string{} // flow name: column
	for i, c := range columns {
		name, kind, _ := strings.Cut(c, "\t")
		pos := i * int(rows) / len(columns)
		if name == "time_received_ns" { // the partition's key: the row is written anew
			s.sql(fmt.Sprintf("INSERT INTO flows SELECT * REPLACE (%s AS %s) FROM backup WHERE batch_index = %d AND pos = %d", otherValue(name, kind), name, batch, pos))
			s.sql(fmt.Sprintf("ALTER TABLE flows DELETE WHERE batch_index = %d AND pos = %d AND %s = (SELECT %s FROM backup WHERE batch_index = %d AND pos = %d) SETTINGS mutations_sync = 2",
				batch, pos, name, name, batch, pos))
		} else {
			changes = append(changes, fmt.Sprintf("%s = if(pos = %d, %s, %s)", name, pos, otherValue(name, kind), name))
		}
		want[s.sql(fmt.Sprintf("SELECT name FROM backup WHERE batch_index = %d AND pos = %d", batch, pos))] = name
	}
	s.sql(fmt.Sprintf("ALTER TABLE flows UPDATE %s WHERE batch_index = %d SETTINGS mutations_sync = 2", strings.Join(changes, ", "), batch))
	report, code := s.verify("--trust", trust)
	if code != exitVerification {
		t.Fatalf("verify: exit %d, want %d", code, exitVerification)
	}
	for _, f := range report.Faults {
		if f.Batch == nil || *f.Batch != batch || f.Class != "INTEGRITY" {
			t.Errorf("a fault where nothing was altered: %+v", f)
		}
	}
	for name, column := range want {
		if !isNamed(report, name) {
			t.Errorf("column %s of flow %s was altered, and is not named", column, name)
		}
	}
	s.restoreFlows()
	if report, code := s.verify("--trust", trust); code != exitOK {
		t.Errorf("after all was put back: exit %d, %+v", code, report.Faults)
	}
	s.stop()
}

// isNamed says whether a fault of the report holds the row.
func isNamed(report verifyReport, flow string) bool {
	parts := strings.Split(flow, "-")
	for _, f := range report.Faults {
		if f.Flow == flow {
			return true
		}
		var pos uint32
		if _, err := fmt.Sscan(parts[2], &pos); err != nil {
			return false
		}
		if f.Batch != nil && fmt.Sprint(*f.Batch) == parts[1] && f.First != nil && f.Last != nil && *f.First <= pos && pos <= *f.Last {
			return true
		}
	}
	return false
}

func (s *site) longestBatch() (index, rows uint64) {
	s.t.Helper()
	if _, err := fmt.Sscan(s.sql("SELECT batch_index, count() AS n FROM flows GROUP BY batch_index ORDER BY n DESC LIMIT 1"), &index, &rows); err != nil {
		s.t.Fatal(err)
	}
	return index, rows
}

// restoreFlows puts the rows back from the table backup, without the views noticing.
func (s *site) restoreFlows() {
	s.t.Helper()
	for _, table := range []string{"flows", "backup"} {
		for _, id := range strings.Fields(s.sql("SELECT DISTINCT partition_id FROM system.parts WHERE database = currentDatabase() AND active AND table = '" + table + "'")) {
			s.sql("ALTER TABLE flows REPLACE PARTITION ID '" + id + "' FROM backup")
		}
	}
}

func TestVerify_RowsAndBatchesThatGoComeOrMoveAreNamed(t *testing.T) {
	t.Parallel()
	s, trust := anchoredSite(t)
	batch, rows := s.longestBatch()
	s.sql("CREATE TABLE backup AS flows")
	s.sql("INSERT INTO backup SELECT * FROM flows")
	at := rows / 3
	for _, c := range []struct {
		name       string
		statements []string
	}{
		{"a row deleted", []string{"ALTER TABLE flows DELETE WHERE batch_index = %d AND pos = %d SETTINGS mutations_sync = 2"}},
		{"a row deleted the light way", []string{"DELETE FROM flows WHERE batch_index = %d AND pos = %d"}},
		{"a row there twice", []string{"INSERT INTO flows SELECT * FROM backup WHERE batch_index = %d AND pos = %d"}},
		{"a row behind the last", []string{fmt.Sprintf("INSERT INTO flows SELECT * REPLACE (toUInt32(%d) AS pos) FROM backup WHERE batch_index = %%d AND backup.pos = %%d", rows)}},
		{"two rows swapped", []string{fmt.Sprintf("ALTER TABLE flows DELETE WHERE batch_index = %%d AND pos IN (%%d, %d) SETTINGS mutations_sync = 2", at+1),
			fmt.Sprintf("INSERT INTO flows SELECT * REPLACE (toUInt32(if(backup.pos = %d, %d, %d)) AS pos) FROM backup WHERE batch_index = %d AND backup.pos IN (%d, %d)", at, at+1, at, batch, at, at+1)}},
		{"a batch dropped", []string{"ALTER TABLE flows DELETE WHERE batch_index = %d AND %d >= 0 SETTINGS mutations_sync = 2"}},
		{"a row in the quarantine too", []string{"INSERT INTO flows_quarantine SELECT * FROM backup WHERE batch_index = %d AND pos = %d"}},
	} {
		for _, statement := range c.statements {
			if strings.Contains(statement, "%d") {
				statement = fmt.Sprintf(statement, batch, at)
			}
			s.sql(statement)
		}
		text := s.run("verify", "--trust", trust)
		if text.code != exitVerification || !regexp.MustCompile(fmt.Sprintf(`(batch %d\b|flow [0-9a-f]{16}-%d-)`, batch, batch)).MatchString(text.stdout) {
			t.Errorf("%s: want exit %d and batch %d named: %v", c.name, exitVerification, batch, text)
		}
		s.restoreFlows()
		s.sql("TRUNCATE TABLE flows_quarantine")
		if report, code := s.verify("--trust", trust); code != exitOK {
			t.Fatalf("%s, and put back: exit %d, %+v", c.name, code, report.Faults)
		}
	}
	s.stop()
}

// A collector that was made anew, with a history to its owner's liking, proves
// itself to itself; the trust file of the old one tells them apart.
func TestVerify_AHistoryRebuiltUnderANewLogFailsAgainstTheOldTrustFile(t *testing.T) {
	t.Parallel()
	s, trust := anchoredSite(t)
	capture := filepath.Join(s.root, "life.pcap")
	s.simulate("life", "--pcap", capture, "--days", "0.1")
	url := strings.TrimSpace(string(must(os.ReadFile(filepath.Join(s.dir, "chain", "url")))))

	rebuilt := newSite(t, fmt.Sprintf("chain: {rpc: %q, interval: 2s}", url))
	rebuilt.start()
	rebuilt.want(exitOK, "replay", capture)
	rebuilt.want(exitOK, "anchor", "now")
	if report, code := rebuilt.verify("--trust", rebuilt.trust()); code != exitOK {
		t.Errorf("with its own trust file: exit %d, %+v; want 0, it is sound in itself", code, report.Faults)
	}
	rebuilt.says(exitOriginUnknown, []string{"origin NOT checked"}, "verify")
	rebuilt.says(exitVerification, []string{"INTEGRITY", "origin differs"}, "verify", "--trust", trust)
	rebuilt.stop()
	s.stop()
}

// Whoever has stolen every key of the old log can sign another history. The
// contract has the first one.
func TestVerify_AHistoryRebuiltWithTheKeysOfTheOldLogIsRefusedByTheContract(t *testing.T) {
	t.Parallel()
	s, trust := anchoredSite(t)
	url := strings.TrimSpace(string(must(os.ReadFile(filepath.Join(s.dir, "chain", "url")))))
	forged := newSite(t, fmt.Sprintf("chain: {rpc: %q, interval: 2s}", url))
	for _, name := range []string{"log.key", "log.pub", "publisher"} {
		if err := os.MkdirAll(filepath.Join(forged.dir, "ledger"), 0o700); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command("cp", "-rp", filepath.Join(s.dir, "ledger", name), filepath.Join(forged.dir, "ledger")).CombinedOutput(); err != nil {
			t.Fatalf("steal %s: %v: %s", name, err, out)
		}
	}
	forged.start()
	forged.simulate("life", "--to", forged.udp, "--days", "0.3", "--seed", "2", "--pace", "3000")
	forged.says(exitRuntime, []string{"anchoring refused", "the contract holds"}, "anchor", "now")
	report, code := forged.verify("--trust", trust, "--rpc", url)
	if code != exitVerification || len(report.Faults) == 0 {
		t.Errorf("verify: exit %d, %+v; want %d", code, report.Faults, exitVerification)
	}
	forged.stop()
	if report, code := s.verify("--trust", trust); code != exitOK {
		t.Errorf("the true history: exit %d, %+v", code, report.Faults)
	}
	s.stop()
}

func TestProve_BundleOfAnyFlowVerifiesElsewhereUntilItIsEdited(t *testing.T) {
	t.Parallel()
	s, trust := anchoredSite(t)
	url := strings.TrimSpace(string(must(os.ReadFile(filepath.Join(s.dir, "chain", "url")))))
	elsewhere := newSite(t) // an auditor without our data
	flows := strings.Split(s.sql("SELECT name FROM flows ORDER BY cityHash64(name) LIMIT 3"), "\n")
	var bundle string
	for i, name := range flows {
		bundle = filepath.Join(s.root, fmt.Sprintf("bundle.%d.txt", i))
		s.want(exitOK, "prove", "--flow", name, "--out", bundle)
		elsewhere.says(exitOK, []string{name, "DEVELOPMENT CHAIN"}, "verify-bundle", "--trust", trust, "--rpc", url, bundle)
	}
	elsewhere.want(exitOriginUnknown, "verify-bundle", "--rpc", url, bundle)
	if _, err := os.Stat(elsewhere.dir); !os.IsNotExist(err) {
		t.Errorf("verify-bundle made a data directory: %v", err)
	}

	whole := must(os.ReadFile(bundle))
	edited := filepath.Join(s.root, "edited.txt")
	for _, n := range digits(whole) {
		text := bytes.Clone(whole)
		text[n] = '0' + (text[n]-'0'+1)%10
		if err := os.WriteFile(edited, text, 0o600); err != nil {
			t.Fatal(err)
		}
		if r := elsewhere.run("verify-bundle", "--trust", trust, "--rpc", url, edited); r.code != exitVerification {
			t.Errorf("octet %d edited, near %q: want exit %d: %v", n, whole[max(0, n-30):min(len(whole), n+10)], exitVerification, r)
		}
	}
	if err := os.WriteFile(edited, whole[:len(whole)/2], 0o600); err != nil {
		t.Fatal(err)
	}
	elsewhere.want(exitVerification, "verify-bundle", "--trust", trust, "--rpc", url, edited)
	elsewhere.want(exitUnreachable, "verify-bundle", "--trust", trust, "--rpc", "http://"+freeAddress(t, "tcp"), bundle)

	// One flow altered: it cannot be proved any more, and is not proved falsely.
	parts := strings.Split(flows[0], "-")
	s.sql(fmt.Sprintf("ALTER TABLE flows UPDATE bytes = bytes + 1 WHERE batch_index = %s AND pos = %s SETTINGS mutations_sync = 2", parts[1], parts[2]))
	s.says(exitVerification, []string{parts[1]}, "prove", "--flow", flows[0])
	s.says(exitUsage, []string{"999999"}, "prove", "--flow", parts[0]+"-"+parts[1]+"-999999")
	s.stop()
}

// digits are some places of digits in a text, spread over it.
func digits(text []byte) (places []int) {
	var all []int
	for i, c := range text {
		if c >= '0' && c <= '9' {
			all = append(all, i)
		}
	}
	step := max(1, len(all)/24)
	for i := step / 2; i < len(all); i += step {
		places = append(places, all[i])
	}
	return places
}
