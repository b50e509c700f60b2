package conformance

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sort"
	"strings"
	"testing"

	"tidemark/collector/flow"
	"tidemark/collector/netflow"
)

func glob(t *testing.T, parts ...string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(parts...))
	if err != nil || len(files) == 0 {
		t.Fatalf("no files %v: %v", parts, err)
	}
	return files
}

func parse(t *testing.T, data []byte, into any) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	if err := d.Decode(into); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// The events of logstash-codec-netflow: their number, and those written out in full.
func TestLogstash_EventsAndFields(t *testing.T) {
	dir := captures(t)
	c := newComparison(t)
	compared := 0
	for _, path := range glob(t, dir, "exports", "logstash", "*", "expected.json") {
		name := "logstash/" + filepath.Base(filepath.Dir(path))
		var expected struct {
			Size   []int `json:"decode_size"`
			Events []struct {
				Netflow map[string]any `json:"netflow"`
			} `json:"events"`
		}
		parse(t, read(t, path), &expected)
		a := decode(datagrams(t, filepath.Join(filepath.Dir(path), "assembled.pcap")), replayed)
		events := 0
		for _, n := range expected.Size {
			events += n
		}
		if len(expected.Size) > 0 {
			c.equal(name, "logstash", "events", a.records+a.OptionsRecords, events)
		}
		for n, e := range expected.Events {
			if isOptions(e.Netflow) || a.Flows == 0 && a.OptionsRecords > 0 {
				continue
			}
			closest, fields := nearest(&a.batch, e.Netflow)
			compared += fields
			c.equal(name, "logstash", fmt.Sprintf("event-%d", n), len(closest), 0)
			if len(closest) > 0 && c.listed[fmt.Sprintf("%s logstash event-%d", name, n)] == nil {
				t.Logf("%s event %d: %v", name, n, closest)
			}
		}
	}
	c.done("logstash")
	if compared < 400 {
		t.Errorf("compared %d fields, want at least 400", compared)
	}
}

// What NBAR calls applications: logstash-codec-netflow expects the last of the 15
// to be argus, of engine 1 (IANA-L3) and selector 13.
func TestLogstash_NBARNamesItsApplications(t *testing.T) {
	d := netflow.New(netflow.Config{})
	var exporter [16]byte
	for _, in := range datagrams(t, filepath.Join(captures(t), "exports", "logstash", "netflow-9-cisco-nbar-options-template-260", "assembled.pcap")) {
		exporter = in.from.Addr().As16()
		d.Decode(new(flow.Batch), flow.Datagram{Exporter: exporter, Port: in.from.Port(), Received: in.at.UnixNano()}, in.payload)
	}
	got := d.Applications(exporter, flow.NetFlowV9)
	if len(got) != 15 || !slices.Contains(got, netflow.Application{ID: "1:13", Name: "argus", Description: "ARGUS"}) {
		t.Errorf("%d applications, want 15 and argus among them: %+v", len(got), got)
	}
}

// YAF says TCP flags in a list beside the flow (RFC 6313): every flow of TCP has
// some, no other has, and they are those that stand in the octets of the list.
func TestTelegraf_YAFListsGiveTCPFlags(t *testing.T) {
	const tcp = 6
	for name, least := range map[string]int{"telegraf/ipfix_example": 23, "logstash/bench-yaf-ipfix-many-templates": 22} {
		a := decode(datagrams(t, filepath.Join(captures(t), "exports", name, "assembled.pcap")), replayed)
		b, seen := &a.batch, 0
		for i := range b.Len() {
			has := b.Presence[i]&flow.HasTCPFlags != 0
			if has != (b.Proto[i] == tcp) {
				t.Errorf("%s row %d: protocol %d, flags %#x", name, i, b.Proto[i], b.TCPFlags[i])
			}
			if has {
				seen++
			}
			list, ok := b.Ext.Value(i, flow.ExtensionKey(0, 293))
			if !ok || len(list) < 11 || !has { // semantic, template, length, sequence number, two octets of flags
				continue
			}
			if want := uint16(list[9] | list[10]); b.TCPFlags[i] != want {
				t.Errorf("%s row %d: flags %#x, want %#x as in the list %x", name, i, b.TCPFlags[i], want, list)
			}
		}
		if seen < least {
			t.Errorf("%s: %d rows with flags, want at least %d", name, seen, least)
		}
	}
}

// isOptions tells the events that are options data, which give no row.
func isOptions(e map[string]any) bool {
	for _, name := range []string{"scope_system", "exportedMessageTotalCount", "samplingPacketInterval", "application_name", "if_desc", "scope_interface", "flow_sampler_mode"} {
		if _, ok := e[name]; ok {
			return true
		}
	}
	return false
}

// nearest returns how the row that differs least differs from fields.
func nearest(b *flow.Batch, event map[string]any) (least []string, compared int) {
	var fields []fieldValue
	for name, v := range event {
		fields = append(fields, fieldValue{name, v})
	}
	least = []string{"no row"}
	for i := range b.Len() {
		diff, n := mismatches(b, i, fields)
		compared = n
		if i == 0 || len(diff) < len(least) {
			least = diff
		}
	}
	sort.Strings(least)
	return least, compared
}

