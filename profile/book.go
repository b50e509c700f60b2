package profile

import (
	"cmp"
	"context"
	_ "embed"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"maps"
	"math"
	"slices"
	"strings"
	"time"
)

var (
	//go:embed query/alike.sql
	alikeSQL string
)

const (
	// An incident without a finding for this long is closed; lines of a device
	// count together for as long.
	quietTime = 24 * time.Hour

	// An open incident is an event again when its risk rises by this much, or its
	// findings reach the next power of ten.
	riskStep = 15

	// Findings of one family about one device beyond so many targets become one
	// line, "many"; of more lines than maxLines the one quiet for longest goes.
	maxTargets = 5
	maxLines   = 60

	// Repeats that change nothing are written down at this pace.
	repeatTime = time.Hour

	// So many devices with the same line have one cause.
	fleetSize = 3
)

// raise turns findings into incidents, closes what has been quiet, writes each
// change to the ledger and then to the table.
func (s *Scorer) raise(ctx context.Context, found []finding, watermark time.Time) error {
	found, err := s.exclude(ctx, found)
	if err != nil {
		return err
	}
	b, err := s.open(ctx, found, watermark)
	if err != nil {
		return err
	}
	if len(found) == 0 && len(b.all) == 0 {
		return nil
	}
	if err := s.enter(ctx, b, found); err != nil {
		return err
	}
	b.close(watermark)
	if err := s.ration(ctx, b, watermark); err != nil {
		return err
	}
	return s.write(ctx, b)
}

// enter adds findings to the incidents of a book and weighs those that changed.
func (s *Scorer) enter(ctx context.Context, b *book, found []finding) error {
	slices.SortStableFunc(found, func(a, b finding) int {
		return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.Device, b.Device), cmp.Compare(a.detector.Name, b.detector.Name), cmp.Compare(a.Peer, b.Peer))
	})
	for i := range found {
		b.add(&found[i], s.targetOf(&found[i]))
	}
	b.blame()
	if !b.trial { // of which the table knows nothing
		if err := s.fleet(ctx, b); err != nil {
			return fmt.Errorf("find who else has the same: %w", err)
		}
	}
	if err := s.describe(ctx, b); err != nil {
		return err
	}
	b.weigh(s.detectors, s.config.Shadow, s.kappa)
	return nil
}

// book is the open incidents of a site while a Score changes them: those of the
// devices it found something about, and those to be closed or told.
type book struct {
	site string
	all  []*Incident
	of   map[uint64]*Incident // by device

	trial bool // nothing of it is stored
}

func (s *Scorer) open(ctx context.Context, found []finding, watermark time.Time) (*book, error) {
	devices := []uint64{0}
	for i := range found {
		devices = append(devices, found[i].Device)
		if found[i].PeerDevice != 0 {
			devices = append(devices, found[i].PeerDevice)
		}
	}
	slices.Sort(devices)
	list, err := s.incidents(ctx, AlertFilter{Limit: math.MaxInt32, touched: slices.Compact(devices), quiet: watermark.Add(-quietTime)})
	if err != nil {
		return nil, err
	}
	return newBook(s.config.Site, list), nil
}

func newBook(site string, list []*Incident) *book {
	b := &book{site: site, of: map[uint64]*Incident{}}
	for _, i := range list {
		b.enter(i)
	}
	return b
}

// enter takes an incident into the book. One of a version before lines takes no
// findings: it is closed when it has been quiet.
func (b *book) enter(i *Incident) {
	b.all = append(b.all, i)
	if i.State != StateClosed && len(i.Lines) > 0 {
		b.of[i.Device] = i
	}
}

