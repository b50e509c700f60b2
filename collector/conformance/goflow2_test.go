package conformance

import (
	"bytes"
	"fmt"
	"net/netip"
	"path/filepath"
	"testing"

	reference "github.com/netsampler/goflow2/v2/decoders/netflow"

	"tidemark/collector/detect"
	"tidemark/collector/flow"
	"tidemark/collector/netflow"
)

// columnsOf gives, per element, the columns its value may stand in. Times are
// compared with other projects' decodes elsewhere.
var columnsOf = map[uint16]func(*flow.Batch, int) []uint64{
	1: octets, 85: octets, 231: octets, 232: octets, 23: octets,
	2: packets, 86: packets, 298: packets, 299: packets, 24: packets,
	4:  func(b *flow.Batch, i int) []uint64 { return []uint64{uint64(b.Proto[i])} },
	5:  func(b *flow.Batch, i int) []uint64 { return []uint64{uint64(b.TOS[i])} },
	6:  func(b *flow.Batch, i int) []uint64 { return []uint64{uint64(b.TCPFlags[i])} },
	7:  func(b *flow.Batch, i int) []uint64 { return []uint64{uint64(b.SrcPort[i])} },
	11: dstPorts, 32: dstPorts, 139: dstPorts, 176: icmpHalves, 177: icmpHalves, 178: icmpHalves, 179: icmpHalves,
	10: func(b *flow.Batch, i int) []uint64 { return []uint64{uint64(b.InIf[i])} },
	14: func(b *flow.Batch, i int) []uint64 { return []uint64{uint64(b.OutIf[i])} },
	16: func(b *flow.Batch, i int) []uint64 { return []uint64{uint64(b.SrcAS[i])} },
	17: func(b *flow.Batch, i int) []uint64 { return []uint64{uint64(b.DstAS[i])} },
	34: func(b *flow.Batch, i int) []uint64 { return []uint64{uint64(b.SamplingRate[i])} },
	56: macs, 57: macs, 80: macs, 81: macs,
	58: vlans, 59: vlans, 243: vlans, 254: vlans,
	61:    func(b *flow.Batch, i int) []uint64 { return []uint64{uint64(b.Direction[i])} },
	136:   func(b *flow.Batch, i int) []uint64 { return []uint64{uint64(b.EndReason[i])} },
	230:   func(b *flow.Batch, i int) []uint64 { return []uint64{uint64(b.NATEvent[i])} },
	233:   func(b *flow.Batch, i int) []uint64 { return []uint64{uint64(b.FirewallEvent[i])} },
	40005: func(b *flow.Batch, i int) []uint64 { return []uint64{uint64(b.FirewallEvent[i])} },
}

func octets(b *flow.Batch, i int) []uint64  { return []uint64{b.Bytes[i]} }
func packets(b *flow.Batch, i int) []uint64 { return []uint64{b.Packets[i]} }
func macs(b *flow.Batch, i int) []uint64    { return []uint64{b.SrcMAC[i], b.DstMAC[i]} }
func vlans(b *flow.Batch, i int) []uint64 {
	return []uint64{uint64(b.SrcVLAN[i]), uint64(b.DstVLAN[i])}
}
func dstPorts(b *flow.Batch, i int) []uint64 { return []uint64{uint64(b.DstPort[i])} }
func icmpHalves(b *flow.Batch, i int) []uint64 {
	return []uint64{uint64(b.DstPort[i] >> 8), uint64(b.DstPort[i] & 0xff)}
}

// timeBits gives the presence bit of elements that are times.
var timeBits = map[uint16]uint16{
	21: flow.HasEnd, 22: flow.HasStart, 150: flow.HasStart, 151: flow.HasEnd, 152: flow.HasStart, 153: flow.HasEnd,
	154: flow.HasStart, 155: flow.HasEnd, 156: flow.HasStart, 157: flow.HasEnd, 158: flow.HasStart, 159: flow.HasEnd,
}

const (
	paddingOctets = 210
	reversePEN    = 29305
)

