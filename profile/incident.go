package profile

import (
	"cmp"
	"context"
	_ "embed"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"math"
	"net/netip"
	"slices"
	"strings"
	"time"
)

const (
	// An incident without a finding for this long is closed; findings of a
	// device count together for as long.
	quietTime = 24 * time.Hour

	// An open incident is told again when its risk rises by this much, or its
	// findings reach the next power of ten.
	riskStep = 15

	// Findings of one kind about one device beyond this many become one
	// incident, "many".
	maxTargets = 5

	// Repeats that change nothing are written down at this pace.
	repeatTime = time.Hour
)

// State is where an incident stands.
type State string

const (
	StateOpen         State = "open"
	StateUpdated      State = "updated"
	StateAcknowledged State = "acknowledged"
	StateClosed       State = "closed"
)

// Incident is what findings of one kind about one device and target add up to.
type Incident struct {
	ID       uint64    `json:"id"`
	Version  uint32    `json:"version"`
	Site     string    `json:"site"`
	Device   uint64    `json:"device"`
	Family   string    `json:"family"`
	Target   string    `json:"target"`
	State    State     `json:"state"`
	Opened   time.Time `json:"opened"`
	Changed  time.Time `json:"changed"`
	Findings uint64    `json:"findings"`
	Risk     uint8     `json:"risk"`
	Strength float64   `json:"strength"`
	Notify   bool      `json:"notify"`
	Terms    []Term    `json:"terms"`
	Expected string    `json:"expected"`
	Observed string    `json:"observed"`
	Text     string    `json:"text"`
	Attack   []string  `json:"attack"`
	Flows    []string  `json:"flows"`
	Query    string    `json:"query"`
	Actor    string    `json:"actor"`
	Reason   string    `json:"reason"`

	from   *finding // what it says now comes from, nil if it says what it said
	seen   bool     // it had a finding in this Score
	told   bool     // its change is an event
	device Device
}

// About is the device the incident is about, as it was known when it changed;
// empty for incidents that were only read.
func (i *Incident) About() Device { return i.device }

// Name is the incident's id as people write it.
func (i *Incident) Name() string { return fmt.Sprintf("%016x", i.ID) }

// raise turns findings into incidents, closes what has been quiet, writes each
// change to the ledger and then to the table.
func (s *Scorer) raise(ctx context.Context, found []finding, watermark time.Time) error {
	open, err := s.openIncidents(ctx)
	if err != nil {
		return err
	}
	if len(found) == 0 && len(open) == 0 {
		return nil
	}
	slices.SortStableFunc(found, func(a, b finding) int {
		return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.Device, b.Device), cmp.Compare(a.detector.Name, b.detector.Name), cmp.Compare(a.Peer, b.Peer))
	})
	book := newBook(s.config.Site, open)
	for i := range found {
		book.add(&found[i], s.targetOf(&found[i]))
	}
	if err := s.describe(ctx, book); err != nil {
		return err
	}
	book.weigh(s.detectors)
	book.close(watermark)
	return s.write(ctx, book)
}

// book is the open incidents of a site while a Score changes them.
type book struct {
	site  string
	all   []*Incident
	byKey map[string]*Incident
	count map[string]int // open incidents per device and family
}

func newBook(site string, open []*Incident) *book {
	b := &book{site: site, all: open, byKey: map[string]*Incident{}, count: map[string]int{}}
	for _, i := range open {
		b.byKey[incidentKey(i.Device, i.Family, i.Target)] = i
		b.count[incidentKey(i.Device, i.Family, "")]++
	}
	return b
}

func incidentKey(device uint64, family, target string) string {
	return fmt.Sprintf("%016x %s %s", device, family, target)
}

