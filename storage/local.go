package storage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"tidemark/storage/embedded"
)

// enginePath is where the embedded engine keeps its files.
func enginePath(dir string) string { return filepath.Join(dir, "clickhouse") }

// openLocal runs an engine in this process, or connects to the daemon that has
// just started on the directory.
func openLocal(ctx context.Context, o Options) (*DB, error) {
	if err := os.MkdirAll(o.DataDir, 0o700); err != nil {
		return nil, fmt.Errorf("open storage: %w", err)
	}
	for deadline := time.Now().Add(startWait); daemonPresent(o.DataDir); {
		if dialable(ctx, o.DataDir) {
			return Connect(ctx, socketTransport(o.DataDir), o, nil)
		}
		if time.Now().After(deadline) {
			return nil, fmt.Errorf("open storage: the daemon on %s does not answer: look at its log", o.DataDir)
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(yieldPoll):
		}
	}
	lock, err := lockWithin(ctx, o.DataDir, engineLockName, endingWait)
	if errors.Is(err, ErrLocked) {
		return nil, fmt.Errorf("open storage: another command uses %s: wait for it to end, or start the daemon, beside which commands can run together: %w", o.DataDir, err)
	}
	if err != nil {
		return nil, fmt.Errorf("open storage: %w", err)
	}
	engine, err := startLocal(o)
	if err != nil {
		lock.release()
		return nil, fmt.Errorf("open storage: %w", err)
	}
	l := &localEngine{engine: engine, lock: lock}
	l.yielded, l.yield = context.WithCancelCause(context.Background())
	l.stopWatch = watchDaemon(o.DataDir, func() {
		o.Log.Warn().Str("data_dir", o.DataDir).Msg("a daemon starts: giving up the engine")
		l.yield(ErrYielded)
		// In this goroutine nobody listens to an error: an engine that does
		// not stop is killed with the process, and the daemon says so.
		grace, cancel := context.WithTimeout(context.Background(), yieldGrace)
		defer cancel()
		_ = l.shut(grace)
	})
	db, err := Connect(ctx, l, o, l.close)
	if err != nil {
		return nil, errors.Join(err, l.close(ctx))
	}
	return db, nil
}

func startLocal(o Options) (*embedded.Engine, error) {
	library, err := embedded.FindLibrary(o.Library)
	if err != nil {
		return nil, err
	}
	return embedded.Open(embedded.Options{Path: enginePath(o.DataDir), Library: library, MemoryLimit: o.MemoryLimit})
}

// localEngine is an engine in this process that can be yielded to a daemon.
type localEngine struct {
	engine    *embedded.Engine
	lock      *fileLock
	yielded   context.Context // ends when the engine is given up
	yield     context.CancelCauseFunc
	stopWatch func()

	once    sync.Once
	shutErr error
}

// shut stops the engine, then lets others at the directory.
func (l *localEngine) shut(ctx context.Context) error {
	l.once.Do(func() {
		l.shutErr = l.engine.Close(ctx)
		l.lock.release()
	})
	return l.shutErr
}

func (l *localEngine) close(ctx context.Context) error {
	l.stopWatch()
	return l.shut(ctx)
}

// RoundTrip passes the request to the engine; once the engine is given up every
// request and every body under way fails with ErrYielded.
func (l *localEngine) RoundTrip(r *http.Request) (*http.Response, error) {
	if l.yielded.Err() != nil {
		return nil, ErrYielded
	}
	ctx, cancel := context.WithCancelCause(r.Context())
	stop := context.AfterFunc(l.yielded, func() { cancel(ErrYielded) })
	res, err := l.engine.Transport().RoundTrip(r.WithContext(ctx))
	if err != nil {
		stop()
		cancel(nil)
		return nil, err
	}
	res.Body = &yieldingBody{ReadCloser: res.Body, yielded: l.yielded, release: func() { stop(); cancel(nil) }}
	return res, nil
}

type yieldingBody struct {
	io.ReadCloser
	yielded context.Context
	release func()
}

func (b *yieldingBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != io.EOF && b.yielded.Err() != nil {
		return 0, ErrYielded // what was read may be an exception about the kill
	}
	return n, err
}

func (b *yieldingBody) Close() error {
	defer b.release()
	return b.ReadCloser.Close()
}
