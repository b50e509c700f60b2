package anchor

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"tidemark/collector/flow"
	"tidemark/storage"
)

var errInjected = errors.New("injected fault")

// How an operation that is made to fail goes wrong.
type outcome int

const (
	lost      outcome = iota // it did not happen
	persisted                // it happened, though an error came back
	torn                     // of a write, half happened
)

// world is a disk, a spool and a database that can be made to fail at any
// operation, once or from then on, and to lose what was not synced.
type world struct {
	dir   string
	ops   int // operations so far
	fault int // the operation that fails, from 1; 0: none
	how   outcome
	crash bool // nothing happens any more after the fault
	hit   string
	held  int // sealed records that the ledger holds in memory

	live    map[string]*inode // names as a running process sees them
	durable map[string]*inode // names that survive a crash

	spool     map[uint64]spoolRecord
	listed    map[uint64]bool                         // what the spool says it has
	removed   map[uint64]spoolRecord                  // not synced
	damaged   map[uint64]string                       // what cannot be read of a record: "meta", "rows"
	aside     map[uint64]spoolRecord                  // records set aside
	tokens    map[string]bool                         // table and token
	flows     map[string]map[uint64][]flow.Batch      // table, batch: what was inserted
	sealed    map[uint64]*flow.Batch                  // by index: what the block of the batch holds
	events    map[uint64][][]byte                     //
	headers   map[uint64]int                          // copies
	corrupt   func(table string, b *flow.Batch) error // spoils or refuses an insert
	dead      bool
	discarded int
}

// inode is a file; synced is what is left of it after a crash.
type inode struct{ synced []byte }

type spoolRecord struct {
	kind        uint8
	meta, block []byte
}

func newWorld(dir string) *world {
	return &world{
		dir: dir, live: map[string]*inode{}, durable: map[string]*inode{},
		spool: map[uint64]spoolRecord{}, listed: map[uint64]bool{}, removed: map[uint64]spoolRecord{}, damaged: map[uint64]string{}, aside: map[uint64]spoolRecord{}, tokens: map[string]bool{}, flows: map[string]map[uint64][]flow.Batch{},
		sealed: map[uint64]*flow.Batch{}, events: map[uint64][][]byte{}, headers: map[uint64]int{},
	}
}

// op runs do, unless it is the operation to fail. half is do for a torn write.
func (w *world) op(name string, do, half func() error) error {
	if w.dead {
		return fmt.Errorf("%s: %w (dead)", name, errInjected)
	}
	w.ops++
	if w.ops != w.fault {
		return do()
	}
	w.hit, w.dead = name, w.crash
	var err error
	switch {
	case w.how == persisted:
		err = do()
	case w.how == torn && half != nil:
		err = half()
	}
	return errors.Join(fmt.Errorf("%s: %w", name, errInjected), err)
}

// restart makes the world work again. keepUnsynced says whether the machine
// stayed up (only the process died) or lost what was not synced.
func (w *world) restart(keepUnsynced bool) error {
	w.fault, w.dead = 0, false
	if keepUnsynced {
		return nil
	}
	maps.Copy(w.spool, w.removed)
	entries, err := os.ReadDir(w.dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		path := filepath.Join(w.dir, e.Name())
		node := w.durable[path]
		if node == nil {
			err = errors.Join(err, os.Remove(path))
		} else {
			err = errors.Join(err, os.WriteFile(path, node.synced, 0o600))
		}
	}
	w.live = maps.Clone(w.durable)
	return err
}

// files

func (w *world) OpenFile(path string, flag int, mode fs.FileMode) (file, error) {
	var f *os.File
	err := w.op("open "+filepath.Base(path), func() (err error) {
		if f, err = os.OpenFile(path, flag, mode); err == nil && w.live[path] == nil {
			w.live[path] = &inode{}
		}
		return err
	}, nil)
	if err != nil {
		if f != nil {
			err = errors.Join(err, f.Close())
		}
		return nil, err
	}
	return &worldFile{File: f, w: w, node: w.live[path]}, nil
}

