// Package publish anchors a log's checkpoints in the contract: it opens the log
// there, sends the newest checkpoint every interval, and follows it until the
// chain calls it final.
//
// The contract's state is the truth. Files only remember what the chain cannot
// be asked cheaply: where the contract is, which transactions are under way, and
// what became of earlier ones. A restart at any point reads both and goes on.
// While the chain is away nothing is lost: the next anchor covers everything.
package publish

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"tidemark/anchor/chain"
	"tidemark/anchor/ndjson"
	"tidemark/anchor/txmgr"
)

// Log is the log to be anchored. Its methods are called by the goroutine of Run
// and by Status.
type Log interface {
	// ID is the log's id, the same on every chain.
	ID() [32]byte
	// Checkpoint is the newest tree head that a crash cannot take back.
	Checkpoint() (size uint64, root [32]byte)
	// Consistency returns an RFC 9162 consistency proof, 0 < first < second <= size.
	Consistency(first, second uint64) ([][32]byte, error)
}

// ErrRefused is wrapped by every error that no waiting cures: another chain, a
// foreign contract, a key that may not publish, a history that contradicts the
// anchored one. Nothing is sent meanwhile; collecting goes on.
var ErrRefused = errors.New("anchoring refused")

func refuse(err error) error { return fmt.Errorf("%w: %w", ErrRefused, err) }

// Refusals that have a name; errors.Is finds them together with ErrRefused.
var (
	ErrAhead = errors.New("the contract holds a larger log than this directory: its history was lost, or it belongs to another collector (restore the newest backup, or begin a new log with a new key)")
	ErrFork  = errors.New("the contract holds another history of this log than this directory: one of them was altered (keep both and compare with verify; nothing will be overwritten)")
)

// ErrFollows means that the publisher's key is elsewhere.
var ErrFollows = errors.New("nothing is sent from here (chain.publisher): write a request with `tidemark anchor request`, and submit it where the publisher's key is")

// Config of a Publisher; a zero field means its default.
type Config struct {
	Dir      string         // state, history and development key; required
	Evidence string         // archive of chain evidence; empty: none is kept
	RPC      []string       // nodes of one chain, the preferred one first; required
	ChainID  uint64         // 0: a development chain, or the one remembered in Dir
	Contract common.Address // zero: the one remembered in Dir; on a development chain it is deployed
	Rotator  common.Address // named when the log is opened; fixed from then on
	Key      *Key           // of the publisher; nil: on a development chain one is made in Dir
	Payer    *Key           // pays for what Key signs; nil: Key pays itself
	Follow   common.Address // publisher elsewhere: nothing is sent from here, see Request; needs no Key
	Interval time.Duration  // between two anchors; default 10 min
	FeeCap   *big.Int       // wei per gas; default txmgr's
	Timeout  time.Duration  // of one question to one node; default chain's
	Poll     time.Duration  // between two looks at the chain; default 6 s, 0.5 s on a development chain

	Now        func() time.Time
	Log        zerolog.Logger
	Registerer prometheus.Registerer // nil: no metrics
}

const (
	stateName        = "publisher.json"
	transactionsName = "transactions.json"
	// What transactions are for.
	labelDeploy = "deploy"
	labelOpen   = "open"
	labelAnchor = "anchor"
	labelAccept = "accept"
)

// State is what a Publisher remembers in its directory. Others read it to learn
// where the log is anchored.
type State struct {
	Version     int            `json:"version"`
	ChainID     uint64         `json:"chain_id"`
	Development bool           `json:"development"`
	Contract    common.Address `json:"contract,omitzero"`
	Deployed    bool           `json:"deployed"`   // by us, on a development chain
	FromBlock   uint64         `json:"from_block"` // no anchor is in an earlier block
	LogID       common.Hash    `json:"log_id,omitzero"`
	Opener      common.Address `json:"opener,omitzero"` // the publisher the log was opened with
	Rotator     common.Address `json:"rotator"`
	LogKey      common.Hash    `json:"log_key,omitzero"` // the log's id in the contract
}

// ReadState returns what the Publisher of dir remembers; a zero State if nothing.
func ReadState(dir string) (State, error) {
	var s State
	b, err := os.ReadFile(filepath.Join(dir, stateName))
	if errors.Is(err, os.ErrNotExist) {
		return s, nil
	}
	if err == nil {
		err = json.Unmarshal(b, &s)
	}
	if err == nil && s.Version != 1 {
		err = fmt.Errorf("version %d, want 1", s.Version)
	}
	if err != nil {
		return State{}, fmt.Errorf("read publisher state in %s: %w", dir, err)
	}
	return s, nil
}

