package profile_test

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sys/unix"

	"tidemark/enrich"
	"tidemark/profile"
	"tidemark/storage/storagetest"
)

// BenchmarkCatalogue asks the catalogue of 100,000 devices with 10 million edges:
// first all with a MAC of their own, then with what needs more of the catalogue's
// rules: 2,000 addresses behind gateways, 1,000 with a lease, 500 merged devices,
// labels and alerts. Its rows are made by the engine: flows for them would take
// hours. Medians of the time and of the CPU time of all threads are reported: the
// machine's other work does not touch the latter.
func BenchmarkCatalogue(b *testing.B) {
	const devices, edges = 100_000, 10_000_000
	db := storagetest.Open(b)
	fill := []string{
		// a device a number, its id spread over the key
		fmt.Sprintf(`INSERT INTO device_lives (site, device, identity, mac, received, first, last, sent, addresses)
			SELECT 'home', cityHash64(number), 'mac', 0x00408c000000 + number, today(), now64(3) - 86400 * 30 + number, now64(3) - number %% 5000, 100,
				[toIPv6(concat('10.', toString(intDiv(number, 65536)), '.', toString(intDiv(number, 256) %% 256), '.', toString(number %% 256)))]
			FROM numbers(%d)`, devices),
		fmt.Sprintf(`INSERT INTO edges (device, role, scope, peer, proto, port, day, received, observer, exporter, peer_device, peer_addr, confidence, first, last, bytes_out, bytes_in, packets_out, packets_in, flows, samples, syn, failed, refused)
			SELECT cityHash64(intDiv(number, 100)), 'client', 'wan', cityHash64(number %% 30), 6, 443 + number %% 4, today() - intDiv(number %% 100, 25), today(), 1, toIPv6('::ffff:192.0.2.1'),
				0, toIPv6('::ffff:52.1.1.1'), 85, now64(3) - 86400, now64(3), 1000, 1000, 10, 10, 2, 20, 0, 0, 0
			FROM numbers(%d)`, edges),
		fmt.Sprintf(`INSERT INTO identity_intervals (site, device, addr, vrf, mac, begun, ended, source, confidence, name, gateway, written)
			SELECT 'home', cityHash64(number), toIPv6(concat('10.', toString(intDiv(number, 65536)), '.', toString(intDiv(number, 256) %% 256), '.', toString(number %% 256))), 0, 0x00408c000000 + number,
				now64(3) - 86400, now64(3), 'lease', 95, concat('host-', toString(number)), 0, now64(3)
			FROM numbers(%d)`, devices),
		fmt.Sprintf(`INSERT INTO kinds (site, device, classified, kind, iot, probability, since, rules) SELECT 'home', cityHash64(number), now64(3), 'camera', 'iot', 0.9, now64(3), 1 FROM numbers(%d)`, devices),
		"OPTIMIZE TABLE edges FINAL",
	}
	for _, statement := range fill {
		if err := db.Conn().Exec(b.Context(), statement); err != nil {
			b.Fatal(err)
		}
	}
	s, err := profile.New(db, profile.Config{Site: "home", Vendor: enrich.Vendor, Service: enrich.ServiceName}, nil, zerolog.Nop())
	if err != nil {
		b.Fatal(err)
	}
	ask := func(site string) {
		for _, q := range []struct {
			name   string
			filter profile.DeviceFilter
		}{
			{"by address", profile.DeviceFilter{Sort: "address", Limit: 100}},
			{"by last seen", profile.DeviceFilter{Sort: "last", Limit: 100}},
			{"one network", profile.DeviceFilter{Network: netip.MustParsePrefix("10.0.77.0/24"), Sort: "address", Limit: 300}},
			{"match", profile.DeviceFilter{Match: "host-777", Sort: "name", Limit: 100}},
			{"cameras", profile.DeviceFilter{Kind: "camera", Sort: "address", Limit: 100}},
			{"active", profile.DeviceFilter{State: profile.DeviceActive, Sort: "address", Limit: 100}},
		} {
			b.Run(site+"/"+q.name, func(b *testing.B) {
				medians(b, func() {
					list, total, err := s.DevicesOf(b.Context(), q.filter)
					if err != nil || len(list) == 0 {
						b.Fatalf("%d of %d devices, %v", len(list), total, err)
					}
				})
			})
		}
		b.Run(site+"/find one", func(b *testing.B) {
			medians(b, func() {
				if _, err := s.Device(b.Context(), "10.0.77.7"); err != nil {
					b.Fatal(err)
				}
			})
		})
		b.Run(site+"/find one and its baseline", func(b *testing.B) {
			medians(b, func() {
				d, err := s.Device(b.Context(), "10.0.77.7")
				if err != nil {
					b.Fatal(err)
				}
				if _, err := s.Baseline(b.Context(), d); err != nil {
					b.Fatal(err)
				}
			})
		})
	}
	ask("all by MAC")
	for _, statement := range []string{
		`INSERT INTO device_lives (site, device, identity, mac, received, first, last, sent, addresses)
			SELECT 'home', cityHash64('bare', number), number % 2 ? 'gateway' : 'address', number % 2 ? 0x001122000000 + number % 20 : 0, today(), now64(3) - 86400 * 20 + number, now64(3) - number % 5000, 100,
				[toIPv6(concat('10.9.', toString(intDiv(number, 200)), '.', toString(number % 200)))]
			FROM numbers(2000)`,
		`INSERT INTO identity_intervals (site, device, addr, vrf, mac, begun, ended, source, confidence, name, gateway, written)
			SELECT 'home', cityHash64('bare', number), toIPv6('::ffff:10.9.0.1'), 0, 0x00408d000000 + number, now64(3) - 86400, now64(3), 'lease', 95, concat('leased-', toString(number)), 0, now64(3) FROM numbers(1000)`,
		`INSERT INTO device_aliases (site, device, target, source, actor, reason, changed) SELECT 'home', cityHash64(50000 + number), cityHash64(40000 + number), 'operator', 'ann', 'one', now64(3) FROM numbers(500)`,
		`INSERT INTO labels (site, device, label, actor, changed) SELECT 'home', cityHash64(3 * number), concat('label ', toString(number)), 'ann', now64(3) FROM numbers(1000)`,
		`INSERT INTO incidents (id, version, site, device, family, state, opened, changed, risk) SELECT number, 1, 'home', cityHash64(number), 'scan', 'open', now64(3), now64(3), 50 FROM numbers(200)`,
	} {
		if err := db.Conn().Exec(b.Context(), statement); err != nil {
			b.Fatal(err)
		}
	}
	ask("mixed")
}

// medians runs f again and again, and reports the median of what it takes.
func medians(b *testing.B, f func()) {
	var walls, cpus []time.Duration
	for b.Loop() {
		at, used := time.Now(), cpuUsed(b)
		f()
		walls, cpus = append(walls, time.Since(at)), append(cpus, cpuUsed(b)-used)
	}
	slices.Sort(walls)
	slices.Sort(cpus)
	b.ReportMetric(walls[len(walls)/2].Seconds()*1e3, "median-ms")
	b.ReportMetric(cpus[len(cpus)/2].Seconds()*1e3, "median-cpu-ms")
}

// cpuUsed is the CPU time of this process, the engine's in it.
func cpuUsed(b *testing.B) time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
