package storage_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"tidemark/storage"
	"tidemark/storage/storagetest"
)

func engineOptions(t *testing.T, dir string) storage.EngineOptions {
	t.Helper()
	storagetest.Library(t) // fetched before the engine needs it
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return storage.EngineOptions{
		DataDir: dir, Command: []string{self, engineDirVar + dir},
		Log: zerolog.New(zerolog.NewTestWriter(t)).Level(zerolog.WarnLevel),
	}
}

// startEngine runs an engine process on dir until stop is called or the test ends.
func startEngine(t *testing.T, o storage.EngineOptions) (e *storage.Engine, stop func()) {
	t.Helper()
	e, err := storage.StartEngine(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	}
	t.Cleanup(stop)
	return e, stop
}

func openDir(t *testing.T, dir string) *storage.DB {
	t.Helper()
	db, err := storage.Open(t.Context(), storage.Options{DataDir: dir, MemoryLimit: 2 << 30, Log: zerolog.New(zerolog.NewTestWriter(t))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeDB(t, db) })
	return db
}

func closeDB(t *testing.T, db *storage.DB) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := db.Close(ctx); err != nil {
		t.Errorf("Close: %v", err)
	}
}

// alive waits until db answers.
func alive(t *testing.T, db *storage.DB) {
	t.Helper()
	var err error
	for range 1000 {
		if err = db.Conn().Exec(t.Context(), "SELECT 1"); err == nil {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("the engine does not come back: %v", err)
}

func TestEngine_SocketIsPrivateAndLongPathsWork(t *testing.T) {
	dir := filepath.Join(t.TempDir(), strings.Repeat("long-", 30))
	_, stop := startEngine(t, engineOptions(t, dir))
	info, err := os.Stat(filepath.Join(dir, "engine.sock"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("socket: mode %v, error %v, want 0600", info.Mode(), err)
	}
	db := openDir(t, dir)
	if err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	stop()
	if _, err := os.Stat(filepath.Join(dir, "engine.sock")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket outlives its engine: %v", err)
	}
}

func TestEngine_SecondDaemonIsRefusedByPid(t *testing.T) {
	o := engineOptions(t, t.TempDir())
	startEngine(t, o)
	_, err := storage.StartEngine(t.Context(), o)
	if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("pid %d", os.Getpid())) || !strings.Contains(err.Error(), "a daemon already runs on") {
		t.Errorf("got %v, want a refusal that names pid %d", err, os.Getpid())
	}
}

func TestEngine_KilledProcessComesBack(t *testing.T) {
	o := engineOptions(t, t.TempDir())
	registry := prometheus.NewRegistry()
	o.Registerer = registry
	e, _ := startEngine(t, o)
	db := openDir(t, o.DataDir)
	for range 3 {
		pid := e.Pid()
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		alive(t, db)
		if e.Pid() == pid {
			t.Error("the engine answers with the pid of the dead one")
		}
	}
	families, err := registry.Gather()
	if err != nil || len(families) != 1 {
		t.Fatalf("got %d metrics, error %v, want 1", len(families), err)
	}
	if n := families[0].GetMetric()[0].GetCounter().GetValue(); n != 3 {
		t.Errorf("got %v restarts, want 3", n)
	}
}

func TestEngine_UnusableCommandIsReported(t *testing.T) {
	o := engineOptions(t, t.TempDir())
	o.Command = []string{"/bin/sh", "-c", "echo out of cheese >&2; exit 3"}
	_, err := storage.StartEngine(t.Context(), o)
	if err == nil || !strings.Contains(err.Error(), "out of cheese") {
		t.Fatalf("got %v, want what the process said", err)
	}
	// The failure must have given the directory back.
	db := openDir(t, o.DataDir)
	alive(t, db)
}

func TestOpen_CommandYieldsToDaemon(t *testing.T) {
	dir := t.TempDir()
	command := openDir(t, dir)
	if _, err := storage.Open(t.Context(), storage.Options{DataDir: dir}); err == nil || !strings.Contains(err.Error(), "another command uses") {
		t.Errorf("second command: got %v, want a refusal", err)
	}
	running := make(chan error, 1)
	go func() {
		running <- command.Conn().QueryRow(t.Context(), "SELECT count() FROM numbers(1000000000000)").Scan(new(uint64))
	}()
	startEngine(t, engineOptions(t, dir))
	if err := <-running; !errors.Is(err, storage.ErrYielded) {
		t.Errorf("statement under way: got %v, want ErrYielded", err)
	}
	if err := command.Conn().Exec(t.Context(), "SELECT 1"); !errors.Is(err, storage.ErrYielded) {
		t.Errorf("later statement: got %v, want ErrYielded", err)
	}
	alive(t, openDir(t, dir)) // the command, run again, uses the daemon's engine
}

func TestEngine_EndsWithItsDaemon(t *testing.T) {
	dir := t.TempDir()
	storagetest.Library(t)
	for range 3 {
		daemon := exec.Command(os.Args[0], daemonDirVar+dir)
		daemon.Env = append(os.Environ(), "SECRET=not for the engine")
		stdout, err := daemon.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := daemon.Start(); err != nil {
			t.Fatal(err)
		}
		var pid int
		if _, err := fmt.Fscan(stdout, &pid); err != nil {
			t.Fatal(err)
		}
		// Looked at while the engine of the dead daemon may still be ending:
		// the next round must start all the same.
		environ, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
		if err != nil || strings.Contains(string(environ), "SECRET") {
			t.Errorf("environment of the engine: %q, %v", environ, err)
		}
		if err := daemon.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := daemon.Wait(); err == nil {
			t.Error("the killed daemon ended well")
		}
	}
	alive(t, openDir(t, dir)) // no daemon: the engine runs in this process
}
