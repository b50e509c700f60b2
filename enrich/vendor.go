package enrich

import (
	"bytes"
	"compress/gzip"
	_ "embed"
	"encoding/binary"
	"io"
	"sort"
	"strings"
	"sync"
)

// oui.gz holds the IEEE registries MA-L, MA-M and MA-S (with its predecessor
// IAB) as lines "PREFIX<tab>organisation", sorted, 6, 7 or 9 hex digits to a
// prefix. scripts/oui.sh makes it from Debian's package ieee-data, which says:
// "IEEE does not assert any copyright in the OUI Public Listing".
//
//go:embed oui.gz
var ouiFile []byte

// assignment is a block of MACs: its first address with the length of its
// prefix in the low octet, so that one sorted slice serves all lengths.
type assignment struct {
	key  uint64
	name string
}

func assignmentKey(mac uint64, length int) uint64 {
	return mac>>(48-length)<<(48-length)<<8 | uint64(length)
}

var assignments = sync.OnceValue(func() []assignment {
	z, err := gzip.NewReader(bytes.NewReader(ouiFile))
	if err != nil {
		return nil // cannot be: the test reads the embedded file
	}
	text, err := io.ReadAll(z)
	if err != nil {
		return nil
	}
	var table []assignment
	for line := range strings.Lines(string(text)) {
		prefix, name, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		if ok {
			table = append(table, assignment{assignmentKey(parseHex(prefix), 4*len(prefix)), name})
		}
	}
	sort.Slice(table, func(i, j int) bool { return table[i].key < table[j].key })
	return table
})

func parseHex(s string) uint64 {
	var b [8]byte
	for i := range s {
		d := s[i]
		if d >= 'A' {
			d -= 'A' - 10
		} else {
			d -= '0'
		}
		b[2+i/2] |= d << (4 * (1 - i%2))
	}
	return binary.BigEndian.Uint64(b[:])
}

// RandomMAC says whether a MAC is locally administered: made up by its owner,
// perhaps anew each night.
func RandomMAC(mac uint64) bool { return mac&(groupMAC<<1) != 0 }

// Vendor names the organisation a MAC's block is assigned to, by the longest
// prefix; "" if nobody, "(random)" if the MAC is locally administered and so
// belongs to no vendor.
func Vendor(mac uint64) string {
	if RandomMAC(mac) {
		return "(random)"
	}
	table := assignments()
	for _, length := range [...]int{36, 28, 24} {
		key := assignmentKey(mac, length)
		i := sort.Search(len(table), func(i int) bool { return table[i].key >= key })
		if i < len(table) && table[i].key == key {
			return table[i].name
		}
	}
	return ""
}
