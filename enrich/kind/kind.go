// Package kind tells what kind of thing a device is, by rules that add weighed
// evidence.
//
// It is pure: it takes Facts and returns a Verdict; reading facts and keeping
// verdicts is the work of package classifier. The rules are a data file
// (rules.yaml) that says how to read and to extend it.
package kind

import (
	"cmp"
	"math"
	"slices"
)

// Unknown is the kind of a device whose evidence is not enough.
const Unknown = ""

// What a Verdict demands (reference/detection.md, 4.2): the probability of a
// kind, its lead over the next one in nats, and the probability of being IoT.
const (
	acceptProbability = 0.8
	acceptMargin      = 1.4
)

// Facts are what is known of one device. Text is lower case except Vendor.
type Facts struct {
	Vendor     string    // organisation its MAC belongs to; "" if unknown or random
	Services   []Service // it offers or uses
	Domains    []string  // it looked up or talked to
	Hostnames  []string  // it calls itself, by DHCP, mDNS, NetBIOS
	VendorInfo []string  // DHCP vendor class, SSDP server
	Discovery  []string  // types it announces or seeks: mDNS services, SSDP targets
	Behaviour  Behaviour
}

// Role is the part a device plays in a service.
type Role uint8

const (
	Serves    Role = iota // it is the server
	Uses                  // it is the client
	Announces             // it sends to a group or broadcast address
)

// Service is a protocol and port in one role and scope.
type Service struct {
	Role  Role
	WAN   bool // with hosts outside the site
	Proto uint8
	Port  uint16
	Peers uint64
	Flows uint64
}

// Behaviour are measures of a device's traffic. One that is not known is NaN,
// and no rule about it holds.
type Behaviour struct {
	Hours       float64 // from the first to the last flow
	Flows       float64
	Packets     float64 // seen, before scaling by a sampling rate
	Networks    float64 // distinct /24 or /48 outside the site, in all
	NetworksDay float64 // the same on a mean day
	NewShare    float64 // of the networks, those seen on one day only
	TopShare    float64 // of the flows to the outside, those to the 3 busiest networks
	Services    float64 // distinct services used outside the site
	OutIn       float64 // octets sent to the outside, per octet received
	BytesDay    float64 // octets exchanged with the outside per day
	ActiveHours float64 // share of the hours of its life in which it had traffic
	LANPeers    float64 // devices of the site it is a client of
	Samples     float64 // mean sampling rate; 1 = all packets
	BytesFlow   float64 // octets exchanged with the outside per flow of it
}

// IoT is whether a device is one of the internet of things.
type IoT string

const (
	IoTUnknown IoT = "unknown"
	IsIoT      IoT = "iot"
	NotIoT     IoT = "not iot"
)

// Verdict is what the rules say of a device.
type Verdict struct {
	Kind        string  `json:"kind"`  // id of the kind, "" = abstained
	Title       string  `json:"title"` // of the kind in words
	IoT         IoT     `json:"iot"`
	Probability float64 `json:"probability"` // of the kind; of being IoT or not if the kind is unknown
	ProbIoT     float64 `json:"prob_iot"`
	Criticality string  `json:"criticality"` // that the kind has by itself
	Scores      []Score `json:"scores"`      // best first; evidence for at least one
	Terms       []Term  `json:"terms"`       // heaviest first
}

// Score is how much speaks for one kind.
type Score struct {
	Kind        string  `json:"kind"`
	Nats        float64 `json:"nats"` // with the prior and the caps
	Probability float64 `json:"probability"`
}

// Term is one rule that holds.
type Term struct {
	Rule    string             `json:"rule"`
	Group   string             `json:"group"`
	Text    string             `json:"text"`              // what was seen
	Weights map[string]float64 `json:"weights,omitempty"` // nats by kind
	IoT     float64            `json:"iot,omitempty"`     // nats for every kind that is IoT
}

// For is the weight of the term for a kind, before group caps.
func (t Term) For(k Kind) float64 {
	w := t.Weights[k.ID]
	if k.IoT {
		w += t.IoT
	}
	return w
}

// Classify weighs what the facts say.
func (r *Rules) Classify(f *Facts) Verdict {
	v := Verdict{IoT: IoTUnknown}
	for i := range r.rules {
		if text, holds := r.rules[i].holds(f); holds {
			v.Terms = append(v.Terms, Term{Rule: r.rules[i].ID, Group: r.rules[i].Group, Text: text, Weights: r.rules[i].Weights, IoT: r.rules[i].IoT})
		}
	}
	r.score(&v)
	return v
}

// score fills everything of v but its terms, and orders those.
func (r *Rules) score(v *Verdict) {
	best, sum, iot := math.Inf(-1), 0., 0.
	for _, k := range r.kinds {
		s := Score{Kind: k.ID, Nats: k.prior + r.evidence(v.Terms, k)}
		v.Scores = append(v.Scores, s)
		best = max(best, s.Nats)
	}
	for i := range v.Scores {
		s := &v.Scores[i]
		s.Probability = math.Exp(s.Nats - best)
		sum += s.Probability
		if r.kinds[i].IoT {
			iot += s.Probability
		}
	}
	for i := range v.Scores {
		v.Scores[i].Probability /= sum
	}
	v.ProbIoT = iot / sum
	slices.SortStableFunc(v.Scores, func(a, b Score) int { return cmp.Compare(b.Nats, a.Nats) })
	r.decide(v)
	slices.SortStableFunc(v.Terms, func(a, b Term) int { return cmp.Compare(r.tell(b, v), r.tell(a, v)) })
}

// evidence sums the terms for one kind; no group adds more than its cap. What
// speaks for IoT as such is capped apart, or it would leave no room for the kind.
func (r *Rules) evidence(terms []Term, k Kind) float64 {
	var total float64
	for _, g := range r.groups {
		var own, iot float64
		for _, t := range terms {
			if t.Group == g.ID {
				own += t.Weights[k.ID]
				iot += t.IoT
			}
		}
		total += clamp(own, g.Cap)
		if k.IoT {
			total += clamp(iot, g.Cap)
		}
	}
	return total
}

func clamp(x, limit float64) float64 { return max(-limit, min(x, limit)) }

// decide accepts the best kind, or only whether it is IoT, or abstains.
func (r *Rules) decide(v *Verdict) {
	if len(v.Terms) == 0 {
		v.Probability = v.ProbIoT
		return
	}
	first, second := v.Scores[0], v.Scores[1]
	if first.Probability >= acceptProbability && first.Nats-second.Nats >= acceptMargin {
		k := r.Kind(first.Kind)
		v.Kind, v.Title, v.Criticality, v.Probability = k.ID, k.Title, k.Criticality, first.Probability
		v.IoT = NotIoT
		if k.IoT {
			v.IoT = IsIoT
		}
		return
	}
	switch {
	case v.ProbIoT >= acceptProbability:
		v.IoT, v.Probability = IsIoT, v.ProbIoT
	case v.ProbIoT <= 1-acceptProbability:
		v.IoT, v.Probability = NotIoT, 1-v.ProbIoT
	default:
		v.Probability = max(v.ProbIoT, 1-v.ProbIoT)
	}
}

// tell is how much a term says about the verdict: for the best kind.
func (r *Rules) tell(t Term, v *Verdict) float64 { return math.Abs(t.For(r.Kind(v.Scores[0].Kind))) }
