package anchor

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"tidemark/anchor/merkle"
	"tidemark/anchor/witness"
	"tidemark/collector/flow"
)

// toldChain is a chain whose answers are given; err, if set, is all of them.
type toldChain struct {
	id      uint64
	log     ChainLog
	final   uint64
	anchors []ChainAnchor
	blocks  map[uint64]ChainBlock
	err     error
}

func (c *toldChain) ChainID(context.Context) (uint64, error) { return c.id, c.err }
func (c *toldChain) Development() bool                       { return false }

func (c *toldChain) CheckCode(_ context.Context, contract [20]byte) error {
	if contract != c.log.Contract {
		return errors.New("no contract there")
	}
	return nil
}

func (c *toldChain) Head(_ context.Context, log ChainLog, finalized bool) (ChainHead, error) {
	h := ChainHead{Block: ChainBlock{Number: 1 << 40}, Open: log == c.log}
	if finalized {
		h.Block.Number = c.final
	}
	for _, a := range c.anchors {
		if h.Open && a.Block.Number <= h.Block.Number {
			h.Size, h.Root = a.Size, a.Root
		}
	}
	return h, c.err
}

func (c *toldChain) Anchors(_ context.Context, log ChainLog, begin, end uint64) (all []ChainAnchor, err error) {
	for _, a := range c.anchors {
		if log == c.log && a.Block.Number >= begin && (end == 0 || a.Block.Number < end) {
			all = append(all, a)
		}
	}
	return all, c.err
}

func (c *toldChain) Block(_ context.Context, number uint64) (ChainBlock, error) {
	if b, ok := c.blocks[number]; ok {
		return b, c.err
	}
	return ChainBlock{}, fmt.Errorf("block %d: %w", number, ErrNoBlock)
}

// madeBundle is a bundle of a log that is the same in every run: five batches,
// the flow in number 2, anchored at size 4, signed at size 5.
func madeBundle(t testing.TB) (*Bundle, *Trust, *toldChain) {
	t.Helper()
	signer, vkey := goldenKey(t)
	origin, key, err := ParseLogKey(vkey)
	if err != nil {
		t.Fatal(err)
	}
	trust := &Trust{Origin: origin, Key: key, LogID: LogID(origin, key), FromBlock: 40,
		Chain: &ChainLog{ChainID: 11155111, Contract: [20]byte{0xab, 19: 1}, ID: [32]byte{0xcd, 31: 2}}}

	const pos = 259
	salts := SaltKey([]byte("0123456789abcdef"))
	rows := goldenRows()
	leaves := make([]merkle.Hash, rows.Len())
	if err := Leaves(leaves, rows, salts); err != nil {
		t.Fatal(err)
	}
	table, err := AppendExporterTable(nil, exporterCounts())
	if err != nil {
		t.Fatal(err)
	}
	seen := ChainBlock{Number: 41, Hash: [32]byte{0xee}, Time: testClock.Unix() - 900}
	var headers []Header
	var tree []merkle.Hash
	for i := range uint64(5) {
		h := Header{SchemaID: SchemaID, Flags: Salted | Empty, LogID: trust.LogID, Index: i, RowRoot: emptyRoot(), SchemaHash: SchemaHash(),
			Sealed: testClock.UnixNano() + int64(i)*int64(5*time.Second), ExporterTable: ExporterTableHash(table), EthBlockNumber: seen.Number, EthBlockHash: seen.Hash}
		switch i {
		case 0:
			h.Flags, h.Rows, h.ExporterTable, h.RowRoot = Salted|Events, 1, [32]byte{}, leaves[0]
		case 2:
			h.Flags, h.Rows, h.RowRoot = Salted, uint64(len(leaves)), merkle.Root(leaves)
			h.MinReceived, h.MaxReceived = rows.TimeReceived[0], rows.TimeReceived[rows.Len()-1]
		}
		if i > 0 {
			h.FirstSeq, h.PrevLeaf = headers[i-1].FirstSeq+headers[i-1].Rows, headers[i-1].Leaf()
			if err := CheckSuccessor(&headers[i-1], &h); err != nil {
				t.Fatal(err)
			}
		}
		headers, tree = append(headers, h), append(tree, h.Leaf())
	}
	b := &Bundle{Name: flow.Name{Log: leadingOctets(trust.LogID), Batch: 2, Pos: pos}, Salt: salts.Salt(pos), Header: headers[2], LogKey: vkey, Exporters: table}
	b.Row.Append(rows, pos, pos+1)
	if b.RowProof, err = merkle.Inclusion(nil, pos, uint64(len(leaves)), merkle.Leaves(leaves)); err != nil {
		t.Fatal(err)
	}
	if b.LogProof, err = merkle.Inclusion(nil, 2, 5, merkle.Leaves(tree)); err != nil {
		t.Fatal(err)
	}
	if b.Checkpoint, err = (Checkpoint{Origin: origin, Size: 5, Root: merkle.Root(tree)}).Sign(signer); err != nil {
		t.Fatal(err)
	}
	a := ChainAnchor{Size: 4, Root: merkle.Root(tree[:4]), Tx: [32]byte{0xaa, 31: 9}, Block: ChainBlock{Number: 77, Hash: [32]byte{0xbb}, Time: testClock.Unix() + 60}}
	b.Anchor = &BundleAnchor{Log: *trust.Chain, Size: 4, Root: a.Root, Tx: a.Tx, Block: a.Block}
	if b.Anchor.Inclusion, err = merkle.Inclusion(nil, 2, 4, merkle.Leaves(tree)); err != nil {
		t.Fatal(err)
	}
	return b, trust, &toldChain{id: trust.Chain.ChainID, log: *trust.Chain, final: 90, anchors: []ChainAnchor{a}, blocks: map[uint64]ChainBlock{seen.Number: seen}}
}

