package profile

import (
	"context"
	_ "embed"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

var (
	//go:embed query/exclusions.sql
	exclusionsSQL string
	//go:embed query/save_exclusion.sql
	saveExclusionSQL string
	//go:embed query/save_hits.sql
	saveHitsSQL string
)

// An exclusion says how long it holds: this long if it does not, and never longer
// than maxExclusion.
const (
	DefaultExclusion = 90 * 24 * time.Hour
	maxExclusion     = 366 * 24 * time.Hour
)

// hardFamilies are never hidden, unless an exclusion says Hard: they are attacks
// by themselves, or an authorised scanner.
var hardFamilies = []string{"threat_intel", "scan", "flood", "reflection", "spoof"}

// Exclusion hides findings: those that fit everything it names.
type Exclusion struct {
	ID      uint64    `json:"-"`
	Device  uint64    `json:"-"`       // 0 = any
	Kind    string    `json:"kind"`    // of device
	Family  string    `json:"family"`  // of detectors
	Peer    string    `json:"peer"`    // a device id, an address or a network
	Proto   uint8     `json:"proto"`   // with Port: a service
	Port    uint16    `json:"port"`    // 0 = any
	Hours   string    `json:"hours"`   // of the day by the site's clocks, such as 22-6
	Hard    bool      `json:"hard"`    // hard families too
	Expires time.Time `json:"expires"` // event time
	Actor   string    `json:"actor"`
	Reason  string    `json:"reason"`
	Created time.Time `json:"created"`
	Hits    uint64    `json:"hits"`     // findings hidden so far
	LastHit time.Time `json:"last_hit"` // event time; zero = none
}

// Name is the exclusion's id as people write it.
func (x *Exclusion) Name() string { return fmt.Sprintf("%016x", x.ID) }

// Validate reports every fault of an exclusion that is to begin at now.
// own are the names of detectors that are not built in.
func (x *Exclusion) Validate(now time.Time, own ...string) error {
	var errs []error
	fault := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if x.Device == 0 && x.Kind == "" && x.Peer == "" && x.Port == 0 {
		fault("scope: got none, want a device, kind, peer or service: an exclusion of everything would blind the site")
	}
	if x.Family != "" {
		names := slices.Clone(own)
		for _, d := range Detectors() {
			names = append(names, d.Name)
		}
		if !slices.Contains(names, x.Family) {
			fault("family: no detector %q, want one of %s", x.Family, strings.Join(names, ", "))
		} else if slices.Contains(hardFamilies, x.Family) && !x.Hard {
			fault("family: %s is an attack by itself and is hidden only with hard, such as for an authorised scanner", x.Family)
		}
	}
	if x.Hard && x.Device == 0 && x.Peer == "" {
		fault("hard: want the device or peer that is authorised")
	}
	if x.Peer != "" {
		if _, network, err := parsePeer(x.Peer); err != nil {
			fault("peer: %w", err)
		} else if network.IsValid() && (network.Bits() < 8 || network.Addr().Is6() && network.Bits() < 16) {
			fault("peer: got %s, want a part of the world: /8 or longer, in IPv6 /16", network)
		}
	}
	if x.Hours != "" {
		if _, _, err := parseHours(x.Hours); err != nil {
			fault("hours: %w", err)
		}
	}
	if strings.TrimSpace(x.Reason) == "" {
		fault("reason: want one")
	} else if err := plain("the reason", x.Reason, maxFact); err != nil {
		fault("reason: %w", err)
	}
	if !x.Expires.After(now) || x.Expires.Sub(now) > maxExclusion {
		fault("expires: got %s, want a time from now to a year hence", x.Expires.UTC().Format(time.RFC3339))
	}
	return errors.Join(errs...)
}

func parsePeer(text string) (device uint64, network netip.Prefix, err error) {
	if id, err := strconv.ParseUint(text, 16, 64); err == nil && len(text) == 16 {
		return id, network, nil
	}
	if a, err := netip.ParseAddr(text); err == nil {
		return 0, netip.PrefixFrom(a.Unmap(), a.Unmap().BitLen()), nil
	}
	if p, err := netip.ParsePrefix(text); err == nil && p == p.Masked() {
		return 0, p, nil
	}
	return 0, network, fmt.Errorf("got %q, want a device id of 16 hex digits, an address, or a network such as 192.0.2.0/24", text)
}

func parseHours(text string) (from, to int, err error) {
	a, b, ok := strings.Cut(text, "-")
	from, err1 := strconv.Atoi(a)
	to, err2 := strconv.Atoi(b)
	if !ok || err1 != nil || err2 != nil || from < 0 || from > 23 || to < 0 || to > 24 || from == to {
		return 0, 0, fmt.Errorf("got %q, want two hours of the day by the site's clocks, such as 22-6", text)
	}
	return from, to, nil
}

// subject is what an exclusion is compared with.
type subject struct {
	device     uint64
	kind       string
	family     string
	peerDevice uint64
	peer       netip.Addr // invalid: several
	proto      uint8
	port       uint16
	at         time.Time // by the site's clocks
}

// hides says whether the exclusion fits a finding.
func (x *Exclusion) hides(f subject) bool {
	switch {
	case !f.at.Before(x.Expires),
		x.Device != 0 && x.Device != f.device,
		x.Kind != "" && x.Kind != f.kind,
		x.Family != "" && x.Family != f.family,
		!x.Hard && slices.Contains(hardFamilies, f.family),
		x.Proto != 0 && x.Proto != f.proto,
		x.Port != 0 && x.Port != f.port:
		return false
	}
	if x.Peer != "" {
		device, network, err := parsePeer(x.Peer)
		if err != nil || device != 0 && device != f.peerDevice || device == 0 && (!f.peer.IsValid() || !network.Contains(f.peer)) {
			return false
		}
	}
	if x.Hours != "" {
		from, to, err := parseHours(x.Hours)
		hour := f.at.Hour()
		if err != nil || from < to && (hour < from || hour >= to) || from > to && hour < from && hour >= to {
			return false
		}
	}
	return true
}

// Exclusions returns those that nobody removed, expired ones among them.
func (s *Scorer) Exclusions(ctx context.Context) ([]Exclusion, error) {
	list, err := query(ctx, s, exclusionsSQL, map[string]any{"site": s.config.Site}, func(r row, x *Exclusion) error {
		var hard uint8
		err := r.Scan(&x.ID, &x.Device, &x.Kind, &x.Family, &x.Peer, &x.Proto, &x.Port, &x.Hours, &hard, &x.Actor, &x.Reason, &x.Created, &x.Expires, &x.Hits, &x.LastHit)
		x.Hard, x.Created, x.Expires, x.LastHit = hard != 0, x.Created.UTC(), x.Expires.UTC(), x.LastHit.UTC()
		if x.LastHit.UnixMilli() <= 0 {
			x.LastHit = time.Time{}
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read exclusions: %w", err)
	}
	return list, nil
}

// Exclude puts exclusions in force. Every one must be right, or none is.
func (s *Scorer) Exclude(ctx context.Context, list []Exclusion, by By) ([]Exclusion, error) {
	var errs []error
	out := slices.Clone(list)
	for i := range out {
		x := &out[i]
		x.Actor, x.Created = by.Actor, by.At
		if x.Reason == "" {
			x.Reason = by.Reason
		}
		if x.Expires.IsZero() {
			x.Expires = by.At.Add(DefaultExclusion)
		}
		x.ID = exclusionID(s.config.Site, x)
		if err := x.Validate(by.At, DetectorFileNames(s.config.Detectors)...); err != nil {
			errs = append(errs, fmt.Errorf("exclusion %d: %w", i+1, err))
		}
	}
	if len(errs) > 0 {
		return nil, fmt.Errorf("%w: %w", ErrRefused, errors.Join(errs...))
	}
	for i := range out {
		if err := s.saveExclusion(ctx, &out[i], "exclusion_added", false, by); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Include takes an exclusion back.
func (s *Scorer) Include(ctx context.Context, id uint64, by By) error {
	list, err := s.Exclusions(ctx)
	if err != nil {
		return err
	}
	for i := range list {
		if list[i].ID == id {
			return s.saveExclusion(ctx, &list[i], "exclusion_removed", true, by)
		}
	}
	return fmt.Errorf("exclusion %016x: %w", id, ErrNotFound)
}

func (s *Scorer) saveExclusion(ctx context.Context, x *Exclusion, kind string, removed bool, by By) error {
	if strings.TrimSpace(by.Actor) == "" || strings.TrimSpace(by.Reason) == "" && strings.TrimSpace(x.Reason) == "" {
		return fmt.Errorf("exclusion %s: %w: want an actor and a reason", x.Name(), ErrRefused)
	}
	reason := x.Reason
	if removed {
		reason = by.Reason
	}
	body := map[string]any{
		"site": s.config.Site, "exclusion": x.Name(), "device": "", "of_kind": x.Kind, "family": x.Family, "peer": x.Peer,
		"proto": int64(x.Proto), "port": int64(x.Port), "hours": x.Hours, "hard": truth(x.Hard), "expires": timestamp(x.Expires), "reason": reason,
	}
	if x.Device != 0 {
		body["device"] = fmt.Sprintf("%016x", x.Device)
	}
	if err := s.emit(ctx, Event{Kind: kind, Time: by.At, Actor: by.Actor, Body: body}); err != nil {
		return fmt.Errorf("record exclusion %s: %w", x.Name(), err)
	}
	err := s.exec(ctx, saveExclusionSQL, map[string]any{
		"site": s.config.Site, "id": x.ID, "device": x.Device, "kind": x.Kind, "family": x.Family, "peer": x.Peer, "proto": uint64(x.Proto), "port": uint64(x.Port),
		"hours": x.Hours, "hard": x.Hard, "actor": x.Actor, "reason": x.Reason, "created": x.Created, "expires": x.Expires, "removed": removed, "changed": by.At,
	})
	if err != nil {
		return fmt.Errorf("store exclusion %s: %w", x.Name(), err)
	}
	return nil
}

func exclusionID(site string, x *Exclusion) uint64 {
	h := fnv.New64a()
	for _, part := range []string{site, x.Kind, x.Family, x.Peer, x.Hours, fmt.Sprint(x.Proto, x.Port, x.Hard)} {
		h.Write(append([]byte(part), 0))
	}
	h.Write(binary.BigEndian.AppendUint64(nil, x.Device))
	return h.Sum64()
}

// exclude takes what exclusions hide out of what was found, and counts it.
func (s *Scorer) exclude(ctx context.Context, found []finding) ([]finding, error) {
	if len(found) == 0 {
		return found, nil
	}
	list, err := s.Exclusions(ctx)
	if err != nil {
		return nil, err
	}
	found, hits, err := s.without(ctx, found, list)
	if err != nil {
		return nil, err
	}
	for i, h := range hits {
		if h.n == 0 {
			continue
		}
		if err := s.exec(ctx, saveHitsSQL, map[string]any{"site": s.config.Site, "id": list[i].ID, "hits": h.n, "last": h.last}); err != nil {
			return nil, fmt.Errorf("count hits of exclusion %s: %w", list[i].Name(), err)
		}
	}
	return found, nil
}

// hits is how often an exclusion fitted, and the event time of the last.
type hits struct {
	n    uint64
	last time.Time
}

// without returns what exclusions leave of findings, and the hits of each.
func (s *Scorer) without(ctx context.Context, found []finding, list []Exclusion) ([]finding, []hits, error) {
	if len(found) == 0 || len(list) == 0 {
		return found, nil, nil
	}
	var ids []uint64
	for i := range found {
		ids = append(ids, found[i].Device, found[i].PeerDevice)
	}
	slices.Sort(ids)
	known, err := s.identities(ctx, slices.Compact(ids))
	if err != nil {
		return nil, nil, err
	}
	hit := make([]hits, len(list))
	found = slices.DeleteFunc(found, func(f finding) bool {
		of := f.subject()
		of.place(known, s.config.Zone)
		for i := range list {
			if list[i].hides(of) {
				hit[i].n++
				hit[i].last = later(hit[i].last, f.Until)
				return true
			}
		}
		return false
	})
	return found, hit, nil
}

// subject is the finding as an exclusion sees it.
func (f *finding) subject() subject {
	of := subject{device: f.Device, family: f.detector.Name, peerDevice: f.PeerDevice, proto: f.Proto, port: f.Port, at: f.Until}
	if f.Peer != 0 {
		of.peer = f.PeerAddr
	}
	return of
}

// subject is the line as an exclusion sees it.
func (l *Line) subject(device uint64) subject {
	of := subject{device: device, family: l.Family, proto: l.Proto, port: l.Port, at: l.Until}
	if id, network, err := parsePeer(l.Peer); err == nil {
		of.peerDevice = id
		if id == 0 {
			of.peer = network.Addr()
		}
	}
	return of
}

// place names a subject's devices by the ids in force, its kind, and its time as the
// site's clocks showed it.
func (of *subject) place(known map[uint64]Device, zone *time.Location) {
	of.at = of.at.In(zone)
	if d, ok := known[of.device]; ok {
		of.device, of.kind = d.ID, d.Kind
	}
	if d, ok := known[of.peerDevice]; ok && of.peerDevice != 0 {
		of.peerDevice = d.ID
	}
}

// Preview is what an exclusion would have hidden of the stored alerts.
type Preview struct {
	Alerts   int    `json:"alerts"`   // with a line that it hides
	Whole    int    `json:"whole"`    // of which it hides every line
	Notified int    `json:"notified"` // of these, alerts that people were told of
	Findings uint64 `json:"findings"`
	Of       int    `json:"of"` // alerts there are
}

// Preview tries an exclusion on every stored alert that was open after since.
func (s *Scorer) Preview(ctx context.Context, x Exclusion, since time.Time) (Preview, error) {
	var p Preview
	list, err := s.incidents(ctx, AlertFilter{Limit: 1 << 30})
	if err != nil {
		return p, fmt.Errorf("read alerts: %w", err)
	}
	var ids []uint64
	for _, i := range list {
		ids = append(ids, i.Device)
		for k := range i.Lines {
			if of := i.Lines[k].subject(i.Device); of.peerDevice != 0 {
				ids = append(ids, of.peerDevice)
			}
		}
	}
	slices.Sort(ids)
	known, err := s.identities(ctx, slices.Compact(ids))
	if err != nil {
		return p, err
	}
	for _, i := range list {
		if i.Changed.Before(since) {
			continue
		}
		p.Of++
		hidden := 0
		for k := range i.Lines {
			of := i.Lines[k].subject(i.Device)
			of.place(known, s.config.Zone)
			if x.hides(of) {
				hidden++
				p.Findings += i.Lines[k].Count
			}
		}
		if hidden > 0 {
			p.Alerts++
		}
		if hidden > 0 && hidden == len(i.Lines) {
			p.Whole++
			if i.Notify {
				p.Notified++
			}
		}
	}
	return p, nil
}
