// Package trial makes one simulated site into captures of flow exports with the truth beside them:
// who lived there, what happened, and who was attacked when.
package trial

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"time"

	"tidemark/cmd/sitesim/internal/export"
	"tidemark/cmd/sitesim/internal/packet"
	"tidemark/cmd/sitesim/internal/site"
)

// A Tap is how one router of the site exports.
type Tap struct {
	Protocol         export.Protocol `json:"protocol"`
	Active, Inactive time.Duration   `json:"-"`
	Sampling         int             `json:"sampling"`
	Biflow           bool            `json:"biflow,omitempty"`
	NoMAC            bool            `json:"no_mac,omitempty"`
	NoFlags          bool            `json:"no_flags,omitempty"`
	Loss             float64         `json:"loss,omitempty"` // share of its datagrams that never arrive
	Skew             time.Duration   `json:"skew,omitempty"` // its clock is so much ahead
	NAT              bool            `json:"nat,omitempty"`  // it sees the site from outside
}

// Names of the routers: A sees cameras and the plant, B the ward and half of the small things, C the
// office, D the PCs and the other half of the small things.
var routers = []string{"A", "B", "C", "D"}

// Config is a site, what happens there, and how it is observed. Times are since Start.
type Config struct {
	Seed     uint64
	Devices  int
	Start    time.Time
	Length   time.Duration
	Taps     map[string]Tap
	Overlap  bool // router A also sees what others send to the Internet: duplicates
	Episodes []Timed
	Late     []site.Late
	Strikes  []Strike
	Cuts     []time.Duration // a new capture begins at each
}

// Timed is a happening of package site, or of a router.
type Timed struct {
	What string
	At   time.Duration
}

// What may happen to a router.
const (
	reboot   = "exporter-reboot"
	resample = "sampling-change" // what it samples is divided by ten, or it begins to sample one in ten
	gone     = "exporter-gone"   // it exports no more
)

// Strike is an attack to come. Without a Device a fitting one is chosen that no other strike has.
type Strike struct {
	Attack string        `json:"attack"`
	Level  int           `json:"level"`
	Device string        `json:"device"`
	Camp   int           `json:"camp,omitempty"` // strikes of one camp come from the same hosts outside
	At     time.Duration `json:"-"`
}

// Truth is what was the case.
type Truth struct {
	Devices  []Device       `json:"devices"`
	Routers  []Router       `json:"routers"`
	Episodes []site.Episode `json:"episodes"`
	Attacks  []Attack       `json:"attacks"`
	Slices   []Slice        `json:"slices"`
	Records  uint64         `json:"records"`
}

// Router is one that exports.
type Router struct {
	Name    string `json:"name"`
	Address string `json:"address"` // of its datagrams
}

// Device is one of the site as a collector can know it.
type Device struct {
	Name, Class, Model string
	MAC                string
	Addresses          []string // first and, after a renumbering, last
	Exporter           string
	Seen               bool          // its router tells it apart from others
	Born               time.Duration `json:",omitempty"` // joins so long after the start
	Needs              []Need        `json:"-"`          // what its maker made it for
}

// Need is a service that a device uses or offers in ordinary life.
type Need struct {
	To     string // a name on the Internet; "" = somebody of the site
	Serves bool   // the device is the one who answers
	UDP    bool
	Port   uint16
}

// Attack is one strike with what it did.
type Attack struct {
	Strike
	Peer       string `json:"peer"` // address of the other end, the first of several
	Start, End time.Time
	Packets    uint64
	Octets     uint64
	Exported   time.Time // when the first record about it was sent, zero = never
	Daily      uint64    // what the device sent out of the site in a day before it began, about
	Also       []string  // other devices that an alert about it may name
}

// Slice is one capture of the run.
type Slice struct {
	File string
	End  time.Time // of what it holds
}

// run is a trial under way.
type run struct {
	Config
	plan   *site.Plan
	sim    *site.Sim
	taps   map[string]*tap
	out    *captures
	truth  *Truth
	rng    *rand.Rand
	upload map[netip.Addr]uint64
	first  map[uint16]int64 // when a mark was first exported
}

