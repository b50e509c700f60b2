package aggregate

import (
	"slices"

	"tidemark/collector/flow"
	"tidemark/storage"
)

// contactKey is by what flows are one contact.
type contactKey struct {
	device, peer, observer uint64
	service                uint64 // role, scope, proto, port, day of the event
}

type contact struct {
	first, last           int64
	bytesOut, bytesIn     uint64
	packetsOut, packetsIn uint64
	flows, samples        uint64
	syn, failed, refused  uint64
	peerDevice            uint64
	peerAddr, exporter    [16]byte
	received              uint16
	confidence            uint8
	begun                 uint8 // how many of Maker.starts are its
}

// maxStarts bounds the beginnings of flows that are kept of a contact.
const maxStarts = 64

// start is when a flow of a row of contacts began, in seconds.
type start struct {
	at  uint32
	row uint32
}

func (m *Maker) addContact(s *side) {
	peer := s.other
	if peer == 0 {
		peer = network(s.address, s.scope == uint8(flow.ScopeMulticast))
	}
	k := contactKey{
		device: s.device, peer: peer, observer: s.observer,
		service: uint64(s.role) | uint64(s.scope)<<8 | uint64(s.proto)<<16 | uint64(s.port)<<24 | uint64(dayOf(s.begin))<<40,
	}
	h := mix(mix(k.device^m.seed[0], k.peer^m.seed[1])^k.service, k.observer^m.seed[2])
	n, fresh := m.contacts.at(h, &k)
	c := &m.contacts.rows[n]
	if fresh {
		c.first, c.last = s.begin, s.end
		c.peerDevice, c.peerAddr, c.exporter = s.other, *s.address, *s.exporter
	}
	c.first, c.last = min(c.first, s.begin), max(c.last, s.end)
	c.received, c.confidence = max(c.received, s.day), max(c.confidence, s.confidence)
	if s.out {
		c.bytesOut += uint64(s.bytes)
		c.packetsOut += uint64(s.packets)
	} else {
		c.bytesIn += uint64(s.bytes)
		c.packetsIn += uint64(s.packets)
	}
	if s.out && s.role != roleServer && s.scope == uint8(flow.ScopeWAN) && c.begun < maxStarts {
		c.begun++
		m.starts = append(m.starts, start{uint32(min(max(s.begin/second, 0), 1<<32-1)), uint32(n)})
	}
	c.flows++
	c.samples += s.samples
	c.syn += one(s.syn)
	c.failed += one(s.failed)
	c.refused += one(s.refused)
}

func one(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}

// Types of columns, as ClickHouse writes them.
const (
	typeRole     = "Enum8('unknown' = 0, 'client' = 1, 'server' = 2)"
	typeScope    = "Enum8('unknown' = 0, 'lan' = 1, 'wan' = 2, 'multicast' = 3, 'transit' = 4)"
	typeIdentity = "Enum8('none' = 0, 'mac' = 1, 'address' = 2, 'gateway' = 3)"
	typeTime     = "DateTime64(3, 'UTC')"
)

// In nanoseconds.
const (
	ms     = 1_000_000
	second = 1000 * ms
)

func (m *Maker) contactsBlock(log, index uint64) []byte {
	t, x := &m.contacts, &m.scratch
	rows := len(t.rows)
	dst := storage.AppendBlock(x.contacts[:0], 27, rows)
	dst = storage.AppendNumber(dst, "log", log, rows)
	dst = storage.AppendNumber(dst, "batch_index", index, rows)
	dst = column(dst, &x.u16, "received", "Date", t.rows, func(c *contact) uint16 { return c.received })
	dst = column(dst, &x.u16, "day", "Date", t.keys, func(k *contactKey) uint16 { return uint16(k.service >> 40) })
	dst = column(dst, &x.u64, "device", "UInt64", t.keys, func(k *contactKey) uint64 { return k.device })
	dst = column(dst, &x.u8, "role", typeRole, t.keys, func(k *contactKey) uint8 { return uint8(k.service) })
	dst = column(dst, &x.u8, "scope", typeScope, t.keys, func(k *contactKey) uint8 { return uint8(k.service >> 8) })
	dst = column(dst, &x.u64, "peer", "UInt64", t.keys, func(k *contactKey) uint64 { return k.peer })
	dst = column(dst, &x.u8, "proto", "UInt8", t.keys, func(k *contactKey) uint8 { return uint8(k.service >> 16) })
	dst = column(dst, &x.u16, "port", "UInt16", t.keys, func(k *contactKey) uint16 { return uint16(k.service >> 24) })
	dst = column(dst, &x.u64, "observer", "UInt64", t.keys, func(k *contactKey) uint64 { return k.observer })
	dst = column(dst, &x.u128, "exporter", "IPv6", t.rows, func(c *contact) [16]byte { return c.exporter })
	dst = column(dst, &x.u64, "peer_device", "UInt64", t.rows, func(c *contact) uint64 { return c.peerDevice })
	dst = column(dst, &x.u128, "peer_addr", "IPv6", t.rows, func(c *contact) [16]byte { return c.peerAddr })
	dst = column(dst, &x.u8, "confidence", "UInt8", t.rows, func(c *contact) uint8 { return c.confidence })
	dst = column(dst, &x.i64, "first", typeTime, t.rows, func(c *contact) int64 { return c.first / ms })
	dst = column(dst, &x.i64, "last", typeTime, t.rows, func(c *contact) int64 { return c.last / ms })
	dst = column(dst, &x.u64, "bytes_out", "UInt64", t.rows, func(c *contact) uint64 { return c.bytesOut })
	dst = column(dst, &x.u64, "bytes_in", "UInt64", t.rows, func(c *contact) uint64 { return c.bytesIn })
	dst = column(dst, &x.u64, "packets_out", "UInt64", t.rows, func(c *contact) uint64 { return c.packetsOut })
	dst = column(dst, &x.u64, "packets_in", "UInt64", t.rows, func(c *contact) uint64 { return c.packetsIn })
	dst = column(dst, &x.u64, "flows", "UInt64", t.rows, func(c *contact) uint64 { return c.flows })
	dst = column(dst, &x.u64, "samples", "UInt64", t.rows, func(c *contact) uint64 { return c.samples })
	dst = column(dst, &x.u64, "syn", "UInt64", t.rows, func(c *contact) uint64 { return c.syn })
	dst = column(dst, &x.u64, "failed", "UInt64", t.rows, func(c *contact) uint64 { return c.failed })
	dst = column(dst, &x.u64, "refused", "UInt64", t.rows, func(c *contact) uint64 { return c.refused })
	ends, starts := m.startsByRow()
	dst = storage.AppendArrays(dst, "starts", "Array(UInt32)", ends, starts)
	x.contacts = dst
	return dst
}

// startsByRow sorts the starts by row: row i owns [ends[i-1], ends[i]).
func (m *Maker) startsByRow() (ends []uint64, starts []uint32) {
	x := &m.scratch
	ends = grown(&x.ends, len(m.contacts.rows))
	x.starts = slices.Grow(x.starts[:0], len(m.starts))[:len(m.starts)]
	next := uint64(0)
	for i := range ends {
		ends[i] = next
		next += uint64(m.contacts.rows[i].begun)
	}
	for _, s := range m.starts {
		x.starts[ends[s.row]] = s.at
		ends[s.row]++
	}
	return ends, x.starts
}
