package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"golang.org/x/sync/errgroup"

	"tidemark/anchor"
	"tidemark/anchor/chain"
	"tidemark/anchor/publish"
)

func chainDir(dir string) string     { return filepath.Join(dir, "chain") }
func publisherDir(dir string) string { return filepath.Join(dir, "ledger", "publisher") }
func evidenceDir(dir string) string  { return filepath.Join(dir, "ledger", "evidence") }

// chainSide is the daemon's way to the chain: a development node, if asked for,
// and the publisher. Without an RPC address there is neither, and the log stays
// unanchored.
type chainSide struct {
	daemon    *daemon
	rpc       []string // the preferred node first; none: no anchoring
	anvil     *chain.Anvil
	publisher atomic.Pointer[publish.Publisher] // set once the ledger is open
	ledger    *anchor.Ledger
}

func openChain(d *daemon, devChain bool) (*chainSide, error) {
	s := &chainSide{daemon: d, rpc: d.cfg.Chain.nodes()}
	switch {
	case devChain && len(s.rpc) > 0:
		return nil, usageError{errors.New("--dev-chain: the configuration names another node in chain.rpc; use one or the other")}
	case devChain:
		anvil, err := chain.NewAnvil(chain.AnvilOptions{Dir: chainDir(d.dir), BlockTime: blockTime(time.Duration(d.cfg.Chain.Interval)), Log: d.log})
		if err != nil {
			return nil, codedError{exitUnreachable, fmt.Errorf("%w; or run without --dev-chain: the record is then sealed, and anchored nowhere", err)}
		}
		s.anvil, s.rpc = anvil, []string{anvil.URL()}
	case len(s.rpc) == 0:
		d.log.Warn().Msg("no chain is configured (chain.rpc): the record is sealed but nothing outside this machine protects it")
	}
	return s, nil
}

// nodes are the configured nodes, the preferred one first.
func (c ChainConfig) nodes() []string {
	if c.RPC == "" {
		return nil
	}
	return append([]string{c.RPC}, c.Fallback...)
}

// blockTime is that of the development chain: as the mainnet's, unless anchors
// are wanted faster. Its state file grows and is rewritten with every block.
func blockTime(interval time.Duration) time.Duration {
	return min(max(interval/4, time.Second), 12*time.Second).Truncate(time.Second)
}

// startNode runs the development node and waits until it answers.
func (s *chainSide) startNode(ctx context.Context, base *errgroup.Group, below context.Context) error {
	if s.anvil == nil {
		return nil
	}
	base.Go(func() error { return s.anvil.Run(below) })
	ready, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	if err := s.anvil.Ready(ready); err != nil {
		return codedError{exitUnreachable, err}
	}
	return nil
}

// genesis is what the first event of the log says of chains.
func (s *chainSide) genesis() map[string]any {
	fields := map[string]any{}
	if c := s.daemon.cfg.Chain; c.ChainID != 0 {
		fields["chain_id"] = c.ChainID
		fields["contract"] = c.Contract
	}
	return fields
}

// finalized is the newest finalized block the publisher has seen; it never waits.
func (s *chainSide) finalized() (uint64, [32]byte) {
	if p := s.publisher.Load(); p != nil {
		if b, ok := p.FinalizedBlock(); ok {
			return b.Number, b.Hash
		}
	}
	return 0, [32]byte{}
}

// openPublisher prepares anchoring of the ledger. What the chain refuses for
// good (another chain, a foreign contract, another history) is known here.
func (s *chainSide) openPublisher(ctx context.Context, l *anchor.Ledger) error {
	s.ledger = l
	if len(s.rpc) == 0 {
		return nil
	}
	p, err := publish.New(&anchoredLog{ledger: l, fault: func(err error) { s.daemon.health.set("ledger", err) }}, s.publisherConfig())
	if errors.Is(err, publish.ErrRefused) {
		return refusal(err)
	}
	if err != nil {
		return err
	}
	check, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	if err := p.Check(check); errors.Is(err, publish.ErrRefused) {
		return errors.Join(refusal(err), p.Close())
	} else if err != nil {
		s.daemon.log.Warn().Err(err).Msg("the chain does not answer; collecting starts without it")
	}
	s.publisher.Store(p)
	return nil
}

