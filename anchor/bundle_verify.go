package anchor

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"tidemark/anchor/merkle"
)

// BundleReport is what VerifyBundle found.
type BundleReport struct {
	Flow string `json:"flow"`
	proofReport
	Sealed string `json:"sealed"`
	// Anchored is the time of the block that anchored the flow, and AnchoredAfter
	// how many seconds that is after the time the seal claims.
	Anchored      string  `json:"anchored,omitempty"`
	AnchoredAfter float64 `json:"anchored_after_seconds,omitempty"`
	ChainID       uint64  `json:"chain_id,omitempty"`
	Block         uint64  `json:"block,omitempty"`
	Transaction   string  `json:"transaction,omitempty"`
	Note          string  `json:"note,omitempty"` // what was not checked, and why
	notAsked      bool    // the chain
}

// VerifyBundle checks a bundle with nothing of ours at hand: the file, what the
// verifier trusts, and a chain. Without trust the origin is not checked; without
// chain the state is Unanchored. An error means that ctx ended: everything else
// is in the report.
func VerifyBundle(ctx context.Context, b *Bundle, t Given) (*BundleReport, error) {
	r := &BundleReport{Flow: b.Name.String(), Sealed: spellTime(b.Header.Sealed), proofReport: newProofReport(t)}
	r.checkRow(b)
	checkpoint := r.checkLog(b, t)
	if len(r.Faults) > 0 {
		return r, nil // what the chain says of something else does not matter
	}
	r.checkAnchor(ctx, b, checkpoint, t)
	return r, ctx.Err()
}

// checkRow checks the inner half: the row is in the batch of the header.
func (r *BundleReport) checkRow(b *Bundle) {
	h := &b.Header
	if b.Name.Batch != h.Index || b.Name.Log != binary.BigEndian.Uint64(h.LogID[:]) {
		r.fault(HeaderAltered, nil, "flow %v is not of batch %d of log %x", b.Name, h.Index, h.LogID)
	}
	if h.Flags&Events != 0 {
		r.fault(HeaderAltered, nil, "batch %d holds events, not flows", h.Index)
	}
	encoded, err := AppendRow(nil, &b.Row, 0)
	if err != nil {
		r.fault(RowAltered, nil, "%v", err)
		return
	}
	if err := merkle.VerifyInclusion(uint64(b.Name.Pos), h.Rows, LeafHash(encoded, b.Salt), b.RowProof, h.RowRoot); err != nil {
		r.fault(RowAltered, nil, "the row is not the one that was sealed: %v", err)
	}
	if t := b.Row.TimeReceived[0]; t < h.MinReceived || t > h.MaxReceived {
		r.fault(RowAltered, nil, "received at %s, but the batch from %s to %s", spellTime(t), spellTime(h.MinReceived), spellTime(h.MaxReceived))
	}
	if b.Exporters != nil && ExporterTableHash(b.Exporters) != h.ExporterTable {
		r.fault(TableAltered, nil, "hash of the exporter table is %x, want %x", ExporterTableHash(b.Exporters), h.ExporterTable)
	}
}

// checkLog checks the outer half: the header is in the log of the checkpoint,
// which the log's key signed.
func (r *BundleReport) checkLog(b *Bundle, t Given) Checkpoint {
	checkpoint, ok := r.open(b.LogKey, b.Checkpoint, t)
	if !ok {
		return checkpoint
	}
	r.checkHeader(&b.Header)
	if err := merkle.VerifyInclusion(b.Header.Index, checkpoint.Size, b.Header.Leaf(), b.LogProof, checkpoint.Root); err != nil {
		r.fault(HeaderAltered, nil, "the batch is not in the signed log: %v", err)
	}
	return checkpoint
}

// checkAnchor compares the checkpoint with the chain. The contract keeps only
// the newest checkpoint, so an older one is proved by its Anchored event.
func (r *BundleReport) checkAnchor(ctx context.Context, b *Bundle, checkpoint Checkpoint, t Given) {
	if b.Anchor == nil {
		r.Note = "the bundle names no anchor: make it again once its batch is anchored"
		return
	}
	a := b.Anchor
	r.ChainID, r.Block, r.Transaction = a.Log.ChainID, a.Block.Number, hex0x(a.Tx[:])
	r.Development = DevelopmentChain(a.Log.ChainID) || t.Chain != nil && t.Chain.Development()
	if err := a.checkCheckpoint(&b.Header, checkpoint); err != nil {
		r.fault(CheckpointBad, nil, "%v", err)
		return
	}
	switch {
	case t.Trust != nil && t.Trust.Chain == nil:
		r.Note = "the trust file names no contract: the anchor was not checked"
		return
	case !r.sameLog(a.Log, t.Trust):
		return
	case t.Chain == nil:
		r.Note, r.notAsked = "the chain was not asked: give the RPC URL of a node you trust", true
		return
	}
	if err := r.askChain(ctx, &b.Header, a, t.Chain); errors.Is(err, ErrUnreachable) {
		r.unreachable, r.State, r.Note = true, Unanchored, err.Error()
		return
	} else if err != nil {
		r.fault(ChainDisagrees, nil, "%v", err)
		return
	}
	after := time.Duration(a.Block.Time*int64(time.Second) - b.Header.Sealed)
	r.Anchored, r.AnchoredAfter = spellTime(a.Block.Time*int64(time.Second)), after.Seconds()
	if after < -ClockTolerance {
		r.fault(TimeFault, nil, "claims to be sealed %v after the block that anchored it", -after)
	}
}

