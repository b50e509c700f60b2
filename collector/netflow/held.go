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

// NamedInterface is what options data calls an interface of a domain.
type NamedInterface struct {
	Domain, Index uint32
	Label
}

// NamedVRF is what options data calls a VRF of a domain.
type NamedVRF struct {
	Domain uint32 `json:"domain"`
	ID     uint32 `json:"id"`
	Name   string `json:"name"`
}

// maxNames bounds the names listed of one exporter.
const maxNames = 1024

// Names returns what an exporter calls its interfaces and VRFs, in no order;
// sessions that differ are all heard.
func (d *Decoder) Names(exporter [16]byte, p flow.Protocol) (interfaces []NamedInterface, vrfs []NamedVRF) {
	d.mu.RLock()
	peers := append([]*session(nil), d.peers[exporter]...)
	d.mu.RUnlock()
	seen, seenVRF := map[NamedInterface]bool{}, map[NamedVRF]bool{}
	for _, s := range peers {
		s.mu.Lock()
		for k, o := range s.domains {
			if k.protocol != p {
				continue
			}
			for i, name := range o.names {
				if n := (NamedInterface{k.domain, i, name}); len(seen) < maxNames && !seen[n] {
					seen[n] = true
					interfaces = append(interfaces, n)
				}
			}
			for i, name := range o.vrfs {
				if n := (NamedVRF{k.domain, i, name}); len(seenVRF) < maxNames && !seenVRF[n] {
					seenVRF[n] = true
					vrfs = append(vrfs, n)
				}
			}
		}
		s.mu.Unlock()
	}
	return interfaces, vrfs
}
