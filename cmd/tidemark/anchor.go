package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/urfave/cli/v2"

	"tidemark/anchor"
	"tidemark/anchor/chain"
	"tidemark/anchor/publish"
	"tidemark/anchor/txmgr"
	"tidemark/anchor/witness"
)

// anchorStatus says what is protected up to when.
type anchorStatus struct {
	Daemon     bool             `json:"daemon"`  // false: read from the directory
	Sealed     time.Time        `json:"sealed"`  // of the newest batch in the log
	Backlog    uint64           `json:"backlog"` // sealed batches not yet in the log
	SpoolBytes int64            `json:"spool_bytes"`
	Publisher  *publish.Status  `json:"publisher,omitempty"`
	Witnesses  []witness.Status `json:"witnesses,omitempty"`
	// ProtectedUntil is when the newest batch that the contract covers was
	// sealed; FinalUntil the same for what no reorganisation can take out.
	ProtectedUntil time.Time `json:"protected_until,omitzero"`
	FinalUntil     time.Time `json:"final_until,omitzero"`
}

// status gathers it in the daemon.
func (s *chainSide) status() (anchorStatus, error) {
	out := anchorStatus{Daemon: true, Backlog: uint64(len(s.daemon.node.spool.Records())), SpoolBytes: s.daemon.node.spool.Size()}
	if p := s.publisher.Load(); p != nil {
		status := p.Status()
		out.Publisher = &status
	}
	if w := s.daemon.witnesses; w != nil {
		out.Witnesses = w.Status()
	}
	return out, out.times(s.ledger.Reader())
}

// times fills in when the batches at the borders were sealed.
func (a *anchorStatus) times(r *anchor.Reader) error {
	sealed := func(size uint64) (time.Time, error) {
		if size == 0 || size > r.Size() {
			return time.Time{}, nil
		}
		h, err := r.Header(size - 1)
		return time.Unix(0, h.Sealed).UTC(), err
	}
	var errs [3]error
	a.Sealed, errs[0] = sealed(r.Size())
	if p := a.Publisher; p != nil {
		if p.Anchored != nil {
			a.ProtectedUntil, errs[1] = sealed(p.Anchored.Size)
		}
		if p.Finalized != nil {
			a.FinalUntil, errs[2] = sealed(p.Finalized.Size)
		}
	}
	return errors.Join(errs[:]...)
}

func anchorCommand() *cli.Command {
	return &cli.Command{
		Name:  "anchor",
		Usage: "what of the record is protected by the chain, up to when",
		Description: `   tidemark anchor status      one screen
   tidemark anchor now         anchor at once, and wait until the contract holds it
   tidemark anchor request     write what somebody else shall anchor, who has the key or pays
   tidemark anchor submit      anchor such requests, many logs in one transaction`,
		Subcommands: []*cli.Command{
			{
				Name: "status", Usage: "what is protected up to when", Flags: []cli.Flag{outputFlag(pageForms)},
				Action: func(c *cli.Context) error {
					if err := wantArgs(c, 0, 0, "no argument"); err != nil {
						return err
					}
					status, err := readAnchorStatus(c)
					if err != nil {
						return err
					}
					return page(c, status, status.write)
				},
			},
			{
				Name: "now", Usage: "store, log and anchor all that was received",
				Flags: []cli.Flag{
					&cli.BoolFlag{Name: "final", Usage: "wait until a final block holds it, which nothing can replace"},
					&cli.DurationFlag{Name: "wait", Value: 5 * time.Minute, Usage: "give up after this `TIME`; the daemon goes on trying"},
					outputFlag(pageForms),
				},
				Action: func(c *cli.Context) error {
					if err := wantArgs(c, 0, 0, "no argument"); err != nil {
						return err
					}
					status, err := anchorNow(c)
					if err != nil {
						return err
					}
					return page(c, status, status.write)
				},
			},
			requestCommand(), submitCommand(),
		},
	}
}

// anchorRequest is what the daemon is asked.
type anchorRequest struct {
	Final bool `json:"final"`
}

// anchorNow has the daemon anchor, and waits for --wait.
func anchorNow(c *cli.Context) (status anchorStatus, err error) {
	daemon := newDaemonClient(c.String("data-dir"))
	ctx, cancel := context.WithTimeout(c.Context, c.Duration("wait"))
	defer cancel()
	err = daemon.post(ctx, "/v1/anchor", anchorRequest{c.Bool("final")}, &status)
	if ctx.Err() == nil || c.Context.Err() != nil {
		return status, needDaemon(c, err)
	}
	late := fmt.Sprintf("anchor now: not done within %s; the daemon goes on trying", span(c.Duration("wait")))
	if err := daemon.get(c.Context, "/v1/anchor", &status); err == nil && status.Publisher != nil && status.Publisher.Error != "" {
		late += ": " + status.Publisher.Error
	}
	return status, codedError{exitUnreachable, errors.New(late)}
}

