package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"
	"go.yaml.in/yaml/v3"

	"tidemark/profile"
	filestamp "tidemark/profile/stamp"
	"tidemark/profile/strict"
)

// exclusionItem is an exclusion as people write it, in flags or in a file.
type exclusionItem struct {
	Device  string   `yaml:"device" json:"device"`
	Kind    string   `yaml:"kind" json:"kind"`
	Family  string   `yaml:"family" json:"family"`
	Peer    string   `yaml:"peer" json:"peer"`
	Service string   `yaml:"service" json:"service"`
	Hours   string   `yaml:"hours" json:"hours"`
	For     Duration `yaml:"for" json:"for"`
	Hard    bool     `yaml:"hard" json:"hard"`
	Reason  string   `yaml:"reason" json:"reason"`
}

// exclusionRequest is what the holder of the ledger is asked.
type exclusionRequest struct {
	Add    []exclusionItem `json:"add"` // devices by id
	Remove []uint64        `json:"remove"`
	Actor  string          `json:"actor"`
	Reason string          `json:"reason"`
}

// exclusionView is an exclusion as people and scripts read it.
type exclusionView struct {
	profile.Exclusion
	ID      string `json:"id"`
	Device  string `json:"device"`
	Service string `json:"service"`
	title   string
}

func exclusionsCommand() *cli.Command {
	scope := func(more ...cli.Flag) []cli.Flag {
		return append([]cli.Flag{
			&cli.StringFlag{Name: "device", Usage: "of this `DEVICE`"},
			&cli.StringFlag{Name: "kind", Usage: "of devices of this `KIND`"},
			&cli.StringFlag{Name: "family", Usage: "of this `DETECTOR`"},
			&cli.StringFlag{Name: "peer", Usage: "with this `PEER`: a device, an address or a network"},
			&cli.StringFlag{Name: "service", Usage: "by this `SERVICE`, such as tcp/22"},
			&cli.StringFlag{Name: "hours", Usage: "at these `HOURS` of the day by the site's clocks (profile.time_zone), such as 22-6"},
			&cli.BoolFlag{Name: "hard", Usage: "of families that are attacks by themselves too; wants a device or a peer"},
		}, more...)
	}
	return &cli.Command{
		Name:  "exclusions",
		Usage: "what shall not alert: narrow, for a time, counted, and part of the record",
		Description: `What an exclusion fits is no alert any more; how often that was, is counted. It names
a device, a kind of device, a peer or a service, and ends by itself (after 90 days,
if --for does not say). Scans, floods, reflection, spoofing and listed addresses
are hidden only with --hard, such as for an authorised scanner.

   tidemark exclusions
   tidemark exclusions preview --device 10.20.1.11 --service tcp/22
   tidemark exclusions add --device 10.20.1.11 --peer 10.20.0.5 --service tcp/22 --for 30d --reason "backup job"
   tidemark exclusions add --device 10.20.0.9 --hard --hours 1-4 --reason "our vulnerability scanner"
   tidemark exclusions add --file exclusions.yaml --reason "agreed in review 12"
   tidemark exclusions remove --reason "the job is gone" 0123456789abcdef
   tidemark exclusions export > exclusions.yaml

A file is a list of such, and is taken whole or not at all:

   - {device: 10.20.1.11, peer: 10.20.0.5, service: tcp/22, for: 30d, reason: backup job}`,
		Flags: []cli.Flag{outputFlag(listForms)},
		Action: func(c *cli.Context) error {
			if err := wantArgs(c, 0, 0, "no argument, or the command add, remove, export or preview"); err != nil {
				return err
			}
			return withStore(c, func(s *store) error { return s.exclusions(c) })
		},
		Subcommands: []*cli.Command{
			{
				Name: "add", Usage: "put exclusions in force; who and why becomes part of the record",
				Flags: scope(append(changeFlags(),
					&cli.StringFlag{Name: "for", Value: "90d", Usage: "`TIME` it holds, such as 12h or 30d"},
					&cli.StringFlag{Name: "file", Usage: "YAML `FILE` with a list of exclusions, instead of flags"})...),
				Action: func(c *cli.Context) error {
					if err := errors.Join(wantArgs(c, 0, 0, "no argument: the scope is given by flags or a file"), wantFlag(c, "reason")); err != nil {
						return err
					}
					return addExclusions(c)
				},
			},
			{
				Name: "remove", Usage: "take exclusions back", ArgsUsage: "EXCLUSION...", Flags: changeFlags(),
				Action: func(c *cli.Context) error {
					if err := errors.Join(wantArgs(c, 1, 1000, "one or more EXCLUSIONs"), wantFlag(c, "reason")); err != nil {
						return err
					}
					return removeExclusions(c)
				},
			},
			{
				Name: "export", Usage: "write those in force as a file that add --file reads",
				Action: func(c *cli.Context) error {
					if err := wantArgs(c, 0, 0, "no argument"); err != nil {
						return err
					}
					return withStore(c, func(s *store) error { return s.exportExclusions(c) })
				},
			},
			{
				Name: "preview", Usage: "say what an exclusion would have hidden of the stored alerts",
				Flags: scope(
					&cli.StringFlag{Name: "since", Value: "90d", Usage: "of alerts after this `TIME` or in this span"}, outputFlag(pageForms)),
				Action: func(c *cli.Context) error {
					if err := wantArgs(c, 0, 0, "no argument: the scope is given by flags"); err != nil {
						return err
					}
					return withStore(c, func(s *store) error { return s.previewExclusion(c) })
				},
			},
		},
	}
}

