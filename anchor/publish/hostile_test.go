package publish

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/rs/zerolog"

	"tidemark/anchor/chain"
	"tidemark/anchor/chain/chaintest"
)

func always(s string) func(json.RawMessage) string { return func(json.RawMessage) string { return s } }

// swap replaces hex digits in the honest answer: well-formed and wrong.
func swap(from, to string) func(json.RawMessage) string {
	return func(r json.RawMessage) string { return strings.ReplaceAll(string(r), from, to) }
}

var lies = map[string]func(json.RawMessage) string{
	"null":        always("null"),
	"number":      always("7"),
	"negative":    always(`"-0x1"`),
	"text":        always(`"0xzz"`),
	"empty text":  always(`""`),
	"0x":          always(`"0x"`),
	"zero":        always(`"0x0"`),
	"2^64-1":      always(`"0xffffffffffffffff"`),
	"2^256-1":     always(`"0x` + strings.Repeat("f", 64) + `"`),
	"300 bits":    always(`"0x` + strings.Repeat("f", 75) + `"`),
	"empty list":  always("[]"),
	"empty":       always("{}"),
	"deep":        always(strings.Repeat("[", 20000) + strings.Repeat("]", 20000)),
	"other digit": swap("1", "2"),
	"all zeros":   swap("a", "0"),
	"no JSON":     always("!<html>502 Bad Gateway</html>"),
	"half":        always(`!{"jsonrpc":"2.0","id":1,"res`),
	"nothing":     always("!"),
	"error":       always(`!{"jsonrpc":"2.0","id":1,"error":{"code":-32000,"message":"no","data":"0x08c379a0"}}`),
	"words":       always(`"0x` + strings.Repeat("ff", 192) + `"`),
}

// TestPublisher_LyingNodeCausesErrorsNotDamage falsifies every method in every
// way while a log is anchored. Nothing may panic or fork, and once the node is
// honest again everything is anchored.
func TestPublisher_LyingNodeCausesErrorsNotDamage(t *testing.T) {
	t.Parallel()
	node := chaintest.Start(t, "--slots-in-an-epoch", "1")
	l := chaintest.NewProxy(t, node.URL)
	methods := []string{
		"eth_chainId", "web3_clientVersion", "eth_getBlockByNumber", "eth_getTransactionReceipt", "eth_getTransactionCount",
		"eth_getBalance", "eth_maxPriorityFeePerGas", "eth_estimateGas", "eth_sendRawTransaction", "eth_call", "eth_getCode", "eth_getLogs",
	}
	w := newWorldOn(t, node)
	w.cfg.RPC, w.cfg.Log = []string{l.URL}, zerolog.Nop()
	w.restart()
	w.log.grow(2, 0)
	w.until("anchored", anchored(2))
	key, contract := w.p.state.LogKey, w.p.state.Contract
	for _, method := range methods {
		for name, lie := range lies {
			w.log.grow(1, 0)
			w.skew += time.Hour
			l.Tell(method, lie)
			for range 2 {
				w.step()
				w.skew += 10 * time.Second
			}
			if name == "null" || name == "2^64-1" {
				w.restart() // and start with the lie
				w.step()
			}
			l.Tell("", nil)
			size, _ := w.log.Checkpoint()
			w.until("anchored after the lie "+name+" to "+method, anchored(size))
			if w.p.state.LogKey != key || w.p.state.Contract != contract {
				t.Fatalf("%s to %s: another log or contract: %+v", name, method, w.p.state)
			}
		}
	}
	size, root := w.log.Checkpoint()
	if st := w.onChain(); st.Size != size || st.Root != root {
		t.Errorf("contract: %+v, want %d %x", st, size, root)
	}
	for _, m := range methods {
		if m != "eth_getLogs" && l.Asked(m) == 0 {
			t.Errorf("%s was never asked: the test proves nothing about it", m)
		}
	}
}

func TestClient_StallingAndEndlessNodesEnd(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	for name, handler := range map[string]http.HandlerFunc{
		"stalls": func(http.ResponseWriter, *http.Request) { <-release },
		"endless": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write([]byte(`{"jsonrpc":"2.0","id":1,"result":"0x`))
			chunk := bytes.Repeat([]byte("f"), 1<<20)
			for range 40 { // more than the client takes
				if _, err := w.Write(chunk); err != nil {
					return
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			srv := httptest.NewServer(handler)
			t.Cleanup(srv.CloseClientConnections)
			ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
			defer cancel()
			if _, err := chain.Dial(ctx, srv.URL+"/v3/SECRET", 0); err == nil || strings.Contains(err.Error(), "SECRET") {
				t.Errorf("got %v, want an error without the URL's path", err)
			}
		})
	}
}

func TestPublisher_UnnamedPublicChainIsRefused(t *testing.T) {
	node := chaintest.Start(t, "--chain-id", "777")
	l := chaintest.NewProxy(t, node.URL)
	l.Tell("web3_clientVersion", always(`"Geth/v1.17.10"`))
	w := newWorldOn(t, node)
	w.cfg.RPC = []string{l.URL}
	w.restart()
	if err := w.step(); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "777") {
		t.Errorf("no chain id configured: %v", err)
	}
	w.cfg.ChainID = 777
	w.restart()
	if err := w.step(); !errors.Is(err, ErrRefused) || !errors.Is(err, ErrNoKey) {
		t.Errorf("no key: %v", err)
	}
	key, _ := parseKey(PublisherRole, secret)
	w.cfg.Key = key
	w.restart()
	if err := w.step(); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "contract") {
		t.Errorf("no contract: %v", err)
	}
	node.Fund(key.Address(), 1)
	c, err := chain.Dial(context.Background(), l.URL, 777)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	d, err := Executor{Client: c, Key: key, Dir: t.TempDir(), Log: zerolog.Nop()}.Deploy(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	w.cfg.Contract = d.Address
	w.restart()
	w.log.grow(3, 0)
	s := w.until("anchored", anchored(3))
	if s.Development || s.Warning != "" || s.Rotator != (common.Address{}) {
		t.Errorf("status: %+v", s)
	}
}
