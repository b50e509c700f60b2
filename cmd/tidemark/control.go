package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/user"
	"strings"
	"syscall"

	"github.com/urfave/cli/v2"
)

// controlSocket is where a running daemon takes what only it can do: whatever
// changes the record, and what it alone knows. Mode 0600 in a 0700 directory.
const controlSocket = "control.sock"

// errNoDaemon says that no daemon runs on the data directory.
var errNoDaemon = errors.New("no daemon runs on this data directory")

// daemonClient talks to the daemon of a data directory.
type daemonClient struct {
	dir  string
	http *http.Client
}

func newDaemonClient(dir string) *daemonClient {
	return &daemonClient{dir: dir, http: &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return dialUnix(ctx, dir, controlSocket) },
	}}}
}

// running says whether a daemon answers.
func (d *daemonClient) running(ctx context.Context) bool {
	c, err := dialUnix(ctx, d.dir, controlSocket)
	if err != nil {
		return false
	}
	c.Close()
	return true
}

// call sends one request; the caller closes the body. A refusal by the daemon
// comes back with its own text and exit code.
func (d *daemonClient) call(ctx context.Context, method, path string, query url.Values, body io.Reader) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://daemon"+path+"?"+query.Encode(), body)
	if err != nil {
		return nil, err
	}
	resp, err := d.http.Do(req)
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
		return nil, errNoDaemon
	}
	if errors.Is(err, fs.ErrPermission) {
		return nil, dirError(d.dir, fmt.Errorf("ask the daemon on %s: %w", d.dir, fs.ErrPermission))
	}
	if err != nil {
		var noise *url.Error // the address in it is made up
		if errors.As(err, &noise) {
			err = noise.Err
		}
		return nil, codedError{exitUnreachable, fmt.Errorf("ask the daemon on %s: %w", d.dir, err)}
	}
	if resp.StatusCode >= 300 {
		defer resp.Body.Close()
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
		err := errors.New(strings.TrimSpace(string(text)))
		if resp.StatusCode == http.StatusBadRequest {
			return nil, usageError{err}
		}
		return nil, err
	}
	return resp, nil
}

// get reads a JSON answer into v; post sends one first.
func (d *daemonClient) get(ctx context.Context, path string, v any) error {
	return d.exchange(ctx, http.MethodGet, path, nil, v)
}

func (d *daemonClient) post(ctx context.Context, path string, in, v any) error {
	text, err := json.Marshal(in)
	if err != nil {
		return err
	}
	return d.exchange(ctx, http.MethodPost, path, bytes.NewReader(text), v)
}

func (d *daemonClient) exchange(ctx context.Context, method, path string, body io.Reader, v any) error {
	resp, err := d.call(ctx, method, path, nil, body)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(v); err != nil {
		return fmt.Errorf("read the daemon's answer to %s: %w", path, err)
	}
	return nil
}

// askNode has the holder of the ledger do something: the daemon by its path, or this
// process if none runs.
func askNode[T any](c *cli.Context, path string, req any, here func(context.Context, *node) (T, error)) (done T, err error) {
	err = newDaemonClient(c.String("data-dir")).post(c.Context, path, req, &done)
	if !errors.Is(err, errNoDaemon) {
		return done, err
	}
	err = withStore(c, func(s *store) error {
		return s.withNode(c.Context, func(ctx context.Context, n *node) (err error) {
			done, err = here(ctx, n)
			return err
		})
	})
	return done, err
}

// actor is who acts: the operating system's user, and the name given by --as.
func actor(as string) string {
	name := fmt.Sprintf("uid %d", os.Getuid())
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	if as != "" && as != name {
		return fmt.Sprintf("%s as %s", name, as)
	}
	return name
}

// answer writes v as JSON, or err as text with a status that tells a fault of
// the request from one of the daemon.
func answer(w http.ResponseWriter, v any, err error) {
	if err != nil {
		status := http.StatusInternalServerError
		var usage usageError
		if errors.As(err, &usage) {
			status = http.StatusBadRequest
		}
		http.Error(w, err.Error(), status)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // the client has gone, if this fails
}
