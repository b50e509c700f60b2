package netflow

import (
	"encoding/binary"
	"math"

	"tidemark/collector/flow"
)

// maxOptionEntries bounds each table of an observation.
const maxOptionEntries = 65536

// rate is a sampling rate "one of N".
type rate struct {
	n           uint32
	probability float64 // exact share of packets taken when N is not an integer, else 0
	quality     uint16
}

// observation is what options data said of one Observation Domain.
type observation struct {
	session *session // charged for the tables

	systemInit int64 // ns since 1970; the exporter's start
	hasInit    bool

	rate       *rate // of the whole domain
	samplers   map[uint64]rate
	byRate     map[rate]int // how many samplers have it
	agreed     *rate        // the rate of all samplers, while they agree
	interfaces map[uint32]rate
	names      map[uint32]Label
	vrfs       map[uint32]string

	applications map[string]Label // by applicationId as exported
}

// optionKind says what an option is about. The numbers are stored.
type optionKind uint8

const (
	optionSystemInit optionKind = iota + 1
	optionDomainRate
	optionSamplerRate
	optionInterfaceRate
	optionInterfaceName
	optionVRFName
	optionApplication
)

// option is one thing that options data says of a domain.
type option struct {
	kind optionKind
	id   uint64 // sampler, interface or VRF
	rate rate
	at   int64 // optionSystemInit: ns since 1970
	name Label

	application string // applicationId as exported, at most maxApplicationID octets
}

// Label is what an exporter calls one of its interfaces or applications.
type Label struct {
	Name        string
	Description string
}

// sampling gathers the sampling fields of one record.
type sampling struct {
	rate, interval, space, size, population uint64
	probability                             float64
	sampler                                 uint64
	hasSampler                              bool
}

// field takes one field in; fields that are not about sampling are ignored.
func (s *sampling) field(c column, v []byte) {
	if c == toProbability {
		switch len(v) {
		case 4:
			s.probability = float64(math.Float32frombits(binary.BigEndian.Uint32(v)))
		case 8:
			s.probability = math.Float64frombits(binary.BigEndian.Uint64(v))
		}
		return
	}
	u, ok := number(v, math.MaxUint64)
	if !ok {
		return
	}
	switch c {
	case toRate:
		s.rate = u
	case toInterval:
		s.interval = u
	case toSpace:
		s.space = u
	case toSize:
		s.size = u
	case toPopulation:
		s.population = u
	case toSampler:
		s.sampler, s.hasSampler = u, true
	}
}

// sane tells whether the rate that the fields state, if any, can be one.
func (s *sampling) sane() bool { return s.rate > 0 && s.rate <= math.MaxUint32 }

// resolve computes the rate; ok is false when the fields do not give one.
func (s *sampling) resolve() (r rate, ok bool) {
	switch {
	case s.rate > 0: // samplingInterval, samplerRandomInterval
		return ratio(1, float64(s.rate))
	case s.interval > 0 && s.space > 0: // RFC 5477, Sections 8.2.1 and 8.2.2
		return ratio(float64(s.interval), float64(s.interval)+float64(s.space))
	case s.size > 0 && s.population > 0: // Cisco sends samplingPacketInterval 1 beside them
		return ratio(float64(s.size), float64(s.population))
	case s.interval > 0: // alone it is what many exporters call N
		return ratio(1, float64(s.interval))
	case s.probability > 0 && s.probability <= 1:
		return ratio(s.probability, 1)
	}
	return rate{}, false
}

func ratio(taken, of float64) (rate, bool) {
	n := math.Round(of / taken)
	if !(n >= 1 && n <= math.MaxUint32) {
		return rate{}, false
	}
	r := rate{n: uint32(n)}
	if n*taken != of {
		r.probability = taken / of
	}
	return r, true
}

// optionsRecord reads one Options Data Record.
func (x *pass) optionsRecord(p *plan, rec []byte) {
	x.res.OptionsRecords++
	about := x.m.key()
	var s sampling
	var name, vrf, application Label
	var applicationID string
	var ifIndex, vrfID uint64
	var hasIf, hasVRF bool
	var systemInit int64
	for i := range p.ops {
		op := &p.ops[i]
		var v []byte
		v, rec, _ = op.next(rec)
		pen, id := flow.ExtensionID(op.key)
		switch {
		case i < p.scopes && x.m.protocol == flow.NetFlowV9:
			if id == 2 { // Interface (RFC 3954, Section 6.1)
				ifIndex, hasIf = number(v, math.MaxUint32)
			}
		case pen != 0:
		case id == 10 || id == 14 || id == 252 || id == 253: // ingress, egress, physical interface
			if u, ok := number(v, math.MaxUint32); ok && !hasIf {
				ifIndex, hasIf = u, true
			}
		case id == 82: // interfaceName
			name.Name = text(v)
		case id == 83: // interfaceDescription
			name.Description = text(v)
		case id == 234 || id == 235: // ingressVRFID, egressVRFID
			if u, ok := number(v, math.MaxUint32); ok && !hasVRF {
				vrfID, hasVRF = u, true
			}
		case id == 236: // VRFname
			vrf.Name = text(v)
		case id == 94: // applicationDescription (RFC 6759, Section 4)
			application.Description = text(v)
		case id == 95: // applicationId
			applicationID = string(v[:min(len(v), maxApplicationID+1)])
		case id == 96: // applicationName
			application.Name = text(v)
		case id == 149 && i < p.scopes: // observationDomainId: may speak of another one
			if u, ok := number(v, math.MaxUint32); ok && u != 0 {
				about.domain = uint32(u)
			}
		case op.column == toSystemInit:
			if u, ok := number(v, math.MaxInt64/1_000_000); ok {
				systemInit = int64(u) * 1e6
			}
		default:
			s.field(op.column, v)
		}
	}
	var said []option
	if systemInit > 0 {
		said = append(said, option{kind: optionSystemInit, at: systemInit})
	}
	if r, sampled := s.resolve(); sampled {
		r.quality = flow.SamplingFromOption
		said = append(said, s.about(r, ifIndex, hasIf))
	}
	if hasIf && name != (Label{}) {
		said = append(said, option{kind: optionInterfaceName, id: ifIndex, name: name})
	}
	if hasVRF && vrf.Name != "" {
		said = append(said, option{kind: optionVRFName, id: vrfID, name: vrf})
	}
	if n := len(applicationID); n > 1 && n <= maxApplicationID && application != (Label{}) {
		said = append(said, option{kind: optionApplication, application: applicationID, name: application})
	}
	for _, v := range said {
		x.learn(about, v)
	}
}

