package txmgr

import (
	"context"
	"crypto/ecdsa"
	"encoding/binary"
	"errors"
	"math/big"
	"path/filepath"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/rs/zerolog"

	"tidemark/anchor/chain"
)

// keySigner signs with a key in memory.
type keySigner struct{ key *ecdsa.PrivateKey }

func newSigner(t testing.TB) keySigner {
	t.Helper()
	k, err := crypto.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	return keySigner{k}
}

func (s keySigner) Address() common.Address { return crypto.PubkeyToAddress(s.key.PublicKey) }

func (s keySigner) Sign(tx *types.Transaction, chainID uint64) (*types.Transaction, error) {
	return types.SignTx(tx, types.LatestSignerForChainID(new(big.Int).SetUint64(chainID)), s.key)
}

// fakeChain is a chain with one account, whose every step is a test's.
type fakeChain struct {
	account common.Address
	blocks  []fakeBlock // blocks[0] is the genesis
	pool    map[uint64]*types.Transaction
	salt    byte // makes the hashes of a new fork differ
	baseFee int64
	tip     int64
	funds   *big.Int
	id      uint64

	sendErr    error // returned by Send, after the transaction was taken or not
	takeAnyway bool
	callErr    error // returned by every read
	sent       int
	estimate   uint64
	needs      uint64 // really
}

type fakeBlock struct {
	hash common.Hash
	txs  []*types.Transaction
}

func newFake(account common.Address) *fakeChain {
	f := &fakeChain{account: account, pool: map[uint64]*types.Transaction{}, baseFee: 1e9, tip: 1e6, funds: big.NewInt(1e18), id: 5, estimate: 60_000}
	f.mine()
	return f
}

func (f *fakeChain) head() uint64 { return uint64(len(f.blocks) - 1) }

// mine makes a block of what the pool has in nonce order and can pay the base fee.
func (f *fakeChain) mine() {
	var b fakeBlock
	for n := f.nonce(); ; n++ {
		tx := f.pool[n]
		if tx == nil || tx.GasFeeCapIntCmp(big.NewInt(f.baseFee)) < 0 {
			break
		}
		b.txs = append(b.txs, tx)
		delete(f.pool, n)
	}
	var seed [9]byte
	binary.BigEndian.PutUint64(seed[:], uint64(len(f.blocks)))
	seed[8] = f.salt
	b.hash = crypto.Keccak256Hash(seed[:])
	f.blocks = append(f.blocks, b)
}

// reorg takes out blocks; their transactions go back to the pool, or vanish.
func (f *fakeChain) reorg(depth int, keep bool) {
	f.salt++
	for range depth {
		last := f.blocks[len(f.blocks)-1]
		f.blocks = f.blocks[:len(f.blocks)-1]
		for _, tx := range last.txs {
			if keep {
				f.pool[tx.Nonce()] = tx
			}
		}
	}
}

func (f *fakeChain) nonce() (n uint64) {
	for _, b := range f.blocks {
		n += uint64(len(b.txs))
	}
	return n
}

func (f *fakeChain) ID() uint64 { return 5 }

func (f *fakeChain) CheckID(context.Context) error {
	if f.id != 5 {
		return &chain.WrongChainError{Got: f.id, Want: 5}
	}
	return f.callErr
}

func (f *fakeChain) Block(ctx context.Context, tag string) (chain.Block, error) {
	n := f.head()
	switch tag {
	case chain.Safe:
		n -= min(n, 2)
	case chain.Finalized:
		n -= min(n, 4)
	}
	return f.BlockAt(ctx, n)
}

func (f *fakeChain) BlockAt(_ context.Context, n uint64) (chain.Block, error) {
	if f.callErr != nil {
		return chain.Block{}, f.callErr
	}
	if n > f.head() {
		return chain.Block{}, chain.ErrNotFound
	}
	return chain.Block{Number: n, Hash: f.blocks[n].hash, Time: time.Unix(int64(n)*12, 0), BaseFee: big.NewInt(f.baseFee)}, nil
}

