package publish

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/big"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"

	"tidemark/anchor/binding"
	"tidemark/anchor/chain"
	"tidemark/anchor/txmgr"
)

// step is one look at the chain and at most one new transaction. Start-up,
// steady state and recovery are the same step.
func (p *Publisher) step(ctx context.Context) error {
	if err := p.connect(ctx); err != nil {
		return err
	}
	if err := p.follow(ctx); err != nil {
		return err
	}
	if err := p.finality.refresh(ctx, p.client, p.cfg.Now()); err != nil {
		return fmt.Errorf("finalized block: %w", err)
	}
	if funded, err := p.fund(ctx); !funded {
		return err
	}
	k, err := p.openContract(ctx)
	if err != nil {
		return err
	}
	if k == nil {
		return p.deploy(ctx)
	}
	if err := p.settleKey(); err != nil {
		return err
	}
	st, err := k.Log(ctx, p.state.LogKey, chain.Latest)
	if err != nil {
		return err
	}
	if !st.Open() && p.follows() {
		return fmt.Errorf("this log is not open in the contract: %w", ErrFollows)
	}
	if p.accepts(st) {
		return p.submit(ctx, labelAccept, 0, binding.NewTidemarkLog().PackAcceptPublisher(p.state.LogKey))
	}
	if !st.Open() {
		return p.submit(ctx, labelOpen, 0, binding.NewTidemarkLog().PackOpen(p.state.LogID, p.state.Opener, p.state.Rotator))
	}
	if err := p.compare(st); err != nil {
		return err
	}
	if err := p.locate(ctx, k, st); err != nil {
		return err
	}
	p.archive(ctx, k, st.At)
	return p.anchor(ctx, st)
}

// follows says that the publisher's key is elsewhere.
func (p *Publisher) follows() bool { return p.cfg.Follow != (common.Address{}) && p.key == nil }

// publisher is the address whose checkpoints the contract accepts, zero while it
// is not known.
func (p *Publisher) publisher() common.Address {
	if p.key == nil {
		return p.cfg.Follow
	}
	return p.key.Address()
}

// payer is the account that sends transactions.
func (p *Publisher) payer() common.Address {
	return cmp.Or(p.cfg.Payer, p.key).Address()
}

// follow looks after the transactions under way and records what became of them.
// The record is on disk before the manager forgets: a crash between the two
// repeats the record.
func (p *Publisher) follow(ctx context.Context) error {
	if p.follows() {
		return nil
	}
	changed, err := p.txs.Poll(ctx)
	for _, tx := range changed {
		e := entryOf(tx, p.cfg.Now(), p.client.ID())
		if tx.State == txmgr.Pending {
			e.State = Reorganised
		}
		if err := p.record(e); err != nil {
			return err
		}
	}
	if err != nil {
		return err
	}
	for _, tx := range p.txs.Transactions() {
		if err := p.learn(tx); err != nil {
			return err
		}
		if tx.State.Done() {
			if err := p.txs.Forget(tx.Nonce); err != nil {
				return err
			}
		}
	}
	return nil
}

// learn stores where the contract and the opening of the log are. A
// reorganisation may move them: it looks at each step until they are final.
func (p *Publisher) learn(tx txmgr.Tx) error {
	if tx.At == nil || !tx.At.OK || tx.Label == labelAnchor {
		return nil
	}
	was := p.state
	switch tx.Label {
	case labelDeploy:
		if p.state.Contract == (common.Address{}) {
			p.state.Contract, p.state.Deployed = crypto.CreateAddress(p.payer(), tx.Nonce), true
		}
	case labelOpen:
		p.state.FromBlock = tx.At.Block
	}
	if p.state == was {
		return nil
	}
	return p.saveState()
}