// readAnchorStatus asks the daemon, or reads what it left.
func readAnchorStatus(c *cli.Context) (status anchorStatus, err error) {
	dir := c.String("data-dir")
	err = newDaemonClient(dir).get(c.Context, "/v1/anchor", &status)
	if !errors.Is(err, errNoDaemon) {
		return status, err
	}
	r, err := openLedger(dir)
	if err != nil {
		return status, err
	}
	defer r.Close()
	remembered, err := publish.ReadStatus(publisherDir(dir), r.Size())
	if err != nil {
		return status, err
	}
	if remembered.ChainID != 0 {
		status.Publisher = &remembered
	}
	if status.Witnesses, err = witness.Last(witnessDir(dir)); err != nil {
		return status, err
	}
	return status, status.times(r)
}

// openLedger reads the log beside a daemon or without one.
func openLedger(dir string) (*anchor.Reader, error) {
	r, err := anchor.OpenReader(ledgerDir(dir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, usageError{fmt.Errorf("no ledger in %s: nothing was collected there yet; name another directory with --data-dir", dir)}
	}
	return r, dirError(dir, err)
}

func (a anchorStatus) write(w io.Writer) error {
	now := time.Now()
	line := func(name, format string, args ...any) {
		fmt.Fprintf(w, "%-15s %s\n", name, fmt.Sprintf(format, args...))
	}
	p := a.Publisher
	if p != nil && p.Development {
		fmt.Fprintln(w, anchor.DevelopmentWarning)
	}
	if !a.Daemon {
		line("daemon", "not running; this is what it left")
	}
	line("sealed until", "%s UTC (%s)", stamp(a.Sealed), ago(now, a.Sealed))
	if a.Backlog > 0 {
		line("spool", "%s sealed and not yet in the log (%s)", plural(a.Backlog, "batch"), octets(a.SpoolBytes))
	}
	for _, w := range a.Witnesses {
		line("witness", "%s", witnessText(now, w))
	}
	if p == nil {
		line("anchored", "nothing: no chain is configured (chain.rpc, or run --dev-chain)")
		return nil
	}
	if p.Anchored == nil {
		line("anchored", "nothing yet")
	} else {
		line("anchored until", "%s UTC: %s of %s, block %s (%s)", stamp(a.ProtectedUntil), count(p.Anchored.Size), plural(p.Size, "batch"), count(p.Anchored.Block), inclusion(p.Anchored.State))
	}
	if p.Finalized != nil {
		line("final until", "%s UTC: %s, block %s", stamp(a.FinalUntil), plural(p.Finalized.Size, "batch"), count(p.Finalized.Block))
	}
	if e := p.Evidence; e.Archived+e.Missing > 0 {
		line("evidence", "%s", evidenceText(e))
	}
	if p.Pending != nil {
		line("in flight", "%s, transaction %s", plural(p.Pending.Size, "batch"), p.Pending.Tx)
	}
	if p.Backlog > 0 {
		line("not anchored", "%s, for %s", plural(p.Backlog, "batch"), span(p.Lag))
	}
	switch {
	case p.ChainID == 0:
		line("chain", "not reached yet")
	case p.Node == "":
		line("chain", "%d", p.ChainID)
	default:
		line("chain", "%d at %s", p.ChainID, p.Node)
	}
	if len(p.Nodes) > 1 {
		for _, n := range p.Nodes {
			line("node", "%s", nodeText(n))
		}
	}
	if p.Contract != (common.Address{}) {
		line("contract", "%s", p.Contract)
	}
	payer := p.Payer != (common.Address{})
	switch {
	case p.Publisher == (common.Address{}):
	case p.Balance == "" || payer:
		line("publisher", "%s", p.Publisher)
	default:
		line("publisher", "%s, balance %s", p.Publisher, ether(p.Balance))
	}
	if payer && p.Balance != "" {
		line("payer", "%s, balance %s", p.Payer, ether(p.Balance))
	}
	if !p.Next.IsZero() {
		line("next anchor", "%s UTC", stamp(p.Next))
	}
	switch {
	case p.Refused:
		line("REFUSED", "%s; this will not pass by itself", p.Error)
	case p.Error != "":
		line("trouble", "%s (%s); tried again until it passes", p.Error, ago(now, p.ErrorTime))
	}
	return nil
}

// nodeText says how one of several nodes is doing.
func nodeText(n chain.Node) string {
	switch {
	case n.Error != "":
		return fmt.Sprintf("%s does not answer: %s", n.Host, n.Error)
	case n.Serving:
		return n.Host + ", serving"
	}
	return n.Host + ", ready"
}

// evidenceText says how many anchors can be proven without a node.
func evidenceText(e publish.Evidence) string {
	text := plural(e.Archived, "anchor") + " archived, to be proven without a node"
	if e.WithoutState > 0 {
		text += fmt.Sprintf("; %s of them by the event alone", count(e.WithoutState))
	}
	if e.Missing > 0 {
		text += fmt.Sprintf("; %s without", count(e.Missing))
		if e.Error != "" {
			text += ": " + e.Error
		}
	}
	return text
}

// inclusion says what the state of an anchor means.
func inclusion(state string) string {
	switch state {
	case string(txmgr.Included), string(txmgr.Safe):
		return state + ", may still be replaced"
	}
	return state
}

// ether writes an amount of wei with four decimals.
func ether(wei string) string {
	for len(wei) < 19 {
		wei = "0" + wei
	}
	whole, rest := wei[:len(wei)-18], wei[len(wei)-18:]
	return whole + "." + rest[:4] + " ETH"
}
