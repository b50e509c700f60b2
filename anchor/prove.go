package anchor

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"tidemark/anchor/merkle"
	"tidemark/collector/flow"
	"tidemark/storage"
)

// Reasons why a flow cannot be proved.
var (
	// ErrNoFlow: the name is of another log, or names no row.
	ErrNoFlow = errors.New("no such flow")
	// ErrErased: the row was erased; the log says by whom and why.
	ErrErased = errors.New("the flow was erased; `tidemark verify` says by whom and under which rule")
	// ErrNotSigned: the batch is younger than the last signed checkpoint.
	ErrNotSigned = errors.New("not in a signed checkpoint yet")
	// ErrAltered: the stored rows are not the ones that were sealed.
	ErrAltered = errors.New("rows are not the ones that were sealed")
)

// Sources are where proofs are made from. Ledger and DB are required.
type Sources struct {
	Ledger *Reader
	DB     *storage.DB

	// Chain and Log say where the log is anchored; nil: the proof names no anchor.
	// FromBlock is a block not after the first anchor.
	Chain     ChainReader
	Log       *ChainLog
	FromBlock uint64
	// Remembered are anchors that the publisher remembers, sizes ascending: where
	// to look first. Each is asked of the chain before it is used.
	Remembered []ChainAnchor

	// Cosigned returns the earliest checkpoint that witnesses cosigned and that
	// holds a batch, nil if there is none; nil: there are no witnesses.
	Cosigned func(batch uint64) ([]byte, error)
}