// add enters a finding: into a line of the open incident of its device, or of a
// new one.
func (b *book) add(f *finding, target string) {
	i := b.of[f.Device]
	if i == nil || f.Since.Sub(i.Changed) > quietTime { // it should have been closed between the two
		i = &Incident{
			ID: incidentID(b.site, f.Device, f.Since), Site: b.site, Device: f.Device, State: StateOpen,
			Opened: f.Since, Changed: f.Since, Actor: "tidemark", event: true,
		}
		b.enter(i)
		b.of[f.Device] = i
	}
	i.seen = true
	i.Findings++
	i.Changed = later(i.Changed, f.Until)
	if i.Findings > 1 && powerOfTen(i.Findings) && i.State != StateAcknowledged {
		i.event = true
	}
	l := i.lineOf(f, target)
	stale := f.Until.Sub(l.Until) >= repeatTime
	l.Count++
	l.Until = later(l.Until, f.Until)
	if score := uint8(math.Round(100 * f.score())); l.Count == 1 || score > l.Score || stale || powerOfTen(l.Count) {
		l.from = f
		l.Score = max(l.Score, score)
	}
}

// lineOf returns the line a finding belongs into.
func (i *Incident) lineOf(f *finding, target string) *Line {
	family, targets := f.detector.Name, 0
	find := func(target string) *Line {
		k := slices.IndexFunc(i.Lines, func(l Line) bool { return l.Family == family && l.Target == target })
		if k < 0 {
			return nil
		}
		return &i.Lines[k]
	}
	for k := range i.Lines {
		if i.Lines[k].Family == family {
			targets++
		}
	}
	l := find(target)
	if l == nil && targets >= maxTargets {
		target = "many"
		l = find(target)
	}
	if l != nil {
		return l
	}
	if len(i.Lines) >= maxLines {
		oldest := 0
		for k := range i.Lines {
			if i.Lines[k].Until.Before(i.Lines[oldest].Until) {
				oldest = k
			}
		}
		i.Lines = slices.Delete(i.Lines, oldest, oldest+1)
	}
	i.event = true
	i.Lines = append(i.Lines, Line{
		Family: family, Target: target, Stage: f.detector.Stage, Role: f.Role, Peer: f.peerName(), Proto: f.Proto, Port: f.Port,
		Since: f.Since, Until: f.Since, Attack: f.detector.Attack, new: true,
	})
	return &i.Lines[len(i.Lines)-1]
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
func incidentID(site string, device uint64, opened time.Time) uint64 {
	h := fnv.New64a()
	h.Write(append([]byte(site), 0))
	h.Write(binary.BigEndian.AppendUint64(nil, device))
	h.Write(binary.BigEndian.AppendUint64(nil, uint64(opened.UnixMilli())))
	return h.Sum64()
}

// blame points new lines of devices that were only the target at the incident of
// the device that did it.
func (b *book) blame() {
	for _, i := range b.all {
		for k := range i.Lines {
			l := &i.Lines[k]
			if !l.new || l.from == nil {
				continue
			}
			culprit := l.from.Cause
			if culprit == 0 && l.Role == "server" {
				culprit = l.from.PeerDevice
			}
			by := b.of[culprit]
			if by == nil || by == i || !slices.ContainsFunc(by.Lines, func(o Line) bool { return o.does(l, i.Device) }) {
				continue
			}
			l.Cause = by.Name()
			by.tellOf(i.Device)
		}
	}
}

// does says whether o is the doing of which l is what a victim saw: it is about that
// device, or about several by the same service.
func (o *Line) does(l *Line, victim uint64) bool {
	return o.Role == "client" && o.Cause == "" && (o.Peer == fmt.Sprintf("%016x", victim) || o.Peer == "" && (o.Port == 0 || l.Port == 0 || o.Port == l.Port))
}

// tellOf notes another device whose incident points here.
func (i *Incident) tellOf(device uint64) {
	if device == i.Device || slices.Contains(i.Also, device) {
		return
	}
	i.Also = append(i.Also, device)
	slices.Sort(i.Also)
	i.seen = true
	if n := uint64(len(i.Also)); n == fleetSize-1 || powerOfTen(n) && n > 1 {
		i.event = true
	}
}

// common says whether several devices with the same line are one thing that
// happens to all of them, such as a new server of their maker. What is an attack by
// itself is none.
func (l *Line) common(d *Detector) bool {
	return l.new && l.Cause == "" && l.from != nil && l.from.Peer != 0 && l.from.PeerDevice == 0 && d != nil && !d.Hard && l.Score < 50
}

// fleet points new lines that at least fleetSize devices have within a day at the
// incident of the first of them: of devices of one vendor or kind, or if somebody
// outside tries them all.
func (s *Scorer) fleet(ctx context.Context, b *book) error {
	type key struct{ family, target string }
	type group struct {
		first   uint64 // device
		since   time.Time
		devices []uint64
		lines   map[uint64]*Line
	}
	groups := map[key]*group{}
	families, targets := []string{}, []string{}
	since := time.Time{}
	for _, i := range b.all {
		for k := range i.Lines {
			l := &i.Lines[k]
			if !l.common(detectorNamed(s.detectors, l.Family)) {
				continue
			}
			g := groups[key{l.Family, l.Target}]
			if g == nil {
				g = &group{first: i.Device, since: l.Since, lines: map[uint64]*Line{}}
				groups[key{l.Family, l.Target}] = g
				families, targets = append(families, l.Family), append(targets, l.Target)
			}
			g.devices = append(g.devices, i.Device)
			g.lines[i.Device] = l
			if since.IsZero() || l.Since.Before(since) {
				since = l.Since
			}
		}
	}
	if len(groups) == 0 {
		return nil
	}
	before := map[uint64]uint64{} // device: incident
	err := each(ctx, s, alikeSQL, map[string]any{"site": b.site, "since": since.Add(-quietTime), "families": families, "targets": targets}, func(r row) error {
		var k key
		var incident, device uint64
		var devices []uint64
		if err := r.Scan(&k.family, &k.target, &incident, &device, &devices); err != nil {
			return err
		}
		if g := groups[k]; g != nil {
			g.first = device
			g.devices = append(g.devices, devices...)
			before[device] = incident
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, k := range slices.SortedFunc(maps.Keys(groups), func(a, b key) int { return cmp.Or(cmp.Compare(a.family, b.family), cmp.Compare(a.target, b.target)) }) {
		g := groups[k]
		slices.Sort(g.devices)
		g.devices = slices.Compact(g.devices)
		if len(g.devices) < fleetSize {
			continue
		}
		known, err := s.identities(ctx, g.devices)
		if err != nil {
			return err
		}
		first := b.of[g.first]
		if first == nil {
			list, err := s.incidents(ctx, AlertFilter{ID: before[g.first]})
			if err != nil {
				return err
			}
			if len(list) == 0 || list[0].State == StateClosed {
				continue
			}
			first = list[0]
			b.enter(first)
		}
		like := []uint64{}
		for _, d := range g.devices {
			l := g.lines[d]
			a, o := known[g.first], known[d]
			same := a.Vendor != "" && a.Vendor == o.Vendor || a.Kind != "" && a.Kind == o.Kind || l != nil && l.Role == "server"
			if same || d == g.first {
				like = append(like, d)
			}
		}
		if len(like) < fleetSize {
			continue
		}
		for _, d := range like {
			if l := g.lines[d]; l != nil && d != g.first {
				l.Cause = first.Name()
			}
			first.tellOf(d)
		}
	}
	return nil
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

// peerName names the other side as exactly as it is known.
func (f *finding) peerName() string {
	switch {
	case f.Peer == 0:
		return ""
	case f.PeerDevice != 0:
		return fmt.Sprintf("%016x", f.PeerDevice)
	}
	return f.PeerAddr.String()
}

// describe puts names and numbers of the incidents that changed into words.
func (s *Scorer) describe(ctx context.Context, b *book) error {
	var ids []uint64
	for _, i := range b.all {
		ids = append(ids, i.Device)
		for k := range i.Lines {
			if f := i.Lines[k].from; f != nil && f.PeerDevice != 0 {
				ids = append(ids, f.PeerDevice)
			}
		}
	}
	slices.Sort(ids)
	devices, err := s.identities(ctx, slices.Compact(ids))
	if err != nil {
		return err
	}
	var changed []*Line
	for _, i := range b.all {
		i.device = devices[i.Device]
		i.device.ID = i.Device
		for k := range i.Lines {
			l := &i.Lines[k]
			f := l.from
			if f == nil {
				continue
			}
			l.Expected, l.Observed = s.words(f, f.Expected, devices), s.words(f, f.Observed, devices)
			l.Confidence, l.Query = uint8(math.Round(100*f.Confidence)), bare(f.query)
			changed = append(changed, l)
		}
	}
	if b.trial {
		return nil
	}
	return s.nameFlows(ctx, changed)
}

// bare is a statement without the comments that open it: what runs is the same.
func bare(statement string) string {
	statement = strings.TrimSpace(statement)
	for strings.HasPrefix(statement, "--") {
		_, statement, _ = strings.Cut(statement, "\n")
		statement = strings.TrimSpace(statement)
	}
	return statement
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

// weigh sets the risk of every incident that changed, and says which changes are
// events and which are worth telling people: not what another incident tells of,
// if people are told of that one. What detectors in the shadow find counts nothing.
func (b *book) weigh(detectors []Detector, shadow []string, kappa func(Device) float64) {
	var others []*Incident
	for _, i := range b.all {
		if !i.seen || len(i.Lines) == 0 {
			continue
		}
		families, shadows := map[string]evidence{}, map[string]bool{}
		own := false // something that no other incident tells of
		for _, l := range i.live(i.Changed) {
			if slices.Contains(shadow, l.Family) {
				shadows[l.Family] = true
				continue
			}
			d := detectorNamed(detectors, l.Family)
			e := families[l.Family]
			families[l.Family] = evidence{max(e.score, float64(l.Score)/100), l.Stage, e.hard || d != nil && d.Hard || l.Score >= 50}
			own = own || l.Cause == ""
		}
		percent, worth, terms := risk(families, kappa(i.device))
		if i.Version > 0 && percent >= i.Risk+riskStep && i.State != StateAcknowledged {
			i.event = true
		}
		for _, name := range slices.Sorted(maps.Keys(shadows)) {
			terms = append(terms, Term{name + " (in the shadow)", 0})
		}
		i.Risk, i.Terms = percent, terms
		if i.lead() {
			i.event = true // a table that names another family than the log is called altered
		}
		if worth && i.grew() {
			if !own {
				others = append(others, i)
				continue
			}
			i.due, i.event, i.Notify = true, true, true
		}
	}
	for _, i := range others {
		if slices.ContainsFunc(b.all, func(c *Incident) bool { return !c.Notify && c.Name() == i.Lines[0].Cause }) {
			i.due, i.event, i.Notify = true, true, true
		}
	}
}

// grew says whether there is something to tell since people were told last. What
// was acknowledged is told again if it grows, not because a day has passed.
func (i *Incident) grew() bool {
	if i.toldAt.UnixMilli() <= 0 && i.State != StateAcknowledged {
		return true
	}
	if i.Risk >= i.toldRisk+riskStep || i.State != StateAcknowledged && i.Changed.Sub(i.toldAt) >= quietTime {
		return true
	}
	told := map[string]bool{}
	for _, l := range i.Lines {
		told[l.Stage] = told[l.Stage] || l.Notified
	}
	return slices.ContainsFunc(i.live(i.Changed), func(l *Line) bool { return !told[l.Stage] })
}

// mark notes that people are told now of all there is.
func (i *Incident) mark() {
	i.toldAt, i.toldRisk = i.Changed, i.Risk
	for k := range i.Lines {
		i.Lines[k].Notified = true
	}
}

// close ends incidents that have been quiet.
func (b *book) close(watermark time.Time) {
	for _, i := range b.all {
		if i.State != StateClosed && i.Version > 0 && watermark.Sub(i.Changed) >= quietTime {
			i.State, i.event, i.due = StateClosed, true, i.Told > 0
			i.Actor, i.Reason = "tidemark", fmt.Sprintf("nothing for %d hours", int(quietTime.Hours()))
		}
	}
}
