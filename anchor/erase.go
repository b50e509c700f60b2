package anchor

import (
	"context"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"tidemark/anchor/merkle"
	"tidemark/collector/flow"
	"tidemark/storage"
)

// erasingFile holds the Erasure that was begun, until it has come to its end.
const erasingFile = "erasing"

var (
	//go:embed query/erase_rows.sql
	eraseRows string
	//go:embed query/erase_list.sql
	listErasing string
	//go:embed query/erase_clear.sql
	clearErasing string
)

// Erasure is an order to erase leaves for good: announced in the log first, then
// the salts of these leaves are destroyed, then the rows and events deleted.
type Erasure struct {
	Actor  string        `json:"actor"`
	Rule   string        `json:"rule"`
	Reason string        `json:"reason"`
	Leaves []ErasedBatch `json:"leaves"` // batches ascending
	// Rest is the caller's: what else is to be erased, outside the ledger.
	Rest json.RawMessage `json:"rest,omitempty"`

	Announced bool `json:"announced"` // in the log
}

// ErasedBatch names leaves of one batch.
type ErasedBatch struct {
	Batch     uint64 `json:"batch"`
	Positions string `json:"positions"` // ascending, such as "0,5-9"
}

// NewErasedBatch names the leaves of a batch at positions, which must ascend.
func NewErasedBatch(batch uint64, positions []uint32) ErasedBatch {
	return ErasedBatch{batch, spellPositions(positions)}
}

// BeginErasure writes e down: from now on the erasure will be carried out, by
// Erase now or after a crash. Nothing is removed yet.
func (l *Ledger) BeginErasure(e *Erasure) error {
	if pending, err := l.PendingErasure(); err != nil || pending != nil {
		return errors.Join(err, errors.New("begin erasure: another one has begun and not ended"))
	}
	for i, b := range e.Leaves {
		h, err := l.reader.Header(b.Batch)
		if err == nil {
			_, err = parsePositions(b.Positions, h.Rows)
		}
		if err == nil && (b.Batch == 0 || i > 0 && b.Batch <= e.Leaves[i-1].Batch) {
			err = errors.New("want batches ascending, and not the genesis")
		}
		if err != nil {
			return fmt.Errorf("begin erasure in batch %d: %w", b.Batch, err)
		}
	}
	if err := os.MkdirAll(filepath.Join(l.dir, erasedDir), 0o700); err != nil {
		return fmt.Errorf("begin erasure: %w", err)
	}
	return l.saveErasure(e)
}

func (l *Ledger) saveErasure(e *Erasure) error {
	p, err := json.Marshal(e)
	if err == nil {
		err = replaceFile(l.files, filepath.Join(l.dir, erasingFile), p)
	}
	if err != nil {
		return fmt.Errorf("write down erasure: %w", err)
	}
	return nil
}

// PendingErasure is the erasure that was begun and has not ended, nil if none.
func (l *Ledger) PendingErasure() (*Erasure, error) { return readErasure(l.dir) }

