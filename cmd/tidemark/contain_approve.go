package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/urfave/cli/v2"

	"tidemark/profile"
)

// ContainConfig is what may be done about a device, beyond telling.
type ContainConfig struct {
	Hook string `yaml:"hook" doc:"program that applies a plan a person approved and takes it back, as docs/operations.md says; empty = people do that by hand"`
}

func (c ContainConfig) validate(fault func(path, format string, args ...any)) {
	if c.Hook == "" {
		return
	}
	info, err := os.Stat(c.Hook)
	if !filepath.IsAbs(c.Hook) || err != nil || !info.Mode().IsRegular() || info.Mode()&0o111 == 0 {
		fault("contain.hook", "got %q, want the absolute path of a program that can be run", c.Hook)
	}
}

// containRequest is what the holder of the ledger is asked: one or the other.
type containRequest struct {
	Approve *profile.Containment `json:"approve,omitempty"`
	Device  uint64               `json:"device,omitempty"` // of Approve
	Sure    bool                 `json:"sure,omitempty"`
	Lift    string               `json:"lift,omitempty"`
	Actor   string               `json:"actor"`
	Reason  string               `json:"reason"`
}

// containment is what became of a request.
type containment struct {
	State string `json:"state"`
	Error string `json:"error,omitempty"`
}

func askToContain(c *cli.Context, req containRequest) (containment, error) {
	req.Actor, req.Reason = actor(c.String("as")), c.String("reason")
	return askNode(c, "/v1/contain", req, func(ctx context.Context, n *node) (containment, error) { return n.contain(ctx, req) })
}

func approve(c *cli.Context, x profile.Containment) error {
	done, err := askToContain(c, containRequest{Approve: &x, Device: x.Device, Sure: c.Bool("critical")})
	if err != nil {
		return err
	}
	w := c.App.ErrWriter
	fmt.Fprintf(w, "%s is approved until %s; it is part of the record\n", x.Name, x.Expires.Format("2006-01-02 15:04 UTC"))
	switch {
	case done.Error != "":
		return fmt.Errorf("apply %s: %s; it is %s, see `tidemark contain list`", x.Name, done.Error, done.State)
	case done.State == profile.ContainByHand:
		fmt.Fprintf(w, "nothing was applied: no contain.hook is configured, so apply the filter by hand, and take it back then\n")
	default:
		fmt.Fprintf(w, "contain.hook %s it\n", done.State)
	}
	return nil
}

func containListCommand() *cli.Command {
	return &cli.Command{
		Name: "list", Usage: "list the plans that people approved and that have not ended",
		Flags: []cli.Flag{&cli.BoolFlag{Name: "all", Usage: "those that have ended too"}, outputFlag(listForms)},
		Action: func(c *cli.Context) error {
			if err := wantArgs(c, 0, 0, "no argument"); err != nil {
				return err
			}
			return withStore(c, func(s *store) error {
				q, err := s.questions()
				if err != nil {
					return err
				}
				found, err := q.Containments(c.Context, c.Bool("all"))
				if err != nil {
					return err
				}
				return list(c, "plans of containment", found, []column[profile.Containment]{
					{title: "PLAN", cell: func(x profile.Containment) string { return x.Name }},
					{title: "DEVICE", kind: flex, cell: func(x profile.Containment) string { return x.Title }},
					{title: "STATE", cell: func(x profile.Containment) string { return x.State }},
					{title: "UNTIL", cell: func(x profile.Containment) string { return x.Expires.Format("2006-01-02 15:04 UTC") }},
					{title: "APPROVED BY", cell: func(x profile.Containment) string { return x.Actor }},
					{title: "REASON", kind: flex, cell: func(x profile.Containment) string { return x.Reason }},
					{title: "LAST ERROR", kind: flex, cell: func(x profile.Containment) string { return x.Said }},
				})
			})
		},
	}
}

func containLiftCommand() *cli.Command {
	return &cli.Command{
		Name: "lift", Usage: "end a plan before its time", ArgsUsage: "PLAN", Flags: changeFlags(),
		Description: `The program of contain.hook takes it back, and is asked again until it has. If it
cannot, take the filter back by hand and lift the plan once more, which says so.

   tidemark contain lift --reason "cleaned" tidemark-0123456789abcdef`,
		Action: func(c *cli.Context) error {
			if err := errors.Join(wantArgs(c, 1, 1, "one PLAN, as in the first column of `tidemark contain list`"), wantFlag(c, "reason")); err != nil {
				return err
			}
			name := c.Args().First()
			done, err := askToContain(c, containRequest{Lift: name})
			switch {
			case err != nil:
				return err
			case done.Error != "":
				return fmt.Errorf("take %s back: %s; the daemon tries again until it is done", name, done.Error)
			}
			fmt.Fprintf(c.App.ErrWriter, "%s is %s; it is part of the record\n", name, done.State)
			return nil
		},
	}
}

// contain does what was asked, and at once what that makes due.
func (n *node) contain(ctx context.Context, req containRequest) (done containment, err error) {
	n.containing.Lock()
	defer n.containing.Unlock()
	by := profile.By{Actor: req.Actor, Reason: req.Reason, At: time.Now().UTC().Truncate(time.Millisecond)}
	name := req.Lift
	if x := req.Approve; x != nil {
		name = x.Name
		var d profile.Device
		if d, err = n.scorer.Device(ctx, fmt.Sprintf("%016x", req.Device)); err == nil {
			err = n.scorer.Contain(ctx, d, *x, req.Sure, n.cfg.Contain.Hook != "", by)
		}
	} else {
		err = n.scorer.Lift(ctx, name, by)
	}
	if isNameFault(err) || errors.Is(err, profile.ErrRefused) {
		err = usageError{err}
	}
	if err != nil {
		return done, err
	}
	failed := n.scorer.Enforce(ctx, n.cfg.Contain.Hook, by.At)
	all, err := n.scorer.Containments(ctx, true)
	if err != nil {
		return done, errors.Join(failed, err)
	}
	for i := range all { // the newest of this name comes first
		if all[i].Name == name {
			return containment{State: all[i].State, Error: all[i].Said}, nil
		}
	}
	return done, errors.Join(failed, fmt.Errorf("contain: plan %s is not stored", name))
}

func (d *daemon) handleContain(w http.ResponseWriter, r *http.Request) {
	var req containRequest
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxChange)).Decode(&req); err != nil {
		answer(w, nil, usageError{fmt.Errorf("contain: %w", err)})
		return
	}
	done, err := d.node.contain(context.WithoutCancel(r.Context()), req) // begun, it is not for the client to stop
	answer(w, done, err)
}

// enforceEvery is how late a plan may end.
const enforceEvery = 10 * time.Second

// enforce ends plans whose time is over, and asks the hook again where it failed.
func (d *daemon) enforce(ctx context.Context) {
	for sleep(ctx, enforceEvery) == nil {
		d.node.containing.Lock()
		err := d.node.scorer.Enforce(ctx, d.cfg.Contain.Hook, time.Now().UTC())
		d.node.containing.Unlock()
		if err != nil && ctx.Err() == nil {
			d.log.Error().Err(err).Msg("contain: tried again; see: tidemark contain list")
		}
	}
}
