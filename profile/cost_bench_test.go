package profile_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"tidemark/collector/flow"
	"tidemark/enrich"
	"tidemark/profile"
	"tidemark/profile/aggregate"
	"tidemark/storage"
	"tidemark/storage/storagetest"
)

// BenchmarkBaselineCost is what a baseline per device costs: 200,000 records every
// five minutes, shared by 1,000, 10,000 and 100,000 devices that each talk with
// five of 50 peers and a resolver, are taken from the decoder's batch to the findings. Ten
// days, of which five minutes each, are history. Reported is the CPU time of all
// threads, the engine's among them, per record and stage; share is that of
// aggregates and scoring in the whole, to which decoding and hashing (the line on
// one CPU, docs/performance.md) are added as 630 ns.
func BenchmarkBaselineCost(b *testing.B) {
	for _, devices := range []int{1000, 10_000, 100_000} {
		b.Run(fmt.Sprintf("devices=%d", devices), func(b *testing.B) {
			c := newCost(b, devices)
			begun := time.Now().UTC().Truncate(24*time.Hour).AddDate(0, 0, -11)
			for day := range 10 {
				c.interval(begun.AddDate(0, 0, day).Add(10*time.Hour), 200_000)
			}
			c.score()
			c.spent = [stages]time.Duration{}
			var scores []time.Duration
			at := begun.AddDate(0, 0, 10).Add(10 * time.Hour)
			records := 0
			for b.Loop() {
				before := c.spent[scoring]
				records += c.interval(at, 200_000)
				c.score()
				scores = append(scores, c.spent[scoring]-before)
				at = at.Add(5 * time.Minute)
			}
			slices.Sort(scores)
			var whole time.Duration
			for k, name := range []string{"enrich", "flows", "aggregates", "scoring"} {
				b.ReportMetric(float64(c.spent[k].Nanoseconds())/float64(records), name+"-ns/record")
				whole += c.spent[k]
			}
			whole += time.Duration(records) * 630
			b.ReportMetric(100*float64(c.spent[aggregates]+c.spent[scoring])/float64(whole), "share-%")
			b.ReportMetric(scores[len(scores)/2].Seconds(), "score-cpu-s/interval")
			b.ReportMetric(scores[len(scores)-1].Seconds(), "score-cpu-s/interval-max")
		})
	}
}

// BenchmarkStoredPerDeviceDay is what a day of 1,000 devices takes on disk, after
// merges, in the tables of baselines: 1,152 records of a device a day.
func BenchmarkStoredPerDeviceDay(b *testing.B) {
	const devices, perInterval = 1000, 4000
	c := newCost(b, devices)
	day := time.Now().UTC().Truncate(24*time.Hour).AddDate(0, 0, -2)
	for b.Loop() {
		for n := range 12 * 24 {
			c.interval(day.Add(time.Duration(n)*5*time.Minute), perInterval)
		}
		day = day.AddDate(0, 0, 1)
		b.StopTimer()
		for _, table := range baselineTables {
			if err := c.db.Conn().Exec(b.Context(), "OPTIMIZE TABLE "+table+" FINAL"); err != nil {
				b.Fatal(err)
			}
		}
		b.StartTimer()
	}
	for _, table := range baselineTables {
		var size uint64
		err := c.db.Conn().QueryRow(b.Context(), "SELECT sum(bytes_on_disk) FROM system.parts WHERE active AND database = currentDatabase() AND table = ?", table).Scan(&size)
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(size)/float64(b.N)/devices, table+"-B/device-day")
	}
}

var baselineTables = []string{"contacts", "edges", "volumes_5m", "volumes_1h", "devices", "device_lives"}

const (
	enriching = iota
	storing
	aggregates
	scoring
	stages
)

// cost is a site with the CPU time that was spent on each stage.
type cost struct {
	b       *testing.B
	db      *storage.DB
	scorer  *profile.Scorer
	enrich  *enrich.Enricher
	maker   *aggregate.Maker
	batch   flow.Batch
	block   []byte
	index   uint64
	devices int
	spent   [stages]time.Duration
}

func newCost(b *testing.B, devices int) *cost {
	c := &cost{b: b, db: storagetest.Open(b), maker: aggregate.New(), devices: devices}
	var err error
	if c.enrich, err = enrich.New(enrich.Config{Site: "home"}); err != nil {
		b.Fatal(err)
	}
	config := profile.Config{Site: "home", Vendor: enrich.Vendor, Service: enrich.ServiceName}
	if c.scorer, err = profile.New(c.db, config, func(context.Context, ...profile.Event) error { return nil }, zerolog.Nop()); err != nil {
		b.Fatal(err)
	}
	return c
}

