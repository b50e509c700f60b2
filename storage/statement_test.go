package storage_test

import (
	"strings"
	"testing"

	"tidemark/storage/storagetest"
)

// A list of some thousand devices stands in several parts of one statement.
func TestDB_TakesStatementsOfMegabytes(t *testing.T) {
	db := storagetest.Open(t)
	ids := strings.Repeat("18446744073709551615, ", 4000) + "1"
	statement := "SELECT count() FROM (" + strings.TrimSuffix(strings.Repeat("SELECT number FROM numbers(2) WHERE number IN ["+ids+"] UNION ALL ", 20), " UNION ALL ") + ")"
	var n uint64
	if err := db.Conn().QueryRow(t.Context(), statement).Scan(&n); err != nil || n != 20 {
		t.Errorf("a statement of %d octets: %d rows, %v, want 20", len(statement), n, err)
	}
}
