package collector

import (
	"bufio"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
)

// capture reads the packets of a pcap or pcapng file, which may be compressed
// with gzip.
type capture struct {
	in     *counter // octets of the file read, compressed or not
	plain  *counter // octets of the capture read ahead
	pcap   *pcapgo.Reader
	ng     *pcapgo.NgReader
	offset int64 // of the next packet of a pcap file
}

type counter struct {
	r   io.Reader
	n   int64
	err error // the last one: pcapgo takes some others for the end of the file
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	c.err = err
	return n, err
}

// end is the error at the end of the capture: io.EOF if it was read whole.
func (c *counter) end() error {
	if c.err == nil || errors.Is(c.err, io.EOF) {
		return io.EOF
	}
	return fmt.Errorf("read before octet %d: %w", c.n, c.err)
}

const (
	pcapFileHeader   = 24
	pcapPacketHeader = 16
	maxPacket        = 1 << 18 // libpcap's own limit
)

var errNoCapture = errors.New("want a pcap or pcapng file, gzip allowed: save with `tcpdump -w FILE udp` or Wireshark")

func openCapture(r io.Reader) (*capture, error) {
	c := &capture{in: &counter{r: r}}
	file := bufio.NewReader(c.in)
	c.plain = &counter{r: file}
	if magic, _ := file.Peek(2); len(magic) == 2 && magic[0] == 0x1f && magic[1] == 0x8b {
		z, err := gzip.NewReader(file)
		if err != nil {
			return nil, fmt.Errorf("read gzip header: %w", err)
		}
		c.plain.r = z
	}
	b := bufio.NewReader(c.plain)
	magic, err := b.Peek(4)
	if err != nil {
		return nil, fmt.Errorf("%w; got %d octets", errNoCapture, len(magic))
	}
	switch m := binary.LittleEndian.Uint32(magic); m {
	case 0x0a0d0d0a:
		c.ng, err = pcapgo.NewNgReader(b, pcapgo.NgReaderOptions{WantMixedLinkType: true, SkipUnknownVersion: true})
	case 0xa1b2c3d4, 0xd4c3b2a1, 0xa1b23c4d, 0x4d3cb2a1:
		c.offset = pcapFileHeader
		if c.pcap, err = pcapgo.NewReader(b); err == nil {
			c.pcap.SetSnaplen(maxPacket) // writers exceed the length they declare
		}
	default:
		return nil, fmt.Errorf("%w; the file begins %x", errNoCapture, magic)
	}
	if err != nil {
		return nil, fmt.Errorf("read file header: %w", err)
	}
	return c, nil
}

// next returns the next packet, valid until the next call; io.EOF at the end of
// a whole file.
func (c *capture) next() (link layers.LinkType, packet []byte, at time.Time, err error) {
	var info gopacket.CaptureInfo
	if c.ng != nil {
		packet, info, err = c.ng.ZeroCopyReadPacketData()
		if err == nil {
			link, _ = info.AncillaryData[0].(layers.LinkType)
			return link, packet, info.Timestamp, nil
		}
		if errors.Is(err, io.EOF) {
			return 0, nil, time.Time{}, c.plain.end()
		}
		return 0, nil, time.Time{}, fmt.Errorf("read packet before octet %d: %w", c.plain.n, err)
	}
	packet, info, err = c.pcap.ZeroCopyReadPacketData()
	if errors.Is(err, io.EOF) && info.CaptureLength == 0 {
		return 0, nil, time.Time{}, c.plain.end()
	}
	if err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF // the file ends after a packet's header
		}
		return 0, nil, time.Time{}, fmt.Errorf("read packet at octet %d: %w", c.offset, err)
	}
	c.offset += pcapPacketHeader + int64(info.CaptureLength)
	return c.pcap.LinkType(), packet, info.Timestamp, nil
}