// draw makes the plan of a site with its routers, and chooses the victims of its attacks.
func draw(c Config) (*run, error) {
	r := &run{Config: c, truth: &Truth{}, taps: map[string]*tap{}, rng: rand.New(rand.NewPCG(c.Seed, 0x7a1)), upload: map[netip.Addr]uint64{}, first: map[uint16]int64{}}
	var watched []site.Router
	for i, name := range routers {
		t, ok := c.Taps[name]
		if !ok {
			continue
		}
		w := site.Router{Name: name, Protocol: string(t.Protocol), Agent: fmt.Sprintf("10.20.0.%d", 11+i), Domain: uint32(100 + i)}
		if t.NAT {
			w.NAT = fmt.Sprintf("10.20.250.%d", 1+i)
		}
		watched = append(watched, w)
	}
	r.plan = site.Draw(site.Population{Seed: c.Seed, Devices: c.Devices, Routers: watched, Late: c.Late})
	for i := range r.plan.Devices {
		if r.plan.Devices[i].Born > 0 {
			r.plan.Devices[i].Exporter = "B"
		}
	}
	return r, r.choose()
}

// Victims are the strikes of a trial on the devices it will choose; those for which it finds none are
// left out.
func Victims(c Config) ([]Strike, error) {
	r, err := draw(c)
	return r.Strikes, err
}

// Write simulates the site and writes its captures into dir.
func Write(ctx context.Context, c Config, dir string) (*Truth, error) {
	r, err := draw(c)
	if err != nil {
		return nil, err
	}
	r.out = newCaptures(dir, c.Start, c.Cuts, c.Start.Add(c.Length))
	observers := map[string]site.Observer{}
	for i, w := range r.plan.Routers {
		t, err := newTap(r, w, c.Taps[w.Name], uint64(i))
		if err != nil {
			return nil, err
		}
		r.taps[w.Name], observers[w.Name] = t, t
	}
	r.sim = site.New(site.Options{Seed: c.Seed, Start: c.Start.UnixNano(), Observers: observers, Plan: r.plan, Overlap: c.Overlap})
	for _, e := range c.Episodes {
		if err := r.happen(e); err != nil {
			return nil, err
		}
	}
	for _, s := range r.Strikes {
		if err := r.sim.Strike(s.Attack, s.Level, s.Device, s.Camp, c.Start.Add(s.At).UnixNano()); err != nil {
			return nil, err
		}
	}
	for at := c.Start; at.Before(c.Start.Add(c.Length)); {
		if err := ctx.Err(); err != nil {
			return nil, errors.Join(err, r.out.close())
		}
		at = at.Add(6 * time.Hour)
		if end := c.Start.Add(c.Length); at.After(end) {
			at = end
		}
		r.sim.Run(at.UnixNano())
	}
	r.sim.Finish()
	r.tell()
	err = r.out.close()
	r.truth.Slices = r.out.slices
	return r.truth, err
}

func (r *run) happen(e Timed) error {
	at := r.Start.Add(e.At)
	if e.What != reboot && e.What != resample && e.What != gone {
		return r.sim.Happen(e.What, at.UnixNano())
	}
	names := []string{}
	for _, n := range routers {
		if r.taps[n] != nil {
			names = append(names, n)
		}
	}
	t := r.taps[names[r.rng.IntN(len(names))]]
	t.changes = append(t.changes, change{at.UnixNano(), e.What})
	slices.SortFunc(t.changes, func(a, b change) int { return cmp.Compare(a.at, b.at) })
	episode := site.Episode{What: e.What, Devices: []string{t.name()}, Start: at, End: at.Add(24 * time.Hour)}
	for _, d := range r.plan.Devices {
		if d.Exporter == t.router.Name {
			episode.Devices = append(episode.Devices, d.Name)
		}
	}
	r.truth.Episodes = append(r.truth.Episodes, episode)
	return nil
}

