// Package txmgr brings transactions of one account into a chain, one at a time,
// and watches them until their block is final.
//
// What must survive a crash is on disk before it is on the wire: a transaction's
// nonce and the hash of every attempt are written before the attempt is sent.
// After a restart the same code looks at the same chain and goes on.
package txmgr

import (
	"slices"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"

	"tidemark/anchor/chain"
)

// State is how far a transaction has come.
type State string

const (
	Pending   State = "pending"   // not in a block: never, or no more after a reorganisation
	Included  State = "included"  // in a block of the canonical chain
	Safe      State = "safe"      // in or below the block tagged safe
	Finalized State = "finalized" // in or below the block tagged finalized: the end
	Lost      State = "lost"      // the nonce was used by another transaction, or is out of reach: the end
)

// Done tells whether the state is an end: nothing will change any more.
func (s State) Done() bool { return s == Finalized || s == Lost }

// Attempt is one signed form of a transaction. Attempts of one transaction
// differ in fees only, so at most one of them can be included.
type Attempt struct {
	Hash   common.Hash   `json:"hash"`
	Raw    hexutil.Bytes `json:"raw"`
	TipCap *hexutil.Big  `json:"tip_cap"` // wei per gas
	FeeCap *hexutil.Big  `json:"fee_cap"` // wei per gas
	Signed time.Time     `json:"signed"`
}

// Inclusion says where a transaction is.
type Inclusion struct {
	Hash      common.Hash  `json:"hash"` // of the attempt that made it
	Block     uint64       `json:"block"`
	BlockHash common.Hash  `json:"block_hash"`
	BlockTime time.Time    `json:"block_time"`
	OK        bool         `json:"ok"` // false: it reverted
	GasUsed   uint64       `json:"gas_used"`
	GasPrice  *hexutil.Big `json:"gas_price,omitempty"`
}

// Tx is a transaction in the manager's care.
type Tx struct {
	Label    string          `json:"label"`  // what it is for, in the caller's words
	Target   uint64          `json:"target"` // the caller's number, such as the tree size
	Nonce    uint64          `json:"nonce"`
	To       *common.Address `json:"to,omitempty"` // nil: creates a contract
	Data     hexutil.Bytes   `json:"data"`
	Gas      uint64          `json:"gas"`
	Attempts []Attempt       `json:"attempts"` // oldest first, never empty
	State    State           `json:"state"`
	At       *Inclusion      `json:"at,omitempty"` // set from Included to Finalized

	// Not persisted: after a restart they begin anew, which only costs time.
	sent      time.Time // of the newest attempt's last broadcast
	misses    int       // looks in a row that found the nonce used, or out of reach, without a receipt
	missSince time.Time
}

func (t *Tx) newest() *Attempt { return &t.Attempts[len(t.Attempts)-1] }

// observation is what one look at the chain found out about one transaction.
// Nonce and PendingNonce are read before the receipt: a transaction included
// between the two reads is seen, not missed.
type observation struct {
	now             time.Time
	nonce           uint64     // of the account at the latest block
	pendingNonce    uint64     // with the node's pool counted in
	at              *Inclusion // of any attempt, in a canonical block; nil: none has a receipt
	safe, finalized uint64     // block numbers
	first           bool       // no other transaction of ours with a lower nonce is pending
}

// action is what the manager must do for a transaction.
type action int

const (
	wait   action = iota
	resend        // broadcast the newest attempt again
	bump          // sign and send an attempt with higher fees
)

// policy holds the times of the state machine.
type policy struct {
	resubmit    time.Duration // pending for so long: raise the fees
	rebroadcast time.Duration // pending for so long: send again, a pool may have dropped it
	lostLooks   int           // looks in a row before a transaction counts as lost
	lostAfter   time.Duration // and the time they must span: nodes behind one URL differ
}

// observe moves the state machine. It is the only place where State changes.
func (t *Tx) observe(o observation, p policy) action {
	if t.State.Done() {
		return wait
	}
	if o.at != nil {
		t.misses = 0
		t.At = o.at
		switch {
		case o.at.Block <= o.finalized:
			t.State = Finalized
		case o.at.Block <= o.safe:
			t.State = Safe
		default:
			t.State = Included
		}
		return wait
	}
	// No receipt: whatever it was before, it is pending (a reorganisation took it out).
	was := t.State
	t.State, t.At = Pending, nil
	if was != Pending {
		t.misses = 0
		return resend
	}
	// The nonce is used, and by none of our attempts: all of them were asked for.
	taken := o.nonce > t.Nonce
	// The account's nonce fell back below ours and nothing is there to fill the
	// gap: the chain lost transactions that were final (a development chain did).
	unreachable := o.first && o.nonce < t.Nonce && o.pendingNonce <= o.nonce
	if taken || unreachable {
		if t.misses++; t.misses == 1 {
			t.missSince = o.now
		}
		if t.misses >= p.lostLooks && o.now.Sub(t.missSince) >= p.lostAfter {
			t.State = Lost
		}
		return wait
	}
	t.misses = 0
	switch {
	case o.first && o.now.Sub(t.newest().Signed) >= p.resubmit:
		return bump
	case o.now.Sub(t.sent) >= p.rebroadcast:
		return resend
	}
	return wait
}

// clone returns a copy that shares no changing memory with t.
func (t *Tx) clone() Tx {
	c := *t
	c.Attempts = slices.Clone(t.Attempts)
	if t.At != nil {
		at := *t.At
		c.At = &at
	}
	return c
}

// Hashes returns the hashes of all attempts, newest first.
func (t *Tx) Hashes() []common.Hash {
	out := make([]common.Hash, 0, len(t.Attempts))
	for _, a := range slices.Backward(t.Attempts) {
		out = append(out, a.Hash)
	}
	return out
}

func inclusion(r chain.Receipt, b chain.Block) *Inclusion {
	return &Inclusion{
		Hash: r.Tx, Block: r.Block, BlockHash: r.BlockHash, BlockTime: b.Time,
		OK: r.OK, GasUsed: r.GasUsed, GasPrice: (*hexutil.Big)(r.GasPrice),
	}
}
