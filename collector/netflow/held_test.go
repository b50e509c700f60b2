package netflow

import (
	"testing"

	"tidemark/collector/flow"
)

func TestDecoder_HeldCountsTemplatesAndWaitingSetsByExporterAndProtocol(t *testing.T) {
	d := New(Config{})
	run(t, d, router, v9(1, set(0, plain, tmpl(257, plainFields...))), v9(1, set(300, u32(1)), set(301, u32(1))))
	run(t, d, from("192.0.2.1", 50001), v9(1, set(0, plain))) // another session of the same address
	run(t, d, router, ipfix(1, set(2, plain)), ipfix(1, set(400, u32(1))))
	run(t, d, from("192.0.2.2", 50000), ipfix(1, set(2, plain)))
	held := d.Held()
	want(t, "v9", held[HeldKey{router.Exporter, flow.NetFlowV9}], Held{Templates: 3, Waiting: 2})
	want(t, "ipfix", held[HeldKey{router.Exporter, flow.IPFIX}], Held{Templates: 1, Waiting: 1})
	want(t, "other exporter", held[HeldKey{address16("192.0.2.2"), flow.IPFIX}], Held{Templates: 1})

	run(t, d, router, v9(1, set(0, tmpl(300, 1, 4), tmpl(301, 1, 4))))
	want(t, "v9 when the templates have come", d.Held()[HeldKey{router.Exporter, flow.NetFlowV9}], Held{Templates: 5})
}
