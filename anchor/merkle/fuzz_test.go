package merkle

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"math/bits"
	"testing"

	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/tlog"
)

func FuzzRange_AgreesWithCompactRange(f *testing.F) {
	f.Add(uint16(0), []byte{})
	f.Add(uint16(7), []byte("seed"))
	f.Add(uint16(1000), []byte{1})
	factory := compact.RangeFactory{Hash: rfc6962.DefaultHasher.HashChildren}
	f.Fuzz(func(t *testing.T, n uint16, seed []byte) {
		n %= 2048
		var r Range
		other := factory.NewEmptyRange(0)
		leaf := sha256.Sum256(seed)
		var leaves []Hash
		for range n {
			leaf = sha256.Sum256(leaf[:])
			leaves = append(leaves, leaf)
			r.Append(leaf, nil)
			if err := other.Append(append([]byte(nil), leaf[:]...), nil); err != nil {
				t.Fatal(err)
			}
		}
		if n == 0 {
			return // compact.Range has no root of the empty tree
		}
		want, err := other.GetRootHash(nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := r.Root(); !bytes.Equal(got[:], want) {
			t.Fatalf("Range root of %d = %x, want %x", n, got, want)
		}
		if got := Root(leaves); !bytes.Equal(got[:], want) {
			t.Fatalf("Root of %d = %x, want %x", n, got, want)
		}
	})
}

// hashes cuts b into hashes, the last padded with zeros.
func hashes(b []byte) (out []Hash) {
	for len(b) > 0 {
		var h Hash
		b = b[copy(h[:], b):]
		out = append(out, h)
	}
	return out
}

func FuzzVerifyInclusion_SameVerdictAsTransparencyDev(f *testing.F) {
	l := numbered(21)
	p, _ := Inclusion(nil, 13, 21, Leaves(l))
	root := Root(l)
	f.Add(uint64(13), uint64(21), l[13][:], bytes.Join(octets(p), nil), root[:])
	f.Add(uint64(0), uint64(1), l[0][:], []byte{}, l[0][:])
	f.Add(uint64(0), uint64(0), []byte{}, []byte{}, []byte{})
	f.Add(uint64(1<<63), uint64(1<<64-1), l[0][:], bytes.Repeat(l[1][:], 64), l[2][:])
	f.Fuzz(func(t *testing.T, index, size uint64, leaf, path, root []byte) {
		if len(path) > 80*32 {
			return
		}
		var h, r Hash
		copy(h[:], leaf)
		copy(r[:], root)
		p := hashes(path)
		want := proof.VerifyInclusion(rfc6962.DefaultHasher, index, size, h[:], octets(p), r[:])
		if got := VerifyInclusion(index, size, h, p, r); (got == nil) != (want == nil) {
			t.Fatalf("got %v, transparency-dev says %v", got, want)
		}
		if got, err := RootFromInclusion(index, size, h, p); err == nil {
			if err := VerifyInclusion(index, size, h, p, got); err != nil {
				t.Fatalf("root %s of the proof itself refused: %v", hex.EncodeToString(got[:]), err)
			}
		}
	})
}

func FuzzVerifyConsistency_SameVerdictAsTransparencyDev(f *testing.F) {
	l := numbered(21)
	p, _ := Consistency(nil, 13, 21, Leaves(l))
	root1, root2 := Root(l[:13]), Root(l)
	f.Add(uint64(13), uint64(21), bytes.Join(octets(p), nil), root1[:], root2[:])
	f.Add(uint64(16), uint64(21), l[0][:], root1[:], root2[:])
	f.Add(uint64(1<<63), uint64(1<<64-1), bytes.Repeat(l[1][:], 64), root1[:], root2[:])
	f.Fuzz(func(t *testing.T, first, second uint64, path, root1, root2 []byte) {
		if len(path) > 80*32 {
			return
		}
		var r1, r2 Hash
		copy(r1[:], root1)
		copy(r2[:], root2)
		p := hashes(path)
		got := VerifyConsistency(first, second, p, r1, r2)
		if first == 0 || second <= first {
			if got == nil {
				t.Fatalf("sizes %d, %d accepted", first, second)
			}
			return
		}
		want := proof.VerifyConsistency(rfc6962.DefaultHasher, first, second, octets(p), r1[:], r2[:])
		if (got == nil) != (want == nil) {
			t.Fatalf("got %v, transparency-dev says %v", got, want)
		}
	})
}

func FuzzProofs_OfRandomTreesVerify(f *testing.F) {
	f.Add(uint16(1), uint16(0), uint16(1))
	f.Add(uint16(1000), uint16(999), uint16(512))
	f.Add(uint16(769), uint16(256), uint16(768))
	all := numbered(3000)
	blocks := map[uint16][]Hash{}
	f.Fuzz(func(t *testing.T, size, index, first uint16) {
		size = size%3000 + 1
		index %= size
		leaves := all[:size]
		if blocks[size] == nil {
			blocks[size] = Blocks(nil, leaves)
		}
		stored := Stored(blocks[size], func(b, e uint64) ([]Hash, error) { return leaves[b:e], nil })
		root := Root(leaves)
		p, err := Inclusion(nil, uint64(index), uint64(size), stored)
		if err != nil {
			t.Fatal(err)
		}
		if err := tlog.CheckRecord(tlogProof(p), int64(size), tlog.Hash(root), int64(index), tlog.Hash(leaves[index])); err != nil {
			t.Fatal(err)
		}
		if len(p) > bits.Len16(size) {
			t.Fatalf("path of %d hashes in a tree of %d", len(p), size)
		}
		if first = first % size; first == 0 {
			return
		}
		c, err := Consistency(nil, uint64(first), uint64(size), stored)
		if err != nil {
			t.Fatal(err)
		}
		if err := tlog.CheckTree(tlogProof(c), int64(size), tlog.Hash(root), int64(first), tlog.Hash(Root(leaves[:first]))); err != nil {
			t.Fatal(err)
		}
	})
}

func FuzzRangeUnmarshal_AcceptsOnlyItsOwnForm(f *testing.F) {
	f.Add(make([]byte, 8))
	f.Add(append([]byte{0, 0, 0, 0, 0, 0, 0, 4}, make([]byte, 32)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		var r Range
		if r.UnmarshalBinary(b) != nil {
			return
		}
		if again, _ := r.MarshalBinary(); !bytes.Equal(again, b) {
			t.Fatalf("read %x, wrote %x", b, again)
		}
		r.Root()
	})
}
