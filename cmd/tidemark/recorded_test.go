package main

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"tidemark/collector/flow"
)

func TestChangedSettings_NamesWhatDiffersOnly(t *testing.T) {
	cfg := Defaults()
	text := func() []byte {
		p, err := json.Marshal(cfg.evidentSettings())
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	before := text()
	if changed, err := changedSettings(string(before), text()); err != nil || len(changed) != 0 {
		t.Errorf("nothing changed: %v, %v", changed, err)
	}
	if changed, err := changedSettings("", text()); err != nil || len(changed) != len(cfg.evidentSettings()) {
		t.Errorf("the first time: %v, %v, want all", changed, err)
	}
	cfg.Storage.Retention *= 2
	cfg.Collector.Exporters = []ExporterConfig{{SamplingRate: 100}}
	if changed, err := changedSettings(string(before), text()); err != nil || !slices.Equal(changed, []string{"collector.exporters", "storage.retention"}) {
		t.Errorf("got %v, %v", changed, err)
	}
}

func TestLostInput_CountsWhatCameSinceTheLastTime(t *testing.T) {
	before, at := map[exporterKey]flow.ExporterCount{}, time.Unix(1_800_000_000, 0)
	c := flow.ExporterCount{Exporter: [16]byte{10: 0xff, 11: 0xff, 12: 192, 14: 2, 15: 1}, Protocol: flow.IPFIX, Expected: 100, Received: 90, Shed: 3}
	first := lostInput(before, []flow.ExporterCount{c}, at, at)
	if first == nil || first["missing"] != uint64(10) || first["shed"] != uint64(3) || len(first["exporters"].([]any)) != 1 {
		t.Errorf("got %v", first)
	}
	if again := lostInput(before, []flow.ExporterCount{c}, at, at); again != nil {
		t.Errorf("nothing new: %v", again)
	}
	c.Expected, c.Away = 120, 20 // the exporter is heard again after a restart
	if down := lostInput(before, []flow.ExporterCount{c}, at, at); down == nil || down["missing"] != uint64(20) || down["while_down"] != uint64(20) {
		t.Errorf("got %v", down)
	}
	c.Undecodable, c.Received = 2, 95 // five came late
	if third := lostInput(before, []flow.ExporterCount{c}, at, at); third == nil || third["undecodable"] != uint64(2) || third["missing"] != uint64(0) {
		t.Errorf("got %v", third)
	}
}
