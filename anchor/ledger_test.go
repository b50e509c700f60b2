package anchor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"tidemark/collector/flow"
)

// fixture is a ledger in a world without faults.
type fixture struct {
	*history
	t     *testing.T
	clock time.Time
	block struct {
		number uint64
		hash   [32]byte
	}
	registry *prometheus.Registry
	seen     []uint64
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{history: &history{w: newWorld(t.TempDir())}, t: t, clock: testClock}
	f.reopen()
	t.Cleanup(func() { _ = f.l.Close() })
	return f
}

// reopen opens the ledger as a new process would.
func (f *fixture) reopen() {
	f.t.Helper()
	if f.l != nil {
		if err := f.l.Close(); err != nil {
			f.t.Fatal(err)
		}
	}
	f.registry = prometheus.NewRegistry()
	var err error
	f.l, err = open(f.t.Context(), Options{
		Dir: f.w.dir, Origin: testOrigin, Site: "site-1", Version: "test", Log: zerolog.Nop(), Registerer: f.registry,
		Clock:       func() time.Time { return f.clock },
		Finalized:   func() (uint64, [32]byte) { return f.block.number, f.block.hash },
		OnCommitted: func(index uint64, _ Header) { f.seen = append(f.seen, index) },
		Derive:      twoDerived,
	}, testSeams(f.w))
	if err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) seal(seed uint64, n int) uint64 {
	f.t.Helper()
	b := dayBatch(seed, n)
	f.w.sealed[f.l.sealing.next] = b
	index, err := f.l.Seal(f.t.Context(), b, exporterCounts())
	if err != nil {
		f.t.Fatal(err)
	}
	return index
}

// commit commits everything or returns the first error.
func (f *fixture) commit() error {
	c := &committer{Ledger: f.l}
	for {
		if more, err := c.step(f.t.Context()); err != nil || !more {
			return err
		}
	}
}

func (f *fixture) mustCommit() {
	f.t.Helper()
	if err := f.commit(); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) header(i uint64) Header {
	f.t.Helper()
	h, err := f.l.Reader().Header(i)
	if err != nil {
		f.t.Fatal(err)
	}
	return h
}

