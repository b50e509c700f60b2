package netflow

import (
	"testing"

	"tidemark/collector/flow"
)

func connection(number uint32) flow.Datagram {
	dg := router
	dg.Transport, dg.Connection = flow.TCP, number
	return dg
}

func TestDecoder_TemplatesEndWithTheirConnection(t *testing.T) { // RFC 7011, Section 8.1
	store := &memoryStore{records: map[string][]byte{}}
	var dropped int
	report := func(dg flow.Datagram, domain uint32, p flow.Protocol, sets int) {
		if !dg.Transport.Connected() {
			return // of the forged sources below
		}
		want(t, "domain", domain, 1)
		want(t, "protocol", p, flow.IPFIX)
		dropped += sets
	}
	d := New(Config{Templates: store, MaxSessions: 8, Abandoned: report})
	_, r := run(t, d, connection(1), ipfix(1, set(2, plain)), ipfix(1, set(256, plainRecord(1))))
	want(t, "flows of the connection", r.Flows, 1)
	want(t, "templates saved", len(store.records), 0)

	// The same address and port again, and UDP beside it: other sessions.
	_, r = run(t, d, connection(2), ipfix(1, set(256, plainRecord(1))))
	want(t, "waiting in the second connection", r.Waiting, 1)
	_, r = run(t, d, router, ipfix(1, set(256, plainRecord(1))))
	want(t, "waiting over UDP", r.Waiting, 1)

	for i := range 100 { // forged sources do not end connections
		run(t, d, from("198.51.100.1", uint16(i+1)), v9(1, set(256, u32(1))))
	}
	_, r = run(t, d, connection(1), ipfix(1, set(256, plainRecord(1))))
	want(t, "flows of the connection later", r.Flows, 1)

	d.End(connection(1))
	d.End(connection(2))
	d.End(connection(3))
	want(t, "sets dropped", dropped, 1)
	want(t, "templates held", d.Held()[HeldKey{router.Exporter, flow.IPFIX}].Templates, 0)
	_, r = run(t, d, connection(1), ipfix(1, set(256, plainRecord(1))))
	want(t, "waiting after the end", r.Waiting, 1)
	for _, k := range []uint32{1, 2, 3} {
		d.End(connection(k))
	}
	d.Abandon()
	want(t, "octets waiting", d.pendingBytes.Load(), 0)
}
