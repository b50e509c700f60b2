package aggregate_test

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/rs/zerolog"
	"golang.org/x/sys/unix"

	"tidemark/collector"
	"tidemark/collector/flow"
	"tidemark/enrich"
	"tidemark/profile/aggregate"
	"tidemark/storage"
	"tidemark/storage/schema"
	"tidemark/storage/storagetest"
)

const testLog = 0x00aa_0000_0000_0001

// view is the SELECT of a view as a migration made it: what a table was made by
// before this package, and the measure of it.
func view(t *testing.T, file, name string) string {
	t.Helper()
	text, err := schema.Files.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(text), "CREATE MATERIALIZED VIEW IF NOT EXISTS "+name+" TO ")
	_, rest, isView := strings.Cut(rest, " AS\n")
	statement, _, ends := strings.Cut(rest, ";")
	if !found || !isView || !ends {
		t.Fatalf("%s has no view %s", file, name)
	}
	return statement
}

// comparable are the columns of a table in a form in which equal is equal: what
// is a set is sorted.
var comparable = map[string]string{
	"contacts":   "* EXCEPT starts",
	"volumes_5m": "* EXCEPT peers, finalizeAggregation(peers) AS hosts",
	"devices":    "* EXCEPT addresses, arraySort(addresses) AS known",
}

// compare commits b and compares what Go and what SQL make of it.
func compare(t *testing.T, db *storage.DB, m *aggregate.Maker, index uint64, b *flow.Batch) {
	t.Helper()
	ctx := clickhouse.Context(t.Context(), clickhouse.WithSettings(clickhouse.Settings{"max_threads": 1, "max_block_size": 1 << 24, "preferred_block_size_bytes": 0}))
	exec := func(sql string) {
		t.Helper()
		if err := db.Conn().Exec(ctx, sql); err != nil {
			t.Fatal(err)
		}
	}
	block := storage.AppendFlowsBlock(nil, testLog, "home", index, b)
	token := storage.FlowsToken(testLog, index)
	if err := db.InsertBlock(t.Context(), "flows", token, block); err != nil {
		t.Fatal(err)
	}
	blocks, err := m.Derive(block)
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range blocks {
		for range 2 { // a repeat under the token changes nothing
			if err := db.InsertBlock(t.Context(), x.Table, token, x.Data); err != nil {
				t.Fatal(err)
			}
		}
	}
	for table, from := range map[string][2]string{
		"contacts":   {"0010_contacts.sql", "contacts_of_flows"},
		"volumes_5m": {"0011_volumes.sql", "volumes_5m_of_flows"},
		"devices":    {"0010_contacts.sql", "devices_of_flows"},
	} {
		exec("DROP TABLE IF EXISTS want")
		exec("CREATE TABLE want AS " + table + " ENGINE = MergeTree ORDER BY tuple()")
		columns := comparable[table]
		if table == "contacts" {
			exec("ALTER TABLE want DROP COLUMN starts") // younger than the view
		}
		// Younger than the view, too: a forged address is none of the device's.
		exec("INSERT INTO want " + strings.Replace(view(t, from[0], from[1]), "groupUniqArray(16)(src_addr)", "groupUniqArrayIf(16)(src_addr, scope != 'transit')", 1))
		var got, want, missing, extra uint64
		err := db.Conn().QueryRow(ctx, fmt.Sprintf(`SELECT (SELECT count() FROM %[1]s), (SELECT count() FROM want),
			(SELECT count() FROM (SELECT %[2]s FROM want EXCEPT ALL SELECT %[2]s FROM %[1]s)),
			(SELECT count() FROM (SELECT %[2]s FROM %[1]s EXCEPT ALL SELECT %[2]s FROM want))`, table, columns)).Scan(&got, &want, &missing, &extra)
		if err != nil {
			t.Fatal(err)
		}
		if got != want || missing+extra > 0 {
			t.Errorf("%s of batch %d: %d rows, SQL makes %d; %d of SQL's are missing, %d are not SQL's", table, index, got, want, missing, extra)
			for _, pair := range [][2]string{{"want", table}, {table, "want"}} {
				t.Log(show(t, db, fmt.Sprintf("SELECT %[1]s FROM %[2]s EXCEPT ALL SELECT %[1]s FROM %[3]s ORDER BY ALL LIMIT 4", columns, pair[0], pair[1])))
			}
		}
	}
	for _, table := range []string{"flows", "contacts", "volumes_5m", "devices", "edges", "volumes_1h"} {
		exec("TRUNCATE TABLE " + table)
	}
}

