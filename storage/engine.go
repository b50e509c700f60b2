package storage

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
)

// EngineOptions describes the engine process of a daemon, for both sides: the
// daemon that starts it and the process itself.
type EngineOptions struct {
	DataDir     string
	MemoryLimit uint64 // bytes, 0 = default of Options
	Library     string // "" = search
	// Command is the engine's command line, which must lead to ServeEngine with
	// standard input as Parent; nil = this program with "engine --data-dir DIR".
	Command []string
	// Parent is what ServeEngine reads until its end: the daemon's end of life.
	Parent     io.Reader
	Log        zerolog.Logger
	Registerer prometheus.Registerer // nil = no metrics
}

// Times of the supervisor.
const (
	engineStart   = 60 * time.Second // to answer the first time: a large database loads its parts
	engineStop    = 30 * time.Second // to end after its standard input closed, then it is killed
	healthEvery   = 5 * time.Second
	healthTimeout = 20 * time.Second
	healthMisses  = 3 // unanswered in a row: the engine hangs and is killed
	backoffMin    = 50 * time.Millisecond
	backoffMax    = 2 * time.Second
	backoffForget = 5 * time.Second // an engine that ran this long starts at backoffMin again
)

// Engine supervises the engine process of a daemon. While it lives, no other
// daemon and no command's own engine can use the data directory.
type Engine struct {
	o      EngineOptions
	daemon *fileLock
	lock   *fileLock
	client *http.Client

	mu    sync.Mutex
	child *child

	restarts prometheus.Counter
}

// StartEngine takes the data directory, asking a command that holds it to
// yield, and starts the engine process. It returns when the engine answers; the
// caller must then call Run.
func StartEngine(ctx context.Context, o EngineOptions) (*Engine, error) {
	dir, err := filepath.Abs(o.DataDir)
	if err != nil {
		return nil, fmt.Errorf("start engine: %w", err)
	}
	o.DataDir = dir
	if o.Command == nil {
		self, err := os.Executable()
		if err != nil {
			return nil, fmt.Errorf("start engine: %w", err)
		}
		o.Command = []string{self, "engine", "--data-dir", dir}
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("start engine: %w", err)
	}
	e := &Engine{o: o, client: &http.Client{Transport: socketTransport(dir)}}
	e.restarts = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "tidemark_storage_engine_restarts_total",
		Help: "Times the engine process was started again after it had died.",
	})
	if e.daemon, err = lockWithin(ctx, dir, daemonLockName, probeWait); err != nil {
		if errors.Is(err, ErrLocked) {
			return nil, fmt.Errorf("start engine: a daemon already runs on %s: stop it, or choose another data directory: %w", dir, err)
		}
		return nil, fmt.Errorf("start engine: %w", err)
	}
	if e.lock, err = lockWithin(ctx, dir, engineLockName, yieldWait); err != nil {
		e.daemon.release()
		if errors.Is(err, ErrLocked) {
			return nil, fmt.Errorf("start engine: a command holds %s and has not given it up within %s: stop it: %w", dir, yieldWait, err)
		}
		return nil, fmt.Errorf("start engine: %w", err)
	}
	if err := e.spawn(ctx); err != nil {
		e.release()
		return nil, fmt.Errorf("start engine: %w", err)
	}
	if o.Registerer != nil {
		if err := o.Registerer.Register(e.restarts); err != nil {
			e.child.stop()
			e.release()
			return nil, fmt.Errorf("start engine: %w", err)
		}
	}
	return e, nil
}

func (e *Engine) release() {
	e.lock.release()
	e.daemon.release()
}

// Run starts the engine process again whenever it dies or hangs, until ctx
// ends; then it stops the process and gives the data directory up. Whoever
// uses the engine must have finished by then.
func (e *Engine) Run(ctx context.Context) error {
	defer e.release()
	defer e.client.CloseIdleConnections()
	backoff := backoffMin
	for {
		started := time.Now()
		err := e.guard(ctx)
		if ctx.Err() != nil {
			return e.child.stop()
		}
		if time.Since(started) > backoffForget {
			backoff = backoffMin
		}
		for {
			e.o.Log.Error().Err(err).Dur("backoff", backoff).Msg("engine process died: starting it again")
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(backoff):
			}
			backoff = min(2*backoff, backoffMax)
			e.restarts.Inc()
			if err = e.spawn(ctx); err == nil {
				break
			}
			if ctx.Err() != nil {
				return nil // spawn has stopped the process
			}
		}
	}
}