func (f *fixture) counter(name string) (value float64) {
	f.t.Helper()
	families, err := f.registry.Gather()
	if err != nil {
		f.t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() == "tidemark_anchor_"+name {
			m := family.GetMetric()[0]
			return m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	f.t.Fatalf("no metric tidemark_anchor_%s", name)
	return 0
}

func TestLedger_GenesisSaysWhatTheLogIs(t *testing.T) {
	f := newFixture(t)
	f.mustCommit()
	h := f.header(0)
	if h.Flags != Salted|Events || h.Rows != 1 || h.LogID != LogID(testOrigin, f.l.Reader().PublicKey()) {
		t.Errorf("got %+v", h)
	}
	e, err := ParseEvent(f.w.events[0][0])
	if err != nil {
		t.Fatal(err)
	}
	fields, err := e.Fields()
	if err != nil || e.Kind != "genesis" || fields["origin"] != testOrigin || fields["schema"] != SchemaDocument() || fields["site"] != "site-1" {
		t.Errorf("got %v, %v", fields, err)
	}
	for name, mode := range map[string]os.FileMode{keyFile: 0o600, batchesFile: 0o600, headersFile: 0o600, ".": 0o700} {
		if info, err := os.Stat(filepath.Join(f.w.dir, name)); err != nil || name != "." && info.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v, want mode %o", name, info, err, mode)
		}
	}
}

func flagsAndTimes(t *testing.T) {
	f := newFixture(t)
	f.block.number, f.block.hash = 7, octets(1)
	f.seal(1, 2)
	f.clock = f.clock.Add(-time.Hour) // set back
	f.block.number, f.block.hash = 6, octets(2)
	f.seal(2, 0)
	f.clock = f.clock.Add(2 * time.Hour)
	f.block.number, f.block.hash = 0, [32]byte{} // the chain is away
	f.seal(3, 2)
	f.reopen()
	f.block.number, f.block.hash = 9, octets(3)
	f.seal(4, 2)
	f.seal(5, 2)
	f.mustCommit()
	for i, want := range []struct {
		flags  Flags
		number uint64
		sealed time.Time
	}{
		{Salted | Events, 0, testClock},
		{Salted, 7, testClock},
		{Salted | Empty | ClockStep, 7, testClock},
		{Salted, 7, testClock.Add(time.Hour)},
		{Salted | Restart, 9, testClock.Add(time.Hour)},
		{Salted, 9, testClock.Add(time.Hour)},
	} {
		h := f.header(uint64(i))
		if h.Flags != want.flags || h.EthBlockNumber != want.number || h.Sealed != want.sealed.UnixNano() {
			t.Errorf("header %d: flags %v, block %d, sealed %v, want %v", i, h.Flags, h.EthBlockNumber, time.Unix(0, h.Sealed).UTC(), want)
		}
	}
}

func TestStepped(t *testing.T) {
	for _, c := range []struct {
		wall, monotonic time.Duration
		want            bool
	}{
		{5 * time.Second, 5 * time.Second, false},
		{5*time.Second + 900*time.Millisecond, 5 * time.Second, false},
		{24 * time.Hour, 5 * time.Second, true},
		{-time.Hour, 5 * time.Second, true},
		{time.Hour + 2*time.Second, time.Hour, false}, // 500 ppm of slewing
		{time.Hour + 10*time.Second, time.Hour, true},
	} {
		if got := stepped(c.wall, c.monotonic); got != c.want {
			t.Errorf("stepped(%v, %v) = %v, want %v", c.wall, c.monotonic, got, c.want)
		}
	}
}

func TestSeal_RefusesBatchOfTwoDaysAndTooLong(t *testing.T) {
	f := newFixture(t)
	b := dayBatch(1, 4)
	b.TimeReceived[2] += day
	if n := FirstDay(b); n != 2 {
		t.Errorf("FirstDay() = %d, want 2", n)
	}
	if _, err := f.l.Seal(t.Context(), b, nil); !errors.Is(err, ErrBatch) {
		t.Errorf("two days: %v, want ErrBatch", err)
	}
	b = dayBatch(1, MaxRows+1)
	if _, err := f.l.Seal(t.Context(), b, nil); !errors.Is(err, ErrBatch) {
		t.Errorf("too long: %v, want ErrBatch", err)
	}
	b = dayBatch(1, 2)
	b.SrcMAC[1] = 1 << 60
	var rowErr *RowError
	if _, err := f.l.Seal(t.Context(), b, nil); !errors.As(err, &rowErr) {
		t.Errorf("row that does not fit: %v, want a RowError", err)
	}
	if index := f.seal(1, 1); index != 1 {
		t.Errorf("next batch is %d, want 1", index)
	}
}

func TestFirstDay(t *testing.T) {
	for _, c := range []struct {
		times []int64
		want  int
	}{{nil, 0}, {[]int64{5}, 1}, {[]int64{day - 1, day}, 1}, {[]int64{-1, 0}, 1}, {[]int64{-day, -1}, 2}, {[]int64{day, 2*day - 1, 0}, 2}} {
		b := new(flow.Batch)
		for _, at := range c.times {
			b.TimeReceived[b.NextRow()] = at
			b.EndRow()
		}
		if got := FirstDay(b); got != c.want {
			t.Errorf("FirstDay(%v) = %d, want %d", c.times, got, c.want)
		}
	}
}

func TestSeal_UnchangedExporterTableIsStoredOnce(t *testing.T) {
	f := newFixture(t)
	for i := range uint64(4) {
		f.seal(i, 1)
	}
	if _, err := f.l.Seal(t.Context(), nil, nil); err != nil {
		t.Fatal(err)
	}
	f.mustCommit()
	info, err := os.Stat(filepath.Join(f.w.dir, tablesFile))
	if want := int64(4 + tableHead + 5*tableEntry + 4 + tableHead); err != nil || info.Size() != want {
		t.Fatalf("tables has %d octets, %v, want %d", info.Size(), err, want)
	}
	for i, want := range []int{-1, 5, 5, 5, 5, 0} {
		counts, err := f.l.Reader().ExporterTable(uint64(i))
		if err != nil || (counts == nil) != (want < 0) || len(counts) != max(want, 0) {
			t.Errorf("batch %d: %d counts, %v, want %d", i, len(counts), err, want)
		}
	}
}

func TestEvents_BufferedUntilSealed(t *testing.T) {
	f := newFixture(t)
	for i := range 3 {
		if err := f.l.Event("alert", "tidemark", map[string]any{"n": i}); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.l.Event("alert", "tidemark", map[string]any{"kind": 1}); !errors.Is(err, ErrEvent) {
		t.Fatalf("reserved field: %v, want ErrEvent", err)
	}
	index, pos, err := f.l.EventNow(t.Context(), "approve", "alice", nil)
	if err != nil || index != 1 || pos != 3 {
		t.Fatalf("EventNow: batch %d, position %d, %v, want 1, 3", index, pos, err)
	}
	if n, err := f.l.SealEvents(t.Context()); n != 0 || err != nil {
		t.Fatalf("SealEvents: %d, %v, want nothing left", n, err)
	}
	if err := f.l.Event("k", "a", nil); err != nil {
		t.Fatal(err)
	}
	if n, err := f.l.SealEvents(t.Context()); n != 1 || err != nil {
		t.Fatalf("SealEvents: %d, %v, want 1", n, err)
	}
	f.mustCommit()
	if h := f.header(1); h.Rows != 4 || h.Flags != Salted|Events || h.ExporterTable != [32]byte{} {
		t.Errorf("got %+v", h)
	}
	if !slices.Equal(f.seen, []uint64{0, 1, 2}) {
		t.Errorf("committed %v", f.seen)
	}
}

func TestEventNow_FailedEventIsNotSealedLater(t *testing.T) {
	f := newFixture(t)
	if err := f.l.Event("first", "a", nil); err != nil {
		t.Fatal(err)
	}
	f.w.fault, f.w.how = f.w.ops+1, lost
	if _, _, err := f.l.EventNow(t.Context(), "second", "a", nil); !errors.Is(err, errInjected) {
		t.Fatalf("EventNow: %v", err)
	}
	if n, err := f.l.SealEvents(t.Context()); n != 1 || err != nil {
		t.Fatalf("SealEvents: %d, %v, want 1", n, err)
	}
	f.mustCommit()
	if e, err := ParseEvent(f.w.events[1][0]); err != nil || e.Kind != "first" || f.header(1).Rows != 1 {
		t.Errorf("got %v, %v", e, err)
	}
}

// The gate: one bit differs between what was hashed and what is stored.
func flippedBitIsNotAnchored(t *testing.T) {
	for name, c := range map[string]struct {
		tables     []string // whose inserts flip a bit
		held       int
		committed  bool
		mismatches float64
	}{
		"in flows only":              {[]string{tableFlows}, 0, true, 2},
		"everywhere":                 {[]string{tableFlows, tableQuarantine}, 0, false, 3},
		"in flows only, record held": {[]string{tableFlows}, maxHeld, true, 2},
		"everywhere, record held":    {[]string{tableFlows, tableQuarantine}, maxHeld, false, 3},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.w.held = c.held
			f.reopen()
			f.mustCommit()
			f.w.corrupt = func(table string, b *flow.Batch) error {
				if slices.Contains(c.tables, table) {
					b.Bytes[200] ^= 1 << 40
				}
				return nil
			}
			f.seal(1, 300)
			err := f.commit()
			if (err == nil) != c.committed || (err != nil && (!errors.Is(err, ErrReadBack) || !strings.Contains(err.Error(), "batch 1"))) {
				t.Fatalf("commit: %v", err)
			}
			if got := f.counter("read_back_mismatches_total"); got != c.mismatches {
				t.Errorf("%v mismatches counted, want %v", got, c.mismatches)
			}
			if !c.committed {
				if f.l.Reader().Size() != 1 || len(f.w.spool) != 1 || f.l.Backlog() != 1 {
					t.Errorf("log %d, spool %d, backlog %d: want the batch in the spool only", f.l.Reader().Size(), len(f.w.spool), f.l.Backlog())
				}
				return
			}
			if len(f.w.flows[tableFlows][1]) != 0 || len(f.w.flows[tableQuarantine][1]) != 1 || f.counter("quarantined_batches_total") != 1 {
				t.Error("want the rows in quarantine only")
			}
			f.acked = []uint64{300}
			f.check(t)
		})
	}
}

