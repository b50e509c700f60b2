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
func referenceSets(templates reference.NetFlowTemplateSystem, payload []byte) ([]any, error) {
	version, header := uint16(payload[1]), v9Header
	if version == 10 {
		header = ipfixHeader
	}
	return reference.DecodeMessageCommon(bytes.NewBuffer(payload[header:]), templates, 1, 0xffff, version)
}

// columnsByID are elements whose value a column holds as a number.
func columnsByID() map[uint16]func(*flow.Batch, int) uint64 {
	return map[uint16]func(*flow.Batch, int) uint64{
		1: func(b *flow.Batch, i int) uint64 { return b.Bytes[i] }, 2: func(b *flow.Batch, i int) uint64 { return b.Packets[i] },
		4: func(b *flow.Batch, i int) uint64 { return uint64(b.Proto[i]) }, 5: func(b *flow.Batch, i int) uint64 { return uint64(b.TOS[i]) },
		6: func(b *flow.Batch, i int) uint64 { return uint64(b.TCPFlags[i]) }, 7: func(b *flow.Batch, i int) uint64 { return uint64(b.SrcPort[i]) },
		11: func(b *flow.Batch, i int) uint64 { return uint64(b.DstPort[i]) }, 10: func(b *flow.Batch, i int) uint64 { return uint64(b.InIf[i]) },
		14: func(b *flow.Batch, i int) uint64 { return uint64(b.OutIf[i]) }, 16: func(b *flow.Batch, i int) uint64 { return uint64(b.SrcAS[i]) },
		56: func(b *flow.Batch, i int) uint64 { return b.SrcMAC[i] }, 80: func(b *flow.Batch, i int) uint64 { return b.DstMAC[i] },
		58: func(b *flow.Batch, i int) uint64 { return uint64(b.SrcVLAN[i]) }, 61: func(b *flow.Batch, i int) uint64 { return uint64(b.Direction[i]) },
		136: func(b *flow.Batch, i int) uint64 { return uint64(b.EndReason[i]) }, 233: func(b *flow.Batch, i int) uint64 { return uint64(b.FirewallEvent[i]) },
	}
}

// shapeIDs are the elements that a shape chooses from: columns, and elements that
// stay what they are. None of them is a time, an address or a rate, which are
// judged together with others.
var shapeIDs = []uint16{1, 2, 4, 5, 6, 7, 10, 11, 14, 16, 56, 58, 61, 80, 136, 233, 95, 96, 234, 235, 500, 501, 31000}

// shaped makes a Template Record 256 of three octets per field: which element,
// its length, its enterprise.
func shaped(version byte, shape []byte) []byte {
	const maxShape = 40
	var fields []byte
	n := 0
	for ; len(shape) >= 3 && n < maxShape; shape, n = shape[3:], n+1 {
		length := uint16(shape[1] % 24)
		if length == 23 {
			length = variable
		}
		if version == 10 && shape[2]%5 == 0 {
			fields = append(fields, pen(4000+uint32(shape[2]%3), uint16(shape[0]), length)...)
		} else {
			fields = append(fields, join(u16(shapeIDs[int(shape[0])%len(shapeIDs)]), u16(length))...)
		}
	}
	return join(u16(256), u16(uint16(n)), fields)
}

// compare decodes data by a template with both decoders: each value that goflow2
// finds must be in our row, in its column or as an extension with its octets.
func compare(t *testing.T, version byte, template, data []byte) {
	t.Helper()
	message, templateSet := v9, uint16(0)
	if version == 10 {
		message, templateSet = ipfix, 2
	}
	d, templates := New(Config{}), reference.CreateTemplateSystem()
	first := message(1, set(templateSet, template))
	run(t, d, router, first)
	s := d.sessions[sessionOf(&router)]
	if s == nil {
		return
	}
	p := s.plans[templateKey{domainKey{flow.Protocol(version), 1}, 256}]
	if p == nil || p.size < 4 || len(data) == 0 {
		return // goflow2 takes padding for records, and never ends with records of no octets
	}
	for _, f := range p.fields {
		if f.length == 0 {
			return // we keep nothing of them
		}
	}
	if _, err := referenceSets(templates, first); err != nil {
		t.Fatal(err)
	}
	second := message(1, set(256, data))
	batch, _ := run(t, d, router, second)
	sets, err := referenceSets(templates, second)
	if err != nil {
		return // a length that cannot be read
	}
	records := sets[0].(reference.DataFlowSet).Records
	// goflow2 takes what a variable length leaves of the set for the whole field.
	if len(records) != batch.Len() && (p.fixed || len(records) != batch.Len()+1) {
		t.Fatalf("%d rows, goflow2 has %d records", batch.Len(), len(records))
	}
	columns := columnsByID()
	for i, record := range records[:batch.Len()] {
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
				t.Fatalf("row %d: element %d/%d = %x is neither column nor extension", i, v.Pen, v.Type, octets)
			}
		}
	}
}

