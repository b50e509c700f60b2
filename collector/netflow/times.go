package netflow

import (
	"encoding/binary"
	"math"
	"time"

	"tidemark/collector/flow"
)

// Bounds of a believable flow time (design, section 3). An exporter whose clock
// is trusted (replay, simulation) may be anywhere between 1970 and 2200.
const (
	maxAge    = int64(8 * 24 * time.Hour)
	maxFuture = int64(time.Hour)
	maxTime   = 7258118400 * int64(time.Second) // 2200-01-01
)

// window is the span that flow times are clamped to.
type window struct{ begin, end int64 }

func windowOf(dg *flow.Datagram) window {
	if dg.Quality&flow.AsExported != 0 {
		return window{0, maxTime}
	}
	return window{dg.Received - maxAge, dg.Received + maxFuture}
}

func (w window) clamp(t int64) (int64, bool) {
	switch {
	case t < w.begin:
		return w.begin, true
	case t > w.end:
		return w.end, true
	}
	return t, false
}

// scale multiplies, stopping at the largest int64, which no window contains.
func scale(v uint64, unit int64) int64 {
	if v > uint64(math.MaxInt64/unit) {
		return math.MaxInt64
	}
	return int64(v) * unit
}

// sum adds a duration, which is not negative, likewise.
func sum(t, duration int64) int64 {
	if t > math.MaxInt64-duration {
		return math.MaxInt64
	}
	return t + duration
}

// ntp reads an NTP timestamp (RFC 5905, Section 6). Those with the top bit set
// are of era 0, which ends in 2036, the others of era 1.
func ntp(v uint64) int64 {
	const from1900 = 2208988800 // seconds from 1900 to 1970
	seconds := int64(v >> 32)
	if v>>63 == 0 {
		seconds += 1 << 32
	}
	fraction := (v&math.MaxUint32*1e9 + 1<<31) >> 32
	return (seconds-from1900)*1e9 + int64(fraction)
}

// uptimeSlack is how far the end of a flow may lie after the header that
// reports it: exporters read the two clocks at different moments.
const uptimeSlack = uint32(time.Hour / time.Millisecond)

// sinceUptime converts a system uptime in ms to time, given what export, the
// time of the header, was in uptime. Uptimes wrap every 49.7 days; a flow is
// taken to have happened in the wrap before the header.
func sinceUptime(export int64, headerMs, flowMs uint32) int64 {
	ago := headerMs - flowMs
	if ago > math.MaxUint32-uptimeSlack {
		return export + int64(-ago)*1e6
	}
	return export - int64(ago)*1e6
}

// stamp is a time field met in a record.
type stamp struct {
	op    *op
	value []byte
}

// instant converts a stamp to ns since 1970; ok is false if it cannot be placed
// in time, because the exporter's start is unknown or its length is wrong.
func (x *pass) instant(s stamp) (t int64, ok bool) {
	v, ok := number(s.value, math.MaxUint64)
	if !ok || s.op.form == formNTP && len(s.value) != 8 {
		return 0, false
	}
	return x.moment(s.op.form, v)
}

// moment converts a time as exported.
func (x *pass) moment(f form, v uint64) (t int64, ok bool) {
	switch f {
	case formSeconds:
		return scale(v, 1e9), true
	case formMilli:
		return scale(v, 1e6), true
	case formNTP:
		return ntp(v), true
	case formDelta:
		return x.m.exportTime - scale(v, 1e3), x.m.exportTime != 0
	case formUptime:
		header, ok := x.uptime()
		if !ok || v > math.MaxUint32 {
			return 0, false
		}
		return sinceUptime(x.m.exportTime, header, uint32(v)), true
	}
	return 0, false
}

// uptime is the exporter's uptime in ms at the Export Time, modulo 2^32: v9 says
// it in each header, IPFIX by systemInitTimeMilliseconds in the record or options.
func (x *pass) uptime() (uint32, bool) {
	switch {
	case x.m.protocol != flow.IPFIX:
		return x.m.uptimeMs, true
	case x.f.hasInit:
		return uint32((x.m.exportTime - x.f.systemInit) / 1e6), true
	case x.observation.hasInit:
		return uint32((x.m.exportTime - x.observation.systemInit) / 1e6), true
	}
	return 0, false
}

// times fills the row's start and end from the stamps and the duration.
func (x *pass) times(r int) {
	f := &x.f
	start, hasStart := x.place(f.start)
	end, hasEnd := x.place(f.end)
	switch {
	case f.hasDuration && hasStart && !hasEnd && f.end.op == nil:
		end, hasEnd = sum(start, f.duration), true
	case f.hasDuration && hasEnd && !hasStart && f.start.op == nil:
		start, hasStart = end-f.duration, true
	}
	if hasStart {
		x.dst.TimeFlowStart[r] = x.clamp(r, start, f.start)
		x.dst.Presence[r] |= flow.HasStart
	}
	if hasEnd {
		x.dst.TimeFlowEnd[r] = x.clamp(r, end, f.end)
		x.dst.Presence[r] |= flow.HasEnd
	}
}

// place converts a stamp; one that cannot be placed becomes an extension.
func (x *pass) place(s stamp) (t int64, ok bool) {
	if s.op == nil {
		return 0, false
	}
	if t, ok = x.instant(s); !ok && (len(s.value) > 0 || s.op.length == variable) && !s.op.also {
		x.dst.Extend(s.op.key, s.value)
	}
	return t, ok
}

// clamp keeps the raw value of a time out of range: the field as exported and,
// if that is an uptime, when the exporter says it started (IE 160).
func (x *pass) clamp(r int, t int64, s stamp) int64 {
	clamped, out := x.window.clamp(t)
	if !out {
		return t
	}
	x.dst.Quality[r] |= flow.TimeClamped
	if s.op == nil {
		return clamped
	}
	if !s.op.also {
		x.dst.Extend(s.op.key, s.value)
	}
	if s.op.form == formUptime && !x.f.saidInit {
		x.f.saidInit = true
		if header, ok := x.uptime(); ok {
			var boot [8]byte
			binary.BigEndian.PutUint64(boot[:], uint64(x.m.exportTime/1e6-int64(header)))
			x.dst.Extend(flow.ExtensionKey(0, systemInitTime), boot[:])
		}
	}
	return clamped
}
