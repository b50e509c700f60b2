package collector

import (
	"testing"

	"tidemark/collector/flow"
)

// script builds results.
type script struct {
	protocol flow.Protocol
	uptime   uint32
	export   int64
}

// at returns a datagram with the sequence number, sent t milliseconds after the exporter was booted.
func (s *script) at(t uint32, sequence, units uint32) flow.Result {
	r := flow.Result{Protocol: s.protocol, Sequence: sequence, SequenceUnits: units, Flows: int(units)}
	switch s.protocol {
	case flow.SFlowV5:
		r.UptimeMs = s.uptime + t
	case flow.IPFIX:
		r.ExportTime = (s.export + int64(t)*1e6) / 1e9 * 1e9
	case flow.NetFlowV9:
		r.ExportTime = (s.export + int64(t)*1e6) / 1e9 * 1e9
		r.UptimeMs = s.uptime + t
	default:
		r.ExportTime, r.UptimeMs = s.export+int64(t)*1e6, s.uptime+t
	}
	return r
}

func TestSequence_AccountsWhatArrives(t *testing.T) {
	type step struct {
		t, seq, units uint32
		boot          int // life of the exporter
		open          bool
	}
	run := func(first uint32, n int, units uint32) (out []step) {
		for i := range n {
			out = append(out, step{t: uint32(i) * 100, seq: first + uint32(i)*units, units: units})
		}
		return out
	}
	without := func(in []step, drop ...int) (out []step) {
		skip := map[int]bool{}
		for _, d := range drop {
			skip[d] = true
		}
		for i, s := range in {
			if !skip[i] {
				out = append(out, s)
			}
		}
		return out
	}
	swap := func(in []step, i, j int) []step {
		in[i], in[j] = in[j], in[i]
		return in
	}
	reboot := func(a, b []step) []step {
		for i := range b {
			b[i].boot = 1
		}
		return append(a, b...)
	}
	all := []flow.Protocol{flow.NetFlowV5, flow.NetFlowV9, flow.IPFIX, flow.SFlowV5}
	tests := []struct {
		name      string
		protocols []flow.Protocol
		steps     []step
		want      tally
	}{
		{"in order", all, run(7, 50, 1), tally{expected: 50, received: 50}},
		{"records", []flow.Protocol{flow.NetFlowV5, flow.IPFIX}, run(0, 20, 30), tally{expected: 600, received: 600}},
		{"three lost", all, without(run(7, 50, 1), 10, 11, 40), tally{expected: 50, received: 47}},
		{"lost records", []flow.Protocol{flow.NetFlowV5, flow.IPFIX}, without(run(0, 20, 30), 3), tally{expected: 600, received: 570}},
		{"neighbours swapped", all, swap(run(7, 50, 1), 20, 21), tally{expected: 50, received: 50, late: 1}},
		{"far swapped", all, swap(run(7, 50, 1), 20, 24), tally{expected: 50, received: 50, late: 4}},
		{"records swapped", []flow.Protocol{flow.NetFlowV5, flow.IPFIX}, swap(run(0, 20, 30), 9, 10), tally{expected: 600, received: 600, late: 1}},
		{"first overtaken", []flow.Protocol{flow.NetFlowV5, flow.NetFlowV9, flow.SFlowV5}, swap(run(7, 50, 1), 0, 1), tally{expected: 50, received: 50, late: 1}},
		{"last before all others", []flow.Protocol{flow.NetFlowV5, flow.NetFlowV9}, append(run(7, 50, 1)[49:], without(run(7, 50, 1)[:49], 20, 21)...),
			tally{expected: 50, received: 48, late: 47}},
		{"duplicate", all, append(run(7, 50, 1), run(7, 50, 1)[48]), tally{expected: 50, received: 50, duplicates: 1}},
		{"every datagram twice", all, func() (out []step) {
			for _, s := range run(7, 50, 1) {
				out = append(out, s, s)
			}
			return out
		}(), tally{expected: 50, received: 50, duplicates: 50}},
		{"wrap", all, run(1<<32-25, 50, 1), tally{expected: 50, received: 50}},
		{"wrap with loss", all, without(run(1<<32-25, 50, 1), 24, 25, 26), tally{expected: 50, received: 47}},
		{"wrap of records", []flow.Protocol{flow.NetFlowV5, flow.IPFIX}, run(1<<32-45, 20, 30), tally{expected: 600, received: 600}},
		{"restart", all, reboot(run(500_000, 50, 1), run(0, 50, 1)), tally{expected: 100, received: 100, restarts: 1}},
		{"restart to the same number", all, reboot(run(0, 50, 1), run(0, 50, 1)), tally{expected: 100, received: 100, restarts: 1}},
		{"restart from beyond half the numbers", all, reboot(run(3_000_000_000, 50, 1), run(0, 50, 1)), tally{expected: 100, received: 100, restarts: 1}},
		{"restart, first lost", all, reboot(run(500_000, 50, 1), run(3, 47, 1)), tally{expected: 97, received: 97, restarts: 1}},
		{"restart to a higher number", []flow.Protocol{flow.NetFlowV5, flow.NetFlowV9}, reboot(run(0, 50, 1), run(90, 50, 1)), tally{expected: 100, received: 100, restarts: 1}},
		{"uncounted records are no loss", []flow.Protocol{flow.IPFIX}, func() []step {
			s := run(0, 20, 30)
			s[5].units, s[5].open = 10, true
			s[11].units, s[11].open = 0, true
			return s
		}(), tally{expected: 600, received: 600}},
	}
	for _, tt := range tests {
		for _, protocol := range tt.protocols {
			t.Run(tt.name+"/"+protocol.String(), func(t *testing.T) {
				lives := []script{
					{protocol: protocol, uptime: 86_400_000, export: 1_700_000_000e9},
					{protocol: protocol, uptime: 1000, export: 1_700_000_600e9},
				}
				var s sequence
				for _, st := range tt.steps {
					r := lives[st.boot].at(st.t, st.seq, st.units)
					if st.open {
						r.Uncounted = 1
					}
					s.observe(&r, 100+int(st.units))
				}
				if got := s.tally(); got != tt.want {
					t.Errorf("got %+v, want %+v", got, tt.want)
				}
			})
		}
	}
}

