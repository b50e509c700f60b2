package profile

import (
	"testing"
	"time"
)

func TestGate_EdgesAreNewForADayAndTryOnce(t *testing.T) {
	const minute, day = int64(time.Minute / time.Millisecond), int64(24 * time.Hour / time.Millisecond)
	old, young := edge{device: 1, peer: 1, role: 1}, edge{device: 1, peer: 2, role: 1}
	served := edge{device: 1, peer: 3, role: roleServer}
	g := gate{begun: map[edge]int64{old: 0, young: 3 * day, served: 3*day + 2*minute}}
	for _, tt := range []struct {
		name    string
		touched map[edge]int64
		want    sign
	}{
		{"an old edge", map[edge]int64{old: 3 * day}, anything},
		{"one of an hour ago", map[edge]int64{young: 3*day + 60*minute}, novelty},
		{"one of these batches", map[edge]int64{old: 3*day - minute, young: 3 * day}, novelty | trying},
		{"somebody came", map[edge]int64{old: 3 * day, served: 3*day + 2*minute}, novelty},
		{"one that nothing is known of", map[edge]int64{{device: 2}: 3 * day}, novelty | trying},
	} {
		if got := g.signs(tt.touched); got != tt.want {
			t.Errorf("%s: got signs %b, want %b", tt.name, got, tt.want)
		}
	}
}
