package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

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
	s.db, err = storage.Open(c.Context, cfg.storage(s.dir, s.log.Level(max(s.log.GetLevel(), zerolog.WarnLevel))))
	if err != nil {
		return codedError{exitUnreachable, err}
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(c.Context), 10*time.Second)
		defer cancel()
		err = errors.Join(err, s.db.Close(ctx))
	}()
	return f(s)
}

func (c Config) storage(dir string, log zerolog.Logger) storage.Options {
	return storage.Options{
		DataDir: dir, URL: c.Storage.URL, Database: c.Storage.Database,
		MemoryLimit: uint64(c.Storage.Memory), Log: log,
	}
}
