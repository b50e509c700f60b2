package anchor

import (
	"crypto/sha256"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tidemark/anchor/merkle"
)

// editFile changes a ledger file and returns how to put it back.
func (s *recordedSite) editFile(name string, change func(p []byte) []byte) (restore func()) {
	s.t.Helper()
	path := filepath.Join(s.dir, "ledger", name)
	old, err := os.ReadFile(path)
	if err != nil {
		s.t.Fatal(err)
	}
	write := func(p []byte) {
		if err := os.WriteFile(path, p, 0o600); err != nil {
			s.t.Fatal(err)
		}
	}
	write(change(append([]byte(nil), old...)))
	return func() { write(old) }
}

func ledgerFilesAltered(t *testing.T) {
	s := newSite(t)
	flip := func(at int) func([]byte) []byte {
		return func(p []byte) []byte { p[at] ^= 1; return p }
	}
	header := func(i, field int) int { return i*HeaderSize + field }
	for _, c := range []struct {
		name, file string
		change     func([]byte) []byte
		kind       Kind
		batch      int
	}{
		{"version of a header", headersFile, flip(header(3, 1)), HeaderAltered, 3},
		{"seal time of a header", headersFile, flip(header(3, 87)), HeaderAltered, 3},
		{"root of a header", headersFile, flip(header(3, 130)), RowAltered, 3},
		{"root of a header, the header named", headersFile, flip(header(3, 130)), HeaderAltered, 3},
		{"link of a header", headersFile, flip(header(3, 200)), HeaderAltered, 3},
		{"Ethereum block of a header", headersFile, flip(header(3, 100)), HeaderAltered, 3},
		{"exporter table hash of a header", headersFile, flip(header(3, 170)), TableAltered, 3},
		{"last header", headersFile, flip(header(6, 87)), LogRewritten, -1},
		{"first header", headersFile, flip(header(0, 87)), HeaderAltered, 0},
		{"last header removed", headersFile, func(p []byte) []byte { return p[:header(6, 0)] }, LogRewritten, -1},
		{"last header removed, its rows are too many", headersFile, func(p []byte) []byte { return p[:header(6, 0)] }, RowsAdded, 6},
		{"header in the middle removed", headersFile, func(p []byte) []byte { return append(p[:header(3, 0)], p[header(4, 0):]...) }, HeaderAltered, 3},
		{"first header removed", headersFile, func(p []byte) []byte { return p[HeaderSize:] }, HeaderAltered, 0},
		{"two headers swapped", headersFile, func(p []byte) []byte {
			x := append([]byte(nil), p[header(3, 0):header(4, 0)]...)
			copy(p[header(3, 0):], p[header(4, 0):header(5, 0)])
			copy(p[header(4, 0):], x)
			return p
		}, HeaderAltered, 3},
		{"all headers removed", headersFile, func(p []byte) []byte { return nil }, LogRewritten, -1},
		{"salt key", batchesFile, flip(3 * batchSize), KeyMissing, 3},
		{"salt keys removed", batchesFile, func(p []byte) []byte { return p[:3*batchSize] }, KeyMissing, 5},
		{"nodes", nodesFile, flip(40), NodesAltered, 1},
		{"exporter table", tablesFile, flip(20), TableAltered, 1},
		{"checkpoint", checkpointFile, flip(30), CheckpointBad, -1},
	} {
		t.Run(c.name, func(t *testing.T) {
			s.t = t
			restore := s.editFile(c.file, c.change)
			defer restore()
			r := s.verify()
			if r.has(c.kind, c.batch) == nil || r.ExitCode() != ExitFailed {
				t.Fatalf("want %q in batch %d:\n%s", c.kind, c.batch, text(r))
			}
			if len(r.Faults) > 12 {
				t.Errorf("%d faults for one change:\n%s", len(r.Faults), text(r))
			}
		})
	}
	s.t = t
	s.clean("after putting every file back")
	t.Run("copy of a header", func(t *testing.T) {
		s.exec("ALTER TABLE headers UPDATE row_count = row_count + 1 WHERE log = {log} AND batch_index = 3 SETTINGS mutations_sync = 2")
		if r := s.verify(); r.has(CopyAltered, 3) == nil || len(r.Faults) != 1 {
			t.Errorf("got:\n%s", text(r))
		}
	})
}

