package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"

	"tidemark/cmd/sitesim/internal/export"
	"tidemark/cmd/sitesim/internal/site"
)

// loopback parses ADDR:PORT and refuses anything that is not on this machine: simulated traffic
// must never reach a real collector by mistake.
func loopback(s string) (netip.AddrPort, error) {
	ap, err := netip.ParseAddrPort(s)
	if err != nil {
		return ap, fmt.Errorf("target %q: want an address and port such as 127.0.0.1:2055", s)
	}
	if !ap.Addr().Unmap().IsLoopback() || ap.Port() == 0 {
		return ap, fmt.Errorf("target %s: sitesim only sends to this machine; use an address in 127.0.0.0/8 or [::1], and a port", s)
	}
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port()), nil
}

// udpOutput sends over real UDP, each router from a source address of its own.
type udpOutput struct {
	conns   map[string]*net.UDPConn
	pace    *pacer
	refused uint64
}

// dialUDP binds one socket per router, to the source port of an earlier run if that is free.
func dialUDP(routers []string, to map[string]netip.AddrPort, ports map[string]uint16, pace *pacer) (*udpOutput, error) {
	o := &udpOutput{conns: map[string]*net.UDPConn{}, pace: pace}
	for _, name := range routers {
		source := netip.IPv6Loopback() // all routers are ::1 then, and differ by port
		if to[name].Addr().Is4() {
			source = netip.MustParseAddr(router(name).Source)
		}
		dial := func(port uint16) (*net.UDPConn, error) {
			return net.DialUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(source, port)), net.UDPAddrFromAddrPort(to[name]))
		}
		conn, err := dial(ports[name])
		if errors.Is(err, syscall.EADDRINUSE) {
			conn, err = dial(0)
		}
		if err != nil {
			return nil, errors.Join(fmt.Errorf("open socket of exporter %s to %s: %w", name, to[name], err), o.close())
		}
		o.conns[name] = conn
		ports[name] = uint16(conn.LocalAddr().(*net.UDPAddr).Port)
	}
	return o, nil
}

func (o *udpOutput) send(router string, d export.Datagram) error {
	if err := o.pace.wait(d.Records, d.At); err != nil {
		return fmt.Errorf("stopped at virtual time %s: %w", time.Unix(0, d.At).UTC().Format(time.RFC3339), err)
	}
	_, err := o.conns[router].Write(d.Payload)
	if errors.Is(err, syscall.ECONNREFUSED) { // the answer to an earlier datagram; this one is still to send
		o.refused++
		_, err = o.conns[router].Write(d.Payload)
	}
	if err != nil && !errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("send datagram of exporter %s: %w", router, err)
	}
	return nil
}

func (o *udpOutput) close() error {
	var errs []error
	for _, c := range o.conns {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}

// pacer holds datagrams back until they are due.
type pacer struct {
	rate  float64 // flow records per second of real time at most, 0 = no cap
	speed float64 // virtual seconds that pass in one of real time, 0 = as many as there can
	now   func() time.Time
	sleep func(time.Duration) error // fails when the run is stopped

	start time.Time // since when sent is counted
	sent  float64
	began time.Time // when the first datagram went
	first int64     // its virtual time, Unix ns
}

// newPacer goes by this machine's clock. Who waits is woken when ctx is done.
func newPacer(ctx context.Context, rate, speed float64) *pacer {
	return &pacer{rate: rate, speed: speed, now: time.Now, sleep: func(d time.Duration) error {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(d):
			return nil
		}
	}}
}

// wait returns when a datagram of n records, exported at a virtual time, may go.
func (p *pacer) wait(n int, at int64) error {
	if p.speed > 0 {
		if p.began.IsZero() {
			p.began, p.first = p.now(), at
		}
		due := p.began.Add(time.Duration(float64(at-p.first) / p.speed))
		if ahead := due.Sub(p.now()); ahead > 0 {
			if err := p.sleep(ahead); err != nil {
				return err
			}
		}
	}
	return p.cap(n)
}

// cap never lets a backlog build up that would come out as a burst.
func (p *pacer) cap(n int) error {
	if p.rate <= 0 {
		return nil
	}
	if p.start.IsZero() {
		p.start = p.now()
	}
	due := time.Duration(p.sent / p.rate * float64(time.Second))
	ahead := due - p.now().Sub(p.start)
	switch {
	case ahead > 2*time.Millisecond:
		if err := p.sleep(ahead); err != nil {
			return err
		}
	case ahead < -50*time.Millisecond:
		p.start, p.sent = p.now(), 0
	}
	p.sent += float64(n)
	return nil
}

// pcapOutput writes a capture of the same datagrams, at their virtual times.
type pcapOutput struct {
	file *os.File
	full *bufio.Writer
	w    *pcapgo.Writer
	to   map[string]netip.AddrPort
	buf  gopacket.SerializeBuffer
}

func createPcap(path string, to map[string]netip.AddrPort) (*pcapOutput, error) {
	f, err := os.Create(path)
	if err != nil {
		return nil, fmt.Errorf("create capture: %w", err)
	}
	full := bufio.NewWriterSize(f, 1<<20)
	o := &pcapOutput{file: f, full: full, w: pcapgo.NewWriterNanos(full), to: to, buf: gopacket.NewSerializeBuffer()}
	if err := o.w.WriteFileHeader(65535, layers.LinkTypeEthernet); err != nil {
		return nil, errors.Join(fmt.Errorf("write capture %s: %w", path, err), f.Close())
	}
	return o, nil
}

func (o *pcapOutput) send(name string, d export.Datagram) error {
	r := router(name)
	source := netip.MustParseAddr(r.Agent).As4()
	ip := &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolUDP, SrcIP: source[:], DstIP: net.IPv4(10, 20, 0, 254)}
	udp := &layers.UDP{SrcPort: layers.UDPPort(50000 + r.Domain), DstPort: layers.UDPPort(o.to[name].Port())}
	if err := udp.SetNetworkLayerForChecksum(ip); err != nil {
		return fmt.Errorf("write capture: %w", err)
	}
	eth := &layers.Ethernet{
		SrcMAC: net.HardwareAddr{2, 0, source[0], source[1], source[2], source[3]}, DstMAC: net.HardwareAddr{2, 0, 10, 20, 0, 254},
		EthernetType: layers.EthernetTypeIPv4,
	}
	err := gopacket.SerializeLayers(o.buf, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, eth, ip, udp, gopacket.Payload(d.Payload))
	if err != nil {
		return fmt.Errorf("write capture: %w", err)
	}
	b := o.buf.Bytes()
	if err := o.w.WritePacket(gopacket.CaptureInfo{Timestamp: time.Unix(0, d.At), CaptureLength: len(b), Length: len(b)}, b); err != nil {
		return fmt.Errorf("write capture %s: %w", o.file.Name(), err)
	}
	return nil
}

func (o *pcapOutput) close() error {
	if err := errors.Join(o.full.Flush(), o.file.Close()); err != nil {
		return fmt.Errorf("write capture %s: %w", o.file.Name(), err)
	}
	return nil
}

// router finds a router of the site.
func router(name string) site.Router {
	for _, r := range site.Routers() {
		if r.Name == name {
			return r
		}
	}
	return site.Router{}
}
