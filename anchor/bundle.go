package anchor

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/transparency-dev/formats/proof"
	"golang.org/x/mod/sumdb/note"

	"tidemark/anchor/merkle"
	"tidemark/collector/flow"
)

// MaxBundle is the longest bundle in octets.
const MaxBundle = 1 << 20

// bundleVersion stands behind the header in the extra data of the tlog-proof.
const bundleVersion = 2

// ErrBundle is the class of all faults of a bundle's form.
var ErrBundle = errors.New("invalid bundle")

// Bundle is the evidence for one flow: the row, its place in the batch, the
// batch's place in the log, the log's checkpoint and where that was anchored.
// The file is a C2SP tlog-proof; docs/formats/bundle.md describes it.
type Bundle struct {
	Name       flow.Name
	Row        flow.Batch // one record, without enrichment
	Salt       [16]byte
	RowProof   []merkle.Hash // from the leaf to Header.RowRoot
	Header     Header
	LogKey     string // note verifier key that Checkpoint is signed by
	LogProof   []merkle.Hash
	Checkpoint []byte // signed note; witnesses may have cosigned it
	Exporters  []byte // exporter table of the batch, nil: left out
	Anchor     *BundleAnchor
}

// BundleAnchor says where the first Size batches of the log, the flow's among
// them, were anchored; the verifier asks the chain. The log key may have signed
// a later state.
type BundleAnchor struct {
	Log  ChainLog
	Size uint64
	Root merkle.Hash
	// Inclusion proves that the flow's batch is in the anchored log. nil in
	// evidence and bundles of version 1, where Consistency does, which leads from
	// Size to the size of Checkpoint, empty if they are equal.
	Inclusion   []merkle.Hash
	Consistency []merkle.Hash
	Tx          [32]byte
	Block       ChainBlock
}

// Marshal returns the bundle's file.
func (b *Bundle) Marshal() ([]byte, error) {
	extra, err := b.appendExtra(b.Header.Append(nil))
	if err != nil {
		return nil, fmt.Errorf("write bundle of flow %v: %w", b.Name, err)
	}
	p := proof.TLogProof{Index: b.Header.Index, Hashes: b.LogProof, Checkpoint: b.Checkpoint, ExtraData: extra}.Marshal()
	if len(p) > MaxBundle {
		return nil, fmt.Errorf("bundle of flow %v has %d octets, want at most %d", b.Name, len(p), MaxBundle)
	}
	return p, nil
}

// appendExtra appends what stands behind the header.
func (b *Bundle) appendExtra(dst []byte) ([]byte, error) {
	_, key, err := parseLogKey(b.LogKey)
	if err != nil {
		return nil, err
	}
	row, err := AppendRow(nil, &b.Row, 0)
	if err != nil {
		return nil, err
	}
	dst = append(append(dst, bundleVersion), key...)
	dst = append(binary.BigEndian.AppendUint32(dst, b.Name.Pos), b.Salt[:]...)
	dst = appendCounted(dst, row)
	dst = append(dst, byte(len(b.RowProof)))
	for i := range b.RowProof {
		dst = append(dst, b.RowProof[i][:]...)
	}
	dst = appendCounted(dst, b.Exporters)
	if b.Anchor == nil {
		return append(dst, 0), nil
	}
	return b.appendAnchor(append(dst, 1))
}

// appendAnchor appends where the log was anchored. The root there and the proof
// of it follow from LogProof and at most one hash more.
func (b *Bundle) appendAnchor(dst []byte) ([]byte, error) {
	a := b.Anchor
	signed, err := unverifiedCheckpoint(b.Checkpoint)
	if err != nil {
		return nil, err
	}
	var edge *merkle.Hash
	if at := merkle.Edge(b.Header.Index, signed.Size, a.Size); at >= 0 && at < len(a.Inclusion) {
		edge = &a.Inclusion[at]
	}
	path, err := merkle.Older(b.LogProof, b.Header.Index, signed.Size, a.Size, edge)
	if err == nil && !slices.Equal(path, a.Inclusion) {
		err = fmt.Errorf("%w: the anchored log is not the beginning of the signed one", ErrAltered)
	}
	if err != nil {
		return nil, err
	}
	be := binary.BigEndian
	dst = append(be.AppendUint64(dst, a.Log.ChainID), a.Log.Contract[:]...)
	dst = be.AppendUint64(append(dst, a.Log.ID[:]...), a.Size)
	dst = be.AppendUint64(append(dst, a.Tx[:]...), a.Block.Number)
	dst = be.AppendUint64(append(dst, a.Block.Hash[:]...), uint64(a.Block.Time))
	if edge != nil {
		dst = append(dst, edge[:]...)
	}
	return dst, nil
}

