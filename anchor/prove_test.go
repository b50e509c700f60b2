package anchor

import (
	"errors"
	"math"
	"testing"
	"time"

	"tidemark/collector/flow"
	"tidemark/storage/storagetest"
)

func (s *recordedSite) sources() Sources {
	return Sources{Ledger: s.ledger.Reader(), DB: s.db, Chain: s.chain, Log: s.trust.Chain}
}

func (s *recordedSite) proveOptions(batch uint64, pos uint32) ProveOptions {
	return ProveOptions{Sources: s.sources(), Flow: flow.Name{Log: s.log(), Batch: batch, Pos: pos}}
}

func TestProve_BundleVerifiesWithoutTheDatabase(t *testing.T) {
	s := newSite(t)
	node, anchor := s.onAnvil()
	anchor(2)
	anchor(5)
	node.Mine(5)
	files := map[string][]byte{}
	for _, f := range []struct {
		name  string
		batch uint64
		pos   uint32
	}{{"first", bigBatch, 0}, {"in the middle", bigBatch, 301}, {"last of a batch", bigBatch, 699}, {"another batch", nextBatch, 256}} {
		o := s.proveOptions(f.batch, f.pos)
		o.Exporters = f.pos == 301
		b, err := Prove(t.Context(), o)
		if err != nil {
			t.Fatalf("%s: %v", f.name, err)
		}
		files[f.name] = bundleFileOf(t, b)
	}
	for _, when := range []string{"at once", "after the chain has moved on"} {
		for name, p := range files {
			if code, said := verifyFile(t, p, s.trust, s.chain); code != ExitOK {
				t.Errorf("%s, %s: exit code %d:\n%s", name, when, code, said)
			}
		}
		anchor(7)
		node.Mine(5)
		anchor = func(uint64) {}
	}
	b, err := Prove(t.Context(), s.proveOptions(bigBatch, 0))
	if err != nil {
		t.Fatal(err)
	}
	if b.Anchor.Size != 2 || len(b.Anchor.Inclusion) != 1 { // the oldest proves the most
		t.Errorf("proved again: anchor of size %d with %d hashes, want the first, of 2, with 1", b.Anchor.Size, len(b.Anchor.Inclusion))
	}
	all, err := s.chain.Anchors(t.Context(), *s.trust.Chain, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	o := s.proveOptions(bigBatch, 0)
	for name, remembered := range map[string][]ChainAnchor{
		"rightly": all, "in other blocks": {{Size: all[0].Size, Block: ChainBlock{Number: 1}}}, "not the first": all[1:], "nothing of it": {{Size: 1}},
	} {
		o.Remembered = remembered
		if again, err := Prove(t.Context(), o); err != nil || again.Anchor == nil || again.Anchor.Size != 2 || again.Anchor.Tx != b.Anchor.Tx {
			t.Errorf("a publisher that remembers %s: %+v, %v", name, again, err)
		}
	}
	code, said := verifyFile(t, files["first"], s.trust, s.chain)
	t.Logf("exit code %d:\n%s", code, said)
	t.Logf("%d octets", len(files["first"]))
}

func TestProve_RefusesWhatIsNotSealedSo(t *testing.T) {
	s := newSite(t)
	for name, c := range map[string]struct {
		batch uint64
		pos   uint32
		want  error
	}{
		"no such batch":     {99, 0, ErrNoBatch},
		"no such row":       {bigBatch, 700, ErrNoFlow},
		"an event":          {eventBatch, 0, ErrNoFlow},
		"of an empty batch": {emptyBatch, 0, ErrNoFlow},
		"huge position":     {oneBatch, math.MaxUint32, ErrNoFlow},
	} {
		if _, err := Prove(t.Context(), s.proveOptions(c.batch, c.pos)); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", name, err, c.want)
		}
	}
	o := s.proveOptions(bigBatch, 0)
	o.Flow.Log++
	if _, err := Prove(t.Context(), o); !errors.Is(err, ErrNoFlow) {
		t.Errorf("another log: got %v, want %v", err, ErrNoFlow)
	}
	index, err := s.ledger.Seal(t.Context(), siteRows(9, 3, midday(time.Now())), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.ledger.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := Prove(t.Context(), s.proveOptions(index, 0)); !errors.Is(err, ErrNotSigned) {
		t.Errorf("behind the checkpoint: got %v, want %v", err, ErrNotSigned)
	}

	restore := s.keep()
	for name, sql := range map[string]string{
		"row altered":       "ALTER TABLE flows UPDATE bytes = bytes + 1 WHERE log = {log} AND batch_index = 1 AND pos = 17 SETTINGS mutations_sync = 2",
		"neighbour altered": "ALTER TABLE flows UPDATE bytes = bytes + 1 WHERE log = {log} AND batch_index = 1 AND pos = 18 SETTINGS mutations_sync = 2",
		"row deleted":       "ALTER TABLE flows DELETE WHERE log = {log} AND batch_index = 1 AND pos = 17 SETTINGS mutations_sync = 2",
		"row doubled":       "INSERT INTO flows SELECT * FROM flows WHERE log = {log} AND batch_index = 1 AND pos = 17 SETTINGS insert_deduplicate = 0",
		"empty extension":   "ALTER TABLE flows UPDATE extensions = mapConcat(extensions, map(281474976710655::UInt64, []::Array(String))) WHERE log = {log} AND batch_index = 1 AND pos = 17 SETTINGS mutations_sync = 2",
	} {
		s.exec("%s", sql)
		if _, err := Prove(t.Context(), s.proveOptions(bigBatch, 17)); !errors.Is(err, ErrAltered) {
			t.Errorf("%s: got %v, want %v", name, err, ErrAltered)
		}
		restore()
	}
	b, err := Prove(t.Context(), s.proveOptions(bigBatch, 17))
	if err != nil {
		t.Fatal(err)
	}
	if code, said := verifyFile(t, bundleFileOf(t, b), s.trust, nil); code != ExitUnanchored {
		t.Errorf("never anchored: exit code %d, want %d:\n%s", code, ExitUnanchored, said)
	}
}

// sealedSite is a ledger with batches of n rows on an engine of its own.
func sealedSite(b *testing.B, batches, n int) *recordedSite {
	b.Helper()
	s := &recordedSite{t: b, dir: b.TempDir(), db: storagetest.Open(b)}
	s.ledger, s.stop = openLedger(b, s.dir, s.db, "example.com/bench")
	dropViews(b, s)
	at := midday(time.Now())
	rows := siteRows(1, n, at)
	for range batches {
		if _, err := s.ledger.Seal(b.Context(), rows, nil); err != nil {
			b.Fatal(err)
		}
	}
	if err := s.ledger.Drain(b.Context()); err != nil {
		b.Fatal(err)
	}
	if _, _, err := s.ledger.Checkpoint(); err != nil {
		b.Fatal(err)
	}
	r := s.ledger.Reader()
	s.trust = &Trust{Origin: r.Origin(), LogID: r.LogID(), Key: r.PublicKey()}
	return s
}

// BenchmarkVerify verifies a million rows on the embedded engine.
func BenchmarkVerify(b *testing.B) {
	s := sealedSite(b, 4, MaxRows)
	b.ResetTimer()
	for b.Loop() {
		s.clean("benchmark")
	}
	b.ReportMetric(float64(b.N)*4*MaxRows/b.Elapsed().Seconds(), "rows/s")
}

// BenchmarkProve proves rows of the largest batch.
func BenchmarkProve(b *testing.B) {
	s := sealedSite(b, 2, MaxRows)
	b.ResetTimer()
	pos := uint32(0)
	for b.Loop() {
		pos = (pos + 77_777) % MaxRows
		if _, err := Prove(b.Context(), s.proveOptions(1, pos)); err != nil {
			b.Fatal(err)
		}
	}
}
