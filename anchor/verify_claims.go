package anchor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"tidemark/anchor/merkle"
)

// claims is what others than the ledger's files say of the log: the signed
// checkpoint and the chain.
type claims struct {
	checkpoint    *Checkpoint
	chain         bool // the chain answered
	latest, final ChainHead
	anchors       []ChainAnchor // sizes ascending

	roots  map[uint64]merkle.Hash // by the header files, of the sizes above
	agreed uint64                 // the first so many headers are those that were anchored
	blocks []ethClaim             // what headers say of Ethereum blocks
}

// ethClaim is the first header to name a block.
type ethClaim struct {
	batch  uint64
	header Header
}

// askChain reads what the contract says. What goes wrong is a fault or a note:
// the rows are verified in any case.
func (v *verification) askChain(ctx context.Context) {
	r := v.report
	log, from := v.Claimed, v.FromBlock
	if v.Trust != nil {
		log, from = v.Trust.Chain, v.Trust.FromBlock
	}
	switch {
	case v.Chain == nil:
		r.Notes = append(r.Notes, "no chain was asked: nothing outside this machine vouches for the log")
		return
	case log == nil && v.Trust != nil:
		r.Notes = append(r.Notes, "the trust file names no contract: anchors were not checked")
		return
	case log == nil:
		r.Notes = append(r.Notes, "no contract is known: anchors were not checked")
		return
	}
	r.Development = v.Chain.Development() || DevelopmentChain(log.ChainID)
	err := checkContract(ctx, v.Chain, *log)
	if err == nil {
		err = v.claimed.read(ctx, v.Chain, *log, from)
	}
	if errors.Is(err, ErrUnreachable) {
		r.unreachable = true
		r.Notes = append(r.Notes, fmt.Sprintf("the chain did not answer: %v", err))
		return
	} else if err != nil {
		r.add(Fault{Kind: ChainDisagrees, Detail: err.Error()})
		return
	}
	c := &v.claimed
	r.Chain = &ChainReport{ChainID: log.ChainID, Contract: hex0x(log.Contract[:]), ID: hex0x(log.ID[:]), LatestSize: c.latest.Size,
		LatestBlock: c.latest.Block.Number, FinalizedSize: c.final.Size, FinalBlock: c.final.Block.Number, Anchors: len(c.anchors)}
}

// read asks for the finalized state first: the chain only grows meanwhile.
func (c *claims) read(ctx context.Context, chain ChainReader, log ChainLog, from uint64) error {
	var err error
	if c.final, err = chain.Head(ctx, log, true); err != nil {
		return fmt.Errorf("read the finalized state of the log: %w: %w", ErrUnreachable, err)
	}
	if c.latest, err = chain.Head(ctx, log, false); err != nil {
		return fmt.Errorf("read the latest state of the log: %w: %w", ErrUnreachable, err)
	}
	if !c.latest.Open {
		return fmt.Errorf("contract %x on chain %d has no log %x", log.Contract, log.ChainID, log.ID)
	}
	if c.latest.Size > 0 {
		if c.anchors, err = chain.Anchors(ctx, log, from, 0); err != nil {
			return fmt.Errorf("read the anchors of the log: %w: %w", ErrUnreachable, err)
		}
	}
	for i := 1; i < len(c.anchors); i++ {
		if c.anchors[i].Size <= c.anchors[i-1].Size {
			return fmt.Errorf("anchors do not grow: size %d after %d", c.anchors[i].Size, c.anchors[i-1].Size)
		}
	}
	c.chain = true
	return nil
}

// readCheckpoint reads the checkpoint the log key signed last.
func (v *verification) readCheckpoint() {
	_, c, err := v.ledger.Checkpoint()
	switch {
	case errors.Is(err, fs.ErrNotExist):
		v.report.Notes = append(v.report.Notes, "no checkpoint was signed yet")
	case err != nil:
		v.report.add(Fault{Kind: CheckpointBad, Detail: err.Error()})
	default:
		v.claimed.checkpoint, v.report.Checkpoint = &c, c.Size
	}
}

// sizes prepares roots for the sizes whose root hash somebody claims.
func (c *claims) sizes(log uint64) {
	c.roots = map[uint64]merkle.Hash{0: merkle.Empty(), log: {}, c.latest.Size: {}, c.final.Size: {}}
	if c.checkpoint != nil {
		c.roots[c.checkpoint.Size] = merkle.Hash{}
	}
	for i := range c.anchors {
		c.roots[c.anchors[i].Size] = merkle.Hash{}
	}
	c.roots[0] = merkle.Empty()
}

