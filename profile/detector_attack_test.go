package profile_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"tidemark/profile"
	"tidemark/profile/intel"
)

// repeat is a talk n times, each from a port of its own.
func repeat(n int, every time.Duration, k talk) (out []talk) {
	for i := range n {
		c := k
		c.at, c.sport = k.at.Add(time.Duration(i)*every), uint16(20000+i)
		out = append(out, c)
	}
	return out
}

// TestDetectors_Attacks: as TestDetectors, but each case says which families
// must speak and which must not; an attack is rarely one thing only.
func TestDetectors_Attacks(t *testing.T) {
	day9 := monday.AddDate(0, 0, 8)
	at := func(h, m int) time.Time { return day9.Add(time.Duration(h)*time.Hour + time.Duration(m)*time.Minute) }
	jittered := func(n int, every, jitter time.Duration, k talk) (out []talk) {
		rng := rand.New(rand.NewPCG(1, 2))
		for _, c := range repeat(n, every, k) {
			c.at = c.at.Add(time.Duration(rng.Int64N(int64(jitter))))
			out = append(out, c)
		}
		return out
	}
	const master, plc = 0x001d9c000001, 0x000e8c000002 // Rockwell, Siemens
	modbus := func(from time.Time, days int) []talk {  // a master that polls its controller
		return repeat(days*24*6, 10*time.Minute, talk{at: from, lasts: 10 * time.Second, from: "10.0.0.20", to: "10.0.0.21", mac: master, dmac: plc, port: 502, out: 4000, in: 9000})
	}
	polled := func(from time.Time, days int) []talk { // an operator's script that logs in every minute
		return repeat(days*24*60, time.Minute, talk{at: from, lasts: 2 * time.Second, from: "10.0.0.30", to: "10.0.0.9", mac: master, dmac: sensor, port: 22, out: 5000, in: 6000})
	}
	asked := func(from time.Time, days int) (out []talk) { // a program that polls a page for ten minutes a day
		for d := range days {
			out = append(out, repeat(600, time.Second, talk{at: from.AddDate(0, 0, d), lasts: 100 * time.Millisecond, from: "10.0.0.40", to: "10.0.0.2", mac: master, dmac: camera, port: 80, out: 900, packets: 7, in: 1500, inPackets: 6})...)
		}
		return out
	}
	cloud := func(port uint16, days int) (out []talk) { // a new network of its cloud each day, and another that stays
		for d := range days {
			out = append(out, repeat(24, time.Hour, talk{at: monday.AddDate(0, 0, d), lasts: time.Second, from: "10.0.0.2", to: fmt.Sprintf("104.%d.1.1", 20*d), mac: camera, dmac: router, port: port, out: 2000, in: 1500})...)
		}
		return out
	}
	took := func(from time.Time, days int, to string) []talk { // sessions of its cloud
		return repeat(days*24*6, 10*time.Minute, talk{at: from, lasts: time.Second, from: "10.0.0.2", to: to, mac: camera, dmac: router, port: 443, out: 2000, in: 1500})
	}
	recorded := repeat(8*24, time.Hour, talk{at: monday, lasts: 59 * time.Minute, from: "10.0.0.2", to: "10.0.0.40", mac: camera, dmac: master, port: 554, proto: 17, out: 2_000_000_000, packets: 2_160_000, in: 200_000})
	tests := []struct {
		name   string
		before []talk // beside the normal life
		talks  []talk
		fires  []string
		silent []string
	}{
		{"log-ins tried one after the other", nil,
			repeat(60, 3*time.Second, talk{at: at(8, 0), lasts: 2 * time.Second, from: "10.0.0.2", to: "10.0.0.9", mac: camera, dmac: sensor, port: 22, out: 5000, in: 6000}),
			[]string{"brute_force", "lateral"}, []string{"scan", "flood"}},
		{"the operator's script goes on", polled(monday, 8), polled(day9.Add(8*time.Hour), 1)[:60], nil, []string{"brute_force", "lateral"}},
		{"a few log-ins", nil,
			repeat(5, time.Minute, talk{at: at(8, 0), lasts: 20 * time.Second, from: "10.0.0.2", to: "10.0.0.9", mac: camera, dmac: sensor, port: 22, out: 5000, in: 6000}),
			[]string{"lateral"}, []string{"brute_force"}},
		{"flood of small packets", nil,
			repeat(30, time.Second, talk{at: at(8, 0), lasts: time.Second, from: "10.0.0.2", to: "203.0.113.80", mac: camera, dmac: router, port: 80, proto: 17, out: 60_000, packets: 1000}),
			[]string{"flood"}, []string{"scan"}},
		{"flood of large packets", nil,
			repeat(30, time.Second, talk{at: at(8, 0), lasts: time.Second, from: "10.0.0.2", to: "203.0.113.80", mac: camera, dmac: router, port: 80, proto: 17, out: 4_000_000, packets: 4000}),
			[]string{"flood"}, nil},
		{"a slow flood of large packets that nobody answers", nil,
			repeat(30, time.Second, talk{at: at(8, 0), lasts: time.Second, from: "10.0.0.2", to: "203.0.113.80", mac: camera, dmac: router, port: 80, proto: 17, out: 54_000, packets: 100}),
			[]string{"flood"}, nil},
		{"fifty SYN a second", nil,
			repeat(60, time.Second, talk{at: at(8, 0), lasts: time.Second, from: "10.0.0.2", to: "203.0.113.80", mac: camera, dmac: router, port: 443, out: 2000, packets: 50, flags: 0x02}),
			[]string{"flood"}, nil},
		{"SYN of a port for minutes are one flow, and all are answered", nil,
			repeat(1200, 50*time.Millisecond, talk{at: at(8, 0), lasts: time.Minute, from: "10.0.0.2", to: "203.0.113.80", mac: camera, dmac: router, port: 80, out: 200, packets: 5, flags: 0x02, in: 440, inPackets: 10, replyFlags: 0x12}),
			[]string{"flood"}, nil},
		{"a log-in every five seconds from outside", nil,
			repeat(12, 50*time.Second, talk{at: at(8, 0), lasts: 2 * time.Second, from: "203.0.113.80", to: "10.0.0.2", mac: router, dmac: camera, port: 22, out: 1800, packets: 12, in: 2300, inPackets: 10}),
			[]string{"brute_force", "access"}, nil},
		{"telnet with a stranger, three times", nil,
			repeat(3, 20*time.Second, talk{at: at(8, 0), lasts: 2 * time.Second, from: "10.0.0.2", to: "203.0.113.80", mac: camera, dmac: router, port: 23, out: 1800, packets: 12, in: 2300, inPackets: 10}),
			[]string{"brute_force"}, nil},
		{"SSH with a stranger, three times", nil,
			repeat(3, 20*time.Second, talk{at: at(8, 0), lasts: 2 * time.Second, from: "10.0.0.2", to: "203.0.113.80", mac: camera, dmac: router, port: 22, out: 1800, packets: 12, in: 2300, inPackets: 10}),
			nil, []string{"brute_force"}},
		{"telnet with a stranger, once and long", nil,
			repeat(1, 20*time.Second, talk{at: at(8, 0), lasts: 90 * time.Second, from: "10.0.0.2", to: "203.0.113.80", mac: camera, dmac: router, port: 23, out: 9000, packets: 300, in: 90_000, inPackets: 290}),
			nil, []string{"brute_force"}},
		{"a page is asked for 400 times, and the exporter shows no answers", nil,
			repeat(400, 3*time.Millisecond, talk{at: at(8, 0), from: "10.0.0.40", to: "10.0.0.2", mac: master, dmac: camera, port: 8080, out: 239, packets: 1, flags: 0x18}),
			[]string{"brute_force"}, nil},
		{"passwords are tried on a page", nil,
			repeat(600, 500*time.Millisecond, talk{at: at(8, 0), lasts: 100 * time.Millisecond, from: "10.0.0.40", to: "10.0.0.2", mac: master, dmac: camera, port: 80, out: 900, packets: 7, in: 1500, inPackets: 6}),
			[]string{"brute_force"}, nil},
		{"a page is looked at", nil,
			repeat(100, time.Second, talk{at: at(8, 0), lasts: 100 * time.Millisecond, from: "10.0.0.40", to: "10.0.0.2", mac: master, dmac: camera, port: 80, out: 900, packets: 7, in: 1500, inPackets: 6}),
			nil, []string{"brute_force"}},
		{"a program asks for a page every second, for some minutes a day", asked(monday, 8), asked(day9.Add(8*time.Hour), 1), nil, []string{"brute_force"}},
		{"a page that is not there", nil,
			repeat(400, time.Second, talk{at: at(8, 0), from: "10.0.0.40", to: "10.0.0.2", mac: master, dmac: camera, port: 80, out: 60, packets: 1, flags: 0x02}),
			nil, []string{"brute_force"}},
		{"the device asks its cloud again and again", nil,
			repeat(400, time.Second, talk{at: at(8, 0), lasts: 100 * time.Millisecond, from: "10.0.0.2", to: "104.1.1.1", mac: camera, dmac: router, port: 443, out: 900, packets: 7, in: 1500, inPackets: 6}),
			nil, []string{"brute_force"}},
		{"a stranger is let in", nil,
			[]talk{{at: at(8, 0), lasts: 2 * time.Second, from: "203.0.113.80", to: "10.0.0.2", mac: router, dmac: camera, port: 8443, out: 900, packets: 8, in: 60_000, inPackets: 50}},
			[]string{"access"}, []string{"brute_force"}},
		{"a stranger is turned away", nil,
			[]talk{{at: at(8, 0), lasts: 2 * time.Second, from: "203.0.113.80", to: "10.0.0.2", mac: router, dmac: camera, port: 8443, out: 60, packets: 1, in: 54, inPackets: 1, flags: 0x02, replyFlags: 0x14}},
			nil, []string{"access"}},
		{"data in the names asked for", nil,
			repeat(300, 2*time.Second, talk{at: at(8, 0), from: "10.0.0.2", to: "10.0.0.1", mac: camera, dmac: router, port: 53, proto: 17, out: 228, in: 288}),
			[]string{"dns_tunnel"}, nil},
		{"many names are asked for", nil,
			repeat(300, 2*time.Second, talk{at: at(8, 0), from: "10.0.0.2", to: "10.0.0.1", mac: camera, dmac: router, port: 53, proto: 17, out: 66, in: 150}),
			nil, []string{"dns_tunnel"}},
		{"somebody watches the camera over a relay", nil,
			repeat(30, time.Second, talk{at: at(8, 0), lasts: time.Second, from: "10.0.0.2", to: "34.5.6.7", mac: camera, dmac: router, port: 443, proto: 17, out: 400_000, packets: 330, in: 2000}),
			nil, []string{"flood", "reflection"}},
		{"an upload, acknowledged", nil,
			repeat(30, time.Second, talk{at: at(8, 0), lasts: time.Second, from: "10.0.0.2", to: "34.5.6.7", mac: camera, dmac: router, port: 443, out: 400_000, packets: 300, in: 9000, inPackets: 150}),
			nil, []string{"flood"}},
		{"answers to somebody else's questions", nil,
			repeat(30, time.Second, talk{at: at(8, 0), lasts: time.Second, from: "203.0.113.80", to: "10.0.0.2", mac: router, dmac: camera, port: 1900, proto: 17, out: 3000, packets: 30, in: 90_000, inPackets: 90}),
			[]string{"reflection"}, nil},
		{"5 MB to a stranger", nil,
			repeat(10, 20*time.Second, talk{at: at(8, 0), lasts: 10 * time.Second, from: "10.0.0.2", to: "185.9.9.9", mac: camera, dmac: router, port: 443, out: 500_000, in: 9000}),
			[]string{"exfiltration", "new_destination"}, []string{"flood"}},
		{"its cloud moves, and the day's upload with it", nil,
			repeat(6, 10*time.Minute, talk{at: at(8, 0), lasts: time.Minute, from: "10.0.0.2", to: "104.9.9.9", mac: camera, dmac: router, port: 443, out: 500_000, in: 9000}),
			nil, []string{"exfiltration"}},
		{"400 kB to a stranger", nil,
			repeat(10, 20*time.Second, talk{at: at(8, 0), lasts: 10 * time.Second, from: "10.0.0.2", to: "185.9.9.9", mac: camera, dmac: router, port: 443, out: 40_000, in: 9000}),
			[]string{"new_destination"}, []string{"exfiltration"}},
		{"5 MB from a stranger", nil,
			repeat(10, 20*time.Second, talk{at: at(8, 0), lasts: 10 * time.Second, from: "10.0.0.2", to: "185.9.9.9", mac: camera, dmac: router, port: 443, out: 9000, in: 500_000}),
			[]string{"new_destination"}, []string{"exfiltration"}},
		{"a second master for the controller", modbus(monday, 8),
			[]talk{{at: at(8, 0), lasts: time.Second, from: "10.0.0.2", to: "10.0.0.21", mac: camera, dmac: plc, port: 502, out: 400, in: 500}},
			[]string{"ics"}, nil},
		{"a controller's port is knocked at", modbus(monday, 8),
			[]talk{{at: at(8, 0), from: "10.0.0.2", to: "10.0.0.21", mac: camera, dmac: plc, port: 502, out: 60, in: 54, flags: 0x02, replyFlags: 0x14}},
			nil, []string{"ics"}},
		{"the first master goes on", modbus(monday, 8), modbus(day9.Add(8*time.Hour), 1)[:12], nil, []string{"ics"}},
		{"calls home every minute", nil,
			repeat(40, time.Minute, talk{at: at(8, 0), lasts: time.Second, from: "10.0.0.2", to: "185.9.9.9", mac: camera, dmac: router, port: 443, out: 900, in: 1200}),
			[]string{"new_destination", "beacon"}, []string{"exfiltration"}},
		{"calls home every minute or so", nil,
			jittered(40, time.Minute, 20*time.Second, talk{at: at(8, 0), lasts: time.Second, from: "10.0.0.2", to: "185.9.9.9", mac: camera, dmac: router, port: 443, out: 900, in: 1200}),
			[]string{"beacon"}, nil},
		{"calls a stranger when it likes", nil,
			jittered(40, time.Minute, 4*time.Hour, talk{at: at(8, 0), lasts: time.Second, from: "10.0.0.2", to: "185.9.9.9", mac: camera, dmac: router, port: 443, out: 900, in: 1200}),
			[]string{"new_destination"}, []string{"beacon"}},
		{"calls home every 20 minutes, eleven times", nil,
			repeat(11, 20*time.Minute, talk{at: at(8, 0), lasts: time.Second, from: "10.0.0.2", to: "185.9.9.9", mac: camera, dmac: router, port: 443, out: 900, in: 1200}),
			[]string{"beacon"}, nil},
		{"calls home, days after its cloud moved", append(took(monday, 4, "104.1.1.1"), took(monday.AddDate(0, 0, 4), 4, "104.9.1.1")...),
			append(took(day9, 1, "104.9.1.1"), repeat(20, 15*time.Minute, talk{at: at(8, 0), lasts: time.Second, from: "10.0.0.2", to: "185.9.9.9", mac: camera, dmac: router, port: 443, out: 900, in: 1200})...),
			[]string{"beacon"}, nil},
		{"its cloud moves, one address after the other", append(took(monday, 4, "104.1.1.1"), took(monday.AddDate(0, 0, 4), 4, "151.1.1.1")...),
			append(took(day9, 1, "151.1.1.1"), took(at(8, 0), 1, "185.9.9.9")[:60]...),
			nil, []string{"beacon"}},
		{"a cloud of many networks, and an upload to a stranger by another service", cloud(9999, 8),
			repeat(10, time.Minute, talk{at: at(8, 0), lasts: 10 * time.Second, from: "10.0.0.2", to: "185.9.9.9", mac: camera, dmac: router, port: 8443, out: 40_000, in: 9000}),
			[]string{"new_destination"}, nil},
		{"a cloud of many networks, and one more", cloud(9999, 8),
			repeat(10, time.Minute, talk{at: at(8, 0), lasts: 10 * time.Second, from: "10.0.0.2", to: "185.9.9.9", mac: camera, dmac: router, port: 9999, out: 40_000, in: 9000}),
			nil, []string{"new_destination"}},
		{"its cloud moves", nil,
			repeat(40, 10*time.Minute, talk{at: at(8, 0), lasts: time.Second, from: "10.0.0.2", to: "104.9.9.9", mac: camera, dmac: router, port: 8883, out: 2000, in: 1500}),
			nil, []string{"beacon"}},
		{"a listed host is called", nil,
			[]talk{{at: at(8, 0), from: "10.0.0.2", to: "203.0.113.66", mac: camera, dmac: router, port: 443, out: 60, flags: 0x02}},
			[]string{"threat_intel"}, nil},
		{"a listed host is served", nil,
			[]talk{{at: at(8, 0), from: "203.0.113.66", to: "10.0.0.2", mac: router, dmac: camera, port: 80, out: 900, in: 4000}},
			[]string{"threat_intel"}, nil},
		{"a listed host is refused", nil,
			[]talk{{at: at(8, 0), from: "203.0.113.66", to: "10.0.0.2", mac: router, dmac: camera, port: 23, out: 60, in: 54, flags: 0x02, replyFlags: 0x14}},
			nil, []string{"threat_intel"}},
		{"the neighbour of a listed host is called", nil,
			[]talk{{at: at(8, 0), from: "10.0.0.2", to: "203.0.113.67", mac: camera, dmac: router, port: 443, out: 900, in: 900}},
			nil, []string{"threat_intel"}},
		{"fifty SYN a second of a camera whose recorder gets six hundred packets", recorded,
			repeat(60, time.Second, talk{at: at(8, 0), lasts: time.Second, from: "10.0.0.2", to: "203.0.113.80", mac: camera, dmac: router, port: 443, out: 2000, packets: 50, flags: 0x02}),
			[]string{"flood"}, nil},
		{"a hundred packets a second outside of a camera whose recorder gets six hundred", recorded,
			repeat(30, time.Second, talk{at: at(8, 0), lasts: time.Second, from: "10.0.0.2", to: "203.0.113.80", mac: camera, dmac: router, port: 80, proto: 17, out: 54_000, packets: 100}),
			[]string{"flood"}, nil},
		{"the recorder gets twice as many", recorded,
			repeat(30, time.Second, talk{at: at(8, 0), lasts: time.Second, from: "10.0.0.2", to: "10.0.0.40", mac: camera, dmac: master, port: 554, proto: 17, out: 1_200_000, packets: 1200}),
			nil, []string{"flood"}},
	}
	list := filepath.Join(t.TempDir(), "list")
	if err := os.WriteFile(list, []byte("203.0.113.66 # it's a 'bot'\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := newSite(t, profile.Config{Lists: []intel.Source{{Name: "feed", File: list}}})
	for k, tt := range tests {
		for _, l := range append(life(monday, 8), tt.before...) {
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
	events := append(s.score(), s.score()...) // the second time for what waits for a lull
	for k, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got []string
			for _, e := range events {
				addrs := e.Body["device"].(map[string]any)["addresses"].([]any)
				if int(netip.MustParseAddr(addrs[0].(string)).As4()[1]) != k+1 {
					continue
				}
				got = append(got, named(e)...)
				t.Log(e.Body["text"])
				if len(e.Body["flows"].([]any)) == 0 {
					t.Errorf("the alert of %s names no flow", e.Body["family"])
				}
			}
			for _, f := range tt.fires {
				if !slices.Contains(got, f) {
					t.Errorf("fired %q, want %s too", got, f)
				}
			}
			for _, f := range tt.silent {
				if slices.Contains(got, f) {
					t.Errorf("fired %q, want no %s", got, f)
				}
			}
		})
	}
}

// What a device of a few hours sends inside may be what it is there for.
func TestFlood_OnTheFirstDay(t *testing.T) {
	for _, tt := range []struct {
		name  string
		hours int
		to    string
		want  int
	}{
		{"outside, known for nine hours", 9, "203.0.113.80", 1},
		{"outside, known for three hours", 3, "203.0.113.80", 0},
		{"inside, known for nine hours", 9, "10.0.0.40", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newSite(t, only("flood"))
			begin := monday.Add(time.Duration(tt.hours) * time.Hour)
			for _, k := range life(monday, 1) {
				if k.at.Before(begin) {
					s.add(k)
				}
			}
			s.score()
			for i := range 30 {
				s.add(talk{at: begin.Add(time.Duration(i) * time.Second), lasts: time.Second, from: "10.0.0.2", to: tt.to, mac: camera, dmac: router, port: 80, proto: 17, out: 54_000, packets: 100})
			}
			if events := s.score(); len(events) != tt.want {
				t.Errorf("got %q, want %d floods", texts(events), tt.want)
			}
		})
	}
}

