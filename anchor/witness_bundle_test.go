package anchor

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"tidemark/anchor/witness"
)

func TestBundle_CosignaturesAreVerifiedIfTheirKeyIsKnown(t *testing.T) {
	b, trust, chain := madeCosigned(t, testClock.Add(time.Minute))
	golden(t, "bundle-v2-cosigned.txt", bundleFileOf(t, b))
	file, err := trust.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "trust-v1-witness.json", file)
	if back, err := ParseTrust(file); err != nil || len(back.Witnesses) != 1 || back.Witnesses[0].String() != trust.Witnesses[0].String() {
		t.Errorf("trust file read back: %+v, %v", back, err)
	}
	p := bundleFileOf(t, b)
	stranger := *trust
	stranger.Witnesses = nil
	early, _, _ := madeCosigned(t, testClock.Add(-time.Hour))
	forge := func(at int) []byte {
		c := *b
		lines := strings.Split(string(b.Checkpoint), "\n")
		last := strings.Fields(lines[len(lines)-2])
		raw, err := base64.StdEncoding.DecodeString(last[2])
		if err != nil {
			t.Fatal(err)
		}
		raw[at] ^= 1
		lines[len(lines)-2] = strings.Join([]string{last[0], last[1], base64.StdEncoding.EncodeToString(raw)}, " ")
		c.Checkpoint = []byte(strings.Join(lines, "\n"))
		return bundleFileOf(t, &c)
	}
	for _, c := range []struct {
		name  string
		file  []byte
		trust *Trust
		code  int
		said  string
	}{
		{"the trust file has its key", p, trust, ExitOK, "witness.example.net/one saw it at 2026-11-22T12:01:00Z"},
		{"nobody has its key", p, &stranger, ExitOK, "witness.example.net/one, not verified"},
		{"not the witness's signature", forge(30), trust, ExitFailed, "forged"},
		{"another time", forge(11), trust, ExitFailed, "forged"},
		{"not the witness's key", forge(0), trust, ExitOK, "witness.example.net/one, not verified"},
		{"forged, but nobody has its key", forge(30), &stranger, ExitOK, "not verified"},
		{"seen before it claims to be sealed", bundleFileOf(t, early), trust, ExitFailed, "TIME-CLAIM"},
	} {
		if code, said := verifyFile(t, c.file, c.trust, chain); code != c.code || !strings.Contains(said, c.said) {
			t.Errorf("%s: exit code %d, want %d and %q:\n%s", c.name, code, c.code, c.said, said)
		}
	}
	r, err := VerifyBundle(t.Context(), b, Given{Trust: &stranger, Chain: chain, Witnesses: []*witness.Verifier{trust.Witnesses[0], trust.Witnesses[0]}})
	if err != nil || len(r.Witnesses) != 1 || r.Witnesses[0].Time == "" {
		t.Errorf("key given beside the trust file: %+v, %v", r, err)
	}
	e, _, _ := madeEvidence(t)
	e.Checkpoint = b.Checkpoint
	if code, said := checkFile(t, evidenceFileOf(t, e), Given{Trust: trust, Chain: chain}); code != ExitOK || strings.Count(said, "one saw it at") == 0 {
		t.Errorf("evidence: exit code %d:\n%s", code, said)
	}
	e.Checkpoint = bytes.Replace(b.Checkpoint, []byte("witness.example.net/one "), []byte("witness.example.net/two "), 1)
	if code, said := checkFile(t, evidenceFileOf(t, e), Given{Trust: trust, Chain: chain}); code != ExitOK || strings.Contains(said, "saw it at") {
		t.Errorf("evidence cosigned by another: exit code %d:\n%s", code, said)
	}
}

// What witnesses cosigned is taken for the checkpoint if it holds the flow and
// its anchor; what they cosigned of another history is said.
func TestProve_TakesTheCheckpointThatWitnessesCosigned(t *testing.T) {
	s := newSite(t)
	_, anchor := s.onAnvil()
	anchor(4)
	var kept [][]byte
	keep := func(size uint64, spoil byte) {
		t.Helper()
		root, err := s.ledger.Reader().Root(size)
		if err != nil {
			t.Fatal(err)
		}
		root[0] ^= spoil
		signed, err := Checkpoint{Origin: s.trust.Origin, Size: size, Root: root}.Sign(s.ledger.signer)
		if err != nil {
			t.Fatal(err)
		}
		kept = append(kept, fmt.Appendf(signed, "— w.example %s\n", base64.StdEncoding.EncodeToString(make([]byte, 76))))
	}
	o := s.proveOptions(bigBatch, 7)
	o.Cosigned = func(batch uint64) ([]byte, error) {
		for _, signed := range kept {
			if c, err := unverifiedCheckpoint(signed); err != nil || c.Size > batch {
				return signed, err
			}
		}
		return nil, nil
	}
	size := func() uint64 {
		t.Helper()
		b, err := Prove(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		if code, said := verifyFile(t, bundleFileOf(t, b), s.trust, s.chain); code != ExitOK && code != ExitUnanchored {
			t.Fatalf("exit code %d:\n%s", code, said)
		}
		c, err := unverifiedCheckpoint(b.Checkpoint)
		if err != nil {
			t.Fatal(err)
		}
		return c.Size
	}
	newest := size()
	keep(3, 0) // holds the flow, but not its anchor
	if got := size(); got != newest {
		t.Errorf("a checkpoint of %d is taken, want the newest, of %d", got, newest)
	}
	keep(5, 0)
	keep(6, 0)
	if got := size(); got != 5 {
		t.Errorf("a checkpoint of %d is taken, want the earliest cosigned one that holds the anchor, of 5", got)
	}
	g := s.gatherOptions(o.Flow)
	g.Cosigned = o.Cosigned
	e, err := Gather(t.Context(), g)
	if err != nil || !bytes.Contains(e.Checkpoint, []byte("\n5\n")) || !bytes.Contains(e.Checkpoint, []byte("— w.example ")) {
		t.Errorf("evidence takes\n%s, %v", e.Checkpoint, err)
	}
	kept = nil
	keep(5, 1)
	if _, err := Prove(t.Context(), o); err == nil || !strings.Contains(err.Error(), "witnesses cosigned root") {
		t.Errorf("witnesses saw another history: %v", err)
	}
}
