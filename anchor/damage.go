package anchor

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"tidemark/storage"
)

// LossEvent is the kind of the event by which the log tells that the rows of a
// batch, its field "batch", were lost between sealing and storing. It excuses
// nothing: verify reports them missing.
const LossEvent = "loss"

// record is a record of the spool as it is when its batch is committed.
type record struct {
	*sealed
	block  []byte
	tags   []byte // of the leaves made of block, if neither has left this process since
	damage error  // its rows cannot be read, and block is nil
}

// take reads the record of a batch, unless it is held in memory. All that must be
// readable of it is what the log needs, and of a batch that the log has not even
// that.
func (c *committer) take(index uint64) (*record, error) {
	if m := c.memory.find(index); m != nil {
		return &record{sealed: &m.sealed, block: m.block, tags: m.tags}, nil
	}
	kind, meta, block, err := c.spool.Read(index)
	r := &record{block: block}
	if isCorrupt(err) {
		r.damage = err
		kind, meta, err = c.spool.ReadMeta(index)
	}
	if isCorrupt(err) && index < c.reader.Size() {
		h, err := c.reader.Header(index)
		r.sealed = &sealed{header: h}
		return r, err
	} else if err != nil {
		return nil, err
	}
	r.sealed, err = parseSealed(index, kind, meta)
	return r, err
}

func isCorrupt(err error) bool {
	var corrupt *storage.CorruptError
	return errors.As(err, &corrupt)
}

// recall looks for the rows of r in the database, where an earlier attempt may
// have stored them. ErrReadBack: they are not there as they were sealed.
func (c *committer) recall(ctx context.Context, r *record) error {
	if r.header.Flags&Events != 0 {
		return c.readBackEvents(ctx, r)
	}
	err := c.readBack(ctx, tableFlows, r)
	if errors.Is(err, ErrReadBack) {
		if err = c.readBack(ctx, tableQuarantine, r); err == nil {
			err = c.rows.DiscardFlows(ctx, c.ID(), r.header.Index) // a crash came before
		}
	}
	return err
}

// recallOrLose is what is done for a batch whose rows cannot be read.
func (c *committer) recallOrLose(ctx context.Context, r *record) error {
	err := c.recall(ctx, r)
	switch {
	case err == nil:
		c.log.Warn().Err(r.damage).Uint64("batch", r.header.Index).
			Msg("spool record is damaged, but the database has all its rows; if a crash came amid their insert the aggregates lack them: run `tidemark aggregates check`")
		return nil
	case !errors.Is(err, ErrReadBack):
		return err
	case !c.lostPatience(r.header.Index):
		return fmt.Errorf("%w; the database does not have the batch: %w", r.damage, err)
	}
	return c.lose(ctx, r, err)
}

// restore stores the rows of a batch that the log has, if the database does not
// have them: the record was damaged when the log took the batch, and somebody
// has put a whole one in its place.
func (c *committer) restore(ctx context.Context, r *record) error {
	if erased, err := readErased(c.dir, r.header.Index); err != nil || erased != nil {
		return err // a power failure brought the record back: its rows were erased since
	}
	if r.damage != nil || r.header.Flags&Empty != 0 {
		return nil
	}
	err := c.recall(ctx, r)
	if errors.Is(err, ErrReadBack) {
		c.log.Warn().Err(err).Uint64("batch", r.header.Index).Uint64("rows", r.header.Rows).
			Msg("the log has this batch and the database does not: its rows are stored again from the spool")
		err = c.store(ctx, r)
	}
	if err != nil {
		return err
	}
	return c.writeTags(&r.header)
}

// lose lets the log go on over a batch whose rows are lost: its header, final
// since it was sealed, says how many there were and what they hashed to. The log
// tells of it in an event, once as long as the process lives.
func (c *committer) lose(ctx context.Context, r *record, missing error) error {
	h := &r.header
	if c.told <= h.Index {
		unit := "flows"
		if h.Flags&Events != 0 {
			unit = "events"
		}
		if _, _, err := c.EventNow(ctx, LossEvent, "tidemark", map[string]any{"batch": h.Index, unit: h.Rows, "reason": r.damage.Error()}); err != nil {
			return fmt.Errorf("record the loss of its rows: %w", err)
		}
		c.told = h.Index + 1
		c.metrics.lost.Inc()
	}
	c.log.Error().Err(r.damage).AnErr("database", missing).Uint64("batch", h.Index).Uint64("rows", h.Rows).
		Msg("ROWS ARE LOST: the spool record of a batch is damaged and the database does not have it. The log goes on, and verify will report the batch missing. " +
			"If there is a copy of the record, put it into the directory spool and start again: its rows will be stored")
	c.tags = c.tags[:0]
	return nil
}

// setAside takes a damaged record out of the spool and keeps it: some of its
// rows may be legible.
func (c *committer) setAside(r *record) error {
	path, err := c.spool.SetAside(r.header.Index)
	if err != nil {
		return fmt.Errorf("commit batch %d: %w", r.header.Index, err)
	}
	c.log.Error().Err(r.damage).Uint64("batch", r.header.Index).Str("file", path).
		Msg("spool record is damaged; it was set aside and its batch is in the log: check the disk; `tidemark aggregates check` tells whether the aggregates have all its rows")
	return nil
}

// illegible is why a ledger does not open whose batch index is sealed, but not
// in the log, and whose header cannot be read: no header can follow it.
func (l *Ledger) illegible(pending []storage.SpoolRecord, index uint64, cause error) error {
	last := pending[len(pending)-1].Index
	var corrupt *storage.CorruptError
	if !errors.As(cause, &corrupt) {
		return fmt.Errorf("open ledger: %w", cause)
	}
	name := filepath.Base(corrupt.Path)
	return fmt.Errorf("open ledger: batch %d is sealed and not yet in the log, and cannot be read: %w. The log cannot go on without its header. "+
		"Either put a copy of %s in its place and start again; or give up the batches %d to %d: move their records out of %s, keep them, and start again: "+
		"the log goes on with another batch %d", index, cause, name, index, last, filepath.Dir(corrupt.Path), index)
}
