package chain

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"time"

	"github.com/ethereum/go-ethereum/accounts/abi"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/rpc"

	"tidemark/anchor/binding"
)

var (
	// ErrNoContract means that the address has no code on this chain.
	ErrNoContract = errors.New("no contract at this address: wrong address, wrong chain, or a development chain that was reset")
	// ErrForeignContract means that the code is not that of this release.
	ErrForeignContract = errors.New("the contract at this address is not Tidemark's: its code hash differs from this release")
)

// RevertError is a call that the contract refused.
type RevertError struct {
	Method string
	Data   []byte // ABI-encoded custom error, empty if the node does not say
}

func (e *RevertError) Error() string { return fmt.Sprintf("%s: reverted: %s", e.Method, e.reason()) }

func (e *RevertError) reason() string {
	if reason, err := abi.UnpackRevert(e.Data); err == nil {
		return reason
	}
	if len(e.Data) >= 4 {
		if v, err := binding.NewTidemarkLog().UnpackError(e.Data); err == nil {
			name := strings.TrimPrefix(fmt.Sprintf("%T", v), "*binding.TidemarkLog")
			return fmt.Sprintf("%s%+v", name, v)
		}
	}
	return "0x" + hex.EncodeToString(e.Data[:min(len(e.Data), 64)])
}

// Refused reports whether the contract refused with this custom error, given by the
// ErrorID functions of package binding.
func (e *RevertError) Refused(id common.Hash) bool {
	return len(e.Data) >= 4 && [4]byte(e.Data) == [4]byte(id[:4])
}

func revertData(err error) ([]byte, bool) {
	var de rpc.DataError
	if !errors.As(err, &de) {
		return nil, false
	}
	// Without data it may be any refusal of the node, such as missing funds.
	s, ok := de.ErrorData().(string)
	if !ok {
		return nil, strings.Contains(de.Error(), "revert")
	}
	data, err := hexutil.Decode(s)
	return data, err == nil
}

// LogKey is a log's id in the contract. It binds the log id to the first
// publisher and the rotator, so nobody can open it with other ones.
func LogKey(logID [32]byte, publisher, rotator common.Address) [32]byte {
	return crypto.Keccak256Hash(logID[:], common.LeftPadBytes(publisher[:], 32), common.LeftPadBytes(rotator[:], 32))
}

// DeployData is the data of the transaction that creates the contract.
func DeployData() []byte { return common.FromHex(binding.TidemarkLogMetaData.Bin) }

// LogState is a log in the contract after a block.
type LogState struct {
	Publisher common.Address // zero: no log with this key
	Rotator   common.Address
	Proposed  common.Address
	Size      uint64
	Seq       uint32 // number of checkpoints anchored
	Root      [32]byte
	At        Block
}

// Open tells whether the log exists.
func (s LogState) Open() bool { return s.Publisher != common.Address{} }

// Contract reads one deployment of TidemarkLog. It is safe for concurrent use.
type Contract struct {
	client  *Client
	address common.Address
	abi     *binding.TidemarkLog
	step    uint64 // blocks per eth_getLogs
}

// Contract returns a reader after checking that the code at the address is that
// of this release: ErrNoContract, ErrForeignContract.
func (c *Client) Contract(ctx context.Context, address common.Address) (*Contract, error) {
	code, err := c.Code(ctx, address)
	if err != nil {
		return nil, err
	}
	if len(code) == 0 {
		return nil, fmt.Errorf("contract %s on chain %d: %w", address, c.id, ErrNoContract)
	}
	if got := crypto.Keccak256Hash(code); !binding.Known(got) {
		return nil, fmt.Errorf("contract %s on chain %d: %w: got %s, want %s", address, c.id, ErrForeignContract, got, binding.CodeHash())
	}
	return &Contract{client: c, address: address, abi: binding.NewTidemarkLog(), step: logRange}, nil
}

// Address returns where the contract is deployed.
func (k *Contract) Address() common.Address { return k.address }

// Client returns the client the contract is read through.
func (k *Contract) Client() *Client { return k.client }

// Log reads a log's state after the block with a tag.
func (k *Contract) Log(ctx context.Context, key [32]byte, tag string) (LogState, error) {
	at, err := k.client.Block(ctx, tag)
	if err != nil {
		return LogState{}, err
	}
	return k.LogAt(ctx, key, at)
}

// LogAt reads a log's state after a block.
func (k *Contract) LogAt(ctx context.Context, key [32]byte, at Block) (LogState, error) {
	out, err := k.client.CallAt(ctx, at.Hash, k.address, k.abi.PackGetLog(key))
	if err != nil {
		return LogState{}, err
	}
	if len(out) == 0 { // the contract was deployed after this block
		return LogState{At: at}, nil
	}
	const words = 6
	if len(out) != 32*words {
		return LogState{}, fmt.Errorf("log %x at block %d: node answered with %d octets, want %d", key, at.Number, len(out), 32*words)
	}
	l, err := k.abi.UnpackGetLog(out)
	if err != nil {
		return LogState{}, fmt.Errorf("log %x at block %d: node answered nonsense: %w", key, at.Number, err)
	}
	return LogState{
		Publisher: l.Publisher, Rotator: l.Rotator, Proposed: l.Proposed,
		Size: l.Size, Seq: l.Seq, Root: l.Root, At: at,
	}, nil
}

