package collector

import (
	"cmp"
	"slices"
	"sync"
	"sync/atomic"

	"tidemark/collector/flow"
	"tidemark/collector/sflow"
)

// InterfaceStatus is what is known of one interface of an exporter. Of sFlow:
// packets that came in by it, as the exporter counted them from its first counter
// sample to its last, and as its flow samples of the same time, times their
// sampling rate, say.
type InterfaceStatus struct {
	Domain         uint32 `json:"domain"`
	Index          uint32 `json:"index"`
	Name           string `json:"name,omitempty"`
	Description    string `json:"description,omitempty"`
	CountedPackets uint64 `json:"counted_packets,omitempty"`
	SampledPackets uint64 `json:"sampled_packets,omitempty"`
}

const (
	// maxInterfaces bounds the interfaces whose counters are followed.
	maxInterfaces = 1 << 16
	// maxStatusInterfaces bounds those listed of one exporter.
	maxStatusInterfaces = 1024
)

// interfaces holds the counters that sFlow agents send beside their samples.
type interfaces struct {
	any atomic.Bool // there is something in m
	mu  sync.Mutex
	m   map[interfaceKey]*counted
}

type interfaceKey struct {
	exporter, agent [16]byte
	domain, index   uint32
}

// counted is one interface between its counter samples.
type counted struct {
	last                        sflow.InterfaceCounters
	packets, sampled, unsettled uint64 // unsettled: sampled since the last counter sample
}

// counters takes the counters of one interface.
func (f *interfaces) counters(exporter, agent [16]byte, domain uint32, c sflow.InterfaceCounters) {
	f.mu.Lock()
	defer f.mu.Unlock()
	k := interfaceKey{exporter, agent, domain, c.Index}
	i := f.m[k]
	if i == nil {
		if len(f.m) < maxInterfaces {
			f.m[k] = &counted{last: c}
			f.any.Store(true)
		}
		return
	}
	if n, ok := c.InSince(i.last); ok {
		i.packets += n
		i.sampled += i.unsettled
	}
	i.last, i.unsettled = c, 0
}

// samples takes the rows of one datagram's flow samples, those from row first.
func (f *interfaces) samples(o *observation, b *flow.Batch, first int) {
	if !f.any.Load() {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	k := interfaceKey{exporter: o.datagram.Exporter, agent: o.agent, domain: o.result.Domain}
	for row := first; row < b.Len(); row++ {
		k.index = b.InIf[row]
		if i := f.m[k]; i != nil {
			i.unsettled += uint64(b.SamplingRate[row])
		}
	}
}

// status adds what the counters say to the interfaces of each exporter.
func (f *interfaces) status(of func(exporter [16]byte) *ExporterStatus) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for k, i := range f.m {
		s := of(k.exporter)
		if s == nil {
			continue
		}
		if i.sampled > 0 { // else it may not be sampled at all
			s.CountedPackets += i.packets
			s.SampledPackets += i.sampled
		}
		s.Interfaces = append(s.Interfaces, InterfaceStatus{Domain: k.domain, Index: k.index, CountedPackets: i.packets, SampledPackets: i.sampled})
	}
}

// sortInterfaces puts them in order, and leaves out those past the bound.
func sortInterfaces(all []InterfaceStatus) []InterfaceStatus {
	slices.SortFunc(all, func(x, y InterfaceStatus) int {
		return cmp.Or(cmp.Compare(x.Domain, y.Domain), cmp.Compare(x.Index, y.Index))
	})
	return all[:min(len(all), maxStatusInterfaces)]
}
