package main

import (
	"encoding/json"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"tidemark/storage"
)

// loader is sitesim sending until the test stops it.
type loader struct {
	t   testing.TB
	p   *process
	out *os.File
}

// load sends flows at a rate that no machine has trouble with.
func (s *site) load(flowsPerSecond int) *loader {
	s.t.Helper()
	out, err := os.CreateTemp(s.root, "load")
	if err != nil {
		s.t.Fatal(err)
	}
	cmd := exec.Command(program(s.t, "sitesim"), "load", "--to", s.udp, "--rate", strconv.Itoa(flowsPerSecond), "--duration", "10m")
	cmd.Env, cmd.Stdout = s.env, out
	p, err := launch(cmd, filepath.Join(s.root, "load.log"))
	if err != nil {
		s.t.Fatal(err)
	}
	l := &loader{t: s.t, p: p, out: out}
	s.t.Cleanup(func() { l.p.cmd.Process.Kill(); <-l.p.done })
	return l
}

// stop ends sending and returns what was sent.
func (l *loader) stop() (sent sentReport) {
	l.t.Helper()
	if err := l.p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		l.t.Fatal(err)
	}
	l.p.wait(l.t, 20*time.Second)
	text, err := os.ReadFile(l.out.Name())
	if err != nil {
		l.t.Fatal(err)
	}
	if err := json.Unmarshal(text, &sent); err != nil {
		l.t.Fatalf("sitesim load: %v: %s\n%s", err, text, l.p.tail())
	}
	return sent
}

// kills is how often each kind of process is killed.
func kills() int {
	if soak() {
		return 100
	}
	return 6
}

// What was sealed when a process was killed is in the log at the end, once, with
// every row; the aggregates are those of the flows; and the chain agrees.
func TestKill_DaemonUnderLoadLosesAndDoublesNoSealedFlow(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.start("--dev-chain")
	load := s.load(3000)
	r := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 0))
	sealed := map[uint64]bool{}
	for i := range kills() {
		time.Sleep(time.Duration(300+r.IntN(1500)) * time.Millisecond)
		if i%3 == 0 {
			s.killWhileSealed()
		} else {
			s.kill()
		}
		waiting, err := storage.SpoolIndexes(filepath.Join(s.dir, "spool"))
		if err != nil {
			t.Fatal(err)
		}
		for _, index := range waiting {
			sealed[index] = true
		}
		s.start("--dev-chain")
	}
	load.stop()
	s.want(exitOK, "anchor", "now")
	if len(sealed) < kills()/3 {
		t.Errorf("%d batches were sealed and not logged when the daemon was killed, want some for this to mean something", len(sealed))
	}
	for index := range sealed {
		if s.number("SELECT count() FROM headers WHERE batch_index = "+strconv.FormatUint(index, 10)) != 1 {
			t.Errorf("batch %d was sealed, and is not in the log", index)
		}
	}
	s.soundAfterKills()
	s.stop()
}

func TestKill_EngineAndChainUnderLoadLoseAndDoubleNothing(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.start("--dev-chain")
	load := s.load(3000)
	r := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 1))
	for i := range 2 * kills() {
		time.Sleep(time.Duration(200+r.IntN(1000)) * time.Millisecond)
		find, name := s.enginePID, "engine"
		if i%2 == 1 {
			find, name = s.chainPID, "chain"
		}
		pid := find()
		for deadline := time.Now().Add(20 * time.Second); pid == 0; pid = find() { // it is being started again
			if time.Now().After(deadline) {
				t.Fatalf("the %s was not started again", name)
			}
			time.Sleep(20 * time.Millisecond)
		}
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	sent := load.stop()
	s.untilRead()
	_, drops := s.sockets()
	m := s.untilCounted(float64(sent.Datagrams - drops))
	if got := uint64(m["tidemark_collector_datagrams_total"]); got+drops != sent.Datagrams {
		t.Errorf("%d datagrams received and %d dropped by the kernel, %d sent", got, drops, sent.Datagrams)
	}
	s.want(exitOK, "anchor", "now")
	stored := s.number("SELECT count() FROM flows")
	if decoded := uint64(m["tidemark_collector_flows_total"]); stored != decoded || drops == 0 && stored != sent.Flows {
		t.Errorf("%d flows stored, %d decoded, %d sent, %d datagrams dropped by the kernel", stored, decoded, sent.Flows, drops)
	}
	s.soundAfterKills()
	s.stop()
}

// soundAfterKills checks all that must hold whatever was killed, beside the daemon.
func (s *site) soundAfterKills() {
	s.t.Helper()
	trust := s.trust()
	for _, c := range []struct{ what, sql string }{
		{"batches whose rows are not as many as their header says", `SELECT count() FROM (SELECT log, batch_index, row_count FROM headers WHERE bitAnd(flags, 16) = 0) AS h
			FULL OUTER JOIN (SELECT log, batch_index, count() AS rows FROM (SELECT log, batch_index FROM flows UNION ALL SELECT log, batch_index FROM flows_quarantine) GROUP BY log, batch_index) AS f
			USING (log, batch_index) WHERE row_count != rows`},
		{"places in a batch that are taken twice", "SELECT count() FROM (SELECT 1 FROM flows GROUP BY log, batch_index, pos HAVING count() > 1)"},
		{"headers that are there twice or missing", "SELECT (SELECT count() FROM headers) - (SELECT max(batch_index) + 1 FROM headers)"},
		{"flows in quarantine", "SELECT count() FROM flows_quarantine"},
		{"logs beside the first", "SELECT uniq(log) - 1 FROM headers"},
	} {
		if n := s.number(c.sql); n != 0 {
			s.t.Errorf("%s: %d, want none", c.what, n)
		}
	}
	if n := s.number("SELECT count() FROM flows"); n < 1000 {
		s.t.Errorf("%d flows stored, want at least a thousand for this to mean something", n)
	}
	s.aggregatesEqualFlows()
	report, code := s.verify("--trust", trust)
	if code != exitOK {
		s.t.Errorf("verify: exit %d, faults %+v; want 0", code, report.Faults)
	}
}
