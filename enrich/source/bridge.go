package source

import (
	"strconv"
	"strings"

	"github.com/gosnmp/gosnmp"
)

// Port says by which port of a switch a station is reached.
type Port struct {
	MAC  uint64
	Name string // ifName, or the number of its interface
}

// Objects of BRIDGE-MIB (RFC 4188), Q-BRIDGE-MIB (RFC 4363) and IF-MIB (RFC 2863).
const (
	oidBasePortIf = ".1.3.6.1.2.1.17.1.4.1.2"     // dot1dBasePortIfIndex
	oidFdbPort    = ".1.3.6.1.2.1.17.4.3.1.2"     // dot1dTpFdbPort by MAC
	oidVLANPort   = ".1.3.6.1.2.1.17.7.1.2.2.1.2" // dot1qTpFdbPort by VLAN's table and MAC
	oidIfName     = ".1.3.6.1.2.1.31.1.1.1.1"
	longestIfName = 255
)

// walkBridge reads a switch's bridge table; what is no switch has none.
func walkBridge(g *gosnmp.GoSNMP, out *Reading) error {
	ports := map[uint64]string{} // by MAC
	take := func(index string, v gosnmp.SnmpPDU) {
		port := gosnmp.ToBigInt(v.Value).Int64()
		if mac, ok := bridgeIndex(index); ok && port > 0 && len(ports) < maxBindings { // 0 = not known
			ports[mac] = strconv.FormatInt(port, 10)
		}
	}
	for _, table := range []string{oidFdbPort, oidVLANPort} {
		if err := walk(g, table, take); err != nil {
			return err
		}
	}
	if len(ports) == 0 {
		return nil
	}
	interfaces, names := map[string]string{}, map[string]string{}
	err := walk(g, oidBasePortIf, func(index string, v gosnmp.SnmpPDU) { interfaces[index] = gosnmp.ToBigInt(v.Value).String() })
	if err == nil {
		err = walk(g, oidIfName, func(index string, v gosnmp.SnmpPDU) {
			if b, ok := v.Value.([]byte); ok {
				names[index] = strings.ToValidUTF8(string(b[:min(len(b), longestIfName)]), "")
			}
		})
	}
	if err != nil {
		return err
	}
	for mac, port := range ports {
		name := names[interfaces[port]]
		if name == "" {
			name = "port " + port
		}
		out.Ports = append(out.Ports, Port{mac, name})
	}
	return nil
}

// bridgeIndex reads the MAC at the end of an index: its last six numbers.
func bridgeIndex(index string) (uint64, bool) {
	f := strings.Split(index, ".")
	if len(f) != 6 && len(f) != 7 {
		return 0, false
	}
	var mac uint64
	for _, s := range f[len(f)-6:] {
		n, err := strconv.ParseUint(s, 10, 8)
		if err != nil {
			return 0, false
		}
		mac = mac<<8 | n
	}
	return mac, mac != 0 && mac>>40&1 == 0 // groups are in the tables too
}
