package chain

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"strings"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/rlp"
	"github.com/ethereum/go-ethereum/rpc"

	"tidemark/anchor/chainproof"
)

// Evidence asks the node for all that proves the checkpoint of this size, which
// tx anchored in block at, and verifies it. Evidence without State means that the
// node no longer serves the state of the block (full nodes keep about 128).
func (k *Contract) Evidence(ctx context.Context, id common.Hash, size uint64, tx common.Hash, at Block) (*chainproof.Evidence, chainproof.Facts, error) {
	fail := func(err error) (*chainproof.Evidence, chainproof.Facts, error) {
		return nil, chainproof.Facts{}, fmt.Errorf("evidence of size %d in block %d: %w", size, at.Number, err)
	}
	m := chainproof.Material{ChainID: k.client.id, Contract: k.address, ID: id, Size: size, Tx: tx, BlockHash: at.Hash}
	var err error
	if m.Header, err = k.client.header(ctx, at); err != nil {
		return fail(err)
	}
	if m.Receipts, err = k.client.receipts(ctx, at); err != nil {
		return fail(err)
	}
	m.State, err = k.state(ctx, id, at)
	if unanswered(err) {
		return fail(err)
	}
	e, f, err := chainproof.Build(m)
	if err != nil {
		return fail(err)
	}
	return e, f, nil
}

// unanswered tells errors that a later call may not have from the refusal of a
// node that has pruned the state or does not know the method.
func unanswered(err error) bool {
	var refusal rpc.Error
	return err != nil && !errors.As(err, &refusal)
}

// header returns the RLP of a block's header. Its hash is the proof that no
// field is missing: chains have fields of their own.
func (c *Client) header(ctx context.Context, at Block) ([]byte, error) {
	var h *types.Header
	err := c.call(ctx, &h, "eth_getBlockByHash", at.Hash, false)
	if err == nil && h == nil {
		err = ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	p, err := rlp.EncodeToBytes(h)
	if err == nil && crypto.Keccak256Hash(p) == at.Hash {
		return p, nil
	}
	// A chain whose header this release does not know in JSON may give it raw.
	var raw hexutil.Bytes
	if err := c.call(ctx, &raw, "debug_getRawHeader", hexutil.EncodeUint64(at.Number)); err == nil && crypto.Keccak256Hash(raw) == at.Hash {
		return raw, nil
	}
	return nil, fmt.Errorf("the header has hash %s, want %s: a lie, or a chain with header fields unknown to this release", crypto.Keccak256Hash(p), at.Hash)
}

// jsonReceipt has the fields of a receipt that its hash covers.
type jsonReceipt struct {
	Block  common.Hash    `json:"blockHash"`
	Type   hexutil.Uint64 `json:"type"`
	Root   hexutil.Bytes  `json:"root"` // before Byzantium
	Status hexutil.Uint64 `json:"status"`
	Gas    hexutil.Uint64 `json:"cumulativeGasUsed"`
	Bloom  types.Bloom    `json:"logsBloom"`
	Logs   []struct {
		Address common.Address `json:"address"`
		Topics  []common.Hash  `json:"topics"`
		Data    hexutil.Bytes  `json:"data"`
	} `json:"logs"`
	// Of deposits on the OP Stack (its specification, "Deposit Receipt").
	DepositNonce   *hexutil.Uint64 `json:"depositNonce"`
	DepositVersion *hexutil.Uint64 `json:"depositReceiptVersion"`
}

// receipts returns the consensus encodings of all receipts of a block.
func (c *Client) receipts(ctx context.Context, at Block) ([][]byte, error) {
	var list []*jsonReceipt
	if err := c.call(ctx, &list, "eth_getBlockReceipts", hexutil.EncodeUint64(at.Number)); err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("receipts: %w", ErrNotFound)
	}
	out := make([][]byte, len(list))
	for i, r := range list {
		if r == nil || r.Block != at.Hash {
			return nil, fmt.Errorf("receipt %d is not of block %s", i, at.Hash)
		}
		var err error
		if out[i], err = r.encode(); err != nil {
			return nil, fmt.Errorf("encode receipt %d: %w", i, err)
		}
	}
	return out, nil
}

// encode returns what the receipts trie holds (EIP-2718): the type octet, none
// for legacy transactions, and the RLP.
func (r *jsonReceipt) encode() ([]byte, error) {
	status := []byte(r.Root)
	if len(status) == 0 && r.Status != 0 {
		status = []byte{1}
	}
	logs := make([]any, len(r.Logs))
	for i, l := range r.Logs {
		logs[i] = []any{l.Address, l.Topics, []byte(l.Data)}
	}
	fields := []any{status, uint64(r.Gas), r.Bloom, logs}
	for _, extra := range []*hexutil.Uint64{r.DepositNonce, r.DepositVersion} {
		if extra != nil {
			fields = append(fields, uint64(*extra))
		}
	}
	p, err := rlp.EncodeToBytes(fields)
	if r.Type != 0 {
		p = append([]byte{byte(r.Type)}, p...)
	}
	return p, err
}

// state asks for the proofs of the contract's account and the log's slots.
func (k *Contract) state(ctx context.Context, id common.Hash, at Block) (*chainproof.State, error) {
	head, root := chainproof.Slots(id)
	var answer struct {
		Account []hexutil.Bytes `json:"accountProof"`
		Storage []struct {
			Key   string          `json:"key"`
			Proof []hexutil.Bytes `json:"proof"`
		} `json:"storageProof"`
	}
	if err := k.client.call(ctx, &answer, "eth_getProof", k.address, []common.Hash{head, root}, hexutil.EncodeUint64(at.Number)); err != nil {
		return nil, err
	}
	s := &chainproof.State{Account: answer.Account}
	for _, p := range answer.Storage { // nodes write keys with and without leading zeros
		n, ok := new(big.Int).SetString(strings.TrimPrefix(p.Key, "0x"), 16)
		switch {
		case ok && n.Cmp(head.Big()) == 0:
			s.Head = p.Proof
		case ok && n.Cmp(root.Big()) == 0:
			s.Root = p.Proof
		}
	}
	return s, nil
}
