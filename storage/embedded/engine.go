// Package embedded runs ClickHouse inside the process, as libchdb, behind an
// http.Handler that speaks ClickHouse's HTTP interface.
//
// A process holds at most one data directory open at a time (a limit of the
// library). The engine does its own locking of that directory against other
// processes, by a lock that dies with its holder.
package embedded

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Options says where an Engine lives and how much it may take.
type Options struct {
	Path        string // data directory, created with mode 0700 if missing
	Library     string // libchdb.so, see FindLibrary
	MemoryLimit uint64 // bytes for everything the engine does, 0 = DefaultMemoryLimit()
}

// How many statements run at once; more wait their turn. Each may use every CPU,
// so larger numbers would only slow all of them down. Inserts of data have slots
// of their own: people who leave results half read must not hold them up.
const (
	maxStatements = 16
	maxInserts    = 4
)

// DefaultMemoryLimit is a quarter of the memory this process may use, but at
// least 1 GiB (below which merges of large parts fail) and at most 8 GiB.
func DefaultMemoryLimit() uint64 {
	return min(max(machineMemory()/4, 1<<30), 8<<30)
}

// Engine is a running ClickHouse. Every request gets a session of its own
// (0.1 ms), so that no SET, USE or temporary table outlives its statement.
type Engine struct {
	lib     *library
	args    []string // of every session
	version string   // of ClickHouse

	slots   chan struct{} // one per running statement
	inserts chan struct{} // one per running insert of data
	seq     atomic.Uint64 // names statements for kill
	running sync.WaitGroup

	mu      sync.Mutex
	closing chan struct{} // closed by Close
	control *session      // keeps the engine up and kills statements; guarded by mu
}

// Open loads the library and starts the engine. It takes about 0.2 s, more
// after a crash. When the engine cannot start it writes the reason to standard
// error: the library offers no other way to learn it.
func Open(o Options) (*Engine, error) {
	path, err := filepath.Abs(o.Path)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("open engine: %w", err)
	}
	if o.MemoryLimit == 0 {
		o.MemoryLimit = DefaultMemoryLimit()
	}
	if err := whileUnlocked(filepath.Join(path, "status"), func() error { return forgetOrphans(path) }); err != nil {
		return nil, fmt.Errorf("open engine on %s: %w", path, err)
	}
	config, err := writeConfig(path)
	if err != nil {
		return nil, fmt.Errorf("open engine: %w", err)
	}
	lib, err := loadLibrary(o.Library)
	if err != nil {
		return nil, err
	}
	e := &Engine{
		lib:     lib,
		args:    sessionArgs(path, o.MemoryLimit),
		slots:   make(chan struct{}, maxStatements),
		inserts: make(chan struct{}, maxInserts),
		closing: make(chan struct{}),
	}
	if e.control, err = lib.openSession(append(e.args, serverArgs(config, o.MemoryLimit)...)); err != nil {
		return nil, fmt.Errorf("open engine on %s: %w: it gave its reason on standard error, unless this process has another directory open", path, err)
	}
	err = e.control.run("SELECT version()", "TSVRaw", nil, func(b []byte) error {
		e.version = strings.TrimSpace(string(b))
		return nil
	})
	if err != nil {
		e.control.close()
		return nil, fmt.Errorf("open engine on %s: %w", path, err)
	}
	return e, nil
}

// orphanWait is how long Open waits for an engine whose parent has died: it
// needs a moment to notice and to stop.
const orphanWait = 15 * time.Second

// whileUnlocked waits until no process holds the engine's own lock, which is a
// flock on its status file and so dies with its holder, and calls do with it in
// hand. An engine that stopped in order leaves no such file, and nothing to do.
func whileUnlocked(path string, do func() error) error {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close() // and with it the lock
	for deadline := time.Now().Add(orphanWait); ; time.Sleep(20 * time.Millisecond) {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return do()
		}
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("another process runs an engine on it (the lock on %s is held)", path)
		}
	}
}

// writeConfig writes an empty configuration file: without one the library takes
// any config.xml of the working directory, or of the home directory, for its own.
func writeConfig(path string) (string, error) {
	file := filepath.Join(path, "engine.xml")
	return file, os.WriteFile(file, []byte("<clickhouse></clickhouse>\n"), 0o600)
}

// sessionArgs are the query settings that differ from ClickHouse's defaults.
func sessionArgs(path string, memory uint64) []string {
	return []string{
		"tidemark",
		"--path=" + path,
		// As a server does, not as the command line tool the library is made from.
		"--implicit_select=0",
		"--allow_introspection_functions=0",
		"--session_timezone=UTC",
		// One statement leaves room for inserts and merges beside it.
		"--max_memory_usage=" + strconv.FormatUint(memory/4*3, 10),
	}
}

