package chain_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"tidemark/anchor/chain"
)

// supervise starts a chain on dir; stop ends it and waits.
func supervise(t *testing.T, dir string) (a *chain.Anvil, pid func() int, stop func()) {
	t.Helper()
	if _, err := chain.FindAnvil(); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	a, err := chain.NewAnvil(chain.AnvilOptions{Dir: dir, Log: zerolog.New(zerolog.NewTestWriter(t))})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(stop)
	ready, done := context.WithTimeout(ctx, 30*time.Second)
	defer done()
	if err := a.Ready(ready); err != nil {
		t.Fatal(err)
	}
	return a, func() int { return childWith(t, dir) }, stop
}

// childWith finds the process whose command line names dir.
func childWith(t *testing.T, dir string) int {
	t.Helper()
	procs, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, p := range procs {
		b, _ := os.ReadFile(p)
		if strings.Contains(string(b), filepath.Join(dir, "state.json")) {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(p)))
			return pid
		}
	}
	return 0
}

func dial(t *testing.T, url string) *chain.Client {
	t.Helper()
	c, err := chain.Dial(context.Background(), url, 31337)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func block(t *testing.T, c *chain.Client, n uint64) chain.Block {
	t.Helper()
	b, err := c.BlockAt(context.Background(), n)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestAnvil_ContinuesItsChainAfterACleanStop(t *testing.T) {
	dir := t.TempDir()
	a, pid, stop := supervise(t, dir)
	c := dial(t, a.URL())
	waitBlock(t, c, 2)
	genesis, two := block(t, c, 0), block(t, c, 2)
	stop()
	if p := pid(); p != 0 {
		t.Fatalf("anvil %d still runs after Run returned", p)
	}
	b, _, _ := supervise(t, dir)
	if b.URL() != a.URL() {
		t.Errorf("second start at %s, first at %s", b.URL(), a.URL())
	}
	c = dial(t, b.URL())
	if block(t, c, 0).Hash != genesis.Hash || block(t, c, 2).Hash != two.Hash {
		t.Error("second start has another chain")
	}
	if !c.Development() {
		t.Error("Anvil is not recognised as a development chain")
	}
}

func waitBlock(t *testing.T, c *chain.Client, n uint64) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if b, err := c.Block(context.Background(), chain.Latest); err == nil && b.Number >= n {
			return
		}
	}
	t.Fatalf("block %d did not come", n)
}

func TestAnvil_SurvivesKillAndTornState(t *testing.T) {
	dir := t.TempDir()
	a, pid, stop := supervise(t, dir)
	c := dial(t, a.URL())
	genesis := block(t, c, 0)
	good := filepath.Join(dir, "state.json.good")
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		if _, err := os.Stat(good); err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("no good copy of the state was made")
		}
	}
	for _, name := range []string{"state.json", "state.json.good", "log", "url"} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v, want mode 0600", name, info.Mode(), err)
		}
	}
	first := pid()
	if err := syscall.Kill(first, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		if b, err := c.BlockAt(context.Background(), 0); err == nil {
			if b.Hash != genesis.Hash {
				t.Fatal("another chain after kill -9")
			}
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the chain was not started again")
		}
	}
	stop()

	state, err := os.ReadFile(filepath.Join(dir, "state.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "state.json"), state[:len(state)/2], 0o600); err != nil {
		t.Fatal(err)
	}
	b, _, _ := supervise(t, dir)
	if got := block(t, dial(t, b.URL()), 0); got.Hash != genesis.Hash {
		t.Error("a torn state file lost the chain in spite of the good copy")
	}
}

func TestAnvil_PortInUseIsAnErrorWithTheReason(t *testing.T) {
	a, _, _ := supervise(t, t.TempDir())
	port, _ := strconv.Atoi(a.URL()[strings.LastIndex(a.URL(), ":")+1:])
	b, err := chain.NewAnvil(chain.AnvilOptions{Dir: t.TempDir(), Port: port})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	if err := b.Run(ctx); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("Run on a port in use: got %v, want an error saying so", err)
	}
}

// TestAnvil_EndsWithItsParent kills a process that supervises a chain: the chain
// must write its state and end.
func TestAnvil_EndsWithItsParent(t *testing.T) {
	if dir := os.Getenv("TIDEMARK_TEST_ANVIL_DIR"); dir != "" {
		a, err := chain.NewAnvil(chain.AnvilOptions{Dir: dir})
		if err == nil {
			err = a.Run(context.Background())
		}
		t.Fatal(err)
	}
	if _, err := chain.FindAnvil(); err != nil {
		t.Skip(err)
	}
	dir := t.TempDir()
	parent := exec.Command(os.Args[0], "-test.run", "^TestAnvil_EndsWithItsParent$")
	parent.Env = append(os.Environ(), "TIDEMARK_TEST_ANVIL_DIR="+dir)
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	var url string
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		url, _ = chain.AnvilURL(dir)
		if c, err := chain.Dial(context.Background(), url, 0); err == nil {
			c.Close()
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the chain did not start")
		}
	}
	_ = parent.Process.Kill()
	_ = parent.Wait()
	for deadline := time.Now().Add(20 * time.Second); childWith(t, dir) != 0; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("anvil %d outlives its parent", childWith(t, dir))
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "state.json")); err != nil {
		t.Errorf("the chain ended without writing its state: %v", err)
	}
}
