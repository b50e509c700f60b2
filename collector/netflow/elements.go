package netflow

import "tidemark/collector/flow"

// column is what a template field fills in a row. Elements without a column
// become extensions, so nothing an exporter says is lost.
type column uint8

const (
	toExtension column = iota
	toOctets
	toPackets
	toStart
	toEnd
	toSrcAddr
	toDstAddr
	toSrcPort
	toDstPort
	toProto
	toDirection
	toTCPFlags
	toTOS
	toEndReason
	toFirewallEvent
	toNATEvent
	toSrcMAC
	toDstMAC
	toSrcVLAN
	toDstVLAN
	toInIf
	toOutIf
	toSrcAS
	toDstAS
	toICMP     // type<<8|code, into the destination port
	toICMPType // half of it
	toICMPCode
	toRate        // "one of N"
	toInterval    // samplingPacketInterval: packets taken in a row
	toSpace       // samplingPacketSpace: packets left out after them
	toSize        // n of random n-out-of-N
	toPopulation  // N
	toProbability // float
	toSampler     // which sampler or selector chose the packets
	toDuration
	toSystemInit
	numColumns
)

// form is how the octets of a time, address or ICMP field are to be read.
type form uint8

const (
	formNone    form = iota
	formSeconds      // since 1970
	formMilli        // since 1970
	formNTP          // RFC 7011, Sections 6.1.9 and 6.1.10: seconds since 1900 and a 32-bit fraction
	formDelta        // microseconds before the Export Time of the Message
	formUptime       // milliseconds since the exporter started, modulo 2^32
	formMicro        // a duration
	formIPv4         // addresses, ICMP
	formIPv6
)

// element says what an Information Element fills. Of several elements of one
// template that could fill the same column the lowest rank does; the others
// become extensions.
type element struct {
	column column
	form   form
	rank   uint8
	also   bool // its meaning differs from the column's first element: kept as an extension too
	answer bool // counts the responder's packets: belongs to the reverse row
}

// reversePEN is the enterprise number of reverse elements (RFC 5103, Section 6.1).
const reversePEN = 29305

