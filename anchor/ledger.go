package anchor

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/sys/unix"

	"tidemark/anchor/merkle"
	"tidemark/storage"
)

// Fatal classes: the ledger stops where it is, and what to do is in the text.
var (
	// ErrLocked: another process holds the ledger.
	ErrLocked = errors.New("ledger is in use by another process")
	// ErrKey: the log key is not the one this log was begun with.
	ErrKey = errors.New("log key does not belong to this ledger")
	// ErrFork: two batches claim one place in the log.
	ErrFork = errors.New("ledger would fork")
	// ErrRolledBack: the directory is older than a checkpoint it has signed, or
	// than what the database holds of its log.
	ErrRolledBack = errors.New("ledger directory is older than what came of it")
)

// Options are what a ledger needs. Dir, DB and Spool are required, Origin when
// the log begins.
type Options struct {
	Dir     string // <data>/ledger, made with mode 0700
	Origin  string // names the log; must not change afterwards
	Site    string
	Version string         // of the program, for the genesis event
	Genesis map[string]any // further fields of the genesis event: chains and contracts known

	DB    *storage.DB
	Spool *storage.Spool

	Clock func() time.Time // nil: time.Now
	// Finalized returns the newest finalized Ethereum block seen, a zero hash if
	// none. It is called while a batch is sealed and must not wait. nil: no chain.
	Finalized func() (number uint64, hash [32]byte)
	// OnCommitted is called in order after a batch can be queried and stands in
	// the log, by the goroutine of Run; a crash may make it come twice. nil: none.
	OnCommitted func(index uint64, h Header)
	// Derive makes of a batch's block of the table flows what goes into other
	// tables beside it, exactly once. The blocks are used until the next call, by
	// the goroutine of Run. nil: nothing.
	Derive func(flows []byte) ([]storage.Block, error)

	Log        zerolog.Logger
	Registerer prometheus.Registerer // nil: no metrics
}

// Ledger seals batches and commits them to the log. Sealing makes a batch
// durable in the spool under its final header; committing, done by Run, stores
// its rows, reads them back and only then appends the header. Its methods are
// safe for concurrent use.
type Ledger struct {
	site        string
	clock       func() time.Time
	random      io.Reader
	finalized   func() (uint64, [32]byte)
	onCommitted func(uint64, Header)
	derive      func([]byte) ([]storage.Block, error)
	log         zerolog.Logger
	metrics     *metrics
	retry       time.Duration // first wait after a failed commit

	files  files
	dir    string
	lock   *os.File
	signer note.Signer
	reader *Reader
	rows   rows
	spool  spool

	sealing  sealing
	memory   memory
	progress progress
	signing  sync.Mutex // one Checkpoint at a time
	pledged  Checkpoint // signed before this process began; Size 0: none
}

// spool is the queue of sealed batches, *storage.Spool. A record is durable when
// Append returns nil; after an error it may be there when the spool is opened
// anew, and another Append of its index replaces it.
type spool interface {
	Append(index uint64, kind uint8, meta, block []byte) error
	Records() []storage.SpoolRecord // ascending
	// Read and ReadMeta return a *storage.CorruptError for what cannot be read.
	// What Read returns is good until another one is read.
	Read(index uint64) (kind uint8, meta, block []byte, err error)
	ReadMeta(index uint64) (kind uint8, meta []byte, err error)
	Remove(index uint64) error
	SetAside(index uint64) (path string, err error) // Remove, keeping the file
}

// seams are the parts tests replace.
type seams struct {
	files  files
	rows   rows
	spool  spool
	random io.Reader
	retry  time.Duration
	held   int // sealed records in memory
}

// Open opens or begins the ledger in o.Dir. It checks the whole log, cuts what a
// crash left behind the last header, and finds the batches that are sealed but
// not committed; Run commits them. A new log's genesis is sealed here.
func Open(ctx context.Context, o Options) (*Ledger, error) {
	if o.DB == nil || o.Spool == nil {
		return nil, errors.New("open ledger: want a database and a spool")
	}
	return open(ctx, o, seams{
		files: osFiles{}, rows: &database{db: o.DB}, spool: o.Spool, random: rand.Reader, retry: 100 * time.Millisecond, held: maxHeld,
	})
}

