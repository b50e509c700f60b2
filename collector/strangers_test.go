package collector

import (
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
)

// Senders that are not allowed are told of once a day and network, however many
// addresses they make up.
func TestCollector_StrangersAreToldOfOnceADayAndNetwork(t *testing.T) {
	now := time.Unix(labSeconds, 0)
	var mu sync.Mutex
	var told []Stranger
	r := start(t, Config{Allow: []Network{{netip.MustParsePrefix("192.0.2.0/24")}}, Workers: 1}, Deps{Log: zerolog.Nop(),
		Clock:    func() time.Time { mu.Lock(); defer mu.Unlock(); return now },
		Stranger: func(s Stranger) { mu.Lock(); defer mu.Unlock(); told = append(told, s) }})
	count := func() int { mu.Lock(); defer mu.Unlock(); return len(told) }
	until := func(n int) {
		t.Helper()
		for end := time.Now().Add(10 * time.Second); count() < n && time.Now().Before(end); time.Sleep(time.Millisecond) {
		}
		if got := count(); got != n {
			t.Fatalf("told %d times, want %d", got, n)
		}
	}
	sent := uint64(0)
	send := func(source string) {
		conn, err := net.DialUDP("udp", &net.UDPAddr{IP: net.ParseIP(source)}, net.UDPAddrFromAddrPort(r.Addrs()[0]))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		write(t, conn, v5(0, 1))
		sent++
		r.await(sent)
	}
	send("127.0.0.1")
	send("127.0.0.2")
	send("127.0.1.1")
	until(2)
	if s := told[0]; s.Network != netip.MustParsePrefix("127.0.0.0/24") || s.Address.Addr() != netip.MustParseAddr("127.0.0.1") || !s.Time.Equal(now) {
		t.Errorf("told of %+v", s)
	}
	mu.Lock()
	now = now.AddDate(0, 0, 1)
	mu.Unlock()
	send("127.0.0.1")
	until(3)
	for i := range maxStrangers + 100 { // made up addresses
		r.strangers.heard(netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 1}), 1), now.UnixNano())
		for len(r.strangers.tell) > 0 {
			time.Sleep(time.Millisecond)
		}
	}
	until(3 + maxStrangers) // those of the second day, the last one for all other networks
	if told[count()-1].Network.IsValid() {
		t.Errorf("the last one told of is %v, want all others", told[count()-1].Network)
	}
}
