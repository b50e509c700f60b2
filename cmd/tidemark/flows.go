package main

import (
	"bufio"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/urfave/cli/v2"

	"tidemark/collector/flow"
)

//go:embed sql/flows.sql
var flowsSQL string

// flowLine is what the listing shows of a flow; JSON forms hold every column.
type flowLine struct {
	Name       string `json:"name"`
	Start      string `json:"event_start_ns"`
	End        string `json:"event_end_ns"`
	Sampler    string `json:"sampler_address"`
	Src        string `json:"src_addr"`
	Dst        string `json:"dst_addr"`
	SrcPort    uint16 `json:"src_port"`
	DstPort    uint16 `json:"dst_port"`
	Proto      uint8  `json:"proto"`
	Bytes      uint64 `json:"bytes"`
	Packets    uint64 `json:"packets"`
	Rate       uint32 `json:"sampling_rate"`
	TCPFlags   uint16 `json:"tcp_flags"`
	Initiator  string `json:"initiator"`
	Confidence uint8  `json:"initiator_confidence"`
	raw        json.RawMessage

	Application *application `json:"application"`
	AlsoSeenBy  []sighting   `json:"also_seen_by"`
}

// MarshalJSON gives the row as the engine gave it, with every column.
func (f flowLine) MarshalJSON() ([]byte, error) { return f.raw, nil }

func flowsCommand() *cli.Command {
	return &cli.Command{
		Name:  "flows",
		Usage: "the flow records, newest first",
		Description: `The table shows the main columns, bytes and packets as exported; the arrow points from
who began the conversation, where that is known, and beside the protocol stands what the
exporter recognised the flow as, by the name it gave while this daemon listened. json and
ndjson hold every column of the record. --since and --until ask for when a flow began.
Of up to 1000 flows is told who else saw the same packets (also_seen_by; "+1" beside the
exporter): the record keeps what each saw, volumes and peers count it once.

   tidemark flows --device 00:40:8c:12:34:56 --since 24h
   tidemark flows --address 10.20.1.11 --port 23 --rows 20
   tidemark flows --name 0123456789abcdef-42-7 --output json
   tidemark flows --rows 0 --output ndjson > flows.ndjson     all of them`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "device", Usage: "of this `DEVICE`, named by MAC, address, id or label"},
			&cli.StringFlag{Name: "address", Usage: "from or to this IP `ADDRESS`"},
			&cli.UintFlag{Name: "port", Usage: "from or to this `PORT`", DefaultText: "any"},
			&cli.StringFlag{Name: "since", Usage: "`TIME` (RFC 3339) or span before now (24h, 7d)"},
			&cli.StringFlag{Name: "until", Usage: "`TIME` (RFC 3339) or span before now"},
			&cli.StringFlag{Name: "name", Usage: "one flow by `NAME`"},
			&cli.Uint64Flag{Name: "rows", Value: 50, Usage: "at most `N`, 0 = all"},
			outputFlag(listForms),
		},
		Action: func(c *cli.Context) error {
			if err := wantArgs(c, 0, 0, "no argument"); err != nil {
				return err
			}
			return withStore(c, func(s *store) error { return s.flows(c) })
		},
	}
}

func (s *store) flows(c *cli.Context) error {
	params, err := s.flowParameters(c)
	if err != nil {
		return err
	}
	elements, err := readElements(s.cfg.Collector.Elements)
	if err != nil {
		return err
	}
	names := flowNames{elements, applications{ask: func() []exporterApplications { return askDaemon(c.Context, c.String("data-dir")) }}}
	ctx := clickhouse.Context(c.Context, clickhouse.WithParameters(params))
	rows, err := s.db.Conn().QueryFormat(ctx, "JSONEachRow", flowsSQL)
	if err != nil {
		return fmt.Errorf("list flows: %w", err)
	}
	defer rows.Close()
	if n := c.Uint64("rows"); c.String("output") == "ndjson" && (n == 0 || n > maxObserved) { // as they come: there may be many
		out := bufio.NewWriter(c.App.Writer)
		err := eachFlow(rows, &names, func(raw json.RawMessage) error {
			_, err := fmt.Fprintf(out, "%s\n", raw)
			return err
		})
		return errors.Join(err, out.Flush())
	}
	var lines []flowLine
	err = eachFlow(rows, &names, func(raw json.RawMessage) error {
		lines = append(lines, flowLine{raw: raw})
		return json.Unmarshal(raw, &lines[len(lines)-1])
	})
	if err != nil {
		return err
	}
	if err := s.markObserved(c.Context, lines); err != nil {
		return err
	}
	return list(c, "flows", lines, flowColumns())
}

