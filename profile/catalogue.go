package profile

import (
	"cmp"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

var (
	//go:embed query/device_services.sql
	deviceServicesSQL string
	//go:embed query/find_device.sql
	findDeviceSQL string
	//go:embed query/bindings.sql
	bindingsSQL string
)

// ErrNotFound says that no device or incident has the given name.
var ErrNotFound = errors.New("not found")

// ErrAmbiguous says that a name fits several devices.
var ErrAmbiguous = errors.New("more than one device")

// Learning is how well a device is known.
type Learning string

const (
	LearningNew  Learning = "new" // less than a seventh of the learning period
	LearningOpen Learning = "learning"
	LearningDone Learning = "learned"
)

// Lifecycle is where a device stands.
type Lifecycle string

const (
	DeviceNew      Lifecycle = "new"      // seen for less than a seventh of the learning period
	DeviceLearning Lifecycle = "learning" // for less than the learning period
	DeviceActive   Lifecycle = "active"
	DeviceSilent   Lifecycle = "silent"  // nothing for SilentAfter
	DeviceRetired  Lifecycle = "retired" // an operator said so
)

// SilentAfter is how long nothing comes from a device that is called silent.
const SilentAfter = 72 * time.Hour

// Service is a protocol and port, with the number of peers it was used with.
type Service struct {
	Proto uint8  `json:"proto"`
	Port  uint16 `json:"port"`
	Name  string `json:"name"`
	Peers uint64 `json:"peers"`
}

// Device is an entry of the catalogue.
type Device struct {
	ID        uint64            `json:"id"`
	Members   []uint64          `json:"-"` // every id under which it is stored, its own among them
	Label     string            `json:"label"`
	Host      string            `json:"host"`     // name by a lease or an inventory
	Kind      string            `json:"kind"`     // camera, printer ...; "" = not known
	IoT       string            `json:"iot"`      // iot, not iot, unknown; "" = not judged yet
	Identity  string            `json:"identity"` // mac, assigned (its MAC is told by a lease or the like), address, gateway (an address behind one)
	MAC       uint64            `json:"mac"`      // its own, or 0
	Vendor    string            `json:"vendor"`
	Addresses []netip.Addr      `json:"addresses"`
	First     time.Time         `json:"first"`
	Last      time.Time         `json:"last"`
	State     Lifecycle         `json:"state"`
	Facts     map[string]string `json:"facts"` // what operators say of it
	Learning  Learning          `json:"learning"`
	Learned   time.Time         `json:"learned"` // when learning ends or ended
	Flows     uint64            `json:"flows"`   // records of which it is an end, as the best observer of each edge saw them
	BytesOut  uint64            `json:"bytes_out"`
	BytesIn   uint64            `json:"bytes_in"`
	Serves    []Service         `json:"serves"`
	Uses      []Service         `json:"uses"`
	Alerts    uint64            `json:"alerts"` // open incidents
	Risk      uint8             `json:"risk"`   // highest of them
}

// Name is the device's id as people write it.
func (d Device) Name() string { return fmt.Sprintf("%016x", d.ID) }

// MACString is the MAC with colons, "" if it is not known.
func (d Device) MACString() string {
	if d.MAC == 0 {
		return ""
	}
	var b [6]byte
	for i := range b {
		b[i] = byte(d.MAC >> (40 - 8*i))
	}
	return net.HardwareAddr(b[:]).String()
}

// ShortTitle is what a device is called: label, host name, address or id.
func (d Device) ShortTitle() string {
	name := cmp.Or(d.Label, d.Host)
	if name == "" && len(d.Addresses) > 0 {
		name = d.Addresses[0].String()
	}
	return cmp.Or(name, exporterTitle(d.ID), d.Name())
}

// Title names the device in a sentence: label or address, vendor, MAC.
func (d Device) Title() string {
	name := d.ShortTitle()
	var more []string
	if d.Vendor != "" {
		more = append(more, d.Vendor)
	}
	if d.MAC != 0 {
		more = append(more, d.MACString())
	} else if d.Identity != "" {
		more = append(more, "known by address")
	}
	if len(more) == 0 {
		return name
	}
	return name + " (" + strings.Join(more, ", ") + ")"
}

func (d Device) addressStrings() []string {
	out := make([]string, len(d.Addresses))
	for i, a := range d.Addresses {
		out[i] = a.String()
	}
	return out
}

// DeviceFilter selects devices; a zero field selects all.
type DeviceFilter struct {
	IDs        []uint64 // those, under any of their ids; hidden ones too
	State      Lifecycle
	Kind       string
	KnownBy    string       // mac, assigned, address, gateway
	Network    netip.Prefix // with an address in it
	Match      string       // part of its label, host name, kind, MAC, an address or a fact
	Unapproved bool         // neither approved nor retired
	Alerting   bool
	Sort       string // address, first, last, risk, name, kind; default first
	Limit      uint64 // 0 = all
}

// Devices returns the catalogue: every device that has sent something. A MAC that
// turned out to be a gateway's is left out, and so are gateways' own addresses.
func (s *Scorer) Devices(ctx context.Context, f DeviceFilter) ([]Device, error) {
	list, _, err := s.DevicesOf(ctx, f)
	return list, err
}

// DevicesOf is Devices with the number of devices that the filter selects
// without its limit. First it is decided which, then they alone are read.
func (s *Scorer) DevicesOf(ctx context.Context, f DeviceFilter) (list []Device, total uint64, err error) {
	if f.IDs != nil {
		total = uint64(len(f.IDs))
		list, err = s.details(ctx, f.IDs)
	} else {
		list, total, err = s.chosen(ctx, f)
	}
	if err != nil {
		return nil, 0, fmt.Errorf("read devices: %w", err)
	}
	if err := s.addServices(ctx, list); err != nil {
		return nil, 0, fmt.Errorf("read services of devices: %w", err)
	}
	return list, total, nil
}

// prefixRange is the first and the last address of a network, as IPv6.
func prefixRange(p netip.Prefix) (low, high netip.Addr) {
	bits := p.Bits()
	if p.Addr().Is4() {
		bits += 96
	}
	a := p.Masked().Addr().As16()
	low = netip.AddrFrom16(a)
	for i := bits; i < 128; i++ {
		a[i/8] |= 1 << (7 - i%8)
	}
	return low, netip.AddrFrom16(a)
}

// addServices reads what devices serve and use.
func (s *Scorer) addServices(ctx context.Context, list []Device) error {
	if len(list) == 0 {
		return nil
	}
	at := map[uint64]*Device{}
	ids := []uint64{}
	aliases, targets := []uint64{0}, []uint64{0} // never empty: the engine could not tell their type
	for i := range list {
		d := &list[i]
		at[d.ID] = d
		ids = append(ids, d.ids()...)
		for _, id := range d.ids() {
			if id != d.ID {
				aliases, targets = append(aliases, id), append(targets, d.ID)
			}
		}
	}
	all := len(ids) > idsPerQuery
	if all {
		ids = []uint64{}
	}
	values := map[string]any{"ids": ids, "all": all, "aliases": aliases, "targets": targets}
	return each(ctx, s, deviceServicesSQL, values, func(r row) error {
		var id uint64
		var proto [2][]uint8
		var port [2][]uint16
		var peers [2][]uint64
		var flows, out, in uint64
		if err := r.Scan(&id, &proto[0], &port[0], &peers[0], &proto[1], &port[1], &peers[1], &flows, &out, &in); err != nil {
			return err
		}
		if d := at[id]; d != nil {
			d.Serves, d.Uses = s.services(proto[0], port[0], peers[0]), s.services(proto[1], port[1], peers[1])
			d.Flows, d.BytesOut, d.BytesIn = flows, out, in
		}
		return nil
	})
}

func (s *Scorer) services(proto []uint8, port []uint16, peers []uint64) []Service {
	out := make([]Service, len(proto))
	for i := range proto {
		out[i] = Service{proto[i], port[i], s.config.Service(proto[i], port[i]), peers[i]}
	}
	return out
}

// identities are who some devices are, by each of their ids, without what they do.
func (s *Scorer) identities(ctx context.Context, ids []uint64) (map[uint64]Device, error) {
	list, err := s.details(ctx, ids)
	if err != nil {
		return nil, fmt.Errorf("read devices: %w", err)
	}
	return byIDs(list), nil
}

func byIDs(list []Device) map[uint64]Device {
	out := map[uint64]Device{}
	for _, d := range list {
		for _, id := range d.Members {
			out[id] = d
		}
		out[d.ID] = d
	}
	return out
}

func (s *Scorer) devicesByID(ctx context.Context, ids []uint64) (map[uint64]Device, error) {
	if len(ids) == 0 {
		return map[uint64]Device{}, nil
	}
	list, err := s.Devices(ctx, DeviceFilter{IDs: ids})
	if err != nil {
		return nil, err
	}
	return byIDs(list), nil
}

// Device finds a device by MAC, address, id (16 hex digits), label or host name.
func (s *Scorer) Device(ctx context.Context, name string) (Device, error) {
	values := map[string]any{"site": s.config.Site, "id": uint64(0), "mac": uint64(0), "address": netip.IPv6Unspecified(), "label": name}
	if id, err := strconv.ParseUint(name, 16, 64); err == nil && len(name) == 16 {
		values["id"] = id
	} else if mac, err := net.ParseMAC(name); err == nil && len(mac) == 6 {
		var n uint64
		for _, b := range mac {
			n = n<<8 | uint64(b)
		}
		values["mac"] = n
	} else if a, err := netip.ParseAddr(name); err == nil {
		values["address"] = a
	}
	ids, err := column[uint64](ctx, s, findDeviceSQL, values)
	if err != nil {
		return Device{}, fmt.Errorf("find device %q: %w", name, err)
	}
	if len(ids) == 0 {
		return Device{}, fmt.Errorf("device %q: %w; name it by MAC, address, id or label as in `tidemark devices`", name, ErrNotFound)
	}
	list, err := s.Devices(ctx, DeviceFilter{IDs: ids})
	if err != nil {
		return Device{}, err
	}
	switch len(list) {
	case 0:
		return Device{}, fmt.Errorf("device %q: %w", name, ErrNotFound)
	case 1:
		return list[0], nil
	}
	var ambiguous []string
	for _, d := range list {
		ambiguous = append(ambiguous, d.Name())
	}
	return Device{}, fmt.Errorf("device %q: %w: %s; name it by id", name, ErrAmbiguous, strings.Join(ambiguous, ", "))
}

// Binding is an address and the MAC that last sent from it: what package enrich
// needs to know after a restart.
type Binding struct {
	Addr    netip.Addr
	MAC     uint64
	Since   time.Time // first seen with it, in these days
	Seen    time.Time
	Gateway bool
}

// Bindings returns the addresses of the last seven days with their MACs.
func (s *Scorer) Bindings(ctx context.Context) ([]Binding, error) {
	out, err := query(ctx, s, bindingsSQL, map[string]any{"site": s.config.Site}, func(r row, b *Binding) error {
		var gateway uint8
		err := r.Scan(&b.Addr, &b.MAC, &b.Since, &b.Seen, &gateway)
		b.Addr, b.Gateway = b.Addr.Unmap(), gateway != 0
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read bindings: %w", err)
	}
	return out, nil
}

// ParseDevice reads a device id: 16 hex digits.
func ParseDevice(s string) (uint64, error) {
	id, err := strconv.ParseUint(s, 16, 64)
	if err != nil || len(s) != 16 {
		return 0, fmt.Errorf("device id %q: want 16 hex digits, as `tidemark devices show` gives them", s)
	}
	return id, nil
}
