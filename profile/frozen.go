package profile

import (
	"context"
	_ "embed"
	"fmt"
	"math"
	"net/netip"
	"regexp"
	"slices"
	"strings"
)

var (
	//go:embed query/unlearned_edges.sql
	unlearnedEdgesSQL string
	//go:embed query/unlearned_hours.sql
	unlearnedHoursSQL string
)

// maxFrozen is how many lines of incidents judged malicious, the newest first, stay
// out of what is normal. Statements hold them, so alerts do.
const maxFrozen = 60

// frozen is what devices did that people judged malicious, so that it is never
// learned as normal: the edges of each line from its first finding to its last, and
// the hours of the incident. It is read from the incidents, so another verdict takes
// it back, and the ledger has both.
type frozen struct {
	read                                            bool
	devices, protos, ports, peers                   []uint64
	roles                                           []string
	low, high                                       []netip.Addr
	since, until /* of the line */, opened, changed []uint64 // ms since 1970
}

// refreshFrozen reads the incidents judged malicious anew if a verdict or one of them
// changed.
func (s *Scorer) refreshFrozen(ctx context.Context) error {
	if s.frozen.read {
		return nil
	}
	list, err := s.incidents(ctx, AlertFilter{verdict: VerdictMalicious, Limit: math.MaxInt32})
	if err != nil {
		return fmt.Errorf("read what was judged malicious: %w", err)
	}
	slices.SortFunc(list, func(a, b *Incident) int { return b.Changed.Compare(a.Changed) })
	var ids []uint64
	for _, i := range list[:min(len(list), maxFrozen)] {
		ids = append(ids, i.Device)
	}
	known := map[uint64]Device{}
	if len(ids) > 0 {
		if known, err = s.identities(ctx, ids); err != nil {
			return fmt.Errorf("read devices of what was judged malicious: %w", err)
		}
	}
	f := frozen{read: true}
	for _, i := range list[:len(ids)] {
		members := []uint64{i.Device}
		if d, ok := known[i.Device]; ok {
			members = d.ids()
		}
		for k := range i.Lines {
			for _, device := range members {
				if len(f.devices) < maxFrozen {
					f.add(i, &i.Lines[k], device)
				}
			}
		}
	}
	if !slices.Equal(f.devices, s.frozen.devices) {
		clear(s.gate.begun) // when edges began may be another time now
	}
	s.frozen = f
	return nil
}

func (f *frozen) add(i *Incident, l *Line, device uint64) {
	of := l.subject(device)
	low, high := netip.IPv6Unspecified(), netip.IPv6Unspecified()
	if of.peer.IsValid() {
		if p, err := netip.ParsePrefix(network(of.peer)); err == nil {
			low, high = prefixRange(p)
		}
	}
	role := l.Role
	if role == "" {
		role = "unknown"
	}
	f.devices, f.roles, f.protos, f.ports = append(f.devices, device), append(f.roles, role), append(f.protos, uint64(l.Proto)), append(f.ports, uint64(l.Port))
	f.peers, f.low, f.high = append(f.peers, of.peerDevice), append(f.low, low), append(f.high, high)
	f.since, f.until = append(f.since, uint64(l.Since.UnixMilli())), append(f.until, uint64(l.Until.UnixMilli()))
	f.opened, f.changed = append(f.opened, uint64(i.Opened.UnixMilli())), append(f.changed, uint64(i.Changed.UnixMilli()))
}

var history = regexp.MustCompile(`\bFROM (edges|volumes_1h)\b( AS \w+)?`)

// unlearn makes a statement read the history of devices without what was judged
// malicious.
func (f *frozen) unlearn(sql string) string {
	if len(f.devices) == 0 {
		return sql
	}
	return history.ReplaceAllStringFunc(sql, func(read string) string {
		m := history.FindStringSubmatch(read)
		rows, alias := unlearnedEdgesSQL, m[2]
		if m[1] == "volumes_1h" {
			rows = unlearnedHoursSQL
		}
		if alias == "" {
			alias = " AS " + m[1]
		}
		return "FROM " + strings.TrimSpace(rows) + alias
	})
}

// values are what the statements of unlearn want.
func (f *frozen) values(into map[string]any) {
	for name, list := range map[string][]uint64{
		"devices": f.devices, "protos": f.protos, "ports": f.ports, "peers": f.peers, "since": f.since, "until": f.until, "opened": f.opened, "changed": f.changed,
	} {
		into["frozen_"+name] = list
	}
	into["frozen_roles"], into["frozen_low"], into["frozen_high"] = f.roles, f.low, f.high
}
