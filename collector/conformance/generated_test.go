package conformance

import (
	"path/filepath"
	"strings"
	"testing"

	"tidemark/collector/flow"
)

// softflowd's exports of IoT captures must arrive with every packet and octet
// that its flows counted: the manifest's ground truth is what was in the capture.
func TestGenerated_PacketsAndOctetsEqualGroundTruth(t *testing.T) {
	dir := captures(t)
	seen := 0
	for _, m := range manifest(t, filepath.Join(dir, "iot", "MANIFEST.tsv")) {
		if !strings.HasPrefix(m["file"], "generated/") || m["ip_packets"] == "" {
			continue
		}
		seen++
		a := decode(datagrams(t, filepath.Join(dir, "iot", m["file"])), replayed)
		var packets, octets, records int
		for i := range a.batch.Len() {
			packets += int(a.batch.Packets[i])
			octets += int(a.batch.Bytes[i])
			if a.batch.Presence[i]&(flow.HasStart|flow.HasEnd) != flow.HasStart|flow.HasEnd {
				t.Fatalf("%s: row %d has no start or end", m["file"], i)
			}
		}
		records = a.records
		if packets != atoi(m["ip_packets"]) || octets != atoi(m["l3_bytes_incl_eth_padding"]) || records != atoi(m["softflowd_v9_ether_flow_records"]) {
			t.Errorf("%s: %d packets, %d octets, %d records, want %s, %s, %s", m["file"], packets, octets, records,
				m["ip_packets"], m["l3_bytes_incl_eth_padding"], m["softflowd_v9_ether_flow_records"])
		}
		if a.waiting > 0 || a.Undecodable != [flow.NumReasons]uint32{} {
			t.Errorf("%s: %d sets without template, not decoded %v", m["file"], a.waiting, reasons(a))
		}
	}
	if seen < 13 {
		t.Errorf("compared %d exports, want 13", seen)
	}
}

// pmacct's sFlow of a capture, one sample per packet, must carry its packets and
// IP octets; it drops its last datagram, so sums stay just below.
func TestGenerated_SFlowOfEveryPacket(t *testing.T) {
	dir := captures(t)
	a := decode(datagrams(t, filepath.Join(dir, "iot", "generated", "tapo-p115.pmacct-sflow-1in1.pcap")), replayed)
	var octets, ip int
	for i := range a.batch.Len() {
		if a.batch.SrcAddr[i] != [16]byte{} {
			ip++
			octets += int(a.batch.Bytes[i])
		}
	}
	t.Logf("%d samples, %d of IP, %d octets", a.Flows, ip, octets)
	if a.Undecodable != [flow.NumReasons]uint32{} {
		t.Errorf("not decoded: %v", reasons(a))
	}
	if a.Flows == 0 || ip > 264 || octets > 62406 {
		t.Errorf("%d IP samples with %d octets, want at most the capture's 264 and 62406", ip, octets)
	}
}
