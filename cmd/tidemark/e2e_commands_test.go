package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/urfave/cli/v2"
)

func TestCommands_WithoutADaemonAnswerWhatTheDirectoryHolds(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.start("--dev-chain")
	s.simulate("life", "--to", s.udp, "--days", "0.2", "--pace", "4000")
	s.want(exitOK, "anchor", "now")
	trust := s.trust()
	beside := s.askAll(trust)
	s.stop()
	alone := s.askAll(trust)
	for name, answer := range beside {
		if alone[name] != answer {
			t.Errorf("%s: beside the daemon\n%s\nwithout it\n%s", name, cutText(answer), cutText(alone[name]))
		}
	}
	s.says(exitUnreachable, []string{"no daemon runs on " + s.dir, "tidemark --data-dir " + s.dir + " run"}, "exporters")
	s.says(exitUnreachable, []string{"no daemon runs on " + s.dir}, "anchor", "now")
	s.says(exitOK, []string{"not running; this is what it left", "DEVELOPMENT CHAIN"}, "anchor", "status")
	s.says(exitOK, []string{"DEVELOPMENT CHAIN", "(Tidemark's code)"}, "contract", "show")
	s.wantNoProcess()
}

// askAll runs the commands that ask, and returns the answers that a daemon's
// presence must not change.
func (s *site) askAll(trust string) map[string]string {
	s.t.Helper()
	if s.daemon.running() {
		s.want(exitOK, "anchor", "now")
		s.says(exitOK, []string{"netflow_v5", "netflow_v9", "ipfix", "sflow_v5", s.udp}, "exporters")
		s.says(exitOK, []string{"anchored until", "DEVELOPMENT CHAIN"}, "anchor", "status")
		s.untilFinal(trust)
	}
	out := map[string]string{}
	for name, args := range map[string][]string{
		"devices":  {"devices", "--output", "json"},
		"flows":    {"flows", "--rows", "0", "--output", "ndjson"},
		"one flow": {"flows", "--rows", "1", "--output", "json"},
		"alerts":   {"alerts", "--all", "--output", "json"},
		"trust":    {"contract", "trust"},
	} {
		out[name] = s.want(exitOK, args...).stdout
	}
	if !strings.Contains(out["devices"], `"vendor"`) || strings.Count(out["flows"], "\n") < 100 {
		s.t.Errorf("devices or flows are missing: %s\n%s", cutText(out["devices"]), cutText(out["flows"]))
	}
	var flow map[string]any
	line, _, _ := strings.Cut(out["flows"], "\n")
	if err := json.Unmarshal([]byte(line), &flow); err != nil {
		s.t.Errorf("a line of ndjson: %v: %s", err, line)
	}
	for column := range strings.SplitSeq(s.sql("SELECT name FROM system.columns WHERE database = currentDatabase() AND table = 'flows'"), "\n") {
		if _, ok := flow[column]; !ok {
			s.t.Errorf("flows --output ndjson has no column %s", column)
		}
	}
	report, code := s.verify("--trust", trust)
	if code != exitOK || len(report.Faults) > 0 {
		s.t.Errorf("verify: exit %d, %+v", code, report.Faults)
	}
	return out
}

// untilFinal waits until all of the log is verified and in final blocks.
func (s *site) untilFinal(trust string) {
	s.t.Helper()
	var status struct {
		Publisher struct {
			Size      uint64                 `json:"size"`
			Finalized *struct{ Size uint64 } `json:"finalized"`
		} `json:"publisher"`
	}
	for range 100 {
		s.read(&status, "anchor", "status", "--output", "json")
		if p := status.Publisher; p.Finalized != nil && p.Finalized.Size == p.Size && p.Size > 0 {
			return
		}
		s.want(exitOK, "anchor", "now")
		time.Sleep(300 * time.Millisecond)
	}
	s.t.Fatalf("the log is never final: %+v", status)
}

func TestCommands_AOneShotCommandYieldsToADaemonThatStarts(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.start()
	s.stop()
	// A statement that would run for long holds the engine of the directory.
	reply := make(chan result, 1)
	slow := s.command("sql", "SELECT count() FROM numbers(100000000000) WHERE cityHash64(number) = 1 SETTINGS max_threads = 1")
	go func() { reply <- runCommandLine(t, slow, slow.Args) }()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if pid, err := os.ReadFile(filepath.Join(s.dir, "lock")); err == nil && strings.TrimSpace(string(pid)) != "" {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the command has not taken the engine")
		}
	}
	s.start()
	if r := <-reply; r.code == exitOK || !strings.Contains(r.stderr, "run the command again") {
		t.Errorf("the command that had to yield: %v", r)
	}
	if n := s.number("SELECT count() FROM flows"); n != 0 {
		t.Errorf("%d flows in an empty database", n)
	}
	s.stop()
}