// lookup is the meaning of the IANA element id (or v9 field type).
func lookup(id uint16) element {
	switch id {
	case 1: // octetDeltaCount
		return element{column: toOctets}
	case 231: // initiatorOctets
		return element{column: toOctets, rank: 1}
	case 232: // responderOctets
		return element{column: toOctets, rank: 1, answer: true}
	case 85: // octetTotalCount
		return element{column: toOctets, rank: 2, also: true}
	case 23: // postOctetDeltaCount
		return element{column: toOctets, rank: 3, also: true}
	case 171: // postOctetTotalCount
		return element{column: toOctets, rank: 4, also: true}
	case 2: // packetDeltaCount
		return element{column: toPackets}
	case 298: // initiatorPackets
		return element{column: toPackets, rank: 1}
	case 299: // responderPackets
		return element{column: toPackets, rank: 1, answer: true}
	case 86: // packetTotalCount
		return element{column: toPackets, rank: 2, also: true}
	case 24: // postPacketDeltaCount
		return element{column: toPackets, rank: 3, also: true}
	case 172: // postPacketTotalCount
		return element{column: toPackets, rank: 4, also: true}

	case 4:
		return element{column: toProto}
	case 5:
		return element{column: toTOS}
	case 6:
		return element{column: toTCPFlags}
	case 7: // sourceTransportPort
		return element{column: toSrcPort}
	case 180: // udpSourcePort
		return element{column: toSrcPort, rank: 1}
	case 182: // tcpSourcePort
		return element{column: toSrcPort, rank: 2}
	case 11: // destinationTransportPort
		return element{column: toDstPort}
	case 181: // udpDestinationPort
		return element{column: toDstPort, rank: 1}
	case 183: // tcpDestinationPort
		return element{column: toDstPort, rank: 2}
	case 8:
		return element{column: toSrcAddr, form: formIPv4}
	case 27:
		return element{column: toSrcAddr, form: formIPv6}
	case 12:
		return element{column: toDstAddr, form: formIPv4}
	case 28:
		return element{column: toDstAddr, form: formIPv6}
	case 10:
		return element{column: toInIf}
	case 14:
		return element{column: toOutIf}
	case 16:
		return element{column: toSrcAS}
	case 17:
		return element{column: toDstAS}
	case 61:
		return element{column: toDirection}
	case 136:
		return element{column: toEndReason}
	case 233: // firewallEvent
		return element{column: toFirewallEvent}
	case 40005: // the same, from Cisco ASA in NetFlow v9
		return element{column: toFirewallEvent, rank: 1, also: true}
	case 230: // natEvent
		return element{column: toNATEvent}

	case 56: // sourceMacAddress
		return element{column: toSrcMAC}
	case 81: // postSourceMacAddress
		return element{column: toSrcMAC, rank: 1}
	case 80: // destinationMacAddress
		return element{column: toDstMAC}
	case 57: // postDestinationMacAddress
		return element{column: toDstMAC, rank: 1}
	case 58: // vlanId
		return element{column: toSrcVLAN}
	case 243: // dot1qVlanId
		return element{column: toSrcVLAN, rank: 1}
	case 59: // postVlanId
		return element{column: toDstVLAN}
	case 254: // postDot1qVlanId
		return element{column: toDstVLAN, rank: 1}

	case 32: // icmpTypeCodeIPv4
		return element{column: toICMP, form: formIPv4}
	case 139: // icmpTypeCodeIPv6
		return element{column: toICMP, form: formIPv6}
	case 176:
		return element{column: toICMPType, form: formIPv4}
	case 177:
		return element{column: toICMPCode, form: formIPv4}
	case 178:
		return element{column: toICMPType, form: formIPv6}
	case 179:
		return element{column: toICMPCode, form: formIPv6}

	case 156, 157: // flowStartNanoseconds, flowEndNanoseconds
		return element{column: startOrEnd(id, 156), form: formNTP}
	case 154, 155: // microseconds
		return element{column: startOrEnd(id, 154), form: formNTP, rank: 1}
	case 152, 153: // milliseconds
		return element{column: startOrEnd(id, 152), form: formMilli, rank: 2}
	case 150, 151: // seconds
		return element{column: startOrEnd(id, 150), form: formSeconds, rank: 3}
	case 158, 159: // delta microseconds
		return element{column: startOrEnd(id, 158), form: formDelta, rank: 4}
	case 22, 21: // flowStartSysUpTime, flowEndSysUpTime
		return element{column: startOrEnd(id, 22), form: formUptime, rank: 5}
	case 325, 324: // observationTimeNanoseconds, -Microseconds: of an event
		return element{column: toEnd, form: formNTP, rank: 6, also: true}
	case 323: // observationTimeMilliseconds
		return element{column: toEnd, form: formMilli, rank: 7, also: true}
	case 322: // observationTimeSeconds
		return element{column: toEnd, form: formSeconds, rank: 8, also: true}
	case 161: // flowDurationMilliseconds
		return element{column: toDuration, form: formMilli, also: true}
	case 162: // flowDurationMicroseconds
		return element{column: toDuration, form: formMicro, rank: 1, also: true}
	case 160: // systemInitTimeMilliseconds
		return element{column: toSystemInit, also: true}

	case 34: // samplingInterval
		return element{column: toRate}
	case 50: // samplerRandomInterval
		return element{column: toRate, rank: 1, also: true}
	case 305:
		return element{column: toInterval, also: true}
	case 306:
		return element{column: toSpace, also: true}
	case 309:
		return element{column: toSize, also: true}
	case 310:
		return element{column: toPopulation, also: true}
	case 311:
		return element{column: toProbability, also: true}
	case 48, 302: // samplerId, selectorId
		return element{column: toSampler, also: true}
	}
	return element{}
}

func startOrEnd(id, start uint16) column {
	if id == start {
		return toStart
	}
	return toEnd
}

// paddingOctets (RFC 5102, Section 5.12.1) carries nothing.
const paddingOctets = 210

// classify returns the meaning of a field and whether it belongs to the reverse
// direction of a bidirectional record.
func classify(protocol flow.Protocol, pen uint32, id uint16) (e element, reverse bool) {
	switch {
	case pen == 0 && id == 40005 && protocol != flow.NetFlowV9:
		return element{}, false
	case pen == 0:
		e = lookup(id)
		return e, e.answer
	case pen == reversePEN:
		e = lookup(id)
		e.also = false
		return e, true
	}
	return element{}, false
}