// compareRoots holds the header files against checkpoint and chain.
func (v *verification) compareRoots() {
	c, r := &v.claimed, v.report
	r.Root = fmt.Sprintf("%x", c.roots[v.size])
	if p := c.checkpoint; p != nil {
		if p.Size > v.size {
			r.add(Fault{Kind: LogRewritten, Detail: fmt.Sprintf("the log has %d headers, its signed checkpoint %d: headers were removed", v.size, p.Size)})
		} else if got := c.roots[p.Size]; got != p.Root {
			r.add(Fault{Kind: LogRewritten, Detail: fmt.Sprintf("the root of the first %d headers is %x, the signed checkpoint has %x", p.Size, got, p.Root)})
		}
	}
	if !c.chain {
		return
	}
	// The contract let every anchor continue the one before, so the log agrees
	// up to some anchor and with none behind it.
	heads := append(append([]ChainAnchor(nil), c.anchors...), ChainAnchor{Size: c.final.Size, Root: c.final.Root}, ChainAnchor{Size: c.latest.Size, Root: c.latest.Root})
	for _, a := range heads {
		switch got := c.roots[a.Size]; {
		case a.Size == 0:
		case a.Size > v.size:
			r.add(Fault{Kind: LogRewritten, Detail: fmt.Sprintf("the log has %d headers, the contract anchored %d: headers were removed", v.size, a.Size)})
			return
		case got != a.Root:
			r.add(Fault{Kind: LogRewritten, Detail: fmt.Sprintf("the headers agree with the contract up to batch %d; the root of the first %d is %x, the contract anchored %x: history was rewritten, or this is another log",
				c.agreed, a.Size, got, a.Root)})
			return
		default:
			c.agreed = max(c.agreed, a.Size)
		}
	}
}

// eventOf finds the anchor that the contract says took batch index in first.
func (c *claims) eventOf(index uint64) (ChainAnchor, bool) {
	i, _ := slices.BinarySearchFunc(c.anchors, index, func(a ChainAnchor, index uint64) int {
		if a.Size <= index {
			return -1
		}
		return 1
	})
	if i == len(c.anchors) || index < c.anchors[i].PrevSize {
		return ChainAnchor{}, false // before the first event that was looked for
	}
	return c.anchors[i], true
}

// anchorOf is eventOf for batches that are the ones that were anchored.
func (c *claims) anchorOf(index uint64) (ChainAnchor, bool) {
	a, ok := c.eventOf(index)
	return a, ok && a.Size <= c.agreed
}

// state says how far batch index, sealed when it claims, is protected.
func (v *verification) state(index uint64, sealed int64) State {
	c := &v.claimed
	switch {
	case index < min(c.final.Size, c.agreed):
		return Finalized
	case index < min(c.latest.Size, c.agreed):
		return Included
	case c.chain && v.began.Sub(time.Unix(0, sealed)) <= v.AnchorWithin && index >= c.latest.Size:
		return Pending
	}
	return Unanchored
}

// maxBlocks bounds the blocks asked for in one run.
const maxBlocks = 2048

// checkEthBlocks checks the blocks that headers claim to have seen.
func (v *verification) checkEthBlocks(ctx context.Context) error {
	c := &v.claimed
	if !c.chain {
		return nil
	}
	step := (len(c.blocks) + maxBlocks - 1) / maxBlocks
	if step > 1 {
		v.report.Notes = append(v.report.Notes, fmt.Sprintf("of %d Ethereum blocks named in headers every %dth was checked", len(c.blocks), step))
	}
	var mu sync.Mutex
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(8)
	for i := 0; i < len(c.blocks); i += max(step, 1) {
		claim := &c.blocks[i]
		g.Go(func() error {
			fault, err := checkEthBlock(ctx, v.Chain, &claim.header)
			mu.Lock()
			defer mu.Unlock()
			if err != nil && ctx.Err() == nil && !v.report.unreachable {
				v.report.unreachable = true
				v.report.Notes = append(v.report.Notes, fmt.Sprintf("the chain did not answer: %v", err))
			}
			if fault != "" {
				v.report.add(Fault{Class: TimeClaim, Kind: TimeFault, Batch: &claim.batch, Detail: fault})
			}
			return ctx.Err()
		})
	}
	return g.Wait()
}
