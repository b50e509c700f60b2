package watch

import (
	"slices"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"tidemark/enrich/source"
)

// A station is nearest to the port that it shares with fewest; what a switch does
// not list any more is gone.
func TestPorts_TheNearestComesFirst(t *testing.T) {
	w := New(Config{Routers: []source.Router{{Address: "core"}, {Address: "floor"}}}, Deps{Registerer: prometheus.NewRegistry()})
	w.setPorts(0, []source.Port{{MAC: 1, Name: "down"}, {MAC: 2, Name: "down"}, {MAC: 3, Name: "up"}})
	w.setPorts(1, []source.Port{{MAC: 1, Name: "swp1"}, {MAC: 3, Name: "swp9"}})
	if got, want := w.Ports(1), []Attached{{"floor", "swp1", 1}, {"core", "down", 2}}; !slices.Equal(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	w.setPorts(1, nil)
	if got, want := w.Ports(1), []Attached{{"core", "down", 2}}; !slices.Equal(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got := w.Ports(7); got == nil || len(got) != 0 {
		t.Errorf("a station that no switch knows: %+v", got)
	}
}
