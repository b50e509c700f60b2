package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/ethereum/go-ethereum/common"
	"github.com/urfave/cli/v2"

	"tidemark/anchor"
	"tidemark/anchor/chain"
	"tidemark/anchor/publish"
	"tidemark/anchor/txmgr"
	"tidemark/anchor/witness"
)

func contractCommand() *cli.Command {
	return &cli.Command{
		Name:  "contract",
		Usage: "the contract that holds the log's checkpoints, and the trust file for auditors",
		Description: `   tidemark contract show                    what the contract holds, asked of the chain
   tidemark contract trust > trust.json      chain, contract, log and keys: to be kept elsewhere, early
   tidemark contract deploy                  bring the contract onto a chain
   tidemark contract rotate                  name another publisher, with the cold key`,
		Subcommands: []*cli.Command{
			{Name: "show", Usage: "ask the chain what the contract holds of this log", Flags: []cli.Flag{outputFlag(pageForms), rpcFlag()}, Action: contractShow},
			{
				Name: "trust", Usage: "write the trust file that verify and verify-bundle take",
				Action: func(c *cli.Context) error {
					if err := wantArgs(c, 0, 0, "no argument"); err != nil {
						return err
					}
					cfg, err := LoadConfig(c.String("config"))
					if err != nil {
						return err
					}
					trust, err := ownTrust(c.String("data-dir"), cfg)
					if err != nil {
						return err
					}
					text, err := trust.Marshal()
					if err != nil {
						return err
					}
					if trust.Chain == nil {
						fmt.Fprintln(c.App.ErrWriter, "the log was never anchored: the file names no contract, and will not tell whether the chain agrees; `tidemark anchor now`, then write it again")
					}
					_, err = c.App.Writer.Write(text)
					return err
				},
			},
			deployCommand(), rotateCommand(), acceptCommand(),
		},
	}
}

// ownTrust is what this directory says of its own log: good for handing out
// early, worthless as proof about itself.
func ownTrust(dir string, cfg Config) (*anchor.Trust, error) {
	r, err := openLedger(dir)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	t := &anchor.Trust{Origin: r.Origin(), LogID: r.LogID(), Key: r.PublicKey()}
	for _, w := range cfg.Ledger.Witnesses {
		v, err := witness.NewVerifier(w.Key)
		if err != nil {
			return nil, err
		}
		t.Witnesses = append(t.Witnesses, v)
	}
	status, err := publish.ReadStatus(publisherDir(dir), r.Size())
	if err != nil {
		return nil, err
	}
	if status.Anchored != nil { // before that the contract may not know the log
		t.Chain, t.FromBlock = &anchor.ChainLog{ChainID: status.ChainID, Contract: status.Contract, ID: status.LogKey}, status.FromBlock
	}
	return t, nil
}

// contractView is what the chain answers about the log.
type contractView struct {
	ChainID     uint64        `json:"chain_id"`
	Development bool          `json:"development_chain"`
	Contract    string        `json:"contract"`
	LogKey      string        `json:"log_key"`
	Publisher   string        `json:"publisher"`
	Rotator     string        `json:"rotator"`
	Latest      anchoredState `json:"latest"`
	Finalized   anchoredState `json:"finalized"`
}

// anchoredState is what the contract holds after a block.
type anchoredState struct {
	Size    uint64 `json:"size"` // batches
	Root    string `json:"root"`
	Anchors uint32 `json:"anchors"`
	Block   uint64 `json:"block"`
}

func viewState(s chain.LogState) anchoredState {
	return anchoredState{s.Size, fmt.Sprintf("%x", s.Root), s.Seq, s.At.Number}
}

func contractShow(c *cli.Context) error {
	if err := wantArgs(c, 0, 0, "no argument"); err != nil {
		return err
	}
	dir := c.String("data-dir")
	ledger, err := openLedger(dir)
	if err != nil {
		return err
	}
	ledger.Close()
	state, err := publish.ReadState(publisherDir(dir))
	if err != nil {
		return err
	}
	if state.LogKey == ([32]byte{}) {
		return codedError{exitUnanchored, fmt.Errorf("contract show: the log of %s was never anchored; set chain.rpc or start the daemon with --dev-chain, then `tidemark anchor now`", dir)}
	}
	client, done, err := dialChain(c, state.ChainID)
	if err != nil {
		return err
	}
	defer done()
	k, err := client.Contract(c.Context, state.Contract)
	if err != nil {
		return codedError{exitVerification, err}
	}
	v := contractView{ChainID: client.ID(), Development: client.Development(), Contract: state.Contract.Hex(), LogKey: state.LogKey.Hex()}
	latest, err := k.Log(c.Context, state.LogKey, chain.Latest)
	if err != nil {
		return codedError{exitUnreachable, err}
	}
	final, err := k.Log(c.Context, state.LogKey, chain.Finalized)
	if err != nil {
		return codedError{exitUnreachable, err}
	}
	v.Publisher, v.Rotator = latest.Publisher.Hex(), latest.Rotator.Hex()
	v.Latest, v.Finalized = viewState(latest), viewState(final)
	return page(c, v, v.write)
}

