package names

import (
	"encoding/binary"
	"net/netip"
	"strconv"
	"strings"
)

const (
	bootRequest = 1
	ethernet    = 1
	dhcpMagic   = 0x63825363

	optionPad      = 0
	optionHostname = 12
	optionParams   = 55
	optionClass    = 60
	optionEnd      = 255
)

// dhcp reads what a client says of itself (RFC 2131, RFC 2132). A usual sample
// ends before the options; switches that sample 320 octets or more show them.
func (r *reader) dhcp(payload []byte) bool {
	b := bytesReader{rest: payload}
	op, hardware, length := b.u8(), b.u8(), b.u8()
	b.take(1 + 4 + 2 + 2) // hops, xid, secs, flags
	client := b.take(4)
	b.take(4 + 4 + 4) // yiaddr, siaddr, giaddr
	chaddr := b.take(16)
	if b.short {
		return len(payload) < 44
	}
	if op != bootRequest {
		return op != bootRequest+1
	}
	if hardware != ethernet || length != 6 {
		return true
	}
	about := Observation{
		MAC:  uint64(binary.BigEndian.Uint16(chaddr))<<32 | uint64(binary.BigEndian.Uint32(chaddr[2:])),
		Addr: netip.AddrFrom16(netip.AddrFrom4([4]byte(client)).As16()),
	}
	b.take(64 + 128) // sname, file
	magic := b.take(4)
	if b.short {
		return false
	}
	if binary.BigEndian.Uint32(magic) != dhcpMagic {
		return true
	}
	for !b.short && len(b.rest) > 0 { // each step takes an octet or more
		switch code := b.u8(); code {
		case optionPad:
		case optionEnd:
			return false
		default:
			r.option(about, code, b.take(b.u8()))
		}
	}
	return false
}

func (r *reader) option(about Observation, code int, value []byte) {
	if len(value) == 0 {
		return
	}
	switch code {
	case optionHostname:
		r.say(about, Hostname, DHCP, string(value))
	case optionClass:
		r.say(about, VendorInfo, DHCP, string(value))
	case optionParams:
		var list []string
		for _, n := range value[:min(len(value), 60)] {
			list = append(list, strconv.Itoa(int(n)))
		}
		r.say(about, DHCPOptions, DHCP, strings.Join(list, ","))
	}
}
