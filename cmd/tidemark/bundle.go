package main

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"tidemark/anchor"
	"tidemark/anchor/witness"
	"tidemark/collector/flow"
	"tidemark/profile"
)

func proveCommand() *cli.Command {
	return &cli.Command{
		Name:  "prove",
		Usage: "write the evidence of one flow into a file that verifies without our database",
		Description: `   tidemark prove --flow 0123456789abcdef-42-7 --out bundle.txt
   tidemark verify-bundle --trust trust.json --rpc URL bundle.txt

The bundle holds the record, its path to the batch, the batch's path to the log, the
checkpoint that the log and its witnesses signed, and where the log was anchored: about
2 kB, which verify-bundle spells out.`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "flow", Usage: "`NAME` of the flow, as tidemark flows shows it (required)"},
			&cli.StringFlag{Name: "out", Usage: "write to `FILE` instead of standard output"},
			&cli.BoolFlag{Name: "exporters", Usage: "add the loss account of the batch"},
			rpcFlag(),
		},
		Action: func(c *cli.Context) error {
			if err := errors.Join(wantArgs(c, 0, 0, "no argument: the flow is named by --flow"), wantFlag(c, "flow")); err != nil {
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
	from, err := s.openProofs(c)
	if err != nil {
		return err
	}
	defer from.close()
	bundle, err := anchor.Prove(c.Context, anchor.ProveOptions{Sources: from.Sources, Flow: name, Exporters: c.Bool("exporters")})
	if err != nil {
		return proofError(err)
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
		Usage:     "check what prove or evidence wrote with nothing but the file, a trust file and a chain",
		ArgsUsage: "FILE",
		Description: `   tidemark verify-bundle --trust trust.json --rpc https://node.example.org bundle.txt
   tidemark verify-bundle --trust trust.json --block-hash 0x8a3f... evidence.json    offline

The data directory is not used: a copy of this program anywhere will do. Get the trust
file from the log's owner early and by another way than the bundle.

With --block-hash, which a block explorer of your choice shows, nothing is asked: evidence
holds the proofs of the blocks it names.

Exit codes: 0 verified; 4 the file proves nothing; 5 the chain does not answer; 6 not
anchored in a final block, or no chain asked; 7 internally consistent, origin NOT checked (no
--trust).`,
		Flags: []cli.Flag{
			trustFlag(), outputFlag(pageForms),
			&cli.StringFlag{Name: "rpc", EnvVars: []string{"TIDEMARK_RPC"}, Usage: "Ethereum JSON-RPC `URL` of a node you trust; without it the chain is not asked"},
			&cli.StringSliceFlag{Name: "block-hash", Usage: "`HASH` of a final block that you know by another way; may be given many times (evidence only)"},
			&cli.StringSliceFlag{Name: "witness", Usage: "`KEY` of a witness that you trust, NAME+HASH+KEY, beside those that the trust file names; may be given many times"},
			&cli.StringFlag{Name: "page", Usage: "write what was checked as a page for people to `FILE` (evidence only)"},
		},
		Action: func(c *cli.Context) error {
			if err := wantArgs(c, 1, 1, "one bundle FILE"); err != nil {
				return err
			}
			return verifyBundle(c)
		},
	}
}

func verifyBundle(c *cli.Context) error {
	path := c.Args().First()
	text, err := readBounded(path, anchor.MaxEvidence)
	if err != nil {
		return usageError{fmt.Errorf("read bundle: %w; want the file that `tidemark prove` or `tidemark evidence` wrote", err)}
	}
	if anchor.IsEvidence(text) {
		return verifyEvidence(c, path, text)
	}
	if c.IsSet("block-hash") || c.IsSet("page") {
		return usageError{errors.New("--block-hash and --page are for evidence; the bundle of one flow needs --rpc (`tidemark evidence --flow NAME` writes evidence of it)")}
	}
	bundle, err := anchor.ParseBundle(text)
	if err != nil {
		return codedError{exitVerification, fmt.Errorf("FAILED: %s proves nothing: %w; want the file that `tidemark prove` wrote, unchanged and whole (this one has %s)",
			path, err, plural(len(text), "octet"))}
	}
	given, done, err := givenBy(c)
	if err != nil {
		return err
	}
	defer done()
	report, err := anchor.VerifyBundle(c.Context, bundle, given)
	if err != nil {
		return err
	}
	view := bundleView{report, describe(&bundle.Row, 0)}
	if err := page(c, view, view.write); err != nil {
		return err
	}
	return quietly(report.ExitCode())
}

// nodeReader connects to the node of --rpc; nil: none is to be asked.
func nodeReader(c *cli.Context, trust *anchor.Trust) (anchor.ChainReader, func(), error) {
	rpc := c.String("rpc")
	if rpc == "" {
		return nil, func() {}, nil
	}
	want := uint64(0)
	if trust != nil && trust.Chain != nil {
		want = trust.Chain.ChainID
	}
	client, err := dialNode(c.Context, want, rpc)
	switch {
	case isUsage(err):
		return nil, nil, err
	case err != nil:
		return awayChain{err}, func() {}, nil // the rest can still be checked
	}
	return anchor.NewChainReader(client), client.Close, nil
}

// givenBy is what the flags bring to verify with.
func givenBy(c *cli.Context) (given anchor.Given, done func(), err error) {
	if given.Trust, err = readTrust(c); err != nil {
		return given, nil, err
	}
	for _, s := range c.StringSlice("block-hash") {
		h, err := hex.DecodeString(strings.TrimPrefix(s, "0x"))
		if err != nil || len(h) != 32 {
			return given, nil, usageError{fmt.Errorf("--block-hash: got %.80q, want 64 hexadecimal digits such as a block explorer shows", s)}
		}
		given.Blocks = append(given.Blocks, [32]byte(h))
	}
	for _, s := range c.StringSlice("witness") {
		v, err := witness.NewVerifier(s)
		if err != nil {
			return given, nil, usageError{fmt.Errorf("--witness: %w", err)}
		}
		given.Witnesses = append(given.Witnesses, v)
	}
	given.Chain, done, err = nodeReader(c, given.Trust)
	return given, done, err
}

// bundleView is the report with what the flow was, as the bundle says.
type bundleView struct {
	*anchor.BundleReport
	Record []string `json:"record"`
}

func (v bundleView) write(w io.Writer) error {
	for i, line := range v.Record {
		title := ""
		switch {
		case i > 0:
		case len(v.Faults) > 0:
			title = "claims"
		default:
			title = "record"
		}
		fmt.Fprintf(w, "%-9s %s\n", title, line)
	}
	return v.WriteText(w)
}

// describe says in two lines what record i of b was: who talked to whom, when
// and how much, and who said so.
func describe(b *flow.Batch, i int) []string {
	has := func(bit uint16) bool { return b.Presence[i]&bit != 0 }
	address := func(a [16]byte) netip.Addr { return netip.AddrFrom16(a).Unmap() }
	what := fmt.Sprintf("%s -> %s %s", netip.AddrPortFrom(address(b.SrcAddr[i]), b.SrcPort[i]), netip.AddrPortFrom(address(b.DstAddr[i]), b.DstPort[i]), protocolName(b.Proto[i]))
	if has(flow.HasBytes) {
		what += ", " + octets(b.Bytes[i])
	}
	if has(flow.HasPackets) {
		what += ", " + plural(b.Packets[i], "packet")
	}
	if rate := b.SamplingRate[i]; rate > 1 {
		what += fmt.Sprintf(" (1 in %s sampled)", count(rate))
	}
	if has(flow.HasStart) && has(flow.HasEnd) {
		what += fmt.Sprintf(", %s to %s UTC", stamp(time.Unix(0, b.TimeFlowStart[i])), stamp(time.Unix(0, b.TimeFlowEnd[i])))
	}
	who := fmt.Sprintf("exported by %s as %s, received %s UTC", address(b.SamplerAddress[i]), b.Protocol[i], stamp(time.Unix(0, b.TimeReceived[i])))
	if has(flow.HasSrcMAC) && b.SrcMAC[i] != 0 {
		who += ", source MAC " + profile.Device{MAC: b.SrcMAC[i]}.MACString()
	}
	return []string{what, who}
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
