package profile

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// State is where an incident stands.
type State string

const (
	StateOpen         State = "open"
	StateUpdated      State = "updated"
	StateAcknowledged State = "acknowledged"
	StateClosed       State = "closed"
)

// Verdict is what a person says of an incident.
type Verdict string

const (
	VerdictExpected      Verdict = "expected"
	VerdictFalsePositive Verdict = "false positive"
	VerdictMalicious     Verdict = "malicious"
)

// Incident is all that is open about one device: the findings of every family,
// each a line. Family, Target, Expected, Observed, Flows, Query and Strength are
// those of the strongest line.
type Incident struct {
	ID       uint64    `json:"id"`
	Version  uint32    `json:"version"`
	Site     string    `json:"site"`
	Device   uint64    `json:"device"`
	Family   string    `json:"family"`
	Families []string  `json:"families"` // the strongest first
	Target   string    `json:"target"`
	State    State     `json:"state"`
	Opened   time.Time `json:"opened"`
	Changed  time.Time `json:"changed"`
	Findings uint64    `json:"findings"`
	Risk     uint8     `json:"risk"`
	Strength float64   `json:"strength"`
	Notify   bool      `json:"notify"` // it is or was worth a person's time
	Terms    []Term    `json:"terms"`
	Expected string    `json:"expected"`
	Observed string    `json:"observed"`
	Text     string    `json:"text"`
	Attack   []string  `json:"attack"` // of all lines
	Flows    []string  `json:"flows"`
	Query    string    `json:"query"`
	Lines    []Line    `json:"lines"`
	Also     []uint64  `json:"-"` // devices with the same, whose incidents point at this one
	Verdict  Verdict   `json:"verdict"`
	Actor    string    `json:"actor"`
	Reason   string    `json:"reason"`
	Told     uint32    `json:"told"` // how often people were told

	toldToday uint16 // on the day of toldAt
	toldAt    time.Time
	toldRisk  uint8
	held      time.Time // since when it waits for the digest; zero = it does not

	seen   bool // it had a finding in this Score
	event  bool // its change is an event
	due    bool // its change is to be told to people
	device Device
}

// Line is what findings of one family about one target add up to.
type Line struct {
	Family     string    `json:"family"`
	Target     string    `json:"target"` // peer, service, device or "many"
	Stage      string    `json:"stage"`  // of an attack
	Role       string    `json:"role"`   // of the device: client, server, unknown
	Peer       string    `json:"peer"`   // inside the site a device id, outside an address; "" = several or none
	Proto      uint8     `json:"proto"`
	Port       uint16    `json:"port"` // 0 = several
	Since      time.Time `json:"since"`
	Until      time.Time `json:"until"`
	Count      uint64    `json:"count"`      // of findings
	Score      uint8     `json:"score"`      // percent: severity, strength and confidence
	Confidence uint8     `json:"confidence"` // percent
	Expected   string    `json:"expected"`
	Observed   string    `json:"observed"`
	Attack     []string  `json:"attack"`
	Flows      []string  `json:"flows"`
	Query      string    `json:"query"`
	Notified   bool      `json:"notified"` // people were told while it was there
	Cause      string    `json:"cause"`    // name of the incident that tells of its cause; "" = none

	from *finding // what it says now comes from, nil if it says what it said
	new  bool     // in this Score
}

// About is the device the incident is about, as it was known when it changed;
// empty for incidents that were only read.
func (i *Incident) About() Device { return i.device }

// Due says whether people are to be told of the change: the incident became
// worth their time, grew, reached another stage, or goes on after a day.
func (i *Incident) Due() bool { return i.due }

// Name is the incident's id as people write it.
func (i *Incident) Name() string { return fmt.Sprintf("%016x", i.ID) }

// live are the lines that had a finding in the quiet time before at.
func (i *Incident) live(at time.Time) []*Line {
	var out []*Line
	for k := range i.Lines {
		if at.Sub(i.Lines[k].Until) <= quietTime {
			out = append(out, &i.Lines[k])
		}
	}
	return out
}

