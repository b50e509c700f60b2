package storage

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/ClickHouse/clickhouse-go/v2"

	"tidemark/collector/flow"
)

// InsertFlows writes b as batch index of log. It may be repeated any number of
// times, also after a crash or an error: the rows are there once. It returns when the engine has synced them to disk.
func (db *DB) InsertFlows(ctx context.Context, log uint64, site string, index uint64, b *flow.Batch) error {
	return db.InsertBlock(ctx, string(Flows), FlowsToken(log, index), AppendFlowsBlock(nil, log, site, index, b))
}

// FlowsToken is the deduplication token of a batch.
func FlowsToken(log, index uint64) string { return fmt.Sprintf("%016x:%d", log, index) }

// InsertBlock writes one Native block into table exactly once per token; a
// block without rows does nothing. The table and every view target must have a
// deduplication window, else repeats are written again.
//
// An engine of one machine writes the token down just before it names the part:
// killed between the two it would take every repeat for done and have no row of
// it (once in some hundred kills). The embedded engine forgets such a token when it
// is started again. With a single server of one's own the gap is open, and who can
// look, as the ledger's gate does, inserts what is absent under another token.
func (db *DB) InsertBlock(ctx context.Context, table, token string, block []byte) error {
	ctx = clickhouse.Context(ctx, clickhouse.WithSettings(clickhouse.Settings{
		"insert_deduplication_token":                         token,
		"insert_deduplicate":                                 1,
		"deduplicate_blocks_in_dependent_materialized_views": 1,
		"materialized_views_ignore_errors":                   0,
		"input_format_skip_unknown_fields":                   0, // a column that is lost must not go unnoticed
	}))
	err := db.conn.InsertFormat(ctx, "Native", "INSERT INTO "+quoteIdentifier(table), bytes.NewReader(block))
	if err != nil {
		return fmt.Errorf("insert %d octets into %s: %w", len(block), table, err)
	}
	return nil
}

// Retryable reports whether the insert that returned err may succeed when it is
// repeated: the engine is down, busy, out of memory or out of disk. False means
// that the block or the schema is at fault, which only a person can change. What
// is not known to be incurable counts as retryable: waiting loses nothing,
// quarantine costs the aggregates.
func Retryable(err error) bool {
	var e *clickhouse.Exception
	if !errors.As(err, &e) {
		return err != nil
	}
	switch e.Code {
	case 6, 26, 27, 33, 117: // CANNOT_PARSE_TEXT, _QUOTED_STRING, _INPUT; CANNOT_READ_ALL_DATA, INCORRECT_DATA
	case 7, 8, 9, 10, 16, 20: // columns that are missing, too many or of unequal length
	case 36, 43, 44, 47, 50, 53, 62, 70, 115: // arguments, types, identifiers, syntax, settings
	case 49: // LOGICAL_ERROR
	case 60, 81: // UNKNOWN_TABLE, UNKNOWN_DATABASE
	case 69, 131, 153, 321, 349, 407, 691: // values out of range
	case 395, 469: // FUNCTION_THROW_IF_VALUE_IS_NON_ZERO, VIOLATED_CONSTRAINT
	default:
		return true
	}
	return false
}
