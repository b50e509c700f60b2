package export

import (
	"math"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"tidemark/cmd/sitesim/internal/packet"
)

var (
	options = Options{Active: time.Minute, Inactive: 15 * time.Second}
	out     = packet.Train{Key: packet.Key{Src: netip.MustParseAddr("10.0.0.1"), Dst: netip.MustParseAddr("10.0.0.2"), SrcPort: 40000, DstPort: 443, Proto: packet.TCP, In: 1}, Out: 2, Size: 100, Count: 1}
)

func seconds(s float64) int64 { return int64(s * 1e9) }

func train(model packet.Train, at float64, count int, gap float64, flags uint8) packet.Train {
	model.At, model.Count, model.Gap, model.Flags = seconds(at), count, seconds(gap), flags
	return model
}

// metered shows the meter trains and lets some minutes pass.
func metered(o Options, trains ...packet.Train) (done []record) {
	m := newMeter(o, func(r record) { done = append(done, r) })
	tick := int64(0)
	for _, t := range trains {
		for ; tick <= t.At; tick += seconds(1) {
			m.expire(tick)
		}
		m.observe(t)
	}
	for end := tick + seconds(300); tick <= end; tick += seconds(1) {
		m.expire(tick)
	}
	return done
}

func TestMeter_LongFlowIsCutAtTheActiveTimeout(t *testing.T) {
	got := metered(options, train(out, 1, 131, 1, packet.ACK)) // seconds 1 to 131
	if len(got) != 3 {
		t.Fatalf("%d records, want 3", len(got))
	}
	for i, want := range []struct {
		packets    uint64
		start, end float64
		reason     uint8
	}{{60, 1, 60, activeTimeout}, {60, 61, 120, activeTimeout}, {11, 121, 131, idleTimeout}} {
		if r := got[i]; r.Packets != want.packets || r.Octets != 100*want.packets || r.Start != seconds(want.start) || r.End != seconds(want.end) || r.EndReason != want.reason {
			t.Errorf("record %d = %+v, want %+v", i, r, want)
		}
	}
}

func TestMeter_SilenceEndsAFlow(t *testing.T) {
	got := metered(options, train(out, 1, 2, 14.9, packet.ACK), train(out, 31, 1, 0, packet.ACK))
	if len(got) != 2 || got[0].Packets != 2 || got[1].Packets != 1 {
		t.Errorf("records %+v, want one of 2 packets and one of 1", got)
	}
}

func TestMeter_FlagsAreCollectedAndFINEndsTheFlow(t *testing.T) {
	got := metered(options, train(out, 1, 1, 0, packet.SYN), train(out, 1.1, 3, .1, packet.ACK), train(out, 2, 1, 0, packet.FIN|packet.ACK), train(out, 2.1, 1, 0, packet.ACK), train(out, 6, 1, 0, packet.SYN))
	if len(got) != 2 || got[0].Flags != packet.SYN|packet.ACK|packet.FIN || got[0].Packets != 6 || got[0].EndReason != endDetected {
		t.Errorf("records %+v, want the first of 6 packets with SYN, ACK and FIN", got)
	}
}

func TestMeter_BiflowJoinsBothDirections(t *testing.T) {
	back := out
	back.Key, back.Out = out.Reverse(2), 1
	o := options
	o.Biflow = true
	got := metered(o, train(out, 1, 2, .1, packet.SYN), train(back, 1.05, 3, .1, packet.ACK))
	if len(got) != 1 || got[0].Packets != 2 || got[0].Reverse.Packets != 3 || got[0].Reverse.Flags != packet.ACK || got[0].Src != out.Src {
		t.Errorf("records %+v, want one biflow of 2 and 3 packets", got)
	}
	if got := metered(options, train(out, 1, 2, .1, packet.SYN), train(back, 1.05, 3, .1, packet.ACK)); len(got) != 2 {
		t.Errorf("%d records without biflow, want 2", len(got))
	}
}

func TestMeter_LosesNoPacketOfRandomTraffic(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		var trains []packet.Train
		packets, octets, at := uint64(0), uint64(0), 0.0
		for range 1 + rng.IntN(40) {
			at += rng.ExpFloat64() * 4
			tr := train(out, at, 1+rng.IntN(300), rng.Float64()/10, packet.ACK)
			if rng.IntN(8) == 0 {
				tr.Flags |= packet.FIN
			}
			tr.SrcPort += uint16(rng.IntN(3))
			tr.Size = 40 + rng.IntN(1460)
			packets += uint64(tr.Count)
			octets += tr.Octets()
			trains = append(trains, tr)
		}
		for _, r := range metered(options, trains...) {
			packets -= r.Packets
			octets -= r.Octets
			if r.End-r.Start >= int64(options.Active) || r.End < r.Start {
				t.Fatalf("record %+v lasts %d ns", r, r.End-r.Start)
			}
		}
		if packets != 0 || octets != 0 {
			t.Fatalf("%d packets and %d octets are in no record", packets, octets)
		}
	}
}

func TestSampler_PicksEachPacketWithEqualChance(t *testing.T) {
	const n, packets = 37, 1 << 20
	s := newSampler(n, rand.New(rand.NewPCG(3, 4)))
	rng := rand.New(rand.NewPCG(5, 6))
	picked, last, first := 0, 0, 0
	for left := packets; left > 0; {
		count := min(left, 1+rng.IntN(100))
		left -= count
		for i := range s.pick(count) {
			if i < 0 || i >= count {
				t.Fatalf("picked packet %d of %d", i, count)
			}
			picked++
			if i == 0 {
				first++
			}
			if i == count-1 {
				last++
			}
		}
	}
	want := float64(packets) / n
	if sigma := math.Sqrt(want); math.Abs(float64(picked)-want) > 4*sigma {
		t.Errorf("picked %d, want %.0f within %.0f", picked, want, 4*sigma)
	}
	if d := math.Abs(float64(first - last)); d > 5*math.Sqrt(float64(first+last)) {
		t.Errorf("the first packet of a train was picked %d times, the last %d", first, last)
	}
}

func TestTrain_BeforeAndTakeAgree(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	for range 2000 {
		tr := packet.Train{At: rng.Int64N(100), Gap: rng.Int64N(10), Count: 1 + rng.IntN(20)}
		cut := rng.Int64N(300)
		want := 0
		for i := range tr.Count {
			if tr.Time(i) < cut {
				want++
			}
		}
		if got := tr.Before(cut); got != want {
			t.Fatalf("%+v: %d packets before %d, want %d", tr, got, cut, want)
		}
		rest := tr
		head := rest.Take(want)
		if head.Count+rest.Count != tr.Count || rest.Count > 0 && rest.At != tr.Time(want) {
			t.Fatalf("%+v cut after %d: %+v and %+v", tr, want, head, rest)
		}
	}
}
