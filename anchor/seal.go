package anchor

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"tidemark/anchor/merkle"
	"tidemark/collector/flow"
	"tidemark/storage"
)

const (
	day = int64(24 * time.Hour)
	// maxBuffered bounds the octets of events waiting to be sealed.
	maxBuffered = 64 << 20
)

// ErrBatch is a batch that cannot be sealed as it is: too long, or of two days.
var ErrBatch = errors.New("invalid batch")

// sealing is the end of the chain of sealed headers.
type sealing struct {
	mu      sync.Mutex
	next    uint64 // index of the next batch
	last    Header // header next-1
	restart bool   // the next batch is the first of this process
	at      time.Time

	events   [][]byte // bodies waiting for SealEvents
	buffered int      // their octets

	rows   flow.Batch    // laid over the block of the record being made
	leaves []merkle.Hash // of them
	other  made          // a record not of flows
}

// FirstDay is the number of leading records of b that were received on one UTC
// day. A batch to be sealed must not have more; the rest goes into the next.
func FirstDay(b *flow.Batch) int {
	for i, t := range b.TimeReceived {
		if floorDay(t) != floorDay(b.TimeReceived[0]) {
			return i
		}
	}
	return b.Len()
}

func floorDay(t int64) int64 { return (t - (t%day+day)%day) / day }

// Seal gives b its place in the log and makes it durable: when Seal returns nil
// the rows will not be lost, whatever happens. b must be of one UTC day of
// receipt and at most MaxRows long; nil or no rows seals an empty batch. counts
// is the exporter table. Nothing is kept of either.
//
// After an error b is not sealed and may be sealed again. Only if the process
// dies before anything else is sealed may it be found sealed after all.
func (l *Ledger) Seal(ctx context.Context, b *flow.Batch, counts []flow.ExporterCount) (index uint64, err error) {
	if b == nil {
		b = new(flow.Batch)
	}
	switch n := b.Len(); {
	case n > MaxRows:
		return 0, fmt.Errorf("seal: %w: %d rows, want at most %d", ErrBatch, n, MaxRows)
	case FirstDay(b) < n:
		return 0, fmt.Errorf("seal: %w: row %d was received on another day than row 0", ErrBatch, FirstDay(b))
	}
	table, err := AppendExporterTable(nil, counts)
	if err != nil {
		return 0, fmt.Errorf("seal: %w", err)
	}
	began := time.Now()
	s := &l.sealing
	s.mu.Lock()
	defer s.mu.Unlock()
	h := Header{Rows: uint64(b.Len()), ExporterTable: ExporterTableHash(table)}
	kind := uint8(recordFlows)
	if h.Rows == 0 {
		h.Flags, kind = Empty, recordEmpty
	} else {
		h.MinReceived, h.MaxReceived = slices.Min(b.TimeReceived), slices.Max(b.TimeReceived)
	}
	err = l.seal(ctx, h, kind, table,
		func(dst []byte) []byte {
			if h.Rows == 0 {
				return dst
			}
			return storage.AppendFlowsBlock(dst, l.ID(), l.site, s.next, b)
		},
		func(block []byte, leaves []merkle.Hash, key SaltKey) error {
			if h.Rows == 0 {
				return nil
			}
			// Of the block, not of b: who finds the octets of the block in the
			// database knows that these are the rows that were hashed.
			if _, err := storage.ViewRecords(block, &s.rows); err != nil {
				return err
			}
			return Leaves(leaves, &s.rows, key)
		})
	if err != nil {
		return 0, err
	}
	l.metrics.sealed(h.Rows, time.Since(began))
	return s.last.Index, nil
}

