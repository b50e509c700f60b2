package profile

import (
	"context"
	"embed"
	"fmt"
	"net/netip"
	"strings"
	"time"
)

//go:embed detectors/*.sql
var detectorFiles embed.FS

// Detector is one rule: a statement that returns findings.
type Detector struct {
	Name       string
	Attack     []string // MITRE ATT&CK ids, Enterprise and ICS
	Stage      string   // of an attack: recon, access, control, impact
	Hard       bool     // speaks of devices that are still learned, and is notified alone
	Parameters map[string]float64
	target     target
	pace       pace
	again      bool // runs at the steady pace too: what makes it sure may come later, without a sign of the contacts
	needs      sign // what new contacts must hold for the detector to run
	brief      bool // judges minutes, single flows or what is kept no longer than contacts: days of which only edges are kept tell it nothing
	written    bool // compares with a list or a file that people wrote, no statistics: they are told of the first
	hearsAll   bool // history includes what was judged malicious: that a device was heard is no evil
	sql        string

	// Of those that operators bring in files:
	File   string           // "" = built in
	Bounds map[string]Bound // of Parameters
	family string           // what the risk takes it for; "" = its name
}

// sign is something the gate sees in new contacts, of which detectors make more.
type sign uint16

const (
	anything   sign = 0
	novelty    sign = 1 << iota // an edge of the last day
	trying                      // one that began in these batches, not as a server
	failing                     // an attempt that failed
	pouring                     // many packets out and few back
	answering                   // much more out than in, over UDP, to the outside
	logins                      // an answered service for log-ins
	asking                      // long or many questions of DNS
	entered                     // a session that somebody outside began
	controlled                  // a service that writes to controllers
	listed                      // an address of a list
	learned                     // a device that is not only learned any more
	arrived                     // one that new_device may speak of by its age
	graduated                   // a time of learning ended, of any device
	profiled                    // a device that has a MUD profile; not of the contacts
)

// target says what makes two findings of a detector one incident.
type target uint8

const (
	byPeer    target = iota // the peer
	byService               // role and service
	byOffer                 // role and service, and of what the device serves the peer
	bySession               // role, service and peer
	byDevice                // the device alone
)

