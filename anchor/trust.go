package anchor

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/mod/sumdb/note"

	"tidemark/anchor/witness"
)

const trustFormat = "tidemark-trust/v1"

// maxTrust bounds a trust file in octets.
const maxTrust = 64 << 10

// ErrTrust is the class of all faults of a trust file.
var ErrTrust = errors.New("invalid trust file")

// ChainLog names a log as a contract keeps it. ID is the contract's own name
// for the log; it binds publisher and rotator, so that who holds the log key
// cannot open the same log a second time and anchor another history there.
type ChainLog struct {
	ChainID  uint64
	Contract [20]byte
	ID       [32]byte
}

// Trust is what a verifier knows of a log beforehand, by another way than the
// thing to be verified. It is never read out of the ledger, the database or a
// bundle by the code that verifies them.
type Trust struct {
	Origin string
	LogID  [32]byte
	Key    ed25519.PublicKey
	Chain  *ChainLog // nil: the log was not anchored anywhere when trust was given
	// FromBlock is a block not after the first anchor: looking for anchors begins there.
	FromBlock uint64
	// Witnesses cosign checkpoints of the log, as far as was known.
	Witnesses []*witness.Verifier
}

// trustFile is the form of a Trust on disk. See docs/formats/trust.md.
type trustFile struct {
	Format string      `json:"format"`
	Origin string      `json:"origin"`
	LogID  string      `json:"log_id"`
	LogKey string      `json:"log_key"`
	Chain  *trustChain `json:"chain,omitempty"`
	// Witnesses are note verifier keys.
	Witnesses []string `json:"witnesses,omitempty"`
}

type trustChain struct {
	ChainID   uint64 `json:"chain_id"`
	Contract  string `json:"contract"`
	ID        string `json:"id"`
	FromBlock uint64 `json:"from_block"`
}

// DevelopmentChain says whether id is one that development nodes give
// themselves (Anvil and Hardhat 31337, geth --dev and Ganache 1337).
func DevelopmentChain(id uint64) bool { return id == 31337 || id == 1337 }

// DevelopmentWarning stands in every output about a log on a development chain.
const DevelopmentWarning = "DEVELOPMENT CHAIN: no protection against its operator"

// Validate checks that the parts of t belong together.
func (t *Trust) Validate() error {
	if err := ValidOrigin(t.Origin); err != nil {
		return fmt.Errorf("%w: %w", ErrTrust, err)
	}
	if len(t.Key) != ed25519.PublicKeySize {
		return fmt.Errorf("%w: log key has %d octets, want %d", ErrTrust, len(t.Key), ed25519.PublicKeySize)
	}
	if want := LogID(t.Origin, t.Key); t.LogID != want {
		return fmt.Errorf("%w: log id %x, but origin and log key give %x", ErrTrust, t.LogID, want)
	}
	if t.Chain == nil && t.FromBlock != 0 {
		return fmt.Errorf("%w: block %d of no chain", ErrTrust, t.FromBlock)
	}
	if c := t.Chain; c != nil && (c.ChainID == 0 || c.Contract == [20]byte{} || c.ID == [32]byte{}) {
		return fmt.Errorf("%w: chain id %d, contract %x, id %x: want none of them zero", ErrTrust, c.ChainID, c.Contract, c.ID)
	}
	return nil
}

// Marshal returns the trust file.
func (t *Trust) Marshal() ([]byte, error) {
	if err := t.Validate(); err != nil {
		return nil, err
	}
	vkey, err := note.NewEd25519VerifierKey(t.Origin, t.Key)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrTrust, err)
	}
	f := trustFile{Format: trustFormat, Origin: t.Origin, LogID: hex.EncodeToString(t.LogID[:]), LogKey: vkey}
	if c := t.Chain; c != nil {
		f.Chain = &trustChain{ChainID: c.ChainID, Contract: hex0x(c.Contract[:]), ID: hex0x(c.ID[:]), FromBlock: t.FromBlock}
	}
	for _, w := range t.Witnesses {
		f.Witnesses = append(f.Witnesses, w.String())
	}
	return marshalStrict(f)
}