func open(ctx context.Context, o Options, s seams) (_ *Ledger, err error) {
	l := &Ledger{
		site: o.Site, clock: o.Clock, random: s.random, finalized: o.Finalized, onCommitted: o.OnCommitted, derive: o.Derive,
		log: o.Log, retry: s.retry, memory: memory{limit: s.held}, files: s.files, dir: o.Dir, rows: s.rows, spool: s.spool,
	}
	if l.clock == nil {
		l.clock = time.Now
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, l.release())
		}
	}()
	if l.lock, err = lockDir(o.Dir); err != nil {
		return nil, err
	}
	vkey, err := l.openKey(o.Origin)
	if err != nil {
		return nil, err
	}
	if l.reader, err = newReader(l.files, o.Dir, os.O_RDWR|os.O_CREATE, vkey); err != nil {
		return nil, err
	}
	if err := l.files.SyncDir(o.Dir); err != nil {
		return nil, fmt.Errorf("open ledger: %w", err)
	}
	if err := mendErased(o.Dir, l.reader.batches); err != nil {
		return nil, fmt.Errorf("open ledger: %w", err)
	}
	pending := l.spool.Records()
	if err := l.recoverLog(ctx, pending); err != nil {
		return nil, err
	}
	if err := l.recoverSealed(pending); err != nil {
		return nil, err
	}
	if l.metrics, err = newMetrics(o.Registerer, l); err != nil {
		return nil, fmt.Errorf("open ledger: %w", err)
	}
	if l.sealing.next == 0 {
		if err := l.sealGenesis(ctx, o); err != nil {
			return nil, err
		}
	}
	return l, nil
}

// Close releases the directory. Run must have returned, and nothing may be
// sealed any more.
func (l *Ledger) Close() error {
	l.metrics.unregister()
	return l.release()
}

func (l *Ledger) release() error {
	var errs []error
	if l.reader != nil {
		errs = append(errs, l.reader.Close())
	}
	if l.lock != nil {
		errs = append(errs, l.lock.Close()) // closing drops the lock
	}
	return errors.Join(errs...)
}

// Reader gives access to the committed batches. It is valid until Close.
func (l *Ledger) Reader() *Reader { return l.reader }

// ID is the value of the column log.
func (l *Ledger) ID() uint64 { return l.reader.ID() }

// lockDir makes the directory and takes its lock.
func lockDir(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open ledger: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open ledger: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		err = errors.Join(err, f.Close())
		return nil, fmt.Errorf("open ledger %s: %w: stop the other `tidemark run` or use another data directory (%w)", dir, ErrLocked, err)
	}
	return f, nil
}

// openKey reads the log key, or makes one for a log that has not begun.
func (l *Ledger) openKey(origin string) (vkey string, err error) {
	path := filepath.Join(l.dir, keyFile)
	skey, err := l.files.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return l.makeKey(path, origin)
	} else if err != nil {
		return "", fmt.Errorf("open log key: %w", err)
	}
	if info, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("open log key: %w", err)
	} else if info.Mode().Perm()&0o077 != 0 {
		return "", fmt.Errorf("open log key %s: mode is %#o, want 0600: others could have read it; `chmod 600` it if you know they have not", path, info.Mode().Perm())
	}
	key, err := ed25519Key(strings.TrimSpace(string(skey)))
	if err != nil {
		return "", fmt.Errorf("open log key %s: %w", path, err)
	}
	if l.signer, err = note.NewSigner(strings.TrimSpace(string(skey))); err != nil {
		return "", fmt.Errorf("open log key %s: %w", path, err)
	}
	if origin != "" && origin != l.signer.Name() {
		return "", fmt.Errorf("open ledger %s: %w: the key is of %q, the configuration says %q", l.dir, ErrKey, l.signer.Name(), origin)
	}
	if vkey, err = note.NewEd25519VerifierKey(l.signer.Name(), key); err != nil {
		return "", fmt.Errorf("open log key %s: %w", path, err)
	}
	return vkey, l.publishKey(vkey)
}

// ed25519Key is the public half of a note signer key, "PRIVATE+KEY+...".
func ed25519Key(skey string) (ed25519.PublicKey, error) {
	seed, err := noteKeyOctets(skey)
	if err != nil {
		return nil, err
	}
	return ed25519.NewKeyFromSeed(seed).Public().(ed25519.PublicKey), nil
}

