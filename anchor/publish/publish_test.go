package publish

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"

	"tidemark/anchor/chain"
)

func TestPublisher_DeploysOpensAnchorsAndFollowsToFinality(t *testing.T) {
	w := newWorld(t)
	w.log.grow(5, 0)
	s := w.until("anchored", anchored(5))
	if !s.Development || s.Warning != chain.Development || s.Backlog != 0 || s.Lag != 0 || s.Anchored.Time.IsZero() || s.Anchored.Tx == (common.Hash{}) {
		t.Errorf("status: %+v", s)
	}
	w.node.Mine(2)
	s = w.until("final", finalized(5))
	w.log.grow(8, 0)
	if s = w.p.Status(); s.Backlog != 8 || s.Size != 13 {
		t.Errorf("backlog: %+v", s)
	}
	w.until("anchored", anchored(13))
	w.node.Mine(2)
	w.until("final", finalized(13))
	size, root := w.log.Checkpoint()
	if st := w.onChain(); st.Size != size || st.Root != root || st.Seq != 2 {
		t.Errorf("contract: %+v, want %d %x", st, size, root)
	}
	want := "deploy pending 0,deploy included 0"
	if got := strings.Join(w.states(), ","); !strings.HasPrefix(got, want) || !strings.Contains(got, "anchor finalized 5") || !strings.HasSuffix(got, "anchor finalized 13") {
		t.Errorf("history: %s", got)
	}
}

func TestPublisher_EmptyLogIsOpenedAndNotAnchored(t *testing.T) {
	w := newWorld(t)
	w.until("open", func(s Status) bool {
		return s.LogKey != (common.Hash{}) && strings.Contains(strings.Join(w.states(), ","), "open finalized") || func() bool { w.node.Mine(1); return false }()
	})
	if st := w.onChain(); !st.Open() || st.Size != 0 {
		t.Errorf("contract: %+v", st)
	}
}

func TestPublisher_RestartAfterEveryStep(t *testing.T) {
	w := newWorld(t)
	for size := 1; size <= 40; size += 13 {
		w.log.grow(13, 0)
		n, _ := w.log.Checkpoint()
		w.until("anchored", func(s Status) bool { w.restart(); return anchored(n)(s) })
	}
	w.node.Mine(3)
	n, _ := w.log.Checkpoint()
	w.until("final", func(s Status) bool { ok := finalized(n)(s); w.restart(); return ok })
	if s := w.p.Status(); !finalized(n)(s) {
		t.Errorf("status from disk: %+v", s)
	}
	if st := w.onChain(); st.Size != n {
		t.Errorf("contract: %+v, want %d", st, n)
	}
}

func TestPublisher_SendsOneAnchorPerInterval(t *testing.T) {
	w := newWorld(t)
	w.cfg.Interval = 24 * time.Hour
	w.restart()
	w.log.grow(1, 0)
	w.until("anchored", anchored(1))
	for range 10 {
		w.log.grow(1, 0)
		if err := w.step(); err != nil {
			t.Fatal(err)
		}
	}
	if st := w.onChain(); st.Seq != 1 {
		t.Errorf("%d anchors within an interval", st.Seq)
	}
	w.restart() // does not ask for another one
	w.step()
	if st := w.onChain(); st.Seq != 1 {
		t.Errorf("%d anchors within an interval after a restart", st.Seq)
	}
	w.skew += 24 * time.Hour
	w.until("anchored", anchored(11))
}

