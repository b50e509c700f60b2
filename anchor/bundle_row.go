package anchor

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"tidemark/collector/flow"
)

// bundleRow is a row spelled out: every hashed column, nothing else. 64-bit
// counts are strings, because readers of JSON differ beyond 2^53.
type bundleRow struct {
	Type          string            `json:"type"`
	Transport     string            `json:"transport"`
	TimeReceived  string            `json:"time_received"`
	TimeFlowStart string            `json:"time_flow_start"`
	TimeFlowEnd   string            `json:"time_flow_end"`
	Sampler       string            `json:"sampler_address"`
	Domain        uint32            `json:"observation_domain_id"`
	Sequence      uint32            `json:"sequence_num"`
	SrcAddr       string            `json:"src_addr"`
	DstAddr       string            `json:"dst_addr"`
	SrcPort       uint16            `json:"src_port"`
	DstPort       uint16            `json:"dst_port"`
	Proto         uint8             `json:"proto"`
	Direction     uint8             `json:"flow_direction"`
	TCPFlags      uint16            `json:"tcp_flags"`
	Bytes         uint64            `json:"bytes,string"`
	Packets       uint64            `json:"packets,string"`
	SamplingRate  uint32            `json:"sampling_rate"`
	SrcMAC        string            `json:"src_mac"`
	DstMAC        string            `json:"dst_mac"`
	SrcVLAN       uint16            `json:"src_vlan"`
	DstVLAN       uint16            `json:"dst_vlan"`
	InIf          uint32            `json:"in_if"`
	OutIf         uint32            `json:"out_if"`
	Presence      []string          `json:"presence"`
	TOS           uint8             `json:"ip_tos"`
	EndReason     uint8             `json:"flow_end_reason"`
	FirewallEvent uint8             `json:"firewall_event"`
	NATEvent      uint8             `json:"nat_event"`
	Quality       []string          `json:"quality"`
	SrcAS         uint32            `json:"src_as"`
	DstAS         uint32            `json:"dst_as"`
	Extensions    []bundleExtension `json:"extensions"`
}

type bundleExtension struct {
	PEN    uint32   `json:"pen"`
	ID     uint16   `json:"id"`
	Values []string `json:"values"` // hexadecimal, in the order of export
}

var (
	protocolNames = map[flow.Protocol]string{flow.NetFlowV1: "netflow_v1", flow.NetFlowV5: "netflow_v5", flow.NetFlowV7: "netflow_v7",
		flow.NetFlowV9: "netflow_v9", flow.IPFIX: "ipfix", flow.SFlowV5: "sflow_v5"}
	transportNames = map[flow.Transport]string{flow.UDP: "udp", flow.TCP: "tcp", flow.TLS: "tls", flow.DTLS: "dtls", flow.File: "file"}

	// Names of the bits of presence and quality, least significant first.
	presenceNames = [16]string{"octets", "packets", "start", "end", "tcp_flags", "direction", "tos", "end_reason",
		"src_mac", "dst_mac", "vlan_in", "vlan_out", "in_if", "out_if", "as", "events"}
	qualityNames = [16]string{"sampling_assumed", "time_clamped", "late_template", "replayed", "as_exported", "extension_cut",
		"biflow_reverse", "sampling_from_option", "sampling_from_config", "bit_9", "bit_10", "bit_11", "bit_12", "bit_13", "bit_14", "bit_15"}
)

// spellRow spells out record i of b. What it cannot spell so that it can be
// read back exactly is an error: the verifier has nothing else to hash.
func spellRow(b *flow.Batch, i int) (bundleRow, error) {
	r := bundleRow{
		Type: protocolNames[b.Protocol[i]], Transport: transportNames[b.Transport[i]],
		TimeReceived: spellTime(b.TimeReceived[i]), TimeFlowStart: spellTime(b.TimeFlowStart[i]), TimeFlowEnd: spellTime(b.TimeFlowEnd[i]),
		Sampler: spellAddress(b.SamplerAddress[i]), Domain: b.ObservationDomain[i], Sequence: b.SequenceNum[i],
		SrcAddr: spellAddress(b.SrcAddr[i]), DstAddr: spellAddress(b.DstAddr[i]), SrcPort: b.SrcPort[i], DstPort: b.DstPort[i],
		Proto: b.Proto[i], Direction: b.Direction[i], TCPFlags: b.TCPFlags[i], Bytes: b.Bytes[i], Packets: b.Packets[i],
		SamplingRate: b.SamplingRate[i], SrcMAC: spellMAC(b.SrcMAC[i]), DstMAC: spellMAC(b.DstMAC[i]), SrcVLAN: b.SrcVLAN[i],
		DstVLAN: b.DstVLAN[i], InIf: b.InIf[i], OutIf: b.OutIf[i], Presence: spellBits(b.Presence[i], &presenceNames),
		TOS: b.TOS[i], EndReason: b.EndReason[i], FirewallEvent: b.FirewallEvent[i], NATEvent: b.NATEvent[i],
		Quality: spellBits(b.Quality[i], &qualityNames), SrcAS: b.SrcAS[i], DstAS: b.DstAS[i], Extensions: []bundleExtension{},
	}
	b.Ext.Each(i, func(key uint64, value []byte) {
		pen, id := flow.ExtensionID(key)
		n := len(r.Extensions)
		if n == 0 || r.Extensions[n-1].PEN != pen || r.Extensions[n-1].ID != id {
			r.Extensions = append(r.Extensions, bundleExtension{PEN: pen, ID: id})
			n++
		}
		r.Extensions[n-1].Values = append(r.Extensions[n-1].Values, hex.EncodeToString(value))
	})
	if r.Type == "" || r.Transport == "" {
		return r, fmt.Errorf("spell row %d: protocol %d, transport %d have no name", i, b.Protocol[i], b.Transport[i])
	}
	return r, nil
}