// lead makes the incident speak by its strongest live line, which comes first, and
// says whether that is about something else than before.
func (i *Incident) lead() bool {
	weight := func(l *Line) int {
		if i.Changed.Sub(l.Until) > quietTime {
			return -1
		}
		return int(l.Score)
	}
	slices.SortStableFunc(i.Lines, func(a, b Line) int { return weight(&b) - weight(&a) })
	live := i.live(i.Changed)
	first := live[0]
	i.Expected, i.Observed, i.Flows, i.Query, i.Strength = first.Expected, first.Observed, first.Flows, first.Query, float64(first.Score)/100
	i.Families, i.Attack = nil, nil
	for _, l := range live {
		if !slices.Contains(i.Families, l.Family) {
			i.Families = append(i.Families, l.Family)
		}
		for _, id := range l.Attack {
			if !slices.Contains(i.Attack, id) {
				i.Attack = append(i.Attack, id)
			}
		}
	}
	changed := i.Family != first.Family || i.Target != first.Target
	i.Family, i.Target = first.Family, first.Target
	return changed
}

// line is the incident in one line for people.
func (i *Incident) line() string {
	var terms []string
	for _, t := range i.Terms {
		terms = append(terms, fmt.Sprintf("%s %d", t.Name, t.Value))
	}
	more := ""
	if n := len(i.Families) - 1; n > 0 {
		more = fmt.Sprintf(" Also %s.", strings.Join(i.Families[1:], ", "))
	}
	if n := len(i.Also); n == 1 {
		more += " The same on another device."
	} else if n > 1 {
		more += fmt.Sprintf(" The same on %d other devices.", n)
	}
	return fmt.Sprintf("%s: %s. Expected: %s.%s Since %s. Risk %d, %s (%s). ATT&CK %s.", i.device.Title(), i.Observed, i.Expected, more,
		i.Opened.Format("2006-01-02 15:04:05 UTC"), i.Risk, Level(i.Risk), strings.Join(terms, ", "), strings.Join(i.Attack, "/"))
}

// body is the incident as the ledger keeps it: strings and integers only.
func (i *Incident) body() map[string]any {
	terms := make([]any, len(i.Terms))
	for k, t := range i.Terms {
		terms[k] = map[string]any{"name": t.Name, "value": int64(t.Value)}
	}
	lines := make([]any, len(i.Lines))
	for k := range i.Lines {
		lines[k] = i.Lines[k].body()
	}
	also := make([]any, len(i.Also))
	for k, id := range i.Also {
		also[k] = fmt.Sprintf("%016x", id)
	}
	d := i.device
	return map[string]any{
		"incident": i.Name(), "version": int64(i.Version), "site": i.Site, "state": string(i.State), "family": i.Family, "target": i.Target,
		"families": texts(i.Families), "lines": lines, "also": also, "verdict": string(i.Verdict), "told": int64(i.Told), "notify": truth(i.due),
		"device": map[string]any{
			"id": fmt.Sprintf("%016x", i.Device), "label": d.Label, "mac": d.MACString(), "vendor": d.Vendor, "identity": d.Identity,
			"addresses": texts(d.addressStrings()),
		},
		"since": timestamp(i.Opened), "until": timestamp(i.Changed), "findings": int64(i.Findings),
		"expected": i.Expected, "observed": i.Observed, "risk": int64(i.Risk), "terms": terms,
		"attack": texts(i.Attack), "flows": texts(i.Flows), "query": i.Query, "text": i.Text, "reason": i.Reason,
	}
}

func (l *Line) body() map[string]any {
	return map[string]any{
		"family": l.Family, "target": l.Target, "stage": l.Stage, "role": l.Role, "peer": l.Peer, "proto": int64(l.Proto), "port": int64(l.Port),
		"since": timestamp(l.Since), "until": timestamp(l.Until), "count": int64(l.Count), "score": int64(l.Score), "confidence": int64(l.Confidence),
		"expected": l.Expected, "observed": l.Observed, "attack": texts(l.Attack), "flows": texts(l.Flows), "query": l.Query, "cause": l.Cause,
	}
}

func truth(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

func timestamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

func texts(list []string) []any {
	out := make([]any, len(list))
	for i, v := range list {
		out[i] = v
	}
	return out
}
