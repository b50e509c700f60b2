package anchor

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"tidemark/anchor/chainproof"
	"tidemark/anchor/merkle"
	"tidemark/collector/flow"
)

const evidenceFormat = "tidemark-evidence/v1"

// Bounds of an evidence file: what a verifier reads of a stranger.
const (
	MaxEvidence        = 64 << 20 // octets
	maxEvidenceLeaves  = 50_000
	maxEvidenceAnchors = 1024
)

// ErrEvidence is the class of all faults of an evidence file's form.
var ErrEvidence = errors.New("invalid evidence")

// Evidence is the proof of many flows and events of one log, in one file: what
// their paths have in common stands there once. docs/formats/bundle.md describes
// the file.
type Evidence struct {
	Question   Question
	LogKey     string // note verifier key that Checkpoint is signed by
	Checkpoint []byte // signed note; witnesses may have cosigned it
	LogProof   []merkle.Hash
	Batches    []EvidenceBatch // ascending
	Anchors    []EvidenceAnchor
}

// Question says what the evidence was gathered for. Nothing proves it: whether
// there are more flows than those in the file, the file cannot tell.
type Question struct {
	Text  string    // one line for people
	Made  time.Time // by this machine's clock
	By    string    // the user who asked
	Notes []string  // what was left out, and why
}

// EvidenceBatch holds leaves of one batch, flows or events.
type EvidenceBatch struct {
	Header    Header
	Proof     []merkle.Hash // that the leaves are in it: see merkle.Multi
	Positions []uint32      // of the leaves, ascending
	Salts     [][16]byte
	Rows      flow.Batch // without enrichment; none in a batch of events
	Bodies    [][]byte   // of events
}

// EvidenceAnchor is an anchor with, if it was archived, the proof of it that
// needs no node.
type EvidenceAnchor struct {
	BundleAnchor
	Chain *chainproof.Evidence
}

type evidenceFile struct {
	Format     string          `json:"format"`
	Question   questionFields  `json:"question"`
	LogKey     string          `json:"log_key"`
	Checkpoint string          `json:"checkpoint"`
	LogProof   []string        `json:"log_proof"`
	Batches    []evidenceBatch `json:"batches"`
	Anchors    []fullAnchor    `json:"anchors"`
}

type questionFields struct {
	Text  string   `json:"text"`
	Made  string   `json:"made"`
	By    string   `json:"by"`
	Notes []string `json:"notes,omitempty"`
}

type evidenceBatch struct {
	Header bundleHeader    `json:"header"`
	Proof  []string        `json:"proof"`
	Flows  []evidenceFlow  `json:"flows,omitempty"`
	Events []evidenceEvent `json:"events,omitempty"`
}

type evidenceFlow struct {
	Pos  uint32    `json:"pos"`
	Salt string    `json:"salt"`
	Row  bundleRow `json:"row"`
}

type evidenceEvent struct {
	Pos  uint32 `json:"pos"`
	Salt string `json:"salt"`
	Body string `json:"body"` // the canonical JSON that was hashed, as a string
}

type fullAnchor struct {
	anchorFields
	Chain json.RawMessage `json:"chain_evidence,omitempty"`
}

// Flows and Events count the leaves.
func (e *Evidence) Flows() (n int) {
	for i := range e.Batches {
		n += e.Batches[i].Rows.Len()
	}
	return n
}

// Events is the number of events.
func (e *Evidence) Events() (n int) {
	for i := range e.Batches {
		n += len(e.Batches[i].Bodies)
	}
	return n
}

// Marshal returns the evidence as a file.
func (e *Evidence) Marshal() ([]byte, error) {
	f := evidenceFile{Format: evidenceFormat, LogKey: e.LogKey, Checkpoint: string(e.Checkpoint), LogProof: spellHashes(e.LogProof), Batches: []evidenceBatch{}, Anchors: []fullAnchor{},
		Question: questionFields{e.Question.Text, e.Question.Made.UTC().Format(time.RFC3339), e.Question.By, e.Question.Notes}}
	for i := range e.Batches {
		b := &e.Batches[i]
		out := evidenceBatch{Header: spellHeader(&b.Header), Proof: spellHashes(b.Proof)}
		for k, pos := range b.Positions {
			salt := hex.EncodeToString(b.Salts[k][:])
			if b.Bodies != nil {
				out.Events = append(out.Events, evidenceEvent{pos, salt, string(b.Bodies[k])})
				continue
			}
			row, err := spellRow(&b.Rows, k)
			if err != nil {
				return nil, err
			}
			out.Flows = append(out.Flows, evidenceFlow{pos, salt, row})
		}
		f.Batches = append(f.Batches, out)
	}
	for i := range e.Anchors {
		a := fullAnchor{anchorFields: *spellAnchor(&e.Anchors[i].BundleAnchor)}
		if e.Anchors[i].Chain != nil {
			var err error
			if a.Chain, err = e.Anchors[i].Chain.Marshal(); err != nil {
				return nil, err
			}
		}
		f.Anchors = append(f.Anchors, a)
	}
	p, err := marshalStrict(f)
	if err == nil && len(p) > MaxEvidence {
		err = fmt.Errorf("evidence of %d octets, want at most %d: ask for fewer flows", len(p), MaxEvidence)
	}
	return p, err
}

// plain is text without characters that could drive the reader's terminal.
func plain(text string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x20 || r >= 0x7f && r < 0xa0 {
			return '\ufffd'
		}
		return r
	}, text)
}

// IsEvidence says whether p is meant to be an evidence file, not a bundle.
func IsEvidence(p []byte) bool {
	var f struct {
		Format string `json:"format"`
	}
	return json.Unmarshal(p, &f) == nil && f.Format == evidenceFormat
}

