package detect

import (
	"testing"

	"tidemark/collector/flow"
)

func TestProtocol_ByContent(t *testing.T) {
	for _, c := range []struct {
		name    string
		payload []byte
		want    flow.Protocol
		ok      bool
	}{
		{"netflow v5 although on the sFlow port", []byte{0, 5, 0, 1, 0, 0, 0, 0}, flow.NetFlowV5, true},
		{"netflow v9", []byte{0, 9}, flow.NetFlowV9, true},
		{"ipfix", []byte{0, 10, 0, 16}, flow.IPFIX, true},
		{"sflow with an IPv4 agent", []byte{0, 0, 0, 5, 0, 0, 0, 1}, flow.SFlowV5, true},
		{"sflow with an IPv6 agent", []byte{0, 0, 0, 5, 0, 0, 0, 2}, flow.SFlowV5, true},
		{"sflow v4 is not read", []byte{0, 0, 0, 4, 0, 0, 0, 1}, 0, false},
		{"sflow with an unknown address type", []byte{0, 0, 0, 5, 0, 0, 0, 3}, 0, false},
		{"version whose low octet looks like v9", []byte{1, 9, 0, 0}, 0, false},
		{"version 12 is ours, not on the wire", []byte{0, 12, 0, 0}, 0, false},
		{"one octet", []byte{0}, 0, false},
		{"nothing", nil, 0, false},
	} {
		if got, ok := Protocol(c.payload); got != c.want || ok != c.ok {
			t.Errorf("%s: Protocol(%x) = %v, %v, want %v, %v", c.name, c.payload, got, ok, c.want, c.ok)
		}
	}
}
