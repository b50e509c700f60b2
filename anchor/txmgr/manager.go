package txmgr

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/rs/zerolog"

	"tidemark/anchor/chain"
)

// Client is the part of a node that the manager uses; *chain.Client is one.
type Client interface {
	ID() uint64
	CheckID(ctx context.Context) error
	Block(ctx context.Context, tag string) (chain.Block, error)
	BlockAt(ctx context.Context, number uint64) (chain.Block, error)
	Receipt(ctx context.Context, tx common.Hash) (chain.Receipt, error)
	Nonce(ctx context.Context, account common.Address) (uint64, error)
	PendingNonce(ctx context.Context, account common.Address) (uint64, error)
	Balance(ctx context.Context, account common.Address) (*big.Int, error)
	TipCap(ctx context.Context) (*big.Int, error)
	EstimateGas(ctx context.Context, from common.Address, to *common.Address, data []byte) (uint64, error)
	Send(ctx context.Context, tx *types.Transaction) error
}

// Signer holds the account's key.
type Signer interface {
	Address() common.Address
	Sign(tx *types.Transaction, chainID uint64) (*types.Transaction, error)
}

// ErrBusy means that a transaction is pending: there is one at a time.
var ErrBusy = errors.New("a transaction is pending")

// FundsError says that the account cannot pay for a transaction.
type FundsError struct {
	Account    common.Address
	Have, Need *big.Int // wei
}

func (e *FundsError) Error() string {
	return fmt.Sprintf("account %s holds %s wei, a transaction needs up to %s: send it ether", e.Account, e.Have, e.Need)
}

// OtherAccountError says that the state file is of another account on the same
// chain: the key was changed while its transactions were under way.
type OtherAccountError struct{ Got, Want common.Address }

func (e *OtherAccountError) Error() string {
	return fmt.Sprintf("transactions under way are of account %s, not of %s", e.Got, e.Want)
}

// Config of a Manager; a zero field means its default.
type Config struct {
	File      string                            // state; required
	FeeCap    *big.Int                          // wei per gas, never exceeded; default 200 gwei
	Resubmit  time.Duration                     // raise the fees after this long without inclusion; default 48 s, four slots
	LostAfter time.Duration                     // give a used nonce this long to turn out ours; default 30 s
	Now       func() time.Time                  // default time.Now
	WriteFile func(path string, b []byte) error // durable and atomic; default chain.WriteFileSync
	Log       zerolog.Logger
}

const (
	maxAttempts = 32      // bounds the state: 1.125^32 is fees times 43
	maxGas      = 8 << 20 // no call of ours comes near; a node that lies does
)

// Manager owns an account's nonces. Its methods are safe for concurrent use;
// there must be one Manager per account and state file.
type Manager struct {
	cfg    Config
	client Client
	signer Signer

	mu  sync.Mutex
	txs []*Tx // by nonce
}

type stateFile struct {
	Version int            `json:"version"`
	ChainID uint64         `json:"chain_id"`
	Account common.Address `json:"account"`
	Txs     []*Tx          `json:"transactions"`
}

