package collector

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"tidemark/collector/flow"
	"tidemark/collector/netflow"
)

// ExporterStatus is what a person wants to know of one exporter and protocol.
// Counts are cumulative since the collector started.
type ExporterStatus struct {
	Address  netip.Addr `json:"address"` // the invalid address: exporters past Config.MaxExporters, together
	Protocol string     `json:"protocol"`
	Domains  []uint32   `json:"domains"` // at most 64

	FirstSeen          time.Time `json:"first_seen"`
	LastSeen           time.Time `json:"last_seen"`
	DatagramsPerSecond float64   `json:"datagrams_per_second"` // over the last minute
	FlowsPerSecond     float64   `json:"flows_per_second"`

	Datagrams      uint64 `json:"datagrams"`
	Octets         uint64 `json:"octets"` // UDP payload
	Flows          uint64 `json:"flows"`
	OptionsRecords uint64 `json:"options_records"`
	CounterSamples uint64 `json:"counter_samples"`
	Templates      uint64 `json:"templates"`          // Template Records read, repeats included
	TemplatesKnown int    `json:"templates_known"`    // now, all sessions of the address together
	Conflicts      uint64 `json:"template_conflicts"` // live templates redefined with another layout
	Waited         uint64 `json:"sets_waited"`        // Data Sets kept because their template had not come
	Waiting        int    `json:"sets_waiting"`       // of those, still waiting now
	Late           uint64 `json:"flows_late"`         // flows of Data Sets that had waited

	Connections int `json:"connections"` // over TCP and TLS, open now from this address

	// Agents are the sFlow agents that name themselves by another address than the one
	// their datagrams come from: through NAT, a bridge or a proxy. At most 16.
	Agents []netip.Addr `json:"agents,omitempty"`

	Unit         string  `json:"unit"` // of the four below
	Expected     uint64  `json:"expected"`
	Received     uint64  `json:"received"`
	Lost         uint64  `json:"lost"`
	LostPercent  float64 `json:"lost_percent"`
	LostAway     uint64  `json:"lost_while_down"` // of Lost: sent while no collector listened
	LastSequence uint32  `json:"last_sequence"`
	Duplicates   uint64  `json:"duplicates"` // datagrams
	Reordered    uint64  `json:"reordered"`
	Restarts     uint64  `json:"restarts"` // of the numbering

	Undecodable map[string]uint64 `json:"undecodable"` // by reason, zeros left out
	Allowed     bool              `json:"allowed"`     // on the allow list
	Shed        uint64            `json:"shed"`        // datagrams that were not decoded
	ShedBy      map[string]uint64 `json:"shed_by"`     // reason: not_allowed, rate_limit, stopped

	SamplingRate   uint32 `json:"sampling_rate"`   // of the latest flow, 0 = no flow yet
	SamplingSource string `json:"sampling_source"` // exporter, options, config, assumed
	Clock          Clock  `json:"clock"`
	// ClockOffset is our clock minus the exporter's: of the last minute the median
	// of each five seconds' least, which holds the least delay. nil when the
	// protocol has no export time or the exporter is silent.
	ClockOffset *time.Duration `json:"clock_offset_ns"`
	offsetRate  float64        // datagrams per second of the domain it is from

	// Packets that came in by interfaces, by the counters of sFlow agents and by
	// their flow samples of the same time; both 0 without counter samples.
	CountedPackets uint64             `json:"counted_packets"`
	SampledPackets uint64             `json:"sampled_packets"`
	Interfaces     []InterfaceStatus  `json:"interfaces,omitempty"` // named or counted; at most 1024
	VRFs           []netflow.NamedVRF `json:"vrfs,omitempty"`       // named in options; at most 1024
	// Applications that the exporter recognises and names in options; at most 8192.
	Applications []netflow.Application `json:"applications,omitempty"`
}

// Totals is the account of all exporters together, since the collector started:
// what reached this machine was read or dropped by its kernel, what was read was
// shed or given to a decoder, and every flow decoded was handed over, or is
// waiting to be, or was lost.
type Totals struct {
	Datagrams   uint64 `json:"datagrams"` // read
	KernelDrops uint64 `json:"kernel_drops"`
	Shed        uint64 `json:"shed"` // datagrams
	Flows       uint64 `json:"flows"`
	LostFlows   uint64 `json:"lost_flows"` // could not be handed over
}

// Totals returns the account of all exporters together.
func (c *Collector) Totals() Totals {
	t := Totals{Datagrams: c.read.Load(), KernelDrops: c.kernelDrops(), LostFlows: c.lost.Load()}
	c.accounts.mu.Lock()
	defer c.accounts.mu.Unlock()
	for _, acc := range c.accounts.accounts {
		t.Flows += acc.flows
		for _, n := range acc.shed {
			t.Shed += n
		}
	}
	return t
}

const maxStatusDomains = 64

