package embedded

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// ServeHTTP runs one statement, as ClickHouse's HTTP interface does: the
// statement is the URL parameter `query` followed by the body, or for INSERT
// ... FORMAT the body is the data. Other URL parameters are settings, or query
// parameters with the prefix `param_`. When the client goes away the statement
// is killed.
//
// An error before the first octet of output is a status other than 200; a later
// one is a framed exception at the end of the body, after which the connection
// is broken, so that a short result never looks complete. GET /ping says whether
// the engine answers, however many statements run.
func (e *Engine) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	out := &output{w: w}
	var err error
	if r.URL.Path == "/ping" {
		err = e.ping(out)
	} else {
		err = e.serve(r.Context(), out, r)
	}
	if err == nil {
		return
	}
	// A client that is still sending would see its connection break instead of
	// the answer.
	_, _ = io.Copy(io.Discard, r.Body)
	out.fail(err)
}

// ping runs a trivial statement on the session that is kept for control.
func (e *Engine) ping(out *output) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	select {
	case <-e.closing:
		return errClosing
	default:
	}
	if err := e.control.run("SELECT 1", "Null", nil, nil); err != nil {
		return err
	}
	return out.write([]byte("Ok.\n"))
}

func (e *Engine) serve(ctx context.Context, out *output, r *http.Request) error {
	q, err := parseRequest(r)
	if err != nil {
		return err
	}
	if strings.HasPrefix(q.statement, helloQuery) {
		return hello(out, q.revision, e.Version())
	}
	slots := e.slots
	if q.data != nil {
		slots = e.inserts
	}
	s, name, err := e.begin(ctx, slots)
	if err != nil {
		return err
	}
	defer e.end(s, slots)
	stop := e.watch(ctx, name)
	defer stop()

	class, count := s.classify(q.statement)
	if count > 1 {
		return exceptionf(codeMultiStatements, "Syntax error (Multi-statements are not allowed): got %d statements, want 1", count)
	}
	if q.database != "" && q.database != "default" {
		if err := s.run("USE "+quoteIdentifier(q.database), "Null", nil, nil); err != nil {
			return err
		}
	}
	if q.settings != "" {
		if err := s.run("SET "+q.settings, "Null", nil, nil); err != nil {
			return err
		}
	}
	switch {
	case q.data != nil:
		return insert(ctx, s, q)
	case class == readOnly:
		err := s.stream(q.statement, q.format, q.params, out.write)
		if !notStreamable(err) {
			return err
		}
	}
	err = s.run(q.statement, q.format, q.params, out.write)
	if err == nil && count == 0 {
		// The library passes over octets that hold no statement.
		return exceptionf(codeSyntaxError, "Empty query, or no query at all. (SYNTAX_ERROR)")
	}
	return err
}

// notStreamable reports whether the library refused to stream the statement
// (SHOW, DESCRIBE, EXPLAIN ...), which it does before running it.
func notStreamable(err error) bool {
	var e *Exception
	return errors.As(err, &e) && e.Code == codeBadArguments && strings.Contains(e.Text, "Streaming query is not supported")
}

// insert sends the body to the engine as the data of an INSERT. A body that
// ends early is cancelled: the block in hand is not written.
func insert(ctx context.Context, s *session, q *request) error {
	stream, err := s.insert(q.statement, q.format, q.params)
	if err != nil {
		return err
	}
	buf := make([]byte, 1<<20)
	for {
		n, err := q.data.Read(buf)
		if n > 0 && !stream.append(buf[:n]) {
			if _, err := stream.finish(); err != nil {
				return err
			}
			return exceptionf(codeStdException, "the engine refused the data of the insert and gave no reason")
		}
		if err == io.EOF && ctx.Err() == nil {
			break
		}
		if err != nil {
			stream.cancel()
			return exceptionf(codeNetworkError, "the data of the insert ended early: %v", err)
		}
	}
	_, err = stream.finish()
	return err
}

// output is the response to one request.
type output struct {
	w     http.ResponseWriter
	tag   string // announced to the client, so that data cannot forge an exception
	begun bool
}

func (o *output) write(b []byte) error {
	if !o.begun {
		var tag [8]byte
		rand.Read(tag[:]) // never fails
		o.tag = hex.EncodeToString(tag[:])
		o.w.Header().Set("X-ClickHouse-Exception-Tag", o.tag)
		o.w.Header().Set("Content-Type", "application/octet-stream")
		o.begun = true
	}
	_, err := o.w.Write(b)
	return err
}

// fail ends the response with err.
func (o *output) fail(err error) {
	var e *Exception
	switch {
	case errors.As(err, &e):
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		e = exceptionf(codeQueryCancelled, "Query was cancelled: %v. (QUERY_WAS_CANCELLED)", err)
	default:
		e = exceptionf(codeStdException, "%v", err)
	}
	if !o.begun {
		o.w.Header().Set("X-ClickHouse-Exception-Code", strconv.Itoa(e.Code))
		o.w.Header().Set("Content-Type", "text/plain; charset=UTF-8")
		o.w.WriteHeader(status(e.Code))
		_, _ = io.WriteString(o.w, e.Text+"\n") // the client is gone: nobody is left to tell
		return
	}
	// The frame of ClickHouse's WriteBufferFromHTTPServerResponse.
	const marker = "__exception__"
	_, _ = fmt.Fprintf(o.w, "\r\n%s\r\n%s\r\n%s\n%d %s\r\n%s\r\n", marker, o.tag, e.Text, len(e.Text)+1, o.tag, marker)
	if f, ok := o.w.(http.Flusher); ok {
		f.Flush()
	}
	panic(http.ErrAbortHandler) // net/http's way to break the connection
}

// status is the HTTP status of an exception, as ClickHouse maps the common ones.
func status(code int) int {
	switch code {
	case codeSyntaxError, codeUnknownSetting, codeBadArguments, 27, 47, 53, 456:
		return http.StatusBadRequest
	case 60, 81:
		return http.StatusNotFound
	case codeTooLarge:
		return http.StatusRequestEntityTooLarge
	case codeNotImplemented:
		return http.StatusNotImplemented
	case codeConnectionGone, 241:
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}
