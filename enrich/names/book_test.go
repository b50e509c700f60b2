package names

import (
	"fmt"
	"net/netip"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// counted is the sum of a metric, of one protocol if it is named.
func counted(t *testing.T, r *prometheus.Registry, metric, protocol string) (sum float64) {
	t.Helper()
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == metric && (protocol == "" || m.GetLabel()[0].GetValue() == protocol) {
				sum += m.GetCounter().GetValue()
			}
		}
	}
	return sum
}

// TestBook_BoundsWhatWaits: workers observe at the same time, more names than
// may wait; what is over is counted.
func TestBook_BoundsWhatWaits(t *testing.T) {
	r := prometheus.NewRegistry()
	b, err := New(nil, Config{Site: "home", Inside: netip.Addr.IsPrivate, Registerer: r})
	if err != nil {
		t.Fatal(err)
	}
	const workers, each = 4, maxPending / 4
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := range each {
				b.Observe(packet(true, 40000, 80, fmt.Appendf(nil, "GET / HTTP/1.1\r\nHost: h%d-%d.example.org\r\n\r\n", w, i)))
			}
		})
	}
	wg.Wait()
	if len(b.pending) != maxPending { // two observations of each packet
		t.Errorf("%d wait, want %d", len(b.pending), maxPending)
	}
	if got, want := counted(t, r, "tidemark_names_dropped_total", ""), float64(maxPending); got != want {
		t.Errorf("%v counted as dropped, want %v", got, want)
	}
	if got := counted(t, r, "tidemark_names_packets_total", "http"); got != workers*each {
		t.Errorf("%v packets counted, want %d", got, workers*each)
	}
}

// TestBook_KeepsHintsOfTheSiteOnly: a host outside says nothing of a device; a
// malformed packet is counted.
func TestBook_KeepsHintsOfTheSiteOnly(t *testing.T) {
	r := prometheus.NewRegistry()
	b, err := New(nil, Config{Site: "home", Inside: netip.Addr.IsPrivate, Registerer: r})
	if err != nil {
		t.Fatal(err)
	}
	p := packet(true, 40000, 80, []byte("GET / HTTP/1.1\r\nHost: a.example.org\r\n\r\n"))
	p.Src = netip.MustParseAddr("::ffff:198.51.100.9").As16()
	b.Observe(p)
	b.Observe(packet(false, 53, 40000, []byte{1, 2, 3}))
	if len(b.pending) != 1 {
		t.Errorf("%v wait, want the name of the address only", b.pending)
	}
	if got := counted(t, r, "tidemark_names_malformed_total", "dns"); got != 1 {
		t.Errorf("%v malformed counted, want 1", got)
	}
}
