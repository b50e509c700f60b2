package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"tidemark/enrich"
	"tidemark/enrich/source"
	"tidemark/enrich/watch"
	"tidemark/profile/strict"
)

// IdentityConfig is who tells which device has which address, beside the flows.
type IdentityConfig struct {
	Inventories []string       `yaml:"inventories" doc:"lists of devices with MACs and addresses (YAML, JSON, CSV, NetAlertX's CSV, nmap's XML); of two that disagree the first holds"`
	Sources     []SourceConfig `yaml:"sources" doc:"files of leases and neighbours, followed while they change, such as {file: /var/lib/misc/dnsmasq.leases, format: dnsmasq}"`
	Gateways    []string       `yaml:"gateways" doc:"MACs and addresses of routers that are not recognised by themselves; they are never devices"`
	SNMP        SNMPConfig     `yaml:"snmp"`
}

// SourceConfig is one file.
type SourceConfig struct {
	File   string `yaml:"file"`
	Format string `yaml:"format" doc:"dnsmasq, isc (dhcpd), kea (CSV), ip-neigh (output of ip neigh) or arp (output of arp -an, /proc/net/arp)"`
	VRF    uint32 `yaml:"vrf" doc:"ingressVRFID of its flows; 0 = none exported"`
}

// SNMPConfig is the routers whose neighbour tables are read.
type SNMPConfig struct {
	Interval Duration       `yaml:"interval" doc:"time between two questions"`
	Routers  []RouterConfig `yaml:"routers" doc:"routers to ask, such as {address: 10.0.0.1, community_file: /etc/tidemark/community}; empty = SNMP is off"`
}

// RouterConfig is one router. Secrets are in files, so that the configuration can be shown.
type RouterConfig struct {
	Address       string `yaml:"address" doc:"host or host:port"`
	CommunityFile string `yaml:"community_file" doc:"file with the community: version 2c"`
	User          string `yaml:"user" doc:"version 3"`
	Auth          string `yaml:"auth" doc:"sha, sha256 or sha512; empty = none"`
	AuthFile      string `yaml:"auth_file" doc:"file with the passphrase"`
	Privacy       string `yaml:"privacy" doc:"aes or aes256; empty = none"`
	PrivacyFile   string `yaml:"privacy_file" doc:"file with the passphrase"`
	VRF           uint32 `yaml:"vrf"`
}

// validate reports every fault by its path.
func (c IdentityConfig) validate(fault func(path, format string, args ...any)) {
	for i, s := range c.Sources {
		path := fmt.Sprintf("identity.sources[%d]", i)
		if s.File == "" {
			fault(path+".file", "got none, want the path of a file")
		}
		if !slices.Contains(source.Kinds(), source.Kind(s.Format)) {
			var known []string
			for _, k := range source.Kinds() {
				known = append(known, string(k))
			}
			fault(path+".format", "got %q%s", s.Format, strict.DidYouMean(s.Format, known))
		}
	}
	for i, g := range c.Gateways {
		if _, _, err := parseGateway(g); err != nil {
			fault(fmt.Sprintf("identity.gateways[%d]", i), "%v", err)
		}
	}
	if d := time.Duration(c.SNMP.Interval); d < 10*time.Second || d > 24*time.Hour {
		fault("identity.snmp.interval", "got %s, want 10s to 24h", c.SNMP.Interval)
	}
	for i, r := range c.SNMP.Routers {
		r.validate(func(field, format string, args ...any) {
			fault(fmt.Sprintf("identity.snmp.routers[%d].%s", i, field), format, args...)
		})
	}
}

func (r RouterConfig) validate(fault func(field, format string, args ...any)) {
	host := r.Address
	if h, _, err := net.SplitHostPort(r.Address); err == nil {
		host = h
	}
	if host == "" || strings.ContainsAny(host, " /") {
		fault("address", "got %q, want a host or host:port", r.Address)
	}
	if (r.CommunityFile == "") == (r.User == "") {
		fault("community_file", "want this (version 2c) or user (version 3), one of them")
	}
	if r.Auth != "" && !slices.Contains([]string{"sha", "sha256", "sha512"}, r.Auth) {
		fault("auth", "got %q, want sha, sha256 or sha512", r.Auth)
	}
	if (r.Auth == "") != (r.AuthFile == "") {
		fault("auth_file", "want it with auth, and only then")
	}
	if r.Privacy != "" && !slices.Contains([]string{"aes", "aes256"}, r.Privacy) {
		fault("privacy", "got %q, want aes or aes256", r.Privacy)
	}
	if (r.Privacy == "") != (r.PrivacyFile == "") || r.Privacy != "" && r.Auth == "" {
		fault("privacy_file", "want it with privacy and auth, and only then")
	}
}

// parseGateway reads a MAC or an address.
func parseGateway(s string) (mac uint64, addr netip.Addr, err error) {
	if addr, err = netip.ParseAddr(s); err == nil {
		return 0, addr.Unmap(), nil
	}
	if mac, err = source.ParseMAC(s); err != nil {
		return 0, addr, fmt.Errorf("got %q, want a MAC or an address", s)
	}
	return mac, addr, nil
}

// enrich is the part of the configuration that package enrich reads.
func (c Config) enrich() enrich.Config {
	out := enrich.Config{Site: c.Site, Networks: c.networks()}
	for _, g := range c.Identity.Gateways {
		if mac, addr, err := parseGateway(g); err == nil && mac != 0 {
			out.Gateways = append(out.Gateways, mac)
		} else if err == nil {
			out.Routers = append(out.Routers, addr)
		}
	}
	return out
}

// sources is the part of the configuration that package watch reads, with the
// secrets it names.
func (c Config) sources() (watch.Config, error) {
	out := watch.Config{Inventories: c.Identity.Inventories, Interval: time.Duration(c.Identity.SNMP.Interval)}
	for _, s := range c.Identity.Sources {
		out.Files = append(out.Files, watch.File{Path: s.File, Format: source.Kind(s.Format), VRF: s.VRF})
	}
	var errs []error
	secret := func(path string) string {
		if path == "" {
			return ""
		}
		text, err := os.ReadFile(path)
		if err != nil {
			errs = append(errs, fmt.Errorf("identity.snmp: %w", err))
		}
		return strings.TrimSpace(string(text))
	}
	for _, r := range c.Identity.SNMP.Routers {
		out.Routers = append(out.Routers, source.Router{
			Address: r.Address, VRF: r.VRF, Community: secret(r.CommunityFile), User: r.User,
			Auth: r.Auth, AuthKey: secret(r.AuthFile), Privacy: r.Privacy, PrivKey: secret(r.PrivacyFile),
		})
	}
	if len(errs) > 0 {
		return out, usageError{errors.Join(errs...)}
	}
	return out, nil
}
