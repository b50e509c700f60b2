package storage

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

// A spool file is one record: header, meta, block. Numbers are big-endian.
// docs/formats/spool.md describes it; testdata/spool-v2.golden is one.
//
//	 0  8  "TDMSPOOL"
//	 8  2  version, 2
//	10  1  kind of batch, the ledger's
//	11  1  0
//	12  4  octets of meta
//	16  8  index of the batch
//	24  8  octets of block
//	32  4  CRC-32C of meta
//	36  4  CRC-32C of block
//	40  4  CRC-32C of octets 0 to 39
const (
	spoolMagic   = "TDMSPOOL"
	spoolVersion = 2
	spoolHeader  = 44
	spoolSuffix  = ".batch"
	spoolTemp    = ".tmp"
)

// Bounds of a record.
const (
	maxSpoolMeta  = 64 << 20
	maxSpoolBlock = 4 << 30
)

// ErrSpoolFull says that the disk has no room for the record.
var ErrSpoolFull = errors.New("no space left on the disk of the spool")

// CorruptError says that a file of the spool is not what Append wrote.
type CorruptError struct {
	Path   string
	Reason string
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("spool record %s is corrupt: %s", e.Path, e.Reason)
}

// Spool holds sealed batches until the database has them, one file for each. A
// record that Append has returned nil for survives kill -9 and power loss. It is
// safe for concurrent use by one process; one goroutine at a time calls Read.
type Spool struct {
	files     spoolFiles
	appending sync.Mutex // one record is written at a time

	mu      sync.Mutex
	records map[uint64]SpoolRecord
	size    int64

	meta, block []byte // of the record read last
}

// SpoolRecord names a record.
type SpoolRecord struct {
	Index uint64
	Size  int64 // octets on disk
}

// OpenSpool opens the spool in dir, creating it with mode 0700. Files that a
// crash left half written are removed: no Append has returned nil for them. No
// record is read: what is wrong in one is found by ReadMeta and Read.
func OpenSpool(dir string) (*Spool, error) {
	files, err := openSpoolDir(dir)
	if err != nil {
		return nil, fmt.Errorf("open spool: %w", err)
	}
	return openSpool(files)
}

func openSpool(files spoolFiles) (*Spool, error) {
	s := &Spool{files: files, records: make(map[uint64]SpoolRecord)}
	names, err := files.List()
	if err != nil {
		return nil, fmt.Errorf("open spool: %w", err)
	}
	for _, name := range names {
		switch {
		case strings.HasSuffix(name, spoolTemp):
			if err := files.Remove(name); err != nil {
				return nil, fmt.Errorf("open spool: remove half-written record: %w", err)
			}
		case strings.HasSuffix(name, spoolSuffix):
			r, err := s.inspect(name)
			if err != nil {
				return nil, fmt.Errorf("open spool: %w", err)
			}
			s.records[r.Index] = r
			s.size += r.Size
		default:
			return nil, fmt.Errorf("open spool: %s is no spool record: move it away", files.Path(name))
		}
	}
	return s, nil
}

func spoolName(index uint64) string { return fmt.Sprintf("%020d%s", index, spoolSuffix) }

// inspect is what the name and the length of a record say.
func (s *Spool) inspect(name string) (SpoolRecord, error) {
	index, err := strconv.ParseUint(strings.TrimSuffix(name, spoolSuffix), 10, 64)
	if err != nil || name != spoolName(index) {
		return SpoolRecord{}, fmt.Errorf("%s is no spool record, its name is not an index of 20 digits: move it away", s.files.Path(name))
	}
	f, err := s.files.Open(name)
	if err != nil {
		return SpoolRecord{}, err
	}
	defer f.Close()
	size, err := f.Size()
	return SpoolRecord{Index: index, Size: size}, err
}

