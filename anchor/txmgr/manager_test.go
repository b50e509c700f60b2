package txmgr

import (
	"context"
	"errors"
	"math/big"
	"os"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"

	"tidemark/anchor/chain"
)

func TestManager_IncludedThenSafeThenFinalized(t *testing.T) {
	w := newWorld(t)
	w.submit(7)
	w.want(Pending)
	for _, want := range []State{Included, Included, Safe, Safe, Finalized} {
		w.mine()
		w.poll()
		w.want(want)
	}
	at := w.Transactions()[0].At
	if at.Block != 1 || !at.OK || at.BlockTime.Unix() != 12 {
		t.Errorf("inclusion: %+v", at)
	}
	if err := w.Forget(0); err != nil {
		t.Fatal(err)
	}
	w.want()
}

func TestManager_OneAtATime(t *testing.T) {
	w := newWorld(t)
	w.submit(1)
	if _, err := w.Submit(context.Background(), "second", 2, nil, nil); !errors.Is(err, ErrBusy) {
		t.Fatalf("second submission: %v, want ErrBusy", err)
	}
	w.mine()
	w.poll()
	w.submit(2) // an included one no longer blocks
	w.want(Included, Pending)
	if n := w.Transactions()[1].Nonce; n != 1 {
		t.Errorf("second nonce is %d", n)
	}
}

// TestManager_RestartAtEveryPoint: what was stored is enough, whether or not the
// transaction got out, and whatever happened while nobody looked.
func TestManager_RestartAtEveryPoint(t *testing.T) {
	for name, c := range map[string]struct{ before, after func(*world) }{
		"stored, never sent":       {before: func(w *world) { w.sendErr = errors.New("connection refused") }},
		"sent, answer lost":        {before: func(w *world) { w.sendErr, w.takeAnyway = errors.New("timeout"), true }},
		"sent":                     {},
		"included while away":      {after: func(w *world) { w.mine() }},
		"finalized while away":     {after: func(w *world) { w.mine(); w.mine(); w.mine(); w.mine(); w.mine() }},
		"dropped from the pool":    {after: func(w *world) { clear(w.pool) }},
		"included and reorganised": {after: func(w *world) { w.mine(); w.poll(); w.reorg(1, false); w.mine() }},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			if c.before != nil {
				c.before(w)
			}
			hash := w.submit(9).Attempts[0].Hash
			w.sendErr = nil
			if c.after != nil {
				c.after(w)
			}
			w.restart()
			for range 7 {
				w.poll()
				w.mine()
			}
			w.poll()
			w.want(Finalized)
			tx := w.Transactions()[0]
			if tx.Target != 9 || tx.At.Hash != hash || w.nonce() != 1 {
				t.Errorf("got target %d, hash %s, %d transactions on the chain; want 9, %s, 1", tx.Target, tx.At.Hash, w.nonce(), hash)
			}
		})
	}
}

// TestManager_StoredBeforeSent: a state that cannot be stored is never sent.
func TestManager_StoredBeforeSent(t *testing.T) {
	for _, persistedAnyway := range []bool{false, true} {
		w := newWorld(t)
		w.cfg.WriteFile = func(path string, b []byte) error {
			if persistedAnyway {
				_ = chain.WriteFileSync(path, b)
			}
			return errors.New("no space left on device")
		}
		w.restart()
		if _, err := w.Submit(context.Background(), "test", 1, nil, nil); err == nil {
			t.Fatal("submit succeeded without a state on disk")
		}
		if w.sent != 0 {
			t.Fatal("a transaction was sent that is not on disk for sure")
		}
		w.cfg.WriteFile = nil
		w.restart()
		if persistedAnyway {
			w.want(Pending) // it is on disk after all: it is brought in
		} else {
			w.submit(1)
		}
		w.poll()
		w.mine()
		w.poll()
		w.want(Included)
	}
}

func TestManager_RaisesFeesOnTheSameNonce(t *testing.T) {
	w := newWorld(t)
	w.submit(1)
	w.baseFee *= 10
	for range 30 {
		w.pass(5 * time.Second)
		w.mine()
	}
	w.poll()
	tx := w.Transactions()[0]
	if !tx.State.Done() || len(tx.Attempts) < 2 || w.nonce() != 1 {
		t.Fatalf("state %s after %d attempts, %d transactions on the chain", tx.State, len(tx.Attempts), w.nonce())
	}
	for i, a := range tx.Attempts[1:] {
		old := tx.Attempts[i]
		if tenPercent(old.TipCap.ToInt()).Cmp(a.TipCap.ToInt()) > 0 || tenPercent(old.FeeCap.ToInt()).Cmp(a.FeeCap.ToInt()) > 0 {
			t.Errorf("attempt %d raises tip %s to %s and fee cap %s to %s: less than 10 %%", i+1, old.TipCap, a.TipCap, old.FeeCap, a.FeeCap)
		}
	}
}

