package chainproof

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/big"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/rlp"
	"github.com/ethereum/go-ethereum/trie"

	"tidemark/anchor/binding"
)

// Verify checks every proof of e and returns what they prove. trusted is the hash
// of the block, known by another way; nil takes the block as the evidence has it,
// and the caller must check Facts.BlockHash. Its errors are ErrEvidence and
// ErrOtherBlock.
func Verify(e *Evidence, trusted *common.Hash) (Facts, error) {
	h, err := parseHeader(e.Header)
	if err != nil {
		return Facts{}, fmt.Errorf("%w: header: %w", ErrEvidence, err)
	}
	f := Facts{BlockNumber: h.number, BlockHash: crypto.Keccak256Hash(e.Header), BlockTime: h.time}
	if trusted != nil && f.BlockHash != *trusted {
		return Facts{}, fmt.Errorf("%w: block %d has hash %s, want %s", ErrOtherBlock, f.BlockNumber, f.BlockHash, *trusted)
	}
	if err := e.verifyReceipt(h.receiptsRoot, &f); err != nil {
		return Facts{}, fmt.Errorf("%w: receipt: %w", ErrEvidence, err)
	}
	if e.State != nil {
		if err := e.verifyState(h.stateRoot, &f); err != nil {
			return Facts{}, fmt.Errorf("%w: state: %w", ErrEvidence, err)
		}
	}
	return f, nil
}

type header struct {
	stateRoot, receiptsRoot common.Hash
	number                  uint64
	time                    int64
}

// parseHeader reads the fields it needs by their position, which no fork has
// changed; fields at the end that it does not know are hashed all the same.
func parseHeader(p []byte) (header, error) {
	const stateRoot, receiptsRoot, number, timestamp = 3, 5, 8, 11
	if len(p) > maxHeader {
		return header{}, fmt.Errorf("%d octets, want at most %d", len(p), maxHeader)
	}
	var fields []rlp.RawValue
	if err := rlp.DecodeBytes(p, &fields); err != nil {
		return header{}, err
	}
	if len(fields) <= timestamp {
		return header{}, fmt.Errorf("%d fields, want at least %d", len(fields), timestamp+1)
	}
	var h header
	var seconds uint64
	err := errors.Join(rlp.DecodeBytes(fields[stateRoot], &h.stateRoot), rlp.DecodeBytes(fields[receiptsRoot], &h.receiptsRoot),
		rlp.DecodeBytes(fields[number], &h.number), rlp.DecodeBytes(fields[timestamp], &seconds))
	const year9999 = 253402300799
	if err == nil && seconds > year9999 {
		err = fmt.Errorf("timestamp %d is no time", seconds)
	}
	h.time = int64(seconds)
	return h, err
}

// receipt is the consensus encoding behind its type octet (EIP-2718).
type receipt struct {
	Status   []byte
	Gas      uint64
	Bloom    [256]byte
	Logs     []event
	Optional []rlp.RawValue `rlp:"tail"`
}

type event struct {
	Address common.Address
	Topics  []common.Hash
	Data    []byte
}

// parseReceipt reads a receipt of any transaction type whose first four fields
// are Ethereum's.
func parseReceipt(p []byte) (r receipt, err error) {
	if len(p) > 0 && p[0] < 0x80 {
		p = p[1:]
	}
	return r, rlp.DecodeBytes(p, &r)
}

func (e *Evidence) verifyReceipt(root common.Hash, f *Facts) error {
	key, err := rlp.EncodeToBytes(e.Receipt.Index)
	if err != nil {
		return err
	}
	value, err := prove(root, key, e.Receipt.Proof)
	if err != nil {
		return err
	}
	r, err := parseReceipt(value)
	switch {
	case err != nil:
		return err
	case !bytes.Equal(r.Status, []byte{1}):
		return fmt.Errorf("transaction %d of the block was reverted", e.Receipt.Index)
	case e.Receipt.Log >= uint64(len(r.Logs)):
		return fmt.Errorf("log %d of %d", e.Receipt.Log, len(r.Logs))
	}
	return r.Logs[e.Receipt.Log].anchored(e, f)
}

// anchored checks that l is the Anchored event that e claims.
func (l *event) anchored(e *Evidence, f *Facts) error {
	if l.Address != e.Contract || len(l.Topics) != 3 || l.Topics[0] != binding.AnchoredTopic() || l.Topics[1] != e.ID || len(l.Data) != 3*32 {
		return fmt.Errorf("log %d is not an Anchored event of log %s in contract %s", e.Receipt.Log, e.ID, e.Contract)
	}
	size, ok1 := word64(l.Topics[2][:])
	seq, ok2 := word64(l.Data[32:64])
	prev, ok3 := word64(l.Data[64:])
	if !ok1 || !ok2 || !ok3 || seq > 1<<32-1 || size <= prev {
		return errors.New("event with numbers that no contract of ours emits")
	}
	if size != e.Size {
		return fmt.Errorf("event of size %d, want %d", size, e.Size)
	}
	f.Size, f.Root, f.Seq, f.PrevSize = size, common.Hash(l.Data[:32]), uint32(seq), prev
	return nil
}

