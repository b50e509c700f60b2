package storage

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

var update = flag.Bool("update", false, "write golden files")

// diskFiles is a disk in memory. Octets are on it when Write returns nil, names
// when Sync does. The call number failAt fails, with or without its effect.
type diskFiles struct {
	now, durable map[string][]byte
	calls        int
	failAt       int
	failure      error
	persist      bool // the failing call has its effect anyway
	unreadable   error
}

var errDisk = errors.New("the disk says no")

func newDisk() *diskFiles {
	return &diskFiles{now: map[string][]byte{}, durable: map[string][]byte{}, failure: errDisk}
}

// do runs effect unless this call fails without effect.
func (d *diskFiles) do(effect func()) error {
	d.calls++
	if d.calls == d.failAt {
		if d.persist {
			effect()
		}
		return d.failure
	}
	effect()
	return nil
}

func (d *diskFiles) Path(name string) string { return "disk/" + name }

func (d *diskFiles) List() (names []string, err error) {
	for name := range d.now {
		names = append(names, name)
	}
	return names, nil
}

func (d *diskFiles) Open(name string) (spoolReader, error) {
	b, ok := d.now[name]
	if !ok {
		return nil, os.ErrNotExist
	}
	return memReader{bytes.NewReader(b), d.unreadable}, nil
}

type memReader struct {
	*bytes.Reader
	err error
}

func (r memReader) Read(b []byte) (int, error) {
	if r.err != nil {
		return 0, r.err
	}
	return r.Reader.Read(b)
}

func (r memReader) Size() (int64, error) { return r.Reader.Size(), nil }
func (memReader) Close() error           { return nil }

func (d *diskFiles) Write(name string, parts ...[]byte) error {
	whole := bytes.Join(parts, nil)
	d.now[name] = whole[:len(whole)/2] // what a failure leaves behind
	return d.do(func() { d.now[name] = whole })
}

func (d *diskFiles) Rename(from, to string) error {
	return d.do(func() { d.now[to] = d.now[from]; delete(d.now, from) })
}

func (d *diskFiles) Remove(name string) error { return d.do(func() { delete(d.now, name) }) }

func (d *diskFiles) SetAside(name string) (string, error) {
	return d.Path("corrupt/" + name), d.do(func() { delete(d.now, name) })
}

func (d *diskFiles) Sync() error {
	return d.do(func() {
		d.durable = map[string][]byte{}
		for name, b := range d.now {
			d.durable[name] = b
		}
	})
}

// crash loses power: names that were not synced are there or not.
func (d *diskFiles) crash(names bool) {
	if !names {
		d.now = map[string][]byte{}
		for name, b := range d.durable {
			d.now[name] = b
		}
	}
	d.failAt = 0
}

// TestSpool_CrashAtEveryCall appends a second record to a spool whose disk fails
// at each call in turn, loses power, and looks at what is there.
func TestSpool_CrashAtEveryCall(t *testing.T) {
	const calls = 3 // Write, Rename, Sync
	for failAt := range calls + 1 {
		for _, persist := range []bool{false, true} {
			for _, names := range []bool{false, true} {
				t.Run(fmt.Sprintf("call %d fails, persisted %v, names kept %v", failAt, persist, names), func(t *testing.T) {
					disk := newDisk()
					s, err := openSpool(disk)
					if err != nil {
						t.Fatal(err)
					}
					if err := s.Append(1, 9, []byte("first"), []byte("rows")); err != nil {
						t.Fatal(err)
					}
					disk.calls, disk.failAt, disk.persist = 0, failAt, persist
					appendErr := s.Append(2, 9, []byte("second"), []byte("more rows"))
					if (appendErr != nil) != (failAt != 0) {
						t.Fatalf("Append: %v with call %d failing", appendErr, failAt)
					}
					if appendErr != nil && len(s.Records()) != 1 {
						t.Fatalf("got %d records after a failed Append, want 1", len(s.Records()))
					}
					disk.crash(names)

					s, err = openSpool(disk)
					if err != nil {
						t.Fatalf("open after the crash: %v", err)
					}
					requireRecord(t, s, 1, "first", "rows")
					switch n := len(s.Records()); {
					case n == 2:
						requireRecord(t, s, 2, "second", "more rows")
					case appendErr == nil:
						t.Fatal("a record that Append returned nil for is lost")
					default:
						if err := s.Append(2, 9, []byte("second"), []byte("more rows")); err != nil {
							t.Fatalf("append again: %v", err)
						}
						requireRecord(t, s, 2, "second", "more rows")
					}
					for name := range disk.now {
						if filepath.Ext(name) == spoolTemp {
							t.Errorf("half-written file %s is still there", name)
						}
					}
				})
			}
		}
	}
}

