package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"tidemark/anchor"
	"tidemark/collector/flow"
	"tidemark/enrich"
	"tidemark/enrich/binding"
)

// ledgerWriter is what ingest needs of the ledger. Seal returns when the batch
// is durable in the spool; nil seals an empty one.
type ledgerWriter interface {
	Seal(ctx context.Context, b *flow.Batch, counts []flow.ExporterCount) (uint64, error)
	SealEvents(ctx context.Context) (int, error)
}

// ingest is the one sequencer: it enriches what the workers hand over, gathers
// it in the open batch and has full or old batches sealed. One batch is open
// while another is being sealed; when sealing falls behind, or fails (disk
// full), Handle blocks, the sockets overflow, and the kernel counts what is lost.
type ingest struct {
	enricher *enrich.Enricher
	ledger   ledgerWriter
	counts   func() []flow.ExporterCount
	mark     func() (sealed func()) // see collector.Collector.Mark; called while no worker is in Handle
	rows     int                    // a batch this long is sealed
	age      time.Duration          // and so is one this old
	silence  time.Duration          // an empty batch is sealed after so long without one
	room     func() error           // nil while the disk has room for more
	fault    func(error)            // told how sealing goes, nil: well
	log      zerolog.Logger

	mu     sync.Mutex
	open   *flow.Batch
	opened time.Time
	marked time.Time
	full   chan fullBatch
	free   chan *flow.Batch
	synced chan struct{} // Run receives from it between two batches

	sealed, leftOut atomic.Uint64 // flows; leftOut: could not be encoded
}

// fullBatch is on its way to be sealed; sealed is to be called then.
type fullBatch struct {
	rows   *flow.Batch
	sealed func()
}

func newIngest(e *enrich.Enricher, l ledgerWriter, cfg Config, log zerolog.Logger) *ingest {
	g := &ingest{
		enricher: e, ledger: l, log: log,
		counts: func() []flow.ExporterCount { return nil },
		mark:   func() func() { return func() {} },
		room:   func() error { return nil },
		fault:  func(error) {},
		rows:   anchor.MaxRows, age: time.Duration(cfg.Ledger.Seal), silence: time.Duration(cfg.Ledger.Empty),
		open: &flow.Batch{}, full: make(chan fullBatch), free: make(chan *flow.Batch, 1), synced: make(chan struct{}),
	}
	g.free <- &flow.Batch{}
	return g
}

const day = int64(24 * time.Hour)

