package main

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"tidemark/collector"
)

const floodMix = "v5,v9,ipfix,sflow"

// overload is what `sitesim load` reports, by protocol.
type overload struct {
	sentReport
	ByProtocol map[string]sentReport `json:"by_protocol"`
}

// flood sends as fast as this machine can, one exporter per protocol.
func (s *site) flood(d time.Duration) (sent overload) {
	s.t.Helper()
	args := []string{"load", "--to", s.udp, "--rate", "0", "--duration", d.String(), "--mix", floodMix}
	cmd := exec.Command(program(s.t, "sitesim"), args...)
	cmd.Env = s.env
	r := runCommandLine(s.t, cmd, args)
	if err := json.Unmarshal([]byte(r.stdout), &sent); err != nil {
		s.t.Fatalf("sitesim: %v: %v", err, r)
	}
	return sent
}

// simName is the name of a protocol to sitesim.
var simName = map[string]string{"netflow_v5": "v5", "netflow_v9": "v9", "ipfix": "ipfix", "sflow_v5": "sflow"}

// lastWords sends, in the place of an exporter of the flood, a datagram without
// records that is numbered after all it has sent: what the kernel dropped at the
// very end leaves a gap too.
func (s *site) lastWords(e collector.ExporterStatus, units uint64) {
	s.t.Helper()
	var d []byte
	now, domain := uint32(time.Now().Unix()), e.Domains[0]
	numbers := func(v ...uint32) []byte {
		b, _ := binary.Append(nil, binary.BigEndian, v)
		return b
	}
	uptime := uint32(72 * 3600 * 1000)
	switch e.Protocol {
	case "netflow_v5":
		d = numbers(5<<16, uptime, now, 0, uint32(units), domain<<16)
	case "netflow_v9":
		d = numbers(9<<16, uptime, now, uint32(units), domain)
	case "ipfix":
		d = numbers(10<<16|16, now, uint32(units), domain)
	case "sflow_v5":
		agent := e.Address.As4()
		d = numbers(5, 1, binary.BigEndian.Uint32(agent[:]), domain, uint32(units), uptime, 0)
	}
	port := regexp.MustCompile(`"exporter":"` + regexp.QuoteMeta(e.Address.String()) + `","port":(\d+)`).FindStringSubmatch(s.daemon.text())
	if port == nil {
		s.t.Fatalf("the log names no port of %s:\n%s", e.Address, s.daemon.tail())
	}
	n, _ := strconv.Atoi(port[1])
	conn, err := net.DialUDP("udp4", &net.UDPAddr{IP: e.Address.AsSlice(), Port: n}, net.UDPAddrFromAddrPort(netip.MustParseAddrPort(s.udp)))
	if err != nil {
		s.t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write(d); err != nil {
		s.t.Fatal(err)
	}
}

// Past what the machine takes, with a small receive buffer and with a rate limit
// beside it, every datagram and every flow sent is stored, or in one counter:
//
//	datagrams sent = read + dropped by the kernel
//	read           = given to a decoder + shed
//	records sent   = decoded + lost by sequence (+ shed), where the numbers count records
//	datagrams sent = read + lost by sequence, where they count datagrams
//	flows decoded  = stored
func TestOverload_EveryDatagramSentIsStoredOrInOneCounter(t *testing.T) {
	for _, limit := range []int{0, 100} {
		t.Run(fmt.Sprintf("rate_limit %d", limit), func(t *testing.T) {
			s := newSite(t, "log: {level: info, format: json}")
			s.configure("log: {level: info, format: json}", fmt.Sprintf("collector: {listen: [%q], receive_buffer: 262144, rate_limit: %d, exporters: [{address: 127.0.0.0/8, clock: as_exported}]}", s.udp, limit))
			s.start()
			sent := s.flood(2 * time.Second)
			s.untilRead()
			var heard []collector.ExporterStatus
			s.read(&heard, "exporters", "--output", "json")
			if len(heard) != 4 {
				t.Fatalf("%d exporters heard, want 4", len(heard))
			}
			if limit > 0 {
				time.Sleep(1100 * time.Millisecond) // the buckets are full again
			}
			units := map[string]uint64{} // what the sequence numbers have grown by
			for _, e := range heard {
				units[e.Protocol] = sent.ByProtocol[simName[e.Protocol]].Units
			}
			for _, e := range heard {
				s.lastWords(e, units[e.Protocol])
			}
			s.untilRead()
			time.Sleep(time.Second) // the last batch is sealed
			s.read(&heard, "exporters", "--output", "json")
			_, drops := s.sockets()
			m := s.metrics()
			if drops == 0 || limit > 0 && m["tidemark_collector_shed_total"] == 0 {
				t.Errorf("%d datagrams dropped, %v shed: this was no overload", drops, m["tidemark_collector_shed_total"])
			}
			if got := uint64(m["tidemark_collector_kernel_drops_total"]); got != drops {
				t.Errorf("%d kernel drops counted, the kernel says %d", got, drops)
			}

			var read, shed, decoded, missing uint64
			for _, e := range heard {
				by := sent.ByProtocol[simName[e.Protocol]]
				read, shed, decoded = read+e.Datagrams, shed+e.Shed, decoded+e.Flows
				missing += by.Datagrams + 1 - e.Datagrams
				if len(e.Undecodable) != 0 || e.Waiting != 0 || e.Duplicates+e.Restarts != 0 {
					t.Errorf("%s: not decoded %v, %d waiting, %d duplicates, %d restarts: want none", e.Protocol, e.Undecodable, e.Waiting, e.Duplicates, e.Restarts)
				}
				want := units[e.Protocol]
				if e.Unit == "datagrams" {
					want++ // the last words
				}
				if e.Expected != want || e.Received+e.Lost != want {
					t.Errorf("%s: %d %s expected, %d received and %d lost; %d sent", e.Protocol, e.Expected, e.Unit, e.Received, e.Lost, want)
				}
				if e.Unit == "records" && e.Shed == 0 && e.Received != e.Flows+e.OptionsRecords {
					t.Errorf("%s: %d records received, %d flows and %d of options decoded", e.Protocol, e.Received, e.Flows, e.OptionsRecords)
				}
			}
			if read+drops != sent.Datagrams+4 || missing != drops {
				t.Errorf("%d datagrams read and %d dropped, %d sent; %d are missing by exporter", read, drops, sent.Datagrams+4, missing)
			}
			t.Logf("%d datagrams of %d flows sent: %d read, %d dropped by the kernel, %d shed; %d flows decoded", sent.Datagrams, sent.Flows, read, drops, shed, decoded)
			s.stop()
			if want := fmt.Sprintf(`"datagrams":%d,"kernel_drops":%d`, read, drops); !strings.Contains(s.daemon.text(), want) {
				t.Errorf("stopped, the daemon does not say %s:\n%s", want, s.daemon.tail())
			}
			if stored := s.number("SELECT count() FROM flows"); stored != decoded {
				t.Errorf("%d flows stored, %d decoded", stored, decoded)
			}
		})
	}
}
