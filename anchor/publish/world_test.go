package publish

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

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
