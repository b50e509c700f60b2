// Package netflow decodes NetFlow v1, v5, v7, v9 (RFC 3954) and IPFIX (RFC 7011)
// datagrams into flow.Batch. It opens no socket, keeps no clock and never logs.
package netflow

import (
	"encoding/binary"
	"sync"
	"sync/atomic"

	"tidemark/collector/flow"
)

// Config bounds a Decoder; a zero field means its default.
type Config struct {
	MaxSessions            int // Transport Sessions remembered, the one silent longest goes first; default 4096
	MaxTemplatesPerSession int // default 4096
	MaxPendingBytes        int // Data Sets waiting for their template, all sessions together; default 64 MiB
	MaxStateBytes          int // templates and options, all sessions together; default 256 MiB

	// Sampling is the operator's sampling rate for an exporter, 0 = none. With
	// override it replaces what the exporter says, otherwise it serves when the
	// exporter says nothing.
	Sampling func(exporter [16]byte) (rate uint32, override bool)

	Templates TemplateStore // nil = templates do not outlive the process

	// Abandoned, if set, is told of Data Sets that were waiting for their template
	// and are given up for another reason than their age: Abandon, End, or others
	// needed the room. It must not call back into the Decoder.
	Abandoned func(dg flow.Datagram, domain uint32, p flow.Protocol, sets int)
}

// Decoder holds what exporters said earlier: templates, sampling rates,
// interface names, and Data Sets whose template has not come. It is safe for
// concurrent use; each caller passes its own Batch.
type Decoder struct {
	config  Config
	unknown observation // of domains without options data; never written
	legacy  map[flow.Protocol]*legacy

	mu       sync.RWMutex // taken before session.plansMu, never while holding it
	sessions map[sessionKey]*session
	peers    map[[16]byte][]*session // by exporter address

	state        budget
	evictFailed  int64 // guarded by mu: when the budget was full of established sessions
	pendingBytes atomic.Int64
}

// New returns a Decoder that knows no templates; see Restore.
func New(c Config) *Decoder {
	if c.MaxSessions <= 0 {
		c.MaxSessions = 4096
	}
	if c.MaxTemplatesPerSession <= 0 {
		c.MaxTemplatesPerSession = 4096
	}
	if c.MaxPendingBytes <= 0 {
		c.MaxPendingBytes = 64 << 20
	}
	if c.MaxStateBytes <= 0 {
		c.MaxStateBytes = 256 << 20
	}
	return &Decoder{config: c, state: budget{limit: int64(c.MaxStateBytes)}, legacy: legacies(), sessions: map[sessionKey]*session{}, peers: map[[16]byte][]*session{}}
}

// Decode appends the flow records of one datagram to dst and accounts for all
// of its octets. It never panics on any payload; rows do not alias it.
func (d *Decoder) Decode(dst *flow.Batch, dg flow.Datagram, payload []byte) (res flow.Result) {
	x := pass{d: d, dst: dst}
	defer func() {
		if recover() != nil { // a bug; rows already complete are good
			dst.Truncate(dst.Len())
			x.fail(flow.ReasonPanic)
		}
		res = x.res
	}()
	x.datagram(dg, payload)
	return res
}

func (x *pass) datagram(dg flow.Datagram, payload []byte) {
	d, res := x.d, &x.res
	if d.config.Sampling != nil {
		n, override := d.config.Sampling(dg.Exporter)
		x.configured, x.override = rate{n: n, quality: flow.SamplingFromConfig}, override && n > 0
	}
	if len(payload) < 2 {
		x.fail(flow.ReasonShort)
		return
	}
	var sets []byte
	var ok bool
	switch v := binary.BigEndian.Uint16(payload); v {
	case 1, 5, 7:
		x.legacy(dg, d.legacy[flow.Protocol(v)], payload)
		return
	case 9:
		res.Protocol, res.Unit = flow.NetFlowV9, flow.Datagrams
		x.m, sets, ok = header9(dg, payload)
	case 10:
		res.Protocol, res.Unit = flow.IPFIX, flow.Records
		x.m, sets, ok = header10(dg, payload)
	default:
		x.fail(flow.ReasonVersion)
		return
	}
	if !ok {
		x.fail(flow.ReasonShort)
		return
	}
	res.Domain, res.Sequence = x.m.domain, x.m.sequence
	res.ExportTime, res.UptimeMs = x.m.exportTime, x.m.uptimeMs
	if res.Unit == flow.Datagrams {
		res.SequenceUnits = 1
	} else {
		sets = x.length(payload, sets)
	}
	x.stateful(sets)
}

// Header reads only the header of a datagram: what is needed to account for one
// that is not decoded. ok is false when there is no whole header. The records of
// IPFIX are not counted, which Result.Uncounted says.
func (d *Decoder) Header(payload []byte) (r flow.Result, ok bool) {
	if len(payload) < 2 {
		return r, false
	}
	var m message
	switch v := binary.BigEndian.Uint16(payload); v {
	case 1, 5, 7:
		l := d.legacy[flow.Protocol(v)]
		m, ok = l.message(flow.Datagram{}, payload)
		r.Unit = flow.Records
		if ok {
			r.SequenceUnits = uint32(binary.BigEndian.Uint16(payload[2:]))
		}
	case 9:
		m, _, ok = header9(flow.Datagram{}, payload)
		r.Unit, r.SequenceUnits = flow.Datagrams, 1
	case 10:
		m, _, ok = header10(flow.Datagram{}, payload)
		r.Unit, r.Uncounted = flow.Records, 1
	}
	r.Protocol, r.Domain, r.Sequence, r.ExportTime, r.UptimeMs = m.protocol, m.domain, m.sequence, m.exportTime, m.uptimeMs
	return r, ok
}

// stateful reads sets with the state of their session.
func (x *pass) stateful(sets []byte) {
	dg := &x.m.dg
	s := x.d.session(sessionOf(dg))
	if s.firstSeen.CompareAndSwap(0, dg.Received) {
		x.d.inherit(s)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lastSeen.Store(dg.Received)
	x.s = s
	x.enter(x.m)
	x.sets(sets)
}

// Abandon gives up every Data Set that still waits for its template: what a
// replay does at its end.
func (d *Decoder) Abandon() {
	d.mu.RLock()
	defer d.mu.RUnlock()
	for _, s := range d.sessions {
		d.abandon(s)
	}
}

// abandon gives up the sets that wait in s, and returns their octets.
func (d *Decoder) abandon(s *session) (octets int) {
	count := map[domainKey]int{}
	from := flow.Datagram{}
	s.pending.empty(&d.pendingBytes, func(w waiting) {
		count[w.m.key()]++
		from = w.m.dg
		octets += w.cost()
	})
	for k, n := range count {
		if d.config.Abandoned != nil {
			d.config.Abandoned(from, k.domain, k.protocol, n)
		}
	}
	return octets
}

// End forgets the Transport Session of a connection that has ended, and with it
// its templates (RFC 7011, Section 8.1).
func (d *Decoder) End(dg flow.Datagram) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if s := d.sessions[sessionOf(&dg)]; s != nil {
		d.forget(s)
	}
}
