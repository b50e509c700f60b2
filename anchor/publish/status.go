package publish

import (
	"time"

	"github.com/ethereum/go-ethereum/common"

	"tidemark/anchor/chain"
	"tidemark/anchor/txmgr"
)

// Anchor is a checkpoint and where it is on the chain.
type Anchor struct {
	Size      uint64      `json:"size"`
	Root      common.Hash `json:"root"`
	State     string      `json:"state"` // pending, included, safe, finalized
	Tx        common.Hash `json:"tx,omitzero"`
	Block     uint64      `json:"block,omitempty"`
	BlockHash common.Hash `json:"block_hash,omitzero"`
	Time      time.Time   `json:"time,omitzero"` // of the block: the checkpoint existed before
}

// Status says what is protected up to when. It is a copy.
type Status struct {
	ChainID     uint64         `json:"chain_id"` // 0: the chain was never reached
	Development bool           `json:"development"`
	Warning     string         `json:"warning,omitempty"` // chain.Development on such a chain
	Node        string         `json:"node"`              // host and port of the one that serves
	Nodes       []chain.Node   `json:"nodes,omitempty"`
	Contract    common.Address `json:"contract,omitzero"`
	FromBlock   uint64         `json:"from_block"` // no anchor of this log is in an earlier one
	LogKey      common.Hash    `json:"log_key,omitzero"`
	Publisher   common.Address `json:"publisher,omitzero"` // our account
	Rotator     common.Address `json:"rotator"`
	Payer       common.Address `json:"payer,omitzero"`        // pays in the publisher's place
	Balance     string         `json:"balance_wei,omitempty"` // of the account that pays

	Size      uint64   `json:"size"`                // headers in our log
	Pending   *Anchor  `json:"pending,omitempty"`   // sent, in no block
	Anchored  *Anchor  `json:"anchored,omitempty"`  // the newest in the contract
	Finalized *Anchor  `json:"finalized,omitempty"` // the newest that can no more be taken out
	Evidence  Evidence `json:"evidence"`

	Backlog uint64        `json:"backlog"` // headers that the contract does not cover
	Lag     time.Duration `json:"lag_ns"`  // since the newest anchor, 0 without a backlog
	Next    time.Time     `json:"next,omitzero"`

	Checked   time.Time `json:"checked,omitzero"` // last time the chain answered everything
	Error     string    `json:"error,omitempty"`
	ErrorTime time.Time `json:"error_time,omitzero"`
	Refused   bool      `json:"refused"` // Error will not pass by itself
}

func (s *Status) remember(st State) {
	s.ChainID, s.Contract, s.FromBlock = st.ChainID, st.Contract, st.FromBlock
	s.LogKey, s.Rotator, s.Development = st.LogKey, st.Rotator, st.Development
	if s.Publisher == (common.Address{}) {
		s.Publisher = st.Opener
	}
	if s.Development {
		s.Warning = chain.Development
	}
}

// Status returns what is known; it never waits for the chain.
func (p *Publisher) Status() Status {
	size, _ := p.log.Checkpoint()
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.status
	s.Size = size
	for _, a := range []**Anchor{&s.Pending, &s.Anchored, &s.Finalized} {
		if *a != nil {
			c := **a
			*a = &c
		}
	}
	anchored, since := uint64(0), p.started
	if s.Anchored != nil {
		anchored = s.Anchored.Size
		if !s.Anchored.Time.IsZero() {
			since = s.Anchored.Time
		}
	}
	if size > anchored {
		s.Backlog = size - anchored
		if !since.IsZero() {
			s.Lag = max(0, p.cfg.Now().Sub(since))
		}
	}
	return s
}

// setStatus changes the status under its lock.
func (p *Publisher) setStatus(change func(*Status)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change(&p.status)
}

// note folds an entry of the history into the status: at start with all of them
// from disk, then with each new one.
func (s *Status) note(e Entry) {
	if e.What != labelAnchor {
		return
	}
	a := &Anchor{Size: e.Size, Root: e.Root, State: e.State, Tx: e.Tx, Block: e.Block, BlockHash: e.BlockHash, Time: e.BlockTime}
	switch e.State {
	case string(txmgr.Pending):
		s.Pending = a
	case string(txmgr.Included), string(txmgr.Safe), string(txmgr.Finalized):
		if s.Pending != nil && s.Pending.Size <= a.Size {
			s.Pending = nil
		}
		if s.Anchored == nil || a.Size >= s.Anchored.Size {
			s.Anchored = a
		}
		if e.State == string(txmgr.Finalized) && (s.Finalized == nil || a.Size >= s.Finalized.Size) {
			s.Finalized = a
		}
	default: // reorganised, reverted, lost: the contract tells what holds
		if s.Pending != nil && s.Pending.Size == a.Size {
			s.Pending = nil
		}
	}
}
