package anchor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/ethereum/go-ethereum/common"

	"tidemark/anchor/chainproof"
	"tidemark/anchor/merkle"
)

// EvidenceReport is what VerifyEvidence found.
type EvidenceReport struct {
	Question    string        `json:"question"` // as the file says
	proofReport               // State is that of the batch that is protected least
	Flows       int           `json:"flows"`
	Events      int           `json:"events"`
	Batches     []BatchReport `json:"batches"`
	Notes       []string      `json:"notes,omitempty"`
}

// BatchReport says of when the leaves of a batch are.
type BatchReport struct {
	Batch  uint64 `json:"batch"`
	Leaves int    `json:"leaves"`
	Sealed string `json:"sealed"` // by the collector's clock
	State  State  `json:"state"`
	// Before is the block of the earliest anchor that was proven, After the one
	// that the header names, if the chain was asked and has it.
	After  *BlockTime `json:"recorded_after,omitempty"`
	Before *BlockTime `json:"recorded_before,omitempty"`
}

func (r *EvidenceReport) note(format string, args ...any) {
	r.Notes = append(r.Notes, fmt.Sprintf(format, args...))
}

// VerifyEvidence checks evidence with nothing of ours at hand. An error means
// that ctx ended: everything else is in the report.
func VerifyEvidence(ctx context.Context, e *Evidence, t Given) (*EvidenceReport, error) {
	r := &EvidenceReport{Question: e.Question.Text, Flows: e.Flows(), Events: e.Events(), proofReport: newProofReport(t)}
	for i := range e.Batches {
		b := &e.Batches[i]
		r.checkLeaves(b)
		r.Batches = append(r.Batches, BatchReport{Batch: b.Header.Index, Leaves: len(b.Positions), Sealed: spellTime(b.Header.Sealed), State: Unanchored})
	}
	checkpoint := r.checkLog(e, t)
	if len(r.Faults) > 0 {
		return r, nil // what the chain says of something else does not matter
	}
	r.checkAnchors(ctx, e, checkpoint, t)
	r.checkClaims(ctx, e, t.Chain)
	if len(r.Faults) > 0 {
		r.State = Unanchored
	}
	return r, ctx.Err()
}

// checkLeaves checks that the leaves of a batch are the ones that were sealed.
func (r *EvidenceReport) checkLeaves(b *EvidenceBatch) {
	h := &b.Header
	leaves, indices := make([]merkle.Hash, len(b.Positions)), make([]uint64, len(b.Positions))
	var buf []byte
	for i, pos := range b.Positions {
		var at int64
		var err error
		if indices[i] = uint64(pos); b.Bodies != nil {
			var event Event
			event, err = ParseEvent(b.Bodies[i])
			at, buf = event.Time.UnixNano(), AppendEvent(buf[:0], b.Bodies[i])
		} else {
			at = b.Rows.TimeReceived[i]
			buf, err = AppendRow(buf[:0], &b.Rows, i)
		}
		if err != nil {
			r.fault(RowAltered, &h.Index, "leaf %d: %v", pos, err)
			return
		}
		if at < h.MinReceived || at > h.MaxReceived {
			r.fault(RowAltered, &h.Index, "leaf %d is of %s, but the batch from %s to %s", pos, spellTime(at), spellTime(h.MinReceived), spellTime(h.MaxReceived))
		}
		leaves[i] = LeafHash(buf, b.Salts[i])
	}
	root, err := merkle.MultiRoot(indices, leaves, h.Rows, b.Proof)
	if err != nil {
		r.fault(RowAltered, &h.Index, "%v", err)
	} else if root != h.RowRoot {
		r.fault(RowAltered, &h.Index, "its leaves are not the ones that were sealed: they have root %x, want %x", root, h.RowRoot)
	}
}

// checkLog checks that the batches are in the log that the key signed.
func (r *EvidenceReport) checkLog(e *Evidence, t Given) Checkpoint {
	checkpoint, ok := r.open(e.LogKey, e.Checkpoint, t)
	if !ok {
		return checkpoint
	}
	var indices []uint64
	var leaves []merkle.Hash
	for i := range e.Batches {
		h := &e.Batches[i].Header
		r.checkHeader(h)
		indices, leaves = append(indices, h.Index), append(leaves, h.Leaf())
	}
	root, err := merkle.MultiRoot(indices, leaves, checkpoint.Size, e.LogProof)
	if err != nil {
		r.fault(HeaderAltered, nil, "%v", err)
	} else if root != checkpoint.Root {
		r.fault(HeaderAltered, nil, "the headers are not in the signed log: with them its root is %x, want %x", root, checkpoint.Root)
	}
	return checkpoint
}

// checkAnchors proves what it can of the anchors, and gives each batch the
// earliest that holds it.
func (r *EvidenceReport) checkAnchors(ctx context.Context, e *Evidence, checkpoint Checkpoint, t Given) {
	if len(e.Anchors) == 0 {
		r.note("the evidence names no anchor: gather it again once its batches are anchored")
	}
	if t.Trust != nil && t.Trust.Chain == nil {
		r.note("the trust file names no contract: anchors were not checked")
		return
	}
	asked := t.Chain != nil || len(t.Blocks) > 0
	for i := range e.Anchors {
		a := &e.Anchors[i]
		r.Development = r.Development || DevelopmentChain(a.Log.ChainID) || t.Chain != nil && t.Chain.Development()
		if !r.sameLog(a.Log, t.Trust) {
			return
		}
		if err := a.checkCheckpoint(nil, checkpoint); err != nil {
			r.fault(CheckpointBad, nil, "anchor of size %d: %v", a.Size, err)
			return
		}
		state, err := a.prove(ctx, t)
		switch {
		case errors.Is(err, ErrUnreachable):
			r.unreachable = true
			r.note("%v", err)
		case err != nil:
			r.fault(ChainDisagrees, nil, "anchor of size %d: %v", a.Size, err)
		case state != Unanchored:
			r.cover(e, a, state)
		}
	}
	r.State = Finalized
	for _, b := range r.Batches {
		if b.State != Finalized && r.State != Unanchored {
			r.State = b.State
		}
	}
	switch {
	case len(e.Anchors) == 0 || r.State == Finalized:
	case !asked:
		r.note("no chain was asked: give the hash of a block named here (--block-hash), from a source you trust, or the RPC URL of a node")
	case t.Chain == nil:
		r.note("some batches are in no anchor whose block hash was given")
	}
}

