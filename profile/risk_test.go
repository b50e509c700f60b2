package profile

import (
	"maps"
	"slices"
	"testing"
)

func TestRisk_WhatSeesTheSameOctetsIsOneSign(t *testing.T) {
	e := func(score float64, stage string) evidence { return evidence{score: score, stage: stage} }
	for _, c := range []struct {
		name     string
		families map[string]evidence
		percent  uint8
		worth    bool
	}{
		{"a backup at an unusual hour", map[string]evidence{"volume": e(.36, "impact"), "unexpected_hour": e(.23, "control")}, 36, false},
		{"a new service that carries much", map[string]evidence{"new_service": e(.33, "control"), "volume": e(.36, "impact"), "unexpected_hour": e(.23, "control")}, 36, false},
		{"a new service that carries little more", map[string]evidence{"new_service": e(.33, "control"), "volume": e(.2, "impact")}, 33, false},
		{"a new service and a new destination", map[string]evidence{"new_service": e(.33, "control"), "new_destination": e(.36, "control")}, 57, true},
		{"refused elsewhere, and much sent", map[string]evidence{"failed_access": e(.38, "access"), "volume": e(.36, "impact")}, 60, true},
		{"much, of a device that matters", map[string]evidence{"volume": e(.39, "impact"), "unexpected_hour": e(.23, "control")}, 39, false},
	} {
		percent, worth, _ := risk(c.families, 1)
		if n := independent(slices.Collect(maps.Keys(c.families))); n > 1 != c.worth {
			t.Errorf("%s: %d independent signs", c.name, n)
		}
		if percent != c.percent || worth != c.worth {
			t.Errorf("%s: risk %d, worth telling %t; want %d, %t", c.name, percent, worth, c.percent, c.worth)
		}
	}
	if _, worth, _ := risk(map[string]evidence{"volume": e(.36, "impact"), "unexpected_hour": e(.23, "control")}, 1.5); worth {
		t.Error("one sign is told of a device that matters more")
	}
}
