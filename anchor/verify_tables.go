package anchor

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2"
)

var (
	//go:embed query/verify_holdings.sql
	verifyHoldings string
	//go:embed query/verify_extra.sql
	verifyExtra string
	//go:embed query/verify_missing.sql
	verifyMissing string
	//go:embed query/verify_others.sql
	verifyOthers string
	//go:embed query/verify_alerts.sql
	verifyAlerts string
	//go:embed query/verify_scored.sql
	verifyScored string
	//go:embed query/holds_rows.sql
	holdsRows string
	//go:embed query/verify_headers.sql
	verifyHeaders string
	//go:embed query/verify_announced.sql
	verifyAnnounced string
	//go:embed query/verify_mutations.sql
	verifyMutations string
)

// holding is what the tables have of one batch, in rows.
type holding struct {
	flows, quarantine, events uint64
	sites                     []string
}

// unreachable classes an error of the database. What the engine says of the
// tables themselves, a missing table or column, is an answer, and a fault.
func unreachable(doing string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w: %w", doing, ErrUnreachable, err)
}

// schemaChanged says whether err is the engine's word that a table or column is
// not there, of another type or damaged on disk.
func schemaChanged(err error) bool {
	var e *clickhouse.Exception
	if !errors.As(err, &e) {
		return false
	}
	switch e.Code {
	case 8, 10, 16, 43, 44, 47, 53, 60, // a column or table is missing or of another type
		32, 33, 40, 228, 246, 271: // files are cut, do not match their checksum or cannot be decompressed
		return true
	}
	return false
}