func requireRecord(t *testing.T, s *Spool, index uint64, meta, block string) {
	t.Helper()
	kind, m, b, err := s.Read(index)
	if err != nil || kind != 9 || string(m) != meta || string(b) != block {
		t.Fatalf("record %d: got kind %d, %q, %q, %v", index, kind, m, b, err)
	}
}

func TestSpool_FullDiskIsTypedAndLeavesNothing(t *testing.T) {
	disk := newDisk()
	s, err := openSpool(disk)
	if err != nil {
		t.Fatal(err)
	}
	disk.calls, disk.failAt, disk.failure = 0, 1, &os.PathError{Op: "write", Path: "x", Err: syscall.ENOSPC}
	if err := s.Append(1, 0, nil, []byte("rows")); !errors.Is(err, ErrSpoolFull) || !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("got %v, want ErrSpoolFull", err)
	}
	if len(disk.now) != 0 || s.Size() != 0 {
		t.Errorf("got %d files, size %d after a full disk, want none", len(disk.now), s.Size())
	}
}

func TestSpool_ReopensInIndexOrderAndForgetsHalves(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "spool")
	s, err := OpenSpool(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, index := range []uint64{10, 9, 1 << 63, 11} {
		if err := s.Append(index, 9, []byte("m"), []byte("b")); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Append(9, 9, nil, nil); err == nil {
		t.Error("appending a record twice: no error")
	}
	if err := s.Remove(10); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, spoolName(12)+spoolTemp), []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	if s, err = OpenSpool(dir); err != nil {
		t.Fatal(err)
	}
	var got []uint64
	for _, r := range s.Records() {
		got = append(got, r.Index)
	}
	if want := []uint64{9, 11, 1 << 63}; !slices.Equal(got, want) {
		t.Errorf("got records %v, want %v", got, want)
	}
	if want := int64(3 * (spoolHeader + 2)); s.Size() != want {
		t.Errorf("Size() = %d, want %d", s.Size(), want)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 3 {
		t.Errorf("got %d files, want 3", len(entries))
	}
}

// TestSpool_EveryChangedOctetIsFound flips each octet and cuts each length of a
// record: opening or reading must fail by type, naming the file.
func TestSpool_EveryChangedOctetIsFound(t *testing.T) {
	whole := slices.Concat(appendSpoolHeader(nil, 5, 1, []byte("meta"), []byte("block")), []byte("metablock"))
	try := func(b []byte) error {
		disk := newDisk()
		disk.now[spoolName(5)] = b
		s, err := openSpool(disk)
		if err == nil {
			_, _, _, err = s.Read(5)
		}
		return err
	}
	if err := try(whole); err != nil {
		t.Fatal(err)
	}
	for i := range whole {
		flipped := slices.Clone(whole)
		flipped[i] ^= 0x40
		for what, b := range map[string][]byte{"flipped": flipped, "cut": whole[:i]} {
			var corrupt *CorruptError
			if err := try(b); !errors.As(err, &corrupt) || corrupt.Path != "disk/"+spoolName(5) {
				t.Errorf("octet %d %s: got %v, want a CorruptError", i, what, err)
			}
		}
	}
}

// What is wrong behind meta does not keep meta from being read.
func TestSpool_MetaIsReadWithoutTheBlock(t *testing.T) {
	whole := slices.Concat(appendSpoolHeader(nil, 5, 1, []byte("meta"), []byte("block")), []byte("metablock"))
	begin := len(whole) - len("block")
	for i := range whole {
		flipped := slices.Clone(whole)
		flipped[i] ^= 0x40
		for what, b := range map[string][]byte{"flipped": flipped, "cut": whole[:i]} {
			disk := newDisk()
			disk.now[spoolName(5)] = b
			s, err := openSpool(disk)
			if err != nil {
				t.Fatal(err)
			}
			kind, meta, err := s.ReadMeta(5)
			if i < begin {
				var corrupt *CorruptError
				if !errors.As(err, &corrupt) {
					t.Errorf("octet %d %s: got %v, want a CorruptError", i, what, err)
				}
			} else if err != nil || kind != 1 || string(meta) != "meta" {
				t.Errorf("octet %d %s: got kind %d, %q, %v", i, what, kind, meta, err)
			}
		}
	}
}

func TestSpool_RecordOfAnOlderProgramIsNotCorrupt(t *testing.T) {
	b := appendSpoolHeader(nil, 5, 1, nil, nil)
	b[9] = 1
	disk := newDisk()
	disk.now[spoolName(5)] = b
	s, err := openSpool(disk)
	if err != nil {
		t.Fatal(err)
	}
	var corrupt *CorruptError
	if _, _, err := s.ReadMeta(5); err == nil || errors.As(err, &corrupt) || !strings.Contains(err.Error(), "older program") {
		t.Errorf("got %v, want what to do", err)
	}
}

func TestSpool_SectorThatCannotBeReadIsCorrupt(t *testing.T) {
	disk := newDisk()
	s, err := openSpool(disk)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Append(5, 1, []byte("meta"), []byte("block")); err != nil {
		t.Fatal(err)
	}
	if s, err = openSpool(disk); err != nil { // what was appended is in memory
		t.Fatal(err)
	}
	for failure, want := range map[syscall.Errno]bool{syscall.EIO: true, syscall.EMFILE: false} {
		disk.unreadable = &os.PathError{Op: "read", Path: "x", Err: failure}
		_, _, _, err := s.Read(5)
		var corrupt *CorruptError
		if err == nil || errors.As(err, &corrupt) != want {
			t.Errorf("%v: got %v, want a CorruptError: %v", failure, err, want)
		}
	}
}

func TestSpool_SetAsideKeepsTheFileAndItsNamesake(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "spool")
	s, err := OpenSpool(dir)
	if err != nil {
		t.Fatal(err)
	}
	var paths []string
	for range 2 {
		if err := s.Append(7, 9, []byte("m"), []byte("b")); err != nil {
			t.Fatal(err)
		}
		path, err := s.SetAside(7)
		if err != nil {
			t.Fatal(err)
		}
		paths = append(paths, path)
		if len(s.Records()) != 0 || s.Size() != 0 {
			t.Errorf("got %v, %d octets in the spool, want nothing", s.Records(), s.Size())
		}
	}
	if want := filepath.Join(dir, "corrupt", spoolName(7)); paths[0] != want || paths[1] == want {
		t.Errorf("set aside to %q, want the first to be %s and the second another", paths, want)
	}
	for _, path := range paths {
		if info, err := os.Stat(path); err != nil || info.Size() != spoolHeader+2 {
			t.Errorf("%s: %v, %v", path, info, err)
		}
	}
	if _, err := s.SetAside(7); err == nil {
		t.Error("a record that is not there: no error")
	}
	if s, err = OpenSpool(dir); err != nil || len(s.Records()) != 0 {
		t.Errorf("opened again: %v, %v, want an empty spool", s.Records(), err)
	}
	if indexes, err := SpoolIndexes(dir); err != nil || len(indexes) != 0 {
		t.Errorf("SpoolIndexes: %v, %v, want none", indexes, err)
	}
}