// chainKeys are the keys of the daemon; nil: not configured.
type chainKeys struct{ publisher, payer *publish.Key }

// takeKeys reads the keys and removes them from the environment, before any child
// could inherit it.
func takeKeys(c ChainConfig) (k chainKeys, err error) {
	take := func(role publish.Role, file string) *publish.Key {
		key, failed := publish.LoadKey(role, file, os.Getenv)
		if failed != nil && !errors.Is(failed, publish.ErrNoKey) {
			err = errors.Join(err, usageError{failed})
		}
		err = errors.Join(err, os.Unsetenv(role.EnvKey()), os.Unsetenv(role.EnvPassphrase()))
		return key
	}
	k.publisher, k.payer = take(publish.PublisherRole, c.KeyFile), take(publish.PayerRole, c.PayerKeyFile)
	return k, err
}

// refusal gives a reason not to anchor its exit code. At start there is somebody
// to correct it; while the daemon runs it goes on collecting, and says so in
// status, log, /healthz and metrics (decision 0011).
func refusal(err error) error {
	if errors.Is(err, publish.ErrAhead) || errors.Is(err, publish.ErrFork) {
		return codedError{exitVerification, fmt.Errorf("%w; leave chain.rpc empty to collect without anchoring meanwhile", err)}
	}
	return usageError{fmt.Errorf("%w; correct the configuration (chain), or leave chain.rpc empty to collect without anchoring", err)}
}

func (s *chainSide) publisherConfig() publish.Config {
	d, c := s.daemon, s.daemon.cfg.Chain
	return publish.Config{
		Dir: publisherDir(d.dir), Evidence: evidenceDir(d.dir), RPC: s.rpc, ChainID: c.ChainID,
		Contract: common.HexToAddress(c.Contract), Rotator: common.HexToAddress(c.Rotator), Key: d.keys.publisher, Payer: d.keys.payer, Follow: common.HexToAddress(c.Publisher),
		Interval: time.Duration(c.Interval), FeeCap: publish.Gwei(c.MaxFee), Log: d.log, Registerer: d.metrics,
	}
}

// publish anchors until ctx ends.
func (s *chainSide) publish(ctx context.Context) error {
	p := s.publisher.Load()
	if p == nil {
		return nil
	}
	return errors.Join(p.Run(ctx), p.Close())
}

// flush anchors what is committed and waits until the contract holds it, if
// final in a block that nothing can replace.
func (s *chainSide) flush(ctx context.Context, final bool) error {
	p := s.publisher.Load()
	if p == nil {
		return usageError{errors.New("no chain is configured: set chain.rpc, or start the daemon with --dev-chain")}
	}
	err := p.Flush(ctx)
	if errors.Is(err, publish.ErrFollows) {
		return usageError{err}
	}
	if err != nil || !final {
		return err
	}
	if a := p.Status().Anchored; a != nil {
		return p.Wait(ctx, a.Size, true)
	}
	return nil
}

// anchoredLog shows the ledger to the publisher. A checkpoint is signed and
// stored before anybody can anchor it.
type anchoredLog struct {
	ledger *anchor.Ledger
	fault  func(error)
}

func (a *anchoredLog) ID() [32]byte { return a.ledger.Reader().LogID() }

func (a *anchoredLog) Checkpoint() (uint64, [32]byte) {
	c, _, err := a.ledger.Checkpoint()
	if errors.Is(err, anchor.ErrNoBatch) {
		err = nil // the genesis is not committed yet
	}
	if err != nil {
		err = fmt.Errorf("sign checkpoint: %w", err)
	}
	a.fault(err)
	return c.Size, c.Root
}

func (a *anchoredLog) Consistency(first, second uint64) ([][32]byte, error) {
	return a.ledger.Consistency(first, second)
}
