package publish

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"

	"tidemark/anchor/binding"
	"tidemark/anchor/chain"
	"tidemark/anchor/txmgr"
)

const requestFormat = "tidemark-anchor-request/v1"

// MaxRequest bounds a request's file in octets.
const MaxRequest = 64 << 10

// ErrRequest is the class of all faults of a request's file.
var ErrRequest = errors.New("invalid anchor request")

// Request asks somebody else to anchor a checkpoint: the holder of the publisher
// key, who may anchor many logs in one transaction, or, if it is signed, anybody
// who pays. It holds no secret. The contract checks all of it.
type Request struct {
	Format    string         `json:"format"`
	ChainID   uint64         `json:"chain_id,string"`
	Contract  common.Address `json:"contract"`
	LogID     common.Hash    `json:"log_id"` // with publisher and rotator it gives the id in the contract
	Publisher common.Address `json:"opener"` // the publisher that the log is opened with
	Rotator   common.Address `json:"rotator"`
	From      uint64         `json:"from,string"` // size that the contract had
	Size      uint64         `json:"size,string"`
	Root      common.Hash    `json:"root"`
	Proof     []common.Hash  `json:"consistency_proof"`
	Deadline  int64          `json:"deadline,string,omitempty"` // of the signature, seconds since 1970
	Signature hexutil.Bytes  `json:"signature,omitempty"`
}

// ID is the log's id in the contract.
func (r *Request) ID() [32]byte { return chain.LogKey(r.LogID, r.Publisher, r.Rotator) }

// Marshal returns the request's file.
func (r *Request) Marshal() ([]byte, error) {
	r.Format = requestFormat
	b, err := json.MarshalIndent(r, "", "  ")
	return append(b, '\n'), err
}

// ParseRequest reads a request's file.
func ParseRequest(p []byte) (*Request, error) {
	d := json.NewDecoder(bytes.NewReader(p))
	d.DisallowUnknownFields()
	r := new(Request)
	switch err := d.Decode(r); {
	case len(p) > MaxRequest:
		return nil, fmt.Errorf("%w: %d octets, want at most %d", ErrRequest, len(p), MaxRequest)
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrRequest, err)
	case d.More():
		return nil, fmt.Errorf("%w: more behind its end", ErrRequest)
	case r.Format != requestFormat:
		return nil, fmt.Errorf("%w: format %.40q, want %q", ErrRequest, r.Format, requestFormat)
	case r.Size <= r.From || len(r.Proof) > 64 || len(r.Signature) != 0 && len(r.Signature) != 65:
		return nil, fmt.Errorf("%w: from size %d to %d, %d hashes, signature of %d octets", ErrRequest, r.From, r.Size, len(r.Proof), len(r.Signature))
	}
	return r, nil
}

// NewRequest asks for an anchor of the log's newest checkpoint in the contract of
// s. Signed by key it counts for validity; key nil leaves it to the publisher.
func NewRequest(ctx context.Context, log Log, s State, k *chain.Contract, key *Key, now time.Time, validity time.Duration) (*Request, error) {
	st, err := k.Log(ctx, s.LogKey, chain.Latest)
	if err != nil {
		return nil, err
	}
	if key != nil && st.Open() && st.Publisher != key.Address() {
		return nil, fmt.Errorf("the publisher of this log is %s, the key is of %s", st.Publisher, key.Address())
	}
	r := &Request{Format: requestFormat, ChainID: k.Client().ID(), Contract: k.Address(), LogID: s.LogID, Publisher: s.Opener, Rotator: s.Rotator, From: st.Size}
	size, root := log.Checkpoint()
	if size <= st.Size {
		return nil, fmt.Errorf("nothing to anchor: the contract holds %d headers, the log %d", st.Size, size)
	}
	r.Size, r.Root = size, root
	path, err := consistency(log, st, size, root)
	if err != nil {
		return nil, err
	}
	for _, h := range path {
		r.Proof = append(r.Proof, h)
	}
	if key != nil {
		deadline := now.Add(validity)
		r.Deadline = deadline.Unix()
		r.Signature, err = key.signAnchor(chain.AnchorDigest(r.ChainID, r.Contract, r.ID(), r.Size, r.Root, deadline))
	}
	return r, err
}