// seal completes h, writes the spool record and moves the end of the chain. encode
// makes the block, hash the leaves. The caller holds the lock.
func (l *Ledger) seal(ctx context.Context, h Header, kind uint8, table []byte,
	encode func([]byte) []byte, hash func([]byte, []merkle.Hash, SaltKey) error,
) error {
	s := &l.sealing
	if err := ctx.Err(); err != nil {
		return err
	}
	r := &s.other
	if kind == recordFlows {
		r = l.memory.blank()
	}
	err := l.make(r, h, table, encode, hash)
	if err == nil {
		err = l.spool.Append(s.next, kind, r.meta, r.block)
	}
	if err != nil {
		// The record may be on disk. If we go on, the next batch takes its place
		// there; if we die first, it counts as sealed: either way its rows are
		// there once or not at all.
		if kind == recordFlows {
			l.memory.back(r)
		}
		return fmt.Errorf("seal batch %d: %w", s.next, err)
	}
	// A crash here: the batch is sealed and will be committed at the next start,
	// though nobody was told.
	s.next, s.last, s.restart, s.at = s.next+1, r.header, false, r.at
	if kind == recordFlows {
		l.memory.keep(r)
	}
	l.progress.wake()
	return nil
}

// make makes r the record of the next batch, in the memory of the one it was.
func (l *Ledger) make(r *made, h Header, table []byte, encode func([]byte) []byte, hash func([]byte, []merkle.Hash, SaltKey) error) error {
	s := &l.sealing
	r.table = table
	if _, err := io.ReadFull(l.random, r.key[:]); err != nil {
		return fmt.Errorf("make salt key: %w", err)
	}
	r.block = encode(r.block[:0])
	s.leaves = slices.Grow(s.leaves[:0], int(h.Rows))[:h.Rows]
	if err := hash(r.block, s.leaves, r.key); err != nil {
		return err
	}
	r.tags = appendTags(r.tags[:0], s.leaves)
	r.nodes = appendNodes(r.nodes[:0], s.leaves)
	h.RowRoot = merkle.Root(r.nodes)
	r.at = l.clock()
	l.complete(&h, r.at)
	if err := h.Validate(); err != nil {
		return err
	}
	r.header = h
	r.meta = r.sealed.append(r.meta[:0])
	return nil
}

// complete sets what follows from the header before and the time.
func (l *Ledger) complete(h *Header, now time.Time) {
	s := &l.sealing
	h.SchemaID, h.SchemaHash, h.LogID = SchemaID, SchemaHash(), l.reader.LogID()
	h.Flags |= Salted
	h.Index, h.Sealed = s.next, now.UnixNano()
	if s.next > 0 {
		h.FirstSeq, h.PrevLeaf = s.last.FirstSeq+s.last.Rows, s.last.Leaf()
		if h.Sealed < s.last.Sealed || (!s.at.IsZero() && clockWasSet(s.at, now)) {
			h.Flags |= ClockStep
		}
		h.Sealed = max(h.Sealed, s.last.Sealed)
		// While the chain is away the last block seen is still one seen before.
		h.EthBlockNumber, h.EthBlockHash = s.last.EthBlockNumber, s.last.EthBlockHash
	}
	if s.restart {
		h.Flags |= Restart
	}
	if l.finalized == nil {
		return
	}
	number, hash := l.finalized()
	if hash != [32]byte{} && (number > h.EthBlockNumber || h.EthBlockHash == [32]byte{}) {
		h.EthBlockNumber, h.EthBlockHash = number, hash
	}
}

// clockWasSet compares the wall clock with the monotonic one between two
// readings. One second and a thousandth is beyond what slewing does (500 ppm).
func clockWasSet(from, to time.Time) bool {
	elapsed := to.Sub(from) // monotonic, if both readings have it
	return stepped(to.Round(0).Sub(from.Round(0)), elapsed)
}

func stepped(wall, monotonic time.Duration) bool {
	return (wall - monotonic).Abs() > time.Second+monotonic.Abs()/1000
}

// Event puts an event into the next batch of events, which SealEvents seals:
// until then it is in memory only. fields is not kept.
func (l *Ledger) Event(kind, actor string, fields map[string]any) error {
	l.sealing.mu.Lock()
	defer l.sealing.mu.Unlock()
	return l.buffer(kind, actor, fields)
}

