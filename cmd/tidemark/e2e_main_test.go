package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"tidemark/anchor/chain"
	"tidemark/storage/storagetest"
)

// The tests in the files e2e_*_test.go run the real programs: tidemark and
// sitesim, built once, on data directories, ports and chains of their own.

// built holds the programs; TestMain removes them.
var built struct {
	once sync.Once
	dir  string
	err  error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if built.dir != "" {
		_ = os.RemoveAll(built.dir)
	}
	os.Exit(code)
}

// program returns the path of tidemark or sitesim.
func program(t testing.TB, name string) string {
	t.Helper()
	built.once.Do(func() {
		if built.dir, built.err = os.MkdirTemp("", "tidemark-e2e-"); built.err != nil {
			return
		}
		cmd := exec.Command("go", "build", "-o", built.dir+string(filepath.Separator), "tidemark/cmd/tidemark", "tidemark/cmd/sitesim")
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			built.err = fmt.Errorf("build the programs: %w\n%s", err, out)
		}
	})
	if built.err != nil {
		t.Fatal(built.err)
	}
	return filepath.Join(built.dir, name)
}

// anvil returns the path of the development chain's program, fetching it on first use.
func anvil(t testing.TB) string {
	t.Helper()
	path, err := chain.FindAnvil()
	if err == nil {
		return path
	}
	if out, err := exec.Command("sh", filepath.Join("..", "..", "scripts", "setup-chain.sh")).CombinedOutput(); err != nil {
		t.Fatalf("fetch anvil: %v: run `make setup`\n%s", err, out)
	}
	if path, err = chain.FindAnvil(); err != nil {
		t.Fatal(err)
	}
	return path
}

// soak says that there is time: the long variants of the tests run.
func soak() bool { return os.Getenv("TIDEMARK_SOAK") == "1" }

// site is a data directory with a configuration, and what runs on it.
type site struct {
	t      testing.TB
	root   string // holds all that follows
	dir    string
	config string
	udp    string // address that takes exports
	http   string // address of /metrics
	env    []string
	daemon *process
}

// newSite prepares a data directory. The lines of more are added to the
// configuration; a line whose key is there already replaces it.
func newSite(t testing.TB, more ...string) *site {
	t.Helper()
	if testing.Short() {
		t.Skip("-short: no end-to-end test")
	}
	root := t.TempDir()
	s := &site{
		t: t, root: root, dir: filepath.Join(root, "data"), config: filepath.Join(root, "tidemark.yaml"),
		udp: freeAddress(t, "udp"), http: freeAddress(t, "tcp"),
		env: append(cleanEnvironment(), "TIDEMARK_LIBCHDB="+storagetest.Library(t), "TIDEMARK_ANVIL="+anvil(t), "NO_COLOR=1"),
	}
	program(t, "tidemark")
	s.configure(more...)
	t.Cleanup(s.cleanUp) // before TempDir removes the directory
	return s
}

