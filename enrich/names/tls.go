package names

import (
	"encoding/binary"
	"strings"
)

const (
	tlsHandshake  = 22
	clientHello   = 1
	serverNameExt = 0
	hostNameType  = 0
)

// bytesReader takes octets off the front; a field that is not whole sets short.
type bytesReader struct {
	rest  []byte
	short bool
}

func (b *bytesReader) take(n int) []byte {
	if n < 0 || len(b.rest) < n {
		b.short, b.rest = true, nil
		return nil
	}
	v := b.rest[:n]
	b.rest = b.rest[n:]
	return v
}

func (b *bytesReader) u8() int {
	if v := b.take(1); v != nil {
		return int(v[0])
	}
	return 0
}

func (b *bytesReader) u16() int {
	if v := b.take(2); v != nil {
		return int(binary.BigEndian.Uint16(v))
	}
	return 0
}

// clientHello reads the server name (RFC 6066, Section 3) of a ClientHello (RFC
// 8446, Section 4.1.2). One that goes on in another record or packet is read as
// far as this one reaches.
func (r *reader) clientHello(payload []byte) (malformed bool) {
	b := bytesReader{rest: payload}
	b.take(1)
	if major := b.u8(); major != 3 && !b.short {
		return true
	}
	b.take(1 + 2) // minor version, length of the record: its end may be cut
	if b.u8() != clientHello {
		return false // another handshake message, or encrypted
	}
	b.take(3 + 2 + 32) // length, legacy_version, random
	b.take(b.u8())     // legacy_session_id
	b.take(b.u16())    // cipher_suites
	b.take(b.u8())     // legacy_compression_methods
	b.u16()            // length of all extensions
	for !b.short && len(b.rest) > 0 {
		kind, n := b.u16(), b.u16()
		body := b.take(n)
		if kind != serverNameExt || b.short {
			continue
		}
		list := bytesReader{rest: body}
		list.u16()
		if list.u8() != hostNameType {
			return true
		}
		name := list.take(list.u16())
		host := strings.ToLower(string(name))
		if list.short || !domain(host) {
			return list.short
		}
		r.say(r.src(), Domain, TLS, host)
		r.say(Observation{Addr: r.dst().Addr}, Address, TLS, host)
		return false
	}
	return false
}