func TestCommit_RefusedInsertGoesToQuarantine(t *testing.T) {
	f := newFixture(t)
	f.w.corrupt = func(table string, _ *flow.Batch) error {
		if table == tableFlows {
			return fmt.Errorf("view: %w", errRefused)
		}
		return nil
	}
	f.seal(1, 10)
	f.mustCommit()
	f.acked = []uint64{10}
	f.check(t)
	if f.counter("quarantined_batches_total") != 1 || f.counter("committed_rows_total") != 11 {
		t.Error("not counted")
	}
}

// A batch that the database cannot digest must not hold up the rest for ever.
func TestCommit_BatchTheDatabaseNeverTakesGoesToQuarantine(t *testing.T) {
	f := newFixture(t)
	f.mustCommit()
	f.w.corrupt = func(table string, _ *flow.Batch) error {
		if table == tableFlows {
			return fmt.Errorf("%w: memory limit exceeded", errUnwilling)
		}
		return nil
	}
	f.seal(1, 10)
	c := &committer{Ledger: f.l}
	for i := range patience - 1 {
		if _, err := c.step(t.Context()); !errors.Is(err, errUnwilling) {
			t.Fatalf("attempt %d: %v, want errUnwilling", i, err)
		}
	}
	if _, err := c.step(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.acked = []uint64{10}
	f.check(t)
	if f.counter("quarantined_batches_total") != 1 {
		t.Error("not counted")
	}
}

// A batch of which the aggregates cannot be made is recorded all the same.
func TestCommit_RefusedAggregatesHoldNothingUp(t *testing.T) {
	f := newFixture(t)
	f.mustCommit()
	f.w.corrupt = func(table string, _ *flow.Batch) error {
		if table == "derived 1" {
			return fmt.Errorf("%w: no such table", errRefused)
		}
		return nil
	}
	f.seal(1, 10)
	f.mustCommit()
	if len(f.w.flows[tableFlows][1]) != 1 || len(f.w.flows["derived 0"][1]) != 1 || len(f.w.flows["derived 1"][1]) != 0 {
		t.Error("want the rows in flows, and what could be made of them")
	}
	if f.counter("underived_batches_total") != 1 || f.counter("committed_rows_total") != 11 || f.counter("quarantined_batches_total") != 0 {
		t.Error("not counted")
	}
}

func TestRun_RetriesUntilTheDatabaseIsBackAndKeepsSealing(t *testing.T) {
	f := newFixture(t)
	away := 7 // inserts
	f.w.corrupt = func(string, *flow.Batch) error {
		if away--; away > 0 {
			return errors.New("connection refused")
		}
		return nil
	}
	for i := range uint64(5) {
		f.seal(i, 20)
		f.acked = append(f.acked, 20)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- f.l.Run(ctx) }()
	if err := f.l.Drain(ctx); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	f.check(t)
	if !slices.Equal(f.seen, []uint64{0, 1, 2, 3, 4, 5}) || f.l.Backlog() != 0 {
		t.Errorf("committed %v, backlog %d", f.seen, f.l.Backlog())
	}
	if f.counter("sealed_rows_total") != 100 || f.counter("commit_failures_total") == 0 || f.counter("backlog_batches") != 0 {
		t.Error("not counted")
	}
}

func TestDrain_EndsWithItsContextAndWithRun(t *testing.T) {
	f := newFixture(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := f.l.Drain(ctx); !errors.Is(err, context.Canceled) {
		t.Fatalf("Drain: %v, want context.Canceled", err)
	}
	f.l.pledged = Checkpoint{Size: 1} // a root the log cannot have
	if err := f.l.Run(t.Context()); !errors.Is(err, ErrFork) {
		t.Fatalf("Run: %v, want ErrFork", err)
	}
	if err := f.l.Drain(t.Context()); !errors.Is(err, ErrFork) {
		t.Fatalf("Drain: %v, want ErrFork", err)
	}
}
