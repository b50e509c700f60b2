package kind

import (
	"net/netip"
	"strings"
	"testing"
)

func TestZoneOf_FirstThatFits(t *testing.T) {
	zones := []Zone{
		{Name: "ward", Labels: []string{"ward-*"}, Criticality: "critical"},
		{Name: "plant", Networks: []netip.Prefix{netip.MustParsePrefix("10.2.0.0/16")}},
	}
	addr := []netip.Addr{netip.MustParseAddr("::ffff:10.2.0.9")}
	for _, tt := range []struct {
		label string
		addrs []netip.Addr
		want  string
	}{{"ward-7", addr, "ward"}, {"pump", addr, "plant"}, {"", addr, "plant"}, {"pump", nil, ""}} {
		if z, ok := ZoneOf(zones, tt.label, tt.addrs); z.Name != tt.want || ok != (tt.want != "") {
			t.Errorf("label %q: got %q, want %q", tt.label, z.Name, tt.want)
		}
	}
}

func TestZone_ReportsEveryFault(t *testing.T) {
	err := Zone{Labels: []string{"[", "ok"}, Criticality: "huge"}.Validate()
	for _, want := range []string{"no name", `"["`, `"huge"`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}