// about says what a rate is the rate of: of a sampler, an interface or the domain.
func (s *sampling) about(r rate, ifIndex uint64, hasIf bool) option {
	switch {
	case s.hasSampler:
		return option{kind: optionSamplerRate, id: s.sampler, rate: r}
	case hasIf:
		return option{kind: optionInterfaceRate, id: ifIndex, rate: r}
	}
	return option{kind: optionDomainRate, rate: r}
}

// learn files what options data said.
func (x *pass) learn(about domainKey, v option) {
	became := x.d.learnOption(x.s, about, v)
	if became == refused && x.d.makeRoom(x.s, x.m.dg.Received) {
		became = x.d.learnOption(x.s, about, v)
	}
	if became == refused {
		x.fail(flow.ReasonLimit)
	}
	if o := x.s.domains[about]; o != nil && about == x.m.key() {
		x.observation = o
	}
}

// learnOption files an option of s, for the time after a restart too. The caller
// holds s.mu.
func (d *Decoder) learnOption(s *session, about domainKey, v option) outcome {
	o := s.observation(about)
	if o == nil {
		return refused
	}
	became := o.set(v)
	if became == added || became == redefined {
		d.saveOption(s, about, v, became == added)
	}
	return became
}

// set files one option; the later one wins.
func (o *observation) set(v option) outcome {
	switch v.kind {
	case optionSystemInit:
		became := single(o.hasInit, o.systemInit == v.at)
		o.systemInit, o.hasInit = v.at, true
		return became
	case optionDomainRate:
		became := single(o.rate != nil, o.rate != nil && *o.rate == v.rate)
		o.rate = &v.rate
		return became
	case optionSamplerRate:
		old := o.samplers[v.id]
		became := keep(o, &o.samplers, v.id, v.rate, 0)
		o.count(old, v.rate, became)
		return became
	case optionInterfaceRate:
		return keep(o, &o.interfaces, uint32(v.id), v.rate, 0)
	case optionInterfaceName:
		return keep(o, &o.names, uint32(v.id), v.name, v.name.octets()-o.names[uint32(v.id)].octets())
	case optionVRFName:
		return keep(o, &o.vrfs, uint32(v.id), v.name.Name, len(v.name.Name)-len(o.vrfs[uint32(v.id)]))
	case optionApplication:
		return keep(o, &o.applications, v.application, v.name, v.name.octets()-o.applications[v.application].octets())
	}
	return refused
}

// count keeps track of whether all samplers agree, without looking at all of them.
func (o *observation) count(old, now rate, became outcome) {
	switch became {
	case unchanged, refused:
		return
	case redefined:
		if o.byRate[old]--; o.byRate[old] == 0 {
			delete(o.byRate, old)
		}
	}
	if o.byRate == nil {
		o.byRate = map[rate]int{}
	}
	o.byRate[now]++
	if o.agreed = nil; len(o.byRate) == 1 {
		o.agreed = &now
	}
}

func single(had, same bool) outcome {
	switch {
	case !had:
		return added
	case same:
		return unchanged
	}
	return redefined
}

// find returns the rate for a record.
func (o *observation) find(s *sampling, inIf, outIf uint32, egress bool) (rate, bool) {
	if s.hasSampler {
		if r, ok := o.samplers[s.sampler]; ok {
			return r, true
		}
	}
	if len(o.interfaces) > 0 {
		first, second := inIf, outIf
		if egress {
			first, second = outIf, inIf
		}
		if r, ok := o.interfaces[first]; ok {
			return r, true
		}
		if r, ok := o.interfaces[second]; ok {
			return r, true
		}
	}
	if o.rate != nil {
		return *o.rate, true
	}
	if o.agreed != nil && !s.hasSampler {
		return *o.agreed, true
	}
	return rate{}, false
}

func (l Label) octets() int { return len(l.Name) + len(l.Description) }

// keep sets m[k], if the table and the budget have room; octets is by how much a
// name has grown.
func keep[K, V comparable](o *observation, m *map[K]V, k K, v V, octets int) outcome {
	if *m == nil {
		*m = map[K]V{}
	}
	old, known := (*m)[k]
	n := chargePerOctet * int64(octets)
	if !known {
		n += chargePerOption
	}
	if !known && len(*m) >= maxOptionEntries || !o.session.charge(n) {
		return refused
	}
	(*m)[k] = v
	return single(known, known && old == v)
}

// text cuts the padding off an octet string; exporters fill fixed lengths with zeros.
func text(v []byte) string {
	const longest = 255
	for len(v) > 0 && v[len(v)-1] == 0 {
		v = v[:len(v)-1]
	}
	if len(v) > longest {
		v = v[:longest]
	}
	return string(v)
}