// Handle takes the rows of b; b is the caller's again when it returns.
func (g *ingest) Handle(ctx context.Context, b *flow.Batch) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := g.waitForRoom(ctx); err != nil {
		return err
	}
	g.enricher.Apply(b)
	for begin := 0; begin < b.Len(); {
		today := b.TimeReceived[begin] / day
		if g.open.Len() > 0 && g.open.TimeReceived[0]/day != today {
			if err := g.turn(ctx); err != nil {
				return err
			}
		}
		end := begin
		for end < b.Len() && end-begin < g.rows-g.open.Len() && b.TimeReceived[end]/day == today {
			end++
		}
		if g.open.Len() == 0 {
			g.opened = time.Now()
		}
		if need := g.open.Len() + end - begin; need > cap(g.open.Protocol) {
			g.open.Reserve(min(max(need, 2*cap(g.open.Protocol)), g.rows))
		}
		g.open.Append(b, begin, end)
		begin = end
		if g.open.Len() == g.rows {
			if err := g.turn(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

// Sightings are what the flows have shown of who has which address, see
// enrich.Enricher.Sightings.
func (g *ingest) Sightings() ([]binding.Interval, uint64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.enricher.Sightings()
}

// waitForRoom holds the workers back while the disk is as good as full.
func (g *ingest) waitForRoom(ctx context.Context) error {
	for warned := false; ; warned = true {
		err := g.room()
		if err == nil {
			return nil
		}
		if !warned {
			g.log.Error().Err(err).Msg("no room for more flows: the sockets overflow until there is, and the loss is counted")
		}
		if sleep(ctx, time.Second) != nil {
			return fmt.Errorf("stopped while there was no room: %w", err)
		}
	}
}

// turn hands the open batch to the sealer and opens a fresh one. Callers hold mu.
func (g *ingest) turn(ctx context.Context) error {
	if g.open.Len() == 0 {
		return nil
	}
	select {
	case g.full <- fullBatch{g.open, g.mark()}:
	case <-ctx.Done():
		return fmt.Errorf("hand %d flows to the sealer: %w", g.open.Len(), ctx.Err())
	}
	g.open = <-g.free // the other batch: the sealer takes one only when it has given one back
	return nil
}

// Flush returns when all that Handle has taken is sealed.
func (g *ingest) Flush(ctx context.Context) error {
	g.mu.Lock()
	err := g.turn(ctx)
	g.mu.Unlock()
	if err != nil {
		return err
	}
	select {
	case g.synced <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for the sealer: %w", ctx.Err())
	}
}

// Run seals until Close, then returns. Cancelling ctx gives up what is not sealed.
func (g *ingest) Run(ctx context.Context) error {
	tick := time.NewTicker(min(g.age/4, 250*time.Millisecond))
	defer tick.Stop()
	last := time.Now()
	for {
		select {
		case b, more := <-g.full:
			if !more {
				g.mark()()
				return g.sealEvents(ctx)
			}
			if err := g.seal(ctx, b.rows); err != nil {
				return err
			}
			b.sealed()
			last = time.Now()
		case <-g.synced:
		case <-tick.C:
			sealed, err := g.sealOld(ctx)
			if err != nil {
				return err
			}
			if sealed {
				last = time.Now()
			}
			if time.Since(last) < g.silence {
				continue
			}
			if err := g.seal(ctx, nil); err != nil {
				return err
			}
			last = time.Now()
		case <-ctx.Done():
			return nil
		}
	}
}

// Close ends Run after what was handed over. Nobody may call Handle any more.
func (g *ingest) Close() { close(g.full) }

// seal seals b and takes it back for reuse; nil seals an empty batch.
func (g *ingest) seal(ctx context.Context, b *flow.Batch) error {
	rows := b
	err := g.untilDone(ctx, "seal a batch of flows", func(ctx context.Context) error {
		for {
			_, err := g.ledger.Seal(ctx, rows, g.counts())
			var row *anchor.RowError
			if !errors.As(err, &row) {
				return err
			}
			// No decoder makes such a row; one that did must not stop all others.
			g.log.Error().Err(err).Str("sampler_address", fmt.Sprintf("%x", rows.SamplerAddress[row.Pos])).
				Msg("a flow record cannot be encoded and is left out of the record: please report this")
			rows = without(rows, row.Pos)
		}
	})
	if b != nil {
		if err == nil {
			g.sealed.Add(uint64(rows.Len()))
			g.leftOut.Add(uint64(b.Len() - rows.Len()))
		}
		b.Reset()
		g.free <- b
	}
	return err
}

// without copies b but for one row.
func without(b *flow.Batch, row int) *flow.Batch {
	rest := &flow.Batch{}
	rest.Append(b, 0, row)
	rest.Append(b, row+1, b.Len())
	return rest
}

func (g *ingest) sealEvents(ctx context.Context) error {
	return g.untilDone(ctx, "seal events", func(ctx context.Context) error {
		_, err := g.ledger.SealEvents(ctx)
		return err
	})
}

// sealOld seals events, and the open batch if it has waited long enough; it
// says whether it did the latter.
func (g *ingest) sealOld(ctx context.Context) (bool, error) {
	if err := g.sealEvents(ctx); err != nil {
		return false, err
	}
	if !g.mu.TryLock() {
		return false, nil // a worker is filling it, perhaps waiting for us
	}
	var old *flow.Batch
	sealed := func() {}
	switch {
	case g.open.Len() == 0 && time.Since(g.marked) >= g.age: // datagrams without a flow are numbered too
		sealed, g.marked = g.mark(), time.Now()
	case g.open.Len() > 0 && time.Since(g.opened) >= g.age:
		sealed = g.mark()
		old, g.open = g.open, <-g.free
	}
	g.mu.Unlock()
	if old != nil {
		if err := g.seal(ctx, old); err != nil {
			return false, err
		}
	}
	sealed()
	return old != nil, nil
}

// untilDone repeats what a full disk or the like may refuse for a while.
func (g *ingest) untilDone(ctx context.Context, what string, f func(context.Context) error) error {
	for wait := 100 * time.Millisecond; ; wait = min(2*wait, 5*time.Second) {
		err := f(ctx)
		g.fault(err)
		if err == nil {
			return nil
		}
		g.log.Error().Err(err).Dur("again_in", wait).Msg(what)
		if sleep(ctx, wait) != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
