package site

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"time"

	"tidemark/cmd/sitesim/internal/packet"
)

// An Episode is the truth about something unusual that is no attack: whom it touched, and when.
type Episode struct {
	What    string    `json:"what"`
	Devices []string  `json:"devices"`
	Start   time.Time `json:"start"`
	End     time.Time `json:"end"`
}

// A happening is unusual and no attack.
type happening struct {
	Name  string
	About string
	run   func(h *happen)
}

// happen is one happening under way.
type happen struct {
	sim *Sim
	rng *rand.Rand
	at  int64
	*Episode
}

// Happenings names what Happen can bring about, with what it is.
func Happenings() [][2]string {
	var all [][2]string
	for _, h := range happenings() {
		all = append(all, [2]string{h.Name, h.About})
	}
	return all
}

func happenings() []happening {
	return []happening{
		{"firmware", "all devices of one model fetch 3-60 MB from a host new to them within six hours, and start again", (*happen).firmware},
		{"cdn-migration", "a cloud moves to another network; the name stays", (*happen).migration},
		{"power-cut", "one network of the site is dark for 5 minutes to 3 hours, then all come back at once", (*happen).powerCut},
		{"holiday", "a working day on which nobody comes", (*happen).holiday},
		{"daylight-saving", "people and timers are an hour earlier, from then on", (*happen).daylightSaving},
		{"backup", "from then on, a device that stores things copies 0.2-2 GB to the server each night", (*happen).backup},
		{"live-view", "somebody watches a camera by its cloud for 10-40 minutes", (*happen).liveView},
		{"authorised-scan", "the site's own scanner tries 40 ports of every device", (*happen).authorisedScan},
		{"renumbering", "all devices of one network get other addresses", (*happen).renumbering},
	}
}

// Happen plans a happening. It must be called before Run, since people know holidays in advance.
func (s *Sim) Happen(name string, at int64) error {
	all := happenings()
	i := slices.IndexFunc(all, func(h happening) bool { return h.Name == name })
	if i < 0 {
		return fmt.Errorf("happening %q: no such one", name)
	}
	s.told = append(s.told, Episode{What: name, Start: instant(at), End: instant(at)})
	k := len(s.told) - 1
	do := func() {
		e := s.told[k]
		all[i].run(&happen{sim: s, rng: random(s.options.Seed, name, at), at: at, Episode: &e})
		s.told[k] = e
	}
	if name == "holiday" || name == "daylight-saving" {
		do()
	} else {
		s.at(at, do)
	}
	return nil
}

// Episodes are the happenings planned so far.
func (s *Sim) Episodes() []Episode { return s.told }

func (h *happen) touch(n *node, until int64) {
	if !slices.Contains(h.Devices, n.Name) {
		h.Devices = append(h.Devices, n.Name)
	}
	if t := instant(until); t.After(h.End) {
		h.End = t
	}
}

// group picks the devices of one model of which there are several.
func (h *happen) group() []*node {
	byModel := map[string][]*node{}
	var names []string
	for _, n := range h.sim.order {
		model := n.Name[:max(0, strings.LastIndexByte(n.Name, '-'))]
		if n.Class == "pc" || n.Class == "router" || n.Class == "server" || h.sim.options.Observers[n.Exporter] == nil {
			continue
		}
		if byModel[model] = append(byModel[model], n); len(byModel[model]) == 3 {
			names = append(names, model)
		}
	}
	if len(names) == 0 {
		return nil
	}
	return byModel[names[h.rng.IntN(len(names))]]
}

func (h *happen) firmware() {
	list := h.group()
	if len(list) == 0 {
		return
	}
	d := Domain{Name: "fw." + strings.ToLower(strings.ReplaceAll(list[0].Vendor, " ", "")) + ".example", Prefix: fmt.Sprintf("151.%d.%d.0", h.rng.IntN(256), h.rng.IntN(256)), Addresses: 3, TTL: hour, RTT: 20 * time.Millisecond}
	h.sim.domains[d.Name] = d
	size := 3e6 * (1 + 19*h.rng.Float64())
	for _, n := range list {
		at := h.at + dur(6*3600*h.rng.Float64())
		h.touch(n, at+int64(30*minute))
		h.sim.at(at, func() {
			if n.Powered.Weight(h.sim.civil.local(at)) == 0 {
				return
			}
			p, begin := h.sim.reach(n, d.Name)
			c := h.sim.converse(n, p, false, packet.TCP, 443, nil)
			end := c.transfer(c.open(begin), 4000, int(size), 0)
			c.finish(end)
			h.restart(n, end+dur(5), dur(40+60*h.rng.Float64()))
		})
	}
}

// restart switches a device off at a time, and on again after a while if it is used then.
func (h *happen) restart(n *node, at, after int64) {
	h.sim.at(at, func() {
		n.unplug()
		on := at + after
		if n.Powered.Weekday != "" && n.Powered.Weight(h.sim.civil.local(on)) == 0 {
			on = h.sim.boundary(n, true)
		}
		h.sim.at(on, func() { h.sim.boot(n) })
	})
}

