package main

import (
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"

	"github.com/urfave/cli/v2"
)

func sqlCommand() *cli.Command {
	return &cli.Command{
		Name:      "sql",
		Usage:     "run one statement on the database, as an administrator could",
		ArgsUsage: "STATEMENT",
		Description: `The tables are documented by their own comments. Nothing protects them from you: that
is what ` + "`tidemark verify`" + ` is for.

   tidemark sql "SELECT proto, sum(bytes) FROM flows GROUP BY proto"
   tidemark sql "DESCRIBE TABLE flows"
   tidemark sql --format CSVWithNames "SELECT * FROM events"`,
		Flags: []cli.Flag{&cli.StringFlag{Name: "format", Value: "PrettyCompactMonoBlock", Usage: "a ClickHouse output `FORMAT`"}},
		Action: func(c *cli.Context) error {
			if err := wantArgs(c, 1, 1, "one STATEMENT in quotes"); err != nil {
				return err
			}
			return withStore(c, func(s *store) error { return s.sql(c) })
		},
	}
}

func (s *store) sql(c *cli.Context) error {
	statement := c.Args().First()
	words := strings.Fields(statement)
	if len(words) == 0 {
		return usageError{errors.New("sql: the statement is empty")}
	}
	switch strings.ToUpper(words[0]) {
	case "SELECT", "WITH", "SHOW", "DESCRIBE", "DESC", "EXPLAIN", "EXISTS":
	default:
		if err := s.db.Conn().Exec(c.Context, statement); err != nil {
			return fmt.Errorf("sql: %w", err)
		}
		return nil
	}
	rows, err := s.db.Conn().QueryFormat(c.Context, c.String("format"), statement)
	if err != nil {
		return fmt.Errorf("sql: %w", err)
	}
	defer rows.Close()
	if _, err := io.Copy(c.App.Writer, rows); err != nil {
		return fmt.Errorf("sql: %w", err)
	}
	return nil
}

func versionCommand() *cli.Command {
	return &cli.Command{
		Name:  "version",
		Usage: "print the version",
		Flags: []cli.Flag{outputFlag(pageForms)},
		Action: func(c *cli.Context) error {
			if err := wantArgs(c, 0, 0, "no argument"); err != nil {
				return err
			}
			v := map[string]string{"version": version, "go": runtime.Version(), "platform": runtime.GOOS + "/" + runtime.GOARCH}
			return page(c, v, func(w io.Writer) error {
				_, err := fmt.Fprintf(w, "tidemark %s (%s, %s)\n", v["version"], v["go"], v["platform"])
				return err
			})
		},
	}
}
