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

	"tidemark/anchor/chain"
	"tidemark/anchor/txmgr"
)

// Deployment is a contract that Deploy brought onto a chain.
type Deployment struct {
	ChainID uint64         `json:"chain_id"`
	Address common.Address `json:"address"`
	Tx      common.Hash    `json:"tx"`
	Block   uint64         `json:"block"`
	GasUsed uint64         `json:"gas_used"`
}

// Deploy creates the contract on the chain of c and waits for its inclusion. What
// is under way is kept in dir: called again after an interruption it goes on with
// the same transaction and pays once. feeCap nil means txmgr's default.
func Deploy(ctx context.Context, c *chain.Client, key *Key, dir string, feeCap *big.Int, log zerolog.Logger) (Deployment, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return Deployment{}, fmt.Errorf("deploy contract: %w", err)
	}
	txs, err := txmgr.Open(c, key, txmgr.Config{File: filepath.Join(dir, "deployment.json"), FeeCap: feeCap, Log: log})
	if err != nil {
		return Deployment{}, fmt.Errorf("deploy contract: %w", err)
	}
	if len(txs.Transactions()) == 0 {
		if _, err := txs.Submit(ctx, labelDeploy, 0, nil, chain.DeployData()); err != nil {
			return Deployment{}, fmt.Errorf("deploy contract: %w", err)
		}
	}
	for {
		if _, err := txs.Poll(ctx); err != nil {
			log.Warn().Err(err).Msg("chain does not answer; waiting")
		}
		tx := txs.Transactions()[0]
		switch {
		case tx.State == txmgr.Lost:
			return Deployment{}, errors.Join(errors.New("deploy contract: another transaction of this account took its nonce: run it again"), txs.Abandon())
		case tx.At != nil && !tx.At.OK:
			return Deployment{}, errors.Join(fmt.Errorf("deploy contract: transaction %s reverted", tx.At.Hash), txs.Abandon())
		case tx.At != nil:
			d := Deployment{ChainID: c.ID(), Address: crypto.CreateAddress(key.Address(), tx.Nonce), Tx: tx.At.Hash, Block: tx.At.Block, GasUsed: tx.At.GasUsed}
			if _, err := c.Contract(ctx, d.Address); err != nil {
				return d, fmt.Errorf("deploy contract: %w", err)
			}
			return d, txs.Abandon()
		}
		select {
		case <-ctx.Done():
			return Deployment{}, fmt.Errorf("deploy contract: %w: transaction %s is under way, run it again to go on", ctx.Err(), tx.Hashes()[0])
		case <-time.After(time.Second):
		}
	}
}