// Without tags, or with ones that cannot be right, verify says which blocks of
// rows are not as they were sealed, as it did before there were tags.
func TestVerify_LedgerWithoutTagsNamesBlocks(t *testing.T) {
	s := newSite(t)
	tags := filepath.Join(s.dir, "ledger", tagsFile)
	s.editFile(tagsFile, func(p []byte) []byte { return nil })
	if err := os.Remove(tags); err != nil {
		t.Fatal(err)
	}
	s.clean("without tags")
	alter := func(batch, pos int) {
		s.exec("ALTER TABLE flows UPDATE bytes = bytes + 1 WHERE log = {log} AND batch_index = %d AND pos = %d SETTINGS mutations_sync = 2", batch, pos)
	}
	block := func(when string) {
		t.Helper()
		r := s.verify()
		if f := r.has(RowAltered, bigBatch); f == nil || *f.First != 256 || *f.Last != 511 || f.Rows != nil || !strings.Contains(text(r), "batch 1, one or more of rows 256 to 511") {
			t.Errorf("%s: want rows 256 to 511 of batch 1:\n%s", when, text(r))
		}
	}
	alter(bigBatch, 300)
	block("no tags")
	s.stop()
	s.ledger, s.stop = openLedger(t, s.dir, s.db, "example.com/lab")
	s.record(s.ledger) // batches 7 to 12: 700 rows first
	block("no tags of the old batches")
	alter(7, 300)
	if f := s.verify().has(RowAltered, 7); f == nil {
		t.Error("altered row of a batch with tags: not found")
	} else {
		s.requireRow(f, 7, 300)
	}
	size, err := os.Stat(tags)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(tags, size.Size()/2); err != nil {
		t.Fatal(err)
	}
	block("tags that end early")
}

// The owner of the log key alters a row and makes every file anew to match:
// only what is outside the machine can tell.
func historyRewrittenUnderTheSameKey(t *testing.T) {
	s := newSite(t)
	node, anchor := s.onAnvil()
	anchor(3)
	anchor(7)
	node.Mine(5)
	if r := s.clean("before"); r.ExitCode() != ExitOK || r.Ranges[0].State == Unanchored {
		t.Fatalf("exit code %d before:\n%s", r.ExitCode(), text(r))
	}
	r := s.ledger.Reader()
	headers, err := r.Headers(0, 7)
	if err != nil {
		t.Fatal(err)
	}
	s.exec("ALTER TABLE flows UPDATE bytes = bytes + 1 WHERE log = {log} AND batch_index = %d SETTINGS mutations_sync = 2", oneBatch)
	row := siteRows(4, 1, midday(time.Now()))
	if err := s.db.ReadFlows(t.Context(), s.log(), oneBatch, row); err != nil {
		t.Fatal(err)
	}
	key, err := r.SaltKey(oneBatch)
	if err != nil {
		t.Fatal(err)
	}
	var leaf [1]merkle.Hash
	if err := Leaves(leaf[:], row, key); err != nil {
		t.Fatal(err)
	}
	headers[oneBatch].RowRoot = leaf[0]
	headers[oneBatch+1].PrevLeaf = headers[oneBatch].Leaf()
	var file []byte
	var leaves []merkle.Hash
	for i := range headers {
		file = headers[i].Append(file)
		leaves = append(leaves, headers[i].Leaf())
	}
	forged := Checkpoint{Origin: r.Origin(), Size: 7, Root: merkle.Root(leaves)}
	signed, err := forged.Sign(s.ledger.signer)
	if err != nil {
		t.Fatal(err)
	}
	s.editFile(headersFile, func([]byte) []byte { return file })
	s.editFile(checkpointFile, func([]byte) []byte { return signed })
	s.editFile(nodesFile, func(p []byte) []byte {
		at, err := r.location(oneBatch)
		if err != nil {
			t.Fatal(err)
		}
		copy(p[at.nodes:], leaf[0][:])
		return p
	})
	dropViews(t, s)
	s.exec("TRUNCATE TABLE headers")

	got := s.verify()
	f := got.has(LogRewritten, -1)
	if f == nil || len(got.Faults) != 1 {
		t.Fatalf("want one fault, the chain's:\n%s", text(got))
	}
	if !strings.Contains(f.Detail, "up to batch 3") {
		t.Errorf("want the last anchor that agrees named: %s", f.Detail)
	}
	if g := got.Ranges; g[0].State != Finalized || g[0].Last != 2 || g[1].State != Unanchored {
		t.Errorf("ranges:\n%s", text(got))
	}
	s.chain = nil
	if alone := s.verify(); len(alone.Faults) != 0 || alone.ExitCode() == ExitOK {
		t.Errorf("without chain nothing can be found, and nothing may be claimed:\n%s", text(alone))
	}
}

// A history made anew, with a key of its own, is perfect in itself.
func TestVerify_NewLogIsCaughtByTheTrustFile(t *testing.T) {
	s := newSite(t)
	trust := s.trust
	s.stop()
	s.dir = t.TempDir()
	s.ledger, s.stop = openLedger(t, s.dir, s.db, "example.com/lab")
	s.record(s.ledger)
	s.trust = nil
	if r := s.verify(); len(r.Faults) != 0 || r.ExitCode() != ExitOriginNotChecked {
		t.Fatalf("exit code %d, want %d:\n%s", r.ExitCode(), ExitOriginNotChecked, text(r))
	}
	s.trust = trust
	if r := s.verify(); r.has(OriginDiffers, -1) == nil || r.ExitCode() != ExitFailed {
		t.Fatalf("not found:\n%s", text(r))
	}
}

