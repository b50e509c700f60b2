package anchor

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// golden compares got with testdata/name.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		line := 1
		for i := 0; i < min(len(got), len(want)) && got[i] == want[i]; i++ {
			if got[i] == '\n' {
				line++
			}
		}
		t.Fatalf("%s differs from line %d on: the format changed, which needs a new version", path, line)
	}
}

// vector is one line of a golden file of octets: a name and the octets in hex.
func vector(dst []byte, name string, octets []byte) []byte {
	return fmt.Appendf(dst, "%s %x\n", name, octets)
}
