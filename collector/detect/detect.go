// Package detect tells the export protocol of a datagram by its content, never
// by the port it came to.
package detect

import (
	"encoding/binary"

	"tidemark/collector/flow"
)

// Protocol returns the export protocol of payload; ok is false when it is none
// that Tidemark reads. It looks at the first 8 octets only.
//
// sFlow has a 32-bit version followed by the address type of the agent
// (sFlow v5, Section 5), so its first 16 bits are 0, which no NetFlow version is.
func Protocol(payload []byte) (p flow.Protocol, ok bool) {
	if len(payload) < 2 {
		return 0, false
	}
	switch v := binary.BigEndian.Uint16(payload); v {
	case 1, 5, 7, 9, 10:
		return flow.Protocol(v), true
	}
	if len(payload) >= 8 && binary.BigEndian.Uint32(payload) == 5 {
		if t := binary.BigEndian.Uint32(payload[4:]); t == 1 || t == 2 {
			return flow.SFlowV5, true
		}
	}
	return 0, false
}
