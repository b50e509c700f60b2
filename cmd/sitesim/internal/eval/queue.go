package eval

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// A job is one trial and how much it tells: the lower its rank, the sooner it runs.
type job struct {
	name, kind string
	rank       int
	run        func(context.Context) (*Result, error)
}

// rank puts first what says something of every bar, then what makes the intervals
// narrower, then what no bar speaks of.
func (d *design) rank() int {
	learned := d.Maturity == "learned"
	first := strings.HasSuffix(d.Name, "-0")
	switch {
	case d.Kind == Attacks && d.Sampling == 1 && learned && d.Identity == "MAC":
		return 1
	case d.Kind == Poison || d.Kind == Told:
		return 2
	case d.Kind == Timing && first:
		return 3
	case d.Kind == Benign && first:
		return 4
	case d.Kind == Bars || d.Kind == Attacks && d.Sampling == 1 && learned:
		return 5
	case d.Kind == Attacks && d.Sampling == 100 && learned && d.Identity == "MAC":
		return 6
	case d.Kind == Benign:
		return 7
	case d.sliced():
		return 8
	case d.Kind == Attacks && learned:
		return 9
	case d.Kind == Ramp:
		return 10
	}
	return 11
}

// rankSplice is that of real captures.
const rankSplice = 0

// queue is what is to be run, in order; sets take turns.
func (o Options) queue(s size) ([]job, error) {
	var jobs []job
	for _, set := range o.Sets {
		for _, d := range designs(o.Parts, set, s) {
			jobs = append(jobs, job{d.Name, d.Kind, d.rank(), func(ctx context.Context) (*Result, error) { return o.trial(ctx, &d) }})
		}
	}
	if slices.Contains(o.Parts, Splice) && slices.Contains(o.Sets, Tuning) { // real captures have no seeds
		grafts, err := o.splices()
		if err != nil {
			return nil, fmt.Errorf("splice: %w", err)
		}
		jobs = append(jobs, grafts...)
	}
	jobs = slices.DeleteFunc(jobs, func(j job) bool { return !strings.Contains(j.name, o.Only) })
	slices.SortStableFunc(jobs, func(a, b job) int { return cmp.Compare(a.rank, b.rank) })
	return jobs, nil
}

// kept are the results there are of a version, by trial. Those of other versions
// are removed: one document speaks of one program. Of a program with local changes
// nobody knows whether it is the same, so nothing of it is kept.
func (o Options) kept(version string) (map[string]bool, error) {
	files, err := filepath.Glob(filepath.Join(o.Results, "*.json"))
	if err != nil {
		return nil, err
	}
	kept := map[string]bool{}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			return nil, err
		}
		var r Result
		if json.Unmarshal(b, &r) == nil && r.Program == version && !strings.Contains(version, "-dirty") {
			kept[r.Name] = true
			continue
		}
		if err := os.Remove(f); err != nil {
			return nil, err
		}
	}
	return kept, nil
}

// work runs jobs until the budget is used up. A job that took longer than what is
// left when one of its kind ran before is not begun.
func (o Options) work(ctx context.Context, version string, jobs []job) error {
	began := time.Now()
	longest := map[string]time.Duration{}
	left := 0
	var errs []error
	for _, j := range jobs {
		if ctx.Err() != nil {
			return errors.Join(append(errs, ctx.Err())...)
		}
		if o.Budget > 0 && time.Since(began)+longest[j.kind] >= o.Budget {
			left++
			continue
		}
		start := time.Now()
		r, err := j.run(ctx)
		if err != nil {
			errs = append(errs, fmt.Errorf("trial %s: %w", j.name, err))
			fmt.Fprintf(o.Progress, "eval: %s: %v\n", j.name, err)
			continue
		}
		r.Program = version
		if err := store(o.Results, r.Name, r); err != nil {
			return err
		}
		took := time.Since(start)
		longest[j.kind] = max(longest[j.kind], took)
		fmt.Fprintf(o.Progress, "eval: %-40s %s in %s\n", j.name, r.line(), took.Round(time.Second))
	}
	if left > 0 {
		fmt.Fprintf(o.Progress, "eval: %d trials did not fit into %s; run again to go on\n", left, o.Budget)
	}
	return errors.Join(errs...)
}