func appendCounted(dst, p []byte) []byte {
	return append(binary.BigEndian.AppendUint32(dst, uint32(len(p))), p...)
}

// ParseBundle reads a bundle's file: its form only, see VerifyBundle for the rest.
func ParseBundle(p []byte) (*Bundle, error) {
	if len(p) > MaxBundle {
		return nil, fmt.Errorf("%w: %d octets or more, want at most %d", ErrBundle, len(p), MaxBundle)
	}
	read := parseBundle
	if bytes.HasPrefix(bytes.TrimLeft(p, " \t\r\n"), []byte("{")) {
		read = parseBundleV1
	}
	b, err := read(p)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBundle, err)
	}
	return b, nil
}

func parseBundle(p []byte) (*Bundle, error) {
	outer, err := parseTLogProof(p)
	if err != nil {
		return nil, err
	}
	signed, err := unverifiedCheckpoint(outer.Checkpoint)
	if err != nil {
		return nil, err
	}
	b := &Bundle{LogProof: outer.Hashes, Checkpoint: outer.Checkpoint}
	r := octetReader{p: outer.ExtraData}
	if b.Header, err = ParseHeader(r.take(HeaderSize)); err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	if b.Header.Index != outer.Index {
		return nil, fmt.Errorf("index %d, but the header is batch %d", outer.Index, b.Header.Index)
	}
	if v := r.octet(); v != bundleVersion {
		return nil, fmt.Errorf("version %d, want %d", v, bundleVersion)
	}
	if b.LogKey, err = note.NewEd25519VerifierKey(signed.Origin, r.take(ed25519.PublicKeySize)); err != nil {
		return nil, fmt.Errorf("log key: %w", err)
	}
	b.Name = flow.Name{Log: binary.BigEndian.Uint64(b.Header.LogID[:]), Batch: b.Header.Index, Pos: uint32(r.uint(4))}
	copy(b.Salt[:], r.take(saltSize))
	if row := r.counted(); r.err == nil {
		if err := parseRow(&b.Row, row); err != nil {
			return nil, fmt.Errorf("row: %w", err)
		}
	}
	b.RowProof = make([]merkle.Hash, 0, merkle.MaxPath)
	for range r.octet() {
		b.RowProof = append(b.RowProof, r.hash())
	}
	if table := r.counted(); len(table) > 0 {
		b.Exporters = table
	}
	switch anchored := r.octet(); {
	case anchored > 1:
		return nil, fmt.Errorf("anchored: got %d, want 0 or 1", anchored)
	case anchored == 1 && r.err == nil:
		if b.Anchor, err = r.anchor(b, signed.Size); err != nil {
			return nil, fmt.Errorf("anchor: %w", err)
		}
	}
	if r.err == nil && len(r.p) > 0 {
		r.err = fmt.Errorf("extra holds %d octets too many", len(r.p))
	}
	return b, r.err
}

