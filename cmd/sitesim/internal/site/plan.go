package site

import "time"

// A Plan is a site: who lives there, what there is on the Internet, and who watches. The first
// device is the gateway.
type Plan struct {
	Devices []Device
	Domains []Domain
	Routers []Router
}

// Demo is the site of the demonstration, every device of it written by hand in personas.go.
func Demo() *Plan { return &Plan{Devices: Devices(), Domains: Domains(), Routers: Routers()} }

// Interfaces returns the ifIndexes of a router.
func (p *Plan) Interfaces(router string) []uint16 {
	ports := []uint16{}
	for _, d := range p.Devices {
		if d.Exporter == router {
			ports = append(ports, port(uint16(len(ports)+1)))
		}
	}
	return append(ports, uplink, wan)
}

// port is the ifIndex of the i-th device of a router: those of its uplinks are taken.
func port(i uint16) uint16 {
	if i < uplink {
		return i
	}
	return wan + i
}

// A calendar is how the site's clocks and people differ from UTC: daylight saving and holidays.
type calendar struct {
	summer   int64          // clocks are an hour ahead from then on, 0 = never
	holidays map[int64]bool // days since 1970 that are like a Sunday
}

const civilDay = int64(24 * time.Hour)

// local is the civil time at a moment, as the UTC time of a clock that shows the same.
func (c calendar) local(at int64) int64 {
	if c.summer != 0 && at >= c.summer {
		at += int64(time.Hour)
	}
	if c.holidays[at/civilDay] {

		for time.Unix(0, at).UTC().Weekday() != time.Sunday {
			at += civilDay
		}
	}
	return at
}