// cover gives the batches that a holds, and no earlier anchor, their state.
func (r *EvidenceReport) cover(e *Evidence, a *EvidenceAnchor, state State) {
	for i := range r.Batches {
		b, h := &r.Batches[i], &e.Batches[i].Header
		if b.Batch >= a.Size || b.State == Finalized || b.State == state {
			continue
		}
		better := state == Finalized && b.State == Included // the block before may yet be replaced
		b.State = state
		if b.Before == nil || better {
			b.Before = a.Block.spell()
			if early := timeBetween(a.Block.Time*int64(time.Second), h.Sealed); early > ClockTolerance {
				r.fault(TimeFault, &h.Index, "claims to be sealed %v after the block that anchored it", early)
			}
		}
	}
}

// prove proves the anchor by the blocks that the verifier trusts, else by a node.
// Unanchored: neither can.
func (a *EvidenceAnchor) prove(ctx context.Context, t Given) (State, error) {
	if a.Chain != nil {
		facts, err := chainproof.Verify(a.Chain, nil)
		if err != nil {
			return Unanchored, err
		}
		same := a.Chain.ChainID == a.Log.ChainID && a.Chain.Contract == common.Address(a.Log.Contract) && a.Chain.ID == common.Hash(a.Log.ID) && a.Chain.Tx == common.Hash(a.Tx)
		if !same || facts.Size != a.Size || facts.Root != common.Hash(a.Root) || facts.BlockNumber != a.Block.Number ||
			facts.BlockHash != common.Hash(a.Block.Hash) || facts.BlockTime != a.Block.Time {
			return Unanchored, errors.New("its chain evidence is of another anchor")
		}
		for _, trusted := range t.Blocks {
			if trusted == a.Block.Hash {
				return Finalized, nil
			}
		}
	}
	if t.Chain == nil {
		return Unanchored, nil
	}
	return a.ask(ctx, t.Chain)
}

// checkClaims checks the Ethereum blocks that headers name, if a node is asked.
func (r *EvidenceReport) checkClaims(ctx context.Context, e *Evidence, chain ChainReader) {
	known := map[uint64]*BlockTime{}
	for i := range e.Batches {
		h := &e.Batches[i].Header
		if chain == nil || h.EthBlockHash == [32]byte{} || r.unreachable {
			continue
		}
		if known[h.EthBlockNumber] == nil {
			if len(known) >= maxBlocks {
				continue
			}
			fault, err := checkEthBlock(ctx, chain, h)
			if fault != "" {
				r.fault(TimeFault, &h.Index, "%s", fault)
				continue
			}
			var block ChainBlock
			if err == nil {
				block, err = chain.Block(ctx, h.EthBlockNumber)
			}
			if err != nil {
				r.unreachable = true
				r.note("%v", err)
				continue
			}
			known[h.EthBlockNumber] = block.spell()
		}
		r.Batches[i].After = known[h.EthBlockNumber]
	}
}

// Verdict is ExitCode in a sentence.
func (r *EvidenceReport) Verdict() string {
	switch r.ExitCode() {
	case ExitOK:
		return "VERIFIED: all of it is as it was sealed, and the chain says so"
	case ExitFailed:
		return "FAILED: this evidence proves nothing"
	case ExitUnreachable:
		return "NOT DECIDED: the chain did not answer"
	case ExitOriginNotChecked:
		return "internally consistent, origin NOT checked: give a trust file"
	}
	return "INCOMPLETE: all of it is in the signed log; that a final block protects it is not proven for every batch"
}

// WriteText writes r for a person to read.
func (r *EvidenceReport) WriteText(w io.Writer) error {
	t := &textWriter{w: w}
	t.line("question  %s", r.Question)
	t.line("log       %s (%s)", r.Log, r.Origin)
	t.line("holds     %s and %s of %s", plural(uint64(r.Flows), "flow"), plural(uint64(r.Events), "event"), plural(uint64(len(r.Batches)), "batch"))
	r.writeWitnesses(t)
	for i, b := range r.Batches {
		if i == maxRanges {
			t.line("          ... and %s", plural(uint64(len(r.Batches)-i), "more batch"))
			break
		}
		t.line("          batch %d: %d, sealed %s by the collector's clock, %s%s", b.Batch, b.Leaves, b.Sealed, b.State, b.sides())
	}
	for _, f := range r.Faults {
		t.line("%s  %s: %s: %s", f.Class, f.Kind, f.place(), f.Detail)
	}
	for _, n := range r.Notes {
		t.line("note      %s", n)
	}
	if r.Development {
		t.line("%s", DevelopmentWarning)
	}
	t.line("%s", r.Verdict())
	return t.err
}

func (b *BatchReport) sides() (s string) {
	if b.After != nil {
		s += fmt.Sprintf("; recorded after block %s (%s)", grouped(b.After.Block), b.After.Time)
	}
	if b.Before != nil {
		s += fmt.Sprintf("; recorded before block %s (%s)", grouped(b.Before.Block), b.Before.Time)
	}
	return s
}
