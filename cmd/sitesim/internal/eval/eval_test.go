package eval

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"tidemark/cmd/sitesim/internal/site"
	"tidemark/cmd/sitesim/internal/trial"
)

// TestMain makes this binary a collector under test when it is run as one: it has no detector at all.
func TestMain(m *testing.M) {
	if os.Getenv("SITESIM_SILENT_COLLECTOR") == "" {
		os.Exit(m.Run())
	}
	switch {
	case slices.Contains(os.Args, "replay"):
		fmt.Print(`{"flows": 1}`)
	case slices.Contains(os.Args, "version"):
		fmt.Print("silent")
	default:
		fmt.Print("[]")
	}
}

func small() design {
	config := trial.Config{Seed: 1, Devices: 40, Start: monday, Length: 20 * time.Hour, Cuts: []time.Duration{10 * time.Hour}}
	d := attacks(Tuning, 4, short)
	config.Taps = d.config.Taps
	for _, name := range []string{"scan", "exfiltration", "plc-write"} {
		config.Strikes = append(config.Strikes, trial.Strike{Attack: name, Level: 3, At: 12 * time.Hour})
	}
	d.config = config
	return d
}

func TestTrial_SilentCollectorFindsNothing(t *testing.T) {
	t.Setenv("SITESIM_SILENT_COLLECTOR", "1")
	d := small()
	r, err := Options{Program: os.Args[0], Progress: io.Discard}.trial(t.Context(), &d)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Outcomes) != 3 || r.Flows != 2 || r.DeviceDays == 0 {
		t.Fatalf("got %+v, want three attacks, two captures replayed", r)
	}
	for _, o := range r.Outcomes {
		if o.Notified || o.Listed || o.Other || o.Seconds >= 0 {
			t.Errorf("%s counts as found by a collector that says nothing: %+v", o.Attack, o)
		}
	}
	var doc bytes.Buffer
	if err := Write(&doc, []*Result{r}, "a test"); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(doc.String(), "| reached |") || !strings.Contains(doc.String(), "not reached") {
		t.Errorf("the document of a silent collector says a bar is reached:\n%s", doc.String()[:2000])
	}
}

// TestJudge_OnlyTheRightAlertCounts: device, family, time, growth and notification each matter.
func TestJudge_OnlyTheRightAlertCounts(t *testing.T) {
	d := design{Kind: Attacks}
	d.config.Start = monday
	at := monday.Add(10 * day)
	truth := &trial.Truth{
		Devices: []trial.Device{{Name: "cam", MAC: "m1"}, {Name: "plug", MAC: "m2"}},
		Attacks: []trial.Attack{{Strike: trial.Strike{Attack: "scan", Device: "cam"}, Start: at}},
	}
	devices := identify([]known{{ID: "1", MAC: "m1"}, {ID: "2", MAC: "m2"}}, truth.Devices)
	right := alert{ID: "a", Device: "1", Family: "scan", Opened: at, Changed: at, Findings: 1, Risk: 70, Notify: true}
	change := func(f func(a *alert)) []alert {
		a := right
		f(&a)
		return []alert{a}
	}
	tests := map[string]struct {
		before, after           []alert
		notified, listed, other bool
	}{
		"right":            {nil, []alert{right}, true, true, true},
		"none":             {nil, nil, false, false, false},
		"another device":   {nil, change(func(a *alert) { a.Device = "2" }), false, false, false},
		"unknown device":   {nil, change(func(a *alert) { a.Device = "9" }), false, false, false},
		"another family":   {nil, change(func(a *alert) { a.Family = "volume" }), false, false, true},
		"one of families":  {nil, change(func(a *alert) { a.Family, a.Families = "", []string{"volume", "scan"} }), true, true, true},
		"not notified":     {nil, change(func(a *alert) { a.Notify = false }), false, true, false},
		"long before":      {nil, change(func(a *alert) { a.Opened = at.Add(-2 * time.Hour) }), false, false, false},
		"much later":       {nil, change(func(a *alert) { a.Opened = at.Add(2 * time.Hour) }), false, false, false},
		"old and the same": {[]alert{right}, []alert{right}, false, false, false},
		"old and grown":    {[]alert{right}, change(func(a *alert) { a.Findings, a.Changed = 2, at.Add(time.Minute) }), true, true, true},
	}
	for name, tt := range tests {
		o := d.judge(truth, devices, tt.before, tt.after)[0]
		if o.Notified != tt.notified || o.Listed != tt.listed || o.Other != tt.other {
			t.Errorf("%s: notified %v, listed %v, other %v; want %v, %v, %v", name, o.Notified, o.Listed, o.Other, tt.notified, tt.listed, tt.other)
		}
	}
}

func TestReason_LatestEpisodeThatTouchedTheDevice(t *testing.T) {
	at := monday.Add(10 * day)
	episodes := []site.Episode{
		{What: "firmware", Devices: []string{"cam"}, Start: at.Add(-30 * time.Hour), End: at.Add(-29 * time.Hour)},
		{What: "power-cut", Devices: []string{"cam", "plug"}, Start: at.Add(-5 * time.Hour), End: at.Add(-4 * time.Hour)},
		{What: "backup", Devices: []string{"nas"}, Start: at.Add(-time.Hour), End: at},
		{What: "holiday", Devices: []string{"cam"}, Start: at.Add(4 * time.Hour), End: at.Add(day)},
	}
	for device, want := range map[string]string{"cam": "power-cut", "nas": "backup", "tv": "ordinary life"} {
		if got := reason(device, at, episodes); got != want {
			t.Errorf("alarm of %s is put down to %s, want %s", device, got, want)
		}
	}
}

