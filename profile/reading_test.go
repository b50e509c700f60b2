package profile

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"tidemark/storage/storagetest"
)

// TestDetectors_ReadNothingOfALongPast: however many batches came before, hours
// ago, a detector that runs with every batch reads those of its window.
func TestDetectors_ReadNothingOfALongPast(t *testing.T) {
	const (
		batches = 400 // of a thousand contacts, three seconds apart, then a pause of two hours
		recent  = 20
	)
	db := storagetest.Open(t)
	s, err := New(db, Config{Site: "site"}, nil, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	fill := func(from, upto, hours int) {
		t.Helper()
		sql := fmt.Sprintf(`
INSERT INTO contacts (log, batch_index, received, day, device, role, scope, peer, proto, port, observer, first, last, bytes_out, bytes_in, packets_out, packets_in, flows, samples, syn)
SELECT 1, %d + intDiv(number, 1000) AS b, toDate(now()), toDate(at), 1 + number %% 50, 'client', 'wan', 100 + number %% 1000, number %% 2 ? 6 : 17, number %% 2 ? 22 : 53, 1,
    at - 1, at, 40000, 0, 300, 0, 30, 300, 300
FROM (SELECT number, now64(3, 'UTC') - toIntervalHour(%d) + 3 * intDiv(number, 1000) AS at FROM numbers(%d))`, from, hours, (upto-from)*1000)
		if err := db.Conn().Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	read := func(d *Detector) int {
		t.Helper()
		sql, err := s.statement(d, 1, batches-5, batches-1, 0)
		if err != nil {
			t.Fatal(err)
		}
		text, err := column[string](t.Context(), s, "EXPLAIN indexes = 1, json = 1 "+sql, nil)
		if err != nil {
			t.Fatal(err)
		}
		var plans []struct{ Plan node }
		if err := json.Unmarshal([]byte(strings.Join(text, "\n")), &plans); err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, p := range plans {
			n += p.Plan.granules(".contacts")
		}
		return n
	}
	fill(batches-recent, batches, 1)
	before := map[string]int{}
	for i := range s.detectors {
		if d := &s.detectors[i]; d.pace == prompt && d.needs != listed {
			before[d.Name] = read(d)
		}
	}
	fill(0, batches-recent, 4)
	if err := db.Conn().Exec(t.Context(), "OPTIMIZE TABLE contacts FINAL"); err != nil {
		t.Fatal(err)
	}
	for i := range s.detectors {
		d := &s.detectors[i]
		if d.pace != prompt || d.needs == listed {
			continue
		}
		if n := read(d); n > 2*before[d.Name] { // a granule more per read, where they meet
			t.Errorf("%s: reads %d granules after %d old contacts, %d without", d.Name, n, (batches-recent)*1000, before[d.Name])
		}
	}
}

// node is one of a query plan.
type node struct {
	Type        string `json:"Node Type"`
	Description string
	Plans       []node
	Indexes     []struct {
		Selected int `json:"Selected Granules"`
	}
}

// granules is how many of a table the plan reads: those that the last index leaves.
func (n node) granules(table string) (sum int) {
	for _, p := range n.Plans {
		sum += p.granules(table)
	}
	if k := len(n.Indexes); n.Type == "ReadFromMergeTree" && strings.HasSuffix(n.Description, table) && k > 0 {
		sum += n.Indexes[k-1].Selected
	}
	return sum
}

// TestDetectors_MemoryOfWhoMeetsEverybody: what is compared with itself takes memory
// by the square; nobody who scans or shares files may end the scoring of a site by it.
func TestDetectors_MemoryOfWhoMeetsEverybody(t *testing.T) {
	t.Run("learned", func(t *testing.T) { memoryOfWhoMeetsEverybody(t, 30*24*time.Hour, "") })
	t.Run("on the third day", func(t *testing.T) { memoryOfWhoMeetsEverybody(t, 3*24*time.Hour-30*time.Minute, "drift") }) // which looks back then
}

// memoryOfWhoMeetsEverybody runs a detector, or all, on devices of that age.
func memoryOfWhoMeetsEverybody(t *testing.T, age time.Duration, name string) {
	db := storagetest.Open(t)
	s, err := New(db, Config{Site: "site"}, nil, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	exec := func(what, sql string) {
		t.Helper()
		if err := db.Conn().Exec(t.Context(), sql); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	exec("devices", fmt.Sprintf("INSERT INTO devices (site, device, received, identity, first, last) SELECT 'site', number, today(), 'mac', now64(3, 'UTC') - %d, now64(3, 'UTC') FROM numbers(1, 30099)", int(age.Seconds())))
	talk := func(batch int, role, scope, peer, port, days, from string) {
		t.Helper()
		exec("contacts", fmt.Sprintf(`
INSERT INTO contacts (log, batch_index, received, day, device, role, scope, peer, peer_device, peer_addr, proto, port, confidence, observer, first, last, bytes_out, bytes_in, packets_out, packets_in, flows, samples, syn, failed)
SELECT 1, %d, today(), toDate(at), device, '%s', '%s' AS scope, %s AS p, scope = 'lan' ? p : 0, toIPv6(IPv4NumToString(toUInt32(16777216 + p * 1048576 + intDiv(p, 3000) * 256))), 6, %s, 95, 1, at, at + 3600, 40000, 9000, 300, 300, 30, 600, 30, number %% 3 = 0 ? 30 : 0
FROM (SELECT device, number, now64(3, 'UTC') - toIntervalDay(arrayJoin(%s)) AS at FROM %s)`, batch, role, scope, peer, port, days, from))
	}
	// Ten devices that know three peers to ten thousand and meet 300 and more new ones; two that
	// use, two that offer, thirty thousand new services; one that ten thousand came to, and ten
	// thousand others come; a fleet of ten thousand that all go to one new place; and one that all went to it for a day.
	peers := func(n int) string {
		return fmt.Sprintf("numbers(10000) AS n CROSS JOIN (SELECT number AS device FROM numbers(1, 10)) AS d WHERE number < %d * pow(2.5, device - 1)", n)
	}
	services := func(from, n int) string {
		return fmt.Sprintf("numbers(%d) AS n CROSS JOIN (SELECT number AS device FROM numbers(%d, 2)) AS d", n, from)
	}
	const (
		before, now = "[29, 28, 20, 9, 1]", "[0]"
		crowd       = "(SELECT number, 15 AS device FROM numbers(10000))"
		fleet       = "(SELECT number, number AS device FROM numbers(100, 10000))"
		other       = "(SELECT number, number AS device FROM numbers(20100, 10000))"
	)
	for _, scope := range []string{"wan", "lan"} {
		talk(1, "client", scope, "number", "443", before, peers(3))
		talk(2, "client", scope, "number + 100000", "443", now, peers(300))
		talk(1, "client", scope, "7", "443 + number", before, services(11, 3))
		talk(2, "client", scope, "7", "1000 + number", now, services(11, 30_000))
		talk(1, "server", scope, "7", "443 + number", before, services(13, 3))
		talk(2, "server", scope, "7", "1000 + number", now, services(13, 30_000))
		talk(1, "server", scope, "number", "443", before, crowd)
		talk(2, "server", scope, "number + 50000", "443", now, crowd)
		talk(1, "client", scope, "number % 3", "443", before, fleet)
		talk(2, "client", scope, "70000", "8443", now, fleet)
		talk(1, "client", scope, "number % 3", "443", before, other)
		talk(1, "client", scope, "80000", "8443", "[2]", other)
	}
	for i := range s.detectors {
		d := &s.detectors[i]
		if d.needs == listed { // there is no list
			continue
		}
		if name != "" && d.Name != name {
			continue
		}
		sql, err := s.statement(d, 1, 1, 2, 0)
		if err != nil {
			t.Fatal(err)
		}
		exec(d.Name, sql+"\nSETTINGS max_memory_usage = 400000000, max_execution_time = 60")
	}
}

// TestScore_ADetectorThatLacksMemoryStopsNoOther: what one device makes of the traffic of
// its site may be more than a statement can hold. Nothing else goes unjudged for it.
func TestScore_ADetectorThatLacksMemoryStopsNoOther(t *testing.T) {
	db := storagetest.Open(t)
	s, err := New(db, Config{Site: "site"}, nil, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	s.detectors = []Detector{*detectorNamed(s.detectors, "silence")}
	d := &s.detectors[0]
	good := d.sql
	d.sql = "SELECT length(groupArray(rand64())) FROM numbers(10000000) SETTINGS max_memory_usage = 1000000"
	run := func() error { _, err := s.findAll(t.Context(), d.pace, 1, 0, 1); return err }
	for n := range patience - 1 {
		if err := run(); err == nil {
			t.Fatalf("run %d: the batches count as judged", n+1)
		}
	}
	if err := run(); err != nil {
		t.Fatalf("run %d: %v, want the others to go on", patience, err)
	}
	if got := s.DetectorStatus(); len(got.Failing) != 1 || !strings.Contains(got.Failing[0], "detector silence fails") || got.Failures["silence"] != 1 {
		t.Errorf("status is %+v, want silence named", got)
	}
	d.sql = good
	for range maxRest + 1 {
		if err := run(); err != nil {
			t.Fatal(err)
		}
	}
	if got := s.DetectorStatus(); len(got.Failing) > 0 {
		t.Errorf("still fails: %v", got.Failing)
	}
	d.sql = "SELECT nothing"
	for n := range patience + 1 {
		if err := run(); err == nil {
			t.Fatalf("run %d: a statement that is wrong is passed over", n+1)
		}
	}
}
