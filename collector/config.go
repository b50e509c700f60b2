package collector

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"strconv"
	"time"
)

// Clock says whose clock the flow times of an exporter are judged by.
type Clock string

const (
	Live       Clock = "live"        // the exporter's clock should agree with ours
	AsExported Clock = "as_exported" // replay and simulation: its times stand as they are
)

// Config of a Collector. A zero field means its default.
type Config struct {
	// Listen holds the UDP addresses, "host:port"; an empty host is every
	// address, IPv4 and IPv6. The protocol is told by content, so any protocol
	// may come to any port. Default: 2055 (NetFlow), 4739 (IPFIX), 6343 (sFlow).
	Listen []string `yaml:"listen"`
	// TCP holds addresses for IPFIX over TCP (RFC 7011, Section 10.4), "host:port";
	// the registered port is 4739. Default: none.
	TCP []string `yaml:"tcp"`
	// TLS is IPFIX over TLS. Default: none.
	TLS TLSConfig `yaml:"tls"`
	// ReceiveBuffer is asked of the kernel for each socket, in octets; default
	// 32 MiB: two seconds of 10,000 full datagrams/s, which is longer than a
	// write of a batch takes on a busy disk.
	ReceiveBuffer int `yaml:"receive_buffer"`
	// Workers is the number of sockets per address, each read by its own
	// goroutine; default one per CPU. An exporter keeps to one of them.
	Workers int `yaml:"workers"`
	// BatchRows is how many rows a worker gathers before it hands them over;
	// default 8192. A batch may exceed it by the rows of one datagram.
	BatchRows int `yaml:"batch_rows"`
	// FlushInterval bounds how long a row waits for its batch to fill; default 200 ms.
	FlushInterval time.Duration `yaml:"flush_interval"`
	// DrainTimeout bounds reading what the sockets hold, and the last hand-over,
	// when the collector is stopped; default 5 s.
	DrainTimeout time.Duration `yaml:"drain_timeout"`
	// MaxExporters bounds how many (exporter, domain, protocol) are accounted one
	// by one; the rest share one entry. Default 4096: the account of each stands in the ledger.
	MaxExporters int `yaml:"max_exporters"`
	// Allow lists the networks that may export to us; empty means all. What
	// others send is not read, and counted as shed.
	Allow []Network `yaml:"allow"`
	// RateLimit is how many datagrams per second are taken from one exporter
	// address, with bursts of one second's worth; what is over is not decoded, and
	// counted as shed. Over TCP it is read later instead. 0 = no limit.
	RateLimit int `yaml:"rate_limit"`
	// Tee lists other collectors, "host:port", that every UDP datagram is forwarded
	// to, those of exporters that are not allowed left out. Names are looked up
	// once, at the start. The datagrams seem to come from this machine.
	Tee []string `yaml:"tee"`
	// Exporters holds settings by address; the longest matching prefix wins.
	Exporters []ExporterConfig `yaml:"exporters"`
}

// ExporterConfig is what the operator knows of the exporters in a network.
type ExporterConfig struct {
	Address Network `yaml:"address"`
	Clock   Clock   `yaml:"clock"` // default live
	// SamplingRate is 1 in N. SamplingOverride makes it hold against what the
	// exporter says; without, it holds where the exporter says nothing.
	SamplingRate     uint32 `yaml:"sampling_rate"`
	SamplingOverride bool   `yaml:"sampling_override"`
}

// Network is an address prefix; in text, an address stands for itself alone.
type Network struct{ netip.Prefix }

// UnmarshalText reads "192.0.2.0/24", "2001:db8::/32" or a single address.
func (n *Network) UnmarshalText(text []byte) error {
	if a, err := netip.ParseAddr(string(text)); err == nil && a.Zone() == "" {
		n.Prefix = netip.PrefixFrom(a.Unmap(), a.Unmap().BitLen())
		return nil
	}
	p, err := netip.ParsePrefix(string(text))
	if err != nil {
		return fmt.Errorf("%q: want an address or prefix such as 192.0.2.1, 192.0.2.0/24 or 2001:db8::/32", text)
	}
	n.Prefix = p.Masked()
	return nil
}

const (
	maxWorkers       = 256
	maxBatchRows     = 1 << 20
	maxReceiveBuffer = 1 << 30
	maxRateLimit     = 10_000_000
	maxTees          = 8
)

func defaultListen() []string { return []string{":2055", ":4739", ":6343"} }

// withDefaults fills the zero fields.
func (c Config) withDefaults() Config {
	if len(c.Listen) == 0 {
		c.Listen = defaultListen()
	}
	if c.ReceiveBuffer == 0 {
		c.ReceiveBuffer = 32 << 20
	}
	if c.Workers == 0 {
		c.Workers = min(runtime.GOMAXPROCS(0), maxWorkers)
	}
	if c.BatchRows == 0 {
		c.BatchRows = 8192
	}
	if c.FlushInterval == 0 {
		c.FlushInterval = 200 * time.Millisecond
	}
	if c.DrainTimeout == 0 {
		c.DrainTimeout = 5 * time.Second
	}
	if c.MaxExporters == 0 {
		c.MaxExporters = 4096
	}
	c.Exporters = slices.Clone(c.Exporters)
	slices.SortStableFunc(c.Exporters, func(x, y ExporterConfig) int { return y.Address.Bits() - x.Address.Bits() })
	return c
}