// netgauzeMessage is one export message as NetGauze decodes it.
type netgauzeMessage struct {
	Sequence uint32 `json:"sequence_number"`
	Domain   uint32 `json:"observation_domain_id"`
	Source   uint32 `json:"source_id"`
	Sets     []struct {
		Data *struct {
			Records []struct {
				Scope  []map[string]any `json:"scope_fields"`
				Fields []map[string]any `json:"fields"`
			} `json:"records"`
		}
	} `json:"sets"`
}

// Every message of NetGauze's decodes, every record, every field we have a
// check for, in order.
func TestNetGauze_EveryMessageEveryField(t *testing.T) {
	dir := captures(t)
	c := newComparison(t)
	compared := 0
	for _, path := range glob(t, dir, "exports", "netgauze", "*.expected-flow.jsonl") {
		base := strings.TrimSuffix(filepath.Base(path), ".expected-flow.jsonl")
		name := "netgauze/" + base
		a := decode(datagrams(t, filepath.Join(filepath.Dir(path), base+".pcap")), replayed)
		rows := map[string][]int{}
		for i := range a.batch.Len() {
			k := fmt.Sprint(a.batch.Protocol[i], a.batch.ObservationDomain[i], a.batch.SequenceNum[i])
			rows[k] = append(rows[k], i)
		}
		records, options := 0, 0
		lines := bufio.NewScanner(bytes.NewReader(read(t, path)))
		lines.Buffer(nil, 1<<24)
		for lines.Scan() {
			var line map[string]netgauzeMessage
			parse(t, lines.Bytes(), &line)
			for version, m := range line {
				protocol, domain := flow.IPFIX, m.Domain
				if version == "NetFlowV9" {
					protocol, domain = flow.NetFlowV9, m.Source
				}
				k := fmt.Sprint(protocol, domain, m.Sequence)
				for _, s := range m.Sets {
					if s.Data == nil {
						continue
					}
					for _, r := range s.Data.Records {
						if len(r.Scope) > 0 {
							options++
							continue
						}
						records++
						var fields []fieldValue
						for _, f := range r.Fields {
							for n, v := range f {
								fields = append(fields, fieldValue{n, v})
							}
						}
						found := -1
						var diff []string
						for at, i := range rows[k] {
							d, n := mismatches(&a.batch, i, fields)
							if len(d) == 0 {
								found, compared = at, compared+n
								break
							}
							diff = d
						}
						if found < 0 {
							t.Errorf("%s: message %s: no row for a record: %v", name, k, diff)
							continue
						}
						rows[k] = append(rows[k][:found:found], rows[k][found+1:]...)
					}
				}
			}
		}
		c.equal(name, "netgauze", "records", a.records, records)
		c.equal(name, "netgauze", "options", a.OptionsRecords, options)
	}
	c.done("netgauze")
	if compared < 50000 {
		t.Errorf("compared %d fields, want at least 50,000", compared)
	}
}

// The metrics of telegraf's netflow input: one line per record or sample.
func TestTelegraf_Lines(t *testing.T) {
	dir := captures(t)
	c := newComparison(t)
	for _, path := range glob(t, dir, "exports", "telegraf", "*", "expected.out") {
		name := "telegraf/" + filepath.Base(filepath.Dir(path))
		a := decode(datagrams(t, filepath.Join(filepath.Dir(path), "assembled.pcap")), replayed)
		have := map[string]int{}
		for i := range a.batch.Len() {
			if a.batch.Quality[i]&flow.BiflowReverse == 0 {
				port := a.batch.DstPort[i]
				if p := a.batch.Proto[i]; p == 1 || p == 58 {
					port = 0 // telegraf keeps ICMP type and code apart
				}
				have[fmt.Sprint(netip.AddrFrom16(a.batch.SrcAddr[i]).Unmap(), netip.AddrFrom16(a.batch.DstAddr[i]).Unmap(),
					" ", a.batch.SrcPort[i], " ", port)]++
			}
		}
		lines, missing := 0, 0
		for _, line := range strings.Split(strings.TrimSpace(string(read(t, path))), "\n") {
			lines++
			f := lineFields(line)
			if f["src"] == "" {
				continue // counters, options
			}
			src, dst := netip.MustParseAddr(f["src"]), netip.MustParseAddr(f["dst"])
			k := fmt.Sprint(src, dst, " ", number0(f["src_port"]), " ", number0(f["dst_port"]))
			if have[k] == 0 {
				missing++
				t.Logf("%s: no row for %s", name, k)
				continue
			}
			have[k]--
		}
		c.equal(name, "telegraf", "lines", a.records+a.OptionsRecords+a.CounterSamples, lines)
		c.equal(name, "telegraf", "lines-without-row", missing, 0)
	}
	c.done("telegraf")
}

func number0(s string) string {
	s = strings.TrimSuffix(s, "u")
	if s == "" {
		return "0"
	}
	return s
}

