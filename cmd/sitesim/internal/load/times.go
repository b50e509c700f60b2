package load

import "tidemark/cmd/sitesim/internal/export"

// layout is where a Template of IPFIX has times in milliseconds since 1970
// (flowStartMilliseconds, flowEndMilliseconds), and how long its records are.
type layout struct {
	times []int
	size  int
}

// times returns the offsets of such times in the Data Records of an IPFIX message,
// and remembers its Templates. Other protocols count times from the export time.
func times(p export.Protocol, payload []byte, known map[uint16]layout) (offsets []int) {
	if p != export.IPFIX {
		return nil
	}
	for at := 16; at+4 <= len(payload); {
		id, end := be.Uint16(payload[at:]), at+int(be.Uint16(payload[at+2:]))
		switch l := known[id]; {
		case id == 2:
			learn(payload[at+4:end], known)
		case l.size > 0:
			for record := at + 4; record+l.size <= end; record += l.size {
				for _, t := range l.times {
					offsets = append(offsets, record+t)
				}
			}
		}
		at = end
	}
	return offsets
}

// learn reads the Template Records of a set.
func learn(set []byte, known map[uint16]layout) {
	for len(set) >= 4 {
		id, fields := be.Uint16(set), int(be.Uint16(set[2:]))
		set = set[4:]
		var l layout
		for range fields {
			if element := be.Uint16(set); element == 152 || element == 153 {
				l.times = append(l.times, l.size)
			}
			l.size += int(be.Uint16(set[2:]))
			if be.Uint16(set)&0x8000 != 0 { // an enterprise number follows
				set = set[4:]
			}
			set = set[4:]
		}
		known[id] = l
	}
}