// checkCheckpoint checks that what was anchored holds the batch of h and belongs
// to what the log key signed. h nil: no batch in particular.
func (a *BundleAnchor) checkCheckpoint(h *Header, signed Checkpoint) error {
	switch {
	case a.Size > signed.Size:
		return fmt.Errorf("%d batches were anchored, but only %d signed", a.Size, signed.Size)
	case h != nil && h.Index >= a.Size:
		return fmt.Errorf("batch %d is not among the %d that were anchored", h.Index, a.Size)
	case a.Inclusion != nil:
		return merkle.VerifyInclusion(h.Index, a.Size, h.Leaf(), a.Inclusion, a.Root)
	case a.Size != signed.Size:
		return merkle.VerifyConsistency(a.Size, signed.Size, a.Consistency, a.Root, signed.Root)
	case a.Root != signed.Root || len(a.Consistency) != 0:
		return fmt.Errorf("root %x was anchored at size %d, but %x signed", a.Root, a.Size, signed.Root)
	}
	return nil
}

func (r *BundleReport) askChain(ctx context.Context, h *Header, a *BundleAnchor, chain ChainReader) error {
	state, err := a.ask(ctx, chain)
	if err != nil {
		return err
	}
	if r.State = state; state == Included {
		r.Note = "the anchoring block is not final yet and may still be replaced"
	}
	fault, err := checkEthBlock(ctx, chain, h)
	if fault != "" {
		r.fault(TimeFault, nil, "%s", fault)
	}
	return err
}

// ask looks for the anchor on the chain. Its error is ErrUnreachable or a fault.
func (a *BundleAnchor) ask(ctx context.Context, chain ChainReader) (State, error) {
	if err := checkContract(ctx, chain, a.Log); err != nil {
		return Unanchored, err
	}
	anchors, err := chain.Anchors(ctx, a.Log, a.Block.Number, a.Block.Number+1)
	if err != nil {
		return Unanchored, fmt.Errorf("read anchors in block %d: %w: %w", a.Block.Number, ErrUnreachable, err)
	}
	i := slices.IndexFunc(anchors, func(e ChainAnchor) bool { return e.Size == a.Size })
	if i < 0 {
		return Unanchored, fmt.Errorf("block %d anchored no checkpoint of size %d", a.Block.Number, a.Size)
	}
	got := anchors[i]
	if got.Root != a.Root {
		return Unanchored, fmt.Errorf("the contract anchored root %x at size %d, the bundle says %x", got.Root, a.Size, a.Root)
	}
	if got.Tx != a.Tx || got.Block != a.Block {
		return Unanchored, fmt.Errorf("anchored by transaction %x in block %d (%x, time %d), the bundle says %x in %d (%x, time %d); if it was made before that block was final, make it again",
			got.Tx, got.Block.Number, got.Block.Hash, got.Block.Time, a.Tx, a.Block.Number, a.Block.Hash, a.Block.Time)
	}
	final, err := chain.Head(ctx, a.Log, true)
	if err != nil {
		return Unanchored, fmt.Errorf("read the finalized state: %w: %w", ErrUnreachable, err)
	}
	if final.Size >= a.Size && final.Block.Number >= a.Block.Number {
		return Finalized, nil
	}
	return Included, nil
}

// WriteText writes r for a person to read.
func (r *BundleReport) WriteText(w io.Writer) error {
	t := &textWriter{w: w}
	t.line("flow      %s", r.Flow)
	t.line("log       %s (%s)", r.Log, r.Origin)
	t.line("sealed    %s, by the collector's clock", r.Sealed)
	r.writeWitnesses(t)
	if r.Anchored != "" {
		t.line("anchored  %s, %v after, in block %d of chain %d", r.Anchored, time.Duration(r.AnchoredAfter*float64(time.Second)).Round(time.Second), r.Block, r.ChainID)
		t.line("          transaction %s", r.Transaction)
	}
	for _, f := range r.Faults {
		t.line("%s  %s: %s", f.Class, f.Kind, f.Detail)
	}
	if r.Note != "" {
		t.line("note      %s", r.Note)
	}
	if r.Development {
		t.line("%s", DevelopmentWarning)
	}
	incomplete := "INCOMPLETE: the flow is in the signed log, but no final block protects it"
	if r.notAsked {
		incomplete = "INCOMPLETE: the flow is in the signed log; whether a final block protects it was not asked"
	}
	t.line("%s", map[int]string{
		ExitOK:               "VERIFIED: this flow is as it was sealed, and the chain says so",
		ExitFailed:           "FAILED: this bundle proves nothing",
		ExitUnreachable:      "NOT DECIDED: the chain did not answer",
		ExitOriginNotChecked: "internally consistent, origin NOT checked: give a trust file",
		ExitUnanchored:       incomplete,
	}[r.ExitCode()])
	return t.err
}
