package anchor

import (
	"context"
)

// bracket finds the two sides of the time of every range: after the block that
// its first header names, before the block that anchored its last batch.
func (v *verification) bracket(ctx context.Context) {
	for i := range v.report.Ranges {
		g := &v.report.Ranges[i]
		if g.anchored != nil {
			g.Before = g.anchored.spell()
		}
		if !v.claimed.chain || g.seen.Hash == [32]byte{} || i >= maxBlocks {
			continue
		}
		block, err := v.Chain.Block(ctx, g.seen.Number)
		if err == nil && block.Hash == g.seen.Hash { // else that is said elsewhere
			g.After = block.spell()
		}
	}
}
