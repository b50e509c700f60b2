package chain_test

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"

	"tidemark/anchor/binding"
	"tidemark/anchor/chain"
	"tidemark/anchor/chain/chaintest"
)

var logABI = binding.NewTidemarkLog()

// conformance returns the directory of the outside vectors.
func conformance(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("TIDEMARK_CONFORMANCE")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared", "conformance")
	}
	if _, err := os.Stat(filepath.Join(dir, "merkle")); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("conformance vectors: %v (set TIDEMARK_CONFORMANCE)", err)
		}
		t.Skipf("conformance vectors: %v (set TIDEMARK_CONFORMANCE)", err)
	}
	return filepath.Join(dir, "merkle")
}

type vector struct {
	LeafIdx, TreeSize, Size1, Size2 uint64
	Root, LeafHash, Root1, Root2    []byte
	Proof                           [][]byte
	Desc                            string
	WantErr                         bool
}

func vectors(t *testing.T, kind string) map[string]vector {
	t.Helper()
	root := conformance(t)
	out := map[string]vector{}
	err := filepath.WalkDir(filepath.Join(root, kind), func(f string, d fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(f) != ".json" {
			return err
		}
		b, err := os.ReadFile(f)
		if err != nil {
			return err
		}
		var v vector
		if err := json.Unmarshal(b, &v); err != nil {
			return err
		}
		out[f] = v
		return nil
	})
	if err != nil || len(out) != 98 {
		t.Fatalf("%s: found %d vectors, want 98 (%v)", kind, len(out), err)
	}
	return out
}

// packProof replaces the (empty) proof of well-formed calldata by these hashes,
// octet for octet: hashes that are not 32 octets make calldata the ABI decoder
// or the verifier has to refuse.
func packProof(calldata []byte, hashes [][]byte) []byte {
	out := calldata[:len(calldata)-32]
	out = append(out, common.LeftPadBytes([]byte{byte(len(hashes))}, 32)...)
	for _, h := range hashes {
		out = append(out, h...)
	}
	return out
}

// fits tells whether all these are 32 octets, hence a bytes32.
func fits(hashes ...[]byte) bool {
	for _, h := range hashes {
		if len(h) != 32 {
			return false
		}
	}
	return true
}

// accepts runs a view of the contract that returns a bool; a revert is a refusal.
func accepts(t *testing.T, c *chain.Client, at common.Address, calldata []byte) bool {
	t.Helper()
	head, err := c.Block(context.Background(), chain.Latest)
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.CallAt(context.Background(), head.Hash, at, calldata)
	if revert := new(chain.RevertError); errors.As(err, &revert) {
		return false
	}
	if err != nil {
		t.Fatal(err)
	}
	ok, err := logABI.UnpackInclusionHolds(out)
	if err != nil {
		t.Fatal(err)
	}
	return ok
}

func hash32(b []byte) (h [32]byte) {
	copy(h[:], b)
	return h
}

func TestContract_InclusionVectors(t *testing.T) {
	node := chaintest.Start(t)
	c, at := node.Dial(), node.Deploy()
	asHashes, toDecoder := 0, 0
	for name, v := range vectors(t, "inclusion") {
		if !fits(v.Root, v.LeafHash) {
			// bytes32 arguments cannot carry these: only a proof has a length of its own.
			if !v.WantErr {
				t.Errorf("%s: root or leaf hash of another length is expected to verify", name)
			}
			continue
		}
		if fits(v.Proof...) {
			asHashes++
		} else {
			toDecoder++
		}
		call := packProof(logABI.PackInclusionHolds(v.LeafIdx, v.TreeSize, hash32(v.LeafHash), hash32(v.Root), nil), v.Proof)
		if got := accepts(t, c, at, call); got == v.WantErr {
			t.Errorf("%s (%s): contract says %v, want %v", name, v.Desc, got, !v.WantErr)
		}
	}
	t.Logf("%d as hashes, %d to the ABI decoder", asHashes, toDecoder)
	if asHashes < 70 {
		t.Errorf("only %d vectors were put to the verifier", asHashes)
	}
}

func TestContract_ConsistencyVectors(t *testing.T) {
	node := chaintest.Start(t)
	c, at := node.Dial(), node.Deploy()
	asHashes, toDecoder, equal := 0, 0, 0
	for name, v := range vectors(t, "consistency") {
		if !fits(v.Root1, v.Root2) {
			if !v.WantErr && v.Size1 != v.Size2 {
				t.Errorf("%s: a root of another length is expected to verify", name)
			}
			continue
		}
		if fits(v.Proof...) {
			asHashes++
		} else {
			toDecoder++
		}
		want := !v.WantErr
		if v.Size1 == v.Size2 {
			want = false // refused on purpose: an anchor must grow the log
			equal++
		}
		call := packProof(logABI.PackConsistencyHolds(v.Size1, hash32(v.Root1), v.Size2, hash32(v.Root2), nil), v.Proof)
		if got := accepts(t, c, at, call); got != want {
			t.Errorf("%s (%s): contract says %v, want %v", name, v.Desc, got, want)
		}
	}
	t.Logf("%d as hashes, %d to the ABI decoder, %d of equal sizes", asHashes, toDecoder, equal)
	if asHashes < 70 {
		t.Errorf("only %d vectors were put to the verifier", asHashes)
	}
}

