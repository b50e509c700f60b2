package sflow

import (
	"testing"

	"tidemark/collector/flow"
)

// TestPayload_IsHandedOnByPort: only packets from or to a wanted port, with what
// is behind UDP or all of TCP's header, options too, and with their row.
func TestPayload_IsHandedOnByPort(t *testing.T) {
	withOptions := tcpOf(40000, 443, 0x18)
	withOptions[12] = 0x80 // 12 octets of options
	tests := []struct {
		name   string
		packet []byte
		want   string
	}{
		{"UDP to the port", ipv4Of(17, 60, 0, join(udpOf(40000, 53), []byte("query"))), "query"},
		{"UDP from the port", ipv4Of(17, 60, 0, join(udpOf(53, 40000), []byte("answer"))), "answer"},
		{"another port", ipv4Of(17, 60, 0, join(udpOf(40000, 54), []byte("x"))), ""},
		{"TCP", ipv4Of(6, 60, 0, join(tcpOf(40000, 443, 0x18), []byte("hello"))), "hello"},
		{"TCP with options", ipv4Of(6, 60, 0, join(withOptions, make([]byte, 12), []byte("hello"))), "hello"},
		{"TCP whose options were cut", ipv4Of(6, 60, 0, join(withOptions, make([]byte, 8))), ""},
		{"nothing behind the header", ipv4Of(17, 60, 0, udpOf(40000, 53)), ""},
		{"a later fragment", ipv4Of(17, 60, 5, join(udpOf(40000, 53), []byte("x"))), ""},
		{"another protocol", ipv4Of(132, 60, 0, join(udpOf(40000, 53), []byte("x"))), ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := ""
			d := New(Config{Ports: Ports(53, 443), Payload: func(b *flow.Batch, row int, payload []byte) {
				got += string(payload)
				want(t, "source MAC of the row", b.SrcMAC[row], 0x020000000001)
			}})
			var b flow.Batch
			d.Decode(&b, agent, datagramOf(flowSampleOf(1, raw(headerEthernet, 100, ethernet(typeIPv4, tt.packet)))))
			want(t, "payload", got, tt.want)
			want(t, "rows", b.Len(), 1)
		})
	}
}

// BenchmarkDecode_Watched: what it costs to look for ports that do not match.
func BenchmarkDecode_Watched(b *testing.B) {
	datagram := datagramOf(
		flowSampleOf(1, raw(headerEthernet, 100, ethernet(typeIPv4, ipv4Of(6, 60, 0, join(tcpOf(40000, 4443, 0x18), make([]byte, 60)))))),
		flowSampleOf(2, raw(headerEthernet, 100, ethernet(typeIPv4, ipv4Of(17, 60, 0, join(udpOf(40000, 5000), make([]byte, 60)))))))
	for name, c := range map[string]Config{"without": {}, "with": {Ports: Ports(53, 443), Payload: func(*flow.Batch, int, []byte) {}}} {
		b.Run(name, func(b *testing.B) {
			d := New(c)
			var batch flow.Batch
			b.ReportAllocs()
			for b.Loop() {
				batch.Reset()
				d.Decode(&batch, agent, datagram)
			}
		})
	}
}