// spend adds the CPU time of f to a stage.
func (c *cost) spend(stage int, f func() error) {
	c.b.Helper()
	before := cpuUsed(c.b)
	if err := f(); err != nil {
		c.b.Fatal(err)
	}
	c.spent[stage] += cpuUsed(c.b) - before
}

func (c *cost) score() {
	c.spend(scoring, func() error { return c.scorer.Score(c.b.Context(), time.Time{}) })
}

// interval stores so many records of five minutes as one batch.
func (c *cost) interval(at time.Time, records int) int {
	ctx := c.b.Context()
	c.index++
	c.batch.Reset()
	for n := 0; c.batch.Len() < records; n++ {
		c.talk(at, n)
	}
	c.spend(enriching, func() error { c.enrich.Apply(&c.batch); return nil })
	c.spend(storing, func() error {
		c.block = storage.AppendFlowsBlock(c.block[:0], testLog, "home", c.index, &c.batch)
		if err := c.db.InsertFlows(ctx, testLog, "home", c.index, &c.batch); err != nil {
			return err
		}
		if same, err := c.db.HoldsFlows(ctx, storage.Flows, testLog, c.index, c.block); err != nil || !same {
			return fmt.Errorf("read back: %t, %w", same, err)
		}
		return nil
	})
	c.spend(aggregates, func() error {
		blocks, err := c.maker.Derive(c.block)
		for i := 0; err == nil && i < len(blocks); i++ {
			err = c.db.InsertBlock(ctx, blocks[i].Table, storage.FlowsToken(testLog, c.index), blocks[i].Data)
		}
		return err
	})
	return records
}

// talk is the n-th conversation of an interval, both halves: a keepalive with one
// of the device's five peers, and each sixth time a question to the resolver.
func (c *cost) talk(at time.Time, n int) {
	device := n % c.devices
	round := n / c.devices
	own, peer, port, proto := [4]byte{10, byte(device >> 16), byte(device >> 8), byte(device)}, [4]byte{52, 1, 1, byte((device + 7*(round%5)) % 50)}, uint16(8883), uint8(6)
	if (round+device)%6 == 5 {
		peer, port, proto = [4]byte{9, 9, 9, 9}, 53, 17
	}
	start := at.Add(time.Duration(uint64(n)*7919%290_000) * time.Millisecond)
	client := uint16(40000 + uint32(n)*31%20000)
	c.half(start, own, peer, client, port, proto, 0x0040_8c00_0000+uint64(device), router, 600)
	c.half(start.Add(5*time.Millisecond), peer, own, port, client, proto, router, 0x0040_8c00_0000+uint64(device), 900)
}

func (c *cost) half(at time.Time, src, dst [4]byte, sport, dport uint16, proto uint8, smac, dmac, bytes uint64) {
	b := &c.batch
	i := b.NextRow()
	b.Protocol[i] = flow.NetFlowV9
	b.SamplerAddress[i] = mapped([4]byte{192, 0, 2, 1})
	b.SrcAddr[i], b.DstAddr[i], b.SrcPort[i], b.DstPort[i], b.Proto[i] = mapped(src), mapped(dst), sport, dport, proto
	b.Bytes[i], b.Packets[i], b.SamplingRate[i] = bytes, 5, 1
	b.SrcMAC[i], b.DstMAC[i] = smac, dmac
	b.Presence[i] = flow.HasBytes | flow.HasPackets | flow.HasStart | flow.HasEnd | flow.HasSrcMAC | flow.HasDstMAC
	if proto == 6 {
		b.TCPFlags[i] = 0x18
		b.Presence[i] |= flow.HasTCPFlags
	}
	b.Quality[i] = flow.AsExported
	b.TimeFlowStart[i], b.TimeFlowEnd[i] = at.UnixNano(), at.Add(time.Second).UnixNano()
	b.ExportTime[i], b.TimeReceived[i] = b.TimeFlowEnd[i], b.TimeFlowEnd[i]
	b.EndRow()
}

func mapped(a [4]byte) (out [16]byte) {
	binary.BigEndian.PutUint16(out[10:], 0xffff)
	copy(out[12:], a[:])
	return out
}
