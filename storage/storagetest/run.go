package storagetest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"tidemark/storage"
)

// Run checks that the engine behind open does what package storage relies on.
// open returns an empty database for one test.
func Run(t *testing.T, open func(t *testing.T) *storage.DB) {
	for _, test := range []struct {
		name string
		run  func(*testing.T, *storage.DB)
	}{
		{"EveryColumnType", everyColumnType},
		{"EmptyResultHasNoRows", emptyResult},
		{"LargeResultIsComplete", largeResult},
		{"ConcurrentUse", concurrentUse},
		{"ErrorsAreTyped", typedErrors},
		{"ErrorInMidStreamSurfaces", midStreamError},
		{"CancellationStopsStatement", cancellation},
		{"AbandonedResultFreesEngine", abandonedResult},
		{"ParametersAreData", parameters},
		{"SettingsLastOneStatement", settings},
		{"SessionStateDoesNotLeak", sessionState},
		{"StatementsAreAnyOctets", strangeStatements},
		{"InsertOfNothingOrGarbage", strangeInserts},
		{"RepeatedInsertIsWrittenOnce", repeatedInsert},
		{"MigrateTwiceAppliesOnce", migrateTwice},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, open(t)) })
	}
}

func run(t *testing.T, db *storage.DB, statements ...string) {
	t.Helper()
	for _, s := range statements {
		if err := db.Conn().Exec(t.Context(), s); err != nil {
			t.Fatalf("%.100s: %v", s, err)
		}
	}
}

// value returns the one value of the one row of a result.
func value[T any](t *testing.T, db *storage.DB, query string, args ...any) (v T) {
	t.Helper()
	if err := db.Conn().QueryRow(t.Context(), query, args...).Scan(&v); err != nil {
		t.Fatalf("%.100s: %v", query, err)
	}
	return v
}

// code returns the error code of ClickHouse in err, 0 if there is none.
func code(err error) int32 {
	var e *clickhouse.Exception
	if errors.As(err, &e) {
		return e.Code
	}
	return 0
}

func everyColumnType(t *testing.T, db *storage.DB) {
	at := time.Date(2026, 11, 22, 17, 0, 1, 987654321, time.UTC)
	cases := []struct {
		typ  string
		want any
	}{
		{"UInt8", uint8(255)}, {"UInt16", uint16(65535)}, {"UInt32", uint32(1<<32 - 1)}, {"UInt64", uint64(1<<64 - 1)},
		{"Int8", int8(-128)}, {"Int16", int16(-1 << 15)}, {"Int32", int32(-1 << 31)}, {"Int64", int64(-1 << 63)},
		{"Float32", float32(1.5)}, {"Float64", -1e300}, {"Bool", true},
		{"String", "a\x00b\xff'\\"}, {"FixedString(4)", "a\x00\xffz"}, {"LowCardinality(String)", "home"},
		{"Nullable(Float64)", (*float64)(nil)},
		{"Date", time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)},
		{"DateTime('UTC')", at.Truncate(time.Second)},
		{"DateTime64(3, 'UTC')", at.Truncate(time.Millisecond)},
		{"DateTime64(9, 'UTC')", at},
		{"IPv4", net.IPv4(192, 0, 2, 1).To4()}, {"IPv6", net.ParseIP("2001:db8::1")},
		{"Enum8('a' = 1, 'b' = -2)", "b"},
		{"Array(UInt32)", []uint32{1, 2, 3}}, {"Array(String)", []string{"", "x"}},
		{"Map(UInt64, Array(String))", map[uint64][]string{7: {"a", ""}, 1 << 40: {}}},
		{"Tuple(UInt8, String)", []any{uint8(1), "x"}},
		{"SimpleAggregateFunction(max, DateTime64(9, 'UTC'))", at},
	}
	var columns []string
	for i, c := range cases {
		columns = append(columns, fmt.Sprintf("c%d %s", i, c.typ))
	}
	run(t, db, "CREATE TABLE types ("+strings.Join(columns, ", ")+") ENGINE = MergeTree ORDER BY tuple()")
	batch, err := db.Conn().PrepareBatch(t.Context(), "INSERT INTO types")
	if err != nil {
		t.Fatal(err)
	}
	row := make([]any, len(cases))
	for i, c := range cases {
		row[i] = c.want
	}
	if err := batch.Append(row...); err != nil {
		t.Fatal(err)
	}
	if err := batch.Send(); err != nil {
		t.Fatal(err)
	}
	for i, c := range cases {
		got := reflect.New(reflect.TypeOf(c.want))
		if err := db.Conn().QueryRow(t.Context(), fmt.Sprintf("SELECT c%d FROM types", i)).Scan(got.Interface()); err != nil {
			t.Errorf("%s: %v", c.typ, err)
			continue
		}
		if !reflect.DeepEqual(got.Elem().Interface(), c.want) {
			t.Errorf("%s: got %v, want %v", c.typ, got.Elem(), c.want)
		}
	}
	// States of aggregates stay inside the engine: they are merged by queries.
	run(t, db, "CREATE TABLE states (u AggregateFunction(uniq, UInt64), q AggregateFunction(quantileTDigest, Float64)) ENGINE = AggregatingMergeTree ORDER BY tuple()",
		"INSERT INTO states SELECT uniqState(number), quantileTDigestState(toFloat64(number)) FROM numbers(1000)")
	if n := value[uint64](t, db, "SELECT uniqMerge(u) FROM states"); n != 1000 {
		t.Errorf("AggregateFunction: got %d, want 1000", n)
	}
}

