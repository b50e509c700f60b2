package anchor

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// Files of a ledger's directory. A batch is committed when its header is: the
// others are written and synced before, so they never lack what a header needs.
const (
	lockFile       = "lock"
	keyFile        = "log.key"    // note signer key, mode 0600
	publicFile     = "log.pub"    // note verifier key
	headersFile    = "headers"    // HeaderSize octets per batch
	batchesFile    = "batches"    // batchSize octets per batch: salt key, offsets, checksum
	nodesFile      = "nodes"      // level-8 node hashes, 32 octets per 256 leaves
	tagsFile       = "tags"       // tagSize octets per leaf, see tags.go; may be missing or short
	tablesFile     = "tables"     // exporter tables behind their u32 length, a repeated one stored once
	checkpointFile = "checkpoint" // the last signed checkpoint
)

// file is the part of *os.File the ledger uses.
type file interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	Sync() error
	Truncate(size int64) error
	Stat() (fs.FileInfo, error)
}

// files is the file system the ledger writes to. A write that returned an error
// may still have happened.
type files interface {
	OpenFile(path string, flag int, mode fs.FileMode) (file, error)
	ReadFile(path string) ([]byte, error)
	Rename(from, to string) error
	SyncDir(path string) error
}

// osFiles is the file system of the operating system.
type osFiles struct{}

func (osFiles) OpenFile(path string, flag int, mode fs.FileMode) (file, error) {
	f, err := os.OpenFile(path, flag, mode)
	if err != nil {
		return nil, err // not a typed nil
	}
	return f, nil
}

func (osFiles) ReadFile(path string) ([]byte, error) { return os.ReadFile(path) }

func (osFiles) Rename(from, to string) error { return os.Rename(from, to) }

func (osFiles) SyncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// replaceFile puts content at path as a whole: after a crash there is the old
// file or the new one.
func replaceFile(fsys files, path string, content []byte) error {
	temporary := path + ".new"
	f, err := fsys.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(content, 0)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := fsys.Rename(temporary, path); err != nil {
		return err
	}
	return fsys.SyncDir(filepath.Dir(path))
}

// writeDurably writes p at offset off and syncs. Repeating it after an error is
// safe: the octets go to the same place, and are written anew, because a kernel
// may drop pages whose sync has failed.
func writeDurably(f file, p []byte, off int64) error {
	if _, err := f.WriteAt(p, off); err != nil {
		return err
	}
	return f.Sync()
}

func sizeOf(f file) (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// CorruptError is a ledger file whose content cannot be right.
type CorruptError struct {
	File   string // path
	Offset int64
	Batch  uint64
	Err    error
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("ledger file %s, offset %d (batch %d): %v; restore the ledger directory from a backup that is not older than its last anchored checkpoint, and do not delete it",
		e.File, e.Offset, e.Batch, e.Err)
}

func (e *CorruptError) Unwrap() error { return e.Err }
