package enrich

import "tidemark/collector/flow"

const (
	second = int64(1e9)
	hour   = 3600 * second

	// A flow reported live ended at most maxAge before its export and starts at
	// most maxAhead after its receipt (design section 3).
	maxAge   = 8 * 24 * hour
	maxAhead = hour

	// An exporter's clock this close to ours is left alone: export times of v9
	// and IPFIX have whole seconds only.
	clockTolerance = 2 * second
)

// clock sets the start and end of record i on the detection clock: as exported
// where the exporter's clock is trusted (replay, simulation), else mapped
// through the exporter's own export time to ours. The end is never before the
// start. An exporter whose protocol says no time (sFlow), but whose clock is
// trusted, is taken to share that of the others: its records are as late as the
// latest export time seen.
func (e *Enricher) clock(b *flow.Batch, i int) {
	received, exported := b.TimeReceived[i], b.ExportTime[i]
	if b.Quality[i]&flow.AsExported != 0 {
		e.exportClock = max(e.exportClock, exported)
		if exported == 0 {
			exported = e.exportClock
		}
	}
	has := b.Presence[i]
	start, end := b.TimeFlowStart[i], b.TimeFlowEnd[i]
	hasStart, hasEnd := has&flow.HasStart != 0 && start > 0, has&flow.HasEnd != 0 && end > 0
	fallback := received
	if exported > 0 {
		fallback = exported
	}
	switch {
	case hasStart && !hasEnd:
		end = start
	case hasEnd && !hasStart:
		start = end
	case !hasStart && !hasEnd:
		start, end = fallback, fallback
	}
	if b.Quality[i]&flow.AsExported == 0 {
		if shift := received - exported; exported > 0 && (shift > clockTolerance || shift < -clockTolerance) && within(end, exported) {
			start, end = start+shift, end+shift
		}
		start, end = clamp(start, received), clamp(end, received)
	}
	if end < start {
		end = start
	}
	b.EventStart[i], b.EventEnd[i] = start, end
}

// within says whether t fits an exporter's clock that showed at: if not, its
// flow times and its export time come from different clocks.
func within(t, at int64) bool { return t >= at-maxAge && t <= at+maxAhead }

func clamp(t, received int64) int64 {
	return min(max(t, received-maxAge), received+maxAhead)
}
