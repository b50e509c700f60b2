package storage

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"unsafe"
)

// Records of every length around that of a direct write are on disk as they were
// given, and read back from there.
func TestSpool_LargeRecordsAreWrittenWhole(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "spool")
	s, err := OpenSpool(dir)
	if err != nil {
		t.Fatal(err)
	}
	random := rand.NewChaCha8([32]byte{})
	content := map[uint64][2][]byte{}
	for i, n := range []int{0, 1, staged - spoolHeader - 1, staged - spoolHeader, staged, 2*staged - 7, 2*staged + alignment, 3*staged + 1} {
		meta, block := make([]byte, n%1000), make([]byte, n)
		_, _ = random.Read(meta)
		_, _ = random.Read(block)
		content[uint64(i)] = [2][]byte{bytes.Clone(meta), bytes.Clone(block)}
		if err := s.Append(uint64(i), 9, meta, block); err != nil {
			t.Fatal(err)
		}
	}
	again, err := OpenSpool(dir)
	if err != nil {
		t.Fatal(err)
	}
	for index, want := range content {
		for _, s := range []*Spool{s, again} {
			kind, meta, block, err := s.Read(index)
			if err != nil || kind != 9 || !bytes.Equal(meta, want[0]) || !bytes.Equal(block, want[1]) {
				t.Errorf("record %d of %d octets came back other than it was written: %v", index, len(want[1]), err)
			}
		}
	}
}

// What takes no direct write gets the same file in the other way.
func TestSpool_DirectWritesFallBack(t *testing.T) {
	dir := t.TempDir()
	memory := make([]byte, staged+alignment+1)
	odd := 1 - uintptr(unsafe.Pointer(unsafe.SliceData(memory)))%2
	d := &spoolDir{path: dir, staging: memory[odd:][:staged]} // at an odd address: refused with EINVAL
	want := bytes.Repeat([]byte("0123456789"), staged/5)
	if err := d.writeDirect("a", [][]byte{want}); !errors.Is(err, errNotDirect) {
		t.Skipf("this file system takes writes from anywhere: %v", err)
	}
	if err := d.Write("a", want[:7], want[7:]); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(filepath.Join(dir, "a")); err != nil || !bytes.Equal(got, want) {
		t.Errorf("got %d octets, %v, want %d", len(got), err, len(want))
	}
}
