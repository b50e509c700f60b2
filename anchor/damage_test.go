package anchor

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"tidemark/collector/flow"
	"tidemark/storage"
	"tidemark/storage/storagetest"
)

// losses are the events by which the log tells of a loss, by batch.
func (w *world) losses(t *testing.T) map[string]int {
	t.Helper()
	told := map[string]int{}
	for _, bodies := range w.events {
		for _, body := range bodies {
			e, err := ParseEvent(body)
			if err != nil {
				t.Fatal(err)
			}
			if e.Kind == LossEvent {
				fields, err := e.Fields()
				if err != nil {
					t.Fatal(err)
				}
				told[fmt.Sprint(fields["batch"])]++
			}
		}
	}
	return told
}

// commitPatiently commits everything, though some be damaged.
func (f *fixture) commitPatiently() {
	f.t.Helper()
	c := &committer{Ledger: f.l}
	for range 2 * patience {
		more := true
		var err error
		for more && err == nil {
			more, err = c.step(f.t.Context())
		}
		if err == nil {
			return
		}
		if !isCorrupt(err) {
			f.t.Fatal(err)
		}
	}
	f.t.Fatal("no progress")
}

// A disk that was away for a moment costs nothing.
func TestCommit_RecordThatIsReadInTheEndIsNotLost(t *testing.T) {
	f := newFixture(t)
	f.mustCommit()
	f.seal(1, 300)
	f.w.damaged[1] = "rows"
	c := &committer{Ledger: f.l}
	for i := range patience - 1 {
		if _, err := c.step(t.Context()); !isCorrupt(err) {
			t.Fatalf("attempt %d: %v, want what is wrong with the record", i, err)
		}
	}
	delete(f.w.damaged, 1)
	f.mustCommit()
	f.acked = []uint64{300}
	f.check(t)
}

// A record whose rows cannot be read costs these rows and nothing else, and
// nothing at all if the database has them.
func TestCommit_DamagedRecord(t *testing.T) {
	for name, c := range map[string]struct {
		events bool
		stored string // the table that has the rows already
		spoil  bool   // and has them wrong
		lost   float64
	}{
		"rows lost":                     {lost: 1},
		"events lost":                   {events: true, lost: 1},
		"rows in flows":                 {stored: tableFlows},
		"rows in quarantine":            {stored: tableQuarantine},
		"events stored":                 {events: true, stored: tableEvents},
		"other rows in flows":           {stored: tableFlows, spoil: true, lost: 1},
		"other events stored":           {events: true, stored: tableEvents, spoil: true, lost: 1},
		"other rows in quarantine only": {stored: tableQuarantine, spoil: true, lost: 1},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.commitPatiently()
			if c.events {
				if _, _, err := f.l.EventNow(t.Context(), "alert", "tidemark", nil); err != nil {
					t.Fatal(err)
				}
			} else {
				f.seal(1, 300)
			}
			f.seal(2, 10)
			if c.stored == tableEvents {
				f.w.events[1] = eventsOfBlock(f.w.spool[1].block)
				if c.spoil {
					f.w.events[1] = append(f.w.events[1], f.w.events[0]...)
				}
			} else if c.stored != "" {
				var b flow.Batch
				b.Append(f.w.sealed[1], 0, 300)
				if c.spoil {
					b.Bytes[7]++
				}
				f.w.flows[c.stored] = map[uint64][]flow.Batch{1: {b}}
			}
			f.w.damaged[1] = "rows"
			f.reopen()
			f.commitPatiently()
			if got := f.counter("lost_batches_total"); got != c.lost || f.w.losses(t)["1"] != int(c.lost) {
				t.Errorf("%v batches lost, the log tells of %v, want %v", got, f.w.losses(t), c.lost)
			}
			if len(f.w.spool) != 0 || len(f.w.aside) != 1 || f.w.aside[1].meta == nil || f.w.headers[1] != 1 {
				t.Errorf("spool %v, set aside %v, %d copies of the header", f.w.spool, f.w.aside, f.w.headers[1])
			}
			if size := f.l.reader.Size(); size != 3+uint64(c.lost) || !slices.Contains(f.seen, 1) || f.l.Backlog() != 0 {
				t.Errorf("log of %d batches, %v announced, backlog %d", size, f.seen, f.l.Backlog())
			}
			h := f.header(1)
			if nodes, err := f.l.reader.Nodes(1); err != nil || len(nodes) == 0 {
				t.Errorf("%d nodes, %v", len(nodes), err)
			}
			if tags := f.l.reader.readTags(&h); (tags == nil) != (c.lost > 0) {
				t.Errorf("%d octets of tags, lost: %v", len(tags), c.lost > 0)
			}
			f.reopen() // and is as sound as any
		})
	}
}

