package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"testing"
)

// replaySummary is the object that `replay --output json` promises, and no more.
type replaySummary struct {
	Datagrams      uint64            `json:"datagrams"`
	Octets         uint64            `json:"octets"`
	Flows          uint64            `json:"flows"`
	OptionsRecords uint64            `json:"options_records"`
	Templates      uint64            `json:"templates"`
	CounterSamples uint64            `json:"counter_samples"`
	Undecodable    map[string]uint64 `json:"undecodable"`
}

// contentSQL is a checksum of what does not depend on where and when flows were
// received, in any order. Elements 403 and 404 tell an agent that is not the
// sender, and sent from here another one is not.
const contentSQL = `SELECT count(), sum(bytes), sum(packets), sum(cityHash64(type, observation_domain_id, sequence_num, src_addr, dst_addr,
	src_port, dst_port, proto, bytes, packets, tcp_flags, sampling_rate, src_mac, dst_mac, src_vlan, dst_vlan, in_if, out_if, presence, mapFilter((k, v) -> k NOT IN (403, 404), extensions))) FROM flows`

func TestReplay_RealExportsAreStoredVerifiedAndTheSameOverUDP(t *testing.T) {
	t.Parallel()
	files := exportCaptures(t)
	replayed := newSite(t)
	r := replayed.want(0, append([]string{"replay", "--output", "json"}, files...)...)

	var keys map[string]json.RawMessage
	if err := json.Unmarshal([]byte(r.stdout), &keys); err != nil {
		t.Fatalf("%v: %v", err, r)
	}
	got := slices.Sorted(maps.Keys(keys))
	want := []string{"counter_samples", "datagrams", "flows", "octets", "options_records", "templates", "undecodable"}
	if !slices.Equal(got, want) {
		t.Errorf("keys %v, want %v", got, want)
	}
	var summary replaySummary
	if err := json.Unmarshal([]byte(r.stdout), &summary); err != nil {
		t.Fatal(err)
	}
	if stored := replayed.number("SELECT count() FROM flows"); stored != summary.Flows || stored == 0 {
		t.Errorf("%d flows stored, the summary says %d", stored, summary.Flows)
	}
	if n := replayed.number("SELECT count() FROM flows_quarantine"); n != 0 {
		t.Errorf("%d flows in quarantine, want none: real exports must suit the views", n)
	}
	replayed.aggregatesEqualFlows()
	if n := replayed.number(`SELECT count() FROM flows WHERE transport != 'file'`); n != 0 {
		t.Errorf("%d replayed flows do not say that they came from a file", n)
	}
	replayed.intact(replayed.trust())

	// The same datagrams, live: a socket for each exporter of the captures.
	live := newSite(t)
	live.start()
	exporters := map[netip.AddrPort]*exporter{}
	sent := uint64(0)
	for _, f := range files {
		for _, d := range datagrams(t, f) {
			e := exporters[d.from]
			if e == nil {
				n := len(exporters)
				e = live.exporter(fmt.Sprintf("127.1.%d.%d", n/250, 1+n%250))
				exporters[d.from] = e
			}
			e.send(d.payload)
			sent++
		}
	}
	live.untilRead()
	if _, drops := live.sockets(); drops != 0 {
		t.Fatalf("the kernel dropped %d datagrams, though they were sent one small group at a time", drops)
	}
	m := live.untilCounted(float64(sent)) // what is read is accounted a moment later
	if got := uint64(m["tidemark_collector_datagrams_total"]); got != sent || sent != summary.Datagrams {
		t.Errorf("datagrams: sent %d, received %d, replayed %d; want one number", sent, got, summary.Datagrams)
	}
	live.stop()
	if a, b := replayed.sql(contentSQL), live.sql(contentSQL); a != b {
		t.Errorf("flows, octets, packets, checksum:\n%s replayed\n%s over UDP", a, b)
	}
	live.intact(live.trust())
}

