package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/rs/zerolog"
	"github.com/urfave/cli/v2"

	"tidemark/profile"
	"tidemark/profile/strict"
)

// detectorView is a detector as the configuration leaves it.
type detectorView struct {
	Name       string                   `json:"name"`
	On         bool                     `json:"on"`
	Trial      bool                     `json:"trial"`
	File       string                   `json:"file"` // "" = built in
	Faults     []string                 `json:"faults"`
	Summary    string                   `json:"summary"`
	Pace       string                   `json:"pace"`
	Hard       bool                     `json:"hard"`
	Stage      string                   `json:"stage"`
	Attack     []string                 `json:"attack"`
	Parameters map[string]float64       `json:"parameters"`
	Bounds     map[string]profile.Bound `json:"bounds,omitempty"`
	About      string                   `json:"about"`
	sql        string
}

func (d detectorView) is() string {
	switch {
	case len(d.Faults) > 0:
		return "faulty"
	case !d.On:
		return "off"
	case d.Trial:
		return "on trial"
	}
	return "on"
}

func detectorsCommand() *cli.Command {
	return &cli.Command{
		Name:  "detectors",
		Usage: "what is looked for, by which rule",
		Description: `Each detector is one SQL statement over what is kept of every device. Leave one out,
put one on trial, change a parameter or bring your own, in the configuration:

   profile:
     disable: [unexpected_hour]
     shadow: [volume]
     tune: [{detector: scan, parameter: net_5m, value: 12}]
     detectors: /etc/tidemark/detectors       NAME.sql each; docs/detectors.md says how to write one

   tidemark detectors
   tidemark detectors show scan          the rule in words, its parameters and the least evidence
   tidemark detectors show --sql scan    the statement
   tidemark detectors check              every fault of your own detectors; no daemon is needed`,
		Flags: []cli.Flag{outputFlag(listForms)},
		Action: func(c *cli.Context) error {
			if err := wantArgs(c, 0, 0, "no argument, or the command show or check"); err != nil {
				return err
			}
			views, err := detectorViews(c)
			if err != nil {
				return err
			}
			columns := []column[detectorView]{
				{title: "DETECTOR", cell: func(d detectorView) string { return d.Name }},
				{title: "IS", cell: detectorView.is},
				{title: "RUNS", cell: func(d detectorView) string { return d.Pace }},
				{title: "LOOKS FOR", kind: flex, cell: func(d detectorView) string { return d.Summary }},
			}
			if slices.ContainsFunc(views, func(d detectorView) bool { return d.File != "" }) {
				columns = append(columns, column[detectorView]{title: "FROM", cell: func(d detectorView) string { return map[bool]string{true: "yours"}[d.File != ""] }})
			}
			return list(c, "detectors", views, columns)
		},
		Subcommands: []*cli.Command{
			{
				Name: "show", Usage: "one detector in words, or its statement", ArgsUsage: "NAME",
				Flags: []cli.Flag{&cli.BoolFlag{Name: "sql", Usage: "the statement; {name:Type} are its parameters"}, outputFlag(pageForms)},
				Action: func(c *cli.Context) error {
					if err := wantArgs(c, 1, 1, "one NAME of `tidemark detectors`"); err != nil {
						return err
					}
					return showDetector(c)
				},
			},
			{
				Name: "check", Usage: "every fault of detector files at once, before they go live", ArgsUsage: "[DIR]",
				Description: `Reads every NAME.sql of a directory (profile.detectors, if none is named) and has its
statement tried on an empty database, or on the server of storage.url. Nothing is changed, and no daemon is needed.

   tidemark detectors check
   tidemark detectors check ./my-detectors`,
				Action: func(c *cli.Context) error {
					if err := wantArgs(c, 0, 1, "at most one DIR"); err != nil {
						return err
					}
					return checkDetectors(c)
				},
			},
		},
	}
}

