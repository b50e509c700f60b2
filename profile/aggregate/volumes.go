package aggregate

import (
	"tidemark/collector/flow"
	"tidemark/storage"
)

// Volumes are kept in bins of five minutes. What a batch may make of them is
// bounded as the table says: 200 rows of a flow, 400,000 of all unless there are
// more flows.
const (
	bin      = int64(300_000_000_000)
	binsHour = 12
	maxShort = 72 // bins of a flow that is spread over bins, not hours
	maxSteps = 200
	maxTotal = 400_000
)

// span is the bins a flow lies in, from the first to the last, and in how many
// steps it is spread.
type span struct {
	base, width, steps int64
}

// wanted is the rows the flow would make of its own.
func wanted(first, last int64) int64 {
	if last-first < maxShort {
		return last - first + 1
	}
	return last/binsHour - first/binsHour + 1
}

// spread returns how many rows each flow of the batch may make.
func (m *Maker) spread(b *flow.Batch) (allowed int64) {
	var total, flows int64
	for i, n := 0, b.Len(); i < n; i++ {
		if b.SrcDevice[i]|b.DstDevice[i] != 0 {
			total += min(wanted(b.EventStart[i]/bin, max(b.EventEnd[i], b.EventStart[i])/bin), maxSteps)
			flows++
		}
	}
	if total <= maxTotal {
		return maxSteps
	}
	return max(1, maxTotal/flows)
}

func spanOf(first, last, allowed int64) span {
	s := span{base: first, width: 1}
	if last-first >= maxShort {
		s.base, s.width = first/binsHour*binsHour, binsHour
	}
	s.width *= (wanted(first, last) + allowed - 1) / allowed
	s.steps = (last-s.base)/s.width + 1
	return s
}

// volumeKey is by what bins of flows are one row.
type volumeKey struct {
	device, observer uint64
	t                uint32
	role, scope      uint8
	_                uint16
}

type volume struct {
	bytesOut, bytesIn     uint64
	packetsOut, packetsIn uint64
	samples, flows        uint64
	failed, refused       uint64
	exporter              [16]byte
	received              uint16
	hosts                 uint32 // how many of Maker.hosts are its
}

// host is a host with which a flow of a row of volumes began.
type host struct {
	hash uint64
	row  uint32
}

func (m *Maker) addVolume(s *side, allowed int64) {
	first, last := s.begin/bin, s.end/bin
	if first == last { // nearly always
		m.addBin(s, first, s.bytes, s.packets, true)
		return
	}
	p := spanOf(first, last, allowed)
	length := float64(max(s.end-s.begin, 1))
	share := func(edge int64) float64 {
		return min((float64(edge*bin)-float64(s.begin))/length, 1)
	}
	var from float64
	for k := range p.steps {
		to, at := 1., p.base+k*p.width
		if k < p.steps-1 {
			to = share(at + p.width)
		}
		bytes := float64(uint64(s.bytes*to) - uint64(s.bytes*from))
		packets := float64(uint64(s.packets*to) - uint64(s.packets*from))
		m.addBin(s, max(at, first), bytes, packets, k == 0)
		from = to
	}
}

// maxTime is the last bin that the type DateTime holds.
const maxTime = (1<<32 - 1) / 300

func (m *Maker) addBin(s *side, at int64, bytes, packets float64, begins bool) {
	k := volumeKey{device: s.device, observer: s.observer, t: uint32(min(max(at, 0), maxTime) * 300), role: s.role, scope: s.scope}
	h := mix(mix(k.device^m.seed[1], k.observer^m.seed[2])^uint64(k.t)<<16^uint64(k.role)<<8^uint64(k.scope), m.seed[3])
	n, fresh := m.volumes.at(h, &k)
	v := &m.volumes.rows[n]
	if fresh {
		v.exporter = *s.exporter
	}
	v.received = max(v.received, s.day)
	if s.out {
		v.bytesOut += uint64(bytes)
		v.packetsOut += uint64(packets)
	} else {
		v.bytesIn += uint64(bytes)
		v.packetsIn += uint64(packets)
	}
	if !begins {
		return
	}
	v.samples += s.samples
	v.flows++
	v.failed += one(s.failed)
	v.refused += one(s.refused)
	v.hosts++
	m.hosts = append(m.hosts, host{cityAddress(s.address), uint32(n)})
}

func (m *Maker) volumesBlock() []byte {
	t, x := &m.volumes, &m.scratch
	dst := storage.AppendBlock(x.volumes[:0], 16, len(t.rows))
	dst = column(dst, &x.u64, "device", "UInt64", t.keys, func(k *volumeKey) uint64 { return k.device })
	dst = column(dst, &x.u32, "t", "DateTime('UTC')", t.keys, func(k *volumeKey) uint32 { return k.t })
	dst = column(dst, &x.u8, "scope", typeScope, t.keys, func(k *volumeKey) uint8 { return k.scope })
	dst = column(dst, &x.u8, "role", typeRole, t.keys, func(k *volumeKey) uint8 { return k.role })
	dst = column(dst, &x.u64, "observer", "UInt64", t.keys, func(k *volumeKey) uint64 { return k.observer })
	dst = column(dst, &x.u16, "received", "Date", t.rows, func(v *volume) uint16 { return v.received })
	dst = column(dst, &x.u128, "exporter", "IPv6", t.rows, func(v *volume) [16]byte { return v.exporter })
	dst = column(dst, &x.u64, "bytes_out", "UInt64", t.rows, func(v *volume) uint64 { return v.bytesOut })
	dst = column(dst, &x.u64, "bytes_in", "UInt64", t.rows, func(v *volume) uint64 { return v.bytesIn })
	dst = column(dst, &x.u64, "packets_out", "UInt64", t.rows, func(v *volume) uint64 { return v.packetsOut })
	dst = column(dst, &x.u64, "packets_in", "UInt64", t.rows, func(v *volume) uint64 { return v.packetsIn })
	dst = column(dst, &x.u64, "samples", "UInt64", t.rows, func(v *volume) uint64 { return v.samples })
	dst = column(dst, &x.u64, "flows", "UInt64", t.rows, func(v *volume) uint64 { return v.flows })
	dst = column(dst, &x.u64, "failed", "UInt64", t.rows, func(v *volume) uint64 { return v.failed })
	dst = column(dst, &x.u64, "refused", "UInt64", t.rows, func(v *volume) uint64 { return v.refused })
	ends, hosts := m.hostsByRow()
	dst = storage.AppendArrays(dst, "hosts", "Array(UInt64)", ends, hosts)
	x.volumes = dst
	return dst
}

// hostsByRow sorts the hosts by row: row i owns [ends[i-1], ends[i]).
func (m *Maker) hostsByRow() (ends, hosts []uint64) {
	x := &m.scratch
	ends, hosts = grown(&x.ends, len(m.volumes.rows)), grown(&x.hosts, len(m.hosts))
	next := uint64(0)
	for i := range ends {
		ends[i] = next
		next += uint64(m.volumes.rows[i].hosts)
	}
	for _, h := range m.hosts {
		hosts[ends[h.row]] = h.hash
		ends[h.row]++
	}
	return ends, hosts
}
