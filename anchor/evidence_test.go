package anchor

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"tidemark/anchor/merkle"
	"tidemark/collector/flow"
)

// madeEvidence is evidence of the log of madeBundle: three flows of batch 2 and
// the event that is its genesis.
func madeEvidence(t testing.TB) (*Evidence, *Trust, *toldChain) {
	t.Helper()
	b, trust, chain := madeBundle(t)
	salts := SaltKey([]byte("0123456789abcdef"))
	rows := goldenRows()
	leaves := make([]merkle.Hash, rows.Len())
	if err := Leaves(leaves, rows, salts); err != nil {
		t.Fatal(err)
	}
	flows := EvidenceBatch{Header: b.Header, Positions: []uint32{0, 259, 699}}
	var indices []uint64
	for _, pos := range flows.Positions {
		flows.Rows.Append(rows, int(pos), int(pos)+1)
		flows.Salts, indices = append(flows.Salts, salts.Salt(uint64(pos))), append(indices, uint64(pos))
	}
	var err error
	if flows.Proof, err = merkle.Multi(nil, indices, uint64(len(leaves)), merkle.Leaves(leaves)); err != nil {
		t.Fatal(err)
	}
	e := &Evidence{Question: Question{Text: "three flows", Made: testClock, By: "ada"}, LogKey: b.LogKey, Checkpoint: b.Checkpoint, Batches: []EvidenceBatch{flows},
		Anchors: []EvidenceAnchor{{BundleAnchor: *b.Anchor}}}
	e.Anchors[0].Inclusion, e.Anchors[0].Consistency = nil, []merkle.Hash{b.LogProof[2]}
	// One header of the log has the multi-proof of its inclusion proof, from left to right.
	e.LogProof = []merkle.Hash{b.LogProof[1], b.LogProof[0], b.LogProof[2]}
	return e, trust, chain
}