func TestPublisher_FlushAnchorsAtOnce(t *testing.T) {
	w := newWorld(t)
	w.cfg.Interval, w.cfg.Poll = time.Hour, 10*time.Millisecond
	w.restart()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	ended := make(chan error, 1)
	running, stop := context.WithCancel(ctx)
	go func() { ended <- w.p.Run(running) }()
	for range 3 {
		w.log.grow(4, 0)
		if err := w.p.Flush(ctx); err != nil {
			t.Fatal(err)
		}
	}
	size, _ := w.log.Checkpoint()
	w.node.Mine(3)
	if err := w.p.Wait(ctx, size, true); err != nil {
		t.Fatal(err)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestPublisher_ReorgIsRecordedAndRepaired(t *testing.T) {
	w := newWorld(t)
	w.node.Mine(5)
	w.log.grow(3, 0)
	w.until("anchored", anchored(3))
	w.log.grow(4, 0)
	w.until("anchored", anchored(7))
	w.node.Call(nil, "evm_setAutomine", false)
	w.node.Call(nil, "anvil_reorg", 1, []any{})
	if err := w.step(); err != nil {
		t.Fatal(err)
	}
	if st := w.onChain(); st.Size != 3 {
		t.Fatalf("contract after the reorganisation: %+v", st)
	}
	w.node.Call(nil, "evm_setAutomine", true)
	w.skew += 10 * time.Second
	w.until("anchored", anchored(7))
	w.node.Mine(3)
	w.until("final", finalized(7))
	if got := strings.Join(w.states(), ","); !strings.Contains(got, "anchor reorganised 7") {
		t.Errorf("history: %s", got)
	}
}

func TestPublisher_ChainAwayLeavesABacklog(t *testing.T) {
	w := newWorld(t)
	w.log.grow(3, 0)
	w.until("anchored", anchored(3))
	url := w.node.URL
	w.node.Stop()
	w.log.grow(3, 0)
	w.skew += time.Hour
	if err := w.step(); err == nil || errors.Is(err, ErrRefused) || strings.Contains(err.Error(), url) {
		t.Errorf("chain away: %v, want an error that passes, without the URL", err)
	}
	if s := w.p.Status(); s.Backlog != 3 || s.Lag < 59*time.Minute || s.Error == "" || s.Refused {
		t.Errorf("status: %+v", s)
	}
	if _, err := New(w.log, w.cfg); err != nil {
		t.Errorf("a restart without the chain: %v", err)
	}
}

// TestPublisher_TwoWritersOneKey: both take the same nonce against size 3. One
// loses it, reads the contract anew and goes on; the log does not fork.
func TestPublisher_TwoWritersOneKey(t *testing.T) {
	w := newWorld(t)
	w.log.grow(3, 0)
	w.until("anchored", anchored(3))
	twin := w.twin()
	w.node.Call(nil, "evm_setAutomine", false)
	w.skew, twin.skew = w.skew+time.Hour, twin.skew+time.Hour
	w.log.grow(2, 0)
	if err := w.step(); err != nil {
		t.Fatal(err)
	}
	w.node.Call(nil, "anvil_dropAllTransactions") // the twin's node has not seen it
	w.log.grow(2, 0)
	if err := twin.step(); err != nil {
		t.Fatal(err)
	}
	w.node.Mine(1)
	w.node.Call(nil, "evm_setAutomine", true)
	twin.until("anchored", anchored(7))
	w.log.grow(1, 0)
	w.until("anchored", anchored(8))
	twin.log.grow(1, 0)
	twin.until("anchored", anchored(9))
	if st := w.onChain(); st.Size != 9 || st.Seq != 4 {
		t.Errorf("contract: %+v", st)
	}
	if got := strings.Join(w.states(), ","); !strings.Contains(got, "anchor lost 5") {
		t.Errorf("history of the loser: %s", got)
	}
}

// TestPublisher_OvertakenAnchorRevertsAndGoesOn: a relayer with the publisher's
// signature and a better fee comes first; ours reverts in the same block.
func TestPublisher_OvertakenAnchorRevertsAndGoesOn(t *testing.T) {
	w := newWorld(t)
	w.log.grow(3, 0)
	w.until("anchored", anchored(3))
	w.node.Call(nil, "evm_setAutomine", false)
	w.skew += time.Hour
	w.log.grow(2, 0)
	if err := w.step(); err != nil {
		t.Fatal(err)
	}
	w.log.grow(1, 0)
	size, root := w.log.Checkpoint()
	path, _ := w.log.Consistency(3, size)
	w.relay(size, root, path)
	w.node.Mine(1)
	w.node.Call(nil, "evm_setAutomine", true)
	if st := w.onChain(); st.Size != 6 {
		t.Fatalf("the relayed checkpoint was not accepted: %+v", st)
	}
	w.log.grow(1, 0)
	w.until("anchored", anchored(7))
	if got := strings.Join(w.states(), ","); !strings.Contains(got, "anchor reverted 5") {
		t.Errorf("history: %s", got)
	}
}

func TestPublisher_ResetDevelopmentChainBeginsAnew(t *testing.T) {
	w := newWorld(t)
	w.log.grow(3, 0)
	w.until("anchored", anchored(3))
	w.node.Call(nil, "anvil_reset")
	w.log.grow(3, 0)
	w.until("anchored", anchored(6))
	if st := w.onChain(); st.Size != 6 {
		t.Errorf("contract: %+v", st)
	}
}

func TestPublisher_LostStateFilesAreNoHarm(t *testing.T) {
	w := newWorld(t)
	w.log.grow(3, 0)
	s := w.until("anchored", anchored(3))
	w.node.Mine(3)
	w.until("final", finalized(3))
	w.cfg.Contract = s.Contract
	for _, name := range []string{stateName, transactionsName, historyName} {
		if err := os.Remove(filepath.Join(w.cfg.Dir, name)); err != nil {
			t.Fatal(err)
		}
		w.restart()
	}
	s = w.until("found again", anchored(3))
	w.log.grow(3, 0)
	if s.Anchored.Block == 0 || s.Anchored.Time.IsZero() {
		t.Errorf("the anchoring was not found by its event: %+v", s.Anchored)
	}
	w.until("anchored", anchored(6))
	if st := w.onChain(); st.Seq != 2 {
		t.Errorf("contract: %+v", st)
	}
}

func TestPublisher_TornHistoryLineIsSkippedAndEnded(t *testing.T) {
	w := newWorld(t)
	w.log.grow(3, 0)
	w.until("anchored", anchored(3))
	file := filepath.Join(w.cfg.Dir, historyName)
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before := len(w.states())
	if err := os.WriteFile(file, b[:len(b)-9], 0o600); err != nil {
		t.Fatal(err)
	}
	w.restart()
	w.log.grow(1, 0)
	w.until("anchored", anchored(4))
	if after := len(w.states()); after < before+1 {
		t.Errorf("%d entries before, %d after", before, after)
	}
	text, _ := os.ReadFile(file)
	for _, line := range strings.Split(strings.TrimSpace(string(text)), "\n") {
		if strings.Count(line, "{") > 1 {
			t.Errorf("two entries on one line: %s", line)
		}
	}
}

func TestFinalizedBlock_OfADevelopmentChainIsOldEnough(t *testing.T) {
	w := newWorld(t)
	w.node.Mine(5)
	w.step()
	if b, ok := w.p.FinalizedBlock(); ok {
		t.Fatalf("block %d is named at once", b.Number)
	}
	w.skew += developmentDelay
	w.step()
	b, ok := w.p.FinalizedBlock()
	if !ok {
		t.Fatal("no block after the delay")
	}
	if real, err := w.node.Dial().BlockAt(context.Background(), b.Number); err != nil || real.Hash != b.Hash {
		t.Errorf("block %d: %v, %v", b.Number, real, err)
	}
	w.node.Call(nil, "anvil_reset")
	w.step()
	if b, ok := w.p.FinalizedBlock(); ok && b.Number > 0 {
		t.Errorf("block %d of a chain that is gone is still named", b.Number)
	}
}