// guard returns when the process has died, or was killed because it hung, or
// when ctx ends.
func (e *Engine) guard(ctx context.Context) error {
	tick := time.NewTicker(healthEvery)
	defer tick.Stop()
	misses := 0
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-e.child.done:
			return e.child.err
		case <-tick.C:
		}
		err := e.ping(ctx, healthTimeout)
		if err == nil || ctx.Err() != nil {
			misses = 0
			continue
		}
		misses++
		e.o.Log.Warn().Err(err).Int("misses", misses).Msg("engine process does not answer")
		if misses == healthMisses {
			return errors.Join(fmt.Errorf("engine process hangs: %w", err), e.child.kill())
		}
	}
}

// ping asks the engine to run a trivial statement. Any answer will do: one that
// complains about memory comes from an engine that is alive.
func (e *Engine) ping(ctx context.Context, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://engine/ping", nil)
	if err != nil {
		return err
	}
	res, err := e.client.Do(req)
	if err != nil {
		return err
	}
	return res.Body.Close()
}

// Pid is the process id of the engine.
func (e *Engine) Pid() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.child.cmd.Process.Pid
}

// spawn starts the process and waits until it answers.
func (e *Engine) spawn(ctx context.Context) error {
	// The engine of a daemon that was killed may still be ending: it must not
	// answer in the new one's place.
	if err := os.Remove(filepath.Join(e.o.DataDir, socketName)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	c, err := startChild(e.o.Command, e.o.Log)
	if err != nil {
		return err
	}
	e.mu.Lock()
	e.child = c
	e.mu.Unlock()
	for deadline := time.Now().Add(engineStart); ; {
		if e.ping(ctx, time.Second) == nil {
			e.o.Log.Info().Int("pid", c.cmd.Process.Pid).Msg("engine process answers")
			return nil
		}
		select {
		case <-c.done:
			return fmt.Errorf("engine process ended before it answered: %w", c.err)
		case <-ctx.Done():
			return errors.Join(ctx.Err(), c.stop())
		case <-time.After(10 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			return errors.Join(fmt.Errorf("engine process does not answer within %s", engineStart), c.kill())
		}
	}
}

// child is one engine process.
type child struct {
	cmd    *exec.Cmd
	parent io.WriteCloser // its standard input: closing it asks it to end
	done   chan struct{}
	err    error // of the process, set before done is closed
}

// childEnv is what the engine process inherits: nothing that could be a secret.
var childEnv = []string{"HOME", "PATH", "TMPDIR", "XDG_CACHE_HOME", "XDG_RUNTIME_DIR", "TIDEMARK_CACHE", "TIDEMARK_LIBCHDB", "GOCOVERDIR"}

func startChild(command []string, log zerolog.Logger) (*child, error) {
	cmd := exec.Command(command[0], command[1:]...)
	for _, name := range childEnv {
		if value, ok := os.LookupEnv(name); ok {
			cmd.Env = append(cmd.Env, name+"="+value)
		}
	}
	// A group of its own: the terminal's interrupt ends the daemon, which ends
	// the engine when it has written what it holds.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	output, err := cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start engine process: %w", err)
	}
	c := &child{cmd: cmd, parent: in, done: make(chan struct{})}
	go func() {
		defer close(c.done)
		last := relay(output, log)
		c.err = cmd.Wait()
		if c.err == nil {
			c.err = errors.New("it ended by itself")
		}
		if last != "" {
			c.err = fmt.Errorf("%w: %s", c.err, last)
		}
	}()
	return c, nil
}

// relay logs what the process writes to standard error and returns the last line.
func relay(r io.Reader, log zerolog.Logger) (last string) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 64<<10)
	for lines.Scan() {
		if line := strings.TrimSpace(lines.Text()); line != "" {
			last = line
			log.Warn().Str("engine", line).Msg("engine process says")
		}
	}
	_, _ = io.Copy(io.Discard, r) // after a line too long: the process must not block
	return last
}

// stop asks the process to end and waits; one that does not is killed.
func (c *child) stop() error {
	_ = c.parent.Close() // a process that is gone has closed it
	select {
	case <-c.done:
		return nil
	case <-time.After(engineStop):
		return errors.Join(fmt.Errorf("engine process does not end within %s: killed", engineStop), c.kill())
	}
}

func (c *child) kill() error {
	err := c.cmd.Process.Kill()
	<-c.done
	_ = c.parent.Close()
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	return err
}
