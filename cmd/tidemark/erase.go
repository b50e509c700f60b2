package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"tidemark/anchor"
	"tidemark/profile"
)

func eraseCommand() *cli.Command {
	return &cli.Command{
		Name:  "erase",
		Usage: "erase the flows of a device or person for good, so that the rest still verifies and the log says what was done",
		Description: `   tidemark erase --device 10.20.1.11 --rule "GDPR Art. 17" --reason "request 12"        what it would erase
   tidemark erase --device 10.20.1.11 --rule "GDPR Art. 17" --reason "request 12" --yes  erases it
   tidemark erase --address 198.51.100.7 --from 2026-10-01T00:00:00Z --to 30d ... --yes

It reaches flows, quarantined flows, events and alerts that name the device or address,
aggregates, what is remembered of names and identity, and damaged records of the spool.
The log announces it first: which leaves, how many, by whom, under which rule, and why.
So do not name the person in --rule or --reason. The hashes of the leaves stay, their
salts are destroyed; nobody can tell any more what they were of. Backups and what was
exported before are not reached.

Interrupted, it is carried on when the collector is started, or by the next erase.`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "device", Usage: "flows from or to this `DEVICE`, named by MAC, address, id or label"},
			&cli.StringFlag{Name: "address", Usage: "flows from or to this IP `ADDRESS`, inside or outside the site"},
			&cli.StringFlag{Name: "from", Usage: "received at or after this `TIME` (RFC 3339) or span before now"},
			&cli.StringFlag{Name: "to", Usage: "received before this `TIME` or span before now"},
			&cli.StringFlag{Name: "rule", Usage: "`TEXT`: under which rule, such as \"GDPR Art. 17\" (required)"},
			&cli.StringFlag{Name: "reason", Usage: "`TEXT`: why, such as the number of the request (required)"},
			&cli.StringFlag{Name: "as", Usage: "`NAME` of who acts, beside the operating system's user"},
			&cli.BoolFlag{Name: "yes", Usage: "erase; without it nothing is changed"},
			outputFlag(pageForms),
		},
		Action: func(c *cli.Context) error {
			if err := errors.Join(wantArgs(c, 0, 0, "no argument: see --device and --address"), wantFlag(c, "rule"), wantFlag(c, "reason")); err != nil {
				return err
			}
			if c.IsSet("device") == c.IsSet("address") {
				return usageError{errors.New("erase: want one of --device and --address")}
			}
			return withStore(c, func(s *store) error { return s.erase(c) })
		},
	}
}

// eraseRequest is what the daemon is asked: whom it is about is found beforehand.
type eraseRequest struct {
	Subject subject `json:"subject"`
	Rule    string  `json:"rule"`
	Reason  string  `json:"reason"`
	Actor   string  `json:"actor"`
}

func (s *store) erase(c *cli.Context) error {
	req := eraseRequest{Rule: c.String("rule"), Reason: c.String("reason"), Actor: actor(c.String("as"))}
	var err error
	if req.Subject, err = s.subject(c); err != nil {
		return err
	}
	var plan erasePlan
	if !c.Bool("yes") {
		ledger, err := openLedger(s.dir)
		if err != nil {
			return err
		}
		defer ledger.Close()
		q, err := s.questions()
		if err != nil {
			return err
		}
		if err = refuseContained(c.Context, q, &req.Subject); err != nil {
			return err
		}
		if plan, err = planErasure(c.Context, s.db, ledger, s.dir, req.Subject); err != nil {
			return err
		}
		return page(c, plan, plan.write)
	}
	err = newDaemonClient(s.dir).post(c.Context, "/v1/erase", req, &plan)
	if errors.Is(err, errNoDaemon) {
		err = s.withNode(c.Context, func(ctx context.Context, n *node) (err error) {
			plan, err = n.erase(ctx, req)
			return err
		})
	}
	if errors.Is(err, anchor.ErrAltered) {
		err = codedError{exitVerification, fmt.Errorf("%w: nothing was erased: what was altered is evidence", err)}
	}
	if err != nil {
		return err
	}
	return page(c, plan, plan.write)
}

func (d *daemon) handleErase(w http.ResponseWriter, r *http.Request) {
	var req eraseRequest
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 64<<10)).Decode(&req); err != nil {
		answer(w, nil, usageError{fmt.Errorf("erase: %w", err)})
		return
	}
	plan, err := d.node.erase(context.WithoutCancel(r.Context()), req) // begun, it is not for the client to stop
	answer(w, plan, err)
}

// erase carries out an erasure that was interrupted, then this one.
func (n *node) erase(ctx context.Context, req eraseRequest) (plan erasePlan, err error) {
	if strings.TrimSpace(req.Rule) == "" || strings.TrimSpace(req.Reason) == "" || strings.TrimSpace(req.Actor) == "" || req.Subject.nobody() {
		return plan, usageError{errors.New("erase: want a device or an address, a rule, a reason and an actor")}
	}
	if err := n.resumeErasure(ctx); err != nil {
		return plan, err
	}
	if err := n.ingest.Flush(ctx); err != nil {
		return plan, err
	}
	if err := n.drain(ctx); err != nil { // what was received until now is in the log
		return plan, err
	}
	n.containing.Lock() // until the rows are gone nobody approves a plan against the subject
	defer n.containing.Unlock()
	if err = refuseContained(ctx, n.scorer, &req.Subject); err != nil {
		return plan, err
	}
	n.erasing.Lock()
	defer n.erasing.Unlock()
	if plan, err = planErasure(ctx, n.db, n.ledger.Reader(), n.dir, req.Subject); err != nil {
		return plan, err
	}
	plan.Done = true
	rest, err := json.Marshal(plan.subject)
	if err != nil {
		return plan, err
	}
	err = n.ledger.BeginErasure(&anchor.Erasure{Actor: req.Actor, Rule: req.Rule, Reason: req.Reason, Leaves: plan.leaves, Rest: rest})
	if err != nil {
		return plan, err
	}
	return plan, n.carryOutErasure(ctx, plan.subject)
}

