package merkle

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"testing"

	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/merkle/testonly"
	"golang.org/x/mod/sumdb/tlog"
)

// numbered are n different leaf hashes.
func numbered(n int) []Hash {
	leaves := make([]Hash, n)
	for i := range leaves {
		leaves[i] = HashLeaf(binary.BigEndian.AppendUint64(nil, uint64(i)))
	}
	return leaves
}

// reference is the recursive definition of RFC 9162, Section 2.1.1.
func reference(leaves []Hash) Hash {
	switch len(leaves) {
	case 0:
		return sha256.Sum256(nil)
	case 1:
		return leaves[0]
	}
	k := 1
	for 2*k < len(leaves) {
		k *= 2
	}
	l, r := reference(leaves[:k]), reference(leaves[k:])
	return sha256.Sum256(append(append([]byte{1}, l[:]...), r[:]...))
}

func TestRoot_CertificateTransparencyReferenceTree(t *testing.T) {
	var leaves []Hash
	var r Range
	for i, want := range testonly.RootHashes() {
		if got := Root(leaves); !bytes.Equal(got[:], want) {
			t.Errorf("Root of %d leaves = %x, want %x", i, got, want)
		}
		if got := r.Root(); !bytes.Equal(got[:], want) {
			t.Errorf("Range root of %d leaves = %x, want %x", i, got, want)
		}
		if i < len(testonly.LeafInputs()) {
			leaf := HashLeaf(testonly.LeafInputs()[i])
			leaves = append(leaves, leaf)
			r.Append(leaf, nil)
		}
	}
}

func TestRoot_EqualsTheDefinitionAtEverySize(t *testing.T) {
	leaves := numbered(1100)
	copied := append([]Hash(nil), leaves...)
	var r Range
	for n := range leaves {
		want := reference(leaves[:n])
		if got := Root(leaves[:n]); got != want {
			t.Fatalf("Root of %d leaves = %x, want %x", n, got, want)
		}
		if got := r.Root(); got != want {
			t.Fatalf("Range root of %d leaves = %x, want %x", n, got, want)
		}
		blocks := Blocks(nil, leaves[:n])
		if uint64(len(blocks)) != NumBlocks(uint64(n)) {
			t.Fatalf("Blocks of %d leaves: got %d, NumBlocks says %d", n, len(blocks), NumBlocks(uint64(n)))
		}
		if got := Root(blocks); got != want {
			t.Fatalf("root over blocks of %d leaves = %x, want %x", n, got, want)
		}
		r.Append(leaves[n], nil)
	}
	for i := range leaves {
		if leaves[i] != copied[i] {
			t.Fatalf("Root changed leaf %d", i)
		}
	}
}

// Root and Blocks take 4096 leaves at a time.
func TestRoot_EqualsTheDefinitionAcrossChunks(t *testing.T) {
	leaves := numbered(3*4096 + 300)
	for _, n := range []int{4095, 4096, 4097, 4096 + 255, 4096 + 256, 8191, 8192, 8193, 8192 + 700, len(leaves)} {
		want := reference(leaves[:n])
		if got := Root(leaves[:n]); got != want {
			t.Errorf("Root of %d leaves = %x, want %x", n, got, want)
		}
		blocks := Blocks(nil, leaves[:n])
		for i, got := range blocks {
			if want := reference(leaves[i*Block : min((i+1)*Block, n)]); got != want {
				t.Errorf("%d leaves: block %d = %x, want %x", n, i, got, want)
			}
		}
		if got := Root(blocks); got != want || uint64(len(blocks)) != NumBlocks(uint64(n)) {
			t.Errorf("root over %d blocks of %d leaves = %x, want %x", len(blocks), n, got, want)
		}
	}
}

