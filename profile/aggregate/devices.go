package aggregate

import (
	"slices"

	"tidemark/collector/flow"
	"tidemark/storage"
)

// maxAddresses is how many addresses of a device a row keeps.
const maxAddresses = 16

type deviceKey struct {
	device, mac uint64
	identity    flow.Identity
	_           [7]uint8
}

type device struct {
	first, last int64
	flows       uint64
	received    uint16
	addresses   [][16]byte // the first of them; its memory stays with the row
}

// addDevice counts the sender of flow i: whatever was only sent to may not exist.
func (m *Maker) addDevice(b *flow.Batch, i int, s *side) {
	k := deviceKey{device: s.device, identity: b.SrcIdentity[i]}
	if b.Presence[i]&flow.HasSrcMAC != 0 && (k.identity == flow.IdentityMAC || k.identity == flow.IdentityGateway) {
		k.mac = b.SrcMAC[i]
	}
	h := mix(mix(k.device^m.seed[2], k.mac^m.seed[3])^uint64(k.identity), m.seed[0])
	n, fresh := m.devices.at(h, &k)
	d := &m.devices.rows[n]
	if fresh {
		d.first, d.last = s.begin, s.end
	}
	d.first, d.last, d.received = min(d.first, s.begin), max(d.last, s.end), max(d.received, s.day)
	d.flows++
	if s.scope == uint8(flow.ScopeTransit) {
		return // it forged the address
	}
	if len(d.addresses) < maxAddresses && !slices.Contains(d.addresses, b.SrcAddr[i]) {
		d.addresses = append(d.addresses, b.SrcAddr[i])
	}
}

func (m *Maker) devicesBlock(site string) []byte {
	t, x := &m.devices, &m.scratch
	rows := len(t.rows)
	dst := storage.AppendBlock(x.devices[:0], 9, rows)
	dst = storage.AppendName(dst, "site", site, rows)
	dst = column(dst, &x.u64, "device", "UInt64", t.keys, func(k *deviceKey) uint64 { return k.device })
	dst = column(dst, &x.u16, "received", "Date", t.rows, func(d *device) uint16 { return d.received })
	dst = column(dst, &x.u8, "identity", typeIdentity, t.keys, func(k *deviceKey) uint8 { return uint8(k.identity) })
	dst = column(dst, &x.u64, "mac", "UInt64", t.keys, func(k *deviceKey) uint64 { return k.mac })
	dst = column(dst, &x.i64, "first", typeTime, t.rows, func(d *device) int64 { return d.first / ms })
	dst = column(dst, &x.i64, "last", typeTime, t.rows, func(d *device) int64 { return d.last / ms })
	dst = column(dst, &x.u64, "flows", "UInt64", t.rows, func(d *device) uint64 { return d.flows })
	ends, addresses := grown(&x.ends, rows), x.u128[:0]
	for i := range t.rows {
		addresses = append(addresses, t.rows[i].addresses...)
		ends[i] = uint64(len(addresses))
	}
	x.u128 = addresses
	x.devices = storage.AppendArrays(dst, "addresses", "Array(IPv6)", ends, addresses)
	return x.devices
}
