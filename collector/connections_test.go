package collector

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"tidemark/collector/flow"
)

// ipfix makes a message; sets come as made by ipfixSet.
func ipfix(sequence, domain uint32, sets ...[]byte) []byte {
	b := binary.BigEndian.AppendUint32([]byte{0, 10, 0, 0}, uint32(time.Now().Unix()))
	b = binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(b, sequence), domain)
	for _, s := range sets {
		b = append(b, s...)
	}
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	return b
}

func ipfixSet(id uint16, body []byte) []byte {
	b := binary.BigEndian.AppendUint16(nil, id)
	return append(binary.BigEndian.AppendUint16(b, uint16(4+len(body))), body...)
}

// addressTemplate is template 256: both IPv4 addresses and octets.
var addressTemplate = ipfixSet(2, []byte{1, 0, 0, 3, 0, 8, 0, 4, 0, 12, 0, 4, 0, 1, 0, 4})

func addressRecords(n int) []byte {
	body := make([]byte, 12*n)
	for i := range n {
		copy(body[12*i:], []byte{10, 0, 0, 1, 192, 0, 2, 1, 0, 0, 0, 100})
	}
	return ipfixSet(256, body)
}

func connect(t testing.TB, c *running, i int) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", c.connections.listeners[i].Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func send(t testing.TB, conn net.Conn, b []byte) {
	t.Helper()
	if _, err := conn.Write(b); err != nil {
		t.Fatal(err)
	}
}

// eventually waits for what must come to hold.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("after 30 s still not: %s", what)
		}
	}
}

// closedByPeer waits until the collector has closed the connection.
func closedByPeer(t testing.TB, conn net.Conn) {
	t.Helper()
	if err := conn.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if n, err := conn.Read(make([]byte, 1)); err == nil || os.IsTimeout(err) {
		t.Fatalf("read %d octets, %v, want the connection closed", n, err)
	}
}

func TestConnection_MessagesInAnyPiecesAndTheirSequenceNumbers(t *testing.T) {
	var s sink
	c := start(t, Config{TCP: []string{"127.0.0.1:0"}}, Deps{Log: zerolog.Nop(), Handle: s.handle})
	conn := connect(t, c, 0)
	stream := ipfix(0, 7, addressTemplate)
	sequence := uint32(0)
	for i := range 20 {
		stream = append(stream, ipfix(sequence, 7, addressRecords(1+i%5))...)
		sequence += uint32(1 + i%5)
	}
	stream = append(stream, ipfix(sequence+10, 7, addressRecords(4000))...) // 10 records were lost by the exporter
	for i := 0; i < len(stream); {
		n := min(1+(i*7)%97, len(stream)-i)
		if i > 2000 {
			n = len(stream) - i
		}
		send(t, conn, stream[i:i+n])
		i += n
	}
	eventually(t, "all rows", func() bool { return s.rows() == 4060 })
	if s.batch.Transport[0] != flow.TCP || s.batch.SamplerAddress[0] != [16]byte{10: 0xff, 11: 0xff, 12: 127, 15: 1} {
		t.Errorf("transport %v, exporter %v", s.batch.Transport[0], s.batch.SamplerAddress[0])
	}
	e := c.Exporters()
	if len(e) != 1 || e[0].Lost != 10 || e[0].Received != 4060 || e[0].Connections != 1 || e[0].TemplatesKnown != 1 {
		t.Errorf("status %+v, want 10 records lost of 4070, one connection, one template", e)
	}
	conn.Close()
	eventually(t, "the templates end with the connection", func() bool { e := c.Exporters()[0]; return e.TemplatesKnown == 0 && e.Connections == 0 })
}