func show(t *testing.T, db *storage.DB, sql string) string {
	t.Helper()
	var text string
	if err := db.Conn().QueryRow(t.Context(), "SELECT arrayStringConcat(groupArray(toString(tuple(*))), '\\n') FROM ("+sql+")").Scan(&text); err != nil {
		t.Fatal(err)
	}
	return sql + ":\n" + text
}

func TestBlocks_EqualSQLOnCaptures(t *testing.T) {
	t.Parallel()
	db, m := storagetest.Open(t), aggregate.New()
	for i, name := range []string{
		"blink-cam-01.softflowd-v9-ether-300s", "schlage-lock-01.softflowd-ipfix-biflow-300s", "blink-cam-03.softflowd-v5-300s", "ultraloq-hub-01.softflowd-v9-ether-300s",
	} {
		b := replay(t, filepath.Join("iot", "generated", name+".pcap"))
		if b.Len() == 0 {
			t.Fatalf("%s has no flows", name)
		}
		compare(t, db, m, uint64(i), b)
	}
}

// replay decodes and enriches a capture, which stands beside the project.
func replay(t *testing.T, name string) *flow.Batch {
	t.Helper()
	dir := os.Getenv("TIDEMARK_CAPTURES")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared", "captures")
	}
	path := filepath.Join(dir, name)
	if _, err := os.Stat(path); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("captures are needed here: %v", err)
		}
		t.Skipf("no capture: %v; set TIDEMARK_CAPTURES to the directory of captures", err)
	}
	e, err := enrich.New(enrich.Config{Site: "home"})
	if err != nil {
		t.Fatal(err)
	}
	all := &flow.Batch{}
	c, err := collector.New(collector.Config{
		Exporters: []collector.ExporterConfig{{Address: collector.Network{Prefix: netip.MustParsePrefix("0.0.0.0/0")}, Clock: collector.AsExported}},
	}, collector.Deps{Log: zerolog.Nop(), Handle: func(_ context.Context, b *flow.Batch) error {
		e.Apply(b)
		all.Append(b, 0, b.Len())
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Replay(t.Context(), collector.ReplayOptions{Files: []string{path}}); err != nil {
		t.Fatal(err)
	}
	return all
}

func TestBlocks_EqualSQLOnRandomBatches(t *testing.T) {
	t.Parallel()
	db, m := storagetest.Open(t), aggregate.New()
	r := rand.New(rand.NewPCG(1, 2))
	for i, c := range []struct {
		rows   int
		values int           // how many of each kind of thing there are
		longer time.Duration // how long flows last at most
	}{{1, 1, 0}, {20, 2, 0}, {3000, 3, time.Second}, {3000, 40, time.Hour}, {2000, 1000, 30 * time.Hour}, {3000, 10, 400 * 24 * time.Hour}, {20000, 5, 100 * 24 * time.Hour}} {
		compare(t, db, m, uint64(i), random(r, c.rows, c.values, c.longer))
	}
}

// random is a batch of all that can be in one: every enum, extreme values, both
// families, sides that are no devices.
func random(r *rand.Rand, rows, values int, longer time.Duration) *flow.Batch {
	b := &flow.Batch{}
	wide := func(v ...uint64) uint64 {
		if r.IntN(20) == 0 {
			return v[r.IntN(len(v))]
		}
		return uint64(r.IntN(values))
	}
	address := func() (a [16]byte) {
		switch n := r.IntN(values); r.IntN(4) {
		case 0:
			a = netip.AddrFrom4([4]byte{10, 0, byte(n >> 8), byte(n)}).As16()
		case 1:
			a = netip.AddrFrom4([4]byte{byte(n >> 4), byte(n), 1, byte(r.IntN(3))}).As16()
		case 2:
			a = [16]byte{0x20, 1, 0x0d, 0xb8, byte(n >> 8), byte(n), 1, 14: byte(n)}
		default:
			a = [16]byte{15: byte(n)}
		}
		return a
	}
	device := func() uint64 {
		if r.IntN(4) == 0 {
			return 0
		}
		return wide(math.MaxUint64, 1<<63) + 1
	}
	received := time.Now().Truncate(24 * time.Hour).UnixNano()
	for range rows {
		i := b.NextRow()
		b.Protocol[i] = flow.NetFlowV9
		b.TimeReceived[i] = received + int64(i)
		b.SamplerAddress[i] = netip.AddrFrom4([4]byte{192, 0, 2, byte(i / 100 % values)}).As16()
		b.Direction[i] = uint8(wide(255) % 3)
		b.SrcAddr[i], b.DstAddr[i] = address(), address()
		b.SrcPort[i], b.DstPort[i] = uint16(wide(65535, 0)), uint16(wide(65535, 0))
		b.Proto[i] = []uint8{1, 6, 6, 6, 17, 58, 132, 255}[r.IntN(8)]
		b.TCPFlags[i] = []uint16{0, 2, 4, 0x12, 0x14, 0x1b, 0x54, 0xffff}[r.IntN(8)]
		b.Bytes[i], b.Packets[i] = wide(math.MaxUint64, 1<<53, 1<<53+1), wide(math.MaxUint64, 1<<52)
		b.SamplingRate[i] = uint32(wide(math.MaxUint32, 0, 1000))
		b.SrcMAC[i] = wide(1<<48 - 1)
		b.Presence[i] = uint16(r.Uint32())
		b.FirewallEvent[i] = uint8(wide(3, 3, 255))
		start := int64(1_700_000_000_000_000_000) + r.Int64N(int64(values)*3_000_000_000_000)
		if r.IntN(200) == 0 {
			start = []int64{1, 299_999_999_999, 300_000_000_000, 4_102_444_799_999_999_999}[r.IntN(4)]
		}
		b.EventStart[i] = start
		b.EventEnd[i] = start
		if longer > 0 && r.IntN(3) > 0 {
			b.EventEnd[i] += r.Int64N(int64(longer))
		}
		b.SrcDevice[i], b.DstDevice[i] = device(), device()
		b.SrcIdentity[i], b.DstIdentity[i] = flow.Identity(r.IntN(4)), flow.Identity(r.IntN(4))
		b.Initiator[i], b.Scope[i] = flow.Initiator(r.IntN(3)), flow.Scope(r.IntN(5))
		b.InitiatorConfidence[i] = []uint8{0, 50, 94, 95, 100, 255}[r.IntN(6)]
		b.ServicePort[i] = uint16(wide(0, 65535))
		b.Extend(flow.ExtensionKey(0, 1), []byte("x"))
		b.EndRow()
	}
	return b
}

func TestBlocks_NothingOfNobody(t *testing.T) {
	b := random(rand.New(rand.NewPCG(3, 4)), 10, 2, 0)
	clear(b.SrcDevice)
	clear(b.DstDevice)
	m := aggregate.New()
	if blocks := m.Blocks(testLog, "home", 1, b); len(blocks) > 0 {
		t.Errorf("flows of no device: %d blocks, want none", len(blocks))
	}
	b.DstDevice[3] = 1
	if blocks := m.Blocks(testLog, "home", 1, b); len(blocks) != 2 {
		t.Errorf("a device that was only sent to: %d blocks, want contacts and volumes", len(blocks))
	}
}

// Times beyond what the columns hold stand at their ends, and nothing else breaks.
func TestBlocks_TimesBeyondTheColumns(t *testing.T) {
	b := random(rand.New(rand.NewPCG(5, 6)), 4, 2, 0)
	for i := range b.Len() {
		b.SrcDevice[i] = 1
		b.EventStart[i], b.EventEnd[i] = math.MinInt64, math.MaxInt64
	}
	b.EventEnd[1] = math.MinInt64
	b.EventStart[2] = math.MaxInt64
	if n := len(aggregate.New().Blocks(testLog, "home", 1, b)); n != 3 {
		t.Errorf("%d blocks, want 3", n)
	}
}

func TestBlocks_MemoryIsKept(t *testing.T) {
	b := random(rand.New(rand.NewPCG(7, 8)), 5000, 30, time.Hour)
	m := aggregate.New()
	m.Blocks(testLog, "home", 1, b)
	if n := testing.AllocsPerRun(3, func() { m.Blocks(testLog, "home", 2, b) }); n > 2000 {
		t.Errorf("%v allocations for %d flows", n, b.Len())
	}
}

func BenchmarkDerive(b *testing.B) {
	r := rand.New(rand.NewPCG(9, 10))
	batch := random(r, 1<<17, 300, 0)
	block := storage.AppendFlowsBlock(nil, testLog, "home", 1, batch)
	m := aggregate.New()
	cpu := func() int64 {
		var u unix.Rusage
		if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
			b.Fatal(err)
		}
		return u.Utime.Nano() + u.Stime.Nano()
	}
	before := cpu()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := m.Derive(block); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(cpu()-before)/float64(b.N)/float64(batch.Len()), "cpu-ns/flow")
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(batch.Len()), "ns/flow")
}