func emptyResult(t *testing.T, db *storage.DB) {
	for _, q := range []string{"SELECT number FROM numbers(0)", "SELECT name FROM system.tables WHERE 0", "SHOW TABLES"} {
		rows, err := db.Conn().Query(t.Context(), q)
		if err != nil {
			t.Fatalf("%s: %v", q, err)
		}
		if rows.Next() {
			t.Errorf("%s: got a row", q)
		}
		if err := rows.Err(); err != nil {
			t.Errorf("%s: %v", q, err)
		}
		if err := rows.Close(); err != nil {
			t.Errorf("%s: close: %v", q, err)
		}
	}
}

func largeResult(t *testing.T, db *storage.DB) {
	const n = 1_000_000
	run(t, db, "CREATE TABLE large (n UInt64, s String) ENGINE = MergeTree ORDER BY n",
		"INSERT INTO large SELECT number, toString(number) FROM numbers(1000000)")
	rows, err := db.Conn().Query(t.Context(), "SELECT n, s FROM large ORDER BY n")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var next uint64
	for rows.Next() {
		var got uint64
		var s string
		if err := rows.Scan(&got, &s); err != nil {
			t.Fatal(err)
		}
		if got != next || s != fmt.Sprint(next) {
			t.Fatalf("row %d: got %d %q", next, got, s)
		}
		next++
	}
	if err := rows.Err(); err != nil || next != n {
		t.Errorf("got %d rows and %v, want %d", next, err, n)
	}
}

func concurrentUse(t *testing.T, db *storage.DB) {
	const workers, inserts = 8, 10
	run(t, db, "CREATE TABLE shared (worker UInt32, n UInt32) ENGINE = MergeTree ORDER BY worker")
	var all sync.WaitGroup
	for w := range uint32(workers) {
		all.Go(func() {
			for i := range uint32(inserts) {
				if err := db.Conn().Exec(t.Context(), "INSERT INTO shared VALUES (?, ?)", w, i); err != nil {
					t.Errorf("insert: %v", err)
				}
				var n uint64
				if err := db.Conn().QueryRow(t.Context(), "SELECT count() FROM shared WHERE worker = ?", w).Scan(&n); err != nil || n != uint64(i+1) {
					t.Errorf("worker %d: got %d rows and %v, want %d", w, n, err, i+1)
				}
			}
		})
	}
	all.Wait()
	if n := value[uint64](t, db, "SELECT count() FROM shared"); n != workers*inserts {
		t.Errorf("got %d rows, want %d", n, workers*inserts)
	}
}