// ParseTrust reads a trust file. Every field must be known, given once and
// agree with the others.
func ParseTrust(p []byte) (*Trust, error) {
	if len(p) > maxTrust {
		return nil, fmt.Errorf("%w: %d octets, want at most %d", ErrTrust, len(p), maxTrust)
	}
	var f trustFile
	if err := unmarshalStrict(p, &f); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrTrust, err)
	}
	if f.Format != trustFormat {
		return nil, fmt.Errorf("%w: format %q, want %q", ErrTrust, f.Format, trustFormat)
	}
	origin, key, err := parseLogKey(f.LogKey)
	if err != nil {
		return nil, fmt.Errorf("%w: log_key: %w", ErrTrust, err)
	}
	if origin != f.Origin {
		return nil, fmt.Errorf("%w: log key is for %q, want %q", ErrTrust, origin, f.Origin)
	}
	t := &Trust{Origin: f.Origin, Key: key}
	if err := parseHex(t.LogID[:], f.LogID, ""); err != nil {
		return nil, fmt.Errorf("%w: log_id: %w", ErrTrust, err)
	}
	if f.Chain != nil {
		if err := f.Chain.parse(t); err != nil {
			return nil, fmt.Errorf("%w: chain: %w", ErrTrust, err)
		}
	}
	for i, key := range f.Witnesses {
		v, err := witness.NewVerifier(key)
		if err == nil && v.String() != key {
			err = fmt.Errorf("got %.120q, want %q", key, v)
		}
		if err != nil {
			return nil, fmt.Errorf("%w: witnesses[%d]: %w", ErrTrust, i, err)
		}
		t.Witnesses = append(t.Witnesses, v)
	}
	return t, t.Validate()
}

func (f *trustChain) parse(t *Trust) error {
	t.Chain, t.FromBlock = &ChainLog{ChainID: f.ChainID}, f.FromBlock
	if err := parseHex(t.Chain.Contract[:], f.Contract, "0x"); err != nil {
		return fmt.Errorf("contract: %w", err)
	}
	if err := parseHex(t.Chain.ID[:], f.ID, "0x"); err != nil {
		return fmt.Errorf("id: %w", err)
	}
	return nil
}

// ReadTrust reads the trust file at path.
func ReadTrust(path string) (*Trust, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read trust file: %w; get one from the log's owner by a way of its own (`tidemark contract trust` writes it)", err)
	}
	defer f.Close()
	p, err := io.ReadAll(io.LimitReader(f, maxTrust+1))
	if err != nil {
		return nil, fmt.Errorf("read trust file %s: %w", path, err)
	}
	t, err := ParseTrust(p)
	if err != nil {
		return nil, fmt.Errorf("read trust file %s: %w", path, err)
	}
	return t, nil
}

// WriteTrust writes t to a new file at path; a file that is there is not
// overwritten, for it may be the only thing an auditor can rely on.
func WriteTrust(path string, t *Trust) error {
	p, err := t.Marshal()
	if err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return fmt.Errorf("write trust file: %w", err)
	}
	if _, err = f.Write(p); err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write trust file %s: %w", path, err)
	}
	return nil
}

// parseLogKey is ParseLogKey for keys in their one form.
func parseLogKey(vkey string) (string, ed25519.PublicKey, error) {
	origin, key, err := ParseLogKey(vkey)
	if err != nil {
		return "", nil, err
	}
	if again, err := note.NewEd25519VerifierKey(origin, key); err != nil || again != vkey {
		return "", nil, fmt.Errorf("log key %.80q: want %q", vkey, again)
	}
	return origin, key, nil
}

func hex0x(p []byte) string { return "0x" + hex.EncodeToString(p) }

// parseHex reads exactly len(dst) octets of lower-case hexadecimal behind prefix.
func parseHex(dst []byte, s, prefix string) error {
	digits, ok := strings.CutPrefix(s, prefix)
	if !ok || len(digits) != 2*len(dst) {
		return fmt.Errorf("got %.80q, want %s and %d hexadecimal digits", s, prefix, 2*len(dst))
	}
	if _, err := hex.Decode(dst, []byte(digits)); err != nil || hex.EncodeToString(dst) != digits {
		return fmt.Errorf("got %q, want lower-case hexadecimal", s)
	}
	return nil
}

// marshalStrict writes v for a person to read: indented, a newline at the end.
func marshalStrict(v any) ([]byte, error) {
	var buf bytes.Buffer
	e := json.NewEncoder(&buf)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	err := e.Encode(v)
	return buf.Bytes(), err
}

// unmarshalStrict reads what marshalStrict wrote. White space is free; any other
// difference from what v would be written as again (an unknown, repeated or
// misplaced field, another spelling of a number) is refused, so that a file has
// one meaning for every reader.
func unmarshalStrict(p []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(p))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return fmt.Errorf("read JSON: %w", err)
	}
	again, err := marshalStrict(v)
	if err != nil {
		return err
	}
	var got, want bytes.Buffer
	if err := json.Compact(&got, p); err != nil {
		return fmt.Errorf("read JSON: %w", err)
	}
	if err := json.Compact(&want, again); err != nil {
		return err
	}
	if g, w := got.Bytes(), want.Bytes(); !bytes.Equal(g, w) {
		at := 0
		for at < len(g) && at < len(w) && g[at] == w[at] {
			at++
		}
		return fmt.Errorf("JSON is not in its one form near %.40q, want %.40q", g[min(at, len(g)):], w[min(at, len(w)):])
	}
	return nil
}
