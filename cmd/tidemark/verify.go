package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/rs/zerolog"
	"github.com/urfave/cli/v2"

	"tidemark/anchor"
	"tidemark/anchor/chain"
	"tidemark/anchor/publish"
	"tidemark/collector/flow"
	"tidemark/storage"
)

func rpcFlag() cli.Flag {
	return &cli.StringFlag{Name: "rpc", EnvVars: []string{"TIDEMARK_RPC"}, Usage: "Ethereum JSON-RPC `URL`; default: the configured one, or this directory's development chain"}
}

func trustFlag() cli.Flag {
	return &cli.StringFlag{Name: "trust", Usage: "trust `FILE`, obtained earlier by another way; without it the origin is not checked"}
}

func verifyCommand() *cli.Command {
	return &cli.Command{
		Name:  "verify",
		Usage: "is the record what was sealed and anchored?",
		Description: `Reads every row out of the database, hashes it anew, and compares with the log, its
signature and the contract. What is wrong is named by batch and row.

   tidemark verify --trust trust.json
   tidemark verify --trust trust.json --from 100 --to 200     batches [100, 200) row by row
   tidemark verify --output json

Exit codes: 0 verified; 4 altered; 5 the chain does not answer; 6 not anchored in
full; 7 internally consistent, origin NOT checked (no --trust).`,
		Flags: []cli.Flag{
			trustFlag(), rpcFlag(),
			&cli.Uint64Flag{Name: "from", Usage: "first `BATCH` whose rows are read"},
			&cli.Uint64Flag{Name: "to", Usage: "`BATCH` behind the last, 0 = all"},
			&cli.BoolFlag{Name: "no-progress", Usage: "no progress bar"},
			outputFlag(),
		},
		Action: func(c *cli.Context) error {
			if err := wantArgs(c, 0, 0, "none"); err != nil {
				return err
			}
			return withStore(c, func(s *store) error { return s.verify(c) })
		},
	}
}

func (s *store) verify(c *cli.Context) error {
	trust, err := readTrust(c)
	if err != nil {
		return err
	}
	reader, done, err := chainReader(c, s.cfg, trust)
	if err != nil {
		return err
	}
	defer done()
	o := anchor.VerifyOptions{
		Dir: ledgerDir(s.dir), DB: s.db, Trust: trust, Chain: reader, From: c.Uint64("from"), To: c.Uint64("to"),
		AnchorWithin: 2 * time.Duration(s.cfg.Chain.Interval), Sealed: func() ([]uint64, error) { return storage.SpoolIndexes(filepath.Join(s.dir, "spool")) },
	}
	if trust == nil {
		own, err := ownTrust(s.dir)
		if err != nil {
			return err
		}
		o.Claimed, o.FromBlock = own.Chain, own.FromBlock
	}
	bar := newBar(c, -1, "verify")
	o.Progress = func(done, total uint64) { bar.of(int64(done), int64(total)) }
	report, err := anchor.Verify(c.Context, o)
	bar.finish()
	if errors.Is(err, anchor.ErrUnreachable) {
		return codedError{exitUnreachable, err}
	}
	if err != nil {
		return err
	}
	if err := page(c, report, report.WriteText); err != nil {
		return err
	}
	return quietly(report.ExitCode())
}

// quietly ends with a code that the output has explained already.
func quietly(code int) error {
	if code == exitOK {
		return nil
	}
	return codedError{code, errors.New("")}
}

func readTrust(c *cli.Context) (*anchor.Trust, error) {
	path := c.String("trust")
	if path == "" {
		return nil, nil
	}
	trust, err := anchor.ReadTrust(path)
	if err != nil {
		return nil, usageError{err}
	}
	return trust, nil
}

// chainReader connects to the chain that trust names, or this directory's log
// is anchored on. nil: the log is anchored nowhere. A chain that does not answer
// gives a reader that says so, since the rest can still be verified.
func chainReader(c *cli.Context, cfg Config, trust *anchor.Trust) (anchor.ChainReader, func(), error) {
	want := uint64(0)
	if trust != nil && trust.Chain != nil {
		want = trust.Chain.ChainID
	} else if state, err := publish.ReadState(publisherDir(c.String("data-dir"))); err != nil {
		return nil, nil, err
	} else {
		want = state.ChainID
	}
	if want == 0 {
		return nil, func() {}, nil
	}
	client, done, err := dialChain(c, want)
	if err != nil {
		fmt.Fprintln(c.App.ErrWriter, "tidemark:", err)
		return awayChain{err}, func() {}, nil
	}
	return anchor.NewChainReader(client), done, nil
}

