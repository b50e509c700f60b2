package anchor

import (
	"context"
	"io/fs"
	"path/filepath"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sys/unix"

	"tidemark/anchor/merkle"
	"tidemark/anchor/merkle/lanes"
	"tidemark/storage"
	"tidemark/storage/storagetest"
)

func benchLedger(b *testing.B) (*Ledger, *storage.DB) {
	b.Helper()
	db := storagetest.Open(b)
	dir := b.TempDir()
	spool, err := storage.OpenSpool(filepath.Join(dir, "spool"))
	if err != nil {
		b.Fatal(err)
	}
	l, err := Open(b.Context(), Options{Dir: filepath.Join(dir, "ledger"), Origin: testOrigin, DB: db, Spool: spool, Log: zerolog.Nop()})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = l.Close() })
	return l, db
}

const benchRows = 65_536

// BenchmarkSeal hashes a batch and makes it durable in the spool.
func BenchmarkSeal(b *testing.B) {
	l, _ := benchLedger(b)
	batch, counts := storable(1, benchRows), exporterCounts()
	for b.Loop() {
		index, err := l.Seal(b.Context(), batch, counts)
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		if err := l.spool.Remove(index); err != nil { // bounds the disk; nothing is committed here
			b.Fatal(err)
		}
		b.StartTimer()
	}
	b.ReportMetric(float64(b.N)*benchRows/b.Elapsed().Seconds(), "rows/s")
}

// BenchmarkCommit inserts a batch, reads it back, hashes it and appends its header.
func BenchmarkCommit(b *testing.B) {
	l, _ := benchLedger(b)
	batch, counts := storable(1, benchRows), exporterCounts()
	c := &committer{Ledger: l}
	step := func() {
		if more, err := c.step(context.Background()); err != nil || !more {
			b.Fatal(more, err)
		}
	}
	step() // genesis
	for b.Loop() {
		b.StopTimer()
		if _, err := l.Seal(b.Context(), batch, counts); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		step()
	}
	b.ReportMetric(float64(b.N)*benchRows/b.Elapsed().Seconds(), "rows/s")
}

// BenchmarkCommitEmpty is what every batch costs apart from its rows.
func BenchmarkCommitEmpty(b *testing.B) {
	l, _ := benchLedger(b)
	c := &committer{Ledger: l}
	for b.Loop() {
		if _, err := l.Seal(b.Context(), nil, nil); err != nil {
			b.Fatal(err)
		}
		if more, err := c.step(context.Background()); err != nil || !more {
			b.Fatal(more, err)
		}
	}
}

// BenchmarkTree builds the level-8 nodes and the root over leaf hashes.
func BenchmarkTree(b *testing.B) {
	b.Run(lanes.Best().String(), func(b *testing.B) {
		leaves := make([]merkle.Hash, benchRows)
		var nodes []merkle.Hash
		used := cpuTime(b)
		for b.Loop() {
			nodes = appendNodes(nodes[:0], leaves)
			merkle.Root(nodes)
		}
		reportRows(b, benchRows, used)
	})
}

// reportRows reports the time of a row, and the CPU time of this process, which
// a busy machine disturbs less, since it had used so much.
func reportRows(b *testing.B, rows int, used time.Duration) {
	n := float64(b.N * rows)
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/n, "ns/row")
	b.ReportMetric(float64((cpuTime(b)-used).Nanoseconds())/n, "cpu-ns/row")
}

func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// unsynced are files nobody expects to survive a crash.
type unsynced struct{ osFiles }

type unsyncedFile struct{ file }

func (unsyncedFile) Sync() error { return nil }

func (unsynced) OpenFile(path string, flag int, mode fs.FileMode) (file, error) {
	f, err := osFiles{}.OpenFile(path, flag, mode)
	if err != nil {
		return nil, err
	}
	return unsyncedFile{f}, nil
}

// BenchmarkOpenReader checks a log of 100,000 batches.
func BenchmarkOpenReader(b *testing.B) {
	w := newWorld(b.TempDir())
	parts := testSeams(w)
	parts.files = unsynced{}
	l, err := open(b.Context(), Options{Dir: w.dir, Origin: testOrigin, Log: zerolog.Nop()}, parts)
	if err != nil {
		b.Fatal(err)
	}
	c := &committer{Ledger: l}
	for l.Reader().Size() < 100_000 {
		if _, err := l.Seal(b.Context(), nil, nil); err != nil {
			b.Fatal(err)
		}
		if _, err := c.step(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	b.ResetTimer()
	for b.Loop() {
		r, err := OpenReader(w.dir)
		if err != nil {
			b.Fatal(err)
		}
		if err := r.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