func (s *store) exclusions(c *cli.Context) error {
	q, err := s.questions()
	if err != nil {
		return err
	}
	found, err := q.Exclusions(c.Context)
	if err != nil {
		return err
	}
	titles := map[uint64]string{}
	devices := []uint64{}
	for _, x := range found {
		if x.Device != 0 {
			devices = append(devices, x.Device)
		}
	}
	known, err := q.Devices(c.Context, profile.DeviceFilter{IDs: devices})
	if err != nil {
		return err
	}
	for _, d := range known {
		titles[d.ID] = d.ShortTitle()
	}
	var views []exclusionView
	for _, x := range found {
		v := exclusionView{Exclusion: x, ID: x.Name(), title: titles[x.Device]}
		if x.Device != 0 {
			v.Device = fmt.Sprintf("%016x", x.Device)
		}
		if x.Port != 0 {
			v.Service = fmt.Sprintf("%s/%d", strings.ToLower(protocolName(x.Proto)), x.Port)
		}
		views = append(views, v)
	}
	return list(c, "exclusions", views, []column[exclusionView]{
		{"exclusion", left, func(v exclusionView) string { return v.ID }, nil},
		{"hides", flex, exclusionView.scope, nil},
		{"hits", right, func(v exclusionView) string { return count(v.Hits) }, func(v exclusionView) string { return fmt.Sprint(v.Hits) }},
		{"until (UTC)", left, func(v exclusionView) string { return stamp(v.Expires)[:16] }, func(v exclusionView) string { return instant(v.Expires) }},
		{"by", flex, func(v exclusionView) string { return v.Actor }, nil},
		{"reason", flex, func(v exclusionView) string { return v.Reason }, nil},
	})
}

// scope is what an exclusion hides, in words.
func (v exclusionView) scope() string {
	var parts []string
	add := func(text, format string) {
		if text != "" {
			parts = append(parts, fmt.Sprintf(format, text))
		}
	}
	if v.Family == "" {
		parts = append(parts, "all")
	}
	add(v.Family, "%s")
	if v.Device != "" {
		title := v.title
		if title == "" {
			title = v.Device
		}
		add(title, "of %s")
	}
	add(v.Kind, "of kind %s")
	add(v.Peer, "with %s")
	add(v.Service, "by %s")
	add(v.Hours, "at hours %s")
	if v.Hard {
		parts = append(parts, "(hard too)")
	}
	return strings.Join(parts, " ")
}

// exclusionOf reads the flags of a scope.
func exclusionOf(c *cli.Context) (exclusionItem, error) {
	x := exclusionItem{
		Device: c.String("device"), Kind: c.String("kind"), Family: c.String("family"), Peer: c.String("peer"),
		Service: c.String("service"), Hours: c.String("hours"), Hard: c.Bool("hard"),
	}
	if text := c.String("for"); text != "" {
		if err := x.For.UnmarshalText([]byte(text)); err != nil {
			return x, usageError{fmt.Errorf("--for: %w", err)}
		}
	}
	return x, nil
}

// named replaces names of devices by their ids; every fault is told.
func (s *store) named(ctx context.Context, x exclusionItem) (exclusionItem, error) {
	var errs []error
	if x.Device != "" {
		d, err := s.device(ctx, x.Device)
		x.Device = fmt.Sprintf("%016x", d.ID)
		errs = append(errs, err)
	}
	if x.Peer != "" && !strings.Contains(x.Peer, "/") {
		if d, err := s.device(ctx, x.Peer); err == nil {
			x.Peer = fmt.Sprintf("%016x", d.ID)
		}
	}
	return x, errors.Join(errs...)
}