// awayChain is a chain that does not answer.
type awayChain struct{ cause error }

func (a awayChain) err() error { return fmt.Errorf("%w: %w", anchor.ErrUnreachable, a.cause) }

func (a awayChain) ChainID(context.Context) (uint64, error)   { return 0, a.err() }
func (a awayChain) Development() bool                         { return false }
func (a awayChain) CheckCode(context.Context, [20]byte) error { return a.err() }
func (a awayChain) Block(context.Context, uint64) (anchor.ChainBlock, error) {
	return anchor.ChainBlock{}, a.err()
}
func (a awayChain) Head(context.Context, anchor.ChainLog, bool) (anchor.ChainHead, error) {
	return anchor.ChainHead{}, a.err()
}
func (a awayChain) Anchors(context.Context, anchor.ChainLog, uint64, uint64) ([]anchor.ChainAnchor, error) {
	return nil, a.err()
}

// dialChain connects to --rpc, the configured node, or the development chain of
// the data directory, which is started for this command if no daemon runs it.
func dialChain(c *cli.Context, want uint64) (*chain.Client, func(), error) {
	cfg, err := LoadConfig(c.String("config"))
	if err != nil {
		return nil, nil, err
	}
	rpc := c.String("rpc")
	if rpc == "" {
		rpc = cfg.Chain.RPC
	}
	if rpc != "" {
		client, err := chain.Dial(c.Context, rpc, want)
		if err != nil {
			return nil, nil, codedError{exitUnreachable, err}
		}
		return client, client.Close, nil
	}
	dir := chainDir(c.String("data-dir"))
	rpc, err = chain.AnvilURL(dir)
	if err != nil {
		return nil, nil, codedError{exitUnreachable, fmt.Errorf("no chain is configured: name a node with --rpc or chain.rpc in the configuration")}
	}
	if client, err := chain.Dial(c.Context, rpc, want); err == nil {
		return client, client.Close, nil
	}
	return borrowAnvil(c.Context, dir, want)
}

// borrowAnvil runs the stopped development chain while a command asks it.
func borrowAnvil(ctx context.Context, dir string, want uint64) (*chain.Client, func(), error) {
	anvil, err := chain.NewAnvil(chain.AnvilOptions{Dir: dir, Log: zerolog.Nop()})
	if err != nil {
		return nil, nil, codedError{exitUnreachable, err}
	}
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan error, 1)
	go func() { ended <- anvil.Run(running) }()
	halt := func() { stop(); <-ended }
	ready, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	if err := anvil.Ready(ready); err != nil {
		halt()
		return nil, nil, codedError{exitUnreachable, fmt.Errorf("start the development chain of %s: %w", dir, err)}
	}
	client, err := chain.Dial(ctx, anvil.URL(), want)
	if err == nil {
		err = untilFinalState(ready, client)
	}
	if err != nil {
		halt()
		return nil, nil, codedError{exitUnreachable, err}
	}
	return client, func() { client.Close(); halt() }, nil
}

// untilFinalState waits until a restarted development chain knows the state
// after its finalized block: it forgot the past, and answers again when the
// block it stopped at is final.
func untilFinalState(ctx context.Context, client *chain.Client) error {
	for {
		at, err := client.Block(ctx, chain.Finalized)
		if err == nil {
			_, err = client.CallAt(ctx, at.Hash, common.Address{}, nil)
		}
		if err == nil || sleep(ctx, 100*time.Millisecond) != nil {
			return err
		}
	}
}

func proveCommand() *cli.Command {
	return &cli.Command{
		Name:  "prove",
		Usage: "write the evidence of one flow into a file that verifies without our database",
		Description: `   tidemark prove --flow 0123456789abcdef-42-7 --out bundle.json
   tidemark verify-bundle --trust trust.json --rpc URL bundle.json

The bundle holds the record, its path to the batch, the batch's path to the log, the
signed checkpoint and where that was anchored.`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "flow", Usage: "`NAME` of the flow, as `tidemark flows` shows it"},
			&cli.StringFlag{Name: "out", Usage: "write to `FILE` instead of standard output"},
			&cli.BoolFlag{Name: "exporters", Usage: "add the loss account of the batch"},
			rpcFlag(),
		},
		Action: func(c *cli.Context) error {
			if err := errors.Join(wantArgs(c, 0, 0, "none: the flow is named by --flow"), wantFlag(c, "flow")); err != nil {
				return err
			}
			return withStore(c, func(s *store) error { return s.prove(c) })
		},
	}
}

