// Package chainproof proves offline that a contract accepted a checkpoint in a
// block: given the hash of that block, nothing and nobody has to be asked.
//
// Evidence holds the block's header, whose hash is recomputed; the receipt of
// the anchoring transaction under the header's receiptsRoot; and, where the node
// still had it, the contract's account and the log's slots under its stateRoot.
// All proofs are Merkle-Patricia proofs (Ethereum Yellow Paper, Appendix D).
//
// What evidence cannot prove is that the block is of the chain meant and final:
// the verifier brings the hash, from a node or a block explorer of their choice.
package chainproof

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
)

const format = "tidemark-chain-evidence/v1"

// Bounds of evidence, in octets and nodes. A path of 64 nibbles has at most 65
// nodes; today's mainnet needs 10.
const (
	MaxEvidence = 256 << 10 // the file
	maxHeader   = 4 << 10
	maxNodes    = 65
	maxNode     = 64 << 10 // a leaf holds a whole receipt
)

var (
	// ErrEvidence is the class of all faults of evidence: its form is wrong, or a
	// proof in it does not hold.
	ErrEvidence = errors.New("invalid chain evidence")
	// ErrOtherBlock means that evidence is of another block than the trusted one.
	ErrOtherBlock = errors.New("evidence of another block")
)

// Evidence proves that contract Contract accepted the checkpoint of Size headers
// for the log it calls ID. The first five fields are claims; those that Verify
// does not check are ChainID and Tx, which no header repeats.
type Evidence struct {
	Format   string         `json:"format"`
	ChainID  uint64         `json:"chain_id,string"`
	Contract common.Address `json:"contract"`
	ID       common.Hash    `json:"id"`
	Size     uint64         `json:"size,string"`
	Tx       common.Hash    `json:"transaction"`

	Header  hexutil.Bytes `json:"header"` // RLP
	Receipt Receipt       `json:"receipt"`
	State   *State        `json:"state,omitempty"` // nil: the node no longer served the block's state
}

// Receipt proves the event of the checkpoint.
type Receipt struct {
	Index uint64          `json:"transaction_index,string"` // in the block
	Log   uint64          `json:"log_index,string"`         // in the receipt
	Proof []hexutil.Bytes `json:"proof"`                    // nodes from receiptsRoot to the receipt
}

// State proves code and storage of the contract after the block.
type State struct {
	Account []hexutil.Bytes `json:"account_proof"` // nodes from stateRoot to the contract's account
	Head    []hexutil.Bytes `json:"head_proof"`    // to the slot of publisher, size and seq
	Root    []hexutil.Bytes `json:"root_proof"`    // to the slot of the root hash
}

// Facts are what evidence proves, given that the block is canonical.
type Facts struct {
	BlockNumber uint64
	BlockHash   common.Hash
	BlockTime   int64 // seconds since 1970 UTC: the checkpoint existed before

	Size     uint64 // of the checkpoint
	Root     common.Hash
	Seq      uint32 // how many checkpoints the log had, with this one
	PrevSize uint64

	// StateProven: the contract had the code of this release after the block, and
	// held this checkpoint or a later one of the same block. Otherwise only the
	// event is proven: whose code emitted it must be asked of a node.
	StateProven bool
	Publisher   common.Address // of the log, if StateProven
}

// Marshal returns the evidence as a file.
func (e *Evidence) Marshal() ([]byte, error) {
	b, err := json.MarshalIndent(e, "", "  ")
	if err == nil && len(b) >= MaxEvidence {
		err = fmt.Errorf("%w: %d octets, want at most %d", ErrEvidence, len(b), MaxEvidence)
	}
	return append(b, '\n'), err
}

// Parse reads a file that Marshal wrote: its form only, see Verify for the rest.
// White space is free, all else has one form.
func Parse(p []byte) (*Evidence, error) {
	if len(p) > MaxEvidence {
		return nil, fmt.Errorf("%w: %d octets or more, want at most %d", ErrEvidence, len(p), MaxEvidence)
	}
	d := json.NewDecoder(bytes.NewReader(p))
	d.DisallowUnknownFields()
	e := new(Evidence)
	if err := d.Decode(e); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrEvidence, err)
	}
	again, err := json.Marshal(e)
	var got bytes.Buffer
	if err == nil {
		err = json.Compact(&got, p)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrEvidence, err)
	}
	if !bytes.Equal(got.Bytes(), again) {
		return nil, fmt.Errorf("%w: JSON is not in its one form", ErrEvidence)
	}
	if e.Format != format {
		return nil, fmt.Errorf("%w: format %.40q, want %q", ErrEvidence, e.Format, format)
	}
	return e, nil
}