func (f *fakeChain) Receipt(_ context.Context, h common.Hash) (chain.Receipt, error) {
	if f.callErr != nil {
		return chain.Receipt{}, f.callErr
	}
	for n, b := range f.blocks {
		for _, tx := range b.txs {
			if tx.Hash() == h {
				return chain.Receipt{Tx: h, Block: uint64(n), BlockHash: b.hash, OK: true, GasUsed: 21000}, nil
			}
		}
	}
	return chain.Receipt{}, chain.ErrNotFound
}

func (f *fakeChain) Nonce(context.Context, common.Address) (uint64, error) {
	return f.nonce(), f.callErr
}

func (f *fakeChain) PendingNonce(context.Context, common.Address) (uint64, error) {
	n := f.nonce()
	for f.pool[n] != nil {
		n++
	}
	return n, f.callErr
}

func (f *fakeChain) Balance(context.Context, common.Address) (*big.Int, error) {
	return f.funds, f.callErr
}

func (f *fakeChain) TipCap(context.Context) (*big.Int, error) { return big.NewInt(f.tip), f.callErr }

func (f *fakeChain) EstimateGas(context.Context, common.Address, *common.Address, []byte) (uint64, error) {
	return f.estimate, f.callErr
}

func (f *fakeChain) Send(_ context.Context, tx *types.Transaction) error {
	f.sent++
	if f.sendErr != nil && !f.takeAnyway {
		return f.sendErr
	}
	switch old := f.pool[tx.Nonce()]; {
	case tx.Gas() < f.needs:
		return errors.New("intrinsic gas too low")
	case tx.Nonce() < f.nonce():
		return errors.New("nonce too low")
	case old != nil && old.Hash() == tx.Hash():
		return errors.New("already known")
	case old != nil && (tenPercent(old.GasFeeCap()).Cmp(tx.GasFeeCap()) > 0 || tenPercent(old.GasTipCap()).Cmp(tx.GasTipCap()) > 0):
		return errors.New("replacement transaction underpriced")
	}
	f.pool[tx.Nonce()] = tx
	return f.sendErr
}

func tenPercent(v *big.Int) *big.Int {
	v = new(big.Int).Mul(v, big.NewInt(110))
	return v.Div(v, big.NewInt(100))
}

// world is a manager on a fake chain with a clock that stands still.
type world struct {
	*testing.T
	*fakeChain
	*Manager
	cfg    Config
	signer keySigner
	clock  time.Time
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{T: t, signer: newSigner(t), clock: time.Unix(1_000_000, 0)}
	w.fakeChain = newFake(w.signer.Address())
	w.cfg = Config{
		File: filepath.Join(t.TempDir(), "transactions.json"), FeeCap: big.NewInt(100e9),
		Resubmit: 30 * time.Second, LostAfter: 20 * time.Second,
		Now: func() time.Time { return w.clock }, Log: zerolog.Nop(),
	}
	w.restart()
	return w
}

// restart forgets everything but the state file.
func (w *world) restart() {
	w.Helper()
	m, err := Open(w.fakeChain, w.signer, w.cfg)
	if err != nil {
		w.Fatal(err)
	}
	w.Manager = m
}

func (w *world) submit(target uint64) Tx {
	w.Helper()
	tx, err := w.Submit(context.Background(), "test", target, &common.Address{1}, []byte{1, 2, 3, 4})
	if err != nil {
		w.Fatalf("submit: %v", err)
	}
	return tx
}

func (w *world) poll() []Tx {
	w.Helper()
	changed, err := w.Poll(context.Background())
	if err != nil {
		w.Fatalf("poll: %v", err)
	}
	return changed
}

// pass lets time go by in steps of 5 s, with a look at each.
func (w *world) pass(d time.Duration) {
	w.Helper()
	for end := w.clock.Add(d); w.clock.Before(end); {
		w.clock = w.clock.Add(5 * time.Second)
		w.poll()
	}
}

func (w *world) want(states ...State) {
	w.Helper()
	txs := w.Transactions()
	if len(txs) != len(states) {
		w.Fatalf("got %d transactions, want %d", len(txs), len(states))
	}
	for i, s := range states {
		if txs[i].State != s {
			w.Fatalf("transaction %d is %s, want %s", i, txs[i].State, s)
		}
	}
}
