package site

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"tidemark/cmd/sitesim/internal/packet"
)

// Label is the truth about one attack on, or by, one device. Times and counts are of its packets,
// without the DNS look-ups before them.
type Label struct {
	Attack    string    `json:"attack"`
	Device    string    `json:"device"`
	MAC       string    `json:"mac"`
	IP        string    `json:"ip"`
	Exporter  string    `json:"exporter"`
	Peer      string    `json:"peer"`  // address of the other end, the first of several
	Peers     int       `json:"peers"` // how many
	Protocol  uint8     `json:"protocol"`
	Port      uint16    `json:"port"` // of the side that serves, 0 = several
	Intensity float64   `json:"intensity"`
	Level     int       `json:"level,omitempty"` // of an evaluation, 0 to 4
	Start     time.Time `json:"start"`
	End       time.Time `json:"end"`
	Traffic
	mark uint16 // of its packets: its place among the labels, from 1
	addr netip.Addr
	met  map[netip.Addr]bool
}

func (l *Label) count(t *packet.Train) {
	other := t.Dst
	if other == l.addr {
		other = t.Src
	}
	if !l.met[other] {
		l.met[other] = true
		l.Peers++
		if l.Peer == "" {
			l.Peer = other.String()
		}
	}
	first, last := time.Unix(0, t.At).UTC(), time.Unix(0, t.Time(t.Count-1)).UTC()
	if l.Packets == 0 || first.Before(l.Start) {
		l.Start = first
	}
	if last.After(l.End) {
		l.End = last
	}
	l.Packets += uint64(t.Count)
	l.Octets += t.Octets()
}

// An Attack is something that should not happen. At intensity 1 it is what About says; intensity
// multiplies its rate or amount, not its length.
type Attack struct {
	Name   string
	Device string        // whom it befalls unless told otherwise
	Hour   int           // of the virtual day at which it begins
	Lasts  time.Duration // about
	About  string
	Levels [5]float64 // five intensities from faint to gross, for an evaluation; zero = it takes no part
	run    func(*assault)
}

// Attacks returns all attacks, in the order of the day.
func Attacks() []Attack {
	flood := [5]float64{.025, .1, .5, 2.5, 5}
	few := [5]float64{.2, .4, 1, 3, 10}
	return []Attack{
		{"odd-hour", "hmi", 3, 45 * minute, "an operator panel that works 06-18 on workdays is used at 03:00", [5]float64{.25, .5, 1, 2, 4}, (*assault).oddHour},
		{"new-destination", "cam-yard", 10, 20 * minute, "a camera uploads 42 MB to a host nobody ever talked to", [5]float64{.01, .04, .2, 1, 4}, (*assault).newDestination},
		{"new-service", "printer", 11, 15 * minute, "a printer starts serving telnet to a PC, 5 sessions", few, (*assault).newService},
		{"refused-access", "", 12, 20 * minute, "telnet and SSH tried 20 times on each of four devices: denied, unanswered or reset", [5]float64{}, (*assault).refusedAccess},
		{"scan", "cam-entrance", 13, minute, "Mirai-like: 160 SYN/s to ports 23 and 2323 (10:1), inside and outside", [5]float64{.0125, .0625, .25, 1, 6.25}, (*assault).scan},
		{"volume", "thermostat", 14, 50 * minute, "50 times the usual hourly upload, to the device's own cloud", [5]float64{.06, .2, 1, 4, 20}, (*assault).volume},
		{"brute-force", "nvr", 15, 10 * minute, "300 SSH logins from one host outside", [5]float64{.04, .1, .2, 1, 5}, (*assault).bruteForce},
		{"beacon", "plug-coffee", 16, 6 * hour, "a small TLS session every 60 s (10 % jitter) with a new host", [5]float64{.034, .1, .2, 1, 6}, (*assault).beacon},
		{"ddos", "cam-yard", 22, 3 * minute, "a flood of 2000 UDP packets/s at one host", flood, (*assault).ddos},
		{"syn-flood", "cam-yard", 22, 3 * minute, "2000 SYN/s at one host, from 1024 ports", flood, (*assault).synFlood},
		{"reflection", "light-bridge", 22, 3 * minute, "1000 SSDP requests/s in the name of a victim outside, each answered with ten times as much", flood, (*assault).reflection},
		{"brute-out", "plug-coffee", 15, 10 * minute, "300 telnet logins at hosts outside, 62 for each", [5]float64{.04, .1, .2, 1, 5}, (*assault).bruteOut},
		{"dns-tunnel", "sensor-gw", 12, 20 * minute, "50 kbit/s hidden in DNS questions to the site's resolver", [5]float64{.01, .1, 1, 3, 10}, (*assault).dnsTunnel},
		{"exfiltration", "plc", 12, 30 * minute, "100 MB to a new host, over 30 minutes", [5]float64{.01, .1, 1, 10, 100}, (*assault).exfiltrate},
		{"slow-scan", "thermostat", 1, 22 * hour, "one SYN every 10 minutes to a host it never met", [5]float64{.17, .5, 1, 10, 30}, (*assault).slowScan},
		{"lateral", "cam-entrance", 12, 50 * minute, "web, SMB and telnet sessions with 4 neighbours", [5]float64{.25, .5, 1, 2, 4}, (*assault).lateral},
		{"plc-write", "plc", 12, 10 * minute, "a PC that never did writes to a controller by Modbus, 10 sessions", [5]float64{.1, .3, 1, 3, 10}, (*assault).plcWrite},
		{"wan-access", "nvr", 12, 15 * minute, "a host outside is let in, 5 sessions with a service of the device", few, (*assault).wanAccess},
		{"spoof", "thermostat", 12, 10 * minute, "another network card uses the device's address, 10 times in turn with it", [5]float64{.1, .3, 1, 3, 10}, (*assault).spoof},
		{"theft", "speaker", 12, 6 * hour, "the device is gone; intensity scales how long", [5]float64{.17, .5, 1, 2, 3.7}, (*assault).steal},
		{"ramp", "thermostat", 0, 21 * day, "uploads grow by 5 % a day", [5]float64{.4, 1, 2, 4, 10}, (*assault).ramp},
	}
}