// Publisher anchors one log. Run does the work; the other methods are safe for
// concurrent use.
type Publisher struct {
	log     Log
	cfg     Config
	metrics *metrics
	history *ndjson.File[Entry]
	wake    chan struct{}

	// Owned by Run.
	client   *chain.Client
	key      *Key
	txs      *txmgr.Manager
	state    State
	lastSent time.Time // of the newest anchor
	agreed   time.Time // when the nodes were last compared, zero: they disagreed
	compared compared
	warned   map[string]time.Time
	finality finality // its current block is read by all
	archived *archivist

	mu      sync.Mutex
	status  Status
	flush   bool
	started time.Time
	changed chan struct{} // closed and replaced after each look
}

// compared remembers the anchored tree head that was checked against our log.
type compared struct {
	size uint64
	root [32]byte
}

// New reads what earlier runs left in cfg.Dir. It does not touch the network.
func New(log Log, cfg Config) (*Publisher, error) {
	if cfg.Dir == "" || len(cfg.RPC) == 0 {
		return nil, errors.New("publisher: directory and RPC URL are required")
	}
	if cfg.Interval == 0 {
		cfg.Interval = 10 * time.Minute
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("publisher: %w", err)
	}
	p := &Publisher{
		log: log, cfg: cfg, key: cfg.Key, wake: make(chan struct{}, 1),
		changed: make(chan struct{}), warned: map[string]time.Time{}, archived: newArchivist(cfg.Evidence),
	}
	var err error
	if p.state, err = ReadState(cfg.Dir); err != nil {
		return nil, err
	}
	if err := p.pin(); err != nil {
		return nil, err
	}
	if p.status, err = readStatus(cfg.Dir, 0, p.archived); err != nil {
		return nil, err
	}
	p.archived.limit()
	if a := p.status.Anchored; a != nil {
		p.lastSent = a.Time // no anchor more than one interval asks for, just because of a restart
	}
	if p.history, err = openHistory(cfg.Dir); err != nil {
		return nil, err
	}
	p.metrics, err = newMetrics(p, cfg.Registerer)
	return p, err
}

// pin holds the configuration against what was remembered: the pair decides
// which log in which contract is ours, and must not drift silently.
func (p *Publisher) pin() error {
	s, id := p.state, common.Hash(p.log.ID())
	if s.Version == 0 {
		return nil
	}
	switch {
	case s.LogID != (common.Hash{}) && s.LogID != id:
		return refuse(fmt.Errorf("%s belongs to log %s, ours is %s: another ledger directory?", p.cfg.Dir, s.LogID, id))
	case p.cfg.ChainID != 0 && s.ChainID != p.cfg.ChainID:
		return refuse(fmt.Errorf("this log is anchored on chain %d, the configuration says %d: remove %s only if it shall be anchored anew", s.ChainID, p.cfg.ChainID, filepath.Join(p.cfg.Dir, stateName)))
	case p.cfg.Contract != (common.Address{}) && s.Contract != (common.Address{}) && s.Contract != p.cfg.Contract:
		return refuse(fmt.Errorf("this log is anchored in contract %s, the configuration says %s: remove %s only if it shall be anchored anew", s.Contract, p.cfg.Contract, filepath.Join(p.cfg.Dir, stateName)))
	case p.cfg.Rotator != (common.Address{}) && s.Opener != (common.Address{}) && s.Rotator != p.cfg.Rotator:
		return refuse(fmt.Errorf("this log was opened with rotator %s, the configuration says %s: a rotator is fixed for ever", s.Rotator, p.cfg.Rotator))
	}
	return nil
}

// Close releases the history file; Run must have returned.
func (p *Publisher) Close() error {
	p.metrics.unregister()
	if p.client != nil {
		p.client.Close()
	}
	return p.history.Close()
}

// Run anchors until ctx ends. Errors of the chain do not end it: they are in
// Status, in the log (sampled) and in the metrics.
func (p *Publisher) Run(ctx context.Context) error {
	p.mu.Lock()
	p.started = p.cfg.Now()
	p.mu.Unlock()
	for {
		err := p.step(ctx)
		if ctx.Err() != nil {
			return nil
		}
		p.report(err)
		t := time.NewTimer(p.pause())
		select {
		case <-ctx.Done():
			t.Stop()
			return nil
		case <-t.C:
		case <-p.wake:
			t.Stop()
		}
	}
}

