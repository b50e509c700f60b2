package anchor

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
)

// ErrCheckpoint is the class of all faults of a checkpoint.
var ErrCheckpoint = errors.New("invalid checkpoint")

// MaxOrigin is the longest origin in octets.
const MaxOrigin = 255

// Checkpoint is a state of a log: the root hash of its first Size headers.
type Checkpoint struct {
	Origin string
	Size   uint64
	Root   [32]byte
}

// ValidOrigin says whether s may name a log. An origin is a line of a C2SP
// checkpoint and the name of a note key: visible ASCII without "+".
func ValidOrigin(s string) error {
	if s == "" || len(s) > MaxOrigin {
		return fmt.Errorf("log origin %q: %d octets, want 1 to %d, such as example.com/site-1", s, len(s), MaxOrigin)
	}
	for _, c := range []byte(s) {
		if c <= ' ' || c > '~' || c == '+' {
			return fmt.Errorf("log origin %q: holds %q, want visible ASCII without + and spaces, such as example.com/site-1", s, c)
		}
	}
	return nil
}

// Text is the C2SP tlog-checkpoint: origin, size, root hash, no extension
// lines. It is what the log key signs.
func (c Checkpoint) Text() string {
	return c.Origin + "\n" + strconv.FormatUint(c.Size, 10) + "\n" + base64.StdEncoding.EncodeToString(c.Root[:]) + "\n"
}

// Sign returns the checkpoint as a signed note.
func (c Checkpoint) Sign(signer note.Signer) ([]byte, error) {
	if signer.Name() != c.Origin {
		return nil, fmt.Errorf("sign checkpoint: key is for %q, want %q", signer.Name(), c.Origin)
	}
	return note.Sign(&note.Note{Text: c.Text()}, signer)
}

// OpenCheckpoint verifies a signed checkpoint; the verifier's name is the
// origin it must have. Signatures of others, witnesses say, are passed over.
func OpenCheckpoint(signed []byte, verifier note.Verifier) (Checkpoint, error) {
	n, err := note.Open(signed, note.VerifierList(verifier))
	if err != nil {
		return Checkpoint{}, fmt.Errorf("%w: %w", ErrCheckpoint, err)
	}
	c, err := ParseCheckpoint(n.Text)
	if err != nil {
		return Checkpoint{}, err
	}
	if c.Origin != verifier.Name() {
		return Checkpoint{}, fmt.Errorf("%w: origin %q, want %q", ErrCheckpoint, c.Origin, verifier.Name())
	}
	return c, nil
}

// ParseCheckpoint reads a checkpoint's text. It refuses extension lines, which
// this log does not write (C2SP tlog-checkpoint: NOT RECOMMENDED).
func ParseCheckpoint(text string) (Checkpoint, error) {
	lines := strings.Split(text, "\n")
	if len(lines) != 4 || lines[3] != "" {
		return Checkpoint{}, fmt.Errorf("%w: %d lines, want 3", ErrCheckpoint, len(lines)-1)
	}
	size, err := strconv.ParseUint(lines[1], 10, 64)
	if err != nil {
		return Checkpoint{}, fmt.Errorf("%w: size %q", ErrCheckpoint, lines[1])
	}
	root, err := base64.StdEncoding.Strict().DecodeString(lines[2])
	if err != nil || len(root) != 32 {
		return Checkpoint{}, fmt.Errorf("%w: root hash %q", ErrCheckpoint, lines[2])
	}
	c := Checkpoint{Origin: lines[0], Size: size, Root: [32]byte(root)}
	if err := ValidOrigin(c.Origin); err != nil {
		return Checkpoint{}, fmt.Errorf("%w: %w", ErrCheckpoint, err)
	}
	if c.Text() != text {
		return Checkpoint{}, fmt.Errorf("%w: not in its one form", ErrCheckpoint)
	}
	return c, nil
}

// LogVerifier is the verifier of notes signed by the Ed25519 log key.
func LogVerifier(origin string, key ed25519.PublicKey) (note.Verifier, error) {
	if err := ValidOrigin(origin); err != nil {
		return nil, err
	}
	vkey, err := note.NewEd25519VerifierKey(origin, key)
	if err != nil {
		return nil, fmt.Errorf("make verifier for %q: %w", origin, err)
	}
	return note.NewVerifier(vkey)
}

// ParseLogKey reads a note verifier key ("origin+hash+base64"), the form in
// which log keys are handed around, and returns what it names.
func ParseLogKey(vkey string) (origin string, key ed25519.PublicKey, err error) {
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		return "", nil, fmt.Errorf("read log key: %w", err)
	}
	origin = verifier.Name()
	if err := ValidOrigin(origin); err != nil {
		return "", nil, err
	}
	raw, err := noteKeyOctets(vkey)
	return origin, ed25519.PublicKey(raw), err
}

// noteKeyOctets returns the 32 octets behind the algorithm octet of a note key:
// "[PRIVATE+KEY+]name+hash+base64(algorithm || octets)".
func noteKeyOctets(key string) ([]byte, error) {
	parts := strings.SplitN(strings.TrimPrefix(key, "PRIVATE+KEY+"), "+", 3)
	raw, err := base64.StdEncoding.DecodeString(parts[len(parts)-1]) // may itself hold a +
	if err != nil || len(parts) != 3 || len(raw) != 1+32 {
		return nil, errors.New("read log key: not an Ed25519 note key")
	}
	return raw[1:], nil
}