func (l *Ledger) buffer(kind, actor string, fields map[string]any) error {
	s := &l.sealing
	e, err := NewEvent(kind, actor, l.clock(), fields)
	if err != nil {
		return err
	}
	if s.buffered+len(e.Body) > maxBuffered {
		return fmt.Errorf("record event %q: %d octets of events are waiting to be sealed, want at most %d", kind, s.buffered, maxBuffered)
	}
	s.events, s.buffered = append(s.events, e.Body), s.buffered+len(e.Body)
	return nil
}

// SealEvents seals the events buffered so far and returns how many. After an
// error they are kept for the next call.
func (l *Ledger) SealEvents(ctx context.Context) (n int, err error) {
	s := &l.sealing
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.events) > 0 {
		count, err := l.sealEvents(ctx)
		n += count
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// EventNow records an event and returns when it is durable, with the batch and
// position of its leaf. Other buffered events are sealed with it. After an
// error it is not recorded, with the exception Seal has.
func (l *Ledger) EventNow(ctx context.Context, kind, actor string, fields map[string]any) (index uint64, pos uint32, err error) {
	s := &l.sealing
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.events) >= MaxRows {
		if _, err := l.sealEvents(ctx); err != nil {
			return 0, 0, err
		}
	}
	if err := l.buffer(kind, actor, fields); err != nil {
		return 0, 0, err
	}
	last := len(s.events) - 1
	if _, err := l.sealEvents(ctx); err != nil {
		s.buffered -= len(s.events[last])
		s.events = s.events[:last]
		return 0, 0, err
	}
	return s.last.Index, uint32(last), nil
}

// sealEvents seals up to MaxRows buffered events. The caller holds the lock.
func (l *Ledger) sealEvents(ctx context.Context) (int, error) {
	s := &l.sealing
	bodies := s.events[:min(len(s.events), MaxRows)]
	h := Header{Flags: Events, Rows: uint64(len(bodies))}
	octets := 0
	for i, body := range bodies {
		e, err := ParseEvent(body)
		if err != nil {
			return 0, err
		}
		at := e.Time.UnixNano()
		if i == 0 {
			h.MinReceived, h.MaxReceived = at, at
		}
		h.MinReceived, h.MaxReceived = min(h.MinReceived, at), max(h.MaxReceived, at)
		octets += len(body)
	}
	err := l.seal(ctx, h, recordEvents, nil,
		func(dst []byte) []byte { return appendEventsBlock(dst, l.ID(), s.next, bodies) },
		func(_ []byte, leaves []merkle.Hash, key SaltKey) error { return EventLeaves(leaves, bodies, key) })
	if err != nil {
		return 0, err
	}
	n := len(bodies)
	s.events, s.buffered = slices.Delete(s.events, 0, n), s.buffered-octets
	l.metrics.sealedEvents(n)
	return n, nil
}

// sealGenesis begins the log: batch 0 says what the log is.
func (l *Ledger) sealGenesis(ctx context.Context, o Options) error {
	id := l.reader.LogID()
	hash := SchemaHash()
	fields := map[string]any{
		"origin":      l.reader.Origin(),
		"log_id":      hex.EncodeToString(id[:]),
		"public_key":  base64.StdEncoding.EncodeToString(l.reader.PublicKey()),
		"schema":      SchemaDocument(),
		"schema_hash": hex.EncodeToString(hash[:]),
		"site":        o.Site,
		"version":     o.Version,
	}
	for name, value := range o.Genesis {
		if _, taken := fields[name]; taken {
			return fmt.Errorf("begin ledger: genesis field %q is set by the ledger", name)
		}
		fields[name] = value
	}
	if _, _, err := l.EventNow(ctx, "genesis", "tidemark", fields); err != nil {
		return fmt.Errorf("begin ledger: %w", err)
	}
	return nil
}