func TestRun_TwoDaemonsOnOneDirectoryAreRefused(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	first := s.start()
	second := s.tryStart()
	if code := second.wait(t, commandTime); code == 0 {
		t.Fatalf("a second daemon ended well:\n%s", second.tail())
	}
	if text := second.text(); !strings.Contains(text, "daemon") || !strings.Contains(text, fmt.Sprint(first.cmd.Process.Pid)) {
		t.Errorf("the refusal does not name the first daemon (pid %d):\n%s", first.cmd.Process.Pid, text)
	}
	s.daemon = first
	if code, text := s.healthz(); code != 200 {
		t.Errorf("the first daemon is no longer well: %s", text)
	}
	s.stop()
}

func TestRun_APortInUseIsNamedWithWhatToDo(t *testing.T) {
	t.Parallel()
	other := newSite(t)
	other.start()
	s := newSite(t, fmt.Sprintf("collector: {listen: [%q]}", other.udp))
	if said := s.refusal(); !strings.Contains(said, other.udp) || !strings.Contains(said, "in use") {
		t.Errorf("UDP port in use: %s", said)
	}
	s.configure(fmt.Sprintf("http: {listen: %q}", other.http))
	if said := s.refusal(); !strings.Contains(said, other.http) || !strings.Contains(said, "in use") || !strings.Contains(said, "http.listen") {
		t.Errorf("TCP port in use: %s", said)
	}
	other.stop()
}

func TestCommands_WrongCallsExitWith2AndSayWhatIsMeant(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	empty := s.dir
	for _, c := range []struct {
		says []string
		args []string
	}{
		{[]string{`no command "devcies"`, `"devices"`, "tidemark --help"}, []string{"devcies"}},
		{[]string{"-colour", "tidemark devices --help"}, []string{"devices", "--colour"}},
		{[]string{"--output stands after an argument", "replay --output"}, []string{"replay", s.config, "--output", "json"}},
		{[]string{"want one of table, json"}, []string{"version", "--output", "xml"}},
		{[]string{"nothing was collected in " + empty, "--data-dir"}, []string{"devices"}},
		{[]string{"nothing was collected in " + empty}, []string{"flows"}},
		{[]string{"nothing was collected in " + empty}, []string{"alerts"}},
		{[]string{"nothing was collected in " + empty}, []string{"baseline", "10.20.0.1"}},
		{[]string{"nothing was collected in " + empty}, []string{"verify"}},
		{[]string{"nothing was collected in " + empty}, []string{"sql", "SELECT 1"}},
		{[]string{"nothing was collected"}, []string{"anchor", "status"}},
		{[]string{"nothing was collected"}, []string{"contract", "trust"}},
		{[]string{"flow name", "batch index"}, []string{"flows", "--name", "twelve"}},
		{[]string{"no-such-file"}, []string{"replay", "no-such-file.pcap"}},
		{[]string{"at least one capture"}, []string{"replay"}},
		{[]string{"no-such-file"}, []string{"verify-bundle", "no-such-file.json"}},
		{[]string{"now", "tidemark run --help"}, []string{"run", "now"}},
		{[]string{"--flow is missing"}, []string{"prove"}},
	} {
		if c.args[0] == "flows" && len(c.args) > 1 {
			continue // needs a directory with data; see below
		}
		s.says(exitUsage, c.says, c.args...)
	}
	if _, err := os.Stat(empty); !os.IsNotExist(err) {
		t.Errorf("asking an empty directory made something in it: %v", err)
	}
	s.start()
	s.says(exitUsage, []string{"flow name", "batch index"}, "flows", "--name", "twelve")
	s.says(exitUsage, []string{"10.20.9.9"}, "baseline", "10.20.9.9")
	s.says(exitUsage, []string{"--fail-on", "high"}, "alerts", "--fail-on", "loud")
	s.says(exitUsage, []string{"--since", "24h"}, "flows", "--since", "yesterday")
	s.says(exitUsage, []string{"trust"}, "verify", "--trust", s.config)
	s.says(exitRuntime, []string{"Syntax error"}, "sql", "SELEKT 1")
	s.says(exitUsage, []string{"statement is empty"}, "sql", " ")
	s.says(exitUsage, []string{"--dev-chain"}, "anchor", "now")
	s.stop()
}

func TestConfig_WrongKeyStopsEveryCommandAndIsNamed(t *testing.T) {
	t.Parallel()
	s := newSite(t, "storrage: {retention: 30d}", "chain: {intervall: 5s}", "site: Main Building")
	for _, args := range [][]string{{"run"}, {"devices"}, {"config", "check"}, {"verify"}} {
		s.says(exitUsage, []string{"storrage", `did you mean "storage"`, "chain.intervall", `site: got "Main Building"`}, args...)
	}
	if _, err := os.Stat(s.dir); !os.IsNotExist(err) {
		t.Errorf("a wrong configuration made a data directory: %v", err)
	}
}

