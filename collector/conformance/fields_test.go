package conformance

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"tidemark/collector/flow"
)

// check compares one field of an outside decode with row i; it returns what the
// row has when they differ.
type check func(b *flow.Batch, i int, want any) (got any, ok bool)

// checks are by the name the outside project uses: logstash's names for v5 and v9
// fields, the registered names for IPFIX.
var checks = map[string]check{
	"octetDeltaCount": number(func(b *flow.Batch, i int) uint64 { return b.Bytes[i] }), "in_bytes": number(func(b *flow.Batch, i int) uint64 { return b.Bytes[i] }),
	"octetTotalCount": number(func(b *flow.Batch, i int) uint64 { return b.Bytes[i] }), "packetTotalCount": number(func(b *flow.Batch, i int) uint64 { return b.Packets[i] }),
	"packetDeltaCount": number(func(b *flow.Batch, i int) uint64 { return b.Packets[i] }), "in_pkts": number(func(b *flow.Batch, i int) uint64 { return b.Packets[i] }),
	"sourceTransportPort": number(func(b *flow.Batch, i int) uint64 { return uint64(b.SrcPort[i]) }), "l4_src_port": number(func(b *flow.Batch, i int) uint64 { return uint64(b.SrcPort[i]) }),
	"protocolIdentifier": protocol, "protocol": protocol,
	"ipClassOfService": number(func(b *flow.Batch, i int) uint64 { return uint64(b.TOS[i]) }), "src_tos": number(func(b *flow.Batch, i int) uint64 { return uint64(b.TOS[i]) }),
	"tcpControlBits": flags, "tcp_flags": flags,
	"flowDirection": direction, "direction": direction,
	"ingressInterface": number(func(b *flow.Batch, i int) uint64 { return uint64(b.InIf[i]) }), "input_snmp": number(func(b *flow.Batch, i int) uint64 { return uint64(b.InIf[i]) }),
	"egressInterface": number(func(b *flow.Batch, i int) uint64 { return uint64(b.OutIf[i]) }), "output_snmp": number(func(b *flow.Batch, i int) uint64 { return uint64(b.OutIf[i]) }),
	"bgpSourceAsNumber": number(func(b *flow.Batch, i int) uint64 { return uint64(b.SrcAS[i]) }), "src_as": number(func(b *flow.Batch, i int) uint64 { return uint64(b.SrcAS[i]) }),
	"bgpDestinationAsNumber": number(func(b *flow.Batch, i int) uint64 { return uint64(b.DstAS[i]) }), "dst_as": number(func(b *flow.Batch, i int) uint64 { return uint64(b.DstAS[i]) }),
	"firewallEvent": number(func(b *flow.Batch, i int) uint64 { return uint64(b.FirewallEvent[i]) }), "fw_event": number(func(b *flow.Batch, i int) uint64 { return uint64(b.FirewallEvent[i]) }),
	"flow_seq_num":             number(func(b *flow.Batch, i int) uint64 { return uint64(b.SequenceNum[i]) }),
	"flow_end_reason":          number(func(b *flow.Batch, i int) uint64 { return uint64(b.EndReason[i]) }),
	"destinationTransportPort": dstPort, "l4_dst_port": dstPort,
	"icmpTypeCodeIPv4": icmp(32), "icmpTypeCodeIPv6": icmp(139),
	"sourceIPv4Address": address(src, 8), "ipv4_src_addr": address(src, 8), "sourceIPv6Address": address(src, 27),
	"destinationIPv4Address": address(dst, 12), "ipv4_dst_addr": address(dst, 12), "destinationIPv6Address": address(dst, 28),
	"sourceMacAddress": mac(func(b *flow.Batch, i int) uint64 { return b.SrcMAC[i] }, 56), "in_src_mac": mac(func(b *flow.Batch, i int) uint64 { return b.SrcMAC[i] }, 56),
	"destinationMacAddress": mac(func(b *flow.Batch, i int) uint64 { return b.DstMAC[i] }, 80), "in_dst_mac": mac(func(b *flow.Batch, i int) uint64 { return b.DstMAC[i] }, 80),
	"out_src_mac": mac(func(b *flow.Batch, i int) uint64 { return b.SrcMAC[i] }, 81), "out_dst_mac": mac(func(b *flow.Batch, i int) uint64 { return b.DstMAC[i] }, 57),
	"vlanId": number(func(b *flow.Batch, i int) uint64 { return uint64(b.SrcVLAN[i]) }), "src_vlan": number(func(b *flow.Batch, i int) uint64 { return uint64(b.SrcVLAN[i]) }),
	"dot1qVlanId": number(func(b *flow.Batch, i int) uint64 { return uint64(b.SrcVLAN[i]) }),
	"postVlanId":  number(func(b *flow.Batch, i int) uint64 { return uint64(b.DstVLAN[i]) }), "dst_vlan": number(func(b *flow.Batch, i int) uint64 { return uint64(b.DstVLAN[i]) }),
	"flowStartMilliseconds": moment(start), "flowStartSeconds": moment(start), "flowStartMicroseconds": moment(start), "first_switched": logstashMoment(start),
	"flowEndMilliseconds": moment(end), "flowEndSeconds": moment(end), "flowEndMicroseconds": moment(end), "last_switched": logstashMoment(end),

	"src_mask": extension(9), "dst_mask": extension(13), "sourceIPv4PrefixLength": extension(9), "destinationIPv4PrefixLength": extension(13),
	"sourceIPv6PrefixLength": extension(29), "destinationIPv6PrefixLength": extension(30),
	"ipv4_next_hop": extension(15), "ipNextHopIPv4Address": extension(15), "ipNextHopIPv6Address": extension(62), "bgp_ipv4_next_hop": extension(18),
	"bgpNextHopIPv4Address": extension(18), "bgpNextHopIPv6Address": extension(63), "flowLabelIPv6": extension(31), "ipv6ExtensionHeaders": extension(64),
	"minimumTTL": extension(52), "maximumTTL": extension(53), "fragmentIdentification": extension(54), "ipVersion": extension(60), "ip_protocol_version": extension(60),
	"mplsTopLabelStackSection": extension(70), "mplsLabelStackSection2": extension(71), "mplsLabelStackSection3": extension(72), "mplsLabelStackSection4": extension(73),
	"mplsLabelStackSection5": extension(74), "mplsLabelStackSection6": extension(75), "mplsTopLabelIPv4Address": extension(47), "mplsTopLabelIPv6Address": extension(140),
	"mplsTopLabelPrefixLength": extension(91), "ingressVRFID": extension(234), "egressVRFID": extension(235), "octetDeltaSumOfSquares": extension(198),
	"selectorId": extension(302), "samplerId": extension(48), "flow_sampler_id": extension(48), "dot1qCustomerVlanId": extension(245), "dot1qPriority": extension(244),
	"ethernetType": extension(256), "flowDurationMilliseconds": extension(161), "flowId": extension(148), "conn_id": extension(148), "layer2SegmentId": extension(351),
	"xlate_src_addr_ipv4": extension(225, 40001), "xlate_dst_addr_ipv4": extension(226, 40002), "xlate_src_port": extension(227, 40003), "xlate_dst_port": extension(228, 40004),
	"postNATSourceIPv4Address": extension(225), "postNATDestinationIPv4Address": extension(226), "sampling_algorithm": mode,
	"ingressPhysicalInterface": extension(252), "egressPhysicalInterface": extension(253), "observationPointId": extension(138), "wlanSSID": extension(147),
	"minimumIpTotalLength": extension(25), "maximumIpTotalLength": extension(26), "ipDiffServCodePoint": extension(195), "ipPrecedence": extension(196),
	"out_bytes": extension(23), "out_pkts": extension(24), "icmp_type": ignored, "icmp_code": ignored,
	"srhFlagsIPv6": extension(492), "srhTagIPv6": extension(493), "srhActiveSegmentIPv6": extension(495), "srhSegmentsIPv6Left": extension(498),
}

