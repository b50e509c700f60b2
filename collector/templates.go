package collector

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/rs/zerolog"
)

// TemplateFile keeps template records in one file, so that a restart, even after
// kill -9, knows the templates that exporters sent: a netflow.TemplateStore.
//
// The file is a log: a magic line, then per record
//
//	u32 length of what follows the checksum
//	u32 CRC-32C of it
//	u8 1 = keep, 0 = remove | u16 length of key | key | record
//
// in big-endian order. The last record of a key holds. A tail that was being
// written when the machine stopped is cut off. When most of the file is
// outdated it is written anew beside itself and renamed.
type TemplateFile struct {
	path string
	log  zerolog.Logger

	mu      sync.Mutex
	live    map[string][]byte
	octets  int             // of the live records as written
	dirty   map[string]bool // keys to write
	refused int             // records beyond the bounds
	changed chan struct{}   // holds one token while dirty is not empty

	// Used by Run, and by OpenTemplates before.
	file *os.File
	size int64
}

const (
	templateMagic     = "tidemark templates 1\n"
	templateOverhead  = 11
	maxTemplateRecord = 1 << 18
	maxTemplateOctets = 64 << 20
	maxTemplateKey    = 1 << 10
	compactSlack      = 1 << 20
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// OpenTemplates reads the file, or makes an empty one.
func OpenTemplates(path string, log zerolog.Logger) (*TemplateFile, error) {
	t := &TemplateFile{path: path, log: log, live: map[string][]byte{}, dirty: map[string]bool{}, changed: make(chan struct{}, 1)}
	f, err := os.OpenFile(filepath.Clean(path), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open templates: %w", err)
	}
	if err := t.read(f); err != nil {
		return nil, errors.Join(fmt.Errorf("read templates %s: %w", path, err), f.Close())
	}
	t.file = f
	return t, nil
}

// read replays the log and cuts off a torn tail.
func (t *TemplateFile) read(f *os.File) error {
	b, err := io.ReadAll(io.LimitReader(f, 4*maxTemplateOctets))
	if err != nil {
		return err
	}
	if len(b) > 0 && !bytes.HasPrefix([]byte(templateMagic), b[:min(len(b), len(templateMagic))]) {
		return errors.New("this is no file of templates: remove it, exporters send them again within minutes")
	}
	if len(b) < len(templateMagic) {
		_, err := f.WriteAt([]byte(templateMagic), 0)
		t.size = int64(len(templateMagic))
		return errors.Join(err, f.Truncate(t.size))
	}
	at := len(templateMagic)
	for at < len(b) {
		key, record, n, ok := readTemplate(b[at:])
		if !ok {
			t.log.Warn().Str("file", t.path).Int("offset", at).Int("octets", len(b)-at).Msg("cut off an unfinished record of templates")
			break
		}
		t.set(key, record)
		at += n
	}
	t.size = int64(at)
	return f.Truncate(t.size)
}

func readTemplate(b []byte) (key string, record []byte, n int, ok bool) {
	if len(b) < 8 {
		return "", nil, 0, false
	}
	length := binary.BigEndian.Uint32(b)
	if length < 3 || length > maxTemplateRecord+maxTemplateKey+3 || uint64(length) > uint64(len(b)-8) {
		return "", nil, 0, false
	}
	body := b[8 : 8+length]
	if crc32.Checksum(body, castagnoli) != binary.BigEndian.Uint32(b[4:]) {
		return "", nil, 0, false
	}
	k := int(binary.BigEndian.Uint16(body[1:]))
	if 3+k > len(body) {
		return "", nil, 0, false
	}
	if body[0] == 1 {
		record = append([]byte{}, body[3+k:]...)
	}
	return string(body[3 : 3+k]), record, 8 + int(length), true
}

func appendTemplate(dst []byte, key string, record []byte) []byte {
	at := len(dst)
	dst = append(dst, make([]byte, 8)...)
	keep := byte(0)
	if record != nil {
		keep = 1
	}
	dst = append(dst, keep)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(key)))
	dst = append(dst, key...)
	dst = append(dst, record...)
	body := dst[at+8:]
	binary.BigEndian.PutUint32(dst[at:], uint32(len(body)))
	binary.BigEndian.PutUint32(dst[at+4:], crc32.Checksum(body, castagnoli))
	return dst
}

