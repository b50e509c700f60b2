package main

import (
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2"
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
	case "ALTER", "ATTACH", "CREATE", "DELETE", "DETACH", "DROP", "EXCHANGE", "INSERT", "OPTIMIZE", "RENAME", "SET", "SYSTEM", "TRUNCATE", "UPDATE":
		// What a statement changes is changed when the command returns.
		ctx := clickhouse.Context(c.Context, clickhouse.WithSettings(clickhouse.Settings{"mutations_sync": 1}))
		return sqlError(s.db.Conn().Exec(ctx, statement))
	}
	rows, err := s.db.Conn().QueryFormat(c.Context, c.String("format"), statement)
	if err != nil {
		return sqlError(err)
	}
	defer rows.Close()
	_, err = io.Copy(c.App.Writer, rows)
	return sqlError(err)
}

// sqlError leaves out the list of all that could have stood at a syntax error.
func sqlError(err error) error {
	if err == nil {
		return nil
	}
	if said, _, found := strings.Cut(err.Error(), " Expected one of: "); found {
		return errors.New("sql: " + said)
	}
	return fmt.Errorf("sql: %w", err)
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
