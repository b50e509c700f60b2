package profile_test

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"tidemark/profile"
	"tidemark/profile/contain"
)

// mudFile writes a profile whose from-device list holds entries.
func mudFile(t *testing.T, path string, aces ...string) {
	t.Helper()
	for i := range aces {
		aces[i] = `{"name": "e", "matches": {` + aces[i] + `}, "actions": {"forwarding": "accept"}}`
	}
	text := fmt.Sprintf(`{"ietf-mud:mud": {"mud-version": 1, "mud-url": "https://example.com/c", "from-device-policy": {"access-lists": {"access-list": [{"name": "f"}]}}},
 "ietf-access-control-list:acls": {"acl": [{"name": "f", "aces": {"ace": [%s]}}]}}`, strings.Join(aces, ","))
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// forbidden are what the lines of mud observed, of events.
func forbidden(events []profile.Event) (out []string) {
	for _, e := range events {
		for _, l := range e.Body["lines"].([]any) {
			if line := l.(map[string]any); line["family"] == "mud" {
				out = append(out, fmt.Sprint(line["observed"], "; expected ", line["expected"]))
			}
		}
	}
	return out
}

func TestMUD_WhatTheProfileDoesNotPermit(t *testing.T) {
	at := monday.Add(time.Hour)
	use := func(to string, port uint16, more ...func(*talk)) talk {
		k := talk{at: at, lasts: 5 * time.Second, from: "10.0.0.2", to: to, mac: camera, dmac: router, port: port, out: 2000, in: 1500}
		for _, f := range more {
			f(&k)
		}
		return k
	}
	udp := func(k *talk) { k.proto = 17 }
	inside := func(k *talk) { k.dmac = sensor }
	file := filepath.Join(t.TempDir(), "camera.json")
	mudFile(t, file,
		`"ipv4": {"protocol": 6, "ietf-acldns:dst-dnsname": "cloud.example.com"}, "tcp": {"destination-port": {"operator": "eq", "port": 8883}}`,
		`"ipv4": {"protocol": 6, "destination-ipv4-network": "198.51.100.0/24"}, "tcp": {"destination-port": {"operator": "eq", "port": 443}}`,
		`"ietf-mud:mud": {"controller": "urn:ietf:params:mud:dns"}, "ipv4": {"protocol": 17}, "udp": {"destination-port": {"operator": "eq", "port": 53}}`,
		`"ietf-mud:mud": {"my-controller": [null]}, "ipv4": {"protocol": 6}, "tcp": {"destination-port": {"operator": "eq", "port": 9443}}`,
		`"ietf-mud:mud": {"local-networks": [null]}, "ipv4": {"protocol": 6}, "tcp": {"source-port": {"operator": "eq", "port": 554}}`)
	cases := []struct {
		name  string
		talks []talk
		want  string // of what was observed; "" = nothing
	}{
		{"its cloud, by the name", []talk{use("52.1.1.10", 8883)}, ""},
		{"another host of the service", []talk{use("185.9.9.9", 8883)}, "8883) with 185.9.9.9"},
		{"a host nobody named", []talk{use("203.0.113.8", 8883)}, ""}, // it may be the cloud
		{"a network, another address of it", []talk{use("198.51.100.77", 443)}, ""},
		{"the network by another port", []talk{use("198.51.100.77", 80)}, "(tcp/80) with 198.51.100.77"},
		{"DNS of anybody", []talk{use("9.9.9.9", 53, udp)}, ""},
		{"a controller nobody knows", []talk{use("10.0.0.9", 9443, inside)}, ""},
		{"its pictures, to the site", []talk{{at: at, lasts: 5 * time.Second, from: "10.0.0.9", to: "10.0.0.2", mac: sensor, dmac: camera, port: 554, out: 900, in: 9000}}, ""},
		{"its pictures, to the world", []talk{{at: at, lasts: 5 * time.Second, from: "203.0.113.9", to: "10.0.0.2", mac: router, dmac: camera, port: 554, out: 900, in: 9000}}, "(tcp/554) to 203.0.113.9"},
		{"somebody tries its telnet", []talk{{at: at, from: "203.0.113.9", to: "10.0.0.2", mac: router, dmac: camera, port: 23, out: 60, in: 54, flags: 2, replyFlags: 0x14}}, ""},
		{"it opens telnet of a neighbour", []talk{use("10.0.0.9", 23, inside)}, "telnet"},
		{"an address from DHCP", []talk{use("10.0.0.1", 67, udp)}, ""},
	}
	s := newSite(t, only("mud"))
	for k, c := range cases {
		s.add(houseOf(k+1, use("10.0.0.1", 53, udp))) // it is there
		for _, l := range c.talks {
			s.add(houseOf(k+1, l))
		}
	}
	s.commit()
	for addr, name := range map[string]string{"52.1.1.10": "cloud.example.com", "185.9.9.9": "bad.example.net"} {
		err := s.db.Conn().Exec(t.Context(), "INSERT INTO names (site, addr, name, source, received, first, last, seen) VALUES ('home', ?, ?, 'dns', today(), ?, ?, 1)", addr, name, at, at)
		if err != nil {
			t.Fatal(err)
		}
	}
	by := profile.By{Actor: "test", Reason: "from the maker", At: at}
	for k := range cases {
		d, err := s.Device(t.Context(), fmt.Sprintf("10.%d.0.2", k+1))
		if err != nil {
			t.Fatal(err)
		}
		if err := s.SetFact(t.Context(), d, profile.FactMUD, file, by); err != nil {
			t.Fatal(err)
		}
	}
	attached := s.events[len(s.events)-1]
	if id, _ := attached.Body["profile"].(string); attached.Kind != "device_mud" || len(id) != 16 {
		t.Errorf("attaching is recorded as %s with %v, want device_mud with the profile's hash", attached.Kind, attached.Body)
	}
	got := map[string][]string{}
	for _, e := range append(s.score(), s.score()...) {
		mac := e.Body["device"].(map[string]any)["mac"].(string)
		got[mac] = append(got[mac], forbidden([]profile.Event{e})...)
	}
	for k, c := range cases {
		found := got[fmt.Sprintf("00:40:8c:00:%02x:01", k+1)]
		if len(found) > 0 != (c.want != "") || c.want != "" && !strings.Contains(found[0], c.want) {
			t.Errorf("%s: got %q, want %q", c.name, found, c.want)
		}
	}
	list, err := s.Descriptions(t.Context())
	if err != nil || len(list) != len(cases) || len(list[0].Notes) != 1 || !strings.Contains(list[0].Notes[0], "my-controller") {
		t.Errorf("got descriptions %+v, error %v", list, err)
	}
}

// TestMUD_AFileThatChanges: another text is in force with the next score, one that is
// no profile is not; taken off, nothing is judged.
func TestMUD_AFileThatChanges(t *testing.T) {
	file := filepath.Join(t.TempDir(), "camera.json")
	mudFile(t, file, `"ipv4": {"protocol": 17}`)
	c := only("mud")
	c.MUD = []profile.KindMUD{{Kind: "camera", File: "https://example.com/c"}}
	s := newSite(t, c)
	step := 0
	round := func() []string {
		step++
		s.add(talk{at: monday.Add(time.Duration(step) * 10 * time.Minute), lasts: 5 * time.Second, from: "10.0.0.2", to: "198.51.100.7", mac: camera, dmac: router, port: 443, out: 2000, in: 1500})
		return forbidden(append(s.score(), s.score()...))
	}
	if got := round(); len(got) != 0 {
		t.Fatalf("without a profile: got %q", got)
	}
	d, err := s.Device(t.Context(), "10.0.0.2")
	if err != nil {
		t.Fatal(err)
	}
	by := profile.By{Actor: "test", Reason: "test", At: monday}
	set := func(value string) error {
		by.At = by.At.Add(time.Second)
		d.Facts = map[string]string{profile.FactMUD: "before"}
		return s.SetFact(t.Context(), d, profile.FactMUD, value, by)
	}
	if err := set(filepath.Join(t.TempDir(), "none.json")); err == nil {
		t.Error("a file that is not there was attached")
	}
	if err := set(file); err != nil {
		t.Fatal(err)
	}
	if got := round(); !slices.ContainsFunc(got, func(o string) bool { return strings.Contains(o, "none has this service") }) {
		t.Errorf("UDP only: got %q", got)
	}
	mudFile(t, file, `"ipv4": {"protocol": 6, "destination-ipv4-network": "198.51.100.0/25"}`)
	if got := round(); len(got) != 0 {
		t.Errorf("the file permits it now: got %q", got)
	}
	if err := os.WriteFile(file, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := round(); len(got) != 0 {
		t.Errorf("the file is broken: got %q", got)
	}
	if err := set(""); err != nil {
		t.Fatal(err)
	}
	round()
	if list, err := s.Descriptions(t.Context()); err != nil || len(list) != 0 {
		t.Errorf("taken off: got %+v, error %v", list, err)
	}
}

// TestMUD_WhatIsWrittenOutOfABaselinePermitsIt: contain mud, read back.
func TestMUD_WhatIsWrittenOutOfABaselinePermitsIt(t *testing.T) {
	s := newSite(t, only("mud"))
	s.add(life(monday, 5)...)
	s.commit()
	d, err := s.Device(t.Context(), "10.0.0.2")
	if err != nil {
		t.Fatal(err)
	}
	peers, err := s.Peers(t.Context(), d, time.Time{}, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	var edges []contain.Edge
	for i := range peers {
		edges = append(edges, peers[i].Edge())
	}
	text, left, err := contain.MUD(contain.MUDOptions{URL: "https://example.com/c", Made: monday, Local: netip.Addr.IsPrivate}, edges)
	if err != nil || len(left) == len(edges) {
		t.Fatalf("%d of %d edges are left out, error %v", len(left), len(edges), err)
	}
	file := filepath.Join(t.TempDir(), "camera.json")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.SetFact(t.Context(), d, profile.FactMUD, file, profile.By{Actor: "test", Reason: "test", At: monday}); err != nil {
		t.Fatal(err)
	}
	for _, o := range forbidden(append(s.score(), s.score()...)) {
		if !strings.Contains(o, "ntp") { // of which no server was met on three days
			t.Errorf("normal life: %s", o)
		}
	}
}