// ignored is for names that the outside project gives to half a field.
func ignored(*flow.Batch, int, any) (any, bool) { return nil, true }

func src(b *flow.Batch, i int) [16]byte { return b.SrcAddr[i] }
func dst(b *flow.Batch, i int) [16]byte { return b.DstAddr[i] }
func start(b *flow.Batch, i int) int64  { return b.TimeFlowStart[i] }
func end(b *flow.Batch, i int) int64    { return b.TimeFlowEnd[i] }

// value parses a JSON number or numeric string without loss.
func value(v any) (uint64, bool) {
	u, err := strconv.ParseUint(fmt.Sprint(v), 10, 64)
	return u, err == nil
}

func number(f func(*flow.Batch, int) uint64) check {
	return func(b *flow.Batch, i int, want any) (any, bool) {
		w, ok := value(want)
		return f(b, i), ok && f(b, i) == w
	}
}

// dstPort allows for ICMP type and code put there from their own field.
func dstPort(b *flow.Batch, i int, want any) (any, bool) {
	w, ok := value(want)
	return b.DstPort[i], ok && (uint64(b.DstPort[i]) == w || w == 0 && (b.Proto[i] == 1 || b.Proto[i] == 58))
}

func icmp(id uint64) check {
	return func(b *flow.Batch, i int, want any) (any, bool) {
		if got, ok := extension(id)(b, i, want); ok {
			return got, true
		}
		w, ok := value(want)
		return b.DstPort[i], ok && uint64(b.DstPort[i]) == w
	}
}

