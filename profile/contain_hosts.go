package profile

import (
	"context"
	_ "embed"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"time"

	"tidemark/profile/contain"
)

var (
	//go:embed query/hosts_of.sql
	hostsOfSQL string
	//go:embed query/names_of.sql
	namesOfSQL string
)

// maxHosts is how many addresses of one network a plan names one by one. A device
// that met more of them meets others tomorrow: then the network is named.
const maxHosts = 3

// host is an address outside that a device dealt with by one service.
type host struct {
	role  string
	proto uint8
	port  uint16
	addr  netip.Addr
	flows uint64
	days  uint64
}

// fits says whether the host was met in the role and by the service of a rule.
func (h *host) fits(server bool, proto uint8, port uint16) bool {
	return (h.role == "unknown" || (h.role == "server") == server) && (proto == 0 || h.proto == proto) && (port == 0 || h.port == port)
}

func (s *Scorer) hosts(ctx context.Context, ids []uint64, network netip.Prefix, from, to time.Time) ([]host, error) {
	low, high := prefixRange(network)
	list, err := query(ctx, s, hostsOfSQL, map[string]any{"devices": ids, "low": low, "high": high, "from": from, "to": to}, func(r row, h *host) error {
		err := r.Scan(&h.role, &h.proto, &h.port, &h.addr, &h.flows, &h.days)
		h.addr = h.addr.Unmap()
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read which addresses of %s were met: %w", network, err)
	}
	return list, nil
}

// narrow names the addresses of a rule's network that the device met in a time, if
// they are few.
func (s *Scorer) narrow(ctx context.Context, ids []uint64, r contain.Rule, from, to time.Time) ([]contain.Rule, error) {
	if !r.Peer.IsValid() || r.Peer.IsSingleIP() {
		return []contain.Rule{r}, nil
	}
	met, err := s.hosts(ctx, ids, r.Peer, from, to)
	if err != nil {
		return nil, err
	}
	var addresses []netip.Addr
	for i := range met {
		if met[i].fits(r.Server, r.Proto, r.Port) && !slices.Contains(addresses, met[i].addr) {
			addresses = append(addresses, met[i].addr)
		}
	}
	if len(addresses) == 0 || len(addresses) > maxHosts {
		return []contain.Rule{r}, nil
	}
	names, err := s.namesOf(ctx, addresses)
	if err != nil {
		return nil, err
	}
	var out []contain.Rule
	for _, a := range addresses {
		r.Peer, r.Name = netip.PrefixFrom(a, a.BitLen()), names[a]
		out = append(out, r)
	}
	return out, nil
}

// harmlessName is a name as DNS has them: what is named so comes from the network.
var harmlessName = regexp.MustCompile(`^[A-Za-z0-9._-]{1,253}$`)

func (s *Scorer) namesOf(ctx context.Context, addresses []netip.Addr) (map[netip.Addr]string, error) {
	out := map[netip.Addr]string{}
	err := each(ctx, s, namesOfSQL, map[string]any{"site": s.config.Site, "addresses": addresses}, func(r row) error {
		var a netip.Addr
		var name string
		err := r.Scan(&a, &name)
		if harmlessName.MatchString(name) {
			out[a.Unmap()] = name
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read names of addresses: %w", err)
	}
	return out, nil
}

// SplitEdges parts edges with a network of which rules name single addresses into one
// for each address, in the shares that the flows show: so a dry run counts what the
// rules would have dropped, not what else of the network would have passed. An edge
// of which no flows are left stays whole.
func (s *Scorer) SplitEdges(ctx context.Context, d Device, rules []contain.Rule, edges []contain.Edge, from, to time.Time) ([]contain.Edge, error) {
	var out []contain.Edge
	known := map[netip.Prefix][]host{}
	for _, e := range edges {
		named := slices.ContainsFunc(rules, func(r contain.Rule) bool {
			return e.Network.IsValid() && r.Peer.IsValid() && r.Peer.IsSingleIP() && e.Network.Contains(r.Peer.Addr())
		})
		if !named {
			out = append(out, e)
			continue
		}
		met, ok := known[e.Network]
		if !ok {
			var err error
			if met, err = s.hosts(ctx, d.ids(), e.Network, from, to); err != nil {
				return nil, err
			}
			known[e.Network] = met
		}
		out = append(out, split(e, met)...)
	}
	return out, nil
}

func split(e contain.Edge, met []host) []contain.Edge {
	var of []host
	var total uint64
	for i := range met {
		if met[i].fits(e.Server, e.Proto, e.Port) {
			of, total = append(of, met[i]), total+met[i].flows
		}
	}
	if total == 0 {
		return []contain.Edge{e}
	}
	out := make([]contain.Edge, len(of))
	left := e.Flows
	for i := len(of) - 1; i >= 0; i-- { // the first, which has most, gets what rounding leaves
		part := e
		part.Peer, part.Network, part.Title = of[i].addr, netip.Prefix{}, of[i].addr.String()
		part.Flows, part.Days = uint64(float64(e.Flows)*float64(of[i].flows)/float64(total)), min(e.Days, of[i].days)
		if i == 0 {
			part.Flows = left
		}
		left -= min(left, part.Flows)
		out[i] = part
	}
	return out
}