func (v contractView) write(w io.Writer) error {
	if v.Development {
		fmt.Fprintln(w, anchor.DevelopmentWarning)
	}
	line := func(name, format string, args ...any) {
		fmt.Fprintf(w, "%-10s %s\n", name, fmt.Sprintf(format, args...))
	}
	line("chain", "%d", v.ChainID)
	line("contract", "%s (Tidemark's code)", v.Contract)
	line("log", "%s", v.LogKey)
	line("publisher", "%s", v.Publisher)
	if v.Rotator == (common.Address{}).Hex() {
		line("rotator", "nobody: the publisher's key cannot be replaced")
	} else {
		line("rotator", "%s", v.Rotator)
	}
	line("latest", "%s, root %s, at block %s", plural(v.Latest.Size, "batch"), v.Latest.Root, count(v.Latest.Block))
	line("final", "%s, root %s, at block %s", plural(v.Finalized.Size, "batch"), v.Finalized.Root, count(v.Finalized.Block))
	return nil
}

func keyFileFlag(role publish.Role) cli.Flag {
	return &cli.StringFlag{Name: "key-file", Usage: fmt.Sprintf("`FILE` with the %s's key, an encrypted keystore (passphrase in %s) or hex, mode 0600; default: %s", role, role.EnvPassphrase(), role.EnvKey())}
}

// executor sends transactions of the key of a role for a command. What is under
// way is kept in the data directory.
func executor(c *cli.Context, role publish.Role, file string, want uint64) (publish.Executor, func(), error) {
	cfg, err := LoadConfig(c.String("config"))
	if err != nil {
		return publish.Executor{}, nil, err
	}
	key, err := publish.LoadKey(role, file, os.Getenv)
	if err != nil {
		return publish.Executor{}, nil, usageError{err}
	}
	client, done, err := dialChain(c, want)
	if err != nil {
		return publish.Executor{}, nil, err
	}
	if want == 0 && !client.Development() {
		done()
		return publish.Executor{}, nil, usageError{fmt.Errorf("chain %d is no development chain: name it in the configuration (chain.chain_id) before anything is sent there", client.ID())}
	}
	x := publish.Executor{
		Client: client, Key: key, FeeCap: publish.Gwei(cfg.Chain.MaxFee), Log: newLogger(LogConfig{Level: "warn", Format: "auto"}, c.App.ErrWriter),
		Dir: filepath.Join(publisherDir(c.String("data-dir")), fmt.Sprintf("%s-%d", key.Address(), client.ID())),
	}
	return x, done, nil
}

// chainError gives an error of a transaction its exit code.
func chainError(err error) error {
	var revert *chain.RevertError
	var funds *txmgr.FundsError
	var fee *txmgr.FeeCapError
	switch {
	case err == nil, isUsage(err):
		return err
	case errors.As(err, &revert), errors.As(err, &funds), errors.As(err, &fee), errors.Is(err, publish.ErrRequest):
		return codedError{exitRuntime, err}
	case errors.Is(err, chain.ErrForeignContract), errors.Is(err, chain.ErrNoContract):
		return codedError{exitVerification, err}
	}
	return codedError{exitUnreachable, err}
}

