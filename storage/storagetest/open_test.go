package storagetest

import (
	"testing"
)

func TestOpen_DatabasesAreSeparateAndMigrated(t *testing.T) {
	for range 3 {
		t.Run("", func(t *testing.T) {
			t.Parallel()
			db := Open(t)
			if err := db.Migrate(t.Context()); err != nil {
				t.Fatalf("second Migrate: %v", err)
			}
			var n uint64
			if err := db.Conn().QueryRow(t.Context(), "SELECT count() FROM migrations").Scan(&n); err != nil {
				t.Fatal(err)
			}
			if n < 2 {
				t.Errorf("got %d migrations, want at least 2", n)
			}
		})
	}
}
