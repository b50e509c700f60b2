package profile_test

import (
	"context"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"tidemark/collector/flow"
	"tidemark/enrich"
	"tidemark/profile"
	"tidemark/profile/aggregate"
	"tidemark/storage"
	"tidemark/storage/storagetest"
)

const (
	testLog = 0x00aa_0000_0000_0001
	camera  = 0x0040_8c00_0001 // Axis
	sensor  = 0x240a_c400_0002 // Espressif
	router  = 0x001c_7f53_d028
)

var monday = time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)

// site is a database with flows of a small site, and what was emitted.
type site struct {
	*profile.Scorer
	t      *testing.T
	db     *storage.DB
	enrich *enrich.Enricher
	index  uint64
	batch  *flow.Batch
	// committed, if not nil, is called after each commit
	committed func()
	// received is the receipt of every record: today, or TTLs would take the aggregates
	received time.Time

	mu     sync.Mutex
	events []profile.Event
}

func newSite(t *testing.T, c profile.Config) *site {
	t.Helper()
	t.Parallel()
	s := &site{t: t, db: storagetest.Open(t), batch: &flow.Batch{}, received: time.Now()}
	var err error
	if s.enrich, err = enrich.New(enrich.Config{Site: "home"}); err != nil {
		t.Fatal(err)
	}
	s.open(c)
	return s
}

func (s *site) open(c profile.Config) {
	s.t.Helper()
	c.Site, c.Vendor, c.Service = "home", enrich.Vendor, enrich.ServiceName
	emit := func(_ context.Context, events ...profile.Event) error {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.events = append(s.events, events...)
		return nil
	}
	var err error
	if s.Scorer, err = profile.New(s.db, c, emit, zerolog.New(zerolog.NewTestWriter(s.t)).Level(zerolog.ErrorLevel)); err != nil {
		s.t.Fatal(err)
	}
}

// talk is a conversation: a request half and, if in > 0 packets came back, the
// reply half.
type talk struct {
	at         time.Time
	lasts      time.Duration
	from, to   string
	mac, dmac  uint64 // of from and to, 0 = not exported
	sport      uint16
	port       uint16
	proto      uint8
	out, in    uint64 // bytes
	flags      uint16 // of the request, default SYN|ACK|PSH|FIN
	replyFlags uint16
	firewall   uint8
	rate       uint32
	packets    uint64 // of each half, default one per 1000 bytes
	inPackets  uint64
}

func (s *site) add(talks ...talk) {
	for _, k := range talks {
		if k.proto == 0 {
			k.proto = 6
		}
		if k.sport == 0 {
			k.sport = uint16(40000 + len(s.batch.Protocol)%20000)
		}
		if k.flags == 0 {
			k.flags = 0x1b
		}
		if k.replyFlags == 0 {
			k.replyFlags = 0x1b
		}
		s.half(k, k.from, k.to, k.sport, k.port, k.mac, k.dmac, k.out, k.flags, 0)
		if k.in > 0 {
			s.half(k, k.to, k.from, k.port, k.sport, k.dmac, k.mac, k.in, k.replyFlags, 5*time.Millisecond)
		}
	}
}

func (s *site) half(k talk, src, dst string, sport, dport uint16, smac, dmac, bytes uint64, flags uint16, delay time.Duration) {
	b := s.batch
	i := b.NextRow()
	b.Protocol[i] = flow.NetFlowV9
	b.SamplerAddress[i] = netip.MustParseAddr("192.0.2.1").As16()
	b.SrcAddr[i], b.DstAddr[i] = netip.MustParseAddr(src).As16(), netip.MustParseAddr(dst).As16()
	b.SrcPort[i], b.DstPort[i], b.Proto[i] = sport, dport, k.proto
	packets := k.packets
	if src == k.to {
		packets = k.inPackets
	}
	if packets == 0 {
		packets = bytes/1000 + 1
	}
	b.Bytes[i], b.Packets[i] = bytes, packets
	b.SamplingRate[i] = max(k.rate, 1)
	b.FirewallEvent[i] = k.firewall
	b.Presence[i] = flow.HasBytes | flow.HasPackets | flow.HasStart | flow.HasEnd
	if k.proto == 6 {
		b.TCPFlags[i] = flags
		b.Presence[i] |= flow.HasTCPFlags
	}
	if smac != 0 {
		b.SrcMAC[i] = smac
		b.Presence[i] |= flow.HasSrcMAC
	}
	if dmac != 0 {
		b.DstMAC[i] = dmac
		b.Presence[i] |= flow.HasDstMAC
	}
	b.Quality[i] = flow.AsExported
	start := k.at.Add(delay)
	b.TimeFlowStart[i], b.TimeFlowEnd[i] = start.UnixNano(), start.Add(k.lasts).UnixNano()
	b.ExportTime[i] = b.TimeFlowEnd[i]
	b.TimeReceived[i] = s.received.UnixNano()
	b.EndRow()
}

