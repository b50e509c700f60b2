package names

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"tidemark/storage"
)

var (
	//go:embed query/save_names.sql
	saveNamesSQL string
	//go:embed query/save_hints.sql
	saveHintsSQL string
)

const (
	// maxPending bounds what waits to be stored: about 8 MB. What is over is
	// dropped and counted; a name that matters is said again.
	maxPending = 1 << 15

	flushInterval = 5 * time.Second
)

// Config is what a Book is given. A zero field means none.
type Config struct {
	Site       string
	Inside     func(netip.Addr) bool // whether an address is the site's: only hints about its hosts are kept
	Log        zerolog.Logger
	Registerer prometheus.Registerer
}

// Book gathers observations and stores them. Observe may be called by any number
// of goroutines; Run stores until its context ends. What was not stored yet is
// lost with the process: nothing depends on a single packet.
type Book struct {
	db      *storage.DB
	config  Config
	metrics metrics

	mu      sync.Mutex
	pending map[Observation]*seen
	scratch []Observation
}

type seen struct {
	first, last int64
	count       uint64
}

type metrics struct {
	packets   *prometheus.CounterVec
	malformed *prometheus.CounterVec
	dropped   prometheus.Counter
	stored    prometheus.Counter
}

// New does no work.
func New(db *storage.DB, c Config) (*Book, error) {
	b := &Book{db: db, config: c, pending: map[Observation]*seen{}}
	b.metrics = metrics{
		packets:   prometheus.NewCounterVec(prometheus.CounterOpts{Name: "tidemark_names_packets_total", Help: "Sampled packets that were read for names, by protocol."}, []string{"protocol"}),
		malformed: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "tidemark_names_malformed_total", Help: "Of those, packets that broke their protocol's rules, by protocol."}, []string{"protocol"}),
		dropped:   prometheus.NewCounter(prometheus.CounterOpts{Name: "tidemark_names_dropped_total", Help: "Names not kept because too many wait to be stored."}),
		stored:    prometheus.NewCounter(prometheus.CounterOpts{Name: "tidemark_names_stored_total", Help: "Rows of names and hints stored."}),
	}
	for _, s := range Sources() {
		b.metrics.packets.WithLabelValues(string(s))
		b.metrics.malformed.WithLabelValues(string(s))
	}
	if c.Registerer != nil {
		for _, m := range []prometheus.Collector{b.metrics.packets, b.metrics.malformed, b.metrics.dropped, b.metrics.stored} {
			if err := c.Registerer.Register(m); err != nil {
				return nil, fmt.Errorf("register metrics of names: %w", err)
			}
		}
	}
	return b, nil
}

// Observe reads a packet. It keeps nothing of it but text.
func (b *Book) Observe(p *Packet) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var protocol Source
	var malformed bool
	b.scratch, protocol, malformed = Read(b.scratch[:0], p)
	if protocol == "" {
		return
	}
	b.metrics.packets.WithLabelValues(string(protocol)).Inc()
	if malformed {
		b.metrics.malformed.WithLabelValues(string(protocol)).Inc()
	}
	for _, o := range b.scratch {
		b.note(o, p.Received)
	}
}

// note adds an observation to those that wait. Callers hold mu.
func (b *Book) note(o Observation, at int64) {
	if b.config.Inside != nil && !o.Addr.Unmap().IsUnspecified() {
		inside := b.config.Inside(o.Addr.Unmap())
		if o.Kind != Address && !inside {
			return
		}
	}
	if s := b.pending[o]; s != nil {
		s.first, s.last = min(s.first, at), max(s.last, at)
		s.count++
		return
	}
	if len(b.pending) >= maxPending {
		b.metrics.dropped.Inc()
		return
	}
	b.pending[o] = &seen{at, at, 1}
}

// Run stores what was gathered every few seconds. The caller flushes the rest.
func (b *Book) Run(ctx context.Context) {
	tick := time.NewTicker(flushInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if err := b.Flush(ctx); err != nil && ctx.Err() == nil {
				b.config.Log.Error().Err(err).Msg("store names: tried again in a moment")
			}
		}
	}
}

// Flush stores what was gathered. What could not be stored is gathered again.
func (b *Book) Flush(ctx context.Context) error {
	b.mu.Lock()
	batch := b.pending
	b.pending = map[Observation]*seen{}
	b.mu.Unlock()
	if len(batch) == 0 {
		return nil
	}
	addresses, hints := map[Observation]*seen{}, map[Observation]*seen{}
	for o, s := range batch {
		if o.Kind == Address {
			addresses[o] = s
		} else {
			hints[o] = s
		}
	}
	return errors.Join(b.store(ctx, saveNamesSQL, addresses), b.store(ctx, saveHintsSQL, hints))
}

func (b *Book) store(ctx context.Context, statement string, rows map[Observation]*seen) (err error) {
	if len(rows) == 0 {
		return nil
	}
	defer func() {
		if err != nil {
			b.restore(rows)
		}
	}()
	batch, err := b.db.Conn().PrepareBatch(ctx, statement)
	if err != nil {
		return fmt.Errorf("store %d names: %w", len(rows), err)
	}
	for o, s := range rows {
		received := time.Unix(0, s.last).UTC()
		row := []any{b.config.Site, o.MAC, o.Addr, string(o.Kind), o.Value, string(o.Source), received, time.Unix(0, s.first).UTC(), received, s.count}
		if o.Kind == Address {
			row = []any{b.config.Site, o.Addr, o.Value, string(o.Source), received, time.Unix(0, s.first).UTC(), received, s.count}
		}
		if err := batch.Append(row...); err != nil {
			return fmt.Errorf("store name %q: %w", o.Value, err)
		}
	}
	if err := batch.Send(); err != nil {
		return fmt.Errorf("store %d names: %w", len(rows), err)
	}
	b.metrics.stored.Add(float64(len(rows)))
	return nil
}

// restore puts back what was not stored, as far as there is room.
func (b *Book) restore(rows map[Observation]*seen) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for o, s := range rows {
		if now := b.pending[o]; now != nil {
			now.first, now.last, now.count = min(now.first, s.first), max(now.last, s.last), now.count+s.count
		} else if len(b.pending) < maxPending {
			b.pending[o] = s
		} else {
			b.metrics.dropped.Inc()
		}
	}
}