// A whole record put in the place of a lost one gives the rows back.
func TestCommit_RecordPutBackRestoresItsRows(t *testing.T) {
	f := newFixture(t)
	f.seal(1, 300)
	f.w.damaged[1] = "rows"
	f.seal(2, 10)
	f.commitPatiently()
	if len(f.w.flows[tableFlows][1]) != 0 {
		t.Fatal("the rows are there")
	}
	f.w.spool[1] = f.w.aside[1]
	delete(f.w.damaged, 1)
	f.reopen()
	f.commitPatiently()
	f.acked = []uint64{300, 10, 1}
	f.check(t) // headers, nodes, tags, rows
	delete(f.w.headers, 1)
	f.w.tokens = map[string]bool{}
	f.w.spool[1] = f.w.aside[1] // once more changes nothing
	f.reopen()
	f.commitPatiently()
	f.check(t)
}

// A record of a batch that the log has is not needed, however damaged.
func TestOpen_DamagedLeftoverIsSetAside(t *testing.T) {
	for _, damage := range []string{"meta", "rows"} {
		f := newFixture(t)
		f.seal(1, 300)
		kept := f.w.spool[1]
		f.commitPatiently()
		f.w.spool[1], f.w.damaged[1] = kept, damage
		f.reopen()
		f.commitPatiently()
		f.acked = []uint64{300}
		f.check(t)
		if len(f.w.aside) != 1 || f.counter("lost_batches_total") != 0 {
			t.Errorf("%s: set aside %v, %v lost", damage, f.w.aside, f.counter("lost_batches_total"))
		}
	}
}

// Without its header a batch cannot stand in the log, and none behind it.
func TestOpen_RefusesASealedBatchWithoutHeader(t *testing.T) {
	f := newFixture(t)
	f.commitPatiently()
	for i := range uint64(3) {
		f.seal(i, 10)
	}
	if err := f.l.Close(); err != nil {
		t.Fatal(err)
	}
	f.w.damaged[2] = "meta"
	err := f.openError()
	if err == nil {
		t.Fatal("open: no error")
	}
	for _, want := range []string{"batch 2 is sealed", "00000000000000000002.batch", "put a copy", "give up the batches 2 to 3"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("open: %v\nwant it to say %q", err, want)
		}
	}
	if len(f.w.spool) != 3 || len(f.w.aside) != 0 {
		t.Errorf("%d records, %d set aside: want all where they were", len(f.w.spool), len(f.w.aside))
	}
	delete(f.w.spool, 2) // give them up
	delete(f.w.spool, 3)
	delete(f.w.damaged, 2)
	f.l = nil
	f.reopen()
	if index := f.seal(9, 5); index != 2 {
		t.Errorf("next batch is %d, want 2", index)
	}
	f.commitPatiently()
	f.acked = []uint64{10, 5}
	f.check(t)
}

// A last header that was being written is cut only if the spool can give it back.
func TestOpen_KeepsATornHeaderWhoseRecordIsDamaged(t *testing.T) {
	f := newFixture(t)
	f.seal(1, 10)
	kept := f.w.spool[1]
	f.commitPatiently()
	if err := f.l.Close(); err != nil {
		t.Fatal(err)
	}
	f.l = nil
	headers, err := os.ReadFile(f.path(headersFile))
	if err != nil {
		t.Fatal(err)
	}
	headers[len(headers)-1] ^= 1
	if err := os.WriteFile(f.path(headersFile), headers, 0o600); err != nil {
		t.Fatal(err)
	}
	f.w.spool[1], f.w.damaged[1] = kept, "meta"
	if err := f.openError(); err == nil {
		t.Fatal("open: no error")
	}
	if now, err := os.ReadFile(f.path(headersFile)); err != nil || !slices.Equal(now, headers) {
		t.Errorf("headers changed, or %v", err)
	}
	f.w.damaged[1] = "rows" // the header can be had; the rows are in the database
	f.reopen()
	f.commitPatiently()
	f.acked = []uint64{10}
	f.check(t)
}