// RFC 7011, Section 8: templates and sequence numbers belong to the Transport Session.
func TestConnection_IsATransportSession(t *testing.T) {
	var s sink
	c := start(t, Config{TCP: []string{"127.0.0.1:0"}, Workers: 2}, Deps{Log: zerolog.Nop(), Handle: s.handle})
	first, second := connect(t, c, 0), connect(t, c, 0)
	send(t, first, ipfix(0, 1, addressTemplate))
	send(t, first, ipfix(0, 1, addressRecords(500)))
	eventually(t, "rows of the first connection", func() bool { return s.rows() == 500 })
	send(t, second, ipfix(0, 1, addressRecords(1))) // knows no template
	eventually(t, "a set waits", func() bool { return c.Exporters()[0].Waiting == 1 })
	second.Close()
	eventually(t, "the set is given up", func() bool { return c.Exporters()[0].Undecodable["template_unknown"] == 1 })

	third := connect(t, c, 0)
	send(t, third, append(ipfix(0, 1, addressTemplate), ipfix(0, 1, addressRecords(2))...))
	eventually(t, "rows of the third connection", func() bool { return s.rows() == 502 })
	send(t, first, ipfix(500, 1, ipfixSet(2, []byte{1, 0, 0, 0}), addressRecords(1))) // withdrawn, then used
	eventually(t, "a set waits", func() bool { return c.Exporters()[0].Waiting == 1 })
	if e := c.Exporters()[0]; e.Restarts != 0 || e.Lost != 0 || e.Duplicates != 0 {
		t.Errorf("status %+v, want three sessions that each count from 0", e)
	}
}

func TestConnection_BrokenFramingEndsIt(t *testing.T) {
	for name, octets := range map[string][]byte{
		"version": v5(0, 1), "length": {0, 10, 0, 15, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			c := start(t, Config{TCP: []string{"127.0.0.1:0"}}, Deps{Log: zerolog.Nop()})
			conn := connect(t, c, 0)
			send(t, conn, octets)
			closedByPeer(t, conn)
			eventually(t, "it is counted", func() bool {
				return c.connections.refused[endedFraming].Load() == 1 && len(c.Exporters()) == 1 && c.Exporters()[0].Undecodable["malformed"] == 1
			})
		})
	}
}

func TestConnection_EndWithinAMessageIsCounted(t *testing.T) {
	c := start(t, Config{TCP: []string{"127.0.0.1:0"}}, Deps{Log: zerolog.Nop()})
	conn := connect(t, c, 0)
	message := ipfix(0, 1, addressTemplate)
	send(t, conn, message[:len(message)-1])
	conn.Close()
	eventually(t, "a cut message", func() bool { return len(c.Exporters()) == 1 && c.Exporters()[0].Undecodable["short"] == 1 })
}

