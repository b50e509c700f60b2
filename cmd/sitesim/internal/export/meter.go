package export

import (
	"container/heap"
	"time"

	"tidemark/cmd/sitesim/internal/packet"
)

// Why a flow record was exported: Information Element 136, flowEndReason.
const (
	idleTimeout   = 1
	activeTimeout = 2
	endDetected   = 3
	forcedEnd     = 4
)

// linger is how long a flow stays in the cache after its FIN or RST, so that the last
// acknowledgements do not become flows of their own.
const linger = 2 * time.Second

// counters are the counted values of one direction.
type counters struct {
	Start, End      int64 // first and last packet, Unix ns
	Packets, Octets uint64
	Flags           uint8
}

func (c *counters) add(t *packet.Train) {
	if c.Packets == 0 || t.At < c.Start {
		c.Start = t.At
	}
	c.End = max(c.End, t.Time(t.Count-1))
	c.Packets += uint64(t.Count)
	c.Octets += t.Octets()
	c.Flags |= t.Flags
}

// record is one finished flow, ready for an encoder.
type record struct {
	packet.Key
	counters
	Reverse        counters // biflows only (RFC 5103)
	SrcMAC, DstMAC packet.MAC
	VLAN, OutVLAN  uint16
	Out            uint16
	EndReason      uint8
	Mark           uint16
}

type cached struct {
	record
	due int64 // when the timer looks at this flow next
}

// meter is a Metering Process: the flow cache of a router, with its two timeouts.
type meter struct {
	active, inactive int64 // ns
	biflow           bool
	cache            map[packet.Key]*cached
	timers           timers
	done             func(record)
}

func newMeter(o Options, done func(record)) *meter {
	return &meter{active: int64(o.Active), inactive: int64(o.Inactive), biflow: o.Biflow, cache: map[packet.Key]*cached{}, done: done}
}

// observe counts the packets of t. No record it makes spans more than the active timeout.
func (m *meter) observe(t packet.Train) {
	for t.Count > 0 {
		f, dir := m.lookup(&t)
		n := t.Before(f.Start + m.active)
		if n == 0 {
			m.end(f, activeTimeout)
			continue
		}
		head := t.Take(n)
		dir.add(&head)
		if head.Flags&(packet.FIN|packet.RST) != 0 {
			if due := m.deadline(f); due < f.due {
				m.schedule(f, due)
			}
		}
	}
}

// lookup finds or makes the flow of the next packet, and the direction to count it in.
func (m *meter) lookup(t *packet.Train) (*cached, *counters) {
	if f := m.cache[t.Key]; f != nil {
		if t.At-f.last() < m.inactive {
			return f, &f.counters
		}
		m.end(f, idleTimeout)
	}
	if m.biflow && !t.Denied {
		if f := m.cache[t.Key.Reverse(t.Out)]; f != nil && t.At-f.last() < m.inactive {
			return f, &f.Reverse
		}
	}
	f := &cached{record: record{Key: t.Key, SrcMAC: t.SrcMAC, DstMAC: t.DstMAC, VLAN: t.VLAN, OutVLAN: t.OutVLAN, Out: t.Out, Mark: t.Mark}}
	f.Start, f.End = t.At, t.At
	m.cache[t.Key] = f
	m.schedule(f, m.deadline(f))
	return f, &f.counters
}

func (f *cached) last() int64 { return max(f.End, f.Reverse.End) }

func (f *cached) finished() bool { return (f.Flags|f.Reverse.Flags)&(packet.FIN|packet.RST) != 0 }

func (m *meter) deadline(f *cached) int64 {
	idle := m.inactive
	if f.finished() {
		idle = min(idle, int64(linger))
	}
	return min(f.Start+m.active, f.last()+idle)
}

func (m *meter) schedule(f *cached, due int64) {
	f.due = due
	heap.Push(&m.timers, timer{due, f})
}

// expire ends every flow whose timeout has passed at now.
func (m *meter) expire(now int64) {
	for len(m.timers) > 0 && m.timers[0].due <= now {
		t := heap.Pop(&m.timers).(timer)
		f := t.flow
		if m.cache[f.Key] != f || f.due != t.due {
			continue // ended, or re-scheduled
		}
		due := m.deadline(f)
		switch {
		case due > now:
			m.schedule(f, due)
		case f.finished():
			m.end(f, endDetected)
		case due == f.Start+m.active:
			m.end(f, activeTimeout)
		default:
			m.end(f, idleTimeout)
		}
	}
}

// flush ends every flow, in the order of their timers so that a run repeats itself exactly.
func (m *meter) flush() {
	for len(m.timers) > 0 {
		t := heap.Pop(&m.timers).(timer)
		if m.cache[t.flow.Key] == t.flow {
			m.end(t.flow, forcedEnd)
		}
	}
}

func (m *meter) end(f *cached, reason uint8) {
	delete(m.cache, f.Key)
	f.EndReason = reason
	m.done(f.record)
}

type timer struct {
	due  int64
	flow *cached
}

type timers []timer

func (h timers) Len() int           { return len(h) }
func (h timers) Less(i, j int) bool { return h[i].due < h[j].due }
func (h timers) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *timers) Push(x any)        { *h = append(*h, x.(timer)) }
func (h *timers) Pop() any {
	old := *h
	t := old[len(old)-1]
	*h = old[:len(old)-1]
	return t
}