func TestConfig_PrintIsReadBackByCheck(t *testing.T) {
	t.Parallel()
	s := newSite(t, "profile: {learning: 3d}")
	printed := s.want(exitOK, "config", "print").stdout
	path := filepath.Join(s.root, "printed.yaml")
	if err := os.WriteFile(path, []byte(printed), 0o600); err != nil {
		t.Fatal(err)
	}
	s.says(exitOK, []string{"configuration is good"}, "config", "check", path)
	s.config = path
	if again := s.want(exitOK, "config", "print").stdout; again != printed || !strings.Contains(again, "learning: 3d") {
		t.Errorf("printed, read and printed again:\n%s\nwant\n%s", again, printed)
	}
}

func TestHelp_OfEveryCommandShowsAnExample(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	var visit func(c *cli.Command, path []string)
	visit = func(c *cli.Command, path []string) {
		if c.Hidden || c.Name == "help" {
			return
		}
		path = append(path[:len(path):len(path)], c.Name)
		r := s.want(exitOK, append(path, "--help")...)
		if !strings.Contains(r.stdout, "tidemark "+strings.Join(path, " ")) || c.Usage == "" {
			t.Errorf("help of %v: want a sentence on what it does, and how to write it: %v", path, r)
		}
		_, description, _ := strings.Cut(r.stdout, "DESCRIPTION:")
		if len(path) == 1 && c.Name != "version" && !strings.Contains(description, "tidemark ") {
			t.Errorf("help of %v shows no example: %v", path, r)
		}
		for _, sub := range c.Subcommands {
			visit(sub, path)
		}
	}
	for _, c := range newApp(io.Discard, io.Discard).Commands {
		visit(c, nil)
	}
	r := s.want(exitOK, "--help")
	for _, c := range []string{"run", "replay", "devices", "baseline", "flows", "alerts", "exclusions", "backtest", "exporters", "verify", "prove", "verify-bundle", "anchor", "contract", "config", "version"} {
		if !strings.Contains(r.stdout, "\n   "+c) {
			t.Errorf("tidemark --help does not list %s:\n%s", c, r.stdout)
		}
	}
	var v map[string]string
	s.read(&v, "version", "--output", "json")
	if v["version"] == "" || v["go"] == "" {
		t.Errorf("version: %v", v)
	}
}