// commit inserts what was added as one batch.
func (s *site) commit() {
	s.t.Helper()
	s.index++
	s.enrich.Apply(s.batch)
	s.insert()
	s.batch.Reset()
	if s.committed != nil {
		s.committed()
	}
}

// insert stores the batch and its aggregates, as the ledger does.
func (s *site) insert() {
	s.t.Helper()
	blocks, err := aggregate.New().Derive(storage.AppendFlowsBlock(nil, testLog, "home", s.index, s.batch))
	if err == nil {
		err = s.db.InsertFlows(s.t.Context(), testLog, "home", s.index, s.batch)
	}
	for i := 0; err == nil && i < len(blocks); i++ {
		err = s.db.InsertBlock(s.t.Context(), blocks[i].Table, storage.FlowsToken(testLog, s.index), blocks[i].Data)
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

// again returns a scorer with another configuration that has seen nothing yet.
func (s *site) again(c profile.Config) *site {
	s.t.Helper()
	for _, table := range []string{"score_cursors", "incidents"} {
		if err := s.db.Conn().Exec(s.t.Context(), "TRUNCATE TABLE "+table); err != nil {
			s.t.Fatal(err)
		}
	}
	other := &site{t: s.t, db: s.db, enrich: s.enrich, index: s.index, batch: &flow.Batch{}, received: s.received}
	other.open(c)
	return other
}

// score commits and scores, and returns the events it caused.
func (s *site) score() []profile.Event {
	s.t.Helper()
	if s.batch.Len() > 0 {
		s.commit()
	}
	n := len(s.events)
	if err := s.Score(s.t.Context(), time.Time{}); err != nil {
		s.t.Fatal(err)
	}
	return s.events[n:]
}

// life is days of a camera's normal life: a keepalive to its cloud every ten
// minutes, DNS, NTP to a changing pool, an upload each morning at 8, and a
// server of the site.
func life(from time.Time, days int) (out []talk) {
	for d := range days {
		day := from.AddDate(0, 0, d)
		for m := 0; m < 24*60; m += 10 {
			at := day.Add(time.Duration(m) * time.Minute)
			out = append(out, talk{at: at, lasts: 5 * time.Second, from: "10.0.0.2", to: "52.1.1.10", mac: camera, dmac: router, port: 8883, out: 2000, in: 1500})
			if m%60 == 0 {
				out = append(out,
					talk{at: at.Add(time.Minute), from: "10.0.0.2", to: "10.0.0.1", mac: camera, dmac: router, port: 53, proto: 17, out: 70, in: 150},
					talk{at: at.Add(2 * time.Minute), from: "10.0.0.2", to: "17.253.4." + string(rune('1'+(d+m/60)%9)), mac: camera, dmac: router, port: 123, proto: 17, out: 76, in: 76},
					talk{at: at.Add(3 * time.Minute), lasts: time.Second, from: "10.0.0.9", to: "10.0.0.2", mac: sensor, dmac: camera, port: 80, out: 500, in: 3000},
				)
			}
			if m >= 8*60 && m < 9*60 {
				out = append(out, talk{at: at, lasts: time.Minute, from: "10.0.0.2", to: "34.5.6.7", mac: camera, dmac: router, port: 443, out: 500_000, in: 9000})
			}
		}
	}
	return out
}

// families are those that events of a kind name.
func families(events []profile.Event, kind string) (out []string) {
	for _, e := range events {
		if e.Kind == kind {
			out = append(out, named(e)...)
		}
	}
	return out
}

// named are the families an event names, the strongest first.
func named(e profile.Event) (out []string) {
	list, _ := e.Body["families"].([]any)
	for _, f := range list {
		out = append(out, f.(string))
	}
	return out
}

func texts(events []profile.Event) (out []string) {
	for _, e := range events {
		out = append(out, e.Kind+" "+e.Body["family"].(string)+" "+e.Body["target"].(string)+": "+e.Body["text"].(string))
	}
	return out
}
