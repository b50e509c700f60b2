package storage

import (
	"context"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"tidemark/storage/schema"
)

func TestSplitStatements_SemicolonsInQuotesAndComments(t *testing.T) {
	got, err := splitStatements("-- a; comment\nCREATE TABLE a (s String DEFAULT ';\\';''');;\n" +
		"SELECT `b;`, \"c;\" /* ; */; -- trailing;\n /* nothing */ ; SELECT 3")
	want := []string{
		"-- a; comment\nCREATE TABLE a (s String DEFAULT ';\\';''')",
		"SELECT `b;`, \"c;\" /* ; */",
		"SELECT 3",
	}
	// The comment before an empty statement goes with it.
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
	for _, bad := range []string{"SELECT 'x", "SELECT `x\\`", `SELECT "`} {
		if _, err := splitStatements(bad); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}
}

func FuzzSplitStatements_KeepsEverything(f *testing.F) {
	f.Add("SELECT 1; -- x\nSELECT ';'")
	f.Fuzz(func(t *testing.T, sql string) {
		statements, err := splitStatements(sql)
		if err != nil {
			return
		}
		for _, s := range statements {
			if !strings.Contains(sql, s) || strings.TrimSpace(s) == "" {
				t.Errorf("statement %q is not of %q", s, sql)
			}
		}
	})
}

func TestReadMigrations_RefusesTwoOfOneNumber(t *testing.T) {
	files := fstest.MapFS{}
	for _, name := range []string{"0000_a.sql", "0001_b.sql", "0001_c.sql"} {
		files[name] = &fstest.MapFile{Data: []byte("SELECT 1;")}
	}
	if _, err := readMigrations(files); err == nil || !strings.Contains(err.Error(), "one number") {
		t.Errorf("got %v, want a refusal", err)
	}
}

// TestSchema_EveryTableIsDeduplicatedAndSynced: a table that a batch is written
// to, or a view of it, must neither double nor lose rows. A table of another
// kind says so by a comment.
func TestSchema_RecordTablesAreDeduplicatedAndSynced(t *testing.T) {
	for _, name := range []string{"0001_flows.sql", "0002_ledger.sql"} {
		text, err := fs.ReadFile(schema.Files, name)
		if err != nil {
			t.Fatal(err)
		}
		statements, err := splitStatements(string(text))
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range statements {
			for _, setting := range []string{"non_replicated_deduplication_window", "fsync_after_insert = 1", "fsync_part_directory = 1"} {
				if strings.Contains(s, "CREATE TABLE") && !strings.Contains(s, setting) {
					t.Errorf("%s: a table without %s:\n%.120s", name, setting, s)
				}
			}
		}
	}
}

// MigrateFiles migrates by other files than the program's.
func MigrateFiles(ctx context.Context, db *DB, files fs.FS) error {
	all, err := readMigrations(files)
	if err != nil {
		return err
	}
	return db.migrate(ctx, all)
}

// FlowColumns are the columns of the tables of flow records, with their types.
func FlowColumns() []string {
	all := []string{"log UInt64", "site LowCardinality(String)", "batch_index UInt64", "pos UInt32"}
	for _, c := range append(recordColumns(), enrichmentColumns()...) {
		all = append(all, fmt.Sprintf("%s %s", c.name, c.typ))
	}
	return all
}
