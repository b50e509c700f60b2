package main

import (
	"encoding/json"
	"errors"

	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/urfave/cli/v2"

	"tidemark/cmd/sitesim/internal/eval"
	"tidemark/cmd/sitesim/internal/export"
	"tidemark/cmd/sitesim/internal/site"
	"tidemark/cmd/sitesim/internal/trial"
)

func evalCommand() *cli.Command {
	return &cli.Command{
		Name:  "eval",
		Usage: "measure a collector: false alarms in ordinary life, attacks found, time to detect",
		Description: `Each trial simulates a site into captures, has the collector replay them into a fresh data
directory, and compares its alerts with the truth. Results are kept, one file a trial; a trial
run again replaces its own. ` + "`sitesim report`" + ` makes a document of them.

With --budget the trials that tell most come first, those are left out that this version of
the program has passed already, and results of other versions are removed: run it again to go on.

   sitesim eval --program bin/tidemark --results eval --parts benign,attacks
   sitesim eval --program bin/tidemark --results eval --seeds tuning,sealed --budget 35m
   sitesim eval --program bin/tidemark --results eval --only attacks-tuning-1-learned-MAC`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "program", Value: "bin/tidemark", Usage: "`FILE` of the collector"},
			&cli.StringFlag{Name: "results", Required: true, Usage: "`DIR` of results"},
			&cli.StringSliceFlag{Name: "parts", Value: cli.NewStringSlice(eval.Parts...), Usage: "what to run"},
			&cli.StringSliceFlag{Name: "seeds", Value: cli.NewStringSlice(eval.Tuning), Usage: "tuning, sealed or both; whoever tunes a detector looks at the failures of the first only"},
			&cli.DurationFlag{Name: "budget", Usage: "begin no trial that would end after `TIME`; 0 = run all"},
			&cli.StringFlag{Name: "only", Usage: "trials whose name holds `TEXT`"},
			&cli.StringFlag{Name: "captures", Usage: "`DIR` of real captures, for the part splice", EnvVars: []string{"TIDEMARK_CAPTURES"}},
			&cli.BoolFlag{Name: "short", Usage: "one small trial a part"},
			&cli.BoolFlag{Name: "keep", Usage: "leave captures and data directories behind"},
		},
		Action: func(c *cli.Context) error {
			if err := noArguments(c); err != nil {
				return err
			}
			parts := c.StringSlice("parts")
			for _, p := range parts {
				if !slices.Contains(eval.Parts, p) {
					return fmt.Errorf("--parts %s: want some of %s", p, strings.Join(eval.Parts, ", "))
				}
			}
			for _, s := range c.StringSlice("seeds") {
				if s != eval.Tuning && s != eval.Sealed {
					return fmt.Errorf("--seeds %s: want tuning or sealed", s)
				}
			}
			if b := c.Duration("budget"); b < 0 {
				return fmt.Errorf("--budget %s: want a time from 0", b)
			}
			return eval.Run(c.Context, eval.Options{
				Program: c.String("program"), Parts: parts, Sets: c.StringSlice("seeds"), Budget: c.Duration("budget"), Short: c.Bool("short"), Only: c.String("only"),
				Results: c.String("results"), Captures: c.String("captures"), Keep: c.Bool("keep"), Progress: c.App.ErrWriter,
			})
		},
	}
}