// goldenKey is the log key of madeBundle.
func goldenKey(t testing.TB) (note.Signer, string) {
	t.Helper()
	skey, vkey, err := note.GenerateKey(chacha{rand.NewChaCha8([32]byte{1})}, "example.com/golden")
	if err != nil {
		t.Fatal(err)
	}
	signer, err := note.NewSigner(skey)
	if err != nil {
		t.Fatal(err)
	}
	return signer, vkey
}

// goldenRows are 700 rows that look like flows.
func goldenRows() *flow.Batch {
	b := siteRows(42, 700, testClock)
	for i := range b.Len() {
		b.SrcMAC[i], b.DstMAC[i] = 0x02005e005301, 0x02005e005302
		b.Proto[i], b.SrcPort[i], b.DstPort[i], b.Bytes[i], b.Packets[i], b.SamplingRate[i] = 6, 49152, 443, 1_234, 5, 1
		b.DstAddr[i] = [16]byte{0x20, 0x01, 0x0d, 0xb8, 15: 1}
		b.SamplerAddress[i] = [16]byte{10: 0xff, 11: 0xff, 12: 192, 13: 0, 14: 2, 15: 1}
		b.Quality[i], b.Presence[i] = flow.SamplingFromOption, flow.HasBytes|flow.HasPackets|flow.HasStart|flow.HasEnd|flow.HasTCPFlags
	}
	return b
}

func leadingOctets(id [32]byte) (n uint64) {
	for _, octet := range id[:8] {
		n = n<<8 | uint64(octet)
	}
	return n
}

func bundleFileOf(t testing.TB, b *Bundle) []byte {
	t.Helper()
	p, err := b.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// verifyFile is what a command does with a bundle; code 2 is a refused file.
func verifyFile(t testing.TB, p []byte, trust *Trust, chain ChainReader) (code int, said string) {
	t.Helper()
	b, err := ParseBundle(p)
	if err != nil {
		return 2, err.Error()
	}
	r, err := VerifyBundle(context.Background(), b, Given{Trust: trust, Chain: chain})
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := r.WriteText(&out); err != nil {
		t.Fatal(err)
	}
	return r.ExitCode(), out.String()
}

// madeCosigned is madeBundle with the cosignature of a witness, which its trust
// file names.
func madeCosigned(t testing.TB, at time.Time) (*Bundle, *Trust, *toldChain) {
	t.Helper()
	b, trust, chain := madeBundle(t)
	key := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize))
	const name = "witness.example.net/one"
	raw := append([]byte{4}, key.Public().(ed25519.PublicKey)...)
	id := sha256.Sum256(append([]byte(name+"\n"), raw...))
	w, err := witness.NewVerifier(fmt.Sprintf("%s+%x+%s", name, id[:4], base64.StdEncoding.EncodeToString(raw)))
	if err != nil {
		t.Fatal(err)
	}
	text, _, _ := bytes.Cut(b.Checkpoint, []byte("\n\n"))
	sig := ed25519.Sign(key, fmt.Appendf(nil, "cosignature/v1\ntime %d\n%s\n", at.Unix(), text))
	line := append(binary.BigEndian.AppendUint64(id[:4:4], uint64(at.Unix())), sig...)
	b.Checkpoint = fmt.Appendf(b.Checkpoint, "— %s %s\n", name, base64.StdEncoding.EncodeToString(line))
	trust.Witnesses = []*witness.Verifier{w}
	return b, trust, chain
}
