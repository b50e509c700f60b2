package storage

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"regexp"
	"strconv"
	"strings"
	"time"

	"tidemark/storage/schema"
)

// migration is one numbered file of statements.
type migration struct {
	number     uint32
	name       string
	hash       string // SHA-256 of the file, hex
	statements []string
}

// Migrate brings the schema of the database to that of this binary. A migration
// is recorded after its last statement: one that was interrupted is run again,
// so every statement must be harmless when repeated (IF NOT EXISTS). Files that
// were applied must never change; Migrate refuses when one has.
func (db *DB) Migrate(ctx context.Context) error {
	all, err := readMigrations(schema.Files)
	if err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	return db.migrate(ctx, all)
}

// Pending names the migrations that the database still needs, in order. It
// changes nothing.
func (db *DB) Pending(ctx context.Context) ([]string, error) {
	all, err := readMigrations(schema.Files)
	if err != nil {
		return nil, fmt.Errorf("read pending migrations: %w", err)
	}
	applied, err := db.applied(ctx)
	if err != nil {
		return nil, fmt.Errorf("read pending migrations: %w", err)
	}
	var out []string
	for _, m := range all[1:] {
		if _, ok := applied[m.number]; !ok {
			out = append(out, m.name)
		}
	}
	return out, nil
}

// migrate applies what is missing of all; all[0] makes the table that records
// the others and is run every time.
func (db *DB) migrate(ctx context.Context, all []migration) error {
	if err := db.apply(ctx, all[0]); err != nil {
		return err
	}
	applied, err := db.applied(ctx)
	if err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	known := make(map[uint32]bool, len(all))
	for _, m := range all[1:] {
		known[m.number] = true
		switch hash, ok := applied[m.number]; {
		case ok && hash == m.hash:
			continue
		case ok:
			return fmt.Errorf("migrate: %s was changed after it was applied to database %s: got hash %.16s, want %.16s: restore the file, and put the change into a new one", m.name, db.database, m.hash, hash)
		}
		start := time.Now()
		if err := db.apply(ctx, m); err != nil {
			return err
		}
		if err := db.conn.Exec(ctx, schema.Record, m.number, m.name, m.hash); err != nil {
			return fmt.Errorf("migrate: record %s: %w", m.name, err)
		}
		db.log.Info().Str("migration", m.name).Dur("took", time.Since(start)).Msg("schema migrated")
	}
	for number := range applied {
		if !known[number] {
			return fmt.Errorf("migrate: database %s has migration %d, which this program does not know: it was written by a newer version, use that", db.database, number)
		}
	}
	return nil
}

func (db *DB) apply(ctx context.Context, m migration) error {
	for i, s := range m.statements {
		if err := db.conn.Exec(ctx, s); err != nil {
			return fmt.Errorf("migrate: %s, statement %d: %w", m.name, i+1, err)
		}
	}
	return nil
}

// applied returns the hashes of the migrations that were recorded.
func (db *DB) applied(ctx context.Context) (map[uint32]string, error) {
	rows, err := db.conn.Query(ctx, schema.Applied)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	hashes := make(map[uint32]string)
	for rows.Next() {
		var number uint32
		var hash string
		if err := rows.Scan(&number, &hash); err != nil {
			return nil, err
		}
		hashes[number] = hash
	}
	return hashes, rows.Err()
}

var migrationRE = regexp.MustCompile(`^(\d{4})_[a-z0-9_]+\.sql$`)

// readMigrations reads the numbered files of files, in order.
func readMigrations(files fs.FS) ([]migration, error) {
	entries, err := fs.ReadDir(files, ".") // sorted by name, hence by number
	if err != nil {
		return nil, err
	}
	var all []migration
	for _, e := range entries {
		m := migrationRE.FindStringSubmatch(e.Name())
		if m == nil {
			continue
		}
		text, err := fs.ReadFile(files, e.Name())
		if err != nil {
			return nil, err
		}
		number, err := strconv.ParseUint(m[1], 10, 32)
		if err != nil {
			return nil, err
		}
		if n := len(all); n > 0 && all[n-1].number == uint32(number) {
			return nil, fmt.Errorf("%s and %s have one number", all[n-1].name, e.Name())
		}
		statements, err := splitStatements(string(text))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", e.Name(), err)
		}
		sum := sha256.Sum256(text)
		all = append(all, migration{uint32(number), e.Name(), hex.EncodeToString(sum[:]), statements})
	}
	if len(all) == 0 || all[0].number != 0 {
		return nil, fmt.Errorf("no migration 0000, which makes the table of migrations")
	}
	return all, nil
}

// splitStatements splits sql at semicolons outside strings, quoted identifiers
// and comments. Comments go with the statement that follows.
func splitStatements(sql string) ([]string, error) {
	var statements []string
	begin, blank := 0, true // blank: only space and comments since begin
	for i := 0; i < len(sql); {
		rest := sql[i:]
		switch c := sql[i]; {
		case strings.HasPrefix(rest, "--"):
			i += span(rest, "\n")
		case strings.HasPrefix(rest, "/*"):
			i += span(rest, "*/")
		case c == '\'' || c == '"' || c == '`':
			n := quoted(rest)
			if n < 0 {
				return nil, fmt.Errorf("%c at octet %d is not closed", c, i)
			}
			i, blank = i+n, false
		case c == ';':
			if !blank {
				statements = append(statements, strings.TrimSpace(sql[begin:i]))
			}
			i++
			begin, blank = i, true
		default:
			if !strings.ContainsRune(" \t\r\n\v\f", rune(c)) {
				blank = false
			}
			i++
		}
	}
	if !blank {
		statements = append(statements, strings.TrimSpace(sql[begin:]))
	}
	return statements, nil
}

// span is the length of s up to and including end, or all of it.
func span(s, end string) int {
	if i := strings.Index(s, end); i >= 0 {
		return i + len(end)
	}
	return len(s)
}

// quoted is the length of the quoted string s begins with, or -1. A quote is
// escaped by a backslash, or by doubling, which reads as two strings.
func quoted(s string) int {
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case s[0]:
			return i + 1
		}
	}
	return -1
}
