package anchor

import (
	"context"
	"errors"
	"fmt"

	"tidemark/anchor/merkle"
	"tidemark/collector/flow"
	"tidemark/storage"
)

// Reasons why a flow cannot be proved.
var (
	// ErrNoFlow: the name is of another log, or names no row.
	ErrNoFlow = errors.New("no such flow")
	// ErrNotSigned: the batch is younger than the last signed checkpoint.
	ErrNotSigned = errors.New("not in a signed checkpoint yet")
	// ErrAltered: the stored rows are not the ones that were sealed.
	ErrAltered = errors.New("rows are not the ones that were sealed")
)

// ProveOptions say which flow to prove and where it is. Ledger, DB and Flow are
// required.
type ProveOptions struct {
	Ledger *Reader
	DB     *storage.DB
	Flow   flow.Name

	// Chain and Log say where the log is anchored; nil: the bundle names no
	// anchor. FromBlock is a block not after the first anchor.
	Chain     ChainReader
	Log       *ChainLog
	FromBlock uint64

	Exporters bool // put the exporter table of the batch into the bundle
}

// Prove makes the bundle of one flow. It reads the 256 rows around it and
// refuses to prove what is not as it was sealed. The chain is read before the
// checkpoint, which therefore covers what was anchored.
func Prove(ctx context.Context, o ProveOptions) (*Bundle, error) {
	b, err := prove(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("prove flow %v: %w", o.Flow, err)
	}
	return b, nil
}

func prove(ctx context.Context, o ProveOptions) (*Bundle, error) {
	if o.Flow.Log != o.Ledger.ID() {
		return nil, fmt.Errorf("%w: this is log %016x", ErrNoFlow, o.Ledger.ID())
	}
	var anchors []ChainAnchor
	if o.Chain != nil && o.Log != nil {
		var err error
		if anchors, err = findAnchors(ctx, o); err != nil {
			return nil, err
		}
	}
	signed, checkpoint, err := o.Ledger.Checkpoint()
	if err != nil {
		return nil, err
	}
	if max(checkpoint.Size, o.Flow.Batch+1) > o.Ledger.Size() {
		if err := o.Ledger.Refresh(); err != nil {
			return nil, err
		}
	}
	h, err := o.Ledger.Header(o.Flow.Batch)
	if err != nil {
		return nil, err
	}
	if h.Flags&Events != 0 || uint64(o.Flow.Pos) >= h.Rows {
		return nil, fmt.Errorf("%w: batch %d has %d leaves, flags %v", ErrNoFlow, h.Index, h.Rows, h.Flags)
	}
	if h.Index >= checkpoint.Size {
		return nil, fmt.Errorf("%w: the last one has %d batches; wait for the next", ErrNotSigned, checkpoint.Size)
	}
	b := &Bundle{Name: o.Flow, Header: h, LogKey: o.Ledger.VerifierKey(), Checkpoint: signed}
	if b.LogProof, err = o.Ledger.Inclusion(h.Index, checkpoint.Size); err != nil {
		return nil, err
	}
	if err := b.proveRow(ctx, o); err != nil {
		return nil, err
	}
	if o.Exporters {
		counts, err := o.Ledger.ExporterTable(h.Index)
		if err != nil {
			return nil, err
		}
		if b.Exporters, err = AppendExporterTable(nil, counts); err != nil {
			return nil, err
		}
	}
	return b, b.anchorAt(o, anchors, checkpoint)
}

// proveRow reads the block of the row and proves its place in the batch.
func (b *Bundle) proveRow(ctx context.Context, o ProveOptions) error {
	h, pos := &b.Header, uint64(o.Flow.Pos)
	nodes, err := o.Ledger.Nodes(h.Index)
	if err != nil {
		return err
	}
	key, err := o.Ledger.SaltKey(h.Index)
	if err != nil {
		return err
	}
	block := pos / merkle.Block
	begin, end := block*merkle.Block, min((block+1)*merkle.Block, h.Rows)
	var rows flow.Batch
	if err := readRows(ctx, o.DB, o.Flow.Log, h.Index, begin, end, &rows); err != nil {
		return err
	}
	leaves := make([]merkle.Hash, rows.Len())
	var buf []byte
	for i := range leaves {
		if buf, err = AppendRow(buf[:0], &rows, i); err != nil {
			return fmt.Errorf("%w: row %d: %w", ErrAltered, begin+uint64(i), err)
		}
		leaves[i] = LeafHash(buf, key.Salt(begin+uint64(i)))
	}
	if got := merkle.Root(leaves); got != nodes[block] {
		return fmt.Errorf("%w: rows %d to %d of batch %d have root %x, want %x; run `tidemark verify`", ErrAltered, begin, end-1, h.Index, got, nodes[block])
	}
	// The path inside the block, then that of the block: see merkle.Blocks.
	if b.RowProof, err = merkle.Inclusion(nil, pos-begin, end-begin, merkle.Leaves(leaves)); err != nil {
		return err
	}
	if b.RowProof, err = merkle.Inclusion(b.RowProof, block, uint64(len(nodes)), merkle.Leaves(nodes)); err != nil {
		return err
	}
	b.Row.Append(&rows, int(pos-begin), int(pos-begin)+1)
	b.Salt = key.Salt(pos)
	return nil
}