func (w *world) ReadFile(path string) ([]byte, error) { return os.ReadFile(path) }

func (w *world) Rename(from, to string) error {
	return w.op("rename "+filepath.Base(to), func() error {
		w.live[to] = w.live[from]
		delete(w.live, from)
		return os.Rename(from, to)
	}, nil)
}

func (w *world) SyncDir(string) error {
	return w.op("sync directory", func() error { w.durable = maps.Clone(w.live); return nil }, nil)
}

type worldFile struct {
	*os.File
	w    *world
	node *inode
}

func (f *worldFile) WriteAt(p []byte, off int64) (n int, err error) {
	write := func(p []byte) func() error {
		return func() (err error) { n, err = f.File.WriteAt(p, off); return err }
	}
	err = f.w.op("write "+filepath.Base(f.Name()), write(p), write(p[:len(p)/2]))
	return n, err
}

func (f *worldFile) Truncate(size int64) error {
	return f.w.op("truncate "+filepath.Base(f.Name()), func() error { return f.File.Truncate(size) }, nil)
}

func (f *worldFile) Sync() error {
	return f.w.op("sync "+filepath.Base(f.Name()), func() (err error) {
		info, err := f.File.Stat()
		if err != nil {
			return err
		}
		content := make([]byte, info.Size())
		if len(content) > 0 {
			if _, err := f.File.ReadAt(content, 0); err != nil {
				// opened for writing only
				content, err = os.ReadFile(f.Name())
				if err != nil {
					return err
				}
			}
		}
		f.node.synced = content
		return nil
	}, nil)
}

// spool

// worldSpool behaves as *storage.Spool: it lists what it has acknowledged, and a
// removal is not synced until the next record is.
type worldSpool struct{ *world }

func (w worldSpool) Append(index uint64, kind uint8, meta, block []byte) error {
	if w.listed[index] {
		return fmt.Errorf("record %d is there already", index)
	}
	err := w.op("spool append", func() error {
		w.spool[index] = spoolRecord{kind, bytes.Clone(meta), bytes.Clone(block)}
		clear(w.removed)
		return nil
	}, nil)
	w.listed[index] = err == nil
	return err
}

func (w worldSpool) Records() (out []storage.SpoolRecord) {
	clear(w.listed) // the spool is opened when the ledger is
	for _, index := range slices.Sorted(maps.Keys(w.spool)) {
		w.listed[index] = true
		out = append(out, storage.SpoolRecord{Index: index})
	}
	return out
}

func (w worldSpool) Read(index uint64) (uint8, []byte, []byte, error) {
	r, err := w.read(index, "meta", "rows")
	return r.kind, bytes.Clone(r.meta), bytes.Clone(r.block), err
}

func (w worldSpool) ReadMeta(index uint64) (uint8, []byte, error) {
	r, err := w.read(index, "meta")
	return r.kind, bytes.Clone(r.meta), err
}

func (w worldSpool) read(index uint64, parts ...string) (spoolRecord, error) {
	r, ok := w.spool[index]
	err := w.op("spool read", func() error {
		if !ok {
			return fs.ErrNotExist
		}
		if damage := w.damaged[index]; slices.Contains(parts, damage) {
			return &storage.CorruptError{Path: fmt.Sprintf("spool/%020d.batch", index), Reason: damage}
		}
		return nil
	}, nil)
	if err != nil {
		return spoolRecord{}, err
	}
	return r, nil
}

func (w worldSpool) Remove(index uint64) error {
	return w.drop("spool remove", index, w.removed)
}

func (w worldSpool) SetAside(index uint64) (string, error) {
	return fmt.Sprintf("spool/corrupt/%020d.batch", index), w.drop("spool set aside", index, w.aside)
}

func (w worldSpool) drop(name string, index uint64, to map[uint64]spoolRecord) error {
	if !w.listed[index] {
		return fmt.Errorf("record %d is not there", index)
	}
	err := w.op(name, func() error {
		if r, ok := w.spool[index]; ok {
			to[index] = r
		}
		delete(w.spool, index)
		return nil
	}, nil)
	w.listed[index] = err != nil
	return err
}

