package sflow

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	reference "github.com/netsampler/goflow2/v2/decoders/sflow"

	"tidemark/collector/flow"
)

func samples() map[string][]byte {
	tcp := raw(headerEthernet, 1518, ethernet(0x8100, join(vlan(7, typeIPv4), ipv4Of(6, 1500, 0, tcpOf(40000, 443, 0x12)))))
	v6 := raw(headerIPv6, 500, ipv6Of(0, 300, join([]byte{44, 0, 0, 0, 0, 0, 0, 0}, []byte{17, 0, 0, 0, 0, 0, 0, 9}, udpOf(1, 2))))
	mpls := raw(headerMPLS, 200, join([]byte{0, 1, 1, 64}, ipv4Of(1, 84, 0, []byte{8, 0, 0, 0})))
	gateway := record(extendedGateway, join(words(1), ip("10.0.0.253"), words(64500, 64501, 64502, 1, 2, 2, 1, 2, 0, 100)))
	frame := join([]byte{8, 0, 0, 0, 0, 0, 7, 0}, ethernet(0x8100, join(vlan(7, typeIPv6), ipv6Of(17, 8, udpOf(1, 2)))))
	vxlan := raw(headerEthernet, 300, ethernet(typeIPv4, ipv4Of(17, 250, 0, join(udpOf(1, portVXLAN), frame))))
	gre := raw(headerIPv4, 300, ipv4Of(protocolGRE, 250, 0, join([]byte{0x20, 0, 8, 0, 0, 0, 0, 1}, ipv4Of(6, 60, 0, tcpOf(1, 2, 2)))))
	return map[string][]byte{
		"tunnels":  datagramOf(flowSampleOf(1, vxlan), flowSampleOf(2, gre)),
		"flow":     datagramOf(flowSampleOf(1, tcp, record(extendedSwitch, words(1, 2, 3, 4))), flowSampleOf(2, v6), flowSampleOf(3, mpls)),
		"expanded": datagramOf(expandedSampleOf(1, tcp, gateway)),
		"discard":  datagramOf(discardSampleOf(1, 258, tcp, record(1038, opaque([]byte("nf_drop"))))),
		"records": datagramOf(flowSampleOf(1,
			record(sampledEthernet, join(words(100), srcMAC, []byte{0, 0}, dstMAC, []byte{0, 0}, words(0x0800))),
			record(sampledIPv4, join(words(90, 6), ip("10.0.0.1"), ip("10.0.0.2"), words(1, 2, 3, 4))))),
		"counters": datagramOf(sampleOf(counterSample, words(1, 2, 1), record(1, make([]byte, 88)))),
		"names": datagramOf(sampleOf(counterSample, words(1, 2, 2), record(1, make([]byte, 88)), record(portName, opaque([]byte("swp1")))),
			sampleOf(expandedCounterSample, words(1, 0, 9, 1), record(portName, opaque([]byte("uplink"))))),
	}
}

func survive(t testing.TB, payload []byte) *flow.Batch {
	t.Helper()
	batch, _ := run(t, payload)
	for i := range batch.Len() {
		if batch.SrcMAC[i]>>48 != 0 || batch.DstMAC[i]>>48 != 0 || batch.SamplingRate[i] == 0 {
			t.Fatalf("Decode(%x): row %d does not fit the wire form", payload, i)
		}
	}
	return batch
}

func TestDecoder_EveryPrefixIsCounted(t *testing.T) {
	for name, whole := range samples() {
		for n := range len(whole) {
			survive(t, whole[:n])
			if _, r := run(t, whole[:n]); r.Undecodable == [flow.NumReasons]uint32{} {
				t.Errorf("%s cut to %d of %d octets: nothing counted", name, n, len(whole))
			}
		}
	}
}

func TestDecoder_EveryBitFlipSurvives(t *testing.T) {
	for _, whole := range samples() {
		for i := range len(whole) * 8 {
			whole[i/8] ^= 1 << (i % 8)
			survive(t, whole)
			whole[i/8] ^= 1 << (i % 8)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, s := range samples() {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, payload []byte) { survive(t, payload) })
}

func TestFuzzCorpus_IsCommitted(t *testing.T) {
	dir := filepath.Join("testdata", "fuzz", "FuzzDecode")
	if os.Getenv("TIDEMARK_WRITE_CORPUS") != "" {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		for name, s := range samples() {
			text := "go test fuzz v1\n[]byte(" + strconv.Quote(string(s)) + ")\n"
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) < len(samples()) {
		t.Fatalf("%d corpus files in %s (%v), want %d: run with TIDEMARK_WRITE_CORPUS=1", len(files), dir, err, len(samples()))
	}
}

// goflow2 reads the same datagrams: as many flow samples, with the same numbers.
func TestDifferential_Goflow2(t *testing.T) {
	for name, payload := range samples() {
		if !compare(t, payload) {
			t.Errorf("%s: not compared", name)
		}
	}
}

// compare decodes payload with both decoders. It tells whether there was
// something to compare: both found the datagram whole.
func compare(t *testing.T, payload []byte) bool {
	t.Helper()
	var packet reference.Packet
	if err := reference.DecodeMessageVersion(bytes.NewBuffer(payload), &packet); err != nil {
		return false
	}
	batch, r := run(t, payload)
	if r.Undecodable != [flow.NumReasons]uint32{} {
		return false
	}
	row := 0
	next := func(what string, sequence, rate, input, output uint32) {
		t.Helper()
		if row >= batch.Len() {
			t.Fatalf("%d rows, goflow2 has more samples", batch.Len())
		}
		want(t, what+": sequence", batch.SequenceNum[row], sequence)
		want(t, what+": rate", batch.SamplingRate[row], max(rate, 1))
		want(t, what+": input", batch.InIf[row], input)
		want(t, what+": output", batch.OutIf[row], output)
		row++
	}
	expanded := func(format, value uint32) uint32 { return format<<30 | value&0x3fffffff }
	for _, s := range packet.Samples {
		switch s := s.(type) {
		case reference.FlowSample:
			next("flow sample", s.Header.SampleSequenceNumber, s.SamplingRate, s.Input, s.Output)
		case reference.ExpandedFlowSample:
			next("expanded flow sample", s.Header.SampleSequenceNumber, s.SamplingRate,
				expanded(s.InputIfFormat, s.InputIfValue), expanded(s.OutputIfFormat, s.OutputIfValue))
		case reference.DropSample:
			next("discard sample", s.Header.SampleSequenceNumber, 1, s.Input, s.Output)
		}
	}
	want(t, "samples", r.Flows, row)
	return true
}

func FuzzAgainstGoflow2(f *testing.F) {
	for _, payload := range samples() {
		f.Add(payload)
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		// goflow2 allocates what counts claim before it reads: gigabytes for a
		// forged one. We read every count of a flow sample, none of a counter sample.
		var b flow.Batch
		if r := New(Config{}).Decode(&b, agent, payload); r.Undecodable == [flow.NumReasons]uint32{} && r.CounterSamples == 0 {
			compare(t, payload)
		}
	})
}