// configure writes the configuration anew.
func (s *site) configure(more ...string) {
	s.t.Helper()
	lines := []string{
		"site: demo",
		"networks: [10.20.0.0/16]",
		fmt.Sprintf("collector: {listen: [%q], exporters: [{address: 127.0.0.0/8, clock: as_exported}]}", s.udp),
		"ledger: {seal: 500ms}",
		"chain: {interval: 2s}",
		"storage: {min_free: 64MiB}",
		fmt.Sprintf("http: {listen: %q}", s.http),
	}
	for _, m := range more {
		key, _, _ := strings.Cut(m, ":")
		lines = slices.DeleteFunc(lines, func(l string) bool { return strings.HasPrefix(l, key+":") })
		lines = append(lines, m)
	}
	if err := os.WriteFile(s.config, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// cleanEnvironment leaves the tester's own settings of tidemark out.
func cleanEnvironment() []string {
	return slices.DeleteFunc(os.Environ(), func(e string) bool {
		return strings.HasPrefix(e, "TIDEMARK_") || strings.HasPrefix(e, "NOTIFY_SOCKET=")
	})
}

// freeAddress is a loopback address nobody had a moment ago, below the ports
// that the kernel hands out by itself.
func freeAddress(t testing.TB, network string) string {
	t.Helper()
	for range 100 {
		address := fmt.Sprintf("127.0.0.1:%d", 12_000+rand.IntN(20_000))
		if network == "udp" {
			if c, err := net.ListenPacket("udp4", address); err == nil {
				c.Close()
				return address
			}
		} else if l, err := net.Listen("tcp4", address); err == nil {
			l.Close()
			return address
		}
	}
	t.Fatal("a hundred ports are in use")
	return ""
}

// process is a started program; its standard error goes to a file.
type process struct {
	cmd  *exec.Cmd
	log  string
	done chan struct{} // closed when it has ended
}

// launch starts a program that dies with the test process, whatever becomes of that.
func launch(cmd *exec.Cmd, log string) (*process, error) {
	f, err := os.OpenFile(log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	cmd.Stderr = f
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	p := &process{cmd: cmd, log: log, done: make(chan struct{})}
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // the signal comes when this thread ends
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // the exit code is read from ProcessState
			close(p.done)
		}
	}()
	return p, <-started
}

func (p *process) running() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// wait returns the exit code, -1 after a signal.
func (p *process) wait(t testing.TB, within time.Duration) int {
	t.Helper()
	select {
	case <-p.done:
		return p.cmd.ProcessState.ExitCode()
	case <-time.After(within):
		t.Fatalf("%s still runs after %s; its last words:\n%s", p.cmd.Args[0], within, p.tail())
		return -1
	}
}

func (p *process) text() string {
	b, _ := os.ReadFile(p.log)
	return string(b)
}

func (p *process) tail() string {
	text := p.text()
	return text[max(0, len(text)-3000):]
}

// command is tidemark on this data directory and configuration.
func (s *site) command(args ...string) *exec.Cmd {
	cmd := exec.Command(program(s.t, "tidemark"), append([]string{"--data-dir", s.dir, "--config", s.config}, args...)...)
	cmd.Env = s.env
	return cmd
}

// start runs the daemon and returns when it collects.
func (s *site) start(args ...string) *process {
	s.t.Helper()
	p := s.tryStart(args...)
	if !s.collects(p) {
		s.t.Fatalf("the daemon did not come up; its last words:\n%s", p.tail())
	}
	return p
}

// tryStart runs the daemon without waiting for it.
func (s *site) tryStart(args ...string) *process {
	s.t.Helper()
	log := filepath.Join(s.root, fmt.Sprintf("daemon.%d.log", time.Now().UnixNano()))
	p, err := launch(s.command(append([]string{"run"}, args...)...), log)
	if err != nil {
		s.t.Fatal(err)
	}
	s.daemon = p
	return p
}

// collects waits until the daemon collects or has ended.
func (s *site) collects(p *process) bool {
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if strings.Contains(p.text(), "tidemark is running") {
			return true
		}
		if !p.running() {
			return false
		}
	}
	return false
}

// refusal wants the daemon not to start, and returns its last line.
func (s *site) refusal(args ...string) string {
	s.t.Helper()
	p := s.tryStart(args...)
	if s.collects(p) {
		s.t.Errorf("the daemon started, want a refusal:\n%s", p.tail())
		s.stop()
	}
	if code := p.wait(s.t, 30*time.Second); code <= 0 || strings.Contains(p.text(), "panic") {
		s.t.Errorf("the daemon ended with %d, want a refusal in words:\n%s", code, p.tail())
	}
	s.wantNoProcess()
	lines := strings.Split(strings.TrimSpace(p.text()), "\n")
	return lines[len(lines)-1]
}

// stop ends the daemon as a service manager does, and wants it to end well.
func (s *site) stop() {
	s.t.Helper()
	if err := s.daemon.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		s.t.Fatal(err)
	}
	if code := s.daemon.wait(s.t, 90*time.Second); code != 0 {
		s.t.Fatalf("the daemon ended with %d, want 0; its last words:\n%s", code, s.daemon.tail())
	}
	s.wantNoProcess()
}

// kill ends the daemon with SIGKILL and waits until its children have followed.
func (s *site) kill() {
	s.t.Helper()
	_ = s.daemon.cmd.Process.Kill()
	s.daemon.wait(s.t, 10*time.Second)
}

// processes are those whose command line names the data directory: the daemon,
// its engine, its chain, commands.
func (s *site) processes() map[int]string {
	out := map[int]string{}
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		line, err := os.ReadFile(filepath.Join("/proc", e.Name(), "cmdline"))
		if err == nil && bytes.Contains(line, []byte(s.root)) {
			out[pid] = strings.ReplaceAll(string(line), "\x00", " ")
		}
	}
	return out
}

// child finds the process whose command line holds all of words.
func (s *site) child(words ...string) int {
	for pid, line := range s.processes() {
		if !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(line, w) }) {
			return pid
		}
	}
	return 0
}

func (s *site) enginePID() int { return s.child("tidemark engine ") }
func (s *site) chainPID() int  { return s.child("anvil", "--state") }