// serverArgs shrink ClickHouse's server defaults to a machine it shares.
func serverArgs(config string, memory uint64) []string {
	cache := strconv.FormatUint(memory/16, 10)
	merges := strconv.Itoa(max(2, runtime.NumCPU()/2))
	return []string{
		"--config-file=" + config,
		"--max_server_memory_usage=" + strconv.FormatUint(memory, 10),
		"--max_server_memory_usage_to_ram_ratio=0.9",
		"--mark_cache_size=" + cache,
		"--index_mark_cache_size=" + cache,
		"--primary_index_cache_size=" + cache,
		"--uncompressed_cache_size=0",
		"--index_uncompressed_cache_size=0",
		"--mmap_cache_size=256",
		"--timezone=UTC",
		"--background_pool_size=" + merges,
		"--background_schedule_pool_size=16",
		"--background_common_pool_size=4",
		"--background_move_pool_size=1",
		"--background_fetches_pool_size=1",
		"--background_buffer_flush_schedule_pool_size=1",
		"--background_message_broker_schedule_pool_size=1",
		"--background_distributed_schedule_pool_size=1",
		// With so few merge threads ClickHouse's own thresholds would refuse to start.
		"--merge_tree.number_of_free_entries_in_pool_to_execute_mutation=1",
		"--merge_tree.number_of_free_entries_in_pool_to_lower_max_size_of_merge=1",
		"--merge_tree.number_of_free_entries_in_pool_to_execute_optimize_entire_partition=1",
	}
}

// Version is the version of ClickHouse, as version() gives it.
func (e *Engine) Version() string { return e.version }

// errClosing is what a statement gets that arrives after Close.
var errClosing = exceptionf(codeConnectionGone, "the engine is shutting down")

// begin waits for a free slot of slots and opens a session; end gives both back.
// name identifies the statement for kill.
func (e *Engine) begin(ctx context.Context, slots chan struct{}) (s *session, name string, err error) {
	select {
	case slots <- struct{}{}:
	case <-ctx.Done():
		return nil, "", ctx.Err()
	case <-e.closing:
		return nil, "", errClosing
	}
	if s, name, err = e.openSession(); err != nil {
		<-slots
	}
	return s, name, err
}

func (e *Engine) openSession() (s *session, name string, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	select {
	case <-e.closing:
		return nil, "", errClosing
	default:
	}
	name = "tidemark-" + strconv.FormatUint(e.seq.Add(1), 10)
	args := append(e.args[:len(e.args):len(e.args)], "--log_comment="+name)
	if s, err = e.lib.openSession(args); err == nil {
		e.running.Add(1)
	}
	return s, name, err
}

func (e *Engine) end(s *session, slots chan struct{}) {
	s.close()
	<-slots
	e.running.Done()
}

// killEvery is how often a statement that shall die is killed again: it may
// not have been registered yet when the first KILL QUERY looked for it.
const killEvery = 50 * time.Millisecond

// watch kills the statement name when ctx ends, until stop is called; stop
// waits for a kill that is under way. The library offers no other way to stop a
// statement that is inside it.
func (e *Engine) watch(ctx context.Context, name string) (stop func()) {
	done := make(chan struct{})
	var stopped sync.WaitGroup
	stopped.Go(func() {
		select {
		case <-done:
			return
		case <-ctx.Done():
		}
		tick := time.NewTicker(killEvery)
		defer tick.Stop()
		for {
			e.kill(name)
			select {
			case <-done:
				return
			case <-tick.C:
			}
		}
	})
	return func() { close(done); stopped.Wait() }
}

func (e *Engine) kill(name string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	// An error means that the engine is out of memory or closing: the next tick
	// tries again, and the statement itself is not affected.
	_ = e.control.run("KILL QUERY WHERE Settings['log_comment'] = {name:String} ASYNC", "Null",
		[]param{{"name", name}}, nil)
}

// Close refuses new statements, lets the running ones finish until ctx ends,
// kills the rest, waits for them and stops the engine. No memory of the engine
// is freed while a statement can still use it.
func (e *Engine) Close(ctx context.Context) error {
	e.mu.Lock()
	select {
	case <-e.closing:
		e.mu.Unlock()
		return errors.New("close engine: already closed")
	default:
	}
	close(e.closing)
	e.mu.Unlock()

	idle := make(chan struct{})
	go func() { e.running.Wait(); close(idle) }()
	select {
	case <-idle:
	case <-ctx.Done():
		for waiting := true; waiting; {
			e.mu.Lock()
			_ = e.control.run("KILL QUERY WHERE Settings['log_comment'] LIKE 'tidemark-%' ASYNC", "Null", nil, nil)
			e.mu.Unlock()
			select {
			case <-idle:
				waiting = false
			case <-time.After(killEvery):
			}
		}
	}
	e.control.close()
	return nil
}