// Open reads the state file, if there is one. It refuses a file of another
// chain or another account.
func Open(client Client, signer Signer, cfg Config) (*Manager, error) {
	if cfg.FeeCap == nil {
		cfg.FeeCap = big.NewInt(200e9)
	}
	if cfg.Resubmit == 0 {
		cfg.Resubmit = 48 * time.Second
	}
	if cfg.LostAfter == 0 {
		cfg.LostAfter = 30 * time.Second
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.WriteFile == nil {
		cfg.WriteFile = chain.WriteFileSync
	}
	m := &Manager{cfg: cfg, client: client, signer: signer}
	b, err := os.ReadFile(cfg.File)
	if errors.Is(err, os.ErrNotExist) {
		return m, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read transactions: %w", err)
	}
	var s stateFile
	if err := json.Unmarshal(b, &s); err != nil {
		return nil, fmt.Errorf("read transactions: %s: %w", cfg.File, err)
	}
	if s.Version != 1 {
		return nil, fmt.Errorf("read transactions: %s has version %d, want 1", cfg.File, s.Version)
	}
	for _, t := range s.Txs {
		if t == nil || len(t.Attempts) == 0 || (t.At == nil && t.State != Pending && t.State != Lost) {
			return nil, fmt.Errorf("read transactions: %s holds a transaction without attempts or place", cfg.File)
		}
	}
	if len(s.Txs) > 0 && s.ChainID != client.ID() {
		return nil, fmt.Errorf("read transactions: %s is of chain %d, not of %d: finish or remove it before changing the chain", filepath.Base(cfg.File), s.ChainID, client.ID())
	}
	if len(s.Txs) > 0 && s.Account != signer.Address() {
		return nil, fmt.Errorf("read transactions: %w", &OtherAccountError{Got: s.Account, Want: signer.Address()})
	}
	m.txs = s.Txs
	return m, nil
}

// Transactions returns what the manager cares for, by nonce.
func (m *Manager) Transactions() []Tx {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := make([]Tx, len(m.txs))
	for i, t := range m.txs {
		out[i] = t.clone()
	}
	return out
}

// Submit signs, stores and sends a transaction. After it returned a Tx the
// manager brings it in, across restarts, whatever the node said to the first
// broadcast. ErrBusy, *FeeCapError, *FundsError and *chain.RevertError mean
// that nothing was stored or sent.
func (m *Manager) Submit(ctx context.Context, label string, target uint64, to *common.Address, data []byte) (Tx, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, t := range m.txs {
		if t.State == Pending {
			return Tx{}, ErrBusy
		}
	}
	if err := m.client.CheckID(ctx); err != nil {
		return Tx{}, err
	}
	from := m.signer.Address()
	gas, err := m.gas(ctx, to, data)
	if err != nil {
		return Tx{}, err
	}
	tip, baseFee, err := m.market(ctx)
	if err != nil {
		return Tx{}, err
	}
	f, err := firstFees(tip, baseFee, m.cfg.FeeCap)
	if err != nil {
		return Tx{}, err
	}
	have, err := m.client.Balance(ctx, from)
	if err != nil {
		return Tx{}, err
	}
	if need := new(big.Int).Mul(new(big.Int).SetUint64(gas), f.feeCap); have.Cmp(need) < 0 {
		return Tx{}, &FundsError{Account: from, Have: have, Need: need}
	}
	// The pool counts too: another process with our key may have a transaction
	// there. What we know to be included is a lower bound on a node that lags.
	nonce, err := m.client.PendingNonce(ctx, from)
	if err != nil {
		return Tx{}, err
	}
	for _, t := range m.txs {
		if t.State != Lost && t.Nonce >= nonce {
			nonce = t.Nonce + 1
		}
	}
	t := &Tx{Label: label, Target: target, Nonce: nonce, To: to, Data: data, Gas: gas, State: Pending}
	if err := m.sign(t, f); err != nil {
		return Tx{}, err
	}
	m.txs = append(m.txs, t)
	slices.SortFunc(m.txs, func(a, b *Tx) int { return int(min(max(int64(a.Nonce-b.Nonce), -1), 1)) })
	if err := m.save(); err != nil {
		// Not sent, and not on disk for sure: forget it.
		m.txs = slices.DeleteFunc(m.txs, func(x *Tx) bool { return x == t })
		return Tx{}, err
	}
	m.broadcast(ctx, t)
	return t.clone(), nil
}

// Poll looks at the chain once, sends what has to be sent, and returns the
// transactions whose state changed. On an error the states are as they were.
func (m *Manager) Poll(ctx context.Context) ([]Tx, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !slices.ContainsFunc(m.txs, func(t *Tx) bool { return !t.State.Done() }) {
		return nil, nil
	}
	seen, err := m.look(ctx)
	if err != nil {
		return nil, err
	}
	var changed []Tx
	todo := make([]action, len(m.txs))
	for i, t := range m.txs {
		before, block := t.State, blockOf(t)
		if before.Done() {
			continue
		}
		todo[i] = t.observe(seen[i], m.policy())
		if t.State != before || blockOf(t) != block {
			changed = append(changed, t.clone())
		}
	}
	if len(changed) > 0 {
		if err := m.save(); err != nil {
			return changed, err
		}
	}
	for i, t := range m.txs {
		switch todo[i] {
		case bump:
			if err := m.bump(ctx, t); err != nil {
				return changed, err
			}
		case resend:
			m.broadcast(ctx, t)
		}
	}
	return changed, nil
}

func blockOf(t *Tx) common.Hash {
	if t.At == nil {
		return common.Hash{}
	}
	return t.At.BlockHash
}

// Forget drops a transaction that is done, after the caller has recorded it.
func (m *Manager) Forget(nonce uint64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := len(m.txs)
	kept := slices.DeleteFunc(slices.Clone(m.txs), func(t *Tx) bool { return t.Nonce == nonce && t.State.Done() })
	if len(kept) == n {
		return nil
	}
	m.txs = kept
	return m.save()
}

// Abandon stops caring for every transaction: the caller found that the chain
// they were meant for is gone (a development chain that was reset).
func (m *Manager) Abandon() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.txs = nil
	return m.save()
}

