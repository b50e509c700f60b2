package profile

import (
	"context"
	_ "embed"
	"fmt"
	"net/netip"
)

//go:embed query/siblings.sql
var siblingsSQL string

// minSiblings is how many other devices of a kind make an opinion.
const minSiblings = 3

// Opinion is how many other devices of the same kind do what a line says.
type Opinion struct {
	Kind string `json:"kind"`
	Same uint64 `json:"same"`
	Of   uint64 `json:"of"`
}

// Siblings asks the other devices of a kind what they think of a line: whether they
// deal with the same network outside, or with the same service. Of what has neither
// they have no opinion, and of what is done inside the site by one device only.
func (s *Scorer) Siblings(ctx context.Context, d Device, l Line) (o Opinion, ok bool, err error) {
	of := l.subject(d.ID)
	if d.Kind == "" || l.Role != "client" && l.Role != "server" || l.Port == 0 && !of.peer.IsValid() {
		return o, false, nil
	}
	known, _, err := s.chosen(ctx, DeviceFilter{Kind: d.Kind})
	if err != nil {
		return o, false, fmt.Errorf("read devices of kind %s: %w", d.Kind, err)
	}
	o.Kind = d.Kind
	ids := []uint64{}
	for _, k := range known {
		if k.ID != d.ID && len(ids) < idsPerQuery {
			ids = append(ids, k.ID)
		}
	}
	if o.Of = uint64(len(ids)); o.Of < minSiblings {
		return o, false, nil
	}
	low, high := netip.IPv6Unspecified(), netip.IPv6Unspecified()
	if of.peer.IsValid() {
		p, err := netip.ParsePrefix(network(of.peer))
		if err != nil {
			return o, false, nil // an address that is in no network
		}
		low, high = prefixRange(p)
	}
	values := map[string]any{"devices": ids, "role": l.Role, "proto": uint64(l.Proto), "port": uint64(l.Port), "bits": of.peer.IsValid(), "low": low, "high": high}
	if of.peer.IsValid() {
		values["port"] = uint64(0) // the peer is what matters
	}
	if err := scalar(ctx, s, siblingsSQL, values, &o.Same); err != nil {
		return o, false, fmt.Errorf("ask devices of kind %s: %w", d.Kind, err)
	}
	return o, true, nil
}