// makeKey makes the log key. A crash before the rename leaves no key, one after
// it a key without log, which is as good as new.
func (l *Ledger) makeKey(path, origin string) (string, error) {
	if info, err := os.Stat(filepath.Join(l.dir, headersFile)); err == nil && info.Size() > 0 {
		return "", fmt.Errorf("open log key: %s is missing but the log has begun: restore it from a backup", path)
	}
	if err := ValidOrigin(origin); err != nil {
		return "", fmt.Errorf("begin ledger: %w", err)
	}
	skey, vkey, err := note.GenerateKey(l.random, origin)
	if err != nil {
		return "", fmt.Errorf("make log key: %w", err)
	}
	if l.signer, err = note.NewSigner(skey); err != nil {
		return "", fmt.Errorf("make log key: %w", err)
	}
	if err := replaceFile(l.files, path, []byte(skey+"\n")); err != nil {
		return "", fmt.Errorf("make log key: %w", err)
	}
	return vkey, l.publishKey(vkey)
}

// publishKey keeps log.pub, which readers open, in step with log.key.
func (l *Ledger) publishKey(vkey string) error {
	path := filepath.Join(l.dir, publicFile)
	have, err := l.files.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if err := replaceFile(l.files, path, []byte(vkey+"\n")); err != nil {
			return fmt.Errorf("write public log key: %w", err)
		}
		return nil
	case err != nil:
		return fmt.Errorf("read public log key: %w", err)
	case strings.TrimSpace(string(have)) != vkey:
		return fmt.Errorf("open ledger %s: %w: %s and %s are of different keys; restore the key this log was begun with", l.dir, ErrKey, keyFile, publicFile)
	}
	return nil
}

// recoverLog reads the log and cuts what is behind its last header. If the last
// batch cannot be right but the spool still has it, the batch is cut too, and
// committed again by Run: its header was being written when the machine stopped.
func (l *Ledger) recoverLog(ctx context.Context, pending []storage.SpoolRecord) error {
	err := l.reader.Refresh()
	var corrupt *CorruptError
	if errors.As(err, &corrupt) {
		size, sizeErr := sizeOf(l.reader.headers)
		if sizeErr != nil {
			return errors.Join(err, sizeErr)
		}
		if last := uint64(size)/HeaderSize - 1; corrupt.Batch != last {
			return err
		}
		if _, _, spoolErr := l.spool.ReadMeta(corrupt.Batch); spoolErr != nil {
			return err
		}
		l.log.Warn().Err(corrupt.Err).Uint64("batch", corrupt.Batch).Str("file", corrupt.File).
			Msg("last batch of the ledger was being written when the machine stopped; it is in the spool and will be committed again")
	} else if err != nil {
		return err
	}
	if err := l.checkAge(ctx, pending); err != nil { // before anything is cut
		return err
	}
	s := &l.reader.state
	for _, f := range []struct {
		name string
		file file
		want int64
	}{
		{headersFile, l.reader.headers, int64(s.size) * HeaderSize},
		{batchesFile, l.reader.batches, int64(s.size) * batchSize},
		{nodesFile, l.reader.nodes, s.nodesEnd},
		{tablesFile, l.reader.tables, s.tableEnd},
		{tagsFile, l.reader.tags, s.last.tagsEnd()},
	} {
		size, err := sizeOf(f.file)
		if err != nil {
			return fmt.Errorf("open ledger: %w", err)
		}
		if size < f.want && f.name == tagsFile {
			l.log.Info().Str("file", f.name).Int64("octets", size).Int64("want", f.want).
				Msg("ledger has no tags of some batches: if one of their rows is altered, verify names a block of rows and not the row")
			continue
		}
		if size < f.want {
			return l.reader.corrupt(f.name, size, s.size, fmt.Errorf("file ends, want %d octets", f.want))
		}
		if size == f.want {
			continue
		}
		l.log.Warn().Str("file", f.name).Int64("offset", f.want).Int64("octets", size-f.want).
			Msg("cut the tail of an unfinished batch off the ledger")
		if err := errors.Join(f.file.Truncate(f.want), f.file.Sync()); err != nil {
			return fmt.Errorf("cut tail of ledger file %s: %w", f.name, err)
		}
	}
	return nil
}