func typedErrors(t *testing.T, db *storage.DB) {
	run(t, db, "CREATE TABLE small (n UInt8) ENGINE = MergeTree ORDER BY n")
	for _, c := range []struct {
		statement string
		want      int32
	}{
		{"SELECT * FROM no_such_table", 60},
		{"SELEC", 62},
		{"SELECT 1; SELECT 2", 62},
		{"SELECT no_such_column FROM small", 47},
		{"SELECT throwIf(1)", 395},
		{"CREATE TABLE small (n UInt8) ENGINE = MergeTree ORDER BY n", 57},
		{"INSERT INTO no_such_table VALUES (1)", 60},
		{"DROP TABLE no_such_table", 60},
		{"SHOW CREATE TABLE no_such_table", 390},
	} {
		err := db.Conn().Exec(t.Context(), c.statement)
		if got := code(err); got != c.want {
			t.Errorf("%s: got code %d (%v), want %d", c.statement, got, err, c.want)
		}
	}
	err := db.InsertBlock(t.Context(), "no_such_table", "t", make([]byte, 4<<20))
	if got := code(err); got != 60 || storage.Retryable(err) {
		t.Errorf("insert into a missing table: got code %d (%v), want 60, incurable", got, err)
	}
}

func midStreamError(t *testing.T, db *storage.DB) {
	const query = "SELECT throwIf(number = 3000000), number FROM numbers(10000000) SETTINGS max_threads = 1, max_block_size = 65536"
	rows, err := db.Conn().Query(t.Context(), query)
	n := 0
	if err == nil {
		for rows.Next() {
			n++
		}
		err = errors.Join(rows.Err(), rows.Close())
	}
	if code(err) != 395 || n == 0 {
		t.Errorf("rows: got %d rows and %v, want some rows and code 395", n, err)
	}
	body, err := db.Conn().QueryFormat(t.Context(), "TSV", query)
	var octets int64
	if err == nil {
		octets, err = io.Copy(io.Discard, body)
		err = errors.Join(err, body.Close())
	}
	if code(err) != 395 || octets == 0 {
		t.Errorf("raw format: got %d octets and %v, want some octets and code 395", octets, err)
	}
}

// forever is a statement that does not end by itself.
const forever = "SELECT count() FROM numbers(10000000000000) WHERE sipHash64(number) = 1"

func cancellation(t *testing.T, db *storage.DB) {
	run(t, db, "CREATE TABLE sink (n UInt64) ENGINE = Null")
	for _, statement := range []string{forever, "INSERT INTO sink " + strings.Replace(forever, "count()", "number", 1)} {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- db.Conn().Exec(ctx, statement) }()
		awaitRunning(t, db, statement, true)
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("%.20s: got %v, want context.Canceled", statement, err)
		}
		awaitRunning(t, db, statement, false)
	}
}

// awaitRunning waits until the statement runs in the engine, or no longer does.
func awaitRunning(t *testing.T, db *storage.DB, statement string, want bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		n := value[uint64](t, db, "SELECT count() FROM system.processes WHERE query = {q:String}", clickhouse.Named("q", statement))
		if (n > 0) == want {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%.40s: %d are running, want running %v", statement, n, want)
		}
	}
}

func abandonedResult(t *testing.T, db *storage.DB) {
	const statement = "SELECT number FROM numbers(10000000000000)"
	for range 40 { // more than statements may run at once
		body, err := db.Conn().QueryFormat(t.Context(), "Native", statement)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(body, make([]byte, 1000)); err != nil {
			t.Fatal(err)
		}
		if err := body.Close(); err != nil {
			t.Fatal(err)
		}
	}
	awaitRunning(t, db, statement, false)
}

