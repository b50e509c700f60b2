package main

import (
	_ "embed"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/urfave/cli/v2"

	"tidemark/anchor"
)

// logPart is the part of a log whose rows are to be verified.
type logPart struct {
	first, end   uint64    // batches [first, end), end 0: to the end
	since, until time.Time // of receipt, zero: open
}

// readPart reads --from and --to, each a batch or a time, and --batch.
func readPart(c *cli.Context) (p logPart, err error) {
	fault := func(format string, args ...any) (logPart, error) {
		return logPart{}, usageError{fmt.Errorf("verify: "+format, args...)}
	}
	for _, f := range []struct {
		name  string
		batch *uint64
		at    *time.Time
	}{{"from", &p.first, &p.since}, {"to", &p.end, &p.until}} {
		text := c.String(f.name)
		if n, err := strconv.ParseUint(text, 10, 64); err == nil {
			*f.batch = n
		} else if *f.at, err = timeFlag(c, f.name); err != nil {
			return p, usageError{errors.New("--" + f.name + ": got " + strconv.Quote(text) + ", want a batch such as 42, a time such as 2026-11-22T08:00:00Z or a span such as 24h or 7d")}
		}
	}
	switch {
	case c.IsSet("to") && p.end == 0 && p.until.IsZero(), p.end != 0 && p.first >= p.end:
		return fault("got --from %d and --to %d, want --to above --from: it is the batch behind the last", p.first, p.end)
	case !p.until.IsZero() && !p.since.Before(p.until):
		return fault("got --from %s and --to %s, want --to later", stamp(p.since), stamp(p.until))
	case c.IsSet("batch") && (c.IsSet("from") || c.IsSet("to")):
		return fault("--batch names one batch: leave --from and --to out")
	case c.IsSet("batch"):
		p.first, p.end = c.Uint64("batch"), c.Uint64("batch")+1
	}
	return p, nil
}

// wantBatches refuses batches that the log does not have.
func (s *store) wantBatches(p logPart) error {
	if p.first == 0 && p.end == 0 {
		return nil
	}
	ledger, err := openLedger(s.dir)
	if err != nil {
		return nil // verify tells what is wrong with it
	}
	defer ledger.Close()
	if size := ledger.Size(); p.first >= size || p.end > size {
		return usageError{fmt.Errorf("verify: got batches %d to %d, want batches of a log of %d, numbered from 0", p.first, max(p.end, 1)-1, size)}
	}
	return nil
}

//go:embed sql/device_batches.sql
var deviceBatchesSQL string

// wanted selects batches by time of receipt and device; nil: all.
func (s *store) wanted(c *cli.Context, p logPart) (func(*anchor.Header) bool, error) {
	within := anchor.ReceivedWithin(p.since, p.until)
	if !c.IsSet("device") {
		if p.since.IsZero() && p.until.IsZero() {
			return nil, nil
		}
		return within, nil
	}
	d, err := s.device(c.Context, c.String("device"))
	if err != nil {
		return nil, err
	}
	ledger, err := openLedger(s.dir)
	if err != nil {
		return nil, err
	}
	defer ledger.Close()
	ctx := clickhouse.Context(c.Context, clickhouse.WithParameters(clickhouse.Parameters{
		"log": strconv.FormatUint(ledger.ID(), 10), "device": strconv.FormatUint(d.ID, 10)}))
	rows, err := s.db.Conn().Query(ctx, deviceBatchesSQL)
	if err != nil {
		return nil, fmt.Errorf("find the batches of a device: %w", err)
	}
	defer rows.Close()
	batches := map[uint64]bool{}
	for rows.Next() {
		var index uint64
		if err := rows.Scan(&index); err != nil {
			return nil, fmt.Errorf("find the batches of a device: %w", err)
		}
		batches[index] = true
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("find the batches of a device: %w", err)
	}
	fmt.Fprintf(c.App.ErrWriter, "%s hold flows of %s by what the database says now: rows that were deleted or given to another device show when all is verified\n", plural(len(batches), "batch"), d.Title())
	return func(h *anchor.Header) bool { return batches[h.Index] && within(h) }, nil
}
