package profile

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/ClickHouse/clickhouse-go/v2"

	"tidemark/collector/flow/oneline"
	"tidemark/profile/stamp"
)

const (
	maxRest     = 64  // runs that a detector that goes on failing is left out at most
	patience    = 10  // runs in which a built-in detector may lack memory before the others go on without it
	memoryShort = 241 // MEMORY_LIMIT_EXCEEDED of the engine
)

// own are the operator's detector files: those in force, and what is wrong with them. What
// fails may be a built-in detector too.
type own struct {
	seen    map[string]stamp.Stamp
	inForce map[string]Detector // by name

	mu       sync.Mutex // what follows is read by others too
	names    []string
	faults   []FileFault
	failing  map[string]*lapse
	failures map[string]uint64 // since the start, by detector
}

// lapse is what is known of a detector whose last run failed.
type lapse struct {
	err         error
	times, rest int
	after, upto uint64 // batches that it did not judge
}

// DetectorStatus is how the operator's detector files do, and which detectors fail.
type DetectorStatus struct {
	InForce  []string
	Faults   []FileFault
	Failing  []string          // what to tell of each that fails
	Failures map[string]uint64 // runs that failed since the start, by detector
}

// Err joins all that is wrong; nil if nothing is.
func (d DetectorStatus) Err() error {
	var lines []string
	for _, f := range d.Faults {
		lines = append(lines, f.String())
	}
	if lines = append(lines, d.Failing...); len(lines) == 0 {
		return nil
	}
	return errors.New(strings.Join(lines, "; "))
}

// DetectorStatus may be asked beside Score.
func (s *Scorer) DetectorStatus() DetectorStatus {
	o := &s.own
	o.mu.Lock()
	defer o.mu.Unlock()
	out := DetectorStatus{InForce: slices.Clone(o.names), Faults: slices.Clone(o.faults), Failures: maps.Clone(o.failures)}
	for _, name := range slices.Sorted(maps.Keys(o.failing)) {
		f := o.failing[name]
		out.Failing = append(out.Failing, fmt.Sprintf("detector %s fails, batches %d to %d were not judged by it: %v", name, f.after+1, f.upto, f.err))
	}
	return out
}

// CheckDetectors reports every fault of the files of a directory, or of one file; it
// returns the detectors of the good ones.
func (s *Scorer) CheckDetectors(ctx context.Context, dir string) ([]Detector, []FileFault, error) {
	list, faults := DetectorFiles(dir)
	var good []Detector
	for i := range list {
		wrong, err := s.tryFile(ctx, &list[i])
		if err != nil {
			return nil, nil, fmt.Errorf("check detector file %s: %w", list[i].File, err)
		}
		if len(wrong) == 0 {
			good = append(good, list[i])
		}
		faults = append(faults, wrong...)
	}
	return good, faults, nil
}

// refreshDetectors reads the detector files anew if one has changed. A file with a
// fault leaves what was read of it before in force, and a directory that cannot be
// read leaves all; a file that is gone takes its detector with it.
func (s *Scorer) refreshDetectors(ctx context.Context) error {
	if s.config.Detectors == "" || !s.own.changed(s.config.Detectors) {
		return nil
	}
	good, faults, err := s.CheckDetectors(ctx, s.config.Detectors)
	if err != nil {
		s.own.seen = nil // look again
		return err
	}
	paths, err := detectorPaths(s.config.Detectors)
	keep := map[string]bool{}
	for _, path := range paths {
		keep[nameOfFile(path)] = true
	}
	if s.own.inForce == nil {
		s.own.inForce = map[string]Detector{}
	}
	if err == nil {
		maps.DeleteFunc(s.own.inForce, func(name string, _ Detector) bool { return !keep[name] })
	}
	for _, d := range good {
		tuned := s.config.Parameters[d.Name]
		for _, p := range slices.Sorted(maps.Keys(tuned)) {
			if _, ok := d.Parameters[p]; !ok {
				faults = append(faults, FileFault{File: d.File, Text: fmt.Sprintf("profile.tune sets %s, which is no parameter of it any more", p)})
			} else if err := d.Within(p, tuned[p]); err != nil {
				faults = append(faults, FileFault{File: d.File, Text: fmt.Sprintf("profile.tune sets %s: %v", p, err)})
			} else {
				d.Parameters[p] = tuned[p]
			}
		}
		s.own.inForce[d.Name] = d
	}
	s.putInForce(faults)
	return nil
}

