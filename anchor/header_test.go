package anchor

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"testing"
)

// octets gives 32 octets counting up from first.
func octets(first byte) (out [32]byte) {
	for i := range out {
		out[i] = first + byte(i)
	}
	return out
}

func genesisHeader() Header {
	return Header{
		SchemaID: SchemaID, Flags: Salted | Events, LogID: octets(1), Rows: 1,
		MinReceived: 1_700_000_000_000_000_000, MaxReceived: 1_700_000_000_000_000_000, Sealed: 1_700_000_000_000_000_001,
		RowRoot: octets(64), SchemaHash: octets(96),
	}
}

func secondHeader() Header {
	first := genesisHeader()
	return Header{
		SchemaID: SchemaID, Flags: Salted | Restart | ClockStep, LogID: octets(1), Index: 1, FirstSeq: 1, Rows: 262_144,
		MinReceived: 1_700_000_000_000_000_002, MaxReceived: 1_700_000_004_000_000_003, Sealed: 1_700_000_005_000_000_004,
		EthBlockNumber: 0x0102030405060708, EthBlockHash: octets(128), RowRoot: octets(160), ExporterTable: octets(192),
		PrevLeaf: first.Leaf(), SchemaHash: octets(96),
	}
}

func emptyHeader() Header {
	second := secondHeader()
	return Header{
		SchemaID: SchemaID, Flags: Salted | Empty, LogID: octets(1), Index: 2, FirstSeq: 262_145,
		Sealed: 1_700_000_005_000_000_004, EthBlockNumber: 0x0102030405060708, EthBlockHash: octets(128),
		RowRoot: emptyRoot(), ExporterTable: octets(192), PrevLeaf: second.Leaf(), SchemaHash: octets(96),
	}
}

func TestHeader_Golden(t *testing.T) {
	var out []byte
	for _, c := range []struct {
		name string
		h    Header
	}{{"genesis", genesisHeader()}, {"rows", secondHeader()}, {"empty", emptyHeader()}} {
		p := c.h.Append(nil)
		leaf := c.h.Leaf()
		out = vector(out, c.name+" header", p)
		out = vector(out, c.name+" leaf", leaf[:])
		if back, err := ParseHeader(p); err != nil || back != c.h {
			t.Errorf("%s: parsed %+v, %v", c.name, back, err)
		}
		if want := sha256.Sum256(append([]byte{0}, p...)); leaf != want {
			t.Errorf("%s: leaf %x, want %x", c.name, leaf, want)
		}
	}
	id := LogID("example.com/site-1", ed25519.PublicKey(make([]byte, 32)))
	out = vector(out, "log id of example.com/site-1 and a key of zeros", id[:])
	golden(t, "header.golden", out)
}

func TestHeader_EveryOctetMatters(t *testing.T) {
	h := secondHeader()
	p, leaf := h.Append(nil), h.Leaf()
	for i := range p {
		p[i] ^= 1
		if other, err := ParseHeader(p); err == nil {
			if other.Leaf() == leaf || !bytes.Equal(other.Append(nil), p) {
				t.Errorf("octet %d does not matter", i)
			}
		}
		p[i] ^= 1
	}
	for n := range p {
		if _, err := ParseHeader(p[:n]); !errors.Is(err, ErrHeader) {
			t.Fatalf("prefix of %d octets: %v, want ErrHeader", n, err)
		}
	}
	if _, err := ParseHeader(append(p, 0)); !errors.Is(err, ErrHeader) {
		t.Fatalf("an octet too many: %v, want ErrHeader", err)
	}
}

