package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"tidemark/profile"
	"tidemark/profile/strict"
)

// detectorView is a detector as the configuration leaves it.
type detectorView struct {
	Name       string             `json:"name"`
	On         bool               `json:"on"`
	Summary    string             `json:"summary"`
	Pace       string             `json:"pace"`
	Hard       bool               `json:"hard"`
	Stage      string             `json:"stage"`
	Attack     []string           `json:"attack"`
	Parameters map[string]float64 `json:"parameters"`
	About      string             `json:"about"`
}

func detectorsCommand() *cli.Command {
	return &cli.Command{
		Name:  "detectors",
		Usage: "what is looked for, by which rule",
		Description: `Each detector is one SQL statement over what is kept of every device. Leave one out,
or change a parameter, in the configuration:

   profile:
     disable: [unexpected_hour]
     tune: [{detector: scan, parameter: net_5m, value: 12}]

   tidemark detectors
   tidemark detectors show scan          the rule in words, its parameters and the least evidence
   tidemark detectors show --sql scan    the statement`,
		Flags: []cli.Flag{outputFlag(listForms)},
		Action: func(c *cli.Context) error {
			if err := wantArgs(c, 0, 0, "no argument, or the command show"); err != nil {
				return err
			}
			views, err := detectorViews(c)
			if err != nil {
				return err
			}
			return list(c, "detectors", views, []column[detectorView]{
				{title: "DETECTOR", cell: func(d detectorView) string { return d.Name }},
				{title: "IS", cell: func(d detectorView) string { return map[bool]string{true: "on", false: "off"}[d.On] }},
				{title: "RUNS", cell: func(d detectorView) string { return d.Pace }},
				{title: "LOOKS FOR", kind: flex, cell: func(d detectorView) string { return d.Summary }},
			})
		},
		Subcommands: []*cli.Command{{
			Name: "show", Usage: "one detector in words, or its statement", ArgsUsage: "NAME",
			Flags: []cli.Flag{&cli.BoolFlag{Name: "sql", Usage: "the statement; {name:Type} are its parameters"}, outputFlag(pageForms)},
			Action: func(c *cli.Context) error {
				if err := wantArgs(c, 1, 1, "one NAME of `tidemark detectors`"); err != nil {
					return err
				}
				return showDetector(c)
			},
		}},
	}
}

func detectorViews(c *cli.Context) ([]detectorView, error) {
	cfg, err := LoadConfig(c.String("config"))
	if err != nil {
		return nil, err
	}
	var out []detectorView
	tuned := cfg.profile().Parameters
	for _, d := range profile.Detectors() {
		maps.Copy(d.Parameters, tuned[d.Name])
		out = append(out, detectorView{
			Name: d.Name, On: !slices.Contains(cfg.Profile.Disable, d.Name), Summary: d.Summary(), Pace: d.Pace(), Hard: d.Hard, Stage: d.Stage,
			Attack: d.Attack, Parameters: d.Parameters, About: d.About(),
		})
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
	if c.Bool("sql") {
		_, err := io.WriteString(c.App.Writer, profile.Detectors()[i].SQL())
		return err
	}
	d := views[i]
	return page(c, d, func(w io.Writer) error {
		fmt.Fprintln(w, d.About)
		fmt.Fprintln(w)
		if !d.On {
			fmt.Fprintln(w, "It is switched off by profile.disable.")
		}
		if d.Hard {
			fmt.Fprintln(w, "It is hard evidence: it speaks of devices that are still learned, and is told without a second family.")
		}
		fmt.Fprintf(w, "Runs: %s. Stage of an attack: %s. ATT&CK: %s.\n", d.Pace, d.Stage, strings.Join(d.Attack, ", "))
		for _, p := range slices.Sorted(maps.Keys(d.Parameters)) {
			fmt.Fprintf(w, "  %-14s %v\n", p, d.Parameters[p])
		}
		return nil
	})
}