// exclusion is the item as package profile takes it. Devices are ids.
func (x exclusionItem) exclusion(now time.Time) (out profile.Exclusion, err error) {
	out = profile.Exclusion{Kind: x.Kind, Family: x.Family, Peer: x.Peer, Hours: x.Hours, Hard: x.Hard, Reason: x.Reason, Expires: now.Add(profile.DefaultExclusion)}
	if x.For != 0 {
		out.Expires = now.Add(time.Duration(x.For))
	}
	var errs []error
	if x.Device != "" {
		out.Device, err = profile.ParseDevice(x.Device)
		errs = append(errs, err)
	}
	if x.Service != "" {
		proto, port, _ := strings.Cut(x.Service, "/")
		n, err := strconv.ParseUint(port, 10, 16)
		out.Proto, out.Port = map[string]uint8{"tcp": 6, "udp": 17, "sctp": 132}[proto], uint16(n)
		if err != nil || n == 0 || out.Proto == 0 {
			errs = append(errs, fmt.Errorf("service: got %q, want one such as tcp/22 or udp/53", x.Service))
		}
	}
	return out, errors.Join(errs...)
}

const (
	maxExclusionFile = 1 << 20 // octets
	maxExclusions    = 1000    // at once
)

// readExclusions reads a file of exclusions, with every fault of how it is written.
func readExclusions(path string) ([]exclusionItem, []strict.Fault, error) {
	text, err := filestamp.Read(path, maxExclusionFile)
	if err != nil {
		return nil, nil, usageError{fmt.Errorf("read exclusions: %w", err)}
	}
	var items []exclusionItem
	faults := strict.Decode(text, &items)
	if len(items) == 0 && len(faults) == 0 {
		return nil, nil, usageError{fmt.Errorf("exclusions %s: got an empty file, want a list; see `tidemark exclusions --help`", path)}
	}
	if len(items) > maxExclusions {
		return nil, nil, usageError{fmt.Errorf("exclusions %s: got %d, want %d at most: wider ones, by network or kind, are read more easily too", path, len(items), maxExclusions)}
	}
	return items, faults, nil
}

// exclusionLine is an exclusion as a file has it.
type exclusionLine struct {
	Device  string `yaml:"device,omitempty"`
	Kind    string `yaml:"kind,omitempty"`
	Family  string `yaml:"family,omitempty"`
	Peer    string `yaml:"peer,omitempty"`
	Service string `yaml:"service,omitempty"`
	Hours   string `yaml:"hours,omitempty"`
	For     string `yaml:"for"`
	Hard    bool   `yaml:"hard,omitempty"`
	Reason  string `yaml:"reason"`
}

// exportExclusions writes those in force as a file that add --file reads; they hold as
// long from then on as they have left now.
func (s *store) exportExclusions(c *cli.Context) error {
	q, err := s.questions()
	if err != nil {
		return err
	}
	found, err := q.Exclusions(c.Context)
	if err != nil {
		return err
	}
	now := time.Now()
	out := []exclusionLine{}
	for _, x := range found {
		left := x.Expires.Sub(now).Round(time.Hour)
		if left <= 0 {
			continue
		}
		e := exclusionLine{Kind: x.Kind, Family: x.Family, Peer: x.Peer, Hours: x.Hours, For: Duration(left).String(), Hard: x.Hard, Reason: x.Reason}
		if x.Device != 0 {
			e.Device = fmt.Sprintf("%016x", x.Device)
		}
		if x.Port != 0 {
			e.Service = fmt.Sprintf("%s/%d", strings.ToLower(protocolName(x.Proto)), x.Port)
		}
		out = append(out, e)
	}
	w := yaml.NewEncoder(c.App.Writer)
	w.SetIndent(2)
	if err := w.Encode(out); err != nil {
		return fmt.Errorf("write exclusions: %w", err)
	}
	return w.Close()
}

func addExclusions(c *cli.Context) error {
	one, err := exclusionOf(c)
	if err != nil {
		return err
	}
	items := []exclusionItem{one}
	where := "exclusion"
	var unread []strict.Fault
	if path := c.String("file"); path != "" {
		if (one != exclusionItem{For: one.For}) {
			return usageError{errors.New("exclusions add: got --file and a scope, want one of them")}
		}
		if items, unread, err = readExclusions(path); err != nil {
			return err
		}
		where = path
	}
	now := time.Now().UTC()
	err = withStore(c, func(s *store) error {
		q, err := s.questions()
		if err != nil {
			return err
		}
		var faults []string
		for _, f := range unread {
			faults = append(faults, f.String())
		}
		previews := make([]string, len(items))
		for i := range items {
			if items[i].Reason == "" {
				items[i].Reason = c.String("reason")
			}
			item, err1 := s.named(c.Context, items[i])
			x, err2 := item.exclusion(now)
			if err := errors.Join(err1, err2, x.Validate(now, profile.DetectorFileNames(s.cfg.Profile.Detectors)...)); err != nil {
				for line := range strings.SplitSeq(err.Error(), "\n") {
					said := fmt.Sprintf("[%d].%s", i, line)
					if !slices.ContainsFunc(unread, func(f strict.Fault) bool {
						return f.Path == fmt.Sprintf("[%d]", i) || strings.HasPrefix(said, f.Path+":")
					}) {
						faults = append(faults, "  "+said)
					}
				}
				continue
			}
			items[i] = item
			p, err := q.Preview(c.Context, x, time.Time{})
			if err != nil {
				return err
			}
			previews[i] = previewText(p)
		}
		if len(faults) > 0 {
			return usageError{fmt.Errorf("%s, nothing was changed:\n%s", where, strings.Join(faults, "\n"))}
		}
		for _, p := range previews {
			fmt.Fprintln(c.App.ErrWriter, p)
		}
		return nil
	})
	if err != nil {
		return err
	}
	req := exclusionRequest{Add: items, Actor: actor(c.String("as")), Reason: c.String("reason")}
	done, err := askNode(c, "/v1/exclusions", req, func(ctx context.Context, n *node) ([]string, error) { return n.changeExclusions(ctx, req) })
	for _, id := range done {
		fmt.Fprintln(c.App.Writer, id)
	}
	if err == nil {
		fmt.Fprintf(c.App.ErrWriter, "%s in force as %s; it is part of the record\n", plural(len(done), "exclusion"), req.Actor)
	}
	return err
}