// look asks the chain about every transaction that is not done.
func (m *Manager) look(ctx context.Context) ([]observation, error) {
	if err := m.client.CheckID(ctx); err != nil {
		return nil, err
	}
	base := observation{now: m.cfg.Now()}
	var err error
	if base.nonce, err = m.client.Nonce(ctx, m.signer.Address()); err != nil {
		return nil, err
	}
	if base.pendingNonce, err = m.client.PendingNonce(ctx, m.signer.Address()); err != nil {
		return nil, err
	}
	// Some chains have no such tags (yet): then nothing is safe or final.
	if b, err := m.client.Block(ctx, chain.Safe); err == nil {
		base.safe = b.Number
	}
	if b, err := m.client.Block(ctx, chain.Finalized); err == nil {
		base.finalized = b.Number
	}
	out := make([]observation, len(m.txs))
	first := true
	for i, t := range m.txs {
		if t.State.Done() {
			continue
		}
		out[i] = base
		if out[i].at, err = m.find(ctx, t); err != nil {
			return nil, err
		}
		out[i].first = first
		if out[i].at == nil {
			first = false
		}
	}
	return out, nil
}

// find looks for a receipt of any attempt, in a block that is canonical.
func (m *Manager) find(ctx context.Context, t *Tx) (*Inclusion, error) {
	for _, h := range t.Hashes() {
		r, err := m.client.Receipt(ctx, h)
		if errors.Is(err, chain.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		b, err := m.client.BlockAt(ctx, r.Block)
		if errors.Is(err, chain.ErrNotFound) || err == nil && b.Hash != r.BlockHash {
			continue // a receipt from a block that was reorganised away
		}
		if err != nil {
			return nil, err
		}
		return inclusion(r, b), nil
	}
	return nil, nil
}

// gas returns a limit for a call, with room for a state that changes before
// inclusion. An estimate no call of ours can need is not believed: a limit below
// the floor would be refused by every pool, for ever.
func (m *Manager) gas(ctx context.Context, to *common.Address, data []byte) (uint64, error) {
	got, err := m.client.EstimateGas(ctx, m.signer.Address(), to, data)
	if err != nil {
		return 0, err
	}
	if floor := gasFloor(to == nil, data); got < floor || got > maxGas {
		return 0, fmt.Errorf("node estimates %d gas, want %d to %d: not believed", got, floor, maxGas)
	}
	return got + got/4, nil
}

// gasFloor is what a transaction costs before it does anything (EIP-2028, EIP-3860).
func gasFloor(create bool, data []byte) uint64 {
	zeros := uint64(bytes.Count(data, []byte{0}))
	floor := 21_000 + 4*zeros + 16*(uint64(len(data))-zeros)
	if create {
		floor += 32_000 + 2*((uint64(len(data))+31)/32)
	}
	return floor
}

// market returns the tip that the node suggests and the base fee of the next block.
func (m *Manager) market(ctx context.Context) (tip, baseFee *big.Int, err error) {
	head, err := m.client.Block(ctx, chain.Latest)
	if err != nil {
		return nil, nil, err
	}
	if head.BaseFee == nil {
		return nil, nil, errors.New("the chain has no base fee (EIP-1559), which Tidemark needs")
	}
	tip, err = m.client.TipCap(ctx)
	return tip, head.BaseFee, err
}

func (m *Manager) bump(ctx context.Context, t *Tx) error {
	if len(t.Attempts) >= maxAttempts {
		m.broadcast(ctx, t)
		return nil
	}
	tip, baseFee, err := m.market(ctx)
	if err != nil {
		return err
	}
	old := t.newest()
	f, ok := bumpFees(fees{tip: (*big.Int)(old.TipCap), feeCap: (*big.Int)(old.FeeCap)}, tip, baseFee, m.cfg.FeeCap)
	if !ok { // at the cap: it stays in the pool until fees fall
		if m.cfg.Now().Sub(t.sent) >= m.policy().rebroadcast {
			m.broadcast(ctx, t)
		}
		return nil
	}
	// The first estimate may have been too low; if the call would now revert, its
	// inclusion says so.
	if gas, err := m.gas(ctx, t.To, t.Data); err == nil {
		t.Gas = max(t.Gas, gas)
	}
	if err := m.sign(t, f); err != nil {
		return err
	}
	if err := m.save(); err != nil {
		t.Attempts = t.Attempts[:len(t.Attempts)-1]
		return err
	}
	m.cfg.Log.Info().Str("transaction", t.Label).Uint64("nonce", t.Nonce).Stringer("fee_cap", f.feeCap).
		Int("attempt", len(t.Attempts)).Msg("fees raised")
	m.broadcast(ctx, t)
	return nil
}

// sign appends an attempt; it is neither stored nor sent here.
func (m *Manager) sign(t *Tx, f fees) error {
	id := m.client.ID()
	signed, err := m.signer.Sign(types.NewTx(&types.DynamicFeeTx{
		ChainID: new(big.Int).SetUint64(id), Nonce: t.Nonce, To: t.To, Data: t.Data, Gas: t.Gas,
		GasTipCap: f.tip, GasFeeCap: f.feeCap,
	}), id)
	if err != nil {
		return fmt.Errorf("sign transaction: %w", err)
	}
	raw, err := signed.MarshalBinary()
	if err != nil {
		return fmt.Errorf("encode transaction: %w", err)
	}
	t.Attempts = append(t.Attempts, Attempt{
		Hash: signed.Hash(), Raw: raw, TipCap: (*hexutil.Big)(f.tip), FeeCap: (*hexutil.Big)(f.feeCap), Signed: m.cfg.Now(),
	})
	return nil
}

// broadcast sends the newest attempt. What the node says is only logged: it may
// have taken the transaction and failed to say so, know it already, or refuse a
// nonce because an earlier attempt made it. The next look finds out.
func (m *Manager) broadcast(ctx context.Context, t *Tx) {
	t.sent = m.cfg.Now()
	tx := new(types.Transaction)
	err := tx.UnmarshalBinary(t.newest().Raw)
	if err == nil {
		err = m.client.Send(ctx, tx)
	}
	if err != nil {
		m.cfg.Log.Debug().Err(err).Str("transaction", t.Label).Uint64("nonce", t.Nonce).Msg("node did not take a transaction")
	}
}

func (m *Manager) save() error {
	b, err := json.MarshalIndent(stateFile{Version: 1, ChainID: m.client.ID(), Account: m.signer.Address(), Txs: m.txs}, "", " ")
	if err == nil {
		err = m.cfg.WriteFile(m.cfg.File, b)
	}
	if err != nil {
		return fmt.Errorf("store transactions: %w", err)
	}
	return nil
}

func (m *Manager) policy() policy {
	return policy{
		resubmit: m.cfg.Resubmit, rebroadcast: m.cfg.Resubmit / 3,
		lostLooks: 3, lostAfter: m.cfg.LostAfter,
	}
}
