package netflow

import (
	"cmp"
	"slices"
	"sync"
	"sync/atomic"
	"time"

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
	restored  bool // known since before this process

	// mu is held while one datagram of the session is decoded.
	mu      sync.Mutex
	domains map[domainKey]*observation

	pending pending

	// plansMu guards what is below and is never held while taking another lock:
	// other sessions of the same address look here too.
	plansMu sync.RWMutex
	plans   map[templateKey]*plan
	octets  int64 // of memory, charged to state
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

// Memory charged, in octets, rounded up.
const (
	chargePerPlan   = 768
	chargePerField  = 48
	chargePerMove   = 16 // of the fields once more, in columns, per shape
	chargePerDomain = 512
	chargePerOption = 128
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

// outcome is what became of a Template Record.
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

// session returns the state of the Transport Session k. lost is how many waiting
// sets were given up to make room for it.
func (d *Decoder) session(k sessionKey) (s *session, lost int) {
	d.mu.RLock()
	s = d.sessions[k]
	d.mu.RUnlock()
	if s != nil {
		return s, 0
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if s = d.sessions[k]; s != nil {
		return s, 0
	}
	if len(d.sessions) >= d.config.MaxSessions {
		lost = d.evict()
	}
	s = &session{key: k, domains: map[domainKey]*observation{}, plans: map[templateKey]*plan{}, state: &d.state}
	d.sessions[k] = s
	d.peers[k.exporter] = append(d.peers[k.exporter], s)
	return s, lost
}

// establishedAfter is how long a session must have been heard to be preferred.
const establishedAfter = int64(time.Minute)

// evict forgets an eighth of the sessions, first those without templates, then
// those heard only for a moment, then those silent longest: forged source
// addresses must not push out real exporters, which may be silent for minutes.
// Connections stay: whoever accepts them bounds them, and their templates are
// not sent again.
func (d *Decoder) evict() (lost int) {
	type candidate struct {
		s    *session
		rank int
		seen int64
	}
	all := make([]candidate, 0, len(d.sessions))
	for _, s := range d.sessions {
		if s.key.transport.Connected() {
			continue
		}
		s.plansMu.RLock()
		c := candidate{s: s, seen: s.lastSeen.Load()}
		if len(s.plans) > 0 {
			c.rank = 1
			if s.restored || c.seen-s.firstSeen.Load() >= establishedAfter {
				c.rank = 2
			}
		}
		all = append(all, c)
		s.plansMu.RUnlock()
	}
	slices.SortFunc(all, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(a.rank, b.rank), cmp.Compare(a.seen, b.seen))
	})
	for _, c := range all[:(len(all)+7)/8] {
		lost += d.forget(c.s)
	}
	return lost
}

// forget drops s and what was saved of it; lost is how many sets waited in it.
func (d *Decoder) forget(s *session) (lost int) {
	delete(d.sessions, s.key)
	peers := slices.DeleteFunc(d.peers[s.key.exporter], func(p *session) bool { return p == s })
	if len(peers) == 0 {
		delete(d.peers, s.key.exporter)
	} else {
		d.peers[s.key.exporter] = peers
	}
	s.plansMu.Lock()
	for k := range s.plans {
		d.save(s, k, nil)
	}
	s.chargeLocked(-s.octets)
	s.closed = true
	s.plansMu.Unlock()
	return s.pending.close(&d.pendingBytes)
}

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
