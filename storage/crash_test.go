package storage_test

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"tidemark/collector/flow"
	"tidemark/storage"
)

// makeViews makes a view of flows and a view of that, with tables that count rows.
func makeViews(t *testing.T, db *storage.DB) {
	t.Helper()
	for _, s := range []string{
		`CREATE TABLE ports (port UInt16, n SimpleAggregateFunction(sum, UInt64)) ENGINE = AggregatingMergeTree ORDER BY port
			SETTINGS non_replicated_deduplication_window = 10000`,
		`CREATE MATERIALIZED VIEW ports_of_flows TO ports AS SELECT dst_port AS port, count() AS n FROM flows GROUP BY port`,
		`CREATE TABLE totals (k UInt8, n SimpleAggregateFunction(sum, UInt64)) ENGINE = AggregatingMergeTree ORDER BY k
			SETTINGS non_replicated_deduplication_window = 10000`,
		`CREATE MATERIALIZED VIEW totals_of_ports TO totals AS SELECT 0 AS k, sum(ports.n) AS n FROM ports GROUP BY k`,
	} {
		if err := db.Conn().Exec(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
}

// TestInsertFlows_OnceUnderKill9 kills the engine at random moments of inserts,
// repeats what failed as a spool would, and counts rows in the table, in a view
// of it and in a view of that view. A last round repeats every batch.
func TestInsertFlows_OnceUnderKill9(t *testing.T) {
	kills := 5
	if testing.Short() {
		kills = 2
	}
	dir := t.TempDir()
	engine, _ := startEngine(t, engineOptions(t, dir))
	db := openDir(t, dir)
	if err := storage.MigrateTo(t.Context(), db, 9); err != nil {
		t.Fatal(err)
	}
	makeViews(t, db)

	const rows = 50_000
	batch := randomBatch(1, rows)
	failures := 0
	insert := func(index uint64) {
		t.Helper()
		for try := range 1000 {
			err := db.InsertFlows(t.Context(), 1, "home", index, batch)
			if err == nil {
				return
			}
			if !storage.Retryable(err) {
				t.Fatalf("batch %d: %v counts as incurable", index, err)
			}
			failures++
			time.Sleep(time.Duration(min(try, 20)) * 10 * time.Millisecond)
		}
		t.Fatalf("batch %d: the engine does not come back", index)
	}

	random := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 0))
	index := uint64(0)
	for range kills {
		alive(t, db)
		pid, delay := engine.Pid(), time.Duration(random.IntN(300))*time.Millisecond
		var killer sync.WaitGroup
		dead := make(chan struct{})
		killer.Go(func() {
			time.Sleep(delay)
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
				t.Errorf("kill %d: %v", pid, err)
			}
			close(dead)
		})
		for running := true; running; {
			select {
			case <-dead:
				running = false
			default:
			}
			insert(index)
			index++
		}
		killer.Wait()
	}
	for i := range index {
		insert(i)
	}
	var got flow.Batch
	absent := 0
	for i := range index {
		if err := db.ReadFlows(t.Context(), 1, i, &got); err != nil {
			t.Fatal(err)
		}
		if got.Len() == 0 {
			absent++
		}
	}
	t.Logf("%d kills, %d batches, %d failed attempts, %d tokens without rows", kills, index, failures, absent)

	want := index * rows
	for _, query := range []string{
		"SELECT count() FROM flows", "SELECT uniqExact(batch_index, pos) FROM flows", "SELECT sum(n) FROM ports", "SELECT sum(n) FROM totals",
	} {
		var n uint64
		if err := db.Conn().QueryRow(t.Context(), query).Scan(&n); err != nil || n != want {
			t.Errorf("%s: got %d, %v, want %d", query, n, err, want)
		}
	}
	for i := range index {
		if err := db.ReadFlows(t.Context(), 1, i, &got); err != nil || got.Len() != rows {
			t.Errorf("batch %d: got %d rows, %v", i, got.Len(), err)
		}
	}
}

// An engine that dies after it wrote a token down and before it named the part
// leaves the token alone: the part's directory is taken away here, from flows, from
// a view of it and from a view of that.
func TestInsertFlows_TokenOfADeadEngineCostsNoRow(t *testing.T) {
	for _, table := range []string{"flows", "ports", "totals"} {
		dir := t.TempDir()
		db := openDir(t, dir)
		if err := storage.MigrateTo(t.Context(), db, 9); err != nil {
			t.Fatal(err)
		}
		makeViews(t, db)
		const rows = 100
		insert := func(indexes ...uint64) {
			t.Helper()
			for _, i := range indexes {
				if err := db.InsertFlows(t.Context(), 1, "home", i, randomBatch(1, rows)); err != nil {
					t.Fatal(err)
				}
			}
		}
		insert(0, 1)
		if err := db.Conn().Exec(t.Context(), "OPTIMIZE TABLE "+table+" FINAL"); err != nil { // what was merged away is stored
			t.Fatal(err)
		}
		if table == "totals" {
			insert(2)
		} else {
			insert(2, 3)
		}
		var part string
		if err := db.Conn().QueryRow(t.Context(), "SELECT path FROM system.parts WHERE active AND table = '"+table+"' ORDER BY min_block_number DESC LIMIT 1").Scan(&part); err != nil {
			t.Fatal(err)
		}
		closeDB(t, db)
		if err := os.RemoveAll(part); err != nil {
			t.Fatal(err)
		}
		// By this file, which it removes in the end, a killed engine is known.
		if err := os.WriteFile(filepath.Join(dir, "clickhouse", "status"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		db = openDir(t, dir)
		insert(0, 1, 2, 3)
		for _, query := range []string{"SELECT count() FROM flows", "SELECT sum(n) FROM ports", "SELECT sum(n) FROM totals"} {
			var n uint64
			if err := db.Conn().QueryRow(t.Context(), query).Scan(&n); err != nil || n != 4*rows {
				t.Errorf("a part of %s was not named: %s: got %d, %v, want %d", table, query, n, err, 4*rows)
			}
		}
		closeDB(t, db)
	}
}

func TestEngine_RestartKeepsData(t *testing.T) {
	dir := t.TempDir()
	want := randomBatch(3, 1000)
	check := func(open func() (*storage.DB, func())) {
		t.Helper()
		db, end := open()
		defer end()
		if err := db.Migrate(t.Context()); err != nil {
			t.Fatal(err)
		}
		var got flow.Batch
		if err := db.ReadFlows(t.Context(), 1, 1, &got); err != nil {
			t.Fatal(err)
		}
		requireEqual(t, &got, recordOf(want))
	}
	inProcess := func() (*storage.DB, func()) {
		db := openDir(t, dir)
		return db, func() { closeDB(t, db) }
	}
	child := func() (*storage.DB, func()) {
		_, stop := startEngine(t, engineOptions(t, dir))
		return openDir(t, dir), stop
	}
	db := openDir(t, dir)
	if err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := db.InsertFlows(t.Context(), 1, "home", 1, want); err != nil {
		t.Fatal(err)
	}
	closeDB(t, db)
	check(inProcess)
	check(child)
	check(inProcess)
}