func generateCommand() *cli.Command {
	return &cli.Command{
		Name:  "generate",
		Usage: "draw a site of many devices and write its exports and the truth about it",
		Description: `   sitesim generate --devices 100 --days 10 --seed 3 --dir site/
   sitesim generate --dir site/ --days 9 --sampling 100 --attacks scan:3,beacon:1 --happenings firmware,power-cut

Attacks are NAME:LEVEL[@DEVICE], levels 0 to 4; they and the happenings take place on the last day.
DIR then holds slice-000.pcap and truth.json.`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "dir", Required: true, Usage: "`DIR` to write into"},
			&cli.Uint64Flag{Name: "seed", Value: 1, Usage: "everything random follows from it"},
			&cli.IntFlag{Name: "devices", Value: 60, Usage: "`N` of them"},
			&cli.Float64Flag{Name: "days", Value: 9, Usage: "`N` virtual days"},
			&cli.StringFlag{Name: "protocol", Value: "v9", Usage: "v5, v9, ipfix, biflow or sflow"},
			&cli.IntFlag{Name: "sampling", Value: 1, Usage: "one packet in `N`"},
			&cli.BoolFlag{Name: "no-mac", Usage: "no MAC addresses in v9 and IPFIX"},
			&cli.DurationFlag{Name: "active", Value: time.Minute, Usage: "active timeout"},
			&cli.StringSliceFlag{Name: "attacks", Usage: "what is done to devices"},
			&cli.StringSliceFlag{Name: "happenings", Usage: "what else is unusual"},
		},
		Action: generate,
	}
}

func generate(c *cli.Context) error {
	if err := noArguments(c); err != nil {
		return err
	}
	if d, n := c.Float64("days"), c.Int("devices"); d < .1 || d > 60 || n < 20 || n > 500 || c.Int("sampling") < 1 || c.Int("sampling") > 16383 {
		return fmt.Errorf("--days %g --devices %d --sampling %d: want 0.1 to 60 days, 20 to 500 devices and 1 in 1 to 16383", d, n, c.Int("sampling"))
	}
	t := trial.Tap{Protocol: export.Protocol(c.String("protocol")), Sampling: c.Int("sampling"), NoMAC: c.Bool("no-mac"), Active: c.Duration("active"), Inactive: 15 * time.Second}
	if t.Protocol == "biflow" {
		t.Protocol, t.Biflow = export.IPFIX, true
	}
	length := time.Duration(c.Float64("days") * 24 * float64(time.Hour))
	config := trial.Config{
		Seed: c.Uint64("seed"), Devices: c.Int("devices"), Start: time.Date(2026, 9, 7, 0, 0, 0, 0, time.UTC), Length: length,
		Taps: map[string]trial.Tap{"A": t, "B": t, "C": t, "D": t},
	}
	last := max(0, length-20*time.Hour)
	for i, what := range c.StringSlice("happenings") {
		config.Episodes = append(config.Episodes, trial.Timed{What: what, At: last + time.Duration(i)*time.Hour})
	}
	for i, spec := range c.StringSlice("attacks") {
		rest, device, _ := strings.Cut(spec, "@")
		name, level, _ := strings.Cut(rest, ":")
		s := trial.Strike{Attack: name, Level: 2, Device: device, At: last + time.Duration(i)*20*time.Minute}
		if level != "" {
			if len(level) != 1 || level[0] < '0' || level[0] > '4' {
				return fmt.Errorf("attack %q: want NAME:LEVEL[@DEVICE] with a level from 0 to 4", spec)
			}
			s.Level = int(level[0] - '0')
		}
		config.Strikes = append(config.Strikes, s)
	}
	if err := os.MkdirAll(c.String("dir"), 0o755); err != nil {
		return fmt.Errorf("make directory: %w", err)
	}
	truth, err := trial.Write(c.Context, config, c.String("dir"))
	if err != nil {
		return err
	}
	b, err := json.MarshalIndent(truth, "", " ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(c.String("dir")+"/truth.json", b, 0o644); err != nil {
		return fmt.Errorf("write truth: %w", err)
	}
	return json.NewEncoder(c.App.Writer).Encode(map[string]any{"records": truth.Records, "devices": len(truth.Devices), "attacks": len(truth.Attacks), "happenings": len(truth.Episodes)})
}

