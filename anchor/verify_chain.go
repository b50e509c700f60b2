package anchor

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// ChainReader reads the contract, at an RPC endpoint that it was given. All
// methods ask the chain anew; an error means that the answer is not known.
type ChainReader interface {
	// ChainID is the id the endpoint says its chain has.
	ChainID(ctx context.Context) (uint64, error)
	// Development says whether the chain's operator can rewrite it at will.
	Development() bool
	// CheckCode checks that the code at contract is that of this release: only
	// then do its events mean what we think. ErrUnreachable: not known.
	CheckCode(ctx context.Context, contract [20]byte) error
	// Head is the newest checkpoint of log, by the latest or by the finalized
	// block. Size 0: nothing was anchored by then.
	Head(ctx context.Context, log ChainLog, finalized bool) (ChainHead, error)
	// Anchors are the Anchored events of log in blocks [begin, end), in order;
	// end 0: to the latest block.
	Anchors(ctx context.Context, log ChainLog, begin, end uint64) ([]ChainAnchor, error)
	// Block is the canonical block with this number; ErrNoBlock: there is none.
	Block(ctx context.Context, number uint64) (ChainBlock, error)
}

// ErrNoBlock says that the chain has no block of the number asked for.
var ErrNoBlock = errors.New("no such block")

// ErrUnreachable is a dependency that did not answer: the chain or the database.
// Nothing is known then, neither good nor bad.
var ErrUnreachable = errors.New("no answer")

// ChainBlock is a block of the canonical chain.
type ChainBlock struct {
	Number uint64
	Hash   [32]byte
	Time   int64 // seconds since 1970 UTC
}

// ChainHead is the state of a log in the contract as of Block.
type ChainHead struct {
	Block ChainBlock
	Open  bool // there is a log of this id
	Size  uint64
	Root  [32]byte
}

// ChainAnchor is one Anchored event: the log grew from PrevSize to Size in Block.
type ChainAnchor struct {
	Size     uint64
	PrevSize uint64
	Root     [32]byte
	Tx       [32]byte
	Block    ChainBlock
}

// checkContract asks whether the endpoint is on the chain of log and the
// contract there is the one meant. Its error is ErrUnreachable or a fault.
func checkContract(ctx context.Context, chain ChainReader, log ChainLog) error {
	id, err := chain.ChainID(ctx)
	if err != nil {
		return fmt.Errorf("read chain id: %w: %w", ErrUnreachable, err)
	}
	if id != log.ChainID {
		return fmt.Errorf("the RPC endpoint is on chain %d, want %d: give the URL of a node of that chain", id, log.ChainID)
	}
	return chain.CheckCode(ctx, log.Contract)
}

// checkEthBlock checks the block a header claims to have seen before it was
// sealed: it must be canonical, and not younger than the seal.
func checkEthBlock(ctx context.Context, chain ChainReader, h *Header) (fault string, err error) {
	if h.EthBlockHash == [32]byte{} {
		return "", nil // sealed while no chain could be seen
	}
	block, err := chain.Block(ctx, h.EthBlockNumber)
	if errors.Is(err, ErrNoBlock) {
		return fmt.Sprintf("claims to know block %d, which the chain does not have", h.EthBlockNumber), nil
	} else if err != nil {
		return "", fmt.Errorf("read block %d: %w: %w", h.EthBlockNumber, ErrUnreachable, err)
	}
	if block.Hash != h.EthBlockHash {
		return fmt.Sprintf("claims hash %x for block %d, the chain has %x", h.EthBlockHash, block.Number, block.Hash), nil
	}
	if early := timeBetween(h.Sealed, block.Time*int64(time.Second)); early > ClockTolerance {
		return fmt.Sprintf("claims to be sealed at %s, but knows block %d, made %v later", spellTime(h.Sealed), block.Number, early), nil
	}
	return "", nil
}