func readErasure(dir string) (*Erasure, error) {
	p, err := os.ReadFile(filepath.Join(dir, erasingFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	e := new(Erasure)
	if err == nil {
		err = json.Unmarshal(p, e)
	}
	if err != nil {
		return nil, fmt.Errorf("read the erasure that was begun: %w", err)
	}
	return e, nil
}

// EndErasure forgets the erasure that was begun, with what it says of whom it
// was about. Erase must have returned nil.
func (l *Ledger) EndErasure() error {
	err := os.Remove(filepath.Join(l.dir, erasingFile))
	if err == nil {
		err = l.files.SyncDir(l.dir)
	}
	if err != nil {
		return fmt.Errorf("end erasure: %w", err)
	}
	return nil
}

// Erase carries out the erasure that was begun, from wherever an earlier call was
// interrupted. Run must be at work. A batch that is not as it was sealed is not
// touched: ErrAltered.
func (l *Ledger) Erase(ctx context.Context, db *storage.DB) error {
	e, err := l.PendingErasure()
	if err != nil || e == nil {
		return errors.Join(err, errors.New("erase: no erasure has begun"))
	}
	if err := l.Drain(ctx); err != nil { // the rows must have left the spool
		return err
	}
	if !e.Announced {
		if err := l.announceErasure(ctx, db, e); err != nil {
			return fmt.Errorf("announce erasure: %w", err)
		}
		// A crash here announces it once more, which says nothing new.
		e.Announced = true
		if err := l.saveErasure(e); err != nil {
			return err
		}
	}
	for _, b := range e.Leaves {
		if err := l.destroySalts(ctx, db, b); err != nil {
			return fmt.Errorf("erase leaves of batch %d: %w", b.Batch, err)
		}
	}
	if err := deleteErased(ctx, db, l.ID(), e.Leaves); err != nil {
		return fmt.Errorf("erase rows: %w", err)
	}
	return nil
}

// announceErasure puts what will be erased into the log.
func (l *Ledger) announceErasure(ctx context.Context, db *storage.DB, e *Erasure) error {
	for _, b := range e.Leaves {
		kept, positions, err := l.without(ctx, db, b)
		if err != nil {
			return err
		}
		sum, _ := kept.digest(positions)
		err = l.Event(ErasureEvent, e.Actor, map[string]any{"batch": b.Batch, "positions": b.Positions, "leaves": len(positions),
			"leaves_hash": hex.EncodeToString(sum[:]), "rule": e.Rule, "reason": e.Reason})
		if err != nil {
			return err
		}
	}
	if len(e.Leaves) == 0 { // nothing is left of them but what was derived
		if err := l.Event(ErasureEvent, e.Actor, map[string]any{"leaves": 0, "rule": e.Rule, "reason": e.Reason}); err != nil {
			return err
		}
	}
	if _, err := l.SealEvents(ctx); err != nil {
		return err
	}
	return l.Drain(ctx)
}

// without is what will be kept of a batch when b is erased from it, and what was
// erased from it before is, with the positions of b.
func (l *Ledger) without(ctx context.Context, db *storage.DB, b ErasedBatch) (*erasedLeaves, []uint32, error) {
	h, at, err := l.reader.find(b.Batch)
	if err != nil {
		return nil, nil, err
	}
	positions, err := parsePositions(b.Positions, h.Rows)
	if err != nil {
		return nil, nil, err
	}
	key, err := l.reader.secretsOf(&h, at.key)
	if err != nil {
		return nil, nil, err
	}
	all := slices.Concat(key.erasedPositions(), positions)
	slices.Sort(all)
	all = slices.Compact(all)
	if len(all) == len(key.erasedPositions()) {
		return key.erased, positions, nil // done already, and the rows may be gone
	}
	leaves, err := sealedLeaves(ctx, db, l.ID(), &h, key)
	if err != nil {
		return nil, nil, err
	}
	e := &erasedLeaves{index: h.Index, nodes: at.nodes, table: at.table, positions: all, salts: make([]byte, h.Rows*saltSize)}
	for pos := range h.Rows {
		salt := key.salt(pos)
		copy(e.salts[pos*saltSize:], salt[:])
	}
	for _, pos := range all {
		e.hashes = append(e.hashes, leaves[pos])
		clear(e.salts[uint64(pos)*saltSize : (uint64(pos)+1)*saltSize])
	}
	return e, positions, nil
}

// destroySalts writes what is kept of the batch of b, then overwrites its salt
// key. A crash between the two leaves the key beside a record that says it is
// gone: this is called again then.
func (l *Ledger) destroySalts(ctx context.Context, db *storage.DB, b ErasedBatch) error {
	e, _, err := l.without(ctx, db, b)
	if err != nil {
		return err
	}
	path := erasedPath(l.dir, b.Batch)
	if err := replaceFile(l.files, path, e.append(nil)); err != nil {
		return err
	}
	return writeDurably(l.reader.batches, e.location().append(nil, b.Batch), int64(b.Batch)*batchSize)
}

// location is that of the batch without its key.
func (e *erasedLeaves) location() location { return location{nodes: e.nodes, table: e.table} }

// mendErased writes the locations of the erasure that was begun once more: a
// power failure may have come amid one. It is called before the log is read.
func mendErased(dir string, batches file) error {
	e, err := readErasure(dir)
	if err != nil || e == nil {
		return err
	}
	for _, b := range e.Leaves {
		kept, err := readErased(dir, b.Batch)
		if err != nil {
			return err
		}
		if kept == nil {
			continue
		}
		if err := writeDurably(batches, kept.location().append(nil, b.Batch), int64(b.Batch)*batchSize); err != nil {
			return fmt.Errorf("destroy salt key of batch %d: %w", b.Batch, err)
		}
	}
	return nil
}

// sealedLeaves reads a whole batch and hashes it. ErrAltered: it is not the one
// that was sealed.
func sealedLeaves(ctx context.Context, db *storage.DB, log uint64, h *Header, key *secrets) ([]merkle.Hash, error) {
	leaves := make([]merkle.Hash, h.Rows)
	var err error
	if h.Flags&Events != 0 {
		var bodies [][]byte
		bodies, err = readEventBodies(ctx, db, log, h, key.erased)
		for i, body := range bodies {
			if body != nil {
				leaves[i] = LeafHash(AppendEvent(nil, body), key.salt(uint64(i)))
			}
		}
	} else {
		err = hashFlows(ctx, db, log, h, key, 0, leaves, nil)
	}
	if errors.Is(err, errRows) {
		return nil, fmt.Errorf("%w: %w; run `tidemark verify`", ErrAltered, err)
	} else if err != nil {
		return nil, err
	}
	key.fill(leaves, 0)
	if root := merkle.Root(leaves); root != h.RowRoot {
		return nil, fmt.Errorf("%w: batch %d has root %x, want %x; run `tidemark verify`", ErrAltered, h.Index, root, h.RowRoot)
	}
	return leaves, nil
}

// hashFlows reads the rows of a batch from position begin on and sets the leaves
// of those that are there. take, unless nil, is given each of them.
func hashFlows(ctx context.Context, db *storage.DB, log uint64, h *Header, key *secrets, begin uint64, leaves []merkle.Hash, take func(b *flow.Batch, i int, pos uint32)) error {
	end := begin + uint64(len(leaves))
	want := end - begin - key.erased.within(begin, end)
	var rows flow.Batch
	var buf []byte
	var at []uint32
	for _, table := range []storage.Table{storage.Flows, storage.Quarantine} {
		var misplaced *storage.PositionError
		err := db.ReadFlowsRange(ctx, table, log, h.Index, begin, end, &rows)
		if errors.As(err, &misplaced) {
			at = misplaced.Positions
		} else if err != nil {
			return unreachable("read rows", err)
		}
		if rows.Len() > 0 {
			break
		}
	}
	got := uint64(0)
	for i := range rows.Len() {
		pos := uint32(begin) + uint32(i)
		if at != nil {
			pos = at[i]
		}
		if uint64(pos) >= end || at != nil && i > 0 && at[i-1] == pos {
			return fmt.Errorf("%w: position %d of batch %d is there twice, or beyond its end", ErrAltered, pos, h.Index)
		}
		if key.erased != nil && key.erased.has(pos) {
			continue // a started erasure has yet to delete it
		}
		var err error
		if buf, err = AppendRow(buf[:0], &rows, i); err != nil {
			return fmt.Errorf("%w: row %d: %w", ErrAltered, pos, err)
		}
		leaves[uint64(pos)-begin] = LeafHash(buf, key.salt(uint64(pos)))
		got++
		if take != nil {
			take(&rows, i, pos)
		}
	}
	if got != want {
		return fmt.Errorf("%w: batch %d has %d rows between %d and %d, want %d; run `tidemark verify`", ErrAltered, h.Index, got, begin, end-1, want)
	}
	return nil
}

// deleteErased deletes what was erased from the tables. Which rows those are goes
// through a table: a statement that lists many takes long.
func deleteErased(ctx context.Context, db *storage.DB, log uint64, batches []ErasedBatch) error {
	if err := db.Conn().Exec(ctx, clearErasing); err != nil {
		return unreachable("list what is to be erased", err)
	}
	list, err := db.Conn().PrepareBatch(ctx, listErasing)
	if err != nil {
		return unreachable("list what is to be erased", err)
	}
	defer list.Abort()
	for _, b := range batches {
		positions, err := parsePositions(b.Positions, MaxRows)
		if err != nil {
			return err
		}
		for _, pos := range positions {
			if err := list.Append(log, b.Batch, pos); err != nil {
				return err
			}
		}
	}
	if err := list.Send(); err != nil {
		return unreachable("list what is to be erased", err)
	}
	for _, table := range []string{tableFlows, tableQuarantine, tableEvents} {
		if err := db.Conn().Exec(ctx, fmt.Sprintf(eraseRows, table, log)); err != nil {
			return unreachable("delete from "+table, err)
		}
	}
	if err := db.Conn().Exec(ctx, clearErasing); err != nil {
		return unreachable("forget what was erased", err)
	}
	return nil
}
