package enrich

import (
	"crypto/sha256"
	"encoding/binary"

	"tidemark/collector/flow"
	"tidemark/enrich/binding"
)

const (
	maxStations = 1 << 16 // MACs remembered; twice as many at most
	maxHosts    = 1 << 17 // addresses

	// A MAC that sends for more than maxAddresses addresses within a day is a
	// gateway (reference/detection.md, 3.1).
	maxAddresses = 8
	gatewayTime  = 24 * hour // how long evidence of a gateway lasts

	// A MAC that was a device for this long without a sign of a gateway stays
	// one when it suddenly sends from foreign addresses: it forges them.
	settleTime = 24 * hour

	// How long an address is taken for its MAC's after they were last seen
	// together. DHCP leases are shorter, but a new holder shows its own MAC.
	bindingTime = 7 * 24 * hour

	groupMAC = uint64(1) << 40 // I/G bit of the first octet

	// Address changes that wait for Sightings; more are dropped, and counted.
	maxChanges = 1 << 16
)

// side is one end of a record as the first pass saw it.
type side struct {
	addr  address
	vrf   uint32
	place place
	mac   uint64 // 0 = not exported, or no station's
	sta   *station
	host  *host
}

type hostKey struct {
	addr address
	vrf  uint32
}

func (k hostKey) hash() uint64 {
	return mix(mix(k.addr.hi^0x9e3779b97f4a7c15, k.addr.lo^0xbf58476d1ce4e5b9)^uint64(k.vrf), 0x94d049bb133111eb)
}

// host is an address of the site.
type host struct {
	id      uint64 // device id by address
	station *station
	since   int64 // first time the station was seen with the address
	seen    int64 // last time
	sent    bool  // the binding was proved by the host sending, not by being sent to
	sends   bool  // the address was ever a source
	router  bool  // the address is a gateway's own
	noted   int64 // Sightings told of the station until then

	// Who had the address before: records are reported late, in any order.
	before                *station
	beforeFrom, beforeEnd int64

	told    []binding.Interval // what other sources say of the address
	version uint64             // of the table told is from
}

// station is a MAC.
type station struct {
	id      uint64 // device id by MAC
	mac     uint64
	first   int64 // first time it was seen with an address of the site
	gateway int64 // it counts as a gateway until then
	fixed   bool  // gateway by configuration or by its reserved number
	subnet6 uint64
	addrs   [maxAddresses + 1]boundAddress
}

type boundAddress struct {
	addr address
	seen int64
}

// identity decides which device an end of a flow is.
type identity struct {
	site     string
	stations *recent[uint64, station]
	hosts    *recent[hostKey, host]
	routers  map[hostKey]bool // by configuration
	gateways map[uint64]bool  // by configuration

	table   *binding.Table // nil = no source but the flows
	version uint64
	changes []binding.Interval // addresses that changed their station
	dropped uint64             // changes that found no room
}

func newIdentity(site string) *identity {
	return &identity{
		site:     site,
		stations: newRecent[uint64, station](maxStations, hashWord),
		hosts:    newRecent[hostKey, host](maxHosts, hostKey.hash),
		routers:  map[hostKey]bool{},
		gateways: map[uint64]bool{},
	}
}

// DeviceByMAC is the id of the device with that MAC at a site: the first 8
// octets of SHA-256("tidemark/v1 device" || 0 || site || 0 || 'm' || MAC).
func DeviceByMAC(site string, mac uint64) uint64 {
	return deviceID(site, 'm', binary.BigEndian.AppendUint64(nil, mac)[2:])
}

// DeviceByAddress is the id of a device known by its address only: as
// DeviceByMAC, of 'a' || VRF (4 octets) || address (16 octets).
func DeviceByAddress(site string, vrf uint32, addr [16]byte) uint64 {
	return deviceID(site, 'a', append(binary.BigEndian.AppendUint32(nil, vrf), addr[:]...))
}

func deviceID(site string, kind byte, key []byte) uint64 {
	b := append([]byte("tidemark/v1 device\x00"+site+"\x00"), kind)
	sum := sha256.Sum256(append(b, key...))
	return max(binary.BigEndian.Uint64(sum[:8]), 1) // 0 means no device
}

