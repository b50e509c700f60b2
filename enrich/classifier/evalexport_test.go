package classifier_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"

	"tidemark/collector/flow"
	"tidemark/collector/netflow"
	"tidemark/collector/sflow"
	"tidemark/enrich"
	"tidemark/enrich/names"
)

// exporter turns captures into rows: softflowd for NetFlow and IPFIX, for sFlow
// an agent of our own that samples with 128 octets of header.
type exporter struct {
	t        *testing.T
	trial    trial
	enricher *enrich.Enricher
	netflow  *netflow.Decoder
	sflow    *sflow.Decoder
	random   *rand.Rand
	sequence uint32
	conn     *net.UDPConn
	batch    flow.Batch
}

func newExporter(t *testing.T, x trial, book *names.Book) *exporter {
	t.Helper()
	enricher, err := enrich.New(enrich.Config{Site: x.String()})
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	_ = conn.SetReadBuffer(16 << 20)
	sampling := func([16]byte) (uint32, bool) { return uint32(x.rate), true }
	return &exporter{
		t: t, trial: x, enricher: enricher, conn: conn, random: rand.New(rand.NewPCG(1, uint64(x.rate))),
		netflow: netflow.New(netflow.Config{Sampling: sampling}),
		sflow: sflow.New(sflow.Config{Ports: sflow.Ports(names.Ports()...), Payload: func(b *flow.Batch, i int, payload []byte) {
			book.Observe(&names.Packet{
				Received: time.Now().UnixNano(), Src: b.SrcAddr[i], Dst: b.DstAddr[i], SrcMAC: b.SrcMAC[i], DstMAC: b.DstMAC[i],
				TCP: b.Proto[i] == 6, SrcPort: b.SrcPort[i], DstPort: b.DstPort[i], Payload: payload,
			})
		}}),
	}
}

func (p *exporter) datagram(received int64) flow.Datagram {
	return flow.Datagram{Exporter: netip.MustParseAddr("::ffff:192.0.2.1").As16(), Port: 2055, Received: received, Quality: flow.AsExported}
}

func (p *exporter) export(file string) {
	if p.trial.export == "sflow" {
		p.sample(file)
		return
	}
	version := map[string]string{"v5": "5", "v9": "9", "ipfix": "10"}[p.trial.export]
	args := []string{"-d", "-a", "-r", file, "-n", p.conn.LocalAddr().String(), "-v", version, "-c", "none", "-p", "none", "-m", "500000"}
	if version != "5" {
		args = append(args, "-T", "ether")
	}
	if p.trial.rate > 1 {
		args = append(args, "-s", strconv.Itoa(p.trial.rate))
	}
	done := make(chan error, 1)
	ctx, cancel := context.WithTimeout(p.t.Context(), time.Minute)
	defer cancel()
	go func() { done <- exec.CommandContext(ctx, "softflowd", args...).Run() }()
	buf, running := make([]byte, 1<<16), true
	for {
		_ = p.conn.SetReadDeadline(time.Now().Add(5 * time.Millisecond))
		n, err := p.conn.Read(buf)
		if err == nil {
			p.netflow.Decode(&p.batch, p.datagram(time.Now().UnixNano()), buf[:n])
			continue
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			p.t.Fatal(err)
		}
		if !running {
			return // it has ended, and a whole wait brought nothing
		}
		select {
		case err := <-done:
			running = false
			if err != nil {
				p.t.Fatalf("softflowd: %v", err)
			}
		default:
		}
	}
}

// sample is an sFlow agent: one packet in rate, by chance.
func (p *exporter) sample(file string) {
	in, err := os.Open(file)
	if err != nil {
		p.t.Fatal(err)
	}
	defer in.Close()
	r, err := pcapgo.NewReader(in)
	if err != nil {
		p.t.Fatal(err)
	}
	if r.LinkType() != layers.LinkTypeEthernet {
		p.t.Fatalf("%s: link type %s", file, r.LinkType())
	}
	for {
		frame, info, err := r.ReadPacketData()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			p.t.Fatal(err)
		}
		if p.random.IntN(p.trial.rate) == 0 {
			p.flowSample(frame, info)
		}
	}
}

func (p *exporter) flowSample(frame []byte, info gopacket.CaptureInfo) {
	p.sequence++
	at := info.Timestamp.UnixNano()
	header := frame[:min(len(frame), 128)]
	padded := append(slices.Clone(header), make([]byte, (4-len(header)%4)%4)...)
	var b bytes.Buffer
	words := func(v ...uint32) { _ = binary.Write(&b, binary.BigEndian, v) }
	record := uint32(16 + len(padded))
	words(5, 1, 0xc0000201, 0, p.sequence, 0, 1)
	words(1, 32+8+record, p.sequence, 1, uint32(p.trial.rate), 0, 0, 1, 2, 1)
	words(1, record, 1, uint32(info.Length), 0, uint32(len(header)))
	b.Write(padded)
	before := p.batch.Len()
	p.sflow.Decode(&p.batch, p.datagram(at), b.Bytes())
	for i := before; i < p.batch.Len(); i++ {
		p.batch.ExportTime[i] = at // sFlow has no time of its own: that of receipt, years ago
	}
}
