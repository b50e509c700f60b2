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
	"strings"
	"syscall"

	"github.com/urfave/cli/v2"
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

// codedError carries its own exit code; with an empty text nothing is printed,
// since the output has said it already.
type codedError struct {
	code int
	error
}

func (e codedError) Unwrap() error { return e.error }

func main() {
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
	var usage usageError
	switch {
	case errors.As(err, &coded):
		return coded.code
	case errors.As(err, &usage):
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
   tidemark baseline 00:40:8c:12:34:56   what one of them normally does
   tidemark alerts                    what stopped being normal, and why
   tidemark verify --trust trust.json is the record what was anchored?`,
		Version:              version,
		HideVersion:          true, // there is a command
		Writer:               stdout,
		ErrWriter:            stderr,
		EnableBashCompletion: true,
		ExitErrHandler:       func(*cli.Context, error) {}, // execute decides
		OnUsageError:         onUsageError,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "data-dir", Aliases: []string{"d"}, EnvVars: []string{"TIDEMARK_DATA_DIR"}, Value: "tidemark-data", Usage: "directory of the engine, the spool and the ledger"},
			&cli.StringFlag{Name: "config", Aliases: []string{"c"}, EnvVars: []string{"TIDEMARK_CONFIG"}, Usage: "YAML `FILE`; without one every value has its default"},
		},
		Commands: []*cli.Command{
			runCommand(), replayCommand(),
			devicesCommand(), baselineCommand(), flowsCommand(), alertsCommand(), exportersCommand(),
			verifyCommand(), proveCommand(), verifyBundleCommand(), anchorCommand(), contractCommand(),
			configCommand(), aggregatesCommand(), sqlCommand(), versionCommand(), engineCommand(),
		},
		CommandNotFound: nil,
		Action: func(c *cli.Context) error {
			if c.Args().Present() {
				return usageError{fmt.Errorf("no command %q%s; `tidemark --help` lists them", c.Args().First(), didYouMean(c.Args().First(), commandNames(c.App)))}
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
// are usage errors, and a flag after an argument is refused instead of being
// silently taken for one (urfave/cli v2 stops reading flags there).
func prepare(c *cli.Command) {
	c.OnUsageError = onUsageError
	for _, sub := range c.Subcommands {
		prepare(sub)
	}
	if action := c.Action; action != nil {
		c.Action = func(ctx *cli.Context) error {
			for _, a := range ctx.Args().Slice() {
				if len(a) > 1 && a[0] == '-' {
					return usageError{fmt.Errorf("flag %s stands after an argument, where it is not read: write `tidemark %s %s ... %s`", a, ctx.Command.Name, a, ctx.Args().First())}
				}
			}
			return action(ctx)
		}
	}
}

func onUsageError(c *cli.Context, err error, _ bool) error {
	name := "tidemark"
	if c.Command != nil && c.Command.Name != "" && c.Command.Name != name {
		name += " " + c.Command.Name
	}
	return usageError{fmt.Errorf("%w; see `%s --help`", err, name)}
}

func commandNames(app *cli.App) (names []string) {
	for _, c := range app.VisibleCommands() {
		names = append(names, c.Name)
	}
	return names
}

// wantFlag refuses a call without the flag.
func wantFlag(c *cli.Context, name string) error {
	if strings.TrimSpace(c.String(name)) == "" {
		return usageError{fmt.Errorf("%s: --%s is missing; see `tidemark %s --help`", c.Command.Name, name, c.Command.Name)}
	}
	return nil
}

// wantArgs refuses a wrong number of arguments and says what they are.
func wantArgs(c *cli.Context, low, high int, what string) error {
	if n := c.NArg(); n < low || n > high {
		return usageError{fmt.Errorf("%s: got %d arguments, want %s; see `tidemark %s --help`", c.Command.Name, n, what, c.Command.Name)}
	}
	return nil
}
