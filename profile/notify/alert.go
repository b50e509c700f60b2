package notify

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Change is what happened to an alert.
type Change string

const (
	Raised       Change = "raised"
	Updated      Change = "updated"
	Acknowledged Change = "acknowledged"
	Closed       Change = "closed"
	Digest       Change = "digest" // several alerts that a budget held back: Lines
	Test         Change = "test"   // `tidemark notify test`
)

// Alert is one change of one incident, with all that a receiver is told. It is
// also the JSON format, so its fields only ever grow.
type Alert struct {
	ID       string    `json:"id"`      // of the incident, 16 hex digits
	Version  uint32    `json:"version"` // of the incident
	Change   Change    `json:"change"`
	Site     string    `json:"site"`
	Device   Device    `json:"device"`
	Family   string    `json:"family"` // of the strongest line
	Families []string  `json:"families,omitempty"`
	Risk     uint8     `json:"risk"`  // 0 to 100
	Level    string    `json:"level"` // info, low, medium, high, critical
	Terms    []Term    `json:"terms"` // what the risk is made of
	Text     string    `json:"text"`  // one line for people
	Expected string    `json:"expected"`
	Observed string    `json:"observed"`
	Since    time.Time `json:"since"` // first finding, of the flows' clock
	Until    time.Time `json:"until"` // last finding
	Findings uint64    `json:"findings"`
	Attack   []string  `json:"attack"` // MITRE ATT&CK technique ids
	Flows    []string  `json:"flows"`  // names of up to 20 flow records behind it
	Actor    string    `json:"actor"`
	Reason   string    `json:"reason,omitempty"`
	Lines    []Line    `json:"lines,omitempty"` // all that is found about the device
	Steps    []string  `json:"steps,omitempty"` // what to do
}

// Line is what findings of one family about one target add up to; in a digest, an
// alert.
type Line struct {
	Alert    string    `json:"alert,omitempty"` // its id, in a digest
	Family   string    `json:"family"`
	Target   string    `json:"target"` // in a digest the device
	Expected string    `json:"expected"`
	Observed string    `json:"observed"`
	Since    time.Time `json:"since"`
	Until    time.Time `json:"until"`
	Count    uint64    `json:"count"` // of findings
	Score    uint8     `json:"score"` // percent; in a digest the risk
	Attack   []string  `json:"attack"`
}

// Term is one summand of a risk.
type Term struct {
	Name  string `json:"name"`
	Value int32  `json:"value"`
}

// Device is whom an alert is about.
type Device struct {
	ID        string       `json:"id"` // 16 hex digits
	Name      string       `json:"name"`
	MAC       string       `json:"mac,omitempty"`
	Vendor    string       `json:"vendor,omitempty"`
	Addresses []netip.Addr `json:"addresses"`
}

// list is what the alert speaks of, a line each.
func (a *Alert) list() string {
	var b strings.Builder
	for _, l := range a.Lines {
		if l.Alert != "" {
			fmt.Fprintf(&b, "  %s risk %d, %s: %s: %s\n", l.Alert, l.Score, l.Target, l.Family, l.Observed)
		} else {
			fmt.Fprintf(&b, "  %s (%d %%): %s; expected: %s\n", l.Family, l.Score, l.Observed, l.Expected)
		}
	}
	return b.String()
}

// clean is the alert as it leaves: names in it came from the network or from files,
// and no receiver must take them for more lines, another header or orders to a
// terminal.
func (a *Alert) clean() *Alert {
	out := *a
	for _, s := range []*string{&out.Site, &out.Device.Name, &out.Device.Vendor, &out.Family, &out.Text, &out.Expected, &out.Observed, &out.Actor, &out.Reason} {
		*s = printable(*s)
	}
	out.Lines, out.Terms, out.Steps = slices.Clone(a.Lines), slices.Clone(a.Terms), slices.Clone(a.Steps)
	for i := range out.Lines {
		l := &out.Lines[i]
		l.Target, l.Expected, l.Observed = printable(l.Target), printable(l.Expected), printable(l.Observed)
	}
	for i := range out.Terms {
		out.Terms[i].Name = printable(out.Terms[i].Name)
	}
	for i := range out.Steps {
		out.Steps[i] = printable(out.Steps[i])
	}
	return &out
}

// Key is the same for every attempt to deliver this change, so that a receiver
// can tell a repeat.
func (a *Alert) Key() string { return fmt.Sprintf("%s-%d-%s", a.ID, a.Version, a.Change) }

// title is the alert in a few words: a subject line.
func (a *Alert) title() string {
	return fmt.Sprintf("[%s %d] %s: %s", a.Level, a.Risk, a.Device.Name, a.Observed)
}

// sample is what `notify test` sends.
func sample(site string, now time.Time) Alert {
	return Alert{
		ID: "0000000000000000", Version: 1, Change: Test, Site: site, Family: "test", Risk: 40, Level: "medium",
		Device:   Device{ID: "0000000000000000", Name: "no device", Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.1")}},
		Terms:    []Term{{"test", 40}},
		Text:     "This is a test of Tidemark's notifications. Nothing happened.",
		Expected: "this message arrives", Observed: "this message arrived",
		Since: now, Until: now, Findings: 1, Attack: []string{}, Flows: []string{}, Actor: "tidemark",
	}
}
