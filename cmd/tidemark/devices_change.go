package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"tidemark/enrich/kind"
	"tidemark/profile"
	"tidemark/profile/mud"
	"tidemark/profile/strict"
)

// deviceChange is what the holder of the ledger is asked to do to devices.
type deviceChange struct {
	Action  string       `json:"action"` // name, fact, merge, split, import
	Devices []uint64     `json:"devices"`
	Fact    string       `json:"fact"`
	Value   string       `json:"value"`
	Actor   string       `json:"actor"`
	Reason  string       `json:"reason"`
	From    string       `json:"from"` // of an import: the file
	Items   []importItem `json:"items"`
}

// maxChange bounds a request to the daemon: an import of 100,000 devices.
const maxChange = 64 << 20

func changeFlags(more ...cli.Flag) []cli.Flag {
	return append(more,
		&cli.StringFlag{Name: "reason", Usage: "`WHY`; required"},
		&cli.StringFlag{Name: "as", Usage: "your `NAME`, beside that of this system's user"})
}

// changeDeviceCommands are the commands that change what is said of a device.
// Who and why becomes part of the record.
func changeDeviceCommands() []*cli.Command {
	simple := func(name, usage, example, fact, value string, undo string) *cli.Command {
		return &cli.Command{
			Name: name, Usage: usage, ArgsUsage: "DEVICE...",
			Description: "   " + example + "\n   tidemark devices " + name + " --undo --reason \"a mistake\" 10.20.1.11",
			Flags:       changeFlags(&cli.BoolFlag{Name: "undo", Usage: undo}),
			Action: func(c *cli.Context) error {
				if err := errors.Join(wantArgs(c, 1, 1000, "one or more DEVICEs"), wantFlag(c, "reason")); err != nil {
					return err
				}
				if c.Bool("undo") {
					value = ""
				}
				return changeDevices(c, c.Args().Slice(), deviceChange{Action: "fact", Fact: fact, Value: value})
			},
		}
	}
	return []*cli.Command{
		simple("approve", "say that a device belongs here", `tidemark devices approve --reason "ordered by IT, ticket 412" 10.20.1.11`, profile.FactApproved, "yes", "take it back"),
		simple("retire", "say that a device is gone; its history stays", `tidemark devices retire --reason "scrapped" 10.20.1.11`, profile.FactRetired, "yes", "it is back"),
		{
			Name: "name", Usage: "give a device the name people use for it", ArgsUsage: "DEVICE NAME",
			Description: "An empty NAME takes the name back.\n\n   tidemark devices name --reason \"it hangs there\" 10.20.1.11 lobby",
			Flags:       changeFlags(),
			Action: func(c *cli.Context) error {
				if err := errors.Join(wantArgs(c, 2, 2, "a DEVICE and a NAME"), wantFlag(c, "reason")); err != nil {
					return err
				}
				return changeDevices(c, c.Args().Slice()[:1], deviceChange{Action: "name", Value: strings.TrimSpace(c.Args().Get(1))})
			},
		},
		{
			Name: "label", Usage: "say something of a device: criticality, zone, owner, note or tags", ArgsUsage: "DEVICE FACT=VALUE",
			Description: "An empty VALUE takes it back.\n\n   tidemark devices label --reason \"patient care\" 10.20.1.11 criticality=high\n   tidemark devices label --reason \"moved\" 10.20.1.11 zone=ward-3",
			Flags:       changeFlags(),
			Action: func(c *cli.Context) error {
				if err := errors.Join(wantArgs(c, 2, 2, "a DEVICE and FACT=VALUE"), wantFlag(c, "reason")); err != nil {
					return err
				}
				fact, value, ok := strings.Cut(c.Args().Get(1), "=")
				if !ok || !slices.Contains(profile.LabelFacts(), fact) {
					return usageError{fmt.Errorf("label: got %q, want one of %s, with = and a value", c.Args().Get(1), strings.Join(profile.LabelFacts(), ", "))}
				}
				if fact == "criticality" && value != "" && !slices.Contains(kind.Levels, value) {
					return usageError{fmt.Errorf("label: criticality: got %q%s", value, strict.DidYouMean(value, kind.Levels))}
				}
				return changeDevices(c, c.Args().Slice()[:1], deviceChange{Action: "fact", Fact: fact, Value: strings.TrimSpace(value)})
			},
		},
		{
			Name: "mud", Usage: "attach a MUD profile (RFC 8520), by URL or file", ArgsUsage: "DEVICE URL|FILE",
			Description: "A device is judged by its file: what that does not permit is an alert (detectors show mud).\nThe file is read anew when it changes. A URL is noted and not fetched, so nothing is judged\nby it. An empty URL takes either off.\n\n   tidemark devices mud --reason \"from the maker\" 10.20.1.11 https://example.com/camera.json",
			Flags:       changeFlags(),
			Action: func(c *cli.Context) error {
				if err := errors.Join(wantArgs(c, 2, 2, "a DEVICE and a URL or FILE"), wantFlag(c, "reason")); err != nil {
					return err
				}
				where, err := mudProfile(c.Args().Get(1))
				if err != nil {
					return err
				}
				if err := sayUnjudged(c.App.ErrWriter, where); err != nil {
					return err
				}
				return changeDevices(c, c.Args().Slice()[:1], deviceChange{Action: "fact", Fact: profile.FactMUD, Value: where})
			},
		},
		{
			Name: "merge", Usage: "say that devices are one: the others' history joins that of the first", ArgsUsage: "DEVICE OTHER...",
			Description: "Stored flows keep their ids; whoever asks for the first gets them too.\n\n   tidemark devices merge --reason \"cable and Wi-Fi of one box\" 00:40:8c:12:34:56 00:40:8c:12:34:57",
			Flags:       changeFlags(),
			Action: func(c *cli.Context) error {
				if err := errors.Join(wantArgs(c, 2, 1000, "a DEVICE and one or more others"), wantFlag(c, "reason")); err != nil {
					return err
				}
				return changeDevices(c, c.Args().Slice(), deviceChange{Action: "merge"})
			},
		},
		{
			Name: "split", Usage: "take ids out of a device again, all or those named", ArgsUsage: "DEVICE [ID...]",
			Description: "`tidemark devices show` lists the ids of a device. An id that was split is not joined again.\n\n   tidemark devices split --reason \"two phones of one name\" 10.20.1.11\n   tidemark devices split --reason \"another phone\" 10.20.1.11 0123456789abcdef",
			Flags:       changeFlags(),
			Action: func(c *cli.Context) error {
				if err := errors.Join(wantArgs(c, 1, 1000, "a DEVICE, and ids"), wantFlag(c, "reason")); err != nil {
					return err
				}
				req := deviceChange{Action: "split"}
				for _, name := range c.Args().Tail() {
					id, err := profile.ParseDevice(name)
					if err != nil {
						return usageError{err}
					}
					req.Devices = append(req.Devices, id)
				}
				return changeDevices(c, c.Args().Slice()[:1], req)
			},
		},
	}
}