// eachFlow calls f for each row, its numbers named.
func eachFlow(rows io.Reader, names *flowNames, f func(json.RawMessage) error) error {
	for dec := json.NewDecoder(rows); ; {
		var raw json.RawMessage
		err := dec.Decode(&raw)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			raw, err = names.name(raw)
		}
		if err == nil {
			err = f(raw)
		}
		if err != nil {
			return fmt.Errorf("list flows: %w", err)
		}
	}
}

func (s *store) flowParameters(c *cli.Context) (clickhouse.Parameters, error) {
	p := clickhouse.Parameters{"devices": "[]", "address": c.String("address"), "port": strconv.FormatUint(uint64(c.Uint("port")), 10),
		"log": "0", "batch": "0", "pos": "-1", "rows": strconv.FormatUint(c.Uint64("rows"), 10)}
	if c.Uint("port") > 65535 {
		return nil, usageError{fmt.Errorf("--port: got %d, want 1 to 65535", c.Uint("port"))}
	}
	if c.Uint64("rows") == 0 {
		p["rows"] = strconv.FormatUint(1<<63, 10)
	}
	if a := c.String("address"); a != "" {
		addr, err := netip.ParseAddr(a)
		if err != nil {
			return nil, usageError{fmt.Errorf("--address: got %q, want an IP address such as 10.20.1.11", a)}
		}
		p["address"] = addr.String()
	}
	if d := c.String("device"); d != "" {
		device, err := s.device(c.Context, d)
		if err != nil {
			return nil, err
		}
		p["devices"] = idList(device.Members)
	}
	if name := c.String("name"); name != "" {
		n, err := flow.ParseName(name)
		if err != nil {
			return nil, usageError{err}
		}
		p["log"], p["batch"], p["pos"] = strconv.FormatUint(n.Log, 10), strconv.FormatUint(n.Batch, 10), strconv.FormatUint(uint64(n.Pos), 10)
	}
	for _, flag := range []string{"since", "until"} {
		t, err := timeFlag(c, flag)
		if err != nil {
			return nil, err
		}
		p[flag] = "0"
		if !t.IsZero() {
			p[flag] = strconv.FormatInt(t.UnixNano(), 10)
		}
	}
	return p, nil
}

// timeFlag reads a time, or a span before now. Zero if the flag is not given.
func timeFlag(c *cli.Context, name string) (time.Time, error) {
	s := c.String(name)
	if s == "" {
		return time.Time{}, nil
	}
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return t, nil
	}
	var d Duration
	if err := d.UnmarshalText([]byte(s)); err != nil {
		return time.Time{}, usageError{fmt.Errorf("--%s: got %q, want a time such as 2026-11-22T08:00:00Z or a span such as 24h or 7d", name, s)}
	}
	return time.Now().Add(-time.Duration(d)), nil
}

func flowColumns() []column[flowLine] {
	return []column[flowLine]{
		{"start (UTC)", left, func(f flowLine) string { return cut(f.Start, 19) }, func(f flowLine) string { return f.Start }},
		{"source", left, func(f flowLine) string { return endpoint(f.Src, f.SrcPort) }, nil},
		{"by", left, arrow, nil},
		{"destination", left, func(f flowLine) string { return endpoint(f.Dst, f.DstPort) }, nil},
		{"proto", left, func(f flowLine) string {
			return strings.TrimSpace(protocolName(f.Proto) + " " + f.Application.String())
		}, nil},
		{"bytes", right, func(f flowLine) string { return octets(f.Bytes) }, func(f flowLine) string { return fmt.Sprint(f.Bytes) }},
		{"packets", right, func(f flowLine) string { return count(f.Packets) }, func(f flowLine) string { return fmt.Sprint(f.Packets) }},
		{"sampled", right, func(f flowLine) string { return "1:" + fmt.Sprint(f.Rate) }, func(f flowLine) string { return fmt.Sprint(f.Rate) }},
		{"exporter", left, flowLine.observers, func(f flowLine) string { return f.Sampler }},
		{"name", left, func(f flowLine) string { return f.Name }, nil},
	}
}

func endpoint(address string, port uint16) string {
	a, _ := netip.ParseAddr(address) // the engine wrote it
	return netip.AddrPortFrom(a, port).String()
}

// arrow points from who began the conversation, if that is known.
func arrow(f flowLine) string {
	switch f.Initiator {
	case "src":
		return "->"
	case "dst":
		return "<-"
	}
	return "--"
}

func cut(s string, n int) string { return s[:min(len(s), n)] }

func protocolName(p uint8) string {
	switch p {
	case 1:
		return "ICMP"
	case 2:
		return "IGMP"
	case 6:
		return "TCP"
	case 17:
		return "UDP"
	case 47:
		return "GRE"
	case 50:
		return "ESP"
	case 58:
		return "ICMPv6"
	case 132:
		return "SCTP"
	}
	return strconv.Itoa(int(p))
}