// ProveOptions say which flow to prove.
type ProveOptions struct {
	Sources
	Flow      flow.Name
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
		if anchors, err = findAnchors(ctx, o.Sources, []uint64{o.Flow.Batch}); err != nil {
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
	first := firstAnchor(anchors, h.Index, checkpoint.Size)
	least := h.Index
	if first != nil {
		least = first.Size - 1
	}
	if cosigned, at, err := o.cosigned(least); err != nil {
		return nil, err
	} else if cosigned != nil {
		signed, checkpoint = cosigned, at
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
	if first == nil {
		return b, nil
	}
	b.Anchor, err = o.Ledger.anchorOf(*o.Log, *first)
	if err == nil {
		b.Anchor.Inclusion, err = o.Ledger.Inclusion(h.Index, first.Size)
	}
	return b, err
}

// firstAnchor is the first of anchors that holds a batch and is no larger than
// what was signed, nil if there is none.
func firstAnchor(anchors []ChainAnchor, batch, signed uint64) *ChainAnchor {
	i := slices.IndexFunc(anchors, func(a ChainAnchor) bool { return a.Size > batch && a.Size <= signed })
	if i < 0 {
		return nil
	}
	return &anchors[i]
}

// anchorOf is an anchor of this log, which must be what was anchored.
func (r *Reader) anchorOf(log ChainLog, a ChainAnchor) (*BundleAnchor, error) {
	root, err := r.Root(a.Size)
	if err == nil && root != a.Root {
		err = fmt.Errorf("%w: the contract anchored root %x at size %d, this log has %x; run `tidemark verify`", ErrAltered, a.Root, a.Size, root)
	}
	return &BundleAnchor{Log: log, Size: a.Size, Root: a.Root, Tx: a.Tx, Block: a.Block}, err
}

// cosigned is the earliest checkpoint of the log that holds a batch and that
// witnesses cosigned, nil if there is none.
func (o *Sources) cosigned(batch uint64) ([]byte, Checkpoint, error) {
	if o.Cosigned == nil {
		return nil, Checkpoint{}, nil
	}
	signed, err := o.Cosigned(batch)
	if err != nil || signed == nil {
		return nil, Checkpoint{}, err
	}
	c, err := OpenCheckpoint(signed, o.Ledger.Verifier())
	if err != nil || c.Size > o.Ledger.Size() {
		return nil, Checkpoint{}, nil // the file of cosignatures is no evidence: without a sound one there is none
	}
	root, err := o.Ledger.Root(c.Size)
	if err == nil && root != c.Root {
		err = fmt.Errorf("%w: witnesses cosigned root %x at size %d, this log has %x; run `tidemark verify`", ErrAltered, c.Root, c.Size, root)
	}
	return signed, c, err
}

// proveRow reads the block of the row and proves its place in the batch.
func (b *Bundle) proveRow(ctx context.Context, o ProveOptions) error {
	h, pos := &b.Header, uint64(o.Flow.Pos)
	nodes, key, err := o.Ledger.inside(h)
	if err != nil {
		return err
	}
	if key.erased != nil && key.erased.has(o.Flow.Pos) {
		return ErrErased
	}
	block := pos / merkle.Block
	leaves, err := blockLeaves(ctx, o.DB, o.Flow.Log, h, key, nodes, block, func(rows *flow.Batch, i int, at uint32) {
		if at == o.Flow.Pos {
			b.Row.Append(rows, i, i+1)
		}
	})
	if err != nil {
		return err
	}
	// The path inside the block, then that of the block: see merkle.Blocks.
	if b.RowProof, err = merkle.Inclusion(nil, pos%merkle.Block, uint64(len(leaves)), merkle.Leaves(leaves)); err != nil {
		return err
	}
	if b.RowProof, err = merkle.Inclusion(b.RowProof, block, uint64(len(nodes)), merkle.Leaves(nodes)); err != nil {
		return err
	}
	b.Salt = key.salt(pos)
	return nil
}

// inside returns what proofs inside the batch of h are made with.
func (r *Reader) inside(h *Header) ([]merkle.Hash, *secrets, error) {
	_, at, err := r.find(h.Index)
	if err != nil {
		return nil, nil, err
	}
	nodes, err := r.readNodes(h, at)
	if err != nil {
		return nil, nil, err
	}
	key, err := r.secretsOf(h, at.key)
	return nodes, key, err
}

// blockLeaves reads a block of rows and hashes it; ErrAltered if it is not the
// one that was sealed. take is given each row that was not erased.
func blockLeaves(ctx context.Context, db *storage.DB, log uint64, h *Header, key *secrets, nodes []merkle.Hash, block uint64, take func(b *flow.Batch, i int, pos uint32)) ([]merkle.Hash, error) {
	begin, end := block*merkle.Block, min((block+1)*merkle.Block, h.Rows)
	leaves := make([]merkle.Hash, end-begin)
	if err := hashFlows(ctx, db, log, h, key, begin, leaves, take); err != nil {
		return nil, err
	}
	key.fill(leaves, begin)
	if got := merkle.Root(leaves); got != nodes[block] {
		return nil, fmt.Errorf("%w: rows %d to %d of batch %d have root %x, want %x; run `tidemark verify`", ErrAltered, begin, end-1, h.Index, got, nodes[block])
	}
	return leaves, nil
}

// findAnchors finds the anchors of batches, ascending, oldest first. The first
// that holds a batch proves the most of its age. If the node has forgotten old
// blocks, the newest anchor that is final, then the newest of all.
func findAnchors(ctx context.Context, o Sources, batches []uint64) ([]ChainAnchor, error) {
	if err := checkContract(ctx, o.Chain, *o.Log); err != nil {
		return nil, err
	}
	if known := rememberedAnchors(ctx, o, batches); known != nil {
		return known, nil
	}
	all, err := o.Chain.Anchors(ctx, *o.Log, o.FromBlock, 0)
	if err == nil && len(all) > 0 && all[0].PrevSize <= batches[0] {
		return all, nil
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

// rememberedAnchors asks the chain for the first anchor of each batch, and the
// newest, in the blocks where the publisher remembers them: searching all blocks
// takes a public node long. nil: it does not remember them, or not rightly.
func rememberedAnchors(ctx context.Context, o Sources, batches []uint64) (found []ChainAnchor) {
	var wanted []ChainAnchor
	for _, batch := range batches {
		i := slices.IndexFunc(o.Remembered, func(a ChainAnchor) bool { return a.Size > batch })
		if i < 0 {
			return nil
		}
		wanted = append(wanted, o.Remembered[i])
	}
	wanted = slices.CompactFunc(append(wanted, o.Remembered[len(o.Remembered)-1]), func(a, b ChainAnchor) bool { return a.Size == b.Size })
	for _, a := range wanted {
		events, err := o.Chain.Anchors(ctx, *o.Log, a.Block.Number, a.Block.Number+1)
		i := slices.IndexFunc(events, func(e ChainAnchor) bool { return e.Size == a.Size })
		if err != nil || i < 0 {
			return nil
		}
		found = append(found, events[i])
	}
	for _, batch := range batches { // the contract says which anchor took it in first
		if !slices.ContainsFunc(found, func(a ChainAnchor) bool { return a.PrevSize <= batch && batch < a.Size }) {
			return nil
		}
	}
	return found
}

// findAnchor looks for the event that led to head, backwards.
func findAnchor(ctx context.Context, o Sources, head ChainHead) (ChainAnchor, error) {
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
