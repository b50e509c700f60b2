package storage_test

import (
	"math/rand/v2"
	"testing"

	"tidemark/storage/storagetest"
)

// TestSchema_AnyRecordIsInserted: whatever an exporter claims, no view may refuse
// a record. Enrichment is random too: it comes from what exporters claim.
func TestSchema_AnyRecordIsInserted(t *testing.T) {
	db := storagetest.Open(t)
	r := rand.New(rand.NewPCG(9, 9))
	for index := range uint64(2) {
		b := randomBatch(100+index, 500)
		for i := range b.Len() {
			b.EventStart[i], b.EventEnd[i] = int64(r.Uint64()), int64(r.Uint64())
		}
		if err := db.InsertFlows(t.Context(), 1, "home", index, b); err != nil {
			t.Fatal(err)
		}
	}
}
