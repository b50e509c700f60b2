package storage

import (
	"context"

	"tidemark/storage/schema"
)

// MigrateTo applies the migrations up to number: the tables of this package
// without the views of others.
func MigrateTo(ctx context.Context, db *DB, number uint32) error {
	all, err := readMigrations(schema.Files)
	if err != nil {
		return err
	}
	for i, m := range all {
		if m.number > number {
			all = all[:i]
			break
		}
	}
	return db.migrate(ctx, all)
}
