package netflow

import (
	"math"
	"testing"
	"time"

	"tidemark/collector/flow"
)

const exportNs = int64(exportUnix) * 1e9

// ntpOf is the NTP timestamp of ns since 1970, its fraction rounded.
func ntpOf(ns int64) uint64 {
	s, f := ns/1e9+2208988800, ns%1e9
	return uint64(s)<<32 | uint64(f)<<32/1e9
}

func TestTimes_EveryElement(t *testing.T) {
	initMs := uint64(exportUnix*1000 - uptime)
	for _, c := range []struct {
		name     string
		fields   []uint16
		record   []byte
		presence uint16
		start    int64 // relative to the Export Time
		end      int64
	}{
		{"seconds", []uint16{150, 4, 151, 4}, join(u32(exportUnix-60), u32(exportUnix-1)), flow.HasStart | flow.HasEnd, -60e9, -1e9},
		{"milliseconds", []uint16{152, 8, 153, 8}, join(u64(exportUnix*1000-1500), u64(exportUnix*1000-1)), flow.HasStart | flow.HasEnd, -1500e6, -1e6},
		{"microseconds", []uint16{154, 8, 155, 8}, join(u64(ntpOf(exportNs-2500e6)), u64(ntpOf(exportNs-5e8))), flow.HasStart | flow.HasEnd, -2500e6, -5e8},
		{"nanoseconds", []uint16{156, 8, 157, 8}, join(u64(ntpOf(exportNs-2e9)), u64(ntpOf(exportNs-1e9))), flow.HasStart | flow.HasEnd, -2e9, -1e9},
		{"delta microseconds", []uint16{158, 4, 159, 4}, join(u32(2_000_000), u32(1)), flow.HasStart | flow.HasEnd, -2e9, -1e3},
		{"uptime with systemInitTime in the record", []uint16{22, 4, 160, 8, 21, 4}, join(u32(uptime-3000), u64(initMs), u32(uptime-1000)), flow.HasStart | flow.HasEnd, -3e9, -1e9},
		{"start and duration in ms", []uint16{152, 8, 161, 4}, join(u64(exportUnix*1000-5000), u32(2000)), flow.HasStart | flow.HasEnd, -5e9, -3e9},
		{"end and duration in us", []uint16{153, 8, 162, 4}, join(u64(exportUnix*1000-5000), u32(2_000_000)), flow.HasStart | flow.HasEnd, -7e9, -5e9},
		{"event time only", []uint16{323, 8}, u64(exportUnix*1000 - 5000), flow.HasEnd, 0, -5e9},
		{"the finest of several", []uint16{150, 4, 152, 8, 153, 8}, join(u32(1), u64(exportUnix*1000-5000), u64(exportUnix*1000)), flow.HasStart | flow.HasEnd, -5e9, 0},
	} {
		batch, r := run(t, New(Config{}), router, ipfix(1, set(2, tmpl(256, c.fields...)), set(256, c.record)))
		if r.Flows != 1 || batch.Presence[0] != c.presence || batch.Quality[0]&flow.TimeClamped != 0 {
			t.Errorf("%s: %d flows, presence %#x, quality %#x", c.name, r.Flows, batch.Presence[0], batch.Quality[0])
			continue
		}
		if c.presence&flow.HasStart != 0 && abs(batch.TimeFlowStart[0]-exportNs-c.start) > 1 {
			t.Errorf("%s: start %d ns from the export time, want %d", c.name, batch.TimeFlowStart[0]-exportNs, c.start)
		}
		if abs(batch.TimeFlowEnd[0]-exportNs-c.end) > 1 {
			t.Errorf("%s: end %d ns from the export time, want %d", c.name, batch.TimeFlowEnd[0]-exportNs, c.end)
		}
	}
}

func abs(n int64) int64 { return max(n, -n) }

func TestTimes_UptimeOfIPFIXNeedsSystemInitTime(t *testing.T) {
	d := New(Config{})
	data := join(set(2, tmpl(300, 22, 4, 21, 4)), set(300, u32(uptime-3000), u32(uptime-1000)))
	batch, _ := run(t, d, router, ipfix(1, data))
	want(t, "presence", batch.Presence[0], 0)
	want(t, "raw start", string(extension(t, batch, 0, 0, 22)), string(u32(uptime-3000)))

	run(t, d, router, ipfix(1, options10(256, 1, 149, 4, 160, 8), set(256, u32(1), u64(exportUnix*1000-uptime))))
	batch, _ = run(t, d, router, ipfix(1, data))
	want(t, "start", batch.TimeFlowStart[0], exportNs-3e9)
	hasNot(t, batch, 0, 0, 22)
}

func TestTimes_UptimeWraps(t *testing.T) { // 2^32 ms = 49.7 days
	for _, c := range []struct {
		header, flow uint32
		ago          int64 // ms
	}{
		{1000, 500, 500},
		{500, math.MaxUint32 - 499, 1000},          // the uptime wrapped between flow and header
		{1000, 1500, -500},                         // the flow ends after the header was written
		{1000, 1000 + 30*60*1000, -30 * 60 * 1000}, // half an hour is still such a slip
		{0, 1 << 31, 1 << 31},                      // 24.8 days
	} {
		want(t, "ago", exportNs-sinceUptime(exportNs, c.header, c.flow), c.ago*1e6)
	}
}