func modelsCommand() *cli.Command {
	return &cli.Command{
		Name: "models", Usage: "show the kinds of devices that sites are drawn from, and what may happen there", ArgsUsage: "[MODEL]",
		Description: `With a MODEL: what its devices do, and the ranges from which each draws its parameters, as
forty sites show them. Sizes are medians of log-normal distributions.

   sitesim models
   sitesim models thermostat`,
		Action: func(c *cli.Context) error {
			if c.Args().Len() > 1 {
				return fmt.Errorf("got %d arguments, want one MODEL at most", c.Args().Len())
			}
			if name := c.Args().First(); name != "" {
				return printRanges(c.App.Writer, name)
			}
			t := newTable(c.App.Writer, "MODEL", "CLASS", "VENDOR", "OF 100", "PARAMETERS FROM")
			for _, m := range site.Models() {
				t.AppendRow(table.Row{m.Name, m.Class, m.Vendor, m.Share, m.Source})
			}
			t.Render()
			t = newTable(c.App.Writer, "HAPPENING", "WHAT IT IS")
			for _, h := range site.Happenings() {
				t.AppendRow(table.Row{h[0], h[1]})
			}
			t.Render()
			return nil
		},
	}
}

// printRanges shows from what to what the parameters of a model's devices are drawn.
func printRanges(w io.Writer, model string) error {
	all := site.Models()
	i := slices.IndexFunc(all, func(m site.Model) bool { return m.Name == model })
	if i < 0 {
		return fmt.Errorf("model %q: no such one; `sitesim models` lists them", model)
	}
	fmt.Fprintf(w, "%s, %s of %s. Parameters from: %s\n\n", model, all[i].Class, all[i].Vendor, all[i].Source)
	t := newTable(w, "IT", "WITH", "PORT", "OF THEM", "EVERY", "OUT", "IN", "LASTS")
	for _, h := range site.Ranges(model) {
		does, rate := []string{"opens a session", "talks on a held session", "asks", "announces", "pings"}[h.Do], ""
		if h.Inbound {
			does = "is " + []string{"called", "called, and held", "asked", "told", "pinged"}[h.Do]
		}
		if h.Rate {
			rate = "/s"
		}
		if h.State != "" {
			does += " while " + h.State
		}
		t.AppendRow(table.Row{
			does, h.To, h.Port, fmt.Sprintf("%.0f %%", 100*h.Share), span(h.Pace, func(x float64) string { return (time.Duration(x) * time.Second).String() }),
			span(h.Up, func(x float64) string { return fmt.Sprintf("%.0f B%s", x, rate) }), span(h.Down, func(x float64) string { return fmt.Sprintf("%.0f B%s", x, rate) }),
			span(h.Lasts, func(x float64) string { return fmt.Sprintf("%.0f s", x) }),
		})
	}
	t.Render()
	return nil
}

// span is a range in words.
func span(r site.Range, text func(float64) string) string {
	switch low, high := text(r.Low), text(r.High); {
	case r.High == 0:
		return "-"
	case low == high:
		return low
	default:
		return low + " to " + high
	}
}

func reportCommand() *cli.Command {
	return &cli.Command{
		Name:        "report",
		Usage:       "make a document of results",
		Description: "   sitesim report --results eval --machine '2 cores' --out docs/evaluation.md",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "results", Required: true, Usage: "`DIR` of results"},
			&cli.StringFlag{Name: "out", Required: true, Usage: "`FILE` to write"},
			&cli.StringFlag{Name: "machine", Value: "on a machine nobody described", Usage: "`TEXT` that says what it was measured on"},
		},
		Action: func(c *cli.Context) error {
			if err := noArguments(c); err != nil {
				return err
			}
			all, err := eval.Load(c.String("results"))
			if err != nil {
				return err
			}
			f, err := os.Create(c.String("out"))
			if err != nil {
				return fmt.Errorf("write report: %w", err)
			}
			return errors.Join(eval.Write(f, all, c.String("machine")), f.Close())
		},
	}
}
