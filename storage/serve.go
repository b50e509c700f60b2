package storage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"tidemark/storage/embedded"
)

// ServeEngine is the body of the engine process: it runs the engine of the data
// directory behind the socket until o.Parent ends or ctx does. The daemon holds
// the locks; the engine's own lock keeps a second engine out.
func ServeEngine(ctx context.Context, o EngineOptions) error {
	dir, err := filepath.Abs(o.DataDir)
	if err != nil {
		return fmt.Errorf("serve engine: %w", err)
	}
	// When memory runs out the kernel shall take this process, not the daemon:
	// the daemon's spool goes on and the engine comes back. Not everywhere
	// allowed, and nothing depends on it.
	_ = os.WriteFile("/proc/self/oom_score_adj", []byte("500"), 0)

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if o.Parent != nil {
		go func() { // ends with the parent or with this process
			_, _ = io.Copy(io.Discard, o.Parent)
			cancel()
		}()
	}
	engine, err := startLocal(Options{DataDir: dir, MemoryLimit: o.MemoryLimit, Library: o.Library})
	if err != nil {
		return fmt.Errorf("serve engine: %w", err)
	}
	err = serveSocket(ctx, dir, engine)
	return errors.Join(err, closeWithin(engine))
}

// serveSocket answers requests until ctx ends, then lets those under way go on
// for a while.
func serveSocket(ctx context.Context, dir string, handler http.Handler) error {
	listener, err := listenSocket(dir)
	if err != nil {
		return fmt.Errorf("serve engine: %w", err)
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second, MaxHeaderBytes: 1 << 20}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	select {
	case err := <-served:
		return fmt.Errorf("serve engine: %w", err)
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), engineGrace)
	defer cancel()
	if err := server.Shutdown(grace); err != nil {
		_ = server.Close() // breaks the connections, which kills their statements
	}
	<-served
	// A successor listens only after the engine's own lock is free, which is
	// later: the name is still ours, or gone.
	if err := os.Remove(filepath.Join(dir, socketName)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("serve engine: %w", err)
	}
	return nil
}

// Times of the engine's end, together below engineStop.
const (
	engineGrace = 5 * time.Second  // for statements under way
	engineClose = 20 * time.Second // for the engine itself
)

// closeWithin stops the engine. An engine that hangs is left to the end of this
// process, which the caller is about to bring.
func closeWithin(engine *embedded.Engine) error {
	done := make(chan error, 1)
	go func() {
		now, cancel := context.WithCancel(context.Background())
		cancel() // statements had engineGrace: kill the rest
		done <- engine.Close(now)
	}()
	select {
	case err := <-done:
		return err
	case <-time.After(engineClose):
		return errors.New("serve engine: the engine does not stop")
	}
}
