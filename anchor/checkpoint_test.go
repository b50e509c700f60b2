package anchor

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"strings"
	"testing"

	fmtlog "github.com/transparency-dev/formats/log"
	"golang.org/x/mod/sumdb/note"
)

const testOrigin = "example.com/site-1"

func testKey(t *testing.T) (note.Signer, note.Verifier, string, ed25519.PublicKey) {
	t.Helper()
	seed := bytes.NewReader(bytes.Repeat([]byte{7}, 64))
	skey, vkey, err := note.GenerateKey(seed, testOrigin)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := note.NewSigner(skey)
	if err != nil {
		t.Fatal(err)
	}
	origin, key, err := ParseLogKey(vkey)
	if err != nil || origin != testOrigin {
		t.Fatalf("ParseLogKey: %q, %v", origin, err)
	}
	verifier, err := LogVerifier(origin, key)
	if err != nil {
		t.Fatal(err)
	}
	return signer, verifier, vkey, key
}

func TestCheckpoint_Golden(t *testing.T) {
	signer, verifier, vkey, _ := testKey(t)
	want := Checkpoint{Origin: testOrigin, Size: 1234567, Root: octets(1)}
	signed, err := want.Sign(signer)
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "checkpoint.golden", append([]byte(vkey+"\n\n"), signed...))
	if got, err := OpenCheckpoint(signed, verifier); err != nil || got != want {
		t.Fatalf("OpenCheckpoint: %+v, %v", got, err)
	}
	// The outside reader of C2SP checkpoints agrees.
	outside, _, _, err := fmtlog.ParseCheckpoint(signed, testOrigin, verifier)
	if err != nil || outside.Size != want.Size || !bytes.Equal(outside.Hash, want.Root[:]) {
		t.Fatalf("transparency-dev/formats: %+v, %v", outside, err)
	}
}

func TestCheckpoint_EveryOctetIsSigned(t *testing.T) {
	signer, verifier, _, _ := testKey(t)
	signed, err := Checkpoint{Origin: testOrigin, Size: 12, Root: octets(1)}.Sign(signer)
	if err != nil {
		t.Fatal(err)
	}
	for i := range signed {
		spoiled := bytes.Clone(signed)
		spoiled[i] ^= 1
		if _, err := OpenCheckpoint(spoiled, verifier); !errors.Is(err, ErrCheckpoint) {
			t.Errorf("octet %d: %v, want ErrCheckpoint", i, err)
		}
	}
}

func TestCheckpoint_Refusals(t *testing.T) {
	good := Checkpoint{Origin: testOrigin, Size: 12, Root: octets(1)}.Text()
	root := strings.Split(good, "\n")[2]
	for name, text := range map[string]string{
		"nothing":       "",
		"no end":        strings.TrimSuffix(good, "\n"),
		"extension":     good + "x\n",
		"leading zero":  testOrigin + "\n012\n" + root + "\n",
		"sign":          testOrigin + "\n+12\n" + root + "\n",
		"size too big":  testOrigin + "\n18446744073709551616\n" + root + "\n",
		"short root":    testOrigin + "\n12\nAAAA\n",
		"no padding":    testOrigin + "\n12\n" + strings.TrimRight(root, "=") + "\n",
		"empty origin":  "\n12\n" + root + "\n",
		"bad character": "a b\n12\n" + root + "\n",
	} {
		if _, err := ParseCheckpoint(text); !errors.Is(err, ErrCheckpoint) {
			t.Errorf("%s: %v, want ErrCheckpoint", name, err)
		}
	}
	signer, _, _, _ := testKey(t)
	if _, err := (Checkpoint{Origin: "other", Size: 1}).Sign(signer); err == nil {
		t.Error("signed for another origin")
	}
}

func TestValidOrigin(t *testing.T) {
	for _, good := range []string{"a", "example.com/site-1", strings.Repeat("x", MaxOrigin)} {
		if err := ValidOrigin(good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, bad := range []string{"", "a b", "a+b", "a\nb", "é", "a\x7f", strings.Repeat("x", MaxOrigin+1)} {
		if ValidOrigin(bad) == nil {
			t.Errorf("%q: no error", bad)
		}
	}
}