// Detectors returns every detector with its default parameters.
func Detectors() []Detector {
	all := []Detector{
		{Name: "threat_intel", Attack: []string{"T1071", "T0869"}, Stage: "control", Hard: true, target: byPeer, pace: prompt, needs: listed, brief: true, written: true,
			Parameters: map[string]float64{"severity": 0.85}},
		{Name: "scan", Attack: []string{"T1046", "T1595", "T0846", "T0888"}, Stage: "recon", Hard: true, target: byDevice, pace: prompt, needs: trying, brief: true,
			Parameters: map[string]float64{"severity": 0.8, "net_5m": 9, "net_1h": 15, "net_1d": 40, "pings_5m": 12}},
		{Name: "failed_access", Attack: []string{"T1110", "T1190", "T0812", "T0819"}, Stage: "access", target: bySession, pace: prompt, needs: failing, brief: true,
			Parameters: map[string]float64{"severity": 0.4, "min_failed": 10, "max_p": 1e-6}},
		{Name: "new_destination", Attack: []string{"T1071", "T1568", "T0869", "T0885"}, Stage: "control", target: byPeer, pace: prompt, again: true, needs: novelty,
			Parameters: map[string]float64{"severity": 0.45, "min_strength": 0.35, "min_bytes": 4096, "min_flows": 4, "few": 15}},
		{Name: "new_service", Attack: []string{"T1571", "T0885"}, Stage: "control", target: byOffer, pace: prompt, needs: novelty,
			Parameters: map[string]float64{"severity": 0.4, "min_strength": 0.35, "min_tries": 3}},
		{Name: "lateral", Attack: []string{"T1021", "T1210", "T1570", "T0886", "T0866", "T0867"}, Stage: "lateral", target: byPeer, pace: prompt, needs: novelty,
			Parameters: map[string]float64{"severity": 0.6, "min_strength": 0.35}},
		{Name: "ics", Attack: []string{"T0848", "T0855", "T0836", "T0843"}, Stage: "impact", Hard: true, target: byPeer, pace: prompt, needs: novelty | controlled,
			Parameters: map[string]float64{"severity": 0.75}},
		{Name: "exfiltration", Attack: []string{"T1048", "T1041", "T0882"}, Stage: "impact", Hard: true, target: byDevice, pace: prompt, needs: novelty | learned,
			Parameters: map[string]float64{"severity": 0.7, "min_bytes": 1 << 20}},
		{Name: "brute_force", Attack: []string{"T1110", "T0812", "T0859"}, Stage: "access", Hard: true, target: byService, pace: prompt, needs: logins, brief: true,
			Parameters: map[string]float64{"severity": 0.8, "min_sessions": 20, "min_stranger": 10, "min_telnet": 3, "min_web": 300}},
		{Name: "flood", Attack: []string{"T1498", "T1499", "T0814"}, Stage: "impact", Hard: true, target: byPeer, pace: prompt, needs: pouring, brief: true,
			Parameters: map[string]float64{"severity": 0.85, "min_pps": 200, "silent_pps": 20}},
		{Name: "reflection", Attack: []string{"T1498.002", "T0814"}, Stage: "impact", Hard: true, target: byService, pace: prompt, needs: answering, brief: true,
			Parameters: map[string]float64{"severity": 0.85, "min_bytes": 200_000}},
		{Name: "access", Attack: []string{"T1133", "T1190", "T0883", "T0822", "T0819"}, Stage: "access", Hard: true, target: byService, pace: prompt, needs: entered,
			Parameters: map[string]float64{"severity": 0.65, "min_strength": 0.35}},
		{Name: "beacon", Attack: []string{"T1071", "T1573", "T0869", "T0884"}, Stage: "control", Hard: true, target: byPeer, pace: steady, brief: true,
			Parameters: map[string]float64{"severity": 0.65, "min_calls": 10, "min_seconds": 2, "min_beat": 0.6, "new_days": 14}},
		{Name: "dns_tunnel", Attack: []string{"T1048.003", "T1071.004", "T0882", "T0869"}, Stage: "impact", Hard: true, target: byPeer, pace: prompt, needs: asking, brief: true,
			Parameters: map[string]float64{"severity": 0.7, "min_questions": 60, "many_questions": 3000}},
		{Name: "spoof", Attack: []string{"T1557.002", "T1036", "T0830", "T0856"}, Stage: "access", Hard: true, target: byPeer, pace: steady, brief: true,
			Parameters: map[string]float64{"severity": 0.6, "back_minutes": 10}},
		{Name: "drift", Attack: []string{"T1078", "T1071", "T0859", "T0869"}, Stage: "control", Hard: true, target: byPeer, pace: steady, needs: graduated,
			Parameters: map[string]float64{"severity": 0.6, "min_flows": 20, "min_bytes": 500_000, "max_single": 1, "few": 15}},
		{Name: "mud", Attack: []string{"T1071", "T1021", "T0886"}, Stage: "control", target: byPeer, pace: steady, needs: profiled, written: true,
			Parameters: map[string]float64{"severity": 0.55, "wide_severity": 0.75, "min_flows": 2}},
		{Name: "coverage", Attack: []string{"T1562", "T0815"}, Stage: "impact", target: byPeer, pace: steady, brief: true,
			Parameters: map[string]float64{"severity": 0.25, "min_devices": 3}},
		{Name: "silence", Attack: []string{"T1489", "T0826", "T0881", "T0814"}, Stage: "impact", target: byDevice, pace: steady, hearsAll: true,
			Parameters: map[string]float64{"severity": 0.65, "max_p": 1e-6}},
		{Name: "new_device", Attack: []string{"T1200"}, Stage: "access", Hard: true, target: byDevice, pace: steady, needs: arrived,
			Parameters: map[string]float64{"severity": 0.45, "site_hours": 24, "settle_hours": 24, "min_flows": 3}},
		{Name: "volume", Attack: []string{"T1041", "T1496", "T0882"}, Stage: "impact", target: byDevice, pace: steady, needs: learned,
			Parameters: map[string]float64{"severity": 0.4, "min_bytes": 1 << 20, "min_upload": 30_000, "gross_bytes": 1 << 18, "min_z": 6, "times_largest": 4}},
		{Name: "growth", Attack: []string{"T1030", "T1041", "T0882"}, Stage: "impact", target: byDevice, pace: steady, brief: true,
			Parameters: map[string]float64{"severity": 0.6, "times": 2, "min_bytes": 1 << 18}},
		{Name: "unexpected_hour", Attack: []string{"T1029"}, Stage: "control", target: byDevice, pace: steady, needs: learned,
			Parameters: map[string]float64{"severity": 0.25, "min_days": 7, "max_q": 0.05}},
	}
	for i := range all {
		sql, err := detectorFiles.ReadFile("detectors/" + all[i].Name + ".sql")
		if err != nil {
			panic(err) // a detector without its file: this program was built wrong
		}
		all[i].sql = string(sql)
		if all[i].pace == prompt && !all[i].Hard {
			all[i].needs |= learned
		}
	}
	return all
}

// due says whether the detector runs at a pace with batches that hold signs.
func (d *Detector) due(p pace, signs sign) bool {
	needs := d.needs
	switch {
	case d.pace == p:
	case d.again && p == steady:
		needs &= learned
	default:
		return false
	}
	return needs&signs == needs
}

