package profile

import (
	"context"
	"fmt"
	"net/netip"
	"slices"

	"tidemark/profile/contain"
)

// Rules are what could be dropped against an incident: the edges its findings
// name, outside the site by address if few of a network were met. They are found anew by the queries of its lines, so they exist as long as
// the contacts of their batches (14 days). A line about the device as a whole has
// none.
func (s *Scorer) Rules(ctx context.Context, i Incident) ([]contain.Rule, error) {
	if exporterTitle(i.Device) != "" {
		return nil, nil // nothing a device does
	}
	lines := i.Lines
	if len(lines) == 0 { // of a version before lines
		lines = []Line{{Family: i.Family, Target: i.Target, Query: i.Query}}
	}
	if err := s.refreshDetectors(ctx); err != nil {
		return nil, err
	}
	ids := []uint64{i.Device}
	if known, err := s.identities(ctx, ids); err != nil {
		return nil, err
	} else if d, ok := known[i.Device]; ok {
		ids = d.ids()
	}
	var out []contain.Rule
	for _, l := range lines {
		d := detectorNamed(s.detectors, l.Family)
		if d == nil {
			continue // which edges are meant only the detector says
		}
		found, err := s.findingsOf(ctx, d, l.Query)
		if err != nil {
			return nil, fmt.Errorf("find the edges of alert %s again: %w", i.Name(), err)
		}
		for _, wide := range s.rules(found, &l) {
			narrow, err := s.narrow(ctx, ids, wide, l.Since, l.Until)
			if err != nil {
				return nil, fmt.Errorf("find the edges of alert %s again: %w", i.Name(), err)
			}
			for _, r := range narrow {
				if !slices.Contains(out, r) {
					out = append(out, r)
				}
			}
		}
	}
	return out, nil
}

func (s *Scorer) rules(found []finding, l *Line) []contain.Rule {
	var out []contain.Rule
	for _, f := range found {
		r := contain.Rule{Server: f.Role == "server", Proto: f.Proto, Port: f.Port}
		if f.detector = detectorNamed(s.detectors, l.Family); f.detector == nil || s.targetOf(&f) != l.Target && l.Target != "many" {
			continue // another line of the same statement
		}
		if f.Peer != 0 && f.PeerAddr.IsValid() {
			r.Peer = peerPrefix(&f)
		}
		if !r.Server && r.Peer.IsValid() && f.detector.target == byPeer {
			r.Proto, r.Port = 0, 0 // the peer is what is new: it has other ports
		}
		if r != (contain.Rule{Server: r.Server}) {
			out = append(out, r)
		}
	}
	return out
}

func detectorNamed(list []Detector, name string) *Detector {
	for i := range list {
		if list[i].Name == name {
			return &list[i]
		}
	}
	return nil
}

// peerPrefix is the peer as a filter names it: inside the site its address,
// outside its network.
func peerPrefix(f *finding) netip.Prefix {
	if f.PeerDevice == 0 {
		if p, err := netip.ParsePrefix(network(f.PeerAddr)); err == nil {
			return p
		}
	}
	return netip.PrefixFrom(f.PeerAddr, f.PeerAddr.BitLen())
}

// Edge is the peer as package contain reads it.
func (p *Peer) Edge() contain.Edge {
	e := contain.Edge{
		Server: p.Role == "server", Peer: p.Addr, Title: p.Title, Proto: p.Service.Proto, Port: p.Service.Port,
		Flows: p.Flows, Days: p.Days, Failed: p.Failed, Sure: p.Confidence, LastSeen: p.Last,
	}
	if n, err := netip.ParsePrefix(p.Network); err == nil {
		e.Network = n
	}
	return e
}
