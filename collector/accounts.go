package collector

import (
	"bytes"
	"encoding/binary"
	"slices"
	"sync"

	"tidemark/collector/flow"
)

// accounts holds what is known of every exporter. Workers lock it once per read
// of many datagrams, not per datagram.
type accounts struct {
	mu       sync.Mutex
	max      int
	accounts map[accountKey]*account
	streams  streams // of exporters that send over UDP
	refused  int     // accounts opened for exporters that are not on the allow list
	opened   func(*account, *observation)
}

// accountKey is what the ledger's exporter table is keyed by.
type accountKey struct {
	exporter [16]byte
	domain   uint32
	protocol flow.Protocol
}

// streamKey tells sequences of numbers apart: two Exporting Processes behind
// one address count each for themselves.
type streamKey struct {
	accountKey
	port  uint16   // 0 for sFlow, which numbers per agent whatever the port
	agent [16]byte // sFlow only
}

type stream struct {
	sequence sequence
	lastSeen int64

	earlier *position // of the process before this one; nil once a datagram has come
	handed  *position // as far as rows were handed over, nil = not at all
	ahead   bool      // it has come further than that
}

// streams is a bounded set of them.
type streams struct {
	max int
	m   map[streamKey]*stream
}

func newStreams(max int) streams { return streams{max, map[streamKey]*stream{}} }

type account struct {
	key                 accountKey
	unit                flow.Unit
	tally               tally
	firstSeq, lastSeq   uint32
	numbered            bool  // firstSeq is set
	firstSeen, lastSeen int64 // ns, our clock

	datagrams, octets, flows, late     uint64
	optionsRecords, templates, waiting uint64
	counterSamples, conflicts          uint64
	undecodable                        [flow.NumReasons]uint64
	shed                               [numSheddings]uint64
	samplingRate                       uint32
	samplingQuality                    uint16
	minute                             minute
	agents                             [][16]byte // that an sFlow exporter names, but for its own address
}

// maxAgents bounds the agents listed of one exporter.
const maxAgents = 16

// names notes whom an sFlow datagram says it is from.
func (a *account) names(agent [16]byte) {
	if agent != [16]byte{} && agent != a.key.exporter && len(a.agents) < maxAgents && !slices.Contains(a.agents, agent) {
		a.agents = append(a.agents, agent)
	}
}

// maxRefused bounds the accounts of exporters that may not export to us:
// addresses made up by a sender must not use up the room of real ones.
const maxRefused = 1024

// maxOpened bounds how many exporters are announced in the log.
const maxOpened = 256

func newAccounts(max int, opened func(*account, *observation)) *accounts {
	return &accounts{max: max, opened: opened, accounts: map[accountKey]*account{}, streams: newStreams(max)}
}

// observation is one datagram and what became of it.
type observation struct {
	datagram flow.Datagram
	result   flow.Result
	agent    [16]byte
	length   int
	shed     shedding
	streams  *streams // of the connection or file it came by, nil over UDP
	// of the last row this datagram gave
	samplingRate    uint32
	samplingQuality uint16
}

// add accounts datagrams in the order they were read. It appends to ahead
// the streams over UDP that have come further, for handed.
func (a *accounts) add(observations []observation, ahead []*stream) []*stream {
	a.mu.Lock()
	defer a.mu.Unlock()
	for i := range observations {
		if s := a.addOne(&observations[i]); s != nil && !s.ahead {
			s.ahead = true
			ahead = append(ahead, s)
		}
	}
	return ahead
}

// addOne accounts one datagram; it returns its stream, nil if it has none that
// outlives the process.
func (a *accounts) addOne(o *observation) *stream {
	r := &o.result
	key := accountKey{o.datagram.Exporter, r.Domain, r.Protocol}
	acc := a.account(key, o)
	acc.lastSeen = o.datagram.Received
	acc.datagrams++
	acc.octets += uint64(o.length)
	if o.shed != taken {
		acc.shed[o.shed]++
		return a.count(acc, key, o)
	}
	acc.names(o.agent)
	acc.flows += uint64(r.Flows)
	acc.late += uint64(r.Late)
	acc.optionsRecords += uint64(r.OptionsRecords)
	acc.templates += uint64(r.Templates)
	acc.counterSamples += uint64(r.CounterSamples)
	acc.waiting += uint64(r.Waiting)
	acc.conflicts += uint64(r.Conflicts)
	for reason, n := range r.Undecodable {
		acc.undecodable[reason] += uint64(n)
	}
	if o.samplingRate != 0 {
		acc.samplingRate, acc.samplingQuality = o.samplingRate, o.samplingQuality
	}
	acc.minute.add(o.datagram.Received, r.Flows, r.ExportTime)
	return a.count(acc, key, o)
}

