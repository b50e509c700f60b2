package main

import (
	"cmp"
	"context"
	_ "embed"
	"fmt"
	"io"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/urfave/cli/v2"

	"tidemark/enrich"
)

var (
	//go:embed sql/coverage_devices.sql
	coverageDevicesSQL string
	//go:embed sql/coverage_addresses.sql
	coverageAddressesSQL string
	//go:embed sql/coverage_silent.sql
	coverageSilentSQL string
	//go:embed sql/coverage_vlans.sql
	coverageVLANsSQL string
)

// coverageEnough is how many packets must have been seen before a direction
// without any is missing and not just quiet.
const coverageEnough = 20

// coverage says what exporters show of the site, and what they do not.
type coverage struct {
	Networks   []networkCoverage   `json:"networks"`
	Interfaces []interfaceCoverage `json:"interfaces"` // of exporters, behind which there are devices
	VLANs      []vlanCoverage      `json:"vlans"`
	Devices    []deviceCoverage    `json:"devices"` // with a blind spot
	Unseen     []string            `json:"unseen"`  // configured networks of which nothing was seen
}

// networkCoverage counts the devices of a /24 or /64 of the site.
type networkCoverage struct {
	Network   string   `json:"network"`
	Devices   int      `json:"devices"`
	Both      int      `json:"both_directions"`
	NoReturn  int      `json:"sent_only"`     // nothing of what it receives is shown
	NoSending int      `json:"received_only"` // nothing of what it sends
	ByMAC     int      `json:"by_mac"`
	ByAddress int      `json:"by_address"`
	Gateway   int      `json:"behind_gateway"`
	Sampling  uint64   `json:"sampling"` // highest rate, 1 = every packet
	Exporters []string `json:"exporters"`
}

type vlanCoverage struct {
	VLAN     uint16 `json:"vlan"`
	Exporter string `json:"exporter"`
	Sent     uint64 `json:"sent"` // packets in the newest batches
	Received uint64 `json:"received"`
	Devices  uint64 `json:"devices"`
}

type deviceCoverage struct {
	Device    string   `json:"device"`
	Address   string   `json:"address"`
	MAC       string   `json:"mac"`
	Missing   string   `json:"missing"` // what no exporter shows
	Packets   uint64   `json:"packets"` // seen
	Exporters []string `json:"exporters"`
	Sources   []string `json:"sources"` // who knows of it, where no exporter does
}

const (
	missingReceived = "what it receives"
	missingSent     = "what it sends"
	missingAll      = "everything"
)

func coverageCommand() *cli.Command {
	return &cli.Command{
		Name:  "coverage",
		Usage: "what no exporter shows: blind spots of networks, VLANs and devices, and what sampling hides",
		Description: `Looks at the last days before the newest flow. A direction is missing when 20 packets or
more of TCP connections were seen and none of them went the other way: such a device's
peers are known, its volumes and answers only half. A network identified by address alone (no exporter shows
MACs there) loses a device when its address changes.

   tidemark coverage
   tidemark coverage --days 1
   tidemark coverage --output json`,
		Flags: []cli.Flag{
			&cli.UintFlag{Name: "days", Value: 7, Usage: "look at the last `N` days of events"},
			outputFlag(pageForms),
		},
		Action: func(c *cli.Context) error {
			if err := wantArgs(c, 0, 0, "no argument"); err != nil {
				return err
			}
			if n := c.Uint("days"); n < 1 || n > 180 {
				return usageError{fmt.Errorf("--days: got %d, want 1 to 180, as long as interactions are kept", n)}
			}
			return withStore(c, func(s *store) error {
				v, err := s.coverage(c.Context, c.Uint("days"))
				if err != nil {
					return fmt.Errorf("read coverage: %w", err)
				}
				return page(c, v, func(w io.Writer) error { return v.write(c, w) })
			})
		},
	}
}

