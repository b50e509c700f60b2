package netflow

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"

	"tidemark/collector/flow"
)

const (
	// maxApplicationID bounds an applicationId: RFC 6759 has up to 8 octets, Fortinet sends 9.
	maxApplicationID = 16
	// maxApplications bounds those listed of one exporter; Cisco's NBAR2 knows 1,500.
	maxApplications = 8192
)

// Application is what an exporter calls an application that it recognises (RFC 6759).
type Application struct {
	ID          string `json:"id"` // see ApplicationID
	Name        string `json:"name,omitempty"`
	Description string `json:"description,omitempty"`
}

// ApplicationID writes an applicationId as ENGINE:SELECTOR, or ENGINE:ENTERPRISE:SELECTOR
// for the engine whose selectors an enterprise numbers (RFC 6759, Section 4.1).
func ApplicationID(v []byte) string {
	const panaL7PEN = 20
	if len(v) < 2 || len(v) > maxApplicationID {
		return ""
	}
	engine, selector, prefix := v[0], v[1:], ""
	if engine == panaL7PEN && len(selector) > 4 {
		prefix, selector = fmt.Sprintf("%d:", binary.BigEndian.Uint32(selector)), selector[4:]
	}
	n, ok := number(selector, 1<<64-1)
	if !ok {
		return fmt.Sprintf("%d:%s0x%x", engine, prefix, selector)
	}
	return fmt.Sprintf("%d:%s%d", engine, prefix, n)
}

// Applications returns what an exporter calls applications, in the order of their
// ids. Where its domains or sessions differ, one of the names holds.
func (d *Decoder) Applications(exporter [16]byte, p flow.Protocol) []Application {
	d.mu.RLock()
	peers := append([]*session(nil), d.peers[exporter]...)
	d.mu.RUnlock()
	labels := map[string]Label{}
	for _, s := range peers {
		s.mu.Lock()
		for k, o := range s.domains {
			for id, l := range o.applications {
				if k.protocol == p && len(labels) < maxApplications {
					labels[id] = l
				}
			}
		}
		s.mu.Unlock()
	}
	ids := make([]string, 0, len(labels))
	for id := range labels {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b string) int { return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b)) })
	out := make([]Application, 0, len(ids))
	for _, id := range ids {
		out = append(out, Application{ApplicationID([]byte(id)), labels[id].Name, labels[id].Description})
	}
	return out
}
