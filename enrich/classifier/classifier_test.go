package classifier_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/rs/zerolog"

	"tidemark/collector"
	"tidemark/collector/flow"
	"tidemark/enrich"
	"tidemark/enrich/classifier"
	"tidemark/enrich/kind"
	"tidemark/enrich/names"
	"tidemark/profile/aggregate"
	"tidemark/storage"
	"tidemark/storage/storagetest"
)

const testLog = 0x00aa_0000_0000_0001

// capture returns the path of a real capture, which stands beside the project.
func capture(t *testing.T, name string) string {
	t.Helper()
	dir := os.Getenv("TIDEMARK_CAPTURES")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared", "captures")
	}
	path := filepath.Join(dir, name)
	if _, err := os.Stat(path); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("captures are needed here: %v", err)
		}
		t.Skipf("no capture: %v; set TIDEMARK_CAPTURES to the directory of captures", err)
	}
	return path
}

// site is a database fed with exports.
type site struct {
	t        *testing.T
	db       *storage.DB
	enricher *enrich.Enricher
	batch    flow.Batch
	index    uint64
	maker    *aggregate.Maker
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{t: t, db: storagetest.Open(t), maker: aggregate.New()}
	var err error
	if s.enricher, err = enrich.New(enrich.Config{Site: "home"}); err != nil {
		t.Fatal(err)
	}
	return s
}

// replay stores captures of exports in one batch per file.
func (s *site) replay(files ...string) {
	s.t.Helper()
	c, err := collector.New(collector.Config{
		Exporters: []collector.ExporterConfig{{Address: collector.Network{Prefix: netip.MustParsePrefix("0.0.0.0/0")}, Clock: collector.AsExported}},
	}, collector.Deps{
		Log: zerolog.Nop(),
		Handle: func(_ context.Context, b *flow.Batch) error {
			s.batch.Append(b, 0, b.Len())
			return nil
		},
	})
	if err != nil {
		s.t.Fatal(err)
	}
	if _, err := c.Replay(s.t.Context(), collector.ReplayOptions{Files: files}); err != nil {
		s.t.Fatal(err)
	}
	s.commit()
}

func (s *site) commit() {
	s.t.Helper()
	for i := range s.batch.Len() {
		s.batch.TimeReceived[i] = time.Now().UnixNano() // or TTLs would take the aggregates
	}
	s.enricher.Apply(&s.batch)
	if err := s.db.InsertFlows(s.t.Context(), testLog, "home", s.index, &s.batch); err != nil {
		s.t.Fatal(err)
	}
	for _, b := range s.maker.Blocks(testLog, "home", s.index, &s.batch) {
		if err := s.db.InsertBlock(s.t.Context(), b.Table, storage.FlowsToken(testLog, s.index), b.Data); err != nil {
			s.t.Fatal(err)
		}
	}
	s.index++
	s.batch.Reset()
}

func (s *site) classifier(change func(*classifier.Config)) *classifier.Classifier {
	s.t.Helper()
	rules, err := kind.Default()
	if err != nil {
		s.t.Fatal(err)
	}
	c := classifier.Config{Site: "home", Rules: rules, Vendor: enrich.Vendor}
	if change != nil {
		change(&c)
	}
	return classifier.New(s.db, c)
}