// count accounts the sequence number. A datagram that could not be read as far
// as its number, and NetFlow v1, which has none, count for themselves.
func (a *accounts) count(acc *account, key accountKey, o *observation) (lasting *stream) {
	r := &o.result
	switch {
	case r.Protocol == 0:
		return nil
	case r.Protocol == flow.NetFlowV1:
		acc.tally.expected++
		acc.tally.received++
		return nil
	case r.SequenceUnits == 0 && r.Flows == 0 && headerBroken(r):
		return nil
	}
	in := &a.streams
	if o.streams != nil {
		in = o.streams
	}
	s := in.of(streamKeyOf(key, o), o.datagram.Received)
	if s.earlier != nil {
		s.sequence, s.earlier = s.earlier.resume(r, o.datagram.Received), nil
	}
	before := s.sequence.tally()
	s.sequence.observe(r, o.length)
	after := s.sequence.tally()
	acc.unit = r.Unit
	// Unsigned arithmetic carries a fall as well: the reading of the numbers may
	// change once the exporter is understood.
	acc.tally.expected += after.expected - before.expected
	acc.tally.received += after.received - before.received
	acc.tally.away += after.away - before.away
	acc.tally.duplicates += after.duplicates - before.duplicates
	acc.tally.late += after.late - before.late
	acc.tally.restarts += after.restarts - before.restarts
	if !acc.numbered {
		acc.firstSeq, acc.numbered = r.Sequence, true
	}
	acc.lastSeq = r.Sequence
	if o.streams != nil {
		return nil
	}
	return s
}

// headerBroken reports whether the datagram ended within its header, so that
// its sequence number was not read.
func headerBroken(r *flow.Result) bool {
	return r.Sequence == 0 && r.ExportTime == 0 && r.UptimeMs == 0 &&
		r.Undecodable[flow.ReasonShort]+r.Undecodable[flow.ReasonMalformed]+r.Undecodable[flow.ReasonPanic] > 0
}

func streamKeyOf(key accountKey, o *observation) streamKey {
	k := streamKey{accountKey: key, port: o.datagram.Port}
	if key.protocol == flow.SFlowV5 {
		k.port, k.agent = 0, o.agent
	}
	return k
}

// account returns the account of key, or the one that all beyond the bound
// share: by protocol, because units must not mix.
func (a *accounts) account(key accountKey, o *observation) *account {
	if acc := a.accounts[key]; acc != nil {
		return acc
	}
	if o.shed == notAllowed {
		a.refused++
	}
	if len(a.accounts) >= a.max || o.shed == notAllowed && a.refused > maxRefused {
		key = accountKey{protocol: key.protocol}
		if acc := a.accounts[key]; acc != nil {
			return acc
		}
	}
	acc := &account{key: key, firstSeen: o.datagram.Received, lastSeen: o.datagram.Received}
	a.accounts[key] = acc
	if len(a.accounts) <= maxOpened {
		a.opened(acc, o)
	}
	return acc
}

// of returns the state of key. At the bound the one silent longest of a few
// makes room; only its place in the numbering is lost, its counts are in the
// account.
func (a *streams) of(key streamKey, now int64) *stream {
	s := a.m[key]
	if s == nil {
		if len(a.m) >= a.max {
			a.evict()
		}
		s = new(stream)
		a.m[key] = s
	}
	s.lastSeen = now
	return s
}

