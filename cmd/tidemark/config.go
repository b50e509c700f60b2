package main

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ethereum/go-ethereum/common"

	"tidemark/anchor/witness"
	"tidemark/collector"
	"tidemark/enrich"
	"tidemark/profile"
	"tidemark/profile/calendar"
	"tidemark/profile/intel"
	"tidemark/profile/notify"
	"tidemark/profile/strict"
)

// Config is the whole configuration. Every field has a default (Defaults), so
// an empty file is a good one. `tidemark config print` shows what is in force.
type Config struct {
	Site      string              `yaml:"site" doc:"name of the site; part of every device id, so do not change it later"`
	Networks  []collector.Network `yaml:"networks" doc:"the site's own networks; devices live here, all else is outside"`
	Identity  IdentityConfig      `yaml:"identity"`
	Collector CollectorConfig     `yaml:"collector"`
	Storage   StorageConfig       `yaml:"storage"`
	Ledger    LedgerConfig        `yaml:"ledger"`
	Chain     ChainConfig         `yaml:"chain"`
	Profile   ProfileConfig       `yaml:"profile"`
	Kinds     KindsConfig         `yaml:"kinds"`
	Names     NamesConfig         `yaml:"names"`
	Notify    []notify.Channel    `yaml:"notify" doc:"who is told of alerts worth a person's time, such as {name: noc, url: https://HOST/PATH}; try one with: tidemark notify test NAME"`
	Contain   ContainConfig       `yaml:"contain"`
	HTTP      HTTPConfig          `yaml:"http"`
	Log       LogConfig           `yaml:"log"`
}

type CollectorConfig struct {
	Listen        []string            `yaml:"listen" doc:"UDP addresses; the protocol is found by content, not by port"`
	TCP           []string            `yaml:"tcp" doc:"addresses for IPFIX over TCP, such as :4739; empty = none"`
	TLS           TLSConfig           `yaml:"tls"`
	Workers       int                 `yaml:"workers" doc:"receiving workers, 0 = one per CPU"`
	ReceiveBuffer ByteSize            `yaml:"receive_buffer" doc:"socket buffer asked of the kernel, per worker and address"`
	Allow         []collector.Network `yaml:"allow" doc:"exporters to accept; empty = all"`
	RateLimit     int                 `yaml:"rate_limit" doc:"datagrams per second taken from one exporter address; what is over is shed and counted; 0 = no limit"`
	Tee           []string            `yaml:"tee" doc:"other collectors (host:port) that get every UDP datagram too; it seems to come from this machine, since keeping the exporter's address would need raw sockets"`
	Elements      string              `yaml:"elements" doc:"YAML file with names of Information Elements, ENTERPRISE: {ID: NAME}, for the output of flows; IANA's and common vendors' are known"`
	Exporters     []ExporterConfig    `yaml:"exporters" doc:"settings for exporters by address or network, such as {address: 192.0.2.0/24, sampling_rate: 100, sampling_override: true, clock: live}"`
}

// TLSConfig is IPFIX over TLS.
type TLSConfig struct {
	Listen      []string `yaml:"listen" doc:"addresses for IPFIX over TLS, such as :4740; empty = none"`
	Certificate string   `yaml:"certificate" doc:"PEM file with the collector's certificate and its chain; read anew when it changes"`
	Key         string   `yaml:"key" doc:"PEM file with its key"`
	ClientCA    string   `yaml:"client_ca" doc:"PEM file with the authorities that sign exporters' certificates; empty = exporters need none"`
}

// ExporterConfig overrides what an exporter says of itself, or fails to say.
type ExporterConfig struct {
	Address          collector.Network `yaml:"address" doc:"address or network of the exporters meant"`
	Clock            string            `yaml:"clock" doc:"live: times are corrected to this machine's clock; as_exported: the exporter's clock is trusted (replay, simulation)"`
	SamplingRate     uint32            `yaml:"sampling_rate" doc:"1 in N packets, where the export does not say; 0 = not set"`
	SamplingOverride bool              `yaml:"sampling_override" doc:"sampling_rate holds against what the exporter says"`
}

