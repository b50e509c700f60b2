package site

import (
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"tidemark/cmd/sitesim/internal/packet"
)

// A Model is a kind of device: each instance draws its own parameters from the model's ranges.
type Model struct {
	Name, Class, Vendor string
	OUI                 [3]byte
	VLAN                uint16
	Share               int    // how many of a hundred devices are one, about
	Powered             Week   // zero = always on
	Source              string // where its ranges come from: a capture, a publication, or a guess
	habits              func(d *drawing) ([]State, []Routine)
}

// A Population says which site to draw.
type Population struct {
	Seed    uint64
	Devices int
	Routers []Router // their Names are A, B, C and D: see shares
	Late    []Late   // devices that join later
}

// Late is a device that joins the network after the start.
type Late struct {
	Model string
	After time.Duration
}

// A drawing is the parameters of one instance being drawn.
type drawing struct {
	rng     *rand.Rand
	plan    *Plan
	names   map[string]bool     // domains of the plan
	byClass map[string][]string // names of devices by class, and by "model NAME"
}

// routerOf says which router sees a network, and which of two a device is behind.
var routerOf = map[uint16]string{CCTV: "A", OT: "A", Clinic: "B", IoT: "B", Office: "C"}

// Draw makes a site of so many devices. It has a gateway, a server, a recorder and a few PCs, and
// for the rest the models in their shares; equal populations make equal plans.
func Draw(p Population) *Plan {
	rng := rand.New(rand.NewPCG(p.Seed, 0x5173))
	plan := &Plan{Routers: p.Routers, Domains: slices.Clone(infrastructure())}
	d := &drawing{rng: rng, plan: plan, names: map[string]bool{}, byClass: map[string][]string{}}
	for _, known := range plan.Domains {
		d.names[known.Name] = true
	}
	hosts := map[uint16]int{}
	add := func(m *Model, born time.Duration) {
		hosts[m.VLAN]++
		name := fmt.Sprintf("%s-%d", m.Name, 1+len(d.byClass["model "+m.Name]))
		if m.Share == 0 && born == 0 && len(d.byClass["model "+m.Name]) == 0 {
			name = m.Name // the one and only, which others name
		}
		states, routines := m.habits(d)
		device := Device{
			Name: name, Class: m.Class, Vendor: m.Vendor, VLAN: m.VLAN, Host: uint8(9 + hosts[m.VLAN]), Exporter: routerOf[m.VLAN],
			MAC:     packet.MAC{m.OUI[0], m.OUI[1], m.OUI[2], byte(rng.UintN(256)), byte(rng.UintN(256)), byte(rng.UintN(256))},
			Powered: m.Powered, States: states, Routines: routines, Born: born,
		}
		if m.VLAN == IoT && hosts[IoT]%2 == 0 || m.Class == "pc" {
			device.Exporter = "D"
		}
		if m.Class == "router" {
			device.VLAN, device.Host, device.Exporter = 0, 1, "A"
		}
		plan.Devices = append(plan.Devices, device)
		d.byClass[m.Class] = append(d.byClass[m.Class], name)
		d.byClass["model "+m.Name] = append(d.byClass["model "+m.Name], name)
	}
	models := Models()
	for i := range models {
		if models[i].Share == 0 && models[i].Name != "phone-app" {
			add(&models[i], 0)
		}
	}
	total := 0
	for i := range models {
		total += models[i].Share
	}
	for len(plan.Devices) < p.Devices {
		x := rng.IntN(total)
		if drawn := len(plan.Devices) - 6; drawn < len(models) { // one of each first
			if models[drawn].Share > 0 {
				add(&models[drawn], 0)
				continue
			}
		}
		for i := range models {
			if x -= models[i].Share; x < 0 {
				add(&models[i], 0)
				break
			}
		}
	}
	for _, l := range p.Late {
		if i := slices.IndexFunc(models, func(m Model) bool { return m.Name == l.Model }); i >= 0 {
			add(&models[i], l.After)
		}
	}
	return plan
}

