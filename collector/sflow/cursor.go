package sflow

import (
	"encoding/binary"
	"net/netip"
)

// cursor reads XDR (RFC 4506). Its first error sticks: after it every read
// gives zero.
type cursor struct {
	rest  []byte
	short bool
}

func (c *cursor) u32() uint32 {
	b := c.take(4)
	if b == nil {
		return 0
	}
	return binary.BigEndian.Uint32(b)
}

// take cuts n octets off; nil if there are fewer.
func (c *cursor) take(n int64) []byte {
	if c.short || n > int64(len(c.rest)) {
		c.short = true
		return nil
	}
	b := c.rest[:n:n]
	c.rest = c.rest[n:]
	return b
}

// address reads a type (1 IPv4, 2 IPv6) and an address.
func (c *cursor) address() (a netip.Addr, ok bool) {
	switch c.u32() {
	case 1:
		a, ok = netip.AddrFromSlice(c.take(4))
	case 2:
		a, ok = netip.AddrFromSlice(c.take(16))
	}
	return a, ok
}

// expandedInterface packs an expanded interface into the compact form: format
// in the top 2 bits. Larger values are whole in the sample's header only.
func (c *cursor) expandedInterface() uint32 {
	format, value := c.u32(), c.u32()
	return format<<30 | value&0x3fffffff
}

// ifIndexClass is the class of data sources that are interfaces (sFlow v5, Section 5).
const ifIndexClass = 0

// dataSource reads an sflow_data_source: in the compact form the class is in the
// top octet of the index.
func (c *cursor) dataSource(expanded bool) (class, index uint32) {
	if expanded {
		return c.u32(), c.u32()
	}
	v := c.u32()
	return v >> 24, v & 0xffffff
}

func zeros(b []byte) bool {
	for _, x := range b {
		if x != 0 {
			return false
		}
	}
	return true
}
