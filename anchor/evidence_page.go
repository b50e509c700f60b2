package anchor

import (
	_ "embed"
	"encoding/binary"
	"fmt"
	"html/template"
	"io"
	"net/netip"
	"time"

	"tidemark/collector/flow"
)

//go:embed evidence_page.html
var evidencePage string

// pageFlow is a row of the page.
type pageFlow struct {
	Received, Src, Dst, Proto, Octets, Packets, Exporter, Before, Name string
}

type pageEvent struct{ Time, Kind, Actor, Text, Name string }

type pageAnchor struct {
	Size, Block uint64
	Time, Hash  string
	Tx          string
	Proof       bool
}

// WriteEvidencePage writes what e holds for a person to read and print: one HTML
// file that loads nothing. r is the report on it, file the name of its file.
func WriteEvidencePage(w io.Writer, e *Evidence, r *EvidenceReport, file string) error {
	t, err := template.New("evidence").Parse(evidencePage)
	if err != nil {
		return err
	}
	data := struct {
		Report                            *EvidenceReport
		Verdict, Mood, Warning, Holds     string
		Made, By, File, Example, Contract string
		ChainID                           uint64
		Notes                             []string
		Flows                             []pageFlow
		Events                            []pageEvent
		Anchors                           []pageAnchor
	}{Report: r, Verdict: r.Verdict(), Warning: DevelopmentWarning, Made: e.Question.Made.UTC().Format(time.DateTime) + " UTC", By: e.Question.By, File: file,
		Notes: e.Question.Notes, Example: "0x…", Holds: plural(uint64(r.Flows), "flow") + " and " + plural(uint64(r.Events), "event")}
	switch r.ExitCode() {
	case ExitOK:
		data.Mood = "good"
	case ExitFailed:
		data.Mood = "bad"
	}
	for i := range e.Batches {
		b := &e.Batches[i]
		before := ""
		if t := r.Batches[i].Before; t != nil {
			before = t.Time
		}
		for k, pos := range b.Positions {
			name := flow.Name{Log: binary.BigEndian.Uint64(b.Header.LogID[:]), Batch: b.Header.Index, Pos: pos}.String()
			if b.Bodies == nil {
				data.Flows = append(data.Flows, spellPageFlow(&b.Rows, k, before, name))
			} else if v, err := ParseEvent(b.Bodies[k]); err == nil {
				fields, _ := v.Fields()
				text, _ := fields["text"].(string)
				if text == "" {
					text = string(v.Body)
				}
				data.Events = append(data.Events, pageEvent{v.Time.Format(time.DateTime), v.Kind, v.Actor, text, name})
			}
		}
	}
	for i := range e.Anchors {
		a := &e.Anchors[i]
		data.ChainID, data.Contract, data.Example = a.Log.ChainID, hex0x(a.Log.Contract[:]), hex0x(a.Block.Hash[:])
		data.Anchors = append(data.Anchors, pageAnchor{a.Size, a.Block.Number, time.Unix(a.Block.Time, 0).UTC().Format(time.DateTime), hex0x(a.Block.Hash[:]), hex0x(a.Tx[:]), a.Chain != nil})
	}
	return t.Execute(w, data)
}

func spellPageFlow(b *flow.Batch, i int, before, name string) pageFlow {
	has := func(bit uint16) bool { return b.Presence[i]&bit != 0 }
	end := func(a [16]byte, port uint16) string {
		return netip.AddrPortFrom(netip.AddrFrom16(a).Unmap(), port).String()
	}
	f := pageFlow{Received: time.Unix(0, b.TimeReceived[i]).UTC().Format(time.DateTime), Src: end(b.SrcAddr[i], b.SrcPort[i]), Dst: end(b.DstAddr[i], b.DstPort[i]),
		Proto: fmt.Sprint(b.Proto[i]), Exporter: spellAddress(b.SamplerAddress[i]), Before: before, Name: name}
	if known, ok := map[uint8]string{1: "ICMP", 2: "IGMP", 6: "TCP", 17: "UDP", 47: "GRE", 50: "ESP", 58: "ICMPv6", 132: "SCTP"}[b.Proto[i]]; ok {
		f.Proto = known
	}
	if has(flow.HasBytes) {
		f.Octets = grouped(b.Bytes[i])
	}
	if has(flow.HasPackets) {
		f.Packets = grouped(b.Packets[i])
	}
	return f
}