// set changes the live records; it reports whether anything changed.
func (t *TemplateFile) set(key string, record []byte) bool {
	old, had := t.live[key]
	if had {
		if record != nil && bytes.Equal(old, record) {
			return false
		}
		t.octets -= templateOverhead + len(key) + len(old)
		delete(t.live, key)
	}
	if record == nil {
		return had
	}
	size := templateOverhead + len(key) + len(record)
	if len(key) > maxTemplateKey || len(record) > maxTemplateRecord || t.octets+size > maxTemplateOctets {
		t.refused++
		return had
	}
	t.live[key] = record
	t.octets += size
	return true
}

// Save implements netflow.TemplateStore. It does not wait for the disk.
func (t *TemplateFile) Save(key string, record []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.set(key, record) {
		return
	}
	t.dirty[key] = true
	select {
	case t.changed <- struct{}{}:
	default:
	}
}

// Load implements netflow.TemplateStore.
func (t *TemplateFile) Load(restore func(key string, record []byte)) {
	t.mu.Lock()
	records := make(map[string][]byte, len(t.live))
	for k, r := range t.live {
		records[k] = r
	}
	t.mu.Unlock()
	for k, r := range records {
		restore(k, r)
	}
}

// Run writes what Save was given until ctx ends, then writes the rest and closes
// the file. A disk that fails does not stop collecting: what could not be
// written is tried again.
func (t *TemplateFile) Run(ctx context.Context) error {
	failed := false
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-t.changed:
		}
		if err := t.write(); err != nil {
			if !failed {
				t.log.Error().Err(err).Msg("templates are not saved; trying again every second")
			}
			failed = true
			select {
			case <-ctx.Done():
			case <-time.After(time.Second):
			}
			select {
			case t.changed <- struct{}{}:
			default:
			}
			continue
		}
		failed = false
	}
	return errors.Join(t.write(), t.file.Close())
}

// write appends the changed records and syncs them. After a failure the file
// ends where it ended before: a crash in between leaves a torn tail for read.
func (t *TemplateFile) write() error {
	t.mu.Lock()
	var block []byte
	keys := t.dirty
	for k := range keys {
		block = appendTemplate(block, k, t.live[k])
	}
	t.dirty = map[string]bool{}
	compact := t.size+int64(len(block)) > 2*int64(t.octets)+compactSlack
	t.mu.Unlock()
	if len(block) == 0 {
		return nil
	}
	var err error
	if compact {
		err = t.rewrite()
	} else {
		err = t.append(block)
	}
	if err == nil {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for k := range keys {
		t.dirty[k] = true
	}
	return fmt.Errorf("write templates %s: %w", t.path, err)
}

func (t *TemplateFile) append(block []byte) error {
	_, err := t.file.WriteAt(block, t.size)
	if err == nil {
		err = t.file.Sync()
	}
	if err != nil {
		return errors.Join(err, t.file.Truncate(t.size))
	}
	t.size += int64(len(block))
	return nil
}

// rewrite replaces the file by one of the live records only.
func (t *TemplateFile) rewrite() (err error) {
	block := []byte(templateMagic)
	t.mu.Lock()
	for k, r := range t.live {
		block = appendTemplate(block, k, r)
	}
	t.mu.Unlock()
	next := t.path + ".new"
	f, err := os.OpenFile(filepath.Clean(next), os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	if _, err = f.Write(block); err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = os.Rename(next, t.path)
	}
	if err != nil {
		return errors.Join(err, f.Close())
	}
	err = t.file.Close()
	t.file, t.size = f, int64(len(block))
	return errors.Join(err, syncDirectory(filepath.Dir(t.path)))
}

// syncDirectory makes a rename survive a power loss.
func syncDirectory(path string) error {
	d, err := os.Open(filepath.Clean(path))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