// carries tells whether rows [from, to) hold a value that goflow2 found.
func carries(b *flow.Batch, from, to int, v reference.DataField) (found bool) {
	raw := v.Value.([]byte)
	if !v.PenProvided && v.Type == paddingOctets || len(raw) == 0 {
		return true
	}
	for i := from; i < to; i++ {
		b.Ext.Each(i, func(key uint64, value []byte) {
			found = found || key == flow.ExtensionKey(v.Pen, v.Type) && bytes.Equal(value, raw)
		})
		if v.PenProvided && v.Pen != reversePEN {
			continue
		}
		switch v.Type {
		case 11: // ICMP type and code took the place of a port of 0
			found = found || (b.Proto[i] == 1 || b.Proto[i] == 58) && string(raw) == "\x00\x00"
		case 8, 12, 27, 28:
			a, _ := netip.AddrFromSlice(raw)
			found = found || b.SrcAddr[i] == a.As16() || b.DstAddr[i] == a.As16()
			continue
		}
		found = found || b.Presence[i]&timeBits[v.Type] != 0
		if f := columnsOf[v.Type]; f != nil && len(raw) <= 8 {
			var u uint64
			for _, x := range raw {
				u = u<<8 | uint64(x)
			}
			for _, c := range f(b, i) {
				found = found || c == u
			}
		}
	}
	return found
}

// goflow2 decodes the same v9 and IPFIX captures (with a Count of 0xFFFF): as many
// records, and each value of each record is in our rows. What it cannot decode
// is left out, and counted below.
func TestGoflow2_EveryValueIsInTheRows(t *testing.T) {
	dir := captures(t)
	var paths []string
	for _, m := range manifest(t, filepath.Join(dir, "exports", "MANIFEST.tsv")) {
		paths = append(paths, filepath.Join(dir, "exports", m["capture"]))
	}
	paths = append(paths, glob(t, dir, "iot", "generated", "*.pcap")...)
	messages, values, refused := 0, 0, 0
	for _, path := range paths {
		d := netflow.New(netflow.Config{})
		templates := map[netip.AddrPort]reference.NetFlowTemplateSystem{}
		var b flow.Batch
		for n, in := range datagrams(t, path) {
			p, _ := detect.Protocol(in.payload)
			if p != flow.NetFlowV9 && p != flow.IPFIX {
				continue
			}
			b.Reset()
			dg := flow.Datagram{Exporter: in.from.Addr().As16(), Port: in.from.Port(), Received: in.at.UnixNano(), Quality: replayed}
			r := d.Decode(&b, dg, in.payload)
			if templates[in.from] == nil {
				templates[in.from] = reference.CreateTemplateSystem()
			}
			header := 20
			if p == flow.IPFIX {
				header = 16
			}
			sets, err := reference.DecodeMessageCommon(bytes.NewBuffer(in.payload[header:]), templates[in.from], r.Domain, 0xffff, uint16(p))
			if err != nil || r.Late > 0 {
				refused++
				continue
			}
			messages++
			where := fmt.Sprintf("%s datagram %d", path[len(dir)+1:], n+1)
			row, options := 0, 0
			for _, s := range sets {
				switch s := s.(type) {
				case reference.OptionsDataFlowSet:
					options += len(s.Records)
				case reference.DataFlowSet:
					for _, record := range s.Records {
						end := row + 1
						if end < b.Len() && b.Quality[end]&flow.BiflowReverse != 0 {
							end++
						}
						if row >= b.Len() {
							t.Fatalf("%s: goflow2 has more than our %d rows", where, b.Len())
						}
						for _, v := range record.Values {
							values++
							if !carries(&b, row, end, v) {
								t.Errorf("%s: element %d/%d = %x is in no column and no extension", where, v.Pen, v.Type, v.Value)
							}
						}
						row = end
					}
				}
			}
			if row != b.Len() || options != r.OptionsRecords {
				t.Errorf("%s: %d rows and %d options records, goflow2 has %d and %d", where, b.Len(), r.OptionsRecords, row, options)
			}
		}
	}
	t.Logf("%d messages, %d values compared; goflow2 refused %d messages", messages, values, refused)
	if messages < 3000 || values < 300_000 || refused > 40 {
		t.Errorf("%d messages, %d values compared, %d refused: want at least 3,000 and 300,000, at most 40", messages, values, refused)
	}
}
