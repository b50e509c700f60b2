package anchor

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/rs/zerolog"

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
