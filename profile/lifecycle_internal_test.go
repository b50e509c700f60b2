package profile

import (
	"strings"
	"testing"
	"time"
)

// What people write stays in the ledger for ever and is shown to others.
func TestBy_ReasonsAreOneLineOfText(t *testing.T) {
	for text, fit := range map[string]bool{
		"renewed by Ünal": true, "": false, "  ": false, "a\nb": false, "a\x1b[2J": false, "a\u202eb": false, "a\xff": false,
		strings.Repeat("x", maxReason): true, strings.Repeat("x", maxReason+1): false,
	} {
		if err := (By{Actor: "root", Reason: text}).check(); (err == nil) != fit {
			t.Errorf("reason %.40q: %v, want it taken: %v", text, err, fit)
		}
	}
	if err := (By{Actor: "root\nadmin", Reason: "x"}).check(); err == nil {
		t.Error("an actor of two lines was taken")
	}
}

func TestExclusion_OfTheWholeWorldIsRefused(t *testing.T) {
	now := time.Now()
	for peer, fit := range map[string]bool{"0.0.0.0/0": false, "128.0.0.0/1": false, "::/0": false, "10.0.0.0/8": true, "2001::/16": true, "192.0.2.1": true} {
		x := Exclusion{Peer: peer, Hard: true, Reason: "x", Expires: now.Add(time.Hour)}
		if err := x.Validate(now); (err == nil) != fit {
			t.Errorf("peer %s: %v, want it taken: %v", peer, err, fit)
		}
	}
}
