package witness

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Verifier verifies the cosignatures of a witness (C2SP tlog-cosignature,
// Ed25519 cosignature/v1, algorithm octet 0x04). It is a note.Verifier.
type Verifier struct {
	name string
	hash uint32
	key  ed25519.PublicKey
}

const cosignatureV1 = 0x04

// NewVerifier reads the verifier key of a witness, "name+hash+base64".
func NewVerifier(vkey string) (*Verifier, error) {
	fail := func(why string) (*Verifier, error) {
		return nil, fmt.Errorf("key of a witness: %s: got %.120q, want NAME+HASH+KEY of an Ed25519 cosignature/v1 key, as the witness's operator gives it", why, vkey)
	}
	parts := strings.SplitN(vkey, "+", 3) // base64 may hold a + too
	if len(parts) != 3 || parts[0] == "" || strings.ContainsAny(parts[0], " \t\n") {
		return fail("malformed")
	}
	want, err := hex.DecodeString(parts[1])
	if err != nil || len(want) != 4 {
		return fail("malformed hash")
	}
	key, err := base64.StdEncoding.Strict().DecodeString(parts[2])
	if err != nil || len(key) != 1+ed25519.PublicKeySize {
		return fail("malformed key")
	}
	if key[0] != cosignatureV1 {
		return fail(fmt.Sprintf("algorithm %d", key[0]))
	}
	sum := sha256.Sum256(append([]byte(parts[0]+"\n"), key...))
	if [4]byte(want) != [4]byte(sum[:4]) {
		return fail("hash and key do not match")
	}
	return &Verifier{name: parts[0], hash: binary.BigEndian.Uint32(want), key: key[1:]}, nil
}

// String is the verifier key, as NewVerifier reads it.
func (v *Verifier) String() string {
	return fmt.Sprintf("%s+%08x+%s", v.name, v.hash, base64.StdEncoding.EncodeToString(append([]byte{cosignatureV1}, v.key...)))
}

// Name is the name of the witness.
func (v *Verifier) Name() string { return v.name }

// KeyHash is the key hash that cosignature lines begin with.
func (v *Verifier) KeyHash() uint32 { return v.hash }

// Verify reports whether sig is the witness's timestamp and signature over text.
func (v *Verifier) Verify(text, sig []byte) bool {
	if len(sig) != 8+ed25519.SignatureSize {
		return false
	}
	at, err := timeOf(sig[:8])
	if err != nil {
		return false
	}
	message := fmt.Appendf(nil, "cosignature/v1\ntime %d\n", at.Unix())
	return ed25519.Verify(v.key, append(message, text...), sig[8:])
}

func timeOf(p []byte) (time.Time, error) {
	const year9999 = 253402300799
	seconds := binary.BigEndian.Uint64(p)
	if seconds > year9999 {
		return time.Time{}, errors.New("cosignature with a timestamp that is no time")
	}
	return time.Unix(int64(seconds), 0).UTC(), nil
}
