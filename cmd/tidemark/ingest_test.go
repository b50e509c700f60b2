package main

import (
	"context"
	"errors"
	"io"
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"tidemark/anchor"
	"tidemark/collector/flow"
	"tidemark/enrich"
)

// writtenLedger keeps what was sealed. A row is known by its sequence number.
type writtenLedger struct {
	mu      sync.Mutex
	batches []writtenBatch
	events  int
	tries   int
	refuse  func(try int, b *flow.Batch) error // nil seals
	changed chan struct{}
}

type writtenBatch struct {
	rows   []uint32
	days   map[int64]bool
	counts int
}

func (l *writtenLedger) Seal(_ context.Context, b *flow.Batch, counts []flow.ExporterCount) (uint64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tries++
	if l.refuse != nil {
		if err := l.refuse(l.tries, b); err != nil {
			return 0, err
		}
	}
	w := writtenBatch{days: map[int64]bool{}, counts: len(counts)}
	if b != nil {
		w.rows = slices.Clone(b.SequenceNum[:b.Len()])
		for _, t := range b.TimeReceived {
			w.days[t/day] = true
		}
	}
	l.batches = append(l.batches, w)
	close(l.changed)
	l.changed = make(chan struct{})
	return uint64(len(l.batches)), nil
}

func (l *writtenLedger) SealEvents(context.Context) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.events++
	return 0, nil
}

func (l *writtenLedger) written() ([]writtenBatch, chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.batches), l.changed
}

// until waits for a state of what is written.
func (l *writtenLedger) until(t *testing.T, what string, enough func([]writtenBatch) bool) []writtenBatch {
	t.Helper()
	deadline := time.After(time.Minute)
	for {
		batches, changed := l.written()
		if enough(batches) {
			return batches
		}
		select {
		case <-changed:
		case <-deadline:
			t.Fatalf("%s: not seen in a minute; written: %v", what, batches)
		}
	}
}

func rowsOf(batches []writtenBatch) (rows []uint32) {
	for _, b := range batches {
		rows = append(rows, b.rows...)
	}
	return rows
}

// startIngest runs an ingest on a ledger of the test's. By default it seals
// neither by age nor by silence, and batches of 100 rows.
func startIngest(t *testing.T, l *writtenLedger, change func(*ingest)) *ingest {
	t.Helper()
	e, err := enrich.New(enrich.Config{Site: "test", Networks: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}})
	if err != nil {
		t.Fatal(err)
	}
	l.changed = make(chan struct{})
	cfg := Defaults()
	cfg.Ledger.Seal, cfg.Ledger.Empty = Duration(time.Hour), Duration(time.Hour)
	g := newIngest(e, l, cfg, zerolog.New(io.Discard))
	g.rows = 100
	g.counts = func() []flow.ExporterCount { return make([]flow.ExporterCount, 3) }
	if change != nil {
		change(g)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- g.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil && !errors.Is(err, errDiskFull) {
			t.Errorf("Run: %v", err)
		}
	})
	return g
}

var errDiskFull = syscall.ENOSPC

// flowsAt is n rows numbered from first, received from at on, a millisecond apart.
func flowsAt(first, n int, at time.Time) *flow.Batch {
	b := &flow.Batch{}
	for i := range n {
		r := b.NextRow()
		b.Protocol[r], b.TimeReceived[r] = flow.IPFIX, at.Add(time.Duration(i)*time.Millisecond).UnixNano()
		b.SequenceNum[r], b.SamplingRate[r] = uint32(first+i), 1
		b.SrcAddr[r], b.DstAddr[r] = netip.MustParseAddr("10.0.0.7").As16(), netip.MustParseAddr("192.0.2.1").As16()
		b.EndRow()
	}
	return b
}

func numbers(first, n int) (out []uint32) {
	for i := range n {
		out = append(out, uint32(first+i))
	}
	return out
}

var noon = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

func TestIngest_RowsAcrossMidnightEndInTwoBatches(t *testing.T) {
	l := &writtenLedger{}
	g := startIngest(t, l, nil)
	midnight := time.Date(2026, 5, 5, 0, 0, 0, 0, time.UTC)
	if err := g.Handle(t.Context(), flowsAt(0, 30, midnight.Add(-10*time.Millisecond))); err != nil {
		t.Fatal(err)
	}
	if err := g.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	batches, _ := l.written()
	if len(batches) != 2 || !slices.Equal(batches[0].rows, numbers(0, 10)) || !slices.Equal(batches[1].rows, numbers(10, 20)) {
		t.Fatalf("batches %v, want rows 0-9 and 10-29 apart", batches)
	}
}

