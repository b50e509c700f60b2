package anchor

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/mod/sumdb/note"

	"tidemark/anchor/merkle"
	"tidemark/collector/flow"
)

const (
	batchSize   = 40        // octets per batch in the file batches, see location
	noTable     = 1<<64 - 1 // offset of the exporter table of a batch of events
	checkedTail = 1024      // batches whose nodes and tables are read when a log is opened
	maxTable    = tableHead + MaxExporters*tableEntry
)

// ErrNoBatch is a batch the log does not have (yet).
var ErrNoBatch = errors.New("no such batch")

// Reader reads the committed batches of a ledger's directory. It takes no lock
// and writes nothing, so it may stand beside a running daemon: what it sees is
// a beginning of the log, which Refresh makes longer. It is safe for concurrent
// use.
//
// Opening it reads every header and checks that each continues the one before.
// Nodes and tables are checked against their header whenever they are read.
type Reader struct {
	dir      string
	id       [32]byte
	verifier note.Verifier
	key      ed25519.PublicKey
	vkey     string

	headers, batches, nodes, tables file
	tags                            file // nil if an older program left none and this one only reads

	mu    sync.RWMutex
	state logState
}

// logState is what is known of the first size headers.
type logState struct {
	size     uint64
	last     Header        // header size-1
	border   merkle.Range  // over the header leaves
	blocks   []merkle.Hash // roots of complete blocks of header leaves; only ever appended to
	nodesEnd int64         // octets of nodes that belong to the size batches
	tableEnd int64
	table    [32]byte // the last exporter table,
	tableAt  uint64   // and where it is; noTable: there is none yet
}

// OpenReader opens the ledger in dir for reading.
func OpenReader(dir string) (*Reader, error) {
	public, err := os.ReadFile(filepath.Join(dir, publicFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("open ledger: %w: nothing was recorded in this data directory yet", err)
	} else if err != nil {
		return nil, fmt.Errorf("open ledger: %w", err)
	}
	r, err := newReader(osFiles{}, dir, os.O_RDONLY, strings.TrimSpace(string(public)))
	if err != nil {
		return nil, err
	}
	err = r.Refresh()
	if err == nil {
		_, err = r.checkCheckpoint()
	}
	if err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

// newReader opens the files without reading them.
func newReader(fsys files, dir string, flag int, vkey string) (*Reader, error) {
	origin, key, err := ParseLogKey(vkey)
	if err != nil {
		return nil, fmt.Errorf("open ledger %s: %w", dir, err)
	}
	verifier, err := LogVerifier(origin, key)
	if err != nil {
		return nil, fmt.Errorf("open ledger %s: %w", dir, err)
	}
	r := &Reader{dir: dir, id: LogID(origin, key), verifier: verifier, key: key, vkey: vkey}
	r.state.tableAt = noTable
	for _, f := range []struct {
		name string
		to   *file
	}{{headersFile, &r.headers}, {batchesFile, &r.batches}, {nodesFile, &r.nodes}, {tablesFile, &r.tables}} {
		if *f.to, err = fsys.OpenFile(filepath.Join(dir, f.name), flag, 0o600); err != nil {
			return nil, errors.Join(fmt.Errorf("open ledger: %w", err), r.Close())
		}
	}
	if r.tags, err = fsys.OpenFile(filepath.Join(dir, tagsFile), flag, 0o600); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, errors.Join(fmt.Errorf("open ledger: %w", err), r.Close())
	}
	return r, nil
}

// Close closes the files.
func (r *Reader) Close() error {
	var errs []error
	for _, f := range []file{r.headers, r.batches, r.nodes, r.tables, r.tags} {
		if f != nil {
			errs = append(errs, f.Close())
		}
	}
	return errors.Join(errs...)
}

// LogID is the 32-octet name of the log, ID its first eight, the column log of
// the tables.
func (r *Reader) LogID() [32]byte { return r.id }

// ID is the first eight octets of LogID.
func (r *Reader) ID() uint64 { return binary.BigEndian.Uint64(r.id[:]) }

// Origin names the log in its checkpoints.
func (r *Reader) Origin() string { return r.verifier.Name() }

// PublicKey is the Ed25519 log key.
func (r *Reader) PublicKey() ed25519.PublicKey { return r.key }

// VerifierKey is the log key in the form of notes, "origin+hash+base64".
func (r *Reader) VerifierKey() string { return r.vkey }

// Verifier verifies notes signed by the log key.
func (r *Reader) Verifier() note.Verifier { return r.verifier }

// Size is the number of committed batches.
func (r *Reader) Size() uint64 {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.state.size
}

// Last is the last committed header; ok is false if there is none.
func (r *Reader) Last() (h Header, ok bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.state.last, r.state.size > 0
}

// Refresh reads the headers that were committed since. On a *CorruptError the
// batches before the fault stay readable.
func (r *Reader) Refresh() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	size, err := sizeOf(r.headers) // first: what the other files need for these headers was there before
	if err != nil {
		return fmt.Errorf("read ledger: %w", err)
	}
	end := uint64(size) / HeaderSize
	err = r.admitAll(end)
	return errors.Join(err, r.endOfTables())
}