func (a *streams) evict() {
	const sample = 8
	var oldest streamKey
	var age int64
	n := 0
	for k, s := range a.m {
		if n == 0 || s.lastSeen < age {
			oldest, age = k, s.lastSeen
		}
		if n++; n == sample {
			break
		}
	}
	delete(a.m, oldest)
}

// abandoned counts Data Sets whose template never came.
func (a *accounts) abandoned(dg flow.Datagram, domain uint32, p flow.Protocol, sets int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	acc := a.account(accountKey{dg.Exporter, domain, p}, &observation{datagram: dg})
	acc.undecodable[flow.ReasonTemplateUnknown] += uint64(sets)
}

// counts returns the rows of the exporter table, sorted by key, without the row
// of the sockets.
func (a *accounts) counts() []flow.ExporterCount {
	a.mu.Lock()
	defer a.mu.Unlock()
	out := make([]flow.ExporterCount, 0, len(a.accounts)+1)
	for k, acc := range a.accounts {
		c := flow.ExporterCount{
			Exporter: k.exporter, Domain: k.domain, Protocol: k.protocol, Unit: acc.unit,
			Expected: acc.tally.expected, Received: acc.tally.received,
			FirstSeq: acc.firstSeq, LastSeq: acc.lastSeq, Away: acc.tally.away,
		}
		for _, n := range acc.undecodable[flow.ReasonNone+1:] {
			c.Undecodable += n
		}
		for _, n := range acc.shed {
			c.Shed += n
		}
		out = append(out, c)
	}
	slices.SortFunc(out, func(x, y flow.ExporterCount) int {
		if c := bytes.Compare(x.Exporter[:], y.Exporter[:]); c != 0 {
			return c
		}
		if x.Domain != y.Domain {
			if x.Domain < y.Domain {
				return -1
			}
			return 1
		}
		return int(x.Protocol) - int(y.Protocol)
	})
	return out
}

// sflowAgent reads the agent address of an sFlow datagram (sFlow v5, Section 5):
// the type of the address in octets 4 to 7, then the address.
func sflowAgent(payload []byte) (agent [16]byte) {
	if len(payload) < 8 {
		return agent
	}
	switch kind := binary.BigEndian.Uint32(payload[4:]); {
	case kind == 1 && len(payload) >= 12:
		agent[10], agent[11] = 0xff, 0xff
		copy(agent[12:], payload[8:12])
	case kind == 2 && len(payload) >= 24:
		copy(agent[:], payload[8:24])
	}
	return agent
}

const (
	slots       = 12
	slotSeconds = 5
)

// minute counts the last minute in slots of five seconds.
type minute struct{ slot [slots]slot }

type slot struct {
	number           int64 // time / slot length, tells whether the slot is current
	datagrams, flows uint32
	offset           int64 // smallest receive minus export time
	hasOffset        bool
}

func (m *minute) add(received int64, flows int, export int64) {
	number := received / (slotSeconds * 1e9)
	s := &m.slot[uint64(number)%slots]
	if s.number != number {
		*s = slot{number: number}
	}
	s.datagrams++
	s.flows += uint32(flows)
	if export == 0 {
		return
	}
	if offset := received - export; !s.hasOffset || offset < s.offset {
		s.offset, s.hasOffset = offset, true
	}
}

// rates returns the averages per second over the full slots before now and the
// clock offset.
func (m *minute) rates(now, firstSeen int64) (datagrams, flows float64, offset int64, hasOffset bool) {
	current := now / (slotSeconds * 1e9)
	var offsets []int64
	for i := range m.slot {
		s := &m.slot[i]
		if s.number > current-slots && s.number <= current {
			datagrams += float64(s.datagrams)
			flows += float64(s.flows)
			if s.hasOffset {
				offsets = append(offsets, s.offset)
			}
		}
	}
	// The smallest difference of a slot holds the least delay; the median of the
	// slots is not moved by a few datagrams with a wrong time.
	if len(offsets) > 0 {
		slices.Sort(offsets)
		offset, hasOffset = offsets[len(offsets)/2], true
	}
	begin := max((current-slots+1)*slotSeconds*1e9, firstSeen)
	seconds := max(float64(now-begin)/1e9, 1)
	return datagrams / seconds, flows / seconds, offset, hasOffset
}