// finding is one row of a detector's answer.
type finding struct {
	Device     uint64
	Role       string
	Peer       uint64 // 0 = more than one
	PeerDevice uint64
	PeerAddr   netip.Addr
	Proto      uint8
	Port       uint16 // 0 = more than one
	Since      time.Time
	Until      time.Time
	Strength   float64 // g: how far from normal, 0 to 1
	Confidence float64 // c: in what it rests on, 0 to 1
	Severity   float64 // s
	Expected   string
	Observed   string

	// stored and storedPeer are the ids that the flows have, if those are joined with
	// Device and PeerDevice.
	stored, storedPeer uint64

	detector *Detector
	query    string
	log      uint64
	after    uint64 // batches (after, upto] of the log were looked at
	upto     uint64
}

// score is the share of the finding in a risk.
func (f *finding) score() float64 { return f.Severity * f.Strength * f.Confidence }

// statement binds the detector's statement to batches (after, upto] of a log,
// of one device and its peers, or of all (0).
func (s *Scorer) statement(d *Detector, log, after, upto, device uint64, peers ...uint64) (string, error) {
	values := s.values(d, log, after, upto, device)
	s.frozen.values(values)
	known := s.joined
	if d.pace == prompt && s.day.IsZero() {
		known = s.near
	}
	if device != 0 {
		known = known.among(device, peers...)
	}
	known.values(values)
	sql := known.join(d.sql)
	if !d.hearsAll {
		sql = s.frozen.unlearn(sql)
	}
	if !s.day.IsZero() {
		sql, values["day"] = ofDay(sql), s.day
	}
	if d.File != "" {
		sql = asFindings(sql)
	}
	return bind(sql, values)
}

// values are what every statement of a detector may use, and its parameters.
func (s *Scorer) values(d *Detector, log, after, upto, device uint64) map[string]any {
	values := map[string]any{
		"site": s.config.Site, "log": log, "after": after, "upto": upto, "device": device,
		"learning": uint64(s.config.LearningPeriod / time.Second),
		"listed":   s.suspects.addrs, "reasons": s.suspects.reasons,
		"zone": s.config.Zone.String(), "off": s.days.off, "work": s.days.work, "clock": s.lull.clock,
	}
	for p, v := range d.Parameters {
		values[p] = v
	}
	return values
}

// find runs one detector over batches (after, upto] of a log.
func (s *Scorer) find(ctx context.Context, d *Detector, log, after, upto uint64) ([]finding, error) {
	sql, err := s.statement(d, log, after, upto, 0)
	if err != nil {
		return nil, fmt.Errorf("detector %s: %w", d.Name, err)
	}
	out, err := s.findingsOf(ctx, d, sql)
	if err != nil {
		return nil, fmt.Errorf("detector %s: %w", d.Name, err)
	}
	for i := range out {
		f := &out[i]
		f.detector, f.log, f.after, f.upto = d, log, after, upto
		if f.query, err = s.statement(d, log, after, upto, f.Device, f.Peer, f.PeerDevice); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// findings runs a statement of a detector.
func (s *Scorer) findings(ctx context.Context, sql string) ([]finding, error) {
	return query(ctx, s, sql, nil, func(r row, f *finding) error {
		err := r.Scan(&f.Device, &f.Role, &f.Peer, &f.PeerDevice, &f.PeerAddr, &f.Proto, &f.Port, &f.Since, &f.Until,
			&f.Strength, &f.Confidence, &f.Severity, &f.Expected, &f.Observed)
		f.PeerAddr = f.PeerAddr.Unmap()
		f.Since, f.Until = f.Since.UTC(), f.Until.UTC()
		return err
	})
}

// SQL is the statement of the detector, with {name:Type} for its parameters.
func (d *Detector) SQL() string { return d.sql }

// About is the comment that opens the statement: the rule in words, the least
// evidence it wants, and its severity.
func (d *Detector) About() string {
	var out []string
	for line := range strings.Lines(d.sql) {
		text, comment := strings.CutPrefix(line, "--")
		if !comment {
			break
		}
		out = append(out, strings.TrimSpace(text))
	}
	return strings.Join(out, "\n")
}

// Summary is the first sentence of About, without the name.
func (d *Detector) Summary() string {
	text := strings.ReplaceAll(d.About(), "\n", " ")
	_, text, _ = strings.Cut(text, ": ")
	text, _, _ = strings.Cut(text, ". ")
	return text
}

// Pace says when the detector runs.
func (d *Detector) Pace() string {
	switch {
	case d.again:
		return "with every batch, and again every 5 minutes"
	case d.pace == prompt:
		return "with every batch"
	}
	return "every 5 minutes"
}