// anchor reads an anchor of the log whose state at size was signed.
func (r *octetReader) anchor(b *Bundle, size uint64) (*BundleAnchor, error) {
	a := &BundleAnchor{Log: ChainLog{ChainID: r.uint(8)}}
	copy(a.Log.Contract[:], r.take(20))
	a.Log.ID = r.hash()
	a.Size, a.Tx = r.uint(8), r.hash()
	a.Block = ChainBlock{Number: r.uint(8), Hash: r.hash(), Time: int64(r.uint(8))}
	const year9999 = 253402300799
	if a.Block.Time < 0 || a.Block.Time > year9999 {
		return nil, fmt.Errorf("block time %d is no time", a.Block.Time)
	}
	if r.err != nil {
		return nil, r.err
	}
	var edge *merkle.Hash
	if len(r.p) > 0 {
		h := r.hash()
		edge = &h
	}
	var err error
	if a.Inclusion, err = merkle.Older(b.LogProof, b.Header.Index, size, a.Size, edge); err == nil {
		a.Root, err = merkle.RootFromInclusion(b.Header.Index, a.Size, b.Header.Leaf(), a.Inclusion)
	}
	return a, err
}

// octetReader reads fields one after another; its first error sticks, and what
// it returns from then on is zero.
type octetReader struct {
	p   []byte
	err error
}

// take returns the next n octets.
func (r *octetReader) take(n uint64) []byte {
	if r.err == nil && n > uint64(len(r.p)) {
		r.err = fmt.Errorf("extra ends %d octets early", n-uint64(len(r.p)))
	}
	if r.err != nil {
		return make([]byte, min(n, HeaderSize))
	}
	taken := r.p[:n:n]
	r.p = r.p[n:]
	return taken
}

func (r *octetReader) octet() byte { return r.take(1)[0] }

// uint reads a big-endian integer of n octets.
func (r *octetReader) uint(n uint64) (v uint64) {
	for _, octet := range r.take(n) {
		v = v<<8 | uint64(octet)
	}
	return v
}

func (r *octetReader) hash() merkle.Hash { return merkle.Hash(r.take(32)) }

// counted reads octets behind their number.
func (r *octetReader) counted() []byte { return r.take(r.uint(4)) }

// parseTLogProof reads a C2SP tlog-proof with extra data in its one form. The
// library's reader takes others too, and no line beyond 64 KiB.
func parseTLogProof(p []byte) (t proof.TLogProof, err error) {
	head, signed, ok := strings.Cut(string(p), "\n\n")
	lines := strings.Split(head, "\n")
	if !ok || len(lines) < 3 || lines[0] != "c2sp.org/tlog-proof@v1" || !strings.HasPrefix(lines[1], "extra ") || !strings.HasPrefix(lines[2], "index ") {
		return t, errors.New("no C2SP tlog-proof with extra data")
	}
	if len(lines)-3 > merkle.MaxPath {
		return t, fmt.Errorf("%d hashes, want at most %d", len(lines)-3, merkle.MaxPath)
	}
	if t.ExtraData, err = base64.StdEncoding.Strict().DecodeString(lines[1][len("extra "):]); err != nil {
		return t, fmt.Errorf("extra: %w", err)
	}
	if t.Index, err = strconv.ParseUint(lines[2][len("index "):], 10, 64); err != nil {
		return t, fmt.Errorf("index: %w", err)
	}
	if t.Hashes, err = parseHashes(lines[3:]); err != nil {
		return t, err
	}
	t.Checkpoint = []byte(signed)
	if !bytes.Equal(t.Marshal(), p) {
		return t, errors.New("the tlog-proof is not in its one form")
	}
	if err := checkSignatures(t.Checkpoint); err != nil {
		return t, fmt.Errorf("checkpoint: %w", err)
	}
	return t, nil
}

// unverifiedCheckpoint is what a signed note says; OpenCheckpoint verifies it.
func unverifiedCheckpoint(signed []byte) (Checkpoint, error) {
	at := bytes.LastIndex(signed, []byte("\n\n"))
	if at < 0 {
		return Checkpoint{}, fmt.Errorf("%w: no signature", ErrCheckpoint)
	}
	return ParseCheckpoint(string(signed[:at+1]))
}

// checkSignatures refuses a note whose signature lines could be written in
// another way with the same meaning: base64 has unused bits, and the library
// that opens notes does not look at them.
func checkSignatures(signed []byte) error {
	at := bytes.LastIndex(signed, []byte("\n\n"))
	if at < 0 || at+2 == len(signed) || signed[len(signed)-1] != '\n' {
		return errors.New("no signature, or a line cut short")
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