func parameters(t *testing.T, db *storage.DB) {
	for _, want := range []string{"", "plain", "'; DROP TABLE x; --", `back\slash`, "tab\tnew\nline", "nul\x00octet", "ünï", "\\N", "{x:String}"} {
		if got := value[string](t, db, "SELECT {v:String}", clickhouse.Named("v", want)); got != want {
			t.Errorf("parameter: got %q, want %q", got, want)
		}
		if got := value[string](t, db, "SELECT ?", want); got != want {
			t.Errorf("argument: got %q, want %q", got, want)
		}
	}
	if got := value[uint64](t, db, "SELECT {v:UInt64}", clickhouse.Named("v", uint64(1<<64-1))); got != 1<<64-1 {
		t.Errorf("UInt64: got %d", got)
	}
	if got := value[uint64](t, db, "SELECT count() FROM {t:Identifier}.{u:Identifier}", clickhouse.Named("t", "system"), clickhouse.Named("u", "one")); got != 1 {
		t.Errorf("Identifier: got %d rows, want 1", got)
	}
	var s string
	err := db.Conn().QueryRow(t.Context(), "SELECT {missing:String}").Scan(&s)
	if code(err) != 456 {
		t.Errorf("missing parameter: got %v, want code 456", err)
	}
}

func settings(t *testing.T, db *storage.DB) {
	with := func(s clickhouse.Settings) context.Context {
		return clickhouse.Context(t.Context(), clickhouse.WithSettings(s))
	}
	var got uint64
	const ask = "SELECT toUInt64(getSetting('max_block_size'))"
	if err := db.Conn().QueryRow(with(clickhouse.Settings{"max_block_size": 1234}), ask).Scan(&got); err != nil || got != 1234 {
		t.Errorf("with the setting: got %d, %v, want 1234", got, err)
	}
	for range 40 {
		if got := value[uint64](t, db, ask); got == 1234 {
			t.Fatal("the setting outlives its statement")
		}
	}
	for settings, want := range map[string]int32{"no_such_setting": 115, "max_block_size": 27} {
		err := db.Conn().Exec(with(clickhouse.Settings{settings: "x' OR 1"}), "SELECT 1")
		if code(err) != want && code(err) != 72 {
			t.Errorf("%s = nonsense: got %v, want code %d", settings, err, want)
		}
	}
	err := db.Conn().Exec(with(clickhouse.Settings{"max_execution_time": 1}), forever)
	if code(err) != 159 {
		t.Errorf("max_execution_time: got %v, want code 159", err)
	}
	err = db.Conn().Exec(with(clickhouse.Settings{"max_memory_usage": 10 << 20}), "SELECT groupArray(number) FROM numbers(100000000) FORMAT Null")
	if code(err) != 241 || !storage.Retryable(err) {
		t.Errorf("max_memory_usage: got %v, want code 241, retryable", err)
	}
}

func sessionState(t *testing.T, db *storage.DB) {
	for range 40 {
		run(t, db, "SET max_block_size = 4321", "USE system")
	}
	for range 40 {
		if got := value[string](t, db, "SELECT currentDatabase()"); got != db.Database() {
			t.Fatalf("USE outlives its statement: got database %s, want %s", got, db.Database())
		}
		if got := value[uint64](t, db, "SELECT toUInt64(getSetting('max_block_size'))"); got == 4321 {
			t.Fatal("SET outlives its statement")
		}
	}
}

func strangeStatements(t *testing.T, db *storage.DB) {
	if got := value[uint64](t, db, "SELECT length('a\x00b')"); got != 3 {
		t.Errorf("NUL in a string: got length %d, want 3", got)
	}
	for _, statement := range []string{"", " ", "-- nothing", "\x00", "SELECT 1\x00, 2", "\xff\xfe", "/*", "SELECT '", ";;"} {
		if err := db.Conn().Exec(t.Context(), statement); err == nil {
			t.Errorf("%q: no error", statement)
		}
	}
	long := strings.Repeat("x", 20<<20) // more than statements may have by default
	query := "SELECT length('" + long + "')"
	if err := db.Conn().Exec(t.Context(), query); code(err) != 62 {
		t.Errorf("20 MB statement: got %.200v, want code 62", err)
	}
	ctx := clickhouse.Context(t.Context(), clickhouse.WithSettings(clickhouse.Settings{"max_query_size": 1 << 30}))
	var n uint64
	if err := db.Conn().QueryRow(ctx, query).Scan(&n); err != nil || n != uint64(len(long)) {
		t.Errorf("20 MB statement with room: got %d, %.200v", n, err)
	}
	if got := value[uint64](t, db, "SELECT toUInt64(2) AS `sum;--`"+strings.Repeat(" ", 1000)+";"); got != 2 {
		t.Errorf("got %d, want 2", got)
	}
}

