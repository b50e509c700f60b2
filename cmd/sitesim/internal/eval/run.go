package eval

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"tidemark/cmd/sitesim/internal/trial"
)

// Options say what to evaluate.
type Options struct {
	Program  string        // the collector's binary
	Parts    []string      // see Parts
	Sets     []string      // Tuning, Sealed
	Budget   time.Duration // no trial is begun that would end later; 0 = all are run
	Short    bool          // one small trial a part
	Only     string        // trials whose name holds this
	Results  string        // directory of results, one file a trial
	Captures string        // directory of real captures, for Splice
	Keep     bool          // data directories and captures stay
	Progress io.Writer
}

// Run runs the trials of some parts and stores their results. A trial that fails fails the run, after
// the others.
func Run(ctx context.Context, o Options) error {
	if err := os.MkdirAll(o.Results, 0o755); err != nil {
		return fmt.Errorf("make directory of results: %w", err)
	}
	version, err := exec.CommandContext(ctx, o.Program, "version").Output()
	if err != nil {
		return fmt.Errorf("ask %s for its version: %w", o.Program, err)
	}
	s := full
	if o.Short {
		s = short
	}
	jobs, err := o.queue(s)
	if err != nil {
		return err
	}
	name := strings.TrimSpace(string(version))
	if o.Budget > 0 {
		done, err := o.kept(name)
		if err != nil {
			return fmt.Errorf("read earlier results: %w", err)
		}
		jobs = slices.DeleteFunc(jobs, func(j job) bool { return done[j.name] })
	}
	return o.work(ctx, name, jobs)
}

func store(dir, name string, r any) error {
	b, err := json.MarshalIndent(r, "", " ")
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, name+".json"), b, 0o644)
	}
	if err != nil {
		return fmt.Errorf("store result %s: %w", name, err)
	}
	return nil
}

// line is a result in short.
func (r *Result) line() string {
	notified, found := 0, 0
	for _, a := range r.Alarms {
		if a.Notified {
			notified++
		}
	}
	for _, o := range r.Outcomes {
		if o.Notified {
			found++
		}
	}
	if r.Kind == Benign {
		return fmt.Sprintf("%d flows, %.0f device-days, %d false alarms, %d notified", r.Flows, r.DeviceDays, len(r.Alarms), notified)
	}
	return fmt.Sprintf("%d flows, %d of %d attacks notified by the right name", r.Flows, found, len(r.Outcomes))
}

// trial writes the captures of one design and lets the program replay them.
func (o Options) trial(ctx context.Context, d *design) (_ *Result, err error) {
	dir, err := os.MkdirTemp("", "tidemark-eval-")
	if err != nil {
		return nil, err
	}
	if !o.Keep {
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	}
	truth, err := trial.Write(ctx, d.config, dir)
	if err != nil {
		return nil, err
	}
	d.rename(truth)
	more, err := d.configure(truth, dir)
	if err != nil {
		return nil, err
	}
	c, err := newCollector(o.Program, dir, "10.20.0.0/16", more)
	if err != nil {
		return nil, err
	}
	r := &Result{Name: d.Name, Kind: d.Kind, Set: d.Set, Sampling: d.Sampling, Maturity: d.Maturity, Identity: d.Identity, Episodes: len(truth.Episodes)}
	r.DeviceDays, r.LearnedDays = d.days(truth)

	var before, after []alert
	var devices map[string]*trial.Device
	var waits []float64
	began := time.Now()
	for i, slice := range truth.Slices {
		flows, err := c.replay(ctx, slice.File)
		if err != nil {
			return nil, err
		}
		r.Flows += flows
		if !o.Keep {
			if err := os.Remove(slice.File); err != nil {
				return nil, err
			}
		}
		if d.Kind == Benign && i+1 < len(truth.Slices) {
			continue
		}
		if after, err = c.alerts(ctx); err != nil {
			return nil, err
		}
		if i == 0 && len(truth.Slices) > 1 {
			before = after
			if err := d.attach(ctx, c, truth); err != nil {
				return nil, err
			}
		}
		if !d.sliced() && i+1 < len(truth.Slices) {
			continue
		}
		if devices == nil || i+1 == len(truth.Slices) { // slices of seconds bring no devices
			list, err := c.devices(ctx)
			if err != nil {
				return nil, err
			}
			devices = identify(list, truth.Devices)
		}
		if d.sliced() {
			waits = d.watch(truth, devices, before, after, slice.End, waits)
		}
	}
	r.Seconds = time.Since(began).Seconds()
	if d.Kind == Benign {
		r.Alarms = d.alarms(truth, devices, after)
		return r, nil
	}
	if r.Examples, err = c.examples(ctx, after); err != nil {
		return nil, err
	}
	r.Outcomes = d.judge(truth, devices, before, after)
	for i := range waits {
		r.Outcomes[i].Seconds = waits[i]
	}
	return r, nil
}

// watch notes for each attack not found so far whether it is found by now.
func (d *design) watch(truth *trial.Truth, devices map[string]*trial.Device, before, now []alert, at time.Time, waits []float64) []float64 {
	if waits == nil {
		waits = slices.Repeat([]float64{-1}, len(truth.Attacks))
	}
	for i, o := range d.judge(truth, devices, before, now) {
		if waits[i] < 0 && o.Notified && at.After(o.Start) {
			waits[i] = at.Sub(o.Start).Seconds()
		}
	}
	return waits
}

// Load reads all results of a directory.
func Load(dir string) (all []*Result, err error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		return nil, err
	}
	slices.Sort(files)
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			return nil, err
		}
		r := &Result{}
		if err := json.Unmarshal(b, r); err != nil {
			return nil, fmt.Errorf("read result %s: %w", f, err)
		}
		all = append(all, r)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("read results: none in %s; run `sitesim eval` first", dir)
	}
	return all, nil
}