// ParseEvidence reads an evidence file: its form only, see VerifyEvidence for
// the rest.
func ParseEvidence(p []byte) (*Evidence, error) {
	refuse := func(format string, args ...any) (*Evidence, error) {
		return nil, fmt.Errorf("%w: %w", ErrEvidence, fmt.Errorf(format, args...))
	}
	if len(p) > MaxEvidence {
		return refuse("%d octets or more, want at most %d", len(p), MaxEvidence)
	}
	var f evidenceFile
	if err := unmarshalStrict(p, &f); err != nil {
		return refuse("%w", err)
	}
	if f.Format != evidenceFormat {
		return refuse("format %.40q, want %q", f.Format, evidenceFormat)
	}
	made, err := time.Parse(time.RFC3339, f.Question.Made)
	if err != nil || made.UTC().Format(time.RFC3339) != f.Question.Made {
		return refuse("question.made: got %.40q, want a time in UTC", f.Question.Made)
	}
	for _, text := range append([]string{f.Question.Text, f.Question.By}, f.Question.Notes...) {
		if plain(text) != text {
			return refuse("question: got %.80q, want text without control characters", text)
		}
	}
	if len(f.Anchors) > maxEvidenceAnchors {
		return refuse("%d anchors, want at most %d", len(f.Anchors), maxEvidenceAnchors)
	}
	e := &Evidence{Question: Question{f.Question.Text, made, f.Question.By, f.Question.Notes}, LogKey: f.LogKey, Checkpoint: []byte(f.Checkpoint)}
	if err := checkSignatures(e.Checkpoint); err != nil {
		return refuse("checkpoint: %w", err)
	}
	if e.LogProof, err = parseManyHashes(f.LogProof); err != nil {
		return refuse("log_proof: %w", err)
	}
	leaves := 0
	for i := range f.Batches {
		b, err := f.Batches[i].parse()
		if err != nil {
			return refuse("batches[%d]: %w", i, err)
		}
		if leaves += len(b.Positions); leaves > maxEvidenceLeaves {
			return refuse("more than %d flows and events", maxEvidenceLeaves)
		}
		if i > 0 && b.Header.Index <= e.Batches[i-1].Header.Index {
			return refuse("batch %d after batch %d", b.Header.Index, e.Batches[i-1].Header.Index)
		}
		e.Batches = append(e.Batches, *b)
	}
	if leaves == 0 {
		return refuse("no flow and no event")
	}
	for i := range f.Anchors {
		a, err := f.Anchors[i].parseFull()
		if err != nil {
			return refuse("anchors[%d]: %w", i, err)
		}
		if i > 0 && a.Size <= e.Anchors[i-1].Size {
			return refuse("anchor of size %d after one of %d", a.Size, e.Anchors[i-1].Size)
		}
		e.Anchors = append(e.Anchors, *a)
	}
	return e, nil
}

func (f *evidenceBatch) parse() (*EvidenceBatch, error) {
	var c fieldReader
	b := &EvidenceBatch{Header: f.Header.parse(&c)}
	if c.err != nil {
		return nil, c.err
	}
	var err error
	if b.Proof, err = parseManyHashes(f.Proof); err != nil {
		return nil, fmt.Errorf("proof: %w", err)
	}
	isEvents := b.Header.Flags&Events != 0
	if isEvents != (len(f.Events) > 0) || isEvents == (len(f.Flows) > 0) {
		return nil, fmt.Errorf("%d flows and %d events of a batch with flags %v", len(f.Flows), len(f.Events), b.Header.Flags)
	}
	leaf := func(pos uint32, salt string) error {
		if n := len(b.Positions); n > 0 && pos <= b.Positions[n-1] || uint64(pos) >= b.Header.Rows {
			return fmt.Errorf("position %d: want them ascending, below %d", pos, b.Header.Rows)
		}
		var s [16]byte
		b.Positions = append(b.Positions, pos)
		err := parseHex(s[:], salt, "")
		b.Salts = append(b.Salts, s)
		return err
	}
	for i := range f.Flows {
		if err := leaf(f.Flows[i].Pos, f.Flows[i].Salt); err != nil {
			return nil, fmt.Errorf("flows[%d]: %w", i, err)
		}
		if err := f.Flows[i].Row.append(&b.Rows); err != nil {
			return nil, fmt.Errorf("flows[%d]: %w", i, err)
		}
	}
	for i, v := range f.Events {
		if err := leaf(v.Pos, v.Salt); err != nil {
			return nil, fmt.Errorf("events[%d]: %w", i, err)
		}
		b.Bodies = append(b.Bodies, []byte(v.Body))
	}
	return b, nil
}

func (f *fullAnchor) parseFull() (*EvidenceAnchor, error) {
	var c fieldReader
	a := &EvidenceAnchor{BundleAnchor: *f.parse(&c)}
	if c.err != nil || len(f.Chain) == 0 {
		return a, c.err
	}
	var err error
	a.Chain, err = chainproof.Parse(f.Chain)
	return a, err
}

// parseManyHashes is parseHashes for the proof of many leaves.
func parseManyHashes(text []string) (all []merkle.Hash, err error) {
	const most = maxEvidenceLeaves * 20
	if len(text) > most {
		return nil, fmt.Errorf("%d hashes, want at most %d", len(text), most)
	}
	for len(text) > 0 {
		n := min(len(text), merkle.MaxPath)
		hashes, err := parseHashes(text[:n])
		if err != nil {
			return nil, err
		}
		all, text = append(all, hashes...), text[n:]
	}
	return all, nil
}
