package main

import (
	"encoding/json"
	"testing"

	"tidemark/collector/flow"
	"tidemark/storage/storagetest"
)

// TestFlows_SeenByTwoExportersAreMarked: the record keeps both, and each names
// the other; what came back, and what came later, is another flow.
func TestFlows_SeenByTwoExportersAreMarked(t *testing.T) {
	s := &store{cfg: Defaults(), db: storagetest.Open(t)}
	storeHalves(t, s, []half{
		{from: "10.1.1.5", to: "198.51.100.7", packets: 40, exporter: "192.0.2.1", flags: 0x1b},
		{from: "10.1.1.5", to: "198.51.100.7", packets: 39, exporter: "192.0.2.2", flags: 0x1b},
		{from: "198.51.100.7", to: "10.1.1.5", packets: 40, exporter: "192.0.2.3", flags: 0x1b},
		{from: "10.1.1.6", to: "198.51.100.7", packets: 40, exporter: "192.0.2.1", flags: 0x1b},
		{from: "10.1.1.5", to: "198.51.100.7", packets: 40, exporter: "192.0.2.3", flags: 0x1b},
	})
	lines := make([]flowLine, 5)
	for i := range lines {
		lines[i] = flowLine{Name: flow.Name{Log: 1, Batch: 1, Pos: uint32(i)}.String(), Sampler: "192.0.2.1", raw: json.RawMessage(`{"bytes":1}`)}
	}
	if err := s.markObserved(t.Context(), lines); err != nil {
		t.Fatal(err)
	}
	want := []string{
		`{"bytes":1,"also_seen_by":[{"exporter":"192.0.2.2","flow_direction":0,"name":"` + lines[1].Name + `"}]}`,
		`{"bytes":1,"also_seen_by":[{"exporter":"192.0.2.1","flow_direction":0,"name":"` + lines[0].Name + `"}]}`,
		`{"bytes":1,"also_seen_by":[]}`, `{"bytes":1,"also_seen_by":[]}`, `{"bytes":1,"also_seen_by":[]}`,
	}
	for i, l := range lines {
		if string(l.raw) != want[i] {
			t.Errorf("flow %d: %s, want %s", i, l.raw, want[i])
		}
	}
	if got := lines[0].observers(); got != "192.0.2.1 +1" {
		t.Errorf("exporter column %q", got)
	}
}