// choose finds a device for every strike that has none.
func (r *run) choose() error {
	taken := map[string]bool{}
	for _, s := range r.Strikes {
		taken[s.Device] = true
	}
	order := r.rng.Perm(len(r.plan.Devices))
	// The choosy attacks first, so that others do not take what only they can use.
	first := slices.Clone(r.Strikes)
	slices.SortStableFunc(first, func(a, b Strike) int { return cmp.Compare(choosiness(a.Attack), choosiness(b.Attack)) })
	for k := range first {
		if first[k].Device != "" {
			continue
		}
		for _, i := range order {
			d := &r.plan.Devices[i]
			tap, watched := r.Taps[d.Exporter]
			if taken[d.Name] || !watched || tap.NAT || !site.Fits(first[k].Attack, d, r.plan) {
				continue
			}
			first[k].Device, taken[d.Name] = d.Name, true
			break
		}
	}
	r.Strikes = slices.DeleteFunc(first, func(s Strike) bool { return s.Device == "" })
	if len(r.Strikes) < len(first)*2/3 {
		return fmt.Errorf("trial: %d of %d strikes found no device: the site is too small", len(first)-len(r.Strikes), len(first))
	}
	return nil
}

func choosiness(attack string) int {
	switch attack {
	case "odd-hour", "plc-write":
		return 0
	case "volume", "ramp":
		return 1
	}
	return 2
}

// tell fills in the truth when the run is over.
func (r *run) tell() {
	for _, name := range routers {
		if t := r.taps[name]; t != nil {
			r.truth.Records += t.exporter.Stats().Records + t.before
			r.truth.Routers = append(r.truth.Routers, Router{t.name(), t.router.Agent})
		}
	}
	now := r.sim.Addresses()
	for _, d := range r.plan.Devices {
		tap, watched := r.Taps[d.Exporter]
		addresses := []string{d.Address().String()}
		if a := now[d.Name].String(); a != addresses[0] {
			addresses = append(addresses, a)
		}
		model := strings.TrimRight(d.Name, "-0123456789")
		r.truth.Devices = append(r.truth.Devices, Device{Name: d.Name, Class: d.Class, Model: model, MAC: d.MAC.String(), Addresses: addresses, Exporter: d.Exporter, Seen: watched && !tap.NAT, Born: d.Born, Needs: needs(&d, r.plan)})
	}
	r.truth.Episodes = append(r.truth.Episodes, r.sim.Episodes()...)
	for _, d := range r.plan.Devices {
		if d.Born == 0 {
			continue
		}
		e := site.Episode{What: "new-device", Devices: []string{d.Name}, Start: r.Start.Add(d.Born), End: r.Start.Add(r.Length)}
		for _, routine := range d.Routines {
			if now[routine.To].IsValid() && routine.To != "gateway" {
				e.Devices = append(e.Devices, routine.To)
			}
		}
		r.truth.Episodes = append(r.truth.Episodes, e)
	}
	days := r.Length.Hours() / 24
	for _, s := range r.Strikes {
		a := Attack{Strike: s, Start: r.Start.Add(s.At), End: r.Start.Add(s.At)}
		for _, l := range r.sim.Labels() {
			if l.Attack != s.Attack || l.Device != s.Device || l.Level != s.Level || l.Start.Before(a.Start.Add(-time.Second)) || l.Start.After(a.Start.Add(24*time.Hour)) {
				continue
			}
			a.Peer = cmp.Or(a.Peer, l.Peer)
			a.Packets += l.Packets
			a.Octets += l.Octets
			if at, ok := r.first[l.Mark()]; ok && (a.Exported.IsZero() || at < a.Exported.UnixNano()) {
				a.Exported = time.Unix(0, at).UTC()
			}
			if l.End.After(a.End) {
				a.End = l.End
			}
		}
		a.Daily = uint64(float64(r.upload[netip.MustParseAddr(r.address(s.Device))]) / days)
		if s.Attack != "volume" && s.Attack != "ramp" && s.Attack != "odd-hour" {
			a.Daily -= min(a.Daily, uint64(float64(a.Octets)/days))
		}
		if s.Attack == "plc-write" {
			a.Also = []string{"pc-ben"}
		}
		r.truth.Attacks = append(r.truth.Attacks, a)
	}
}

