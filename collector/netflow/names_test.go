package netflow

import (
	"strings"
	"testing"
)

func TestElementName(t *testing.T) {
	for _, tt := range []struct {
		pen  uint32
		id   uint16
		name string
	}{
		{0, 1, "octetDeltaCount"}, {0, 15, "ipNextHopIPv4Address"}, {0, 498, "srhSegmentsIPv6Left"}, {0, 40000, "userName"}, {0, 9999, ""},
		{5951, 128, "roundTripTime"}, {35632, 188, "TLS_SERVER_NAME"}, {14706, 1001, "extendedSwitchData"}, {424242, 1, ""},
		{reversePEN, 1, "reverseOctetDeltaCount"}, {reversePEN, 9999, ""}, {certPEN, 40, "flowAttributes"}, {certPEN, 16424, "reverseFlowAttributes"},
	} {
		if got := ElementName(tt.pen, tt.id); got != tt.name {
			t.Errorf("ElementName(%d, %d) = %q, want %q", tt.pen, tt.id, got, tt.name)
		}
	}
	e := Elements{5951: {128: "mine"}, 424242: {1: "their own"}}
	if e.Name(5951, 128) != "mine" || e.Name(424242, 1) != "their own" || e.Name(0, 2) != "packetDeltaCount" || Elements(nil).Name(0, 2) != "packetDeltaCount" {
		t.Errorf("names %q, %q, %q", e.Name(5951, 128), e.Name(424242, 1), e.Name(0, 2))
	}
}

// Every element that fills a column is one that the registry knows.
func TestElements_FileIsWhole(t *testing.T) {
	lines := strings.Count(elementsTSV, "\n")
	if n := len(builtinElements()); n != lines || n < 600 {
		t.Errorf("%d names in %d lines", n, lines)
	}
	for id := range uint16(32768) {
		if lookup(id) != (element{}) && ElementName(0, id) == "" {
			t.Errorf("element %d fills a column and has no name", id)
		}
	}
}