// Anchoring is one Anchored event: the checkpoint (Size, Root) was accepted in
// this block, hence existed before Time.
type Anchoring struct {
	Size      uint64
	PrevSize  uint64
	Root      [32]byte
	Seq       uint32 // from 1
	Tx        common.Hash
	Block     uint64
	BlockHash common.Hash
	Time      time.Time
}

const (
	// logRange is how many blocks one eth_getLogs asks for: public nodes refuse
	// more than some thousands.
	logRange = 2000
	// maxAnchorings bounds one answer; an honest log anchors once per block at most.
	maxAnchorings = logRange
)

// Anchorings returns the events of a log in blocks [begin, end), in order. It
// asks in bounded ranges and checks that what comes back answers the question.
func (k *Contract) Anchorings(ctx context.Context, key [32]byte, begin, end uint64) ([]Anchoring, error) {
	return k.anchorings(ctx, begin, end, []common.Hash{binding.AnchoredTopic(), common.Hash(key)})
}

// AnchoringOf finds the event that anchored exactly this size in blocks
// [begin, end); ErrNotFound if there is none.
func (k *Contract) AnchoringOf(ctx context.Context, key [32]byte, size, begin, end uint64) (Anchoring, error) {
	topic := common.BigToHash(new(big.Int).SetUint64(size))
	got, err := k.anchorings(ctx, begin, end, []common.Hash{binding.AnchoredTopic(), common.Hash(key), topic})
	if err != nil {
		return Anchoring{}, err
	}
	for _, a := range got {
		if a.Size == size {
			return a, nil
		}
	}
	return Anchoring{}, fmt.Errorf("anchoring of size %d in blocks %d to %d: %w", size, begin, end, ErrNotFound)
}

func (k *Contract) anchorings(ctx context.Context, begin, end uint64, topics []common.Hash) ([]Anchoring, error) {
	var all []Anchoring
	times := map[uint64]Block{}
	for begin < end {
		upto := begin + min(k.step, end-begin)
		var logs []types.Log
		err := k.client.call(ctx, &logs, "eth_getLogs", map[string]any{
			"address": k.address, "topics": topics,
			"fromBlock": hexutil.EncodeUint64(begin), "toBlock": hexutil.EncodeUint64(upto - 1),
		})
		if err != nil {
			return nil, fmt.Errorf("events in blocks %d to %d: %w", begin, upto, err)
		}
		if len(logs) > maxAnchorings {
			return nil, fmt.Errorf("events in blocks %d to %d: node answered with %d, more than blocks", begin, upto, len(logs))
		}
		for i := range logs {
			a, err := k.anchoring(ctx, &logs[i], topics, begin, upto, times)
			if err != nil {
				return nil, err
			}
			if n := len(all); n > 0 && (a.Seq != all[n-1].Seq+1 || a.PrevSize != all[n-1].Size) && len(topics) == 2 {
				return nil, fmt.Errorf("events in blocks %d to %d: node left some out: event %d (%d to %d) follows event %d (to %d)",
					begin, upto, a.Seq, a.PrevSize, a.Size, all[n-1].Seq, all[n-1].Size)
			}
			all = append(all, a)
		}
		begin = upto
	}
	return all, nil
}

func (k *Contract) anchoring(ctx context.Context, l *types.Log, topics []common.Hash, begin, end uint64, blocks map[uint64]Block) (Anchoring, error) {
	bad := func(what string) (Anchoring, error) {
		return Anchoring{}, fmt.Errorf("event in transaction %s: node answered with %s", l.TxHash, what)
	}
	if l.Address != k.address || l.Removed || l.BlockNumber < begin || l.BlockNumber >= end {
		return bad("another contract, block or a removed event")
	}
	for i, want := range topics {
		if i >= len(l.Topics) || l.Topics[i] != want {
			return bad("other topics than asked for")
		}
	}
	if len(l.Topics) != 3 || len(l.Data) != 3*32 {
		return bad("an event of another shape")
	}
	e, err := k.abi.UnpackAnchoredEvent(l)
	if err != nil {
		return bad(err.Error())
	}
	b, ok := blocks[l.BlockNumber]
	if !ok {
		if b, err = k.client.BlockAt(ctx, l.BlockNumber); err != nil {
			return Anchoring{}, err
		}
		blocks[l.BlockNumber] = b
	}
	if b.Hash != l.BlockHash {
		return bad("a block that is not canonical (reorganisation under way?)")
	}
	return Anchoring{
		Size: e.Size, PrevSize: e.PrevSize, Root: e.Root, Seq: e.Seq,
		Tx: l.TxHash, Block: l.BlockNumber, BlockHash: l.BlockHash, Time: b.Time,
	}, nil
}