// Validate reports every fault, each by its path in the file.
func (c Config) Validate() error {
	var errs []error
	bad := func(format string, a ...any) { errs = append(errs, fmt.Errorf("collector."+format, a...)) }
	addresses := func(seen map[netip.AddrPort]string, path string, all []string) {
		for i, s := range all {
			a, err := parseListen(s)
			if err != nil {
				bad("%s[%d]: %w", path, i, err)
				continue
			}
			name := fmt.Sprintf("%s[%d]", path, i)
			if other, ok := seen[a]; ok && a.Port() != 0 {
				bad("%s: %q is %s again", name, s, other)
			}
			seen[a] = name
		}
	}
	addresses(map[netip.AddrPort]string{}, "listen", c.Listen)
	tcp := map[netip.AddrPort]string{}
	addresses(tcp, "tcp", c.TCP)
	addresses(tcp, "tls.listen", c.TLS.Listen)
	c.TLS.faults(bad)
	between := func(name string, got, low, high int, zero string) {
		if got != 0 && (got < low || got > high) {
			bad("%s: got %d, want %d to %d, or 0 (%s)", name, got, low, high, zero)
		}
	}
	between("receive_buffer", c.ReceiveBuffer, 4096, maxReceiveBuffer, "32 MiB")
	between("workers", c.Workers, 1, maxWorkers, "one per CPU")
	between("batch_rows", c.BatchRows, 1, maxBatchRows, "8192")
	between("rate_limit", c.RateLimit, 1, maxRateLimit, "no limit")
	between("max_exporters", c.MaxExporters, 1, 1<<22, "4096")
	if d := c.FlushInterval; d != 0 && (d < time.Millisecond || d > time.Minute) {
		bad("flush_interval: got %s, want 1ms to 1m, or 0 (200ms)", d)
	}
	if d := c.DrainTimeout; d != 0 && (d < time.Millisecond || d > time.Minute) {
		bad("drain_timeout: got %s, want 1ms to 1m, or 0 (5s)", d)
	}
	for i, s := range c.Tee {
		host, port, err := net.SplitHostPort(s)
		if n, perr := strconv.ParseUint(port, 10, 16); err != nil || perr != nil || host == "" || n == 0 {
			bad("tee[%d]: %q: want host:port such as 192.0.2.7:2055 or [2001:db8::7]:2055", i, s)
		} else if j := slices.Index(c.Tee, s); j < i {
			bad("tee[%d]: %q is tee[%d] again", i, s, j)
		}
	}
	if len(c.Tee) > maxTees {
		bad("tee: got %d, want at most %d: each costs as much as receiving", len(c.Tee), maxTees)
	}
	for i, p := range c.Allow {
		if !p.IsValid() {
			bad("allow[%d]: want an address prefix such as 192.0.2.0/24 or 2001:db8::1/128", i)
		}
	}
	networks := map[netip.Prefix]int{}
	for i, e := range c.Exporters {
		if !e.Address.IsValid() {
			bad("exporters[%d].address: want an address prefix such as 192.0.2.0/24 or 192.0.2.1/32", i)
		} else if j, ok := networks[e.Address.Masked()]; ok {
			bad("exporters[%d].address: %s is exporters[%d] again", i, e.Address, j)
		} else {
			networks[e.Address.Masked()] = i
		}
		if e.Clock != "" && e.Clock != Live && e.Clock != AsExported {
			bad("exporters[%d].clock: got %q, want %q or %q", i, e.Clock, Live, AsExported)
		}
		if e.SamplingOverride && e.SamplingRate == 0 {
			bad("exporters[%d].sampling_override: needs a sampling_rate", i)
		}
	}
	return errors.Join(errs...)
}

// parseListen reads "host:port"; an empty host gives the invalid address,
// which stands for every address.
func parseListen(s string) (netip.AddrPort, error) {
	if len(s) > 0 && s[0] == ':' {
		a, err := netip.ParseAddrPort("0.0.0.0" + s)
		if err != nil {
			return netip.AddrPort{}, fmt.Errorf("%q: want host:port with a port of 0 to 65535", s)
		}
		return netip.AddrPortFrom(netip.Addr{}, a.Port()), nil
	}
	a, err := netip.ParseAddrPort(s)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("%q: want an IP address and port such as 192.0.2.1:2055, [2001:db8::1]:2055 or :2055", s)
	}
	return a, nil
}

// allowed reports whether the exporter's address is on the allow list.
func (c Config) allowed(a netip.Addr) bool {
	if len(c.Allow) == 0 {
		return true
	}
	for _, p := range c.Allow {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// exporter returns the settings of the longest prefix that holds a. The
// prefixes were sorted by withDefaults.
func (c Config) exporter(a netip.Addr) ExporterConfig {
	for _, e := range c.Exporters {
		if e.Address.Contains(a) {
			if e.Clock == "" {
				e.Clock = Live
			}
			return e
		}
	}
	return ExporterConfig{Clock: Live}
}

// sampling is what the decoders ask for the operator's sampling rate.
func (c Config) sampling(exporter [16]byte) (rate uint32, override bool) {
	if len(c.Exporters) == 0 {
		return 0, false
	}
	e := c.exporter(netip.AddrFrom16(exporter).Unmap())
	return e.SamplingRate, e.SamplingOverride
}
