package main

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"tidemark/collector"
	"tidemark/collector/flow"
)

// Every reason for which something is missing is explained.
func TestNotes_ExplainEveryReason(t *testing.T) {
	for reason := flow.ReasonNone + 1; int(reason) < flow.NumReasons; reason++ {
		n := undecodableNotes[reason.String()]
		e := collector.ExporterStatus{Undecodable: map[string]uint64{reason.String(): 3}}
		if got := notes(e); n.text == "" || len(got) != 1 || !strings.HasPrefix(got[0], "3 "+n.noun+"s ") {
			t.Errorf("%s: %q", reason, got)
		}
	}
	if len(undecodableNotes) != flow.NumReasons-1 {
		t.Errorf("%d notes, %d reasons", len(undecodableNotes), flow.NumReasons-1)
	}
}

func TestSummary_SaysWhereEveryDatagramIs(t *testing.T) {
	behind := 2 * time.Hour
	got := summary(collectorStatus{
		Listening: []string{"192.0.2.9:2055"},
		Totals:    collector.Totals{Datagrams: 1000, KernelDrops: 7, Shed: 20, Flows: 22000, LostFlows: 3},
		Record:    recordStatus{SealedFlows: 21000, LeftOutFlows: 1, WaitingBatches: 2},
		Exporters: []collector.ExporterStatus{
			{Protocol: "unknown", Address: netip.MustParseAddr("192.0.2.1"), Datagrams: 25, Shed: 20, ShedBy: map[string]uint64{"not_allowed": 20}, Undecodable: map[string]uint64{"version": 5}},
			{Protocol: "ipfix", Address: netip.MustParseAddr("192.0.2.2"), Unit: "records", Expected: 1200, Lost: 90, LostAway: 60, Restarts: 1},
			{Protocol: "netflow_v9", Address: netip.MustParseAddr("192.0.2.3"), Unit: "datagrams", Expected: 50, Lost: 1, Waiting: 1, Duplicates: 2, Conflicts: 1,
				Clock: collector.Live, ClockOffset: &behind},
			{Protocol: "netflow_v5", Address: netip.MustParseAddr("192.0.2.4"), Unit: "records", Expected: 50},
			{Protocol: "sflow_v5", Address: netip.MustParseAddr("172.17.0.1"), Agents: []netip.Addr{netip.MustParseAddr("10.1.0.1"), netip.MustParseAddr("10.1.0.2"),
				netip.MustParseAddr("10.1.0.3"), netip.MustParseAddr("10.1.0.4")}},
		},
	})
	want := `listening on 192.0.2.9:2055
since start 1,007 datagrams reached this machine: 1,000 read, 7 dropped by its kernel (receive buffer full)
of those read: 20 shed, 5 of no protocol we read, 975 given to a decoder
of 22,000 flows decoded: 21,000 sealed, 996 on the way, 4 lost before the record; 2 batches sealed and not yet stored
by their numbers missing: 1 datagram, 90 records; what the kernel dropped is among them
192.0.2.1 unknown: 20 datagrams shed: the sender is not in collector.allow
                   5 datagrams of no protocol we read
192.0.2.2 ipfix: 30 records of 1,200 lost on the way: in the network, the exporter, or this machine's kernel (see its drops)
                 60 records sent while the daemon was down, or not yet stored when it was killed
                 its numbering began anew, 1 time
192.0.2.3 netflow_v9: 1 datagram of 50 lost on the way: in the network, the exporter, or this machine's kernel (see its drops)
                      1 Data Set kept until the template comes: have the exporter send templates every 60 s
                      1 template redefined with another layout: two exporters behind one address and domain, or it was changed
                      2 datagrams came twice: is it exported, or forwarded, by two ways?
                      its clock is 2 h 0 min behind: set its NTP; times for detection are corrected meanwhile
172.17.0.1 sflow_v5: the agent calls itself 10.1.0.1, 10.1.0.2, 10.1.0.3, 1 more: it reaches us through NAT, a bridge or a proxy, and rows name the address it came from`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestNoteLines_AreBounded(t *testing.T) {
	all := make([]collector.ExporterStatus, 100)
	for i := range all {
		all[i].Undecodable = map[string]uint64{"short": 1}
	}
	got := noteLines(all)
	if len(got) != mostNotes+1 || got[mostNotes] != "and 80 more, see --output json" {
		t.Errorf("%d lines, the last %q", len(got), got[len(got)-1])
	}
}
