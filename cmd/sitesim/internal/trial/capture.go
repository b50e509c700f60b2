package trial

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"

	"tidemark/cmd/sitesim/internal/export"
	"tidemark/cmd/sitesim/internal/packet"
	"tidemark/cmd/sitesim/internal/site"
)

// captures writes datagrams into one file after the other, cut at given times. Its first error sticks.
type captures struct {
	dir    string
	ends   []time.Time
	slices []Slice
	file   *os.File
	full   *bufio.Writer
	w      *pcapgo.Writer
	buf    gopacket.SerializeBuffer
	err    error
}

func newCaptures(dir string, start time.Time, cuts []time.Duration, end time.Time) *captures {
	o := &captures{dir: dir, buf: gopacket.NewSerializeBuffer()}
	for _, c := range cuts {
		o.ends = append(o.ends, start.Add(c))
	}
	o.ends = append(o.ends, end)
	o.next()
	return o
}

// next begins the next file.
func (o *captures) next() {
	o.err = errors.Join(o.err, o.finish())
	path := filepath.Join(o.dir, fmt.Sprintf("slice-%03d.pcap", len(o.slices)))
	o.slices = append(o.slices, Slice{File: path, End: o.ends[len(o.slices)]})
	f, err := os.Create(path)
	if err != nil {
		o.err = errors.Join(o.err, fmt.Errorf("create capture: %w", err))
		return
	}
	o.file, o.full = f, bufio.NewWriterSize(f, 1<<20)
	o.w = pcapgo.NewWriterNanos(o.full)
	o.err = errors.Join(o.err, o.w.WriteFileHeader(65535, layers.LinkTypeEthernet))
}

func (o *captures) write(r site.Router, at int64, payload []byte) {
	for len(o.slices) < len(o.ends) && at >= o.slices[len(o.slices)-1].End.UnixNano() {
		o.next()
	}
	if o.err == nil {
		o.err = o.packet(netip.MustParseAddr(r.Agent), uint16(50000+r.Domain), portOf(export.Protocol(r.Protocol)), at, payload)
	}
}

func portOf(p export.Protocol) uint16 {
	switch p {
	case export.IPFIX:
		return 4739
	case export.SFlow:
		return 6343
	}
	return 2055
}

func (o *captures) packet(agent netip.Addr, from, to uint16, at int64, payload []byte) error {
	source := agent.As4()
	ip := &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolUDP, SrcIP: source[:], DstIP: net.IPv4(10, 20, 0, 254)}
	udp := &layers.UDP{SrcPort: layers.UDPPort(from), DstPort: layers.UDPPort(to)}
	if err := udp.SetNetworkLayerForChecksum(ip); err != nil {
		return fmt.Errorf("write capture: %w", err)
	}
	eth := &layers.Ethernet{SrcMAC: net.HardwareAddr{2, 0, source[0], source[1], source[2], source[3]}, DstMAC: net.HardwareAddr{2, 0, 10, 20, 0, 254}, EthernetType: layers.EthernetTypeIPv4}
	if err := gopacket.SerializeLayers(o.buf, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, eth, ip, udp, gopacket.Payload(payload)); err != nil {
		return fmt.Errorf("write capture: %w", err)
	}
	b := o.buf.Bytes()
	if err := o.w.WritePacket(gopacket.CaptureInfo{Timestamp: time.Unix(0, at), CaptureLength: len(b), Length: len(b)}, b); err != nil {
		return fmt.Errorf("write capture: %w", err)
	}
	return nil
}

func (o *captures) finish() error {
	if o.file == nil {
		return nil
	}
	err := errors.Join(o.full.Flush(), o.file.Close())
	o.file = nil
	return err
}

// close ends the last file and makes those that no datagram reached.
func (o *captures) close() error {
	for len(o.slices) < len(o.ends) {
		o.next()
	}
	return errors.Join(o.err, o.finish())
}

// Export lets one router see the packets, in order of time, and writes what it exports.
func Export(file string, t Tap, trains []packet.Train) (records uint64, err error) {
	if len(trains) == 0 {
		return 0, fmt.Errorf("export %s: no packets", file)
	}
	begin, end := trains[0].At, trains[len(trains)-1].At
	o := newCaptures(filepath.Dir(file), time.Unix(0, begin), nil, time.Unix(0, end+civilDay))
	w := site.Router{Name: "A", Protocol: string(t.Protocol), Agent: "192.0.2.1", Domain: 1}
	e, err := export.New(export.Options{
		Protocol: t.Protocol, Agent: netip.MustParseAddr(w.Agent), Domain: w.Domain, Active: t.Active, Inactive: t.Inactive,
		Sampling: max(1, t.Sampling), Biflow: t.Biflow, NoMAC: t.NoMAC, NoFlags: t.NoFlags, Interfaces: []uint16{1, 100},
	}, export.State{Boot: begin - civilDay}, func(d export.Datagram) { o.write(w, d.At, d.Payload) })
	if err != nil {
		return 0, err
	}
	now := begin
	for _, one := range trains {
		for now+int64(time.Second) <= one.At {
			now += int64(time.Second)
			e.Advance(now)
		}
		e.Observe(one)
	}
	for range 120 {
		now += int64(time.Second)
		e.Advance(now)
	}
	e.Flush(now)
	if err := o.close(); err != nil {
		return 0, err
	}
	return e.Stats().Records, os.Rename(o.slices[0].File, file)
}

const civilDay = int64(24 * time.Hour)