func address(f func(*flow.Batch, int) [16]byte, id uint64) check {
	return func(b *flow.Batch, i int, want any) (any, bool) {
		w, err := netip.ParseAddr(fmt.Sprint(want))
		got := netip.AddrFrom16(f(b, i)).Unmap()
		if err == nil && got == w {
			return got, true
		}
		return extension(id)(b, i, want) // templates with both families
	}
}

func mac(f func(*flow.Batch, int) uint64, id uint64) check {
	return func(b *flow.Batch, i int, want any) (any, bool) {
		w := raw(want)
		if s, ok := want.(string); ok {
			w = nil
			for _, x := range strings.Split(s, ":") {
				u, _ := strconv.ParseUint(x, 16, 8)
				w = append(w, byte(u))
			}
		}
		var six [8]byte
		binary.BigEndian.PutUint64(six[:], f(b, i))
		if string(six[2:]) == string(w) {
			return nil, true
		}
		got, _ := b.Ext.Value(i, id)
		return fmt.Sprintf("%x", six[2:]), string(got) == string(w)
	}
}

func protocol(b *flow.Batch, i int, want any) (any, bool) {
	names := map[string]uint8{"ICMP": 1, "IGMP": 2, "TCP": 6, "UDP": 17, "GRE": 47, "IPv6ICMP": 58, "OSPFIGP": 89, "PIM": 103, "VRRP": 112, "IPv4": 4, "IPv6": 41, "HOPOPT": 0}
	if p, ok := names[fmt.Sprint(want)]; ok {
		return b.Proto[i], b.Proto[i] == p
	}
	w, ok := value(want)
	return b.Proto[i], ok && uint64(b.Proto[i]) == w
}

func flags(b *flow.Batch, i int, want any) (any, bool) {
	if m, ok := want.(map[string]any); ok {
		var w uint16
		for bit, name := range []string{"FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR"} {
			if m[name] == true {
				w |= 1 << bit
			}
		}
		return b.TCPFlags[i], b.TCPFlags[i] == w
	}
	w, ok := value(want)
	return b.TCPFlags[i], ok && uint64(b.TCPFlags[i]) == w
}

func direction(b *flow.Batch, i int, want any) (any, bool) {
	switch w := want.(type) {
	case string:
		return b.Direction[i], w == "ingress" && b.Direction[i] == 0 || w == "egress" && b.Direction[i] == 1
	case map[string]any: // netgauze: a value it has no name for
		for _, n := range w {
			u, ok := value(n)
			return b.Direction[i], ok && uint64(b.Direction[i]) == u
		}
	}
	u, ok := value(want)
	return b.Direction[i], ok && uint64(b.Direction[i]) == u
}

// moment compares to the millisecond, the finest that logstash prints; numbers
// are seconds.
func moment(f func(*flow.Batch, int) int64) check {
	return func(b *flow.Batch, i int, want any) (any, bool) {
		got := time.Unix(0, f(b, i)).UTC()
		if w, err := time.Parse(time.RFC3339Nano, fmt.Sprint(want)); err == nil {
			d := got.Truncate(time.Millisecond).Sub(w.Truncate(time.Millisecond))
			return got, d == 0
		}
		u, ok := value(want)
		return got, ok && got.Unix() == int64(u)
	}
}

