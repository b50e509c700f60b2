package export

import "time"

// netflow9 writes NetFlow version 9 (RFC 3954). Its sequence number counts datagrams and its Count
// the records of every kind in the datagram.
type netflow9 struct {
	options   Options
	state     State
	layout    template
	refreshed int64 // when templates were last sent, 0 = never
}

const (
	v9Header          = 20
	v9TemplateSet     = 0
	v9OptionsTemplate = 1
	v9OptionsID       = 257
)

// v9Template is the layout of every flow record: RFC 3954, Section 8.
var v9Template = template{256, append(append(addresses(), link()...),
	u16(7, func(r *record) uint16 { return r.SrcPort }),
	u16(11, func(r *record) uint16 { return r.DstPort }),
	u8(4, func(r *record) uint8 { return r.Proto }),
	u8(5, func(r *record) uint8 { return r.TOS }),
	u8(6, func(r *record) uint8 { return r.Flags }),
	u8(61, func(*record) uint8 { return 0 }), // DIRECTION: seen at ingress
	u64(1, 0, func(r *record) uint64 { return r.Octets }),
	u64(2, 0, func(r *record) uint64 { return r.Packets }),
	switched(22, func(r *record) int64 { return r.Start }),
	switched(21, func(r *record) int64 { return r.End }),
)}

func (e *netflow9) keep() State { return e.state }
func (e *netflow9) refresh()    { e.refreshed = 0 }

func (e *netflow9) encode(now int64, recs []record, st *Stats) ([]byte, int) {
	b := make([]byte, v9Header, MaxDatagram)
	count := 0
	if e.refreshed == 0 || now-e.refreshed >= int64(TemplateRefresh) {
		b = e.appendTemplates(b)
		e.refreshed, count = now, 3
		st.Templates += 2
		st.OptionsRecords++
	}
	start := len(b)
	b = openSet(b, e.layout.id)
	n := min(len(recs), (MaxDatagram-len(b)-3)/e.layout.size())
	for i := range recs[:n] {
		b = e.layout.appendRecord(b, e.state.Boot, &recs[i])
	}
	b = closeSet(b, start)

	be.PutUint16(b, 9)
	be.PutUint16(b[2:], uint16(count+n))
	be.PutUint32(b[4:], uptime(e.state.Boot, now))
	be.PutUint32(b[8:], uint32(now/int64(time.Second)))
	be.PutUint32(b[12:], e.state.Sequence)
	be.PutUint32(b[16:], e.options.Domain)
	e.state.Sequence++
	return b, n
}

// appendTemplates writes the template, the options template and the one record of the latter, which
// tells the sampling rate: SAMPLING_INTERVAL (34) and SAMPLING_ALGORITHM (35), scope System.
func (e *netflow9) appendTemplates(b []byte) []byte {
	start := len(b)
	b = closeSet(e.layout.appendTemplate(openSet(b, v9TemplateSet)), start)

	start = len(b)
	b = openSet(b, v9OptionsTemplate)
	for _, v := range []uint16{v9OptionsID, 4, 8, 1, 4, 34, 4, 35, 1} { // id, lengths of scopes and options, then (type, length)
		b = be.AppendUint16(b, v)
	}
	b = closeSet(b, start)

	start = len(b)
	b = openSet(b, v9OptionsID)
	b = be.AppendUint32(b, 0)
	b = be.AppendUint32(b, uint32(e.options.Sampling))
	return closeSet(append(b, 2), start) // 2 = random
}
