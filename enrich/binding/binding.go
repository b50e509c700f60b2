// Package binding keeps which station (MAC) had which address from when to
// when, as sources beside the flows tell it: an inventory, leases, neighbour
// tables.
//
// A Book is written by one goroutine. A Table is what a Book held at one moment;
// it never changes, so any number of goroutines read it without a lock.
package binding

import (
	"encoding/binary"
	"math"
	"net/netip"
	"slices"
	"time"
)

// Source says who told of a binding.
type Source uint8

const (
	Inventory Source = iota + 1 // the operator's list
	Lease                       // a DHCP server
	Neighbour                   // an ARP, neighbour or bridge table, from a file or by SNMP
	Flow                        // a MAC in a flow or a sampled header
)

func (s Source) String() string {
	switch s {
	case Inventory:
		return "inventory"
	case Lease:
		return "lease"
	case Neighbour:
		return "neighbour"
	case Flow:
		return "flow"
	}
	return "unknown"
}

// Confidence in a source, percent (reference/detection.md, 3.1).
func (s Source) Confidence() uint8 {
	switch s {
	case Inventory:
		return 100
	case Lease:
		return 95
	case Neighbour, Flow:
		return 90
	}
	return 0
}

// Open is the end of an interval that has not ended.
const Open = int64(math.MaxInt64)

// Interval says that a station had an address in [From, To).
type Interval struct {
	Addr    netip.Addr
	VRF     uint32
	MAC     uint64
	From    int64 // ns since 1970; 0 = as long as anybody can tell
	To      int64 // Open = still has it
	Source  Source
	Name    string // host name, as the source gives it
	Gateway bool   // the station is a router: the address is its own
}

const (
	// maxIntervals bounds a Book: 100,000 devices with two addresses and a few
	// changes. 96 octets each, and as many in the Table in use.
	maxIntervals = 1 << 19

	// maxPerAddress bounds the history of one address; its oldest go first.
	maxPerAddress = 16

	// keep is how long an interval that has ended is remembered: no flow is
	// reported later (enrich clamps flow times to 8 days before receipt).
	keep = 9 * 24 * time.Hour

	// Notice is how long before its first sight a binding is taken to have
	// begun, if the source does not say: flows are reported as late as this.
	Notice = time.Hour
)

// key is an address in one VRF.
type key struct {
	hi, lo uint64
	vrf    uint32
}

func makeKey(a netip.Addr, vrf uint32) key {
	b := a.As16()
	return key{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:]), vrf}
}

// Book folds what sources tell, one reading after another, into intervals.
type Book struct {
	list     map[key][]Interval // by Source, then From; intervals of one source do not overlap
	n        int
	dropped  uint64
	gateways []uint64
}

// SetGateways names stations that are routers, with or without an address.
func (b *Book) SetGateways(macs []uint64) { b.gateways = macs }

// NewBook returns an empty Book.
func NewBook() *Book { return &Book{list: map[key][]Interval{}} }

// Len is the number of intervals, Dropped how many were refused because the
// Book was full.
func (b *Book) Len() int        { return b.n }
func (b *Book) Dropped() uint64 { return b.dropped }

// Add enters a binding read at a time (ns) and says whether that changed
// anything. A From of 0 means that the source does not say since when: it is
// taken to be Notice before the reading, or the time of the reading if another
// station had the address until then. Adding the same again changes nothing, so a
// file may be read from its beginning each time.
func (b *Book) Add(i Interval, read int64) bool {
	i.Addr = i.Addr.Unmap().WithZone("")
	if !i.Addr.IsValid() || i.MAC == 0 || i.To != 0 && i.To <= i.From {
		return false
	}
	if i.To == 0 {
		i.To = Open
	}
	k := makeKey(i.Addr, i.VRF)
	list := b.list[k]
	begin := 0
	for begin < len(list) && list[begin].Source < i.Source {
		begin++
	}
	end := begin
	for end < len(list) && list[end].Source == i.Source {
		end++
	}
	own, changed := insert(slices.Clone(list[begin:end]), i, read)
	if !changed {
		return false
	}
	if b.n+len(own)-(end-begin) > maxIntervals {
		b.dropped++
		return false
	}
	b.n += len(own) - (end - begin)
	b.list[k] = slices.Concat(list[:begin], own, list[end:])
	return true
}

