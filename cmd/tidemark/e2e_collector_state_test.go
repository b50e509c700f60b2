package main

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tidemark/collector"
	"tidemark/profile/notify"
)

// octetsOf joins numbers in network order.
func octetsOf(v ...any) (b []byte) {
	for _, x := range v {
		b, _ = binary.Append(b, binary.BigEndian, x)
	}
	return b
}

// A sender that is not on the allow list is shed, listed, and in the record:
// once, however much it sends; the first of a day is told of.
func TestCollect_UnknownSenderIsListedRecordedAndToldOfOnce(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	told := filepath.Join(t.TempDir(), "alerts.ndjson")
	s.configure(fmt.Sprintf("collector: {listen: [%q], allow: [127.0.0.1]}", s.udp), `notify: [{name: log, url: "file://`+told+`"}]`)
	s.start()
	known, stranger, neighbour := s.exporter("127.0.0.1"), s.exporter("127.9.9.1"), s.exporter("127.9.9.2")
	for i := range uint32(5) {
		known.send(netflow5(i, 1))
		stranger.send(netflow5(i, 1))
		neighbour.send(netflow5(i, 1))
	}
	s.untilCounted(15)
	s.says(exitOK, []string{"127.9.9.1", "5 datagrams shed: the sender is not in collector.allow", "15 datagrams reached this machine", "10 shed"}, "exporters")
	s.stop()
	if n := s.number("SELECT count() FROM events WHERE kind = 'unknown_sender' AND body LIKE '%127.9.9.0/24%'"); n != 1 {
		t.Errorf("%d events of the network, want 1: %s", n, s.sql("SELECT body FROM events"))
	}
	if n := s.number("SELECT count() FROM flows"); n != 5 {
		t.Errorf("%d flows stored, want the 5 of the exporter allowed", n)
	}
	var alert notify.Alert
	text, err := os.ReadFile(told)
	if err == nil {
		err = json.Unmarshal(text, &alert) // one line, or it is no JSON
	}
	if err != nil || alert.Family != "unknown_sender" || alert.Level != "medium" || !strings.HasPrefix(alert.Text, "127.9.9.") || strings.Count(string(text), "\n") != 1 {
		t.Errorf("told %s (%v), want one alert of a sender of 127.9.9.0/24", text, err)
	}
}

// quiet is an exporter that announces a template and sampling rates once, and
// then sends data only.
type quiet struct {
	*exporter
	sequence uint32
}

func (q *quiet) message(sets ...[]byte) {
	q.send(ipfix(7, q.sequence, sets...))
}

func (q *quiet) announce() {
	q.message(ipfixSet(2, ipfixTemplate(256, [2]uint16{10, 4}, [2]uint16{8, 4}, [2]uint16{12, 4}, [2]uint16{1, 4}, [2]uint16{2, 4})),
		ipfixSet(3, octetsOf(uint16(300), uint16(3), uint16(1), uint16(10), uint16(4), uint16(34), uint16(4), uint16(82), uint16(8))),
		ipfixSet(300, octetsOf(uint32(1), uint32(100), []byte("uplink\x00\x00"), uint32(2), uint32(1000), []byte("wifi\x00\x00\x00\x00"))))
	q.sequence += 2
}

func (q *quiet) flows() {
	record := func(in uint32) []byte {
		return octetsOf(in, uint32(0x0a140001), uint32(0xc0000209), uint32(1000), uint32(10))
	}
	q.message(ipfixSet(256, append(record(1), record(2)...)))
	q.sequence += 2
}