func (p *Publisher) record(e Entry) error {
	if err := p.history.Append(e); err != nil {
		return fmt.Errorf("record anchor: %w", err)
	}
	p.setStatus(func(s *Status) { s.note(e) })
	p.archived.note(e)
	p.metrics.transactions.WithLabelValues(e.What, e.State).Inc()
	if e.State == string(txmgr.Included) || e.State == Reverted {
		p.metrics.gas.Add(float64(e.GasUsed))
	}
	ev := p.cfg.Log.Debug()
	switch e.State {
	case string(txmgr.Included), string(txmgr.Finalized):
		ev = p.cfg.Log.Info()
	case Reverted, Reorganised, string(txmgr.Lost):
		ev = p.cfg.Log.Warn()
	}
	ev.Str("what", e.What).Str("state", e.State).Uint64("size", e.Size).Stringer("tx", e.Tx).Uint64("block", e.Block).Msg("anchor transaction")
	return nil
}

// fund keeps the balance known, and the publisher of a development chain solvent.
func (p *Publisher) fund(ctx context.Context) (ok bool, err error) {
	if p.follows() {
		return true, nil
	}
	balance, err := p.client.Balance(ctx, p.payer())
	if err != nil {
		return false, err
	}
	p.setStatus(func(s *Status) { s.Balance = balance.String() })
	wei, _ := new(big.Float).SetInt(balance).Float64()
	p.metrics.balance.Set(wei / 1e18)
	ether := big.NewInt(1e18)
	if !p.client.Development() || balance.Cmp(ether) >= 0 {
		return true, nil
	}
	return false, p.client.Fund(ctx, p.payer(), new(big.Int).Mul(ether, big.NewInt(10)))
}

// openContract returns the contract after checking its code, nil if it has yet
// to be deployed.
func (p *Publisher) openContract(ctx context.Context) (*chain.Contract, error) {
	at := p.state.Contract
	if at == (common.Address{}) {
		at = p.cfg.Contract
	}
	if at == (common.Address{}) {
		if !p.client.Development() || p.follows() {
			return nil, refuse(fmt.Errorf("no contract configured for chain %d: deploy it (tidemark contract deploy) and configure its address", p.client.ID()))
		}
		return nil, nil
	}
	k, err := p.client.Contract(ctx, at)
	if errors.Is(err, chain.ErrNoContract) && p.state.Deployed && p.client.Development() {
		// A contract's account has nonce 1 (EIP-161): ask once more, by another way.
		if nonce, nerr := p.client.Nonce(ctx, at); nerr != nil || nonce != 0 {
			return nil, errors.Join(err, nerr)
		}
		return nil, p.startOver(at)
	}
	if err != nil {
		return nil, asRefusal(err)
	}
	if p.state.Contract != at {
		p.state.Contract = at
		if err := p.saveState(); err != nil {
			return nil, err
		}
	}
	return k, nil
}

// startOver follows a development chain that lost our contract: it was reset, or
// killed before its first seconds were on disk. Elsewhere this is a refusal.
func (p *Publisher) startOver(old common.Address) error {
	p.cfg.Log.Warn().Stringer("contract", old).Msg("the development chain was reset: anchoring begins anew, earlier anchors are gone with it")
	if err := p.txs.Abandon(); err != nil {
		return err
	}
	p.state = State{ChainID: p.state.ChainID, Development: p.state.Development}
	p.compared = compared{}
	p.archived = newArchivist(p.cfg.Evidence)
	p.setStatus(func(s *Status) { s.Pending, s.Anchored, s.Finalized, s.Evidence = nil, nil, nil, Evidence{} })
	return p.saveState()
}

func (p *Publisher) deploy(ctx context.Context) error {
	return p.submitTo(ctx, labelDeploy, 0, nil, chain.DeployData())
}

// settleKey fixes under which id the log stands in the contract, before it is opened.
func (p *Publisher) settleKey() error {
	if p.state.LogKey != (common.Hash{}) {
		return nil
	}
	p.state.LogID = p.log.ID()
	p.state.Opener, p.state.Rotator = p.publisher(), p.cfg.Rotator
	p.state.LogKey = chain.LogKey(p.state.LogID, p.state.Opener, p.state.Rotator)
	return p.saveState()
}