type StorageConfig struct {
	URL       string   `yaml:"url" doc:"ClickHouse HTTP address; empty = the embedded engine"`
	Database  string   `yaml:"database"`
	Memory    ByteSize `yaml:"memory" doc:"cap of the embedded engine, 0 = a quarter of the machine's"`
	Retention Duration `yaml:"retention" doc:"how long flow records are kept, by day of receipt"`
	MinFree   ByteSize `yaml:"min_free" doc:"free disk below which new flows are shed, counted, at the socket"`
}

type LedgerConfig struct {
	Origin    string          `yaml:"origin" doc:"name of the log in its checkpoints (a schema-less URL); fixed when the log is created; empty = tidemark.invalid/SITE"`
	Seal      Duration        `yaml:"seal" doc:"longest time a flow waits in an open batch"`
	Witnesses []WitnessConfig `yaml:"witnesses" doc:"C2SP witnesses that cosign the checkpoints, such as {url: https://witness.example.org, key: NAME+HASH+KEY}"`
	Empty     Duration        `yaml:"empty" doc:"an empty batch is sealed after this much silence, so silence differs from deletion"`
}

// WitnessConfig names a witness and the key it cosigns with.
type WitnessConfig struct {
	URL string `yaml:"url" doc:"address before /add-checkpoint"`
	Key string `yaml:"key" doc:"note verifier key of its cosignatures"`
}

type ChainConfig struct {
	RPC          string   `yaml:"rpc" doc:"Ethereum JSON-RPC address; empty = no anchoring unless --dev-chain"`
	Fallback     []string `yaml:"fallback_rpc" doc:"further nodes of the same chain: asked when rpc does not answer, and compared with it; while two name different final blocks nothing is anchored"`
	ChainID      uint64   `yaml:"chain_id" doc:"the chain meant; another one is refused; 0 only on a development chain"`
	Contract     string   `yaml:"contract" doc:"address of the contract; empty = deployed on first use, development chain only"`
	Rotator      string   `yaml:"rotator" doc:"address of a cold key that may replace the publisher; fixed when the log is first anchored; empty = nobody"`
	KeyFile      string   `yaml:"key_file" doc:"publisher key: an encrypted keystore or a hex key, mode 0600; empty = made on first use, development chain only"`
	PayerKeyFile string   `yaml:"payer_key_file" doc:"key of an account that pays for what the publisher's key signs, so that the publisher needs no ether; empty = the publisher pays"`
	Publisher    string   `yaml:"publisher" doc:"address of a publisher whose key is elsewhere: this collector sends nothing, tidemark anchor request writes what to anchor there; empty = the key is here"`
	Interval     Duration `yaml:"interval" doc:"time between anchors"`
	MaxFee       float64  `yaml:"max_fee_gwei" doc:"highest fee per gas; above it anchoring waits and the next anchor covers all"`
}

type ProfileConfig struct {
	Learning Duration `yaml:"learning" doc:"life of a device that is learned before its deviations alert"`
	Disable  []string `yaml:"disable" doc:"detectors to leave out, by name"`
	Shadow   []string `yaml:"shadow" doc:"detectors on trial, by name: what they find is kept, with risk 0, and nobody is told"`

	Detectors string `yaml:"detectors" doc:"directory with detectors of your own, NAME.sql each, read anew when one changes; try them first: tidemark detectors check DIR; empty = none"`

	Budget BudgetConfig `yaml:"budget"`

	Tune      []Tuning          `yaml:"tune" doc:"parameters of detectors, such as {detector: scan, parameter: net_5m, value: 12}; see: tidemark detectors show scan"`
	TimeZone  string            `yaml:"time_zone" doc:"what the site's clocks show, such as Europe/Berlin: hours and days are judged by it; empty = the zone of this machine"`
	Calendars []calendar.Source `yaml:"calendars" doc:"days that are not like others of their week, such as {file: /etc/tidemark/holidays.ics} or {file: /etc/tidemark/shifts.ics, days: work}"`

	Lists []intel.Source `yaml:"lists" doc:"files of addresses nobody should deal with, such as {name: feodo, file: /etc/tidemark/feodo.txt}"`
}