func (h *happen) migration() {
	users := map[string][]*node{}
	var names []string
	for _, n := range h.sim.order {
		for _, r := range n.Routines {
			_, cloud := h.sim.domains[r.To]
			if !cloud || r.To == "web.example" || r.To == "mail.example" || slices.Contains(users[r.To], n) {
				continue
			}
			if users[r.To] = append(users[r.To], n); len(users[r.To]) == 2 {
				names = append(names, r.To)
			}
		}
	}
	if len(names) == 0 {
		return
	}
	name := names[h.rng.IntN(len(names))]
	d := h.sim.domains[name]
	d.Prefix = fmt.Sprintf("104.%d.%d.0", h.rng.IntN(256), h.rng.IntN(256))
	h.sim.domains[name] = d
	for _, n := range users[name] {
		h.touch(n, h.at+int64(2*day))
		h.sim.at(h.at+dur(3600*h.rng.Float64()), func() { clear(n.held) })
	}
}

func (h *happen) powerCut() {
	vlan := []uint16{CCTV, OT, Office, IoT, Clinic}[h.rng.IntN(5)]
	dark := dur(300 + 10500*h.rng.Float64()*h.rng.Float64())
	for _, n := range h.sim.order {
		if n.VLAN == vlan && n.Born == 0 && h.sim.options.Observers[n.Exporter] != nil {
			h.touch(n, h.at+dark+int64(10*minute))
			h.restart(n, h.at, dark+dur(5+120*h.rng.Float64()))
		}
	}
}

func (h *happen) holiday() {
	if h.sim.civil.holidays == nil {
		h.sim.civil.holidays = map[int64]bool{}
	}
	h.sim.civil.holidays[h.at/civilDay] = true
	h.Start = instant(h.at - h.at%civilDay)
	for _, n := range h.sim.order {
		h.touch(n, h.at-h.at%civilDay+civilDay)
	}
}

func (h *happen) daylightSaving() {
	h.sim.civil.summer = h.at - h.at%civilDay + int64(2*hour)
	for _, n := range h.sim.order {
		h.touch(n, h.at+int64(14*day))
	}
}

func (h *happen) backup() {
	var list []*node
	for _, n := range h.sim.order {
		if n.Class == "nas" || n.Class == "nvr" {
			list = append(list, n)
		}
	}
	n := list[h.rng.IntN(len(list))]
	size := 2e8 * (1 + 9*h.rng.Float64())
	h.touch(n, h.at+int64(30*day))
	h.touch(h.sim.nodes["server"], h.at+int64(30*day))
	first := h.at - h.at%civilDay + civilDay + dur(3600*(1+3*h.rng.Float64()))
	for i := range 30 {
		at := first + int64(i)*civilDay + dur(300*h.rng.Float64())
		h.sim.at(at, func() {
			c := h.sim.converse(n, h.sim.local(n, h.sim.nodes["server"]), false, packet.TCP, 873, nil)
			c.finish(c.transfer(c.open(at), int(size*(.9+.2*h.rng.Float64())), 60e3, 0))
		})
	}
}

func (h *happen) liveView() {
	var list []*node
	for _, n := range h.sim.order {
		if n.Class == "camera" {
			list = append(list, n)
		}
	}
	n := list[h.rng.IntN(len(list))]
	long := 600 + 1800*h.rng.Float64()
	h.touch(n, h.at+dur(long))
	for _, r := range n.Routines {
		if _, cloud := h.sim.domains[r.To]; cloud && r.To != "pool.ntp.example" {
			p, at := h.sim.reach(n, r.To)
			c := h.sim.converse(n, p, false, packet.TCP, 443, nil)
			c.finish(c.transfer(c.open(at), int(long*1.5e5), int(long*600), dur(long)))
			return
		}
	}
}

func (h *happen) authorisedScan() {
	scanner := h.sim.nodes["scanner"]
	ports := []uint16{21, 22, 23, 25, 53, 69, 80, 110, 111, 135, 139, 143, 161, 389, 443, 445, 502, 554, 587, 631, 873, 993, 1433, 1883, 1900, 2049, 2323, 3306, 3389, 5000, 5432, 5555, 5900, 5985, 6379, 8000, 8080, 8443, 9100, 27017}
	begin := h.at
	for _, n := range h.sim.order {
		if n == scanner || n.Name == "gateway" {
			continue
		}
		h.touch(n, h.at+int64(2*hour))
		for _, port := range ports {
			begin += dur(.5)
			at, open := begin, slices.ContainsFunc(n.Routines, func(r Routine) bool { return r.Inbound && r.Port == port })
			h.sim.at(at, func() {
				c := h.sim.converse(scanner, h.sim.local(scanner, n), false, packet.TCP, port, nil)
				switch {
				case n.Powered.Weight(h.sim.civil.local(at)) == 0:
					c.unanswered(at)
				case open:
					c.finish(c.transfer(c.open(at), 300, 700, 0))
				default:
					c.refused(at)
				}
			})
		}
	}
	h.touch(scanner, begin)
}

func (h *happen) renumbering() {
	vlan := []uint16{CCTV, Office, IoT, Clinic}[h.rng.IntN(4)]
	for _, n := range h.sim.order {
		clear(n.held)
		if n.VLAN != vlan {
			continue
		}
		h.touch(n, h.at+int64(day))
		b := n.addr.As4()
		b[3] = 10 + byte((int(b[3])-10+120)%240)
		n.addr = netip.AddrFrom4(b)
	}
}