// between draws from a range whose ends are equally likely by ratio.
func (d *drawing) between(lo, hi float64) float64 {
	return lo * math.Exp(d.rng.Float64()*math.Log(hi/lo))
}

func (d *drawing) every(lo, hi time.Duration) time.Duration {
	return time.Duration(d.between(float64(lo), float64(hi))).Round(second)
}

// amount is a log-normal size with a median from the range.
func (d *drawing) amount(lo, hi, sigma float64) Size { return size(d.between(lo, hi), sigma) }

// cloud is a domain with addresses in so many networks of the Internet; devices of one vendor share it.
func (d *drawing) cloud(name string, networks int) string {
	if !d.names[name] {
		d.names[name] = true
		h := fnv.New32a()
		h.Write([]byte(name))
		x := h.Sum32()
		first := []byte{3, 18, 34, 35, 44, 52, 54, 99}[x%8] // where large clouds are
		d.plan.Domains = append(d.plan.Domains, Domain{
			Name: name, Prefix: fmt.Sprintf("%d.%d.%d.0", first, x>>8&0xff, x>>16&0xff), Networks: networks,
			Addresses: 2 + int(x>>24%3), TTL: time.Duration(1+x>>27%20) * 3 * minute, RTT: time.Duration(8+x>>20%90) * time.Millisecond,
		})
	}
	return name
}

// alive is a connection kept open, with something small on it now and then.
func (d *drawing) alive(to string, port uint16, lo, hi time.Duration, octets float64) Routine {
	return Routine{Do: Held, To: to, Port: port, Every: d.every(lo, hi), Jitter: d.between(.005, .1), Up: size(octets*d.between(.7, 1.4), .1), Down: size(octets*d.between(.5, 1.2), .1)}
}

// report is a session of its own at a steady pace.
func (d *drawing) report(to string, port uint16, lo, hi time.Duration, up, down Size) Routine {
	return Routine{Do: Session, To: to, Port: port, Every: d.every(lo, hi), Jitter: d.between(.005, .1), Up: up, Down: down}
}

// event is a session that people or chance bring about.
func (d *drawing) event(to string, port uint16, lo, hi time.Duration, hours Week, up, down Size) Routine {
	return Routine{Do: Session, To: to, Port: port, Poisson: d.every(lo, hi), Hours: hours, Up: up, Down: down}
}

// served is the same, begun by another device.
func (d *drawing) served(by string, port uint16, lo, hi time.Duration, hours Week, up, down Size) Routine {
	r := d.event(by, port, lo, hi, hours, up, down)
	r.Inbound = true
	return r
}

// one is any device of a class drawn before.
func (d *drawing) one(class string) string {
	list := d.byClass[class]
	if len(list) == 0 {
		return "server"
	}
	return list[d.rng.IntN(len(list))]
}

// usual are habits that nearly every device has: NTP polls each 64 to 1024 s and more (RFC 5905,
// Section 7.2), DHCP renews at half the lease (RFC 2131, Section 4.4.5).
func (d *drawing) usual(own ...Routine) []Routine {
	ntp := "gateway"
	if d.rng.IntN(3) == 0 {
		ntp = "pool.ntp.example"
	}
	return append(own,
		Routine{Do: Exchange, To: ntp, Port: 123, Every: d.every(1024*second, 6*hour), Jitter: .02, Up: size(48, 0), Down: size(48, 0)},
		Routine{Do: Exchange, To: "gateway", Port: 67, Every: d.every(hour, 12*hour), Jitter: .01, Up: size(300, 0), Down: size(300, 0)},
	)
}

// infrastructure are the domains that do not belong to a model.
func infrastructure() []Domain {
	return slices.DeleteFunc(Domains(), func(d Domain) bool {
		return !slices.Contains([]string{"pool.ntp.example", "resolver.example", "update.example", "mail.example", "web.example"}, d.Name)
	})
}
