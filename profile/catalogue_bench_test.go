package profile_test

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/rs/zerolog"
	"golang.org/x/sys/unix"

	"tidemark/enrich"
	"tidemark/profile"
	"tidemark/storage/storagetest"
)

// BenchmarkCatalogue asks the catalogue of 100,000 devices with 10 million edges.
// Its rows are made by the engine: flows for them would take hours.
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
	for name, f := range map[string]profile.DeviceFilter{
		"first page":   {Sort: "address", Limit: 100},
		"by last seen": {Sort: "last", Limit: 100},
		"one network":  {Network: netip.MustParsePrefix("10.0.77.0/24"), Sort: "address", Limit: 300},
		"match":        {Match: "host-777", Sort: "name", Limit: 100},
	} {
		b.Run(name, func(b *testing.B) {
			defer cpuTime(b)()
			for b.Loop() {
				list, total, err := s.DevicesOf(b.Context(), f)
				if err != nil || len(list) == 0 {
					b.Fatalf("%d of %d devices, %v", len(list), total, err)
				}
			}
		})
	}
	b.Run("find one and its baseline", func(b *testing.B) {
		defer cpuTime(b)()
		for b.Loop() {
			d, err := s.Device(b.Context(), "10.0.77.7")
			if err != nil {
				b.Fatal(err)
			}
			if _, err := s.Baseline(b.Context(), d); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// cpuTime reports the CPU time of an operation, of all threads: what the
// machine's other work does not touch. The engine runs in this process.
func cpuTime(b *testing.B) func() {
	cpu := func() int64 {
		var u unix.Rusage
		if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
			b.Fatal(err)
		}
		return u.Utime.Nano() + u.Stime.Nano()
	}
	begun := cpu()
	return func() { b.ReportMetric(float64(cpu()-begun)/float64(b.N)/1e6, "cpu-ms/op") }
}
