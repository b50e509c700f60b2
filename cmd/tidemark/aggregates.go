package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/urfave/cli/v2"

	"tidemark/profile"
)

func aggregatesCommand() *cli.Command {
	return &cli.Command{
		Name:  "aggregates",
		Usage: "do the baselines' aggregates equal the flows they were made from?",
		Description: `   tidemark aggregates check       exit code 3 if one differs
   tidemark aggregates rebuild     make them anew from the flows that are kept

They hold no evidence: what they say can be made again at any time.`,
		Subcommands: []*cli.Command{
			{
				Name: "check", Usage: "compare their totals with those of the flows", Flags: []cli.Flag{outputFlag(listForms)},
				Action: func(c *cli.Context) error {
					if err := wantArgs(c, 0, 0, "no argument"); err != nil {
						return err
					}
					return withStore(c, func(s *store) error { return s.checkAggregates(c) })
				},
			},
			{
				Name: "rebuild", Usage: "make them anew",
				Action: func(c *cli.Context) error {
					if err := wantArgs(c, 0, 0, "no argument"); err != nil {
						return err
					}
					if newDaemonClient(c.String("data-dir")).running(c.Context) {
						return usageError{errors.New("aggregates rebuild: the daemon is adding to them: stop it first")}
					}
					return withStore(c, func(s *store) error {
						q, err := s.questions()
						if err != nil {
							return err
						}
						return q.Rebuild(c.Context)
					})
				},
			},
		},
	}
}

func (s *store) checkAggregates(c *cli.Context) error {
	q, err := s.questions()
	if err != nil {
		return err
	}
	differences, err := q.CheckAggregates(c.Context)
	if err != nil {
		return err
	}
	if len(differences) == 0 && c.String("output") == "table" {
		fmt.Fprintln(c.App.ErrWriter, "the aggregates equal the flows")
		return nil
	}
	if err := list(c, "differences", differences, differenceColumns()); err != nil || len(differences) == 0 {
		return err
	}
	return quietly(exitFindings)
}

func differenceColumns() []column[profile.Difference] {
	type D = profile.Difference
	return []column[D]{
		{"aggregate", left, func(d D) string { return d.Aggregate }, nil},
		{"day of receipt", left, func(d D) string { return d.Day.Format(time.DateOnly) }, nil},
		{"column", left, func(d D) string { return d.Column }, nil},
		{"got", right, func(d D) string { return count(d.Got) }, func(d D) string { return fmt.Sprint(d.Got) }},
		{"want", right, func(d D) string { return count(d.Want) }, func(d D) string { return fmt.Sprint(d.Want) }},
	}
}