func evidenceFileOf(t testing.TB, e *Evidence) []byte {
	t.Helper()
	p, err := e.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// checkFile is what a command does with evidence; code 2 is a refused file.
func checkFile(t testing.TB, p []byte, trust Given) (code int, said string) {
	t.Helper()
	e, err := ParseEvidence(p)
	if err != nil {
		return 2, err.Error()
	}
	r, err := VerifyEvidence(t.Context(), e, trust)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := errors.Join(r.WriteText(&out), WriteEvidencePage(&out, e, r, "x.json")); err != nil {
		t.Fatal(err)
	}
	return r.ExitCode(), out.String()
}

func TestEvidence_Golden(t *testing.T) {
	e, trust, chain := madeEvidence(t)
	p := evidenceFileOf(t, e)
	golden(t, "evidence-v1.json", p)
	if code, said := checkFile(t, p, Given{Trust: trust, Chain: chain}); code != ExitOK {
		t.Errorf("exit code %d:\n%s", code, said)
	}
	if code, said := checkFile(t, p, Given{Trust: trust}); code != ExitUnanchored || !strings.Contains(said, "no chain was asked") {
		t.Errorf("without a chain: exit code %d:\n%s", code, said)
	}
	if code, _ := checkFile(t, p, Given{Chain: chain}); code != ExitOriginNotChecked {
		t.Errorf("without trust: exit code %d", code)
	}
	if code, _ := checkFile(t, p, Given{Trust: trust, Chain: &toldChain{err: errors.New("away")}}); code != ExitUnreachable {
		t.Errorf("with a chain that is away: exit code %d", code)
	}
}

// Whatever character of the file is changed, it is refused, or says nothing new.
func TestEvidence_EveryChangeIsRefused(t *testing.T) {
	e, trust, chain := madeEvidence(t)
	e.Question = Question{Made: testClock} // nothing proves what was asked
	p := evidenceFileOf(t, e)
	free := strings.Index(string(p), `"log_key"`)
	r := rand.New(rand.NewPCG(5, 6))
	const others = `0123456789abcdefABZ+/=":,{}[] -.`
	for i := free; i < len(p); i += 1 + r.IntN(7) {
		changed := slices.Clone(p)
		for changed[i] == p[i] {
			changed[i] = others[r.IntN(len(others))]
		}
		if strings.TrimSpace(string(p[i])) == "" && strings.TrimSpace(string(changed[i])) == "" {
			continue
		}
		if code, said := checkFile(t, changed, Given{Trust: trust, Chain: chain}); code == ExitOK {
			t.Fatalf("octet %d changed from %q to %q near %q is accepted:\n%s", i, p[i], changed[i], p[max(i-40, 0):i+10], said)
		}
	}
	e.Question.Text = "\x1b[2Jall is well"
	if _, err := ParseEvidence(evidenceFileOf(t, e)); err == nil {
		t.Error("a question that drives the reader's terminal is accepted")
	}
	for n := 0; n < len(p)-1; n += 97 {
		if _, err := ParseEvidence(p[:n]); err == nil {
			t.Fatalf("the first %d octets are accepted", n)
		}
	}
}

func TestEvidence_SecondVerifierAgrees(t *testing.T) {
	second := startSecondVerifier(t)
	original, err := os.ReadFile(filepath.Join("testdata", "evidence-v1.json"))
	if err != nil {
		t.Fatal(err)
	}
	if code, out := second.verify(original, "trust-v1.json"); code != ExitUnanchored || !strings.Contains(out, "3 flows and events of 1 batches") {
		t.Fatalf("golden evidence: exit code %d, want %d:\n%s", code, ExitUnanchored, out)
	}
	e, _, _ := madeEvidence(t)
	change := func(f func(e *Evidence)) string {
		c := *e
		c.Batches, c.Anchors, c.LogProof = slices.Clone(e.Batches), slices.Clone(e.Anchors), slices.Clone(e.LogProof)
		b := &c.Batches[0]
		b.Proof, b.Positions, b.Salts = slices.Clone(b.Proof), slices.Clone(b.Positions), slices.Clone(b.Salts)
		b.Rows = flow.Batch{}
		b.Rows.Append(&e.Batches[0].Rows, 0, 3)
		f(&c)
		return string(evidenceFileOf(t, &c))
	}
	for name, p := range map[string]string{
		"a row":               change(func(e *Evidence) { e.Batches[0].Rows.Bytes[1]++ }),
		"a salt":              change(func(e *Evidence) { e.Batches[0].Salts[0][3] ^= 1 }),
		"a position":          change(func(e *Evidence) { e.Batches[0].Positions[1]++ }),
		"a hash of the batch": change(func(e *Evidence) { e.Batches[0].Proof[2][0] ^= 1 }),
		"one too many":        change(func(e *Evidence) { e.Batches[0].Proof = append(e.Batches[0].Proof, merkle.Hash{}) }),
		"one too few":         change(func(e *Evidence) { e.Batches[0].Proof = e.Batches[0].Proof[1:] }),
		"the header":          change(func(e *Evidence) { e.Batches[0].Header.Sealed++ }),
		"a hash of the log":   change(func(e *Evidence) { e.LogProof[0][9] ^= 1 }),
		"the anchor's root":   change(func(e *Evidence) { e.Anchors[0].Root[9] ^= 1 }),
		"the anchor's size":   change(func(e *Evidence) { e.Anchors[0].Size-- }),
		"the contract":        change(func(e *Evidence) { e.Anchors[0].Log.Contract[5] ^= 1 }),
		"the checkpoint":      strings.Replace(string(original), `golden\n5\n`, `golden\n6\n`, 1),
	} {
		second.refuses(name, []byte(p), "trust-v1.json")
	}
}

func (s *recordedSite) gatherOptions(names ...flow.Name) GatherOptions {
	return GatherOptions{Sources: s.sources(), Leaves: names, Question: Question{Text: "a test", Made: time.Now(), By: "ada"}}
}

func TestGather_ManyFlowsShareTheirProof(t *testing.T) {
	s := newSite(t)
	_, anchor := s.onAnvil()
	anchor(4)
	anchor(7)
	var names []flow.Name
	for pos := range uint32(700) {
		if pos%3 == 0 {
			names = append(names, flow.Name{Log: s.log(), Batch: bigBatch, Pos: pos})
		}
	}
	names = append(names, flow.Name{Log: s.log(), Batch: nextBatch, Pos: 299}, flow.Name{Log: s.log(), Batch: oneBatch}, flow.Name{Log: s.log(), Batch: eventBatch, Pos: 1})
	e, err := Gather(t.Context(), s.gatherOptions(names...))
	if err != nil {
		t.Fatal(err)
	}
	if e.Flows() != 236 || e.Events() != 1 || len(e.Batches) != 4 {
		t.Errorf("%d flows, %d events of %d batches, want 236, 1 of 4", e.Flows(), e.Events(), len(e.Batches))
	}
	if n := len(e.Batches[0].Proof); n > 500 {
		t.Errorf("%d hashes for 234 rows of 700", n)
	}
	if code, said := checkFile(t, evidenceFileOf(t, e), Given{Trust: s.trust, Chain: s.chain}); code != ExitOK && code != ExitUnanchored {
		t.Errorf("exit code %d:\n%s", code, said)
	}
	r, err := VerifyEvidence(t.Context(), e, Given{Trust: s.trust, Chain: s.chain})
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := r.WriteText(&out); err != nil {
		t.Fatal(err)
	}
	t.Log(out.String())
	if first := r.Batches[0].Before; first == nil || r.Batches[2].Before == nil || first.Block >= r.Batches[2].Before.Block {
		t.Errorf("batch 1 was anchored first by the anchor of 4, batch 5 by that of 7: %+v", r.Batches)
	}
	s.erase(order())
	if e, err = Gather(t.Context(), s.gatherOptions(names...)); err != nil {
		t.Fatal(err)
	}
	if e.Flows() != 236-5 || len(e.Question.Notes) != 2 { // rows 0, 6, 300 and 699, and the one of batch 5
		t.Errorf("%d flows are left, want %d; notes %v", e.Flows(), 236-5, e.Question.Notes)
	}
	s.exec("ALTER TABLE flows UPDATE bytes = bytes + 1 WHERE log = {log} AND batch_index = 1 AND pos = 400 SETTINGS mutations_sync = 2")
	if _, err := Gather(t.Context(), s.gatherOptions(names...)); !errors.Is(err, ErrAltered) {
		t.Errorf("from altered rows: %v, want ErrAltered", err)
	}
}

func FuzzParseEvidence(f *testing.F) {
	e, trust, chain := madeEvidence(f)
	f.Add(evidenceFileOf(f, e))
	f.Add([]byte(fmt.Sprintf(`{"format": %q}`, evidenceFormat)))
	f.Fuzz(func(t *testing.T, p []byte) {
		e, err := ParseEvidence(p)
		if err != nil {
			return
		}
		if _, err := VerifyEvidence(t.Context(), e, Given{Trust: trust, Chain: chain}); err != nil {
			t.Fatal(err)
		}
		again, err := e.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ParseEvidence(again); err != nil {
			t.Fatalf("what was written again is refused: %v", err)
		}
	})
}