func TestIngest_OpenBatchOfYesterdayTurnsWithTheFirstRowOfToday(t *testing.T) {
	l := &writtenLedger{}
	g := startIngest(t, l, nil)
	for i, at := range []time.Time{noon, noon.Add(24 * time.Hour)} {
		if err := g.Handle(t.Context(), flowsAt(10*i, 10, at)); err != nil {
			t.Fatal(err)
		}
	}
	batches := l.until(t, "yesterday's batch", func(b []writtenBatch) bool { return len(b) == 1 })
	if !slices.Equal(batches[0].rows, numbers(0, 10)) || len(batches[0].days) != 1 {
		t.Fatalf("sealed %v, want the ten rows of the first day", batches)
	}
}

func TestIngest_FullBatchTurnsInTheMiddleOfWhatIsHandedOver(t *testing.T) {
	l := &writtenLedger{}
	g := startIngest(t, l, nil)
	for i := range 5 {
		if err := g.Handle(t.Context(), flowsAt(70*i, 70, noon)); err != nil {
			t.Fatal(err)
		}
	}
	if err := g.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	batches, _ := l.written()
	if !slices.Equal(rowsOf(batches), numbers(0, 350)) {
		t.Fatalf("rows %v, want 0-349 in order, once", rowsOf(batches))
	}
	for i, want := range []int{100, 100, 100, 50} {
		if len(batches[i].rows) != want {
			t.Errorf("batch %d has %d rows, want %d", i, len(batches[i].rows), want)
		}
		if batches[i].counts != 3 {
			t.Errorf("batch %d has %d exporter counts, want 3", i, batches[i].counts)
		}
	}
}

func TestIngest_OneHandOverOfManyBatchesLosesNoRow(t *testing.T) {
	l := &writtenLedger{}
	g := startIngest(t, l, nil)
	if err := g.Handle(t.Context(), flowsAt(0, 1234, noon)); err != nil {
		t.Fatal(err)
	}
	if err := g.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if batches, _ := l.written(); len(batches) != 13 || !slices.Equal(rowsOf(batches), numbers(0, 1234)) {
		t.Fatalf("%d batches with %d rows, want 13 with 1234", len(batches), len(rowsOf(batches)))
	}
}

func TestIngest_OldBatchIsSealedWithoutAnotherRow(t *testing.T) {
	l := &writtenLedger{}
	g := startIngest(t, l, func(g *ingest) { g.age = 40 * time.Millisecond })
	if err := g.Handle(t.Context(), flowsAt(0, 7, noon)); err != nil {
		t.Fatal(err)
	}
	batches := l.until(t, "the old batch", func(b []writtenBatch) bool { return len(b) == 1 })
	if !slices.Equal(batches[0].rows, numbers(0, 7)) {
		t.Fatalf("sealed %v, want rows 0-6", batches)
	}
}

func TestIngest_FlushReturnsAfterTheSeal(t *testing.T) {
	sealing, let := make(chan struct{}), make(chan struct{})
	l := &writtenLedger{refuse: func(int, *flow.Batch) error { close(sealing); <-let; return nil }}
	g := startIngest(t, l, nil)
	if err := g.Handle(t.Context(), flowsAt(0, 7, noon)); err != nil {
		t.Fatal(err)
	}
	flushed := make(chan error, 1)
	go func() { flushed <- g.Flush(t.Context()) }()
	<-sealing
	select {
	case err := <-flushed:
		t.Fatalf("Flush returned %v while the seal was under way", err)
	case <-time.After(50 * time.Millisecond):
	}
	close(let)
	if err := <-flushed; err != nil {
		t.Fatal(err)
	}
	if batches, _ := l.written(); len(batches) != 1 {
		t.Fatalf("%d batches after Flush, want 1", len(batches))
	}
}

