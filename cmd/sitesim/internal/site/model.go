// Package site simulates a small site: its devices, their habits, and the attacks on them. It says
// which packets pass when; what routers make of them is the business of package export.
package site

import (
	"math"
	"math/rand/v2"
	"time"

	"tidemark/cmd/sitesim/internal/packet"
)

// A Style is how a routine talks.
type Style uint8

// The styles.
const (
	Session  Style = iota // TCP: connect, transfer, close
	Held                  // TCP: transfer on a connection that is kept for days
	Exchange              // UDP: request and response
	Announce              // UDP to a multicast or broadcast address
	Ping                  // ICMP echo
)

// Size is a log-normal quantity: octets, or seconds.
type Size struct{ Median, Sigma float64 }

func (s Size) draw(r *rand.Rand) float64 { return s.Median * math.Exp(s.Sigma*r.NormFloat64()) }
func (s Size) mean() float64             { return s.Median * math.Exp(s.Sigma*s.Sigma/2) }

// Week is how active something is by the hour of the day: 24 digits, 0 or '.' = never to 9 = always.
// An empty Week is always 9; an empty Weekend is like a weekday.
type Week struct{ Weekday, Weekend string }

// Weight is between 0 and 1.
func (w Week) Weight(at int64) float64 {
	if w.Weekday == "" {
		return 1
	}
	t := time.Unix(0, at).UTC()
	day := w.Weekday
	if d := t.Weekday(); w.Weekend != "" && (d == time.Saturday || d == time.Sunday) {
		day = w.Weekend
	}
	c := day[t.Hour()]
	if c == '.' {
		return 0
	}
	return float64(c-'0') / 9
}

// after is when a span of active time that begins at a given time has passed: in an hour of weight
// 1/3 only a third of the time counts. It gives up after two weeks.
func (w Week) after(at, span int64, civil calendar) int64 {
	for range 14 * 24 {
		next := at - at%int64(time.Hour) + int64(time.Hour)
		weight := w.Weight(civil.local(at))
		counts := int64(float64(next-at) * weight)
		if span < counts {
			return at + int64(float64(span)/weight)
		}
		span -= counts
		at = next
	}
	return at
}

// A Routine is one habit of a device. Either Every (quasi-periodic) or Poisson (events) is set.
type Routine struct {
	Do       Style
	To       string // a Domain, a device, "gateway", or an address of a group
	Inbound  bool   // To begins the conversation, the device serves
	Port     uint16
	Every    time.Duration
	Jitter   float64 // standard deviation as a share of Every
	Poisson  time.Duration
	Hours    Week
	State    string  // only while the device is in this state
	Up, Down Size    // octets from and to the one that begins
	Lasts    Size    // seconds the transfer takes; zero = as fast as the line
	Rate     bool    // Up and Down are octets per second of Lasts
	Packet   float64 // payload of a full packet, 0 = 1460
}

// A State is one of a device's semi-Markov states: it stays for Dwell (longer when Hours weigh
// less), then goes to one of Next.
type State struct {
	Name  string
	Dwell Size // seconds
	Hours Week
	Next  []string
}

// A Device is one persona: what it is and what it does. The tables in personas.go are all there is.
type Device struct {
	Name, Class, Vendor string
	MAC                 packet.MAC
	VLAN                uint16
	Host                uint8 // last octet of its address
	Exporter            string
	Powered             Week          // switched off where 0: then it is silent
	Born                time.Duration // joins the network so long after the start, 0 = has always been there
	States              []State
	Routines            []Routine
}

// A Domain is a service on the Internet: a name with a handful of addresses that rotate.
type Domain struct {
	Name      string
	Prefix    string        // the /24 its addresses are in, or the /16 of the sites'
	Addresses int           // how many
	TTL       time.Duration // of its DNS answer
	RTT       time.Duration
	Networks  int // > 1: its addresses are spread over so many /24 far apart, as those of large clouds
	Sites     int // > 0: so many domains, chosen by Zipf's law, each in a /24 of Prefix
}

// A VLAN is one network of the site, 10.20.<ID>.0/24, with the gateway at .1.
type VLAN struct {
	ID   uint16
	Name string
}

// A Router is where flows are observed.
type Router struct {
	Name     string
	Protocol string
	Agent    string // its own address
	Source   string // the loopback address its datagrams come from
	Domain   uint32
	About    string
	NAT      string // it sees the site from outside: all its devices have this address
}
