package netflow

import (
	"bytes"
	"math/rand/v2"
	"testing"

	reference "github.com/netsampler/goflow2/v2/decoders/netflow"
	"github.com/netsampler/goflow2/v2/decoders/netflowlegacy"

	"tidemark/collector/flow"
)

// goflow2 decodes the same octets: a v9 Count of 0xFFFF lets it read to the end.
func referenceSets(t *testing.T, templates reference.NetFlowTemplateSystem, payload []byte) []any {
	t.Helper()
	version, header := uint16(payload[1]), v9Header
	if version == 10 {
		header = ipfixHeader
	}
	sets, err := reference.DecodeMessageCommon(bytes.NewBuffer(payload[header:]), templates, 1, 0xffff, version)
	if err != nil {
		t.Fatal(err)
	}
	return sets
}

// Random templates of columns and unknown elements: each value that goflow2
// finds must be in our row, in its column or as an extension with its octets.
func TestDifferential_EveryValueOfGoflow2IsInTheRow(t *testing.T) {
	columns := map[uint16]func(*flow.Batch, int) uint64{
		1: func(b *flow.Batch, i int) uint64 { return b.Bytes[i] }, 2: func(b *flow.Batch, i int) uint64 { return b.Packets[i] },
		4: func(b *flow.Batch, i int) uint64 { return uint64(b.Proto[i]) }, 5: func(b *flow.Batch, i int) uint64 { return uint64(b.TOS[i]) },
		6: func(b *flow.Batch, i int) uint64 { return uint64(b.TCPFlags[i]) }, 7: func(b *flow.Batch, i int) uint64 { return uint64(b.SrcPort[i]) },
		11: func(b *flow.Batch, i int) uint64 { return uint64(b.DstPort[i]) }, 10: func(b *flow.Batch, i int) uint64 { return uint64(b.InIf[i]) },
		14: func(b *flow.Batch, i int) uint64 { return uint64(b.OutIf[i]) }, 16: func(b *flow.Batch, i int) uint64 { return uint64(b.SrcAS[i]) },
		56: func(b *flow.Batch, i int) uint64 { return b.SrcMAC[i] }, 80: func(b *flow.Batch, i int) uint64 { return b.DstMAC[i] },
		58: func(b *flow.Batch, i int) uint64 { return uint64(b.SrcVLAN[i]) }, 61: func(b *flow.Batch, i int) uint64 { return uint64(b.Direction[i]) },
		136: func(b *flow.Batch, i int) uint64 { return uint64(b.EndReason[i]) }, 233: func(b *flow.Batch, i int) uint64 { return uint64(b.FirewallEvent[i]) },
	}
	var ids []uint16
	for id := range columns {
		ids = append(ids, id)
	}
	ids = append(ids, 95, 96, 234, 235, 500, 501, 31000)
	rng := rand.New(rand.NewPCG(1, 2))
	for round := range 400 {
		version := byte(9 + round%2)
		var template []byte
		fields := 1 + rng.IntN(12)
		variableFields := 0
		for range fields {
			length := uint16(1 + rng.IntN(9))
			if rng.IntN(6) == 0 {
				length, variableFields = variable, variableFields+1
			}
			if version == 10 && rng.IntN(5) == 0 {
				template = append(template, pen(uint32(4000+rng.IntN(3)), uint16(rng.IntN(9)), length)...)
			} else {
				template = append(template, join(u16(ids[rng.IntN(len(ids))]), u16(length))...)
			}
		}
		template = join(u16(256), u16(uint16(fields)), template)
		d, templates := New(Config{}), reference.CreateTemplateSystem()
		message := v9
		templateSet := uint16(0)
		if version == 10 {
			message, templateSet = ipfix, 2
		}
		first := message(1, set(templateSet, template))
		run(t, d, router, first)
		referenceSets(t, templates, first)
		p := d.sessions[sessionOf(&router)].plans[templateKey{domainKey{flow.Protocol(version), 1}, 256}]
		if p.size < 4 {
			continue // goflow2 takes padding for records
		}
		var data []byte
		for range 1 + rng.IntN(4) {
			for _, f := range p.fields {
				n := int(f.length)
				if f.length == variable {
					n = 1 + rng.IntN(20)
					data = append(data, byte(n))
				}
				for range n {
					data = append(data, byte(1+rng.IntN(255)))
				}
			}
		}
		second := message(1, set(256, data))
		batch, _ := run(t, d, router, second)
		sets := referenceSets(t, templates, second)
		records := sets[0].(reference.DataFlowSet).Records
		if len(records) != batch.Len() {
			t.Fatalf("round %d: %d rows, goflow2 has %d records", round, batch.Len(), len(records))
		}
		for i, record := range records {
			for _, v := range record.Values {
				octets := v.Value.([]byte)
				if column := columns[v.Type]; column != nil && !v.PenProvided {
					if u, ok := number(octets, 1<<64-1); ok && column(batch, i) == u {
						continue
					}
				}
				found := false
				batch.Ext.Each(i, func(key uint64, value []byte) {
					found = found || key == flow.ExtensionKey(v.Pen, v.Type) && bytes.Equal(value, octets)
				})
				if !found {
					t.Fatalf("round %d row %d: element %d/%d = %x is neither column nor extension", round, i, v.Pen, v.Type, octets)
				}
			}
		}
	}
}

func TestDifferential_V5(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	payload := v5(30, 0)
	for i := 24; i < len(payload); i++ {
		payload[i] = byte(rng.IntN(256))
	}
	var packet netflowlegacy.PacketNetFlowV5
	if err := netflowlegacy.DecodeMessageVersion(bytes.NewBuffer(payload), &packet); err != nil {
		t.Fatal(err)
	}
	batch, _ := run(t, New(Config{}), router, payload)
	for i, r := range packet.Records {
		want(t, "source", batch.SrcAddr[i], mapped(u32(uint32(r.SrcAddr))))
		want(t, "destination", batch.DstAddr[i], mapped(u32(uint32(r.DstAddr))))
		want(t, "next hop", string(extension(t, batch, i, 0, 15)), string(u32(uint32(r.NextHop))))
		want(t, "counters", [2]uint64{batch.Packets[i], batch.Bytes[i]}, [2]uint64{uint64(r.DPkts), uint64(r.DOctets)})
		want(t, "small fields", [8]uint16{batch.SrcPort[i], batch.DstPort[i], batch.TCPFlags[i], uint16(batch.Proto[i]), uint16(batch.TOS[i]), uint16(batch.InIf[i]), uint16(batch.OutIf[i]), uint16(batch.SrcAS[i])},
			[8]uint16{r.SrcPort, r.DstPort, uint16(r.TCPFlags), uint16(r.Proto), uint16(r.Tos), r.Input, r.Output, r.SrcAS})
		want(t, "masks", string(extension(t, batch, i, 0, 9))+string(extension(t, batch, i, 0, 13)), string([]byte{r.SrcMask, r.DstMask}))
	}
}