// Whatever fails while the log goes over a lost batch, it has the batch once in
// the end, tells of the loss, and keeps the record.
func TestCommit_EveryOperationMayFailOverADamagedRecord(t *testing.T) {
	tell := func(w *world) (*Ledger, error) {
		l, err := openWorld(w)
		if err != nil {
			return nil, err
		}
		c := &committer{Ledger: l}
		for range patience + 4 {
			more := true
			for more && err == nil {
				more, err = c.step(t.Context())
			}
			if err == nil || w.dead {
				break
			}
			if !errors.Is(err, errInjected) && !isCorrupt(err) {
				t.Fatal(err)
			}
			err = nil
		}
		return l, errors.Join(err, l.Close())
	}
	begin := func() *world {
		w := newWorld(t.TempDir())
		l, err := openWorld(w)
		if err != nil {
			t.Fatal(err)
		}
		for i := range uint64(2) {
			w.sealed[i+1] = dayBatch(i, 10)
			if _, err := l.Seal(t.Context(), w.sealed[i+1], nil); err != nil {
				t.Fatal(err)
			}
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		w.damaged[1] = "rows"
		return w
	}
	w := begin()
	before := w.ops
	if _, err := tell(w); err != nil {
		t.Fatal(err)
	}
	total := w.ops - before
	for name, c := range map[string]struct {
		how                 outcome
		crash, keepUnsynced bool
	}{
		"error":                    {lost, false, true},
		"error, yet it happened":   {persisted, false, true},
		"process dies before":      {lost, true, true},
		"process dies after":       {persisted, true, true},
		"power fails before":       {lost, true, false},
		"power fails after":        {persisted, true, false},
		"half of it, then it dies": {torn, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			for fault := 1; fault <= total; fault++ {
				w := begin()
				w.fault, w.how, w.crash = w.ops+fault, c.how, c.crash
				for range 3 {
					_, err := tell(w)
					if err != nil && !errors.Is(err, errInjected) {
						t.Fatalf("operation %d (%s): %v", fault, w.hit, err)
					}
					if w.dead || err != nil {
						if err := w.restart(c.keepUnsynced); err != nil {
							t.Fatal(err)
						}
					}
				}
				r, err := OpenReader(w.dir)
				if err != nil {
					t.Fatalf("operation %d (%s): %v", fault, w.hit, err)
				}
				told := w.losses(t)["1"]
				if r.Size() != 3+uint64(told) || told < 1 || told > 2 || len(w.spool) != 0 || len(w.aside) != 1 || w.headers[1] != 1 || len(w.flows[tableFlows][1]) != 0 {
					t.Errorf("operation %d (%s): log of %d, told %d times, spool %d, aside %d, %d copies of the header", fault, w.hit, r.Size(), told, len(w.spool), len(w.aside), w.headers[1])
				}
				if err := r.Close(); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// The same with the engine and files: verify says what is missing, and that the
// log tells of it, until the record is put back.
func TestVerify_RowsLostInTheSpoolAreMissingUntilPutBack(t *testing.T) {
	db := storagetest.Open(t)
	s := &recordedSite{t: t, dir: t.TempDir(), db: db}
	spool, err := storage.OpenSpool(filepath.Join(s.dir, "spool"))
	if err != nil {
		t.Fatal(err)
	}
	open := func() *Ledger {
		l, err := Open(t.Context(), Options{Dir: filepath.Join(s.dir, "ledger"), Origin: testOrigin, Site: "lab", DB: db, Spool: spool, Log: zerolog.Nop()})
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	l := open()
	for i := range uint64(3) {
		if _, err := l.Seal(t.Context(), siteRows(i, 400, midday(time.Now())), nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(s.dir, "spool", fmt.Sprintf("%020d.batch", 2))
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	damaged := slices.Clone(whole)
	damaged[len(damaged)/2] ^= 1
	if err := os.WriteFile(path, damaged, 0o600); err != nil {
		t.Fatal(err)
	}
	spool, err = storage.OpenSpool(filepath.Join(s.dir, "spool"))
	if err != nil {
		t.Fatal(err)
	}
	s.ledger = open()
	s.ledger.retry = time.Millisecond
	run(t, s.ledger)
	s.trust = &Trust{Origin: testOrigin, LogID: s.ledger.Reader().LogID(), Key: s.ledger.Reader().PublicKey()}
	run(t, s.ledger) // the event of the loss too
	r := s.verify()
	f := r.has(BatchMissing, 2)
	if f == nil || len(r.Faults) != 1 || !strings.Contains(f.Detail, "the log told of the loss in batch 4") || r.Flows != 1200 {
		t.Errorf("want batch 2 missing:\n%s", text(r))
	}
	aside := filepath.Join(s.dir, "spool", "corrupt", filepath.Base(path))
	if kept, err := os.ReadFile(aside); err != nil || !slices.Equal(kept, damaged) {
		t.Errorf("the damaged record is not in spool/corrupt: %v", err)
	}
	if err := s.ledger.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	s.ledger, s.stop = openLedger(t, s.dir, db, testOrigin)
	if err := s.ledger.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.clean("after the record was put back")
}
