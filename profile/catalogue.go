package profile

import (
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
	//go:embed query/devices.sql
	devicesSQL string
	//go:embed query/find_device.sql
	findDeviceSQL string
	//go:embed query/save_label.sql
	saveLabelSQL string
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

// Service is a protocol and port, with the number of peers it was used with.
type Service struct {
	Proto uint8  `json:"proto"`
	Port  uint16 `json:"port"`
	Name  string `json:"name"`
	Peers uint64 `json:"peers"`
}

// Device is an entry of the catalogue.
type Device struct {
	ID        uint64       `json:"id"`
	Label     string       `json:"label"`
	Identity  string       `json:"identity"` // mac, address, gateway (an address behind one)
	MAC       uint64       `json:"mac"`      // its own, or 0
	Vendor    string       `json:"vendor"`
	Addresses []netip.Addr `json:"addresses"`
	First     time.Time    `json:"first"`
	Last      time.Time    `json:"last"`
	Flows     uint64       `json:"flows"`
	Learning  Learning     `json:"learning"`
	Learned   time.Time    `json:"learned"` // when learning ends or ended
	Serves    []Service    `json:"serves"`
	Uses      []Service    `json:"uses"`
	Alerts    uint64       `json:"alerts"` // open incidents
	Risk      uint8        `json:"risk"`   // highest of them
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

// Title names the device in a sentence: label or address, vendor, MAC.
func (d Device) Title() string {
	name := d.Label
	if name == "" && len(d.Addresses) > 0 {
		name = d.Addresses[0].String()
	}
	if name == "" {
		name = d.Name()
	}
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
	IDs []uint64
}

// Devices returns the catalogue: every device that has sent something, the one
// seen first first. A MAC that turned out to be a gateway's is left out.
func (s *Scorer) Devices(ctx context.Context, f DeviceFilter) ([]Device, error) {
	if f.IDs == nil {
		f.IDs = []uint64{}
	}
	sql, err := bind(devicesSQL, map[string]any{"site": s.config.Site, "ids": f.IDs, "learning": uint64(s.config.LearningPeriod / time.Second)})
	if err != nil {
		return nil, err
	}
	rows, err := s.db.Conn().Query(ctx, sql)
	if err != nil {
		return nil, fmt.Errorf("read devices: %w", err)
	}
	defer rows.Close()
	var out []Device
	for rows.Next() {
		var d Device
		var asOf time.Time
		var addresses []string
		var proto [2][]uint8
		var port [2][]uint16
		var peers [2][]uint64
		err := rows.Scan(&d.ID, &d.Label, &d.Identity, &d.MAC, &addresses, &d.First, &d.Last, &d.Flows, &asOf, &d.Alerts, &d.Risk,
			&proto[0], &port[0], &peers[0], &proto[1], &port[1], &peers[1])
		if err != nil {
			return nil, fmt.Errorf("read devices: %w", err)
		}
		for _, text := range addresses {
			if a, err := netip.ParseAddr(text); err == nil {
				d.Addresses = append(d.Addresses, a.Unmap())
			}
		}
		d.Vendor = s.config.Vendor(d.MAC)
		if d.MAC == 0 {
			d.Vendor = ""
		}
		d.First, d.Last = d.First.UTC(), d.Last.UTC()
		d.Serves, d.Uses = s.services(proto[0], port[0], peers[0]), s.services(proto[1], port[1], peers[1])
		d.Learned = d.First.Add(s.config.LearningPeriod)
		switch age := asOf.Sub(d.First); {
		case age >= s.config.LearningPeriod:
			d.Learning = LearningDone
		case age >= s.config.LearningPeriod/7:
			d.Learning = LearningOpen
		default:
			d.Learning = LearningNew
		}
		out = append(out, d)
	}
	return out, rows.Err()
}

func (s *Scorer) services(proto []uint8, port []uint16, peers []uint64) []Service {
	out := make([]Service, len(proto))
	for i := range proto {
		out[i] = Service{proto[i], port[i], s.config.Service(proto[i], port[i]), peers[i]}
	}
	return out
}

func (s *Scorer) devicesByID(ctx context.Context, ids []uint64) (map[uint64]Device, error) {
	out := map[uint64]Device{}
	if len(ids) == 0 {
		return out, nil
	}
	list, err := s.Devices(ctx, DeviceFilter{IDs: ids})
	if err != nil {
		return nil, err
	}
	for _, d := range list {
		out[d.ID] = d
	}
	return out, nil
}

// Device finds a device by MAC, address, id (16 hex digits) or label.
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
	sql, err := bind(findDeviceSQL, values)
	if err != nil {
		return Device{}, err
	}
	rows, err := s.db.Conn().Query(ctx, sql)
	if err != nil {
		return Device{}, fmt.Errorf("find device %q: %w", name, err)
	}
	defer rows.Close()
	var ids []uint64
	for rows.Next() {
		var id uint64
		if err := rows.Scan(&id); err != nil {
			return Device{}, fmt.Errorf("find device %q: %w", name, err)
		}
		ids = append(ids, id)
	}
	if err := rows.Err(); err != nil {
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

// SetLabel gives a device the name people use for it.
func (s *Scorer) SetLabel(ctx context.Context, device uint64, label, actor string, at time.Time) error {
	event := Event{Kind: "label", Time: at, Actor: actor, Body: map[string]any{"site": s.config.Site, "device": fmt.Sprintf("%016x", device), "label": label}}
	if err := s.emit(ctx, event); err != nil {
		return fmt.Errorf("label device %016x: %w", device, err)
	}
	return s.exec(ctx, saveLabelSQL, map[string]any{"site": s.config.Site, "device": device, "label": label, "actor": actor, "changed": at})
}

// Binding is an address and the MAC that last sent from it: what package enrich
// needs to know after a restart.
type Binding struct {
	Addr    netip.Addr
	MAC     uint64
	Seen    time.Time
	Gateway bool
}

// Bindings returns the addresses of the last seven days with their MACs.
func (s *Scorer) Bindings(ctx context.Context) ([]Binding, error) {
	sql, err := bind(bindingsSQL, map[string]any{"site": s.config.Site})
	if err != nil {
		return nil, err
	}
	rows, err := s.db.Conn().Query(ctx, sql)
	if err != nil {
		return nil, fmt.Errorf("read bindings: %w", err)
	}
	defer rows.Close()
	var out []Binding
	for rows.Next() {
		var b Binding
		var gateway uint8
		if err := rows.Scan(&b.Addr, &b.MAC, &b.Seen, &gateway); err != nil {
			return nil, fmt.Errorf("read bindings: %w", err)
		}
		b.Addr, b.Gateway = b.Addr.Unmap(), gateway != 0
		out = append(out, b)
	}
	return out, rows.Err()
}