// wantNoProcess fails if anything still runs on the directory.
func (s *site) wantNoProcess() {
	s.t.Helper()
	var left map[int]string
	for range 100 { // the children of a killed parent need a moment
		if left = s.processes(); len(left) == 0 {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	s.t.Errorf("left running: %v", left)
}

func (s *site) cleanUp() {
	if s.t.Failed() && s.daemon != nil {
		s.t.Logf("the daemon's last words:\n%s", s.daemon.tail())
	}
	for pid := range s.processes() { // all of them started from here
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	s.wantNoProcess()
}

// result is what a command answered.
type result struct {
	args           []string
	stdout, stderr string
	code           int
}

func (r result) String() string {
	return fmt.Sprintf("tidemark %s: exit %d\nstdout: %s\nstderr: %s", strings.Join(r.args, " "), r.code, cutText(r.stdout), cutText(r.stderr))
}

func cutText(s string) string {
	if len(s) > 4000 {
		return s[:2000] + "\n...\n" + s[len(s)-2000:]
	}
	return s
}

// commandTime is more than any command in these tests takes.
const commandTime = 2 * time.Minute

// run runs one command to its end.
func (s *site) run(args ...string) result {
	s.t.Helper()
	return runCommandLine(s.t, s.command(args...), args)
}

func runCommandLine(t testing.TB, cmd *exec.Cmd, args []string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), commandTime)
	defer cancel()
	bounded := exec.CommandContext(ctx, cmd.Path, cmd.Args[1:]...)
	var stdout, stderr bytes.Buffer
	bounded.Env, bounded.Stdout, bounded.Stderr, bounded.Stdin = cmd.Env, &stdout, &stderr, cmd.Stdin
	bounded.WaitDelay = 5 * time.Second
	err := bounded.Run()
	r := result{args: args, stdout: stdout.String(), stderr: stderr.String(), code: bounded.ProcessState.ExitCode()}
	if exit := new(exec.ExitError); err != nil && !errors.As(err, &exit) || ctx.Err() != nil {
		t.Fatalf("%v: %v", r, err)
	}
	return r
}

// want runs a command and wants an exit code.
func (s *site) want(code int, args ...string) result {
	s.t.Helper()
	r := s.run(args...)
	if r.code != code {
		s.t.Fatalf("want exit %d: %v", code, r)
	}
	return r
}

// says wants an exit code, and all of words in what was printed.
func (s *site) says(code int, words []string, args ...string) {
	s.t.Helper()
	r := s.run(args...)
	if r.code != code {
		s.t.Errorf("want exit %d: %v", code, r)
	}
	for _, w := range words {
		if !strings.Contains(r.stdout+r.stderr, w) {
			s.t.Errorf("%q is not said: %v", w, r)
		}
	}
}

// read runs a command that prints JSON.
func (s *site) read(v any, args ...string) {
	s.t.Helper()
	r := s.want(0, args...)
	if err := json.Unmarshal([]byte(r.stdout), v); err != nil {
		s.t.Fatalf("%v: %v", err, r)
	}
}

// sql runs one statement and returns what it answered, trimmed, tab-separated.
func (s *site) sql(statement string) string {
	s.t.Helper()
	return strings.TrimSpace(s.want(0, "sql", "--format", "TSV", statement).stdout)
}

// number runs a statement that answers one number.
func (s *site) number(statement string) uint64 {
	s.t.Helper()
	text := s.sql(statement)
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		s.t.Fatalf("%s: answered %q, want a number", statement, text)
	}
	return n
}

// trust writes the trust file of the log as it is now, and returns its path.
func (s *site) trust() string {
	s.t.Helper()
	path := filepath.Join(s.root, "trust.json")
	if err := os.WriteFile(path, []byte(s.want(0, "contract", "trust").stdout), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return path
}

// simulate runs sitesim and returns its report.
func (s *site) simulate(args ...string) sentReport {
	s.t.Helper()
	cmd := exec.Command(program(s.t, "sitesim"), args...)
	cmd.Env = s.env
	r := runCommandLine(s.t, cmd, args)
	if r.code != 0 {
		s.t.Fatalf("sitesim: %v", r)
	}
	var sent sentReport
	if err := json.Unmarshal([]byte(r.stdout), &sent); err != nil {
		s.t.Fatalf("sitesim: %v: %v", err, r)
	}
	return sent
}

// sentReport is what sitesim says of what it sent.
type sentReport struct {
	Flows     uint64 `json:"flows"`
	Datagrams uint64 `json:"datagrams"`
	Records   uint64 `json:"records"`
	Units     uint64 `json:"sequence_units"`
}
