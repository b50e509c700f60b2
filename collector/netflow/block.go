package netflow

import (
	"encoding/binary"

	"tidemark/collector/flow"
)

// blockRows is how many records are read at once.
const blockRows = 256

// block is the reading of some records of a set by their columns.
type block struct {
	*columns
	octets []byte
	first  int // row
	n      int // rows
	odd    [blockRows / 64]uint64
	anyOdd bool
}

// setOdd marks row i of the block to be read by itself.
func (w *block) setOdd(i int) {
	w.odd[i/64] |= 1 << (i % 64)
	w.anyOdd = true
}

func (w *block) isOdd(i int) bool { return w.odd[i/64]&(1<<(i%64)) != 0 }

// readable tells whether sets of p can be read by columns in this message.
func (x *pass) readable(p *plan) bool {
	if p.columns == nil {
		return false
	}
	x.f = facts{}
	_, known := x.uptime()
	return known || !p.columns.uptime
}

// dataRecords appends the rows of the n Data Records that b begins with.
func (x *pass) dataRecords(p *plan, b []byte, n int) {
	x.f = facts{}
	for n > 0 {
		w := block{columns: p.columns, octets: b, n: min(n, blockRows)}
		x.read(&w)
		x.rates(&w)
		x.finishBlock(&w, p)
		n, b = n-w.n, b[w.n*p.size:]
	}
}

// read appends the rows and fills the columns.
func (x *pass) read(w *block) {
	w.first = x.dst.Grow(w.n)
	x.headBlock(w)
	for _, at := range w.moves {
		x.move(w, at)
	}
}

// headBlock is head for all rows.
func (x *pass) headBlock(w *block) {
	b, m := x.dst, &x.m
	fill(w, b.Protocol, m.protocol)
	fill(w, b.Transport, m.dg.Transport)
	fill(w, b.TimeReceived, m.dg.Received)
	fill(w, b.SamplerAddress, m.dg.Exporter)
	fill(w, b.ObservationDomain, m.domain)
	fill(w, b.SequenceNum, m.sequence)
	fill(w, b.ExportTime, m.exportTime)
	fill(w, b.Presence, w.presence)
}

// fill sets a column of zeros.
func fill[T comparable](w *block, column []T, v T) {
	var zero T
	if v == zero {
		return
	}
	rows := column[w.first : w.first+w.n]
	for i := range rows {
		rows[i] = v
	}
}

func (x *pass) move(w *block, at placed) {
	b := x.dst
	switch at.op.column {
	case toOctets:
		gather(w, b.Bytes, at)
	case toPackets:
		gather(w, b.Packets, at)
	case toSrcAddr:
		w.addresses(b.SrcAddr, at)
	case toDstAddr:
		w.addresses(b.DstAddr, at)
	case toSrcPort:
		gather(w, b.SrcPort, at)
	case toDstPort:
		gather(w, b.DstPort, at)
	case toProto:
		gather(w, b.Proto, at)
	case toDirection:
		gather(w, b.Direction, at)
	case toTCPFlags:
		gather(w, b.TCPFlags, at)
	case toTOS:
		gather(w, b.TOS, at)
	case toEndReason:
		gather(w, b.EndReason, at)
	case toFirewallEvent:
		gather(w, b.FirewallEvent, at)
	case toNATEvent:
		gather(w, b.NATEvent, at)
	case toSrcMAC:
		w.hardwareAddresses(b.SrcMAC, at)
	case toDstMAC:
		w.hardwareAddresses(b.DstMAC, at)
	case toSrcVLAN:
		gather(w, b.SrcVLAN, at)
	case toDstVLAN:
		gather(w, b.DstVLAN, at)
	case toInIf:
		gather(w, b.InIf, at)
	case toOutIf:
		gather(w, b.OutIf, at)
	case toSrcAS:
		gather(w, b.SrcAS, at)
	case toDstAS:
		gather(w, b.DstAS, at)
	case toStart:
		x.timesBlock(w, b.TimeFlowStart, at)
	case toEnd:
		x.timesBlock(w, b.TimeFlowEnd, at)
	}
}

// gather fills a column of numbers. One that does not fit makes its row odd.
func gather[T uint8 | uint16 | uint32 | uint64](w *block, column []T, at placed) {
	rows, src, stride := column[w.first:w.first+w.n], w.octets[at.offset:], w.size
	most := uint64(^T(0))
	switch at.op.length {
	case 1:
		for i := range rows {
			rows[i] = T(src[i*stride])
		}
	case 2:
		for i := range rows {
			u := binary.BigEndian.Uint16(src[i*stride:])
			if uint64(u) > most {
				w.setOdd(i)
			}
			rows[i] = T(u)
		}
	case 4:
		for i := range rows {
			u := binary.BigEndian.Uint32(src[i*stride:])
			if uint64(u) > most {
				w.setOdd(i)
			}
			rows[i] = T(u)
		}
	case 8:
		for i := range rows {
			u := binary.BigEndian.Uint64(src[i*stride:])
			if u > most {
				w.setOdd(i)
			}
			rows[i] = T(u)
		}
	default:
		for i := range rows {
			u := unsigned(src[i*stride:], int(at.op.length))
			if u > most {
				w.setOdd(i)
			}
			rows[i] = T(u)
		}
	}
}