// settling is how long after an attack its last packets may still come.
const settling = 5 * minute

// Launch plans an attack at its hour, today or tomorrow, and returns when it will be over. spec is
// NAME[:INTENSITY][@DEVICE].
func (s *Sim) Launch(spec string) (int64, error) {
	rest, device, _ := strings.Cut(spec, "@")
	name, factor, scaled := strings.Cut(rest, ":")
	i := slices.IndexFunc(Attacks(), func(a Attack) bool { return a.Name == name })
	if i < 0 {
		return 0, fmt.Errorf("attack %q: no such attack; `sitesim attacks` lists them", name)
	}
	a := &assault{Attack: Attacks()[i], sim: s, intensity: 1}
	if scaled {
		f, err := strconv.ParseFloat(factor, 64)
		if err != nil || !(f >= 0.01 && f <= 100) {
			return 0, fmt.Errorf("attack %q: intensity %q, want a number from 0.01 to 100", spec, factor)
		}
		a.intensity = f
	}
	switch {
	case device == "":
		device = a.Device
	case a.Device == "":
		return 0, fmt.Errorf("attack %q: it has devices of its own, leave out @%s", spec, device)
	}
	if device != "" {
		if a.victim = s.nodes[device]; a.victim == nil {
			return 0, fmt.Errorf("attack %q: no device %q; `sitesim devices` lists them", spec, device)
		}
		if s.options.Observers[a.victim.Exporter] == nil {
			return 0, fmt.Errorf("attack %q: device %s is behind exporter %s, which is switched off", spec, device, a.victim.Exporter)
		}
	}
	start := s.now - s.now%int64(24*hour) + int64(a.Hour)*int64(hour)
	if start < s.now {
		start += int64(24 * hour)
	}
	return s.plot(a, start), nil
}

// plot plans an attack at a time and returns when it will be over.
func (s *Sim) plot(a *assault, start int64) int64 {
	a.rng = random(s.options.Seed, a.Name, start)
	s.at(start, func() { a.run(a) })
	return start + int64(a.Lasts+settling)
}

// Strike plans an attack at one of its five levels (0 to 4) on a device, at a time. Attackers of one
// camp have the same hosts, those of different ones share no network.
func (s *Sim) Strike(name string, level int, device string, camp int, at int64) error {
	i := slices.IndexFunc(Attacks(), func(a Attack) bool { return a.Name == name })
	victim := s.nodes[device]
	if i < 0 || victim == nil || level < 0 || level > 4 || Attacks()[i].Levels[level] == 0 {
		return fmt.Errorf("attack %s at level %d on %s: no such attack, level or device", name, level, device)
	}
	a := &assault{Attack: Attacks()[i], sim: s, victim: victim, intensity: Attacks()[i].Levels[level], level: level, camp: camp}
	s.plot(a, at)
	return nil
}

// Mark is that of the packets the label is about.
func (l *Label) Mark() uint16 { return l.mark }

// instant is a virtual time as people read it.
func instant(at int64) time.Time { return time.Unix(0, at).UTC() }

// Labels are those of the attacks that have begun.
func (s *Sim) Labels() []*Label { return s.labels }
