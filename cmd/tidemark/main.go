// Command tidemark collects flow exports, learns what the devices of a site
// normally do, alerts when one stops doing it, and keeps a record of it all that
// nobody can alter unnoticed.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/rs/zerolog"
	"github.com/urfave/cli/v2"

	"tidemark/profile/strict"
)

// version is set by the linker.
var version = "unknown"

// Exit codes, as documented in docs/operations.md.
const (
	exitOK            = 0
	exitRuntime       = 1
	exitUsage         = 2 // wrong flag, argument or configuration
	exitFindings      = 3 // --fail-on found something
	exitVerification  = 4 // the record does not verify
	exitUnreachable   = 5 // engine, chain or daemon cannot be reached
	exitUnanchored    = 6 // sound so far, but proof is incomplete
	exitOriginUnknown = 7 // internally consistent, origin NOT checked
)

// usageError is a fault of the call or of the configuration.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func isUsage(err error) bool {
	var usage usageError
	return errors.As(err, &usage)
}

// codedError carries its own exit code; with an empty text nothing is printed,
// since the output has said it already.
type codedError struct {
	code int
	error
}

func (e codedError) Unwrap() error { return e.error }

func main() {
	zerolog.DurationFieldFormat = zerolog.DurationFormatString // with its unit
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := execute(ctx, os.Args, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// execute runs one command line and returns its exit code.
func execute(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	app := newApp(stdout, stderr)
	err := app.RunContext(ctx, args)
	if err == nil {
		return exitOK
	}
	if text := err.Error(); text != "" {
		fmt.Fprintln(stderr, "tidemark: "+text)
	}
	return exitCode(err)
}

func exitCode(err error) int {
	var coded codedError
	switch {
	case errors.As(err, &coded):
		return coded.code
	case isUsage(err):
		return exitUsage
	}
	return exitRuntime
}

func newApp(stdout, stderr io.Writer) *cli.App {
	app := &cli.App{
		Name:      "tidemark",
		Usage:     "a flow collector that knows your devices and keeps a record nobody can alter unnoticed",
		UsageText: "tidemark [--data-dir DIR] [--config FILE] COMMAND [flags] [arguments]",
		Description: `Point the NetFlow, IPFIX or sFlow export of your routers and switches here:

   tidemark run --dev-chain           collect, learn, alert and anchor on a local chain
   tidemark exporters                 who sends what, and what got lost on the way
   tidemark devices                   the devices found
   tidemark baseline 10.20.1.11       what one of them normally does
   tidemark alerts                    what stopped being normal, and why
   tidemark verify --trust trust.json is the record what was anchored?

"tidemark COMMAND --help" explains each command by examples. Data goes to standard
output, all else to standard error. Exit codes: 0 done, 1 fault, 2 wrong call or
configuration, 3 findings, 4 NOT VERIFIED, 5 something does not answer, 6 not anchored
in full, 7 origin not checked.`,
		Version:              version,
		HideVersion:          true, // there is a command
		Writer:               stdout,
		ErrWriter:            stderr,
		EnableBashCompletion: true,
		ExitErrHandler:       func(*cli.Context, error) {}, // execute decides
		OnUsageError:         onUsageError,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "data-dir", Aliases: []string{"d"}, EnvVars: []string{"TIDEMARK_DATA_DIR"}, Value: "tidemark-data", Usage: "`DIR` of the engine, the spool and the ledger"},
			&cli.StringFlag{Name: "config", Aliases: []string{"c"}, EnvVars: []string{"TIDEMARK_CONFIG"}, Usage: "YAML `FILE`; without one every value has its default"},
		},
		Before: func(c *cli.Context) error {
			if info, err := os.Stat(c.String("data-dir")); err == nil && !info.IsDir() {
				return usageError{fmt.Errorf("--data-dir: %s is no directory", c.String("data-dir"))}
			}
			return nil
		},
		Commands: []*cli.Command{
			runCommand(), replayCommand(),
			devicesCommand(), baselineCommand(), flowsCommand(), alertsCommand(), exclusionsCommand(), detectorsCommand(), backtestCommand(), notifyCommand(), containCommand(), exportersCommand(), coverageCommand(),
			verifyCommand(), proveCommand(), evidenceCommand(), verifyBundleCommand(), eraseCommand(), anchorCommand(), contractCommand(),
			configCommand(), aggregatesCommand(), sqlCommand(), versionCommand(), engineCommand(),
		},
		CommandNotFound: nil,
		Action: func(c *cli.Context) error {
			if c.Args().Present() {
				return usageError{fmt.Errorf("no command %q%s; `tidemark --help` lists them", c.Args().First(), strict.DidYouMean(c.Args().First(), commandNames(c.App)))}
			}
			return cli.ShowAppHelp(c)
		},
	}
	for _, c := range app.Commands {
		prepare(c)
	}
	return app
}

