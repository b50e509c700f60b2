package export

import "time"

// netflow5 writes NetFlow version 5: a 24-octet header and up to 28 records of 48 octets. It has no
// templates, no MAC addresses and 32-bit counters; its sequence number counts records.
type netflow5 struct {
	options Options
	state   State
}

const (
	v5Header = 24
	v5Record = 48
)

func (e *netflow5) keep() State { return e.state }
func (e *netflow5) refresh()    {}

func (e *netflow5) encode(now int64, recs []record, _ *Stats) ([]byte, int) {
	n := min(len(recs), (MaxDatagram-v5Header)/v5Record)
	b := make([]byte, 0, v5Header+n*v5Record)
	b = be.AppendUint16(b, 5)
	b = be.AppendUint16(b, uint16(n))
	b = be.AppendUint32(b, uptime(e.state.Boot, now))
	b = be.AppendUint32(b, uint32(now/int64(time.Second)))
	b = be.AppendUint32(b, uint32(now%int64(time.Second)))
	b = be.AppendUint32(b, e.state.Sequence)
	b = append(b, 0, uint8(e.options.Domain)) // engine type and id
	sampling := uint16(0)
	if e.options.Sampling > 1 {
		sampling = 2<<14 | uint16(e.options.Sampling)&0x3fff // mode 2: random
	}
	b = be.AppendUint16(b, sampling)
	for i := range recs[:n] {
		b = e.appendRecord(b, &recs[i])
	}
	e.state.Sequence += uint32(n)
	return b, n
}

func (e *netflow5) appendRecord(b []byte, r *record) []byte {
	src, dst := r.Src.As4(), r.Dst.As4()
	b = append(b, src[:]...)
	b = append(b, dst[:]...)
	b = append(b, 0, 0, 0, 0) // next hop: directly connected
	b = be.AppendUint16(b, r.In)
	b = be.AppendUint16(b, r.Out)
	b = be.AppendUint32(b, uint32(r.Packets))
	b = be.AppendUint32(b, uint32(r.Octets))
	b = be.AppendUint32(b, uptime(e.state.Boot, r.Start))
	b = be.AppendUint32(b, uptime(e.state.Boot, r.End))
	b = be.AppendUint16(b, r.SrcPort)
	b = be.AppendUint16(b, r.DstPort)
	b = append(b, 0, r.Flags, r.Proto, r.TOS)
	return append(b, 0, 0, 0, 0, 0, 0, 0, 0) // AS numbers, masks, padding
}
