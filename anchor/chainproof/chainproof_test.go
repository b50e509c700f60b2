package chainproof

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/rlp"
	"github.com/ethereum/go-ethereum/trie"

	"tidemark/anchor/binding"
)

// anvil is evidence that package chain's test took from a node.
func anvil(t testing.TB) ([]byte, *Evidence, Facts) {
	t.Helper()
	p, err := os.ReadFile("testdata/anvil.json")
	if err != nil {
		t.Fatal(err)
	}
	e, err := Parse(p)
	if err != nil {
		t.Fatal(err)
	}
	f, err := Verify(e, nil)
	if err != nil {
		t.Fatal(err)
	}
	return p, e, f
}

func TestVerify_FactsOfARealBlock(t *testing.T) {
	p, e, f := anvil(t)
	if f.Size != 9 || f.PrevSize != 3 || f.Seq != 2 || !f.StateProven || f.BlockNumber == 0 || f.BlockTime == 0 {
		t.Errorf("facts: %+v", f)
	}
	if again, err := e.Marshal(); err != nil || !bytes.Equal(again, p) {
		t.Errorf("written again it differs: %v", err)
	}
	if _, err := Verify(e, &f.BlockHash); err != nil {
		t.Errorf("the trusted block: %v", err)
	}
	other := f.BlockHash
	other[31] ^= 1
	if _, err := Verify(e, &other); !errors.Is(err, ErrOtherBlock) {
		t.Errorf("another block: %v, want ErrOtherBlock", err)
	}
	e.State = nil
	if f, err := Verify(e, &f.BlockHash); err != nil || f.StateProven || f.Size != 9 {
		t.Errorf("without state: %+v, %v", f, err)
	}
}

// TestVerify_EveryOctetMatters flips each octet of everything that is hashed: with
// the block's hash known, none can be another.
func TestVerify_EveryOctetMatters(t *testing.T) {
	_, e, f := anvil(t)
	parts := map[string][]byte{"header": e.Header, "contract": e.Contract[:], "id": e.ID[:]}
	for name, proof := range map[string][]hexutil.Bytes{"receipt": e.Receipt.Proof, "account": e.State.Account, "head": e.State.Head, "root": e.State.Root} {
		for i, n := range proof {
			parts[fmt.Sprintf("%s %d", name, i)] = n
		}
	}
	for name, p := range parts {
		for i := range p {
			p[i] ^= 1
			if _, err := Verify(e, &f.BlockHash); err == nil {
				t.Errorf("%s: octet %d may be another", name, i)
			}
			p[i] ^= 1
		}
	}
	if _, err := Verify(e, &f.BlockHash); err != nil {
		t.Fatal(err)
	}
}