// anchorAt names the first of anchors that holds the flow.
func (b *Bundle) anchorAt(o ProveOptions, anchors []ChainAnchor, checkpoint Checkpoint) error {
	for _, a := range anchors {
		if a.Size <= b.Header.Index || a.Size > checkpoint.Size {
			continue
		}
		b.Anchor = &BundleAnchor{Log: *o.Log, Size: a.Size, Root: a.Root, Tx: a.Tx, Block: a.Block}
		root, err := o.Ledger.Root(a.Size)
		if err == nil && root != a.Root {
			err = fmt.Errorf("%w: the contract anchored root %x at size %d, this log has %x; run `tidemark verify`", ErrAltered, a.Root, a.Size, root)
		}
		if err == nil && a.Size < checkpoint.Size {
			b.Anchor.Consistency, err = o.Ledger.Consistency(a.Size, checkpoint.Size)
		}
		return err
	}
	return nil
}

// findAnchors finds the newest anchor that is final, then the newest of all. A
// bundle is made for the newest: nodes forget old events before new ones.
func findAnchors(ctx context.Context, o ProveOptions) ([]ChainAnchor, error) {
	if err := checkContract(ctx, o.Chain, *o.Log); err != nil {
		return nil, err
	}
	var anchors []ChainAnchor
	for _, final := range []bool{true, false} {
		head, err := o.Chain.Head(ctx, *o.Log, final)
		if err != nil {
			return nil, unreachable("read the state of the log", err)
		}
		if head.Size == 0 || len(anchors) > 0 && anchors[0].Size == head.Size {
			continue
		}
		a, err := findAnchor(ctx, o, head)
		if err != nil {
			return nil, err
		}
		anchors = append(anchors, a)
	}
	return anchors, nil
}

// findAnchor looks for the event that led to head, backwards.
func findAnchor(ctx context.Context, o ProveOptions, head ChainHead) (ChainAnchor, error) {
	const step = 2000 // blocks; public nodes refuse to search many more at once
	for end := head.Block.Number + 1; end > o.FromBlock; {
		begin := max(end-min(end, step), o.FromBlock)
		events, err := o.Chain.Anchors(ctx, *o.Log, begin, end)
		if err != nil {
			return ChainAnchor{}, unreachable("read anchors", err)
		}
		for _, e := range events {
			if e.Size == head.Size {
				return e, nil
			}
		}
		end = begin
	}
	return ChainAnchor{}, fmt.Errorf("the contract is at size %d, but blocks %d to %d have no event of that", head.Size, o.FromBlock, head.Block.Number)
}

// readRows reads rows [begin, end) of a batch, from the table that has them.
func readRows(ctx context.Context, db *storage.DB, log, index, begin, end uint64, dst *flow.Batch) error {
	err := db.ReadFlowsRange(ctx, storage.Flows, log, index, begin, end, dst)
	if err == nil && dst.Len() == 0 {
		err = db.ReadFlowsRange(ctx, storage.Quarantine, log, index, begin, end, dst)
	}
	var misplaced *storage.PositionError
	if errors.As(err, &misplaced) {
		return fmt.Errorf("%w: %w; run `tidemark verify`", ErrAltered, err)
	} else if err != nil {
		return unreachable("read rows", err)
	}
	if got := uint64(dst.Len()); got != end-begin {
		return fmt.Errorf("%w: batch %d has %d rows between %d and %d, want %d; run `tidemark verify`", ErrAltered, index, got, begin, end-1, end-begin)
	}
	return nil
}
