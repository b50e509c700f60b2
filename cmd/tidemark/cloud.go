package main

import (
	"cmp"
	"context"
	_ "embed"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/urfave/cli/v2"

	"tidemark/enrich/classifier"
	"tidemark/enrich/names"
	"tidemark/profile"
)

//go:embed sql/cloud_names.sql
var cloudNamesSQL string

// cloudPeer is a network outside the site that a device deals with.
type cloudPeer struct {
	Names    []string      `json:"names"`   // the device asked for, that lead there
	Network  string        `json:"network"` // /24 or /48
	Owner    names.Network `json:"owner"`
	Services []string      `json:"services"`
	BytesOut uint64        `json:"bytes_out"`
	BytesIn  uint64        `json:"bytes_in"`
	Days     uint64        `json:"days"`
	Last     time.Time     `json:"last"`
}

// cloudView is the answer of `devices cloud`.
type cloudView struct {
	Device deviceView        `json:"device"`
	Peers  []cloudPeer       `json:"peers"` // most bytes first
	Asked  []classifier.Hint `json:"asked"` // domains, whether or not anything of them was met
}

func cloudCommand() *cli.Command {
	return &cli.Command{
		Name: "cloud", Usage: "the domains, organisations and countries a device deals with outside the site", ArgsUsage: "DEVICE",
		Description: `Domains are those the device asked for or named in packets that sFlow exporters sampled
(names.sampled); organisations and countries come from the operator's files (names.asn,
names.country). Without either there are networks.

   tidemark devices cloud 10.20.1.11
   tidemark devices cloud --output json lobby`,
		Flags: []cli.Flag{outputFlag(pageForms)},
		Action: func(c *cli.Context) error {
			if err := wantArgs(c, 1, 1, "one DEVICE"); err != nil {
				return err
			}
			return withStore(c, func(s *store) error { return s.cloud(c) })
		},
	}
}

func (s *store) cloud(c *cli.Context) error {
	d, err := s.device(c.Context, c.Args().First())
	if err != nil {
		return err
	}
	networks, err := names.OpenNetworks(s.cfg.Names.ASN, s.cfg.Names.Country)
	if err != nil {
		return usageError{err}
	}
	defer networks.Close()
	v, err := s.gatherCloud(c.Context, d, networks)
	if err != nil {
		return err
	}
	return page(c, v, func(w io.Writer) error { return v.write(c, w, d.Title()) })
}

func (s *store) gatherCloud(ctx context.Context, d profile.Device, networks *names.Networks) (cloudView, error) {
	v := cloudView{Device: viewDevice(d), Peers: []cloudPeer{}, Asked: []classifier.Hint{}}
	k, err := s.kinds()
	if err != nil {
		return v, err
	}
	facts, err := k.Facts(ctx, []uint64{d.ID})
	if err != nil {
		return v, err
	}
	if f := facts[d.ID]; f != nil {
		for _, h := range f.Hints {
			if h.Hint == string(names.Domain) {
				v.Asked = append(v.Asked, h)
			}
		}
	}
	lead, err := s.leadTo(ctx, v.Asked)
	if err != nil {
		return v, err
	}
	q, err := s.questions()
	if err != nil {
		return v, err
	}
	b, err := q.Baseline(ctx, d)
	if err != nil {
		return v, err
	}
	at := map[string]int{}
	for _, p := range b.Peers {
		if p.Scope != "wan" {
			continue
		}
		i, known := at[p.Network]
		if !known {
			i = len(v.Peers)
			at[p.Network] = i
			v.Peers = append(v.Peers, cloudPeer{Network: p.Network, Names: lead[p.Network], Owner: networks.Lookup(p.Addr), Services: []string{}})
			if v.Peers[i].Names == nil {
				v.Peers[i].Names = []string{}
			}
		}
		v.Peers[i].add(p)
	}
	slices.SortStableFunc(v.Peers, func(a, b cloudPeer) int { return cmp.Compare(b.BytesOut+b.BytesIn, a.BytesOut+a.BytesIn) })
	return v, nil
}

func (p *cloudPeer) add(peer profile.Peer) {
	if !slices.Contains(p.Services, peer.Service.Name) {
		p.Services = append(p.Services, peer.Service.Name)
	}
	p.BytesOut, p.BytesIn, p.Days = p.BytesOut+peer.BytesOut, p.BytesIn+peer.BytesIn, max(p.Days, peer.Days)
	if peer.Last.After(p.Last) {
		p.Last = peer.Last
	}
}

// leadTo says to which networks the names lead that a device asked for.
func (s *store) leadTo(ctx context.Context, asked []classifier.Hint) (map[string][]string, error) {
	out := map[string][]string{}
	if len(asked) == 0 {
		return out, nil
	}
	quoted := make([]string, len(asked))
	for i, h := range asked {
		quoted[i] = "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(h.Value) + "'"
	}
	ctx = clickhouse.Context(ctx, clickhouse.WithParameters(clickhouse.Parameters{"site": s.cfg.Site, "names": "[" + strings.Join(quoted, ",") + "]"}))
	err := s.each(ctx, cloudNamesSQL, func(scan func(...any) error) error {
		var addr netip.Addr
		var name string
		if err := scan(&addr, &name); err != nil {
			return err
		}
		bits := 48
		if addr = addr.Unmap(); addr.Is4() {
			bits = 24
		}
		link := netip.PrefixFrom(addr, bits).Masked().String()
		if !slices.Contains(out[link], name) {
			out[link] = append(out[link], name)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read names of addresses: %w", err)
	}
	return out, nil
}

func (v cloudView) write(c *cli.Context, w io.Writer, title string) error {
	fmt.Fprintln(w, printable(title))
	type P = cloudPeer
	err := list(c, "peers", v.Peers, []column[P]{
		{"name", flex, func(p P) string { return orDash(strings.Join(p.Names, " ")) }, nil},
		{"network", left, func(p P) string { return p.Network }, nil},
		{"organisation", flex, func(p P) string { return p.Owner.Org }, nil},
		{"country", left, func(p P) string { return p.Owner.Country }, nil},
		{"services", flex, func(p P) string { return strings.Join(p.Services, " ") }, nil},
		{"out", right, func(p P) string { return octets(p.BytesOut) }, nil},
		{"in", right, func(p P) string { return octets(p.BytesIn) }, nil},
		{"days", right, func(p P) string { return count(p.Days) }, nil},
		{"last seen (UTC)", left, func(p P) string { return stamp(p.Last)[:16] }, nil},
	})
	if err != nil || len(v.Asked) == 0 {
		return err
	}
	var domains []string
	for _, h := range v.Asked {
		domains = append(domains, h.Value)
	}
	_, err = fmt.Fprintf(w, "\nasked for %s\n", printable(strings.Join(domains, " ")))
	return err
}
