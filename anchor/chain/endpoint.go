package chain

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/rpc"
)

// endpoint is one node of the chain.
type endpoint struct {
	rpc     *rpc.Client
	host    string
	timeout time.Duration

	mu      sync.Mutex
	pinned  bool // it said the chain id wanted
	version string
	err     error // of the last call, nil: it answered
}

// Node tells how one of several nodes is doing.
type Node struct {
	Host    string `json:"host"`
	Serving bool   `json:"serving"` // asked first
	Error   string `json:"error,omitempty"`
}

// DisagreementError says that two nodes name different blocks of a number that
// both call final: one of them lies, or is on a fork. Neither can be believed.
type DisagreementError struct {
	Number       uint64
	HostA, HostB string
	HashA, HashB common.Hash
}

func (e *DisagreementError) Error() string {
	return fmt.Sprintf("nodes disagree about final block %d: %s says %s, %s says %s: one of them lies or follows a fork; compare with a third and take the wrong one out of the configuration",
		e.Number, e.HostA, e.HashA, e.HostB, e.HashB)
}

// newEndpoint prepares a node; it does not connect.
func newEndpoint(ctx context.Context, rawURL string, timeout time.Duration) (*endpoint, error) {
	u, err := url.Parse(rawURL)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return nil, errors.New("rpc url: want http://HOST[:PORT] or https://HOST[/PATH]")
	}
	hc := &http.Client{Transport: boundedTransport{http.DefaultTransport}}
	rc, err := rpc.DialOptions(ctx, rawURL, rpc.WithHTTPClient(hc))
	if err != nil {
		return nil, fmt.Errorf("dial %s: %w", u.Host, redact(err))
	}
	return &endpoint{rpc: rc, host: u.Host, timeout: timeout}, nil
}

