package anchor

import (
	"context"
	"errors"
	"fmt"
)

// storeDerived inserts what is made of a batch of flows for other tables. It
// comes after the gate, so that a batch in quarantine has none, and before the
// header, so that a crash repeats it under its token. It is no evidence: a batch
// of which the database refuses it goes on without.
func (c *committer) storeDerived(ctx context.Context, r *record) error {
	if c.derive == nil {
		return nil
	}
	index := r.header.Index
	blocks, err := c.derive(r.block)
	if err != nil {
		err = fmt.Errorf("%w: %w", errRefused, err)
	}
	for i := 0; err == nil && i < len(blocks); i++ {
		err = c.rows.Insert(ctx, blocks[i].Table, c.token(index), blocks[i].Data)
	}
	if errors.Is(err, errRefused) || errors.Is(err, errUnwilling) && c.lostPatience(index) {
		c.metrics.underived.Inc()
		c.log.Error().Err(err).Uint64("batch", index).
			Msg("the aggregates do not take a batch: its rows are recorded, and what devices are measured by lacks them; stop the collector and run `tidemark aggregates rebuild`")
		return nil
	}
	return err
}
