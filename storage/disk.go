package storage

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"golang.org/x/sys/unix"

	"tidemark/storage/schema"
)

// DiskBudget says how much of a disk the collector may fill. A zero field means
// its default.
type DiskBudget struct {
	// MinFree octets stay free: below, the state is DiskFull. Default 5 % of
	// the disk, but at least 1 GiB and at most 20 GiB: merges and the spool
	// need room to go on.
	MinFree uint64
	// WarnDays is how many days left are too few. Default 7.
	WarnDays float64
}

// DiskState is what a DiskUsage means for the collector.
type DiskState uint8

const (
	DiskOK   DiskState = iota
	DiskWarn           // days left are few: say so
	DiskFull           // shed, counted, at the socket
)

func (s DiskState) String() string { return [...]string{"ok", "warn", "full"}[s] }

// DiskUsage is the state of the disk under a directory.
type DiskUsage struct {
	Total, Free uint64  // octets of the disk, Free as this process may use it
	Database    uint64  // octets of the database, 0 if it did not answer
	PerDay      float64 // octets a day, by the last week; 0 = unknown
	DaysLeft    float64 // until Free reaches MinFree; +Inf = unknown
	State       DiskState
}

// growthWindow is the time over which growth is measured: a week has all of the
// rhythms of a site.
const growthWindow = 7 * 24 * time.Hour

// DiskUsageOf looks at the disk of dir. Growth comes from db, which may be nil
// and may fail: the state of the disk is then still right, and the error says
// what is unknown.
func DiskUsageOf(ctx context.Context, dir string, db *DB, budget DiskBudget, now time.Time) (DiskUsage, error) {
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		return DiskUsage{}, fmt.Errorf("disk usage of %s: %w", dir, err)
	}
	u := DiskUsage{
		Total: fs.Blocks * uint64(fs.Bsize), Free: fs.Bavail * uint64(fs.Bsize),
		DaysLeft: math.Inf(1),
	}
	var err error
	if db != nil {
		if u.Database, u.PerDay, err = db.growth(ctx, now); err != nil {
			err = fmt.Errorf("growth of database %s: %w", db.database, err)
		}
	}
	u.judge(budget)
	return u, err
}

// judge sets DaysLeft and State.
func (u *DiskUsage) judge(budget DiskBudget) {
	if budget.MinFree == 0 {
		budget.MinFree = min(max(u.Total/20, 1<<30), 20<<30)
	}
	if budget.WarnDays == 0 {
		budget.WarnDays = 7
	}
	if u.Free < budget.MinFree {
		u.DaysLeft, u.State = 0, DiskFull
		return
	}
	if u.PerDay > 0 {
		u.DaysLeft = float64(u.Free-budget.MinFree) / u.PerDay
	}
	if u.DaysLeft < budget.WarnDays {
		u.State = DiskWarn
	}
}

// growth returns the size of the database and its growth in octets a day. The
// tables beside the flows are taken to grow as the flows do.
func (db *DB) growth(ctx context.Context, now time.Time) (total uint64, perDay float64, err error) {
	since := now.Add(-growthWindow)
	var flows, recent uint64
	var first int64
	err = db.conn.QueryRow(ctx, schema.Disk, clickhouse.DateNamed("since", since, clickhouse.Seconds)).Scan(&total, &flows, &recent, &first)
	if err != nil {
		return 0, 0, err
	}
	if flows == 0 {
		return total, 0, nil
	}
	// The first day counts from its first record, not from midnight, and a
	// minute of traffic is no basis for a day.
	begin := since.UTC().Truncate(24 * time.Hour)
	if t := time.Unix(0, first); t.After(begin) {
		begin = t
	}
	days := max(now.Sub(begin), 10*time.Minute).Hours() / 24
	return total, float64(recent) / days * float64(total) / float64(flows), nil
}

// Partition is one day of receipt in one table.
type Partition struct {
	Table Table
	Day   time.Time // UTC midnight
	Rows  uint64
	Bytes uint64
}

// Partitions lists the days of flow records received before the day of before.
func (db *DB) Partitions(ctx context.Context, before time.Time) ([]Partition, error) {
	rows, err := db.conn.Query(ctx, schema.Partitions, clickhouse.DateNamed("before", before, clickhouse.Seconds))
	if err != nil {
		return nil, fmt.Errorf("list partitions: %w", err)
	}
	defer rows.Close()
	var all []Partition
	for rows.Next() {
		var p Partition
		var table, day string
		if err := rows.Scan(&table, &day, &p.Rows, &p.Bytes); err != nil {
			return nil, fmt.Errorf("list partitions: %w", err)
		}
		p.Table = Table(table)
		if p.Day, err = time.Parse(partitionDay, day); err != nil {
			return nil, fmt.Errorf("list partitions: %s has partition %q, which is no day", table, day)
		}
		all = append(all, p)
	}
	return all, rows.Err()
}

// partitionDay is the id of a partition by toYYYYMMDD.
const partitionDay = "20060102"

// Retain drops the days of flow records received before the day of before and
// returns them, also those dropped before an error. The caller has announced
// them in the ledger: rows that vanish unannounced are tampering. Aggregates
// keep what they have.
func (db *DB) Retain(ctx context.Context, before time.Time) (dropped []Partition, err error) {
	all, err := db.Partitions(ctx, before)
	if err != nil {
		return nil, err
	}
	for _, p := range all {
		err := db.conn.Exec(ctx, "ALTER TABLE "+quoteIdentifier(string(p.Table))+" DROP PARTITION ID '"+p.Day.Format(partitionDay)+"'")
		if err != nil {
			return dropped, fmt.Errorf("drop %s of %s: %w", p.Day.Format(time.DateOnly), p.Table, err)
		}
		dropped = append(dropped, p)
	}
	return dropped, nil
}
