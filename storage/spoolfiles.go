package storage

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
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
type spoolDir string

func openSpoolDir(dir string) (spoolDir, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	// The spool's own name must survive a power loss too.
	return spoolDir(dir), spoolDir(filepath.Dir(dir)).Sync()
}

func (d spoolDir) Path(name string) string { return filepath.Join(string(d), name) }

func (d spoolDir) List() ([]string, error) {
	entries, err := os.ReadDir(string(d))
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		if !e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names, err
}

func (d spoolDir) Open(name string) (spoolReader, error) {
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

func (d spoolDir) Write(name string, parts ...[]byte) error {
	f, err := os.OpenFile(d.Path(name), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	for _, p := range parts {
		if _, err := f.Write(p); err != nil {
			return errors.Join(err, f.Close())
		}
	}
	if err := f.Sync(); err != nil {
		return errors.Join(err, f.Close())
	}
	return f.Close()
}

func (d spoolDir) Rename(from, to string) error { return os.Rename(d.Path(from), d.Path(to)) }

func (d spoolDir) Remove(name string) error {
	if err := os.Remove(d.Path(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func (d spoolDir) SetAside(name string) (path string, err error) {
	aside := spoolDir(d.Path("corrupt"))
	if err := os.MkdirAll(string(aside), 0o700); err != nil {
		return "", err
	}
	path = aside.Path(name)
	for n := 2; exists(path); n++ {
		path = aside.Path(fmt.Sprintf("%s.%d", name, n))
	}
	if err := os.Rename(d.Path(name), path); err != nil {
		return "", err
	}
	return path, errors.Join(aside.Sync(), d.Sync())
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func (d spoolDir) Sync() error {
	f, err := os.Open(string(d))
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
