package publish

import (
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"tidemark/anchor/chain/chaintest"
)

// newPublic is a world on a chain that nobody takes for a development chain: the
// publisher has to pay with what it was given.
func newPublic(t *testing.T, args ...string) *world {
	t.Helper()
	node := chaintest.Start(t, append([]string{"--chain-id", "777", "--slots-in-an-epoch", "1"}, args...)...)
	proxy := chaintest.NewProxy(t, node.URL)
	proxy.Tell("web3_clientVersion", always(`"Geth/v1.17.10"`))
	w := newWorldOn(t, node)
	w.cfg.RPC, w.cfg.ChainID, w.cfg.Contract = []string{proxy.URL}, 777, node.Deploy()
	w.cfg.Key, w.cfg.Log = w.account(PublisherRole, "1", 5), zerolog.Nop()
	w.cfg.Registerer = prometheus.NewRegistry()
	w.restart()
	return w
}

// metric reads a gauge or a counter, summed over its labels.
func (w *world) metric(name string) (v float64) {
	w.Helper()
	families, err := w.cfg.Registerer.(*prometheus.Registry).Gather()
	if err != nil {
		w.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "tidemark_anchor_"+name {
			for _, m := range f.Metric {
				v += m.GetGauge().GetValue() + m.GetCounter().GetValue()
			}
			return v
		}
	}
	w.Fatalf("no metric %s", name)
	return 0
}

func (w *world) baseFee(gwei int64) {
	w.Helper()
	w.node.Call(nil, "anvil_setNextBlockBaseFeePerGas", (*hexutil.Big)(new(big.Int).Mul(big.NewInt(gwei), big.NewInt(1e9))))
	w.node.Mine(1)
}

// TestFailures_BacklogAndLagButNoLossAndNoDouble: an hour of each, in which the
// log goes on; then one anchor covers all of it.
func TestFailures_BacklogAndLagButNoLossAndNoDouble(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fail, mend func(w *world)
		says       string // in the status meanwhile; "": a transaction is pending
	}{
		"wallet empty": {
			fail: func(w *world) { w.node.Fund(w.cfg.Key.Address(), 0) },
			mend: func(w *world) { w.node.Fund(w.cfg.Key.Address(), 5) },
			says: "send it ether",
		},
		"base fee times 1000, above the cap": {
			fail: func(w *world) { w.baseFee(1000) },
			mend: func(w *world) { w.baseFee(1) },
			says: "above the cap",
		},
		"no block takes it": {
			fail: func(w *world) { w.node.Call(nil, "evm_setAutomine", false) },
			mend: func(w *world) { w.node.Call(nil, "evm_setAutomine", true); w.node.Mine(1) },
		},
		"the pool forgets it, again and again": {
			fail: func(w *world) { w.node.Call(nil, "evm_setAutomine", false) },
			mend: func(w *world) {
				for range 3 {
					w.node.Call(nil, "anvil_dropAllTransactions")
					w.node.Mine(1)
					w.skew += 20 * time.Second
					w.step()
				}
				w.node.Call(nil, "evm_setAutomine", true)
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newPublic(t)
			w.log.grow(2, 0)
			w.until("anchored", anchored(2))
			spent := w.metric("gas_total")
			c.fail(w)
			for range 60 {
				w.log.grow(1, 0)
				w.skew += time.Minute
				w.step()
			}
			s := w.p.Status()
			if s.Refused || s.Backlog != 60 || !strings.Contains(s.Error, c.says) || (s.Error == "") != (s.Pending != nil) {
				t.Errorf("after an hour: %+v", s)
			}
			if backlog, lag := w.metric("backlog_headers"), w.metric("lag_seconds"); backlog != 60 || lag < 3500 {
				t.Errorf("metrics: backlog %v, lag %v s", backlog, lag)
			}
			w.restart() // which must not send a second one either
			c.mend(w)
			w.until("anchored", anchored(62))
			// What was pending covers its part; at most one more covers the rest.
			if st := w.onChain(); st.Size != 62 || st.Seq > 3 {
				t.Errorf("contract: %+v", st)
			}
			if w.metric("backlog_headers") != 0 || w.metric("lag_seconds") != 0 || spent == 0 {
				t.Errorf("metrics: backlog %v, lag %v, gas %v", w.metric("backlog_headers"), w.metric("lag_seconds"), spent)
			}
		})
	}
}

// TestFailures_ReorgAtAnyDepthUpToFinality takes out all blocks since before the
// anchor, and with them every transaction.
func TestFailures_ReorgAtAnyDepthUpToFinality(t *testing.T) {
	const finality = 16 // blocks: two epochs of 8
	w := newWorldOn(t, chaintest.Start(t, "--slots-in-an-epoch", "8"))
	w.cfg.Evidence = t.TempDir()
	w.restart()
	w.node.Mine(2 * finality)
	w.log.grow(1, 0)
	w.until("anchored", anchored(1))
	w.node.Mine(finality + 1)
	w.until("final", finalized(1))
	for depth := 1; depth < finality; depth += 2 {
		size, _ := w.log.Checkpoint()
		w.log.grow(3, 0)
		first := w.until("anchored", anchored(size+3)).Anchored
		w.node.Call(nil, "evm_setAutomine", false)
		if depth > 1 {
			w.node.Mine(depth - 1)
		}
		w.step()
		w.node.Call(nil, "anvil_reorg", depth, []any{})
		if st := w.onChain(); st.Size != size {
			t.Fatalf("depth %d: the contract still holds %d headers", depth, st.Size)
		}
		if err := w.step(); err != nil {
			t.Errorf("depth %d: %v", depth, err)
		}
		if s := w.p.Status(); s.Refused || s.Backlog != 3 {
			t.Errorf("depth %d: %+v", depth, s)
		}
		w.node.Call(nil, "evm_setAutomine", true)
		w.skew += 10 * time.Second
		again := w.until("anchored again", func(s Status) bool { return anchored(size+3)(s) && s.Anchored.BlockHash != first.BlockHash }).Anchored
		w.until("archived", func(s Status) bool { return s.Evidence.Missing == 0 })
		if f, err := w.proven(again); err != nil || f.BlockHash == (common.Hash{}) {
			t.Errorf("depth %d: evidence: %v", depth, err)
		}
		w.node.Mine(finality + 1)
		w.until("final", finalized(size+3))
	}
	// Each of the anchors counts once, whatever was sent.
	if st := w.onChain(); st.Seq != 1+finality/2 {
		t.Errorf("contract: %+v", st)
	}
}

// TestCheck_AccountWithoutEther: whoever sets it up is told at once; a restart
// with a wallet that ran empty must not keep the collector from starting.
func TestCheck_AccountWithoutEther(t *testing.T) {
	w := newPublic(t)
	w.node.Fund(w.cfg.Key.Address(), 0)
	if err := w.p.Check(t.Context()); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), w.cfg.Key.Address().Hex()) {
		t.Errorf("nothing was ever anchored: %v, want a refusal that names the account", err)
	}
	w.node.Fund(w.cfg.Key.Address(), 5)
	w.log.grow(2, 0)
	w.until("anchored", anchored(2))
	w.node.Fund(w.cfg.Key.Address(), 0)
	w.restart()
	if err := w.p.Check(t.Context()); err != nil {
		t.Errorf("the wallet ran empty: %v", err)
	}
}
