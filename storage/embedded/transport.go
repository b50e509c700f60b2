package embedded

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
)

// Transport returns a RoundTripper that calls the engine in this process,
// without a socket. Every request goes to the engine, whatever its host.
func (e *Engine) Transport() http.RoundTripper { return transport{e} }

type transport struct{ handler http.Handler }

// RoundTrip returns when the response begins. Closing the response body early
// cancels the statement, as with a socket.
func (t transport) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancel(r.Context())
	body := &requestBody{rc: r.Body}
	if r.Body == nil {
		body.rc = http.NoBody
	}
	inner := r.Clone(ctx)
	inner.Body = body

	pr, pw := io.Pipe()
	w := &responseWriter{header: make(http.Header), pipe: pw, begun: make(chan struct{})}
	go func() {
		defer cancel()
		defer w.end()
		t.handler.ServeHTTP(w, inner)
	}()

	select {
	case <-w.begun:
	case <-ctx.Done():
	}
	_ = body.Close() // the caller gets its buffers back
	select {
	case <-w.begun: // first: a handler that has answered and returned has ended ctx as well
	default:
		_ = pr.CloseWithError(ctx.Err()) // the engine is being told
		return nil, context.Cause(ctx)
	}
	res := &http.Response{
		Status: http.StatusText(w.status), StatusCode: w.status,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: w.header, Request: r,
		Body: &responseBody{pr, cancel}, ContentLength: -1,
	}
	if w.empty {
		res.ContentLength = 0
	}
	return res, nil
}

// requestBody lets RoundTrip take the body away from a handler that outlives it.
type requestBody struct {
	mu sync.Mutex
	rc io.ReadCloser // nil once closed
}

func (b *requestBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.rc == nil {
		return 0, http.ErrBodyReadAfterClose
	}
	return b.rc.Read(p)
}

func (b *requestBody) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.rc == nil {
		return nil
	}
	rc := b.rc
	b.rc = nil
	return rc.Close()
}

// responseWriter is the handler's side of a response.
type responseWriter struct {
	header http.Header
	pipe   *io.PipeWriter
	once   sync.Once
	begun  chan struct{} // closed when status and header stand
	status int
	empty  bool
}

func (w *responseWriter) Header() http.Header { return w.header }

func (w *responseWriter) WriteHeader(status int) {
	w.once.Do(func() {
		w.status = status
		close(w.begun)
	})
}

func (w *responseWriter) Write(b []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.pipe.Write(b)
}

// end closes the response when the handler has returned. Deferred: a handler
// that aborts breaks the body, any other panic goes on.
func (w *responseWriter) end() {
	var err error
	if p := recover(); p != nil {
		if e, ok := p.(error); !ok || !errors.Is(e, http.ErrAbortHandler) {
			panic(p)
		}
		err = io.ErrUnexpectedEOF
	}
	w.once.Do(func() {
		w.status, w.empty = http.StatusOK, true
		close(w.begun)
	})
	_ = w.pipe.CloseWithError(err)
}

type responseBody struct {
	*io.PipeReader
	cancel context.CancelFunc
}

func (b *responseBody) Close() error {
	b.cancel()
	return b.PipeReader.Close()
}
