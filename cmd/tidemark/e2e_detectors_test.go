package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// questions5 is a NetFlow v5 datagram of n questions of a device to a name server
// outside, each with its answer.
func questions5(sequence uint32, device, server [4]byte, n int) []byte {
	b := netflow5(sequence, 0)
	order.PutUint16(b[2:], uint16(2*n))
	for i := range n {
		ports := [2]uint16{uint16(50_000 + i), 53}
		for half := range 2 {
			src, dst := device, server
			if half == 1 {
				src, dst = server, device
			}
			b = append(append(append(b, src[:]...), dst[:]...), 0, 0, 0, 0, 0, 1, 0, 2)
			b = order.AppendUint32(b, 1)
			b = order.AppendUint32(b, uint32(70*(half+1)))
			b = order.AppendUint32(b, uint32(3_590_000+10*i+half))
			b = order.AppendUint32(b, uint32(3_590_000+10*i+half))
			b = order.AppendUint16(order.AppendUint16(b, ports[half]), ports[1-half])
			b = append(b, 0, 0, 17, 0, 0, 0, 0, 0, 24, 24, 0, 0)
		}
	}
	return b
}

// fallsTrue waits until f holds.
func fallsTrue(t *testing.T, what string, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(90 * time.Second); !f(); time.Sleep(200 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within 90 s: %s", what)
		}
	}
}

func writeDetector(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name+".new"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(dir, name+".new"), filepath.Join(dir, name)); err != nil {
		t.Fatal(err)
	}
}

// A detector of the operator's own alerts, people are told, and a fault in its file
// leaves it in force and is told.
func TestDetectors_OfTheOperatorAlertAndKeepInForce(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "detectors", "foreign_resolver.sql"))
	if err != nil {
		t.Fatal(err)
	}
	good := strings.Replace(string(text), "-- runs: 5m", "-- runs: batch", 1)
	told := filepath.Join(t.TempDir(), "told.ndjson")
	rules := t.TempDir()
	writeDetector(t, rules, "foreign_resolver.sql", good)
	s := newSite(t, "profile: {detectors: "+rules+", tune: [{detector: foreign_resolver, parameter: min_flows, value: 8}]}", `notify: [{name: log, url: "file://`+told+`"}]`)
	s.says(exitOK, []string{"foreign_resolver is good"}, "detectors", "check")
	s.says(exitOK, []string{"foreign_resolver", "a device asks a name", "yours"}, "detectors")
	s.says(exitOK, []string{"It is yours", "min_flows      8  (1 to 10000: questions and answers)", "Minimum evidence"}, "detectors", "show", "foreign_resolver")
	s.start("--dev-chain")
	e := s.exporter("127.0.0.1")
	e.send(questions5(0, [4]byte{10, 20, 1, 10}, [4]byte{9, 9, 9, 9}, 3)) // 6 flows: too few as tuned
	e.send(questions5(6, [4]byte{10, 20, 1, 11}, [4]byte{9, 9, 9, 9}, 5))
	fallsTrue(t, "an alert of the operator's own detector is told", func() bool {
		line, _ := os.ReadFile(told)
		return strings.Contains(string(line), "foreign_resolver") && strings.Contains(string(line), "tidemark detectors show foreign_resolver")
	})
	var alerts []listedAlert
	s.read(&alerts, "alerts", "--output", "json")
	i := slices.IndexFunc(alerts, func(a listedAlert) bool { return a.Family == "foreign_resolver" })
	if i < 0 || slices.ContainsFunc(alerts, func(a listedAlert) bool { return a.Family == "foreign_resolver" && a.ID != alerts[i].ID }) {
		t.Fatalf("got %+v, want one alert of foreign_resolver", alerts)
	}
	query := s.want(exitOK, "alerts", "explain", "--sql", "--line", "1", alerts[i].ID).stdout
	if found := s.sql(query); !strings.Contains(found, "9.9.9.9") {
		t.Errorf("the query of the alert finds %q", found)
	}
	s.says(exitOK, []string{"9.9.9"}, "contain", "alert", alerts[i].ID)
	s.says(exitOK, []string{"would have hidden 1 alert"}, "exclusions", "preview", "--device", "10.20.1.11", "--family", "foreign_resolver")
	s.want(exitOK, "exclusions", "add", "--device", "10.20.1.11", "--family", "foreign_resolver", "--reason", "it is ours")
	s.says(exitOK, []string{"foreign_resolver"}, "backtest", "--last", "1d", "--detector", "foreign_resolver", "--tune", "min_flows=2")

	writeDetector(t, rules, "foreign_resolver.sql", strings.Replace(good, "HAVING", "HAVIN", 1))
	writeDetector(t, rules, "second.sql", "SELECT 1")
	e.send(questions5(16, [4]byte{10, 20, 1, 12}, [4]byte{9, 9, 9, 9}, 5))
	fallsTrue(t, "/healthz tells of both faulty files", func() bool {
		code, text := s.healthz()
		return code == 503 && strings.Contains(text, "foreign_resolver.sql:31:") && strings.Contains(text, "second.sql:1:")
	})
	s.says(exitUsage, []string{"foreign_resolver.sql:31:", "second.sql:1:"}, "detectors", "check")
	s.says(exitUsage, []string{"second.sql:1:"}, "config", "check")
	s.says(exitOK, []string{"faulty"}, "detectors")
	if text := s.daemon.text(); !strings.Contains(text, "a detector file has a fault") {
		t.Error("the log does not tell of the faults")
	}
	if m := s.metrics(); m[`tidemark_profile_detector_files{state="in_force"}`] != 1 || m[`tidemark_profile_detector_files{state="fault"}`] < 2 {
		t.Errorf("metrics do not tell of the faults: %v", m["tidemark_profile_detector_files"])
	}
	fallsTrue(t, "the old detector is in force", func() bool {
		var alerts []listedAlert
		s.read(&alerts, "alerts", "--output", "json")
		n := 0
		for _, a := range alerts {
			if slices.Contains(a.Families, "foreign_resolver") {
				n++
			}
		}
		return n == 2
	})
	writeDetector(t, rules, "foreign_resolver.sql", good)
	if err := os.Remove(filepath.Join(rules, "second.sql")); err != nil {
		t.Fatal(err)
	}
	e.send(questions5(26, [4]byte{10, 20, 1, 11}, [4]byte{9, 9, 9, 9}, 1))
	fallsTrue(t, "/healthz is well again", func() bool { code, _ := s.healthz(); return code == 200 })
	s.stop()
}