// rows

type worldRows struct{ *world }

func (w worldRows) Insert(_ context.Context, table, token string, block []byte) error {
	return w.op("insert into "+table, func() error {
		_, number, _ := strings.Cut(token, ":")
		var index uint64
		if _, err := fmt.Sscan(number, &index); err != nil {
			return err
		}
		if w.tokens[table+token] {
			return nil
		}
		switch table {
		case tableHeaders:
			w.headers[index]++
		case tableEvents:
			w.events[index] = append(w.events[index], eventsOfBlock(block)...)
		default:
			b := new(flow.Batch)
			if sealed := w.sealed[index]; sealed != nil {
				b.Append(sealed, 0, sealed.Len())
			}
			if w.corrupt != nil {
				if err := w.corrupt(table, b); err != nil {
					return err
				}
			}
			if w.flows[table] == nil {
				w.flows[table] = map[uint64][]flow.Batch{}
			}
			w.flows[table][index] = append(w.flows[table][index], *b)
		}
		w.tokens[table+token] = true
		return nil
	}, nil)
}

func (w worldRows) ReadFlows(_ context.Context, table string, _, index, count uint64, dst *flow.Batch) error {
	return w.op("read "+table, func() error {
		dst.Reset()
		for _, b := range w.flows[table][index] {
			dst.Append(&b, 0, b.Len())
		}
		if uint64(dst.Len()) != count {
			return fmt.Errorf("%w: got %d, want %d", errRows, dst.Len(), count)
		}
		return nil
	}, nil)
}

func (w worldRows) HoldsFlows(_ context.Context, table string, _, index uint64, block []byte) (same bool, err error) {
	err = w.op("compare "+table, func() error {
		var want, got flow.Batch
		if _, err := storage.ViewRecords(block, &want); err != nil {
			return err
		}
		for _, b := range w.flows[table][index] {
			got.Append(&b, 0, b.Len())
		}
		if got.Len() != want.Len() {
			return nil
		}
		for i := range want.Len() {
			a, errA := AppendRow(nil, &want, i)
			b, errB := AppendRow(nil, &got, i)
			if err := errors.Join(errA, errB); err != nil || !bytes.Equal(a, b) {
				return err
			}
		}
		same = true
		return nil
	}, nil)
	return same, err
}

func (w worldRows) ReadEvents(_ context.Context, _, index, count uint64) (bodies [][]byte, err error) {
	err = w.op("read events", func() error {
		if bodies = w.events[index]; uint64(len(bodies)) != count {
			return fmt.Errorf("%w: got %d, want %d", errRows, len(bodies), count)
		}
		return nil
	}, nil)
	return bodies, err
}

func (w worldRows) DiscardFlows(_ context.Context, _, index uint64) error {
	return w.op("discard flows", func() error { w.discarded++; delete(w.flows[tableFlows], index); return nil }, nil)
}

func (w worldRows) Stored(context.Context, uint64) (end uint64, err error) {
	for _, table := range w.flows {
		for index := range table {
			end = max(end, index+1)
		}
	}
	for index := range w.events {
		end = max(end, index+1)
	}
	for index := range w.headers {
		end = max(end, index+1)
	}
	return end, nil
}

// eventsOfBlock reads the bodies out of a block of the table events.
func eventsOfBlock(p []byte) (bodies [][]byte) {
	uvarint := func() int {
		v, n := binary.Uvarint(p)
		p = p[n:]
		return int(v)
	}
	text := func() []byte {
		n := uvarint()
		s := p[:n]
		p = p[n:]
		return s
	}
	columns, rows := uvarint(), uvarint()
	for range columns {
		name, width := string(text()), 0
		switch string(text()) {
		case "UInt64":
			width = 8
		case "UInt32":
			width = 4
		}
		if p = p[width*rows:]; name == "body" {
			for range rows {
				bodies = append(bodies, text())
			}
		}
	}
	return bodies
}
