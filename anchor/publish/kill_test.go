package publish

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"tidemark/anchor/chain"
)

// TestPublisher_ChainKilledAgainAndAgain kills the development chain, which
// forgets its last seconds each time, while a log grows and is anchored.
func TestPublisher_ChainKilledAgainAndAgain(t *testing.T) {
	t.Parallel()
	if _, err := chain.FindAnvil(); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	dir := t.TempDir()
	anvil, err := chain.NewAnvil(chain.AnvilOptions{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	log := newLog(7)
	p, err := New(log, Config{Dir: t.TempDir(), RPC: []string{anvil.URL()}, Interval: time.Second, Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	ended := make(chan error, 2)
	go func() { ended <- anvil.Run(ctx) }()
	go func() { ended <- p.Run(ctx) }()
	defer func() {
		cancel()
		for range 2 {
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
	}()
	kills := 10
	if testing.Short() {
		kills = 2
	}
	for range kills {
		for range 15 { // 1.5 s, so that kills fall before, in and after a write of the state
			log.grow(1, 0)
			time.Sleep(100 * time.Millisecond)
		}
		if pid := anvilOn(dir); pid != 0 {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
	size, root := log.Checkpoint()
	if err := p.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	if err := p.Wait(ctx, size, true); err != nil {
		t.Fatal(err)
	}
	s := p.Status()
	c, err := chain.Dial(ctx, anvil.URL(), s.ChainID)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	k, err := c.Contract(ctx, s.Contract)
	if err != nil {
		t.Fatal(err)
	}
	st, err := k.Log(ctx, s.LogKey, chain.Finalized)
	if err != nil || st.Size != size || st.Root != root {
		t.Errorf("finalized: %+v, %v, want %d %x", st, err, size, root)
	}
	events, err := k.Anchorings(ctx, s.LogKey, s.FromBlock, st.At.Number+1)
	if err != nil || len(events) == 0 || events[len(events)-1].Size != size || len(events) != int(st.Seq) {
		t.Errorf("%d events, %v, want %d up to size %d", len(events), err, st.Seq, size)
	}
	if b, ok := p.FinalizedBlock(); ok {
		if real, err := c.BlockAt(ctx, b.Number); err != nil || real.Hash != b.Hash {
			t.Errorf("headers would name block %d %s, the chain has %s (%v)", b.Number, b.Hash, real.Hash, err)
		}
	}
}

// anvilOn finds the chain of dir by its command line, 0 if none runs.
func anvilOn(dir string) int {
	procs, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, f := range procs {
		if b, err := os.ReadFile(f); err == nil && strings.Contains(string(b), filepath.Join(dir, "state.json")) {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(f)))
			return pid
		}
	}
	return 0
}