// Batches are seconds long while flows come in: what is judged is not a batch.
func TestReflection_OverManyBatches(t *testing.T) {
	s := newSite(t, only("reflection"))
	s.add(life(monday, 8)...)
	s.score()
	begin := monday.AddDate(0, 0, 8).Add(8 * time.Hour)
	var events []profile.Event
	for i := range 4 {
		s.add(talk{at: begin.Add(time.Duration(i) * 5 * time.Second), lasts: 5 * time.Second, from: "203.0.113.80", to: "10.0.0.2", mac: router, dmac: camera, port: 1900, proto: 17, out: 2000, packets: 20, in: 60_000, inPackets: 60})
		events = append(events, s.score()...)
	}
	if len(events) != 1 || !strings.Contains(events[0].Body["text"].(string), "answered 203.0.113.80") {
		t.Errorf("got %q, want one reflection", texts(events))
	}
}

// A card that was a device's for a day and sends from addresses that are nobody's
// here is no router: the flood is the device's.
func TestFlood_ForgedSources(t *testing.T) {
	s := newSite(t, only("flood"))
	s.add(life(monday, 8)...)
	s.score()
	begin := monday.AddDate(0, 0, 8).Add(8 * time.Hour)
	for i := range 1500 {
		s.add(talk{at: begin.Add(time.Duration(i) * 20 * time.Millisecond), from: fmt.Sprintf("5.%d.%d.9", i/250, i%250), to: "203.0.113.80", mac: camera, dmac: router, port: 80, out: 40, packets: 1, flags: 0x02})
	}
	events := s.score()
	if len(events) != 1 || events[0].Body["device"].(map[string]any)["mac"] != "00:40:8c:00:00:01" || !strings.HasPrefix(events[0].Body["text"].(string), "10.0.0.2 (") || !strings.Contains(events[0].Body["text"].(string), "not its own") {
		t.Errorf("got %q, want a flood of the camera from addresses that are not its own", texts(events))
	}
}

