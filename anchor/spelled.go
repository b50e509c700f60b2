package anchor

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"time"

	"tidemark/anchor/merkle"
)

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
