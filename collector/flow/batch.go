package flow

import (
	"cmp"
	"slices"
)

// Batch is a set of flow records in columns; element i of every column belongs
// to record i. Integer columns are in host order, addresses are 16 octets with
// IPv4 as ::ffff:a.b.c.d. Times are nanoseconds since 1970 UTC. Bytes and
// Packets are as exported: scaling by SamplingRate happens in queries.
//
// A Batch is filled by one goroutine: NextRow, set the fields, Extend, EndRow.
// Reset keeps the memory; whoever wants rows after Reset copies them by Append.
type Batch struct {
	// The record. Every column of this group is hashed (docs/formats/ledger.md);
	// adding one means a new encoding version.
	Protocol          []Protocol
	Transport         []Transport
	TimeReceived      []int64
	TimeFlowStart     []int64 // as exported, 0 without HasStart
	TimeFlowEnd       []int64
	SamplerAddress    [][16]byte // UDP source address of the exporter
	ObservationDomain []uint32   // v9 source id, v5 engine type<<8|id, sFlow sub-agent
	SequenceNum       []uint32   // of the datagram or message; sFlow: of the sample
	SrcAddr           [][16]byte
	DstAddr           [][16]byte
	SrcPort           []uint16
	DstPort           []uint16 // ICMP: type<<8|code
	Proto             []uint8
	Direction         []uint8 // flowDirection: 0 ingress, 1 egress
	TCPFlags          []uint16
	Bytes             []uint64
	Packets           []uint64
	SamplingRate      []uint32 // 1 = every packet
	SrcMAC            []uint64 // low 48 bits
	DstMAC            []uint64
	SrcVLAN           []uint16
	DstVLAN           []uint16
	InIf              []uint32
	OutIf             []uint32
	Presence          []uint16
	TOS               []uint8
	EndReason         []uint8
	FirewallEvent     []uint8
	NATEvent          []uint8
	Quality           []uint16
	SrcAS             []uint32
	DstAS             []uint32
	Ext               Extensions

	// Enrichment, filled by package enrich. It is stored beside the record and
	// not hashed: it may be recomputed, the record may not.
	EventStart          []int64 // flow start on the detection clock (design section 3)
	EventEnd            []int64
	SrcDevice           []uint64 // device id, 0 = not a device of the site
	DstDevice           []uint64
	SrcIdentity         []Identity
	DstIdentity         []Identity
	Initiator           []Initiator
	InitiatorConfidence []uint8 // percent
	Scope               []Scope
	ServicePort         []uint16 // port of the responder, 0 = unknown
	Conversation        []uint64 // hash of the 5-tuple, equal for both halves

	// Export time of the datagram on the exporter's clock, 0 if the protocol
	// has none. Input of enrichment, neither stored nor hashed.
	ExportTime []int64

	staged  []stagedExtension
	scratch []byte
}

// Extensions holds the fields of a record that have no column, in the layout
// of a ClickHouse Map(UInt64, Array(String)): record i owns Keys
// [Ends[i-1], Ends[i]), key k owns values [ValueEnds[k-1], ValueEnds[k]), value
// v owns Data [DataEnds[v-1], DataEnds[v]). Keys ascend within a record; the
// values of one key stand in export order.
type Extensions struct {
	Ends      []uint64
	Keys      []uint64
	ValueEnds []uint64
	DataEnds  []uint64
	Data      []byte
}

type stagedExtension struct {
	key        uint64
	begin, end int
}

// Len is the number of complete records.
func (b *Batch) Len() int { return len(b.Ext.Ends) }

func start(ends []uint64, i uint64) uint64 {
	if i == 0 {
		return 0
	}
	return ends[i-1]
}

// Each calls f for every value of record i, keys ascending, repeats in export
// order. The value aliases the batch.
func (x *Extensions) Each(i int, f func(key uint64, value []byte)) {
	for k := start(x.Ends, uint64(i)); k < x.Ends[i]; k++ {
		for v := start(x.ValueEnds, k); v < x.ValueEnds[k]; v++ {
			f(x.Keys[k], x.Data[start(x.DataEnds, v):x.DataEnds[v]])
		}
	}
}

// Count is the number of values of record i.
func (x *Extensions) Count(i int) int {
	first, end := start(x.Ends, uint64(i)), x.Ends[i]
	if first == end {
		return 0
	}
	return int(x.ValueEnds[end-1] - start(x.ValueEnds, first))
}

// Value returns the first value of key in record i.
func (x *Extensions) Value(i int, key uint64) ([]byte, bool) {
	for k := start(x.Ends, uint64(i)); k < x.Ends[i]; k++ {
		if x.Keys[k] == key {
			v := start(x.ValueEnds, k)
			return x.Data[start(x.DataEnds, v):x.DataEnds[v]], true
		}
	}
	return nil, false
}