// update classifies until nothing is due.
func update(t *testing.T, c *classifier.Classifier) (n int) {
	t.Helper()
	for {
		done, err := c.Update(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if n += done; done == 0 {
			return n
		}
	}
}

// TestClassifier_RealDevices: devices of the captures as softflowd exported them
// over days, and pmacct in sFlow. What is said is right; much is left unsaid.
func TestClassifier_RealDevices(t *testing.T) {
	tests := []struct {
		file string
		mac  uint64 // 0: the export shows none, the address tells
		addr string
		iot  kind.IoT
		kind []string // any of these is right
	}{
		{"blink-cam-01.softflowd-v9-ether-300s", 0xf4b85e68_8f1d, "192.168.1.129", kind.IsIoT, []string{"", "camera"}},
		{"blink-cam-03.softflowd-v5-300s", 0, "192.168.1.126", kind.IsIoT, []string{"", "camera"}},
		{"schlage-lock-01.softflowd-ipfix-biflow-300s", 0x78db2fdb4348, "192.168.1.122", kind.IsIoT, []string{"", "lock"}},
		{"sifely-hub-01.softflowd-ipfix-ether-300s", 0xf4cfa2eb59c4, "192.168.1.127", kind.IsIoT, []string{"", "smart-home", "lock"}},
		{"ultraloq-hub-01.softflowd-v9-ether-300s", 0xa4cf12325b88, "192.168.1.125", kind.IsIoT, []string{"", "smart-home", "lock"}},
	}
	for _, tt := range tests {
		t.Run(tt.file, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			s.replay(capture(t, filepath.Join("iot", "generated", tt.file+".pcap")))
			c := s.classifier(nil)
			if n := update(t, c); n == 0 {
				t.Fatal("no device was classified")
			}
			kinds, err := c.Kinds(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			id := enrich.DeviceByAddress("home", 0, netip.AddrFrom16(netip.MustParseAddr(tt.addr).As16()).As16())
			if tt.mac != 0 {
				id = s.deviceOf(tt.addr)
			}
			k, ok := kinds[id]
			if !ok || k.IoT != tt.iot || !slices.Contains(tt.kind, k.Kind) || k.Since.IsZero() {
				t.Errorf("got %+v, want %s and kind %q", k, tt.iot, tt.kind)
			}
			if v, f, err := c.Why(t.Context(), id); err != nil || v.Kind != k.Kind || len(v.Terms) == 0 || len(f.Services) == 0 {
				t.Errorf("why: %+v, %+v, %v", v, f, err)
			}
		})
	}
}

// deviceOf finds the device that has an address and a MAC.
func (s *site) deviceOf(addr string) (id uint64) {
	s.t.Helper()
	row := s.db.Conn().QueryRow(s.t.Context(), "SELECT any(device) FROM devices WHERE has(addresses, toIPv6({a:String})) AND identity = 'mac'", clickhouse.Named("a", addr))
	if err := row.Scan(&id); err != nil {
		s.t.Fatal(err)
	}
	return id
}

// camera stores a day of a camera that serves video to a recorder.
func (s *site) camera(day time.Time) (id uint64) {
	const mac, dmac = 0x00408c000001, 0x00155d000002
	for i := range 200 {
		at := day.Add(time.Duration(i) * 7 * time.Minute).UnixNano()
		for half := range 2 {
			b := &s.batch
			r := b.NextRow()
			b.Protocol[r], b.Proto[r], b.SamplingRate[r] = flow.NetFlowV9, 6, 1
			b.SamplerAddress[r] = netip.MustParseAddr("192.0.2.1").As16()
			from, to, sport, dport := "10.0.0.9", "10.0.0.2", uint16(40000+i), uint16(554)
			b.SrcMAC[r], b.DstMAC[r] = dmac, mac
			if half == 1 {
				from, to, sport, dport = to, from, dport, sport
				b.SrcMAC[r], b.DstMAC[r] = mac, dmac
			}
			b.SrcAddr[r], b.DstAddr[r], b.SrcPort[r], b.DstPort[r] = netip.MustParseAddr(from).As16(), netip.MustParseAddr(to).As16(), sport, dport
			b.Bytes[r], b.Packets[r], b.TCPFlags[r] = 4000, 20, 0x1b
			b.Presence[r] = flow.HasBytes | flow.HasPackets | flow.HasStart | flow.HasEnd | flow.HasTCPFlags | flow.HasSrcMAC | flow.HasDstMAC
			b.Quality[r] = flow.AsExported
			b.TimeFlowStart[r], b.TimeFlowEnd[r], b.ExportTime[r] = at+int64(half)*1e7, at+1e9, at+1e9
			b.EndRow()
		}
	}
	s.commit()
	return enrich.DeviceByMAC("home", mac)
}

// TestClassifier_VendorOfADeviceThatAnotherExporterShowsWithoutMAC: most records of
// the camera are of a router that exports no MACs.
func TestClassifier_VendorOfADeviceThatAnotherExporterShowsWithoutMAC(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	day := time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)
	id := s.camera(day)
	for i := range 1000 {
		b := &s.batch
		r := b.NextRow()
		at := day.Add(time.Duration(i) * time.Minute).UnixNano()
		b.Protocol[r], b.Proto[r], b.SamplingRate[r], b.SamplerAddress[r] = flow.NetFlowV9, 6, 1, netip.MustParseAddr("192.0.2.2").As16()
		b.SrcAddr[r], b.DstAddr[r], b.SrcPort[r], b.DstPort[r] = netip.MustParseAddr("10.0.0.2").As16(), netip.MustParseAddr("198.51.100.7").As16(), uint16(30000+i), 443
		b.Bytes[r], b.Packets[r], b.TCPFlags[r] = 4000, 20, 0x1b
		b.Presence[r] = flow.HasBytes | flow.HasPackets | flow.HasStart | flow.HasEnd | flow.HasTCPFlags
		b.Quality[r], b.TimeFlowStart[r], b.TimeFlowEnd[r], b.ExportTime[r] = flow.AsExported, at, at+1e9, at+1e9
		b.EndRow()
	}
	s.commit()
	_, f, err := s.classifier(nil).Why(t.Context(), id)
	if err != nil || f.Vendor == "" || f.Behaviour.Flows < 1000 {
		t.Errorf("vendor %q of %.0f flows, %v; want whose MAC it is", f.Vendor, f.Behaviour.Flows, err)
	}
}

