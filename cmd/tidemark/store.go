package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"github.com/urfave/cli/v2"

	"tidemark/storage"
)

// store is the database as commands see it, beside a daemon or without one.
type store struct {
	cfg Config
	dir string
	log zerolog.Logger
	db  *storage.DB
}

// withStore opens the database of the data directory for f. A directory in
// which nothing was ever collected is said to be so, not created.
func withStore(c *cli.Context, f func(*store) error) error {
	cfg, err := LoadConfig(c.String("config"))
	if err != nil {
		return err
	}
	dir := c.String("data-dir")
	if cfg.Storage.URL == "" {
		if _, err := os.Stat(filepath.Join(dir, "clickhouse")); errors.Is(err, fs.ErrNotExist) {
			return usageError{fmt.Errorf("%s: nothing was collected in %s yet; start `tidemark --data-dir %s run`, or name another directory with --data-dir", c.Command.Name, dir, dir)}
		}
	}
	return openStore(c, cfg, f)
}

// openStore is withStore without asking whether there is anything in it.
func openStore(c *cli.Context, cfg Config, f func(*store) error) (err error) {
	s := &store{cfg: cfg, dir: c.String("data-dir"), log: newLogger(cfg.Log, c.App.ErrWriter)}
	s.log = s.log.Level(max(s.log.GetLevel(), zerolog.WarnLevel)) // a command says what it does by its output
	s.db, err = storage.Open(c.Context, cfg.storage(s.dir, s.log))
	if err != nil {
		return engineError(s.dir, err)
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(c.Context), 10*time.Second)
		defer cancel()
		err = errors.Join(err, s.db.Close(ctx))
	}()
	return s.orOlder(c.Context, f(s))
}

// orOlder explains an error of the engine by a directory that an earlier version
// wrote, if that is so: commands that read do not change its schema.
func (s *store) orOlder(ctx context.Context, err error) error {
	var refused *clickhouse.Exception
	if !errors.As(err, &refused) {
		return err
	}
	pending, failed := s.db.Pending(ctx)
	if failed != nil || len(pending) == 0 {
		return err
	}
	return fmt.Errorf("%s was written by an earlier version: %d changes of its tables are missing, from %s on; start `tidemark --data-dir %s run` of this version once, which makes them and keeps what was collected (%w)",
		s.dir, len(pending), pending[0], s.dir, err)
}

// engineError says what kind of fault keeps the engine of dir away.
func engineError(dir string, err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return dirError(dir, err)
	}
	return codedError{exitUnreachable, err}
}

// dirError says what to do about a data directory that this user may not use.
func dirError(dir string, err error) error {
	if !errors.Is(err, fs.ErrPermission) {
		return err
	}
	info, failed := os.Stat(dir)
	if failed != nil {
		return fmt.Errorf("%w; name a data directory of this user (%s) with --data-dir", err, actor(""))
	}
	s, ok := info.Sys().(*syscall.Stat_t)
	if !ok || int(s.Uid) == os.Getuid() {
		return fmt.Errorf("%w; its owner needs to read and write data directory %s and all in it", err, dir)
	}
	owner := fmt.Sprintf("uid %d", s.Uid)
	if u, err := user.LookupId(strconv.FormatUint(uint64(s.Uid), 10)); err == nil {
		owner = u.Username
	}
	return fmt.Errorf("%w; data directory %s belongs to %s, and this is %s: run the command as %s", err, dir, owner, actor(""), owner)
}

func (c Config) storage(dir string, log zerolog.Logger) storage.Options {
	return storage.Options{
		DataDir: dir, URL: c.Storage.URL, Database: c.Storage.Database,
		MemoryLimit: uint64(c.Storage.Memory), Log: log,
	}
}

// withNode opens the whole way of a flow on the store, for a command that writes to
// the record itself; what work handed on is stored when it returns.
func (s *store) withNode(ctx context.Context, work func(ctx context.Context, n *node) error) (err error) {
	n, err := openNode(ctx, s.cfg, s.dir, s.db, nodeDeps{log: s.log, metrics: prometheus.NewRegistry()})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, n.close()) }()
	return n.work(ctx, func(ctx context.Context) error { return work(ctx, n) })
}
