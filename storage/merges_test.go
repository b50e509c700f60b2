package storage_test

import (
	"fmt"
	"testing"
	"time"

	"tidemark/storage/storagetest"
)

// TestFlows_MergesRewriteEachRowSeldom: what merges cost must not grow with the
// number of batches.
func TestFlows_MergesRewriteEachRowSeldom(t *testing.T) {
	const batches, rows = 200, 5000 // of some 200 kB
	db := storagetest.Open(t)
	merged := func() (n uint64) {
		t.Helper()
		if err := db.Conn().QueryRow(t.Context(), "SELECT sum(value) FROM system.events WHERE event = 'MergedRows'").Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	before := merged()
	for i := range batches {
		err := db.Conn().Exec(t.Context(), fmt.Sprintf(`
INSERT INTO flows (log, batch_index, pos, time_received_ns, src_addr, conversation)
SELECT 1, %[1]d, number, now64(9), toIPv6(reinterpretAsUInt128(sipHash128(number, %[1]d))), cityHash64(number, %[1]d) FROM numbers(%[2]d)`, i, rows))
		if err != nil {
			t.Fatal(err)
		}
	}
	time.Sleep(time.Second)
	if per := float64(merged()-before) / (batches * rows); per > 2 {
		t.Errorf("each row was rewritten %.1f times, want 2 at most", per)
	}
}