// A download from a maker's new server, by a service that is new too, is listed.
func TestNewService_ADownloadIsNotToldOf(t *testing.T) {
	s := newSite(t, profile.Config{})
	s.add(life(monday, 8)...)
	s.score()
	s.add(talk{at: monday.AddDate(0, 0, 8).Add(12 * time.Hour), lasts: 5 * time.Minute, from: "10.0.0.2", to: "151.9.9.9", mac: camera, dmac: router, port: 8090, out: 600_000, packets: 11000, in: 32_000_000, inPackets: 22000})
	events := append(s.score(), s.score()...)
	if !slices.Contains(families(events, "alert"), "new_service") {
		t.Errorf("got %q, want new_service listed", texts(events))
	}
	for _, e := range events {
		if e.Body["notify"] != int64(0) {
			t.Errorf("people are told: %s", e.Body["text"])
		}
	}
}

// What had an id by its address, and shows its MAC from a day on, is not missed by
// the first.
func TestSilence_AnIDThatIsAnotherNowIsNotMissed(t *testing.T) {
	s := newSite(t, only("silence"))
	for d := range 10 {
		for k := range 6 {
			for _, l := range life(monday.AddDate(0, 0, d), 1) {
				if k == 3 && d < 8 && l.mac == sensor {
					l.mac = 0
				}
				s.add(houseOf(k+1, l))
			}
		}
	}
	if events := append(s.score(), s.score()...); len(events) > 0 {
		t.Errorf("normal life raised %q", texts(events))
	}
}

