package ndjson

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func read(t *testing.T, path string) (out []int) {
	t.Helper()
	if err := Read(path, func(v int) bool { out = append(out, v); return len(out) < 10 }); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestFile_HalfALineOfACrashCostsOnlyItself(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lines")
	if got := read(t, path); got != nil {
		t.Errorf("got %v from no file", got)
	}
	for i, half := range []string{"12", "", `{"no": number}` + "\n3"} {
		f, err := Open[int](path)
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Append(100 + i); err != nil {
			t.Fatal(err)
		}
		if _, err := f.file.WriteString(half); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		if got := read(t, path); !slices.Contains(got, 100+i) || slices.Contains(got, 3) {
			t.Errorf("got %v after the half line %q", got, half)
		}
	}
	if got := read(t, path); !slices.Equal(got, []int{100, 12, 101, 102}) {
		t.Errorf("got %v, want every whole line; 12 was ended by the next opening", got)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("got mode %v, %v, want 0600", info.Mode(), err)
	}
}