// accepts says that the rotator proposed our key, which shall now take over: it
// was configured, so its owner wants it.
func (p *Publisher) accepts(st chain.LogState) bool {
	return st.Open() && p.key != nil && p.cfg.Payer == nil && st.Publisher != p.key.Address() && st.Proposed == p.key.Address()
}

// compare holds the anchored tree head against our log.
func (p *Publisher) compare(st chain.LogState) error {
	if !st.Open() {
		return nil
	}
	if our := p.publisher(); our != (common.Address{}) && st.Publisher != our {
		if st.Proposed == our && !p.follows() && p.cfg.Payer != nil {
			return refuse(fmt.Errorf("the rotator proposed our key %s as publisher, but with a payer it cannot accept by itself: give it some ether and run `tidemark contract accept` once", our))
		}
		return refuse(fmt.Errorf("the publisher of this log is %s, our key is of %s: use that key, or let the rotator %s propose ours (tidemark contract rotate)", st.Publisher, our, st.Rotator))
	}
	size, root := p.log.Checkpoint()
	switch {
	case st.Size == 0 || p.compared == compared{st.Size, st.Root}:
		return nil
	case size == 0: // nothing is read yet, or it cannot be: that may pass
		return fmt.Errorf("%w: contract %d headers, directory none", ErrAhead, st.Size)
	case st.Size > size:
		return refuse(fmt.Errorf("%w: contract %d headers, directory %d", ErrAhead, st.Size, size))
	case st.Size == size:
		if st.Root != root {
			return refuse(fmt.Errorf("%w: at %d headers contract %x, directory %x", ErrFork, size, st.Root, root))
		}
	default:
		if _, err := consistency(p.log, st, size, root); err != nil {
			return err
		}
	}
	p.compared = compared{st.Size, st.Root}
	return nil
}

// consistency returns the consistency proof from the anchored tree head to that
// of log, and checks it as the contract will.
func consistency(log Log, st chain.LogState, size uint64, root [32]byte) ([][32]byte, error) {
	if st.Size == 0 {
		return nil, nil
	}
	path, err := log.Consistency(st.Size, size)
	if err != nil {
		return nil, fmt.Errorf("prove consistency of %d and %d headers: %w", st.Size, size, err)
	}
	hashes := make([][]byte, len(path))
	for i := range path {
		hashes[i] = path[i][:]
	}
	if err := proof.VerifyConsistency(rfc6962.DefaultHasher, st.Size, size, hashes, st.Root[:], root[:]); err != nil {
		return nil, refuse(fmt.Errorf("%w: %d anchored headers are not the beginning of our %d: %w", ErrFork, st.Size, size, err))
	}
	return path, nil
}

// locate finds block and time of the anchored checkpoint if the history does
// not know them: another process anchored it, or the file was lost.
func (p *Publisher) locate(ctx context.Context, k *chain.Contract, st chain.LogState) error {
	if st.Size == 0 {
		p.setStatus(func(s *Status) { s.Anchored = nil })
		return nil
	}
	p.mu.Lock()
	known := p.status.Anchored
	p.mu.Unlock()
	if known != nil && known.Size == st.Size && known.Root == st.Root {
		return p.settle(ctx, k, st)
	}
	const reach = 50_000 // blocks; older ones are left to verify, which asks patiently
	begin := max(p.state.FromBlock, st.At.Number-min(st.At.Number, reach))
	a := &Anchor{Size: st.Size, Root: st.Root, State: string(txmgr.Included)}
	e, err := k.AnchoringOf(ctx, p.state.LogKey, st.Size, begin, st.At.Number+1)
	switch {
	case err == nil && e.Root == st.Root:
		a.Tx, a.Block, a.BlockHash, a.Time = e.Tx, e.Block, e.BlockHash, e.Time
	case err != nil && !errors.Is(err, chain.ErrNotFound):
		return err
	}
	p.setStatus(func(s *Status) { s.Anchored = a })
	if a.Block != 0 {
		p.archived.ask(*a)
	}
	return p.settle(ctx, k, st)
}