// admitAll admits headers up to end, reading many at a time.
func (r *Reader) admitAll(end uint64) error {
	const chunk = 1024
	headers, batches := make([]byte, chunk*HeaderSize), make([]byte, chunk*batchSize)
	for begin := r.state.size; begin < end; {
		n := min(chunk, end-begin)
		if _, err := r.headers.ReadAt(headers[:n*HeaderSize], int64(begin)*HeaderSize); err != nil {
			return r.corrupt(headersFile, int64(begin)*HeaderSize, begin, err)
		}
		if have, err := r.batches.ReadAt(batches[:n*batchSize], int64(begin)*batchSize); err != nil {
			missing := begin + uint64(have)/batchSize
			return r.corrupt(batchesFile, int64(missing)*batchSize, missing, err)
		}
		for i := range n {
			if err := r.admit(headers[i*HeaderSize:(i+1)*HeaderSize], batches[i*batchSize:(i+1)*batchSize], end); err != nil {
				return err
			}
		}
		begin += n
	}
	return nil
}

// admit checks the next header, of end in all, and what stands beside it, and
// counts it in. The caller holds the lock.
func (r *Reader) admit(p, batch []byte, end uint64) error {
	s := &r.state
	bad := func(name string, off int64, err error) error { return r.corrupt(name, off, s.size, err) }
	h, err := ParseHeader(p)
	if err == nil {
		err = s.follows(&h, r.id)
	}
	if err != nil {
		return bad(headersFile, int64(s.size)*HeaderSize, err)
	}
	at, err := parseLocation(batch, s.size)
	if err == nil {
		err = s.adjoins(at, h.Flags)
	}
	if err != nil {
		return bad(batchesFile, int64(s.size)*batchSize, err)
	}
	if at.table != noTable && at.table == s.tableAt && h.ExporterTable != s.table {
		return r.blame(&h, end, bad(tablesFile, int64(at.table), fmt.Errorf("hash is %x, want %x", s.table, h.ExporterTable)))
	}
	if end-s.size <= checkedTail {
		_, err := r.readNodes(&h, at)
		if err == nil {
			_, err = r.readTable(&h, at)
		}
		if err != nil {
			return r.blame(&h, end, err)
		}
	}
	s.count(&h, at)
	return nil
}

// adjoins checks that the parts of a batch stand behind those of the batches
// before.
func (s *logState) adjoins(at location, flags Flags) error {
	switch {
	case at.nodes != uint64(s.nodesEnd):
		return fmt.Errorf("nodes at %d, want %d", at.nodes, s.nodesEnd)
	case (at.table == noTable) != (flags&Events != 0):
		return fmt.Errorf("exporter table at %d of a batch with flags %v", at.table, flags)
	case at.table != noTable && s.tableAt != noTable && at.table < s.tableAt, at.table != noTable && at.table > 1<<62:
		return fmt.Errorf("exporter table at %d, behind one at %d", at.table, s.tableAt)
	}
	return nil
}

