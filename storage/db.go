// Package storage keeps flow records in ClickHouse and sealed batches in a
// spool until ClickHouse has them.
//
// One path leads to every engine: clickhouse-go over HTTP, to a server, to the
// engine process of a running daemon, or to an engine inside this process.
package storage

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"sync"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/rs/zerolog"
)

// DefaultDatabase holds the tables of Tidemark.
const DefaultDatabase = "tidemark"

// maxStatement is how long a statement may be, in octets: one that names some
// thousand devices in each of its parts is longer than ClickHouse's 256 KiB.
const maxStatement = 16 << 20

// Options says which engine Open connects to. With a URL that is a ClickHouse
// server and DataDir is not used; otherwise the embedded engine of DataDir.
type Options struct {
	DataDir     string
	URL         string // http://user:password@host:8123/database
	Database    string // default DefaultDatabase, or the database of URL
	MemoryLimit uint64 // of an engine in this process, in bytes; 0 = a quarter of the machine's, 1 to 8 GiB
	Library     string // path of libchdb.so; "" = where scripts/setup-engine.sh puts it
	Log         zerolog.Logger
}

// DB is a connection to one database. It is safe for concurrent use.
type DB struct {
	conn     driver.Conn
	database string
	log      zerolog.Logger
	close    func(context.Context) error // of the engine behind it, may be nil
	readers  sync.Pool                   // *blockReader
	embedded bool
	engine   http.RoundTripper // embedded, else nil
}

// Open connects to the engine o describes and creates the database if it is
// missing. Beside a running daemon it uses the daemon's engine; without one it
// runs an engine in this process, which it gives up when a daemon starts: from
// then on every call fails with ErrYielded.
func Open(ctx context.Context, o Options) (*DB, error) {
	if o.URL != "" {
		return openServer(ctx, o)
	}
	if o.DataDir == "" {
		return nil, errors.New("open storage: neither a data directory nor a ClickHouse URL is given")
	}
	dir, err := filepath.Abs(o.DataDir)
	if err != nil {
		return nil, fmt.Errorf("open storage: %w", err)
	}
	o.DataDir = dir
	if dialable(ctx, dir) {
		db, err := Connect(ctx, socketTransport(dir), o, nil)
		if err == nil || daemonPresent(dir) {
			return db, err
		}
		// The engine of a daemon that was killed answered once more and ended.
	}
	return openLocal(ctx, o)
}

// openServer connects to the ClickHouse server at o.URL.
func openServer(ctx context.Context, o Options) (*DB, error) {
	u, err := url.Parse(o.URL)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return nil, errors.New("open storage: the ClickHouse URL is not of the form http[s]://[user:password@]host:port[/database]")
	}
	options, err := clickhouse.ParseDSN(o.URL)
	if err != nil {
		return nil, fmt.Errorf("open storage: ClickHouse URL: %w", err)
	}
	if o.Database == "" {
		o.Database = options.Auth.Database
	}
	return connect(ctx, options, o, nil)
}

// Connect returns a DB that speaks to the engine behind rt, whatever host the
// requests name. Close calls closeEngine, which may be nil.
func Connect(ctx context.Context, rt http.RoundTripper, o Options, closeEngine func(context.Context) error) (*DB, error) {
	options := &clickhouse.Options{
		Protocol:      clickhouse.HTTP,
		Addr:          []string{"engine:8123"}, // for the Host header only
		TransportFunc: func(*http.Transport) (http.RoundTripper, error) { return rt, nil },
	}
	db, err := connect(ctx, options, o, closeEngine)
	if err != nil {
		return nil, err
	}
	db.engine = rt
	return db, nil
}

func connect(ctx context.Context, options *clickhouse.Options, o Options, closeEngine func(context.Context) error) (*DB, error) {
	if o.Database == "" {
		o.Database = DefaultDatabase
	}
	// The engine queues statements itself; the driver's own queue would time out.
	options.MaxOpenConns, options.MaxIdleConns = 256, 16
	options.ReadTimeout = time.Hour // the caller's context is the limit
	options.Auth.Database = ""      // the database may not exist yet
	if options.Settings == nil {
		options.Settings = clickhouse.Settings{}
	}
	// An insert that has returned is written: ClickHouse 26 queues inserts otherwise.
	options.Settings["async_insert"] = 0
	options.Settings["max_query_size"] = maxStatement
	// Conclusions from chains of comparisons (a < b AND b < 5) are none of ours, and
	// looking for them took most of the time of a statement of many steps.
	options.Settings["optimize_and_compare_chain"] = 0
	if err := createDatabase(ctx, options, o.Database); err != nil {
		return nil, fmt.Errorf("open database %s: %w", o.Database, err)
	}
	options.Auth.Database = o.Database
	conn, err := clickhouse.Open(options)
	if err != nil {
		return nil, fmt.Errorf("open database %s: %w", o.Database, err)
	}
	return &DB{conn: conn, database: o.Database, log: o.Log, close: closeEngine, readers: sync.Pool{New: newBlockReader}, embedded: o.URL == ""}, nil
}

// createDatabase makes sure that the database exists, without asking for the
// right to create one that does.
func createDatabase(ctx context.Context, options *clickhouse.Options, database string) error {
	conn, err := clickhouse.Open(options)
	if err != nil {
		return err
	}
	defer conn.Close()
	var exists uint8
	if err := conn.QueryRow(ctx, "EXISTS DATABASE "+quoteIdentifier(database)).Scan(&exists); err != nil {
		return err
	}
	if exists == 1 {
		return nil
	}
	return conn.Exec(ctx, "CREATE DATABASE IF NOT EXISTS "+quoteIdentifier(database))
}

// Embedded reports whether the engine is our own, and so the only one of its data.
func (db *DB) Embedded() bool { return db.embedded }

// Conn is the connection for all SQL. Its current database is the DB's.
func (db *DB) Conn() driver.Conn { return db.conn }

// Database is the name of the database.
func (db *DB) Database() string { return db.database }

// Close ends the connection, and the engine if it runs in this process: running
// statements may finish until ctx ends, then they are killed.
func (db *DB) Close(ctx context.Context) error {
	err := db.conn.Close()
	if db.close != nil {
		err = errors.Join(err, db.close(ctx))
	}
	return err
}