func removeExclusions(c *cli.Context) error {
	req := exclusionRequest{Actor: actor(c.String("as")), Reason: c.String("reason")}
	for _, name := range c.Args().Slice() {
		id, err := strconv.ParseUint(name, 16, 64)
		if err != nil || len(name) != 16 {
			return usageError{fmt.Errorf("exclusion %q: want its 16 hex digits, as in the first column of `tidemark exclusions`", name)}
		}
		req.Remove = append(req.Remove, id)
	}
	done, err := askNode(c, "/v1/exclusions", req, func(ctx context.Context, n *node) ([]string, error) { return n.changeExclusions(ctx, req) })
	if err == nil {
		fmt.Fprintf(c.App.ErrWriter, "%s removed as %s; it is part of the record\n", plural(len(done), "exclusion"), req.Actor)
	}
	return err
}

func (s *store) previewExclusion(c *cli.Context) error {
	item, err := exclusionOf(c)
	if err != nil {
		return err
	}
	since, err := timeFlag(c, "since")
	if err != nil {
		return err
	}
	if item, err = s.named(c.Context, item); err != nil {
		return err
	}
	now := time.Now().UTC()
	x, err := item.exclusion(now)
	x.Reason = "preview"
	if err := errors.Join(err, x.Validate(now, profile.DetectorFileNames(s.cfg.Profile.Detectors)...)); err != nil {
		return usageError{fmt.Errorf("preview exclusion: %w", err)}
	}
	q, err := s.questions()
	if err != nil {
		return err
	}
	p, err := q.Preview(c.Context, x, since)
	if err != nil {
		return err
	}
	return page(c, p, func(w io.Writer) error {
		_, err := fmt.Fprintln(w, previewText(p))
		return err
	})
}

func previewText(p profile.Preview) string {
	return fmt.Sprintf("would have hidden %s (%d of which people were told) and part of %d more, of %d stored: %s", plural(p.Whole, "alert"), p.Notified, p.Alerts-p.Whole, p.Of, plural(p.Findings, "finding"))
}

// changeExclusions does what was asked, and returns the ids it changed.
func (n *node) changeExclusions(ctx context.Context, req exclusionRequest) (done []string, err error) {
	if strings.TrimSpace(req.Reason) == "" || strings.TrimSpace(req.Actor) == "" {
		return nil, usageError{errors.New("change exclusions: want an actor and a reason")}
	}
	n.scoring.Lock()
	defer n.scoring.Unlock()
	by := profile.By{Actor: req.Actor, Reason: req.Reason, At: time.Now().UTC()}
	var add []profile.Exclusion
	for _, item := range req.Add {
		x, err := item.exclusion(by.At)
		if err != nil {
			return nil, usageError{err}
		}
		add = append(add, x)
	}
	added, err := n.scorer.Exclude(ctx, add, by)
	for i := range added {
		done = append(done, added[i].Name())
	}
	for _, id := range req.Remove {
		if err == nil {
			err = n.scorer.Include(ctx, id, by)
			done = append(done, fmt.Sprintf("%016x", id))
		}
	}
	if isNameFault(err) || errors.Is(err, profile.ErrRefused) {
		err = usageError{err}
	}
	return done, err
}

func (d *daemon) handleExclusions(w http.ResponseWriter, r *http.Request) {
	var req exclusionRequest
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxChange)).Decode(&req); err != nil {
		answer(w, nil, usageError{fmt.Errorf("change exclusions: %w", err)})
		return
	}
	done, err := d.node.changeExclusions(r.Context(), req)
	answer(w, done, err)
}