// CVE-2012-2459: a tree that duplicates the odd leaf gives [a b c] and
// [a b c c] one root.
func TestRoot_OddLeafIsNotDuplicated(t *testing.T) {
	l := numbered(6)
	three, four := Root(l[:3]), Root([]Hash{l[0], l[1], l[2], l[2]})
	if three == four {
		t.Fatal("[a b c] and [a b c c] have one root")
	}
	six, eight := Root(l[:6]), Root([]Hash{l[0], l[1], l[2], l[3], l[4], l[5], l[4], l[5]})
	if six == eight {
		t.Fatal("[a b c d e f] and [a b c d e f e f] have one root")
	}
	p, err := Inclusion(nil, 2, 3, Leaves(l[:3]))
	if err != nil {
		t.Fatal(err)
	}
	if err := VerifyInclusion(3, 4, l[2], append([]Hash{l[2]}, p...), three); err == nil {
		t.Fatal("a second c is proved in the tree of [a b c]")
	}
}

func TestRoot_DoesNotAllocate(t *testing.T) {
	leaves := numbered(777)
	if n := testing.AllocsPerRun(10, func() { Root(leaves) }); n != 0 {
		t.Fatalf("Root allocates %v times, want 0", n)
	}
	l, r := leaves[0], leaves[1]
	if n := testing.AllocsPerRun(10, func() { l = HashNode(&l, &r) }); n != 0 {
		t.Fatalf("HashNode allocates %v times, want 0", n)
	}
}

func TestRange_VisitsEveryCompleteSubtreeOnce(t *testing.T) {
	const n = 600
	leaves := numbered(n)
	type node struct {
		level uint
		index uint64
	}
	seen := map[node]bool{}
	var r Range
	for _, leaf := range leaves {
		r.Append(leaf, func(level uint, index uint64, h Hash) {
			k := node{level, index}
			if seen[k] {
				t.Fatalf("node %d of level %d visited twice", index, level)
			}
			seen[k] = true
			if want := Root(leaves[index<<level : (index+1)<<level]); h != want {
				t.Fatalf("node %d of level %d = %x, want %x", index, level, h, want)
			}
		})
	}
	want := 0
	for level := 0; n>>level > 0; level++ {
		want += n >> level
	}
	if len(seen) != want {
		t.Fatalf("visited %d nodes, want %d", len(seen), want)
	}
}

func TestRange_PersistentFormRoundTripAndEveryPrefixFails(t *testing.T) {
	leaves := numbered(300)
	var r Range
	for n, leaf := range leaves {
		b, _ := r.MarshalBinary()
		var back Range
		if err := back.UnmarshalBinary(b); err != nil {
			t.Fatal(err)
		}
		if back.Size() != uint64(n) || back.Root() != r.Root() {
			t.Fatalf("size %d: read back size %d, root %x, want %x", n, back.Size(), back.Root(), r.Root())
		}
		for i := range b {
			if err := new(Range).UnmarshalBinary(b[:i]); err == nil {
				t.Fatalf("size %d: UnmarshalBinary of %d of %d octets: no error", n, i, len(b))
			}
		}
		if err := new(Range).UnmarshalBinary(append(b, 0)); err == nil {
			t.Fatalf("size %d: trailing octet accepted", n)
		}
		grown := back.Clone()
		grown.Append(leaf, nil)
		r.Append(leaf, nil)
		if grown.Root() != r.Root() {
			t.Fatalf("size %d: restored range grows to another root", n)
		}
		if back.Size() != uint64(n) {
			t.Fatalf("size %d: Clone shares its nodes", n)
		}
	}
}

// octets turns hashes into the form of transparency-dev/merkle.
func octets(p []Hash) [][]byte {
	out := make([][]byte, len(p))
	for i := range p {
		out[i] = p[i][:]
	}
	return out
}

func tlogProof(p []Hash) []tlog.Hash {
	out := make([]tlog.Hash, len(p))
	for i := range p {
		out[i] = tlog.Hash(p[i])
	}
	return out
}

