package anchor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"sync"
	"time"

	"tidemark/anchor/merkle"
	"tidemark/collector/flow"
	"tidemark/storage"
)

// maxRetry is the longest wait between two attempts to commit a batch: long
// enough not to press a database that is starting, short beside the minutes of
// rows a spool can hold.
const maxRetry = 10 * time.Second

// progress is how far committing has come.
type progress struct {
	mu       sync.Mutex
	finished uint64        // batches in the log and out of the spool
	leftover []uint64      // in the log, but still in the spool
	running  bool          // Run is at work
	err      error         // why Run stopped for good
	changed  chan struct{} // closed at the next change; nil: nobody waits
}

// wake tells those who wait on changes that there was one.
func (p *progress) wake() {
	p.mu.Lock()
	p.change()
	p.mu.Unlock()
}

// change is wake for who holds the lock.
func (p *progress) change() {
	if p.changed != nil {
		close(p.changed)
		p.changed = nil
	}
}

// next returns a channel that is closed at the next change after this call.
func (p *progress) next() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.changed == nil {
		p.changed = make(chan struct{})
	}
	return p.changed
}

// committer is the working memory of Run.
type committer struct {
	*Ledger
	batch  flow.Batch
	leaves []merkle.Hash // of rows as they came back from the database
	nodes  []merkle.Hash
	tags   []byte // of the leaves of the rows that the database holds; none: they are lost
	block  []byte

	failed      int // attempts that patience counts
	failedBatch uint64
	told        uint64 // batches before this one whose loss the log tells of
}

// Run commits sealed batches in order until ctx ends; what is left over from an
// earlier process first. It returns nil then, and an error only when going on
// could fork the log. While the database is away or a batch cannot be read back
// as it was sealed, it retries that batch; sealing goes on meanwhile.
func (l *Ledger) Run(ctx context.Context) (err error) {
	p := &l.progress
	p.mu.Lock()
	if p.running || p.err != nil {
		defer p.mu.Unlock()
		return errors.Join(errors.New("commit: Run was called already"), p.err)
	}
	p.running = true
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		p.running, p.err = false, err
		p.change()
		p.mu.Unlock()
	}()
	c := &committer{Ledger: l}
	wait := l.retry
	for ctx.Err() == nil {
		changed := p.next() // before looking, so that nothing is missed
		more, err := c.step(ctx)
		switch {
		case err == nil && more:
			wait = l.retry
			continue
		case err == nil:
			select {
			case <-changed:
			case <-ctx.Done():
			}
			continue
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, ErrFork):
			return err
		}
		l.metrics.failedCommits.Inc()
		l.log.Error().Err(err).Dur("retry_in", wait).Uint64("backlog", l.Backlog()).Msg("batch is not committed; it stays in the spool")
		select {
		case <-time.After(wait):
		case <-ctx.Done():
		}
		wait = min(2*wait, maxRetry)
	}
	return nil
}

// Backlog is the number of batches that are sealed and not yet committed.
func (l *Ledger) Backlog() uint64 {
	l.sealing.mu.Lock()
	next := l.sealing.next
	l.sealing.mu.Unlock()
	l.progress.mu.Lock()
	defer l.progress.mu.Unlock()
	return next - l.progress.finished + uint64(len(l.progress.leftover))
}

// Drain waits until every batch sealed before the call is committed and out of
// the spool. It fails if Run stops with an error before.
func (l *Ledger) Drain(ctx context.Context) error {
	l.sealing.mu.Lock()
	target := l.sealing.next
	l.sealing.mu.Unlock()
	p := &l.progress
	for {
		changed := p.next()
		p.mu.Lock()
		done, err := p.finished >= target && len(p.leftover) == 0, p.err
		p.mu.Unlock()
		switch {
		case done:
			return nil
		case err != nil:
			return fmt.Errorf("drain ledger: %w", err)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("drain ledger: %d batches are left: %w", l.Backlog(), ctx.Err())
		}
	}
}