// mudProfile checks what a MUD profile is attached by: an https URL, or a file
// that holds one.
func mudProfile(where string) (string, error) {
	if where == "" || strings.HasPrefix(where, "https://") {
		return where, nil
	}
	if _, err := mud.Read(where); err != nil {
		return "", usageError{fmt.Errorf("mud: %w; want a file, or a URL that begins with https:// (RFC 8520, Section 5.1)", err)}
	}
	return filepath.Abs(where)
}

// sayUnjudged says what of a MUD profile devices cannot be judged by.
func sayUnjudged(w io.Writer, where string) error {
	if where == "" {
		return nil
	}
	if strings.HasPrefix(where, "https://") {
		_, err := fmt.Fprintln(w, "a URL is noted and not fetched: attach the file to have the device judged by it")
		return err
	}
	p, err := mud.Read(where)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "%s: %s\n", where, plural(len(p.Rules), "rule"))
	for _, note := range p.Notes {
		fmt.Fprintf(w, "not judged: %s\n", printable(note))
	}
	return nil
}

// changeDevices finds the devices named and has them changed by whoever holds the
// ledger: the daemon, or this process.
func changeDevices(c *cli.Context, names []string, req deviceChange) error {
	req.Actor, req.Reason = actor(c.String("as")), c.String("reason")
	var titles []string
	err := withStore(c, func(s *store) error {
		var ids []uint64
		for _, name := range names {
			d, err := s.device(c.Context, name)
			if err != nil {
				return err
			}
			ids, titles = append(ids, d.ID), append(titles, d.Title())
		}
		req.Devices = append(ids, req.Devices...)
		return nil
	})
	if err != nil {
		return err
	}
	if _, err := askToChange(c, req); err != nil {
		return err
	}
	what := c.Command.Name
	if c.Bool("undo") {
		what += " taken back"
	}
	fmt.Fprintf(c.App.ErrWriter, "%s: %s, as %s; it is part of the record\n", what, printable(strings.Join(titles, "; ")), req.Actor)
	return nil
}

