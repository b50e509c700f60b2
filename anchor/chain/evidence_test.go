package chain_test

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"

	"tidemark/anchor/chain"
	"tidemark/anchor/chain/chaintest"
	"tidemark/anchor/chainproof"
)

// anchoredBlock anchors sizes 3 and 9 in one block, amid other transactions, and
// returns what is needed to ask for evidence.
func anchoredBlock(t *testing.T, node *chaintest.Node) (k *chain.Contract, id common.Hash, txs map[uint64]common.Hash, at chain.Block) {
	t.Helper()
	c, ctx, tree := node.Dial(), context.Background(), uniformTree()
	k, err := c.Contract(ctx, node.Deploy())
	if err != nil {
		t.Fatal(err)
	}
	address, accounts := k.Address(), node.Accounts()
	publisher, logID := accounts[0], [32]byte{7}
	id = chain.LogKey(logID, publisher, common.Address{9})
	node.Transact(publisher, &address, logABI.PackOpen(logID, publisher, common.Address{9}))
	node.Call(nil, "evm_setAutomine", false)
	send := func(from, to common.Address, data []byte) (tx common.Hash) {
		node.Call(&tx, "eth_sendTransaction", map[string]any{"from": from, "to": to, "gas": hexutil.Uint64(200_000), "input": hexutil.Bytes(data)})
		return tx
	}
	for i := range 20 {
		send(accounts[1+i%8], common.Address{byte(i), 1}, nil)
	}
	txs = map[uint64]common.Hash{
		3: send(publisher, address, logABI.PackAnchor(id, 3, tree.root(3), nil)),
		9: send(publisher, address, logABI.PackAnchor(id, 9, tree.root(9), tree.consistency(t, 3, 9))),
	}
	node.Mine(1)
	node.Call(nil, "evm_setAutomine", true)
	if at, err = c.Block(ctx, chain.Latest); err != nil {
		t.Fatal(err)
	}
	return k, id, txs, at
}

func TestEvidence_ProvesTheCheckpointFromTheBlockHashAlone(t *testing.T) {
	node := chaintest.Start(t)
	k, id, txs, at := anchoredBlock(t, node)
	node.Mine(3)
	tree := uniformTree()
	for size, prev := range map[uint64]uint64{3: 0, 9: 3} {
		e, facts, err := k.Evidence(context.Background(), id, size, txs[size], at)
		if err != nil {
			t.Fatal(err)
		}
		if !facts.StateProven || facts.Size != size || facts.PrevSize != prev || facts.Root != tree.root(size) || facts.BlockHash != at.Hash ||
			facts.BlockNumber != at.Number || facts.BlockTime != at.Time.Unix() || facts.Publisher != node.Accounts()[0] {
			t.Errorf("size %d: %+v", size, facts)
		}
		p, err := e.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		if len(p) > 24<<10 {
			t.Errorf("evidence of size %d has %d octets", size, len(p))
		}
		if size == 9 {
			golden(t, p)
		}
	}
	if _, _, err := k.Evidence(context.Background(), id, 4, txs[3], at); !errors.Is(err, chainproof.ErrEvidence) {
		t.Errorf("evidence of a size that was not anchored: %v", err)
	}
	at.Hash[0] ^= 1
	if _, _, err := k.Evidence(context.Background(), id, 3, txs[3], at); err == nil {
		t.Error("evidence of a block that does not exist")
	}
}

var update = flag.Bool("update", false, "write chainproof's golden evidence anew")

// golden is evidence that chainproof's tests read.
func golden(t *testing.T, p []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(filepath.Join("..", "chainproof", "testdata", "anvil.json"), p, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// TestEvidence_LyingNodeGivesNone: whatever a node answers, what comes out is
// true or an error.
func TestEvidence_LyingNodeGivesNone(t *testing.T) {
	node := chaintest.Start(t)
	k, id, txs, at := anchoredBlock(t, node)
	lies := map[string]map[string]func(any) any{
		"eth_getBlockByHash": {
			"nothing":       func(any) any { return nil },
			"another state": func(v any) any { v.(map[string]any)["stateRoot"] = common.Hash{1}; return v },
			"another time":  func(v any) any { v.(map[string]any)["timestamp"] = "0x1"; return v },
			"less":          func(v any) any { delete(v.(map[string]any), "requestsHash"); return v },
		},
		"eth_getBlockReceipts": {
			"nothing":       func(any) any { return nil },
			"one less":      func(v any) any { return v.([]any)[1:] },
			"half":          func(v any) any { return v.([]any)[:11] },
			"swapped":       func(v any) any { l := v.([]any); l[0], l[1] = l[1], l[0]; return v },
			"none":          func(any) any { return []any{} },
			"null":          func(v any) any { v.([]any)[3] = nil; return v },
			"another gas":   func(v any) any { v.([]any)[5].(map[string]any)["cumulativeGasUsed"] = "0x1"; return v },
			"another block": func(v any) any { v.([]any)[5].(map[string]any)["blockHash"] = common.Hash{}; return v },
		},
		"eth_getProof": {
			"nothing":    func(any) any { return nil },
			"no storage": func(v any) any { v.(map[string]any)["storageProof"] = []any{}; return v },
			"no account": func(v any) any { v.(map[string]any)["accountProof"] = []any{}; return v },
			"swapped": func(v any) any {
				s := v.(map[string]any)["storageProof"].([]any)
				a, b := s[0].(map[string]any), s[1].(map[string]any)
				a["proof"], b["proof"] = b["proof"], a["proof"]
				return v
			},
		},
	}
	proxy := chaintest.NewProxy(t, node.URL)
	c, err := chain.Dial(context.Background(), proxy.URL, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	behind, err := c.Contract(context.Background(), k.Address())
	if err != nil {
		t.Fatal(err)
	}
	for method, kinds := range lies {
		for name, lie := range kinds {
			proxy.Tell(method, func(result json.RawMessage) string {
				var v any
				if err := json.Unmarshal(result, &v); err != nil {
					t.Fatal(err)
				}
				told, _ := json.Marshal(lie(v))
				return string(told)
			})
			if _, facts, err := behind.Evidence(context.Background(), id, 9, txs[9], at); err == nil {
				t.Errorf("%s, %s: believed: %+v", method, name, facts)
			}
		}
	}
	// A node without the state says so; the event is proven all the same.
	proxy.Tell("eth_getProof", func(json.RawMessage) string {
		return `!{"jsonrpc":"2.0","id":1,"error":{"code":-32000,"message":"missing trie node"}}`
	})
	e, facts, err := behind.Evidence(context.Background(), id, 9, txs[9], at)
	if err != nil || e.State != nil || facts.StateProven || facts.Size != 9 {
		t.Errorf("pruned state: %+v, %v", facts, err)
	}
	proxy.Tell("", nil)
	if _, facts, err = behind.Evidence(context.Background(), id, 9, txs[9], at); err != nil || !facts.StateProven {
		t.Errorf("honest again: %+v, %v", facts, err)
	}
}
