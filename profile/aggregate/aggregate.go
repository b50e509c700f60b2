// Package aggregate makes of a batch of flows the rows of the tables contacts,
// volumes_5m and devices, which say what each means.
//
// It is the one place that knows how a flow is counted: what the database makes
// of these rows (edges, volumes_1h) only adds them up.
package aggregate

import (
	"encoding/binary"
	"math/bits"
	"math/rand/v2"

	"tidemark/collector/flow"
	"tidemark/storage"
)

// Tables that Blocks makes rows for. Rows of volumes go in through a table that
// keeps nothing, whose view turns the hosts of each row into a state of
// uniqCombined64.
const (
	tableContacts = "contacts"
	tableVolumes  = "volumes_5m_in"
	tableDevices  = "devices"
)

// Maker makes aggregates, one batch at a time. It keeps its memory.
type Maker struct {
	seed     [4]uint64 // nobody outside can choose flows whose keys collide
	contacts table[contactKey, contact]
	volumes  table[volumeKey, volume]
	devices  table[deviceKey, device]
	hosts    []host
	starts   []start
	scratch  scratch
	blocks   [3]storage.Block
}

// New returns a Maker.
func New() *Maker {
	m := &Maker{}
	for i := range m.seed {
		m.seed[i] = rand.Uint64() | 1
	}
	return m
}

// Derive is Blocks of a block of the table flows.
func (m *Maker) Derive(flows []byte) ([]storage.Block, error) {
	var b flow.Batch
	whose, err := storage.ViewFlows(flows, &b)
	if err != nil {
		return nil, err
	}
	return m.Blocks(whose.Log, whose.Site, whose.Index, &b), nil
}

// Blocks returns what is to be inserted for batch index of a log, no block without
// rows. They are the Maker's, and good until it makes others.
func (m *Maker) Blocks(log uint64, site string, index uint64, b *flow.Batch) []storage.Block {
	m.contacts.reset()
	m.volumes.reset()
	m.devices.reset()
	m.hosts, m.starts = m.hosts[:0], m.starts[:0]
	m.count(b)
	blocks := m.blocks[:0]
	if len(m.contacts.rows) > 0 {
		blocks = append(blocks,
			storage.Block{Table: tableContacts, Data: m.contactsBlock(log, index)},
			storage.Block{Table: tableVolumes, Data: m.volumesBlock()})
	}
	if len(m.devices.rows) > 0 {
		blocks = append(blocks, storage.Block{Table: tableDevices, Data: m.devicesBlock(site)})
	}
	return blocks
}

// largest is the largest number of bytes or packets of one flow after scaling:
// what a float64 holds exactly.
const largest = 1 << 53

func scaled(n uint64, rate uint32) float64 {
	return min(float64(n)*float64(max(rate, 1)), largest)
}

const day = int64(86400_000_000_000)

// dayOf is the day of a time, as the type Date holds it.
func dayOf(t int64) uint16 { return uint16(min(max(t/day, 0), 1<<16-1)) }

// side is a flow as one of its two ends sees it.
type side struct {
	device, other   uint64
	address         *[16]byte // of the other
	out             bool
	role            uint8
	scope           uint8
	observer        uint64
	day             uint16  // of receipt
	bytes, packets  float64 // scaled
	samples         uint64
	syn             bool
	failed, refused bool
	begin, end      int64
	confidence      uint8
	proto           uint8
	port            uint16
	exporter        *[16]byte
}

// TCP flags as IE 6 has them.
const (
	syn, rst, ack = 2, 4, 16
)

const firewallDenied = 3 // IE 233

// count counts every flow that has a device on either side.
func (m *Maker) count(b *flow.Batch) {
	width := m.spread(b)
	var seen observers
	for i, n := 0, b.Len(); i < n; i++ {
		src, dst := b.SrcDevice[i], b.DstDevice[i]
		if src|dst == 0 {
			continue
		}
		initiator, rate := b.Initiator[i], b.SamplingRate[i]
		hasFlags := b.Proto[i] == 6 && b.Presence[i]&flow.HasTCPFlags != 0
		flags, sure := b.TCPFlags[i], b.InitiatorConfidence[i]
		denied := b.FirewallEvent[i] == firewallDenied
		s := side{
			scope: uint8(b.Scope[i]), observer: seen.of(b, i), exporter: &b.SamplerAddress[i],
			day: dayOf(b.TimeReceived[i]), begin: b.EventStart[i], end: max(b.EventEnd[i], b.EventStart[i]),
			bytes: scaled(b.Bytes[i], rate), packets: scaled(b.Packets[i], rate), samples: b.Packets[i],
			confidence: sure, proto: b.Proto[i], port: b.ServicePort[i],
			syn: hasFlags && flags&(syn|ack) == syn,
		}
		s.failed = denied || s.syn && rate <= 1
		s.refused = denied || hasFlags && (flags&63 == rst || flags&63 == rst|ack) && sure >= 95 && initiator == flow.InitiatorDst
		if s.port == 0 && (s.proto == 6 || s.proto == 17 || s.proto == 132) {
			s.port = min(b.SrcPort[i], b.DstPort[i])
		}
		if src != 0 {
			s.device, s.other, s.address, s.out = src, dst, &b.DstAddr[i], true
			s.role = role(initiator, flow.InitiatorSrc)
			m.addDevice(b, i, &s)
			m.addContact(&s)
			m.addVolume(&s, width)
		}
		if dst != 0 {
			s.device, s.other, s.address, s.out = dst, src, &b.SrcAddr[i], false
			s.role = role(initiator, flow.InitiatorDst)
			m.addContact(&s)
			m.addVolume(&s, width)
		}
	}
}

// Roles of a device, as the tables' Enum8 has them.
const (
	roleUnknown = iota
	roleClient
	roleServer
)

// role is what a device is if it stands where self says.
func role(initiator, self flow.Initiator) uint8 {
	switch initiator {
	case flow.InitiatorUnknown:
		return roleUnknown
	case self:
		return roleClient
	}
	return roleServer
}

// observers hashes (exporter, flow direction), which are the same for whole
// datagrams.
type observers struct {
	exporter  [16]byte
	direction uint8
	hash      uint64
	known     bool
}

func (o *observers) of(b *flow.Batch, i int) uint64 {
	if !o.known || o.exporter != b.SamplerAddress[i] || o.direction != b.Direction[i] {
		o.exporter, o.direction, o.known = b.SamplerAddress[i], b.Direction[i], true
		o.hash = city128(cityAddress(&o.exporter), intHash(uint64(o.direction)))
	}
	return o.hash
}

// network is the hash of the peer's /24 of IPv4 or /48, of the whole address of a
// group.
func network(a *[16]byte, group bool) uint64 {
	high, low := binary.BigEndian.Uint64(a[:]), binary.BigEndian.Uint64(a[8:])
	switch {
	case group:
	case high == 0 && low>>32 == 0xffff:
		low >>= 8
	default:
		high, low = 0, high>>16
	}
	return city16(low, high)
}

// mix is a hash of two words under a seed (the folded product of wyhash).
func mix(a, b uint64) uint64 {
	high, low := bits.Mul64(a, b)
	return high ^ low
}