func TestSilence_OneDeviceIsMissedAndAWholeSiteIsNot(t *testing.T) {
	s := newSite(t, only("silence"))
	const houses, missing = 6, 3
	for k := range houses {
		for _, l := range life(monday, 8) {
			s.add(houseOf(k+1, l))
		}
	}
	s.score()
	for _, l := range life(monday.AddDate(0, 0, 8), 1) { // a day on: the sensor of one house is gone
		for k := range houses {
			if k+1 != missing || l.mac != sensor {
				s.add(houseOf(k+1, l))
			}
		}
	}
	events := append(s.score(), s.score()...)
	if len(events) != 1 || events[0].Body["family"] != "silence" || events[0].Body["device"].(map[string]any)["mac"] != fmt.Sprintf("24:0a:c4:00:%02x:02", missing) {
		t.Errorf("got %q, want the silence of the sensor in house %d", texts(events), missing)
	}
	// Then the line is cut: one flow of one house is all that comes for five hours.
	s.add(houseOf(1, talk{at: monday.AddDate(0, 0, 9).Add(5 * time.Hour), from: "10.0.0.2", to: "52.1.1.10", mac: camera, dmac: router, port: 8883, out: 2000, in: 1500}))
	for _, e := range append(s.score(), s.score()...) {
		if e.Kind == "alert" {
			t.Errorf("with the whole site silent: %s", e.Body["text"])
		}
	}
}
