package watch

import (
	"cmp"
	"slices"

	"tidemark/enrich/source"
)

// Attached is a port of a switch by which a station is reached, as the switch's
// bridge table says. The port of fewest stations is the nearest: by the others
// there are more switches.
type Attached struct {
	Switch   string `json:"switch"`
	Port     string `json:"port"`
	Stations int    `json:"stations"` // that are reached by it
}

// stations are the bridge table of one switch.
type stations struct {
	port map[uint64]string // by MAC
	of   map[string]int    // stations by port
}

// setPorts takes the bridge table of a router, instead of what it said before.
func (w *Watch) setPorts(router int, list []source.Port) {
	s := stations{port: make(map[uint64]string, len(list)), of: map[string]int{}}
	for _, p := range list {
		s.port[p.MAC] = p.Name
		s.of[p.Name]++
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ports[router] = s
}

// Ports says where a station is attached, the nearest port first.
func (w *Watch) Ports(mac uint64) []Attached {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := []Attached{}
	for i, s := range w.ports {
		if name, ok := s.port[mac]; ok {
			out = append(out, Attached{Switch: w.config.Routers[i].Address, Port: name, Stations: s.of[name]})
		}
	}
	slices.SortStableFunc(out, func(a, b Attached) int { return cmp.Compare(a.Stations, b.Stations) })
	return out
}