// BudgetConfig bounds how often people are told of alerts.
type BudgetConfig struct {
	Device int `yaml:"device" doc:"notifications a day about one device; what is beyond comes in a digest"`
	Site   int `yaml:"site" doc:"notifications a day about the site"`
}

// Tuning sets one parameter of a detector.
type Tuning struct {
	Detector  string  `yaml:"detector" doc:"its name"`
	Parameter string  `yaml:"parameter" doc:"its name"`
	Value     float64 `yaml:"value" doc:"a number from 0"`
}

type HTTPConfig struct {
	Listen string `yaml:"listen" doc:"/metrics and /healthz; empty = off"`
}

type LogConfig struct {
	Level  string `yaml:"level" doc:"debug, info, warn or error"`
	Format string `yaml:"format" doc:"auto, console or json"`
}

// Defaults is the configuration of an empty file.
func Defaults() Config {
	return Config{
		Site:     "default",
		Networks: defaultNetworks(),
		Identity: IdentityConfig{SNMP: SNMPConfig{Interval: Duration(5 * time.Minute)}},
		Collector: CollectorConfig{
			Listen:        []string{":2055", ":4739", ":6343"},
			ReceiveBuffer: 32 << 20,
		},
		Storage: StorageConfig{Database: "tidemark", Retention: Duration(90 * 24 * time.Hour), MinFree: 1 << 30},
		Ledger:  LedgerConfig{Seal: Duration(5 * time.Second), Empty: Duration(time.Minute)},
		Chain:   ChainConfig{Interval: Duration(10 * time.Minute), MaxFee: 50},
		Profile: ProfileConfig{Learning: Duration(7 * 24 * time.Hour), Budget: BudgetConfig{Device: 4, Site: 60}},
		Names:   NamesConfig{Sampled: true},
		HTTP:    HTTPConfig{Listen: "127.0.0.1:9155"},
		Log:     LogConfig{Level: "info", Format: "auto"},
	}
}

func defaultNetworks() (out []collector.Network) {
	for _, p := range enrich.DefaultNetworks() {
		out = append(out, collector.Network{Prefix: p})
	}
	return out
}

// networks are the site's networks as package enrich reads them.
func (c Config) networks() (out []netip.Prefix) {
	for _, n := range c.Networks {
		out = append(out, n.Prefix)
	}
	return out
}

// LoadConfig reads path over the defaults and reports every fault at once. An
// empty path gives the defaults.
func LoadConfig(path string) (Config, error) {
	c := Defaults()
	if path == "" {
		return c, nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return c, usageError{fmt.Errorf("read configuration: %w", err)}
	}
	unread := strict.Decode(text, &c)
	var faults []string
	for _, f := range unread {
		faults = append(faults, f.String())
	}
	if err := c.Validate(); err != nil {
		for line := range strings.SplitSeq(err.Error(), "\n") {
			if !slices.ContainsFunc(unread, func(f strict.Fault) bool { return f.Path != "" && strings.HasPrefix(line, "  "+f.Path+":") }) {
				faults = append(faults, line)
			}
		}
	}
	if len(faults) > 0 {
		return c, usageError{fmt.Errorf("configuration %s:\n%s", path, strings.Join(faults, "\n"))}
	}
	return c, nil
}