// Extend stages an extension of the row that EndRow will complete next; the
// value is copied.
// A value over MaxExtension octets is cut and marked ExtensionCut.
func (b *Batch) Extend(key uint64, value []byte) {
	if len(value) > MaxExtension {
		value = value[:MaxExtension]
		b.Quality[b.Len()] |= ExtensionCut
	}
	begin := len(b.scratch)
	b.scratch = append(b.scratch, value...)
	b.staged = append(b.staged, stagedExtension{key, begin, len(b.scratch)})
}

// EndRow completes the row begun by NextRow, or the next one of those begun by Grow.
func (b *Batch) EndRow() {
	x := &b.Ext
	if len(b.staged) > 0 {
		b.sortStaged()
		for i, s := range b.staged {
			if i == 0 || s.key != b.staged[i-1].key {
				x.Keys = append(x.Keys, s.key)
				x.ValueEnds = append(x.ValueEnds, uint64(len(x.DataEnds)))
			}
			x.Data = append(x.Data, b.scratch[s.begin:s.end]...)
			x.DataEnds = append(x.DataEnds, uint64(len(x.Data)))
			x.ValueEnds[len(x.ValueEnds)-1]++
		}
		b.staged, b.scratch = b.staged[:0], b.scratch[:0]
	}
	x.Ends = append(x.Ends, uint64(len(x.Keys)))
}

// sortStaged sorts by key, keeping the order of equal ones. Records have few
// extensions, nearly in order; only a hostile one has hundreds.
func (b *Batch) sortStaged() {
	const few = 32
	s := b.staged
	if len(s) > few {
		slices.SortStableFunc(s, func(a, b stagedExtension) int { return cmp.Compare(a.key, b.key) })
		return
	}
	for i := 1; i < len(s); i++ {
		for j := i; j > 0 && s[j].key < s[j-1].key; j-- {
			s[j], s[j-1] = s[j-1], s[j]
		}
	}
}

// Shape says where the extensions of a record lie in its octets, for records
// that are all alike.
type Shape struct {
	Keys      []uint64 // ascending
	ValueEnds []uint64 // key k owns values [ValueEnds[k-1], ValueEnds[k]), in export order
	Offsets   []int    // of the values in the record; in constants, if negative, of -1-offset
	Lengths   []int
	octets    int
	constants []byte
}

// AddConstant is Add for a value that all records share.
func (s *Shape) AddConstant(key uint64, value []byte) {
	s.Add(key, -1-len(s.constants), len(value))
	s.constants = append(s.constants, value...)
}

// Add appends a value. Keys must come in ascending order; lengths are at most
// MaxExtension.
func (s *Shape) Add(key uint64, offset, length int) {
	if n := len(s.Keys); n == 0 || s.Keys[n-1] != key {
		s.Keys = append(s.Keys, key)
		s.ValueEnds = append(s.ValueEnds, uint64(len(s.Offsets)))
	}
	s.Offsets, s.Lengths = append(s.Offsets, offset), append(s.Lengths, length)
	s.ValueEnds[len(s.ValueEnds)-1]++
	s.octets += length
}

// EndRows completes the next n rows begun by Grow with the extensions that lie in
// records: record i begins at octet i*stride. It is EndRow n times, at once.
func (b *Batch) EndRows(n int, s *Shape, records []byte, stride int) {
	x := &b.Ext
	keys, values := len(s.Keys), len(s.Offsets)
	lastKey, lastValue, at := len(x.Keys), len(x.DataEnds), len(x.Data)
	x.Ends = extend(x.Ends, n)
	x.Keys, x.ValueEnds = extend(x.Keys, n*keys), extend(x.ValueEnds, n*keys)
	x.DataEnds, x.Data = extend(x.DataEnds, n*values), extend(x.Data, n*s.octets)
	ends := x.Ends[len(x.Ends)-n:]
	for i := range ends {
		ends[i] = uint64(lastKey + (i+1)*keys)
	}
	if values == 0 {
		return
	}
	newKeys, newValueEnds, newDataEnds := x.Keys[lastKey:], x.ValueEnds[lastKey:], x.DataEnds[lastValue:]
	for i := range n {
		copy(newKeys[i*keys:], s.Keys)
		for k, end := range s.ValueEnds {
			newValueEnds[i*keys+k] = uint64(lastValue+i*values) + end
		}
		record := records[i*stride:]
		for v, length := range s.Lengths {
			from, to := s.from(record, v), x.Data[at:]
			switch length { // a call to copy costs more than most values
			case 1:
				to[0] = from[0]
			case 2:
				_, _ = from[1], to[1]
				to[0], to[1] = from[0], from[1]
			case 4:
				*(*[4]byte)(to) = *(*[4]byte)(from)
			default:
				copy(to[:length], from)
			}
			at += length
			newDataEnds[i*values+v] = uint64(at)
		}
	}
}

// from is where value v begins.
func (s *Shape) from(record []byte, v int) []byte {
	at := s.Offsets[v]
	if at < 0 {
		return s.constants[-1-at:]
	}
	return record[at:]
}

// extend makes room for n more elements, whose values are old ones.
func extend[T any](s []T, n int) []T { return slices.Grow(s, n)[:len(s)+n] }
