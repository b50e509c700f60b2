package anchor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"tidemark/anchor/merkle"
	"tidemark/collector/flow"
	"tidemark/storage"
)

// chacha is a source of keys that differ from run to run of one world.
type chacha struct{ *rand.ChaCha8 }

func (c chacha) Read(p []byte) (int, error) { return c.ChaCha8.Read(p) }

func testSeams(w *world) seams {
	return seams{files: w, rows: worldRows{w}, spool: worldSpool{w}, retry: time.Millisecond, held: w.held,
		random: chacha{rand.NewChaCha8([32]byte{byte(w.ops), byte(w.ops >> 8)})}}
}

var testClock = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func openWorld(w *world) (*Ledger, error) {
	now := testClock
	return open(context.Background(), Options{
		Dir: w.dir, Origin: testOrigin, Site: "site-1", Version: "test", Log: zerolog.Nop(),
		Clock:  func() time.Time { now = now.Add(time.Second); return now },
		Derive: twoDerived,
	}, testSeams(w))
}

// twoDerived makes two blocks of every batch.
func twoDerived([]byte) ([]storage.Block, error) {
	return []storage.Block{{Table: "derived 0"}, {Table: "derived 1"}}, nil
}

// dayBatch is randomBatch received on one day.
func dayBatch(seed uint64, n int) *flow.Batch {
	b := randomBatch(seed, n)
	for i := range n {
		b.TimeReceived[i] = testClock.UnixNano() + int64(i)
	}
	return b
}

// history is a small life of a ledger, told so that it can be interrupted by a
// crash anywhere and taken up again.
type history struct {
	w       *world
	batches []*flow.Batch // what is sealed; shared by histories, read only
	l       *Ledger
	next    int      // step
	acked   []uint64 // rows of the batches whose sealing was acknowledged, in order
	signed  []Checkpoint
}

var errStop = errors.New("no progress")

// steps of the history; each is repeated until it succeeds.
func (h *history) steps() []func() error {
	counts := exporterCounts()
	seal := func(which int, counts []flow.ExporterCount) func() error {
		return func() error {
			b := h.batches[which]
			index := h.l.sealing.next
			h.w.sealed[index] = b // what the block will hold
			got, err := h.l.Seal(context.Background(), b, counts)
			if err == nil && got != index {
				return fmt.Errorf("%w: sealed as %d, want %d", errStop, got, index)
			}
			if err == nil {
				h.acked = append(h.acked, uint64(b.Len()))
			}
			return err
		}
	}
	event := func() error {
		_, _, err := h.l.EventNow(context.Background(), "approve", "alice", map[string]any{"n": h.next})
		if err == nil {
			h.acked = append(h.acked, 1)
		}
		return err
	}
	commit := func() error {
		c := &committer{Ledger: h.l}
		for more := true; more; {
			var err error
			if more, err = c.step(context.Background()); err != nil {
				return err
			}
		}
		return nil
	}
	checkpoint := func() error {
		c, _, err := h.l.Checkpoint()
		if err == nil {
			h.signed = append(h.signed, c)
		}
		return err
	}
	return []func() error{
		seal(0, counts), commit, checkpoint,
		seal(1, counts), seal(2, counts[1:]), event, commit, checkpoint,
		seal(3, nil), seal(4, counts), commit, checkpoint,
		commit, // what a crash brought back into the spool
	}
}

func (h *history) open() (err error) {
	h.l, err = openWorld(h.w)
	return err
}

// tell goes on from where it is. crashed: the world is dead.
func (h *history) tell() (crashed bool, err error) {
	for steps := h.steps(); h.next < len(steps); h.next++ {
		err := errStop
		for range 4 {
			if err = steps[h.next](); err == nil || h.w.dead {
				break
			}
		}
		if h.w.dead {
			return true, nil
		}
		if err != nil {
			return false, fmt.Errorf("step %d: %w", h.next, err)
		}
	}
	return false, nil
}