// TestContract_AgreesWithLibraryOnLargeTrees: the sizes a fuzzer does not reach.
func TestContract_AgreesWithLibraryOnLargeTrees(t *testing.T) {
	node := chaintest.Start(t)
	c, at := node.Dial(), node.Deploy()
	tree := uniformTree()
	sizes := []uint64{1, 2, 3, 255, 256, 257, 1<<32 - 1, 1 << 32, 1<<32 + 1, 1<<63 - 1, 1 << 63, math.MaxUint64 - 1, math.MaxUint64}
	for i, first := range sizes {
		for _, second := range sizes[i+1:] {
			path := tree.consistency(t, first, second)
			r1, r2 := tree.root(first), tree.root(second)
			if !accepts(t, c, at, logABI.PackConsistencyHolds(first, r1, second, r2, path)) {
				t.Errorf("%d to %d: the contract refuses an honest proof", first, second)
			}
			if len(path) > 1 && accepts(t, c, at, logABI.PackConsistencyHolds(first, r1, second, r2, path[1:])) {
				t.Errorf("%d to %d: the contract accepts a cut proof", first, second)
			}
			if accepts(t, c, at, logABI.PackConsistencyHolds(second, r2, first, r1, path)) {
				t.Errorf("%d to %d: the contract accepts a shrinking log", second, first)
			}
		}
		if accepts(t, c, at, logABI.PackConsistencyHolds(first, tree.root(first), first, tree.root(first), nil)) {
			t.Errorf("%d: the contract accepts equal sizes", first)
		}
		if accepts(t, c, at, logABI.PackConsistencyHolds(0, hash32(rfc6962.DefaultHasher.EmptyRoot()), first, tree.root(first), nil)) {
			t.Errorf("%d: the contract accepts the empty tree as a beginning", first)
		}
	}
	for name, path := range map[string][][32]byte{"64 hashes": make([][32]byte, 64), "5000 hashes": make([][32]byte, 5000)} {
		if accepts(t, c, at, logABI.PackConsistencyHolds(1, [32]byte{}, math.MaxUint64, [32]byte{1}, path)) {
			t.Errorf("the contract accepts %s of zeros", name)
		}
	}
}

// tree is a tree of equal leaves, which lets sizes up to 2^64-1 be real: all
// perfect subtrees of one height have one hash.
type tree struct{ perfect [65][32]byte }

func uniformTree() *tree {
	t := &tree{}
	t.perfect[0] = hash32(rfc6962.DefaultHasher.HashLeaf(nil))
	for h := 1; h < len(t.perfect); h++ {
		t.perfect[h] = node(t.perfect[h-1], t.perfect[h-1])
	}
	return t
}

func node(l, r [32]byte) [32]byte { return hash32(rfc6962.DefaultHasher.HashChildren(l[:], r[:])) }

func (u *tree) root(size uint64) [32]byte {
	var acc [32]byte
	have := false
	for h := range 64 {
		if size>>h&1 == 0 {
			continue
		}
		if have {
			acc = node(u.perfect[h], acc)
		} else {
			acc, have = u.perfect[h], true
		}
	}
	return acc
}

func (u *tree) consistency(t testing.TB, first, second uint64) [][32]byte {
	t.Helper()
	nodes, err := proof.Consistency(first, second)
	if err != nil {
		t.Fatal(err)
	}
	hashes := make([][]byte, len(nodes.IDs))
	for i, id := range nodes.IDs {
		h := u.at(id, second)
		hashes[i] = h[:]
	}
	path, err := nodes.Rehash(hashes, rfc6962.DefaultHasher.HashChildren)
	if err != nil {
		t.Fatal(err)
	}
	out := make([][32]byte, len(path))
	for i, h := range path {
		out[i] = hash32(h)
	}
	return out
}

func (u *tree) at(id compact.NodeID, _ uint64) [32]byte { return u.perfect[id.Level] }