func unicastMAC(mac uint64, present bool) uint64 {
	if !present || mac&groupMAC != 0 {
		return 0
	}
	return mac
}

// eui64 is the interface identifier made of a MAC (RFC 4291, Appendix A).
func eui64(mac uint64) uint64 {
	return (mac>>24^0x020000)<<40 | 0xfffe<<24 | mac&0xffffff
}

// virtualRouter says whether a MAC is one that VRRP (RFC 9568), HSRP or GLBP
// give to a virtual router.
func virtualRouter(mac uint64) bool {
	switch mac >> 8 {
	case 0x00005e0001, 0x00005e0002, 0x00000c07ac:
		return true
	}
	return mac>>12 == 0x00000c9ff || mac>>16 == 0x0007b400
}

func (d *identity) station(mac uint64) *station {
	s, known := d.stations.entry(mac)
	if !known {
		*s = station{mac: mac, id: DeviceByMAC(d.site, mac), fixed: d.isRouter(mac)}
	}
	return s
}

// isRouter says whether a MAC is a gateway's whatever flows show.
func (d *identity) isRouter(mac uint64) bool {
	return virtualRouter(mac) || d.gateways[mac] || d.table != nil && d.table.Gateways()[mac]
}

func (d *identity) host(k hostKey) *host {
	h, known := d.hosts.entry(k)
	if !known {
		var a [16]byte
		binary.BigEndian.PutUint64(a[:8], k.addr.hi)
		binary.BigEndian.PutUint64(a[8:], k.addr.lo)
		*h = host{id: DeviceByAddress(d.site, k.vrf, a), router: d.routers[k]}
	}
	return h
}

// observe learns from one end of a record at time t; sending says that it is
// the source.
func (d *identity) observe(s *side, t int64, sending bool) {
	if s.mac != 0 {
		s.sta = d.station(s.mac)
	}
	switch s.place {
	case placeOutside:
		if s.sta != nil {
			s.sta.observeOutside(s.addr, t, sending)
		}
	case placeInside:
		s.host = d.host(hostKey{s.addr, s.vrf})
		s.host.sends = s.host.sends || sending
		if s.sta != nil {
			s.sta.observeInside(s.addr, t)
			d.bind(s, t, sending)
		}
	}
}

// bind notes that the address was seen with a MAC. Best is a station's own MAC
// on what it sends, then a gateway's on what it forwards; the MAC on what is
// sent to an address may be any next hop's and never replaces those.
func (d *identity) bind(s *side, t int64, sending bool) {
	h, sta := s.host, s.sta
	switch {
	case h.station == nil, h.station == sta, t > h.seen+bindingTime:
	case !sending && h.sent:
		return
	case sending && h.sent && sta.isGateway(t) && !h.station.isGateway(t):
		return
	case sending && h.sent && t < h.since:
		return // a late record of who had it before
	}
	if h.station != sta {
		d.change(s, t)
		h.since, h.sent = t, false
	}
	h.sent = sending || h.sent
	h.station, h.seen, h.since = sta, max(t, h.seen), min(t, h.since)
}

// change remembers who had an address until now.
func (d *identity) change(s *side, t int64) {
	h := s.host
	if h.station == nil {
		return
	}
	h.before, h.beforeFrom, h.beforeEnd = h.station, h.since, t
	if h.sent && !h.station.isGateway(t) {
		if len(d.changes) < maxChanges {
			d.changes = append(d.changes, h.interval(hostKey{s.addr, s.vrf}, h.since, t))
		} else {
			d.dropped++
		}
	}
	h.noted = 0
}

// stationAt is who had the address at a time.
func (h *host) stationAt(t int64) *station {
	if h.before != nil && t < h.since && t >= h.beforeFrom {
		return h.before
	}
	return h.station
}

func (s *station) isGateway(t int64) bool { return s.fixed || t < s.gateway }

// settled says whether the MAC was a device for so long that foreign source
// addresses are forged ones.
func (s *station) settled(t int64) bool {
	return s.first != 0 && t >= s.first+settleTime && s.gateway == 0 && !s.fixed
}