func TestIntervals_AgreeWithPublishedValues(t *testing.T) {
	if lo, hi := wilson(8, 10); math.Abs(lo-.490) > .002 || math.Abs(hi-.943) > .002 { // Brown, Cai, DasGupta 2001
		t.Errorf("wilson(8, 10) = %.3f to %.3f, want 0.490 to 0.943", lo, hi)
	}
	for k, want := range map[int]float64{0: 2.996, 12: 19.44} { // chi-square tables; 12 in 10,000 bound 0.00194
		if got := poissonUpper(k); math.Abs(got-want) > .01 {
			t.Errorf("poissonUpper(%d) = %.3f, want %.2f", k, got, want)
		}
	}
}

// TestDesigns_SealedSeedsAreOthers: no trial of the sealed set is one of the tuning set.
func TestDesigns_SealedSeedsAreOthers(t *testing.T) {
	seeds, cells := map[uint64]bool{}, map[string]int{}
	for _, set := range []string{Tuning, Sealed} {
		for _, d := range designs(Parts, set, full) {
			if seeds[d.config.Seed] {
				t.Errorf("%s: seed %d is another trial's too", d.Name, d.config.Seed)
			}
			seeds[d.config.Seed] = true
			for _, s := range d.config.Strikes {
				cells[fmt.Sprintf("%s %d", s.Attack, s.Level)]++
			}
		}
	}
	for _, a := range site.Attacks() {
		if _, ok := accepted[a.Name]; !ok && a.Levels != [5]float64{} {
			t.Errorf("attack %s has no families that name it", a.Name)
		}
		for level, x := range a.Levels {
			if x != 0 && cells[fmt.Sprintf("%s %d", a.Name, level)] == 0 {
				t.Errorf("attack %s is never made at level %d", a.Name, level)
			}
		}
	}
}

func TestResult_SurvivesItsFile(t *testing.T) {
	dir := t.TempDir()
	want := &Result{Name: "x", Kind: Benign, Alarms: []Alarm{{Family: "scan"}}}
	if err := store(dir, want.Name, want); err != nil {
		t.Fatal(err)
	}
	all, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	a, _ := json.Marshal(all[0])
	b, _ := json.Marshal(want)
	if !bytes.Equal(a, b) {
		t.Errorf("read %s, wrote %s", a, b)
	}
	if _, err := Load(t.TempDir()); err == nil {
		t.Error("no results are no error")
	}
}

// TestWork_WithinItsBudgetAndOnFromThere: a trial that would end too late is not
// begun, and what the same version has passed is not run again.
func TestWork_WithinItsBudgetAndOnFromThere(t *testing.T) {
	o := Options{Results: t.TempDir(), Budget: time.Hour, Progress: io.Discard}
	var ran []string
	trial := func(name, kind string) job {
		return job{name: name, kind: kind, run: func(context.Context) (*Result, error) {
			ran = append(ran, name)
			return &Result{Name: name, Kind: kind}, nil
		}}
	}
	if err := o.work(t.Context(), "tidemark v1", []job{trial("a", Attacks), trial("b", Benign)}); err != nil {
		t.Fatal(err)
	}
	o.Budget = time.Nanosecond
	if err := o.work(t.Context(), "tidemark v1", []job{trial("c", Attacks)}); err != nil {
		t.Fatal(err)
	}
	if want := []string{"a", "b"}; !slices.Equal(ran, want) {
		t.Errorf("ran %q, want %q", ran, want)
	}
	for _, kept := range []struct {
		version string
		want    int
	}{{"tidemark v1", 2}, {"tidemark v2", 0}} {
		done, err := o.kept(kept.version)
		if err != nil || len(done) != kept.want {
			t.Errorf("of %s %d results are kept (%v), want %d", kept.version, len(done), err, kept.want)
		}
	}
	if all, _ := Load(o.Results); len(all) != 0 {
		t.Error("results of another version stayed")
	}
}

// TestQueue_TheMostTellingFirst: of both sets, before what no bar speaks of.
func TestQueue_TheMostTellingFirst(t *testing.T) {
	o := Options{Sets: []string{Tuning, Sealed}, Parts: []string{Benign, Attacks, Timing, Poison, Ramp, Told}}
	jobs, err := o.queue(full)
	if err != nil {
		t.Fatal(err)
	}
	var first []string
	for _, j := range jobs[:8] {
		first = append(first, j.name)
	}
	want := []string{
		"attacks-tuning-1-learned-MAC", "attacks-sealed-1-learned-MAC", "poison-tuning", "told-tuning", "poison-sealed", "told-sealed",
		"timing-tuning-0", "timing-sealed-0",
	}
	if !slices.Equal(first, want) {
		t.Errorf("first %q, want %q", first, want)
	}
}
