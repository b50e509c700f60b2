package publish

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"tidemark/anchor/chain"
	"tidemark/anchor/txmgr"
)

// connect dials once and pins chain, key and transactions; afterwards it only
// asks whether the same chain still answers.
func (p *Publisher) connect(ctx context.Context) error {
	if p.client != nil {
		if err := p.client.CheckID(ctx); err != nil {
			return asRefusal(err)
		}
		return p.agree(ctx)
	}
	want := p.cfg.ChainID
	if want == 0 {
		want = p.state.ChainID
	}
	c, err := chain.Open(ctx, chain.Options{URLs: p.cfg.RPC, ChainID: want, Timeout: p.cfg.Timeout})
	if err != nil {
		return asRefusal(err)
	}
	if err := p.pinChain(c, want); err != nil {
		c.Close()
		return err
	}
	p.client = c
	return p.agree(ctx)
}

// agreeInterval is how often several nodes are compared.
const agreeInterval = time.Minute

// agree compares the nodes. While they disagree nothing is sent and no block of
// theirs is named in a header: one of them lies, and it is not known which.
func (p *Publisher) agree(ctx context.Context) error {
	defer p.setStatus(func(s *Status) { s.Node, s.Nodes = p.client.Host(), p.client.Nodes() })
	now := p.cfg.Now()
	if since := now.Sub(p.agreed); since >= 0 && since < agreeInterval {
		return nil
	}
	p.agreed = time.Time{}
	if err := p.client.Agree(ctx); err != nil {
		p.finality.distrust()
		return asRefusal(err)
	}
	p.agreed = now
	return nil
}

func (p *Publisher) pinChain(c *chain.Client, want uint64) error {
	if want == 0 && !c.Development() {
		return refuse(fmt.Errorf("chain %d is no development chain: name it in the configuration (chain id) before anything is sent there", c.ID()))
	}
	if p.follows() {
		return p.rememberChain(c)
	}
	key := p.key
	if key == nil {
		if !c.Development() {
			return refuse(noKey(PublisherRole))
		}
		var err error
		if key, err = developmentKey(p.cfg.Dir); err != nil {
			return refuse(err)
		}
	}
	cfg := txmgr.Config{File: filepath.Join(p.cfg.Dir, transactionsName), FeeCap: p.cfg.FeeCap, Now: p.cfg.Now, Log: p.cfg.Log}
	if c.Development() { // blocks come each second
		cfg.Resubmit, cfg.LostAfter = 6*time.Second, 3*time.Second
	}
	txs, err := txmgr.Open(c, cmp.Or(p.cfg.Payer, key), cfg)
	var other *txmgr.OtherAccountError
	if errors.As(err, &other) {
		// The key was rotated, or lost. What its account has under way nobody can
		// replace any more; whether it arrives, the contract tells.
		p.cfg.Log.Warn().Stringer("account", other.Got).Msg("transactions of the former account are left to themselves")
		if err = os.Rename(cfg.File, fmt.Sprintf("%s.%s", cfg.File, other.Got)); err == nil {
			txs, err = txmgr.Open(c, cmp.Or(p.cfg.Payer, key), cfg)
		}
	}
	if err != nil {
		return refuse(err)
	}
	p.key, p.txs = key, txs
	return p.rememberChain(c)
}

func (p *Publisher) rememberChain(c *chain.Client) error {
	if p.state.ChainID != c.ID() || p.state.Development != c.Development() {
		p.state.ChainID, p.state.Development = c.ID(), c.Development()
		return p.saveState()
	}
	p.publishState()
	return nil
}

// asRefusal marks the errors of the chain that do not pass.
func asRefusal(err error) error {
	var wrong *chain.WrongChainError
	var disagree *chain.DisagreementError
	if errors.As(err, &wrong) || errors.As(err, &disagree) || errors.Is(err, chain.ErrForeignContract) || errors.Is(err, chain.ErrNoContract) {
		return refuse(err)
	}
	return err
}