func TestManager_NeverPaysMoreThanTheCap(t *testing.T) {
	w := newWorld(t)
	w.submit(1)
	w.baseFee = 500e9
	w.pass(time.Hour)
	w.mine()
	w.poll()
	w.want(Pending)
	tx := w.Transactions()[0]
	for _, a := range tx.Attempts {
		if a.FeeCap.ToInt().Cmp(w.cfg.FeeCap) > 0 || a.TipCap.ToInt().Cmp(a.FeeCap.ToInt()) > 0 {
			t.Errorf("attempt with tip %s and fee cap %s", a.TipCap, a.FeeCap)
		}
	}
	if len(tx.Attempts) > maxAttempts {
		t.Errorf("%d attempts", len(tx.Attempts))
	}
	w.baseFee = 1e9
	w.mine()
	w.poll()
	w.want(Included)

	w.baseFee = 500e9
	over := new(FeeCapError)
	if _, err := w.Submit(context.Background(), "test", 2, nil, nil); !errors.As(err, &over) {
		t.Errorf("submit above the cap: %v, want FeeCapError", err)
	}
	w.want(Included)
}

func TestManager_EmptyWalletIsRefusedBeforeAnythingIsStored(t *testing.T) {
	w := newWorld(t)
	w.funds = big.NewInt(1)
	none := new(FundsError)
	if _, err := w.Submit(context.Background(), "test", 1, nil, nil); !errors.As(err, &none) || none.Account != w.account {
		t.Fatalf("got %v, want FundsError", err)
	}
	if _, err := os.Stat(w.cfg.File); !errors.Is(err, os.ErrNotExist) {
		t.Error("something was stored")
	}
}

func TestManager_DroppedTransactionIsSentAgain(t *testing.T) {
	w := newWorld(t)
	w.submit(1)
	clear(w.pool)
	w.pass(15 * time.Second)
	w.mine()
	w.poll()
	w.want(Included)
}

// TestManager_EveryEarlierHashIsLookedUp: the first attempt is included after a
// second one was sent, and the node says "nonce too low" to it.
func TestManager_EveryEarlierHashIsLookedUp(t *testing.T) {
	w := newWorld(t)
	first := w.submit(1).Attempts[0].Hash
	held := w.pool[0]
	w.pass(35 * time.Second)
	if n := len(w.Transactions()[0].Attempts); n < 2 {
		t.Fatalf("%d attempts", n)
	}
	w.pool[0] = held // a miner prefers the first
	w.mine()
	w.poll()
	w.want(Included)
	if got := w.Transactions()[0].At.Hash; got != first {
		t.Errorf("included as %s, want the first attempt %s", got, first)
	}
}

func TestManager_NonceUsedByAnotherIsLostAfterAWhile(t *testing.T) {
	w := newWorld(t)
	w.submit(1)
	other, err := Open(w.fakeChain, w.signer, Config{File: w.cfg.File + ".other", Now: func() time.Time { return w.clock }})
	if err != nil {
		t.Fatal(err)
	}
	clear(w.pool) // ours is not seen by the other
	if _, err := other.Submit(context.Background(), "other", 2, &common.Address{2}, nil); err != nil {
		t.Fatal(err)
	}
	w.mine()
	w.poll()
	w.want(Pending) // one look is not enough: the node may lag
	w.pass(25 * time.Second)
	w.want(Lost)
	if err := w.Forget(0); err != nil {
		t.Fatal(err)
	}
	if tx := w.submit(3); tx.Nonce != 1 {
		t.Errorf("next nonce is %d, want 1", tx.Nonce)
	}
}

func TestManager_ReorgAtAnyDepthEndsInOneInclusion(t *testing.T) {
	for depth := 1; depth <= 4; depth++ { // the fake chain finalizes at 5
		for _, keep := range []bool{true, false} {
			w := newWorld(t)
			w.submit(1)
			w.mine()
			w.poll()
			w.submit(2)
			for range depth - 1 {
				w.mine()
				w.poll()
			}
			w.reorg(depth, keep)
			w.mine()
			for range 12 {
				w.pass(5 * time.Second)
				w.mine()
			}
			w.poll()
			w.want(Finalized, Finalized)
			if w.nonce() != 2 {
				t.Errorf("depth %d, pool kept %v: %d transactions on the chain, want 2", depth, keep, w.nonce())
			}
		}
	}
}