// Append writes a record and returns when it is on disk, under its name. After an
// error the record is not in the spool of this process, may or may not be there
// after a restart, and may be appended again. A full disk is ErrSpoolFull.
func (s *Spool) Append(index uint64, kind uint8, meta, block []byte) error {
	if err := s.append(index, kind, meta, block); err != nil {
		if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
			err = fmt.Errorf("%w: %w", ErrSpoolFull, err)
		}
		return fmt.Errorf("spool batch %d: %w", index, err)
	}
	return nil
}

func (s *Spool) append(index uint64, kind uint8, meta, block []byte) error {
	if len(meta) > maxSpoolMeta || uint64(len(block)) > maxSpoolBlock {
		return fmt.Errorf("got %d octets of meta and %d of rows, want at most %d and %d", len(meta), len(block), maxSpoolMeta, uint64(maxSpoolBlock))
	}
	s.appending.Lock()
	defer s.appending.Unlock()
	if s.holds(index) {
		return errors.New("the spool holds it already")
	}
	name := spoolName(index)
	if err := s.files.Write(name+spoolTemp, appendSpoolHeader(nil, index, kind, meta, block), meta, block); err != nil {
		// A crash here leaves a file that the next OpenSpool removes; so does
		// a failure to remove it now.
		_ = s.files.Remove(name + spoolTemp)
		return err
	}
	// Its octets are on disk. A crash before the rename forgets the record,
	// which nobody was told of; a crash after it keeps a complete one.
	if err := s.files.Rename(name+spoolTemp, name); err != nil {
		_ = s.files.Remove(name + spoolTemp)
		return err
	}
	if err := s.files.Sync(); err != nil {
		return err
	}
	r := SpoolRecord{Index: index, Size: int64(spoolHeader + len(meta) + len(block))}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.records[index] = r
	s.size += r.Size
	return nil
}

func (s *Spool) holds(index uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.records[index]
	return ok
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func appendSpoolHeader(dst []byte, index uint64, kind uint8, meta, block []byte) []byte {
	begin := len(dst)
	dst = append(dst, spoolMagic...)
	dst = binary.BigEndian.AppendUint16(dst, spoolVersion)
	dst = append(dst, kind, 0)
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(meta)))
	dst = binary.BigEndian.AppendUint64(dst, index)
	dst = binary.BigEndian.AppendUint64(dst, uint64(len(block)))
	dst = binary.BigEndian.AppendUint32(dst, crc32.Checksum(meta, castagnoli))
	dst = binary.BigEndian.AppendUint32(dst, crc32.Checksum(block, castagnoli))
	return binary.BigEndian.AppendUint32(dst, crc32.Checksum(dst[begin:], castagnoli))
}

// Records lists the records in the order of their indices.
func (s *Spool) Records() []SpoolRecord {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]SpoolRecord, 0, len(s.records))
	for _, r := range s.records {
		all = append(all, r)
	}
	slices.SortFunc(all, func(a, b SpoolRecord) int { return cmp.Compare(a.Index, b.Index) })
	return all
}

// Size is the octets of all records.
func (s *Spool) Size() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.size
}

// SetAside moves a record that cannot be read to the directory corrupt inside
// the spool, and returns its new path: the spool has it no longer, but who looks
// for its rows can. A record that a power loss brings back is set aside again.
func (s *Spool) SetAside(index uint64) (path string, err error) {
	err = s.drop(index, func(name string) error {
		path, err = s.files.SetAside(name)
		return err
	})
	if err != nil {
		return "", fmt.Errorf("set spooled batch %d aside: %w", index, err)
	}
	return path, nil
}

// Remove drops a record that the database has. It is not synced: a record that
// comes back after a power loss is inserted again, which changes nothing.
func (s *Spool) Remove(index uint64) error {
	if err := s.drop(index, s.files.Remove); err != nil {
		return fmt.Errorf("remove spooled batch %d: %w", index, err)
	}
	return nil
}

// drop forgets a record that do has taken away.
func (s *Spool) drop(index uint64, do func(name string) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, ok := s.records[index]
	if !ok {
		return errors.New("it is not in the spool")
	}
	if err := do(spoolName(index)); err != nil {
		return err
	}
	delete(s.records, index)
	s.size -= r.Size
	return nil
}