func TestInclusion_EveryLeafOfEveryTreeAgreesWithTwoOtherImplementations(t *testing.T) {
	leaves := numbered(130)
	for size := uint64(1); size <= uint64(len(leaves)); size++ {
		root := Root(leaves[:size])
		for index := range size {
			p, err := Inclusion(nil, index, size, Leaves(leaves[:size]))
			if err != nil {
				t.Fatal(err)
			}
			if err := VerifyInclusion(index, size, leaves[index], p, root); err != nil {
				t.Fatal(err)
			}
			if err := proof.VerifyInclusion(rfc6962.DefaultHasher, index, size, leaves[index][:], octets(p), root[:]); err != nil {
				t.Fatalf("transparency-dev: %v", err)
			}
			if err := tlog.CheckRecord(tlogProof(p), int64(size), tlog.Hash(root), int64(index), tlog.Hash(leaves[index])); err != nil {
				t.Fatalf("tlog: %v", err)
			}
		}
	}
}

func TestConsistency_EveryPairAgreesWithTwoOtherImplementations(t *testing.T) {
	leaves := numbered(100)
	for second := uint64(2); second <= uint64(len(leaves)); second++ {
		root2 := Root(leaves[:second])
		for first := uint64(1); first < second; first++ {
			root1 := Root(leaves[:first])
			p, err := Consistency(nil, first, second, Leaves(leaves[:second]))
			if err != nil {
				t.Fatal(err)
			}
			if err := VerifyConsistency(first, second, p, root1, root2); err != nil {
				t.Fatal(err)
			}
			if err := proof.VerifyConsistency(rfc6962.DefaultHasher, first, second, octets(p), root1[:], root2[:]); err != nil {
				t.Fatalf("transparency-dev: %v", err)
			}
			if err := tlog.CheckTree(tlogProof(p), int64(second), tlog.Hash(root2), int64(first), tlog.Hash(root1)); err != nil {
				t.Fatalf("tlog: %v", err)
			}
		}
	}
}

func TestStored_ProofsEqualThoseFromAllLeaves(t *testing.T) {
	leaves := numbered(256*9 + 77)
	blocks := Blocks(nil, leaves)
	reads := uint64(0)
	stored := Stored(blocks, func(begin, end uint64) ([]Hash, error) {
		if begin/Block != (end-1)/Block {
			t.Fatalf("leaves [%d, %d) read across a block", begin, end)
		}
		reads += end - begin
		return leaves[begin:end], nil
	})
	sizes := []uint64{1, 2, 255, 256, 257, 511, 512, 513, 1024, 2000, 2304, 2305, uint64(len(leaves))}
	for _, size := range sizes {
		all := Leaves(leaves[:size])
		for _, index := range []uint64{0, 1, 128, 255, 256, 300, 777, 1023, 1024, 2303, 2304, size - 1} {
			if index >= size {
				continue
			}
			want, _ := Inclusion(nil, index, size, all)
			reads = 0
			got, err := Inclusion(nil, index, size, stored)
			if err != nil {
				t.Fatalf("leaf %d of %d: %v", index, size, err)
			}
			compare(t, got, want)
			if reads > 2*Block {
				t.Fatalf("leaf %d of %d: %d leaves read, want at most %d", index, size, reads, 2*Block)
			}
		}
		for _, first := range sizes {
			if first >= size {
				continue
			}
			want, _ := Consistency(nil, first, size, all)
			got, err := Consistency(nil, first, size, stored)
			if err != nil {
				t.Fatalf("%d to %d: %v", first, size, err)
			}
			compare(t, got, want)
		}
	}
}

func compare(t *testing.T, got, want []Hash) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("proof has %d hashes, want %d", len(got), len(want))
	}
	for i := range got {
		if got[i] != want[i] {
			t.Fatalf("hash %d of the proof = %x, want %x", i, got[i], want[i])
		}
	}
}

