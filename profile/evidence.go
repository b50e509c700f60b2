package profile

import (
	"cmp"
	"context"
	_ "embed"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"time"
)

//go:embed query/flows_of.sql
var flowsOfSQL string

// maxNamed is how many findings one statement names flows of. It reads the flows
// of the batches looked at, whether it names those of one finding or of all.
const maxNamed = 256

// nameFlows names up to 20 of the flows each line rests on that has a new finding:
// those of the batches that were looked at, else those of any batch. Detectors
// read aggregates of days, in which a batch newer than those looked at may
// already stand.
func (s *Scorer) nameFlows(ctx context.Context, lines []*Line) error {
	slices.SortStableFunc(lines, func(a, b *Line) int {
		return cmp.Or(cmp.Compare(a.from.log, b.from.log), cmp.Compare(a.from.after, b.from.after), cmp.Compare(a.from.upto, b.from.upto))
	})
	for len(lines) > 0 {
		f, n := lines[0].from, 1
		for n < min(len(lines), maxNamed) && lines[n].from.log == f.log && lines[n].from.after == f.after && lines[n].from.upto == f.upto {
			n++
		}
		if err := s.nameFlowsIn(ctx, lines[:n], f.after, f.upto, false); err != nil {
			return err
		}
		var rest []*Line
		for _, l := range lines[:n] {
			if len(l.Flows) == 0 {
				rest = append(rest, l)
			}
		}
		if len(rest) > 0 {
			if err := s.nameFlowsIn(ctx, rest, 0, math.MaxInt64, true); err != nil {
				return err
			}
		}
		lines = lines[n:]
	}
	return nil
}

// nameFlowsIn names the flows of lines, all of one log, in batches (after, upto];
// loosely: whatever part the device plays in them, and until a day later.
func (s *Scorer) nameFlowsIn(ctx context.Context, lines []*Line, after, upto uint64, loosely bool) error {
	var devices, sinces, untils, protos, ports, peers, peerDevices []uint64
	var roles []string
	var addresses []netip.Addr
	since, until := lines[0].from.Since, time.Time{}
	for _, l := range lines {
		f := l.from
		l.Flows = nil
		role, end, address := f.Role, f.Until, f.PeerAddr
		if loosely {
			role, end = "unknown", end.AddDate(0, 0, 1)
		}
		if !address.IsValid() {
			address = netip.IPv6Unspecified()
		}
		if f.Since.Before(since) {
			since = f.Since
		}
		until = later(until, end)
		devices, roles = append(devices, cmp.Or(f.stored, f.Device)), append(roles, role)
		sinces, untils = append(sinces, uint64(f.Since.UnixMilli())), append(untils, uint64(end.UnixMilli()))
		protos, ports = append(protos, uint64(f.Proto)), append(ports, uint64(f.Port))
		peers, peerDevices, addresses = append(peers, f.Peer), append(peerDevices, cmp.Or(f.storedPeer, f.PeerDevice)), append(addresses, address)
	}
	log := lines[0].from.log
	values := map[string]any{
		"log": log, "after": after, "upto": upto, "since": since, "until": until,
		"devices": devices, "roles": roles, "sinces": sinces, "untils": untils, "protos": protos, "ports": ports,
		"peers": peers, "peer_devices": peerDevices, "addresses": addresses,
	}
	s.joined.values(values)
	err := each(ctx, s, s.joined.join(flowsOfSQL), values, func(r row) error {
		var n uint32
		var batches []uint64
		var positions []uint32
		if err := r.Scan(&n, &batches, &positions); err != nil {
			return err
		}
		for i := range batches {
			lines[n-1].Flows = append(lines[n-1].Flows, fmt.Sprintf("%016x-%d-%d", log, batches[i], positions[i]))
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("name the flows of findings: %w", err)
	}
	return nil
}
