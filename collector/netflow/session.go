package netflow

import (
	"sync"
	"sync/atomic"

	"tidemark/collector/flow"
)

// sessionKey names a Transport Session (RFC 7011, Section 2). Over UDP it is
// the exporter's address and port: two exporters may use one address. Over TCP
// and TLS it is the connection.
type sessionKey struct {
	exporter   [16]byte
	port       uint16
	transport  flow.Transport
	connection uint32
}

func sessionOf(dg *flow.Datagram) sessionKey {
	return sessionKey{dg.Exporter, dg.Port, dg.Transport, dg.Connection}
}

// domainKey names what one exporter's numbers are relative to. v9 and IPFIX
// number their templates apart even if the domain is the same.
type domainKey struct {
	protocol flow.Protocol
	domain   uint32
}

type templateKey struct {
	domainKey
	id uint16
}

// session is what one Transport Session said earlier.
type session struct {
	key       sessionKey
	firstSeen atomic.Int64 // ns, by arrival
	lastSeen  atomic.Int64
	restored  bool        // its templates were used before this process began
	used      atomic.Bool // its templates were those of some data

	// mu is held while one datagram of the session is decoded.
	mu      sync.Mutex
	domains map[domainKey]*observation

	pending pending

	// plansMu guards what is below and is never held while taking another lock:
	// other sessions of the same address look here too.
	plansMu sync.RWMutex
	plans   map[templateKey]*plan
	saved   []string // keys under which options are stored
	octets  int64    // of memory, charged to state
	state   *budget
	closed  bool // forgotten; charges nothing more
}

// budget is the memory that all sessions together may take for what exporters say.
type budget struct {
	used  atomic.Int64
	limit int64
}

// stateShare is the part of the budget that one session may take.
const stateShare = 8

// Memory charged, in octets, rounded up, with the record in the store. That is at
// most a quarter of it, so that what the budget admits fits into the store's file.
const (
	chargePerPlan   = 1024
	chargePerField  = 48
	chargePerMove   = 16 // of the fields once more, in columns, per shape
	chargePerDomain = 512
	chargePerOption = 640
	chargePerOctet  = 4 // of a name
)

// charge takes n octets (or gives them back) if the budgets allow it.
func (s *session) charge(n int64) bool {
	s.plansMu.Lock()
	defer s.plansMu.Unlock()
	return s.chargeLocked(n)
}

func (s *session) chargeLocked(n int64) bool {
	if s.closed || n > 0 && s.octets+n > s.state.limit/stateShare {
		return false
	}
	if s.state.used.Add(n) > s.state.limit && n > 0 {
		s.state.used.Add(-n)
		return false
	}
	s.octets += n
	return true
}

func (p *plan) charge() int64 {
	if p == nil {
		return 0
	}
	n := chargePerPlan + chargePerField*int64(len(p.fields))
	if p.columns != nil {
		n += chargePerMove * int64(len(p.fields)) * (1 << len(p.columns.icmp))
	}
	return n
}

func (s *session) plan(k templateKey) *plan {
	s.plansMu.RLock()
	defer s.plansMu.RUnlock()
	return s.plans[k]
}

// observation returns what options said of a domain, to be changed; nil when
// there is no room for one more. The caller holds s.mu.
func (s *session) observation(k domainKey) *observation {
	o := s.domains[k]
	if o == nil && len(s.domains) < maxDomains && s.charge(chargePerDomain) {
		o = &observation{session: s}
		s.domains[k] = o
	}
	return o
}

// outcome is what became of a Template Record or an option.
type outcome uint8

const (
	unchanged outcome = iota
	added
	redefined
	refused
)

// learn files a template. A live one with another layout is replaced: over UDP
// the latest template is the one in force (RFC 7011, Section 8.4).
func (s *session) learn(k templateKey, p *plan, limit int) outcome {
	s.plansMu.Lock()
	defer s.plansMu.Unlock()
	old := s.plans[k]
	switch {
	case old != nil && old.equal(&p.template):
		return unchanged
	case old == nil && len(s.plans) >= limit, !s.chargeLocked(p.charge() - old.charge()):
		return refused
	}
	s.plans[k] = p
	if old == nil {
		return added
	}
	return redefined
}

// withdraw removes template id, or all of a kind if id is that of their set
// (RFC 7011, Section 8.1).
func (s *session) withdraw(d domainKey, id uint16, options bool) {
	s.plansMu.Lock()
	defer s.plansMu.Unlock()
	for k, p := range s.plans {
		if k.domainKey == d && (k.id == id || (id < 256 && p.options == options)) {
			delete(s.plans, k)
			s.chargeLocked(-p.charge())
		}
	}
}

// session returns the state of the Transport Session k.
func (d *Decoder) session(k sessionKey) *session {
	d.mu.RLock()
	s := d.sessions[k]
	d.mu.RUnlock()
	if s != nil {
		return s
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if s = d.sessions[k]; s != nil {
		return s
	}
	if len(d.sessions) >= d.config.MaxSessions {
		d.evict(nil, rankEstablished)
	}
	s = &session{key: k, domains: map[domainKey]*observation{}, plans: map[templateKey]*plan{}, state: &d.state}
	d.sessions[k] = s
	d.peers[k.exporter] = append(d.peers[k.exporter], s)
	return s
}
