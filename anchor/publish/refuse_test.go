package publish

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"

	"tidemark/anchor/binding"
	"tidemark/anchor/chain"
	"tidemark/anchor/chain/chaintest"
)

func TestPublisher_AnotherChainIsRefused(t *testing.T) {
	w := newWorld(t)
	w.log.grow(1, 0)
	w.until("anchored", anchored(1))
	other := chaintest.Start(t, "--chain-id", "999")
	w.cfg.RPC = []string{other.URL}
	w.restart()
	if err := w.step(); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "got 999, want 31337") {
		t.Errorf("remembered chain: %v", err)
	}
	w.cfg.RPC, w.cfg.ChainID = []string{w.node.URL}, 1
	if _, err := New(w.log, w.cfg); !errors.Is(err, ErrRefused) {
		t.Errorf("configured chain differs from the remembered one: %v", err)
	}
	fresh := newWorldOn(t, w.node)
	fresh.cfg.ChainID = 1
	fresh.restart()
	if err := fresh.p.Check(context.Background()); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "got 31337, want 1") {
		t.Errorf("configured chain: %v", err)
	}
}

func TestPublisher_ForeignContractIsRefused(t *testing.T) {
	w := newWorld(t)
	foreign := common.Address{0x42}
	w.node.Call(nil, "anvil_setCode", foreign, hexutil.Bytes{0x60, 0x00})
	w.cfg.Contract = foreign
	w.restart()
	if err := w.p.Check(context.Background()); !errors.Is(err, ErrRefused) || !errors.Is(err, chain.ErrForeignContract) {
		t.Errorf("foreign code: %v", err)
	}
	w.cfg.Contract = common.Address{0x43}
	w.restart()
	w.until("refused", func(s Status) bool { return s.Refused }) // the first steps fund the account
	if err := w.step(); !errors.Is(err, ErrRefused) || !errors.Is(err, chain.ErrNoContract) {
		t.Errorf("no code: %v", err)
	}
}

func TestPublisher_LogBehindTheContractIsRefused(t *testing.T) {
	w := newWorld(t)
	w.log.grow(9, 0)
	w.until("anchored", anchored(9))
	w.log = newLog(7) // the same log, restored from an old backup
	w.log.grow(4, 0)
	w.restart()
	w.skew += time.Hour
	if err := w.step(); !errors.Is(err, ErrRefused) || !errors.Is(err, ErrAhead) {
		t.Errorf("got %v, want ErrAhead", err)
	}
	if s := w.p.Status(); !s.Refused {
		t.Errorf("status: %+v", s)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if err := w.p.Wait(ctx, 100, false); !errors.Is(err, ErrRefused) {
		t.Errorf("wait: %v", err)
	}
}

func TestPublisher_RewrittenHistoryIsRefusedHereAndByTheContract(t *testing.T) {
	w := newWorld(t)
	w.log.grow(9, 0)
	w.until("anchored", anchored(9))
	for _, leaves := range []int{9, 20} {
		w.log = newLog(7)
		w.log.grow(leaves, 'x')
		w.restart()
		w.skew += time.Hour
		if err := w.step(); !errors.Is(err, ErrFork) || !errors.Is(err, ErrRefused) {
			t.Errorf("%d other leaves: %v, want ErrFork", leaves, err)
		}
	}
	// Whoever leaves our check out is refused by the contract.
	size, root := w.log.Checkpoint()
	path, _ := w.log.Consistency(9, size)
	data := binding.NewTidemarkLog().PackAnchor(w.p.state.LogKey, size, root, path)
	_, err := w.p.txs.Submit(context.Background(), labelAnchor, size, &w.p.state.Contract, data)
	revert := new(chain.RevertError)
	if !errors.As(err, &revert) || !revert.Refused(binding.TidemarkLogInconsistentCheckpointErrorID()) {
		t.Errorf("the contract says %v, want InconsistentCheckpoint", err)
	}
	if st := w.onChain(); st.Size != 9 || st.Seq != 1 {
		t.Errorf("contract: %+v", st)
	}
}

func TestPublisher_AnotherKeyIsRefused(t *testing.T) {
	w := newWorld(t)
	w.log.grow(3, 0)
	w.until("anchored", anchored(3))
	w.node.Mine(3)
	w.until("final", finalized(3))
	key, err := parseKey(PublisherRole, strings.Repeat("5", 64))
	if err != nil {
		t.Fatal(err)
	}
	w.cfg.Key = key
	w.restart()
	for range 3 {
		err = w.step()
	}
	if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "rotator") {
		t.Errorf("got %v, want a refusal that names the rotation", err)
	}
}
