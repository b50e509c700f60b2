package main

import (
	"context"
	"errors"
	"time"

	"tidemark/anchor"
	"tidemark/storage"
)

// retentionEvery is how often retention is looked at: it works by whole days.
const retentionEvery = time.Hour

// retain drops the days that are older than the retention, each run announced
// in the log before anything is dropped, and watches the disk.
func (d *daemon) retain(ctx context.Context) {
	for {
		if err := d.retainOnce(ctx, time.Now()); err != nil && ctx.Err() == nil {
			d.log.Error().Err(err).Msg("retention: tried again in an hour")
		}
		d.watchDisk(ctx)
		if sleep(ctx, retentionEvery) != nil {
			return
		}
	}
}

func (d *daemon) retainOnce(ctx context.Context, now time.Time) error {
	before := now.UTC().Add(-time.Duration(d.cfg.Storage.Retention)).Truncate(24 * time.Hour)
	due, err := d.node.db.Partitions(ctx, before)
	if err != nil || len(due) == 0 {
		return err
	}
	// A crash between announcement and drop repeats both: a second announcement
	// of the same days says nothing new.
	if err := d.announce(ctx, due); err != nil {
		return err
	}
	dropped, err := d.node.db.Retain(ctx, before)
	for _, p := range dropped {
		told := d.node.ledger.Event("retention_done", "tidemark", map[string]any{"day": p.Day.Format(time.DateOnly), "table": string(p.Table), "flows": p.Rows})
		err = errors.Join(err, told)
		d.log.Info().Str("table", string(p.Table)).Time("day", p.Day).Uint64("flows", p.Rows).Msg("dropped a day by retention; the ledger says so")
	}
	return err
}

// announce puts the days that will go into the log, and waits until they are in it.
func (d *daemon) announce(ctx context.Context, due []storage.Partition) error {
	told := map[time.Time]bool{}
	for _, p := range due {
		if told[p.Day] {
			continue
		}
		told[p.Day] = true
		err := d.node.ledger.Event(anchor.RetentionEvent, "tidemark", map[string]any{
			"day": p.Day.Format(time.DateOnly), "rule": "storage.retention " + d.cfg.Storage.Retention.String(),
		})
		if err != nil {
			return err
		}
	}
	if _, err := d.node.ledger.SealEvents(ctx); err != nil {
		return err
	}
	return d.node.ledger.Drain(ctx)
}

// watchDisk says in good time when the disk will be full.
func (d *daemon) watchDisk(ctx context.Context) {
	usage, err := storage.DiskUsageOf(ctx, d.dir, d.node.db, storage.DiskBudget{MinFree: uint64(d.cfg.Storage.MinFree)}, time.Now())
	if err != nil {
		d.log.Warn().Err(err).Msg("disk usage is not known")
		return
	}
	e := d.log.Info()
	if usage.State != storage.DiskOK {
		e = d.log.Warn().Str("advice", "free some space, or lower storage.retention")
	}
	e.Str("free", octets(usage.Free)).Str("database", octets(usage.Database)).Stringer("state", usage.State)
	if usage.PerDay > 0 { // it is known
		e.Str("per_day", octets(usage.PerDay)).Int64("days_left", int64(min(usage.DaysLeft, 9999)))
	}
	e.Msg("disk")
}