// remoteID asks for the chain id and compares it with want, unless that is 0.
func (e *endpoint) remoteID(ctx context.Context, want uint64) (uint64, error) {
	var id hexutil.Uint64
	err := e.call(ctx, &id, "eth_chainId")
	if err == nil && id == 0 {
		err = errors.New("chain id is 0")
	}
	if err == nil && want != 0 && uint64(id) != want {
		err = &WrongChainError{Got: uint64(id), Want: want}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.pinned = e.pinned || err == nil
	return uint64(id), err
}

// ask is call on a node that is known to be of chain id.
func (e *endpoint) ask(ctx context.Context, id uint64, result any, method string, args ...any) error {
	e.mu.Lock()
	pinned := e.pinned
	e.mu.Unlock()
	if !pinned {
		if _, err := e.remoteID(ctx, id); err != nil {
			return err
		}
	}
	return e.call(ctx, result, method, args...)
}

func (e *endpoint) call(ctx context.Context, result any, method string, args ...any) error {
	err := e.exchange(ctx, result, method, args...)
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.err = nil; !answered(err) {
		e.err = err
	}
	return err
}

func (e *endpoint) exchange(ctx context.Context, result any, method string, args ...any) error {
	ctx, cancel := context.WithTimeout(ctx, e.timeout)
	defer cancel()
	var raw json.RawMessage
	if err := e.rpc.CallContext(ctx, &raw, method, args...); err != nil {
		if data, ok := revertData(err); ok {
			return &RevertError{Method: method, Data: data}
		}
		return fmt.Errorf("%s: %w", method, redact(err))
	}
	if result == nil || len(raw) == 0 {
		return nil
	}
	if err := json.Unmarshal(raw, result); err != nil {
		return fmt.Errorf("%s: node answered nonsense: %w", method, err)
	}
	return nil
}

// answered tells an answer, if a refusal, from a node that gave none: then
// another one is asked.
func answered(err error) bool {
	const methodNotFound, limitExceeded = -32601, -32005 // JSON-RPC 2.0, EIP-1474
	var refusal rpc.Error
	if errors.As(err, &refusal) {
		return refusal.ErrorCode() != methodNotFound && refusal.ErrorCode() != limitExceeded
	}
	var revert *RevertError
	var wrong *WrongChainError
	return err == nil || errors.As(err, &revert) || errors.As(err, &wrong)
}

// call asks the serving node, and the others in their order if it gives no
// answer; the one that does serves from then on.
func (c *Client) call(ctx context.Context, result any, method string, args ...any) error {
	if len(c.endpoints) == 1 {
		return c.endpoints[0].ask(ctx, c.id, result, method, args...)
	}
	serving := c.serving.Load()
	var errs []error
	for i := range c.endpoints {
		n := (int(serving) + i) % len(c.endpoints)
		e := c.endpoints[n]
		err := e.ask(ctx, c.id, result, method, args...)
		if answered(err) {
			c.serving.CompareAndSwap(serving, int32(n))
			return err
		}
		errs = append(errs, fmt.Errorf("%s: %w", e.host, err))
		if ctx.Err() != nil {
			break
		}
	}
	return errors.Join(errs...)
}

// Agree asks all nodes for their finalized block, and holds the oldest of these
// against each of them; the first that answers serves from then on. It returns
// *DisagreementError, *WrongChainError or nil: nodes that do not answer can
// neither agree nor disagree.
func (c *Client) Agree(ctx context.Context) error {
	if len(c.endpoints) == 1 {
		return nil
	}
	blocks := make([]Block, len(c.endpoints))
	errs := make([]error, len(c.endpoints))
	each := func(do func(i int)) {
		var wg sync.WaitGroup
		for i := range c.endpoints {
			wg.Go(func() { do(i) })
		}
		wg.Wait()
	}
	each(func(i int) {
		e := c.endpoints[i]
		if _, errs[i] = e.remoteID(ctx, c.id); errs[i] == nil {
			blocks[i], errs[i] = readBlock(ctx, e.call, Finalized)
		}
	})
	first, number := -1, uint64(0)
	for i, err := range errs {
		var wrong *WrongChainError
		if errors.As(err, &wrong) {
			return fmt.Errorf("%s: %w", c.endpoints[i].host, err)
		}
		if err == nil && (first < 0 || blocks[i].Number < number) {
			number = blocks[i].Number
		}
		if err == nil && first < 0 {
			first = i
		}
	}
	if first < 0 {
		return nil
	}
	c.serving.Store(int32(first))
	each(func(i int) {
		if errs[i] == nil && blocks[i].Number != number {
			blocks[i], errs[i] = readBlock(ctx, c.endpoints[i].call, hexutil.EncodeUint64(number))
		}
	})
	for i := first + 1; i < len(blocks); i++ {
		if errs[i] == nil && errs[first] == nil && blocks[i].Hash != blocks[first].Hash {
			return &DisagreementError{Number: number, HostA: c.endpoints[first].host, HashA: blocks[first].Hash, HostB: c.endpoints[i].host, HashB: blocks[i].Hash}
		}
	}
	return nil
}

// Nodes tells how the nodes are doing, in the order they were given.
func (c *Client) Nodes() []Node {
	out := make([]Node, len(c.endpoints))
	for i, e := range c.endpoints {
		e.mu.Lock()
		out[i] = Node{Host: e.host, Serving: int(c.serving.Load()) == i}
		if e.err != nil {
			out[i].Error = e.err.Error()
		}
		e.mu.Unlock()
	}
	return out
}

// redact takes the URL, which may hold an access key, out of an error of net/http.
func redact(err error) error {
	var ue *url.Error
	if errors.As(err, &ue) {
		return ue.Err
	}
	var he rpc.HTTPError
	if errors.As(err, &he) {
		return fmt.Errorf("HTTP status %s", he.Status)
	}
	return err
}

// boundedTransport cuts a response body after maxResponse octets.
type boundedTransport struct{ next http.RoundTripper }

func (t boundedTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := t.next.RoundTrip(r)
	if err == nil {
		resp.Body = struct {
			io.Reader
			io.Closer
		}{io.LimitReader(resp.Body, maxResponse), resp.Body}
	}
	return resp, err
}

// developmentTool tells whether a node calls itself one.
func developmentTool(version string) bool {
	v := strings.ToLower(version)
	for _, tool := range []string{"anvil", "hardhat", "ganache", "foundry"} {
		if strings.HasPrefix(v, tool) {
			return true
		}
	}
	return false
}