func (s *Scorer) putInForce(faults []FileFault) {
	s.detectors = slices.DeleteFunc(s.detectors, func(d Detector) bool { return d.File != "" })
	names := []string{}
	for _, name := range slices.Sorted(maps.Keys(s.own.inForce)) {
		if !slices.Contains(s.config.Disabled, name) {
			s.detectors, names = append(s.detectors, s.own.inForce[name]), append(names, name)
		}
	}
	o := &s.own
	o.mu.Lock()
	o.names, o.faults, o.failing = names, faults, map[string]*lapse{}
	o.mu.Unlock()
	for _, f := range faults {
		s.log.Error().Str("fault", f.String()).Msg("a detector file has a fault; what was read of it before stays in force")
	}
	s.log.Info().Strs("detectors", names).Msg("detector files are in force")
}

// changed says whether a file is another one than at the last look, came or went.
func (o *own) changed(dir string) bool {
	paths, err := detectorPaths(dir)
	now := map[string]stamp.Stamp{}
	if err != nil {
		now[err.Error()] = stamp.Stamp{}
	}
	for _, path := range paths {
		now[path] = stamp.Of(path)
	}
	same := o.seen != nil && maps.Equal(now, o.seen)
	o.seen = now
	return !same
}

// rests says that a detector failed so often that it is left out of this run.
func (o *own) rests(name string, upto uint64) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	f := o.failing[name]
	if f == nil || f.rest == 0 {
		return false
	}
	f.rest--
	f.upto = upto
	return true
}

// ran notes how a run went: a failure costs only what this detector would have found.
// What is no fault of its statement is returned; of a built-in detector all but a lack of
// memory that lasts, as it may be the traffic of one device that makes it.
func (s *Scorer) ran(d *Detector, after, upto uint64, err error) error {
	var said *clickhouse.Exception
	if err != nil && !errors.As(err, &said) && !errors.Is(err, errNoFinding) {
		return err
	}
	if err != nil && (s.trying || d.File == "" && (said == nil || said.Code != memoryShort)) {
		return err
	}
	o := &s.own
	o.mu.Lock()
	defer o.mu.Unlock()
	if err == nil {
		delete(o.failing, d.Name)
		return nil
	}
	reason := err
	if said != nil {
		reason = errors.New(briefly(said))
	}
	f := o.failing[d.Name]
	if f == nil {
		f = &lapse{after: after}
		if o.failing == nil {
			o.failing = map[string]*lapse{}
		}
		o.failing[d.Name] = f
	}
	f.err, f.upto = reason, upto
	f.times++
	last := 1 // that the others wait for
	if d.File == "" {
		last = patience
	}
	if f.times < last {
		return err // the same batches are judged again
	}
	if f.times == last {
		s.log.Error().Err(reason).Str("detector", d.Name).Msg("a detector fails; the others go on without it")
	}
	f.rest = min(1<<min(f.times, 10), maxRest)
	if o.failures == nil {
		o.failures = map[string]uint64{}
	}
	o.failures[d.Name]++
	return nil
}

// findingsOf runs a statement of a detector.
func (s *Scorer) findingsOf(ctx context.Context, d *Detector, sql string) ([]finding, error) {
	if d.File == "" {
		return s.findings(ctx, sql)
	}
	return s.ownFindings(ctx, d, sql)
}

// ownFindings runs the statement of a detector file within its limits.
func (s *Scorer) ownFindings(ctx context.Context, d *Detector, sql string) ([]finding, error) {
	out, err := s.findings(limited(ctx, d), sql)
	if err != nil {
		return nil, err
	}
	if len(out) > maxFound {
		return nil, fmt.Errorf("%w: more than %d in one run: make the rule narrower", errNoFinding, maxFound)
	}
	for i := range out {
		if err := out[i].check(); err != nil {
			return nil, err
		}
	}
	return out, nil
}

const maxSaid = 400 // octets of what a finding says

// oneLine makes a text what may stand in one line: names in it come from the network.
func oneLine(text string) string {
	text = strings.Map(func(r rune) rune {
		if oneline.Hostile(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "?"))
	if len(text) > maxSaid {
		text = strings.ToValidUTF8(text[:maxSaid], "") + "..."
	}
	return text
}