// raw is the octets of a value as an outside project writes octets: a list of
// numbers, or an address.
func raw(want any) []byte {
	if list, ok := want.([]any); ok {
		var out []byte
		for _, x := range list {
			u, _ := value(x)
			out = append(out, byte(u))
		}
		return out
	}
	if a, err := netip.ParseAddr(fmt.Sprint(want)); err == nil {
		return a.AsSlice()
	}
	return nil
}

// extension compares with the raw octets kept under any of the elements, in any
// of their repeats.
func extension(ids ...uint64) check {
	return func(b *flow.Batch, i int, want any) (got any, ok bool) {
		got = "absent"
		b.Ext.Each(i, func(key uint64, v []byte) {
			if ok || !slices.Contains(ids, key) {
				return
			}
			got, ok = same(v, want)
		})
		return got, ok
	}
}

func same(v []byte, want any) (got any, ok bool) {
	if w := raw(want); w != nil {
		return fmt.Sprintf("%x", v), string(v) == string(w)
	}
	if w, isNumber := value(want); isNumber && len(v) <= 8 {
		var u uint64
		for _, x := range v {
			u = u<<8 | uint64(x)
		}
		return u, u == w
	}
	return string(v), strings.TrimRight(string(v), "\x00") == fmt.Sprint(want)
}

// mode is the sampling mode of NetFlow v5, kept if it is not 0.
func mode(b *flow.Batch, i int, want any) (any, bool) {
	if w, ok := value(want); ok && w == 0 && b.Protocol[i] == flow.NetFlowV5 {
		_, kept := b.Ext.Value(i, 35)
		return "present", !kept
	}
	return extension(35)(b, i, want)
}

// logstashMoment allows for logstash adding the part of the uptime below one
// second where it should subtract it: its v9 times are a second late.
func logstashMoment(f func(*flow.Batch, int) int64) check {
	right := moment(f)
	late := moment(func(b *flow.Batch, i int) int64 { return f(b, i) + int64(time.Second) })
	return func(b *flow.Batch, i int, want any) (any, bool) {
		if got, ok := right(b, i, want); ok {
			return got, ok
		}
		return late(b, i, want)
	}
}

// fieldValue is a field of an outside decode. Tunnels repeat elements: the first
// is the outer header, which the columns hold, the rest are extensions.
type fieldValue struct {
	name  string
	value any
}

// repeated gives the element of columns that tunnels repeat.
var repeated = map[string]uint64{
	"protocolIdentifier": 4, "ipClassOfService": 5, "tcpControlBits": 6, "sourceTransportPort": 7, "destinationTransportPort": 11,
}

// mismatches compares all fields that have a check; compared counts them.
func mismatches(b *flow.Batch, i int, fields []fieldValue) (out []string, compared int) {
	seen := map[string]bool{}
	for _, f := range fields {
		c := checks[f.name]
		if id := repeated[f.name]; seen[f.name] && id != 0 {
			c = inner(id)
		}
		seen[f.name] = true
		if c == nil {
			continue
		}
		compared++
		if got, ok := c(b, i, f.value); !ok {
			out = append(out, fmt.Sprintf("%s: got %v, want %v", f.name, got, f.value))
		}
	}
	return out, compared
}

// inner compares a field of a tunnelled packet, written by name or number.
func inner(id uint64) check {
	return func(b *flow.Batch, i int, want any) (got any, ok bool) {
		got = "absent"
		b.Ext.Each(i, func(key uint64, v []byte) {
			if ok || key != id {
				return
			}
			var one flow.Batch
			r := one.NextRow()
			for _, x := range v {
				one.Bytes[r] = one.Bytes[r]<<8 | uint64(x)
			}
			one.Proto[r], one.TCPFlags[r] = uint8(one.Bytes[r]), uint16(one.Bytes[r])
			switch id {
			case 4:
				got, ok = protocol(&one, r, want)
			case 6:
				got, ok = flags(&one, r, want)
			default:
				got, ok = same(v, want)
			}
		})
		return got, ok
	}
}
