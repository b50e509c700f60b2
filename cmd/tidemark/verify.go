package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/rs/zerolog"
	"github.com/urfave/cli/v2"

	"tidemark/anchor"
	"tidemark/anchor/chain"
	"tidemark/anchor/publish"
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
   tidemark verify --trust trust.json --from 2026-11-20T00:00:00Z --to 24h     received then
   tidemark verify --trust trust.json --device 10.20.1.11     batches that hold flows of it
   tidemark verify --trust trust.json --from 100 --to 200     batches [100, 200)
   tidemark verify --trust trust.json --batch 42
   tidemark verify --output json

The headers of the whole log are checked in any case. For each range of batches it says
after and before which blocks it was recorded, and what was pruned or erased by whom.

Exit codes: 0 verified; 4 altered; 5 the chain does not answer; 6 not anchored in
full; 7 internally consistent, origin NOT checked (no --trust).`,
		Flags: []cli.Flag{
			trustFlag(), rpcFlag(),
			&cli.StringFlag{Name: "from", Usage: "first `BATCH` whose rows are read, or TIME of receipt (RFC 3339, or a span before now such as 24h)"},
			&cli.StringFlag{Name: "to", Usage: "`BATCH` behind the last, or TIME; default: the end"},
			&cli.StringFlag{Name: "device", Usage: "only batches that hold flows of this `DEVICE`, named by MAC, address, id or label"},
			&cli.Uint64Flag{Name: "batch", Usage: "only this `BATCH`"},
			&cli.BoolFlag{Name: "no-progress", Usage: "no progress bar"},
			outputFlag(pageForms),
		},
		Action: func(c *cli.Context) error {
			if err := wantArgs(c, 0, 0, "no argument"); err != nil {
				return err
			}
			part, err := readPart(c)
			if err != nil {
				return err
			}
			return withStore(c, func(s *store) error { return s.verify(c, part) })
		},
	}
}

func (s *store) verify(c *cli.Context, part logPart) error {
	trust, err := readTrust(c)
	if err != nil {
		return err
	}
	if err := s.wantBatches(part); err != nil {
		return err
	}
	wanted, err := s.wanted(c, part)
	if err != nil {
		return err
	}
	reader, done, err := chainReader(c, s.cfg, trust)
	if err != nil {
		return err
	}
	defer done()
	o := anchor.VerifyOptions{
		Dir: ledgerDir(s.dir), DB: s.db, Trust: trust, Chain: reader, From: part.first, To: part.end, Wanted: wanted, Alone: s.cfg.Storage.URL == "",
		AnchorWithin: 2 * time.Duration(s.cfg.Chain.Interval), Sealed: func() ([]uint64, error) { return storage.SpoolIndexes(filepath.Join(s.dir, "spool")) },
	}
	if trust == nil {
		own, err := ownTrust(s.dir, s.cfg)
		if err != nil {
			return err
		}
		o.Claimed, o.FromBlock = own.Chain, own.FromBlock
	}
	if !newDaemonClient(s.dir).running(c.Context) {
		o.Settle = time.Millisecond // nobody is about to store anything
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
		return nil, usageError{fmt.Errorf("--trust %s: %w; want the file that `tidemark contract trust` wrote on the collector, unchanged", path, err)}
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
	if isUsage(err) {
		return nil, nil, err
	}
	if err != nil {
		return awayChain{err}, func() {}, nil
	}
	return anchor.NewChainReader(client), done, nil
}

// awayChain is a chain that does not answer.
type awayChain struct{ cause error }

func (a awayChain) err() error { return fmt.Errorf("%w: %w", anchor.ErrUnreachable, a.cause) }

func (a awayChain) ChainID(context.Context) (uint64, error)   { return 0, a.cause } // asked first; anchor says "no answer"
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
	nodes := cfg.Chain.nodes()
	if rpc := c.String("rpc"); rpc != "" {
		nodes = []string{rpc}
	}
	if len(nodes) > 0 {
		client, err := dialNode(c.Context, want, nodes...)
		if err != nil {
			return nil, nil, err
		}
		return client, client.Close, nil
	}
	dir := chainDir(c.String("data-dir"))
	rpc, err := chain.AnvilURL(dir)
	if err != nil {
		return nil, nil, codedError{exitUnreachable, fmt.Errorf("no chain is configured: name a node with --rpc or chain.rpc in the configuration")}
	}
	client, err := chain.Dial(c.Context, rpc, want)
	var other *chain.WrongChainError
	switch {
	case errors.As(err, &other):
		return nil, nil, codedError{exitUnreachable, fmt.Errorf("%w; --rpc names another node", err)}
	case err == nil:
		if err := untilFinalState(c.Context, client); err != nil {
			client.Close()
			return nil, nil, codedError{exitUnreachable, err}
		}
		return client, client.Close, nil
	}
	return borrowAnvil(c.Context, dir, want)
}

// dialNode connects to the nodes, which must be of chain want unless that is 0,
// and of one mind.
func dialNode(ctx context.Context, want uint64, nodes ...string) (*chain.Client, error) {
	for _, rpc := range nodes {
		if u, err := url.Parse(rpc); err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
			return nil, usageError{errors.New("--rpc: want http://HOST[:PORT] or https://HOST[/PATH], such as http://127.0.0.1:8545")} // not echoed: it may hold a token
		}
	}
	client, err := chain.Open(ctx, chain.Options{URLs: nodes, ChainID: want})
	if err != nil {
		return nil, codedError{exitUnreachable, fmt.Errorf("%w; is it the right node, and does it run? --rpc names another", err)}
	}
	if err := client.Agree(ctx); err != nil {
		client.Close()
		return nil, codedError{exitUnreachable, err}
	}
	return client, nil
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
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
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
