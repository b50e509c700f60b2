package profile

import (
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"tidemark/profile/stamp"
	"tidemark/profile/strict"
)

const (
	maxDetectorFiles = 100
	maxDetectorFile  = 64 << 10 // octets
	detectorSuffix   = ".sql"
)

// FileFault is one thing wrong with a detector file, and what to do about it.
type FileFault struct {
	File string `json:"file"`
	Line int    `json:"line"` // 0 = the file as a whole
	Text string `json:"text"`
}

func (f FileFault) String() string {
	if f.Line == 0 {
		return fmt.Sprintf("%s: %s", f.File, f.Text)
	}
	return fmt.Sprintf("%s:%d: %s", f.File, f.Line, f.Text)
}

// Bound is what values a parameter of a detector file may have.
type Bound struct {
	Min   float64 `json:"min"`
	Max   float64 `json:"max"`
	Means string  `json:"means"`
}

// fileHeader is the YAML between the lines "-- ---" of a detector file.
type fileHeader struct {
	Severity   float64         `yaml:"severity"`
	Stage      string          `yaml:"stage"`
	Attack     []string        `yaml:"attack"`
	Runs       string          `yaml:"runs"`
	Target     string          `yaml:"target"`
	Family     string          `yaml:"family"`
	Hard       bool            `yaml:"hard"`
	Parameters []fileParameter `yaml:"parameters"`
}

type fileParameter struct {
	Name  string  `yaml:"name"`
	Value float64 `yaml:"value"`
	Min   float64 `yaml:"min"`
	Max   float64 `yaml:"max"`
	Means string  `yaml:"means"`
}

var (
	detectorName = regexp.MustCompile(`^[a-z][a-z0-9_]{2,39}$`)
	techniqueID  = regexp.MustCompile(`^T\d{4}(\.\d{3})?$`)

	stages      = []string{"recon", "access", "control", "lateral", "impact"}
	fileTargets = map[string]target{"peer": byPeer, "service": byService, "session": bySession, "device": byDevice}
	filePaces   = map[string]pace{"batch": prompt, "5m": steady}

	// given are the values every statement of a detector may use.
	given = []string{"site", "log", "after", "upto", "device", "learning", "listed", "reasons", "zone", "off", "work", "clock"}
	// needed are those without which a statement would find the same again and again,
	// or what an alert shows would be about other devices.
	needed = []string{"log", "after", "upto"}
)

// DetectorFiles reads the detector files of a directory, NAME.sql each. A file with a
// fault gives no detector. Whether the engine takes the statements is not asked here.
func DetectorFiles(dir string) ([]Detector, []FileFault) {
	var out []Detector
	var faults []FileFault
	paths, err := detectorPaths(dir)
	if err != nil {
		return nil, []FileFault{{File: dir, Text: err.Error()}}
	}
	for _, path := range paths {
		d, wrong := readDetectorFile(path)
		faults = append(faults, wrong...)
		if len(wrong) == 0 {
			out = append(out, d)
		}
	}
	return out, faults
}

// DetectorFileNames are the names of detectors that a directory has files for, good
// or not; none if it cannot be read.
func DetectorFileNames(dir string) (names []string) {
	paths, err := detectorPaths(dir)
	if err != nil {
		return nil
	}
	for _, path := range paths {
		names = append(names, nameOfFile(path))
	}
	return names
}

func nameOfFile(path string) string { return strings.TrimSuffix(filepath.Base(path), detectorSuffix) }

func detectorPaths(dir string) (paths []string, err error) {
	if dir == "" {
		return nil, nil
	}
	list, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("read the directory of detector files: %w: profile.detectors names it", err)
	}
	for _, f := range list {
		if strings.HasSuffix(f.Name(), detectorSuffix) && !strings.HasPrefix(f.Name(), ".") {
			paths = append(paths, filepath.Join(dir, f.Name()))
		}
	}
	if len(paths) > maxDetectorFiles {
		return nil, fmt.Errorf("got %d detector files, want %d at most", len(paths), maxDetectorFiles)
	}
	return paths, nil
}

// detectorFile is a file while it is read.
type detectorFile struct {
	path   string
	lines  []string
	faults []FileFault
}

