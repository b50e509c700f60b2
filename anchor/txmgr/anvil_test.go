package txmgr

import (
	"context"
	"math/big"
	"path/filepath"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/rs/zerolog"

	"tidemark/anchor/chain/chaintest"
)

// live is a manager on a real node. Time is moved by the test where it matters.
type live struct {
	*testing.T
	*Manager
	node *chaintest.Node
	cfg  Config
	skew time.Duration
	sign keySigner
}

func newLive(t *testing.T, args ...string) *live {
	t.Helper()
	l := &live{T: t, node: chaintest.Start(t, append([]string{"--slots-in-an-epoch", "1"}, args...)...), sign: newSigner(t)}
	l.cfg = Config{
		File: filepath.Join(t.TempDir(), "transactions.json"), Resubmit: 30 * time.Second, LostAfter: 10 * time.Second,
		Now: func() time.Time { return time.Now().Add(l.skew) }, Log: zerolog.New(zerolog.NewTestWriter(t)),
	}
	l.node.Fund(l.sign.Address(), 10)
	l.restart()
	return l
}

func (l *live) restart() {
	l.Helper()
	m, err := Open(l.node.Dial(), l.sign, l.cfg)
	if err != nil {
		l.Fatal(err)
	}
	l.Manager = m
}

func (l *live) submit() Tx {
	l.Helper()
	tx, err := l.Submit(context.Background(), "test", 1, &common.Address{1}, nil)
	if err != nil {
		l.Fatal(err)
	}
	return tx
}

// until looks until the last transaction has this state.
func (l *live) until(want State) Tx {
	l.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if _, err := l.Poll(context.Background()); err != nil {
			l.Fatal(err)
		}
		txs := l.Transactions()
		tx := txs[len(txs)-1]
		if tx.State == want {
			return tx
		}
		if time.Now().After(deadline) {
			l.Fatalf("transaction is %s, want %s", tx.State, want)
		}
	}
}

func (l *live) noMining() { l.node.Call(nil, "evm_setAutomine", false) }

func TestAnvil_IncludedSafeFinalized(t *testing.T) {
	l := newLive(t)
	l.submit()
	l.until(Included)
	l.node.Mine(1)
	l.until(Safe)
	l.node.Mine(1)
	l.until(Finalized)
}

// Anvil drops the transactions of the blocks it takes out.
func TestAnvil_ReorgTakesItOutAndItComesBack(t *testing.T) {
	for depth := 1; depth <= 5; depth++ {
		l := newLive(t)
		l.node.Mine(10)
		l.submit()
		l.until(Included)
		l.noMining()
		if depth > 1 {
			l.node.Mine(depth - 1)
		} // nobody looks meanwhile, or it would be final at depth 3
		l.node.Call(nil, "anvil_reorg", depth, []any{})
		l.until(Pending)
		l.skew += 20 * time.Second
		l.Poll(context.Background())
		l.node.Mine(1)
		l.until(Included)
		l.node.Mine(4)
		l.until(Finalized)
	}
}

func TestAnvil_DroppedTransactionIsSentAgain(t *testing.T) {
	l := newLive(t)
	l.noMining()
	tx := l.submit()
	l.node.Call(nil, "anvil_dropTransaction", tx.Attempts[0].Hash)
	l.node.Mine(1)
	l.until(Pending)
	l.skew += 15 * time.Second
	l.Poll(context.Background())
	l.node.Mine(1)
	l.until(Included)
}

func TestAnvil_BaseFeeTimes100IsOutbid(t *testing.T) {
	l := newLive(t)
	l.noMining()
	l.submit()
	l.node.Call(nil, "anvil_setNextBlockBaseFeePerGas", (*hexutil.Big)(big.NewInt(100e9)))
	l.node.Mine(1)
	l.until(Pending)
	for range 40 {
		l.skew += 31 * time.Second
		l.Poll(context.Background())
		l.node.Mine(1)
	}
	tx := l.until(Finalized)
	if len(tx.Attempts) < 2 {
		t.Errorf("%d attempts", len(tx.Attempts))
	}
}

func TestAnvil_RestartBetweenSendAndInclusion(t *testing.T) {
	l := newLive(t)
	l.noMining()
	hash := l.submit().Attempts[0].Hash
	l.restart()
	l.node.Mine(1)
	l.restart()
	if tx := l.until(Included); tx.At.Hash != hash {
		t.Errorf("included as %s, want %s", tx.At.Hash, hash)
	}
}

func TestAnvil_TwoManagersWithOneKey(t *testing.T) {
	l := newLive(t)
	other := &live{T: t, node: l.node, sign: l.sign, cfg: l.cfg}
	other.cfg.File += ".other"
	other.restart()
	l.submit()
	l.until(Included)
	other.submit()
	if tx := other.until(Included); tx.Nonce != 1 {
		t.Errorf("the second writer has nonce %d, want 1", tx.Nonce)
	}
}
