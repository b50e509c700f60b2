// Command sitesim is a simulated site: devices that talk, attacks on them, and routers that export
// flows about both over real UDP.
//
// It is an outside party to Tidemark and shares no code and no data file with it. Devices emit
// packets; only the emulated routers turn them into flow records, so timeouts, sampling and
// sequence numbers are those of real exports.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/urfave/cli/v2"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := app().RunContext(ctx, os.Args)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "sitesim:", err)
		os.Exit(1)
	}
}

func app() *cli.App {
	return &cli.App{
		Name:  "sitesim",
		Usage: "a simulated site of IoT devices, with routers that export its flows",
		Description: `Devices live by a virtual clock: days pass in seconds, or as slowly as --speed says, and
the export times in the datagrams follow. The same --seed gives the same packets. Datagrams go to this machine only.

Two weeks of ordinary life, then two attacks on the same devices:

   sitesim life   --to 127.0.0.1:2055 --days 15 --state site.json
   sitesim attack --to 127.0.0.1:2055 --state site.json --attacks scan,volume --labels truth.ndjson

The same in one go, into a capture instead of a socket:

   sitesim run --pcap site.pcap --days 15 --attacks scan,volume

Who lives there, and what can happen to them:

   sitesim devices
   sitesim attacks

A site of a hundred devices drawn from forty models, and how well a collector does there:

   sitesim generate --devices 100 --days 10 --attacks beacon:1,exfiltration:2 --dir site/
   sitesim eval --program bin/tidemark --results results/ --parts benign,attacks
   sitesim report --results results/ --out evaluation.md

How fast is a collector?

   sitesim load --to 127.0.0.1:2055 --rate 100000 --duration 10s --mix v9,ipfix

Progress goes to stderr, and one JSON object that says what was sent to stdout.`,
		HideVersion:     true,
		HideHelpCommand: true,
		Commands:        []*cli.Command{lifeCommand(), attackCommand(), runCommand(), loadCommand(), generateCommand(), evalCommand(), reportCommand(), devicesCommand(), modelsCommand(), attacksCommand()},
		Flags:           []cli.Flag{&cli.BoolFlag{Name: "list", Usage: "show the devices and the attacks, and exit"}},
		Action: func(c *cli.Context) error {
			if c.Args().Present() {
				return fmt.Errorf("no command %q; `sitesim --help` lists them", c.Args().First())
			}
			if c.Bool("list") {
				printDevices(c.App.Writer)
				printAttacks(c.App.Writer)
				return nil
			}
			return cli.ShowAppHelp(c)
		},
		ExitErrHandler: func(*cli.Context, error) {},
	}
}
