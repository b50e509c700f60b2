package profile_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"tidemark/profile"
)

// houseOf moves a conversation to house k of the site: 10.0.x.y becomes
// 10.k.x.y, and its devices get MACs of their own.
func houseOf(k int, t talk) talk {
	move := func(a string) string {
		if rest, ok := strings.CutPrefix(a, "10.0."); ok {
			return fmt.Sprintf("10.%d.%s", k, rest)
		}
		return a
	}
	mac := func(m uint64) uint64 {
		if m == 0 || m == router {
			return m
		}
		return m + uint64(k)<<8
	}
	t.from, t.to, t.mac, t.dmac = move(t.from), move(t.to), mac(t.mac), mac(t.dmac)
	return t
}

// TestDetectors: each case is a house of its own, added after eight days of
// normal life in all houses; fires are the detectors that must speak there.
func TestDetectors(t *testing.T) {
	day9 := monday.AddDate(0, 0, 8)
	at := func(h, m int) time.Time { return day9.Add(time.Duration(h)*time.Hour + time.Duration(m)*time.Minute) }
	repeat := func(n int, f func(i int) talk) (out []talk) {
		for i := range n {
			out = append(out, f(i))
		}
		return out
	}
	second := func(i int) time.Time { return at(8, 0).Add(time.Duration(i) * time.Second) }
	tests := []struct {
		name  string
		talks []talk
		fires []string
	}{
		{"known peer, known service", []talk{{at: at(8, 0), from: "10.0.0.2", to: "34.5.6.7", mac: camera, dmac: router, port: 443, out: 400_000, in: 9000}}, nil},
		{"known network, other host", []talk{{at: at(8, 0), from: "10.0.0.2", to: "34.5.6.99", mac: camera, dmac: router, port: 443, out: 40_000, in: 9000}}, nil},
		{"new host in a known /16 of its cloud", []talk{{at: at(8, 0), from: "10.0.0.2", to: "34.5.99.1", mac: camera, dmac: router, port: 443, out: 40_000, in: 9000}}, nil},
		{"new network", []talk{{at: at(8, 0), from: "10.0.0.2", to: "185.9.9.9", mac: camera, dmac: router, port: 443, out: 40_000, in: 9000}}, []string{"new_destination"}},
		{"new network, too little to tell", []talk{{at: at(8, 0), from: "10.0.0.2", to: "185.9.9.9", mac: camera, dmac: router, port: 443, out: 400, in: 90}}, nil},
		{"new device of the site", []talk{{at: at(8, 0), from: "10.0.0.2", to: "10.0.0.77", mac: camera, dmac: 0x3c01ef000077, port: 443, out: 40_000, in: 9000}}, []string{"new_destination"}},
		{"another NTP server of the pool", []talk{{at: at(8, 0), from: "10.0.0.2", to: "129.6.15.28", mac: camera, dmac: router, port: 123, proto: 17, out: 5000, in: 5000}}, nil},
		{"new service with a known peer", []talk{{at: at(8, 0), from: "10.0.0.2", to: "34.5.6.7", mac: camera, dmac: router, port: 4444, out: 400, in: 900}}, []string{"new_service"}},
		{"telnet offered", []talk{{at: at(8, 0), from: "10.0.0.9", to: "10.0.0.2", mac: sensor, dmac: camera, port: 23, out: 400, in: 900}}, []string{"lateral", "new_service", "new_service"}},
		{"telnet refused", []talk{{at: at(8, 0), from: "10.0.0.9", to: "10.0.0.2", mac: sensor, dmac: camera, port: 23, out: 60, in: 54, flags: 0x02, replyFlags: 0x14}}, nil},
		{"a dozen logins refused", repeat(12, func(i int) talk {
			return talk{at: at(8, i), from: "10.0.0.9", to: "10.0.0.2", mac: sensor, dmac: camera, port: 80, out: 60, in: 54, flags: 0x02, replyFlags: 0x14}
		}), []string{"failed_access", "failed_access"}},
		{"a dozen denied by a firewall", repeat(12, func(i int) talk {
			return talk{at: at(8, i), from: "203.0.113.5", to: "10.0.0.2", mac: router, dmac: camera, port: 80, out: 60, firewall: 3}
		}), []string{"failed_access"}},
		{"nine SYN without answer", repeat(9, func(i int) talk {
			return talk{at: at(8, i), from: "203.0.113.5", to: "10.0.0.2", mac: router, dmac: camera, port: 80, out: 60, flags: 0x02}
		}), nil},
		{"scan of a network on one port", repeat(30, func(i int) talk {
			return talk{at: second(i), from: "10.0.0.2", to: fmt.Sprintf("10.0.1.%d", i+1), mac: camera, port: 2323, out: 60, flags: 0x02}
		}), []string{"new_service", "scan"}},
		{"scan of ports, refused", repeat(30, func(i int) talk {
			return talk{at: second(i), from: "10.0.0.2", to: "10.0.0.9", mac: camera, dmac: sensor, port: uint16(7000 + i), out: 60, in: 54, flags: 0x02, replyFlags: 0x14}
		}), []string{"failed_access", "scan"}},
		{"slow scan, one probe in three minutes", repeat(30, func(i int) talk {
			return talk{at: at(8, 3*i), from: "10.0.0.2", to: fmt.Sprintf("10.0.1.%d", i+1), mac: camera, port: 443, out: 60, flags: 0x02}
		}), []string{"scan"}},
		{"thirty new peers that answer", repeat(30, func(i int) talk {
			return talk{at: second(i), from: "10.0.0.2", to: fmt.Sprintf("34.5.%d.1", 100+i), mac: camera, dmac: router, port: 443, out: 500, in: 600}
		}), nil},
		{"eight peers that are gone", repeat(8, func(i int) talk {
			return talk{at: second(i), from: "10.0.0.2", to: fmt.Sprintf("10.0.1.%d", i+1), mac: camera, port: 443, out: 60, flags: 0x02}
		}), nil},
		{"sampled requests whose answers were not sampled", repeat(30, func(i int) talk {
			return talk{at: second(i), from: "10.0.0.2", to: fmt.Sprintf("34.5.%d.1", 100+i), mac: camera, dmac: router, port: 443, out: 60, flags: 0x18, rate: 100}
		}), nil},
		{"upload of 300 MB", []talk{{at: at(8, 10), lasts: 10 * time.Minute, from: "10.0.0.2", to: "34.5.6.7", mac: camera, dmac: router, port: 443, out: 300_000_000, in: 90_000}}, []string{"volume"}},
		{"upload of twice the usual", []talk{{at: at(8, 10), lasts: 10 * time.Minute, from: "10.0.0.2", to: "34.5.6.7", mac: camera, dmac: router, port: 443, out: 6_000_000, in: 9000}}, nil},
		{"many times the usual of very little", []talk{{at: at(8, 10), from: "10.0.0.9", to: "10.0.0.2", mac: sensor, dmac: camera, port: 80, out: 900_000, in: 3000}}, nil},
		{"the morning's upload, at three in the night", repeat(6, func(i int) talk {
			return talk{at: at(3, 10*i), lasts: time.Minute, from: "10.0.0.2", to: "34.5.6.7", mac: camera, dmac: router, port: 443, out: 100_000, in: 9000}
		}), []string{"unexpected_hour"}},
		{"the morning's upload, an hour late", repeat(6, func(i int) talk {
			return talk{at: at(9, 10*i), lasts: time.Minute, from: "10.0.0.2", to: "34.5.6.7", mac: camera, dmac: router, port: 443, out: 500_000, in: 9000}
		}), nil},
	}
	s := newSite(t, profile.Config{Disabled: []string{"silence", "coverage"}}) // the houses fall silent at different times, and the exporter with them
	for k := range tests {
		for _, l := range life(monday, 8) {
			s.add(houseOf(k+1, l))
		}
	}
	if events := s.score(); len(events) > 0 {
		t.Fatalf("normal life raised %q", texts(events))
	}
	for k, tt := range tests {
		for _, l := range tt.talks {
			s.add(houseOf(k+1, l))
		}
	}
	events := s.score()
	house := func(e profile.Event) int {
		addrs := e.Body["device"].(map[string]any)["addresses"].([]any)
		return int(netip.MustParseAddr(addrs[0].(string)).As4()[1])
	}
	for k, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got []string
			for _, e := range events {
				if house(e) != k+1 {
					continue
				}
				got = append(got, named(e)...)
				t.Log(e.Body["text"])
				if len(e.Body["flows"].([]any)) == 0 {
					t.Error("the alert names no flow")
				}
			}
			slices.Sort(got)
			if !slices.Equal(got, tt.fires) {
				t.Errorf("fired %q, want %q", got, tt.fires)
			}
		})
	}
}