// holdings reads what the tables have of batches [first, last], of at most limit.
func (v *verification) holdings(ctx context.Context, first, last uint64, limit int) (have map[uint64]*holding, err error) {
	rows, err := v.DB.Conn().Query(ctx, verifyHoldings, v.log, first, last, v.log, first, last, v.log, first, last, limit)
	if err != nil {
		return nil, unreachable("count rows", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	have = map[uint64]*holding{}
	for rows.Next() {
		var source uint8
		var batch, count uint64
		var sites []string
		if err := rows.Scan(&source, &batch, &count, &sites); err != nil {
			return nil, unreachable("count rows", err)
		}
		h := have[batch]
		if h == nil {
			h = &holding{}
			have[batch] = h
		}
		switch source {
		case 0:
			h.flows = count
		case 1:
			h.quarantine = count
		case 2:
			h.events = count
			continue
		}
		h.sites = append(h.sites, sites...)
	}
	return have, unreachable("count rows", rows.Err())
}

// maxPositions bounds the positions that are read to describe a fault.
const maxPositions = 1000

// positions runs one of the queries for positions.
func (v *verification) positions(ctx context.Context, query string, args ...any) (all []uint32, err error) {
	rows, err := v.DB.Conn().Query(ctx, query, append(args, maxPositions)...)
	if err != nil {
		return nil, unreachable("read positions", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var pos uint32
		if err := rows.Scan(&pos); err != nil {
			return nil, unreachable("read positions", err)
		}
		all = append(all, pos)
	}
	return all, unreachable("read positions", rows.Err())
}

// checkCopy compares the table headers with the files for batches [first, last].
// Rows that are missing are not a fault: the copy is made after the header.
func (v *verification) checkCopy(ctx context.Context, slots []slot, first, last uint64) (err error) {
	rows, err := v.DB.Conn().Query(ctx, verifyHeaders, v.log, first, last, 2*len(slots)+1)
	if err != nil {
		return unreachable("read the copy of headers", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	seen := map[uint64]bool{}
	for rows.Next() {
		var h Header
		var flags uint32
		var root, leaf string
		if err := rows.Scan(&h.Index, &flags, &h.FirstSeq, &h.Rows, &h.MinReceived, &h.MaxReceived, &h.Sealed, &root, &leaf); err != nil {
			return unreachable("read the copy of headers", err)
		}
		s := &slots[h.Index-first]
		w := &s.h
		same := h.FirstSeq == w.FirstSeq && flags == uint32(w.Flags) && h.Rows == w.Rows && h.MinReceived == w.MinReceived &&
			h.MaxReceived == w.MaxReceived && h.Sealed == w.Sealed && strings.EqualFold(root, fmt.Sprintf("%x", w.RowRoot)) && strings.EqualFold(leaf, fmt.Sprintf("%x", s.leaf))
		if seen[h.Index] || !same {
			v.report.add(Fault{Kind: CopyAltered, Batch: &h.Index, Detail: "the table headers differs from the header file, or has the batch twice; the file counts, but queries read the table"})
		}
		seen[h.Index] = true
	}
	if err := rows.Err(); err != nil {
		return unreachable("read the copy of headers", err)
	}
	v.notCopied += uint64(len(slots) - len(seen))
	return nil
}

// checkBeyond looks for rows of batches that the log does not have. While a
// collector is at work there are some: in the order storing, spool, log they are
// found in a later one when they have left the earlier.
func (v *verification) checkBeyond(ctx context.Context) error {
	const limit = 10_000
	have, err := v.holdings(ctx, v.size, math.MaxUint64, limit)
	if schemaChanged(err) {
		v.fault(Fault{Kind: RowsUnreadable, Detail: err.Error()})
		return nil
	} else if err != nil {
		return err
	}
	sealed := map[uint64]bool{}
	if v.Sealed != nil {
		list, err := v.Sealed()
		if err != nil {
			return fmt.Errorf("list the spool: %w", err)
		}
		for _, index := range list {
			sealed[index] = true
		}
	}
	size, err := v.committed()
	if err != nil {
		return err
	}
	for index, h := range have {
		if index < size || sealed[index] {
			v.report.OpenBatches++
			continue
		}
		v.fault(Fault{Kind: RowsAdded, Batch: &index, Detail: fmt.Sprintf("%d flows and %d events are of batch %d, but the log has %d batches and the spool holds no such batch",
			h.flows+h.quarantine, h.events, index, size)})
	}
	if len(have) == limit {
		v.report.Notes = append(v.report.Notes, fmt.Sprintf("only the first %d batches beyond the log were looked at", limit))
	}
	return nil
}

// checkOthers looks for records that claim another log. In a database that is
// this log's alone they were put there; in a cluster they are another collector's.
func (v *verification) checkOthers(ctx context.Context) error {
	var flows, events uint64
	err := v.DB.Conn().QueryRow(ctx, verifyOthers, v.log, v.log, v.log, v.log).Scan(&flows, &events)
	if schemaChanged(err) {
		return nil // said already
	} else if err != nil {
		return unreachable("count records of other logs", err)
	}
	what := fmt.Sprintf("%s and %s in the database claim another log", plural(flows, "flow record"), plural(events, "other record"))
	switch {
	case flows+events == 0:
	case v.Alone:
		v.fault(Fault{Kind: RowsAdded, Detail: what + ", but this database belongs to one log: they were never sealed in it"})
	default:
		v.report.Notes = append(v.report.Notes, what+" and are not covered: verify them by that log's own ledger; no ledger, no evidence")
	}
	return nil
}

// committed is the number of headers in the file now.
func (v *verification) committed() (uint64, error) {
	size, err := sizeOf(v.ledger.headers)
	return uint64(size) / HeaderSize, err
}

// noteMutations tells what the engine remembers of changes to the tables.
func (v *verification) noteMutations(ctx context.Context) {
	rows, err := v.DB.Conn().Query(ctx, verifyMutations)
	if err != nil {
		return // a hint only, and not on every engine
	}
	defer rows.Close()
	for rows.Next() {
		var table, command, at string
		if rows.Scan(&table, &command, &at) != nil {
			return
		}
		v.report.Notes = append(v.report.Notes, fmt.Sprintf("the engine remembers a mutation of %s at %s (a hint, not evidence): %.400s", table, at, command))
	}
}
