package classifier

import (
	"context"
	_ "embed"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"tidemark/enrich/kind"
)

var (
	//go:embed query/devices.sql
	devicesSQL string
	//go:embed query/services.sql
	servicesSQL string
	//go:embed query/behaviour.sql
	behaviourSQL string
	//go:embed query/hints.sql
	hintsSQL string
	//go:embed query/peer_names.sql
	peerNamesSQL string
)

// Facts are what is known of a device, with where its names come from.
type Facts struct {
	kind.Facts
	Hints []Hint `json:"hints"`

	mac   uint64
	addrs []netip.Addr // if it has no MAC
}

// Hint is something a device said or asked for.
type Hint struct {
	Hint   string    `json:"hint"` // domain, hostname, vendor_info, discovery, dhcp_options
	Value  string    `json:"value"`
	Source string    `json:"source"` // dns, tls, http, mdns, dhcp, ssdp, netbios, llmnr; peer: the name of an address it dealt with, reverse: by DNS only
	First  time.Time `json:"first"`
	Last   time.Time `json:"last"`
	Seen   uint64    `json:"seen"` // packets that were sampled
}

// Facts reads what is known of devices.
func (c *Classifier) Facts(ctx context.Context, ids []uint64) (map[uint64]*Facts, error) {
	out := map[uint64]*Facts{}
	for _, read := range []func(context.Context, []uint64, map[uint64]*Facts) error{c.devices, c.services, c.behaviour, c.hints, c.peerNames} {
		if err := read(ctx, ids, out); err != nil {
			return nil, fmt.Errorf("read facts of devices: %w", err)
		}
	}
	for _, f := range out {
		if f.resolves() {
			f.Domains = nil // it asks for others
		}
	}
	return out, nil
}

// resolves says whether a device answers DNS queries of the site.
func (f *Facts) resolves() bool {
	return slices.ContainsFunc(f.Services, func(s kind.Service) bool { return s.Role == kind.Serves && s.Port == 53 && !s.WAN })
}

// query runs a statement that names devices and has f scan each row.
func (c *Classifier) query(ctx context.Context, statement string, p clickhouse.Parameters, f func(scan func(...any) error) error) error {
	rows, err := c.db.Conn().Query(c.with(ctx, p), statement)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := f(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}

func (c *Classifier) without(group string) bool { return slices.Contains(c.config.Without, group) }

func (c *Classifier) devices(ctx context.Context, ids []uint64, out map[uint64]*Facts) error {
	return c.query(ctx, devicesSQL, clickhouse.Parameters{"devices": list(ids)}, func(scan func(...any) error) error {
		var id uint64
		var last time.Time
		var addrs []string
		f := &Facts{Facts: kind.Facts{Behaviour: kind.NoBehaviour()}}
		if err := scan(&id, &f.mac, &addrs, &last); err != nil {
			return err
		}
		for _, text := range addrs {
			if a, err := netip.ParseAddr(text); err == nil && !a.Unmap().IsUnspecified() {
				f.addrs = append(f.addrs, a)
			}
		}
		if f.mac != 0 && c.config.Vendor != nil && !c.without("vendor") {
			f.Vendor = c.config.Vendor(f.mac)
		}
		out[id] = f
		return nil
	})
}

func (c *Classifier) services(ctx context.Context, ids []uint64, out map[uint64]*Facts) error {
	return c.query(ctx, servicesSQL, clickhouse.Parameters{"devices": list(ids)}, func(scan func(...any) error) error {
		var id uint64
		var role, wan uint8
		var s kind.Service
		if err := scan(&id, &role, &wan, &s.Proto, &s.Port, &s.Peers, &s.Flows); err != nil {
			return err
		}
		s.Role, s.WAN = kind.Role(role), wan != 0
		if f := out[id]; f != nil {
			f.Services = append(f.Services, s)
		}
		return nil
	})
}

func (c *Classifier) behaviour(ctx context.Context, ids []uint64, out map[uint64]*Facts) error {
	return c.query(ctx, behaviourSQL, clickhouse.Parameters{"devices": list(ids)}, func(scan func(...any) error) error {
		var id uint64
		b := kind.NoBehaviour()
		err := scan(&id, &b.Hours, &b.Flows, &b.Packets, &b.Networks, &b.NetworksDay, &b.NewShare, &b.TopShare, &b.Services, &b.OutIn, &b.BytesDay, &b.ActiveHours, &b.LANPeers, &b.Samples, &b.BytesFlow)
		if err != nil {
			return err
		}
		if f := out[id]; f != nil {
			f.Behaviour = b
		}
		return nil
	})
}

func (c *Classifier) hints(ctx context.Context, _ []uint64, out map[uint64]*Facts) error {
	if c.without("names") {
		return nil
	}
	var macs []uint64
	var addrs []netip.Addr
	byMAC, byAddr := map[uint64]*Facts{}, map[netip.Addr]*Facts{}
	for _, f := range out {
		if f.mac != 0 {
			macs = append(macs, f.mac)
			byMAC[f.mac] = f
		}
		for _, a := range f.addrs {
			addrs = append(addrs, a)
			byAddr[netip.AddrFrom16(a.As16())] = f
		}
	}
	if len(macs)+len(addrs) == 0 {
		return nil
	}
	return c.query(ctx, hintsSQL, clickhouse.Parameters{"macs": list(macs), "addrs": addressList(addrs)}, func(scan func(...any) error) error {
		var mac uint64
		var addr netip.Addr
		var h Hint
		if err := scan(&mac, &addr, &h.Hint, &h.Value, &h.Source, &h.First, &h.Last, &h.Seen); err != nil {
			return err
		}
		f := byMAC[mac]
		if f == nil {
			f = byAddr[netip.AddrFrom16(addr.As16())]
		}
		if f != nil {
			h.First, h.Last = h.First.UTC(), h.Last.UTC()
			f.add(h)
		}
		return nil
	})
}

// add keeps a hint, and once more among the facts it belongs to.
func (f *Facts) add(h Hint) {
	f.Hints = append(f.Hints, h)
	var list *[]string
	switch h.Hint {
	case "domain":
		list = &f.Domains
	case "hostname":
		list = &f.Hostnames
	case "vendor_info":
		list = &f.VendorInfo
	case "discovery":
		list = &f.Discovery
	default:
		return
	}
	if v := strings.ToLower(h.Value); !slices.Contains(*list, v) {
		*list = append(*list, v)
	}
}

func (c *Classifier) peerNames(ctx context.Context, ids []uint64, out map[uint64]*Facts) error {
	if c.without("names") {
		return nil
	}
	return c.query(ctx, peerNamesSQL, clickhouse.Parameters{"devices": list(ids)}, func(scan func(...any) error) error {
		var id uint64
		var name string
		var told uint8
		if err := scan(&id, &name, &told); err != nil {
			return err
		}
		f := out[id]
		switch {
		case f == nil || slices.Contains(f.Domains, strings.ToLower(name)):
		case told == 0: // by whoever has the address: shown, and no evidence
			f.Hints = append(f.Hints, Hint{Hint: "domain", Value: name, Source: "reverse"})
		default:
			f.add(Hint{Hint: "domain", Value: name, Source: "peer"})
		}
		return nil
	})
}
