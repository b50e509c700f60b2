package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"github.com/urfave/cli/v2"

	"tidemark/collector/flow"
	"tidemark/enrich/classifier"
	"tidemark/enrich/kind"
	"tidemark/enrich/names"
	"tidemark/profile/strict"
	"tidemark/storage"
)

// openClassifier makes the classifier of a site; record takes decisions to the
// ledger, nil for a command that only asks.
func (c Config) openClassifier(db *storage.DB, record func(ctx context.Context, actor string, body map[string]any) error) (*classifier.Classifier, error) {
	rules, err := c.rules()
	if err != nil {
		return nil, err
	}
	return classifier.New(db, classifier.Config{Site: c.Site, Rules: rules, Vendor: c.vendors().Name, Record: record}), nil
}

// kinds opens the classifier for asking only.
func (s *store) kinds() (*classifier.Classifier, error) { return s.cfg.openClassifier(s.db, nil) }

// openNames makes the book of names, and what the collector calls with packets.
func (c Config) openNames(db *storage.DB, log zerolog.Logger, metrics prometheus.Registerer) (*names.Book, func(*flow.Batch, int, []byte), error) {
	book, err := names.New(db, names.Config{Site: c.Site, Inside: c.inside, Log: log, Registerer: metrics})
	if err != nil || !c.Names.Sampled {
		return book, nil, err
	}
	return book, func(b *flow.Batch, i int, payload []byte) {
		book.Observe(&names.Packet{
			Received: b.TimeReceived[i], Src: b.SrcAddr[i], Dst: b.DstAddr[i], SrcMAC: b.SrcMAC[i], DstMAC: b.DstMAC[i],
			TCP: b.Proto[i] == 6, SrcPort: b.SrcPort[i], DstPort: b.DstPort[i], Payload: payload,
		})
	}, nil
}

const (
	// classifyPause is how often devices that are due are looked for, beside
	// the scorer.
	classifyPause = time.Minute

	// classifyDrain bounds what a command or a stopping daemon spends on it.
	classifyDrain = 5 * time.Second
)

// nameAndSort stores names and classifies devices until ctx ends.
func (n *node) nameAndSort(ctx context.Context) {
	stored := make(chan struct{})
	go func() { defer close(stored); n.names.Run(ctx) }()
	defer func() { <-stored }()
	if n.cfg.Names.Reverse {
		asked := make(chan struct{})
		reverser := names.NewReverser(n.names, net.DefaultResolver, time.Now)
		go func() { defer close(asked); reverser.Run(ctx) }()
		defer func() { <-asked }()
	}
	tick := time.NewTicker(classifyPause)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			n.classify(ctx, classifyPause/4)
		}
	}
}

// classify classifies what is due, for at most so long. A failure costs only
// time: what is due stays due.
func (n *node) classify(ctx context.Context, atMost time.Duration) {
	for begun := time.Now(); ; {
		done, err := n.kinds.Update(ctx)
		if err != nil && ctx.Err() == nil {
			n.log.Error().Err(err).Msg("classify devices: tried again in a minute")
		}
		if err != nil || done == 0 || time.Since(begun) > atMost {
			return
		}
	}
}

// whyCommand explains the kind of one device.
func whyCommand() *cli.Command {
	return &cli.Command{
		Name: "why", Usage: "why a device is taken for what it is: the evidence, term by term", ArgsUsage: "DEVICE",
		Description: `DEVICE is a MAC, an address, an id of 16 hex digits or a label. The evidence is weighed
anew, by the rules in force now.

   tidemark devices why 00:40:8c:12:34:56
   tidemark devices why --output json 10.20.1.11`,
		Flags: []cli.Flag{outputFlag(pageForms)},
		Action: func(c *cli.Context) error {
			if err := wantArgs(c, 1, 1, "one DEVICE"); err != nil {
				return err
			}
			return withStore(c, func(s *store) error { return s.why(c) })
		},
	}
}

// whyView is the answer of `devices why`.
type whyView struct {
	Device  deviceView      `json:"device"`
	Kind    classifier.Kind `json:"kind"`
	Verdict kind.Verdict    `json:"verdict"`
	Facts   factsView       `json:"facts"`
	// Zone and Criticality are what people said of the device, else those of the
	// configuration, else the kind's own.
	Zone        string `json:"zone"`
	Criticality string `json:"criticality"`
	rules       *kind.Rules
}

type factsView struct {
	Vendor string            `json:"vendor"`
	Hints  []classifier.Hint `json:"hints"`
}

func (s *store) why(c *cli.Context) error {
	d, err := s.device(c.Context, c.Args().First())
	if err != nil {
		return err
	}
	k, err := s.kinds()
	if err != nil {
		return err
	}
	verdict, facts, err := k.Why(c.Context, d.ID)
	if err != nil {
		return err
	}
	stored, err := k.Kinds(c.Context, []uint64{d.ID})
	if err != nil {
		return err
	}
	rules, err := s.cfg.rules()
	if err != nil {
		return err
	}
	if facts.Hints == nil {
		facts.Hints = []classifier.Hint{}
	}
	view := whyView{Device: viewDevice(d), Kind: stored[d.ID], Verdict: verdict, Facts: factsView{facts.Vendor, facts.Hints}, rules: rules}
	zone, _ := kind.ZoneOf(s.cfg.zones(), d.Label, d.Addresses)
	view.Zone = cmp.Or(d.Facts["zone"], zone.Name)
	view.Criticality = cmp.Or(d.Facts["criticality"], zone.Criticality, view.Kind.Criticality, verdict.Criticality)
	return page(c, view, func(w io.Writer) error { return view.write(w, d.Title()) })
}