// check reads everything from the files and compares it with what was promised.
func (h *history) check(t *testing.T) {
	t.Helper()
	r, err := OpenReader(h.w.dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	var hs []Header
	if hs, err = r.Headers(0, r.Size()); err != nil {
		t.Fatal(err)
	}
	if len(h.w.spool) != 0 {
		t.Errorf("%d records are left in the spool", len(h.w.spool))
	}
	next := 0 // acked batches may be interspersed with ones whose acknowledgement the crash ate
	leaves := make([]merkle.Hash, 0, len(hs))
	for i := range hs {
		if i > 0 {
			if err := CheckSuccessor(&hs[i-1], &hs[i]); err != nil {
				t.Error(err)
			}
			if next < len(h.acked) && hs[i].Rows == h.acked[next] {
				next++
			}
		}
		leaves = append(leaves, hs[i].Leaf())
		h.checkBatch(t, r, &hs[i])
	}
	if next != len(h.acked) {
		t.Errorf("%d acknowledged batches %v, found %d among %d headers", len(h.acked), h.acked, next, len(hs))
	}
	if extra := len(hs) - 1 - len(h.acked); extra < 0 || extra > 1 {
		t.Errorf("%d headers for %d acknowledged batches", len(hs), len(h.acked))
	}
	for _, c := range h.signed {
		if c.Size > uint64(len(leaves)) || merkle.Root(leaves[:c.Size]) != c.Root {
			t.Errorf("the log forks from the checkpoint of size %d", c.Size)
		}
	}
}

func (h *history) checkBatch(t *testing.T, r *Reader, header *Header) {
	t.Helper()
	i := header.Index
	key, err := r.SaltKey(i)
	if err != nil {
		t.Fatal(err)
	}
	nodes, err := r.Nodes(i)
	if err != nil || uint64(len(nodes)) != merkle.NumBlocks(header.Rows) {
		t.Errorf("batch %d: %d nodes, %v", i, len(nodes), err)
	}
	if counts, err := r.ExporterTable(i); err != nil || (counts == nil) != (header.Flags&Events != 0) {
		t.Errorf("batch %d: exporter table %v, %v", i, counts, err)
	}
	leaves := make([]merkle.Hash, header.Rows)
	if header.Flags&Events != 0 {
		err = EventLeaves(leaves, h.w.events[i], key)
	} else {
		var stored flow.Batch
		for _, table := range []string{tableFlows, tableQuarantine} {
			for _, b := range h.w.flows[table][i] {
				stored.Append(&b, 0, b.Len())
			}
		}
		err = Leaves(leaves, &stored, key)
	}
	if err != nil {
		t.Errorf("batch %d: %v", i, err) // wrong number of rows: lost or doubled
	} else if root := merkle.Root(leaves); root != header.RowRoot {
		t.Errorf("batch %d: root of what is stored is %x, want %x", i, root, header.RowRoot)
	} else if tags := r.readTags(header); !bytes.Equal(tags, appendTags(nil, leaves)) {
		t.Errorf("batch %d: tags are not those of its leaves", i)
	}
	want := len(h.w.flows[tableFlows][i]) // once for each time the rows are in flows, which is once
	for _, table := range []string{"derived 0", "derived 1"} {
		if got := len(h.w.flows[table][i]); got != want {
			t.Errorf("batch %d: %d times in %s, want %d", i, got, table, want)
		}
	}
	if h.w.headers[i] != 1 {
		t.Errorf("batch %d: %d copies of the header, want 1", i, h.w.headers[i])
	}
}

// Every operation of a ledger's life fails once, in every way, and the process
// goes on or dies there.
func everyOperationMayFail(t *testing.T) {
	var batches []*flow.Batch
	for seed, n := range []int{3, 300, 0, 1, 256} {
		batches = append(batches, dayBatch(uint64(seed), n))
	}
	t.Run("records read from the spool", func(t *testing.T) { failEverywhere(t, batches, 0) })
	t.Run("records held in memory", func(t *testing.T) { failEverywhere(t, batches, maxHeld) })
}

func failEverywhere(t *testing.T, batches []*flow.Batch, held int) {
	h := &history{w: newWorld(t.TempDir()), batches: batches}
	h.w.held = held
	if err := h.open(); err != nil {
		t.Fatal(err)
	}
	if _, err := h.tell(); err != nil {
		t.Fatal(err)
	}
	if err := h.l.Close(); err != nil {
		t.Fatal(err)
	}
	h.check(t)
	total, step := h.w.ops, 1
	if testing.Short() {
		step = 7
	}
	for _, c := range []struct {
		name                string
		how                 outcome
		crash, keepUnsynced bool
	}{
		{"error", lost, false, true},
		{"error, yet it happened", persisted, false, true},
		{"error, half of it happened", torn, false, true},
		{"process dies before", lost, true, true},
		{"process dies after", persisted, true, true},
		{"process dies amid", torn, true, true},
		{"power fails before", lost, true, false},
		{"power fails after", persisted, true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			for fault := 1; fault <= total; fault += step {
				failAt(t, batches, held, fault, c.how, c.crash, c.keepUnsynced)
			}
		})
	}
}

func failAt(t *testing.T, batches []*flow.Batch, held, fault int, how outcome, crash, keepUnsynced bool) {
	t.Helper()
	h := &history{w: newWorld(t.TempDir()), batches: batches}
	h.w.held, h.w.fault, h.w.how, h.w.crash = held, fault, how, crash
	for opens := 0; ; opens++ {
		err := h.open()
		if err == nil {
			var crashed bool
			crashed, err = h.tell()
			if closeErr := h.l.Close(); closeErr != nil {
				t.Fatal(closeErr)
			}
			if err == nil && !crashed {
				break
			}
		}
		if opens > 3 || (err != nil && !errors.Is(err, errInjected)) {
			t.Fatalf("operation %d (%s): %v", fault, h.w.hit, err)
		}
		if err := h.w.restart(keepUnsynced); err != nil {
			t.Fatal(err)
		}
	}
	if h.w.hit == "" {
		t.Fatalf("operation %d was not reached", fault)
	}
	h.check(t)
	if t.Failed() {
		t.Fatalf("after operation %d (%s)", fault, h.w.hit)
	}
}
