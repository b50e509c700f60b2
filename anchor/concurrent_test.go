package anchor

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"tidemark/collector/flow"
	"tidemark/storage"
)

// lockedSpool and lockedRows make a world safe for concurrent use.
type lockedSpool struct {
	*sync.Mutex
	s worldSpool
}

func (l lockedSpool) Append(index uint64, kind uint8, meta, block []byte) error {
	l.Lock()
	defer l.Unlock()
	return l.s.Append(index, kind, meta, block)
}

func (l lockedSpool) Records() []storage.SpoolRecord {
	l.Lock()
	defer l.Unlock()
	return l.s.Records()
}

func (l lockedSpool) Read(index uint64) (uint8, []byte, []byte, error) {
	l.Lock()
	defer l.Unlock()
	return l.s.Read(index)
}

func (l lockedSpool) ReadMeta(index uint64) (uint8, []byte, error) {
	l.Lock()
	defer l.Unlock()
	return l.s.ReadMeta(index)
}

func (l lockedSpool) SetAside(index uint64) (string, error) {
	l.Lock()
	defer l.Unlock()
	return l.s.SetAside(index)
}

func (l lockedSpool) Remove(index uint64) error {
	l.Lock()
	defer l.Unlock()
	return l.s.Remove(index)
}

type lockedRows struct {
	*sync.Mutex
	r worldRows
}

func (l lockedRows) Insert(ctx context.Context, table, token string, block []byte) error {
	l.Lock()
	defer l.Unlock()
	return l.r.Insert(ctx, table, token, block)
}

func (l lockedRows) ReadFlows(ctx context.Context, table string, log, index, count uint64, dst *flow.Batch) error {
	l.Lock()
	defer l.Unlock()
	return l.r.ReadFlows(ctx, table, log, index, count, dst)
}

func (l lockedRows) HoldsFlows(ctx context.Context, table string, log, index uint64, block []byte) (bool, error) {
	l.Lock()
	defer l.Unlock()
	return l.r.HoldsFlows(ctx, table, log, index, block)
}

func (l lockedRows) ReadEvents(ctx context.Context, log, index, count uint64) ([][]byte, error) {
	l.Lock()
	defer l.Unlock()
	return l.r.ReadEvents(ctx, log, index, count)
}

func (l lockedRows) DiscardFlows(ctx context.Context, log, index uint64) error {
	l.Lock()
	defer l.Unlock()
	return l.r.DiscardFlows(ctx, log, index)
}

func (l lockedRows) Stored(ctx context.Context, log uint64) (uint64, error) {
	l.Lock()
	defer l.Unlock()
	return l.r.Stored(ctx, log)
}

// Rows, events, checkpoints, proofs and committing at one time give one log.
func TestLedger_EverythingAtOnce(t *testing.T) {
	h := &history{w: newWorld(t.TempDir())}
	var mu sync.Mutex
	parts := testSeams(h.w)
	parts.files, parts.rows, parts.spool = osFiles{}, lockedRows{&mu, worldRows{h.w}}, lockedSpool{&mu, worldSpool{h.w}}
	l, err := open(t.Context(), Options{Dir: h.w.dir, Origin: testOrigin, Log: zerolog.Nop(), Derive: twoDerived}, parts)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- l.Run(ctx) }()

	const n = 40
	var work sync.WaitGroup
	failed := make(chan error, 4*n)
	each := func(do func(i int) error) {
		work.Go(func() {
			for i := range n {
				if err := do(i); err != nil {
					failed <- err
				}
			}
		})
	}
	same := dayBatch(1, 20) // the world cannot tell which batch gets which index
	for i := range uint64(4 * n) {
		h.w.sealed[i] = same
	}
	each(func(int) error { _, err := l.Seal(ctx, same, exporterCounts()); return err })
	each(func(i int) error {
		_, _, err := l.EventNow(ctx, "approve", "alice", map[string]any{"n": i})
		return err
	})
	each(func(i int) error {
		if err := l.Event("alert", "tidemark", map[string]any{"n": i}); err != nil {
			return err
		}
		_, err := l.SealEvents(ctx)
		return err
	})
	each(func(int) error {
		if l.Reader().Size() < 2 {
			return nil
		}
		c, _, err := l.Checkpoint()
		if err != nil {
			return err
		}
		h.signed = append(h.signed, c)
		if _, err := l.Consistency(1, c.Size); err != nil && c.Size > 1 {
			return err
		}
		if r, err := OpenReader(h.w.dir); err != nil {
			return fmt.Errorf("beside the ledger: %w", err)
		} else {
			return r.Close()
		}
	})
	work.Wait()
	close(failed)
	for err := range failed {
		t.Error(err)
	}
	if err := l.Drain(ctx); err != nil {
		t.Error(err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	r, err := OpenReader(h.w.dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	events := uint64(0)
	for i := range r.Size() {
		header, err := r.Header(i)
		if err != nil {
			t.Fatal(err)
		}
		h.checkBatch(t, r, &header)
		if header.Flags&Events != 0 {
			events += header.Rows
		}
	}
	if events != 1+2*n {
		t.Errorf("%d events, want %d", events, 1+2*n)
	}
	for _, c := range h.signed {
		if root, err := r.Root(c.Size); err != nil || root != c.Root {
			t.Errorf("the log forks from the checkpoint of size %d: %v", c.Size, err)
		}
	}
}