func TestRun_RefusesADamagedDirectoryWithAClearError(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.start()
	s.simulate("load", "--to", s.udp, "--rate", "2000", "--duration", "1500ms")
	s.stop()
	trust := s.trust()
	headers := filepath.Join(s.dir, "ledger", "headers")
	whole, err := os.ReadFile(headers)
	if err != nil {
		t.Fatal(err)
	}
	restore := func(content []byte) {
		if err := os.WriteFile(headers, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, damage := range map[string]func(b []byte) []byte{
		"one bit":         func(b []byte) []byte { b[256+100] ^= 4; return b },
		"a header gone":   func(b []byte) []byte { return append(b[:256:256], b[512:]...) },
		"the end gone":    func(b []byte) []byte { return b[:len(b)-256] },
		"all overwritten": func(b []byte) []byte { return make([]byte, len(b)) },
	} {
		restore(damage(append([]byte(nil), whole...)))
		if said := s.refusal(); !strings.Contains(said, filepath.Join(s.dir, "ledger")) || !strings.Contains(said, "restore") {
			t.Errorf("%s: the refusal says neither what is wrong nor what to do: %s", name, said)
		}
		report, code := s.verify("--trust", trust)
		if code != exitVerification || len(report.Faults) == 0 {
			t.Errorf("%s: verify: exit %d, faults %+v; want 4 and the place", name, code, report.Faults)
		}
	}
	restore(whole)
	s.start()
	s.stop()
	s.intact(trust)
}

func TestRun_RefusesAnotherChainAndAContractThatIsNotOurs(t *testing.T) {
	t.Parallel()
	owner := newSite(t)
	owner.start("--dev-chain")
	owner.want(exitOK, "anchor", "now")
	var status struct {
		Publisher struct {
			Contract string `json:"contract"`
		} `json:"publisher"`
	}
	owner.read(&status, "anchor", "status", "--output", "json")
	url := strings.TrimSpace(string(must(os.ReadFile(filepath.Join(owner.dir, "chain", "url")))))
	for _, c := range []struct {
		name, chain string
		says        []string
	}{
		{"another id", fmt.Sprintf("{rpc: %q, chain_id: 1}", url), []string{"31337", "1"}},
		{"a contract of others", fmt.Sprintf("{rpc: %q, chain_id: 31337, contract: %q}", url, "0x4e59b44847b379578588920cA78FbF26c0B4956C"), []string{"0x4e59b44847b379578588920cA78FbF26c0B4956C"}},
		{"no contract at all", fmt.Sprintf("{rpc: %q, chain_id: 31337, contract: %q}", url, "0x000000000000000000000000000000000000dEaD"), []string{"0x000000000000000000000000000000000000dEaD"}},
	} {
		s := newSite(t, "chain: "+c.chain)
		said := s.refusal()
		for _, w := range c.says {
			if !strings.Contains(strings.ToLower(said), strings.ToLower(w)) {
				t.Errorf("%s: %q is not said: %s", c.name, w, said)
			}
		}
		if code := s.daemon.cmd.ProcessState.ExitCode(); code != exitUsage {
			t.Errorf("%s: exit %d, want %d", c.name, code, exitUsage)
		}
	}
	// A chain that is away is no reason not to collect.
	s := newSite(t, fmt.Sprintf("chain: {rpc: %q, chain_id: 31337, contract: %q, interval: 2s}", "http://"+freeAddress(t, "tcp"), status.Publisher.Contract))
	s.start()
	s.simulate("load", "--to", s.udp, "--rate", "1000", "--duration", "1s")
	s.stop()
	if n := s.number("SELECT count() FROM flows"); n == 0 {
		t.Error("no flow was stored while the chain was away")
	}
	// Another log's key in this log's directory.
	key := must(os.ReadFile(filepath.Join(owner.dir, "ledger", "log.key")))
	if err := os.WriteFile(filepath.Join(s.dir, "ledger", "log.key"), key, 0o600); err != nil {
		t.Fatal(err)
	}
	if said := s.refusal(); !strings.Contains(said, "restore the key") || s.daemon.cmd.ProcessState.ExitCode() != exitUsage {
		t.Errorf("another log key: exit %d: %s", s.daemon.cmd.ProcessState.ExitCode(), said)
	}
	owner.stop()
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestRun_SIGTERMStoresAllThatTheSocketsHad(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.start("--dev-chain")
	payloads := s.prebuilt(400)
	e := s.exporter("127.3.0.1")
	for _, p := range payloads[:200] {
		e.send(p)
	}
	for _, p := range payloads[200:240] { // these are in the socket when the signal comes
		if _, err := e.conn.Write(p); err != nil {
			t.Fatal(err)
		}
	}
	sent := e.sent + 40
	s.stop()
	if n := s.number("SELECT countDistinct(sequence_num) FROM flows"); n != uint64(sent) {
		t.Errorf("flows of %d datagrams stored, %d were in the sockets before SIGTERM", n, sent)
	}
	s.intact(s.trust())
}

// Stopped on the way to its first anchor, a log is not anchored: that is all.
func TestVerify_ALogThatWasNeverAnchoredIsNoFalseAlarm(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for _, wait := range []time.Duration{0, 700 * time.Millisecond, 1200 * time.Millisecond} {
		s.start("--dev-chain")
		time.Sleep(wait) // the contract is being deployed, or the log being opened
		s.stop()
		s.intact(s.trust())
		if report, code := s.verify(); code != exitOriginUnknown || len(report.Faults) != 0 {
			t.Errorf("without a trust file, stopped after %v: exit %d, %+v; want %d", wait, code, report.Faults, exitOriginUnknown)
		}
	}
}

func TestRun_SIGTERMUnderLoadEndsWellAndLeavesNothingRunning(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.start("--dev-chain")
	var sent sentReport
	var sending sync.WaitGroup
	sending.Go(func() { sent = s.simulate("load", "--to", s.udp, "--rate", "20000", "--duration", "3s") })
	time.Sleep(1500 * time.Millisecond)
	s.stop() // wants exit 0 and no process
	sending.Wait()
	stored := s.number("SELECT count() FROM flows")
	if stored == 0 || stored > sent.Flows {
		t.Errorf("%d flows stored of %d sent", stored, sent.Flows)
	}
	s.aggregatesEqualFlows()
	s.intact(s.trust())
}

func TestRun_SecondSignalDuringTheDrainLosesNothingSealed(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.start()
	s.simulate("load", "--to", s.udp, "--rate", "10000", "--duration", "1s")
	for range 3 {
		if err := s.daemon.cmd.Process.Signal(syscall.SIGTERM); err != nil {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	s.daemon.wait(t, time.Minute)
	s.wantNoProcess()
	s.start()
	s.stop()
	s.aggregatesEqualFlows()
	s.intact(s.trust())
}