func TestSpool_GoldenFile(t *testing.T) {
	meta, block := []byte("the ledger's own octets"), []byte("a block in Native format")
	got := slices.Concat(appendSpoolHeader(nil, 0x0102030405060708, 1, meta, block), meta, block)
	const golden = "testdata/spool-v2.golden"
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(golden, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Fatalf("the format has changed: got\n%x, want\n%x", got, want)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, spoolName(0x0102030405060708)), want, 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := OpenSpool(dir)
	if err != nil {
		t.Fatal(err)
	}
	kind, m, b, err := s.Read(0x0102030405060708)
	if err != nil || kind != 1 || !bytes.Equal(m, meta) || !bytes.Equal(b, block) {
		t.Errorf("got kind %d, %q, %q, %v", kind, m, b, err)
	}
}

func FuzzSpool_HeaderNeverPanics(f *testing.F) {
	f.Add(appendSpoolHeader(nil, 5, 1, []byte("meta"), []byte("block")))
	f.Fuzz(func(t *testing.T, b []byte) {
		disk := newDisk()
		disk.now[spoolName(5)] = b
		s, err := openSpool(disk)
		if err != nil {
			return
		}
		_, whole, block, err := s.Read(5)
		_, meta, metaErr := s.ReadMeta(5)
		var corrupt *CorruptError
		switch {
		case err == nil && (metaErr != nil || !bytes.Equal(meta, whole) || len(meta)+len(block)+spoolHeader != len(b)):
			t.Errorf("Read returns %q and %q, ReadMeta %q, %v", whole, block, meta, metaErr)
		case err != nil && !errors.As(err, &corrupt), metaErr != nil && !errors.As(metaErr, &corrupt):
			t.Errorf("%v, %v, want CorruptErrors", err, metaErr)
		}
	})
}