func (s *store) prove(c *cli.Context) error {
	name, err := flow.ParseName(c.String("flow"))
	if err != nil {
		return usageError{err}
	}
	ledger, err := openLedger(s.dir)
	if err != nil {
		return err
	}
	defer ledger.Close()
	own, err := ownTrust(s.dir)
	if err != nil {
		return err
	}
	reader, done, err := chainReader(c, s.cfg, own)
	if err != nil {
		return err
	}
	defer done()
	bundle, err := anchor.Prove(c.Context, anchor.ProveOptions{
		Ledger: ledger, DB: s.db, Flow: name, Chain: reader, Log: own.Chain, FromBlock: own.FromBlock, Exporters: c.Bool("exporters"),
	})
	switch {
	case errors.Is(err, anchor.ErrNoFlow):
		return usageError{err}
	case errors.Is(err, anchor.ErrAltered):
		return codedError{exitVerification, err}
	case errors.Is(err, anchor.ErrNotSigned):
		return codedError{exitUnanchored, fmt.Errorf("%w; `tidemark anchor now` anchors it", err)}
	case errors.Is(err, anchor.ErrUnreachable):
		return codedError{exitUnreachable, err}
	case err != nil:
		return err
	}
	text, err := bundle.Marshal()
	if err != nil {
		return err
	}
	if out := c.String("out"); out != "" {
		if err := os.WriteFile(out, text, 0o644); err != nil {
			return fmt.Errorf("write bundle: %w", err)
		}
		fmt.Fprintf(c.App.ErrWriter, "wrote %s (%s)\n", out, octets(uint64(len(text))))
	} else if _, err := c.App.Writer.Write(text); err != nil {
		return err
	}
	if bundle.Anchor == nil {
		fmt.Fprintln(c.App.ErrWriter, "the flow is not anchored yet: the bundle proves only what the log key signed; `tidemark anchor now`, then prove it again")
		return quietly(exitUnanchored)
	}
	return nil
}

func verifyBundleCommand() *cli.Command {
	return &cli.Command{
		Name:      "verify-bundle",
		Usage:     "check the evidence of one flow with nothing but the file, a trust file and a chain",
		ArgsUsage: "FILE",
		Description: `   tidemark verify-bundle --trust trust.json --rpc https://node.example.org bundle.json

The data directory is not used.`,
		Flags: []cli.Flag{trustFlag(), rpcFlag(), outputFlag()},
		Action: func(c *cli.Context) error {
			if err := wantArgs(c, 1, 1, "one bundle FILE"); err != nil {
				return err
			}
			return verifyBundle(c)
		},
	}
}

func verifyBundle(c *cli.Context) error {
	text, err := readBounded(c.Args().First(), anchor.MaxBundle)
	if err != nil {
		return usageError{err}
	}
	bundle, err := anchor.ParseBundle(text)
	if err != nil {
		return codedError{exitVerification, fmt.Errorf("%s: %w", c.Args().First(), err)}
	}
	trust, err := readTrust(c)
	if err != nil {
		return err
	}
	var reader anchor.ChainReader
	if rpc := c.String("rpc"); rpc != "" {
		want := uint64(0)
		if trust != nil && trust.Chain != nil {
			want = trust.Chain.ChainID
		}
		client, err := chain.Dial(c.Context, rpc, want)
		if err != nil {
			return codedError{exitUnreachable, err}
		}
		defer client.Close()
		reader = anchor.NewChainReader(client)
	}
	report, err := anchor.VerifyBundle(c.Context, bundle, trust, reader)
	if err != nil {
		return err
	}
	if err := page(c, report, report.WriteText); err != nil {
		return err
	}
	return quietly(report.ExitCode())
}

func readBounded(path string, limit int64) ([]byte, error) {
	f, err := os.Open(filepath.Clean(path))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(text)) > limit {
		err = fmt.Errorf("%s: longer than %d octets, which is no bundle", path, limit)
	}
	return text, err
}
