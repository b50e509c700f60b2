package anchor

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"tidemark/collector/flow"
)

// parseRow appends to b the record that p, made by AppendRow, is of.
func parseRow(b *flow.Batch, p []byte) error {
	if len(p) < rowFixed {
		return fmt.Errorf("%d octets, want at least %d", len(p), rowFixed)
	}
	be := binary.BigEndian
	i := b.NextRow()
	b.Protocol[i], b.Transport[i] = flow.Protocol(p[3]>>3), flow.Transport(p[3]&7)
	b.TimeReceived[i], b.TimeFlowStart[i], b.TimeFlowEnd[i] = int64(be.Uint64(p[8:])), int64(be.Uint64(p[16:])), int64(be.Uint64(p[24:]))
	b.SamplerAddress[i] = [16]byte(p[32:])
	b.ObservationDomain[i], b.SequenceNum[i] = be.Uint32(p[48:]), be.Uint32(p[52:])
	b.SrcAddr[i], b.DstAddr[i] = [16]byte(p[56:]), [16]byte(p[72:])
	b.SrcPort[i], b.DstPort[i] = be.Uint16(p[88:]), be.Uint16(p[90:])
	b.Proto[i], b.Direction[i], b.TCPFlags[i] = p[92], p[93], be.Uint16(p[94:])
	b.Bytes[i], b.Packets[i], b.SamplingRate[i] = be.Uint64(p[96:]), be.Uint64(p[104:]), be.Uint32(p[112:])
	b.SrcMAC[i], b.DstMAC[i] = be.Uint64(p[114:])&maxMAC, be.Uint64(p[120:])&maxMAC
	b.SrcVLAN[i], b.DstVLAN[i] = be.Uint16(p[128:]), be.Uint16(p[130:])
	b.InIf[i], b.OutIf[i] = be.Uint32(p[132:]), be.Uint32(p[136:])
	b.Presence[i], b.TOS[i], b.EndReason[i] = be.Uint16(p[140:]), p[142], p[143]
	b.FirewallEvent[i], b.NATEvent[i], b.Quality[i] = p[144], p[145], be.Uint16(p[146:])
	b.SrcAS[i], b.DstAS[i] = be.Uint32(p[148:]), be.Uint32(p[152:])
	err := parseExtensions(b, p[rowFixed:])
	b.EndRow()
	if err != nil {
		return err
	}
	if again, err := AppendRow(nil, b, i); err != nil {
		return err
	} else if !bytes.Equal(again, p) {
		return errors.New("is not in its one form")
	}
	return nil
}

func parseExtensions(b *flow.Batch, p []byte) error {
	for len(p) > 0 {
		if len(p) < 4 {
			return errors.New("an extension is cut short")
		}
		id, length := binary.BigEndian.Uint16(p), int(binary.BigEndian.Uint16(p[2:]))
		head, pen := 4, uint32(0)
		if length&penFollow != 0 && len(p) >= 8 {
			head, pen, length = 8, binary.BigEndian.Uint32(p[4:]), length&^penFollow
		}
		end := head + (length+3)&^3
		if end > len(p) {
			return errors.New("an extension is cut short")
		}
		b.Extend(flow.ExtensionKey(pen, id), p[head:head+length])
		p = p[end:]
	}
	return nil
}
