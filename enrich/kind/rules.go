package kind

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

//go:embed rules.yaml
var defaultRules []byte

// Rules are the kinds, the groups of evidence, and what speaks for which kind.
type Rules struct {
	kinds  []Kind
	groups []Group
	rules  []Rule
	hash   uint64
}

// Kind is a kind of device.
type Kind struct {
	ID          string  `yaml:"id"`
	Title       string  `yaml:"title"`
	IoT         bool    `yaml:"iot"`
	Share       float64 `yaml:"share"`       // how common it is among its like (IoT or not), relative
	Criticality string  `yaml:"criticality"` // low, normal, high, critical
	prior       float64 // nats
}

// Group is a source of evidence; what it adds to a kind is at most Cap nats,
// because its rules are not independent of each other.
type Group struct {
	ID  string  `yaml:"id"`
	Cap float64 `yaml:"cap"`
}

// Rule is a piece of evidence: when it holds, its weights (nats, that is log
// likelihood ratios) are added.
type Rule struct {
	ID      string             `yaml:"id"`
	Group   string             `yaml:"group"`
	When    When               `yaml:"when"`
	Weights map[string]float64 `yaml:"weights"`
	IoT     float64            `yaml:"iot"`
	Why     string             `yaml:"why"`
	when    compiled
}

// When lists conditions; all that are given must hold.
type When struct {
	Serves    []string             `yaml:"serves"`
	Uses      []string             `yaml:"uses"`
	Announces []string             `yaml:"announces"`
	Scope     string               `yaml:"scope"` // of serves and uses: lan, wan
	Peers     uint64               `yaml:"peers"` // at least so many, of one service
	Count     int                  `yaml:"count"` // how many of the listed services, domains or types; default 1
	Vendor    []string             `yaml:"vendor"`
	Domain    []string             `yaml:"domain"`
	Hostname  []string             `yaml:"hostname"`
	Info      []string             `yaml:"vendor_info"`
	Discovery []string             `yaml:"discovery"`
	Behaviour map[string][]float64 `yaml:"behaviour"` // measure: [least, most]
	Without   []string             `yaml:"without"`   // none of these services in any role
}

// file is a file of rules.
type file struct {
	Kinds   []Kind   `yaml:"kinds"`
	Groups  []Group  `yaml:"groups"`
	Rules   []Rule   `yaml:"rules"`
	Disable []string `yaml:"disable"`
}

// Default are the rules that come with the program.
func Default() (*Rules, error) {
	return new(Rules).with("rules.yaml", defaultRules)
}

// With returns r with those of a file of the same form over it: a kind, group
// or rule of a known id replaces that one, others are added, rules named under
// disable are left out. It reports every fault of the file at once.
func (r *Rules) With(name string, text []byte) (*Rules, error) { return r.with(name, text) }

func (r *Rules) with(name string, text []byte) (*Rules, error) {
	var f file
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true)
	err := d.Decode(&f)
	var faults []error
	var types *yaml.TypeError
	switch {
	case err == nil, errors.Is(err, io.EOF):
	case errors.As(err, &types):
		for _, e := range types.Errors {
			faults = append(faults, errors.New(strings.ReplaceAll(e, " into kind.", " as ")))
		}
	default:
		return nil, fmt.Errorf("read rules of kinds %s: not YAML: %s", name, strings.TrimPrefix(err.Error(), "yaml: "))
	}
	h := fnv.New64a()
	fmt.Fprintf(h, "%x\x00%s", r.hash, text)
	out := &Rules{kinds: slices.Clone(r.kinds), groups: slices.Clone(r.groups), rules: slices.Clone(r.rules), hash: h.Sum64()}
	c := checker{r: out, lines: lines(text), faults: faults}
	c.merge(&f)
	if len(c.faults) > 0 {
		return nil, fmt.Errorf("read rules of kinds %s: %w", name, errors.Join(c.faults...))
	}
	out.priors()
	return out, nil
}

// Hash tells rules from others: it depends on the texts they were read from.
func (r *Rules) Hash() uint64 { return r.hash }

// Kind returns the kind of an id; its ID is "" if there is none.
func (r *Rules) Kind(id string) Kind {
	for _, k := range r.kinds {
		if k.ID == id {
			return k
		}
	}
	return Kind{}
}

// KindNames are the ids of all kinds, for people who have to choose one.
func (r *Rules) KindNames() []string {
	var out []string
	for _, k := range r.kinds {
		out = append(out, k.ID)
	}
	return out
}

// Cap is the cap of a group.
func (r *Rules) Cap(group string) float64 {
	for _, g := range r.groups {
		if g.ID == group {
			return g.Cap
		}
	}
	return 0
}

// priors gives half of the probability to the kinds that are IoT.
func (r *Rules) priors() {
	var sum [2]float64
	side := func(k Kind) int {
		if k.IoT {
			return 1
		}
		return 0
	}
	for _, k := range r.kinds {
		sum[side(k)] += k.Share
	}
	for i, k := range r.kinds {
		r.kinds[i].prior = math.Log(k.Share / sum[side(k)] / 2)
	}
}

// checker puts a file over rules and notes what is wrong with it.
type checker struct {
	r      *Rules
	lines  map[string][]int
	faults []error
}

