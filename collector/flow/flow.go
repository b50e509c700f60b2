// Package flow says what a flow record is: a Batch of columns, their units and
// enumerations. It holds no decoding, storing or hashing behaviour.
package flow

import (
	"fmt"
	"strconv"
	"strings"
)

// Protocol is the export protocol a record arrived by; values are the version
// numbers on the wire, except sFlow v5, which is 12.
type Protocol uint8

const (
	NetFlowV1 Protocol = 1
	NetFlowV5 Protocol = 5
	NetFlowV7 Protocol = 7
	NetFlowV9 Protocol = 9
	IPFIX     Protocol = 10
	SFlowV5   Protocol = 12
)

func (p Protocol) String() string {
	switch p {
	case NetFlowV1:
		return "netflow_v1"
	case NetFlowV5:
		return "netflow_v5"
	case NetFlowV7:
		return "netflow_v7"
	case NetFlowV9:
		return "netflow_v9"
	case IPFIX:
		return "ipfix"
	case SFlowV5:
		return "sflow_v5"
	}
	return "protocol_" + strconv.Itoa(int(p))
}

// Transport is how the datagram or message reached the collector.
type Transport uint8

const (
	UDP Transport = iota
	TCP
	TLS
	DTLS
	File // read from a capture file
)

// Connected tells whether t is a connection, which begins and ends a Transport
// Session and loses nothing in between.
func (t Transport) Connected() bool { return t == TCP || t == TLS }

// Presence bits tell an exported zero from an absent field.
const (
	HasBytes uint16 = 1 << iota
	HasPackets
	HasStart
	HasEnd
	HasTCPFlags
	HasDirection
	HasTOS
	HasEndReason
	HasSrcMAC
	HasDstMAC
	HasVLANIn
	HasVLANOut
	HasInIf
	HasOutIf
	HasAS
	HasEvents // firewall or NAT event
)

// Quality bits say what is known of a record at decode. What is learned later
// (a duplicate observation, a corrected clock) is never written here.
const (
	SamplingAssumed    uint16 = 1 << iota // no rate in header, record, options or configuration: 1 assumed
	TimeClamped                           // a time was out of range; the raw value is kept as an extension
	LateTemplate                          // the record waited for its template
	Replayed                              // read from a capture file, not from a socket
	AsExported                            // the exporter's clock is trusted over ours (replay, simulation)
	ExtensionCut                          // an extension was longer than MaxExtension octets and was cut
	BiflowReverse                         // the reverse half of a bidirectional record (RFC 5103)
	SamplingFromOption                    // rate came from options data
	SamplingFromConfig                    // rate came from the operator's configuration
)

// Initiator says which side of a record began the conversation.
type Initiator uint8

const (
	InitiatorUnknown Initiator = iota
	InitiatorSrc
	InitiatorDst
)

// Scope says how far a record reaches, seen from the site.
type Scope uint8

const (
	ScopeUnknown Scope = iota
	ScopeLAN           // both ends inside the site's networks
	ScopeWAN           // one end outside
	ScopeMulticast
	ScopeTransit // both ends outside
)

// Identity says what a device identity rests on.
type Identity uint8

const (
	IdentityNone    Identity = iota // not a device of the site
	IdentityMAC                     // hardware address
	IdentityAddress                 // (VRF, IP address) only; who has it, another source may have told
	IdentityGateway                 // the side is seen through a gateway's MAC: identified by address
)

// MaxExtension is the longest extension value in octets (a u15 on the wire).
const MaxExtension = 1<<15 - 1

// ExtensionKey makes the key of an extension from its Private Enterprise Number
// (0 for an IANA element) and Information Element id. Keys sort by (PEN, id).
func ExtensionKey(pen uint32, id uint16) uint64 { return uint64(pen)<<16 | uint64(id) }

// ExtensionID splits a key made by ExtensionKey.
func ExtensionID(key uint64) (pen uint32, id uint16) { return uint32(key >> 16), uint16(key) }

// Name is the name of one stored flow record: log, batch and position.
type Name struct {
	Log   uint64 // first 8 octets of the log id
	Batch uint64
	Pos   uint32
}

func (n Name) String() string { return fmt.Sprintf("%016x-%d-%d", n.Log, n.Batch, n.Pos) }

// ParseName reads the form "<log, 16 hex digits>-<batch>-<pos>".
func ParseName(s string) (Name, error) {
	bad := func() (Name, error) {
		return Name{}, fmt.Errorf("flow name %q: want <log, 16 hex digits>-<batch index>-<position>, as in the column name of `tidemark flows`", s)
	}
	parts := strings.Split(s, "-")
	if len(parts) != 3 || len(parts[0]) != 16 {
		return bad()
	}
	log, err := strconv.ParseUint(parts[0], 16, 64)
	if err != nil {
		return bad()
	}
	batch, err := strconv.ParseUint(parts[1], 10, 64)
	if err != nil {
		return bad()
	}
	pos, err := strconv.ParseUint(parts[2], 10, 32)
	if err != nil {
		return bad()
	}
	return Name{Log: log, Batch: batch, Pos: uint32(pos)}, nil
}

// Unit is what a sequence number of an export protocol counts.
type Unit uint8

const (
	Datagrams Unit = iota // v9 (RFC 3954), sFlow per (agent, sub-agent)
	Records               // v5, IPFIX: Data Records (RFC 7011, Section 3.1)
	Samples
)

func (u Unit) String() string {
	switch u {
	case Records:
		return "records"
	case Samples:
		return "samples"
	}
	return "datagrams"
}

// ExporterCount is the cumulative account of one (exporter, domain, protocol)
// since the collector started: a row of the ledger's exporter table (leaf kind
// 0x03). Protocol 0 counts datagrams of no protocol we know; with a zero Exporter
// it is the row of the sockets.
type ExporterCount struct {
	Exporter    [16]byte
	Domain      uint32
	Protocol    Protocol
	Unit        Unit   // of Expected and Received
	Expected    uint64 // by sequence number
	Received    uint64
	Undecodable uint64 // datagrams or sets that gave no record
	Shed        uint64 // datagrams: queue or rate limit; sockets' row: kernel drops
	FirstSeq    uint32
	LastSeq     uint32
	Away        uint64 // of Expected: sent while no collector listened; not in the ledger's table
}

// Reason names why octets were not turned into flows. The set is closed, so it
// may label a metric.
type Reason uint8

const (
	ReasonNone            Reason = iota
	ReasonShort                  // shorter than its header, set or record says
	ReasonVersion                // not a protocol we know
	ReasonMalformed              // lengths or counts contradict each other
	ReasonTemplateUnknown        // data set whose template has not been seen (yet)
	ReasonTemplateInvalid        // template refused: too long, zero length record
	ReasonLimit                  // a bound on memory was reached (templates, exporters)
	ReasonTrailing               // octets after the last complete record that are no padding
	ReasonSampleType             // sFlow sample or record format not read
	ReasonPanic                  // a decoder broke: a bug, reported once in the log
	numReasons
)

// NumReasons is the number of Reason values.
const NumReasons = int(numReasons)

func (r Reason) String() string {
	return [...]string{"none", "short", "version", "malformed", "template_unknown", "template_invalid",
		"limit", "trailing", "sample_type", "panic"}[r]
}
