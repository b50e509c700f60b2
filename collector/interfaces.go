package collector

import (
	"bytes"
	"cmp"
	"slices"
	"sync"
	"sync/atomic"

	"tidemark/collector/flow"
	"tidemark/collector/sflow"
)

// InterfaceStatus is what is known of one interface of an exporter: what it calls
// it, by options data or the counter samples of sFlow, and of sFlow the
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
	// maxInterfaces bounds the interfaces whose counters and names are kept,
	// maxExporterInterfaces those of one exporter.
	maxInterfaces         = 1 << 16
	maxExporterInterfaces = 4096
	// maxInterfaceName bounds a name in octets (RFC 2863: ifName is a DisplayString,
	// of 255 at most).
	maxInterfaceName = 255
	// maxStatusInterfaces bounds those listed of one exporter.
	maxStatusInterfaces = 1024
)

// interfaces holds the counters and names of interfaces that sFlow agents send
// beside their samples.
type interfaces struct {
	any atomic.Bool // there is something in m
	mu  sync.Mutex
	m   map[interfaceKey]*counted
	of  map[[16]byte]int // how many of m by exporter
}

func newInterfaces() *interfaces {
	return &interfaces{m: map[interfaceKey]*counted{}, of: map[[16]byte]int{}}
}

type interfaceKey struct {
	exporter, agent [16]byte
	domain, index   uint32
}

// counted is one interface between its counter samples.
type counted struct {
	name                        string
	counts                      bool // last is a reading
	last                        sflow.InterfaceCounters
	packets, sampled, unsettled uint64 // unsettled: sampled since the last counter sample
}

// counters takes the counters of one interface.
func (f *interfaces) counters(exporter, agent [16]byte, domain uint32, c sflow.InterfaceCounters) {
	f.mu.Lock()
	defer f.mu.Unlock()
	i := f.interfaceOf(interfaceKey{exporter, agent, domain, c.Index})
	if i == nil {
		return
	}
	if n, ok := c.InSince(i.last); ok && i.counts {
		i.packets += n
		i.sampled += i.unsettled
	}
	i.last, i.counts, i.unsettled = c, true, 0
}

// named takes the name of one interface.
func (f *interfaces) named(exporter, agent [16]byte, domain, index uint32, name []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	i := f.interfaceOf(interfaceKey{exporter, agent, domain, index})
	if name = bytes.TrimRight(name, "\x00"); i != nil && i.name != string(name[:min(len(name), maxInterfaceName)]) {
		i.name = string(name[:min(len(name), maxInterfaceName)])
	}
}

// interfaceOf is what is kept of an interface, nil past the bounds. The caller
// holds f.mu.
func (f *interfaces) interfaceOf(k interfaceKey) *counted {
	i := f.m[k]
	if i == nil && len(f.m) < maxInterfaces && f.of[k.exporter] < maxExporterInterfaces {
		i = &counted{}
		f.m[k] = i
		f.of[k.exporter]++
		f.any.Store(true)
	}
	return i
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
		s.Interfaces = append(s.Interfaces, InterfaceStatus{Domain: k.domain, Index: k.index, Name: i.name, CountedPackets: i.packets, SampledPackets: i.sampled})
	}
}

// sortInterfaces puts them in order, and leaves out those past the bound.
func sortInterfaces(all []InterfaceStatus) []InterfaceStatus {
	slices.SortFunc(all, func(x, y InterfaceStatus) int {
		return cmp.Or(cmp.Compare(x.Domain, y.Domain), cmp.Compare(x.Index, y.Index))
	})
	return all[:min(len(all), maxStatusInterfaces)]
}