func statesFollowTheChain(t *testing.T) {
	s := newSite(t)
	node, anchor := s.onAnvil()
	anchor(3)
	node.Mine(5)
	anchor(5)
	r := s.clean("two anchors, batches 5 and 6 pending")
	var states []State
	for _, g := range r.Ranges {
		states = append(states, g.State)
	}
	if len(states) != 3 || states[0] != Finalized || states[1] != Included || states[2] != Pending {
		t.Fatalf("states %q, want finalized, included, pending:\n%s", states, text(r))
	}
	if g := r.Ranges[0]; g.Last != 2 || g.AnchoredAfterLow == nil || *g.AnchoredAfterHigh > 120 {
		t.Errorf("first range: %+v", g)
	}
	if r.ExitCode() != ExitOK || !r.Development || !strings.Contains(text(r), DevelopmentWarning) {
		t.Errorf("exit code %d, development %v:\n%s", r.ExitCode(), r.Development, text(r))
	}
	o := s.options()
	o.Now = func() time.Time { return time.Now().Add(3 * time.Hour) }
	if late := s.verifyWith(o); late.ExitCode() != ExitUnanchored {
		t.Errorf("three hours later: exit code %d, want %d:\n%s", late.ExitCode(), ExitUnanchored, text(late))
	}
	o = s.options()
	o.Now = func() time.Time { return time.Now().Add(-time.Hour) }
	if early := s.verifyWith(o); early.has(TimeFault, 0) == nil || early.has(TimeFault, 0).Class != TimeClaim {
		t.Errorf("sealed in an hour: no TIME-CLAIM:\n%s", text(early))
	}

	anchor(7)
	node.Mine(5)
	if r := s.clean("all final"); len(r.Ranges) != 1 || r.Ranges[0].State != Finalized {
		t.Errorf("got:\n%s", text(r))
	}
	s.trust.Chain.ID = sha256.Sum256([]byte("another log"))
	if r := s.verify(); r.has(ChainDisagrees, -1) == nil {
		t.Errorf("a log the contract does not know:\n%s", text(r))
	}
	s.trust.Chain.Contract = [20]byte{1}
	if r := s.verify(); r.has(ChainDisagrees, -1) == nil {
		t.Errorf("no contract there:\n%s", text(r))
	}
	node.Stop()
	if r := s.verify(); r.ExitCode() != ExitUnreachable || len(r.Faults) != 0 {
		t.Errorf("chain away: exit code %d, want %d:\n%s", r.ExitCode(), ExitUnreachable, text(r))
	}
}

func announcedRetentionIsPrunedAndOtherwiseMissing(t *testing.T) {
	s := newSite(t)
	dropViews(t, s)
	day := midday(time.Now()).UTC()
	s.exec("ALTER TABLE flows DROP PARTITION ID '%s'", day.Format("20060102"))
	if r := s.verify(); r.has(BatchMissing, bigBatch) == nil {
		t.Fatalf("dropped without a word:\n%s", text(r))
	}
	announce := func(field string) {
		if _, _, err := s.ledger.EventNow(t.Context(), RetentionEvent, "tidemark", map[string]any{"day": field}); err != nil {
			t.Fatal(err)
		}
		if err := s.ledger.Drain(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	announce(day.AddDate(0, 0, -1).Format(time.DateOnly))
	if r := s.verify(); r.has(BatchMissing, bigBatch) == nil {
		t.Fatalf("another day announced:\n%s", text(r))
	}
	announce(day.Format(time.DateOnly))
	r := s.clean("announced")
	if r.PrunedBatches != 4 {
		t.Fatalf("%d batches pruned, want 4:\n%s", r.PrunedBatches, text(r))
	}
	later, err := s.ledger.Seal(t.Context(), siteRows(9, 10, midday(time.Now())), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.ledger.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.exec("ALTER TABLE flows DELETE WHERE log = {log} AND batch_index = %d SETTINGS mutations_sync = 2", later)
	if r := s.verify(); r.has(BatchMissing, int(later)) == nil {
		t.Errorf("a batch sealed after the announcement:\n%s", text(r))
	}
	s.exec("ALTER TABLE events UPDATE body = replaceOne(body, 'day', 'dax') WHERE log = {log} AND kind = 'retention' SETTINGS mutations_sync = 2")
	if r := s.verify(); r.has(BatchMissing, bigBatch) == nil || r.has(EventAltered, -1) == nil {
		t.Errorf("announcement altered:\n%s", text(r))
	}
}

func TestVerify_NextToAWorkingCollector(t *testing.T) {
	s := newSite(t)
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for i := uint64(0); ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			if _, err := s.ledger.Seal(t.Context(), siteRows(i, 50, midday(time.Now())), nil); err != nil {
				t.Error(err)
				return
			}
			if i%5 == 0 {
				if _, _, err := s.ledger.Checkpoint(); err != nil {
					t.Error(err)
				}
			}
		}
	}()
	defer func() { close(stop); <-done }()
	for i := range 15 {
		if r := s.verify(); len(r.Faults) > 0 {
			t.Fatalf("run %d: false alarm:\n%s", i, text(r))
		}
	}
}