// Restarts under load, killed and stopped in order: no template and no sampling
// rate is lost, nothing waits for one, and each life of the daemon accounts for
// what it was sent.
func TestRestart_UnderLoadLosesNoTemplateAndNoSamplingRate(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.start()
	load := s.load(5000)
	q := &quiet{exporter: s.exporter("127.7.7.7")}
	q.announce()
	s.untilRead()
	lives := 0
	for _, end := range []func(){s.kill, s.stop, s.kill, s.stop} {
		lives++
		q.flows()
		time.Sleep(1500 * time.Millisecond) // some are sealed, some are not
		s.untilRead()
		m := s.metrics()
		if n := m["tidemark_collector_sets_waited_total"] + m["tidemark_collector_undecodable_total"]; n != 0 {
			t.Errorf("life %d: %v sets waited, not decoded or waiting %v: want none", lives, m["tidemark_collector_sets_waited_total"], n)
		}
		_, drops := s.sockets()
		if got := uint64(m["tidemark_collector_kernel_drops_total"]); got > drops {
			t.Errorf("life %d: %d datagrams counted as dropped, the kernel says %d", lives, got, drops)
		}
		var heard []collector.ExporterStatus
		s.read(&heard, "exporters", "--output", "json")
		for _, e := range heard {
			if drops == 0 && e.Lost != e.LostAway {
				t.Errorf("life %d: %s lost %d %s, %d of them while down, the kernel dropped none", lives, e.Address, e.Lost, e.Unit, e.LostAway)
			}
		}
		end()
		if text := s.daemon.text(); lives%2 == 0 && !strings.Contains(text, "the account since the start") {
			t.Errorf("life %d: the log does not say what was received and dropped:\n%s", lives, s.daemon.tail())
		}
		s.start()
		if lives == 4 {
			q.conn.Close()
			q.exporter = s.exporter("127.7.7.7") // the exporter comes back by another port
			q.flows()
		}
	}
	time.Sleep(time.Second)
	load.stop()
	s.stop()
	got := s.sql(`SELECT in_if, sampling_rate, bitAnd(quality, 129) AS told, count() FROM flows
		WHERE sampler_address = toIPv6('127.7.7.7') GROUP BY ALL ORDER BY ALL`)
	for i, line := range strings.Split(got, "\n") {
		want := []string{"1\t100\t128\t", "2\t1000\t128\t"}
		if i >= len(want) || !strings.HasPrefix(line, want[i]) || strings.TrimPrefix(line, want[i]) < "3" {
			t.Errorf("interface, rate, its source, flows:\n%s\nwant the rates of options, for at least 3 of 5 flows each", got)
			break
		}
	}
}

// What an exporter sent while the daemon was dead is counted when it is heard
// again: neither more nor less, after a kill and after a stop in order.
func TestRestart_CountsWhatWasSentWhileTheDaemonWasDown(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.start()
	q := &quiet{exporter: s.exporter("127.7.7.8")}
	q.announce()
	q.flows()
	for life, end := range []func(){s.kill, s.stop} {
		stored := uint64(2 * (life + 1))
		for deadline := time.Now().Add(time.Minute); s.number("SELECT count() FROM flows") < stored; time.Sleep(50 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("life %d: %d flows are not stored within a minute", life, stored)
			}
		}
		end()
		missed := uint32(7 + 100*life)
		q.sequence += missed // nobody listens
		s.start()
		q.flows()
		s.untilCounted(1)
		var heard []collector.ExporterStatus
		s.read(&heard, "exporters", "--output", "json")
		if len(heard) != 1 || heard[0].Lost != uint64(missed) || heard[0].LostAway != uint64(missed) || heard[0].Restarts != 0 {
			t.Errorf("life %d: want one exporter that lost %d while down: %+v", life, missed, heard)
		}
		s.says(exitOK, []string{fmt.Sprintf("%d records sent while the daemon was down", missed)}, "exporters")
	}
	s.stop()
}

// What an exporter calls applications is shown beside its flows, and of each exporter.
func TestFlows_AreShownByTheApplicationThatTheExporterNames(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.start()
	q := &quiet{exporter: s.exporter("127.7.7.9")}
	q.message(ipfixSet(3, octetsOf(uint16(300), uint16(2), uint16(1), uint16(95), uint16(4), uint16(96), uint16(6))),
		ipfixSet(300, octetsOf(uint32(13<<24|431), []byte("camera"))),
		ipfixSet(2, ipfixTemplate(256, [2]uint16{95, 4}, [2]uint16{8, 4}, [2]uint16{12, 4}, [2]uint16{1, 4}, [2]uint16{2, 4})),
		ipfixSet(256, octetsOf(uint32(13<<24|431), uint32(0x0a140001), uint32(0xc0000209), uint32(1000), uint32(10))))
	for deadline := time.Now().Add(time.Minute); s.number("SELECT count() FROM flows") < 1; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the flow is not stored within a minute")
		}
	}
	s.says(exitOK, []string{"camera"}, "flows")
	s.says(exitOK, []string{`"application":{"id":"13:431","name":"camera"}`}, "flows", "--output", "ndjson")
	s.says(exitOK, []string{"13:431", "camera"}, "exporters", "--output", "json")
	s.stop()
	s.says(exitOK, []string{"13:431"}, "flows")
}
