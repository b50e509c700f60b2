package anchor

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"

	fmtlog "github.com/transparency-dev/formats/log"
	fmtproof "github.com/transparency-dev/formats/proof"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"tidemark/anchor/merkle"
)

// Two other implementations of RFC 9162 and the parsers of C2SP's formats agree
// with the logs that a ledger writes, whatever is in them.
func TestOracles_AgreeOnRandomLogs(t *testing.T) {
	r := rand.New(rand.NewPCG(21, 22))
	for range 3 {
		f := newFixture(t)
		size := uint64(2 + r.IntN(500))
		for i := uint64(1); i < size; i++ {
			if r.IntN(20) == 0 {
				f.seal(i, 1+r.IntN(40))
			} else if _, err := f.l.Seal(t.Context(), nil, nil); err != nil {
				t.Fatal(err)
			}
		}
		f.mustCommit()
		c, signed, err := f.l.Checkpoint()
		if err != nil {
			t.Fatal(err)
		}
		if c.Size != size {
			t.Fatalf("the checkpoint is of %d headers, want %d", c.Size, size)
		}
		ledger := f.l.Reader()
		outside, _, _, err := fmtlog.ParseCheckpoint(signed, ledger.Origin(), ledger.Verifier())
		if err != nil || outside.Size != size || string(outside.Hash) != string(c.Root[:]) {
			t.Errorf("formats reads the checkpoint as %+v, %v", outside, err)
		}
		if _, err := note.Open(signed, note.VerifierList(ledger.Verifier())); err != nil {
			t.Errorf("x/mod does not open the note: %v", err)
		}
		for range 40 {
			index := r.Uint64N(size)
			f.agreeOnHeader(t, index, size, c.Root, signed)
			if first := 1 + r.Uint64N(size-1); first < size {
				f.agreeOnConsistency(t, first, size)
			}
		}
	}
}

func (f *fixture) agreeOnHeader(t *testing.T, index, size uint64, root merkle.Hash, signed []byte) {
	t.Helper()
	path, err := f.l.Reader().Inclusion(index, size)
	if err != nil {
		t.Fatal(err)
	}
	h := f.header(index)
	leaf := h.Leaf()
	if err := proof.VerifyInclusion(rfc6962.DefaultHasher, index, size, leaf[:], asOctets(path), root[:]); err != nil {
		t.Errorf("transparency-dev/merkle: header %d of %d: %v", index, size, err)
	}
	if err := tlog.CheckRecord(asTlog(path), int64(size), tlog.Hash(root), int64(index), tlog.Hash(leaf)); err != nil {
		t.Errorf("x/mod/sumdb/tlog: header %d of %d: %v", index, size, err)
	}
	if own := tlog.RecordHash(h.Append(nil)); own != tlog.Hash(leaf) {
		t.Errorf("x/mod/sumdb/tlog: leaf of header %d is %v, want %x", index, own, leaf)
	}
	b := &Bundle{Row: *randomBatch(index, 1), Header: h, LogKey: f.l.Reader().VerifierKey(), LogProof: path, Checkpoint: signed}
	var p fmtproof.TLogProof
	if err := p.Unmarshal(bundleFileOf(t, b)); err != nil || p.Index != index || !slices.Equal(p.Hashes, path) || !bytes.HasPrefix(p.ExtraData, h.Append(nil)) {
		t.Errorf("formats reads the tlog-proof of header %d as index %d with %d hashes: %v", index, p.Index, len(p.Hashes), err)
	}
}

func (f *fixture) agreeOnConsistency(t *testing.T, first, second uint64) {
	t.Helper()
	path, err := f.l.Consistency(first, second)
	if err != nil {
		t.Fatal(err)
	}
	older, err := f.l.Reader().Root(first)
	if err != nil {
		t.Fatal(err)
	}
	newer, err := f.l.Reader().Root(second)
	if err != nil {
		t.Fatal(err)
	}
	if err := proof.VerifyConsistency(rfc6962.DefaultHasher, first, second, asOctets(path), older[:], newer[:]); err != nil {
		t.Errorf("transparency-dev/merkle: %d to %d: %v", first, second, err)
	}
	if err := tlog.CheckTree(asTlog(path), int64(second), tlog.Hash(newer), int64(first), tlog.Hash(older)); err != nil {
		t.Errorf("x/mod/sumdb/tlog: %d to %d: %v", first, second, err)
	}
}

func asOctets(path []merkle.Hash) [][]byte {
	out := make([][]byte, len(path))
	for i := range path {
		out[i] = path[i][:]
	}
	return out
}

func asTlog(path []merkle.Hash) []tlog.Hash {
	out := make([]tlog.Hash, len(path))
	for i := range path {
		out[i] = tlog.Hash(path[i])
	}
	return out
}
