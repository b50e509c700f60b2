package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// evidenceOf gathers evidence and returns the path of the file.
func (s *site) evidenceOf(args ...string) string {
	s.t.Helper()
	path := filepath.Join(s.root, "evidence.json")
	s.want(exitOK, append([]string{"evidence", "--out", path}, args...)...)
	return path
}

func TestEvidence_VerifiesWithATrustFileAndABlockHashAlone(t *testing.T) {
	t.Parallel()
	s, trust := anchoredSite(t)
	device := s.sql("SELECT lower(leftPad(hex(src_device), 16, '0')) FROM flows WHERE src_device != 0 GROUP BY src_device ORDER BY count() DESC LIMIT 1")
	for _, part := range [][]string{{"--device", device}, {"--batch", "1"}, {"--from", "1"}, {"--from", "1h"}, {"--from", "2h", "--to", "1ms"}} {
		if report, code := s.verify(append([]string{"--trust", trust}, part...)...); code != exitOK || len(report.Faults) > 0 {
			t.Errorf("verify %v: exit %d, %+v", part, code, report.Faults)
		}
	}
	s.want(exitUsage, "verify", "--from", "5", "--to", "4")
	s.want(exitUsage, "verify", "--from", "yesterday")
	s.want(exitUsage, "verify", "--batch", "999999")
	s.want(exitUsage, "verify", "--batch", "1", "--from", "1h")
	path := s.evidenceOf("--device", device, "--rows", "300")
	page, err := os.ReadFile(strings.TrimSuffix(path, ".json") + ".html")
	if err != nil || !strings.Contains(string(page), "300 flows") || strings.Contains(string(page), "<script") {
		t.Errorf("the page for people: %v\n%.600s", err, page)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Anchors []struct {
			BlockHash string          `json:"block_hash"`
			Chain     json.RawMessage `json:"chain_evidence"`
		} `json:"anchors"`
	}
	if err := json.Unmarshal(text, &file); err != nil || len(file.Anchors) == 0 {
		t.Fatalf("%v, %d anchors", err, len(file.Anchors))
	}
	newest := file.Anchors[len(file.Anchors)-1]
	s.stop() // no database, no chain
	if len(newest.Chain) > 0 {
		s.want(exitOK, "verify-bundle", "--trust", trust, "--block-hash", newest.BlockHash, path)
	} else {
		t.Error("the newest anchor has no chain evidence")
	}
	s.want(exitUnanchored, "verify-bundle", "--trust", trust, path)
	s.want(exitUnanchored, "verify-bundle", "--trust", trust, "--block-hash", "0x"+strings.Repeat("ab", 32), path)
	s.want(exitOriginUnknown, "verify-bundle", "--block-hash", newest.BlockHash, path)
	s.want(exitUsage, "verify-bundle", "--block-hash", "0x12", path)
	changed := strings.Replace(string(text), `"proto": 6`, `"proto": 17`, 1)
	if err := os.WriteFile(path, []byte(changed), 0o600); err != nil {
		t.Fatal(err)
	}
	s.want(exitVerification, "verify-bundle", "--trust", trust, "--block-hash", newest.BlockHash, path)
}

// A device is erased while the daemon runs and after it was killed amid it; what
// is left verifies, and says what is gone.
func TestErase_ADeviceBesideADaemonAndWithoutOne(t *testing.T) {
	t.Parallel()
	s, trust := anchoredSite(t)
	busiest := strings.Split(s.sql("SELECT lower(leftPad(hex(src_device), 16, '0')) FROM flows WHERE src_device != 0 GROUP BY src_device ORDER BY count() DESC LIMIT 3"), "\n")
	why := []string{"--rule", "GDPR Art. 17", "--reason", "request 12", "--as", "Ada"}
	before := s.sql("SELECT count() FROM flows")
	s.want(exitOK, append([]string{"erase", "--device", busiest[0]}, why...)...)
	if after := s.sql("SELECT count() FROM flows"); after != before {
		t.Errorf("a dry run erased: %s flows are left of %s", after, before)
	}
	s.want(exitUsage, "erase", "--device", busiest[0], "--yes")
	s.want(exitOK, append([]string{"erase", "--yes", "--device", busiest[0]}, why...)...)
	report, code := s.verify("--trust", trust)
	if code != exitOK && code != exitUnanchored || len(report.Faults) > 0 {
		t.Fatalf("after an erasure: exit %d, %+v", code, report.Faults)
	}
	gone := func(device string) {
		t.Helper()
		for _, query := range leftOfDevice {
			if n := s.sql(strings.ReplaceAll(query, "X", device)); n != "0" {
				t.Errorf("%s: %s are left", query, n)
			}
		}
	}
	gone(busiest[0])
	s.want(exitOK, "devices", "merge", "--reason", "one device", busiest[1], busiest[2])
	s.kill()
	s.want(exitOK, append([]string{"erase", "--yes", "--device", busiest[1]}, why...)...)
	gone(busiest[1])
	gone(busiest[2])
	if report, code := s.verify("--trust", trust); code == exitVerification {
		t.Fatalf("after an erasure without a daemon: %+v", report.Faults)
	}
}

// leftOfDevice count what is left of device X.
var leftOfDevice = []string{
	"SELECT count() FROM flows WHERE lower(leftPad(hex(src_device), 16, '0')) = 'X' OR lower(leftPad(hex(dst_device), 16, '0')) = 'X'",
	"SELECT count() FROM edges WHERE lower(leftPad(hex(device), 16, '0')) = 'X' OR lower(leftPad(hex(peer_device), 16, '0')) = 'X'",
	"SELECT count() FROM volumes_1h WHERE lower(leftPad(hex(device), 16, '0')) = 'X'",
	"SELECT count() FROM events WHERE position(body, 'X') > 0", "SELECT count() FROM incidents WHERE lower(leftPad(hex(device), 16, '0')) = 'X'",
}
