package storage

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"syscall"
)

// Read returns the contents of a record after checking them; a failed check is a
// *CorruptError. The slices are good until the next record is read.
func (s *Spool) Read(index uint64) (kind uint8, meta, block []byte, err error) {
	if kind, err = s.load(index); err != nil {
		return 0, nil, nil, fmt.Errorf("read spooled batch %d: %w", index, err)
	}
	return kind, s.meta, s.block, nil
}

// load reads a record into the memory of the one before.
func (s *Spool) load(index uint64) (kind uint8, err error) {
	r, err := s.openRecord(index)
	if err != nil {
		return 0, err
	}
	defer r.file.Close()
	if want := spoolHeader + int64(r.meta) + int64(r.block); r.size != want {
		return 0, r.corrupt("got %d octets, want %d", r.size, want)
	}
	if s.meta, err = r.read(s.meta, "meta", r.meta, r.metaSum); err != nil {
		return 0, err
	}
	s.block, err = r.read(s.block, "block", r.block, r.blockSum)
	return r.kind, err
}

// ReadMeta is Read without the block, which may be damaged.
func (s *Spool) ReadMeta(index uint64) (kind uint8, meta []byte, err error) {
	r, err := s.openRecord(index)
	if err == nil {
		defer r.file.Close()
		meta, err = r.read(nil, "meta", r.meta, r.metaSum)
	}
	if err != nil {
		return 0, nil, fmt.Errorf("read head of spooled batch %d: %w", index, err)
	}
	return r.kind, meta, nil
}

// openRecord is a record behind its header, which is right in itself; that the
// file is as long as the header says has not been checked.
type openRecord struct {
	file              spoolReader
	path              string
	size              int64
	kind              uint8
	meta, block       int
	metaSum, blockSum uint32
}

func (r *openRecord) corrupt(format string, args ...any) error {
	return &CorruptError{Path: r.path, Reason: fmt.Sprintf(format, args...)}
}

func (s *Spool) openRecord(index uint64) (r *openRecord, err error) {
	name := spoolName(index)
	r = &openRecord{path: s.files.Path(name)}
	if r.file, err = s.files.Open(name); err != nil {
		return nil, err
	}
	if err := r.readHeader(index); err != nil {
		return nil, errors.Join(err, r.file.Close())
	}
	return r, nil
}

func (r *openRecord) readHeader(index uint64) (err error) {
	if r.size, err = r.file.Size(); err != nil {
		return err
	}
	var b [spoolHeader]byte
	if err := r.fill(b[:]); err != nil {
		return err
	}
	if string(b[:8]) != spoolMagic {
		return r.corrupt("it does not begin with %s", spoolMagic)
	}
	switch v := binary.BigEndian.Uint16(b[8:]); v {
	case spoolVersion:
	case 1:
		return fmt.Errorf("read %s: it is of format version 1: start the older program once more, until it has stored what it sealed", r.path)
	default:
		return r.corrupt("got format version %d, want %d", v, spoolVersion)
	}
	if got, want := crc32.Checksum(b[:40], castagnoli), binary.BigEndian.Uint32(b[40:]); got != want {
		return r.corrupt("header checksum: got %08x, want %08x", got, want)
	}
	if b[11] != 0 {
		return r.corrupt("octet 11: got %d, want 0", b[11])
	}
	if got := binary.BigEndian.Uint64(b[16:]); got != index {
		return r.corrupt("it holds batch %d", got)
	}
	meta, block := binary.BigEndian.Uint32(b[12:]), binary.BigEndian.Uint64(b[24:])
	if meta > maxSpoolMeta || block > maxSpoolBlock {
		return r.corrupt("got %d octets of meta and %d of rows, want at most %d and %d", meta, block, maxSpoolMeta, uint64(maxSpoolBlock))
	}
	r.kind, r.meta, r.block = b[10], int(meta), int(block)
	r.metaSum, r.blockSum = binary.BigEndian.Uint32(b[32:]), binary.BigEndian.Uint32(b[36:])
	return nil
}

// read reads the next part, of n octets, into memory, which it returns grown.
func (r *openRecord) read(memory []byte, part string, n int, sum uint32) ([]byte, error) {
	if int64(n) > r.size {
		return memory, r.corrupt("got %d octets, want %d of %s alone", r.size, n, part)
	}
	b := slices.Grow(memory[:0], n)[:n]
	if err := r.fill(b); err != nil {
		return b, err
	}
	if got := crc32.Checksum(b, castagnoli); got != sum {
		return b, r.corrupt("checksum of %s: got %08x, want %08x", part, got, sum)
	}
	return b, nil
}

// fill reads len(b) octets. A file that ends before, or that the disk cannot
// read (EIO), is corrupt; other errors may pass.
func (r *openRecord) fill(b []byte) error {
	switch _, err := io.ReadFull(r.file, b); {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return r.corrupt("it ends after %d octets", r.size)
	case errors.Is(err, syscall.EIO):
		return r.corrupt("the disk cannot read it: %v", err)
	case err != nil:
		return fmt.Errorf("read %s: %w", r.path, err)
	}
	return nil
}
