// Package inventory reads lists of devices that people keep: YAML, JSON, CSV, the
// CSV export of NetAlertX, and the XML of nmap.
//
// What cannot be read is named by line and reason, and the rest is used.
package inventory

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"tidemark/collector/flow/oneline"
	"tidemark/enrich/binding"
	"tidemark/enrich/source"
)

const (
	maxFile   = 16 << 20 // octets
	maxItems  = 1 << 18
	maxFaults = 20
	maxText   = 255 // octets of a field
	maxMany   = 64  // MACs or addresses of one device
)

// Item is one device of an inventory.
type Item struct {
	Name        string
	MACs        []uint64
	Addresses   []netip.Addr
	Gateway     bool // a router: never a device
	Kind        string
	Criticality string // low, normal, high or critical
	Zone        string
	Owner       string
	Note        string
	MUD         string // URL or file of its MUD profile (RFC 8520)
	Line        int
}

// List is what was read.
type List struct {
	Items  []Item
	Faults []source.Fault
	Bad    int // all faults, the first of which are named
}

func (l *List) fault(line int, format string, args ...any) {
	l.Bad++
	if len(l.Faults) < maxFaults {
		l.Faults = append(l.Faults, source.Fault{Line: line, Reason: fmt.Sprintf(format, args...)})
	}
}

// Read reads an inventory, whose form it finds by its content: XML, JSON, YAML,
// or CSV with a header.
func Read(text []byte) (List, error) {
	var l List
	if len(text) > maxFile {
		return l, fmt.Errorf("read inventory: it has %d octets, want at most %d", len(text), maxFile)
	}
	text = bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))
	begin := bytes.TrimSpace(text)
	if len(begin) == 0 {
		return l, errors.New("read inventory: it is empty")
	}
	var err error
	first, _, _ := bytes.Cut(begin, []byte("\n"))
	switch {
	case begin[0] == '<':
		err = readNmap(text, &l)
	case begin[0] == '{' || begin[0] == '[' || begin[0] == '-' || begin[0] == '#' || bytes.HasSuffix(bytes.TrimSpace(first), []byte(":")):
		err = readYAML(text, &l)
	default:
		err = readCSV(text, &l)
	}
	if err != nil {
		return l, fmt.Errorf("read inventory: %w", err)
	}
	l.resolve()
	return l, nil
}

// resolve takes out what contradicts itself: a MAC or an address belongs to the
// device that named it first.
func (l *List) resolve() {
	owner := map[uint64]int{}
	holder := map[netip.Addr]int{}
	for i := range l.Items {
		item := &l.Items[i]
		item.MACs = slices.DeleteFunc(item.MACs, func(mac uint64) bool {
			at, taken := owner[mac]
			if !taken {
				owner[mac] = i
			} else if at != i {
				l.fault(item.Line, "MAC %s belongs to the device of line %d already", MAC(mac), l.Items[at].Line)
			}
			return taken
		})
		item.Addresses = slices.DeleteFunc(item.Addresses, func(a netip.Addr) bool {
			at, taken := holder[a]
			if !taken {
				holder[a] = i
			} else if at != i {
				l.fault(item.Line, "address %s belongs to the device of line %d already", a, l.Items[at].Line)
			}
			return taken
		})
	}
	l.Items = slices.DeleteFunc(l.Items, func(i Item) bool { return len(i.MACs) == 0 && len(i.Addresses) == 0 })
}

// MAC writes a MAC with colons.
func MAC(mac uint64) string {
	s := fmt.Sprintf("%012x", mac)
	return s[0:2] + ":" + s[2:4] + ":" + s[4:6] + ":" + s[6:8] + ":" + s[8:10] + ":" + s[10:12]
}

// Bindings are the addresses of the devices whose MAC the list names.
func (l *List) Bindings() (out []binding.Interval) {
	for _, i := range l.Items {
		if len(i.MACs) == 0 {
			continue
		}
		for _, a := range i.Addresses {
			out = append(out, binding.Interval{Addr: a, MAC: i.MACs[0], Source: binding.Inventory, Name: i.Name, Gateway: i.Gateway})
		}
	}
	return out
}

// set fills one field by the name it has in YAML and CSV.
func (i *Item) set(field, value string) error {
	value = strings.TrimSpace(strings.NewReplacer("\r\n", " ", "\n", " ", "\t", " ").Replace(value)) // comments may have lines
	if value == "" {
		return nil
	}
	if len(value) > maxText && field != "mac" && field != "address" {
		return fmt.Errorf("%s: longer than %d octets", field, maxText)
	}
	if !oneline.Valid(value) {
		return fmt.Errorf("%s: got %.60q, want one line of text in UTF-8 without control characters", field, value)
	}
	switch field {
	case "mac":
		return each(value, func(s string) error {
			mac, err := source.ParseMAC(s)
			if err == nil && len(i.MACs) < maxMany {
				i.MACs = append(i.MACs, mac)
			}
			return err
		})
	case "address":
		return each(value, func(s string) error {
			a, err := netip.ParseAddr(s)
			if err != nil || a.IsUnspecified() || a.IsMulticast() {
				return fmt.Errorf("got %q, want the IP address of one host", s)
			}
			if len(i.Addresses) < maxMany {
				i.Addresses = append(i.Addresses, a.Unmap().WithZone(""))
			}
			return nil
		})
	case "name":
		i.Name = value
	case "kind":
		i.Kind = value
	case "role":
		if value != "gateway" && value != "device" {
			return fmt.Errorf("role: got %q, want gateway or device", value)
		}
		i.Gateway = value == "gateway"
	case "criticality":
		if !slices.Contains(Criticalities(), value) {
			return fmt.Errorf("criticality: got %q, want one of %s", value, strings.Join(Criticalities(), ", "))
		}
		i.Criticality = value
	case "zone":
		i.Zone = value
	case "owner":
		i.Owner = value
	case "note":
		i.Note = value
	case "mud":
		i.MUD = value
	default:
		return fmt.Errorf("%s: no such field, want one of %s", field, strings.Join(Fields(), ", "))
	}
	return nil
}

func each(list string, f func(string) error) error {
	for s := range strings.FieldsFuncSeq(list, func(r rune) bool { return r == ' ' || r == ',' || r == ';' }) {
		if err := f(s); err != nil {
			return err
		}
	}
	return nil
}

// Fields are the fields of an item by name.
func Fields() []string {
	return []string{"name", "mac", "address", "role", "kind", "criticality", "zone", "owner", "note", "mud"}
}

// Criticalities are how much depends on a device.
func Criticalities() []string { return []string{"low", "normal", "high", "critical"} }

func (l *List) add(i Item) {
	switch {
	case len(l.Items) >= maxItems:
		l.fault(i.Line, "more than %d devices: the rest is not read", maxItems)
	case len(i.MACs) == 0 && len(i.Addresses) == 0:
		l.fault(i.Line, "device %q has neither MAC nor address", i.Name)
	default:
		l.Items = append(l.Items, i)
	}
}