func TestVerify_EachAlterationIsRefused(t *testing.T) {
	for name, alter := range map[string]func(*Evidence){
		"another size":            func(e *Evidence) { e.Size++ },
		"no header":               func(e *Evidence) { e.Header = nil },
		"header too long":         func(e *Evidence) { e.Header = make([]byte, maxHeader+1) },
		"header cut":              func(e *Evidence) { e.Header = e.Header[:len(e.Header)-1] },
		"header with more behind": func(e *Evidence) { e.Header = append(e.Header, 0) },
		"another receipt":         func(e *Evidence) { e.Receipt.Index-- },
		"another log":             func(e *Evidence) { e.Receipt.Log++ },
		"log of 2^64-1":           func(e *Evidence) { e.Receipt.Log = 1<<64 - 1 },
		"no receipt proof":        func(e *Evidence) { e.Receipt.Proof = nil },
		"receipt proof cut":       func(e *Evidence) { e.Receipt.Proof = e.Receipt.Proof[:len(e.Receipt.Proof)-1] },
		"receipt proof with more": func(e *Evidence) { e.Receipt.Proof = append(e.Receipt.Proof, hexutil.Bytes{0xc0}) },
		"a node twice":            func(e *Evidence) { e.Receipt.Proof = append(e.Receipt.Proof, e.Receipt.Proof[0]) },
		"many nodes":              func(e *Evidence) { e.Receipt.Proof = make([]hexutil.Bytes, maxNodes+1) },
		"huge node":               func(e *Evidence) { e.Receipt.Proof[0] = make([]byte, maxNode+1) },
		"slots swapped":           func(e *Evidence) { e.State.Head, e.State.Root = e.State.Root, e.State.Head },
		"account of storage":      func(e *Evidence) { e.State.Account = e.State.Head },
		"no account":              func(e *Evidence) { e.State.Account = nil },
		"no slot":                 func(e *Evidence) { e.State.Root = nil },
	} {
		_, e, f := anvil(t)
		alter(e)
		if _, err := Verify(e, &f.BlockHash); !errors.Is(err, ErrEvidence) && !errors.Is(err, ErrOtherBlock) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// block is a made-up block with one receipt of ours and a contract whose code and
// slots the test chooses.
func block(t *testing.T, logs []*types.Log, status uint64, code common.Hash, slots map[common.Hash][]byte, id common.Hash) Material {
	t.Helper()
	contract := common.Address{0xc0}
	storage, states := trie.NewEmpty(noNodes{}), trie.NewEmpty(noNodes{})
	put := func(t *trie.Trie, key []byte, v any) {
		p, _ := rlp.EncodeToBytes(v)
		_ = t.Update(crypto.Keccak256(key), p)
	}
	for i := range 50 {
		put(storage, []byte{byte(i)}, []byte{byte(i), 1})
		put(states, []byte{byte(i), 2}, []byte{byte(i), 3})
	}
	for slot, v := range slots {
		put(storage, slot[:], common.TrimLeftZeroes(v))
	}
	put(states, contract[:], account{Nonce: 1, Balance: common.Big0, Storage: storage.Hash(), CodeHash: code})
	path := func(t *trie.Trie, key []byte) []hexutil.Bytes {
		var w pathWriter
		_ = t.Prove(crypto.Keccak256(key), &w)
		return w
	}
	head, root := Slots(id)
	m := Material{Contract: contract, ID: id, Size: 9, State: &State{Account: path(states, contract[:]), Head: path(storage, head[:]), Root: path(storage, root[:])}}
	receipts := types.Receipts{
		{Type: types.DynamicFeeTxType, Status: 1},
		{Type: types.DynamicFeeTxType, Status: status, Logs: logs},
	}
	for _, r := range receipts {
		p, err := r.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		m.Receipts = append(m.Receipts, p)
	}
	h := &types.Header{Root: states.Hash(), ReceiptHash: types.DeriveSha(receipts, trie.NewStackTrie(nil)), Number: common.Big1, Difficulty: common.Big0, Time: 5}
	m.Header, _ = rlp.EncodeToBytes(h)
	m.BlockHash = h.Hash()
	return m
}

// TestBuild_TrueProofsOfSomethingElseAreRefused: every trie here is sound.
func TestBuild_TrueProofsOfSomethingElseAreRefused(t *testing.T) {
	id, code := common.Hash{1}, binding.CodeHash()
	event := func(size, seq, prev uint64) *types.Log {
		l := &types.Log{Address: common.Address{0xc0}, Topics: []common.Hash{binding.AnchoredTopic(), id, common.BigToHash(bigOf(size))}}
		l.Data = append(append(bytes.Repeat([]byte{7}, 32), common.BigToHash(bigOf(seq)).Bytes()...), common.BigToHash(bigOf(prev)).Bytes()...)
		return l
	}
	headSlot, rootSlot := Slots(id)
	slots := func(size uint64, seq uint32, root byte) map[common.Hash][]byte {
		return map[common.Hash][]byte{
			headSlot: append([]byte{byte(seq >> 24), byte(seq >> 16), byte(seq >> 8), byte(seq), byte(size >> 56), 0, 0, 0, 0, 0, byte(size >> 8), byte(size)}, bytes.Repeat([]byte{5}, 20)...),
			rootSlot: bytes.Repeat([]byte{root}, 32),
		}
	}
	good := event(9, 2, 3)
	with := func(change func(l *types.Log)) *types.Log { l := event(9, 2, 3); change(l); return l }
	for name, c := range map[string]struct {
		log    *types.Log
		status uint64
		code   common.Hash
		slots  map[common.Hash][]byte
		ok     bool
	}{
		"as it should be":             {good, 1, code, slots(9, 2, 7), true},
		"a later one in the block":    {good, 1, code, slots(12, 3, 8), true},
		"reverted":                    {good, 0, code, slots(9, 2, 7), false},
		"code of another contract":    {good, 1, common.Hash{3}, slots(9, 2, 7), false},
		"another root stored":         {good, 1, code, slots(9, 2, 8), false},
		"another size stored":         {good, 1, code, slots(8, 2, 7), false},
		"an earlier checkpoint":       {good, 1, code, slots(3, 1, 7), false},
		"a later one that is smaller": {good, 1, code, slots(8, 3, 7), false},
		"nothing stored":              {good, 1, code, nil, false},
		"of another contract":         {with(func(l *types.Log) { l.Address[0]++ }), 1, code, slots(9, 2, 7), false},
		"of another log":              {with(func(l *types.Log) { l.Topics[1][0]++ }), 1, code, slots(9, 2, 7), false},
		"another event":               {with(func(l *types.Log) { l.Topics[0][0]++ }), 1, code, slots(9, 2, 7), false},
		"of another size":             {event(10, 2, 3), 1, code, slots(10, 2, 7), false},
		"not growing":                 {event(9, 2, 9), 1, code, slots(9, 2, 7), false},
		"size beyond 64 bits":         {with(func(l *types.Log) { l.Topics[2][0] = 1 }), 1, code, slots(9, 2, 7), false},
		"seq beyond 32 bits":          {event(9, 1<<32+2, 3), 1, code, slots(9, 2, 7), false},
		"short data":                  {with(func(l *types.Log) { l.Data = l.Data[:95] }), 1, code, slots(9, 2, 7), false},
		"less topics":                 {with(func(l *types.Log) { l.Topics = l.Topics[:2] }), 1, code, slots(9, 2, 7), false},
	} {
		_, _, err := Build(block(t, []*types.Log{{Address: common.Address{1}}, c.log}, c.status, c.code, c.slots, id))
		if c.ok != (err == nil) || err != nil && !errors.Is(err, ErrEvidence) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestParse_HasOneForm(t *testing.T) {
	p, _, _ := anvil(t)
	text := string(p)
	for name, s := range map[string]string{
		"nothing":           "",
		"null":              "null",
		"another format":    strings.Replace(text, "evidence/v1", "evidence/v2", 1),
		"unknown field":     strings.Replace(text, `"format"`, `"more": 1, "format"`, 1),
		"repeated field":    strings.Replace(text, `"format"`, `"size": "9", "format"`, 1),
		"capitals":          strings.Replace(text, `"header": "0xf9`, `"header": "0xF9`, 1),
		"number, not text":  strings.Replace(text, `"size": "9"`, `"size": 9`, 1),
		"leading zero":      strings.Replace(text, `"size": "9"`, `"size": "09"`, 1),
		"a second document": text + text,
		"too long":          text + strings.Repeat(" ", MaxEvidence),
	} {
		if s == text {
			t.Fatalf("%s: nothing was altered", name)
		}
		if _, err := Parse([]byte(s)); !errors.Is(err, ErrEvidence) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for n := range len(p) - 1 {
		if _, err := Parse(p[:n]); err == nil {
			t.Fatalf("the first %d of %d octets are taken", n, len(p))
		}
	}
}

// TestProveReceipt_AgreesWithTheLibrary builds tries of many sizes: keys of one
// and more octets, leaves, branches and extensions.
func TestProveReceipt_AgreesWithTheLibrary(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, n := range []int{1, 2, 15, 16, 17, 127, 128, 129, 255, 256, 300} {
		list := make([][]byte, n)
		for i := range list {
			list[i] = make([]byte, 1+rng.IntN(400))
			for j := range list[i] {
				list[i][j] = byte(rng.Uint32())
			}
		}
		root := types.DeriveSha(opaque(list), trie.NewStackTrie(nil))
		for _, i := range []int{0, n / 2, n - 1} {
			path, err := proveReceipt(list, uint64(i), root)
			if err != nil {
				t.Fatal(err)
			}
			key, _ := rlp.EncodeToBytes(uint64(i))
			if got, err := prove(root, key, path); err != nil || !bytes.Equal(got, list[i]) {
				t.Errorf("receipt %d of %d: %v", i, n, err)
			}
		}
	}
}

type opaque [][]byte

func (o opaque) Len() int                           { return len(o) }
func (o opaque) EncodeIndex(i int, w *bytes.Buffer) { w.Write(o[i]) }

func TestArchive_KeepsWhatVerifies(t *testing.T) {
	_, e, f := anvil(t)
	a := Archive{Dir: t.TempDir() + "/evidence", WriteFile: func(path string, b []byte) error { return os.WriteFile(path, b, 0o600) }}
	if _, _, err := a.Read(e.Contract, e.ID, e.Size, nil); !errors.Is(err, ErrNone) {
		t.Errorf("empty archive: %v, want ErrNone", err)
	}
	if err := a.Store(e); err != nil {
		t.Fatal(err)
	}
	if got, facts, err := a.Read(e.Contract, e.ID, e.Size, &f.BlockHash); err != nil || facts != f || got.Tx != e.Tx {
		t.Errorf("read: %+v, %v", facts, err)
	}
	if _, _, err := a.Read(e.Contract, e.ID, e.Size, &common.Hash{1}); !errors.Is(err, ErrNone) {
		t.Errorf("another block: %v, want ErrNone", err)
	}
	if _, _, err := a.Read(common.Address{1}, e.ID, e.Size, nil); !errors.Is(err, ErrNone) {
		t.Errorf("another contract: %v, want ErrNone", err)
	}
	p, _ := os.ReadFile(a.path(e.Size))
	for _, n := range []int{0, 1, len(p) / 2, len(p) - 2} {
		if err := os.WriteFile(a.path(e.Size), p[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		if _, _, err := a.Read(e.Contract, e.ID, e.Size, nil); !errors.Is(err, ErrEvidence) {
			t.Errorf("%d octets of a file: %v, want ErrEvidence", n, err)
		}
	}
	e.State.Root[0][3] ^= 1
	if err := a.Store(e); !errors.Is(err, ErrEvidence) {
		t.Errorf("false evidence was stored: %v", err)
	}
}

// FuzzVerify feeds hostile files: nothing may panic, and nothing but the golden
// checkpoint may be proven for the golden block.
func FuzzVerify(f *testing.F) {
	p, e, facts := anvil(f)
	f.Add(p)
	e.State = nil
	bare, _ := json.Marshal(e)
	f.Add(bare)
	f.Fuzz(func(t *testing.T, p []byte) {
		e, err := Parse(p)
		if err != nil {
			return
		}
		_, _ = Verify(e, nil)
		got, err := Verify(e, &facts.BlockHash)
		if err != nil {
			return
		}
		if e.Contract == (common.Address{}) || got.Size != e.Size || got.BlockNumber != facts.BlockNumber {
			t.Errorf("believed: %+v", got)
		}
	})
}

func bigOf(v uint64) *big.Int { return new(big.Int).SetUint64(v) }