// append reads r back as a record of b.
func (r *bundleRow) append(b *flow.Batch) error {
	var c fieldReader
	n := b.NextRow()
	b.Protocol[n] = readName(&c, "type", r.Type, protocolNames)
	b.Transport[n] = readName(&c, "transport", r.Transport, transportNames)
	b.TimeReceived[n] = c.time("time_received", r.TimeReceived)
	b.TimeFlowStart[n] = c.time("time_flow_start", r.TimeFlowStart)
	b.TimeFlowEnd[n] = c.time("time_flow_end", r.TimeFlowEnd)
	b.SamplerAddress[n] = c.address("sampler_address", r.Sampler)
	b.ObservationDomain[n], b.SequenceNum[n] = r.Domain, r.Sequence
	b.SrcAddr[n], b.DstAddr[n] = c.address("src_addr", r.SrcAddr), c.address("dst_addr", r.DstAddr)
	b.SrcPort[n], b.DstPort[n] = r.SrcPort, r.DstPort
	b.Proto[n], b.Direction[n], b.TCPFlags[n] = r.Proto, r.Direction, r.TCPFlags
	b.Bytes[n], b.Packets[n], b.SamplingRate[n] = r.Bytes, r.Packets, r.SamplingRate
	b.SrcMAC[n], b.DstMAC[n] = c.mac("src_mac", r.SrcMAC), c.mac("dst_mac", r.DstMAC)
	b.SrcVLAN[n], b.DstVLAN[n], b.InIf[n], b.OutIf[n] = r.SrcVLAN, r.DstVLAN, r.InIf, r.OutIf
	b.Presence[n] = c.bits("presence", r.Presence, &presenceNames)
	b.TOS[n], b.EndReason[n], b.FirewallEvent[n], b.NATEvent[n] = r.TOS, r.EndReason, r.FirewallEvent, r.NATEvent
	b.Quality[n] = c.bits("quality", r.Quality, &qualityNames)
	b.SrcAS[n], b.DstAS[n] = r.SrcAS, r.DstAS
	last := uint64(0)
	for i, e := range r.Extensions {
		key := flow.ExtensionKey(e.PEN, e.ID)
		if i > 0 && key <= last || len(e.Values) == 0 {
			c.fail("extensions", "element %d: want (pen, id) ascending and at least one value", i)
		}
		last = key
		for _, v := range e.Values {
			value, err := hex.DecodeString(v)
			if err != nil || hex.EncodeToString(value) != v || len(value) > flow.MaxExtension {
				c.fail("extensions", "element %d: want at most %d octets in lower-case hexadecimal", i, flow.MaxExtension)
				break
			}
			b.Extend(key, value)
		}
	}
	b.EndRow()
	return c.err
}

// fieldReader reads spelled-out fields; its first error sticks.
type fieldReader struct{ err error }

func (c *fieldReader) fail(field, format string, args ...any) {
	if c.err == nil {
		c.err = fmt.Errorf("field %s: %s", field, fmt.Sprintf(format, args...))
	}
}

func readName[T comparable](c *fieldReader, field, s string, names map[T]string) T {
	for value, name := range names {
		if name == s {
			return value
		}
	}
	c.fail(field, "unknown name %.40q", s)
	var none T
	return none
}

func spellTime(ns int64) string { return time.Unix(0, ns).UTC().Format(time.RFC3339Nano) }

func (c *fieldReader) time(field, s string) int64 {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil || spellTime(t.UnixNano()) != s {
		c.fail(field, "got %.40q, want a time such as %s", s, spellTime(1_700_000_000_000_000_001))
		return 0
	}
	return t.UnixNano()
}

func spellAddress(a [16]byte) string { return netip.AddrFrom16(a).Unmap().String() }

func (c *fieldReader) address(field, s string) [16]byte {
	a, err := netip.ParseAddr(s)
	if err != nil || a.Zone() != "" || spellAddress(a.As16()) != s {
		c.fail(field, "got %.60q, want an IP address in its canonical form", s)
		return [16]byte{}
	}
	return a.As16()
}

func spellMAC(m uint64) string {
	return fmt.Sprintf("%02x:%02x:%02x:%02x:%02x:%02x", m>>40, m>>32&0xff, m>>24&0xff, m>>16&0xff, m>>8&0xff, m&0xff)
}

func (c *fieldReader) mac(field, s string) (m uint64) {
	p, err := hex.DecodeString(strings.ReplaceAll(s, ":", ""))
	for _, octet := range p {
		m = m<<8 | uint64(octet)
	}
	if err != nil || len(p) != 6 || spellMAC(m) != s {
		c.fail(field, "got %.40q, want a MAC address such as 02:00:5e:00:53:01", s)
		return 0
	}
	return m
}

func spellBits(bits uint16, names *[16]string) []string {
	set := []string{}
	for i, name := range names {
		if bits>>i&1 != 0 {
			set = append(set, name)
		}
	}
	return set
}

func (c *fieldReader) bits(field string, set []string, names *[16]string) (bits uint16) {
	for _, name := range set {
		if i := slices.Index(names[:], name); i >= 0 {
			bits |= 1 << i
		}
	}
	if !slices.Equal(spellBits(bits, names), set) {
		c.fail(field, "got %.200q, want names of bits in their order, each once", set)
	}
	return bits
}

func (c *fieldReader) hash(field, s string) (h [32]byte) {
	if err := parseHex(h[:], s, ""); err != nil {
		c.fail(field, "%v", err)
	}
	return h
}
