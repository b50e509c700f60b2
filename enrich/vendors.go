package enrich

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Vendors names the vendors of MACs: an operator's own table before that of the
// program. Its zero value has no table of its own.
type Vendors struct{ own map[uint64]string }

// maxVendorFaults is how many lines of a file are complained of one by one.
const maxVendorFaults = 20

// ReadVendors reads a table of lines "PREFIX name": 6, 7 or 9 hex digits, with
// or without colons or dashes, as IEEE assigns them (MA-L, MA-M, MA-S). Lines
// that begin with # are left out. It reports every fault, a file of another
// kind as one.
func ReadVendors(name string, text []byte) (Vendors, error) {
	if !utf8.Valid(text) || strings.ContainsRune(string(text), 0) {
		return Vendors{}, fmt.Errorf("read vendors %s: it is no text file; want lines such as \"00:40:8C Axis Communications AB\"", name)
	}
	v := Vendors{own: map[uint64]string{}}
	var faults []error
	for i, line := range strings.Split(string(text), "\n") {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		at := strings.IndexAny(line, " \t")
		if at < 0 {
			at = len(line)
		}
		prefix := strings.ToUpper(strings.NewReplacer(":", "", "-", "").Replace(line[:at]))
		who := strings.TrimSpace(line[at:])
		if n := len(prefix); n != 6 && n != 7 && n != 9 || strings.Trim(prefix, "0123456789ABCDEF") != "" || who == "" {
			faults = append(faults, fmt.Errorf("line %d: got %.40q, want 6, 7 or 9 hex digits and a name", i+1, line))
			continue
		}
		v.own[assignmentKey(parseHex(prefix), 4*len(prefix))] = who
	}
	if n := len(faults); n > maxVendorFaults {
		faults = append(faults[:maxVendorFaults], fmt.Errorf("and %d lines more: is it a table of vendors?", n-maxVendorFaults))
	}
	if len(faults) > 0 {
		return Vendors{}, fmt.Errorf("read vendors %s: %w", name, errors.Join(faults...))
	}
	return v, nil
}

// Name is Vendor, but for MACs of the operator's own table. That may name
// locally administered MACs too: those of a virtual machine's maker, say.
func (v Vendors) Name(mac uint64) string {
	for _, length := range [...]int{36, 28, 24} {
		if who, ok := v.own[assignmentKey(mac, length)]; ok {
			return who
		}
	}
	return Vendor(mac)
}
