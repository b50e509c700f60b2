package anchor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/ethereum/go-ethereum/common"

	"tidemark/anchor/chainproof"
	"tidemark/anchor/merkle"
	"tidemark/collector/flow"
)

// GatherOptions say what to gather evidence of.
type GatherOptions struct {
	Sources
	Question Question
	Leaves   []flow.Name // of flows and events
	// Archive is where the publisher keeps the proofs of blocks; nil: there is none.
	Archive *chainproof.Archive
}

// Gather makes evidence of leaves. What is not as it was sealed is refused with
// ErrAltered; what was erased, pruned or is in no signed checkpoint yet is left
// out, and a note of the question says so.
func Gather(ctx context.Context, o GatherOptions) (*Evidence, error) {
	e, err := gather(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("gather evidence: %w", err)
	}
	return e, nil
}

func gather(ctx context.Context, o GatherOptions) (*Evidence, error) {
	var anchors []ChainAnchor
	var err error
	leaves := slices.SortedFunc(slices.Values(o.Leaves), func(a, b flow.Name) int {
		return cmp.Or(cmp.Compare(a.Batch, b.Batch), cmp.Compare(a.Pos, b.Pos))
	})
	leaves = slices.Compact(leaves)
	if len(leaves) == 0 {
		return nil, ErrNoFlow
	}
	if len(leaves) > maxEvidenceLeaves {
		return nil, fmt.Errorf("%d flows and events, want at most %d", len(leaves), maxEvidenceLeaves)
	}
	if o.Chain != nil && o.Log != nil {
		var batches []uint64
		for _, name := range leaves {
			batches = append(batches, name.Batch)
		}
		if anchors, err = findAnchors(ctx, o.Sources, slices.Compact(batches)); err != nil {
			return nil, err
		}
	}
	signed, checkpoint, err := o.Ledger.Checkpoint()
	if err != nil {
		return nil, err
	}
	if err := o.Ledger.Refresh(); err != nil {
		return nil, err
	}
	if signed, checkpoint, err = o.checkpoint(signed, checkpoint, anchors, leaves[len(leaves)-1].Batch); err != nil {
		return nil, err
	}
	o.Question.Text, o.Question.By = plain(o.Question.Text), plain(o.Question.By)
	e := &Evidence{Question: o.Question, LogKey: o.Ledger.VerifierKey(), Checkpoint: signed}
	for len(leaves) > 0 {
		n := 1
		for n < len(leaves) && leaves[n].Batch == leaves[0].Batch {
			n++
		}
		if err := e.gatherBatch(ctx, o, leaves[:n], checkpoint); err != nil {
			return nil, err
		}
		leaves = leaves[n:]
	}
	if len(e.Batches) == 0 {
		return nil, fmt.Errorf("%w: %v", ErrNoFlow, e.Question.Notes)
	}
	if err := e.proveHeaders(o.Ledger, checkpoint); err != nil {
		return nil, err
	}
	return e, e.nameAnchors(o, anchors, checkpoint)
}

// checkpoint replaces a signed checkpoint by the earliest that witnesses cosigned
// and that holds the newest anchor, else the last batch and its first anchor.
func (o *GatherOptions) checkpoint(signed []byte, checkpoint Checkpoint, anchors []ChainAnchor, last uint64) ([]byte, Checkpoint, error) {
	wanted := []uint64{last}
	if first := firstAnchor(anchors, last, checkpoint.Size); first != nil {
		wanted = []uint64{anchors[len(anchors)-1].Size - 1, first.Size - 1}
	}
	for _, batch := range wanted {
		if cosigned, at, err := o.cosigned(batch); cosigned != nil || err != nil {
			return cosigned, at, err
		}
	}
	return signed, checkpoint, nil
}

func (e *Evidence) leaveOut(names []flow.Name, why string) {
	e.Question.Notes = append(e.Question.Notes, fmt.Sprintf("%d of batch %d left out, %v first: %s", len(names), names[0].Batch, names[0], why))
}

// gatherBatch proves leaves of one batch.
func (e *Evidence) gatherBatch(ctx context.Context, o GatherOptions, names []flow.Name, checkpoint Checkpoint) error {
	if names[0].Log != o.Ledger.ID() {
		return fmt.Errorf("flow %v: %w: this is log %016x", names[0], ErrNoFlow, o.Ledger.ID())
	}
	if names[0].Batch >= min(checkpoint.Size, o.Ledger.Size()) {
		e.leaveOut(names, "in no signed checkpoint yet")
		return nil
	}
	h, err := o.Ledger.Header(names[0].Batch)
	if err != nil {
		return err
	}
	nodes, key, err := o.Ledger.inside(&h)
	if err != nil {
		return err
	}
	var gone []flow.Name
	b := EvidenceBatch{Header: h}
	var indices []uint64
	for _, name := range names {
		switch {
		case uint64(name.Pos) >= h.Rows:
			return fmt.Errorf("flow %v: %w: batch %d has %d leaves", name, ErrNoFlow, h.Index, h.Rows)
		case key.erased != nil && key.erased.has(name.Pos):
			gone = append(gone, name)
		default:
			b.Positions, b.Salts, indices = append(b.Positions, name.Pos), append(b.Salts, key.salt(uint64(name.Pos))), append(indices, uint64(name.Pos))
		}
	}
	if len(gone) > 0 {
		e.leaveOut(gone, "erased; `tidemark verify` says by whom and under which rule")
	}
	if len(indices) == 0 {
		return nil
	}
	var tree merkle.Subtree
	if h.Flags&Events != 0 {
		tree, err = b.takeEvents(ctx, o, key)
	} else {
		tree, err = b.takeRows(ctx, o, key, nodes)
	}
	if errors.Is(err, errPruned) {
		e.leaveOut(names, "no row of the batch is left: dropped by retention")
		return nil
	} else if err != nil {
		return err
	}
	if b.Proof, err = merkle.Multi(nil, indices, h.Rows, tree); err != nil {
		return err
	}
	e.Batches = append(e.Batches, b)
	return nil
}