func TestIngest_FlushGivesUpWithItsCaller(t *testing.T) {
	l := &writtenLedger{refuse: func(int, *flow.Batch) error { return errDiskFull }}
	g := startIngest(t, l, nil)
	if err := g.Handle(t.Context(), flowsAt(0, 7, noon)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := g.Flush(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("Flush: %v, want deadline exceeded", err)
	}
}

func TestIngest_LedgerThatRefusesForAWhileBlocksHandleAndLosesNothing(t *testing.T) {
	var mu sync.Mutex
	full := true
	refused := make(chan struct{}, 1)
	l := &writtenLedger{refuse: func(int, *flow.Batch) error {
		mu.Lock()
		defer mu.Unlock()
		if !full {
			return nil
		}
		select {
		case refused <- struct{}{}:
		default:
		}
		return errDiskFull
	}}
	var states []error
	g := startIngest(t, l, func(g *ingest) { g.fault = func(err error) { states = append(states, err) } })
	handled := make(chan error, 1)
	go func() { // 250 rows: one batch with the sealer, one waiting for it, the rest behind
		for i := range 25 {
			if err := g.Handle(t.Context(), flowsAt(10*i, 10, noon)); err != nil {
				handled <- err
				return
			}
		}
		handled <- nil
	}()
	<-refused
	select {
	case err := <-handled:
		t.Fatalf("Handle took 250 rows (%v) though two batches of 100 are all it may hold", err)
	case <-time.After(100 * time.Millisecond):
	}
	mu.Lock()
	full = false
	mu.Unlock()
	if err := <-handled; err != nil {
		t.Fatal(err)
	}
	if err := g.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if batches, _ := l.written(); !slices.Equal(rowsOf(batches), numbers(0, 250)) {
		t.Fatalf("sealed %d rows, want 250, in order, once", len(rowsOf(batches)))
	}
	if !errors.Is(states[0], errDiskFull) || states[len(states)-1] != nil { // Flush came after them
		t.Errorf("the state of sealing was told as %v, want a full disk, then none", states)
	}
}

func TestIngest_NoRoomOnTheDiskHoldsHandleBack(t *testing.T) {
	l := &writtenLedger{}
	asked := 0
	g := startIngest(t, l, func(g *ingest) {
		g.room = func() error { // Handle calls it under its lock
			if asked++; asked < 2 {
				return errDiskFull
			}
			return nil
		}
	})
	if err := g.Handle(t.Context(), flowsAt(0, 5, noon)); err != nil {
		t.Fatal(err)
	}
	if err := g.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if batches, _ := l.written(); asked != 2 || !slices.Equal(rowsOf(batches), numbers(0, 5)) {
		t.Fatalf("asked %d times, sealed %v, want 2 and rows 0-4", asked, rowsOf(batches))
	}
}

func TestIngest_HandleReturnsWhenItsCallerGivesUpWaiting(t *testing.T) {
	l := &writtenLedger{}
	g := startIngest(t, l, func(g *ingest) { g.room = func() error { return errDiskFull } })
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := g.Handle(ctx, flowsAt(0, 5, noon)); !errors.Is(err, errDiskFull) {
		t.Fatalf("Handle: %v, want what there was no room for: the collector counts these rows as lost", err)
	}
}

func TestIngest_SilenceSealsEmptyBatches(t *testing.T) {
	l := &writtenLedger{}
	startIngest(t, l, func(g *ingest) { g.age, g.silence = 20*time.Millisecond, 40*time.Millisecond })
	for _, b := range l.until(t, "two empty batches", func(b []writtenBatch) bool { return len(b) >= 2 }) {
		if len(b.rows) != 0 || b.counts != 3 {
			t.Errorf("batch of silence: %v, want no rows and the exporter counts", b)
		}
	}
}

func TestIngest_RowsThatCannotBeEncodedAreLeftOutAndTheRestSealed(t *testing.T) {
	bad := []uint32{0, 41, 42, 99}
	l := &writtenLedger{refuse: func(_ int, b *flow.Batch) error {
		for i := range b.Len() {
			if slices.Contains(bad, b.SequenceNum[i]) {
				return &anchor.RowError{Pos: i, Column: "src_mac", Reason: "more than 48 bits"}
			}
		}
		return nil
	}}
	g := startIngest(t, l, nil)
	if err := g.Handle(t.Context(), flowsAt(0, 150, noon)); err != nil {
		t.Fatal(err)
	}
	if err := g.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := slices.DeleteFunc(numbers(0, 150), func(n uint32) bool { return slices.Contains(bad, n) })
	batches, _ := l.written()
	if !slices.Equal(rowsOf(batches), want) {
		t.Fatalf("sealed %v, want all but %v", rowsOf(batches), bad)
	}
	if l.tries != len(bad)+2 {
		t.Errorf("%d tries to seal two batches with %d bad rows, want %d", l.tries, len(bad), len(bad)+2)
	}
}

func TestIngest_CloseSealsWhatWasHandedOverAndEvents(t *testing.T) {
	l := &writtenLedger{}
	e, err := enrich.New(enrich.Config{Site: "test"})
	if err != nil {
		t.Fatal(err)
	}
	l.changed = make(chan struct{})
	g := newIngest(e, l, Defaults(), zerolog.New(io.Discard))
	done := make(chan error, 1)
	go func() { done <- g.Run(t.Context()) }()
	if err := errors.Join(g.Handle(t.Context(), flowsAt(0, 3, noon)), g.Flush(t.Context())); err != nil {
		t.Fatal(err)
	}
	g.Close()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if batches, _ := l.written(); !slices.Equal(rowsOf(batches), numbers(0, 3)) || l.events == 0 {
		t.Fatalf("rows %v, events sealed %d times; want rows 0-2 and events after them", rowsOf(batches), l.events)
	}
}