// endOfTables finds the end of the last exporter table.
func (r *Reader) endOfTables() error {
	s := &r.state
	if s.tableAt == noTable {
		return nil
	}
	length, err := r.tableLength(s.tableAt)
	if err != nil {
		return r.corrupt(tablesFile, int64(s.tableAt), s.size-1, err)
	}
	s.tableEnd = int64(s.tableAt) + 4 + int64(length)
	return nil
}

// blame returns err, a difference between h and what stands beside it, or, if
// the header after h says so, that h is at fault.
func (r *Reader) blame(h *Header, end uint64, err error) error {
	var p [HeaderSize]byte
	if h.Index+1 >= end {
		return err
	}
	if _, readErr := r.headers.ReadAt(p[:], int64(h.Index+1)*HeaderSize); readErr != nil {
		return err
	}
	if next, parseErr := ParseHeader(p[:]); parseErr == nil && next.PrevLeaf != h.Leaf() {
		return r.corrupt(headersFile, int64(h.Index)*HeaderSize, h.Index, fmt.Errorf("%w: header %d: its leaf hash is %x, header %d has %x", ErrChain, h.Index, h.Leaf(), next.Index, next.PrevLeaf))
	}
	return err
}

// follows checks that h may be the next header of log id.
func (s *logState) follows(h *Header, id [32]byte) error {
	if h.LogID != id {
		return fmt.Errorf("%w: log id is %x, but the log key makes it %x", ErrChain, h.LogID, id)
	}
	if s.size == 0 {
		if h.Index != 0 {
			return fmt.Errorf("%w: index: got %d, want 0", ErrChain, h.Index)
		}
		return nil
	}
	return CheckSuccessor(&s.last, h)
}

// count takes h into the state, but for tableEnd.
func (s *logState) count(h *Header, at location) {
	s.size, s.last = s.size+1, *h
	s.border.Append(h.Leaf(), func(level uint, _ uint64, node merkle.Hash) {
		if 1<<level == merkle.Block {
			s.blocks = append(s.blocks, node)
		}
	})
	s.nodesEnd += int64(merkle.NumBlocks(h.Rows)) * 32
	if at.table != noTable {
		s.table, s.tableAt = h.ExporterTable, at.table
	}
}

func (r *Reader) corrupt(name string, off int64, batch uint64, err error) error {
	return &CorruptError{File: filepath.Join(r.dir, name), Offset: off, Batch: batch, Err: err}
}

// location is where the parts of a batch are.
type location struct {
	key          SaltKey
	nodes, table uint64
}

// append appends the record of batch i in the file batches: salt key, offset in
// nodes u64, offset in tables u64, eight octets of checksum. A salt key gone bad
// would otherwise look like rows that were tampered with.
func (l location) append(dst []byte, i uint64) []byte {
	base := len(dst)
	dst = append(dst, l.key[:]...)
	dst = binary.BigEndian.AppendUint64(dst, l.nodes)
	dst = binary.BigEndian.AppendUint64(dst, l.table)
	sum := locationSum(dst[base:], i)
	return append(dst, sum[:]...)
}

// locationSum is the beginning of SHA-256(i || the octets before the checksum).
func locationSum(p []byte, i uint64) [8]byte {
	sum := sha256.Sum256(append(binary.BigEndian.AppendUint64(nil, i), p...))
	return [8]byte(sum[:])
}

func parseLocation(p []byte, i uint64) (location, error) {
	if sum := locationSum(p[:32], i); sum != [8]byte(p[32:]) {
		return location{}, fmt.Errorf("checksum is %x, want %x", p[32:], sum)
	}
	return location{SaltKey(p[:16]), binary.BigEndian.Uint64(p[16:]), binary.BigEndian.Uint64(p[24:])}, nil
}

func (r *Reader) location(i uint64) (location, error) {
	var p [batchSize]byte
	if _, err := r.batches.ReadAt(p[:], int64(i)*batchSize); err != nil {
		return location{}, err
	}
	return parseLocation(p[:], i)
}

// appendTableRecord appends a record of the file tables.
func appendTableRecord(dst, table []byte) []byte {
	return append(binary.BigEndian.AppendUint32(dst, uint32(len(table))), table...)
}

