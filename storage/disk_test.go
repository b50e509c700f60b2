package storage_test

import (
	"math"
	"testing"
	"time"

	"tidemark/collector/flow"
	"tidemark/storage"
)

// dayBatch is rows records received at t.
func dayBatch(t time.Time, rows int) *flow.Batch {
	b := randomBatch(uint64(t.Unix()), rows)
	for i := range b.TimeReceived {
		b.TimeReceived[i] = t.UnixNano() + int64(i)
	}
	return b
}

func TestRetain_DropsWholeDaysBeforeTheDay(t *testing.T) {
	db := openTables(t)
	day := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	for i := range 5 {
		at := day.AddDate(0, 0, i).Add(23*time.Hour + 59*time.Minute)
		if err := db.InsertFlows(t.Context(), 1, "home", uint64(i), dayBatch(at, 100)); err != nil {
			t.Fatal(err)
		}
	}
	before := day.AddDate(0, 0, 2).Add(12 * time.Hour) // any time of that day
	listed, err := db.Partitions(t.Context(), before)
	if err != nil {
		t.Fatal(err)
	}
	dropped, err := db.Retain(t.Context(), before)
	if err != nil {
		t.Fatal(err)
	}
	if len(listed) != 2 || len(dropped) != 2 || dropped[0] != listed[0] || dropped[1].Rows != 100 || !dropped[1].Day.Equal(day.AddDate(0, 0, 1)) {
		t.Fatalf("listed %v, dropped %v", listed, dropped)
	}
	var n, first uint64
	if err := db.Conn().QueryRow(t.Context(), "SELECT count(), min(batch_index) FROM flows").Scan(&n, &first); err != nil {
		t.Fatal(err)
	}
	if n != 300 || first != 2 {
		t.Errorf("got %d rows from batch %d, want 300 from 2", n, first)
	}
}

func TestDiskUsage_GrowthAndDaysLeft(t *testing.T) {
	db := openTables(t)
	now := time.Date(2026, 11, 10, 12, 0, 0, 0, time.UTC)
	u, err := storage.DiskUsageOf(t.Context(), t.TempDir(), db, storage.DiskBudget{MinFree: 1}, now)
	if err != nil || u.PerDay != 0 || !math.IsInf(u.DaysLeft, 1) || u.State != storage.DiskOK {
		t.Fatalf("empty database: got %+v, %v", u, err)
	}
	for i := range 4 { // two of them in the last week
		at := now.AddDate(0, 0, -1-4*i)
		if err := db.InsertFlows(t.Context(), 1, "home", uint64(i), dayBatch(at, 10_000)); err != nil {
			t.Fatal(err)
		}
	}
	u, err = storage.DiskUsageOf(t.Context(), t.TempDir(), db, storage.DiskBudget{MinFree: 1}, now)
	if err != nil {
		t.Fatal(err)
	}
	// Half of four equal days within the last seven and a half.
	if want := float64(u.Database) / 2 / 7.5; math.Abs(u.PerDay-want) > want/20 {
		t.Errorf("got %.0f octets a day of %d, want about %.0f", u.PerDay, u.Database, want)
	}
	for _, c := range []struct {
		budget storage.DiskBudget
		want   storage.DiskState
	}{
		{storage.DiskBudget{MinFree: 1}, storage.DiskOK},
		{storage.DiskBudget{MinFree: 1, WarnDays: 1e12}, storage.DiskWarn},
		{storage.DiskBudget{MinFree: 1 << 62}, storage.DiskFull},
	} {
		u, err := storage.DiskUsageOf(t.Context(), t.TempDir(), db, c.budget, now)
		if err != nil || u.State != c.want {
			t.Errorf("budget %+v: got %+v, %v, want %s", c.budget, u, err, c.want)
		}
	}
}