func (f *detectorFile) fault(line int, format string, args ...any) {
	f.faults = append(f.faults, FileFault{f.path, line, fmt.Sprintf(format, args...)})
}

// readDetectorFile reads one file and reports every fault that can be seen without an
// engine.
func readDetectorFile(path string) (Detector, []FileFault) {
	f := detectorFile{path: path}
	d := Detector{Name: nameOfFile(path), File: path, brief: true, Parameters: map[string]float64{}, Bounds: map[string]Bound{}}
	text, err := stamp.Read(path, maxDetectorFile)
	if err != nil {
		f.fault(0, "%v", err)
		return d, f.faults
	}
	d.sql = strings.ReplaceAll(strings.TrimPrefix(string(text), "\ufeff"), "\r\n", "\n")
	f.lines = strings.Split(d.sql, "\n")
	if !utf8.ValidString(d.sql) || strings.ContainsRune(d.sql, 0) {
		f.fault(0, "want a text in UTF-8")
		return d, f.faults
	}
	f.name(&d)
	f.about(&d)
	f.header(&d)
	f.statement(&d)
	return d, f.faults
}

func (f *detectorFile) name(d *Detector) {
	if !detectorName.MatchString(d.Name) {
		f.fault(0, "name: got %q, want 3 to 40 of a-z 0-9 _, starting with a letter, before %s", d.Name, detectorSuffix)
	}
	if detectorNamed(Detectors(), d.Name) != nil {
		f.fault(0, "name: %s is a built-in detector: rename the file; parameters of built-in ones are set with profile.tune", d.Name)
	}
}

// about looks for what everybody wants to know of a detector.
func (f *detectorFile) about(d *Detector) {
	if want := "-- " + d.Name + ": "; len(f.lines[0]) <= len(want) || !strings.HasPrefix(f.lines[0], want) {
		f.fault(1, "got %.60q, want %q: what it finds, in one sentence", f.lines[0], want+"...")
	}
	about := d.About()
	for word, what := range map[string]string{"Minimum evidence:": "the least it wants to see", "Sampling:": "what sampled flows do to it"} {
		if _, text, ok := strings.Cut(about, word); !ok || len(strings.Fields(text)) < 2 {
			f.fault(1, "the comment says nothing after %q: say %s", word, what)
		}
	}
}

// header reads the YAML of the opening comment.
func (f *detectorFile) header(d *Detector) {
	first, last := f.headerLines()
	if last < 0 {
		f.fault(1, `got no settings in the opening comment, want YAML between two lines "-- ---": see docs/detectors.md`)
		return
	}
	var text strings.Builder
	for _, line := range f.lines[first:last] {
		text.WriteString(strings.TrimPrefix(strings.TrimPrefix(line, "--"), " ") + "\n")
	}
	h := fileHeader{Runs: "batch", Target: "device", Family: d.Name}
	unread := map[string]bool{}
	for _, fault := range strict.Decode([]byte(text.String()), &h) {
		unread[fault.Path] = true
		f.yamlFault(first, fault)
	}
	at := func(key string) int { return f.find(first, last, key) }
	wrong := func(key, path, format string, args ...any) {
		if !unread[path] {
			f.fault(at(key), path+": "+format, args...)
		}
	}
	if !(h.Severity > 0 && h.Severity <= 1) {
		wrong("severity", "severity", "got %v, want more than 0 and at most 1", h.Severity)
	}
	if !slices.Contains(stages, h.Stage) {
		wrong("stage", "stage", "got %q, want one of %s", h.Stage, strings.Join(stages, ", "))
	}
	if len(h.Attack) == 0 {
		wrong("attack", "attack", "got none, want ids of MITRE ATT&CK techniques such as [T1041, T0882]")
	}
	for i, id := range h.Attack {
		if !techniqueID.MatchString(id) {
			wrong("attack", fmt.Sprintf("attack[%d]", i), "got %q, want the id of a MITRE ATT&CK technique such as T1041 or T1071.004", id)
		}
	}
	var ok bool
	if d.pace, ok = filePaces[h.Runs]; !ok {
		wrong("runs", "runs", "got %q, want batch or 5m", h.Runs)
	}
	if d.target, ok = fileTargets[h.Target]; !ok {
		wrong("target", "target", "got %q, want one of %s", h.Target, strings.Join(slices.Sorted(maps.Keys(fileTargets)), ", "))
	}
	if h.Family != d.Name && detectorNamed(Detectors(), h.Family) == nil {
		wrong("family", "family", "got %q, want the name of a built-in detector that sees the same, or none", h.Family)
	}
	d.Attack, d.Stage, d.Hard, d.family = h.Attack, h.Stage, h.Hard, h.Family
	d.Parameters["severity"], d.Bounds["severity"] = h.Severity, Bound{Max: 1, Means: "how bad it is"}
	f.parameters(d, h.Parameters, wrong)
}