var lineField = regexp.MustCompile(`([a-z0-9_]+)=("[^"]*"|[^, ]*)`)

// lineFields reads the fields of influx line protocol.
func lineFields(line string) map[string]string {
	out := map[string]string{}
	for _, m := range lineField.FindAllStringSubmatch(line, -1) {
		out[m[1]] = strings.Trim(m[2], `"`)
	}
	return out
}

// tcpdump's print of sFlow: the samples and, between them, NetFlow v5 that came
// to the sFlow port, which it does not read.
func TestTcpdump_Samples(t *testing.T) {
	dir := captures(t)
	text := string(read(t, filepath.Join(dir, "exports", "tcpdump", "sflow_multiple_counter_30_pdus.expected.out")))
	a := decode(datagrams(t, filepath.Join(dir, "exports", "tcpdump", "sflow_multiple_counter_30_pdus.pcap")), replayed)
	c := newComparison(t)
	c.equal("tcpdump/sflow_multiple_counter_30_pdus.pcap", "tcpdump", "counter-samples", a.CounterSamples, strings.Count(text, "counter sample ("))
	v5 := 0
	for i := range a.batch.Len() {
		if a.batch.Protocol[i] == flow.NetFlowV5 {
			v5++
		}
	}
	if v5 == 0 || v5 != a.Flows {
		t.Errorf("%d of %d flows are NetFlow v5 found by content, want all and some", v5, a.Flows)
	}
	c.done("tcpdump")
}

// tunnelled returns the ends of the packet inside a tunnel, which pmacct prefers
// and we keep as extensions beside the columns of the outer header.
func tunnelled(b *flow.Batch, i int) (string, bool) {
	var ends [4]string
	for n, ids := range [4][]uint64{{8, 27}, {12, 28}, {7}, {11}} {
		for _, id := range ids {
			v, ok := b.Ext.Value(i, id)
			if !ok || zeroOctets(v) && n < 2 {
				continue
			}
			if n < 2 {
				a, _ := netip.AddrFromSlice(v)
				ends[n] = a.String()
			} else {
				ends[n] = fmt.Sprint(int(v[0])<<8 | int(v[1]))
			}
		}
	}
	if ends[2] == "" {
		ends[2], ends[3] = fmt.Sprint(b.SrcPort[i]), fmt.Sprint(b.DstPort[i])
	}
	return ends[0] + " " + ends[1] + " " + ends[2] + " " + ends[3], ends[0] != "" && ends[1] != ""
}

func zeroOctets(v []byte) bool {
	for _, x := range v {
		if x != 0 {
			return false
		}
	}
	return true
}

// pmacct's aggregates of the same captures, scaled by the sampling rate as it
// scales: what it printed must be among the sums of our rows by address and port.
func TestPmacct_Aggregates(t *testing.T) {
	dir := captures(t)
	c := newComparison(t)
	for _, path := range glob(t, dir, "exports", "pmacct", "expected-aggregates", "*.json") {
		number := strings.SplitN(filepath.Base(path), "-", 2)[0]
		packets, octets, keys := map[string]int{}, map[string]int{}, map[string]bool{}
		for _, pcap := range glob(t, dir, "exports", "netgauze", number+"-*.pcap") {
			a := decode(datagrams(t, pcap), replayed)
			b := &a.batch
			for i := range b.Len() {
				ends := []string{fmt.Sprint(netip.AddrFrom16(b.SrcAddr[i]).Unmap(), netip.AddrFrom16(b.DstAddr[i]).Unmap(), b.SrcPort[i], b.DstPort[i])}
				if inside, ok := tunnelled(b, i); ok {
					ends = append(ends, inside)
				}
				for _, k := range ends {
					packets[k] += int(b.Packets[i]) * int(b.SamplingRate[i])
					octets[k] += int(b.Bytes[i]) * int(b.SamplingRate[i])
				}
			}
		}
		lines, missing := 0, 0
		for _, line := range strings.Split(strings.TrimSpace(string(read(t, path))), "\n") {
			var e struct {
				Src   string `json:"ip_src"`
				Dst   string `json:"ip_dst"`
				SrcP  int    `json:"port_src"`
				DstP  int    `json:"port_dst"`
				Pkts  int    `json:"packets"`
				Bytes int    `json:"bytes"`
			}
			if err := json.Unmarshal([]byte(line), &e); err != nil || e.Src == "" {
				continue
			}
			lines++
			k := fmt.Sprint(netip.MustParseAddr(e.Src), netip.MustParseAddr(e.Dst), e.SrcP, e.DstP)
			keys[k] = true
			if packets[k] < e.Pkts || octets[k] < e.Bytes {
				missing++
				t.Logf("%s: %s: rows sum to %d packets, %d octets, pmacct has %d, %d", filepath.Base(path), k, packets[k], octets[k], e.Pkts, e.Bytes)
			}
		}
		if lines > 0 {
			c.equal("pmacct/"+filepath.Base(path), "pmacct", "aggregates-without-rows", missing, 0)
		}
	}
	c.done("pmacct")
}
