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
	"time"
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
)

// raise turns findings into incidents, closes what has been quiet, writes each
// change to the ledger and then to the table. covered says that what exporters show was
// judged: what is not found of them then is over.
func (s *Scorer) raise(ctx context.Context, found []finding, watermark time.Time, covered bool) error {
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
	if covered {
		b.restore(watermark)
	}
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
	l := i.lineOf(f, target)
	score := uint8(math.Round(100 * f.score()))
	if l.Count > 0 && !f.Until.After(l.Until) && score <= l.Score {
		return // the same judged again
	}
	i.Findings++
	i.Changed = later(i.Changed, f.Until)
	if i.Findings > 1 && powerOfTen(i.Findings) && i.State != StateAcknowledged {
		i.event = true
	}
	stale := f.Until.Sub(l.Until) >= repeatTime
	l.Count++
	l.Until = later(l.Until, f.Until)
	if l.Count == 1 || score > l.Score || stale || powerOfTen(l.Count) {
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

// weigh sets the risk of every incident that changed, and says which changes are
// events and which are worth telling people: not what is little without the lines
// of which another incident tells that people are told of. What detectors in the
// shadow find counts nothing.
func (b *book) weigh(detectors []Detector, shadow []string, kappa func(Device) float64) {
	var others []*Incident
	for _, i := range b.all {
		if !i.seen || len(i.Lines) == 0 {
			continue
		}
		all, own, trial := i.evidence(detectors, shadow, nil)
		percent, worth, terms := risk(all, kappa(i.device))
		if i.Version > 0 && percent >= i.Risk+riskStep && i.State != StateAcknowledged {
			i.event = true
		}
		for _, name := range slices.Sorted(maps.Keys(trial)) {
			terms = append(terms, Term{name + " (in the shadow)", 0})
		}
		i.Risk, i.Terms = percent, terms
		if i.lead() {
			i.event = true // a table that names another family than the log is called altered
		}
		if worth && i.grew(detectors) {
			if _, enough, _ := risk(own, kappa(i.device)); !enough {
				others = append(others, i)
				continue
			}
			i.due, i.event, i.Notify = true, true, true
		}
	}
	if len(others) == 0 {
		return
	}
	untold := map[string]bool{}
	for _, c := range b.all {
		untold[c.Name()] = !c.Notify
	}
	for _, i := range others {
		_, own, _ := i.evidence(detectors, shadow, untold)
		if _, enough, _ := risk(own, kappa(i.device)); enough {
			i.due, i.event, i.Notify = true, true, true
		}
	}
}

// evidence gathers the lines of an incident by family: all, those of which no other
// incident tells but untold ones, and the families of detectors in the shadow, which
// are neither.
func (i *Incident) evidence(detectors []Detector, shadow []string, untold map[string]bool) (all, own map[string]evidence, trial map[string]bool) {
	all, own, trial = map[string]evidence{}, map[string]evidence{}, map[string]bool{}
	for _, l := range i.live(i.Changed) {
		if slices.Contains(shadow, l.Family) {
			trial[l.Family] = true
			continue
		}
		d := detectorNamed(detectors, l.Family)
		hard := d != nil && d.Hard || l.Score >= 50
		family := l.Family
		if d != nil && d.family != "" {
			family = d.family
		}
		add := func(to map[string]evidence) {
			e := to[family]
			to[family] = evidence{max(e.score, float64(l.Score)/100), l.Stage, e.hard || hard}
		}
		add(all)
		if l.Cause == "" || untold[l.Cause] {
			add(own)
		}
	}
	return all, own, trial
}

// grew says whether there is something to tell since people were told last. What
// was acknowledged is told again if it grows, not because a day has passed. What
// breaks a rule that people wrote is news whatever they know of its stage.
func (i *Incident) grew(detectors []Detector) bool {
	if i.toldAt.UnixMilli() <= 0 && i.State != StateAcknowledged {
		return true
	}
	if i.Risk >= i.toldRisk+riskStep || i.State != StateAcknowledged && i.Changed.Sub(i.toldAt) >= quietTime {
		return true
	}
	told := map[string]bool{} // stages and families
	for _, l := range i.Lines {
		told[l.Stage] = told[l.Stage] || l.Notified
		told[l.Family] = told[l.Family] || l.Notified
	}
	return slices.ContainsFunc(i.live(i.Changed), func(l *Line) bool {
		d := detectorNamed(detectors, l.Family)
		return !told[l.Stage] || d != nil && d.written && !told[l.Family]
	})
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