func deployCommand() *cli.Command {
	return &cli.Command{
		Name: "deploy", Usage: "bring the contract onto a chain; one serves any number of logs",
		Description: `   tidemark --config tidemark.yaml contract deploy --key-file payer.json

The chain is that of the configuration (chain.rpc, chain.chain_id). Interrupted, it goes
on when called again and pays once. docs/testnet.md goes through it.`,
		Flags: []cli.Flag{keyFileFlag(publish.PublisherRole), rpcFlag(), outputFlag(pageForms)},
		Action: func(c *cli.Context) error {
			if err := wantArgs(c, 0, 0, "no argument"); err != nil {
				return err
			}
			cfg, err := LoadConfig(c.String("config"))
			if err != nil {
				return err
			}
			file := c.String("key-file")
			if file == "" {
				file = cfg.Chain.KeyFile
			}
			x, done, err := executor(c, publish.PublisherRole, file, cfg.Chain.ChainID)
			if err != nil {
				return err
			}
			defer done()
			d, err := x.Deploy(c.Context)
			if err != nil {
				return chainError(err)
			}
			return page(c, d, func(w io.Writer) error {
				_, err := fmt.Fprintf(w, "deployed in block %s for %s gas, transaction %s\n\nchain:\n  chain_id: %d\n  contract: \"%s\"\n", count(d.Block), count(d.GasUsed), d.Tx, d.ChainID, d.Address)
				return err
			})
		},
	}
}

// namedLog is the log in a contract that a command means: of --trust, or of the
// data directory.
func namedLog(c *cli.Context) (anchor.ChainLog, error) {
	trust, err := readTrust(c)
	if err != nil {
		return anchor.ChainLog{}, err
	}
	if trust == nil {
		dir := c.String("data-dir")
		state, err := publish.ReadState(publisherDir(dir))
		if err == nil && state.LogKey == (common.Hash{}) {
			err = usageError{fmt.Errorf("no log of %s is in a contract; name one with --trust", dir)}
		}
		return anchor.ChainLog{ChainID: state.ChainID, Contract: state.Contract, ID: state.LogKey}, err
	}
	if trust.Chain == nil {
		return anchor.ChainLog{}, usageError{fmt.Errorf("--trust %s names no contract", c.String("trust"))}
	}
	return *trust.Chain, nil
}

func rotateCommand() *cli.Command {
	return &cli.Command{
		Name: "rotate", Usage: "propose another publisher of the log, with the cold rotator's key",
		Description: `   tidemark contract rotate --to 0x5Fb...aa3 --key-file rotator.json --trust trust.json

The publisher in office stays until the proposed one accepts: a daemon configured with
the new key does so by itself. --to 0x0000000000000000000000000000000000000000 withdraws
a proposal. With --trust no data directory of the log is needed here.`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "to", Usage: "`ADDRESS` of the new publisher (required)"},
			keyFileFlag(publish.RotatorRole), trustFlag(), rpcFlag(),
		},
		Action: func(c *cli.Context) error {
			if err := errors.Join(wantArgs(c, 0, 0, "no argument"), wantFlag(c, "to")); err != nil {
				return err
			}
			if !common.IsHexAddress(c.String("to")) {
				return usageError{fmt.Errorf("--to: got %q, want an address of 40 hex digits", c.String("to"))}
			}
			next := common.HexToAddress(c.String("to"))
			return onLog(c, publish.RotatorRole, func(x publish.Executor, log anchor.ChainLog) (txmgr.Inclusion, error) {
				return x.Propose(c.Context, log.Contract, log.ID, next)
			}, "proposed %s", next)
		},
	}
}

func acceptCommand() *cli.Command {
	return &cli.Command{
		Name: "accept", Usage: "become publisher after the rotator proposed this key; a daemon does it by itself unless it has a payer",
		Flags: []cli.Flag{keyFileFlag(publish.PublisherRole), trustFlag(), rpcFlag()},
		Action: func(c *cli.Context) error {
			if err := wantArgs(c, 0, 0, "no argument"); err != nil {
				return err
			}
			return onLog(c, publish.PublisherRole, func(x publish.Executor, log anchor.ChainLog) (txmgr.Inclusion, error) {
				return x.Accept(c.Context, log.Contract, log.ID)
			}, "accepted")
		},
	}
}

// onLog sends one transaction about a log.
func onLog(c *cli.Context, role publish.Role, send func(publish.Executor, anchor.ChainLog) (txmgr.Inclusion, error), done string, args ...any) error {
	log, err := namedLog(c)
	if err != nil {
		return err
	}
	x, hangUp, err := executor(c, role, c.String("key-file"), log.ChainID)
	if err != nil {
		return err
	}
	defer hangUp()
	at, err := send(x, log)
	if err != nil {
		return chainError(err)
	}
	_, err = fmt.Fprintf(c.App.Writer, "%s in block %s, transaction %s\n", fmt.Sprintf(done, args...), count(at.Block), at.Hash)
	return err
}
