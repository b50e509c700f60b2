package storage_test

import (
	"context"
	"fmt"
	"os"
	"testing"

	"tidemark/storage"
	"tidemark/storage/storagetest"
)

func TestConformance_InProcess(t *testing.T) {
	storagetest.Run(t, func(t *testing.T) *storage.DB { return storagetest.OpenEmpty(t) })
}

func TestConformance_Socket(t *testing.T) {
	dir := t.TempDir()
	startEngine(t, engineOptions(t, dir))
	n := 0
	storagetest.Run(t, func(t *testing.T) *storage.DB {
		n++
		return openNamed(t, storage.Options{DataDir: dir, Database: fmt.Sprintf("test_%d", n)})
	})
}

func TestConformance_Server(t *testing.T) {
	url := os.Getenv("TIDEMARK_TEST_CLICKHOUSE")
	if url == "" {
		t.Skip("TIDEMARK_TEST_CLICKHOUSE names no ClickHouse server")
	}
	n := 0
	storagetest.Run(t, func(t *testing.T) *storage.DB {
		n++
		return openNamed(t, storage.Options{URL: url, Database: fmt.Sprintf("tidemark_test_%d_%d", os.Getpid(), n)})
	})
}

// openNamed opens a database of its own and drops it when the test ends.
func openNamed(t *testing.T, o storage.Options) *storage.DB {
	t.Helper()
	db, err := storage.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Conn().Exec(context.Background(), "DROP DATABASE "+o.Database+" SYNC"); err != nil {
			t.Errorf("drop %s: %v", o.Database, err)
		}
		closeDB(t, db)
	})
	return db
}