// settle moves an anchor that no transaction of ours follows to its finality,
// and takes back a finalized one that a development chain has forgotten.
func (p *Publisher) settle(ctx context.Context, k *chain.Contract, st chain.LogState) error {
	p.mu.Lock()
	anchored, final := p.status.Anchored, p.status.Finalized
	p.mu.Unlock()
	if final != nil && final.Size > st.Size && p.client.Development() {
		p.setStatus(func(s *Status) { s.Finalized = nil })
	}
	if anchored == nil || anchored.Block == 0 || anchored.State == string(txmgr.Finalized) {
		return nil
	}
	b, err := p.client.Block(ctx, chain.Finalized)
	if err != nil || b.Number < anchored.Block {
		return nil //nolint:nilerr // a chain without the tag never calls anything final
	}
	p.setStatus(func(s *Status) {
		if s.Anchored != nil && s.Anchored.Size == st.Size {
			c := *s.Anchored
			c.State = string(txmgr.Finalized)
			s.Anchored, s.Finalized = &c, &c
		}
	})
	return nil
}

// anchor sends the newest checkpoint when it is due.
func (p *Publisher) anchor(ctx context.Context, st chain.LogState) error {
	size, root := p.log.Checkpoint()
	now := p.cfg.Now()
	p.mu.Lock()
	flush, final := p.flush, p.status.Finalized
	p.status.Next = time.Time{}
	if size > st.Size {
		p.status.Next = p.lastSent.Add(p.cfg.Interval)
	} else {
		p.flush = false
	}
	p.mu.Unlock()
	if p.follows() {
		return nil
	}
	if size <= st.Size || !flush && now.Sub(p.lastSent) < p.cfg.Interval && now.After(p.lastSent) {
		return nil
	}
	if final != nil && final.Size > st.Size && !p.client.Development() {
		return fmt.Errorf("node %s says %d headers are anchored, %d were final in block %d: it lags behind, waiting", p.client.Host(), st.Size, final.Size, final.Block)
	}
	path, err := consistency(p.log, st, size, root)
	if err != nil {
		return err
	}
	abi := binding.NewTidemarkLog()
	if p.cfg.Payer == nil {
		return p.submit(ctx, labelAnchor, size, abi.PackAnchor(p.state.LogKey, size, root, path))
	}
	deadline := now.Add(signatureValidity)
	sig, err := p.key.signAnchor(chain.AnchorDigest(p.client.ID(), p.state.Contract, p.state.LogKey, size, root, deadline))
	if err != nil {
		return fmt.Errorf("sign anchor: %w", err)
	}
	return p.submit(ctx, labelAnchor, size, abi.PackAnchorBySig(p.state.LogKey, size, root, path, big.NewInt(deadline.Unix()), sig))
}

// signatureValidity is how long a transaction with our signature may wait for
// inclusion; later it reverts and the next anchor covers its headers. A used
// signature cannot be used again, and an unused one says what is true.
const signatureValidity = 24 * time.Hour

func (p *Publisher) submit(ctx context.Context, label string, size uint64, data []byte) error {
	return p.submitTo(ctx, label, size, &p.state.Contract, data)
}

func (p *Publisher) submitTo(ctx context.Context, label string, size uint64, to *common.Address, data []byte) error {
	if to != nil {
		at := *to
		to = &at
	}
	tx, err := p.txs.Submit(ctx, label, size, to, data)
	if errors.Is(err, txmgr.ErrBusy) {
		return nil // one at a time; what is sent later covers more
	}
	if err != nil {
		return fmt.Errorf("%s: %w", label, err)
	}
	if label == labelAnchor {
		p.lastSent = p.cfg.Now()
		p.mu.Lock()
		p.flush = false
		p.mu.Unlock()
	}
	return p.record(entryOf(tx, p.cfg.Now(), p.client.ID()))
}
