package publish

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"tidemark/anchor/chain"
)

// developmentDelay is how long a block of a development chain must have been
// known before headers may name it: Anvil forgets its last seconds when it is
// killed, and a header must not name a block that no chain has. It is twice the
// interval at which Anvil writes its state, and the time to write it.
const developmentDelay = 20 * time.Second

// finality keeps the newest finalized block that headers may name.
type finality struct {
	current atomic.Pointer[chain.Block]
	seen    []sighting // oldest first, on development chains only
}

type sighting struct {
	at    time.Time
	block chain.Block
}

// FinalizedBlock returns the newest finalized block known, for the header of a
// batch: what is sealed now was sealed after it. It never waits; ok is false
// while none is known. A block from before the chain went away is still true,
// only less sharp.
func (p *Publisher) FinalizedBlock() (b chain.Block, ok bool) {
	if cur := p.finality.current.Load(); cur != nil {
		return *cur, true
	}
	return chain.Block{}, false
}

// distrust forgets what was seen: headers name no block until the nodes agree.
func (f *finality) distrust() {
	f.current.Store(nil)
	f.seen = nil
}

// refresh asks the chain; it is called by Run alone.
func (f *finality) refresh(ctx context.Context, c *chain.Client, now time.Time) error {
	if cur := f.current.Load(); cur != nil {
		b, err := c.BlockAt(ctx, cur.Number)
		if errors.Is(err, chain.ErrNotFound) || err == nil && b.Hash != cur.Hash {
			// Only a chain that was set back does this.
			f.distrust()
		} else if err != nil {
			return err
		}
	}
	b, err := c.Block(ctx, chain.Finalized)
	if err != nil {
		return err
	}
	if !c.Development() {
		f.current.Store(&b)
		return nil
	}
	if n := len(f.seen); n > 0 && b.Number < f.seen[n-1].block.Number {
		f.seen = nil // set back
	}
	if n := len(f.seen); n == 0 || b.Number > f.seen[n-1].block.Number {
		f.seen = append(f.seen, sighting{now, b})
	}
	for len(f.seen) > 0 && now.Sub(f.seen[0].at) >= developmentDelay {
		oldest := f.seen[0].block
		b, err := c.BlockAt(ctx, oldest.Number)
		if err != nil && !errors.Is(err, chain.ErrNotFound) {
			return err
		}
		if err != nil || b.Hash != oldest.Hash {
			f.seen = nil // the chain began anew, and is longer than it was
			return nil
		}
		f.current.Store(&oldest)
		f.seen = f.seen[1:]
	}
	return nil
}