// TestClassifier_PeopleDecideAgainstTheRules: a decision is recorded first, holds
// when the device is classified again, and can be taken back.
func TestClassifier_PeopleDecideAgainstTheRules(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	day := time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)
	id := s.camera(day)
	var events []string
	var refuse error
	c := s.classifier(func(c *classifier.Config) {
		c.Record = func(_ context.Context, actor string, body map[string]any) error {
			events = append(events, actor+" "+body["device_kind"].(string)+" "+body["reason"].(string))
			return refuse
		}
	})
	is := func(want, actor string) {
		t.Helper()
		update(t, c)
		kinds, err := c.Kinds(t.Context(), []uint64{id})
		if err != nil {
			t.Fatal(err)
		}
		if k := kinds[id]; k.Kind != want || k.Actor != actor {
			t.Errorf("got %+v, want kind %q by %q", k, want, actor)
		}
	}
	is("camera", "")
	if err := c.Decide(t.Context(), id, "no-such-kind", "eve", "x", day); err == nil || len(events) > 0 {
		t.Errorf("an unknown kind: %v, events %v", err, events)
	}
	refuse = errors.New("ledger is full")
	if err := c.Decide(t.Context(), id, "medical", "ann", "a monitor", day); !errors.Is(err, refuse) {
		t.Errorf("got %v, want the fault of the ledger", err)
	}
	is("camera", "")
	refuse = nil
	if err := c.Decide(t.Context(), id, "medical", "ann", "a monitor", day.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	is("medical", "ann")
	s.camera(day.AddDate(0, 0, 1)) // more of the same: the rules are asked again
	is("medical", "ann")
	if err := c.Decide(t.Context(), id, "", "ann", "a mistake", day.Add(2*time.Hour)); err != nil {
		t.Fatal(err)
	}
	is("camera", "")
	if len(events) != 3 {
		t.Errorf("events %q", events)
	}
}

