package anchor

import (
	"context"
	_ "embed"
	"errors"
	"fmt"

	"tidemark/collector/flow"
	"tidemark/storage"
)

var (
	//go:embed query/read_events.sql
	readEvents string
	//go:embed query/discard_flows.sql
	discardFlows string
	//go:embed query/stored.sql
	storedBatches string
)

// Tables the ledger writes.
const (
	tableFlows      = string(storage.Flows)
	tableQuarantine = string(storage.Quarantine)
	tableEvents     = "events"
	tableHeaders    = "headers"
)

// errAbsent is a batch of which a table of our own engine has no row.
var errAbsent = errors.New("none of its rows is there")

// errRows is a batch whose rows in a table are not the ones that were sealed.
var errRows = errors.New("rows in the database are not those that were sealed")

// rows is the database as the committer uses it.
type rows interface {
	// Insert writes a block exactly once per token. errRefused: repeating it is
	// of no use. errUnwilling: it did not work although the database is there.
	// When it returns nil the block is durable.
	Insert(ctx context.Context, table, token string, block []byte) error
	// ReadFlows replaces dst by the rows of a batch. errRows: there are others
	// than count rows.
	ReadFlows(ctx context.Context, table string, log, index, count uint64, dst *flow.Batch) error
	// HoldsFlows says whether the rows of a batch are those of block, octet by octet.
	HoldsFlows(ctx context.Context, table string, log, index uint64, block []byte) (bool, error)
	// ReadEvents returns the bodies of a batch in order; errRows likewise.
	ReadEvents(ctx context.Context, log, index, count uint64) ([][]byte, error)
	// DiscardFlows deletes the rows of a batch from the table flows.
	DiscardFlows(ctx context.Context, log, index uint64) error
	// Stored returns the index behind the last batch of which any table has
	// something, 0 if none has.
	Stored(ctx context.Context, log uint64) (uint64, error)
}

var (
	errRefused   = errors.New("insert refused")
	errUnwilling = errors.New("insert failed though the database answers")
)

// database is rows in ClickHouse.
type database struct{ db *storage.DB }

func (d *database) Insert(ctx context.Context, table, token string, block []byte) error {
	err := d.db.InsertBlock(ctx, table, token, block)
	switch {
	case err == nil:
		return nil
	case !storage.Retryable(err):
		return fmt.Errorf("%w: %w", errRefused, err)
	case d.db.Conn().Ping(ctx) == nil:
		return fmt.Errorf("%w: %w", errUnwilling, err)
	}
	return err
}

func (d *database) ReadFlows(ctx context.Context, table string, log, index, count uint64, dst *flow.Batch) error {
	err := d.db.ReadFlowsFrom(ctx, storage.Table(table), log, index, dst)
	var misplaced *storage.PositionError
	switch {
	case errors.As(err, &misplaced):
		return fmt.Errorf("%w: %w", errRows, err)
	case err == nil && dst.Len() == 0 && d.db.Embedded(): // on a cluster another replica may not have them yet
		return fmt.Errorf("%w: %w: %s has 0 of batch %d, want %d", errRows, errAbsent, table, index, count)
	case err == nil && uint64(dst.Len()) != count:
		return fmt.Errorf("%w: %s has %d of batch %d, want %d", errRows, table, dst.Len(), index, count)
	}
	return err
}

func (d *database) HoldsFlows(ctx context.Context, table string, log, index uint64, block []byte) (bool, error) {
	return d.db.HoldsFlows(ctx, storage.Table(table), log, index, block)
}

func (d *database) ReadEvents(ctx context.Context, log, index, count uint64) (bodies [][]byte, err error) {
	result, err := d.db.Conn().Query(ctx, readEvents, log, index)
	if err != nil {
		return nil, fmt.Errorf("read events of batch %d: %w", index, err)
	}
	defer func() { err = errors.Join(err, result.Close()) }()
	for result.Next() {
		var pos uint32
		var body string
		if err := result.Scan(&pos, &body); err != nil {
			return nil, fmt.Errorf("read events of batch %d: %w", index, err)
		}
		if uint64(pos) != uint64(len(bodies)) || uint64(pos) >= count {
			return nil, fmt.Errorf("%w: event %d of batch %d stands at position %d, want %d events", errRows, len(bodies), index, pos, count)
		}
		bodies = append(bodies, []byte(body))
	}
	if err := result.Err(); err != nil {
		return nil, fmt.Errorf("read events of batch %d: %w", index, err)
	}
	if len(bodies) == 0 && d.db.Embedded() {
		return nil, fmt.Errorf("%w: %w: %s has 0 of batch %d, want %d", errRows, errAbsent, tableEvents, index, count)
	}
	if uint64(len(bodies)) != count {
		return nil, fmt.Errorf("%w: %s has %d of batch %d, want %d", errRows, tableEvents, len(bodies), index, count)
	}
	return bodies, nil
}

func (d *database) DiscardFlows(ctx context.Context, log, index uint64) error {
	if err := d.db.Conn().Exec(ctx, discardFlows, log, index); err != nil {
		return fmt.Errorf("discard rows of batch %d: %w", index, err)
	}
	return nil
}

func (d *database) Stored(ctx context.Context, log uint64) (end uint64, err error) {
	if err := d.db.Conn().QueryRow(ctx, storedBatches, log, log, log, log).Scan(&end); err != nil {
		return 0, fmt.Errorf("find the last batch in the database: %w", err)
	}
	return end, nil
}
