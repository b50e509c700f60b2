// Package chaintest runs a bare Anvil for tests: no supervision, no state file,
// every switch in the test's hand.
package chaintest

import (
	"bytes"
	"context"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/rpc"

	"tidemark/anchor/chain"
)

// Node is a running Anvil. It mines a block per transaction unless told otherwise.
type Node struct {
	URL string
	t   testing.TB
	rpc *rpc.Client
	cmd *exec.Cmd
}

// Start runs Anvil on a free port with these extra flags until the test ends. It
// skips the test when Anvil is not set up, and fails it when CI=true.
func Start(t testing.TB, args ...string) *Node {
	t.Helper()
	anvil, err := chain.FindAnvil()
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	l.Close()
	out := new(bytes.Buffer)
	cmd := exec.Command(anvil, append([]string{"--host", "127.0.0.1", "--port", fmt.Sprint(port), "--quiet"}, args...)...)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	n := &Node{URL: fmt.Sprintf("http://127.0.0.1:%d", port), t: t, cmd: cmd}
	t.Cleanup(n.Stop)
	if n.rpc, err = rpc.Dial(n.URL); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		var id hexutil.Uint64
		if err := n.rpc.Call(&id, "eth_chainId"); err == nil {
			return n
		}
		if time.Now().After(deadline) {
			n.Stop()
			t.Fatalf("anvil does not answer: %s", out)
		}
	}
}

// Stop kills the node; the test's end does too.
func (n *Node) Stop() {
	if n.cmd.ProcessState == nil {
		_ = n.cmd.Process.Kill()
		_ = n.cmd.Wait()
	}
}

// Call runs an RPC method and fails the test on an error. A nil result drops the answer.
func (n *Node) Call(result any, method string, args ...any) {
	n.t.Helper()
	if err := n.rpc.Call(result, method, args...); err != nil {
		n.t.Fatalf("%s: %v", method, err)
	}
}

// Mine makes blocks.
func (n *Node) Mine(blocks int) {
	n.t.Helper()
	n.Call(nil, "anvil_mine", hexutil.Uint64(blocks))
}

// Fund sets the balance of an account, in ether.
func (n *Node) Fund(account common.Address, ether int64) {
	n.t.Helper()
	wei := new(big.Int).Mul(big.NewInt(ether), big.NewInt(1e18))
	n.Call(nil, "anvil_setBalance", account, (*hexutil.Big)(wei))
}

// Accounts returns the accounts that the node holds unlocked.
func (n *Node) Accounts() []common.Address {
	n.t.Helper()
	var a []common.Address
	n.Call(&a, "eth_accounts")
	return a
}

// Transact sends a transaction from an unlocked account and returns its receipt.
// The node must be mining.
func (n *Node) Transact(from common.Address, to *common.Address, data []byte) Receipt {
	n.t.Helper()
	msg := map[string]any{"from": from, "input": hexutil.Bytes(data), "gas": hexutil.Uint64(10e6)}
	if to != nil {
		msg["to"] = to
	}
	var tx common.Hash
	n.Call(&tx, "eth_sendTransaction", msg)
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		var r *Receipt
		n.Call(&r, "eth_getTransactionReceipt", tx)
		if r != nil {
			return *r
		}
	}
	n.t.Fatalf("no receipt of %s", tx)
	return Receipt{}
}

// Receipt is the outcome of Transact.
type Receipt struct {
	Status   hexutil.Uint64  `json:"status"`
	GasUsed  hexutil.Uint64  `json:"gasUsed"`
	Contract *common.Address `json:"contractAddress"`
}

// Deploy deploys the contract.
func (n *Node) Deploy() common.Address {
	n.t.Helper()
	r := n.Transact(n.Accounts()[0], nil, chain.DeployData())
	if r.Contract == nil || r.Status != 1 {
		n.t.Fatalf("deploy: %+v", r)
	}
	return *r.Contract
}

// Dial connects a client that ends with the test.
func (n *Node) Dial() *chain.Client {
	n.t.Helper()
	c, err := chain.Dial(context.Background(), n.URL, 0)
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(c.Close)
	return c
}