func (s *store) coverage(ctx context.Context, days uint) (coverage, error) {
	v := coverage{Networks: []networkCoverage{}, Interfaces: []interfaceCoverage{}, VLANs: []vlanCoverage{}, Devices: []deviceCoverage{}, Unseen: []string{}}
	ctx = clickhouse.Context(ctx, clickhouse.WithParameters(clickhouse.Parameters{"site": s.cfg.Site, "days": strconv.FormatUint(uint64(days), 10)}))
	devices, err := s.seenDevices(ctx)
	if err != nil {
		return v, err
	}
	networks := map[netip.Prefix]*networkCoverage{}
	var addrs []netip.Addr
	for _, d := range devices {
		if a, ok := d.address(); ok {
			addrs = append(addrs, a)
			link := linkOf(a)
			if networks[link] == nil {
				networks[link] = &networkCoverage{Network: link.String()}
			}
			networks[link].add(d)
		}
		if missing := d.missing(); missing != "" {
			v.Devices = append(v.Devices, d.view(missing))
		}
	}
	for _, n := range networks {
		if n.Devices > 0 {
			slices.Sort(n.Exporters)
			v.Networks = append(v.Networks, *n)
		}
	}
	slices.SortFunc(v.Networks, func(a, b networkCoverage) int { return comparePrefixes(a.Network, b.Network) })
	usual := enrich.DefaultNetworks() // nobody has all of these
	for _, n := range s.cfg.Networks {
		if !slices.Contains(usual, n.Prefix) && !slices.ContainsFunc(addrs, n.Prefix.Contains) {
			v.Unseen = append(v.Unseen, n.Prefix.String())
		}
	}
	if err := s.unseenStations(ctx, &v); err != nil {
		return v, err
	}
	if err := s.coverInterfaces(ctx, &v); err != nil {
		return v, err
	}
	return v, s.each(ctx, coverageVLANsSQL, func(scan func(...any) error) error {
		var l vlanCoverage
		if err := scan(&l.VLAN, &l.Exporter, &l.Sent, &l.Received, &l.Devices); err != nil {
			return err
		}
		l.Exporter = plainAddress(l.Exporter)
		v.VLANs = append(v.VLANs, l)
		return nil
	})
}

// maxAddressless bounds the devices whose address is looked for among flows.
const maxAddressless = 1000

func (s *store) seenDevices(ctx context.Context) ([]seenDevice, error) {
	var devices []seenDevice
	bare := map[uint64]int{}
	err := s.each(ctx, coverageDevicesSQL, func(scan func(...any) error) error {
		var d seenDevice
		if err := d.scan(scan); err != nil {
			return err
		}
		if _, ok := d.address(); !ok && d.missing() != "" && len(bare) < maxAddressless {
			bare[d.id] = len(devices)
		}
		devices = append(devices, d)
		return nil
	})
	if err != nil || len(bare) == 0 {
		return devices, err
	}
	ids := slices.Collect(maps.Keys(bare))
	ctx = clickhouse.Context(ctx, clickhouse.WithParameters(clickhouse.Parameters{"devices": idList(ids)}))
	return devices, s.each(ctx, coverageAddressesSQL, func(scan func(...any) error) error {
		var id uint64
		var addr string
		if err := scan(&id, &addr); err != nil {
			return err
		}
		if i, ok := bare[id]; ok {
			devices[i].met = addr
		}
		return nil
	})
}

// unseenStations adds what inventories, leases and neighbour tables know of and
// no flow shows.
func (s *store) unseenStations(ctx context.Context, v *coverage) error {
	return s.each(ctx, coverageSilentSQL, func(scan func(...any) error) error {
		var id, mac uint64
		var d deviceCoverage
		var name string
		if err := scan(&id, &mac, &d.Address, &d.Sources, &name); err != nil {
			return err
		}
		d.Device, d.Address, d.MAC, d.Missing, d.Exporters = fmt.Sprintf("%016x", id), plainAddress(d.Address), macText(mac), missingAll, []string{}
		v.Devices = append(v.Devices, d)
		return nil
	})
}

