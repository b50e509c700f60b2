package main

import (
	"fmt"
	"net/netip"

	"tidemark/collector"
	"tidemark/enrich"
	"tidemark/enrich/kind"
	"tidemark/enrich/names"
	files "tidemark/profile/stamp"
	"tidemark/profile/strict"
)

// KindsConfig is how devices are classified.
type KindsConfig struct {
	Rules   string       `yaml:"rules" doc:"YAML file of rules of kinds over those of the program; docs/devices.md says how; empty = none"`
	Vendors string       `yaml:"vendors" doc:"text file of lines \"00:40:8C name\" that says whose MACs are, before the table of the program; empty = none"`
	Zones   []ZoneConfig `yaml:"zones" doc:"parts of the site by network or label, such as {name: ward, networks: [10.3.0.0/16], labels: [ward-*], criticality: critical}; the first that fits holds"`
	MUD     []MUDConfig  `yaml:"mud" doc:"MUD profiles (RFC 8520) of kinds, such as {kind: camera, profile: https://example.com/camera.json}; a device's own goes first (tidemark devices mud)"`
}

// MUDConfig is the MUD profile of the devices of a kind.
type MUDConfig struct {
	Kind    string `yaml:"kind"`
	Profile string `yaml:"profile" doc:"URL that begins with https://, or file"`
}

// ZoneConfig is a part of the site.
type ZoneConfig struct {
	Name        string              `yaml:"name"`
	Networks    []collector.Network `yaml:"networks" doc:"addresses of the devices in it"`
	Labels      []string            `yaml:"labels" doc:"labels of devices in it, with * and ?"`
	Criticality string              `yaml:"criticality" doc:"low, normal, high or critical; empty = that of the kind of device"`
}

// NamesConfig is where names of addresses come from.
type NamesConfig struct {
	Sampled bool   `yaml:"sampled" doc:"read names (DNS, TLS, HTTP, mDNS, DHCP, SSDP) out of the packet headers that sFlow exporters sample"`
	Reverse bool   `yaml:"reverse" doc:"ask DNS, beside the work and at most five times a second, for the names of outside addresses that devices deal with; names so found are shown and are no evidence"`
	ASN     string `yaml:"asn" doc:"file in MaxMind's format that says which organisation an address belongs to; empty = none"`
	Country string `yaml:"country" doc:"file in MaxMind's format that says in which country an address is; empty = none"`

	Interfaces []InterfaceConfig `yaml:"interfaces" doc:"names of interfaces whose exporter tells none, such as {exporter: 10.0.0.1, index: 3, name: uplink}"`
}

// InterfaceConfig names an interface.
type InterfaceConfig struct {
	Exporter netip.Addr `yaml:"exporter"`
	Index    uint32     `yaml:"index" doc:"as flows give it (elements 10 and 14)"`
	Name     string     `yaml:"name"`
}

// zones are the zones as package kind reads them.
func (c Config) zones() (out []kind.Zone) {
	for _, z := range c.Kinds.Zones {
		zone := kind.Zone{Name: z.Name, Labels: z.Labels, Criticality: z.Criticality}
		for _, n := range z.Networks {
			zone.Networks = append(zone.Networks, n.Prefix)
		}
		out = append(out, zone)
	}
	return out
}

// rules are the rules of kinds: those of the program and the operator's.
func (c Config) rules() (*kind.Rules, error) {
	r, err := kind.Default()
	if err != nil || c.Kinds.Rules == "" {
		return r, err
	}
	text, err := files.Read(c.Kinds.Rules, maxOperatorFile)
	if err != nil {
		return nil, usageError{fmt.Errorf("read rules of kinds (kinds.rules in the configuration): %w", err)}
	}
	if r, err = r.With(c.Kinds.Rules, text); err != nil {
		return nil, usageError{err}
	}
	return r, nil
}

// criticality gives that of a kind, by the rules that are in force. Rules that are
// no good were refused when the configuration was read.
func (c Config) criticality() func(string) string {
	r, err := c.rules()
	return func(id string) string {
		if err != nil || id == "" {
			return ""
		}
		return r.Kind(id).Criticality
	}
}

// vendors are the vendors of MACs. A file that is no good was refused when the
// configuration was read; one that has gone since leaves the program's table.
func (c Config) vendors() enrich.Vendors {
	v, err := c.readVendors()
	if err != nil {
		return enrich.Vendors{}
	}
	return v
}

func (c Config) readVendors() (enrich.Vendors, error) {
	if c.Kinds.Vendors == "" {
		return enrich.Vendors{}, nil
	}
	text, err := files.Read(c.Kinds.Vendors, maxOperatorFile)
	if err != nil {
		return enrich.Vendors{}, fmt.Errorf("read vendors: %w", err)
	}
	return enrich.ReadVendors(c.Kinds.Vendors, text)
}

// mudOf is the MUD profile that belongs to a kind, "" if none does.
func (c Config) mudOf(kind string) string {
	for _, m := range c.Kinds.MUD {
		if m.Kind == kind {
			return m.Profile
		}
	}
	return ""
}

// inside says whether an address is one of the site.
func (c Config) inside(a netip.Addr) bool {
	for _, n := range c.Networks {
		if n.Prefix.Contains(a) {
			return true
		}
	}
	return false
}

// validateKinds reports every fault of the zones, and of the files named.
func (c Config) validateKinds(fault func(path, format string, args ...any)) {
	if c.Kinds.Rules != "" {
		if _, err := c.rules(); err != nil {
			fault("kinds.rules", "%v", err)
		}
	}
	if r, err := c.rules(); err == nil {
		for i, m := range c.Kinds.MUD {
			if r.Kind(m.Kind).ID == "" {
				fault(fmt.Sprintf("kinds.mud[%d].kind", i), "got %q%s", m.Kind, strict.DidYouMean(m.Kind, r.KindNames()))
			}
			if _, err := mudProfile(m.Profile); err != nil || m.Profile == "" {
				fault(fmt.Sprintf("kinds.mud[%d].profile", i), "got %q, want a URL that begins with https://, or a file with a MUD profile", m.Profile)
			}
		}
	}
	if _, err := c.readVendors(); err != nil {
		fault("kinds.vendors", "%v", err)
	}
	if networks, err := names.OpenNetworks(c.Names.ASN, c.Names.Country); err != nil {
		fault("names", "%v", err)
	} else if err := networks.Close(); err != nil {
		fault("names", "%v", err)
	}
	for i, n := range c.Names.Interfaces {
		if !n.Exporter.IsValid() || n.Index == 0 || n.Name == "" {
			fault(fmt.Sprintf("names.interfaces[%d]", i), "got exporter %s, index %d and name %q, want all three", n.Exporter, n.Index, n.Name)
		}
	}
	for i, z := range c.zones() {
		if err := z.Validate(); err != nil {
			fault(fmt.Sprintf("kinds.zones[%d]", i), "%v", err)
		}
	}
}