// Submit anchors what the requests ask for. Unsigned ones must be of the key's
// own logs: they go into one transaction, all or none. Signed ones are paid for
// one by one. Logs that are not open are opened first.
func (x Executor) Submit(ctx context.Context, requests []*Request) ([]txmgr.Inclusion, error) {
	if len(requests) == 0 {
		return nil, nil
	}
	first := requests[0]
	if first.ChainID != x.Client.ID() {
		return nil, &chain.WrongChainError{Got: x.Client.ID(), Want: first.ChainID}
	}
	k, err := x.Client.Contract(ctx, first.Contract)
	if err != nil {
		return nil, err
	}
	var own []*Request
	var calls [][]byte
	for _, r := range requests {
		if r.ChainID != first.ChainID || r.Contract != first.Contract {
			return nil, fmt.Errorf("%w: one is of chain %d, contract %s and one of chain %d, contract %s: submit them apart", ErrRequest, first.ChainID, first.Contract, r.ChainID, r.Contract)
		}
		if err := x.prepare(ctx, k, r); err != nil {
			return nil, fmt.Errorf("log %s: %w", r.LogID, err)
		}
		if len(r.Signature) == 0 {
			own = append(own, r)
			continue
		}
		calls = append(calls, binding.NewTidemarkLog().PackAnchorBySig(r.ID(), r.Size, r.Root, r.path(), big.NewInt(r.Deadline), r.Signature))
	}
	if call := anchorOwn(own); call != nil {
		calls = append(calls, call)
	}
	var out []txmgr.Inclusion
	for _, call := range calls {
		at, err := x.send(ctx, labelAnchor, first.Contract, call)
		if err != nil {
			return out, err
		}
		out = append(out, at)
	}
	return out, nil
}

// prepare opens the log of r if it is not, and refuses what the contract would.
func (x Executor) prepare(ctx context.Context, k *chain.Contract, r *Request) error {
	st, err := k.Log(ctx, r.ID(), chain.Latest)
	if err != nil {
		return err
	}
	if !st.Open() {
		if _, err := x.send(ctx, labelOpen, r.Contract, binding.NewTidemarkLog().PackOpen(r.LogID, r.Publisher, r.Rotator)); err != nil {
			return err
		}
		st.Publisher = r.Publisher
	}
	switch {
	case st.Size != r.From:
		return fmt.Errorf("%w: the contract holds %d headers, the request begins at %d: make it anew", ErrRequest, st.Size, r.From)
	case len(r.Signature) == 0 && st.Publisher != x.Key.Address():
		return fmt.Errorf("%w: its publisher is %s, the key is of %s, and it is not signed", ErrRequest, st.Publisher, x.Key.Address())
	}
	return nil
}

// anchorOwn is the call that anchors the publisher's own logs.
func anchorOwn(own []*Request) []byte {
	abi := binding.NewTidemarkLog()
	switch len(own) {
	case 0:
		return nil
	case 1:
		return abi.PackAnchor(own[0].ID(), own[0].Size, own[0].Root, own[0].path())
	}
	// One order for one set, so that a call again after an interruption is the same.
	slices.SortFunc(own, func(a, b *Request) int { return a.LogID.Cmp(b.LogID) })
	checkpoints := make([]binding.TidemarkLogCheckpoint, len(own))
	for i, r := range own {
		checkpoints[i] = binding.TidemarkLogCheckpoint{Id: r.ID(), Size: r.Size, Root: r.Root, Proof: r.path()}
	}
	return abi.PackAnchorMany(checkpoints)
}

func (r *Request) path() [][32]byte {
	out := make([][32]byte, len(r.Proof))
	for i, h := range r.Proof {
		out[i] = h
	}
	return out
}