// step brings one batch one step further; more is false when there is none.
func (c *committer) step(ctx context.Context) (more bool, err error) {
	p := &c.progress
	p.mu.Lock()
	index, isLeftover := p.finished, len(p.leftover) > 0
	if isLeftover {
		index = p.leftover[0]
	}
	p.mu.Unlock()
	if !isLeftover {
		c.sealing.mu.Lock()
		next := c.sealing.next
		c.sealing.mu.Unlock()
		if index == next {
			return false, nil
		}
	}
	if err := c.commit(ctx, index); err != nil {
		return false, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if isLeftover {
		p.leftover = p.leftover[1:]
	} else {
		p.finished++
	}
	p.change()
	return true, nil
}

// commit takes batch index from wherever an earlier attempt left it to its end.
// Each part may be repeated: rows and header copy go in by token, the files are
// written at fixed places with octets that sealing has fixed.
func (c *committer) commit(ctx context.Context, index uint64) error {
	began := time.Now()
	r, err := c.take(index)
	if errors.Is(err, fs.ErrNotExist) && index < c.reader.Size() {
		return c.remove(index) // an earlier removal got as far as the file
	} else if err != nil {
		return fmt.Errorf("commit batch %d: %w", index, err)
	}
	if index < c.reader.Size() { // a crash came between header and removal
		err = c.restore(ctx, r)
	} else if err = c.store(ctx, r); err == nil {
		if err = c.append(r.sealed); err == nil {
			c.metrics.committed(&r.header, time.Since(began))
		}
	}
	if err != nil {
		return fmt.Errorf("commit batch %d: %w", index, err)
	}
	c.block = appendHeaderBlock(c.block[:0], c.ID(), &r.header)
	if err := c.rows.Insert(ctx, tableHeaders, c.token(index), c.block); err != nil {
		return fmt.Errorf("commit batch %d: copy header: %w", index, err)
	}
	if c.onCommitted != nil {
		c.onCommitted(index, r.header)
	}
	if r.damage != nil {
		return c.setAside(r)
	}
	return c.remove(index)
}

func (c *committer) remove(index uint64) error {
	if err := c.spool.Remove(index); err != nil {
		return fmt.Errorf("commit batch %d: %w", index, err)
	}
	c.memory.release(index)
	return nil
}

func (c *committer) token(index uint64) string { return storage.FlowsToken(c.ID(), index) }

// append writes b to the log. The header comes last, and is the commit: a crash
// before leaves a tail that opening cuts off, one after a batch that only has to
// leave the spool.
func (c *committer) append(b *sealed) error {
	r := c.reader
	r.mu.RLock()
	s := r.state
	r.mu.RUnlock()
	h := &b.header
	if err := s.follows(h, r.id); err != nil {
		return fmt.Errorf("%w: %w", ErrFork, err)
	}
	if err := c.checkPledged(&s, h); err != nil {
		return err
	}
	at := location{key: b.key, nodes: uint64(s.nodesEnd), table: noTable}
	tableEnd := s.tableEnd
	if len(b.nodes) > 0 {
		if err := c.write(nodesFile, r.nodes, appendNodeHashes(nil, b.nodes), s.nodesEnd); err != nil {
			return err
		}
		if err := c.writeTags(h); err != nil {
			return err
		}
	}
	if h.Flags&Events == 0 {
		if at.table = s.tableAt; at.table == noTable || s.table != h.ExporterTable {
			at.table = uint64(s.tableEnd)
			p := appendTableRecord(nil, b.table)
			if err := c.write(tablesFile, r.tables, p, s.tableEnd); err != nil {
				return err
			}
			tableEnd += int64(len(p))
		}
	}
	if err := c.write(batchesFile, r.batches, at.append(nil, h.Index), int64(h.Index)*batchSize); err != nil {
		return err
	}
	if err := c.write(headersFile, r.headers, h.Append(nil), int64(h.Index)*HeaderSize); err != nil {
		return err // perhaps it is there: it will be written again, the same
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.state.size == h.Index { // else Refresh was faster
		r.state.count(h, at)
		r.state.tableEnd = tableEnd
	}
	return nil
}

// writeTags writes c.tags, which are those of the leaves of h.
func (c *committer) writeTags(h *Header) error {
	if len(c.tags) == 0 {
		return nil
	}
	return c.write(tagsFile, c.reader.tags, c.tags, int64(h.FirstSeq)*tagSize)
}

func (c *committer) write(name string, f file, p []byte, off int64) error {
	if err := writeDurably(f, p, off); err != nil {
		return fmt.Errorf("write ledger file %s: %w", filepath.Join(c.dir, name), err)
	}
	return nil
}

// checkPledged holds the log, grown by h, to a checkpoint that was signed for
// this size before the ledger was opened.
func (c *committer) checkPledged(s *logState, h *Header) error {
	if h.Index+1 != c.pledged.Size {
		return nil
	}
	border := s.border.Clone()
	border.Append(h.Leaf(), nil)
	if root := border.Root(); root != c.pledged.Root {
		return fmt.Errorf("%w: root of %d headers would be %x, the checkpoint that was signed has %x", ErrFork, c.pledged.Size, root, c.pledged.Root)
	}
	return nil
}