// unsigned reads the big-endian number of n <= 8 octets that b begins with.
func unsigned(b []byte, n int) (u uint64) {
	switch n {
	case 4:
		return uint64(binary.BigEndian.Uint32(b))
	case 8:
		return binary.BigEndian.Uint64(b)
	}
	for _, x := range b[:n] {
		u = u<<8 | uint64(x)
	}
	return u
}

func (w *block) addresses(column [][16]byte, at placed) {
	rows, src, stride := column[w.first:w.first+w.n], w.octets[at.offset:], w.size
	if at.op.form == formIPv6 {
		for i := range rows {
			rows[i] = [16]byte(src[i*stride:])
		}
		return
	}
	for i := range rows {
		a := &rows[i]
		a[10], a[11] = 0xff, 0xff
		*(*[4]byte)(a[12:]) = [4]byte(src[i*stride:])
	}
}

func (w *block) hardwareAddresses(column []uint64, at placed) {
	rows, src, stride := column[w.first:w.first+w.n], w.octets[at.offset:], w.size
	for i := range rows {
		v := src[i*stride : i*stride+6]
		rows[i] = uint64(binary.BigEndian.Uint16(v))<<32 | uint64(binary.BigEndian.Uint32(v[2:]))
	}
}

// timesBlock fills a column of times. One that cannot be placed, or is out of
// range, makes its row odd.
func (x *pass) timesBlock(w *block, column []int64, at placed) {
	rows, src, stride := column[w.first:w.first+w.n], w.octets[at.offset:], w.size
	form, length := at.op.form, int(at.op.length)
	for i := range rows {
		t, ok := x.moment(form, unsigned(src[i*stride:], length))
		if !ok || t < x.window.begin || t > x.window.end {
			w.setOdd(i)
		}
		rows[i] = t
	}
}

// rates fills the sampling rates and the quality bits.
func (x *pass) rates(w *block) {
	b := x.dst
	var s sampling
	if len(w.sampling) == 0 && (x.override || len(x.observation.interfaces) == 0) {
		x.rateBlock(w, x.rate(&s, 0, 0, false))
		return
	}
	quality := x.m.dg.Quality | x.quality
	for i := range w.n {
		r := w.first + i
		s = sampling{}
		for _, at := range w.sampling {
			begin := i*w.size + at.offset
			s.field(at.op.column, w.octets[begin:begin+int(at.op.length)])
			if at.op.column == toRate && !at.op.also && !s.sane() {
				w.setOdd(i)
			}
		}
		found := x.rate(&s, b.InIf[r], b.OutIf[r], b.Direction[r] == 1)
		if found.inexact() {
			w.setOdd(i)
		}
		b.SamplingRate[r], b.Quality[r] = found.n, quality|found.quality
	}
}

// rateBlock fills one sampling rate.
func (x *pass) rateBlock(w *block, r rate) {
	fill(w, x.dst.SamplingRate, r.n)
	fill(w, x.dst.Quality, x.m.dg.Quality|x.quality|r.quality)
	if r.inexact() {
		for i := range w.n {
			w.setOdd(i)
		}
	}
}

// finishBlock completes the rows with their extensions. Odd ones are made anew.
func (x *pass) finishBlock(w *block, p *plan) {
	if len(w.icmp) == 0 && !w.anyOdd {
		x.endRows(w, 0, w.n, 0)
		return
	}
	begin, shape := 0, 0
	for i := range w.n {
		if w.isOdd(i) {
			x.endRows(w, begin, i, shape)
			x.dst.Clear(w.first + i)
			x.dataRow(p, w.octets[i*w.size:(i+1)*w.size], w.first+i, false)
			begin = i + 1
		} else if s := x.shapeOf(w, i); s != shape {
			x.endRows(w, begin, i, shape)
			begin, shape = i, s
		}
	}
	x.endRows(w, begin, w.n, shape)
}

// endRows completes rows [begin, end) of the block, all of one shape.
func (x *pass) endRows(w *block, begin, end, shape int) {
	if begin < end {
		x.dst.EndRows(end-begin, &w.shapes[shape], w.octets[begin*w.size:], w.size)
		x.res.Flows += end - begin
	}
}

// shapeOf puts the ICMP fields of row i where they belong.
func (x *pass) shapeOf(w *block, i int) (shape int) {
	for j, at := range w.icmp {
		from := i*w.size + at.offset
		if !x.icmp(w.first+i, stamp{at.op, w.octets[from : from+int(at.op.length)]}) {
			shape |= 1 << j
		}
	}
	return shape
}

// inexact holds for a rate whose exact share of packets must be kept in the row.
func (r rate) inexact() bool { return r.probability != 0 && r.quality == flow.SamplingFromOption }
