package publish

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"tidemark/anchor/chain"
	"tidemark/anchor/chain/chaintest"
)

// several is a world with two nodes of one chain, each behind a proxy.
func several(t *testing.T) (w *world, a, b *chaintest.Proxy) {
	t.Helper()
	w = newWorld(t)
	a, b = chaintest.NewProxy(t, w.node.URL), chaintest.NewProxy(t, w.node.URL)
	w.cfg.RPC, w.cfg.Timeout = []string{a.URL, b.URL}, 300*time.Millisecond
	w.restart()
	return w, a, b
}

func serving(s Status) string {
	for _, n := range s.Nodes {
		if n.Serving {
			return n.Host
		}
	}
	return ""
}

func host(p *chaintest.Proxy) string { return strings.TrimPrefix(p.URL, "http://") }

func TestNodes_FailoverWhateverTheFault(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	defer close(release)
	half := func(w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Set("Content-Length", "1000")
		_, _ = w.Write([]byte(`{"jsonrpc":"2.0","id":1,"resu`))
		return true
	}
	for name, fault := range map[string]func(http.ResponseWriter, *http.Request) bool{
		"error 502": func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(http.StatusBadGateway); return true },
		"too many": func(w http.ResponseWriter, _ *http.Request) bool {
			w.WriteHeader(http.StatusTooManyRequests)
			return true
		},
		"limit": func(w http.ResponseWriter, _ *http.Request) bool {
			_, _ = w.Write([]byte(`{"jsonrpc":"2.0","id":1,"error":{"code":-32005,"message":"limit exceeded"}}`))
			return true
		},
		"half":   half,
		"hangup": func(http.ResponseWriter, *http.Request) bool { panic(http.ErrAbortHandler) },
		"stalls": func(_ http.ResponseWriter, r *http.Request) bool {
			select {
			case <-release:
			case <-r.Context().Done():
			}
			return true
		},
	} {
		t.Run(name, func(t *testing.T) {
			w, a, b := several(t)
			w.log.grow(2, 0)
			if s := w.until("anchored", anchored(2)); serving(s) != host(a) {
				t.Errorf("the preferred node does not serve: %+v", s.Nodes)
			}
			a.Fail(fault)
			w.log.grow(2, 0)
			s := w.until("anchored", anchored(4))
			if serving(s) != host(b) || s.Node != host(b) || s.Nodes[0].Error == "" || strings.Contains(s.Nodes[0].Error, "http://") {
				t.Errorf("nodes: %+v", s.Nodes)
			}
			a.Fail(nil)
			w.skew += agreeInterval
			w.step()
			if s := w.p.Status(); serving(s) != host(a) || s.Nodes[0].Error != "" {
				t.Errorf("the preferred node is back and does not serve: %+v", s.Nodes)
			}
			b.Fail(fault)
			w.log.grow(2, 0)
			w.until("anchored", anchored(6))
			a.Fail(fault)
			if err := w.step(); err == nil || errors.Is(err, ErrRefused) || strings.Contains(err.Error(), "http://") {
				t.Errorf("no node answers: %v, want an error that passes", err)
			}
			w.restart()
			if err := w.step(); err == nil || errors.Is(err, ErrRefused) {
				t.Errorf("no node answers at start: %v, want an error that passes", err)
			}
		})
	}
}

func TestNodes_DisagreementStopsTrust(t *testing.T) {
	w, a, b := several(t)
	w.log.grow(2, 0)
	w.until("anchored", anchored(2))
	w.node.Mine(3)
	w.step()
	w.skew += developmentDelay
	w.step()
	if _, ok := w.p.FinalizedBlock(); !ok {
		t.Fatal("no finalized block is known")
	}
	lie := func(result json.RawMessage) string {
		var v map[string]any
		if err := json.Unmarshal(result, &v); err != nil || v == nil {
			return string(result)
		}
		v["hash"] = "0x" + strings.Repeat("77", 32)
		told, _ := json.Marshal(v)
		return string(told)
	}
	b.Tell("eth_getBlockByNumber", lie)
	sent := a.Asked("eth_sendRawTransaction") + b.Asked("eth_sendRawTransaction")
	w.log.grow(2, 0)
	w.skew += time.Hour
	for range 3 { // not only the first look
		var disagree *chain.DisagreementError
		err := w.step()
		if !errors.As(err, &disagree) || !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), host(a)) || !strings.Contains(err.Error(), host(b)) {
			t.Fatalf("got %v, want a refusal that names both nodes", err)
		}
	}
	if s := w.p.Status(); !s.Refused || s.Backlog != 2 {
		t.Errorf("status: %+v", s)
	}
	if block, ok := w.p.FinalizedBlock(); ok {
		t.Errorf("headers would still name block %d", block.Number)
	}
	if now := a.Asked("eth_sendRawTransaction") + b.Asked("eth_sendRawTransaction"); now != sent {
		t.Errorf("%d transactions were sent", now-sent)
	}
	b.Tell("", nil)
	w.until("anchored", anchored(4))
}

func TestNodes_EachIsHeldToTheChainID(t *testing.T) {
	w, a, b := several(t)
	w.log.grow(2, 0)
	w.until("anchored", anchored(2))
	other := chaintest.Start(t, "--chain-id", "999")
	wrong := new(chain.WrongChainError)
	b.Lead(other.URL)
	w.skew += agreeInterval
	if err := w.step(); !errors.As(err, &wrong) || !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), host(b)) {
		t.Errorf("the second node changed chains: %v", err)
	}
	w.restart()
	if err := w.step(); !errors.As(err, &wrong) || !errors.Is(err, ErrRefused) {
		t.Errorf("at start: %v", err)
	}
	// A node that was away at start is held to it when it comes.
	b.Lead("http://127.0.0.1:1")
	w.restart()
	if err := w.step(); err != nil {
		t.Errorf("one node away: %v", err)
	}
	b.Lead(other.URL)
	a.Lead("http://127.0.0.1:1")
	if err := w.step(); !errors.As(err, &wrong) || !errors.Is(err, ErrRefused) {
		t.Errorf("the only node that answers is of another chain: %v", err)
	}
}
