// Package chain reads an Ethereum chain: its blocks, and the Tidemark contract
// on it. It also runs the development chain (Anvil) as a child process.
package chain

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"sync/atomic"
	"time"

	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
)

// Block tags (Ethereum JSON-RPC, "block tag").
const (
	Latest    = "latest"
	Safe      = "safe"
	Finalized = "finalized"
	pending   = "pending"
)

const (
	// callTimeout ends a call to an RPC node that stalls.
	callTimeout = 10 * time.Second
	// maxResponse bounds what an RPC node can make us hold: a range of logs is
	// the largest honest answer.
	maxResponse = 32 << 20
)

// Development says that a chain's operator can rewrite it at will. Every output
// about evidence on such a chain carries this sentence.
const Development = "DEVELOPMENT CHAIN: no protection against its operator"

// ErrNotFound means that the node knows no such block or transaction.
var ErrNotFound = ethereum.NotFound

// WrongChainError is returned by Dial and CheckID: another network answers.
type WrongChainError struct{ Got, Want uint64 }

func (e *WrongChainError) Error() string {
	return fmt.Sprintf("chain id: got %d, want %d: the RPC URL leads to another network than the one configured or remembered", e.Got, e.Want)
}

// Block is what Tidemark needs of a block header. The hash is the one the node
// reports: chains differ in their header fields, so it is not recomputed.
type Block struct {
	Number  uint64
	Hash    common.Hash
	Time    time.Time
	BaseFee *big.Int // wei, nil before EIP-1559
}

// Receipt is what Tidemark needs of a transaction receipt.
type Receipt struct {
	Tx        common.Hash
	Block     uint64
	BlockHash common.Hash
	OK        bool // false: the transaction reverted
	GasUsed   uint64
	GasPrice  *big.Int // effective, wei per gas; nil if the node does not say
}

// Options of Open; a zero field means its default.
type Options struct {
	URLs    []string      // nodes of one chain, the preferred one first; required
	ChainID uint64        // 0: that of the first node that answers
	Timeout time.Duration // of one call to one node; default 10 s
}

// Client speaks JSON-RPC over HTTP to one or more nodes of one chain: when one
// does not answer, the next is asked. It is safe for concurrent use. Its errors
// never contain a URL, which may hold an access key.
type Client struct {
	endpoints []*endpoint
	serving   atomic.Int32 // index of the endpoint asked first
	id        uint64
}

// Dial connects to the node at rawURL and checks the chain id; want 0 takes
// whatever chain is there. The client keeps the id: see CheckID.
func Dial(ctx context.Context, rawURL string, want uint64) (*Client, error) {
	return Open(ctx, Options{URLs: []string{rawURL}, ChainID: want})
}

