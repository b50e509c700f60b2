package stamp

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

func TestRead_OnlyRegularFilesWithinBounds(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte("12345678"), 0o600); err != nil {
		t.Fatal(err)
	}
	if text, err := Read(path, 8); err != nil || string(text) != "12345678" {
		t.Errorf("a file that is as long as it may be: %q, %v", text, err)
	}
	if _, err := Read(path, 7); err == nil {
		t.Error("a file that is too long was read")
	}
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := unix.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{pipe, "/dev/zero", t.TempDir()} { // the first two never end
		if _, err := Read(path, 1<<30); err == nil {
			t.Errorf("%s was read, want regular files only", path)
		}
	}
}
