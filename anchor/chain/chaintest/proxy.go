package chaintest

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

// Proxy stands before an honest node and falsifies what a test tells it to.
type Proxy struct {
	*httptest.Server
	mu     sync.Mutex
	honest string
	method string
	lie    func(result json.RawMessage) string
	fault  func(http.ResponseWriter, *http.Request) bool
	asked  map[string]int
}

// NewProxy starts a proxy before the node at a URL; it is honest until told otherwise.
func NewProxy(t testing.TB, honest string) *Proxy {
	t.Helper()
	p := &Proxy{honest: honest, asked: map[string]int{}}
	p.Server = httptest.NewServer(http.HandlerFunc(p.serve))
	t.Cleanup(func() { p.CloseClientConnections(); p.Close() })
	return p
}

// Tell has the proxy put lie in the place of the result of one method. A lie that
// begins with "!" replaces the whole body. An empty method ends it.
func (p *Proxy) Tell(method string, lie func(result json.RawMessage) string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.method, p.lie = method, lie
}

// Fail has the proxy call fault with each request first: it answers, or returns
// false to let the request through. Nil ends it.
func (p *Proxy) Fail(fault func(http.ResponseWriter, *http.Request) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fault = fault
}

// Lead has the proxy ask another node from now on.
func (p *Proxy) Lead(honest string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.honest = honest
}

// Asked says how often a method was asked for; "" counts them all.
func (p *Proxy) Asked(method string) (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for m, times := range p.asked {
		if method == "" || m == method {
			n += times
		}
	}
	return n
}

func (p *Proxy) serve(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	var q struct{ Method string }
	_ = json.Unmarshal(body, &q)
	p.mu.Lock()
	p.asked[q.Method]++
	honest, fault, lie := p.honest, p.fault, p.lie
	if q.Method != p.method {
		lie = nil
	}
	p.mu.Unlock()
	if fault != nil && fault(w, r) {
		return
	}
	resp, err := http.Post(honest, "application/json", bytes.NewReader(body))
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	defer resp.Body.Close()
	answer, _ := io.ReadAll(resp.Body)
	if lie != nil {
		var a struct{ ID, Result json.RawMessage }
		_ = json.Unmarshal(answer, &a)
		if told := lie(a.Result); strings.HasPrefix(told, "!") {
			answer = []byte(told[1:])
		} else {
			answer = []byte(`{"jsonrpc":"2.0","id":` + string(a.ID) + `,"result":` + told + `}`)
		}
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(answer)
}