// TestClassifier_ClassifiesWhatIsDue: once per device, again when a quarter of
// its life has passed, and when the rules change.
func TestClassifier_ClassifiesWhatIsDue(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	day := time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)
	s.camera(day)
	c := s.classifier(nil)
	devices := update(t, c)
	if again := update(t, c); devices == 0 || again != 0 {
		t.Errorf("classified %d devices, then %d with nothing new", devices, again)
	}
	s.camera(day.AddDate(0, 0, 3))
	if again := update(t, c); again != devices {
		t.Errorf("classified %d devices after three days more, want %d", again, devices)
	}
	own := s.classifier(func(c *classifier.Config) {
		var err error
		if c.Rules, err = c.Rules.With("own", []byte("disable: [serves-rtsp, vendor-camera]")); err != nil {
			t.Fatal(err)
		}
	})
	if again := update(t, own); again != devices {
		t.Errorf("classified %d devices by other rules, want %d", again, devices)
	}
}

// TestClassifier_NamesAreOfTheStation: what a station asks for is a fact of its
// device, by MAC; names of shared addresses are nobody's.
func TestClassifier_NamesAreOfTheStation(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	id := s.camera(time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC))
	book, err := names.New(s.db, names.Config{Site: "home", Inside: func(a netip.Addr) bool { return a.IsPrivate() }})
	if err != nil {
		t.Fatal(err)
	}
	ask := func(mac uint64, from, host string) {
		book.Observe(&names.Packet{
			Received: time.Now().UnixNano(), Src: netip.MustParseAddr(from).As16(), Dst: netip.MustParseAddr("198.51.100.1").As16(),
			SrcMAC: mac, TCP: true, SrcPort: 40000, DstPort: 80, Payload: []byte("GET / HTTP/1.1\r\nHost: " + host + "\r\n\r\n"),
		})
	}
	ask(0x00408c000001, "10.0.0.2", "eu.axis.com")
	ask(0x00408c000001, "10.0.0.2", "eu.axis.com")
	ask(0x00155d000002, "10.0.0.9", "www.example.org")
	ask(0x00155d000003, "198.51.100.9", "outside.example.org") // no host of the site
	if err := book.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	c := s.classifier(nil)
	_, f, err := c.Why(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(f.Domains, []string{"eu.axis.com"}) || len(f.Hints) != 1 || f.Hints[0].Seen != 2 {
		t.Errorf("got domains %q, hints %+v", f.Domains, f.Hints)
	}
	_, f, err = s.classifier(func(c *classifier.Config) { c.Without = []string{"names", "vendor"} }).Why(t.Context(), id)
	if err != nil || len(f.Domains) != 0 || f.Vendor != "" {
		t.Errorf("without names and vendors: %+v, %v", f, err)
	}
}

// TestClassifier_ReverseNamesAreNoEvidence: whoever has an address decides what it
// is called; a device is not a camera because its peer says so.
func TestClassifier_ReverseNamesAreNoEvidence(t *testing.T) {
	s := newSite(t)
	id := s.camera(time.Date(2026, 11, 2, 0, 0, 0, 0, time.UTC))
	exec := func(statement string) {
		t.Helper()
		if err := s.db.Conn().Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	exec(fmt.Sprintf("INSERT INTO edges (device, role, scope, peer, proto, port, day, received, observer, peer_addr, flows) SELECT %d, 'client', 'wan', 7, 6, 443, today(), today(), 1, toIPv6('::ffff:198.51.100.1'), 5", id))
	c := s.classifier(nil)
	for _, tt := range []struct {
		source  string
		domains int
	}{{"reverse", 0}, {"dns", 1}} {
		exec("INSERT INTO names (site, addr, name, source, received, first, last, seen) SELECT 'home', toIPv6('::ffff:198.51.100.1'), 'cloud.axis.com', '" + tt.source + "', today(), now(), now(), 1")
		facts, err := c.Facts(t.Context(), []uint64{id})
		if err != nil {
			t.Fatal(err)
		}
		f := facts[id]
		if len(f.Domains) != tt.domains || !slices.ContainsFunc(f.Hints, func(h classifier.Hint) bool { return h.Value == "cloud.axis.com" }) {
			t.Errorf("by %s: domains %q, hints %+v; want %d domains, and it shown", tt.source, f.Domains, f.Hints, tt.domains)
		}
	}
}
