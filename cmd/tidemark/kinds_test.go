package main

import (
	"bytes"
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