func TestManager_ChainThatLostFinalTransactionsLeavesNothingStuck(t *testing.T) {
	w := newWorld(t)
	for target := range uint64(3) {
		w.submit(target)
		w.mine()
		w.poll()
	}
	w.reorg(3, false) // a development chain that came back without its last seconds
	w.Forget(0)
	w.mine()
	w.pass(30 * time.Second)
	for range 6 {
		w.mine()
		w.pass(5 * time.Second)
	}
	for _, tx := range w.Transactions() {
		if !tx.State.Done() {
			t.Errorf("transaction with nonce %d is still %s", tx.Nonce, tx.State)
		}
	}
}

// TestManager_GapInTheNoncesIsGivenUp: nonce 1 is in our care, nonce 0 was final
// and is on no chain any more.
func TestManager_GapInTheNoncesIsGivenUp(t *testing.T) {
	w := newWorld(t)
	w.submit(0)
	for range 6 {
		w.mine()
		w.poll()
	}
	w.want(Finalized)
	if err := w.Forget(0); err != nil {
		t.Fatal(err)
	}
	w.submit(1)
	w.mine()
	w.poll()
	w.want(Included)
	w.reorg(len(w.blocks)-1, false)
	w.mine()
	w.poll()
	w.want(Pending)
	w.pass(30 * time.Second)
	w.want(Lost)
	if err := w.Forget(1); err != nil {
		t.Fatal(err)
	}
	clear(w.pool)
	if tx := w.submit(2); tx.Nonce != 0 {
		t.Fatalf("nonce %d, want 0", tx.Nonce)
	}
}

func TestManager_UnreadableChainChangesNothing(t *testing.T) {
	w := newWorld(t)
	w.submit(1)
	w.mine()
	w.poll()
	w.callErr = errors.New("connection refused")
	if _, err := w.Poll(context.Background()); err == nil {
		t.Fatal("poll succeeded on a chain that does not answer")
	}
	w.callErr = nil
	w.want(Included)
	w.id = 6
	wrong := new(chain.WrongChainError)
	if _, err := w.Poll(context.Background()); !errors.As(err, &wrong) {
		t.Fatalf("poll on another chain: %v, want WrongChainError", err)
	}
	if _, err := w.Submit(context.Background(), "x", 1, nil, nil); !errors.As(err, &wrong) {
		t.Fatalf("submit on another chain: %v, want WrongChainError", err)
	}
	w.want(Included)
}

func TestOpen_RefusesStateOfAnotherKeyOrItsDamage(t *testing.T) {
	w := newWorld(t)
	w.submit(1)
	if _, err := Open(w.fakeChain, newSigner(t), w.cfg); err == nil {
		t.Error("the state of another account was taken")
	}
	b, err := os.ReadFile(w.cfg.File)
	if err != nil {
		t.Fatal(err)
	}
	for n := range len(b) {
		if err := os.WriteFile(w.cfg.File, b[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(w.fakeChain, w.signer, w.cfg); err == nil {
			t.Fatalf("the first %d of %d octets were taken for a state", n, len(b))
		}
	}
}

func TestBumpFees_IsAcceptedAsReplacement(t *testing.T) {
	for _, tip := range []int64{0, 1, 2, 7, 9, 1e9} {
		for _, feeCap := range []int64{1, 8, 9, 100, 2e9} {
			if tip > feeCap {
				continue
			}
			old := fees{big.NewInt(tip), big.NewInt(feeCap)}
			f, ok := bumpFees(old, big.NewInt(0), big.NewInt(0), big.NewInt(1e12))
			if !ok || f.tip.Cmp(tenPercent(old.tip)) < 0 || f.feeCap.Cmp(tenPercent(old.feeCap)) < 0 || f.tip.Cmp(f.feeCap) > 0 || f.tip.Cmp(old.tip) <= 0 {
				t.Errorf("tip %d, fee cap %d: got %s, %s, %v", tip, feeCap, f.tip, f.feeCap, ok)
			}
		}
	}
}

func TestManager_LyingGasEstimateLeavesNothingStuck(t *testing.T) {
	w := newWorld(t)
	for _, gas := range []uint64{0, 20_999, maxGas + 1, 1<<64 - 1} {
		w.estimate = gas
		if _, err := w.Submit(context.Background(), "test", 1, &common.Address{1}, nil); err == nil {
			t.Fatalf("an estimate of %d gas was believed", gas)
		}
	}
	w.estimate, w.needs = 30_000, 60_000
	w.submit(1)
	w.estimate = 60_000 // the node tells the truth now
	w.pass(35 * time.Second)
	w.mine()
	w.poll()
	w.want(Included)
}
