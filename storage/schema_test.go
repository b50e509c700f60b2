package storage_test

import (
	"io/fs"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"tidemark/storage"
	"tidemark/storage/schema"
	"tidemark/storage/storagetest"
)

func TestSchema_TablesAreThoseOfTheWriter(t *testing.T) {
	db := openTables(t)
	for _, table := range []storage.Table{storage.Flows, storage.Quarantine} {
		rows, err := db.Conn().Query(t.Context(), "SELECT concat(name, ' ', type) FROM system.columns WHERE database = currentDatabase() AND table = ? AND default_kind = '' ORDER BY position", string(table))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for rows.Next() {
			var s string
			if err := rows.Scan(&s); err != nil {
				t.Fatal(err)
			}
			got = append(got, s)
		}
		if err := rows.Close(); err != nil {
			t.Fatal(err)
		}
		if want := storage.FlowColumns(); !slices.Equal(got, want) {
			t.Errorf("%s: got\n%s\nwant\n%s", table, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
}

// files copies the migrations of the program up to 0002 with changes.
func files(t *testing.T, changes map[string]string) fstest.MapFS {
	t.Helper()
	m := fstest.MapFS{}
	for _, name := range []string{"0000_migrations.sql", "0001_flows.sql", "0002_ledger.sql"} {
		b, err := fs.ReadFile(schema.Files, name)
		if err != nil {
			t.Fatal(err)
		}
		m[name] = &fstest.MapFile{Data: b}
	}
	for name, text := range changes {
		m[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return m
}

func TestMigrate_RefusesWhatWasChanged(t *testing.T) {
	db := storagetest.OpenEmpty(t)
	migrate := func(changes map[string]string) error {
		t.Helper()
		return storage.MigrateFiles(t.Context(), db, files(t, changes))
	}
	if err := migrate(nil); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		changes map[string]string
		want    string
	}{
		"edited":       {map[string]string{"0002_ledger.sql": "SELECT 1;"}, "0002_ledger.sql was changed after it was applied"},
		"broken":       {map[string]string{"0003_bad.sql": "SELECT 1; CREATE TABLE;"}, "0003_bad.sql, statement 2"},
		"not recorded": {map[string]string{"0003_bad.sql": "SELECT 1; CREATE TABLE;"}, "0003_bad.sql, statement 2"},
	} {
		if err := migrate(c.changes); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
	if err := migrate(map[string]string{"0003_good.sql": "CREATE TABLE late (n UInt8) ENGINE = MergeTree ORDER BY n;"}); err != nil {
		t.Errorf("repaired file: %v", err)
	}
	if err := migrate(nil); err == nil || !strings.Contains(err.Error(), "newer version") {
		t.Errorf("older program: got %v, want a refusal", err)
	}
}
