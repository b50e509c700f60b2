package main

import (
	"errors"
	"fmt"

	"github.com/urfave/cli/v2"

	"tidemark/enrich/watch"
)

// sourcesCommand asks the daemon: only it follows the sources.
func sourcesCommand() *cli.Command {
	return &cli.Command{
		Name: "sources", Usage: "who tells which address is whose, and how that goes",
		Description: "Lists inventories, lease files, neighbour tables and routers (identity in the configuration)\nas the running daemon reads them.\n\n   tidemark devices sources\n   tidemark devices sources --output json",
		Flags:       []cli.Flag{outputFlag(listForms)},
		Action: func(c *cli.Context) error {
			if err := wantArgs(c, 0, 0, "no argument"); err != nil {
				return err
			}
			var found []watch.Status
			err := newDaemonClient(c.String("data-dir")).get(c.Context, "/v1/sources", &found)
			if errors.Is(err, errNoDaemon) {
				return codedError{exitUnreachable, fmt.Errorf("sources: %w: start `tidemark run`", err)}
			}
			if err != nil {
				return err
			}
			return list(c, "sources of identity", found, []column[watch.Status]{
				{"source", left, func(s watch.Status) string { return s.Source }, nil},
				{"format", left, func(s watch.Status) string { return s.Format }, nil},
				{"read (UTC)", left, func(s watch.Status) string {
					if s.Read.IsZero() {
						return "-"
					}
					return stamp(s.Read)
				}, nil},
				{"bindings", right, func(s watch.Status) string { return count(s.Bindings) }, func(s watch.Status) string { return fmt.Sprint(s.Bindings) }},
				{"bad lines", right, func(s watch.Status) string { return count(s.Bad) }, func(s watch.Status) string { return fmt.Sprint(s.Bad) }},
				{"fault", flex, func(s watch.Status) string {
					if s.Error == "" && len(s.Faults) > 0 {
						return s.Faults[0]
					}
					return s.Error
				}, nil},
			})
		},
	}
}