func (f *detectorFile) parameters(d *Detector, list []fileParameter, wrong func(key, path, format string, args ...any)) {
	for i, p := range list {
		path := fmt.Sprintf("parameters[%d]", i)
		key := cmpKey(p.Name)
		_, twice := d.Parameters[p.Name]
		switch {
		case !detectorName.MatchString(p.Name):
			wrong(key, path+".name", "got %q, want 3 to 40 of a-z 0-9 _, starting with a letter", p.Name)
			continue
		case twice || slices.Contains(given, p.Name) || p.Name == "severity" || strings.HasPrefix(p.Name, "joined_") || strings.HasPrefix(p.Name, "frozen_"):
			wrong(key, path+".name", "%s is taken: choose another name", p.Name)
			continue
		}
		if !(p.Min >= 0 && p.Max > p.Min && p.Max <= math.MaxUint32) {
			wrong(key, path, "got a range from %v to %v, want min from 0 and a greater max", p.Min, p.Max)
		} else if !(p.Value >= p.Min && p.Value <= p.Max) {
			wrong(key, path+".value", "got %v, want %v to %v as min and max say", p.Value, p.Min, p.Max)
		}
		if strings.TrimSpace(p.Means) == "" {
			wrong(key, path+".means", "got none, want what %s is, with its unit", p.Name)
		}
		d.Parameters[p.Name], d.Bounds[p.Name] = p.Value, Bound{p.Min, p.Max, p.Means}
	}
}

// cmpKey is where a fault of a parameter is looked for.
func cmpKey(name string) string {
	if name == "" {
		return "parameters"
	}
	return name
}

// headerLines are the lines between the two marks in the opening comment; last < 0
// without both.
func (f *detectorFile) headerLines() (first, last int) {
	first = -1
	for i, line := range f.lines {
		if !strings.HasPrefix(line, "--") {
			break
		}
		if strings.TrimSpace(strings.TrimPrefix(line, "--")) != "---" {
			continue
		}
		if first >= 0 {
			return first, i
		}
		first = i + 1
	}
	return first, -1
}

// find is the line, from 1, of the first word in some lines; the one before them if it
// is in none.
func (f *detectorFile) find(first, last int, word string) int {
	search := regexp.MustCompile(`\b` + regexp.QuoteMeta(word) + `\b`)
	for i := first; i < last; i++ {
		if search.MatchString(f.lines[i]) {
			return i + 1
		}
	}
	return first
}

var yamlLine = regexp.MustCompile(`^(not YAML: )line (\d+): `)

// yamlFault is a fault of the YAML that begins after so many lines.
func (f *detectorFile) yamlFault(before int, fault strict.Fault) {
	line, text := fault.Line, fault.Text
	if m := yamlLine.FindStringSubmatch(text); m != nil { // the reader of YAML counts from its own first line
		line, _ = strconv.Atoi(m[2])
		text = m[1] + text[len(m[0]):]
	}
	if fault.Path != "" {
		text = fault.Path + ": " + text
	}
	f.fault(before+max(line, 1), "%s", text)
}

// Within says why a parameter may not be v; nil if it may.
func (d *Detector) Within(parameter string, v float64) error {
	if b, ok := d.Bounds[parameter]; ok && !(v >= b.Min && v <= b.Max) {
		return fmt.Errorf("got %v, want %v to %v", v, b.Min, b.Max)
	}
	if !(v >= 0) {
		return fmt.Errorf("got %v, want a number from 0", v)
	}
	return nil
}
