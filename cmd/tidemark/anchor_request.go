package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/urfave/cli/v2"

	"tidemark/anchor"
	"tidemark/anchor/publish"
)

func requestCommand() *cli.Command {
	return &cli.Command{
		Name: "request", Usage: "write a request to anchor the newest checkpoint, for who has the publisher's key or pays",
		Description: `   tidemark anchor request --out site1.json            where chain.publisher names the publisher
   tidemark anchor request --sign --out site1.json     signed here, paid for by anybody

A request holds no secret; the contract checks all of it.`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "out", Usage: "write to `FILE` instead of standard output"},
			&cli.BoolFlag{Name: "sign", Usage: "sign it with the publisher's key"},
			&cli.DurationFlag{Name: "valid", Value: 24 * time.Hour, Usage: "for this `TIME` the signature counts"},
			keyFileFlag(publish.PublisherRole), rpcFlag(),
		},
		Action: func(c *cli.Context) error {
			if err := wantArgs(c, 0, 0, "no argument"); err != nil {
				return err
			}
			return writeRequest(c)
		},
	}
}

func writeRequest(c *cli.Context) error {
	cfg, err := LoadConfig(c.String("config"))
	if err != nil {
		return err
	}
	dir := c.String("data-dir")
	var key *publish.Key
	if c.Bool("sign") {
		if key, err = publish.LoadKey(publish.PublisherRole, cmp.Or(c.String("key-file"), cfg.Chain.KeyFile), os.Getenv); err != nil {
			return usageError{err}
		}
	}
	ledger, err := openLedger(dir)
	if err != nil {
		return err
	}
	defer ledger.Close()
	state, err := publish.ReadState(publisherDir(dir))
	if err != nil {
		return err
	}
	if state.LogKey == (common.Hash{}) {
		return codedError{exitUnanchored, errors.New("anchor request: the contract is not known yet: start the daemon with chain.rpc, chain.contract and chain.publisher, once")}
	}
	client, done, err := dialChain(c, state.ChainID)
	if err != nil {
		return err
	}
	defer done()
	k, err := client.Contract(c.Context, state.Contract)
	if err != nil {
		return chainError(err)
	}
	r, err := publish.NewRequest(c.Context, signedLog{ledger}, state, k, key, time.Now(), c.Duration("valid"))
	if err != nil {
		return fmt.Errorf("anchor request: %w", err)
	}
	text, err := r.Marshal()
	if err != nil {
		return err
	}
	if out := c.String("out"); out != "" {
		return os.WriteFile(out, text, 0o644)
	}
	_, err = c.App.Writer.Write(text)
	return err
}

// signedLog shows the log up to its newest signed checkpoint.
type signedLog struct{ *anchor.Reader }

func (l signedLog) ID() [32]byte { return l.LogID() }

func (l signedLog) Checkpoint() (uint64, [32]byte) {
	_, c, err := l.Reader.Checkpoint()
	if err != nil {
		return 0, [32]byte{} // none is signed yet: nothing to anchor
	}
	return c.Size, c.Root
}

func submitCommand() *cli.Command {
	return &cli.Command{
		Name: "submit", Usage: "anchor what requests ask for; unsigned ones of the key's own logs go into one transaction",
		ArgsUsage: "FILE...",
		Description: `   tidemark anchor submit site1.json site2.json site3.json

With the publisher's key: all logs in one transaction, all or none; logs that are not
open are opened first. Signed requests need only a key that pays (chain.payer_key_file
or --key-file).`,
		Flags: []cli.Flag{keyFileFlag(publish.PublisherRole), rpcFlag()},
		Action: func(c *cli.Context) error {
			if err := wantArgs(c, 1, 100, "one FILE or more that `tidemark anchor request` wrote"); err != nil {
				return err
			}
			return submitRequests(c)
		},
	}
}

func submitRequests(c *cli.Context) error {
	var requests []*publish.Request
	signed := true
	for _, path := range c.Args().Slice() {
		text, err := readBounded(path, publish.MaxRequest)
		if err != nil {
			return usageError{fmt.Errorf("read request: %w", err)}
		}
		r, err := publish.ParseRequest(text)
		if err != nil {
			return usageError{fmt.Errorf("read request %s: %w", path, err)}
		}
		requests = append(requests, r)
		signed = signed && len(r.Signature) > 0
	}
	cfg, err := LoadConfig(c.String("config"))
	if err != nil {
		return err
	}
	role, file := publish.PublisherRole, cfg.Chain.KeyFile
	if signed && (cfg.Chain.PayerKeyFile != "" || os.Getenv(publish.PayerRole.EnvKey()) != "") {
		role, file = publish.PayerRole, cfg.Chain.PayerKeyFile
	}
	x, done, err := executor(c, role, cmp.Or(c.String("key-file"), file), requests[0].ChainID)
	if err != nil {
		return err
	}
	defer done()
	included, err := x.Submit(c.Context, requests)
	for _, at := range included {
		fmt.Fprintf(c.App.Writer, "anchored in block %s for %s gas, transaction %s\n", count(at.Block), count(at.GasUsed), at.Hash)
	}
	return chainError(err)
}
