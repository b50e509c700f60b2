package anchor

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/transparency-dev/formats/proof"
	"golang.org/x/mod/sumdb/note"

	"tidemark/anchor/merkle"
	"tidemark/collector/flow"
)

const bundleFormat = "tidemark-bundle/v1"

// MaxBundle is the longest bundle in octets.
const MaxBundle = 1 << 20

// ErrBundle is the class of all faults of a bundle's form.
var ErrBundle = errors.New("invalid bundle")

// Bundle is the evidence for one flow: the row, its place in the batch, the
// batch's place in the log, the log's checkpoint and where that was anchored.
// docs/formats/bundle.md describes the file.
type Bundle struct {
	Name       flow.Name
	Row        flow.Batch // one record, without enrichment
	Salt       [16]byte
	RowProof   []merkle.Hash // from the leaf to Header.RowRoot
	Header     Header
	LogKey     string // note verifier key that Checkpoint is signed by
	LogProof   []merkle.Hash
	Checkpoint []byte // signed note
	Exporters  []byte // exporter table of the batch, nil: left out
	Anchor     *BundleAnchor
}

// BundleAnchor says where the first Size batches of the log, the flow's among
// them, were anchored; the verifier asks the chain. The log key may have signed
// a later state: Consistency leads from the one to the other.
type BundleAnchor struct {
	Log         ChainLog
	Size        uint64
	Root        merkle.Hash
	Consistency []merkle.Hash // from Size to that of Checkpoint, empty if they are equal
	Tx          [32]byte
	Block       ChainBlock
}

type bundleFile struct {
	Format    string        `json:"format"`
	Flow      string        `json:"flow"`
	Row       bundleRow     `json:"row"`
	Salt      string        `json:"salt"`
	RowProof  []string      `json:"row_proof"`
	Header    bundleHeader  `json:"header"`
	LogKey    string        `json:"log_key"`
	LogProof  string        `json:"log_proof"`
	Exporters string        `json:"exporter_table,omitempty"`
	Anchor    *anchorFields `json:"anchor,omitempty"`
}

// bundleHeader is a Header spelled out.
type bundleHeader struct {
	Schema         uint16   `json:"schema"`
	Flags          []string `json:"flags"`
	LogID          string   `json:"log_id"`
	Index          uint64   `json:"batch_index,string"`
	FirstSeq       uint64   `json:"first_seq,string"`
	Rows           uint64   `json:"rows,string"`
	MinReceived    string   `json:"min_received"`
	MaxReceived    string   `json:"max_received"`
	Sealed         string   `json:"sealed"`
	EthBlockNumber uint64   `json:"eth_block_number,string"`
	EthBlockHash   string   `json:"eth_block_hash"`
	RowRoot        string   `json:"row_root"`
	ExporterTable  string   `json:"exporter_table_hash"`
	PrevLeaf       string   `json:"prev_header_leaf"`
	SchemaHash     string   `json:"schema_hash"`
}

type anchorFields struct {
	ChainID     uint64   `json:"chain_id,string"`
	Contract    string   `json:"contract"`
	ID          string   `json:"id"`
	Size        uint64   `json:"size,string"`
	Root        string   `json:"root"`
	Consistency []string `json:"consistency_proof"`
	Tx          string   `json:"transaction"`
	Block       uint64   `json:"block,string"`
	BlockHash   string   `json:"block_hash"`
	BlockTime   string   `json:"block_time"`
}

func flagNames() [16]string {
	var names [16]string
	for i := range names {
		if names[i] = Flags(1 << i).String(); names[i] == "" {
			names[i] = fmt.Sprintf("bit_%d", i)
		}
	}
	return names
}

func spellHeader(h *Header) bundleHeader {
	names := flagNames()
	x := func(p [32]byte) string { return hex.EncodeToString(p[:]) }
	return bundleHeader{Schema: h.SchemaID, Flags: spellBits(uint16(h.Flags), &names), LogID: x(h.LogID), Index: h.Index,
		FirstSeq: h.FirstSeq, Rows: h.Rows, MinReceived: spellTime(h.MinReceived), MaxReceived: spellTime(h.MaxReceived),
		Sealed: spellTime(h.Sealed), EthBlockNumber: h.EthBlockNumber, EthBlockHash: x(h.EthBlockHash), RowRoot: x(h.RowRoot),
		ExporterTable: x(h.ExporterTable), PrevLeaf: x(h.PrevLeaf), SchemaHash: x(h.SchemaHash)}
}