// Check looks at the chain once, before Run, and returns what would stand in
// Status.Error: ErrRefused if it will not pass by itself. It sends nothing.
func (p *Publisher) Check(ctx context.Context) error {
	if err := p.connect(ctx); err != nil {
		return err
	}
	if err := p.checkFunds(ctx); err != nil {
		return err
	}
	k, err := p.openContract(ctx)
	if err != nil || k == nil || p.state.LogKey == (common.Hash{}) {
		return err
	}
	st, err := k.Log(ctx, p.state.LogKey, chain.Latest)
	if err != nil || p.accepts(st) {
		return err
	}
	return p.compare(st)
}

// checkFunds refuses an account without ether while nothing was anchored yet:
// then somebody is setting it up. Later it is a backlog that passes.
func (p *Publisher) checkFunds(ctx context.Context) error {
	if p.client.Development() || p.follows() || p.Status().Anchored != nil {
		return nil
	}
	balance, err := p.client.Balance(ctx, p.payer())
	if err == nil && balance.Sign() == 0 {
		return refuse(fmt.Errorf("account %s holds no ether on chain %d: send it some, an anchor takes about 75,000 gas (docs/testnet.md says what that costs)", p.payer(), p.client.ID()))
	}
	return err
}

func (p *Publisher) pause() time.Duration {
	if p.cfg.Poll > 0 {
		return p.cfg.Poll
	}
	if p.client != nil && p.client.Development() {
		return 500 * time.Millisecond
	}
	return 6 * time.Second
}

// Flush asks for an anchor of the present checkpoint now and waits until the
// contract holds it. It returns early on a refusal.
func (p *Publisher) Flush(ctx context.Context) error {
	if p.follows() {
		return refuse(ErrFollows)
	}
	p.mu.Lock()
	p.flush = true
	p.mu.Unlock()
	select {
	case p.wake <- struct{}{}:
	default:
	}
	size, _ := p.log.Checkpoint()
	return p.Wait(ctx, size, false)
}

// Wait waits until the contract holds at least size headers, finally if final.
func (p *Publisher) Wait(ctx context.Context, size uint64, final bool) error {
	for {
		p.mu.Lock()
		changed, s := p.changed, p.status
		p.mu.Unlock()
		a := s.Anchored
		if final {
			a = s.Finalized
		}
		switch {
		case size == 0:
			return nil
		case s.Refused: // what the contract holds may be another history, however long
			return fmt.Errorf("%w: %s", ErrRefused, strings.TrimPrefix(s.Error, ErrRefused.Error()+": "))
		case a != nil && a.Size >= size:
			return nil
		}
		select {
		case <-ctx.Done():
			if s.Error != "" {
				return fmt.Errorf("wait for anchor of %d headers: %w: %s", size, ctx.Err(), s.Error)
			}
			return fmt.Errorf("wait for anchor of %d headers: %w", size, ctx.Err())
		case <-changed:
		}
	}
}

// report puts the outcome of a look into status, metrics and log. The same
// complaint is logged once a minute.
func (p *Publisher) report(err error) {
	now := p.cfg.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	close(p.changed)
	p.changed = make(chan struct{})
	if err == nil {
		if p.status.Error != "" {
			p.cfg.Log.Info().Msg("anchoring goes on")
		}
		p.status.Error, p.status.ErrorTime, p.status.Refused = "", time.Time{}, false
		p.status.Checked = now
		return
	}
	p.metrics.errors.Inc()
	p.status.Error, p.status.ErrorTime, p.status.Refused = err.Error(), now, errors.Is(err, ErrRefused)
	if last, ok := p.warned[err.Error()]; ok && now.Sub(last) < time.Minute {
		return
	}
	if len(p.warned) > 100 { // texts differ by numbers: keep this bounded
		clear(p.warned)
	}
	p.warned[err.Error()] = now
	p.cfg.Log.Warn().Err(err).Bool("refused", p.status.Refused).Msg("not anchoring; collecting goes on")
}

// saveState stores p.state; what follows from it may be sent only afterwards.
func (p *Publisher) saveState() error {
	p.state.Version = 1
	b, err := json.MarshalIndent(p.state, "", " ")
	if err == nil {
		err = chain.WriteFileSync(filepath.Join(p.cfg.Dir, stateName), append(b, '\n'))
	}
	if err != nil {
		return fmt.Errorf("store publisher state: %w", err)
	}
	p.publishState()
	return nil
}

func (p *Publisher) publishState() {
	p.setStatus(func(s *Status) {
		s.remember(p.state)
		if at := p.publisher(); at != (common.Address{}) {
			s.Publisher = at
		}
		if p.cfg.Payer != nil {
			s.Payer = p.cfg.Payer.Address()
		}
	})
}
