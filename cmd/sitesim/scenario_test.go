package main

import (
	"context"
	"encoding/json"
	"io"
	"math"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
	"github.com/netsampler/goflow2/v2/decoders/netflow"

	"tidemark/cmd/sitesim/internal/export"
	"tidemark/cmd/sitesim/internal/site"
)

var friday = time.Date(2026, 10, 2, 0, 0, 0, 0, time.UTC)

func plain() settings {
	return settings{Exporters: []string{"A", "B", "C", "D"}, Active: time.Minute, Inactive: 15 * time.Second, Sampling: 128, PacketSampling: 1}
}

func fresh(seed uint64) *state {
	return &state{Seed: seed, Now: friday, Routers: map[string]export.State{}, Ports: map[string]uint16{}}
}

// live lets some days pass and returns the scenario for its truth.
func live(t testing.TB, o settings, st *state, out output, length time.Duration) *scenario {
	t.Helper()
	c, err := newScenario(o, st, out, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.runTo(context.Background(), st.Now.Add(length)); err != nil {
		t.Fatal(err)
	}
	return c
}

func strike(t testing.TB, o settings, st *state, out output, attacks string) *scenario {
	t.Helper()
	c, err := newScenario(o, st, out, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.attack(context.Background(), strings.Split(attacks, ",")); err != nil {
		t.Fatal(err)
	}
	return c
}

func sums(d *decoder) map[string]site.Traffic {
	m := map[string]site.Traffic{}
	for _, r := range d.records {
		s := m[r.router]
		s.Packets += r.packets
		s.Octets += r.octets
		m[r.router] = s
	}
	return m
}

func TestScenario_UnsampledRecordsAddUpToThePackets(t *testing.T) {
	for name, change := range map[string]func(*settings){
		"one record per direction": func(*settings) {},
		"biflows":                  func(o *settings) { o.Biflow = true },
		"routers that overlap":     func(o *settings) { o.Overlap = true },
		"short timeouts":           func(o *settings) { o.Active, o.Inactive = 7*time.Second, 2*time.Second },
	} {
		t.Run(name, func(t *testing.T) {
			o, d := plain(), newDecoder(t)
			change(&o)
			c := live(t, o, fresh(1), d, 20*time.Hour)
			got := sums(d)
			for _, router := range []string{"A", "B", "C"} {
				if want := c.sim.Shown()[router]; got[router] != want || want.Packets == 0 {
					t.Errorf("exporter %s: records hold %+v, devices sent %+v", router, got[router], want)
				}
			}
		})
	}
}

func TestScenario_BiflowHalvesTheRecordsOfTheFirewall(t *testing.T) {
	one, two := plain(), plain()
	two.Biflow = true
	uni := live(t, one, fresh(1), newDecoder(t), 6*time.Hour).exporters["B"].Stats().Records
	bi := live(t, two, fresh(1), newDecoder(t), 6*time.Hour).exporters["B"].Stats().Records
	if bi > uni*6/10 || bi < uni*5/10 {
		t.Errorf("%d biflows stand for %d records, want about half", bi, uni)
	}
}

func TestScenario_RecordsRespectTimeoutsAndExportTime(t *testing.T) {
	o, d := plain(), newDecoder(t)
	live(t, o, fresh(1), d, 20*time.Hour)
	long := 0
	for _, r := range d.records {
		length := r.end - r.start
		if length < 0 || length > o.Active.Milliseconds() {
			t.Fatalf("record %+v lasts %d ms, want 0 to %d", r, length, o.Active.Milliseconds())
		}
		if length > o.Active.Milliseconds()*9/10 {
			long++
		}
		// Idle flows wait for the timeout, then for company in the datagram.
		if late := r.exported - r.end; late < 0 || late > (o.Inactive+export.Delay+3*time.Second).Milliseconds() {
			t.Fatalf("record %+v was exported %d ms after its end", r, late)
		}
	}
	if long < 5000 { // two cameras stream all day
		t.Errorf("%d records near the active timeout, want thousands", long)
	}
}

func TestScenario_SequenceNumbersContinueFromLifeToAttack(t *testing.T) {
	d, st := newDecoder(t), fresh(1)
	live(t, plain(), st, d, 3*time.Hour)
	before := st.Now
	path := filepath.Join(t.TempDir(), "site.json")
	if err := st.save(path); err != nil {
		t.Fatal(err)
	}
	loaded, err := loadState(path)
	if err != nil {
		t.Fatal(err)
	}
	d.templates = map[string]netflow.NetFlowTemplateSystem{} // a collector started again has none
	strike(t, plain(), loaded, d, "odd-hour")                // the decoder fails on any gap
	if !loaded.Now.After(before) {
		t.Errorf("virtual time is %s, want later than %s", loaded.Now, before)
	}
}

func TestScenario_EqualSeedsGiveEqualDatagrams(t *testing.T) {
	run := func(seed uint64) string {
		d, st := newDecoder(t), fresh(seed)
		d.keep = true
		live(t, plain(), st, d, 2*time.Hour)
		strike(t, plain(), st, d, "odd-hour")
		return d.log.String()
	}
	one, again, other := run(1), run(1), run(2)
	if one != again {
		t.Error("two runs of one seed differ")
	}
	if one == other {
		t.Error("runs of two seeds are equal")
	}
}

func TestScenario_SFlowSamplesEstimateTheTruth(t *testing.T) {
	o, d := plain(), newDecoder(t)
	o.Sampling = 50
	c := live(t, o, fresh(1), d, 24*time.Hour)
	truth := c.sim.Shown()["D"]
	n := float64(len(d.samples))
	estimate, sigma := n*50, 50*math.Sqrt(n)
	if math.Abs(estimate-float64(truth.Packets)) > 4*sigma {
		t.Errorf("%v samples stand for %v packets, want %d within %v", n, estimate, truth.Packets, 4*sigma)
	}
	octets, squares, pools := 0.0, 0.0, map[uint32]uint32{}
	for _, s := range d.samples {
		octets += 50 * float64(s.size)
		squares += 2500 * float64(s.size) * float64(s.size)
		if s.rate != 50 {
			t.Fatalf("sampling rate %d, want 50", s.rate)
		}
		if s.pool <= pools[s.source] {
			t.Fatalf("sample pool of source %d went from %d to %d", s.source, pools[s.source], s.pool)
		}
		if want := max(64, uint32(s.size)+18); s.frame != want {
			t.Fatalf("frame of %d octets for a packet of %d, want %d", s.frame, s.size, want)
		}
		pools[s.source] = s.pool
	}
	if math.Abs(octets-float64(truth.Octets)) > 4*math.Sqrt(squares) {
		t.Errorf("samples stand for %v octets, want %d within %v", octets, truth.Octets, 4*math.Sqrt(squares))
	}
	pool := uint64(0)
	for _, p := range c.exporters["D"].State().Sources {
		pool += uint64(p.Pool)
	}
	if pool != truth.Packets {
		t.Errorf("sample pools sum to %d packets, want %d", pool, truth.Packets)
	}
	if want := 24 * 60 * len(site.Interfaces("D")); d.counters != want {
		t.Errorf("%d counter samples, want %d", d.counters, want)
	}
}

func TestScenario_PacketSamplingIsAnnouncedAndEstimatesTheTruth(t *testing.T) {
	o, d := plain(), newDecoder(t)
	o.PacketSampling = 20
	c := live(t, o, fresh(1), d, 12*time.Hour)
	for router, s := range sums(d) {
		truth := float64(c.sim.Shown()[router].Packets)
		if got := 20 * float64(s.Packets); math.Abs(got-truth) > 4*20*math.Sqrt(float64(s.Packets)) {
			t.Errorf("exporter %s: sampled packets stand for %v, want %v", router, got, truth)
		}
	}
	if d.rates["A"] != 20 || d.rates["B"] != 20 {
		t.Errorf("options tell rates %v, want 20 of A and B", d.rates)
	}
	for _, r := range d.records {
		if r.router == "C" && r.sampling != 2<<14|20 {
			t.Fatalf("v5 header tells sampling %#x, want random 1 in 20", r.sampling)
		}
	}
}

func TestScenario_DevicesThatAreOffAreSilent(t *testing.T) {
	d := newDecoder(t)
	live(t, plain(), fresh(1), d, 4*24*time.Hour) // Friday to Monday
	for _, device := range site.Devices() {
		if device.Powered.Weekday == "" || device.Exporter == "D" {
			continue
		}
		seen := 0
		for _, r := range d.records {
			if r.src != device.Address() && r.dst != device.Address() {
				continue
			}
			seen++
			for _, ms := range []int64{r.start, r.end} {
				if device.Powered.Weight(ms*1e6) == 0 {
					t.Fatalf("%s is off at %s, and yet: %+v", device.Name, time.UnixMilli(ms).UTC(), r)
				}
			}
		}
		if seen == 0 {
			t.Errorf("%s never says anything", device.Name)
		}
	}
}

func TestScenario_LabelsMatchTheRecords(t *testing.T) {
	var names []string
	for _, a := range site.Attacks() {
		switch a.Name {
		case "theft", "ramp", "slow-scan", "lateral", "spoof": // no packets of their own, days long, or no port to know them by
		default:
			names = append(names, a.Name)
		}
	}
	d := newDecoder(t)
	c := strike(t, plain(), fresh(1), d, strings.Join(names, ","))
	seen := map[string]bool{}
	for _, l := range c.sim.Labels() {
		seen[l.Attack] = true
		device, peer := netip.MustParseAddr(l.IP), netip.MustParseAddr(l.Peer)
		var got site.Traffic
		for _, r := range d.records {
			other := r.dst
			if other == device {
				other = r.src
			}
			served := min(r.port, r.srcPort)
			portFits := l.Port == served || l.Port == 0 && (served == 22 || served == 23 || served == 2323)
			if r.router != l.Exporter || r.src != device && r.dst != device || r.proto != l.Protocol || !portFits ||
				l.Peers == 1 && other != peer || r.end < l.Start.UnixMilli() || r.start > l.End.UnixMilli() {
				continue
			}
			got.Packets += r.packets
			got.Octets += r.octets
			if denied := l.Attack == "refused-access" && l.Exporter == "B"; denied != (r.event == 3) {
				t.Errorf("%s: record with firewallEvent %d: %+v", l.Attack, r.event, r)
			}
		}
		switch {
		case l.Attack == "volume", l.Attack == "dns-tunnel": // its peer is the device's own cloud, which it also talks to as usual
			if got.Octets < l.Octets || got.Octets > l.Octets*11/10 {
				t.Errorf("%s: records hold %+v, label says %+v and little else", l.Attack, got, l.Traffic)
			}
		case got != l.Traffic || got.Packets == 0:
			t.Errorf("%s on %s: records hold %+v, label says %+v", l.Attack, l.Device, got, l.Traffic)
		}
	}
	for _, name := range names {
		if !seen[name] {
			t.Errorf("attack %s has no label", name)
		}
	}
}

func TestScenario_IntensityScalesAnAttack(t *testing.T) {
	octets := func(spec string) float64 {
		c := strike(t, plain(), fresh(1), newDecoder(t), spec)
		return float64(c.sim.Labels()[0].Octets)
	}
	if ratio := octets("volume:4") / octets("volume"); ratio < 3.5 || ratio > 4.5 {
		t.Errorf("volume:4 sends %.1f times what volume does, want about 4", ratio)
	}
}

func TestScenario_AttackIsAnswerableToItsArguments(t *testing.T) {
	o := plain()
	o.Exporters = []string{"A"}
	for spec, want := range map[string]string{
		"nap":                  "no such attack",
		"scan:zero":            "intensity",
		"scan:0":               "intensity",
		"scan@toaster":         "no device",
		"scan@thermostat":      "switched off",
		"refused-access@nvr":   "devices of its own",
		"new-service":          "switched off",
		"scan:NaN@cam-yard":    "intensity",
		"scan:1e9@cam-yard":    "intensity",
		"":                     "no such attack",
		"scan@cam-yard@nvr":    "no device",
		"scan:2:3@cam-yard":    "intensity",
		"odd-hour@pc-anna":     "switched off",
		"beacon:1@plug-coffee": "switched off",
	} {
		c, err := newScenario(o, fresh(1), newDecoder(t), io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.attack(context.Background(), []string{spec}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("attack %q: error %v, want one with %q", spec, err, want)
		}
	}
}

func TestLoadState_RefusesWhatLifeDidNotWrite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.json")
	if _, err := loadState(path); err == nil || !strings.Contains(err.Error(), "sitesim life") {
		t.Errorf("missing file: %v, want a hint", err)
	}
	for _, content := range []string{"", "{", "{}", `{"now":"2026-10-01T00:00:00Z"}`} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := loadState(path); err == nil {
			t.Errorf("state %q is accepted", content)
		}
	}
}

func TestPcapOutput_HoldsTheSameDatagrams(t *testing.T) {
	d := newDecoder(t)
	d.keep = true
	live(t, plain(), fresh(1), d, time.Hour)

	path := filepath.Join(t.TempDir(), "site.pcap")
	to := map[string]netip.AddrPort{}
	for _, r := range site.Routers() {
		to[r.Name] = netip.MustParseAddrPort("127.0.0.1:2055")
	}
	out, err := createPcap(path, to)
	if err != nil {
		t.Fatal(err)
	}
	live(t, plain(), fresh(1), out, time.Hour)
	if err := out.close(); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := pcapgo.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	again := newDecoder(t)
	again.keep = true
	last := friday
	for {
		b, info, err := r.ReadPacketData()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if info.Timestamp.Before(last) {
			t.Fatalf("packet of %s after one of %s", info.Timestamp, last)
		}
		last = info.Timestamp
		p := gopacket.NewPacket(b, layers.LinkTypeEthernet, gopacket.NoCopy)
		ip, udp := p.Layer(layers.LayerTypeIPv4).(*layers.IPv4), p.Layer(layers.LayerTypeUDP).(*layers.UDP)
		for _, router := range site.Routers() {
			if router.Agent == ip.SrcIP.String() {
				if err := again.send(router.Name, export.Datagram{At: last.UnixNano(), Payload: udp.Payload, Records: unknown}); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	if d.log.String() != again.log.String() || d.log.Len() == 0 {
		t.Error("capture and direct run differ")
	}
}

func TestReport_IsOneObjectOfJSON(t *testing.T) {
	path := filepath.Join(t.TempDir(), "site.pcap")
	var stdout strings.Builder
	a := app()
	a.Writer, a.ErrWriter = &stdout, io.Discard
	if err := a.Run([]string{"sitesim", "run", "--pcap", path, "--days", "0.1", "--attacks", "odd-hour"}); err != nil {
		t.Fatal(err)
	}
	var r report
	if err := json.Unmarshal([]byte(stdout.String()), &r); err != nil {
		t.Fatalf("stdout %q: %v", stdout.String(), err)
	}
	if r.Records == 0 || len(r.Exporters) != 4 || len(r.Attacks) == 0 || !r.End.After(r.Start) {
		t.Errorf("report %+v is missing something", r)
	}
}