func (f *bundleHeader) parse(c *fieldReader) Header {
	names := flagNames()
	h := Header{SchemaID: f.Schema, Flags: Flags(c.bits("header.flags", f.Flags, &names)), LogID: c.hash("header.log_id", f.LogID),
		Index: f.Index, FirstSeq: f.FirstSeq, Rows: f.Rows, MinReceived: c.time("header.min_received", f.MinReceived),
		MaxReceived: c.time("header.max_received", f.MaxReceived), Sealed: c.time("header.sealed", f.Sealed),
		EthBlockNumber: f.EthBlockNumber, EthBlockHash: c.hash("header.eth_block_hash", f.EthBlockHash),
		RowRoot: c.hash("header.row_root", f.RowRoot), ExporterTable: c.hash("header.exporter_table_hash", f.ExporterTable),
		PrevLeaf: c.hash("header.prev_header_leaf", f.PrevLeaf), SchemaHash: c.hash("header.schema_hash", f.SchemaHash)}
	if err := h.Validate(); err != nil {
		c.fail("header", "%v", err)
	}
	return h
}

func spellAnchor(a *BundleAnchor) *anchorFields {
	if a == nil {
		return nil
	}
	return &anchorFields{ChainID: a.Log.ChainID, Contract: hex0x(a.Log.Contract[:]), ID: hex0x(a.Log.ID[:]), Size: a.Size, Root: hex.EncodeToString(a.Root[:]),
		Consistency: spellHashes(a.Consistency), Tx: hex0x(a.Tx[:]), Block: a.Block.Number, BlockHash: hex0x(a.Block.Hash[:]), BlockTime: spellTime(a.Block.Time * int64(time.Second))}
}

func (f *anchorFields) parse(c *fieldReader) *BundleAnchor {
	a := &BundleAnchor{Log: ChainLog{ChainID: f.ChainID}, Size: f.Size, Block: ChainBlock{Number: f.Block}}
	for _, field := range []struct {
		name, text string
		dst        []byte
	}{{"contract", f.Contract, a.Log.Contract[:]}, {"id", f.ID, a.Log.ID[:]}, {"transaction", f.Tx, a.Tx[:]}, {"block_hash", f.BlockHash, a.Block.Hash[:]}} {
		if err := parseHex(field.dst, field.text, "0x"); err != nil {
			c.fail("anchor."+field.name, "%v", err)
		}
	}
	a.Root = c.hash("anchor.root", f.Root)
	var err error
	if a.Consistency, err = parseHashes(f.Consistency); err != nil {
		c.fail("anchor.consistency_proof", "%v", err)
	}
	ns := c.time("anchor.block_time", f.BlockTime)
	if a.Block.Time = ns / int64(time.Second); ns%int64(time.Second) != 0 {
		c.fail("anchor.block_time", "got %q, want whole seconds", f.BlockTime)
	}
	return a
}

// Marshal returns the bundle's file.
func (b *Bundle) Marshal() ([]byte, error) {
	row, err := spellRow(&b.Row, 0)
	if err != nil {
		return nil, err
	}
	f := bundleFile{Format: bundleFormat, Flow: b.Name.String(), Row: row, Salt: hex.EncodeToString(b.Salt[:]), RowProof: spellHashes(b.RowProof),
		Header: spellHeader(&b.Header), LogKey: b.LogKey, LogProof: string(b.TLogProof()),
		Exporters: base64.StdEncoding.EncodeToString(b.Exporters), Anchor: spellAnchor(b.Anchor)}
	p, err := marshalStrict(f)
	if err == nil && len(p) > MaxBundle {
		err = fmt.Errorf("bundle of flow %v has %d octets, want at most %d", b.Name, len(p), MaxBundle)
	}
	return p, err
}

// TLogProof is the outer half of the bundle as a C2SP tlog-proof, which any
// verifier of such proofs reads: the batch header, in extra, is a leaf of the log.
func (b *Bundle) TLogProof() []byte {
	return proof.TLogProof{Index: b.Header.Index, Hashes: b.LogProof, Checkpoint: b.Checkpoint, ExtraData: b.Header.Append(nil)}.Marshal()
}