// Random templates and whole records.
func TestDifferential_EveryValueOfGoflow2IsInTheRow(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	random := func(n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(rng.Uint32())
		}
		return b
	}
	for round := range 400 {
		version := byte(9 + round%2)
		template := shaped(version, random(3*(1+rng.IntN(12))))
		compare(t, version, template, random(1+rng.IntN(400)))
	}
}

func FuzzAgainstGoflow2(f *testing.F) {
	f.Add(true, []byte{5, 2, 1, 7, 2, 1, 0, 4, 1}, []byte("12345678abcdefgh"))
	f.Add(false, []byte{16, 23, 1, 0, 8, 5, 11, 7, 1}, []byte("\x03abc12345678abcdefg"))
	f.Add(true, []byte{16, 23, 0, 0, 8, 1}, []byte("\xff\x00\x03abc12345678"))
	f.Fuzz(func(t *testing.T, ipfix bool, shape, data []byte) {
		version := byte(9)
		if ipfix {
			version = 10
		}
		if len(data) > 60_000 {
			return
		}
		compare(t, version, shaped(version, shape), data)
	})
}

func TestDifferential_V5(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	payload := v5(30, 0)
	for i := 24; i < len(payload); i++ {
		payload[i] = byte(rng.IntN(256))
	}
	if !compareV5(t, payload) {
		t.Error("goflow2 does not read it")
	}
}

func FuzzV5AgainstGoflow2(f *testing.F) {
	f.Add(v5(2, 1<<14|100))
	f.Fuzz(func(t *testing.T, payload []byte) { compareV5(t, payload) })
}

// compareV5 compares all that goflow2 reads, and tells whether it read something.
func compareV5(t *testing.T, payload []byte) bool {
	t.Helper()
	var packet netflowlegacy.PacketNetFlowV5
	if len(payload) < 24 || payload[0] != 0 || payload[1] != 5 || netflowlegacy.DecodeMessageVersion(bytes.NewBuffer(payload), &packet) != nil {
		return false
	}
	// It makes up the records of a datagram that was cut.
	if len(payload)-24 < 48*len(packet.Records) {
		return false
	}
	batch, r := run(t, New(Config{}), router, payload)
	want(t, "records", r.Flows, len(packet.Records))
	want(t, "sequence", r.Sequence, packet.FlowSequence)
	want(t, "domain", r.Domain, uint32(packet.EngineType)<<8|uint32(packet.EngineId))
	for i, r := range packet.Records {
		want(t, "source", batch.SrcAddr[i], mapped(u32(uint32(r.SrcAddr))))
		want(t, "destination", batch.DstAddr[i], mapped(u32(uint32(r.DstAddr))))
		want(t, "next hop", string(extension(t, batch, i, 0, 15)), string(u32(uint32(r.NextHop))))
		want(t, "counters", [2]uint64{batch.Packets[i], batch.Bytes[i]}, [2]uint64{uint64(r.DPkts), uint64(r.DOctets)})
		want(t, "small fields", [8]uint16{batch.SrcPort[i], batch.DstPort[i], batch.TCPFlags[i], uint16(batch.Proto[i]), uint16(batch.TOS[i]), uint16(batch.InIf[i]), uint16(batch.OutIf[i]), uint16(batch.SrcAS[i])},
			[8]uint16{r.SrcPort, r.DstPort, uint16(r.TCPFlags), uint16(r.Proto), uint16(r.Tos), r.Input, r.Output, r.SrcAS})
		want(t, "masks", string(extension(t, batch, i, 0, 9))+string(extension(t, batch, i, 0, 13)), string([]byte{r.SrcMask, r.DstMask}))
	}
	return true
}