// find returns the header and the location of batch i.
func (r *Reader) find(i uint64) (Header, location, error) {
	h, err := r.Header(i)
	if err != nil {
		return Header{}, location{}, err
	}
	at, err := r.location(i)
	if err != nil {
		return Header{}, location{}, r.corrupt(batchesFile, int64(i)*batchSize, i, err)
	}
	return h, at, nil
}

// Header returns header i.
func (r *Reader) Header(i uint64) (Header, error) {
	hs, err := r.Headers(i, i+1)
	if err != nil {
		return Header{}, err
	}
	return hs[0], nil
}

// Headers returns headers [begin, end).
func (r *Reader) Headers(begin, end uint64) ([]Header, error) {
	if size := r.Size(); begin > end || end > size {
		return nil, fmt.Errorf("read headers [%d, %d): the log has %d: %w", begin, end, size, ErrNoBatch)
	}
	p := make([]byte, (end-begin)*HeaderSize)
	if _, err := r.headers.ReadAt(p, int64(begin)*HeaderSize); err != nil && len(p) > 0 {
		return nil, r.corrupt(headersFile, int64(begin)*HeaderSize, begin, err)
	}
	out := make([]Header, end-begin)
	for i := range out {
		var err error
		if out[i], err = ParseHeader(p[i*HeaderSize : (i+1)*HeaderSize]); err != nil {
			return nil, r.corrupt(headersFile, (int64(begin)+int64(i))*HeaderSize, begin+uint64(i), err)
		}
	}
	return out, nil
}

// SaltKey returns the key of batch i's salts.
func (r *Reader) SaltKey(i uint64) (SaltKey, error) {
	_, at, err := r.find(i)
	return at.key, err
}

// Nodes returns the level-8 node hashes of batch i: hash n covers leaves
// [256*n, 256*n+256). They are checked against the header.
func (r *Reader) Nodes(i uint64) ([]merkle.Hash, error) {
	h, at, err := r.find(i)
	if err != nil {
		return nil, err
	}
	return r.readNodes(&h, at)
}

func (r *Reader) readNodes(h *Header, at location) ([]merkle.Hash, error) {
	p := make([]byte, merkle.NumBlocks(h.Rows)*32)
	var err error
	if len(p) > 0 {
		_, err = r.nodes.ReadAt(p, int64(at.nodes))
	}
	var nodes []merkle.Hash
	if err == nil {
		nodes, err = parseNodes(p, h)
	}
	if err != nil {
		return nil, r.corrupt(nodesFile, int64(at.nodes), h.Index, err)
	}
	return nodes, nil
}

// ExporterTable returns the counts of batch i, nil for a batch of events. They
// are checked against the header.
func (r *Reader) ExporterTable(i uint64) ([]flow.ExporterCount, error) {
	h, at, err := r.find(i)
	if err != nil {
		return nil, err
	}
	table, err := r.readTable(&h, at)
	if err != nil || table == nil {
		return nil, err
	}
	return ParseExporterTable(table)
}

func (r *Reader) tableLength(off uint64) (uint32, error) {
	var p [4]byte
	if _, err := r.tables.ReadAt(p[:], int64(off)); err != nil {
		return 0, err
	}
	length := binary.BigEndian.Uint32(p[:])
	if length < tableHead || length > maxTable {
		return 0, fmt.Errorf("length %d", length)
	}
	return length, nil
}

func (r *Reader) readTable(h *Header, at location) ([]byte, error) {
	if at.table == noTable {
		return nil, nil
	}
	length, err := r.tableLength(at.table)
	table := make([]byte, length)
	if err == nil {
		_, err = r.tables.ReadAt(table, int64(at.table)+4)
	}
	if hash := ExporterTableHash(table); err == nil && hash != h.ExporterTable {
		err = fmt.Errorf("hash is %x, want %x", hash, h.ExporterTable)
	}
	if err != nil {
		return nil, r.corrupt(tablesFile, int64(at.table), h.Index, err)
	}
	return table, nil
}
