package netflow

import "tidemark/collector/flow"

// HeldKey names whose state is counted in a Held.
type HeldKey struct {
	Exporter [16]byte
	Protocol flow.Protocol // NetFlowV9 or IPFIX, the others have no state
}

// Held is what the Decoder holds of one exporter address, all its Transport
// Sessions together.
type Held struct {
	Templates int // known, options templates included
	Waiting   int // Data Sets whose template has not come
}

// Held counts what is held of every exporter.
func (d *Decoder) Held() map[HeldKey]Held {
	d.mu.RLock()
	defer d.mu.RUnlock()
	out := make(map[HeldKey]Held, len(d.peers))
	for _, s := range d.sessions {
		add := func(p flow.Protocol, templates, waiting int) {
			k := HeldKey{s.key.exporter, p}
			h := out[k]
			h.Templates += templates
			h.Waiting += waiting
			out[k] = h
		}
		s.plansMu.RLock()
		for k := range s.plans {
			add(k.protocol, 1, 0)
		}
		s.plansMu.RUnlock()
		s.pending.mu.Lock()
		for k, q := range s.pending.queues {
			add(k.protocol, 0, len(q))
		}
		s.pending.mu.Unlock()
	}
	return out
}
