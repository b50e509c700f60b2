package binding

import (
	"net/netip"
	"testing"
	"time"
)

const (
	hour   = int64(time.Hour)
	start  = int64(1_700_000_000) * int64(time.Second)
	camera = 0x00408c000001
	sensor = 0x240ac4000002
)

var addr = netip.MustParseAddr("10.0.0.5")

func who(t *testing.T, b *Book, at int64) uint64 {
	t.Helper()
	k := makeKey(addr, 0)
	if i := At(b.Table().Of(k.hi, k.lo, 0), at); i != nil {
		return i.MAC
	}
	return 0
}

func TestBook_AnAddressBelongsToItsHolderOfTheTime(t *testing.T) {
	b := NewBook()
	history := []Interval{
		{Addr: addr, MAC: camera, From: start, To: start + 10*hour, Source: Lease, Name: "camera"},
		{Addr: addr, MAC: sensor, From: start + 2*hour, To: start + 12*hour, Source: Lease},
		{Addr: addr, MAC: sensor, From: start + 8*hour, To: start + 20*hour, Source: Lease}, // a renewal
	}
	for range 3 { // a log of leases is read from its beginning each time
		for _, i := range history {
			b.Add(i, start+9*hour)
		}
		for at, want := range map[int64]uint64{-1: 0, 0: camera, 1: camera, 2: sensor, 13: sensor, 20: 0} {
			if got := who(t, b, start+at*hour); got != want {
				t.Errorf("after %d hours: %012x, want %012x", at, got, want)
			}
		}
		if b.Len() != 2 {
			t.Fatalf("%d intervals, want 2", b.Len())
		}
	}
}

func TestBook_SourcesThatDoNotSaySinceWhen(t *testing.T) {
	b := NewBook()
	tell := func(mac uint64, at int64) bool { return b.Add(Interval{Addr: addr, MAC: mac, Source: Neighbour}, at) }
	if !tell(camera, start) || tell(camera, start+hour) {
		t.Fatal("the first telling must change the book, the second not")
	}
	tell(sensor, start+2*hour)
	for at, want := range map[int64]uint64{-2: 0, 0: camera, 1: camera, 2: sensor, 1000: sensor} {
		if got := who(t, b, start+at*hour); got != want {
			t.Errorf("after %d hours: %012x, want %012x", at, got, want)
		}
	}
}

func TestBook_TheSurestSourceIsBelieved(t *testing.T) {
	b := NewBook()
	b.Add(Interval{Addr: addr, MAC: sensor, Source: Neighbour}, start)
	b.Add(Interval{Addr: addr, MAC: camera, Source: Inventory}, start)
	if got := who(t, b, start-9000*hour); got != camera {
		t.Fatalf("got %012x, want the inventory's %012x at any time", got, camera)
	}
	if n := b.Withdraw(Inventory, func(Interval) bool { return false }, start+hour); n != 1 {
		t.Fatalf("withdrew %d, want 1", n)
	}
	if got := who(t, b, start+2*hour); got != sensor {
		t.Fatalf("after the inventory's line went: %012x, want the neighbour table's %012x", got, sensor)
	}
}

func TestBook_IsBounded(t *testing.T) {
	b := NewBook()
	for i := range int64(1000) {
		b.Add(Interval{Addr: addr, MAC: camera + uint64(i), From: start + i*hour, To: start + (i+1)*hour, Source: Lease}, start)
	}
	if b.Len() != maxPerAddress {
		t.Errorf("%d intervals of one address, want %d", b.Len(), maxPerAddress)
	}
	b.Forget(start + 2000*hour)
	if b.Len() != 0 || b.Table().Len() != 0 {
		t.Errorf("%d intervals after weeks, want none", b.Len())
	}
	b.n = maxIntervals
	if b.Add(Interval{Addr: addr, MAC: camera, Source: Lease}, start) || b.Dropped() != 1 {
		t.Errorf("a full book took one more, or did not count it: %d", b.Dropped())
	}
}

// BenchmarkTable is what making a table of 100,000 leases costs.
func BenchmarkTable(b *testing.B) {
	book := NewBook()
	for i := range uint64(100_000) {
		book.Add(Interval{Addr: netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), MAC: camera + i, Source: Lease, To: start}, start-hour)
	}
	b.ReportAllocs()
	for b.Loop() {
		book.Table()
	}
}
