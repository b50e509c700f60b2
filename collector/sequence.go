package collector

import "tidemark/collector/flow"

// sequence accounts one stream of datagrams by its sequence numbers. Streams
// are told apart as the protocols number them: per Transport Session and domain,
// sFlow per agent and sub-agent.
type sequence struct {
	// RFC 7011, Section 3.1 numbers a message by the Data Records sent before it.
	// softflowd counts the records of the message itself as well, and leaves out
	// those of options, so that its numbers, read by the RFC, show loss where there
	// is none. Both readings are kept; the one that explains more messages counts.
	before    track
	within    *track // nil until the stream is known to be IPFIX
	fitBefore int    // messages in order only under the reading of the RFC
	fitWithin int    // messages in order only under the other
}

// enoughFits is how many messages must speak for the deviating reading. One may
// fit by chance: a loss of just the right size.
const enoughFits = 3

// tally is what sequence numbers say of a stream, in its unit.
type tally struct {
	expected, received         uint64
	away                       uint64 // of expected: sent while no collector listened
	duplicates, late, restarts uint64 // datagrams
}

func (t tally) lost() uint64 {
	if t.received >= t.expected {
		return 0
	}
	return t.expected - t.received
}

// oddities counts all that is not the plain arrival of numbers in order.
func (t tally) oddities() uint64 { return t.lost() + t.duplicates + t.late + t.restarts }

func (s *sequence) tally() tally { return s.chosen().tally }

func (s *sequence) chosen() *track {
	switch {
	case s.within == nil:
		return &s.before
	case s.fitWithin >= enoughFits && s.fitWithin > 2*s.fitBefore:
		return s.within
	case s.fitBefore < enoughFits && s.within.tally.oddities() < s.before.tally.oddities():
		return s.within // undecided: claim no loss that may be none
	}
	return &s.before
}

// observe accounts one datagram.
func (s *sequence) observe(r *flow.Result, length int) {
	h := header{
		sequence: r.Sequence, units: r.SequenceUnits, open: r.Uncounted > 0,
		export: r.ExportTime, uptime: r.UptimeMs, hasUptime: hasUptime(r.Protocol), length: length,
	}
	fit := s.before.observe(h)
	if r.Protocol != flow.IPFIX {
		return
	}
	if s.within == nil {
		s.within = new(track)
	}
	h.units -= min(h.units, uint32(r.OptionsRecords))
	if h.open {
		// All records before sequence have been sent, however many this message has.
		s.within.open = true
		h.units, h.open = 0, false
	}
	h.sequence -= h.units
	if other := s.within.observe(h); fit != other {
		if fit {
			s.fitBefore++
		} else {
			s.fitWithin++
		}
	}
	if s.fitBefore+s.fitWithin > 1024 { // stay able to learn that the exporter was changed
		s.fitBefore /= 2
		s.fitWithin /= 2
	}
}

func hasUptime(p flow.Protocol) bool { return p != flow.IPFIX }

// header is what track needs of a datagram.
type header struct {
	sequence, units uint32
	open            bool // units is only a lower bound
	export          int64
	uptime          uint32
	hasUptime       bool
	length          int
}

const (
	recentDatagrams = 32
	maxHoles        = 32
	// maxRate is the growth per second of the exporter's clock that is believed.
	// A larger step is no loss but an exporter that began to count elsewhere.
	maxRate = 1 << 20
	// lateness bounds how far behind its neighbours a datagram may arrive by
	// the clock in its header.
	lateness = 60e9 // ns
	// bootJitter bounds the difference of (export time - uptime) between two
	// datagrams of one life of an exporter; v9 gives whole seconds.
	bootJitter = 3e9 // ns
)

// track follows sequence numbers under one reading of what they count.
type track struct {
	tally  tally
	begun  bool
	open   bool // the last message had records that could not be counted
	away   bool // nothing has come since the position it was taken up from
	next   uint32
	first  uint32 // lowest number since the last restart
	seen   int    // datagrams since the last restart
	last   header // latest by sequence
	holes  []hole // ascending by age; at most maxHoles, older ones stay lost
	recent [recentDatagrams]mark
}

// mark tells one datagram from another by its header; copies have equal ones.
type mark struct{ sequence, rest uint32 }

func markOf(h header) mark {
	const prime = 0x9e3779b97f4a7c15
	x := (uint64(h.export) ^ uint64(h.uptime)<<32 ^ uint64(h.length)) * prime
	return mark{h.sequence, uint32(x>>32) ^ h.units}
}

// hole is a range [begin, end) that has not arrived.
type hole struct {
	begin, end uint32
	away       bool // sent while no collector listened
}

// observe accounts one datagram and reports whether it was the very next one.
func (t *track) observe(h header) (inOrder bool) {
	step := int32(h.sequence - t.next)
	switch {
	case !t.begun, step > 0 && (t.wentBack(h) || int64(step) > t.plausible(h)):
		t.restart(h)
	case step >= 0:
		if step > 0 {
			t.gap(h.sequence)
		}
		t.advance(h)
		inOrder = step == 0
	case t.duplicate(h):
		t.tally.duplicates++
		return false
	case t.rebooted(h):
		t.restart(h)
	case t.fill(h):
		t.tally.late++
	case t.beforeFirst(h):
		t.tally.late++
		t.tally.expected += uint64(t.first - h.sequence)
		t.tally.received += uint64(h.units)
		if end := h.sequence + h.units; end != t.first && len(t.holes) < maxHoles {
			t.holes = append(t.holes, hole{begin: end, end: t.first})
		}
		t.first = h.sequence
	case t.stale(h):
		// Its hole was forgotten: it is no longer lost. What is known to be missing still is.
		t.tally.late++
		t.tally.received += min(uint64(h.units), t.tally.lost()-min(t.missing(), t.tally.lost()))
	default:
		t.restart(h)
	}
	t.recent[t.seen%recentDatagrams] = markOf(h)
	t.seen++
	t.away = false
	return inOrder
}