// limited starts a collector with the limits.
func limited(t *testing.T, config Config, limits connectionLimits) *running {
	t.Helper()
	config.TCP, config.Listen = []string{"127.0.0.1:0"}, []string{"127.0.0.1:0"}
	co := newCollector(t, config, Deps{Log: zerolog.Nop()})
	co.connections.limits = limits
	if err := co.Listen(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- co.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return &running{Collector: co, t: t}
}

func TestConnection_SilentAndTricklingPeersAreEnded(t *testing.T) {
	limits := defaultConnectionLimits()
	limits.Idle, limits.Message = 100*time.Millisecond, 50*time.Millisecond
	c := limited(t, Config{}, limits)
	silent, trickling := connect(t, c, 0), connect(t, c, 0)
	send(t, trickling, ipfix(0, 1, addressTemplate)[:17])
	closedByPeer(t, silent)
	closedByPeer(t, trickling)
	eventually(t, "both are counted", func() bool { return c.connections.refused[endedTimeout].Load() == 2 })
}

func TestConnection_NumberIsBounded(t *testing.T) {
	limits := defaultConnectionLimits()
	limits.PerAddress = 2
	c := limited(t, Config{}, limits)
	first := connect(t, c, 0)
	connect(t, c, 0)
	eventually(t, "two connections", func() bool { return len(c.connections.list()) == 2 })
	closedByPeer(t, connect(t, c, 0))
	if n := c.connections.refused[refusedLimit].Load(); n != 1 {
		t.Errorf("%d refused, want 1", n)
	}
	first.Close()
	eventually(t, "room again", func() bool { return len(c.connections.list()) == 1 })
	again := connect(t, c, 0)
	send(t, again, ipfix(0, 1, addressTemplate))
	eventually(t, "the new connection is read", func() bool { e := c.Exporters(); return len(e) == 1 && e[0].Templates == 1 })
}

func (cs *connections) list() map[*connection]struct{} {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	out := map[*connection]struct{}{}
	for s := range cs.open {
		out[s] = struct{}{}
	}
	return out
}

func TestConnection_StrangersAreRefused(t *testing.T) {
	c := limited(t, Config{Allow: []Network{prefix("192.0.2.0/24")}}, defaultConnectionLimits())
	closedByPeer(t, connect(t, c, 0))
	if n := c.connections.refused[refusedNotAllowed].Load(); n != 1 {
		t.Errorf("%d refused, want 1", n)
	}
}

// What an exporter has sent when we stop is read, if it comes within the drain.
func TestConnection_DrainReadsWhatWasSent(t *testing.T) {
	var s sink
	c := start(t, Config{TCP: []string{"127.0.0.1:0"}}, Deps{Log: zerolog.Nop(), Handle: s.handle})
	conns := []net.Conn{connect(t, c, 0), connect(t, c, 0), connect(t, c, 0)}
	for _, conn := range conns {
		send(t, conn, ipfix(0, 1, addressTemplate))
	}
	eventually(t, "connections are served", func() bool { e := c.Exporters(); return len(e) == 1 && e[0].Templates == 3 })
	for i := range 100 {
		for _, conn := range conns {
			send(t, conn, ipfix(uint32(10*i), 1, addressRecords(10)))
		}
	}
	c.stop()
	if s.rows() != 3000 {
		t.Errorf("%d rows, want 3000", s.rows())
	}
	for _, conn := range conns {
		closedByPeer(t, conn)
	}
}

// Over TCP the rate limit slows the exporter down; its templates come only once.
func TestConnection_RateLimitShedsNothing(t *testing.T) {
	var s sink
	c := start(t, Config{TCP: []string{"127.0.0.1:0"}, RateLimit: 50}, Deps{Log: zerolog.Nop(), Handle: s.handle})
	conn := connect(t, c, 0)
	began := time.Now()
	send(t, conn, ipfix(0, 1, addressTemplate))
	for i := range 74 {
		send(t, conn, ipfix(uint32(i), 1, addressRecords(1)))
	}
	eventually(t, "all rows", func() bool { return s.rows() == 74 })
	if e := c.Exporters()[0]; e.Shed != 0 || e.Lost != 0 {
		t.Errorf("status %+v, want nothing shed or lost", e)
	}
	if took := time.Since(began); took < 480*time.Millisecond {
		t.Errorf("75 messages took %s, want half a second for the 25 over the burst of 50", took)
	}
}

// certificate makes a key and a certificate signed by parent (itself if nil) and
// writes both as PEM.
func certificate(t *testing.T, dir, name string, parent *x509.Certificate, by *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: parent == nil, BasicConstraintsValid: true, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	if parent == nil {
		template.KeyUsage, parent, by = x509.KeyUsageCertSign, template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, by)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{name + ".pem": {Type: "CERTIFICATE", Bytes: der}, name + ".key": {Type: "PRIVATE KEY", Bytes: keyDER}} {
		if err := os.WriteFile(filepath.Join(dir, file), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c, key
}

func TestTLS_ExporterWithACertificateIsReadAndOthersAreNot(t *testing.T) {
	dir := t.TempDir()
	ca, caKey := certificate(t, dir, "ca", nil, nil)
	certificate(t, dir, "collector", ca, caKey)
	certificate(t, dir, "exporter", ca, caKey)
	certificate(t, dir, "stranger", nil, nil)
	path := func(name string) string { return filepath.Join(dir, name) }
	var s sink
	c := start(t, Config{TLS: TLSConfig{Listen: []string{"127.0.0.1:0"}, Certificate: path("collector.pem"), Key: path("collector.key"), ClientCA: path("ca.pem")}},
		Deps{Log: zerolog.Nop(), Handle: s.handle})
	address := c.connections.listeners[0].Addr().String()
	roots := x509.NewCertPool()
	roots.AddCert(ca)
	dial := func(name string) (*tls.Conn, error) {
		config := &tls.Config{RootCAs: roots}
		if name != "" {
			pair, err := tls.LoadX509KeyPair(path(name+".pem"), path(name+".key"))
			if err != nil {
				t.Fatal(err)
			}
			config.Certificates = []tls.Certificate{pair}
		}
		return tls.Dial("tcp", address, config)
	}
	conn, err := dial("exporter")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	send(t, conn, append(ipfix(0, 1, addressTemplate), ipfix(0, 1, addressRecords(5))...))
	eventually(t, "rows over TLS", func() bool { return s.rows() == 5 })
	if s.batch.Transport[0] != flow.TLS {
		t.Errorf("transport %v, want TLS", s.batch.Transport[0])
	}
	for i, name := range []string{"", "stranger"} {
		// TLS 1.3 clients learn of the refusal when they read.
		if conn, err := dial(name); err == nil {
			closedByPeer(t, conn)
			conn.Close()
		}
		eventually(t, "a refused handshake", func() bool { return c.connections.refused[refusedHandshake].Load() == uint64(i+1) })
	}
	plain := connect(t, c, 0)
	send(t, plain, ipfix(0, 1, addressTemplate))
	closedByPeer(t, plain)

	// A renewed certificate is used without a restart.
	renewed, _ := certificate(t, dir, "collector", ca, caKey)
	if err := os.Chtimes(path("collector.pem"), time.Time{}, time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	again, err := dial("exporter")
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if got := again.ConnectionState().PeerCertificates[0]; !got.Equal(renewed) {
		t.Errorf("the collector shows certificate %v, want the renewed %v", got.SerialNumber, renewed.SerialNumber)
	}
}

func TestTLS_FilesThatDoNotLoadAreNamed(t *testing.T) {
	dir := t.TempDir()
	certificate(t, dir, "a", nil, nil)
	path := func(name string) string { return filepath.Join(dir, name) }
	for name, tt := range map[string]struct {
		config TLSConfig
		want   string
	}{
		"missing":   {TLSConfig{Certificate: path("none.pem"), Key: path("a.key")}, "none.pem"},
		"no key":    {TLSConfig{Certificate: path("a.pem"), Key: path("a.pem")}, "collector.tls.certificate"},
		"empty CAs": {TLSConfig{Certificate: path("a.pem"), Key: path("a.key"), ClientCA: path("a.key")}, "no certificate in it"},
	} {
		t.Run(name, func(t *testing.T) {
			tt.config.Listen = []string{"127.0.0.1:0"}
			c := newCollector(t, Config{TLS: tt.config}, Deps{Log: zerolog.Nop()})
			defer c.Close()
			if err := c.Listen(); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Listen: %v, want an error with %q", err, tt.want)
			}
		})
	}
}

func TestConnection_PortInUseIsNamed(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c := newCollector(t, Config{TCP: []string{l.Addr().String()}}, Deps{Log: zerolog.Nop()})
	defer c.Close()
	if err := c.Listen(); err == nil || !strings.Contains(err.Error(), l.Addr().String()) || !strings.Contains(err.Error(), "collector.tcp") {
		t.Errorf("Listen: %v, want an error that names the address and the setting", err)
	}
}

// softflowd exports over TCP, too: all packets of the captures must arrive.
func TestConnection_SoftflowdOverTCP(t *testing.T) {
	softflowd := tool(t, "softflowd")
	var s sink
	c := start(t, Config{TCP: []string{"127.0.0.1:0"}}, Deps{Log: zerolog.Nop(), Handle: s.handle})
	var packets, octets uint64
	for i, capture := range iotTraffic(t) {
		if i%5 != 0 {
			continue
		}
		export(t, softflowd, capture.file, c.connections.listeners[0].Addr(), "-v", "10", "-T", "ether", "-A", "milli", "-P", "tcp")
		packets, octets = packets+capture.packets, octets+capture.octets
	}
	eventually(t, "every packet", func() bool { p, _ := s.totals(); return p >= packets })
	c.stop()
	if p, o := s.totals(); p != packets || o != octets {
		t.Errorf("%d packets, %d octets, want %d and %d", p, o, packets, octets)
	}
	for _, e := range c.Exporters() {
		if len(e.Undecodable) > 0 || e.Shed > 0 || e.Lost > 0 || e.Restarts > 0 {
			t.Errorf("status %+v, want nothing lost", e)
		}
	}
}
