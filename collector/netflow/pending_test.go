package netflow

import (
	"bytes"
	"testing"
	"time"

	"tidemark/collector/flow"
)

func TestPending_DataBeforeTemplateIsDecodedInOrder(t *testing.T) {
	d := New(Config{})
	early := router
	_, r := run(t, d, early, ipfix(1, set(256, plainRecord(1), plainRecord(2)), set(256, plainRecord(3))))
	want(t, "waiting", r.Waiting, 2)
	want(t, "uncounted", r.Uncounted, 2)
	want(t, "not decoded", r.Undecodable, [flow.NumReasons]uint32{})

	late := router
	late.Received += int64(time.Minute)
	message := ipfix(1, set(2, plain), set(256, plainRecord(4)))
	copy(message[8:], u32(sequence+3))
	batch, r := run(t, d, late, message)
	want(t, "flows", r.Flows, 4)
	want(t, "late", r.Late, 3)
	want(t, "units of this message only", r.SequenceUnits, 1)
	for i := range 4 {
		want(t, "port", batch.SrcPort[i], uint16(i+1))
		want(t, "late bit", batch.Quality[i]&flow.LateTemplate != 0, i < 3)
	}
	want(t, "received when it came", batch.TimeReceived[0], early.Received)
	want(t, "sequence of its message", batch.SequenceNum[0], sequence)
	want(t, "sequence of the new one", batch.SequenceNum[3], sequence+3)
	want(t, "nothing waits", d.pendingBytes.Load(), 0)
}

func TestPending_OptionsBeforeTheirTemplateToo(t *testing.T) {
	d := New(Config{})
	run(t, d, router, v9(1, set(257, u32(0), u32(10))))
	_, r := run(t, d, router, v9(1, options9(257, []uint16{1, 4}, []uint16{34, 4})))
	want(t, "options", r.OptionsRecords, 1)
	rate, _ := sampled(t, d, v9(1, set(0, plain), set(256, plainRecord(1))))
	want(t, "rate", rate, 10)
}

func TestPending_IsBounded(t *testing.T) {
	abandoned := 0
	d := New(Config{MaxPendingBytes: 80_000, Abandoned: func(dg flow.Datagram, domain uint32, p flow.Protocol, sets int) {
		want(t, "domain", domain, 1)
		want(t, "protocol", p, flow.NetFlowV9)
		abandoned += sets
	}})
	kept, refused := 0, uint32(0)
	for range 100 {
		_, r := run(t, d, router, v9(1, set(256, make([]byte, 1000))))
		kept += r.Waiting
		refused += r.Undecodable[flow.ReasonTemplateUnknown]
	}
	if kept != 10_000/(1000+pendingOverhead) || kept+int(refused) != 100 {
		t.Errorf("one session: kept %d, refused %d sets, want an eighth of the bound", kept, refused)
	}
	for port := range uint16(100) {
		for range 20 {
			run(t, d, from("192.0.2.7", port), v9(1, set(256, make([]byte, 1000))))
		}
	}
	n := d.pendingBytes.Load()
	if n > 80_000 || n < 70_000 {
		t.Errorf("%d octets wait, want nearly 80,000", n)
	}
	before := abandoned
	d.Abandon()
	want(t, "abandoned at the end", abandoned-before, int(n)/(1000+pendingOverhead))
	want(t, "octets after Abandon", d.pendingBytes.Load(), 0)
}

func TestPending_OldSetsMakeRoom(t *testing.T) {
	d := New(Config{MaxPendingBytes: 80_000})
	for range 20 {
		run(t, d, router, v9(1, set(256, make([]byte, 1000))))
	}
	later := router
	later.Received += maxWait + 1
	_, r := run(t, d, later, v9(1, set(257, make([]byte, 1000))))
	want(t, "kept", r.Waiting, 1)
	want(t, "given up", r.Undecodable[flow.ReasonTemplateUnknown], 8)
}

func TestPending_ReleaseIsSpreadOverDatagrams(t *testing.T) {
	d := New(Config{MaxPendingBytes: 64 << 20})
	const sets = 40
	for range sets {
		run(t, d, router, v9(1, set(256, bytes.Repeat([]byte{1}, 8000))))
	}
	total := 0
	_, r := run(t, d, router, v9(1, set(0, tmpl(256, 1, 1))))
	for ; r.Late > 0; _, r = run(t, d, router, v9(1, set(256, u8(1, 1, 1, 1)))) {
		if r.Late > maxLateRows+8000 {
			t.Fatalf("%d late rows for one datagram, want about %d", r.Late, maxLateRows)
		}
		total += r.Late
	}
	want(t, "late rows", total, sets*8000)
}

func TestPending_EvictedSessionsAreCounted(t *testing.T) {
	var waiting, lost uint32
	d := New(Config{MaxSessions: 8, Abandoned: func(_ flow.Datagram, _ uint32, _ flow.Protocol, sets int) { lost += uint32(sets) }})
	for port := range uint16(50) {
		_, r := run(t, d, from("192.0.2.7", port), v9(1, set(256, u32(1))))
		waiting += uint32(r.Waiting)
	}
	d.Abandon()
	want(t, "every waiting set is accounted for", lost, waiting)
	want(t, "octets", d.pendingBytes.Load(), 0)
}

// Sets that wait without end push out each other, not those of an exporter whose
// template is about to come.
func TestPending_FloodOfOthersLeavesRoom(t *testing.T) {
	abandoned := map[uint16]int{}
	d := New(Config{MaxPendingBytes: 80_000, Abandoned: func(dg flow.Datagram, _ uint32, _ flow.Protocol, sets int) { abandoned[dg.Port] += sets }})
	for port := range uint16(20) {
		for range 20 {
			run(t, d, from("198.51.100.1", 1000+port), v9(1, set(256, make([]byte, 1000))))
		}
	}
	_, r := run(t, d, router, v9(1, set(256, plainRecord(1), plainRecord(2))))
	want(t, "waiting", r.Waiting, 1)
	_, r = run(t, d, router, v9(1, set(0, plain)))
	want(t, "late flows", r.Late, 2)
	if len(abandoned) == 0 || abandoned[router.Port] != 0 {
		t.Errorf("sets given up by port: %v, want some of those that flood", abandoned)
	}
}