// needs are the services of the device's routines.
func needs(d *site.Device, plan *site.Plan) (all []Need) {
	for _, routine := range d.Routines {
		n := Need{Serves: routine.Inbound, UDP: routine.Do == site.Exchange, Port: routine.Port}
		if slices.ContainsFunc(plan.Domains, func(x site.Domain) bool { return x.Name == routine.To }) {
			n.To = routine.To
		}
		if routine.Do <= site.Exchange && !slices.Contains(all, n) {
			all = append(all, n)
		}
	}
	return all
}

func (r *run) address(device string) string {
	for _, d := range r.plan.Devices {
		if d.Name == device {
			return d.Address().String()
		}
	}
	return "0.0.0.0"
}

// change is what happens to a router.
type change struct {
	at   int64
	what string
}

// tap is a router at work: an exporter with a clock, a memory that a reboot empties, and a line that
// loses datagrams.
type tap struct {
	Tap
	run      *run
	router   site.Router
	options  export.Options
	exporter export.Exporter
	before   uint64 // records of exporters before a reboot
	dead     bool
	changes  []change
	cuts     []int64 // when the captures to come begin: each is read by itself, so it opens with templates
	rng      *rand.Rand
}

func newTap(r *run, w site.Router, t Tap, i uint64) (*tap, error) {
	p := &tap{Tap: t, run: r, router: w, rng: rand.New(rand.NewPCG(r.Seed, 77+i)), options: export.Options{
		Protocol: t.Protocol, Agent: netip.MustParseAddr(w.Agent), Domain: w.Domain, Active: t.Active, Inactive: t.Inactive,
		Sampling: max(1, t.Sampling), Biflow: t.Biflow, NoMAC: t.NoMAC, NoFlags: t.NoFlags, Interfaces: r.plan.Interfaces(w.Name), Seed: r.Seed + i,
	}}
	for _, c := range r.Cuts {
		p.cuts = append(p.cuts, r.Start.Add(c).UnixNano())
	}
	return p, p.boot(r.Start.UnixNano()-int64(1+i)*int64(30*time.Hour), 0)
}

func (p *tap) name() string { return "router " + p.router.Name }

func (p *tap) boot(at int64, sequence uint32) (err error) {
	if p.exporter != nil {
		p.before += p.exporter.Stats().Records
	}
	p.exporter, err = export.New(p.options, export.State{Boot: at + int64(p.Skew), Sequence: sequence}, p.send)
	return err
}

func (p *tap) send(d export.Datagram) {
	if p.dead || p.Loss > 0 && p.rng.Float64() < p.Loss {
		return
	}
	for _, m := range d.Marks {
		if _, ok := p.run.first[m]; !ok {
			p.run.first[m] = d.At - int64(p.Skew)
		}
	}
	p.run.out.write(p.router, d.At-int64(p.Skew), d.Payload)
}

// Observe counts what the device uploads, and shows the packets to the exporter by its clock.
func (p *tap) Observe(t packet.Train) {
	if !t.Dst.IsPrivate() && t.Src.IsPrivate() && !t.Dst.IsMulticast() && (p.router.Name != "A" || !p.run.Overlap) {
		p.run.upload[t.Src] += t.Octets()
	}
	t.At += int64(p.Skew)
	p.exporter.Observe(t)
}

// Advance lets the exporter's clock go on, and reboots it when its time has come.
func (p *tap) Advance(now int64) {
	for len(p.changes) > 0 && p.changes[0].at <= now {
		c := p.changes[0]
		p.changes = p.changes[1:]
		p.dead = c.what == gone
		if c.what == resample {
			p.exporter.Flush(now + int64(p.Skew))
			if p.options.Sampling >= 10 {
				p.options.Sampling /= 10
			} else {
				p.options.Sampling = 10
			}
		}
		if err := p.boot(now, 0); err != nil {
			return // the options were good before, and sampling stays at 1 or more
		}
	}
	for len(p.cuts) > 0 && p.cuts[0] <= now {
		p.cuts = p.cuts[1:]
		p.exporter.Refresh()
	}
	p.exporter.Advance(now + int64(p.Skew))
}

func (p *tap) Flush(now int64) { p.exporter.Flush(now + int64(p.Skew)) }
