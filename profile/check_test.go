package profile_test

import (
	"strings"
	"testing"
	"time"

	"tidemark/profile"
)

func (s *site) check() string {
	s.t.Helper()
	differences, err := s.CheckAggregates(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	var out []string
	for _, d := range differences {
		out = append(out, d.String())
	}
	return strings.Join(out, "\n")
}

func (s *site) exec(sql string) {
	s.t.Helper()
	if err := s.db.Conn().Exec(s.t.Context(), sql); err != nil {
		s.t.Fatal(err)
	}
}

// longFlows are flows of minutes to a hundred days, of absurd sizes and rates.
func (s *site) longFlows() {
	at := monday
	for i, d := range []time.Duration{0, time.Millisecond, 301 * time.Second, 5 * time.Hour, 25 * time.Hour, 7 * 24 * time.Hour, 100 * 24 * time.Hour} {
		s.add(
			talk{at: at, lasts: d, from: "10.0.0.2", to: "10.0.0.9", mac: camera, dmac: sensor, port: 443, out: 1_000_003 + uint64(i), in: 7},
			talk{at: at, lasts: d, from: "10.0.0.2", to: "1.1.1.1", mac: camera, dmac: router, port: 443, out: 999, rate: 1000},
			talk{at: at, lasts: d, from: "1.1.1.1", to: "10.0.0.9", mac: router, dmac: sensor, port: 443, out: 1<<64 - 1, rate: 1<<32 - 1},
		)
	}
}

func TestAggregates_EqualFlows(t *testing.T) {
	s := newSite(t, profile.Config{})
	s.add(life(monday, 2)...)
	s.commit()
	s.longFlows()
	s.commit()
	if d := s.check(); d != "" {
		t.Fatalf("after two batches:\n%s", d)
	}
}

func TestAggregates_RepeatedBatchCountsOnce(t *testing.T) {
	s := newSite(t, profile.Config{})
	s.add(life(monday, 1)...)
	s.enrich.Apply(s.batch)
	s.index = 1
	for range 3 {
		s.insert()
	}
	var n uint64
	if err := s.db.Conn().QueryRow(t.Context(), "SELECT count() FROM flows").Scan(&n); err != nil || n != uint64(s.batch.Len()) {
		t.Fatalf("%d flows, %v, want %d", n, err, s.batch.Len())
	}
	if d := s.check(); d != "" {
		t.Fatalf("after three inserts of one batch:\n%s", d)
	}
}

func TestAggregates_DamageIsSeenAndRebuilt(t *testing.T) {
	s := newSite(t, profile.Config{})
	s.add(life(monday, 1)...)
	s.commit()
	s.longFlows()
	s.commit()
	for _, table := range []string{"contacts", "edges", "volumes_5m", "volumes_1h", "devices"} {
		s.exec("INSERT INTO " + table + " SELECT * FROM " + table + " LIMIT 1 SETTINGS insert_deduplicate = 0")
		if d := s.check(); !strings.Contains(d, table) {
			t.Errorf("a doubled row of %s is not seen: %q", table, d)
		}
	}
	if err := s.Rebuild(t.Context()); err != nil {
		t.Fatal(err)
	}
	if d := s.check(); d != "" {
		t.Fatalf("after Rebuild:\n%s", d)
	}
}

// A flow of a week without an active timeout is spread over its hours.
func TestVolumes_LongFlowIsSpread(t *testing.T) {
	s := newSite(t, profile.Config{})
	s.add(talk{at: monday.Add(30 * time.Minute), lasts: 7 * 24 * time.Hour, from: "10.0.0.2", to: "1.1.1.1", mac: camera, dmac: router, port: 443, out: 168_000_000})
	s.commit()
	d, err := s.Device(t.Context(), "00:40:8c:00:00:01")
	if err != nil {
		t.Fatal(err)
	}
	volumes, err := s.Volumes(t.Context(), d.ID, true, monday, monday.AddDate(0, 0, 8))
	if err != nil {
		t.Fatal(err)
	}
	if len(volumes) != 169 {
		t.Fatalf("%d hours, want 169", len(volumes))
	}
	for i, v := range volumes[1:168] {
		if v.BytesOut < 999_998 || v.BytesOut > 1_000_002 {
			t.Errorf("hour %d: %d bytes, want 1,000,000", i+1, v.BytesOut)
		}
	}
	if v := volumes[0].BytesOut; v < 499_998 || v > 500_002 {
		t.Errorf("first half hour: %d bytes, want 500,000", v)
	}
}

// A batch full of flows that span a hundred days must neither be refused nor
// make rows without bound.
func TestVolumes_HostileSpansAreBounded(t *testing.T) {
	s := newSite(t, profile.Config{})
	b := s.batch
	for i := range 20000 {
		s.half(talk{at: monday, lasts: 100 * 24 * time.Hour}, "10.0.0.1", "1.1.1.1", 1, 2, 0, 0, 1000, 0, 0)
		b.SrcAddr[i][13], b.SrcAddr[i][14] = byte(i>>8), byte(i)
		b.DstAddr[i] = b.SrcAddr[i]
		b.DstAddr[i][15] = 9
	}
	s.commit()
	if d := s.check(); d != "" {
		t.Error(d)
	}
	var n uint64
	if err := s.db.Conn().QueryRow(t.Context(), "SELECT count() FROM volumes_5m").Scan(&n); err != nil {
		t.Fatal(err)
	}
	if n > 2*400_000 {
		t.Errorf("%d rows of volumes, want at most 800,000", n)
	}
}