// Exporters returns the status of every exporter, by address and protocol.
func (c *Collector) Exporters() []ExporterStatus {
	type key struct {
		exporter [16]byte
		protocol flow.Protocol
	}
	now, held := c.deps.Clock().UnixNano(), c.netflow.Held()
	byKey := map[key]*ExporterStatus{}
	a := c.accounts
	a.mu.Lock()
	for k, acc := range a.accounts {
		id := key{k.exporter, k.protocol}
		s := byKey[id]
		if s == nil {
			s = newStatus(acc)
			byKey[id] = s
		}
		s.merge(acc, now)
	}
	a.mu.Unlock()

	c.interfaces.status(func(exporter [16]byte) *ExporterStatus { return byKey[key{exporter, flow.SFlowV5}] })
	out := make([]ExporterStatus, 0, len(byKey))
	connections, _ := c.connections.counts()
	for k, s := range byKey {
		slices.Sort(s.Domains)
		slices.SortFunc(s.Agents, netip.Addr.Compare)
		if s.Address.IsValid() {
			h := held[netflow.HeldKey{Exporter: k.exporter, Protocol: k.protocol}]
			s.TemplatesKnown, s.Waiting = h.Templates, h.Waiting
			s.Allowed = c.config.allowed(s.Address)
			c.name(s, k.exporter, k.protocol)
			if k.protocol == flow.IPFIX {
				s.Connections = connections[s.Address]
			}
		}
		if s.Expected > s.Received {
			s.Lost = s.Expected - s.Received
			s.LostPercent = 100 * float64(s.Lost) / float64(s.Expected)
		}
		s.Clock = c.config.exporter(s.Address).Clock
		out = append(out, *s)
	}
	slices.SortFunc(out, func(x, y ExporterStatus) int {
		if c := x.Address.Compare(y.Address); c != 0 {
			return c
		}
		if x.Protocol < y.Protocol {
			return -1
		}
		return 1
	})
	return out
}

// name lists the interfaces and VRFs of an exporter.
func (c *Collector) name(s *ExporterStatus, exporter [16]byte, p flow.Protocol) {
	if p == flow.NetFlowV9 || p == flow.IPFIX {
		names, vrfs := c.netflow.Names(exporter, p)
		for _, n := range names {
			s.Interfaces = append(s.Interfaces, InterfaceStatus{Domain: n.Domain, Index: n.Index, Name: n.Name, Description: n.Description})
		}
		slices.SortFunc(vrfs, func(x, y netflow.NamedVRF) int {
			return cmp.Or(cmp.Compare(x.Domain, y.Domain), cmp.Compare(x.ID, y.ID))
		})
		s.VRFs, s.Applications = vrfs, c.netflow.Applications(exporter, p)
	}
	s.Interfaces = sortInterfaces(s.Interfaces)
}

func newStatus(acc *account) *ExporterStatus {
	s := &ExporterStatus{Protocol: "unknown", Unit: acc.unit.String(), Undecodable: map[string]uint64{}, ShedBy: map[string]uint64{},
		FirstSeen: time.Unix(0, acc.firstSeen).UTC()}
	if acc.key.exporter != [16]byte{} {
		s.Address = exporterAddr(acc.key.exporter)
	}
	if acc.key.protocol != 0 {
		s.Protocol = acc.key.protocol.String()
	}
	return s
}

// merge adds the account of one domain.
func (s *ExporterStatus) merge(acc *account, now int64) {
	if len(s.Domains) < maxStatusDomains {
		s.Domains = append(s.Domains, acc.key.domain)
	}
	if first := time.Unix(0, acc.firstSeen).UTC(); first.Before(s.FirstSeen) {
		s.FirstSeen = first
	}
	if last := time.Unix(0, acc.lastSeen).UTC(); last.After(s.LastSeen) {
		s.LastSeen = last
		s.LastSequence = acc.lastSeq
		if acc.samplingRate != 0 {
			s.SamplingRate, s.SamplingSource = acc.samplingRate, samplingSource(acc.samplingQuality)
		}
	}
	for _, agent := range acc.agents {
		if a := exporterAddr(agent); len(s.Agents) < maxAgents && !slices.Contains(s.Agents, a) {
			s.Agents = append(s.Agents, a)
		}
	}
	datagrams, flows, offset, hasOffset := acc.minute.rates(now, acc.firstSeen)
	s.DatagramsPerSecond += datagrams
	s.FlowsPerSecond += flows
	if d := time.Duration(offset); hasOffset && datagrams >= s.offsetRate { // the domains have one clock
		s.ClockOffset, s.offsetRate = &d, datagrams
	}
	s.Datagrams += acc.datagrams
	s.Octets += acc.octets
	s.Flows += acc.flows
	s.OptionsRecords += acc.optionsRecords
	s.CounterSamples += acc.counterSamples
	s.Templates += acc.templates
	s.Conflicts += acc.conflicts
	s.Waited += acc.waiting
	s.Late += acc.late
	s.Expected += acc.tally.expected
	s.Received += acc.tally.received
	s.LostAway += acc.tally.away
	s.Duplicates += acc.tally.duplicates
	s.Reordered += acc.tally.late
	s.Restarts += acc.tally.restarts
	for reason, n := range acc.shed {
		if n > 0 {
			s.Shed += n
			s.ShedBy[shedding(reason).String()] += n
		}
	}
	for reason, n := range acc.undecodable {
		if n > 0 {
			s.Undecodable[flow.Reason(reason).String()] += n
		}
	}
}

func samplingSource(quality uint16) string {
	switch {
	case quality&flow.SamplingAssumed != 0:
		return "assumed"
	case quality&flow.SamplingFromConfig != 0:
		return "config"
	case quality&flow.SamplingFromOption != 0:
		return "options"
	}
	return "exporter"
}
