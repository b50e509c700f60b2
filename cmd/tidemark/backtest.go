package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rs/zerolog"
	"github.com/urfave/cli/v2"

	"tidemark/profile"
	"tidemark/profile/strict"
)

// trialView is a line of a backtest as people and scripts read it.
type trialView struct {
	profile.Trial
	Device string `json:"device"`
	title  string
}

// backtestView is a whole backtest.
type backtestView struct {
	profile.Backtest
	PerDeviceDay float64     `json:"notified_per_device_day"`
	Lines        []trialView `json:"lines"`
}

func backtestCommand() *cli.Command {
	return &cli.Command{
		Name:  "backtest",
		Usage: "what detectors with other parameters would have found; nothing is written",
		Description: `Runs detectors over the aggregates that are stored and sets what they find beside the
stored alerts: new, gone or same. Try a change here before it goes into the
configuration (profile.tune).

Contacts of each batch are kept 14 days and gone through by the hour. Older days are gone
through at once, from edges (kept 180 days) and hours (400 days); what needs minutes or
single flows (scans, floods, log-ins, beats ...) is not judged there, and said.

   tidemark backtest --last 7d
   tidemark backtest --last 30d --at-most 20m
   tidemark backtest --last 14d --detector scan --tune net_5m=12
   tidemark backtest --detector scan --detector volume --tune scan.net_5m=12 --tune volume.min_z=8`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "last", Value: "14d", Usage: "`SPAN` before the newest flow, up to 180d"},
			&cli.DurationFlag{Name: "at-most", Usage: "stop after this `TIME` and show what was found till then; 0 = go on to the end"},
			&cli.StringSliceFlag{Name: "detector", Usage: "`NAME` of a detector to run; else all that are on"},
			&cli.StringSliceFlag{Name: "tune", Usage: "`PARAMETER=VALUE` of the only detector, or DETECTOR.PARAMETER=VALUE"},
			outputFlag(pageForms),
		},
		Action: func(c *cli.Context) error {
			if err := wantArgs(c, 0, 0, "no argument"); err != nil {
				return err
			}
			return withStore(c, func(s *store) error { return s.backtest(c) })
		},
	}
}

// tried is the configuration of a backtest.
func (s *store) tried(c *cli.Context) (profile.Config, error) {
	cfg := s.cfg.profile()
	chosen := c.StringSlice("detector")
	var names []string
	for _, d := range profile.Detectors() {
		names = append(names, d.Name)
	}
	names = append(names, profile.DetectorFileNames(cfg.Detectors)...)
	for _, name := range names {
		if len(chosen) > 0 && !slices.Contains(chosen, name) {
			cfg.Disabled = append(cfg.Disabled, name)
		}
	}
	var errs []error
	for _, name := range chosen {
		if !slices.Contains(names, name) {
			errs = append(errs, fmt.Errorf("--detector: no detector %q%s", name, strict.DidYouMean(name, names)))
		}
		cfg.Disabled = slices.DeleteFunc(cfg.Disabled, func(d string) bool { return d == name })
	}
	cfg.Parameters = maps.Clone(cfg.Parameters)
	for _, tune := range c.StringSlice("tune") {
		key, text, _ := strings.Cut(tune, "=")
		name, parameter, ok := strings.Cut(key, ".")
		if !ok && len(chosen) == 1 {
			name, parameter = chosen[0], key
		}
		value, err := strconv.ParseFloat(text, 64)
		if err != nil || parameter == "" {
			errs = append(errs, fmt.Errorf("--tune: got %q, want DETECTOR.PARAMETER=NUMBER such as scan.net_5m=12; with one --detector its name may be left out", tune))
			continue
		}
		own := maps.Clone(cfg.Parameters[name])
		if own == nil {
			own = map[string]float64{}
		}
		own[parameter] = value
		cfg.Parameters[name] = own
	}
	if err := errors.Join(append(errs, cfg.Validate())...); err != nil {
		return cfg, usageError{err}
	}
	return cfg, nil
}

