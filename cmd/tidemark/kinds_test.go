package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"tidemark/enrich"
	"tidemark/enrich/kind"
	"tidemark/enrich/names"
	"tidemark/profile"
	"tidemark/storage/storagetest"
)

// TestCloud_NamesWhereTheDeviceGoes: the names that a device asked for, and those
// that others asked for and that lead to an address it deals with.
func TestCloud_NamesWhereTheDeviceGoes(t *testing.T) {
	const mac = 0x00408c000001
	s := &store{cfg: Defaults(), db: storagetest.Open(t)}
	storeHalves(t, s, []half{
		{from: "10.1.1.5", to: "198.51.100.7", mac: mac, packets: 40, exporter: "192.0.2.1", flags: 0x1b},
		{from: "10.1.1.5", to: "203.0.113.9", mac: mac, packets: 90, exporter: "192.0.2.1", flags: 0x1b},
	})
	book, err := names.New(s.db, names.Config{Site: s.cfg.Site, Inside: s.cfg.inside})
	if err != nil {
		t.Fatal(err)
	}
	say := func(from uint64, host, to string) {
		book.Observe(&names.Packet{
			Received: time.Now().UnixNano(), Src: netip.MustParseAddr("::ffff:10.1.1.5").As16(), SrcMAC: from, Dst: netip.AddrFrom16(netip.MustParseAddr(to).As16()).As16(),
			TCP: true, SrcPort: 40000, DstPort: 80, Payload: fmt.Appendf(nil, "GET / HTTP/1.1\r\nHost: %s\r\n\r\n", host),
		})
	}
	say(mac, "eu.axis.com", "198.51.100.7")
	say(0x00155d000009, "other.example.org", "203.0.113.9")
	if err := book.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	d, err := s.device(t.Context(), "00:40:8c:00:00:01")
	if err != nil {
		t.Fatal(err)
	}
	v, err := s.gatherCloud(t.Context(), d, nil)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, p := range v.Peers {
		got = append(got, p.Network+" "+strings.Join(p.Names, " "))
	}
	if want := []string{"203.0.113.0/24 other.example.org", "198.51.100.0/24 eu.axis.com"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestWhy_SaysWhatSpeaksForAndAgainst: the kind, the next one, each term.
func TestWhy_SaysWhatSpeaksForAndAgainst(t *testing.T) {
	rules, err := kind.Default()
	if err != nil {
		t.Fatal(err)
	}
	f := kind.Facts{Vendor: enrich.Vendor(0x00408c000001), Behaviour: kind.NoBehaviour(), Services: []kind.Service{{Role: kind.Serves, Proto: 6, Port: 554, Peers: 2}}}
	v := whyView{Verdict: rules.Classify(&f), Criticality: "high", Zone: "lobby", rules: rules}
	v.Device = viewDevice(profile.Device{ID: 0xabc})
	var b bytes.Buffer
	if err := v.write(&b, "10.1.1.5"); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"zone       lobby", "criticality high", "camera (9", "and next video recorder", "serves tcp/554 (2 clients)  (serves-rtsp)", "its MAC is of", "devices kind --reason WHY 0000000000000abc KIND"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("does not say %q:\n%s", want, b.String())
		}
	}
	for v, want := range map[string]kind.Verdict{
		"not known: the evidence is not enough": {}, "IoT (90 %), which kind is not clear": {IoT: kind.IsIoT, Probability: 0.9},
		"not IoT (85 %), which kind is not clear": {IoT: kind.NotIoT, Probability: 0.85},
	} {
		if got := verdictText(want); got != v {
			t.Errorf("got %q, want %q", got, v)
		}
	}
}

// TestInterfaces_TheExporterNamesThemElseTheConfiguration: one that the exporter
// named holds against a stale configuration.
func TestInterfaces_TheExporterNamesThemElseTheConfiguration(t *testing.T) {
	s := &store{cfg: Defaults(), db: storagetest.Open(t)}
	storeHalves(t, s, []half{{from: "10.1.1.5", to: "198.51.100.7", mac: 0x00408c000001, packets: 40, exporter: "192.0.2.1", flags: 0x1b, input: 3}})
	router := netip.MustParseAddr("192.0.2.1")
	s.cfg.Names.Interfaces = []InterfaceConfig{{router, 3, "eth3"}, {router, 4, "eth4"}}
	d, err := s.device(t.Context(), "10.1.1.5")
	if err != nil {
		t.Fatal(err)
	}
	list, err := s.attachments(t.Context(), d)
	if err != nil || len(list) != 1 || list[0].Index != 3 || list[0].Name != "eth3" || list[0].Packets != 40 {
		t.Fatalf("%+v, %v; want interface 3 of the exporter, by the configuration eth3", list, err)
	}
	var told exporterInterfaces
	if err := json.Unmarshal([]byte(`{"address": "192.0.2.1", "interfaces": [{"domain": 0, "index": 3, "name": "ge-0/0/3"}, {"domain": 0, "index": 4},
		{"domain": 0, "index": 7, "name": "swp7"}, {"domain": 0, "index": 7, "name": "swp7"}, {"domain": 0, "index": 8, "name": "swp8"}, {"domain": 0, "index": 8, "name": "lan8"}]}`), &told); err != nil {
		t.Fatal(err)
	}
	for index, want := range map[uint32]string{3: "ge-0/0/3", 4: "eth4", 5: "", 7: "swp7", 8: ""} { // 8: of two agents
		if got := s.cfg.Names.interfaceName("192.0.2.1", 0, index, []exporterInterfaces{told}); got != want {
			t.Errorf("interface %d: got %q, want %q", index, got, want)
		}
	}
}

func TestMUD_OfAKind(t *testing.T) {
	cfg := Defaults()
	cfg.Kinds.MUD = []MUDConfig{{"camera", "https://example.com/camera.json"}, {"kamera", "http://example.com"}}
	if cfg.mudOf("camera") != "https://example.com/camera.json" || cfg.mudOf("printer") != "" {
		t.Errorf("cameras %q, printers %q", cfg.mudOf("camera"), cfg.mudOf("printer"))
	}
	var faults []string
	cfg.validateKinds(func(path, _ string, _ ...any) { faults = append(faults, path) })
	if want := []string{"kinds.mud[1].kind", "kinds.mud[1].profile"}; !slices.Equal(faults, want) {
		t.Errorf("faults %q, want %q", faults, want)
	}
}
