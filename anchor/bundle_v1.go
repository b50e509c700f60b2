package anchor

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"

	"tidemark/collector/flow"
)

const bundleV1 = "tidemark-bundle/v1"

// bundleFile is a bundle of version 1, which this program reads and writes no
// more: it spells everything out, some of it twice.
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

// parseBundleV1 reads a bundle of version 1.
func parseBundleV1(p []byte) (*Bundle, error) {
	var f bundleFile
	if err := unmarshalStrict(p, &f); err != nil {
		return nil, err
	}
	if f.Format != bundleV1 {
		return nil, fmt.Errorf("format %.40q, want %q", f.Format, bundleV1)
	}
	b := &Bundle{LogKey: f.LogKey}
	var err error
	if b.Name, err = flow.ParseName(f.Flow); err != nil || b.Name.String() != f.Flow {
		return nil, fmt.Errorf("flow name %.80q", f.Flow)
	}
	if err := f.Row.append(&b.Row); err != nil {
		return nil, fmt.Errorf("row: %w", err)
	}
	if err := parseHex(b.Salt[:], f.Salt, ""); err != nil {
		return nil, fmt.Errorf("salt: %w", err)
	}
	if b.RowProof, err = parseHashes(f.RowProof); err != nil {
		return nil, fmt.Errorf("row_proof: %w", err)
	}
	var c fieldReader
	b.Header = f.Header.parse(&c)
	if f.Anchor != nil {
		b.Anchor = f.Anchor.parse(&c)
	}
	if c.err != nil {
		return nil, c.err
	}
	if f.Exporters != "" {
		if b.Exporters, err = base64.StdEncoding.Strict().DecodeString(f.Exporters); err != nil {
			return nil, fmt.Errorf("exporter_table: %w", err)
		}
	}
	if err := b.parseLogProof(f.LogProof); err != nil {
		return nil, fmt.Errorf("log_proof: %w", err)
	}
	return b, nil
}

// parseLogProof reads the tlog-proof of version 1. It repeats the header, in
// octets, for readers that know no JSON; it must be the one that is spelled out.
func (b *Bundle) parseLogProof(text string) error {
	p, err := parseTLogProof([]byte(text))
	if err != nil {
		return err
	}
	if p.Index != b.Header.Index {
		return fmt.Errorf("index %d, but the header is batch %d", p.Index, b.Header.Index)
	}
	if !bytes.Equal(p.ExtraData, b.Header.Append(nil)) {
		return errors.New("extra is not the header that is spelled out")
	}
	b.LogProof, b.Checkpoint = p.Hashes, p.Checkpoint
	return nil
}
