package publish

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/rs/zerolog"

	"tidemark/anchor/binding"
	"tidemark/anchor/chain"
	"tidemark/anchor/txmgr"
)

// Executor sends single transactions for commands: it waits for each to be
// included. What is under way is kept in Dir: called again after an interruption
// it goes on with the same transaction and pays once.
type Executor struct {
	Client *chain.Client
	Key    *Key
	Dir    string
	FeeCap *big.Int // wei per gas; nil: txmgr's default
	Log    zerolog.Logger
}

// Gwei returns v gwei in wei.
func Gwei(v float64) *big.Int {
	wei, _ := new(big.Float).Mul(big.NewFloat(v), big.NewFloat(1e9)).Int(nil)
	return wei
}

// Deployment is a contract that Deploy brought onto a chain.
type Deployment struct {
	ChainID uint64         `json:"chain_id"`
	Address common.Address `json:"address"`
	Tx      common.Hash    `json:"tx"`
	Block   uint64         `json:"block"`
	GasUsed uint64         `json:"gas_used"`
}

// Deploy creates the contract.
func (x Executor) Deploy(ctx context.Context) (Deployment, error) {
	tx, err := x.run(ctx, labelDeploy, nil, chain.DeployData())
	if err != nil {
		return Deployment{}, err
	}
	d := Deployment{ChainID: x.Client.ID(), Address: crypto.CreateAddress(x.Key.Address(), tx.Nonce), Tx: tx.At.Hash, Block: tx.At.Block, GasUsed: tx.At.GasUsed}
	_, err = x.Client.Contract(ctx, d.Address)
	return d, err
}

// Propose names another publisher of the log; the key must be the rotator's. The
// zero address withdraws a proposal.
func (x Executor) Propose(ctx context.Context, contract common.Address, id [32]byte, next common.Address) (txmgr.Inclusion, error) {
	return x.send(ctx, "propose", contract, binding.NewTidemarkLog().PackProposePublisher(id, next))
}

// Accept makes the key the publisher of the log, after the rotator proposed it.
func (x Executor) Accept(ctx context.Context, contract common.Address, id [32]byte) (txmgr.Inclusion, error) {
	return x.send(ctx, labelAccept, contract, binding.NewTidemarkLog().PackAcceptPublisher(id))
}

func (x Executor) send(ctx context.Context, label string, contract common.Address, data []byte) (txmgr.Inclusion, error) {
	tx, err := x.run(ctx, label, &contract, data)
	if err != nil {
		return txmgr.Inclusion{}, err
	}
	return *tx.At, nil
}

// run sends one transaction and waits until it is in a block.
func (x Executor) run(ctx context.Context, label string, to *common.Address, data []byte) (txmgr.Tx, error) {
	fail := func(err error) (txmgr.Tx, error) { return txmgr.Tx{}, fmt.Errorf("%s: %w", label, err) }
	if err := os.MkdirAll(x.Dir, 0o700); err != nil {
		return fail(err)
	}
	txs, err := txmgr.Open(x.Client, x.Key, txmgr.Config{File: filepath.Join(x.Dir, label+".json"), FeeCap: x.FeeCap, Log: x.Log})
	if err != nil {
		return fail(err)
	}
	if under := txs.Transactions(); len(under) > 0 && !sameCall(under[0], to, data) {
		return fail(fmt.Errorf("another %s is under way, transaction %s: run it again first, as it was", label, under[0].Hashes()[0]))
	} else if len(under) == 0 {
		if _, err := txs.Submit(ctx, label, 0, to, data); err != nil {
			return fail(err)
		}
	}
	for {
		if _, err := txs.Poll(ctx); err != nil {
			x.Log.Warn().Err(err).Msg("chain does not answer; waiting")
		}
		tx := txs.Transactions()[0]
		switch {
		case tx.State == txmgr.Lost:
			return fail(errors.Join(errors.New("another transaction of this account took its nonce: run it again"), txs.Abandon()))
		case tx.At != nil && !tx.At.OK:
			return fail(errors.Join(fmt.Errorf("transaction %s reverted", tx.At.Hash), txs.Abandon()))
		case tx.At != nil:
			return tx, txs.Abandon()
		}
		select {
		case <-ctx.Done():
			return fail(fmt.Errorf("%w: transaction %s is under way, run it again to go on", ctx.Err(), tx.Hashes()[0]))
		case <-time.After(500 * time.Millisecond):
		}
	}
}

func sameCall(tx txmgr.Tx, to *common.Address, data []byte) bool {
	if (tx.To == nil) != (to == nil) || to != nil && *tx.To != *to {
		return false
	}
	return string(tx.Data) == string(data)
}