// each runs a statement and has f scan each row.
func (s *store) each(ctx context.Context, statement string, f func(scan func(...any) error) error) error {
	rows, err := s.db.Conn().Query(ctx, statement)
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

// seenDevice is a row of coverage_devices.sql.
type seenDevice struct {
	id        uint64
	identity  string // "none": it has sent nothing
	mac       uint64
	addrs     []string
	met       string    // address by which others dealt with it
	out, in   uint64    // packets
	tcp       [2]uint64 // of those TCP: sent, received
	told      uint64    // packets seen of TCP connections that came about
	rate      uint64
	exporters []string
}

func (d *seenDevice) scan(scan func(...any) error) error {
	err := scan(&d.id, &d.identity, &d.mac, &d.addrs, &d.met, &d.out, &d.in, &d.tcp[0], &d.tcp[1], &d.told, &d.rate, &d.exporters)
	for i, e := range d.exporters {
		d.exporters[i] = plainAddress(e)
	}
	return err
}

func (d *seenDevice) address() (netip.Addr, bool) {
	for _, text := range append(slices.Clone(d.addrs), d.met) {
		if a, err := netip.ParseAddr(text); err == nil && !a.Unmap().IsUnspecified() {
			return a.Unmap(), true
		}
	}
	return netip.Addr{}, false
}

// missing names the direction that no exporter shows, "" if both are there or
// too little was seen.
func (d *seenDevice) missing() string {
	switch {
	case d.told < coverageEnough:
		return ""
	case d.tcp[1] == 0:
		return missingReceived
	case d.tcp[0] == 0:
		return missingSent
	}
	return ""
}

func (d *seenDevice) view(missing string) deviceCoverage {
	out := deviceCoverage{Device: fmt.Sprintf("%016x", d.id), MAC: macText(d.mac), Missing: missing, Packets: d.told, Exporters: d.exporters, Sources: []string{}}
	if a, ok := d.address(); ok {
		out.Address = a.String()
	}
	return out
}

func (n *networkCoverage) add(d seenDevice) {
	missing := d.missing()
	if d.identity == "none" && missing == "" {
		return // it was only tried
	}
	n.Devices++
	switch {
	case missing == missingReceived:
		n.NoReturn++
	case missing == missingSent:
		n.NoSending++
	case d.in > 0 && d.out > 0:
		n.Both++
	}
	switch d.identity {
	case "mac":
		n.ByMAC++
	case "gateway":
		n.Gateway++
	default:
		n.ByAddress++
	}
	n.Sampling = max(n.Sampling, d.rate, 1)
	for _, e := range d.exporters {
		if !slices.Contains(n.Exporters, e) {
			n.Exporters = append(n.Exporters, e)
		}
	}
}

// linkOf is the /24 or /64 of an address.
func linkOf(a netip.Addr) netip.Prefix {
	bits := 64
	if a.Is4() {
		bits = 24
	}
	return netip.PrefixFrom(a, bits).Masked()
}

func comparePrefixes(a, b string) int {
	p, err1 := netip.ParsePrefix(a)
	q, err2 := netip.ParsePrefix(b)
	if err1 != nil || err2 != nil {
		return cmp.Compare(a, b)
	}
	return p.Addr().Compare(q.Addr())
}

func plainAddress(s string) string {
	if a, err := netip.ParseAddr(s); err == nil {
		return a.Unmap().String()
	}
	return s
}

func macText(mac uint64) string {
	if mac == 0 {
		return ""
	}
	return net.HardwareAddr{byte(mac >> 40), byte(mac >> 32), byte(mac >> 24), byte(mac >> 16), byte(mac >> 8), byte(mac)}.String()
}

// blind says in words what is wrong with a network, "" if nothing.
func (n networkCoverage) blind() string {
	var out []string
	if n.NoReturn == n.Devices {
		out = append(out, "nothing it receives is shown: export the other direction too")
	} else if n.NoSending == n.Devices {
		out = append(out, "nothing it sends is shown: export the other direction too")
	} else if half := n.NoReturn + n.NoSending; half > 0 {
		out = append(out, fmt.Sprintf("%s in one direction only", plural(half, "device")))
	}
	if n.ByMAC == 0 && n.Devices > 0 {
		out = append(out, "no MACs: identity is lost when addresses change")
	}
	return strings.Join(out, "; ")
}

func (v coverage) write(c *cli.Context, w io.Writer) error {
	err := list(c, "networks", v.Networks, []column[networkCoverage]{
		{"network", left, func(n networkCoverage) string { return n.Network }, nil},
		{"devices", right, func(n networkCoverage) string { return count(n.Devices) }, nil},
		{"both ways", right, func(n networkCoverage) string { return count(n.Both) }, nil},
		{"by MAC", right, func(n networkCoverage) string { return count(n.ByMAC) }, nil},
		{"by address", right, func(n networkCoverage) string { return count(n.ByAddress + n.Gateway) }, nil},
		{"sampling", right, func(n networkCoverage) string { return fmt.Sprintf("1:%d", n.Sampling) }, nil},
		{"exporters", flex, func(n networkCoverage) string { return strings.Join(n.Exporters, " ") }, nil},
		{"blind spot", flex, func(n networkCoverage) string { return orDash(n.blind()) }, nil},
	})
	if err != nil {
		return err
	}
	v.writeDevices(w)
	v.writeInterfaces(w)
	v.writeVLANs(w)
	if len(v.Unseen) > 0 {
		fmt.Fprintf(w, "\nnothing was seen of %s (networks in the configuration)\n", strings.Join(v.Unseen, ", "))
	}
	return v.writeSampling(w)
}

// shownDevices is how many devices a page names; JSON holds all.
const shownDevices = 20

func (v coverage) writeDevices(w io.Writer) {
	for i, d := range v.Devices {
		if i == 0 {
			fmt.Fprintln(w, "\nno exporter shows")
		}
		if i == shownDevices {
			fmt.Fprintf(w, "  and %s more; --output json has all\n", count(len(v.Devices)-i))
			break
		}
		by := "seen by " + strings.Join(d.Exporters, " ")
		if d.Missing == missingAll {
			by = "known by " + strings.Join(d.Sources, " ")
		}
		if d.Address == "" && d.MAC == "" {
			d.Address = d.Device
		}
		fmt.Fprintf(w, "  %-16s of %s\n", d.Missing, printable(strings.Join(slices.DeleteFunc([]string{d.Address, d.MAC, by}, func(s string) bool { return s == "" }), ", ")))
	}
}

func (v coverage) writeVLANs(w io.Writer) {
	for _, l := range v.VLANs {
		if l.VLAN == 0 || l.Sent+l.Received < coverageEnough || l.Sent > 0 && l.Received > 0 {
			continue
		}
		half := "send"
		if l.Received == 0 {
			half = "receive"
		}
		fmt.Fprintf(w, "\nVLAN %d at %s: nothing that its devices %s is shown with this tag\n", l.VLAN, l.Exporter, half)
	}
}

// writeSampling says what a sampling rate hides. A packet is seen with chance
// 1/N: three times N packets are missed as a whole with chance (1-1/N)^3N, 5 %.
// A scan needs about eight samples to be told from chance
// (reference/detection.md, 3.7).
func (v coverage) writeSampling(w io.Writer) error {
	byRate := map[uint64][]string{}
	for _, n := range v.Networks {
		if n.Sampling > 1 {
			byRate[n.Sampling] = append(byRate[n.Sampling], n.Network)
		}
	}
	for _, rate := range slices.Sorted(maps.Keys(byRate)) {
		fmt.Fprintf(w, "\nsampled 1:%d: %s\n  A device or peer of fewer than %s packets may not be seen at all (1 chance in 20); a scan shows after about\n  %s probes; failed connections and the times of beacons are not counted there.\n",
			rate, shorten(strings.Join(byRate[rate], " "), usualWidth), count(3*rate), count(8*rate))
	}
	return nil
}
