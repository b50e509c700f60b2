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

// patience is how often a database that answers may fail to take a batch into
// flows before the batch goes to quarantine: about a minute of attempts. Else
// one batch whose views need more memory than there is would hold up all that
// come after it.
const patience = 12

// ErrReadBack is a batch whose rows come back from the database other than they
// were sealed. It is never committed as it is.
var ErrReadBack = errors.New("read-back mismatch")

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
	leaves []merkle.Hash
	nodes  []merkle.Hash
	tags   []byte
	block  []byte

	unwilling      int // attempts that ended in errUnwilling
	unwillingBatch uint64
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
	kind, meta, block, err := c.spool.Read(index)
	if errors.Is(err, fs.ErrNotExist) && index < c.reader.Size() {
		return c.remove(index) // an earlier removal got as far as the file
	} else if err != nil {
		return fmt.Errorf("commit batch %d: %w", index, err)
	}
	b, err := parseSealed(index, kind, meta)
	if err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	if index >= c.reader.Size() { // else a crash came between header and removal
		if err := c.store(ctx, b, block); err != nil {
			return fmt.Errorf("commit batch %d: %w", index, err)
		}
		if err := c.append(b); err != nil {
			return fmt.Errorf("commit batch %d: %w", index, err)
		}
		c.metrics.committed(&b.header, time.Since(began))
	}
	c.block = appendHeaderBlock(c.block[:0], c.ID(), &b.header)
	if err := c.rows.Insert(ctx, tableHeaders, c.token(index), c.block); err != nil {
		return fmt.Errorf("commit batch %d: copy header: %w", index, err)
	}
	if c.onCommitted != nil {
		c.onCommitted(index, b.header)
	}
	return c.remove(index)
}

func (c *committer) remove(index uint64) error {
	if err := c.spool.Remove(index); err != nil {
		return fmt.Errorf("commit batch %d: %w", index, err)
	}
	return nil
}

func (c *committer) token(index uint64) string { return storage.FlowsToken(c.ID(), index) }

// store brings the leaves of b into the database and back, and leaves in
// c.nodes the nodes over what came back, whose root is that of the header.
func (c *committer) store(ctx context.Context, b *sealed, block []byte) error {
	h := &b.header
	switch {
	case h.Flags&Empty != 0:
		c.nodes = c.nodes[:0]
		return nil
	case h.Flags&Events != 0:
		if err := c.rows.Insert(ctx, tableEvents, c.token(h.Index), block); err != nil {
			return err
		}
		return c.readBackEvents(ctx, b)
	}
	err := c.rows.Insert(ctx, tableFlows, c.token(h.Index), block)
	if errors.Is(err, errRefused) || errors.Is(err, errUnwilling) && c.lostPatience(h.Index) {
		c.log.Error().Err(err).Uint64("batch", h.Index).Msg("batch goes to quarantine: its rows are recorded but not in flows and aggregates")
		return c.quarantine(ctx, b, block)
	} else if err != nil {
		return err
	}
	err = c.readBack(ctx, tableFlows, b)
	if errors.Is(err, ErrReadBack) { // once more: what was read may be at fault, not what is stored
		c.mismatch(b, err)
		err = c.readBack(ctx, tableFlows, b)
	}
	if errors.Is(err, ErrReadBack) {
		c.mismatch(b, err)
		return c.quarantine(ctx, b, block)
	}
	return err
}

// lostPatience counts an unwilling insert of batch index.
func (c *committer) lostPatience(index uint64) bool {
	if c.unwillingBatch != index {
		c.unwilling, c.unwillingBatch = 0, index
	}
	c.unwilling++
	return c.unwilling >= patience
}

func (c *committer) mismatch(b *sealed, err error) {
	c.metrics.mismatches.Inc()
	c.log.Error().Err(err).Uint64("batch", b.header.Index).Uint64("rows", b.header.Rows).
		Msg("rows of a batch came back other than they were sealed: check memory and disk of the database's machine")
}

// quarantine stores the rows of b beside the views and takes what `flows` may
// have of them out, so that every row is there once. flows cannot take the batch
// a second time: its token is used up.
func (c *committer) quarantine(ctx context.Context, b *sealed, block []byte) error {
	if err := c.rows.Insert(ctx, tableQuarantine, c.token(b.header.Index), block); err != nil {
		return err
	}
	if err := c.readBack(ctx, tableQuarantine, b); err != nil {
		if errors.Is(err, ErrReadBack) {
			c.mismatch(b, err)
		}
		return err
	}
	if err := c.rows.DiscardFlows(ctx, c.ID(), b.header.Index); err != nil {
		return err
	}
	c.metrics.quarantined.Inc()
	return nil
}

// readBack is the gate: nothing enters the log whose rows do not hash to the
// root they were sealed under.
func (c *committer) readBack(ctx context.Context, table string, b *sealed) error {
	h := &b.header
	err := c.rows.ReadFlows(ctx, table, c.ID(), h.Index, h.Rows, &c.batch)
	if err == nil {
		err = c.compare(h, func() error { return Leaves(c.leaves, &c.batch, b.key) })
	}
	return readBackError(h, table, err)
}

func (c *committer) readBackEvents(ctx context.Context, b *sealed) error {
	h := &b.header
	bodies, err := c.rows.ReadEvents(ctx, c.ID(), h.Index, h.Rows)
	if err == nil {
		err = c.compare(h, func() error { return EventLeaves(c.leaves, bodies, b.key) })
	}
	if err = readBackError(h, tableEvents, err); errors.Is(err, ErrReadBack) {
		c.mismatch(b, err)
	}
	return err
}

// compare builds leaves and nodes and compares the root with the header's.
func (c *committer) compare(h *Header, hash func() error) error {
	if uint64(cap(c.leaves)) < h.Rows {
		c.leaves = make([]merkle.Hash, h.Rows)
	}
	c.leaves = c.leaves[:h.Rows]
	if err := hash(); err != nil {
		return fmt.Errorf("%w: %w", errRows, err) // a column that cannot be encoded was not sealed so
	}
	c.nodes = appendNodes(c.nodes[:0], c.leaves)
	if root := merkle.Root(c.nodes); root != h.RowRoot {
		return fmt.Errorf("%w: root is %x, want %x", errRows, root, h.RowRoot)
	}
	return nil
}

func readBackError(h *Header, table string, err error) error {
	if errors.Is(err, errRows) {
		return fmt.Errorf("%w of batch %d in %s: %w", ErrReadBack, h.Index, table, err)
	}
	return err
}

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
	if len(c.nodes) > 0 {
		p := make([]byte, 0, len(c.nodes)*32)
		for i := range c.nodes {
			p = append(p, c.nodes[i][:]...)
		}
		if err := c.write(nodesFile, r.nodes, p, s.nodesEnd); err != nil {
			return err
		}
		c.tags = appendTags(c.tags[:0], c.leaves)
		if err := c.write(tagsFile, r.tags, c.tags, s.last.tagsEnd()); err != nil {
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
