package source

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/gosnmp/gosnmp"

	"tidemark/enrich/binding"
)

// Router is a router or switch whose neighbour table is read by SNMP. With a
// User it is asked by version 3, else by version 2c.
type Router struct {
	Address   string // host or host:port
	VRF       uint32
	Community string
	User      string
	Auth      string // sha, sha256, sha512; "" = no authentication
	AuthKey   string
	Privacy   string // aes, aes256; "" = none
	PrivKey   string
}

// Objects of IP-MIB (RFC 4293) and IF-MIB (RFC 2863).
const (
	oidForwarding   = ".1.3.6.1.2.1.4.1.0"
	oidAddrIf       = ".1.3.6.1.2.1.4.20.1.2" // ipAdEntIfIndex
	oidIfPhys       = ".1.3.6.1.2.1.2.2.1.6"  // ifPhysAddress
	oidNetToMedia   = ".1.3.6.1.2.1.4.22.1.2" // ipNetToMediaPhysAddress: IPv4, deprecated and everywhere
	oidNetToPhys    = ".1.3.6.1.2.1.4.35.1.4" // ipNetToPhysicalPhysAddress: both families
	snmpTimeout     = 5 * time.Second
	snmpRepetitions = 25
)

var errEnough = errors.New("enough")

// Walk asks a router for its neighbours, for its own addresses, which are a
// gateway's if it forwards, and for its bridge table.
func Walk(ctx context.Context, r Router) (Reading, error) {
	var out Reading
	g, err := r.client(ctx)
	if err != nil {
		return out, fmt.Errorf("ask %s by SNMP: %w", r.Address, err)
	}
	if err := g.Connect(); err != nil {
		return out, fmt.Errorf("ask %s by SNMP: %w", r.Address, err)
	}
	defer g.Conn.Close()
	for _, step := range []func(*gosnmp.GoSNMP, *Reading) error{walkOwn, walkNeighbours, walkBridge} {
		if err := step(g, &out); err != nil {
			return out, fmt.Errorf("ask %s by SNMP: %w", r.Address, err)
		}
	}
	for i := range out.Bindings {
		out.Bindings[i].VRF = r.VRF
	}
	return out, nil
}

func (r Router) client(ctx context.Context) (*gosnmp.GoSNMP, error) {
	host, port := r.Address, "161"
	if h, p, err := net.SplitHostPort(r.Address); err == nil {
		host, port = h, p
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return nil, fmt.Errorf("port %q: want 1 to 65535", port)
	}
	g := &gosnmp.GoSNMP{
		Target: host, Port: uint16(number), Transport: "udp", Context: ctx, Timeout: snmpTimeout, Retries: 1,
		MaxRepetitions: snmpRepetitions, MaxOids: gosnmp.MaxOids, Version: gosnmp.Version2c, Community: r.Community,
	}
	if r.User == "" {
		return g, nil
	}
	usm := &gosnmp.UsmSecurityParameters{UserName: r.User, AuthenticationPassphrase: r.AuthKey, PrivacyPassphrase: r.PrivKey}
	g.Version, g.SecurityModel, g.MsgFlags = gosnmp.Version3, gosnmp.UserSecurityModel, gosnmp.NoAuthNoPriv
	if r.Auth != "" {
		known := map[string]gosnmp.SnmpV3AuthProtocol{"sha": gosnmp.SHA, "sha256": gosnmp.SHA256, "sha512": gosnmp.SHA512}
		if usm.AuthenticationProtocol = known[r.Auth]; usm.AuthenticationProtocol == 0 {
			return nil, fmt.Errorf("auth %q: want sha, sha256 or sha512", r.Auth)
		}
		g.MsgFlags = gosnmp.AuthNoPriv
	}
	if r.Privacy != "" {
		known := map[string]gosnmp.SnmpV3PrivProtocol{"aes": gosnmp.AES, "aes256": gosnmp.AES256}
		if usm.PrivacyProtocol = known[r.Privacy]; usm.PrivacyProtocol == 0 || r.Auth == "" {
			return nil, fmt.Errorf("privacy %q: want aes or aes256, with auth", r.Privacy)
		}
		g.MsgFlags = gosnmp.AuthPriv
	}
	g.SecurityParameters = usm
	return g, nil
}