// recoverSealed takes up the batches of the spool: those the log has must be the
// same, the rest must continue it without a gap.
func (l *Ledger) recoverSealed(pending []storage.SpoolRecord) error {
	s := l.reader.state // a copy that runs ahead of the log
	for _, record := range pending {
		index := record.Index
		kind, meta, err := l.spool.ReadMeta(index) // the rows are read when they are needed
		if index < l.reader.state.size && isCorrupt(err) {
			l.progress.leftover = append(l.progress.leftover, index) // nothing is needed of it
			continue
		} else if err != nil {
			return l.illegible(pending, index, err)
		}
		b, err := parseSealed(index, kind, meta)
		if err != nil {
			return fmt.Errorf("open ledger: %w", err)
		}
		if index < l.reader.state.size {
			h, err := l.reader.Header(index)
			if err != nil {
				return err
			}
			if h != b.header {
				return fmt.Errorf("open ledger: %w: batch %d of the spool is not batch %d of the log; the ledger directory and the spool do not belong together", ErrFork, index, index)
			}
			l.progress.leftover = append(l.progress.leftover, index)
			continue
		}
		if err := s.follows(&b.header, l.reader.id); err != nil {
			return fmt.Errorf("open ledger: %w: spool record of batch %d behind a log of %d: %w; restore the newer ledger directory or spool", ErrFork, index, s.size, err)
		}
		s.size, s.last = index+1, b.header
	}
	l.progress.finished = l.reader.state.size
	l.sealing.next, l.sealing.last, l.sealing.restart = s.size, s.last, s.size > 0
	if n := s.size - l.reader.state.size; n > 0 {
		l.log.Info().Uint64("batches", n).Msg("sealed batches are waiting in the spool")
	}
	return nil
}

// checkAge refuses to go on from a state older than one that was signed, or than
// what the database holds: rows are stored only of batches that the log or the
// spool has.
func (l *Ledger) checkAge(ctx context.Context, pending []storage.SpoolRecord) error {
	size := l.reader.state.size
	for _, record := range pending {
		size = max(size, record.Index+1)
	}
	const advice = "restore the newest copy of the directory, never continue an older one"
	c, err := l.reader.checkCheckpoint()
	if err != nil {
		return fmt.Errorf("open ledger: %w", err)
	}
	if c.Size > size {
		return fmt.Errorf("open ledger %s: %w: it has %d batches, the checkpoint %d; %s", l.dir, ErrRolledBack, size, c.Size, advice)
	}
	if c.Size > l.reader.state.size {
		l.pledged = c // checked when the batch comes back from the spool
	}
	stored, err := l.rows.Stored(ctx, l.reader.ID())
	if err != nil {
		return fmt.Errorf("open ledger: %w", err)
	}
	if stored > size {
		return fmt.Errorf("open ledger %s: %w: it has %d batches, the database rows of batch %d; %s", l.dir, ErrRolledBack, size, stored-1, advice)
	}
	return nil
}

// Checkpoint signs the state of the log. It is stored before it is returned, so
// that no older state of the directory can pass for the log once it is known.
func (l *Ledger) Checkpoint() (Checkpoint, []byte, error) {
	l.signing.Lock()
	defer l.signing.Unlock()
	size := l.reader.Size()
	if size == 0 {
		return Checkpoint{}, nil, fmt.Errorf("sign checkpoint: %w: nothing is committed yet", ErrNoBatch)
	}
	root, err := l.reader.Root(size)
	if err != nil {
		return Checkpoint{}, nil, fmt.Errorf("sign checkpoint: %w", err)
	}
	c := Checkpoint{Origin: l.reader.Origin(), Size: size, Root: root}
	if have, old, err := l.reader.Checkpoint(); err == nil && old == c {
		return c, have, nil
	}
	signed, err := c.Sign(l.signer)
	if err != nil {
		return Checkpoint{}, nil, err
	}
	if err := replaceFile(l.files, filepath.Join(l.dir, checkpointFile), signed); err != nil {
		return Checkpoint{}, nil, fmt.Errorf("store checkpoint of %d batches: %w", size, err)
	}
	return c, signed, nil
}

// Consistency proves that the log of second batches continues that of first.
func (l *Ledger) Consistency(first, second uint64) ([]merkle.Hash, error) {
	return l.reader.Consistency(first, second)
}
