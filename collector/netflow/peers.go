package netflow

import "maps"

// maxPeers bounds the search for a template among the sessions of one address.
const maxPeers = 64

// borrow finds a template for s in other sessions of the same exporter address:
// exporters that restart or use one port per process change their port, and
// their layouts stay. It declines when those sessions do not agree. The templates
// of a connection are its own: they come before the data and end with it.
func (d *Decoder) borrow(s *session, k templateKey) *plan {
	if s.key.transport.Connected() {
		return nil
	}
	d.mu.RLock()
	defer d.mu.RUnlock()
	peers := d.peers[s.key.exporter]
	if len(peers) > maxPeers {
		peers = peers[len(peers)-maxPeers:]
	}
	var found *plan
	for _, p := range peers {
		if p == s || p.key.transport.Connected() {
			continue
		}
		q := p.plan(k)
		if q == nil {
			continue
		}
		if found != nil && !found.equal(&q.template) {
			return nil
		}
		found = q
	}
	return found
}

// maxInherited bounds the entries that a new session takes over.
const maxInherited = 4096

// inherit gives a new session the sampling rates that other sessions of its
// address know, until it says its own: see borrow. Nothing is locked by the
// caller.
func (d *Decoder) inherit(s *session) {
	if s.key.transport.Connected() {
		return
	}
	d.mu.RLock()
	peers := append([]*session(nil), d.peers[s.key.exporter]...)
	d.mu.RUnlock()
	if len(peers) > maxPeers {
		peers = peers[len(peers)-maxPeers:]
	}
	rates := map[domainKey]*observation{} // nil: the sessions do not agree
	left := maxInherited
	for _, p := range peers {
		if p == s || p.key.transport.Connected() {
			continue
		}
		p.mu.Lock()
		for k, o := range p.domains {
			if left -= o.numRates(); left < 0 {
				p.mu.Unlock()
				return
			}
			if other, known := rates[k]; o.numRates() > 0 && !known {
				rates[k] = o.rates()
			} else if other != nil && o.numRates() > 0 && !other.sameRates(o) {
				rates[k] = nil
			}
		}
		p.mu.Unlock()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for k, from := range rates {
		if from == nil || s.domains[k] != nil {
			continue
		}
		from.eachRate(func(v option) { d.learnOption(s, k, v) }) // as far as there is room
	}
}

func (o *observation) numRates() int {
	return len(o.samplers) + len(o.interfaces) + index(o.rate != nil)
}

// rates copies the sampling rates.
func (o *observation) rates() *observation {
	return &observation{rate: o.rate, samplers: maps.Clone(o.samplers), interfaces: maps.Clone(o.interfaces)}
}

func (o *observation) sameRates(p *observation) bool {
	return (o.rate == nil) == (p.rate == nil) && (o.rate == nil || *o.rate == *p.rate) &&
		maps.Equal(o.samplers, p.samplers) && maps.Equal(o.interfaces, p.interfaces)
}

func (o *observation) eachRate(f func(option)) {
	if o.rate != nil {
		f(option{kind: optionDomainRate, rate: *o.rate})
	}
	for id, r := range o.samplers {
		f(option{kind: optionSamplerRate, id: id, rate: r})
	}
	for id, r := range o.interfaces {
		f(option{kind: optionInterfaceRate, id: uint64(id), rate: r})
	}
}