// walk calls f with the part of each object's name behind the column, until
// there are too many.
func walk(g *gosnmp.GoSNMP, column string, f func(index string, v gosnmp.SnmpPDU)) error {
	n := 0
	err := g.BulkWalk(column, func(v gosnmp.SnmpPDU) error {
		if n++; n > maxBindings {
			return errEnough
		}
		if index, ok := strings.CutPrefix(v.Name, column+"."); ok {
			f(index, v)
		}
		return nil
	})
	if errors.Is(err, errEnough) {
		return nil
	}
	return err
}

// walkOwn finds the router's own addresses.
func walkOwn(g *gosnmp.GoSNMP, out *Reading) error {
	forwarding, err := g.Get([]string{oidForwarding})
	if err != nil {
		return err
	}
	if len(forwarding.Variables) != 1 || gosnmp.ToBigInt(forwarding.Variables[0].Value).Int64() != 1 {
		return nil // a host, or it does not say
	}
	macs := map[string]uint64{}
	err = walk(g, oidIfPhys, func(index string, v gosnmp.SnmpPDU) {
		if mac, ok := physical(v); ok {
			macs[index] = mac
		}
	})
	if err != nil {
		return err
	}
	return walk(g, oidAddrIf, func(index string, v gosnmp.SnmpPDU) {
		mac := macs[gosnmp.ToBigInt(v.Value).String()]
		if addr, err := parseAddr(index); err == nil && mac != 0 && !addr.IsLoopback() {
			out.add(0, binding.Interval{Addr: addr, MAC: mac, Source: binding.Neighbour, Gateway: true})
		}
	})
}

func walkNeighbours(g *gosnmp.GoSNMP, out *Reading) error {
	seen := map[netip.Addr]bool{}
	take := func(addr netip.Addr, ok bool, v gosnmp.SnmpPDU) {
		mac, known := physical(v)
		if !ok || !known || seen[addr] || addr.IsUnspecified() || addr.IsMulticast() || addr.IsLoopback() {
			return // incomplete entries and groups are in the tables too
		}
		seen[addr] = true
		out.add(0, binding.Interval{Addr: addr, MAC: mac, Source: binding.Neighbour})
	}
	if err := walk(g, oidNetToPhys, func(index string, v gosnmp.SnmpPDU) {
		addr, ok := physicalIndex(index)
		take(addr, ok, v)
	}); err != nil {
		return err
	}
	return walk(g, oidNetToMedia, func(index string, v gosnmp.SnmpPDU) {
		_, address, _ := strings.Cut(index, ".") // ifIndex.a.b.c.d
		addr, err := netip.ParseAddr(address)
		take(addr, err == nil, v)
	})
}

// physicalIndex reads "ifIndex.type.length.octets" of ipNetToPhysicalTable:
// types 1 and 2 are IPv4 and IPv6, 3 and 4 the same with a zone (RFC 4001).
func physicalIndex(index string) (netip.Addr, bool) {
	f := strings.Split(index, ".")
	if len(f) < 7 {
		return netip.Addr{}, false
	}
	b := make([]byte, 0, 20)
	for _, s := range f[3:] {
		n, err := strconv.ParseUint(s, 10, 8)
		if err != nil || len(b) == cap(b) {
			return netip.Addr{}, false
		}
		b = append(b, byte(n))
	}
	switch {
	case f[1] == "1" && len(b) == 4, f[1] == "2" && len(b) == 16:
	case f[1] == "3" && len(b) == 8, f[1] == "4" && len(b) == 20:
		b = b[:len(b)-4]
	default:
		return netip.Addr{}, false
	}
	addr, ok := netip.AddrFromSlice(b)
	return addr.Unmap(), ok
}

// physical is the MAC in an object: six octets.
func physical(v gosnmp.SnmpPDU) (uint64, bool) {
	b, ok := v.Value.([]byte)
	if !ok || len(b) != 6 {
		return 0, false
	}
	mac, err := ParseMAC(hex.EncodeToString(b))
	return mac, err == nil
}
