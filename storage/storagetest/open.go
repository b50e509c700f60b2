// Package storagetest gives tests a database, and holds the suite every engine
// behind package storage must pass.
package storagetest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"tidemark/storage"
	"tidemark/storage/embedded"
)

// shared is the one engine of this test process: the library can hold only one
// directory open, so the tests share it, with a database for each. It starts
// with the first Open and stops when the last test that uses it ends.
var shared struct {
	sync.Mutex
	engine *embedded.Engine
	dir    string
	users  int
	seq    int
}

// Open returns a fresh migrated database for one test, closed when the test
// ends. Any number of tests may call it, in parallel too.
func Open(t testing.TB) *storage.DB {
	t.Helper()
	db := OpenEmpty(t)
	if err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return db
}

// OpenEmpty is Open without the schema.
func OpenEmpty(t testing.TB) *storage.DB {
	t.Helper()
	engine, database := acquire(t)
	db, err := storage.Connect(t.Context(), engine.Transport(), storage.Options{
		Database: database,
		Log:      zerolog.New(zerolog.NewTestWriter(t)).Level(zerolog.WarnLevel),
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := db.Conn().Exec(ctx, "DROP DATABASE "+database+" SYNC"); err != nil {
			t.Errorf("drop the test's database: %v", err)
		}
		if err := db.Close(ctx); err != nil {
			t.Errorf("close the test's database: %v", err)
		}
	})
	return db
}

// acquire returns the shared engine and a database name of the test's own.
func acquire(t testing.TB) (*embedded.Engine, string) {
	t.Helper()
	library := Library(t)
	shared.Lock()
	defer shared.Unlock()
	if shared.users == 0 {
		dir, err := os.MkdirTemp("", "tidemark-test-")
		if err != nil {
			t.Fatal(err)
		}
		engine, err := embedded.Open(embedded.Options{Path: filepath.Join(dir, "clickhouse"), Library: library, MemoryLimit: 2 << 30})
		if err != nil {
			_ = os.RemoveAll(dir)
			t.Fatal(err)
		}
		shared.engine, shared.dir = engine, dir
	}
	shared.users++
	shared.seq++
	t.Cleanup(func() { release(t) })
	return shared.engine, fmt.Sprintf("test_%d", shared.seq)
}

func release(t testing.TB) {
	shared.Lock()
	defer shared.Unlock()
	shared.users--
	if shared.users > 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := shared.engine.Close(ctx); err != nil {
		t.Errorf("close the shared engine: %v", err)
	}
	if err := os.RemoveAll(shared.dir); err != nil {
		t.Errorf("remove the shared engine's directory: %v", err)
	}
}

// Library returns the path of the engine library, fetching it on first use.
func Library(t testing.TB) string {
	t.Helper()
	path, err := embedded.FindLibrary("")
	if err == nil {
		return path
	}
	_, here, _, _ := runtime.Caller(0)
	script := filepath.Join(filepath.Dir(here), "..", "..", "scripts", "setup-engine.sh")
	t.Logf("%v: running %s", err, script)
	cmd := exec.Command("sh", script)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("fetch the engine library: %v: run `make setup`\n%s", err, stderr.String())
	}
	return strings.TrimSpace(string(out))
}