func (s *store) backtest(c *cli.Context) error {
	cfg, err := s.tried(c)
	if err != nil {
		return err
	}
	var last Duration
	if err := last.UnmarshalText([]byte(c.String("last"))); err != nil || last <= 0 || last > Duration(180*24*time.Hour) {
		return usageError{fmt.Errorf("--last: got %q, want a span such as 7d or 12h, 180d at most: edges are kept that long", c.String("last"))}
	}
	if c.Duration("at-most") < 0 {
		return usageError{fmt.Errorf("--at-most: got %s, want a time such as 20m", c.Duration("at-most"))}
	}
	q, err := profile.New(s.db, cfg, nil, zerolog.Nop())
	if err != nil {
		return err
	}
	newest, err := q.Reached(c.Context)
	if err != nil {
		return err
	}
	if newest.IsZero() {
		return errors.New("backtest: no contacts are stored; collect something first")
	}
	day := ""
	result, err := q.Backtest(c.Context, newest.Add(-time.Duration(last)), c.Duration("at-most"), func(at time.Time) {
		if d := at.Format(time.DateOnly); d != day {
			day = d
			fmt.Fprintf(c.App.ErrWriter, "judging %s\n", d)
		}
	})
	if err != nil {
		return err
	}
	var ids []uint64
	for _, t := range result.Lines {
		ids = append(ids, t.Device)
	}
	titles := map[uint64]string{}
	if len(ids) > 0 {
		devices, err := q.Devices(c.Context, profile.DeviceFilter{IDs: ids})
		if err != nil {
			return err
		}
		for _, d := range devices {
			for _, id := range append([]uint64{d.ID}, d.Members...) {
				titles[id] = d.ShortTitle()
			}
		}
	}
	v := backtestView{Backtest: result, Lines: []trialView{}}
	if result.DeviceDays > 0 {
		v.PerDeviceDay = float64(result.Notified) / float64(result.DeviceDays)
	}
	for _, t := range result.Lines {
		id := fmt.Sprintf("%016x", t.Device)
		title := titles[t.Device]
		if title == "" {
			title = id
		}
		v.Lines = append(v.Lines, trialView{t, id, title})
	}
	return page(c, v, v.write)
}

func (v backtestView) write(w io.Writer) error {
	columns := []column[trialView]{
		{"is", left, func(t trialView) string { return string(t.Outcome) }, nil},
		{"since (UTC)", left, func(t trialView) string { return stamp(t.Since)[5:16] }, nil},
		{"device", flex, func(t trialView) string { return t.title }, nil},
		{"what", left, func(t trialView) string { return t.Family }, nil},
		{"score", right, func(t trialView) string { return fmt.Sprint(t.Score) }, nil},
		{"told", left, func(t trialView) string { return map[bool]string{true: "yes"}[t.Notified] }, nil},
		{"observed", flex, func(t trialView) string { return t.Observed }, nil},
	}
	if len(v.Lines) > 0 {
		t := grid(v.Lines, fit(w, v.Lines, columns))
		t.SetStyle(tableStyle())
		for line := range strings.Lines(t.Render()) {
			if _, err := fmt.Fprintln(w, strings.TrimRight(line, " \n")); err != nil {
				return err
			}
		}
		fmt.Fprintln(w)
	}
	counts := map[profile.Outcome]int{}
	for _, t := range v.Lines {
		counts[t.Outcome]++
	}
	if v.Older > 0 {
		fmt.Fprintf(w, "%s by the day, of which no contacts are kept any more", plural(v.Older, "day"))
		if len(v.Untimed) > 0 {
			fmt.Fprintf(w, ": not judged there by %s", strings.Join(v.Untimed, ", "))
		}
		fmt.Fprintln(w)
	}
	if v.Stopped {
		fmt.Fprintln(w, "Stopped before the end: time was up, or more alerts than are kept in memory.")
	}
	_, err := fmt.Fprintf(w, "%s to %s UTC, %s device-days (%s learned)\nwould have been: %s, people told of %d, %.4f a device and day\nstored:          %s, people told of %d\nfindings: %d new, %d gone, %d same\nNothing was written.\n",
		stamp(v.Since)[:16], stamp(v.Until)[:16], count(v.DeviceDays), count(v.LearnedDays), plural(v.Alerts, "alert"), v.Notified, v.PerDeviceDay,
		plural(v.Before, "alert"), v.BeforeTold, counts[profile.OutcomeNew], counts[profile.OutcomeGone], counts[profile.OutcomeSame])
	return err
}
