package chainproof

import (
	"errors"
	"fmt"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/rlp"
	"github.com/ethereum/go-ethereum/trie"
	"github.com/ethereum/go-ethereum/triedb/database"
)

// Material is what a node answers about the block of a checkpoint. Build trusts
// none of it.
type Material struct {
	ChainID   uint64
	Contract  common.Address
	ID        common.Hash
	Size      uint64
	Tx        common.Hash
	BlockHash common.Hash
	Header    []byte   // RLP
	Receipts  [][]byte // of all transactions of the block in order, consensus encoding
	State     *State   // nil: no longer served
}

// Build makes evidence of the checkpoint and verifies it, so that a lie of the
// node is an error now and not a surprise in ten years.
func Build(m Material) (*Evidence, Facts, error) {
	e := &Evidence{Format: format, ChainID: m.ChainID, Contract: m.Contract, ID: m.ID, Size: m.Size, Tx: m.Tx, Header: m.Header, State: m.State}
	h, err := parseHeader(m.Header)
	if err != nil {
		return nil, Facts{}, fmt.Errorf("%w: header: %w", ErrEvidence, err)
	}
	if err := e.findEvent(m.Receipts); err != nil {
		return nil, Facts{}, err
	}
	if e.Receipt.Proof, err = proveReceipt(m.Receipts, e.Receipt.Index, h.receiptsRoot); err != nil {
		return nil, Facts{}, err
	}
	f, err := Verify(e, &m.BlockHash)
	return e, f, err
}

// findEvent finds the event of the checkpoint among the receipts.
func (e *Evidence) findEvent(receipts [][]byte) error {
	for i, p := range receipts {
		r, err := parseReceipt(p)
		if err != nil {
			continue // a transaction type with other receipts: none of ours
		}
		for j := range r.Logs {
			e.Receipt.Index, e.Receipt.Log = uint64(i), uint64(j)
			if r.Logs[j].anchored(e, new(Facts)) == nil {
				return nil
			}
		}
	}
	return fmt.Errorf("%w: no event of size %d in the %d receipts of the block", ErrEvidence, e.Size, len(receipts))
}

// proveReceipt builds the trie of all receipts and returns the path to one. A
// trie of other receipts than the header's is the node's fault, or that of a
// chain whose receipts have another encoding.
func proveReceipt(receipts [][]byte, index uint64, want common.Hash) ([]hexutil.Bytes, error) {
	t := trie.NewEmpty(noNodes{})
	for i, r := range receipts {
		key, err := rlp.EncodeToBytes(uint64(i))
		if err == nil {
			err = t.Update(key, r)
		}
		if err != nil {
			return nil, fmt.Errorf("build trie of receipts: %w", err)
		}
	}
	if got := t.Hash(); got != want {
		return nil, fmt.Errorf("%w: %d receipts give root %s, the header says %s", ErrEvidence, len(receipts), got, want)
	}
	key, err := rlp.EncodeToBytes(index)
	if err != nil {
		return nil, err
	}
	var path pathWriter
	if err := t.Prove(key, &path); err != nil {
		return nil, fmt.Errorf("prove receipt %d: %w", index, err)
	}
	return path, nil
}

// pathWriter collects the nodes of a proof from the root down.
type pathWriter []hexutil.Bytes

func (w *pathWriter) Put(_, node []byte) error { *w = append(*w, node); return nil }

func (w *pathWriter) Delete([]byte) error { return errors.New("not used") }

// noNodes is the database of a trie that is all in memory.
type noNodes struct{}

func (noNodes) NodeReader(common.Hash) (database.NodeReader, error) { return noNodes{}, nil }

func (noNodes) Node(_ common.Hash, _ []byte, hash common.Hash) ([]byte, error) {
	return nil, fmt.Errorf("no node %s", hash)
}