func TestStored_MissingLeavesAndBlocksAreErrors(t *testing.T) {
	broken := errors.New("disk")
	fail := Stored(nil, func(begin, end uint64) ([]Hash, error) { return nil, broken })
	if _, err := Inclusion(nil, 0, 2, fail); !errors.Is(err, broken) {
		t.Errorf("got %v, want the error of the source", err)
	}
	short := Stored(nil, func(begin, end uint64) ([]Hash, error) { return nil, nil })
	for _, r := range [][2]uint64{{0, 0}, {3, 2}, {0, 2}, {0, 512}, {128, 512}} {
		if _, err := short(r[0], r[1]); err == nil {
			t.Errorf("Stored(%d, %d): no error", r[0], r[1])
		}
	}
	if _, err := Leaves(numbered(3))(1, 4); err == nil {
		t.Error("Leaves(1, 4) of 3: no error")
	}
}

func TestVerify_RefusesBadSizesAndLengths(t *testing.T) {
	l := numbered(9)
	root5, root9 := Root(l[:5]), Root(l)
	inc, _ := Inclusion(nil, 3, 9, Leaves(l))
	con, _ := Consistency(nil, 5, 9, Leaves(l))
	long := make([]Hash, MaxPath+1)
	cases := map[string]error{
		"index at size":      VerifyInclusion(9, 9, l[3], inc, root9),
		"empty tree":         VerifyInclusion(0, 0, l[3], nil, Empty()),
		"short path":         VerifyInclusion(3, 9, l[3], inc[:len(inc)-1], root9),
		"long path":          VerifyInclusion(3, 9, l[3], append(inc[:len(inc):len(inc)], l[0]), root9),
		"65 hashes":          VerifyInclusion(3, 9, l[3], long, root9),
		"first size 0":       VerifyConsistency(0, 9, nil, Empty(), root9),
		"sizes equal":        VerifyConsistency(9, 9, nil, root9, root9),
		"sizes falling":      VerifyConsistency(9, 5, con, root9, root5),
		"short proof":        VerifyConsistency(5, 9, con[:len(con)-1], root5, root9),
		"long proof":         VerifyConsistency(5, 9, append(con[:len(con):len(con)], l[0]), root5, root9),
		"65 hashes of proof": VerifyConsistency(5, 9, long, root5, root9),
		"no proof":           VerifyConsistency(5, 9, nil, root5, root9),
	}
	for name, err := range cases {
		if err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, err := Inclusion(nil, 9, 9, Leaves(l)); err == nil {
		t.Error("Inclusion(9, 9): no error")
	}
	if _, err := Consistency(nil, 0, 9, Leaves(l)); err == nil {
		t.Error("Consistency(0, 9): no error")
	}
	if _, err := Consistency(nil, 9, 9, Leaves(l)); err == nil {
		t.Error("Consistency(9, 9): no error")
	}
}

func TestVerify_EverySingleBitMatters(t *testing.T) {
	l := numbered(300)
	root1, root2 := Root(l[:200]), Root(l)
	inc, _ := Inclusion(nil, 299, 300, Leaves(l))
	con, _ := Consistency(nil, 200, 300, Leaves(l))
	for _, p := range [][]Hash{inc, con} {
		for i := range p {
			for bit := range 256 {
				p[i][bit/8] ^= 1 << (bit % 8)
				if &p[0] == &inc[0] && VerifyInclusion(299, 300, l[299], p, root2) == nil {
					t.Fatalf("inclusion: bit %d of hash %d flipped and accepted", bit, i)
				}
				if &p[0] == &con[0] && VerifyConsistency(200, 300, p, root1, root2) == nil {
					t.Fatalf("consistency: bit %d of hash %d flipped and accepted", bit, i)
				}
				p[i][bit/8] ^= 1 << (bit % 8)
			}
		}
	}
}

func BenchmarkRoot(b *testing.B) {
	leaves := numbered(1 << 16)
	b.SetBytes(1 << 16)
	for b.Loop() {
		Root(leaves)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/(1<<16), "ns/leaf")
}
