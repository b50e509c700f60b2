package anchor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ethereum/go-ethereum/common"

	"tidemark/anchor/chain"
)

// rpcReader is a ChainReader over JSON-RPC.
type rpcReader struct{ client *chain.Client }

// NewChainReader reads the chain that client is connected to.
func NewChainReader(client *chain.Client) ChainReader { return &rpcReader{client} }

func (r *rpcReader) ChainID(ctx context.Context) (uint64, error) {
	return r.client.ID(), r.client.CheckID(ctx)
}

func (r *rpcReader) Development() bool { return r.client.Development() }

func (r *rpcReader) CheckCode(ctx context.Context, contract [20]byte) error {
	_, err := r.client.Contract(ctx, common.Address(contract))
	if err == nil || errors.Is(err, chain.ErrNoContract) || errors.Is(err, chain.ErrForeignContract) {
		return err
	}
	return fmt.Errorf("read code of contract %x: %w: %w", contract, ErrUnreachable, err)
}

func (r *rpcReader) Head(ctx context.Context, log ChainLog, finalized bool) (ChainHead, error) {
	contract, err := r.client.Contract(ctx, common.Address(log.Contract))
	if err != nil {
		return ChainHead{}, err
	}
	tag := chain.Latest
	if finalized {
		tag = chain.Finalized
	}
	state, err := contract.Log(ctx, log.ID, tag)
	return ChainHead{Block: block(state.At), Open: state.Open(), Size: state.Size, Root: state.Root}, err
}

func (r *rpcReader) Anchors(ctx context.Context, log ChainLog, begin, end uint64) ([]ChainAnchor, error) {
	contract, err := r.client.Contract(ctx, common.Address(log.Contract))
	if err != nil {
		return nil, err
	}
	if end == 0 {
		latest, err := r.client.Block(ctx, chain.Latest)
		if err != nil {
			return nil, err
		}
		end = latest.Number + 1
	}
	events, err := contract.Anchorings(ctx, log.ID, begin, end)
	anchors := make([]ChainAnchor, len(events))
	for i, e := range events {
		anchors[i] = ChainAnchor{Size: e.Size, PrevSize: e.PrevSize, Root: e.Root, Tx: e.Tx,
			Block: ChainBlock{Number: e.Block, Hash: e.BlockHash, Time: e.Time.Unix()}}
	}
	return anchors, err
}

func (r *rpcReader) Block(ctx context.Context, number uint64) (ChainBlock, error) {
	b, err := r.client.BlockAt(ctx, number)
	if errors.Is(err, chain.ErrNotFound) {
		return ChainBlock{}, fmt.Errorf("block %d: %w", number, ErrNoBlock)
	}
	return block(b), err
}

func block(b chain.Block) ChainBlock {
	if b.Time.IsZero() {
		b.Time = time.Unix(0, 0)
	}
	return ChainBlock{Number: b.Number, Hash: b.Hash, Time: b.Time.Unix()}
}
