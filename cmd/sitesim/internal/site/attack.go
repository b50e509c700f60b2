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
	Start     time.Time `json:"start"`
	End       time.Time `json:"end"`
	Traffic
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
	run    func(*assault)
}

// Attacks returns all attacks, in the order of the day.
func Attacks() []Attack {
	return []Attack{
		{"odd-hour", "hmi", 3, 45 * minute, "an operator panel that works 06-18 on workdays is used at 03:00", (*assault).oddHour},
		{"new-destination", "cam-yard", 10, 20 * minute, "a camera uploads 42 MB to a host nobody ever talked to", (*assault).newDestination},
		{"new-service", "printer", 11, 15 * minute, "a printer starts serving telnet to a PC, 5 sessions", (*assault).newService},
		{"refused-access", "", 12, 20 * minute, "telnet and SSH tried 20 times on each of four devices: denied, unanswered or reset", (*assault).refusedAccess},
		{"scan", "cam-entrance", 13, minute, "Mirai-like: 160 SYN/s to ports 23 and 2323 (10:1), inside and outside", (*assault).scan},
		{"volume", "thermostat", 14, 50 * minute, "50 times the usual hourly upload, to the device's own cloud", (*assault).volume},
		{"brute-force", "nvr", 15, 10 * minute, "300 SSH logins from one host outside", (*assault).bruteForce},
		{"beacon", "plug-coffee", 16, 6 * hour, "a small TLS session every 60 s (10 % jitter) with a new host", (*assault).beacon},
		{"ddos", "cam-yard", 22, 3 * minute, "a flood of 2000 UDP packets/s at one host", (*assault).ddos},
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
	a.rng = random(s.options.Seed, a.Name, start)
	s.at(start, func() { a.run(a) })
	return start + int64(a.Lasts+settling), nil
}

// Labels are those of the attacks that have begun.
func (s *Sim) Labels() []*Label { return s.labels }
