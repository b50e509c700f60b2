package merkle

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// conformance finds the outside vectors: beside the project, or where
// TIDEMARK_CONFORMANCE says. In CI their absence is a failure.
func conformance(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("TIDEMARK_CONFORMANCE")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared", "conformance")
	}
	dir = filepath.Join(dir, "merkle")
	if _, err := os.Stat(dir); err != nil {
		msg := fmt.Sprintf("outside Merkle vectors are missing: %v; set TIDEMARK_CONFORMANCE to the directory that holds merkle/", err)
		if os.Getenv("CI") == "true" {
			t.Fatal(msg)
		}
		t.Skip(msg)
	}
	return dir
}

var errLength = errors.New("hash is not 32 octets")

// parse reads hashes as a parser of proofs has to: any other length is refused
// before there is a Hash.
func parse(fields ...string) ([]Hash, error) {
	out := make([]Hash, len(fields))
	for i, s := range fields {
		b, err := base64.StdEncoding.DecodeString(s)
		if err != nil {
			return nil, err
		}
		if len(b) != len(out[i]) {
			return nil, errLength
		}
		out[i] = Hash(b)
	}
	return out, nil
}

func eachVector(t *testing.T, dir string, f func(t *testing.T, raw []byte)) int {
	n := 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".json" {
			return err
		}
		raw, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		n++
		name, _ := filepath.Rel(dir, path)
		t.Run(name, func(t *testing.T) { f(t, raw) })
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestVectors_Inclusion(t *testing.T) {
	refused := 0
	n := eachVector(t, filepath.Join(conformance(t), "inclusion"), func(t *testing.T, raw []byte) {
		var v struct {
			LeafIdx, TreeSize uint64
			Root, LeafHash    string
			Proof             []string
			Desc              string
			WantErr           bool
		}
		if err := json.Unmarshal(raw, &v); err != nil {
			t.Fatal(err)
		}
		h, err := parse(append([]string{v.LeafHash, v.Root}, v.Proof...)...)
		if errors.Is(err, errLength) {
			refused++
		}
		if err == nil {
			err = VerifyInclusion(v.LeafIdx, v.TreeSize, h[0], h[2:], h[1])
		}
		if (err != nil) != v.WantErr {
			t.Fatalf("%s: got %v, want an error: %v", v.Desc, err, v.WantErr)
		}
	})
	if n != 98 {
		t.Errorf("%d inclusion vectors, want 98", n)
	}
	t.Logf("%d vectors, %d of them refused when parsing", n, refused)
}

func TestVectors_Consistency(t *testing.T) {
	parsed, byDesign := 0, map[string]bool{}
	n := eachVector(t, filepath.Join(conformance(t), "consistency"), func(t *testing.T, raw []byte) {
		var v struct {
			Size1, Size2 uint64
			Root1, Root2 string
			Proof        []string
			Desc         string
			WantErr      bool
		}
		if err := json.Unmarshal(raw, &v); err != nil {
			t.Fatal(err)
		}
		h, err := parse(append([]string{v.Root1, v.Root2}, v.Proof...)...)
		if errors.Is(err, errLength) {
			parsed++
		}
		if err == nil {
			err = VerifyConsistency(v.Size1, v.Size2, h[2:], h[0], h[1])
		}
		if !v.WantErr && err != nil && (v.Size1 == 0 || v.Size2 <= v.Size1 || errors.Is(err, errLength)) {
			// Valid by the library, refused here by design: a proof about an
			// empty older tree, or none at all, proves nothing.
			byDesign[strings.TrimPrefix(t.Name(), "TestVectors_Consistency/")] = true
			return
		}
		if (err != nil) != v.WantErr {
			t.Fatalf("%s: got %v, want an error: %v", v.Desc, err, v.WantErr)
		}
	})
	if n != 98 {
		t.Errorf("%d consistency vectors, want 98", n)
	}
	want := []string{"0/happy-path.json", "additional/sizes-are-equal-one-and-proof-is-empty.json"} // sizes 1 and 1
	if got := slices.Sorted(maps.Keys(byDesign)); !slices.Equal(got, want) {
		t.Errorf("refused by design: %q, want %q", got, want)
	}
	t.Logf("%d vectors, %d refused when parsing, %d by design", n, parsed, len(byDesign))
}
