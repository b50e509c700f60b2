package storage

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"unsafe"
)

// spoolFiles is what a Spool needs of the directory it lives in. The crash test
// has another one, which fails and forgets as disks do.
type spoolFiles interface {
	List() ([]string, error) // of files, not of directories (lost+found)
	Open(name string) (spoolReader, error)
	// Write makes a file of the parts, replacing one of that name, and returns
	// when its octets are on disk. The name may not be.
	Write(name string, parts ...[]byte) error
	Rename(from, to string) error
	Remove(name string) error // nil if there is none
	// SetAside moves a file to the directory corrupt, where List does not see
	// it, replacing nothing, and returns where it is.
	SetAside(name string) (path string, err error)
	Sync() error // returns when all names are on disk
	Path(name string) string
}

type spoolReader interface {
	io.ReadCloser
	Size() (int64, error)
}

// spoolDir is a directory of the operating system.
type spoolDir struct {
	path    string
	staging []byte // of direct writes, nil before the first
}

func openSpoolDir(dir string) (*spoolDir, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	// The spool's own name must survive a power loss too.
	return &spoolDir{path: dir}, syncDir(filepath.Dir(dir))
}

func (d *spoolDir) Path(name string) string { return filepath.Join(d.path, name) }

func (d *spoolDir) List() ([]string, error) {
	entries, err := os.ReadDir(d.path)
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		if !e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names, err
}

func (d *spoolDir) Open(name string) (spoolReader, error) {
	f, err := os.Open(d.Path(name))
	if err != nil {
		return nil, err
	}
	return osReader{f}, nil
}

type osReader struct{ *os.File }

func (r osReader) Size() (int64, error) {
	info, err := r.Stat()
	if err != nil {
		return 0, err
	}
	if !info.Mode().IsRegular() {
		return 0, fmt.Errorf("%s is no regular file", r.Name())
	}
	return info.Size(), nil
}

func (d *spoolDir) Write(name string, parts ...[]byte) error {
	size := 0
	for _, p := range parts {
		size += len(p)
	}
	if size >= staged {
		if err := d.writeDirect(name, parts); !errors.Is(err, errNotDirect) {
			return err
		}
	}
	f, err := d.create(name, 0)
	if err != nil {
		return err
	}
	for _, p := range parts {
		if _, err := f.Write(p); err != nil {
			return errors.Join(err, f.Close())
		}
	}
	return syncClose(f)
}

func (d *spoolDir) create(name string, flags int) (*os.File, error) {
	return os.OpenFile(d.Path(name), os.O_WRONLY|os.O_CREATE|os.O_TRUNC|flags, 0o600)
}

func syncClose(f *os.File) error { return errors.Join(f.Sync(), f.Close()) }

const (
	staged    = 1 << 20 // octets of one direct write: what a cache near the CPU holds
	alignment = 4096    // of direct writes, in memory and on disk, on any disk we know
)

// errNotDirect: the file system has no direct writes.
var errNotDirect = errors.New("no direct writes")

// writeDirect is Write past the page cache, whose pages would cost more than all
// else that is done with a large record: nobody reads it soon.
func (d *spoolDir) writeDirect(name string, parts [][]byte) error {
	f, err := d.create(name, directFlag)
	if errors.Is(err, syscall.EINVAL) {
		return errNotDirect
	} else if err != nil {
		return err
	}
	if d.staging == nil {
		memory := make([]byte, staged+alignment)
		d.staging = memory[-uintptr(unsafe.Pointer(unsafe.SliceData(memory)))%alignment:][:staged]
	}
	size, n := int64(0), 0
	write := func() error {
		_, err := f.Write(d.staging[:(n+alignment-1)/alignment*alignment])
		size, n = size+int64(n), 0
		return err
	}
	for _, p := range parts {
		for len(p) > 0 && err == nil {
			c := copy(d.staging[n:], p)
			p = p[c:]
			if n += c; n == staged {
				err = write()
			}
		}
	}
	if err == nil && n > 0 {
		if err = write(); err == nil {
			err = f.Truncate(size) // the last write was rounded up
		}
	}
	if err != nil {
		if errors.Is(err, syscall.EINVAL) {
			err = errNotDirect
		}
		return errors.Join(err, f.Close())
	}
	return syncClose(f)
}

func (d *spoolDir) Rename(from, to string) error { return os.Rename(d.Path(from), d.Path(to)) }

func (d *spoolDir) Remove(name string) error {
	if err := os.Remove(d.Path(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func (d *spoolDir) SetAside(name string) (path string, err error) {
	aside := d.Path("corrupt")
	if err := os.MkdirAll(aside, 0o700); err != nil {
		return "", err
	}
	path = filepath.Join(aside, name)
	for n := 2; exists(path); n++ {
		path = filepath.Join(aside, fmt.Sprintf("%s.%d", name, n))
	}
	if err := os.Rename(d.Path(name), path); err != nil {
		return "", err
	}
	return path, errors.Join(syncDir(aside), d.Sync())
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func (d *spoolDir) Sync() error { return syncDir(d.path) }

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return syncClose(f)
}