func TestContract_ForeignAndMissingCodeIsRefused(t *testing.T) {
	node := chaintest.Start(t)
	c, ctx := node.Dial(), context.Background()
	at := node.Deploy()
	if _, err := c.Contract(ctx, at); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Contract(ctx, common.Address{0x42}); !errors.Is(err, chain.ErrNoContract) {
		t.Errorf("address without code: got %v, want ErrNoContract", err)
	}
	code := binding.Runtime()
	code[len(code)/2] ^= 1
	foreign := common.Address{0x43}
	node.Call(nil, "anvil_setCode", foreign, hexutil.Bytes(code))
	if _, err := c.Contract(ctx, foreign); !errors.Is(err, chain.ErrForeignContract) {
		t.Errorf("altered code: got %v, want ErrForeignContract", err)
	}
}

func TestContract_ReadsLogAndItsAnchorings(t *testing.T) {
	node := chaintest.Start(t, "--slots-in-an-epoch", "1")
	c, ctx, tree := node.Dial(), context.Background(), uniformTree()
	k, err := c.Contract(ctx, node.Deploy())
	if err != nil {
		t.Fatal(err)
	}
	k.SetRange(4) // several ranges, some without events
	at := k.Address()
	publisher, logID := node.Accounts()[0], [32]byte{7}
	key := chain.LogKey(logID, publisher, common.Address{9})
	if s, err := k.Log(ctx, key, chain.Latest); err != nil || s.Open() {
		t.Fatalf("log before open: %+v, %v", s, err)
	}
	node.Transact(publisher, &at, logABI.PackOpen(logID, publisher, common.Address{9}))
	sizes := []uint64{3, 4, 1000, 1 << 40}
	var prev uint64
	for _, size := range sizes {
		var path [][32]byte
		if prev > 0 {
			path = tree.consistency(t, prev, size)
		}
		if r := node.Transact(publisher, &at, logABI.PackAnchor(key, size, tree.root(size), path)); r.Status != 1 {
			t.Fatalf("anchor %d reverted", size)
		}
		node.Mine(3)
		prev = size
	}
	s, err := k.Log(ctx, key, chain.Finalized)
	if err != nil {
		t.Fatal(err)
	}
	if s.Size != 1<<40 || s.Seq != 4 || s.Root != tree.root(1<<40) || s.Publisher != publisher || s.Rotator != (common.Address{9}) {
		t.Errorf("log at the finalized block: %+v", s)
	}
	events, err := k.Anchorings(ctx, key, 0, s.At.Number+1)
	if err != nil {
		t.Fatal(err)
	}
	if len(events) != len(sizes) {
		t.Fatalf("got %d events, want %d", len(events), len(sizes))
	}
	for i, e := range events {
		if e.Size != sizes[i] || e.Root != tree.root(sizes[i]) || int(e.Seq) != i+1 || e.Time.IsZero() {
			t.Errorf("event %d: %+v", i, e)
		}
	}
	one, err := k.AnchoringOf(ctx, key, 1000, 0, s.At.Number+1)
	if err != nil || one != events[2] {
		t.Errorf("anchoring of 1000: %+v, %v, want %+v", one, err, events[2])
	}
	if _, err := k.AnchoringOf(ctx, key, 999, 0, s.At.Number+1); !errors.Is(err, chain.ErrNotFound) {
		t.Errorf("anchoring of a size that was not: %v, want ErrNotFound", err)
	}
}

func TestRevertError_NamesTheRule(t *testing.T) {
	node := chaintest.Start(t)
	c, ctx := node.Dial(), context.Background()
	at := node.Deploy()
	_, err := c.EstimateGas(ctx, node.Accounts()[0], &at, logABI.PackAnchor([32]byte{1}, 5, [32]byte{}, nil))
	revert := new(chain.RevertError)
	if !errors.As(err, &revert) || !revert.Refused(binding.TidemarkLogNotPublisherErrorID()) || !strings.Contains(err.Error(), "NotPublisher") {
		t.Errorf("anchor in a log that is not open: got %v, want NotPublisher", err)
	}
}

func TestLogKey_IsTheContracts(t *testing.T) {
	node := chaintest.Start(t)
	c, at := node.Dial(), node.Deploy()
	head, _ := c.Block(context.Background(), chain.Latest)
	p, r := common.Address{1, 19: 2}, common.Address{3, 19: 4}
	out, err := c.CallAt(context.Background(), head.Hash, at, logABI.PackIdOf([32]byte{5}, p, r))
	if err != nil {
		t.Fatal(err)
	}
	if got := chain.LogKey([32]byte{5}, p, r); got != hash32(out) {
		t.Errorf("got %x, contract says %x", got, out)
	}
	code, err := c.Code(context.Background(), at)
	if err != nil || crypto.Keccak256Hash(code) != binding.CodeHash() {
		t.Errorf("deployed code is not Runtime() (%v)", err)
	}
}