// add enters a finding: into the open incident of its key, or as a new one.
func (b *book) add(f *finding, target string) {
	family := f.detector.Name
	group := incidentKey(f.Device, family, "")
	i := b.byKey[incidentKey(f.Device, family, target)]
	if i == nil && b.count[group] >= maxTargets {
		target = "many"
		i = b.byKey[incidentKey(f.Device, family, target)]
	}
	if i != nil && f.Since.Sub(i.Changed) > quietTime {
		i = nil // it should have been closed between the two
	}
	if i == nil {
		i = &Incident{
			ID: incidentID(b.site, f.Device, family, target, f.Since), Site: b.site, Device: f.Device, Family: family, Target: target,
			State: StateOpen, Opened: f.Since, Changed: f.Since, Actor: "tidemark", Attack: f.detector.Attack, told: true,
		}
		b.all = append(b.all, i)
		b.byKey[incidentKey(f.Device, family, target)] = i
		b.count[group]++
	}
	i.Findings++
	i.seen = true
	stale := f.Until.Sub(i.Changed) >= repeatTime
	i.Changed = later(i.Changed, f.Until)
	if powerOfTen(i.Findings) && i.Findings > 1 && i.State != StateAcknowledged {
		i.told = true
	}
	if i.Version == 0 || f.score() > i.Strength || stale || i.told {
		i.from = f
		i.Strength = max(i.Strength, f.score())
	}
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

func powerOfTen(n uint64) bool {
	for n >= 10 && n%10 == 0 {
		n /= 10
	}
	return n == 1
}

// incidentID is the same whoever scores the same batches again.
func incidentID(site string, device uint64, family, target string, opened time.Time) uint64 {
	h := fnv.New64a()
	for _, part := range []string{site, family, target} {
		h.Write(append([]byte(part), 0))
	}
	h.Write(binary.BigEndian.AppendUint64(nil, device))
	h.Write(binary.BigEndian.AppendUint64(nil, uint64(opened.UnixMilli())))
	return h.Sum64()
}

// weigh sets the risk of every incident that changed, and of the others of the
// same device: families support each other.
func (b *book) weigh(detectors []Detector) {
	byName := map[string]*Detector{}
	for i := range detectors {
		byName[detectors[i].Name] = &detectors[i]
	}
	changed := map[uint64]time.Time{}
	for _, i := range b.all {
		if i.seen {
			changed[i.Device] = later(changed[i.Device], i.Changed)
		}
	}
	families := map[uint64]map[string]evidence{}
	for _, i := range b.all {
		at, ok := changed[i.Device]
		d := byName[i.Family]
		if !ok || d == nil || at.Sub(i.Changed) > quietTime {
			continue
		}
		if families[i.Device] == nil {
			families[i.Device] = map[string]evidence{}
		}
		e := families[i.Device][i.Family]
		families[i.Device][i.Family] = evidence{max(e.score, i.Strength), d.Stage, d.Hard || e.hard || i.Strength >= 0.5}
	}
	for _, i := range b.all {
		group := families[i.Device]
		if group[i.Family].stage == "" {
			continue
		}
		percent, notify, terms := risk(group)
		if i.told || i.seen || percent >= i.Risk+riskStep {
			if i.Version > 0 && percent >= i.Risk+riskStep && i.State != StateAcknowledged {
				i.told = true
			}
			if i.told || percent > i.Risk {
				i.Risk, i.Notify, i.Terms = percent, notify, terms
			}
		}
	}
}

// close ends incidents that have been quiet.
func (b *book) close(watermark time.Time) {
	for _, i := range b.all {
		if watermark.Sub(i.Changed) >= quietTime && i.Version > 0 {
			i.State, i.told = StateClosed, true
			i.Actor, i.Reason = "tidemark", fmt.Sprintf("nothing for %d hours", int(quietTime.Hours()))
		}
	}
}

// targetOf names what a finding is about.
func (s *Scorer) targetOf(f *finding) string {
	switch f.detector.target {
	case byPeer:
		return f.peer()
	case byService:
		peer := ""
		if f.detector.Name == "failed_access" {
			peer = " " + f.peer()
		}
		if f.Port == 0 && (f.Proto == 6 || f.Proto == 17) {
			return f.Role + " many ports" + peer
		}
		return f.Role + " " + serviceNumber(f.Proto, f.Port) + peer
	}
	return "device"
}

// peer names the other side: the device's id inside the site, the network
// outside it.
func (f *finding) peer() string {
	switch {
	case f.Peer == 0:
		return "many"
	case f.PeerDevice != 0:
		return fmt.Sprintf("%016x", f.PeerDevice)
	}
	return network(f.PeerAddr)
}

// describe puts names and numbers into words.
func (s *Scorer) describe(ctx context.Context, b *book) error {
	var ids []uint64
	for _, i := range b.all {
		ids = append(ids, i.Device)
		if i.from != nil && i.from.PeerDevice != 0 {
			ids = append(ids, i.from.PeerDevice)
		}
	}
	slices.Sort(ids)
	devices, err := s.devicesByID(ctx, slices.Compact(ids))
	if err != nil {
		return err
	}
	for _, i := range b.all {
		i.device = devices[i.Device]
		i.device.ID = i.Device
		f := i.from
		if f == nil {
			continue
		}
		i.Expected, i.Observed = s.words(f, f.Expected, devices), s.words(f, f.Observed, devices)
		i.Query = f.query
		if i.Flows, err = s.flowsOf(ctx, f); err != nil {
			return err
		}
	}
	return nil
}

func (s *Scorer) words(f *finding, text string, devices map[uint64]Device) string {
	peer := f.PeerAddr.String()
	if d, ok := devices[f.PeerDevice]; ok && f.PeerDevice != 0 {
		peer = d.Title()
	}
	return strings.NewReplacer("<peer>", peer, "<service>", s.service(f.Proto, f.Port)).Replace(text)
}

// service names a service with its number: "mqtt (tcp/1883)".
func (s *Scorer) service(proto uint8, port uint16) string {
	name, number := s.config.Service(proto, port), serviceNumber(proto, port)
	if name == number || proto != 6 && proto != 17 {
		return name
	}
	return name + " (" + number + ")"
}

// line is the incident in one line for people.
func (i *Incident) line() string {
	var terms []string
	for _, t := range i.Terms {
		terms = append(terms, fmt.Sprintf("%s %d", t.Name, t.Value))
	}
	return fmt.Sprintf("%s: %s. Expected: %s. Since %s. Risk %d, %s (%s). ATT&CK %s.", i.device.Title(), i.Observed, i.Expected,
		i.Opened.Format("2006-01-02 15:04:05 UTC"), i.Risk, Level(i.Risk), strings.Join(terms, ", "), strings.Join(i.Attack, "/"))
}

// body is the incident as the ledger keeps it: strings and integers only.
func (i *Incident) body() map[string]any {
	terms := make([]any, len(i.Terms))
	for k, t := range i.Terms {
		terms[k] = map[string]any{"name": t.Name, "value": int64(t.Value)}
	}
	d := i.device
	return map[string]any{
		"incident": i.Name(), "version": int64(i.Version), "site": i.Site, "state": string(i.State), "family": i.Family, "target": i.Target,
		"device": map[string]any{
			"id": fmt.Sprintf("%016x", i.Device), "label": d.Label, "mac": d.MACString(), "vendor": d.Vendor, "identity": d.Identity,
			"addresses": texts(d.addressStrings()),
		},
		"since": stamp(i.Opened), "until": stamp(i.Changed), "findings": int64(i.Findings),
		"expected": i.Expected, "observed": i.Observed, "risk": int64(i.Risk), "terms": terms,
		"attack": texts(i.Attack), "flows": texts(i.Flows), "query": i.Query, "text": i.Text, "reason": i.Reason,
	}
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

func texts(list []string) []any {
	out := make([]any, len(list))
	for i, v := range list {
		out[i] = v
	}
	return out
}

// write tells the ledger first and the table second: a crash between the two
// repeats the events, with the same bodies, instead of losing them.
func (s *Scorer) write(ctx context.Context, b *book) error {
	var changed []*Incident
	for _, i := range b.all {
		if !i.told && !i.seen {
			continue
		}
		i.Version++
		kind := "alert_updated"
		switch {
		case i.Version == 1:
			kind = "alert"
		case i.State == StateClosed:
			kind = "alert_closed"
		case i.told && i.State == StateOpen:
			i.State = StateUpdated
		}
		if i.told || i.from != nil {
			i.Text = i.line()
		}
		if i.told {
			if err := s.tell(ctx, kind, i); err != nil {
				return err
			}
		}
		changed = append(changed, i)
	}
	if err := s.saveIncidents(ctx, changed); err != nil {
		return fmt.Errorf("store %d incidents: %w", len(changed), err)
	}
	return nil
}

func (s *Scorer) tell(ctx context.Context, kind string, i *Incident) error {
	event := Event{Kind: kind, Time: i.Changed, Actor: i.Actor, Body: i.body(), Incident: i}
	if err := s.emit(ctx, event); err != nil {
		return fmt.Errorf("write incident %s to the ledger: %w", i.Name(), err)
	}
	e := s.log.Info()
	if i.Notify && kind != "alert_closed" {
		e = s.log.Warn()
	}
	e.Str("incident", i.Name()).Str("kind", kind).Str("family", i.Family).Uint8("risk", i.Risk).Msg(i.Text)
	return nil
}

// flowsOf names up to 20 of the flows a finding rests on: those of the batches
// that were looked at, else those of any batch. Detectors read aggregates of
// days, in which a batch newer than those looked at may already stand.
func (s *Scorer) flowsOf(ctx context.Context, f *finding) ([]string, error) {
	flows, err := s.flowsIn(ctx, f, f.after, f.upto, f.Until)
	if err != nil || len(flows) > 0 {
		return flows, err
	}
	return s.flowsIn(ctx, f, 0, math.MaxInt64, f.Until.AddDate(0, 0, 1))
}

// flowsIn names up to 20 of the flows of a finding in batches (after, upto].
func (s *Scorer) flowsIn(ctx context.Context, f *finding, after, upto uint64, until time.Time) ([]string, error) {
	addr := f.PeerAddr
	if !addr.IsValid() {
		addr = netip.IPv6Unspecified()
	}
	return column[string](ctx, s, flowsOfSQL, map[string]any{
		"log": f.log, "after": after, "upto": upto, "device": f.Device, "peer": f.Peer, "peer_device": f.PeerDevice,
		"address": addr, "proto": uint64(f.Proto), "port": uint64(f.Port), "since": f.Since, "until": until,
	})
}

//go:embed query/flows_of.sql
var flowsOfSQL string

// roundRisk keeps a stored strength short; it is no more exact than that.
func roundRisk(f float64) float64 { return math.Round(f*1e4) / 1e4 }