// Open connects to the nodes. One that answers is enough; one of another chain
// is an error, *WrongChainError.
func Open(ctx context.Context, o Options) (*Client, error) {
	if o.Timeout == 0 {
		o.Timeout = callTimeout
	}
	c := &Client{id: o.ChainID}
	err := c.connect(ctx, o)
	if err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

func (c *Client) connect(ctx context.Context, o Options) error {
	for _, u := range o.URLs {
		e, err := newEndpoint(ctx, u, o.Timeout)
		if err != nil {
			return err
		}
		c.endpoints = append(c.endpoints, e)
	}
	if len(c.endpoints) == 0 {
		return errors.New("no rpc url")
	}
	var away []error
	for i, e := range c.endpoints {
		got, err := e.remoteID(ctx, c.id)
		var wrong *WrongChainError
		switch {
		case errors.As(err, &wrong):
			return fmt.Errorf("dial %s: %w", e.host, err)
		case err != nil:
			away = append(away, fmt.Errorf("dial %s: %w", e.host, err))
			continue
		case len(away) == i: // the first that answers
			c.id = got
			c.serving.Store(int32(i))
		}
		// Not every node has this method, and only development chains need it.
		_ = e.call(ctx, &e.version, "web3_clientVersion")
	}
	if len(away) == len(c.endpoints) {
		return errors.Join(away...)
	}
	return nil
}

// Close releases the client's connections.
func (c *Client) Close() {
	for _, e := range c.endpoints {
		e.rpc.Close()
	}
}

// ID returns the chain id this client is pinned to.
func (c *Client) ID() uint64 { return c.id }

// Host names the serving node for logs: host and port of the URL, nothing else of it.
func (c *Client) Host() string { return c.endpoints[c.serving.Load()].host }

// Development tells whether the chain belongs to a tool for development, by its
// chain id (31337 Anvil and Hardhat, 1337 geth --dev) or by what a node calls
// itself, which also finds a fork of a public network.
func (c *Client) Development() bool {
	for _, e := range c.endpoints {
		if developmentTool(e.version) {
			return true
		}
	}
	return c.id == 31337 || c.id == 1337
}

// CheckID asks again for the chain id: a node behind a stable URL may be replaced.
func (c *Client) CheckID(ctx context.Context) error {
	var id hexutil.Uint64
	err := c.call(ctx, &id, "eth_chainId")
	if err == nil && uint64(id) != c.id {
		err = &WrongChainError{Got: uint64(id), Want: c.id}
	}
	return err
}

// Block returns the block with a tag.
func (c *Client) Block(ctx context.Context, tag string) (Block, error) {
	return readBlock(ctx, c.call, tag)
}

// BlockAt returns the canonical block with a number.
func (c *Client) BlockAt(ctx context.Context, number uint64) (Block, error) {
	b, err := readBlock(ctx, c.call, hexutil.EncodeUint64(number))
	if err == nil && b.Number != number {
		return Block{}, fmt.Errorf("block %d: node answered with block %d", number, b.Number)
	}
	return b, err
}

// caller asks a node, or one of several.
type caller func(ctx context.Context, result any, method string, args ...any) error

func readBlock(ctx context.Context, call caller, ref string) (Block, error) {
	var h *struct {
		Number  *hexutil.Uint64 `json:"number"`
		Hash    *common.Hash    `json:"hash"`
		Time    *hexutil.Uint64 `json:"timestamp"`
		BaseFee *hexutil.Big    `json:"baseFeePerGas"`
	}
	if err := call(ctx, &h, "eth_getBlockByNumber", ref, false); err != nil {
		return Block{}, err
	}
	if h == nil {
		return Block{}, fmt.Errorf("block %s: %w", ref, ErrNotFound)
	}
	if h.Number == nil || h.Hash == nil || h.Time == nil || *h.Hash == (common.Hash{}) {
		return Block{}, fmt.Errorf("block %s: node answered without number, hash or timestamp", ref)
	}
	const year9999 = 253402300799
	if *h.Time > year9999 {
		return Block{}, fmt.Errorf("block %s: timestamp %d is no time", ref, uint64(*h.Time))
	}
	return Block{
		Number:  uint64(*h.Number),
		Hash:    *h.Hash,
		Time:    time.Unix(int64(*h.Time), 0).UTC(),
		BaseFee: (*big.Int)(h.BaseFee),
	}, nil
}

// Receipt returns the receipt of a transaction, ErrNotFound while there is none.
func (c *Client) Receipt(ctx context.Context, tx common.Hash) (Receipt, error) {
	var r *struct {
		Tx        *common.Hash    `json:"transactionHash"`
		Block     *hexutil.Uint64 `json:"blockNumber"`
		BlockHash *common.Hash    `json:"blockHash"`
		Status    *hexutil.Uint64 `json:"status"`
		GasUsed   hexutil.Uint64  `json:"gasUsed"`
		GasPrice  *hexutil.Big    `json:"effectiveGasPrice"`
	}
	if err := c.call(ctx, &r, "eth_getTransactionReceipt", tx); err != nil {
		return Receipt{}, err
	}
	if r == nil {
		return Receipt{}, fmt.Errorf("receipt of %s: %w", tx, ErrNotFound)
	}
	if r.Tx == nil || r.Block == nil || r.BlockHash == nil || r.Status == nil {
		return Receipt{}, fmt.Errorf("receipt of %s: node answered without transaction hash, block or status", tx)
	}
	if *r.Tx != tx {
		return Receipt{}, fmt.Errorf("receipt of %s: node answered with that of %s", tx, *r.Tx)
	}
	return Receipt{
		Tx: tx, Block: uint64(*r.Block), BlockHash: *r.BlockHash, OK: *r.Status == 1,
		GasUsed: uint64(r.GasUsed), GasPrice: (*big.Int)(r.GasPrice),
	}, nil
}

// Nonce returns the number of transactions of account up to the latest block.
func (c *Client) Nonce(ctx context.Context, account common.Address) (uint64, error) {
	return c.nonce(ctx, account, Latest)
}

// PendingNonce is Nonce with the node's pool of pending transactions counted in.
func (c *Client) PendingNonce(ctx context.Context, account common.Address) (uint64, error) {
	return c.nonce(ctx, account, pending)
}

func (c *Client) nonce(ctx context.Context, account common.Address, tag string) (uint64, error) {
	var n hexutil.Uint64
	err := c.call(ctx, &n, "eth_getTransactionCount", account, tag)
	return uint64(n), err
}

// Balance returns the wei that account holds at the latest block.
func (c *Client) Balance(ctx context.Context, account common.Address) (*big.Int, error) {
	var b hexutil.Big
	err := c.call(ctx, &b, "eth_getBalance", account, Latest)
	return (*big.Int)(&b), err
}

// TipCap returns the tip the node suggests, in wei per gas.
func (c *Client) TipCap(ctx context.Context) (*big.Int, error) {
	var b hexutil.Big
	err := c.call(ctx, &b, "eth_maxPriorityFeePerGas")
	return (*big.Int)(&b), err
}

// EstimateGas runs a call and returns the gas it takes. A call that reverts
// returns *RevertError.
func (c *Client) EstimateGas(ctx context.Context, from common.Address, to *common.Address, data []byte) (uint64, error) {
	msg := map[string]any{"from": from, "input": hexutil.Bytes(data)}
	if to != nil {
		msg["to"] = to
	}
	var gas hexutil.Uint64
	err := c.call(ctx, &gas, "eth_estimateGas", msg)
	return uint64(gas), err
}

// Send broadcasts a signed transaction.
func (c *Client) Send(ctx context.Context, tx *types.Transaction) error {
	raw, err := tx.MarshalBinary()
	if err != nil {
		return fmt.Errorf("encode transaction %s: %w", tx.Hash(), err)
	}
	return c.call(ctx, nil, "eth_sendRawTransaction", hexutil.Bytes(raw))
}

// Fund moves wei from an account that a development node holds unlocked.
func (c *Client) Fund(ctx context.Context, to common.Address, wei *big.Int) error {
	if !c.Development() {
		return fmt.Errorf("fund %s: chain %d is no development chain: send it ether yourself", to, c.id)
	}
	var accounts []common.Address
	if err := c.call(ctx, &accounts, "eth_accounts"); err != nil {
		return err
	}
	if len(accounts) == 0 {
		return fmt.Errorf("fund %s: the development node holds no account: send it ether yourself", to)
	}
	msg := map[string]any{"from": accounts[0], "to": to, "value": (*hexutil.Big)(wei)}
	return c.call(ctx, nil, "eth_sendTransaction", msg)
}

// CallAt runs a read-only call on the state after one block, named by its hash
// so that a reorganisation between two calls cannot mix two states (EIP-1898).
func (c *Client) CallAt(ctx context.Context, block common.Hash, to common.Address, data []byte) ([]byte, error) {
	var out hexutil.Bytes
	msg := map[string]any{"to": to, "input": hexutil.Bytes(data)}
	err := c.call(ctx, &out, "eth_call", msg, map[string]any{"blockHash": block})
	return out, err
}

// Code returns the code at an address at the latest block.
func (c *Client) Code(ctx context.Context, at common.Address) ([]byte, error) {
	var out hexutil.Bytes
	err := c.call(ctx, &out, "eth_getCode", at, Latest)
	return out, err
}