func TestHeader_RefusesWhatContradictsItself(t *testing.T) {
	for name, spoil := range map[string]func(h *Header){
		"schema":                  func(h *Header) { h.SchemaID = 2 },
		"unknown flag":            func(h *Header) { h.Flags |= 32 },
		"no salt":                 func(h *Header) { h.Flags &^= Salted },
		"empty with rows":         func(h *Header) { h.Flags |= Empty },
		"rows zero, not empty":    func(h *Header) { h.Rows = 0 },
		"empty events":            func(h *Header) { h.Flags, h.Rows = Salted|Empty|Events, 0 },
		"too many rows":           func(h *Header) { h.Rows = MaxRows + 1 },
		"sequence overflows":      func(h *Header) { h.FirstSeq = 1<<64 - 2 },
		"empty, other root":       func(h *Header) { *h = emptyHeader(); h.RowRoot[3] ^= 1 },
		"empty, but received":     func(h *Header) { *h = emptyHeader(); h.MaxReceived = 5 },
		"received backwards":      func(h *Header) { h.MinReceived = h.MaxReceived + 1 },
		"no exporter table":       func(h *Header) { h.ExporterTable = [32]byte{} },
		"events with table":       func(h *Header) { h.Flags |= Events },
		"block without hash":      func(h *Header) { h.EthBlockHash = [32]byte{} },
		"genesis that is none":    func(h *Header) { h.Index = 0 },
		"genesis of rows":         func(h *Header) { *h = genesisHeader(); h.Flags, h.ExporterTable = Salted, octets(1) },
		"genesis in the middle":   func(h *Header) { h.PrevLeaf = [32]byte{} },
		"genesis with a previous": func(h *Header) { *h = genesisHeader(); h.PrevLeaf[0] = 1 },
	} {
		h := secondHeader()
		if spoil(&h); !errors.Is(h.Validate(), ErrHeader) {
			t.Errorf("%s: Validate() = %v, want ErrHeader", name, h.Validate())
		}
		if _, err := ParseHeader(h.Append(nil)); !errors.Is(err, ErrHeader) {
			t.Errorf("%s: ParseHeader: %v, want ErrHeader", name, err)
		}
	}
}

func TestCheckSuccessor(t *testing.T) {
	first, second, third := genesisHeader(), secondHeader(), emptyHeader()
	if err := CheckSuccessor(&first, &second); err != nil {
		t.Fatal(err)
	}
	if err := CheckSuccessor(&second, &third); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		spoil func(h *Header)
		want  error
	}{
		"log id":                  {func(h *Header) { h.LogID[0] ^= 1 }, ErrChain},
		"index":                   {func(h *Header) { h.Index++ }, ErrChain},
		"first sequence number":   {func(h *Header) { h.FirstSeq-- }, ErrChain},
		"previous leaf":           {func(h *Header) { h.PrevLeaf[9] ^= 1 }, ErrChain},
		"schema hash":             {func(h *Header) { h.SchemaHash[0] ^= 1 }, ErrChain},
		"sealed earlier":          {func(h *Header) { h.Sealed-- }, ErrTimeClaim},
		"older block":             {func(h *Header) { h.EthBlockNumber-- }, ErrTimeClaim},
		"same block, other hash":  {func(h *Header) { h.EthBlockHash[0] ^= 1 }, ErrTimeClaim},
		"block hash forgotten":    {func(h *Header) { h.EthBlockHash, h.EthBlockNumber = [32]byte{}, 0 }, ErrTimeClaim},
		"sequence before time":    {func(h *Header) { h.Index++; h.Sealed-- }, ErrChain},
		"chain fault before time": {func(h *Header) { h.LogID[0] ^= 1; h.EthBlockNumber-- }, ErrChain},
	} {
		h := third
		if c.spoil(&h); !errors.Is(CheckSuccessor(&second, &h), c.want) {
			t.Errorf("%s: %v, want %v", name, CheckSuccessor(&second, &h), c.want)
		}
	}
	later := third
	later.EthBlockNumber++
	later.EthBlockHash[0] ^= 1
	if err := CheckSuccessor(&second, &later); err != nil {
		t.Errorf("a later block: %v", err)
	}
}

func FuzzParseHeader(f *testing.F) {
	for _, h := range []Header{genesisHeader(), secondHeader(), emptyHeader()} {
		f.Add(h.Append(nil))
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		if h, err := ParseHeader(p); err == nil && !bytes.Equal(h.Append(nil), p) {
			t.Fatalf("%x is another header when written again", p)
		}
	})
}