func strangeInserts(t *testing.T, db *storage.DB) {
	run(t, db, "CREATE TABLE ints (n UInt64) ENGINE = MergeTree ORDER BY n SETTINGS non_replicated_deduplication_window = 100")
	column := "\x01\x02\x01n\x06UInt64" // one column of two rows
	rows := "\x01\x00\x00\x00\x00\x00\x00\x00\x02\x00\x00\x00\x00\x00\x00\x00"
	for name, block := range map[string]string{
		"nothing":         "",
		"header only":     "\x01\x00\x01n\x06UInt64",
		"garbage":         "garbage that is no block at all",
		"cut in data":     column + rows[:11],
		"cut in header":   column[:4],
		"endless rows":    "\x01\xff\xff\xff\xff\xff\xff\xff\xff\x7f\x01n\x06UInt64" + rows,
		"endless columns": "\xff\xff\xff\xff\x0f\x02" + rows,
		"endless name":    "\x01\x02\xff\xff\xff\xff\x7f" + rows,
		"unknown type":    "\x01\x02\x01n\x06Uint65" + rows,
		"unknown column":  "\x01\x02\x01m\x06UInt64" + rows,
		"wrong type":      "\x01\x02\x01n\x06String\x01x\x01y",
	} {
		err := db.InsertBlock(t.Context(), "ints", name, []byte(block))
		if (err == nil) != (name == "nothing" || name == "header only") {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if n := value[uint64](t, db, "SELECT count() FROM ints"); n != 0 {
		t.Errorf("got %d rows of bad inserts, want none", n)
	}
	if err := db.InsertBlock(t.Context(), "ints", "good", []byte(column+rows)); err != nil {
		t.Errorf("good block: %v", err)
	}
	if n := value[uint64](t, db, "SELECT sum(n) FROM ints"); n != 3 {
		t.Errorf("got sum %d, want 3", n)
	}
}

func repeatedInsert(t *testing.T, db *storage.DB) {
	run(t, db,
		"CREATE TABLE base (n UInt64) ENGINE = MergeTree ORDER BY n SETTINGS non_replicated_deduplication_window = 100",
		"CREATE TABLE target (k UInt8, n SimpleAggregateFunction(sum, UInt64)) ENGINE = AggregatingMergeTree ORDER BY k SETTINGS non_replicated_deduplication_window = 100",
		"CREATE MATERIALIZED VIEW view TO target AS SELECT toUInt8(base.n % 3) AS k, count() AS n FROM base GROUP BY k",
		"CREATE TABLE second (k UInt8, n SimpleAggregateFunction(sum, UInt64)) ENGINE = AggregatingMergeTree ORDER BY k SETTINGS non_replicated_deduplication_window = 100",
		"CREATE MATERIALIZED VIEW cascade TO second AS SELECT 0 AS k, sum(target.n) AS n FROM target GROUP BY k")
	block := []byte("\x01\x02\x01n\x06UInt64\x01\x00\x00\x00\x00\x00\x00\x00\x02\x00\x00\x00\x00\x00\x00\x00")
	for range 3 {
		for _, token := range []string{"a", "b"} { // equal rows of two batches are two batches
			if err := db.InsertBlock(t.Context(), "base", token, block); err != nil {
				t.Fatal(err)
			}
		}
	}
	for table, query := range map[string]string{"base": "SELECT count() FROM base", "view": "SELECT sum(n) FROM target", "cascade": "SELECT sum(n) FROM second"} {
		if n := value[uint64](t, db, query); n != 4 {
			t.Errorf("%s: got %d rows, want 4", table, n)
		}
	}
}

func migrateTwice(t *testing.T, db *storage.DB) {
	for range 2 {
		if err := db.Migrate(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if n := value[uint64](t, db, "SELECT toUInt64(count() - uniqExact(number)) FROM migrations"); n != 0 {
		t.Errorf("%d migrations are recorded more than once", n)
	}
}
