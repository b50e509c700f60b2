package profile

import (
	"context"
	"fmt"
	"net/netip"

	"tidemark/profile/contain"
)

// Rules are what could be dropped against an incident: the edges its findings
// name. They are found anew by its query, so they exist as long as the contacts
// of its batches (14 days). An incident about the device as a whole has none.
func (s *Scorer) Rules(ctx context.Context, i Incident) ([]contain.Rule, error) {
	found, err := s.findings(ctx, i.Query)
	if err != nil {
		return nil, fmt.Errorf("find the edges of alert %s again: %w", i.Name(), err)
	}
	var out []contain.Rule
	seen := map[contain.Rule]bool{}
	for _, f := range found {
		r := contain.Rule{Server: f.Role == "server", Proto: f.Proto, Port: f.Port}
		if f.detector = detectorNamed(s.detectors, i.Family); f.detector == nil || s.targetOf(&f) != i.Target && i.Target != "many" {
			continue // another incident of the same statement
		}
		if f.Peer != 0 && f.PeerAddr.IsValid() {
			r.Peer = peerPrefix(&f)
		}
		if !r.Server && r.Peer.IsValid() && f.detector.target == byPeer {
			r.Proto, r.Port = 0, 0 // the peer is what is new: it has other ports
		}
		if r != (contain.Rule{Server: r.Server}) && !seen[r] {
			seen[r] = true
			out = append(out, r)
		}
	}
	return out, nil
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