// changed is how many devices a request changed.
type changed struct {
	Changed int `json:"changed"`
}

func askToChange(c *cli.Context, req deviceChange) (changed, error) {
	return askNode(c, "/v1/device", req, func(ctx context.Context, n *node) (changed, error) { return n.changeDevice(ctx, req) })
}

// changeDevice does what was asked.
func (n *node) changeDevice(ctx context.Context, req deviceChange) (done changed, err error) {
	if strings.TrimSpace(req.Reason) == "" || strings.TrimSpace(req.Actor) == "" {
		return done, usageError{errors.New("change a device: want an actor and a reason")}
	}
	n.scoring.Lock()
	defer n.scoring.Unlock()
	by := profile.By{Actor: req.Actor, Reason: req.Reason, At: time.Now().UTC()}
	if req.Action == "import" {
		done.Changed, err = n.importItems(ctx, req, by)
	} else {
		done.Changed, err = n.changeNamed(ctx, req, by)
	}
	if isNameFault(err) || errors.Is(err, profile.ErrRefused) {
		err = usageError{err}
	}
	return done, err
}

func (n *node) changeNamed(ctx context.Context, req deviceChange, by profile.By) (int, error) {
	ids := req.Devices
	if req.Action == "split" {
		ids = ids[:min(1, len(ids))]
	}
	var devices []profile.Device
	for _, id := range ids {
		d, err := n.scorer.Device(ctx, fmt.Sprintf("%016x", id))
		if err != nil {
			return 0, err
		}
		devices = append(devices, d)
	}
	if len(devices) == 0 {
		return 0, usageError{errors.New("change a device: which one?")}
	}
	switch req.Action {
	case "merge":
		return len(devices), n.scorer.Merge(ctx, devices[0], devices[1:], by)
	case "split":
		return 1, n.scorer.Split(ctx, devices[0], req.Devices[1:], by)
	}
	for i, d := range devices {
		var err error
		switch req.Action {
		case "name":
			err = n.scorer.SetLabel(ctx, d, req.Value, by)
		case "fact":
			err = n.scorer.SetFact(ctx, d, req.Fact, req.Value, by)
		default:
			err = usageError{fmt.Errorf("change a device: no action %q", req.Action)}
		}
		if err != nil {
			return i, err
		}
	}
	return len(devices), nil
}

func (d *daemon) handleDevice(w http.ResponseWriter, r *http.Request) {
	var req deviceChange
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxChange)).Decode(&req); err != nil {
		answer(w, nil, usageError{fmt.Errorf("change a device: %w", err)})
		return
	}
	done, err := d.node.changeDevice(r.Context(), req)
	answer(w, done, err)
}
