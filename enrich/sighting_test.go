package enrich

import (
	"net/netip"
	"testing"
)

func TestSeed_AStationKnownForADayForges(t *testing.T) {
	for since, want := range map[int64]uint64{now - 25*hour: DeviceByMAC("s", camera), now - 23*hour: 0} {
		e := enricher(t)
		e.Seed([]Binding{{Addr: netip.MustParseAddr("10.0.0.2").As16(), MAC: camera, Since: since, Seen: now}})
		b := batch(record{src: "203.0.113.7", dst: "198.51.100.1", smac: camera, dmac: router})
		e.Apply(b)
		if b.SrcDevice[0] != want {
			t.Errorf("foreign source of a station known for %d hours before the restart: device %x, want %x", (now-since)/hour, b.SrcDevice[0], want)
		}
	}
}
