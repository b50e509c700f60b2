package profile_test

import (
	"strings"
	"testing"
	"time"

	"tidemark/profile"
	"tidemark/profile/contain"
)

// A plan names the hosts a device met when they are few, and the network when there are
// more; the dry run counts the flows of those hosts, not of their neighbours.
func TestRules_NameHostsWhenFewAndTheDryRunCountsThem(t *testing.T) {
	s := newSite(t, filed(rules(t, map[string]string{"foreign_resolver.sql": example(t)})))
	day := monday
	for i := range 30 { // another host of the same network, with another service
		s.add(talk{at: day.Add(time.Duration(i) * time.Minute), from: "10.0.0.2", to: "9.9.9.77", mac: camera, dmac: router, port: 443, out: 400, in: 900})
	}
	s.add(asked(day, "9.9.9.9", 5)...)
	s.add(asked(day.Add(time.Minute), "9.9.9.10", 2)...)
	s.score()
	plan := func() (out []string, all []contain.Rule, i profile.Incident) {
		t.Helper()
		i = alerts(t, s, "foreign_resolver")[0]
		all, err := s.Rules(t.Context(), i)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range all {
			out = append(out, r.Peer.String())
		}
		return out, all, i
	}
	if err := s.db.Conn().Exec(t.Context(), "INSERT INTO names (site, addr, name, source, received, first, last, seen) VALUES ('home', '9.9.9.9', 'dns9.example', 'dns', today(), now(), now(), 1), ('home', '9.9.9.10', 'bad\nname', 'dns', today(), now(), now(), 1)"); err != nil {
		t.Fatal(err)
	}
	got, all, i := plan()
	// The peer is what is new: the plan names all that was met of it.
	if strings.Join(got, " ") != "9.9.9.9/32 9.9.9.10/32 9.9.9.77/32" || all[0].Name != "dns9.example" || all[1].Name != "" {
		t.Errorf("got %v, %v", got, all)
	}
	d, err := s.Device(t.Context(), "10.0.0.2")
	if err != nil {
		t.Fatal(err)
	}
	peers, err := s.Peers(t.Context(), d, day, day.AddDate(0, 0, 1))
	if err != nil {
		t.Fatal(err)
	}
	var edges []contain.Edge
	for k := range peers {
		edges = append(edges, peers[k].Edge())
	}
	one := contain.Plan{Rules: []contain.Rule{all[0]}} // of 9.9.9.9 alone
	whole := one.Try(edges)
	parted, err := s.SplitEdges(t.Context(), d, one.Rules, edges, day, day.AddDate(0, 0, 1))
	if err != nil {
		t.Fatal(err)
	}
	tried := one.Try(parted)
	if whole.Dropped != 74 || tried.Flows != whole.Flows || tried.Dropped != 10 || len(tried.Cut) != 1 || tried.Cut[0].Title != "9.9.9.9" {
		t.Errorf("of %d flows %d would have been dropped by network, by address %d: %+v", tried.Flows, whole.Dropped, tried.Dropped, tried.Cut)
	}
	s.add(asked(i.Changed.Add(2*time.Minute), "9.9.9.11", 5)...)
	s.add(asked(i.Changed.Add(9*time.Minute), "9.9.9.12", 5)...)
	s.score()
	s.score()
	if got, _, _ := plan(); strings.Join(got, " ") != "9.9.9.0/24" {
		t.Errorf("of five hosts: got %v, want the network", got)
	}
}