func (t *track) restart(h header) {
	if t.begun {
		t.tally.restarts++
	}
	t.begun, t.open, t.seen, t.first = true, false, 0, h.sequence
	t.holes = t.holes[:0]
	t.next = h.sequence
	t.advance(h)
}

func (t *track) advance(h header) {
	t.tally.expected += uint64(h.units)
	t.tally.received += uint64(h.units)
	t.next = h.sequence + h.units
	t.open = h.open
	t.last = h
}

// gap accounts the numbers from t.next to sequence, which have not arrived, or
// which were in a message whose records could not be counted.
func (t *track) gap(sequence uint32) {
	n := uint64(sequence - t.next)
	t.tally.expected += n
	if t.open {
		t.tally.received += n
		return
	}
	if t.away {
		t.tally.away += n
	}
	if len(t.holes) == maxHoles {
		t.holes = append(t.holes[:0], t.holes[1:]...)
	}
	t.holes = append(t.holes, hole{t.next, sequence, t.away})
}

// missing is how many numbers lie in holes: never more than are lost.
func (t *track) missing() (n uint64) {
	for _, o := range t.holes {
		n += uint64(o.end - o.begin)
	}
	return n
}

// fill accounts a late datagram that lies in a hole.
func (t *track) fill(h header) bool {
	for i := range t.holes {
		o := &t.holes[i]
		offset, size := h.sequence-o.begin, o.end-o.begin
		if offset >= size {
			continue
		}
		n := min(h.units, size-offset)
		if h.open {
			n = size - offset
		}
		t.tally.received += uint64(n)
		if o.away { // it was only overtaken by the first that came
			t.tally.away -= uint64(n)
		}
		end := h.sequence + n
		switch {
		case offset == 0 && end == o.end:
			t.holes = append(t.holes[:i], t.holes[i+1:]...)
		case offset == 0:
			o.begin = end
		case end == o.end:
			o.end = h.sequence
		default:
			rest := hole{end, o.end, o.away}
			o.end = h.sequence
			if len(t.holes) < maxHoles {
				t.holes = append(t.holes, rest)
			}
		}
		return true
	}
	return false
}

// duplicate reports whether h is a datagram that was seen a short time ago.
func (t *track) duplicate(h header) bool {
	m := markOf(h)
	for i := range min(t.seen, recentDatagrams) {
		if t.recent[i] == m {
			return true
		}
	}
	return false
}

// beforeFirst reports whether h was overtaken by the first datagrams we saw.
func (t *track) beforeFirst(h header) bool {
	back := t.first - h.sequence
	return t.seen < recentDatagrams && back >= max(h.units, 1) && back <= 1<<16 && !h.open && t.stale(h)
}

// stale reports whether the clocks in the header say that h was sent before
// the latest datagram, but in the same life of the exporter.
func (t *track) stale(h header) bool {
	if h.export != 0 {
		d := h.export - t.last.export
		return d >= -lateness && d < 0 || d == 0 && t.sameSecond(h)
	}
	d := int32(h.uptime - t.last.uptime)
	back := t.next - h.sequence
	return d <= 0 && d >= -lateness/1e6 && back <= 2*recentDatagrams
}

// sameSecond decides for datagrams of one export time, whose clock may tick in
// seconds only: sent before if the step back is small and leads to no beginning.
func (t *track) sameSecond(h header) bool {
	if h.hasUptime && h.uptime != t.last.uptime {
		return int32(h.uptime-t.last.uptime) < 0
	}
	return int32(h.sequence-t.first) != 0 && t.next-h.sequence <= 1<<12 && h.sequence != 0
}

// rebooted reports whether the clocks in the header say that the exporter began
// another life: it was booted at another time.
func (t *track) rebooted(h header) bool {
	if !h.hasUptime || h.export == 0 || t.last.export == 0 {
		return false
	}
	d := boot(h) - boot(t.last)
	const wrap = 1 << 32 * 1e6 // sysUptime wraps after 2^32 ms
	return abs(d) > bootJitter && abs(abs(d)-wrap) > bootJitter
}

// plausible is the largest step forward to h that may be loss.
func (t *track) plausible(h header) int64 {
	seconds := (h.export - t.last.export) / 1e9
	if h.export == 0 {
		seconds = int64(int32(h.uptime-t.last.uptime)) / 1000
	}
	return maxRate * (1 + max(0, min(seconds, 1<<20)))
}

// wentBack reports whether the uptime fell although the sequence grew.
func (t *track) wentBack(h header) bool {
	d := int32(h.uptime - t.last.uptime)
	return h.hasUptime && d < -1000 && t.rebooted(h)
}

func boot(h header) int64 { return h.export - int64(h.uptime)*1e6 }

func abs(x int64) int64 {
	if x < 0 {
		return -x
	}
	return x
}
