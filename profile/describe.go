package profile

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
)

// targetOf names what a finding is about.
func (s *Scorer) targetOf(f *finding) string {
	switch f.detector.target {
	case byPeer:
		return f.peer()
	case byService, byOffer, bySession:
		peer := ""
		if f.detector.target == bySession || f.detector.target == byOffer && f.Role == "server" {
			peer = " " + f.peer()
		}
		if f.Port == 0 && (f.Proto == 6 || f.Proto == 17) {
			return f.Role + " many ports" + peer
		}
		return f.Role + " " + serviceNumber(f.Proto, f.Port) + peer
	}
	return "device"
}

// peer names the other side: the device's id inside the site, the network
// outside it.
func (f *finding) peer() string {
	switch {
	case f.Peer == 0:
		return "many"
	case f.PeerDevice != 0:
		return fmt.Sprintf("%016x", f.PeerDevice)
	}
	return network(f.PeerAddr)
}

// peerName names the other side as exactly as it is known.
func (f *finding) peerName() string {
	switch {
	case f.Peer == 0:
		return ""
	case f.PeerDevice != 0:
		return fmt.Sprintf("%016x", f.PeerDevice)
	}
	return f.PeerAddr.String()
}

// describe puts names and numbers of the incidents that changed into words.
func (s *Scorer) describe(ctx context.Context, b *book) error {
	var ids []uint64
	for _, i := range b.all {
		ids = append(ids, i.Device)
		for k := range i.Lines {
			if f := i.Lines[k].from; f != nil && f.PeerDevice != 0 {
				ids = append(ids, f.PeerDevice)
			}
		}
	}
	slices.Sort(ids)
	devices, err := s.identities(ctx, slices.Compact(ids))
	if err != nil {
		return err
	}
	var changed []*Line
	for _, i := range b.all {
		i.device = devices[i.Device]
		i.device.ID = i.Device
		for k := range i.Lines {
			l := &i.Lines[k]
			f := l.from
			if f == nil {
				continue
			}
			l.Expected, l.Observed = s.words(f, f.Expected, devices), s.words(f, f.Observed, devices)
			l.Confidence, l.Query = uint8(math.Round(100*f.Confidence)), Bare(f.query)
			if exporterTitle(f.Device) == "" { // whose flows are everybody's
				changed = append(changed, l)
			}
		}
	}
	if b.trial {
		return nil
	}
	return s.nameFlows(ctx, changed)
}

// Bare is a statement without the comments that open it: what runs is the same, and
// no shell takes it for a flag.
func Bare(statement string) string {
	statement = strings.TrimSpace(statement)
	for strings.HasPrefix(statement, "--") {
		_, statement, _ = strings.Cut(statement, "\n")
		statement = strings.TrimSpace(statement)
	}
	return statement
}

func (s *Scorer) words(f *finding, text string, devices map[uint64]Device) string {
	peer := f.PeerAddr.String()
	if d, ok := devices[f.PeerDevice]; ok && f.PeerDevice != 0 {
		peer = d.Title()
	}
	return strings.NewReplacer("<peer>", peer, "<service>", s.service(f.Proto, f.Port)).Replace(text)
}

// service names a service with its number: "mqtt (tcp/1883)".
func (s *Scorer) service(proto uint8, port uint16) string {
	name, number := s.config.Service(proto, port), serviceNumber(proto, port)
	if name == number || proto != 6 && proto != 17 {
		return name
	}
	return name + " (" + number + ")"
}