func TestTimes_V5KeepsTheNanosecondsOfItsHeader(t *testing.T) {
	batch, r := run(t, New(Config{}), router, v5(1, 0))
	want(t, "start", batch.TimeFlowStart[0], exportNs+5e8-2e9)
	want(t, "end", batch.TimeFlowEnd[0], exportNs+5e8-1e9)
	want(t, "export time", r.ExportTime, exportNs+5e8)
}

func TestTimes_NTPEras(t *testing.T) { // RFC 5905, Section 6: era 1 begins in 2036
	want(t, "last second of era 0", time.Unix(0, ntp(math.MaxUint32<<32)).UTC().Year(), 2036)
	want(t, "era 1", time.Unix(0, ntp(1<<32)).UTC().Format(time.DateTime), "2036-02-07 06:28:17")
	want(t, "first of era 0 taken", time.Unix(0, ntp(1<<63)).UTC().Year(), 1968)
	want(t, "half a second", ntp(ntpOf(exportNs)|1<<31)-exportNs, 5e8)
}

func TestTimes_ImpossibleOnesAreClampedAndKeptRaw(t *testing.T) {
	received := router.Received
	template := set(2, tmpl(256, 152, 8, 153, 8))
	for _, c := range []struct {
		name       string
		asExported bool
		start, end uint64 // ms
		wantStart  int64
		wantEnd    int64
		clamped    []uint16
	}{
		{"live: both believable", false, exportUnix*1000 - 7*86400000, exportUnix * 1000, exportNs - 7*86400e9, exportNs, nil},
		{"live: 9 days ago", false, exportUnix*1000 - 9*86400000, exportUnix * 1000, received - maxAge, exportNs, []uint16{152}},
		{"live: tomorrow", false, exportUnix * 1000, exportUnix*1000 + 86400000, exportNs, received + maxFuture, []uint16{153}},
		{"live: 1970", false, 0, 0, received - maxAge, received - maxAge, []uint16{152, 153}},
		{"live: beyond 64 bits of ns", false, math.MaxUint64, exportUnix * 1000, received + maxFuture, exportNs, []uint16{152}},
		{"as exported: 1970", true, 0, 1, 0, 1e6, nil},
		{"as exported: beyond 2200", true, exportUnix * 1000, math.MaxUint64, exportNs, maxTime, []uint16{153}},
		{"an end before its start stays as exported", false, exportUnix*1000 - 1000, exportUnix*1000 - 2000, exportNs - 1e9, exportNs - 2e9, nil},
	} {
		dg := router
		if c.asExported {
			dg.Quality |= flow.AsExported
		}
		batch, _ := run(t, New(Config{}), dg, ipfix(1, template, set(256, u64(c.start), u64(c.end))))
		if batch.TimeFlowStart[0] != c.wantStart || batch.TimeFlowEnd[0] != c.wantEnd {
			t.Errorf("%s: %d to %d, want %d to %d", c.name, batch.TimeFlowStart[0], batch.TimeFlowEnd[0], c.wantStart, c.wantEnd)
		}
		if got := batch.Quality[0]&flow.TimeClamped != 0; got != (len(c.clamped) > 0) {
			t.Errorf("%s: clamped %v", c.name, got)
		}
		want(t, c.name+": extensions", batch.Ext.Count(0), len(c.clamped))
		raw := map[uint16]uint64{152: c.start, 153: c.end}
		for _, id := range c.clamped {
			want(t, c.name+": raw", string(extension(t, batch, 0, 0, id)), string(u64(raw[id])))
		}
	}
}

func TestTimes_ClampedUptimeKeepsWhatItCountsFrom(t *testing.T) {
	batch, _ := run(t, New(Config{}), router, v9(1, set(0, tmpl(256, 22, 4, 21, 4)), set(256, u32(uptime+2*86400_000), u32(uptime))))
	want(t, "clamped", batch.Quality[0]&flow.TimeClamped, flow.TimeClamped)
	want(t, "start", batch.TimeFlowStart[0], router.Received-maxAge)
	want(t, "raw", string(extension(t, batch, 0, 0, 22)), string(u32(uptime+2*86400_000)))
	want(t, "exporter's start", string(extension(t, batch, 0, 0, systemInitTime)), string(u64(exportUnix*1000-uptime)))
	want(t, "end", batch.TimeFlowEnd[0], exportNs)
}

func TestTimes_SumsDoNotOverflow(t *testing.T) {
	batch, _ := run(t, New(Config{}), router, ipfix(1, set(2, tmpl(256, 152, 8, 161, 8)), set(256, u64(math.MaxUint64), u64(math.MaxUint64))))
	want(t, "start", batch.TimeFlowStart[0], router.Received+maxFuture)
	want(t, "end", batch.TimeFlowEnd[0], router.Received+maxFuture)
}