// ParseBundle reads a bundle's file: its form only, see VerifyBundle for the rest.
func ParseBundle(p []byte) (*Bundle, error) {
	refuse := func(err error) (*Bundle, error) { return nil, fmt.Errorf("%w: %w", ErrBundle, err) }
	if len(p) > MaxBundle {
		return refuse(fmt.Errorf("%d octets or more, want at most %d", len(p), MaxBundle))
	}
	var f bundleFile
	if err := unmarshalStrict(p, &f); err != nil {
		return refuse(err)
	}
	if f.Format != bundleFormat {
		return refuse(fmt.Errorf("format %.40q, want %q", f.Format, bundleFormat))
	}
	b := &Bundle{LogKey: f.LogKey}
	var err error
	if b.Name, err = flow.ParseName(f.Flow); err != nil || b.Name.String() != f.Flow {
		return refuse(fmt.Errorf("flow name %.80q", f.Flow))
	}
	if err := f.Row.append(&b.Row); err != nil {
		return refuse(fmt.Errorf("row: %w", err))
	}
	if err := parseHex(b.Salt[:], f.Salt, ""); err != nil {
		return refuse(fmt.Errorf("salt: %w", err))
	}
	if b.RowProof, err = parseHashes(f.RowProof); err != nil {
		return refuse(fmt.Errorf("row_proof: %w", err))
	}
	var c fieldReader
	b.Header = f.Header.parse(&c)
	if f.Anchor != nil {
		b.Anchor = f.Anchor.parse(&c)
	}
	if c.err != nil {
		return refuse(c.err)
	}
	if f.Exporters != "" {
		if b.Exporters, err = base64.StdEncoding.Strict().DecodeString(f.Exporters); err != nil {
			return refuse(fmt.Errorf("exporter_table: %w", err))
		}
	}
	if err := b.parseLogProof(f.LogProof); err != nil {
		return refuse(fmt.Errorf("log_proof: %w", err))
	}
	return b, nil
}

func spellHashes(hashes []merkle.Hash) []string {
	text := make([]string, len(hashes))
	for i := range hashes {
		text[i] = base64.StdEncoding.EncodeToString(hashes[i][:])
	}
	return text
}

func parseHashes(text []string) ([]merkle.Hash, error) {
	if len(text) > merkle.MaxPath {
		return nil, fmt.Errorf("%d hashes, want at most %d", len(text), merkle.MaxPath)
	}
	hashes := make([]merkle.Hash, len(text))
	for i, s := range text {
		h, err := base64.StdEncoding.Strict().DecodeString(s)
		if err != nil || len(h) != len(hashes[i]) {
			return nil, fmt.Errorf("hash %d: got %.60q, want base64 of %d octets", i, s, len(hashes[i]))
		}
		hashes[i] = merkle.Hash(h)
	}
	return hashes, nil
}

// parseLogProof reads the tlog-proof. It repeats the header, in octets, for
// readers that know no JSON; it must be the one that is spelled out.
func (b *Bundle) parseLogProof(text string) error {
	var p proof.TLogProof
	if err := p.Unmarshal([]byte(text)); err != nil {
		return err
	}
	if !bytes.Equal(p.Marshal(), []byte(text)) {
		return errors.New("is not in its one form")
	}
	if len(p.Hashes) > merkle.MaxPath {
		return fmt.Errorf("%d hashes, want at most %d", len(p.Hashes), merkle.MaxPath)
	}
	if p.Index != b.Header.Index {
		return fmt.Errorf("index %d, but the header is batch %d", p.Index, b.Header.Index)
	}
	if !bytes.Equal(p.ExtraData, b.Header.Append(nil)) {
		return errors.New("extra is not the header that is spelled out")
	}
	if err := checkSignatures(p.Checkpoint); err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	b.LogProof, b.Checkpoint = p.Hashes, p.Checkpoint
	return nil
}

// checkSignatures refuses a note whose signature lines could be written in
// another way with the same meaning: base64 has unused bits, and the library
// that opens notes does not look at them.
func checkSignatures(signed []byte) error {
	at := bytes.LastIndex(signed, []byte("\n\n"))
	if at < 0 {
		return errors.New("no signature")
	}
	for line := range bytes.Lines(signed[at+2:]) {
		fields := bytes.Split(bytes.TrimSuffix(line, []byte("\n")), []byte(" "))
		if len(fields) != 3 || string(fields[0]) != "—" {
			return errors.New("malformed signature line")
		}
		if _, err := base64.StdEncoding.Strict().DecodeString(string(fields[2])); err != nil {
			return fmt.Errorf("signature: %w", err)
		}
	}
	return nil
}

// logVerifier is the verifier of the key that the bundle itself names.
func (b *Bundle) logVerifier() (*Trust, note.Verifier, error) {
	origin, key, err := parseLogKey(b.LogKey)
	if err != nil {
		return nil, nil, err
	}
	v, err := LogVerifier(origin, key)
	return &Trust{Origin: origin, Key: key, LogID: LogID(origin, key)}, v, err
}