func detectorViews(c *cli.Context) ([]detectorView, error) {
	cfg, err := LoadConfig(c.String("config"))
	if err != nil {
		return nil, err
	}
	var out []detectorView
	tuned := cfg.profile().Parameters
	own, faults := profile.DetectorFiles(cfg.Profile.Detectors)
	for _, d := range append(profile.Detectors(), own...) {
		maps.Copy(d.Parameters, tuned[d.Name])
		out = append(out, detectorView{
			Name: d.Name, On: !slices.Contains(cfg.Profile.Disable, d.Name), Trial: slices.Contains(cfg.Profile.Shadow, d.Name), File: d.File, Faults: []string{},
			Summary: d.Summary(), Pace: d.Pace(), Hard: d.Hard, Stage: d.Stage, Attack: d.Attack, Parameters: d.Parameters, Bounds: d.Bounds, About: d.About(), sql: d.SQL(),
		})
	}
	for _, f := range faults {
		name := strings.TrimSuffix(filepath.Base(f.File), ".sql")
		i := slices.IndexFunc(out, func(d detectorView) bool { return d.File == f.File })
		if i < 0 {
			i = len(out)
			out = append(out, detectorView{Name: name, File: f.File, Attack: []string{}, Parameters: map[string]float64{}})
		}
		out[i].Faults = append(out[i].Faults, f.String())
		out[i].Summary = strings.TrimPrefix(out[i].Faults[0], f.File)
	}
	return out, nil
}

func showDetector(c *cli.Context) error {
	views, err := detectorViews(c)
	if err != nil {
		return err
	}
	name := c.Args().First()
	i := slices.IndexFunc(views, func(d detectorView) bool { return d.Name == name })
	if i < 0 {
		var names []string
		for _, d := range views {
			names = append(names, d.Name)
		}
		return usageError{fmt.Errorf("no detector %q%s", name, strict.DidYouMean(name, names))}
	}
	d := views[i]
	if len(d.Faults) > 0 {
		return usageError{fmt.Errorf("detector %s has faults:\n  %s", name, strings.Join(d.Faults, "\n  "))}
	}
	if c.Bool("sql") {
		_, err := io.WriteString(c.App.Writer, d.sql)
		return err
	}
	return page(c, d, func(w io.Writer) error {
		fmt.Fprintln(w, d.About)
		fmt.Fprintln(w)
		if d.File != "" {
			fmt.Fprintf(w, "It is yours: %s.\n", d.File)
		}
		if !d.On {
			fmt.Fprintln(w, "It is switched off by profile.disable.")
		}
		if d.Trial {
			fmt.Fprintln(w, "It is on trial by profile.shadow: what it finds is kept, with risk 0, and nobody is told.")
		}
		if d.Hard {
			fmt.Fprintln(w, "It is hard evidence: it speaks of devices that are still learned, and is told without a second family.")
		}
		fmt.Fprintf(w, "Runs: %s. Stage of an attack: %s. ATT&CK: %s.\n", d.Pace, d.Stage, strings.Join(d.Attack, ", "))
		for _, p := range slices.Sorted(maps.Keys(d.Parameters)) {
			fmt.Fprintf(w, "  %-14s %v", p, d.Parameters[p])
			if b, ok := d.Bounds[p]; ok {
				fmt.Fprintf(w, "  (%v to %v: %s)", b.Min, b.Max, b.Means)
			}
			fmt.Fprintln(w)
		}
		return nil
	})
}

// checkDetectors tries detector files on an empty database of its own; with a server,
// on its.
func checkDetectors(c *cli.Context) error {
	cfg, err := LoadConfig(c.String("config"))
	if err != nil {
		return err
	}
	dir := c.Args().First()
	if dir == "" {
		dir = cfg.Profile.Detectors
	}
	if dir == "" {
		return usageError{errors.New("detectors check: profile.detectors names no directory; name one as DIR")}
	}
	scratch, err := os.MkdirTemp("", "tidemark-detectors-")
	if err != nil {
		return fmt.Errorf("make a directory for an empty database: %w", err)
	}
	defer os.RemoveAll(scratch)
	if err := c.Set("data-dir", scratch); err != nil {
		return err
	}
	return openStore(c, cfg, func(s *store) error {
		if cfg.Storage.URL == "" {
			if err := s.db.Migrate(c.Context); err != nil {
				return err
			}
		}
		checked := cfg.profile()
		checked.Detectors = ""
		checked.Disabled, checked.Shadow, checked.Parameters = nil, nil, nil
		q, err := profile.New(s.db, checked, nil, zerolog.Nop())
		if err != nil {
			return err
		}
		good, faults, err := q.CheckDetectors(c.Context, dir)
		if err != nil {
			return err
		}
		for _, d := range good {
			fmt.Fprintf(c.App.Writer, "%s is good: %s\n", d.Name, d.Summary())
		}
		if len(faults) == 0 {
			fmt.Fprintf(c.App.ErrWriter, "%s of %s can go live\n", plural(len(good), "detector"), dir)
			return nil
		}
		var lines []string
		for _, f := range faults {
			lines = append(lines, "  "+f.String())
		}
		return usageError{fmt.Errorf("detectors check, %s in %s:\n%s", plural(len(faults), "fault"), dir, strings.Join(lines, "\n"))}
	})
}
