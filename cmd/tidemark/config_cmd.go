package main

import (
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
	"go.yaml.in/yaml/v3"

	"tidemark/profile"
)

func configCommand() *cli.Command {
	return &cli.Command{
		Name:  "config",
		Usage: "check the configuration, or print what is in force",
		Description: `Every value has a default, so a file holds only what differs:

   tidemark config print > tidemark.yaml      all values, each explained
   tidemark --config tidemark.yaml config check`,
		Subcommands: []*cli.Command{
			{
				Name:      "check",
				Usage:     "report every fault of the configuration at once",
				ArgsUsage: "[FILE]",
				Action: func(c *cli.Context) error {
					if err := wantArgs(c, 0, 1, "at most one FILE"); err != nil {
						return err
					}
					path := c.String("config")
					if c.NArg() == 1 {
						path = c.Args().First()
					}
					cfg, err := LoadConfig(path)
					if err != nil {
						return err
					}
					if err := detectorFaults(cfg); err != nil {
						return err
					}
					if path == "" {
						path = "(no file: the defaults)"
					}
					fmt.Fprintln(c.App.ErrWriter, "configuration is good:", path)
					return nil
				},
			},
			{
				Name:  "print",
				Usage: "print the configuration in force, as YAML",
				Action: func(c *cli.Context) error {
					if err := wantArgs(c, 0, 0, "no argument"); err != nil {
						return err
					}
					cfg, err := LoadConfig(c.String("config"))
					if err != nil {
						return err
					}
					return printConfig(c.App.Writer, cfg)
				},
			},
		},
	}
}

// detectorFaults tells what is wrong with the detector files that can be seen without
// an engine. A collector starts without them.
func detectorFaults(cfg Config) error {
	_, faults := profile.DetectorFiles(cfg.Profile.Detectors)
	if len(faults) == 0 {
		return nil
	}
	var lines []string
	for _, f := range faults {
		lines = append(lines, "  "+f.String())
	}
	return usageError{fmt.Errorf("profile.detectors, which would be left out:\n%s", strings.Join(lines, "\n"))}
}

// printConfig writes cfg as YAML that LoadConfig reads back, each key explained.
func printConfig(w io.Writer, cfg Config) error {
	cfg.Chain.RPC = maskURL(cfg.Chain.RPC)
	cfg.Chain.Fallback = slices.Clone(cfg.Chain.Fallback)
	for i, u := range cfg.Chain.Fallback {
		cfg.Chain.Fallback[i] = maskURL(u)
	}
	cfg.Ledger.Witnesses = slices.Clone(cfg.Ledger.Witnesses)
	for i := range cfg.Ledger.Witnesses {
		cfg.Ledger.Witnesses[i].URL = maskURL(cfg.Ledger.Witnesses[i].URL)
	}
	cfg.Storage.URL = maskURL(cfg.Storage.URL)
	cfg.Notify = slices.Clone(cfg.Notify)
	for i, c := range cfg.Notify {
		cfg.Notify[i] = c.Masked()
	}
	var node yaml.Node
	if err := node.Encode(cfg); err != nil {
		return fmt.Errorf("print configuration: %w", err)
	}
	explain(&node, reflect.TypeOf(cfg))
	enc := yaml.NewEncoder(w)
	enc.SetIndent(2)
	if err := enc.Encode(&node); err != nil {
		return fmt.Errorf("print configuration: %w", err)
	}
	return enc.Close()
}

func explain(n *yaml.Node, t reflect.Type) {
	for i := 0; i+1 < len(n.Content); i += 2 {
		for f := range t.NumField() {
			field := t.Field(f)
			if field.Tag.Get("yaml") != n.Content[i].Value {
				continue
			}
			n.Content[i].HeadComment = field.Tag.Get("doc")
			if field.Type.Kind() == reflect.Struct && n.Content[i+1].Kind == yaml.MappingNode {
				explain(n.Content[i+1], field.Type)
			}
		}
	}
}

// maskURL hides what may be a secret in an address: user, path and query.
func maskURL(s string) string {
	scheme, rest, found := strings.Cut(s, "://")
	if !found {
		return s
	}
	if _, after, ok := strings.Cut(rest, "@"); ok {
		rest = "***@" + after
	}
	if host, path, ok := strings.Cut(rest, "/"); ok && path != "" {
		rest = host + "/***"
	}
	return scheme + "://" + rest
}
