package conformance

import (
	"encoding/csv"
	"errors"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/ip4defrag"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"

	"tidemark/collector/detect"
	"tidemark/collector/flow"
	"tidemark/collector/netflow"
	"tidemark/collector/sflow"
)

// captures returns the directory of the captures, which are no part of the project.
func captures(t testing.TB) string {
	t.Helper()
	dir := os.Getenv("TIDEMARK_CAPTURES")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared", "captures")
	}
	if _, err := os.Stat(dir); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("captures: %v; set TIDEMARK_CAPTURES", err)
		}
		t.Skipf("captures are not here (%v): set TIDEMARK_CAPTURES to compare with other projects' decodes", err)
	}
	return dir
}

// manifest reads a tab-separated file into one map per line.
func manifest(t testing.TB, path string) []map[string]string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r := csv.NewReader(f)
	r.Comma, r.LazyQuotes, r.FieldsPerRecord = '\t', true, -1
	rows, err := r.ReadAll()
	if err != nil {
		t.Fatalf("read %s: %v", path, err)
	}
	var out []map[string]string
	for _, row := range rows[1:] {
		m := map[string]string{}
		for i, v := range row {
			m[rows[0][i]] = v
		}
		out = append(out, m)
	}
	return out
}

func atoi(s string) int {
	n, _ := strconv.Atoi(s)
	return n
}

// datagram is the UDP payload of one captured export.
type datagram struct {
	from    netip.AddrPort
	at      time.Time
	payload []byte
}

// datagrams reads the exports of a capture file: pcap or pcapng, any link type,
// IPv4 fragments put together.
func datagrams(t testing.TB, path string) (out []datagram) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	source, link, err := open(f)
	if err != nil {
		t.Fatalf("open %s: %v", path, err)
	}
	defragmenter := ip4defrag.NewIPv4Defragmenter()
	for {
		data, info, err := source.ReadPacketData()
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return out
		}
		if err != nil {
			t.Fatalf("read %s: %v", path, err)
		}
		p := gopacket.NewPacket(data, link, gopacket.NoCopy)
		if d, ok := udpPayload(p, defragmenter); ok {
			d.at = info.Timestamp
			out = append(out, d)
		}
	}
}

func open(f *os.File) (gopacket.PacketDataSource, layers.LinkType, error) {
	if r, err := pcapgo.NewNgReader(f, pcapgo.DefaultNgReaderOptions); err == nil {
		return r, r.LinkType(), nil
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, 0, err
	}
	r, err := pcapgo.NewReader(f)
	if err != nil {
		return nil, 0, err
	}
	return r, r.LinkType(), nil
}

func udpPayload(p gopacket.Packet, defragmenter *ip4defrag.IPv4Defragmenter) (d datagram, ok bool) {
	var from netip.Addr
	var udp *layers.UDP
	for _, l := range p.Layers() {
		switch l := l.(type) {
		case *layers.IPv4:
			from, _ = netip.AddrFromSlice(l.SrcIP.To4())
			if l.Flags&layers.IPv4MoreFragments != 0 || l.FragOffset != 0 {
				whole, err := defragmenter.DefragIPv4(l)
				if err != nil || whole == nil {
					return d, false
				}
				u := gopacket.NewPacket(whole.Payload, layers.LayerTypeUDP, gopacket.NoCopy)
				udp, _ = u.Layer(layers.LayerTypeUDP).(*layers.UDP)
			}
		case *layers.IPv6:
			from, _ = netip.AddrFromSlice(l.SrcIP)
		case *layers.UDP:
			if udp == nil {
				udp = l
			}
		}
	}
	if udp == nil {
		return d, false
	}
	d.from, d.payload = netip.AddrPortFrom(from, uint16(udp.SrcPort)), udp.Payload
	return d, true
}

// account is what became of a capture.
type account struct {
	datagrams, records int // records: data records before biflows are split, options records not included
	flow.Result
	batch   flow.Batch
	waiting int // sets whose template never came
	results []flow.Result
}

// decode runs datagrams through the decoders as the collector does.
func decode(in []datagram, quality uint16) *account {
	a := &account{datagrams: len(in)}
	abandoned := func(_ flow.Datagram, _ uint32, _ flow.Protocol, sets int) { a.waiting += sets }
	nf, sf := netflow.New(netflow.Config{Abandoned: abandoned}), sflow.New(sflow.Config{})
	for _, d := range in {
		dg := flow.Datagram{Exporter: d.from.Addr().As16(), Port: d.from.Port(), Transport: flow.File, Received: d.at.UnixNano(), Quality: quality}
		var r flow.Result
		switch p, ok := detect.Protocol(d.payload); {
		case !ok:
			r.Undecodable[flow.ReasonVersion]++
		case p == flow.SFlowV5:
			r = sf.Decode(&a.batch, dg, d.payload)
		default:
			r = nf.Decode(&a.batch, dg, d.payload)
		}
		a.add(r)
	}
	nf.Abandon()
	a.records = a.Flows - a.Reverse
	return a
}

func (a *account) add(r flow.Result) {
	a.results = append(a.results, r)
	a.Flows += r.Flows
	a.Reverse += r.Reverse
	a.Late += r.Late
	a.OptionsRecords += r.OptionsRecords
	a.Templates += r.Templates
	a.CounterSamples += r.CounterSamples
	a.DiscardedSamples += r.DiscardedSamples
	a.Waiting += r.Waiting
	a.Conflicts += r.Conflicts
	for i, n := range r.Undecodable {
		a.Undecodable[i] += n
	}
}