// errPruned: the tables have nothing of a batch.
var errPruned = errors.New("no row is left")

// takeRows reads the blocks that hold the rows.
func (b *EvidenceBatch) takeRows(ctx context.Context, o GatherOptions, key *secrets, nodes []merkle.Hash) (merkle.Subtree, error) {
	h := &b.Header
	blocks := map[uint64][]merkle.Hash{}
	read := func(block uint64, take func(rows *flow.Batch, i int, pos uint32)) (err error) {
		if blocks[block] == nil {
			blocks[block], err = blockLeaves(ctx, o.DB, o.Ledger.ID(), h, key, nodes, block, take)
		}
		return err
	}
	for _, pos := range b.Positions {
		err := read(uint64(pos)/merkle.Block, func(rows *flow.Batch, i int, at uint32) {
			if _, wanted := slices.BinarySearch(b.Positions, at); wanted {
				b.Rows.Append(rows, i, i+1)
			}
		})
		if errors.Is(err, ErrAltered) {
			var left uint64
			if e := o.DB.Conn().QueryRow(ctx, holdsRows, o.Ledger.ID(), h.Index, o.Ledger.ID(), h.Index).Scan(&left); e == nil && left == 0 {
				return nil, errPruned
			}
		}
		if err != nil {
			return nil, err
		}
	}
	return merkle.Stored(nodes, func(begin, end uint64) ([]merkle.Hash, error) {
		block := begin / merkle.Block
		if err := read(block, nil); err != nil {
			return nil, err
		}
		return blocks[block][begin%merkle.Block : begin%merkle.Block+end-begin], nil
	}), nil
}

// takeEvents reads the whole batch: there are few events.
func (b *EvidenceBatch) takeEvents(ctx context.Context, o GatherOptions, key *secrets) (merkle.Subtree, error) {
	h := &b.Header
	bodies, err := readEventBodies(ctx, o.DB, o.Ledger.ID(), h, key.erased)
	if errors.Is(err, errRows) {
		return nil, fmt.Errorf("%w: %w; run `tidemark verify`", ErrAltered, err)
	} else if err != nil {
		return nil, unreachable("read events", err)
	}
	leaves, err := sealedLeaves(ctx, o.DB, o.Ledger.ID(), h, key)
	if err != nil {
		return nil, err
	}
	for _, pos := range b.Positions {
		b.Bodies = append(b.Bodies, bodies[pos])
	}
	return merkle.Leaves(leaves), nil
}

// proveHeaders proves that the headers of all batches are in the signed log.
func (e *Evidence) proveHeaders(ledger *Reader, checkpoint Checkpoint) error {
	tree, err := ledger.tree(checkpoint.Size)
	if err != nil {
		return err
	}
	var indices []uint64
	for i := range e.Batches {
		indices = append(indices, e.Batches[i].Header.Index)
	}
	e.LogProof, err = merkle.Multi(nil, indices, checkpoint.Size, tree)
	return err
}

// nameAnchors names the first anchor of each batch, and the newest of all: a
// verifier who knows the hash of that block only is served as well.
func (e *Evidence) nameAnchors(o GatherOptions, anchors []ChainAnchor, checkpoint Checkpoint) error {
	usable := slices.DeleteFunc(slices.Clone(anchors), func(a ChainAnchor) bool { return a.Size > checkpoint.Size })
	wanted := map[uint64]ChainAnchor{}
	for i := range e.Batches {
		at := slices.IndexFunc(usable, func(a ChainAnchor) bool { return a.Size > e.Batches[i].Header.Index })
		if at < 0 {
			continue
		}
		wanted[usable[at].Size] = usable[at]
		newest := usable[len(usable)-1]
		wanted[newest.Size] = newest
	}
	for _, a := range wanted {
		named, err := o.Ledger.anchorOf(*o.Log, a)
		if err == nil && a.Size < checkpoint.Size {
			named.Consistency, err = o.Ledger.Consistency(a.Size, checkpoint.Size)
		}
		if err != nil {
			return err
		}
		b := EvidenceAnchor{BundleAnchor: *named}
		if err := b.fromArchive(o.Archive); err != nil {
			e.Question.Notes = append(e.Question.Notes, plain(err.Error()))
		}
		e.Anchors = append(e.Anchors, b)
	}
	slices.SortFunc(e.Anchors, func(a, b EvidenceAnchor) int { return cmp.Compare(a.Size, b.Size) })
	if len(e.Anchors) > maxEvidenceAnchors {
		e.Anchors = e.Anchors[len(e.Anchors)-maxEvidenceAnchors:]
	}
	return nil
}

// fromArchive adds the proof of the anchor that the publisher has archived.
func (a *EvidenceAnchor) fromArchive(archive *chainproof.Archive) error {
	if archive == nil {
		return nil
	}
	block := common.Hash(a.Block.Hash)
	e, _, err := archive.Read(a.Log.Contract, a.Log.ID, a.Size, &block)
	if errors.Is(err, chainproof.ErrNone) {
		return nil
	} else if err != nil {
		return fmt.Errorf("left out the archived proof of an anchor, which needs a node now: %w", err)
	}
	a.Chain = e
	return nil
}
