package profile

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"tidemark/storage/storagetest"
)

// TestFrozen_EveryDetectorReadsHistoryWithoutIt: each statement runs with the rows
// left out, and none reads the tables beside that.
func TestFrozen_EveryDetectorReadsHistoryWithoutIt(t *testing.T) {
	s, err := New(storagetest.Open(t), Config{Site: "home"}, nil, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	s.suspects = suspects{[]netip.Addr{netip.MustParseAddr("192.0.2.66")}, []string{"listed"}}
	at := time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)
	i := &Incident{Device: 7, Opened: at, Changed: at.Add(time.Hour)}
	for _, peer := range []string{"185.9.9.9", "2001:db8::1", "00000000000000aa", ""} {
		s.frozen.add(i, &Line{Role: "client", Peer: peer, Proto: 6, Port: 443, Since: at, Until: at.Add(time.Hour)}, 7)
	}
	if s.frozen.low[1] != netip.MustParseAddr("2001:db8::") {
		t.Errorf("the network of 2001:db8::1 begins at %s", s.frozen.low[1])
	}
	for k := range s.detectors {
		d := &s.detectors[k]
		sql, err := s.statement(d, 1, 0, 9, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.findings(t.Context(), sql); err != nil {
			t.Errorf("detector %s: %.300v", d.Name, err)
		}
		for _, table := range []string{"edges", "volumes_1h"} {
			bare := strings.Count(sql, "FROM "+table+"\n") + strings.Count(sql, "FROM "+table+" ")
			if through := strings.Count(sql, "    SELECT *\n    FROM "+table+"\n"); bare != through && d.Name != "silence" {
				t.Errorf("detector %s reads %s %d times, of which %d without what is left out", d.Name, table, bare, through)
			}
		}
	}
}

// TestJoined_EveryDetectorReadsUnderTheKeptID: each statement runs with ids that are
// another device's, also with the rows left out that were judged malicious, and of a
// day of which only edges are kept.
func TestJoined_EveryDetectorReadsUnderTheKeptID(t *testing.T) {
	s, err := New(storagetest.Open(t), Config{Site: "home"}, nil, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	s.suspects = suspects{[]netip.Addr{netip.MustParseAddr("192.0.2.66")}, []string{"listed"}}
	s.joined = joined{ids: []uint64{7, 8}, targets: []uint64{9, 9}}
	s.near = s.joined
	at := time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)
	try := func(what string) {
		for k := range s.detectors {
			d := &s.detectors[k]
			sql, err := s.statement(d, 1, 0, 9, 0)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := s.findings(t.Context(), sql); err != nil {
				t.Errorf("detector %s, %s: %.300v", d.Name, what, err)
			}
		}
	}
	try("ids that are another's")
	s.frozen.add(&Incident{Device: 9, Opened: at, Changed: at.Add(time.Hour)}, &Line{Role: "client", Peer: "185.9.9.9", Proto: 6, Port: 443, Since: at, Until: at.Add(time.Hour)}, 7)
	s.day = at
	try("with one judged malicious, of a day")
}