func (c *checker) fault(section string, i int, format string, args ...any) {
	place := fmt.Sprintf("%s[%d]", section, i)
	if n := c.lines[section]; i < len(n) {
		place = fmt.Sprintf("line %d: %s", n[i], place)
	}
	c.faults = append(c.faults, fmt.Errorf("%s: %s", place, fmt.Sprintf(format, args...)))
}

var name = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,40}$`)

// Levels are the criticalities, lowest first.
var Levels = []string{"low", "normal", "high", "critical"}

func (c *checker) merge(f *file) {
	for i, k := range f.Kinds {
		if k.Criticality == "" {
			k.Criticality = "normal"
		}
		if k.Share == 0 {
			k.Share = 1
		}
		if !name.MatchString(k.ID) || k.Title == "" {
			c.fault("kinds", i, "got id %q and title %q, want an id of a-z, 0-9 and - and a title", k.ID, k.Title)
		}
		if !slices.Contains(Levels, k.Criticality) {
			c.fault("kinds", i, "criticality: got %q, want one of %s", k.Criticality, strings.Join(Levels, ", "))
		}
		if !(k.Share > 0 && k.Share <= 1000) {
			c.fault("kinds", i, "share: got %v, want more than 0 and at most 1000", k.Share)
		}
		c.r.kinds = put(c.r.kinds, k, func(k Kind) string { return k.ID })
	}
	for i, g := range f.Groups {
		if !name.MatchString(g.ID) || !(g.Cap > 0 && g.Cap <= 20) {
			c.fault("groups", i, "got id %q and cap %v, want an id and a cap of more than 0 and at most 20", g.ID, g.Cap)
		}
		c.r.groups = put(c.r.groups, g, func(g Group) string { return g.ID })
	}
	seen := map[string]bool{}
	for i := range f.Rules {
		rule := &f.Rules[i]
		if seen[rule.ID] {
			c.fault("rules", i, "a second rule with the id %q", rule.ID)
		}
		seen[rule.ID] = true
		c.rule(i, rule)
		c.r.rules = put(c.r.rules, *rule, func(r Rule) string { return r.ID })
	}
	for i, id := range f.Disable {
		n := len(c.r.rules)
		c.r.rules = slices.DeleteFunc(c.r.rules, func(r Rule) bool { return r.ID == id })
		if len(c.r.rules) == n {
			c.fault("disable", i, "no rule %q", id)
		}
	}
	if len(c.faults) == 0 && len(c.r.kinds) < 2 {
		c.faults = append(c.faults, errors.New("want at least two kinds"))
	}
}

func put[T any](list []T, item T, id func(T) string) []T {
	if i := slices.IndexFunc(list, func(t T) bool { return id(t) == id(item) }); i >= 0 {
		list[i] = item
		return list
	}
	return append(list, item)
}

func (c *checker) rule(i int, r *Rule) {
	fault := func(format string, args ...any) { c.fault("rules", i, "%s: "+format, append([]any{r.ID}, args...)...) }
	if !name.MatchString(r.ID) {
		fault("want an id of a-z, 0-9 and -")
	}
	if c.r.Cap(r.Group) == 0 {
		fault("no group %q", r.Group)
	}
	for k, w := range r.Weights {
		if c.r.Kind(k).ID == "" {
			fault("weights: no kind %q; want one of %s", k, strings.Join(c.r.KindNames(), ", "))
		}
		if !(math.Abs(w) <= 10) {
			fault("weights: %s: got %v, want -10 to 10", k, w)
		}
	}
	if len(r.Weights) == 0 && r.IoT == 0 {
		fault("has no weight for any kind")
	}
	if !(math.Abs(r.IoT) <= 10) {
		fault("iot: got %v, want -10 to 10", r.IoT)
	}
	var err error
	if r.when, err = r.When.compile(); err != nil {
		for _, line := range strings.Split(err.Error(), "\n") {
			fault("when: %s", line)
		}
	}
}

// lines finds the lines of the items of each list of a file.
func lines(text []byte) map[string][]int {
	out := map[string][]int{}
	var doc yaml.Node
	if yaml.Unmarshal(text, &doc) != nil || len(doc.Content) == 0 || doc.Content[0].Kind != yaml.MappingNode {
		return out
	}
	for m, i := doc.Content[0], 0; i+1 < len(m.Content); i += 2 {
		for _, item := range m.Content[i+1].Content {
			out[m.Content[i].Value] = append(out[m.Content[i].Value], item.Line)
		}
	}
	return out
}

// ports is a range of ports of one protocol.
type ports struct {
	proto       uint8
	first, last uint16
}

func (p ports) has(proto uint8, port uint16) bool {
	return p.proto == proto && port >= p.first && port <= p.last
}

func parsePorts(s string) (ports, error) {
	proto, number, _ := strings.Cut(s, "/")
	p, known := map[string]uint8{"tcp": 6, "udp": 17, "sctp": 132}[proto]
	from, to, isRange := strings.Cut(number, "-")
	if !isRange {
		to = from
	}
	first, err := strconv.ParseUint(from, 10, 16)
	last, err2 := strconv.ParseUint(to, 10, 16)
	if !known || err != nil || err2 != nil || first > last {
		return ports{}, fmt.Errorf("got %q, want a service such as tcp/554 or udp/6666-6667", s)
	}
	return ports{p, uint16(first), uint16(last)}, nil
}
