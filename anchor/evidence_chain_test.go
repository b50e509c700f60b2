package anchor

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/rawdb"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/rlp"
	"github.com/ethereum/go-ethereum/trie"
	"github.com/ethereum/go-ethereum/triedb"

	"tidemark/anchor/binding"
	"tidemark/anchor/chainproof"
)

// proofNodes collects the nodes of a Merkle-Patricia proof.
type proofNodes []hexutil.Bytes

func (n *proofNodes) Put(_, node []byte) error { *n = append(*n, node); return nil }
func (n *proofNodes) Delete([]byte) error      { return errors.New("not used") }

// madeChainEvidence is madeEvidence whose anchor is proven by a made-up block:
// 300 transactions, the 200th anchors; tries with hundreds of entries.
func madeChainEvidence(t testing.TB) (*Evidence, *Trust) {
	t.Helper()
	e, trust, _ := madeEvidence(t)
	a := &e.Anchors[0]
	contract, id := common.Address(a.Log.Contract), common.Hash(a.Log.ID)
	word := func(n uint64) []byte { return common.BigToHash(hexutil.MustDecodeBig(hexutil.EncodeUint64(n))).Bytes() }
	const seq, prev = 3, 1
	event := &types.Log{Address: contract, Topics: []common.Hash{binding.AnchoredTopic(), id, common.BytesToHash(word(a.Size))},
		Data: append(append(bytes.Clone(a.Root[:]), word(seq)...), word(prev)...)}

	db := triedb.NewDatabase(rawdb.NewMemoryDatabase(), nil)
	storage, states := trie.NewEmpty(db), trie.NewEmpty(db)
	put := func(t *trie.Trie, key []byte, v any) {
		p, err := rlp.EncodeToBytes(v)
		if err == nil {
			err = t.Update(crypto.Keccak256(key), p)
		}
		if err != nil {
			panic(err)
		}
	}
	prove := func(tr *trie.Trie, key []byte) (n proofNodes) {
		if err := tr.Prove(crypto.Keccak256(key), &n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	for i := range 400 {
		put(storage, []byte{byte(i >> 8), byte(i)}, []byte{1, byte(i)})
		put(states, []byte{byte(i >> 8), byte(i), 2}, []byte{byte(i), 3})
	}
	head, root := chainproof.Slots(id)
	put(storage, head[:], append(append([]byte{seq}, word(a.Size)[24:]...), bytes.Repeat([]byte{5}, 20)...))
	put(storage, root[:], a.Root[:])
	put(states, contract[:], &types.StateAccount{Nonce: 1, Balance: common.U2560, Root: storage.Hash(), CodeHash: binding.CodeHash().Bytes()})

	var receipts types.Receipts
	m := chainproof.Material{ChainID: a.Log.ChainID, Contract: contract, ID: id, Size: a.Size, Tx: common.Hash(a.Tx),
		State: &chainproof.State{Account: prove(states, contract[:]), Head: prove(storage, head[:]), Root: prove(storage, root[:])}}
	for i := range 300 {
		r := &types.Receipt{Type: types.DynamicFeeTxType, Status: 1, CumulativeGasUsed: uint64(i+1) * 21000}
		if i == 200 {
			r.Logs = []*types.Log{{Address: common.Address{1}}, event}
		}
		p, err := r.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		receipts, m.Receipts = append(receipts, r), append(m.Receipts, p)
	}
	h := &types.Header{Root: states.Hash(), ReceiptHash: types.DeriveSha(receipts, trie.NewStackTrie(nil)),
		Number: common.Big32, Difficulty: common.Big0, Time: uint64(a.Block.Time), Extra: []byte("made up")}
	var err error
	if m.Header, err = rlp.EncodeToBytes(h); err != nil {
		t.Fatal(err)
	}
	m.BlockHash = h.Hash()
	if a.Chain, _, err = chainproof.Build(m); err != nil {
		t.Fatal(err)
	}
	a.Block.Number, a.Block.Hash = 32, m.BlockHash
	return e, trust
}

func TestEvidence_SecondVerifierChecksTheChainToo(t *testing.T) {
	t.Parallel()
	second := startSecondVerifier(t)
	e, trust := madeChainEvidence(t)
	p := evidenceFileOf(t, e)
	golden(t, "evidence-v1-chain.json", p)
	hash := e.Anchors[0].Block.Hash
	given := []string{"--block-hash", hex0x(hash[:])}
	if code, said := checkFile(t, p, Given{Trust: trust, Blocks: [][32]byte{hash}}); code != ExitOK {
		t.Fatalf("the first verifier: exit code %d:\n%s", code, said)
	}
	if code, said := second.verify(p, "trust-v1.json", given...); code != ExitOK || !strings.Contains(said, "VERIFIED") {
		t.Fatalf("exit code %d:\n%s", code, said)
	}
	for name, other := range map[string][]string{"no block": nil, "another block": {"--block-hash", hex0x(make([]byte, 32))}} {
		if code, said := second.verify(p, "trust-v1.json", other...); code != ExitUnanchored {
			t.Errorf("%s: exit code %d, want %d:\n%s", name, code, ExitUnanchored, said)
		}
	}
	chain, err := e.Anchors[0].Chain.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	var fields any
	if err := json.Unmarshal(chain, &fields); err != nil {
		t.Fatal(err)
	}
	tried := 0
	changes(fields, "", func(path string, change any) {
		tried++
		second.refuses(path, withChain(t, p, change), "trust-v1.json", given...)
	}, func() any { return fields })
	if tried < 150 {
		t.Errorf("only %d changes tried", tried)
	}
	t.Logf("%d changes", tried)
}

// withChain puts other chain evidence into the file.
func withChain(t testing.TB, p []byte, chain any) []byte {
	t.Helper()
	var file map[string]json.RawMessage
	var anchors []map[string]json.RawMessage
	err := json.Unmarshal(p, &file)
	if err == nil {
		err = json.Unmarshal(file["anchors"], &anchors)
	}
	if err == nil {
		anchors[0]["chain_evidence"], err = json.Marshal(chain)
	}
	if err == nil {
		file["anchors"], err = json.Marshal(anchors)
	}
	out, marshalErr := json.Marshal(file)
	if err = errors.Join(err, marshalErr); err != nil {
		t.Fatal(err)
	}
	return out
}

// changes calls f with the whole after each change of one value in v: octets
// flipped in hexadecimal text, numbers counted up, nodes left out and doubled.
func changes(v any, path string, f func(path string, whole any), whole func() any) {
	object, isObject := v.(map[string]any)
	if isObject {
		for name, old := range object {
			if name != "state" { // the event alone is proof of less, and not refused
				delete(object, name)
				f(path+"."+name+" removed", whole())
				object[name] = old
			}
			change(old, path+"."+name, func(x any) { object[name] = x }, f, whole)
		}
		return
	}
	list := v.([]any)
	for i, old := range list {
		change(old, fmt.Sprintf("%s[%d]", path, i), func(x any) { list[i] = x }, f, whole)
	}
}

func change(old any, path string, set func(any), f func(path string, whole any), whole func() any) {
	defer set(old)
	switch old := old.(type) {
	case string:
		octets, err := hex.DecodeString(strings.TrimPrefix(old, "0x"))
		if err != nil || !strings.HasPrefix(old, "0x") { // a number, or the format
			set(old + "0")
			f(path+" longer", whole())
			return
		}
		for i := 0; i < len(octets); i += 1 + len(octets)/8 {
			octets[i] ^= 1 << (i % 8)
			set(hex0x(octets))
			f(fmt.Sprintf("%s octet %d", path, i), whole())
			octets[i] ^= 1 << (i % 8)
		}
		set(hex0x(octets[:len(octets)-1]))
		f(path+" cut", whole())
		set(hex0x(append(octets, 0)))
		f(path+" longer", whole())
	case []any:
		for _, other := range [][]any{old[1:], old[:len(old)-1], append(old[:len(old):len(old)], old[0])} {
			set(other)
			f(fmt.Sprintf("%s of %d nodes, not %d", path, len(other), len(old)), whole())
		}
		set(old)
		changes(old, path, f, whole)
	default:
		changes(old, path, f, whole)
	}
}