// observeOutside: a MAC that carries foreign addresses is a gateway's. A host
// may have one foreign IPv6 network, its own, if the operator did not name it.
func (s *station) observeOutside(a address, t int64, sending bool) {
	if sending && s.settled(t) {
		return
	}
	if !a.is4() {
		if s.subnet6 == 0 {
			s.subnet6 = a.hi
		}
		if s.subnet6 == a.hi {
			return
		}
	}
	s.gateway = max(s.gateway, t+gatewayTime)
}

func (s *station) observeInside(a address, t int64) {
	if s.first == 0 || t < s.first {
		s.first = t
	}
	if a.linkLocal6() {
		return
	}
	if !a.is4() {
		a.lo = 0 // a host has many IPv6 addresses in one network
	}
	oldest, live := 0, 0
	for i := range s.addrs {
		b := &s.addrs[i]
		if b.addr == a && b.seen != 0 {
			b.seen = max(b.seen, t)
			return
		}
		if b.seen > t-gatewayTime {
			live++
		}
		if b.seen < s.addrs[oldest].seen {
			oldest = i
		}
	}
	s.addrs[oldest] = boundAddress{a, t}
	if live+1 > maxAddresses {
		s.gateway = max(s.gateway, t+gatewayTime)
	}
}

// sends says whether the address has ever been a source.
func (d *identity) sends(s *side) bool { return s.host != nil && s.host.sends }

// resolve names the device of one end of a record that began and ended at
// times: its own MAC on what it sends, the MAC its address had when the flow
// began on the rest, and the address itself where nobody knows a MAC.
func (d *identity) resolve(s *side, begun, t int64, sending bool) (uint64, flow.Identity) {
	ownMAC := s.sta != nil && !s.sta.isGateway(t)
	switch s.place {
	case placeInside:
		if sending && ownMAC {
			return s.sta.id, flow.IdentityMAC
		}
		return d.resolveInside(s, begun, t, ownMAC)
	case placeOutside:
		if ownMAC && s.sta.settled(t) {
			return s.sta.id, flow.IdentityMAC // forged source address
		}
	case placeNowhere:
		if ownMAC && s.addr.unspecified() {
			return s.sta.id, flow.IdentityMAC // DHCP, duplicate address detection
		}
	}
	return 0, flow.IdentityNone
}

func (d *identity) resolveInside(s *side, begun, t int64, ownMAC bool) (uint64, flow.Identity) {
	h := s.host
	seen := h.stationAt(begun)
	shown := seen != nil && (h.sent || !ownMAC) && t <= h.seen+bindingTime
	device := shown && !seen.isGateway(t)
	if told := d.toldOf(s, begun); told != nil && !(device && h.sent && seen.mac != told.MAC && h.since > told.From) {
		sta := d.station(told.MAC)
		if told.Gateway || sta.isGateway(t) {
			h.router = true
			return h.id, flow.IdentityGateway
		}
		return sta.id, flow.IdentityAddress
	}
	if device {
		if s.sta != nil && s.sta != seen {
			return seen.id, flow.IdentityAddress // the record shows a gateway's MAC
		}
		return seen.id, flow.IdentityMAC
	}
	if ownMAC && !shown {
		return s.sta.id, flow.IdentityMAC
	}
	if s.sta != nil || h.station != nil {
		if s.addr.linkLocal6() {
			return 0, flow.IdentityGateway // its own: routers do not forward link-local addresses
		}
		return h.id, flow.IdentityGateway
	}
	if h.router {
		return h.id, flow.IdentityGateway
	}
	return h.id, flow.IdentityAddress
}

// toldOf is what sources beside the flows say of an address at a time; nil if
// they know nothing.
func (d *identity) toldOf(s *side, t int64) *binding.Interval {
	if d.table == nil {
		return nil
	}
	if s.host.version != d.version {
		s.host.told, s.host.version = d.table.Of(s.addr.hi, s.addr.lo, s.vrf), d.version
	}
	return binding.At(s.host.told, t)
}

// adopt makes a table the one that is asked.
func (d *identity) adopt(t *binding.Table) {
	if t == d.table || t == nil {
		return
	}
	before := d.table
	d.table = t
	d.version++
	for _, table := range []*binding.Table{before, t} {
		if table == nil {
			continue
		}
		for mac := range table.Gateways() {
			if s := d.stations.find(mac); s != nil {
				s.fixed = d.isRouter(mac)
			}
		}
	}
}