// softflowd's numbers include the records of the message itself (captures/README.md, 2).
func TestSequence_NumberThatIncludesItsOwnMessage(t *testing.T) {
	units := []uint32{3, 17, 17, 5, 29, 29, 29, 1, 8, 13, 21, 2, 2, 30, 11, 7}
	for _, lost := range []int{-1, 9} {
		var s sequence
		sequenceNumber, want := uint32(0), tally{}
		exporter := script{protocol: flow.IPFIX, export: 1_700_000_000e9}
		for i, n := range units {
			sequenceNumber += n
			want.expected += uint64(n)
			if i == lost {
				continue
			}
			want.received += uint64(n)
			r := exporter.at(uint32(i)*1000, sequenceNumber, n)
			s.observe(&r, int(n))
			if i < lost || lost < 0 {
				if got := s.tally().lost(); got != 0 {
					t.Fatalf("message %d: %d lost, want none", i, got)
				}
			}
		}
		if got := s.tally(); got.expected != want.expected || got.received != want.received {
			t.Errorf("lost message %d: got %+v, want %+v", lost, got, want)
		}
	}
}

// A loss must not be explained away by the reading that suits it.
func TestSequence_LossOfAnExporterThatFollowsTheRFC(t *testing.T) {
	units := []uint32{3, 17, 17, 5, 29, 29, 29, 1, 8, 13, 21, 2, 2, 30, 11, 7, 12, 12, 3}
	for lost := range len(units) - 1 {
		if lost == 0 {
			continue // nobody can know
		}
		var s sequence
		sequenceNumber, want := uint32(0), tally{}
		exporter := script{protocol: flow.IPFIX, export: 1_700_000_000e9}
		for i, n := range units {
			want.expected += uint64(n)
			if i != lost {
				want.received += uint64(n)
				r := exporter.at(uint32(i)*1000, sequenceNumber, n)
				s.observe(&r, int(n))
			}
			sequenceNumber += n
		}
		if got := s.tally(); got.expected != want.expected || got.received != want.received {
			t.Errorf("lost message %d: got %+v, want %+v", lost, got, want)
		}
	}
}

func FuzzSequence(f *testing.F) {
	f.Add([]byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}, uint8(10))
	f.Fuzz(func(t *testing.T, b []byte, protocol uint8) {
		var s sequence
		for ; len(b) >= 8; b = b[8:] {
			r := flow.Result{
				Protocol: flow.Protocol(protocol % 13), Sequence: uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3]),
				SequenceUnits: uint32(b[4]) << (b[5] % 8), Uncounted: int(b[5] >> 7), UptimeMs: uint32(b[6]) << (b[7] % 24), ExportTime: int64(b[7]) * 1e9,
			}
			if b[5]&0x40 != 0 { // the collector is restarted
				at := s.position(int64(b[6]) * 1e9)
				s = at.resume(&r, int64(b[7])*1e9)
			}
			s.observe(&r, int(b[4]))
			if tally := s.tally(); tally.received > tally.expected || s.chosen().missing() > tally.lost() {
				t.Fatalf("received %d of %d expected, %d in holes", tally.received, tally.expected, s.chosen().missing())
			}
		}
	})
}
