package publish

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/ethereum/go-ethereum/common"

	"tidemark/anchor/chain"
	"tidemark/anchor/chainproof"
	"tidemark/anchor/txmgr"
)

// Nodes serve the state of a block for about 128 blocks, less than some chains
// take to call it final, and its receipts for a year or so. So evidence of an
// anchor is archived as soon as it is included, and anew if a reorganisation
// moves it to another block. The history remembers of which block the archive
// has evidence: after a crash the rest is asked for again.
const (
	labelEvidence = "evidence"
	withState     = "stored"
	withoutState  = "stored without state"

	stateServed      = 128              // blocks
	evidenceTries    = 24               // looks at one anchor before it is left to the next start
	firstRetry       = 10 * time.Second // doubled each time
	longestRetry     = time.Hour
	evidencePerStart = 10_000 // anchors taken up at a start, the newest
)

// Evidence says how much of the chain evidence is archived.
type Evidence struct {
	Archived     int    `json:"archived"`      // anchors
	WithoutState int    `json:"without_state"` // of these: event only, the node had pruned the state
	Missing      int    `json:"missing"`       // anchors of which there is none (yet)
	Error        string `json:"error,omitempty"`
}

// archivist knows which evidence is there and which is wanted. It is used by Run
// alone.
type archivist struct {
	files chainproof.Archive
	have  map[uint64]Entry // evidence by size
	want  map[uint64]*wanted
	err   string
}

type wanted struct {
	tx    common.Hash
	block chain.Block // number and hash
	tries int
	next  time.Time
}

func newArchivist(dir string) *archivist {
	return &archivist{files: chainproof.Archive{Dir: dir, WriteFile: chain.WriteFileSync}, have: map[uint64]Entry{}, want: map[uint64]*wanted{}}
}

// note folds an entry of the history in.
func (a *archivist) note(e Entry) {
	switch {
	case e.What == labelEvidence:
		a.have[e.Size] = e
		if w := a.want[e.Size]; w != nil && w.block.Hash == e.BlockHash {
			delete(a.want, e.Size)
		}
	case e.What != labelAnchor:
	case e.Block != 0 && (e.State == string(txmgr.Included) || e.State == string(txmgr.Safe) || e.State == string(txmgr.Finalized)):
		a.ask(Anchor{Size: e.Size, Tx: e.Tx, Block: e.Block, BlockHash: e.BlockHash})
	default:
		delete(a.want, e.Size)
	}
}

// ask wants evidence of an anchor, unless it is there.
func (a *archivist) ask(at Anchor) {
	if a.have[at.Size].BlockHash == at.BlockHash {
		delete(a.want, at.Size)
		return
	}
	if w := a.want[at.Size]; w == nil || w.block.Hash != at.BlockHash {
		a.want[at.Size] = &wanted{tx: at.Tx, block: chain.Block{Number: at.Block, Hash: at.BlockHash}}
	}
}

// limit leaves only the newest anchors to be asked for.
func (a *archivist) limit() {
	sizes := slices.Sorted(maps.Keys(a.want))
	for _, size := range sizes[:max(0, len(sizes)-evidencePerStart)] {
		a.want[size].tries = evidenceTries
	}
}

func (a *archivist) status() Evidence {
	s := Evidence{Missing: len(a.want), Error: a.err}
	for size, e := range a.have {
		if a.want[size] != nil {
			continue // it is of a block that was reorganised away
		}
		s.Archived++
		if e.State == withoutState {
			s.WithoutState++
		}
	}
	return s
}

// due returns the newest anchor whose evidence is to be asked for now.
func (a *archivist) due(now time.Time) (size uint64, w *wanted) {
	for s, c := range a.want {
		if c.tries < evidenceTries && !now.Before(c.next) && (w == nil || s > size) {
			size, w = s, c
		}
	}
	return size, w
}

// archive asks for the evidence of one anchor. A failure keeps anchoring from
// nothing: it is in the status, and tried again.
func (p *Publisher) archive(ctx context.Context, k *chain.Contract, head chain.Block) {
	defer func() { p.setStatus(func(s *Status) { s.Evidence = p.archived.status() }) }()
	if p.cfg.Evidence == "" {
		return
	}
	now := p.cfg.Now()
	size, w := p.archived.due(now)
	if w == nil {
		return
	}
	w.tries++
	w.next = now.Add(min(firstRetry<<min(w.tries-1, 20), longestRetry))
	if err := p.archiveOne(ctx, k, size, w, head); err != nil {
		p.archived.err = err.Error()
		if errors.Is(err, chain.ErrNotFound) && p.client.Development() {
			w.tries = evidenceTries // the chain was reset
		}
		p.cfg.Log.Warn().Err(err).Uint64("size", size).Int("try", w.tries).Msg("chain evidence not archived yet")
		return
	}
	p.archived.err = ""
}

func (p *Publisher) archiveOne(ctx context.Context, k *chain.Contract, size uint64, w *wanted, head chain.Block) error {
	e, facts, err := k.Evidence(ctx, p.state.LogKey, size, w.tx, w.block)
	if err != nil {
		return err
	}
	young := head.Number < facts.BlockNumber+stateServed
	if !facts.StateProven && young && w.tries < evidenceTries/2 {
		return errors.New("the node does not give the state of a young block (eth_getProof); asked again")
	}
	// The file first: after a crash here it is written once more.
	if err := p.archived.files.Store(e); err != nil {
		return err
	}
	entry := Entry{
		Time: p.cfg.Now().UTC(), What: labelEvidence, State: withState, Size: size, Root: facts.Root, ChainID: p.client.ID(),
		Contract: p.state.Contract, Tx: w.tx, Block: facts.BlockNumber, BlockHash: facts.BlockHash, BlockTime: time.Unix(facts.BlockTime, 0).UTC(),
	}
	if !facts.StateProven {
		entry.State = withoutState
	}
	if err := p.history.Append(entry); err != nil {
		return fmt.Errorf("record evidence: %w", err)
	}
	p.archived.note(entry)
	return nil
}