func (v whyView) write(w io.Writer, title string) error {
	line := func(name, format string, args ...any) {
		fmt.Fprintf(w, "%-10s %s\n", name, printable(fmt.Sprintf(format, args...)))
	}
	line("device", "%s", title)
	if v.Zone != "" {
		line("zone", "%s", v.Zone)
	}
	line("criticality", "%s", cmp.Or(v.Criticality, "not known"))
	if v.Kind.Actor != "" {
		line("kind", "%s, decided by %s on %s UTC: %s", v.Kind.Title, v.Kind.Actor, stamp(v.Kind.Decided), v.Kind.Reason)
		line("the rules", "%s", verdictText(v.Verdict))
	} else {
		line("kind", "%s", verdictText(v.Verdict))
	}
	if len(v.Verdict.Terms) == 0 {
		line("evidence", "nothing that a rule speaks of was seen yet")
		return nil
	}
	best, next := v.rules.Kind(v.Verdict.Scores[0].Kind), v.rules.Kind(v.Verdict.Scores[1].Kind)
	fmt.Fprintf(w, "\nfor %s (%.0f %%) and next %s (%.0f %%), in nats:\n", best.Title, 100*v.Verdict.Scores[0].Probability, next.Title, 100*v.Verdict.Scores[1].Probability)
	for _, t := range v.Verdict.Terms {
		fmt.Fprintf(w, "  %+5.1f  %+5.1f  %-9s  %s  (%s)\n", t.For(best), t.For(next), t.Group, printable(t.Text), t.Rule)
	}
	_, err := fmt.Fprintf(w, "\nA group adds at most its cap. If this is wrong: tidemark devices kind --reason WHY %s KIND\n", v.Device.ID)
	return err
}

func verdictText(v kind.Verdict) string {
	switch {
	case v.Kind != kind.Unknown:
		return fmt.Sprintf("%s (%.0f %%)", v.Title, 100*v.Probability)
	case v.IoT == kind.IsIoT:
		return fmt.Sprintf("IoT (%.0f %%), which kind is not clear", 100*v.Probability)
	case v.IoT == kind.NotIoT:
		return fmt.Sprintf("not IoT (%.0f %%), which kind is not clear", 100*v.Probability)
	}
	return "not known: the evidence is not enough"
}

// kindCommand lets people say what a device is.
func kindCommand() *cli.Command {
	return &cli.Command{
		Name: "kind", Usage: "say what a device is, against the rules; who and why becomes part of the record", ArgsUsage: "DEVICE KIND",
		Description: `KIND is one of the kinds of the rules, or "auto" to go by the rules again.

   tidemark devices kind --reason "door station" 10.20.1.11 camera
   tidemark devices kind --reason "replaced" 10.20.1.11 auto`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "reason", Usage: "`WHY`; required"},
			&cli.StringFlag{Name: "as", Usage: "your `NAME`, beside that of this system's user"},
		},
		Action: func(c *cli.Context) error {
			if err := wantArgs(c, 2, 2, "a DEVICE and a KIND"); err != nil {
				return err
			}
			if err := wantFlag(c, "reason"); err != nil {
				return err
			}
			return decideKind(c)
		},
	}
}

// kindRequest is what the daemon is asked when it runs.
type kindRequest struct {
	Device uint64 `json:"device"`
	Kind   string `json:"kind"`
	Actor  string `json:"actor"`
	Reason string `json:"reason"`
}

// decideKind goes through whoever holds the ledger: the daemon, or this process.
func decideKind(c *cli.Context) error {
	req := kindRequest{Kind: c.Args().Get(1), Actor: actor(c.String("as")), Reason: c.String("reason")}
	title := ""
	err := withStore(c, func(s *store) error {
		d, err := s.device(c.Context, c.Args().First())
		req.Device, title = d.ID, d.Title()
		return err
	})
	if err != nil {
		return err
	}
	_, err = askNode(c, "/v1/kind", req, func(ctx context.Context, n *node) (struct{}, error) { return struct{}{}, n.decideKind(ctx, req) })
	if err == nil {
		fmt.Fprintf(c.App.ErrWriter, "%s: kind %s, as %s; it is part of the record\n", printable(title), req.Kind, req.Actor)
	}
	return err
}

func (n *node) decideKind(ctx context.Context, req kindRequest) error {
	rules, err := n.cfg.rules()
	if err != nil {
		return err
	}
	id := req.Kind
	if id == "auto" {
		id = kind.Unknown
	} else if rules.Kind(id).ID == "" {
		return usageError{fmt.Errorf("no kind %q%s; want auto or one of %s", id, strict.DidYouMean(id, rules.KindNames()), strings.Join(rules.KindNames(), ", "))}
	}
	if req.Device == 0 || strings.TrimSpace(req.Reason) == "" || strings.TrimSpace(req.Actor) == "" {
		return usageError{errors.New("decide a kind: want a device, an actor and a reason")}
	}
	return n.kinds.Decide(ctx, req.Device, id, req.Actor, req.Reason, time.Now().UTC())
}

func (d *daemon) handleKind(w http.ResponseWriter, r *http.Request) {
	var req kindRequest
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 64<<10)).Decode(&req); err != nil {
		answer(w, nil, usageError{fmt.Errorf("decide a kind: %w", err)})
		return
	}
	answer(w, struct{}{}, d.node.decideKind(r.Context(), req))
}
