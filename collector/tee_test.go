package collector

import (
	"bytes"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
)

func listenUDP(t *testing.T) *net.UDPConn {
	t.Helper()
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func TestTee_EveryDatagramReachesEveryTarget(t *testing.T) {
	first, second := listenUDP(t), listenUDP(t)
	var s sink
	c := start(t, Config{Workers: 1, Tee: []string{first.LocalAddr().String(), second.LocalAddr().String()}}, Deps{Log: zerolog.Nop(), Handle: s.handle})
	conn := c.dial(0)
	var sent [][]byte
	for i := range uint32(100) {
		sent = append(sent, v5(i, 1+int(i)%30))
	}
	sent = append(sent, []byte("no export at all"))
	for _, b := range sent {
		write(t, conn, b)
	}
	c.await(uint64(len(sent)))
	for _, target := range []*net.UDPConn{first, second} {
		buffer := make([]byte, 65536)
		for i, want := range sent {
			if err := target.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
				t.Fatal(err)
			}
			n, err := target.Read(buffer)
			if err != nil || !bytes.Equal(buffer[:n], want) {
				t.Fatalf("datagram %d: %d octets, %v, want the %d that were sent", i, n, err, len(want))
			}
		}
	}
	for _, tee := range c.tees {
		for i := 0; tee.sent.Load() < uint64(len(sent)) && i < 1000; i++ {
			time.Sleep(10 * time.Millisecond) // it counts after it has sent
		}
		if tee.sent.Load() != uint64(len(sent)) || tee.dropped.Load() != 0 {
			t.Errorf("%s: %d sent, %d dropped, want %d and 0", tee.address, tee.sent.Load(), tee.dropped.Load(), len(sent))
		}
	}
}

// A target that is away, or does not read, costs it datagrams and us nothing.
func TestTee_DeadTargetIsCountedAndStopsNothing(t *testing.T) {
	gone := listenUDP(t)
	address := gone.LocalAddr().String()
	gone.Close()
	slow := listenUDP(t) // never reads
	if err := slow.SetReadBuffer(1); err != nil {
		t.Fatal(err)
	}
	var s sink
	c := start(t, Config{Workers: 1, Tee: []string{address, slow.LocalAddr().String()}}, Deps{Log: zerolog.Nop(), Handle: s.handle})
	conn := c.dial(0)
	const sent = 500
	for i := range uint32(sent) {
		write(t, conn, v5(i, 1))
	}
	c.await(sent)
	c.stop()
	if s.rows() != sent {
		t.Errorf("%d rows, want %d", s.rows(), sent)
	}
	dead := c.tees[0]
	if dead.dropped.Load() == 0 || dead.sent.Load()+dead.dropped.Load() != sent {
		t.Errorf("%d sent, %d dropped, want both to make %d", dead.sent.Load(), dead.dropped.Load(), sent)
	}
}

func TestTee_StrangersAreNotForwarded(t *testing.T) {
	target := listenUDP(t)
	c := start(t, Config{Workers: 1, Allow: []Network{prefix("192.0.2.0/24")}, Tee: []string{target.LocalAddr().String()}}, Deps{Log: zerolog.Nop()})
	write(t, c.dial(0), v5(0, 1))
	c.await(1)
	c.stop()
	if n := c.tees[0].sent.Load(); n != 0 {
		t.Errorf("%d datagrams of an exporter that is not allowed were forwarded", n)
	}
}

func TestTee_OwnSocketIsRefused(t *testing.T) {
	port := listenUDP(t)
	address := port.LocalAddr().String()
	_, number, _ := net.SplitHostPort(address)
	port.Close()
	for _, listen := range []string{address, ":" + number} {
		c := newCollector(t, Config{Listen: []string{listen}, Tee: []string{address}}, Deps{Log: zerolog.Nop()})
		if err := c.Listen(); err == nil || !strings.Contains(err.Error(), "own socket") {
			t.Errorf("Listen on %s with a tee to %s: %v, want an error that names the loop", listen, address, err)
			c.Close()
		}
	}
}