// refuseContained refuses to forget a plan that is in force: its filter would stay on
// the router, and nobody would know that it has to be taken back.
func refuseContained(ctx context.Context, scorer *profile.Scorer, of *subject) error {
	open, err := scorer.Containments(ctx, false)
	if err != nil {
		return err
	}
	for i := range open {
		if x := &open[i]; x.Device == of.Device && of.always() {
			return usageError{fmt.Errorf("erase %s: the plan %s against it is %s until %s; end it first: tidemark contain lift --reason TEXT %s",
				x.Title, x.Name, x.State, stamp(x.Expires), x.Name)}
		}
	}
	return nil
}

// resumeErasure carries out what a crash interrupted.
func (n *node) resumeErasure(ctx context.Context) error {
	n.erasing.Lock()
	defer n.erasing.Unlock()
	pending, err := n.ledger.PendingErasure()
	if err != nil || pending == nil {
		return err
	}
	n.log.Warn().Str("rule", pending.Rule).Str("reason", pending.Reason).Msg("an erasure was interrupted and is carried on")
	var of subject
	if err := json.Unmarshal(pending.Rest, &of); err != nil {
		return fmt.Errorf("carry on an erasure: %w", err)
	}
	return n.carryOutErasure(ctx, of)
}

// carryOutErasure erases leaves first and what was derived of them after. A batch
// that was altered is left alone, and so is the order.
func (n *node) carryOutErasure(ctx context.Context, of subject) error {
	if err := n.ledger.Erase(ctx, n.db); err != nil {
		if errors.Is(err, anchor.ErrAltered) {
			err = errors.Join(err, n.ledger.EndErasure())
		}
		return err
	}
	n.scoring.Lock() // nobody else writes aggregates' readers' rows meanwhile
	defer n.scoring.Unlock()
	if err := eraseDerived(ctx, n.db, of); err != nil {
		return err
	}
	if err := removeDamaged(n.dir, n.ledger.Reader(), of); err != nil {
		return err
	}
	return n.ledger.EndErasure()
}

// damagedRecords are the records of the spool that were set aside and may hold
// rows received in the subject's time.
func damagedRecords(dir string, log *anchor.Reader, of subject) (paths []string, err error) {
	all, err := filepath.Glob(filepath.Join(dir, "spool", "corrupt", "*"))
	within := anchor.ReceivedWithin(of.From, of.To)
	for _, path := range all {
		number, _, _ := strings.Cut(filepath.Base(path), ".")
		index, parseErr := strconv.ParseUint(number, 10, 64)
		if parseErr == nil && index < log.Size() {
			if h, headerErr := log.Header(index); headerErr == nil && !within(&h) {
				continue
			}
		}
		paths = append(paths, path)
	}
	return paths, err
}

func removeDamaged(dir string, log *anchor.Reader, of subject) error {
	paths, err := damagedRecords(dir, log, of)
	for _, path := range paths {
		err = errors.Join(err, os.Remove(path))
	}
	return err
}

// erasePlan is what an erasure reaches.
type erasePlan struct {
	Done       bool              `json:"done"` // false: nothing was changed
	Flows      uint64            `json:"flows"`
	Events     uint64            `json:"events"`
	Batches    uint64            `json:"batches"`
	Alerts     uint64            `json:"alerts"`
	Aggregates map[string]uint64 `json:"aggregates"` // rows by table
	Damaged    uint64            `json:"damaged_spool_records"`

	leaves  []anchor.ErasedBatch
	subject subject
}

func (p erasePlan) write(w io.Writer) error {
	verb := "would be erased"
	if p.Done {
		verb = "erased"
	}
	fmt.Fprintf(w, "%-11s %s, %s of %s\n", verb, plural(p.Flows, "flow"), plural(p.Events, "event"), plural(p.Batches, "batch"))
	fmt.Fprintf(w, "%-11s %s\n", "", plural(p.Alerts, "row")+" of alerts")
	total := uint64(0)
	for _, n := range p.Aggregates {
		total += n
	}
	fmt.Fprintf(w, "%-11s %s of %s\n", "", plural(total, "row"), plural(len(p.Aggregates), "table")+" of aggregates, names and identity")
	if p.Damaged > 0 {
		fmt.Fprintf(w, "%-11s %s\n", "", plural(p.Damaged, "damaged spool record"))
	}
	if !p.Done {
		_, err := fmt.Fprintln(w, "\nnothing was changed: add --yes to erase; it cannot be undone")
		return err
	}
	_, err := fmt.Fprintln(w, "\nthe log says so; `tidemark verify` shows it. The engine removes the files of the old rows within ten minutes.\nTotals of aggregates of those days no longer equal the flows: `tidemark aggregates rebuild` makes them anew.")
	return err
}

// eraseWhenStarted carries on, beside a daemon at work, what was interrupted.
func (d *daemon) eraseWhenStarted(ctx context.Context) {
	for {
		err := d.node.resumeErasure(ctx)
		if err == nil || ctx.Err() != nil {
			return
		}
		d.log.Error().Err(err).Msg("carry on an erasure: tried again in a minute")
		if sleep(ctx, time.Minute) != nil {
			return
		}
	}
}
