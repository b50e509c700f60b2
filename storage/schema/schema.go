// Package schema holds the SQL files of the database: numbered migrations, and
// the statements that package storage needs.
package schema

import "embed"

// Files are the migrations, NNNN_name.sql, applied in order of their numbers.
// 0000 makes the table that records the others. A file that has been released
// never changes.
//
//go:embed *.sql
var Files embed.FS

// Statements of package storage. They are no migrations.
var (
	//go:embed query/applied.sql
	Applied string
	//go:embed query/record.sql
	Record string
	//go:embed query/read_flows.sql
	ReadFlows string
	//go:embed query/compare_flows.sql
	CompareFlows string
	//go:embed query/read_enriched.sql
	ReadEnriched string
	//go:embed query/disk.sql
	Disk string
	//go:embed query/partitions.sql
	Partitions string
)
