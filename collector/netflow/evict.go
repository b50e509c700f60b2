package netflow

import (
	"cmp"
	"slices"
	"time"
)

// rank says how much harm it would do to forget a session; the least go first.
type rank uint8

const (
	rankEmpty       rank = iota // no templates
	rankUnused                  // templates that no data came for, or more of them than any real exporter has
	rankNew                     // heard only for a moment
	rankEstablished             // heard for a while, or used before a restart
)

const (
	// establishedAfter is how long a session must have been heard.
	establishedAfter = int64(time.Minute)
	// hogShare is the part of the budget that no real exporter needs.
	hogShare = 64
	// evictPause is how long to wait after nobody could be forgotten.
	evictPause = int64(time.Second)
)

func (s *session) rank() rank {
	s.plansMu.RLock()
	defer s.plansMu.RUnlock()
	switch {
	case s.octets == 0:
		return rankEmpty
	case s.octets > s.state.limit/hogShare, !s.restored && !s.used.Load():
		return rankUnused
	case s.restored || s.lastSeen.Load()-s.firstSeen.Load() >= establishedAfter:
		return rankEstablished
	}
	return rankNew
}

// evict forgets an eighth of the sessions, at most of the rank given, those of
// lower rank first, then those silent longest: forged source addresses must not
// push out real exporters, which may be silent for minutes. Connections stay:
// whoever accepts them bounds them, and their templates are not sent again. So
// does except.
func (d *Decoder) evict(except *session, highest rank) {
	type candidate struct {
		s    *session
		rank rank
		seen int64
	}
	all := make([]candidate, 0, len(d.sessions))
	for _, s := range d.sessions {
		if s == except || s.key.transport.Connected() {
			continue
		}
		if r := s.rank(); r <= highest {
			all = append(all, candidate{s, r, s.lastSeen.Load()})
		}
	}
	slices.SortFunc(all, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(a.rank, b.rank), cmp.Compare(a.seen, b.seen))
	})
	for _, c := range all[:min(len(all), (len(d.sessions)+7)/8)] {
		d.forget(c.s)
	}
}

// makeRoom is called when the budget has nothing left for s: it forgets sessions
// that may be forged. It reports whether there is room now.
func (d *Decoder) makeRoom(s *session, now int64) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	before := d.state.used.Load()
	if before < d.state.limit-d.state.limit/16 {
		return true // another did it, or it is the share of s that is used up
	}
	if now-d.evictFailed < evictPause {
		return false
	}
	d.evict(s, rankNew)
	if d.state.used.Load() == before {
		d.evictFailed = now
		return false
	}
	return true
}

// makePendingRoom gives up what waits in the session where most does, if all
// together wait for so much that s cannot have n octets more, and less waits in s:
// whoever sends data without templates costs himself. It reports whether it did.
func (d *Decoder) makePendingRoom(s *session, n int) bool {
	if d.pendingBytes.Load()+int64(n+pendingOverhead) <= int64(d.config.MaxPendingBytes) {
		return false // it is the share of s that is used up
	}
	d.mu.RLock()
	defer d.mu.RUnlock()
	var fullest *session
	most := s.pending.size() + n
	for _, o := range d.sessions {
		if size := o.pending.size(); size > most {
			fullest, most = o, size
		}
	}
	return fullest != nil && d.abandon(fullest) > 0
}

// forget drops s, what was saved of it and what waits in it.
func (d *Decoder) forget(s *session) {
	delete(d.sessions, s.key)
	peers := slices.DeleteFunc(d.peers[s.key.exporter], func(p *session) bool { return p == s })
	if len(peers) == 0 {
		delete(d.peers, s.key.exporter)
	} else {
		d.peers[s.key.exporter] = peers
	}
	s.plansMu.Lock()
	d.unsave(s)
	s.chargeLocked(-s.octets)
	s.closed = true
	s.plansMu.Unlock()
	s.pending.close()
	d.abandon(s)
}

// unsave removes what was saved of s from the store.
func (d *Decoder) unsave(s *session) {
	if d.config.Templates == nil || s.key.transport.Connected() {
		return
	}
	for k := range s.plans {
		d.config.Templates.Save(templateName(s, k), nil)
	}
	for _, name := range s.saved {
		d.config.Templates.Save(name, nil)
	}
}