// word64 reads an ABI word that holds a uint64.
func word64(w []byte) (uint64, bool) {
	return binary.BigEndian.Uint64(w[24:]), bytes.Equal(w[:24], make([]byte, 24))
}

// Slots returns the storage slots that State proves, of the log with this id:
// _logs is the contract's first variable, and publisher, size and seq share a slot.
func Slots(id common.Hash) (head, root common.Hash) {
	head = crypto.Keccak256Hash(id[:], make([]byte, 32))
	next := new(big.Int).Add(head.Big(), big.NewInt(1))
	return head, common.BigToHash(next) // the sum wraps, as the EVM's does
}

// account is a leaf of the state trie.
type account struct {
	Nonce    uint64
	Balance  *big.Int
	Storage  common.Hash
	CodeHash common.Hash
}

func (e *Evidence) verifyState(root common.Hash, f *Facts) error {
	value, err := prove(root, crypto.Keccak256(e.Contract[:]), e.State.Account)
	if err != nil {
		return fmt.Errorf("account: %w", err)
	}
	var a account
	if err := rlp.DecodeBytes(value, &a); err != nil {
		return fmt.Errorf("account: %w", err)
	}
	if !binding.Known(a.CodeHash) {
		return fmt.Errorf("code hash of the contract is %s, want %s of this release", a.CodeHash, binding.CodeHash())
	}
	head, rootSlot := Slots(e.ID)
	packed, err := proveSlot(a.Storage, head, e.State.Head)
	if err != nil {
		return fmt.Errorf("head of the log: %w", err)
	}
	stored, err := proveSlot(a.Storage, rootSlot, e.State.Root)
	if err != nil {
		return fmt.Errorf("root of the log: %w", err)
	}
	// Solidity packs from the low end: publisher (20 octets), size (8), seq (4).
	seq, size := binary.BigEndian.Uint32(packed[:4]), binary.BigEndian.Uint64(packed[4:12])
	f.Publisher, f.StateProven = common.Address(packed[12:]), true
	switch {
	case seq == f.Seq && (size != f.Size || stored != f.Root):
		return fmt.Errorf("holds size %d and root %s, the event says %d and %s", size, stored, f.Size, f.Root)
	case seq < f.Seq || seq > f.Seq && size <= f.Size:
		return fmt.Errorf("holds checkpoint %d of size %d, the event is checkpoint %d of size %d", seq, size, f.Seq, f.Size)
	}
	return nil
}

func proveSlot(root, slot common.Hash, proof []hexutil.Bytes) (common.Hash, error) {
	value, err := prove(root, crypto.Keccak256(slot[:]), proof)
	if err != nil {
		return common.Hash{}, err
	}
	var word []byte
	if err := rlp.DecodeBytes(value, &word); err != nil {
		return common.Hash{}, err
	}
	if len(word) > 32 {
		return common.Hash{}, fmt.Errorf("%d octets in a slot", len(word))
	}
	return common.BytesToHash(word), nil
}

// prove returns the value that proof shows at key under root. The nodes must be
// those of the path, all of them, from the root down: a proof has one form.
func prove(root common.Hash, key []byte, proof []hexutil.Bytes) ([]byte, error) {
	if len(proof) == 0 || len(proof) > maxNodes {
		return nil, fmt.Errorf("proof of %d nodes, want 1 to %d", len(proof), maxNodes)
	}
	for _, n := range proof {
		if len(n) > maxNode {
			return nil, fmt.Errorf("proof node of %d octets, want at most %d", len(n), maxNode)
		}
	}
	path := &nodePath{nodes: proof}
	value, err := trie.VerifyProof(root, key, path)
	switch {
	case err != nil:
		return nil, err
	case value == nil:
		return nil, errors.New("proof of absence")
	case path.next != len(proof):
		return nil, fmt.Errorf("proof has %d nodes, its path %d", len(proof), path.next)
	}
	return value, nil
}

// nodePath hands the nodes of a proof to the trie in their order.
type nodePath struct {
	nodes []hexutil.Bytes
	next  int
}

func (p *nodePath) Get(hash []byte) ([]byte, error) {
	if p.next == len(p.nodes) || !bytes.Equal(crypto.Keccak256(p.nodes[p.next]), hash) {
		return nil, nil // the trie says which node is missing
	}
	p.next++
	return p.nodes[p.next-1], nil
}

func (p *nodePath) Has([]byte) (bool, error) { return false, errors.New("not used") }
