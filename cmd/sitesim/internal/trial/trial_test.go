package trial

import (
	"bytes"
	"net/netip"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
	"github.com/netsampler/goflow2/v2/decoders/netflow"

	"tidemark/cmd/sitesim/internal/export"
	"tidemark/cmd/sitesim/internal/packet"
	"tidemark/cmd/sitesim/internal/site"
)

var start = time.Date(2026, 9, 7, 0, 0, 0, 0, time.UTC)

func plain() Config {
	t := Tap{Protocol: export.NetFlow9, Sampling: 1, Active: 5 * time.Minute, Inactive: 15 * time.Second}
	return Config{Seed: 1, Devices: 50, Start: start, Length: 12 * time.Hour, Taps: map[string]Tap{"A": t, "B": t, "C": t, "D": t}}
}

func write(t *testing.T, c Config) *Truth {
	t.Helper()
	truth, err := Write(t.Context(), c, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return truth
}

// seen is what a capture of NetFlow v9 holds, as goflow2 reads it.
type seen struct {
	addresses map[netip.Addr]uint64 // records by source
	macs      int
	records   uint64
	last      time.Time
	first     time.Time
}

func read(t *testing.T, file string) (s seen) {
	t.Helper()
	s.addresses = map[netip.Addr]uint64{}
	systems := map[string]netflow.NetFlowTemplateSystem{}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	r, err := pcapgo.NewReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	for {
		b, info, err := r.ReadPacketData()
		if err != nil {
			return s
		}
		if s.first.IsZero() {
			s.first = info.Timestamp
		}
		s.last = info.Timestamp
		p := gopacket.NewPacket(b, layers.LinkTypeEthernet, gopacket.NoCopy)
		agent := p.Layer(layers.LayerTypeIPv4).(*layers.IPv4).SrcIP.String()
		if systems[agent] == nil {
			systems[agent] = netflow.CreateTemplateSystem()
		}
		var m netflow.NFv9Packet
		if err := netflow.DecodeMessageVersion(bytes.NewBuffer(p.Layer(layers.LayerTypeUDP).(*layers.UDP).Payload), systems[agent], &m, nil); err != nil {
			t.Fatalf("%s of %s: %v", file, agent, err)
		}
		for _, set := range m.FlowSets {
			data, ok := set.(netflow.DataFlowSet)
			if !ok {
				continue
			}
			for _, record := range data.Records {
				s.records++
				for _, v := range record.Values {
					switch raw, _ := v.Value.([]byte); v.Type {
					case 8:
						a, _ := netip.AddrFromSlice(raw)
						s.addresses[a]++
					case 56:
						s.macs++
					}
				}
			}
		}
	}
}

func TestWrite_EqualSeedsGiveEqualCaptures(t *testing.T) {
	c := plain()
	c.Length = 3 * time.Hour
	c.Episodes = []Timed{{"power-cut", time.Hour}, {"exporter-reboot", 2 * time.Hour}}
	c.Strikes = []Strike{{Attack: "scan", Level: 1, At: time.Hour}}
	one, two := write(t, c), write(t, c)
	a, _ := os.ReadFile(one.Slices[0].File)
	b, _ := os.ReadFile(two.Slices[0].File)
	if !bytes.Equal(a, b) || len(a) < 1000 {
		t.Error("two runs of one seed differ")
	}
	one.Slices, two.Slices = nil, nil
	if !reflect.DeepEqual(one, two) {
		t.Error("the truths of two runs of one seed differ")
	}
}

func TestWrite_EveryDeviceIsSeenAndCounted(t *testing.T) {
	truth := write(t, plain())
	got := read(t, truth.Slices[0].File)
	if got.records != truth.Records || got.records == 0 {
		t.Errorf("capture holds %d records, truth says %d", got.records, truth.Records)
	}
	for _, d := range truth.Devices {
		if got.addresses[netip.MustParseAddr(d.Addresses[0])] == 0 && d.Class != "router" { // the gateway has one in every network
			t.Errorf("%s never sends anything", d.Name)
		}
	}
}

// Each slice is replayed by a collector that knows nothing of those before.
func TestWrite_SlicesEndWhereTheyShouldAndCanBeReadAlone(t *testing.T) {
	c := plain()
	c.Cuts = []time.Duration{4 * time.Hour, 4*time.Hour + time.Second, 8 * time.Hour}
	truth := write(t, c)
	if len(truth.Slices) != 4 {
		t.Fatalf("%d slices, want 4", len(truth.Slices))
	}
	before, records := start, uint64(0)
	for i, s := range truth.Slices {
		got := read(t, s.File)
		records += got.records
		if got.first.IsZero() {
			continue
		}
		if got.first.Before(before) || !got.last.Before(s.End) && i < 3 {
			t.Errorf("slice %d holds datagrams from %s to %s, want from %s to before %s", i, got.first, got.last, before, s.End)
		}
		before = s.End
	}
	if records != truth.Records {
		t.Errorf("the slices hold %d records, %d were sent", records, truth.Records)
	}
}

func TestWrite_MissingFieldsAreMissing(t *testing.T) {
	c := plain()
	c.Length = time.Hour
	for name, tap := range c.Taps {
		tap.NoMAC = true
		c.Taps[name] = tap
	}
	if got := read(t, write(t, c).Slices[0].File); got.macs != 0 || got.records == 0 {
		t.Errorf("%d MAC addresses in %d records, want none", got.macs, got.records)
	}
}

func TestWrite_NATHidesWhoIsBehindIt(t *testing.T) {
	c := plain()
	for name, tap := range c.Taps {
		tap.NAT = name == "D"
		c.Taps[name] = tap
	}
	truth := write(t, c)
	got := read(t, truth.Slices[0].File)
	if got.addresses[netip.MustParseAddr("10.20.250.4")] == 0 {
		t.Error("nothing comes from the address of the translator")
	}
	for _, d := range truth.Devices {
		if d.Seen != (d.Exporter != "D") {
			t.Errorf("%s behind %s: seen is %v", d.Name, d.Exporter, d.Seen)
		}
	}
}

func TestWrite_HappeningsTouchWhomTheySay(t *testing.T) {
	for _, h := range append(site.Happenings(), [2]string{"exporter-reboot"}, [2]string{"sampling-change"}) {
		c := plain()
		c.Length, c.Episodes = 3*time.Hour, []Timed{{h[0], 2 * time.Hour}}
		truth := write(t, c)
		if len(truth.Episodes) != 1 || len(truth.Episodes[0].Devices) == 0 || truth.Episodes[0].What != h[0] {
			t.Errorf("%s: episodes %+v, want one that touches some device", h[0], truth.Episodes)
		}
		if read(t, truth.Slices[0].File).records == 0 {
			t.Errorf("%s: no records", h[0])
		}
	}
}

func TestWrite_EveryAttackLeavesTraces(t *testing.T) {
	for _, a := range site.Attacks() {
		if a.Levels == [5]float64{} {
			continue
		}
		c := plain()
		c.Length = 4 * time.Hour
		c.Strikes = []Strike{{Attack: a.Name, Level: 1, At: 3 * time.Hour}}
		truth := write(t, c)
		got := truth.Attacks[0]
		if quiet := a.Name == "theft" || a.Name == "ramp"; quiet != (got.Packets == 0) || got.Device == "" || !got.Start.Equal(start.Add(3*time.Hour)) || !quiet && (got.Exported.Before(got.Start) || got.Exported.After(got.Start.Add(time.Hour))) {
			t.Errorf("%s: %+v", a.Name, got)
		}
	}
}

func TestWrite_TooManyStrikesForASiteFail(t *testing.T) {
	c := plain()
	c.Devices = 30
	for range 60 {
		c.Strikes = append(c.Strikes, Strike{Attack: "plc-write", Level: 1})
	}
	if _, err := Write(t.Context(), c, t.TempDir()); err == nil || !strings.Contains(err.Error(), "too small") {
		t.Errorf("error %v, want one that says the site is too small", err)
	}
}

func TestExport_KeepsEveryPacket(t *testing.T) {
	var trains []packet.Train
	for i := range 1000 {
		trains = append(trains, packet.Train{
			Key: packet.Key{Src: netip.MustParseAddr("192.168.1.2"), Dst: netip.MustParseAddr("203.0.113.7"), SrcPort: uint16(i), DstPort: 80, Proto: packet.TCP, In: 1},
			At:  start.UnixNano() + int64(i)*int64(time.Second), Count: 1, Size: 40, Out: 100,
		})
	}
	file := t.TempDir() + "/x.pcap"
	n, err := Export(file, Tap{Protocol: export.NetFlow9, Active: time.Minute, Inactive: 15 * time.Second}, trains)
	if err != nil || n != 1000 {
		t.Fatalf("exported %d records, error %v, want 1000", n, err)
	}
	if got := read(t, file); got.records != 1000 {
		t.Errorf("capture holds %d records, want 1000", got.records)
	}
}
