package main

import (
	"bytes"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"tidemark/storage"
)

func TestRun_WhatItKeepsIsForItsOwnerOnly(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.start("--dev-chain")
	s.want(exitOK, "anchor", "now")
	err := filepath.WalkDir(s.dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return nil // removed meanwhile by the engine
		}
		for _, others := range []string{"clickhouse", "chain"} { // written by programs of others, in directories that are closed
			if strings.HasPrefix(path, filepath.Join(s.dir, others)+"/") {
				return nil
			}
		}
		if info, err := e.Info(); err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v, want nothing for others", path, info.Mode())
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	s.stop()
}

func TestRun_MissingProgramsAreNamedWithWhatToDo(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	good := s.env
	s.env = append(good[:len(good):len(good)], "TIDEMARK_LIBCHDB=/nowhere/libchdb.so")
	if said := s.refusal(); !strings.Contains(said, "TIDEMARK_LIBCHDB") || !strings.Contains(said, "/nowhere/libchdb.so") {
		t.Errorf("no engine library: %s", said)
	}
	s.env = append(good[:len(good):len(good)], "TIDEMARK_ANVIL=/nowhere/anvil")
	if said := s.refusal("--dev-chain"); !strings.Contains(said, "TIDEMARK_ANVIL") {
		t.Errorf("no anvil: %s", said)
	}
}

// Flows are stored and nobody looks at them: the monitoring says so.
func TestRun_ScoringThatFailsIsSaid(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.start()
	s.sql("DROP TABLE incidents")
	s.exporter("127.6.0.2").send(netflow5(0, 1))
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		if code, text := s.healthz(); code == 503 && strings.Contains(text, "scoring: ") {
			return
		} else if time.Now().After(deadline) {
			t.Fatalf("/healthz after a minute: %d %s", code, text)
		}
	}
}

// The disk is as good as full from the beginning: nothing is taken, and the
// monitoring says why.
func TestRun_NoRoomOnTheDiskIsSaidAndNothingIsLostSilently(t *testing.T) {
	t.Parallel()
	s := newSite(t, "storage: {min_free: 900TiB}")
	s.start()
	e := s.exporter("127.6.0.1")
	const sent = 50
	for _, p := range s.prebuilt(sent) {
		if _, err := e.conn.Write(p); err != nil {
			t.Fatal(err)
		}
	}
	var text string
	for code := 0; code != 503; {
		if code, text = s.healthz(); code == 200 {
			time.Sleep(20 * time.Millisecond)
		}
	}
	if !strings.Contains(text, "storage.min_free") {
		t.Errorf("/healthz does not say what is wrong: %s", text)
	}
	if err := s.daemon.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	s.daemon.wait(t, 90*time.Second)
	said := s.daemon.text()
	if stored := s.number("SELECT count() FROM flows"); stored != sent && !strings.Contains(said, "50 flows") {
		t.Errorf("%d flows stored of %d, and the log says nothing of the others:\n%s", stored, sent, said)
	}
	s.intact(s.trust())
}

// Rows that the engine's files lost are no secret: verify names their batch.
func TestVerify_NamesTheBatchWhoseFilesAreGone(t *testing.T) {
	t.Parallel()
	s, trust := anchoredSite(t)
	s.stop()
	part := s.sql("SELECT path FROM system.parts WHERE database = currentDatabase() AND table = 'flows' AND active LIMIT 1")
	span := s.sql("SELECT format('batches {} to {}', toString(min(batch_index)), toString(max(batch_index))) FROM flows")
	parts := must(filepath.Glob(filepath.Join(filepath.Dir(strings.TrimSuffix(part, "/")), "*_*_*_*"))) // those merged away too
	for _, p := range parts {
		if err := os.RemoveAll(p); err != nil {
			t.Fatal(err)
		}
	}
	for _, restarted := range []bool{false, true} {
		if restarted { // a daemon that starts on it neither hides nor worsens it
			s.start("--dev-chain")
		}
		s.says(exitVerification, []string{"INTEGRITY", "batch missing: " + span}, "verify", "--trust", trust)
	}
	s.stop()
}

// A copy of the whole data directory, put back on another disk, is the same record,
// and goes on.
func TestVerify_ARestoredBackupIsIntactAndGoesOn(t *testing.T) {
	t.Parallel()
	s, trust := anchoredSite(t)
	before := s.intact(trust)
	s.stop()
	backup := filepath.Join(t.TempDir(), "backup")
	if out, err := exec.Command("cp", "-a", s.dir, backup).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if err := os.RemoveAll(s.dir); err != nil {
		t.Fatal(err)
	}
	s.dir = backup
	s.configure()
	s.start("--dev-chain")
	if after := s.intact(trust); after.Flows != before.Flows {
		t.Errorf("%d flows verified after the restoration, %d before", after.Flows, before.Flows)
	}
	s.simulate("life", "--to", s.udp, "--days", "0.1", "--seed", "2", "--pace", "3000")
	s.want(exitOK, "anchor", "now")
	s.untilFinal(trust)
	if after := s.intact(trust); after.Flows <= before.Flows {
		t.Errorf("%d flows verified after more came, %d before", after.Flows, before.Flows)
	}
	s.stop() // its chain writes what it knows into the backup until it has ended
}

// A damaged record of the spool is named, not believed and not skipped; with a
// copy in its place nothing is lost.
func TestRun_NamesADamagedSpoolRecordAndHealsFromACopy(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.start()
	load := s.load(3000)
	time.Sleep(time.Second)
	record := s.killWhileSealed()[0]
	load.stop()
	whole := must(os.ReadFile(record))
	for name, damaged := range map[string][]byte{
		"one bit":    flipped(whole, len(whole)/2),
		"cut short":  whole[:len(whole)/2],
		"other text": bytes.Repeat([]byte("spool"), 100),
	} {
		if err := os.WriteFile(record, damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		p := s.tryStart()
		for deadline := time.Now().Add(time.Minute); !strings.Contains(p.text(), record+" is corrupt"); time.Sleep(50 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%s: %s is not named:\n%s", name, record, p.tail())
			}
		}
		s.kill()
	}
	if err := os.WriteFile(record, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	s.start()
	s.stop()
	// Rows that were stored, without their views, before the record was damaged
	// are accepted; then the aggregates lack them.
	if r := s.run("aggregates", "check"); r.code == exitFindings {
		s.want(exitOK, "aggregates", "rebuild")
	} else if r.code != exitOK {
		t.Errorf("aggregates check: %v", r)
	}
	s.aggregatesEqualFlows()
	if report := s.intact(s.trust()); report.Flows == 0 {
		t.Error("no flow was verified")
	}
}

// killWhileSealed freezes the engine, so that batches are sealed and cannot be
// stored, and kills both. It returns the spool's files.
func (s *site) killWhileSealed() (records []string) {
	s.t.Helper()
	engine := s.enginePID()
	if err := syscall.Kill(engine, syscall.SIGSTOP); err != nil {
		s.t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); len(records) < 2; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			s.t.Fatal("no batch is sealed while the engine hangs")
		}
		indexes, err := storage.SpoolIndexes(filepath.Join(s.dir, "spool"))
		if err != nil {
			s.t.Fatal(err)
		}
		if len(indexes) > 1 {
			records = must(filepath.Glob(filepath.Join(s.dir, "spool", "*")))
		}
	}
	s.kill()
	_ = syscall.Kill(engine, syscall.SIGKILL)
	return records
}

func flipped(b []byte, at int) []byte {
	b = bytes.Clone(b)
	b[at] ^= 1
	return b
}