// insert puts i into the intervals of one source and address.
func insert(own []Interval, i Interval, read int64) ([]Interval, bool) {
	unsaid := i.From == 0 && i.Source != Inventory
	if n := len(own); unsaid && n > 0 && own[n-1].MAC == i.MAC {
		i.From = min(own[n-1].From, read) // it goes on
	} else if unsaid && n > 0 {
		i.From = max(own[n-1].From+1, read)
	} else if unsaid {
		i.From = read - int64(Notice)
	}
	at := 0 // the first that begins later
	for at < len(own) && own[at].From <= i.From {
		at++
	}
	if at < len(own) {
		i.To = min(i.To, own[at].From)
	}
	if at > 0 && own[at-1].MAC == i.MAC && own[at-1].To >= i.From {
		before := own[at-1]
		own[at-1].To = max(before.To, i.To)
		if at == len(own) {
			own[at-1].To = i.To // an open one may have got its end
		}
		if i.Name != "" {
			own[at-1].Name = i.Name
		}
		own[at-1].Gateway = i.Gateway
		return own, own[at-1] != before
	}
	if at > 0 {
		own[at-1].To = min(own[at-1].To, i.From)
	}
	own = slices.Insert(own, at, i)
	if len(own) > maxPerAddress {
		own = slices.Delete(own, 0, len(own)-maxPerAddress)
	}
	return slices.DeleteFunc(own, func(i Interval) bool { return i.To <= i.From }), true
}

// Withdraw ends at a time what a source no longer tells: every open interval of
// it that told does not hold with, and says how many there were. Leases and
// neighbours are not withdrawn: a quiet device leaves a table without giving up
// its address.
func (b *Book) Withdraw(s Source, told func(Interval) bool, at int64) (n int) {
	for _, list := range b.list {
		for j := range list {
			i := &list[j]
			if i.Source == s && i.To > at && !told(*i) {
				i.To = max(at, i.From+1)
				n++
			}
		}
	}
	return n
}

// Forget drops what ended so long ago that no flow can ask for it.
func (b *Book) Forget(now int64) {
	for k, list := range b.list {
		n := len(list)
		list = slices.DeleteFunc(list, func(i Interval) bool { return i.To < now-int64(keep) })
		b.n -= n - len(list)
		if len(list) == 0 {
			delete(b.list, k)
		} else {
			b.list[k] = list
		}
	}
}

// Table returns what the Book holds. Routers are the stations that an
// inventory calls gateways.
func (b *Book) Table() *Table {
	t := &Table{list: make(map[key][]Interval, len(b.list)), gateways: map[uint64]bool{}}
	for _, mac := range b.gateways {
		t.gateways[mac] = true
	}
	for k, list := range b.list {
		t.list[k] = slices.Clone(list)
		for _, i := range list {
			if i.Gateway {
				t.gateways[i.MAC] = true
			}
		}
	}
	return t
}

// Table answers who had an address when. It never changes.
type Table struct {
	list     map[key][]Interval
	gateways map[uint64]bool
}

// Of returns all that is known of an address, as two big-endian words, the
// surest source first. The slice belongs to the Table.
func (t *Table) Of(hi, lo uint64, vrf uint32) []Interval { return t.list[key{hi, lo, vrf}] }

// Gateways returns the stations that are routers.
func (t *Table) Gateways() map[uint64]bool { return t.gateways }

// Len is the number of addresses.
func (t *Table) Len() int { return len(t.list) }

// Since returns the intervals that are not in an older table, or have changed by
// more than their end moving on a little, as with each renewal of a lease.
func (t *Table) Since(old *Table, little time.Duration) (out []Interval) {
	for k, list := range t.list {
		var before []Interval
		if old != nil {
			before = old.list[k]
		}
		for _, i := range list {
			if !slices.ContainsFunc(before, func(b Interval) bool {
				ends := b.To == i.To || b.To < i.To && i.To-b.To < int64(little)
				b.To = i.To
				return ends && b == i
			}) {
				out = append(out, i)
			}
		}
	}
	return out
}

// At returns the interval of a list, as Of returns it, that holds at a time: the
// surest one. nil if none does.
func At(list []Interval, t int64) *Interval {
	for j := range list {
		if list[j].From <= t && t < list[j].To {
			return &list[j]
		}
	}
	return nil
}