var siteName = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,62}$`)

// Validate reports every fault, each by its path in the file.
func (c Config) Validate() error {
	var errs []error
	fault := func(path, format string, args ...any) {
		errs = append(errs, fmt.Errorf("  %s: %s", path, fmt.Sprintf(format, args...)))
	}
	if !siteName.MatchString(c.Site) {
		fault("site", "got %q, want 1 to 63 of a-z 0-9 . _ -, starting with a letter or digit", c.Site)
	}
	if len(c.Networks) == 0 {
		fault("networks", "got none, want at least one network of the site, such as 192.168.0.0/16")
	}
	if err := c.collector().Validate(); err != nil {
		for _, line := range strings.Split(err.Error(), "\n") {
			errs = append(errs, errors.New("  "+line))
		}
	}
	if c.Storage.URL != "" {
		if u, err := url.Parse(c.Storage.URL); err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
			fault("storage.url", "got %q, want http://HOST:8123 or https://HOST:8443", c.Storage.URL)
		}
	}
	if c.Storage.Database == "" {
		fault("storage.database", "got an empty name, want one such as tidemark")
	}
	if c.Storage.Retention < Duration(24*time.Hour) {
		fault("storage.retention", "got %s, want 24h or more: retention drops whole days", c.Storage.Retention)
	}
	inside := func(path string, d Duration, low, high time.Duration) {
		if time.Duration(d) < low || time.Duration(d) > high {
			fault(path, "got %s, want %s to %s", d, Duration(low), Duration(high))
		}
	}
	inside("ledger.seal", c.Ledger.Seal, 100*time.Millisecond, time.Minute)
	inside("ledger.empty", c.Ledger.Empty, time.Second, 24*time.Hour)
	for i, w := range c.Ledger.Witnesses {
		if u, err := url.Parse(w.URL); err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
			fault(fmt.Sprintf("ledger.witnesses[%d].url", i), "want an address such as https://witness.example.org")
		}
		if _, err := witness.NewVerifier(w.Key); err != nil {
			fault(fmt.Sprintf("ledger.witnesses[%d].key", i), "%v", err)
		}
	}
	inside("chain.interval", c.Chain.Interval, time.Second, 7*24*time.Hour)
	c.Identity.validate(fault)
	inside("profile.learning", c.Profile.Learning, time.Hour, 180*24*time.Hour)
	if b := c.Profile.Budget; b.Device < 1 || b.Site < 1 {
		fault("profile.budget", "got %d a day of a device and %d of the site, want 1 or more of each", b.Device, b.Site)
	}
	c.validateKinds(fault)
	c.validateZone(fault)
	c.Contain.validate(fault)
	own, _ := profile.DetectorFiles(c.Profile.Detectors)
	rules := map[string]profile.Detector{}
	var detectors []string
	for _, d := range append(profile.Detectors(), own...) {
		rules[d.Name] = d
		detectors = append(detectors, d.Name)
	}
	for _, name := range profile.DetectorFileNames(c.Profile.Detectors) { // those with faults too
		if !slices.Contains(detectors, name) {
			detectors = append(detectors, name)
		}
	}
	for key, names := range map[string][]string{"disable": c.Profile.Disable, "shadow": c.Profile.Shadow} {
		for i, name := range names {
			if !slices.Contains(detectors, name) {
				fault(fmt.Sprintf("profile.%s[%d]", key, i), "no detector %q%s", name, strict.DidYouMean(name, detectors))
			}
		}
	}
	for i, t := range c.Profile.Tune {
		d, readable := rules[t.Detector]
		if !slices.Contains(detectors, t.Detector) {
			fault(fmt.Sprintf("profile.tune[%d].detector", i), "no detector %q%s", t.Detector, strict.DidYouMean(t.Detector, detectors))
		} else if _, known := d.Parameters[t.Parameter]; readable && !known {
			fault(fmt.Sprintf("profile.tune[%d].parameter", i), "no parameter %q%s", t.Parameter, strict.DidYouMean(t.Parameter, slices.Sorted(maps.Keys(d.Parameters))))
		} else if err := d.Within(t.Parameter, t.Value); err != nil {
			fault(fmt.Sprintf("profile.tune[%d].value", i), "%v", err)
		}
	}
	for _, err := range intel.Validate(c.Profile.Lists) {
		errs = append(errs, fmt.Errorf("  profile.lists%w", err))
	}
	for _, err := range notify.Validate(c.Notify) {
		errs = append(errs, fmt.Errorf("  notify%w", err))
	}
	if a := c.HTTP.Listen; a != "" {
		_, port, err := net.SplitHostPort(a)
		if _, number := strconv.ParseUint(port, 10, 16); err != nil || number != nil {
			fault("http.listen", "got %q, want an address and port such as 127.0.0.1:9155, or \"\" to do without", a)
		}
	}
	if c.Chain.RPC != "" {
		if u, err := url.Parse(c.Chain.RPC); err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
			fault("chain.rpc", "want an address such as http://127.0.0.1:8545") // not echoed: it may hold a token
		}
	}
	for i, fallback := range c.Chain.Fallback {
		if u, err := url.Parse(fallback); err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
			fault(fmt.Sprintf("chain.fallback_rpc[%d]", i), "want an address such as https://node.example.org")
		}
	}
	if len(c.Chain.Fallback) > 0 && c.Chain.RPC == "" {
		fault("chain.fallback_rpc", "want chain.rpc, the preferred node, too")
	}
	for _, account := range [][2]string{{"chain.contract", c.Chain.Contract}, {"chain.rotator", c.Chain.Rotator}, {"chain.publisher", c.Chain.Publisher}} {
		if path, a := account[0], account[1]; a != "" && !common.IsHexAddress(a) {
			fault(path, "got %q, want an address of 40 hex digits such as 0x5FbDB2315678afecb367f032d93F642f64180aa3", a)
		}
	}
	if c.Chain.MaxFee <= 0 {
		fault("chain.max_fee_gwei", "got %v, want more than 0", c.Chain.MaxFee)
	}
	if strings.ContainsAny(c.Ledger.Origin, " +\n") {
		fault("ledger.origin", "got %q, want a name without spaces or plus signs, such as example.org/tidemark", c.Ledger.Origin)
	}
	oneOf := func(path, got string, want ...string) {
		for _, w := range want {
			if got == w {
				return
			}
		}
		fault(path, "got %q, want one of %s", got, strings.Join(want, ", "))
	}
	oneOf("log.level", c.Log.Level, "debug", "info", "warn", "error")
	oneOf("log.format", c.Log.Format, "auto", "console", "json")
	return errors.Join(errs...)
}

// collector is the part of the configuration that package collector reads.
func (c Config) collector() collector.Config {
	out := collector.Config{
		Listen: c.Collector.Listen, Workers: c.Collector.Workers,
		ReceiveBuffer: int(c.Collector.ReceiveBuffer), Allow: c.Collector.Allow,
		RateLimit: c.Collector.RateLimit, Tee: c.Collector.Tee,
		TCP: c.Collector.TCP, TLS: collector.TLSConfig(c.Collector.TLS),
	}
	for _, e := range c.Collector.Exporters {
		out.Exporters = append(out.Exporters, collector.ExporterConfig{
			Address: e.Address, Clock: collector.Clock(e.Clock),
			SamplingRate: e.SamplingRate, SamplingOverride: e.SamplingOverride,
		})
	}
	return out
}

// live says that flows are dated by this machine's clock, whoever exports them.
func (c Config) live() bool {
	return !slices.ContainsFunc(c.Collector.Exporters, func(e ExporterConfig) bool { return collector.Clock(e.Clock) == collector.AsExported })
}

// origin is the configured origin of the log, or one made from the site.
func (c Config) origin() string {
	if c.Ledger.Origin != "" {
		return c.Ledger.Origin
	}
	return "tidemark.invalid/" + c.Site
}