func TestReplay_IntoADaemonGivesTheSameAccountAsWithoutOne(t *testing.T) {
	t.Parallel()
	file := exportCaptures(t)[0]
	alone, beside := newSite(t), newSite(t)
	beside.start()
	var a, b replaySummary
	alone.read(&a, "replay", "--output", "json", file)
	alone.says(exitOK, []string{"the log was never anchored"}, "contract", "trust")
	beside.read(&b, "replay", "--output", "json", file)
	if a.Flows == 0 || fmt.Sprint(a) != fmt.Sprint(b) {
		t.Errorf("without a daemon %+v, with one %+v", a, b)
	}
	beside.stop()
	if n := beside.number("SELECT count() FROM flows"); n != b.Flows {
		t.Errorf("%d flows stored by the daemon, the summary says %d", n, b.Flows)
	}
}

// verifyReport is what the tests read of `verify --output json`.
type verifyReport struct {
	Size          uint64 `json:"size"`
	Flows         uint64 `json:"flows_checked"`
	Events        uint64 `json:"events_checked"`
	OriginChecked bool   `json:"origin_checked"`
	Faults        []struct {
		Class  string  `json:"class"`
		Kind   string  `json:"kind"`
		Batch  *uint64 `json:"batch"`
		First  *uint32 `json:"first_pos"`
		Last   *uint32 `json:"last_pos"`
		Flow   string  `json:"flow"`
		Detail string  `json:"detail"`
	} `json:"faults"`
}

// verify runs `verify --output json` and returns the report and the exit code.
func (s *site) verify(args ...string) (report verifyReport, code int) {
	s.t.Helper()
	r := s.run(append([]string{"verify", "--output", "json"}, args...)...)
	if err := json.Unmarshal([]byte(r.stdout), &report); err != nil {
		s.t.Fatalf("%v: %v", err, r)
	}
	return report, r.code
}

// intact wants a record without a fault, anchored or not.
func (s *site) intact(trust string) verifyReport {
	s.t.Helper()
	report, code := s.verify("--trust", trust)
	if len(report.Faults) != 0 || code != exitOK && code != exitUnanchored || !report.OriginChecked {
		s.t.Errorf("verify: exit %d, faults %+v; want an intact record", code, report.Faults)
	}
	return report
}

// aggregatesEqualFlows compares each aggregate with the flows it is made of.
func (s *site) aggregatesEqualFlows() {
	s.t.Helper()
	if r := s.run("aggregates", "check"); r.code != exitOK {
		s.t.Errorf("aggregates differ from the flows: %v", r)
	}
	for _, c := range []struct{ name, flows, aggregate string }{
		{"devices", "SELECT countIf(src_device != 0) FROM flows", "SELECT sum(flows) FROM devices"},
		{"contacts", "SELECT countIf(src_device != 0) + countIf(dst_device != 0) FROM flows", "SELECT sum(flows) FROM contacts"},
		{"contacts by batch", "SELECT groupBitXor(cityHash64(log, batch_index, n)) FROM (SELECT log, batch_index, countIf(src_device != 0) + countIf(dst_device != 0) AS n FROM flows GROUP BY log, batch_index HAVING n > 0)",
			"SELECT groupBitXor(cityHash64(log, batch_index, n)) FROM (SELECT log, batch_index, sum(flows) AS n FROM contacts GROUP BY log, batch_index)"},
		{"edges", "SELECT sum(flows) FROM contacts", "SELECT sum(flows) FROM edges"},
		{"edges, octets", "SELECT sum(bytes_in) + sum(bytes_out) FROM contacts", "SELECT sum(bytes_in) + sum(bytes_out) FROM edges"},
		{"volumes_5m", "SELECT sum(flows) FROM contacts", "SELECT sum(flows) FROM volumes_5m"},
	} {
		if want, got := s.sql(c.flows), s.sql(c.aggregate); want != got {
			s.t.Errorf("aggregate %s: got %s, want %s as the flows say", c.name, got, want)
		}
	}
}
