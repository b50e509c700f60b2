package publish

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/rs/zerolog"
	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/merkle/testonly"

	"tidemark/anchor/binding"
	"tidemark/anchor/chain"
	"tidemark/anchor/chain/chaintest"
)

// memoryLog is a log whose leaves are a test's.
type memoryLog struct {
	mu   sync.Mutex
	id   [32]byte
	tree *testonly.Tree
}

func newLog(id byte) *memoryLog {
	return &memoryLog{id: [32]byte{id}, tree: testonly.New(rfc6962.DefaultHasher)}
}

// grow appends leaves; salt makes another history.
func (l *memoryLog) grow(leaves int, salt byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for range leaves {
		l.tree.AppendData(binary.BigEndian.AppendUint64([]byte{salt}, l.tree.Size()))
	}
}

func (l *memoryLog) ID() [32]byte { return l.id }

func (l *memoryLog) Checkpoint() (uint64, [32]byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.tree.Size(), [32]byte(l.tree.Hash())
}

func (l *memoryLog) Consistency(first, second uint64) ([][32]byte, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	path, err := l.tree.ConsistencyProof(first, second)
	if err != nil {
		return nil, err
	}
	out := make([][32]byte, len(path))
	for i := range path {
		out[i] = [32]byte(path[i])
	}
	return out, nil
}

// world is a publisher on a real node. A test steps it by hand.
type world struct {
	*testing.T
	node *chaintest.Node
	log  *memoryLog
	cfg  Config
	skew time.Duration
	p    *Publisher
}

func newWorld(t *testing.T, args ...string) *world {
	t.Helper()
	return newWorldOn(t, chaintest.Start(t, append([]string{"--slots-in-an-epoch", "1"}, args...)...))
}

func newWorldOn(t *testing.T, node *chaintest.Node) *world {
	t.Helper()
	w := &world{T: t, node: node, log: newLog(7)}
	w.cfg = Config{
		Dir: t.TempDir(), RPC: []string{node.URL}, Interval: time.Minute,
		Now: func() time.Time { return time.Now().Add(w.skew) },
		Log: zerolog.New(zerolog.NewTestWriter(t)).Level(zerolog.WarnLevel),
	}
	w.restart()
	t.Cleanup(func() { w.p.Close() })
	return w
}

// restart forgets everything but the directory.
func (w *world) restart() {
	w.Helper()
	if w.p != nil {
		w.p.Close()
	}
	p, err := New(w.log, w.cfg)
	if err != nil {
		w.Fatal(err)
	}
	w.p = p
}

// step looks at the chain once and returns the error Status would show.
func (w *world) step() error {
	err := w.p.step(context.Background())
	w.p.report(err)
	return err
}

// until steps, a minute apart, until the condition holds.
func (w *world) until(what string, holds func(Status) bool) Status {
	w.Helper()
	var err error
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		err = w.step()
		if s := w.p.Status(); holds(s) {
			return s
		}
		w.skew += time.Minute
	}
	w.Fatalf("not %s: %+v (%v)", what, w.p.Status(), err)
	return Status{}
}

func anchored(size uint64) func(Status) bool {
	return func(s Status) bool { return s.Anchored != nil && s.Anchored.Size == size && s.Pending == nil }
}

func finalized(size uint64) func(Status) bool {
	return func(s Status) bool { return s.Finalized != nil && s.Finalized.Size == size }
}

// onChain reads the contract itself.
func (w *world) onChain() chain.LogState {
	w.Helper()
	c := w.node.Dial()
	s, err := ReadState(w.cfg.Dir)
	if err != nil {
		w.Fatal(err)
	}
	k, err := c.Contract(context.Background(), s.Contract)
	if err != nil {
		w.Fatal(err)
	}
	st, err := k.Log(context.Background(), s.LogKey, chain.Latest)
	if err != nil {
		w.Fatal(err)
	}
	return st
}

func (w *world) states() (out []string) {
	w.Helper()
	if err := ReadHistory(w.cfg.Dir, func(e Entry) { out = append(out, fmt.Sprintf("%s %s %d", e.What, e.State, e.Size)) }); err != nil {
		w.Fatal(err)
	}
	return out
}

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

// twin is a second publisher with the key and the state of w.
func (w *world) twin() *world {
	w.Helper()
	twin := newWorldOn(w.T, w.node)
	twin.log, twin.skew = w.log, w.skew
	copyFiles(w.T, w.cfg.Dir, twin.cfg.Dir, stateName, "development.key")
	twin.restart()
	if err := twin.step(); err != nil {
		w.Fatal(err)
	}
	return twin
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

// relay sends anchorBySig from another account, with a high tip.
func (w *world) relay(size uint64, root [32]byte, path [][32]byte) {
	w.Helper()
	abi := binding.NewTidemarkLog()
	client := w.node.Dial()
	deadline := time.Unix(1<<40, 0)
	sig, err := w.p.key.signAnchor(chain.AnchorDigest(client.ID(), w.p.state.Contract, w.p.state.LogKey, size, root, deadline))
	if err != nil {
		w.Fatal(err)
	}
	w.node.Call(nil, "eth_sendTransaction", map[string]any{
		"from": w.node.Accounts()[1], "to": w.p.state.Contract, "gas": hexutil.Uint64(1e6),
		"maxFeePerGas": (*hexutil.Big)(big.NewInt(90e9)), "maxPriorityFeePerGas": (*hexutil.Big)(big.NewInt(80e9)),
		"input": hexutil.Bytes(abi.PackAnchorBySig(w.p.state.LogKey, size, root, path, big.NewInt(deadline.Unix()), sig)),
	})
}

func copyFiles(t *testing.T, from, to string, names ...string) {
	t.Helper()
	for _, name := range names {
		b, err := os.ReadFile(filepath.Join(from, name))
		if err == nil {
			err = os.WriteFile(filepath.Join(to, name), b, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
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
