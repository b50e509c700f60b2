package anchor

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"tidemark/anchor/merkle"
)

// patience is how often a database that answers may fail to take a batch into
// flows before the batch goes to quarantine: about a minute of attempts. Else
// one batch that needs more memory than there is would hold up all that come
// after it. As often a record that cannot be read is read again before its
// rows count as lost: a disk may be away for a moment.
const patience = 12

// ErrReadBack is a batch whose rows come back from the database other than they
// were sealed. It is never committed as it is.
var ErrReadBack = errors.New("read-back mismatch")

// store brings the rows of r into the database and back, and leaves in c.tags
// those of the leaves of what came back, whose root is that of the header. If r has
// lost its rows and the database does not have them either, c.tags is empty.
func (c *committer) store(ctx context.Context, r *record) error {
	h := &r.header
	c.tags = c.tags[:0]
	switch {
	case h.Flags&Empty != 0:
		return nil
	case r.damage != nil:
		return c.recallOrLose(ctx, r)
	case h.Flags&Events != 0:
		err := c.insert(ctx, tableEvents, r, func() error { return c.readBackEvents(ctx, r) })
		if errors.Is(err, ErrReadBack) {
			c.mismatch(h, err)
		}
		return err
	}
	err := c.insert(ctx, tableFlows, r, func() error { return c.readBack(ctx, tableFlows, r) })
	if errors.Is(err, errRefused) || errors.Is(err, errUnwilling) && c.lostPatience(h.Index) {
		c.log.Error().Err(err).Uint64("batch", h.Index).Msg("batch goes to quarantine: its rows are recorded but not in flows and aggregates")
		return c.quarantine(ctx, r)
	}
	if errors.Is(err, ErrReadBack) { // once more: what was read may be at fault, not what is stored
		c.mismatch(h, err)
		err = c.readBack(ctx, tableFlows, r)
	}
	if errors.Is(err, ErrReadBack) {
		c.mismatch(h, err)
		return c.quarantine(ctx, r)
	}
	if err != nil {
		return err
	}
	return c.storeDerived(ctx, r)
}

// maxTokens is how many tokens a batch may have. More than one is needed only
// after a kill at the wrong moment (storage.InsertBlock), so two would do.
const maxTokens = 8

// insert brings the block of r into table and reads it back. Rows that are
// absent although the insert went well are inserted under another token: the
// first was written down by an engine that died before the rows were.
func (c *committer) insert(ctx context.Context, table string, r *record, readBack func() error) error {
	token := c.token(r.header.Index)
	err := c.rows.Insert(ctx, table, token, r.block)
	if err == nil {
		err = readBack()
	}
	for n := 2; errors.Is(err, errAbsent) && n <= maxTokens; n++ {
		c.log.Warn().Uint64("batch", r.header.Index).Str("table", table).Int("token", n).Msg("the engine took a batch for stored and has none of it, as after a crash: inserted again")
		if err = c.rows.Insert(ctx, table, fmt.Sprintf("%s:%d", token, n), r.block); err == nil {
			err = readBack()
		}
	}
	return err
}

// lostPatience counts an attempt that failed on batch index.
func (c *committer) lostPatience(index uint64) bool {
	if c.failedBatch != index {
		c.failed, c.failedBatch = 0, index
	}
	c.failed++
	return c.failed >= patience
}

func (c *committer) mismatch(h *Header, err error) {
	c.metrics.mismatches.Inc()
	c.log.Error().Err(err).Uint64("batch", h.Index).Uint64("rows", h.Rows).
		Msg("rows of a batch came back other than they were sealed: check memory and disk of the database's machine")
}

// quarantine stores the rows of r in a table of their own and takes what `flows` may
// have of them out, so that every row is there once. flows cannot take the batch
// a second time: its token is used up.
func (c *committer) quarantine(ctx context.Context, r *record) error {
	index := r.header.Index
	if err := c.rows.Insert(ctx, tableQuarantine, c.token(index), r.block); err != nil {
		return err
	}
	if err := c.readBack(ctx, tableQuarantine, r); err != nil {
		if errors.Is(err, ErrReadBack) {
			c.mismatch(&r.header, err)
		}
		return err
	}
	if err := c.rows.DiscardFlows(ctx, c.ID(), index); err != nil {
		return err
	}
	c.metrics.quarantined.Inc()
	return nil
}

// readBack is the gate: nothing enters the log whose rows are not those of the
// root they were sealed under. Rows that come back octet by octet as they stand in
// the block that was hashed are; all others are hashed.
func (c *committer) readBack(ctx context.Context, table string, r *record) error {
	h := &r.header
	if len(r.tags) > 0 {
		if same, err := c.rows.HoldsFlows(ctx, table, c.ID(), h.Index, r.block); err != nil {
			return err
		} else if same {
			c.tags = append(c.tags[:0], r.tags...)
			return nil
		}
	}
	err := c.rows.ReadFlows(ctx, table, c.ID(), h.Index, h.Rows, &c.batch)
	if err == nil {
		err = c.compare(h, func() error { return Leaves(c.leaves, &c.batch, r.key) })
	}
	return readBackError(h, table, err)
}

func (c *committer) readBackEvents(ctx context.Context, r *record) error {
	h := &r.header
	bodies, err := c.rows.ReadEvents(ctx, c.ID(), h.Index, h.Rows)
	if err == nil {
		err = c.compare(h, func() error { return EventLeaves(c.leaves, bodies, r.key) })
	}
	return readBackError(h, tableEvents, err)
}

// compare builds the leaves and compares their root with the header's.
func (c *committer) compare(h *Header, hash func() error) error {
	c.leaves = slices.Grow(c.leaves[:0], int(h.Rows))[:h.Rows]
	if err := hash(); err != nil {
		return fmt.Errorf("%w: %w", errRows, err) // a column that cannot be encoded was not sealed so
	}
	c.nodes = appendNodes(c.nodes[:0], c.leaves)
	if root := merkle.Root(c.nodes); root != h.RowRoot {
		return fmt.Errorf("%w: root is %x, want %x", errRows, root, h.RowRoot)
	}
	c.tags = appendTags(c.tags[:0], c.leaves)
	return nil
}

func readBackError(h *Header, table string, err error) error {
	if errors.Is(err, errRows) {
		return fmt.Errorf("%w of batch %d in %s: %w", ErrReadBack, h.Index, table, err)
	}
	return err
}
