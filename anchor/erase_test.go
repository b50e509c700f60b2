package anchor

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tidemark/anchor/merkle"
	"tidemark/collector/flow"
	"tidemark/storage"
)

// order is an erasure of rows and one event of the recorded site.
func order() *Erasure {
	return &Erasure{Actor: "dpo as Ada", Rule: "GDPR Art. 17", Reason: "request 12", Leaves: []ErasedBatch{
		NewErasedBatch(bigBatch, []uint32{0, 5, 6, 7, 300, 699}), NewErasedBatch(eventBatch, []uint32{0}), NewErasedBatch(oneBatch, []uint32{0}),
	}}
}

func (s *recordedSite) erase(e *Erasure) {
	s.t.Helper()
	err := s.ledger.BeginErasure(e)
	if err == nil {
		err = s.ledger.Erase(s.t.Context(), s.db)
	}
	if err == nil {
		err = s.ledger.EndErasure()
	}
	if err == nil {
		_, _, err = s.ledger.Checkpoint()
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *recordedSite) count(what string, args ...any) (n uint64) {
	s.t.Helper()
	sql := strings.ReplaceAll(fmt.Sprintf("SELECT count() FROM "+what, args...), "{log}", fmt.Sprint(s.log()))
	if err := s.db.Conn().QueryRow(s.t.Context(), sql).Scan(&n); err != nil {
		s.t.Fatal(err)
	}
	return n
}

func theRestVerifiesAndTheReportSaysWhatIsGone(t *testing.T) {
	s := newSite(t)
	s.erase(order())
	if n := s.count("flows WHERE log = {log} AND batch_index = %d", bigBatch); n != 694 {
		t.Errorf("%d rows are left of 700, want 694", n)
	}
	r := s.clean("after an erasure")
	t.Log(text(r))
	if len(r.Removed) != 1 || r.Removed[0].Flows != 7 || r.Removed[0].Events != 1 || r.Removed[0].Actor != "dpo as Ada" || r.Removed[0].Rule != "GDPR Art. 17" || r.Removed[0].Reason != "request 12" {
		t.Errorf("removed: %+v", r.Removed)
	}
	erased := 0
	for _, g := range r.Ranges {
		if g.Content == Erased {
			erased += int(g.Last - g.First + 1)
		}
	}
	if erased != 3 {
		t.Errorf("%d batches are said to be erased in part, want 3", erased)
	}
	for _, pos := range []uint32{1, 8, 299, 301, 698} { // of blocks with erased rows
		b, err := Prove(t.Context(), s.proveOptions(bigBatch, pos))
		if err != nil {
			t.Fatalf("row %d: %v", pos, err)
		}
		if code, said := verifyFile(t, bundleFileOf(t, b), s.trust, nil); code != ExitUnanchored {
			t.Errorf("row %d: exit code %d:\n%s", pos, code, said)
		}
	}
	if _, err := Prove(t.Context(), s.proveOptions(bigBatch, 6)); !errors.Is(err, ErrErased) {
		t.Errorf("an erased row: %v, want ErrErased", err)
	}
	key, err := s.ledger.Reader().SaltKey(bigBatch)
	if err != nil || key != (SaltKey{}) {
		t.Errorf("salt key of the batch: %x, %v, want it destroyed", key, err)
	}
	// A second erasure in the same batch.
	s.erase(&Erasure{Actor: "dpo", Rule: "GDPR Art. 17", Leaves: []ErasedBatch{NewErasedBatch(bigBatch, []uint32{6, 8})}})
	s.clean("after a second erasure")
	if n := s.count("flows WHERE log = {log} AND batch_index = %d", bigBatch); n != 693 {
		t.Errorf("%d rows are left, want 693", n)
	}
	s.stop()
	s.ledger, s.stop = openLedger(t, s.dir, s.db, "")
	s.clean("after opening again")
	s.exec("OPTIMIZE TABLE flows FINAL")
	s.clean("after OPTIMIZE FINAL")
}

func whatIsTamperedInTheRestIsFoundAndNamed(t *testing.T) {
	s := newSite(t)
	s.erase(order())
	restore := s.keep()
	for name, c := range map[string]struct {
		edit string
		kind Kind
		pos  int
	}{
		"a row altered":           {"ALTER TABLE flows UPDATE bytes = bytes + 1 WHERE log = {log} AND batch_index = 1 AND pos = 8 SETTINGS mutations_sync = 2", RowAltered, 8},
		"one more deleted":        {"ALTER TABLE flows DELETE WHERE log = {log} AND batch_index = 1 AND pos = 9 SETTINGS mutations_sync = 2", RowsMissing, 9},
		"an erased row made anew": {"INSERT INTO flows SELECT * REPLACE (5 AS pos) FROM flows WHERE log = {log} AND batch_index = 1 AND flows.pos = 8", RowsAdded, 5},
		"a row doubled":           {"INSERT INTO flows SELECT * FROM flows WHERE log = {log} AND batch_index = 1 AND pos = 8 SETTINGS insert_deduplicate = 0", RowsAdded, 8},
	} {
		s.exec("%s", c.edit)
		r := s.verify()
		if f := r.has(c.kind, bigBatch); f == nil || f.First == nil || *f.First != uint32(c.pos) || *f.Last != uint32(c.pos) {
			t.Errorf("%s: want a fault %q of row %d:\n%s", name, c.kind, c.pos, text(r))
		}
		restore()
	}
	// Somebody who erases without the log, with the ledger's own files at hand.
	e, err := readErased(filepath.Join(s.dir, "ledger"), bigBatch)
	if err != nil {
		t.Fatal(err)
	}
	var rows flow.Batch
	if err := s.db.ReadFlowsRange(t.Context(), storage.Flows, s.log(), bigBatch, 8, 9, &rows); err != nil {
		t.Fatal(err)
	}
	row, err := AppendRow(nil, &rows, 0)
	if err != nil {
		t.Fatal(err)
	}
	i, _ := slices.BinarySearch(e.positions, 8)
	e.positions = slices.Insert(e.positions, i, 8)
	e.hashes = slices.Insert(e.hashes, i, merkle.Hash(LeafHash(row, [16]byte(e.salts[8*16:]))))
	if err := os.WriteFile(erasedPath(filepath.Join(s.dir, "ledger"), bigBatch), e.append(nil), 0o600); err != nil {
		t.Fatal(err)
	}
	s.exec("ALTER TABLE flows DELETE WHERE log = {log} AND batch_index = 1 AND pos = 8 SETTINGS mutations_sync = 2")
	if f := s.verify().has(RowsMissing, bigBatch); f == nil || *f.First != 8 || !strings.Contains(f.Detail, "no event of the log announced") {
		t.Errorf("an erasure that was not announced: %+v", f)
	}
	if err := os.Remove(erasedPath(filepath.Join(s.dir, "ledger"), bigBatch)); err != nil {
		t.Fatal(err)
	}
	if r := s.verify(); r.has(KeyMissing, bigBatch) == nil {
		t.Errorf("the record of the erasure removed: not found:\n%s", text(r))
	}
}

func TestErase_RefusesABatchThatWasAltered(t *testing.T) {
	s := newSite(t)
	s.exec("ALTER TABLE flows UPDATE bytes = bytes + 1 WHERE log = {log} AND batch_index = 1 AND pos = 400 SETTINGS mutations_sync = 2")
	if err := s.ledger.BeginErasure(order()); err != nil {
		t.Fatal(err)
	}
	if err := s.ledger.Erase(t.Context(), s.db); !errors.Is(err, ErrAltered) {
		t.Errorf("got %v, want ErrAltered", err)
	}
	if n := s.count("flows WHERE log = {log} AND batch_index = %d", bigBatch); n != 700 {
		t.Errorf("%d rows are left, want all 700", n)
	}
}

// failing is the file system with an operation that fails, before or after it
// was done.
type failing struct {
	files
	left  *int
	after bool
}

var errDied = errors.New("died here")

func (f failing) do(op func() error) error {
	if *f.left--; *f.left != 0 {
		return op()
	}
	if f.after {
		return errors.Join(op(), errDied)
	}
	return errDied
}

func (f failing) OpenFile(path string, flag int, mode fs.FileMode) (out file, err error) {
	err = f.do(func() (err error) { out, err = f.files.OpenFile(path, flag, mode); return err })
	return out, err
}

func (f failing) Rename(from, to string) error {
	return f.do(func() error { return f.files.Rename(from, to) })
}

func (f failing) SyncDir(path string) error {
	return f.do(func() error { return f.files.SyncDir(path) })
}

// failingFile is the file of salt keys.
type failingFile struct {
	file
	failing
}

func (f failingFile) WriteAt(p []byte, off int64) (n int, err error) {
	err = f.do(func() (err error) { n, err = f.file.WriteAt(p, off); return err })
	return n, err
}

func (f failingFile) Sync() error { return f.do(f.file.Sync) }

// A process that dies at any write of an erasure leaves what verifies, and the
// next one carries it to its end.
func TestErase_ResumesAfterACrashAnywhere(t *testing.T) {
	s := newSite(t)
	pos, step := uint32(0), 3
	if os.Getenv("TIDEMARK_SOAK") != "" {
		step = 1
	}
	for n := 1; ; n += step {
		pos++
		s.ledger.reader.mu.Lock()
		left := n
		broken := failing{files: osFiles{}, left: &left, after: n%2 == 0}
		batches := s.ledger.reader.batches
		s.ledger.files, s.ledger.reader.batches = broken, failingFile{batches, broken}
		s.ledger.reader.mu.Unlock()

		err := s.ledger.BeginErasure(&Erasure{Actor: "dpo", Rule: "r", Leaves: []ErasedBatch{NewErasedBatch(bigBatch, []uint32{pos}), NewErasedBatch(nextBatch, []uint32{pos})}})
		if err == nil {
			err = s.ledger.Erase(t.Context(), s.db)
		}
		s.ledger.reader.batches = batches
		s.stop()
		s.ledger, s.stop = openLedger(t, s.dir, s.db, "")
		s.clean(fmt.Sprintf("write %d failed", n))
		if pending, pendingErr := s.ledger.PendingErasure(); pendingErr != nil {
			t.Fatal(pendingErr)
		} else if pending != nil {
			if err := s.ledger.Erase(t.Context(), s.db); err != nil {
				t.Fatalf("write %d failed, resumed: %v", n, err)
			}
			if err := s.ledger.EndErasure(); err != nil {
				t.Fatal(err)
			}
			s.clean(fmt.Sprintf("write %d failed, resumed", n))
			if rows := s.count("flows WHERE log = {log} AND batch_index IN (%d, %d) AND pos = %d", bigBatch, nextBatch, pos); rows != 0 {
				t.Errorf("write %d failed, resumed: %d rows are left", n, rows)
			}
		}
		if left > 0 { // nothing failed any more
			if n < 15 || err != nil {
				t.Errorf("only %d writes were tried: %v", n, err)
			}
			return
		}
	}
}

// A power failure may bring a record of the spool back whose rows were erased.
func TestErase_RecordBackInTheSpoolDoesNotBringTheRowsBack(t *testing.T) {
	s := newSite(t)
	spool, err := storage.OpenSpool(filepath.Join(s.dir, "spool"))
	if err != nil {
		t.Fatal(err)
	}
	block := storage.AppendFlowsBlock(nil, s.log(), "lab", oneBatch, siteRows(4, 1, testClock))
	h, at, err := s.ledger.reader.find(oneBatch)
	if err != nil {
		t.Fatal(err)
	}
	nodes, err := s.ledger.reader.Nodes(oneBatch)
	if err != nil {
		t.Fatal(err)
	}
	table, err := s.ledger.reader.readTable(&h, at)
	if err != nil {
		t.Fatal(err)
	}
	meta := (&sealed{header: h, key: at.key, table: table, nodes: nodes}).append(nil)
	s.erase(order())
	s.stop()
	if err := spool.Append(oneBatch, recordFlows, meta, block); err != nil {
		t.Fatal(err)
	}
	s.ledger, s.stop = openLedger(t, s.dir, s.db, "")
	if err := s.ledger.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := s.count("flows WHERE log = {log} AND batch_index = %d", oneBatch); n != 0 {
		t.Errorf("%d erased rows are back", n)
	}
	if left, err := storage.SpoolIndexes(filepath.Join(s.dir, "spool")); err != nil || len(left) != 0 {
		t.Errorf("the spool holds %v, %v", left, err)
	}
	s.clean("after the record came back")
}

func TestPositions_HaveOneForm(t *testing.T) {
	for _, text := range []string{"0", "0,5-9", "5-9,11", "255-256"} {
		p, err := parsePositions(text, 300)
		if err != nil || spellPositions(p) != text {
			t.Errorf("%q: %v, %v", text, p, err)
		}
	}
	for _, text := range []string{"", "0,1", "5-5", "9-5", "5,5", "5,4", "300", "1-300", "01", "-1", "1-", "0-9999999999", "a"} {
		if p, err := parsePositions(text, 300); err == nil {
			t.Errorf("%q is read as %v", text, p)
		}
	}
}

func FuzzParseErased(f *testing.F) {
	e := &erasedLeaves{index: 3, nodes: 7, table: 9, positions: []uint32{1}, hashes: []merkle.Hash{{1}}, salts: make([]byte, 3*saltSize)}
	f.Add(e.append(nil))
	f.Fuzz(func(t *testing.T, p []byte) {
		e, err := parseErased(p, 3)
		if err == nil && string(e.append(nil)) != string(p) {
			t.Error("two forms of one record")
		}
	})
}
