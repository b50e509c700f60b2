package netflow

import (
	_ "embed"
	"strconv"
	"strings"
	"sync"
)

// The names of the elements of IANA's registry, of NetFlow v9 field types outside
// it (enterprise 0, from 32768 on), of the records that package sflow keeps, and of
// what vendors sent in the captures. One line each: enterprise, id, name.
//
//go:embed elements.tsv
var elementsTSV string

var builtinElements = sync.OnceValue(func() map[uint64]string {
	out := map[uint64]string{}
	for line := range strings.Lines(elementsTSV) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		pen, err1 := strconv.ParseUint(f[0], 10, 32)
		id, err2 := strconv.ParseUint(f[1], 10, 16)
		if err1 == nil && err2 == nil {
			out[pen<<16|id] = f[2]
		}
	}
	return out
})

// certPEN is CERT's: the elements of its exporter YAF have a reverse twin with bit
// 14 set (RFC 5103, Section 6.2 leaves the way to the enterprise).
const (
	certPEN     = 6871
	certReverse = 1 << 14
)

// ElementName returns the name of an Information Element, "" if it is not known.
// Reverse elements (RFC 5103) are called by their twin.
func ElementName(pen uint32, id uint16) string {
	names := builtinElements()
	if name := names[uint64(pen)<<16|uint64(id)]; name != "" {
		return name
	}
	twin := ""
	switch {
	case pen == reversePEN:
		twin = names[uint64(id)]
	case pen == certPEN && id&certReverse != 0:
		twin = names[uint64(pen)<<16|uint64(id&^certReverse)]
	}
	if twin == "" {
		return ""
	}
	return "reverse" + strings.ToUpper(twin[:1]) + twin[1:]
}

// Elements are names that an operator gave, by enterprise (0 for IANA) and id.
type Elements map[uint32]map[uint16]string

// Name returns the operator's name, or else that of ElementName.
func (e Elements) Name(pen uint32, id uint16) string {
	if name := e[pen][id]; name != "" {
		return name
	}
	return ElementName(pen, id)
}