// prepare gives a command and its subcommands the house's habits: wrong flags
// and subcommands are usage errors, and a flag after an argument is refused
// instead of being silently taken for one (urfave/cli v2 stops reading flags there).
func prepare(c *cli.Command) {
	c.OnUsageError = onUsageError
	for _, sub := range c.Subcommands {
		prepare(sub)
	}
	for _, f := range c.Flags {
		if b, ok := f.(*cli.BoolFlag); ok {
			b.DisableDefaultText = true
		}
	}
	action := c.Action
	if action == nil {
		action = helpOfGroup
	}
	c.Action = func(ctx *cli.Context) error {
		for _, a := range ctx.Args().Slice() {
			if len(a) > 1 && a[0] == '-' {
				return usageError{fmt.Errorf("flag %s stands after an argument, where it is not read: write `tidemark %s %s ... %s`", a, commandPath(ctx), a, ctx.Args().First())}
			}
		}
		return action(ctx)
	}
}

// helpOfGroup is what a command does that only holds others.
func helpOfGroup(c *cli.Context) error {
	if !c.Args().Present() {
		return cli.ShowSubcommandHelp(c)
	}
	var names []string
	for _, sub := range c.Command.VisibleCommands() {
		names = append(names, sub.Name)
	}
	return usageError{fmt.Errorf("no command %q in `tidemark %s`%s", c.Args().First(), commandPath(c), strict.DidYouMean(c.Args().First(), names))}
}

// commandPath names a command as it is written, such as "alerts explain".
func commandPath(c *cli.Context) string {
	return strings.TrimPrefix(c.Command.HelpName, c.App.Name+" ")
}

// onUsageError says what the flag package says, in the words of the house.
func onUsageError(c *cli.Context, err error, _ bool) error {
	see := "tidemark"
	if c.Command.HelpName != c.App.HelpName {
		see += " " + commandPath(c)
	}
	text := err.Error()
	if name, ok := strings.CutPrefix(text, "flag provided but not defined: -"); ok {
		name = strings.TrimLeft(name, "-")
		for _, f := range c.App.Flags {
			if slices.Contains(f.Names(), name) {
				return usageError{fmt.Errorf("%s stands before the command: write `tidemark %s VALUE %s`", dashed(name), dashed(name), commandPath(c))}
			}
		}
		text = fmt.Sprintf("no flag %s%s", dashed(name), strict.DidYouMean(dashed(name), flagNames(c)))
	} else if name, ok := strings.CutPrefix(text, "flag needs an argument: -"); ok {
		text = fmt.Sprintf("%s: got nothing behind it, want a value", dashed(strings.TrimLeft(name, "-")))
	} else if rest, ok := strings.CutPrefix(strings.Replace(text, "invalid boolean", "invalid", 1), "invalid value "); ok {
		if got, rest, ok := strings.Cut(rest, " for flag -"); ok {
			name, _, _ := strings.Cut(rest, ":")
			text = fmt.Sprintf("%s: got %s, want %s", dashed(name), got, flagKind(c, name))
		}
	}
	return usageError{fmt.Errorf("%s; see `%s --help`", text, see)}
}

// dashed writes a flag as on a command line.
func dashed(name string) string {
	if len(name) == 1 {
		return "-" + name
	}
	return "--" + name
}

func flagNames(c *cli.Context) (names []string) {
	for _, f := range c.Command.VisibleFlags() {
		names = append(names, dashed(f.Names()[0]))
	}
	return names
}

// flagKind says what a flag takes.
func flagKind(c *cli.Context, name string) string {
	for _, f := range c.Command.Flags {
		if !slices.Contains(f.Names(), name) {
			continue
		}
		switch f.(type) {
		case *cli.UintFlag, *cli.Uint64Flag:
			return "a whole number, 0 or more"
		case *cli.IntFlag:
			return "a whole number"
		case *cli.Float64Flag:
			return "a number"
		case *cli.DurationFlag:
			return "a time such as 30s or 5m"
		case *cli.BoolFlag:
			return "no value"
		}
	}
	return "another value"
}

func commandNames(app *cli.App) (names []string) {
	for _, c := range app.VisibleCommands() {
		names = append(names, c.Name)
	}
	return names
}

// wantArgs refuses a wrong number of arguments and says what they are.
func wantArgs(c *cli.Context, low, high int, what string) error {
	n := c.NArg()
	if n >= low && n <= high {
		return nil
	}
	got := "no argument"
	if n > 0 {
		got = strings.Trim(fmt.Sprintf("%q", c.Args().Slice()), "[]")
	}
	return usageError{fmt.Errorf("%s: got %s, want %s; see `tidemark %s --help`", commandPath(c), got, what, commandPath(c))}
}

// wantFlag refuses a call without a flag that must be there. urfave/cli's own
// Required prints the help on stdout.
func wantFlag(c *cli.Context, name string) error {
	if strings.TrimSpace(c.String(name)) != "" {
		return nil
	}
	return usageError{fmt.Errorf("%s: --%s is missing; see `tidemark %s --help`", commandPath(c), name, commandPath(c))}
}
