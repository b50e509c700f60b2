// Package packet owns what simulated devices put on the wire: packets, and trains of equal packets.
package packet

import (
	"fmt"
	"net/netip"
)

// IP protocol numbers (IANA).
const (
	ICMP = 1
	TCP  = 6
	UDP  = 17
)

// TCP flags (RFC 9293, Section 3.1).
const (
	FIN = 0x01
	SYN = 0x02
	RST = 0x04
	PSH = 0x08
	ACK = 0x10
)

// MAC is an IEEE 802 address.
type MAC [6]byte

// String is the usual form with colons.
func (m MAC) String() string {
	return fmt.Sprintf("%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4], m[5])
}

// Key is what routers call the flow key: the fields that make two packets one flow. ICMP type and
// code stand in DstPort as type*256+code, as NetFlow v5 and v9 have it.
type Key struct {
	Src, Dst         netip.Addr
	SrcPort, DstPort uint16
	Proto, TOS       uint8
	In               uint16 // ifIndex the packet came in by
	Denied           bool   // refused by the firewall it met
}

// Reverse is the key of the other direction.
func (k Key) Reverse(in uint16) Key {
	k.Src, k.Dst, k.SrcPort, k.DstPort, k.In = k.Dst, k.Src, k.DstPort, k.SrcPort, in
	return k
}

// Train is a run of equal packets in one direction of a conversation: Count packets of Size octets,
// the first at At, then one each Gap.
type Train struct {
	Key
	At             int64 // virtual time, Unix ns
	Gap            int64 // ns
	Count          int
	Size           int   // octets of one IP packet, header included
	Flags          uint8 // TCP flags on each packet
	SrcMAC, DstMAC MAC
	VLAN           uint16 // at the input interface
	OutVLAN        uint16
	Out            uint16 // ifIndex the packets leave by, 0 = dropped
	Mark           uint16 // whose the packets are, for who wants to know when they are exported; 0 = nobody's
}

// Octets is the sum over all packets of the train.
func (t *Train) Octets() uint64 { return uint64(t.Count) * uint64(t.Size) }

// Time is the time of packet i.
func (t *Train) Time(i int) int64 { return t.At + int64(i)*t.Gap }

// Before is the number of packets sent before the given time.
func (t *Train) Before(at int64) int {
	switch {
	case at <= t.At:
		return 0
	case t.Gap <= 0:
		return t.Count
	}
	return min(t.Count, int((at-t.At-1)/t.Gap)+1)
}

// Take cuts the first n packets off the train and returns them as a train of their own.
func (t *Train) Take(n int) Train {
	head := *t
	head.Count = n
	t.At, t.Count = t.Time(n), t.Count-n
	return head
}
