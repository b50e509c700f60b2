package flow

// Datagram says where the octets given to a decoder came from: those of a UDP
// datagram, or of a message from a connection.
type Datagram struct {
	Exporter   [16]byte // source address, IPv4 as ::ffff:a.b.c.d
	Port       uint16   // source port: over UDP, it and Exporter name the Transport Session
	Transport  Transport
	Connection uint32 // TCP and TLS: which connection, as a port may come again; else 0
	Received   int64  // ns since 1970 on this machine's clock
	Quality    uint16 // set on every row: Replayed, AsExported
}

// Result is the account of one datagram: what it said of itself and what became
// of its octets.
type Result struct {
	Protocol   Protocol
	Domain     uint32 // Observation Domain, v9 Source ID, v5 engine type<<8|id, sFlow sub-agent
	Sequence   uint32
	ExportTime int64  // ns on the exporter's clock, 0 if the protocol has none
	UptimeMs   uint32 // 0 in IPFIX and NetFlow without it

	// SequenceUnits is by how much the next Sequence should have grown: v5 and
	// IPFIX Data Records of this message, v9 and sFlow 1 datagram. When Uncounted
	// is not 0 it is only a lower bound.
	SequenceUnits uint32
	Unit          Unit
	Uncounted     int // Data Sets whose records could not be counted: template unknown

	Flows            int // rows appended for this datagram, those of sets that had waited included
	Reverse          int // of Flows: reverse halves of bidirectional records
	Late             int // of Flows: rows of sets that had waited for their template
	OptionsRecords   int
	Templates        int // Template and Options Template Records read
	CounterSamples   int
	DiscardedSamples int // sFlow discard samples; each is also one of Flows
	Waiting          int // Data Sets kept for a template to come
	Conflicts        int // a live template redefined with another layout
	Undecodable      [NumReasons]uint32
}
