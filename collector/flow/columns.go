package flow

import "slices"

// NextRow begins a row of zeros and returns its index. It becomes a record with EndRow.
func (b *Batch) NextRow() int {
	b.staged, b.scratch = b.staged[:0], b.scratch[:0]
	b.Protocol = append(b.Protocol, 0)
	b.Transport = append(b.Transport, 0)
	b.TimeReceived = append(b.TimeReceived, 0)
	b.TimeFlowStart = append(b.TimeFlowStart, 0)
	b.TimeFlowEnd = append(b.TimeFlowEnd, 0)
	b.SamplerAddress = append(b.SamplerAddress, [16]byte{})
	b.ObservationDomain = append(b.ObservationDomain, 0)
	b.SequenceNum = append(b.SequenceNum, 0)
	b.SrcAddr = append(b.SrcAddr, [16]byte{})
	b.DstAddr = append(b.DstAddr, [16]byte{})
	b.SrcPort = append(b.SrcPort, 0)
	b.DstPort = append(b.DstPort, 0)
	b.Proto = append(b.Proto, 0)
	b.Direction = append(b.Direction, 0)
	b.TCPFlags = append(b.TCPFlags, 0)
	b.Bytes = append(b.Bytes, 0)
	b.Packets = append(b.Packets, 0)
	b.SamplingRate = append(b.SamplingRate, 0)
	b.SrcMAC = append(b.SrcMAC, 0)
	b.DstMAC = append(b.DstMAC, 0)
	b.SrcVLAN = append(b.SrcVLAN, 0)
	b.DstVLAN = append(b.DstVLAN, 0)
	b.InIf = append(b.InIf, 0)
	b.OutIf = append(b.OutIf, 0)
	b.Presence = append(b.Presence, 0)
	b.TOS = append(b.TOS, 0)
	b.EndReason = append(b.EndReason, 0)
	b.FirewallEvent = append(b.FirewallEvent, 0)
	b.NATEvent = append(b.NATEvent, 0)
	b.Quality = append(b.Quality, 0)
	b.SrcAS = append(b.SrcAS, 0)
	b.DstAS = append(b.DstAS, 0)
	b.EventStart = append(b.EventStart, 0)
	b.EventEnd = append(b.EventEnd, 0)
	b.SrcDevice = append(b.SrcDevice, 0)
	b.DstDevice = append(b.DstDevice, 0)
	b.SrcIdentity = append(b.SrcIdentity, 0)
	b.DstIdentity = append(b.DstIdentity, 0)
	b.Initiator = append(b.Initiator, 0)
	b.InitiatorConfidence = append(b.InitiatorConfidence, 0)
	b.Scope = append(b.Scope, 0)
	b.ServicePort = append(b.ServicePort, 0)
	b.Conversation = append(b.Conversation, 0)
	b.ExportTime = append(b.ExportTime, 0)
	return len(b.Protocol) - 1
}

// Grow appends n rows of zeros and returns the index of the first. They become
// records in their order, by EndRow or EndRows; until then only their columns
// may be written, by index.
func (b *Batch) Grow(n int) int {
	b.staged, b.scratch = b.staged[:0], b.scratch[:0]
	first := len(b.Protocol)
	b.Protocol = grow(b.Protocol, n)
	b.Transport = grow(b.Transport, n)
	b.TimeReceived = grow(b.TimeReceived, n)
	b.TimeFlowStart = grow(b.TimeFlowStart, n)
	b.TimeFlowEnd = grow(b.TimeFlowEnd, n)
	b.SamplerAddress = grow(b.SamplerAddress, n)
	b.ObservationDomain = grow(b.ObservationDomain, n)
	b.SequenceNum = grow(b.SequenceNum, n)
	b.SrcAddr = grow(b.SrcAddr, n)
	b.DstAddr = grow(b.DstAddr, n)
	b.SrcPort = grow(b.SrcPort, n)
	b.DstPort = grow(b.DstPort, n)
	b.Proto = grow(b.Proto, n)
	b.Direction = grow(b.Direction, n)
	b.TCPFlags = grow(b.TCPFlags, n)
	b.Bytes = grow(b.Bytes, n)
	b.Packets = grow(b.Packets, n)
	b.SamplingRate = grow(b.SamplingRate, n)
	b.SrcMAC = grow(b.SrcMAC, n)
	b.DstMAC = grow(b.DstMAC, n)
	b.SrcVLAN = grow(b.SrcVLAN, n)
	b.DstVLAN = grow(b.DstVLAN, n)
	b.InIf = grow(b.InIf, n)
	b.OutIf = grow(b.OutIf, n)
	b.Presence = grow(b.Presence, n)
	b.TOS = grow(b.TOS, n)
	b.EndReason = grow(b.EndReason, n)
	b.FirewallEvent = grow(b.FirewallEvent, n)
	b.NATEvent = grow(b.NATEvent, n)
	b.Quality = grow(b.Quality, n)
	b.SrcAS = grow(b.SrcAS, n)
	b.DstAS = grow(b.DstAS, n)
	b.EventStart = grow(b.EventStart, n)
	b.EventEnd = grow(b.EventEnd, n)
	b.SrcDevice = grow(b.SrcDevice, n)
	b.DstDevice = grow(b.DstDevice, n)
	b.SrcIdentity = grow(b.SrcIdentity, n)
	b.DstIdentity = grow(b.DstIdentity, n)
	b.Initiator = grow(b.Initiator, n)
	b.InitiatorConfidence = grow(b.InitiatorConfidence, n)
	b.Scope = grow(b.Scope, n)
	b.ServicePort = grow(b.ServicePort, n)
	b.Conversation = grow(b.Conversation, n)
	b.ExportTime = grow(b.ExportTime, n)
	return first
}

func grow[T any](s []T, n int) []T {
	first := len(s)
	if first+n > cap(s) {
		s = slices.Grow(s, n)
	}
	s = s[:first+n]
	clear(s[first:])
	return s
}

// Reserve makes room for n rows in all, and no more: a batch that grows by
// appending ends up with a quarter more than it needs.
func (b *Batch) Reserve(n int) {
	b.Protocol = reserve(b.Protocol, n)
	b.Transport = reserve(b.Transport, n)
	b.TimeReceived = reserve(b.TimeReceived, n)
	b.TimeFlowStart = reserve(b.TimeFlowStart, n)
	b.TimeFlowEnd = reserve(b.TimeFlowEnd, n)
	b.SamplerAddress = reserve(b.SamplerAddress, n)
	b.ObservationDomain = reserve(b.ObservationDomain, n)
	b.SequenceNum = reserve(b.SequenceNum, n)
	b.SrcAddr = reserve(b.SrcAddr, n)
	b.DstAddr = reserve(b.DstAddr, n)
	b.SrcPort = reserve(b.SrcPort, n)
	b.DstPort = reserve(b.DstPort, n)
	b.Proto = reserve(b.Proto, n)
	b.Direction = reserve(b.Direction, n)
	b.TCPFlags = reserve(b.TCPFlags, n)
	b.Bytes = reserve(b.Bytes, n)
	b.Packets = reserve(b.Packets, n)
	b.SamplingRate = reserve(b.SamplingRate, n)
	b.SrcMAC = reserve(b.SrcMAC, n)
	b.DstMAC = reserve(b.DstMAC, n)
	b.SrcVLAN = reserve(b.SrcVLAN, n)
	b.DstVLAN = reserve(b.DstVLAN, n)
	b.InIf = reserve(b.InIf, n)
	b.OutIf = reserve(b.OutIf, n)
	b.Presence = reserve(b.Presence, n)
	b.TOS = reserve(b.TOS, n)
	b.EndReason = reserve(b.EndReason, n)
	b.FirewallEvent = reserve(b.FirewallEvent, n)
	b.NATEvent = reserve(b.NATEvent, n)
	b.Quality = reserve(b.Quality, n)
	b.SrcAS = reserve(b.SrcAS, n)
	b.DstAS = reserve(b.DstAS, n)
	b.EventStart = reserve(b.EventStart, n)
	b.EventEnd = reserve(b.EventEnd, n)
	b.SrcDevice = reserve(b.SrcDevice, n)
	b.DstDevice = reserve(b.DstDevice, n)
	b.SrcIdentity = reserve(b.SrcIdentity, n)
	b.DstIdentity = reserve(b.DstIdentity, n)
	b.Initiator = reserve(b.Initiator, n)
	b.InitiatorConfidence = reserve(b.InitiatorConfidence, n)
	b.Scope = reserve(b.Scope, n)
	b.ServicePort = reserve(b.ServicePort, n)
	b.Conversation = reserve(b.Conversation, n)
	b.ExportTime = reserve(b.ExportTime, n)
	b.Ext.Ends = reserve(b.Ext.Ends, n)
}

func reserve[T any](s []T, n int) []T {
	if cap(s) >= n {
		return s
	}
	return append(make([]T, 0, n), s...)
}

// Clear makes row i one of zeros again.
func (b *Batch) Clear(i int) {
	b.Protocol[i] = 0
	b.Transport[i] = 0
	b.TimeReceived[i] = 0
	b.TimeFlowStart[i] = 0
	b.TimeFlowEnd[i] = 0
	b.SamplerAddress[i] = [16]byte{}
	b.ObservationDomain[i] = 0
	b.SequenceNum[i] = 0
	b.SrcAddr[i] = [16]byte{}
	b.DstAddr[i] = [16]byte{}
	b.SrcPort[i] = 0
	b.DstPort[i] = 0
	b.Proto[i] = 0
	b.Direction[i] = 0
	b.TCPFlags[i] = 0
	b.Bytes[i] = 0
	b.Packets[i] = 0
	b.SamplingRate[i] = 0
	b.SrcMAC[i] = 0
	b.DstMAC[i] = 0
	b.SrcVLAN[i] = 0
	b.DstVLAN[i] = 0
	b.InIf[i] = 0
	b.OutIf[i] = 0
	b.Presence[i] = 0
	b.TOS[i] = 0
	b.EndReason[i] = 0
	b.FirewallEvent[i] = 0
	b.NATEvent[i] = 0
	b.Quality[i] = 0
	b.SrcAS[i] = 0
	b.DstAS[i] = 0
	b.EventStart[i] = 0
	b.EventEnd[i] = 0
	b.SrcDevice[i] = 0
	b.DstDevice[i] = 0
	b.SrcIdentity[i] = 0
	b.DstIdentity[i] = 0
	b.Initiator[i] = 0
	b.InitiatorConfidence[i] = 0
	b.Scope[i] = 0
	b.ServicePort[i] = 0
	b.Conversation[i] = 0
	b.ExportTime[i] = 0
}

// Truncate keeps the first n records, dropping also a row that was not ended.
func (b *Batch) Truncate(n int) {
	b.Protocol = b.Protocol[:n]
	b.Transport = b.Transport[:n]
	b.TimeReceived = b.TimeReceived[:n]
	b.TimeFlowStart = b.TimeFlowStart[:n]
	b.TimeFlowEnd = b.TimeFlowEnd[:n]
	b.SamplerAddress = b.SamplerAddress[:n]
	b.ObservationDomain = b.ObservationDomain[:n]
	b.SequenceNum = b.SequenceNum[:n]
	b.SrcAddr = b.SrcAddr[:n]
	b.DstAddr = b.DstAddr[:n]
	b.SrcPort = b.SrcPort[:n]
	b.DstPort = b.DstPort[:n]
	b.Proto = b.Proto[:n]
	b.Direction = b.Direction[:n]
	b.TCPFlags = b.TCPFlags[:n]
	b.Bytes = b.Bytes[:n]
	b.Packets = b.Packets[:n]
	b.SamplingRate = b.SamplingRate[:n]
	b.SrcMAC = b.SrcMAC[:n]
	b.DstMAC = b.DstMAC[:n]
	b.SrcVLAN = b.SrcVLAN[:n]
	b.DstVLAN = b.DstVLAN[:n]
	b.InIf = b.InIf[:n]
	b.OutIf = b.OutIf[:n]
	b.Presence = b.Presence[:n]
	b.TOS = b.TOS[:n]
	b.EndReason = b.EndReason[:n]
	b.FirewallEvent = b.FirewallEvent[:n]
	b.NATEvent = b.NATEvent[:n]
	b.Quality = b.Quality[:n]
	b.SrcAS = b.SrcAS[:n]
	b.DstAS = b.DstAS[:n]
	b.EventStart = b.EventStart[:n]
	b.EventEnd = b.EventEnd[:n]
	b.SrcDevice = b.SrcDevice[:n]
	b.DstDevice = b.DstDevice[:n]
	b.SrcIdentity = b.SrcIdentity[:n]
	b.DstIdentity = b.DstIdentity[:n]
	b.Initiator = b.Initiator[:n]
	b.InitiatorConfidence = b.InitiatorConfidence[:n]
	b.Scope = b.Scope[:n]
	b.ServicePort = b.ServicePort[:n]
	b.Conversation = b.Conversation[:n]
	b.ExportTime = b.ExportTime[:n]
	x := &b.Ext
	keys := start(x.Ends, uint64(n))
	values := start(x.ValueEnds, keys)
	data := start(x.DataEnds, values)
	x.Ends, x.Keys, x.ValueEnds = x.Ends[:n], x.Keys[:keys], x.ValueEnds[:keys]
	x.DataEnds, x.Data = x.DataEnds[:values], x.Data[:data]
	b.staged, b.scratch = b.staged[:0], b.scratch[:0]
}

// Reset empties the batch and keeps its memory.
func (b *Batch) Reset() { b.Truncate(0) }

// Append copies records [begin, end) of src to b.
func (b *Batch) Append(src *Batch, begin, end int) {
	b.Protocol = append(b.Protocol, src.Protocol[begin:end]...)
	b.Transport = append(b.Transport, src.Transport[begin:end]...)
	b.TimeReceived = append(b.TimeReceived, src.TimeReceived[begin:end]...)
	b.TimeFlowStart = append(b.TimeFlowStart, src.TimeFlowStart[begin:end]...)
	b.TimeFlowEnd = append(b.TimeFlowEnd, src.TimeFlowEnd[begin:end]...)
	b.SamplerAddress = append(b.SamplerAddress, src.SamplerAddress[begin:end]...)
	b.ObservationDomain = append(b.ObservationDomain, src.ObservationDomain[begin:end]...)
	b.SequenceNum = append(b.SequenceNum, src.SequenceNum[begin:end]...)
	b.SrcAddr = append(b.SrcAddr, src.SrcAddr[begin:end]...)
	b.DstAddr = append(b.DstAddr, src.DstAddr[begin:end]...)
	b.SrcPort = append(b.SrcPort, src.SrcPort[begin:end]...)
	b.DstPort = append(b.DstPort, src.DstPort[begin:end]...)
	b.Proto = append(b.Proto, src.Proto[begin:end]...)
	b.Direction = append(b.Direction, src.Direction[begin:end]...)
	b.TCPFlags = append(b.TCPFlags, src.TCPFlags[begin:end]...)
	b.Bytes = append(b.Bytes, src.Bytes[begin:end]...)
	b.Packets = append(b.Packets, src.Packets[begin:end]...)
	b.SamplingRate = append(b.SamplingRate, src.SamplingRate[begin:end]...)
	b.SrcMAC = append(b.SrcMAC, src.SrcMAC[begin:end]...)
	b.DstMAC = append(b.DstMAC, src.DstMAC[begin:end]...)
	b.SrcVLAN = append(b.SrcVLAN, src.SrcVLAN[begin:end]...)
	b.DstVLAN = append(b.DstVLAN, src.DstVLAN[begin:end]...)
	b.InIf = append(b.InIf, src.InIf[begin:end]...)
	b.OutIf = append(b.OutIf, src.OutIf[begin:end]...)
	b.Presence = append(b.Presence, src.Presence[begin:end]...)
	b.TOS = append(b.TOS, src.TOS[begin:end]...)
	b.EndReason = append(b.EndReason, src.EndReason[begin:end]...)
	b.FirewallEvent = append(b.FirewallEvent, src.FirewallEvent[begin:end]...)
	b.NATEvent = append(b.NATEvent, src.NATEvent[begin:end]...)
	b.Quality = append(b.Quality, src.Quality[begin:end]...)
	b.SrcAS = append(b.SrcAS, src.SrcAS[begin:end]...)
	b.DstAS = append(b.DstAS, src.DstAS[begin:end]...)
	b.EventStart = append(b.EventStart, src.EventStart[begin:end]...)
	b.EventEnd = append(b.EventEnd, src.EventEnd[begin:end]...)
	b.SrcDevice = append(b.SrcDevice, src.SrcDevice[begin:end]...)
	b.DstDevice = append(b.DstDevice, src.DstDevice[begin:end]...)
	b.SrcIdentity = append(b.SrcIdentity, src.SrcIdentity[begin:end]...)
	b.DstIdentity = append(b.DstIdentity, src.DstIdentity[begin:end]...)
	b.Initiator = append(b.Initiator, src.Initiator[begin:end]...)
	b.InitiatorConfidence = append(b.InitiatorConfidence, src.InitiatorConfidence[begin:end]...)
	b.Scope = append(b.Scope, src.Scope[begin:end]...)
	b.ServicePort = append(b.ServicePort, src.ServicePort[begin:end]...)
	b.Conversation = append(b.Conversation, src.Conversation[begin:end]...)
	b.ExportTime = append(b.ExportTime, src.ExportTime[begin:end]...)
	b.Ext.append(&src.Ext, uint64(begin), uint64(end))
}

func (x *Extensions) append(src *Extensions, begin, end uint64) {
	k0, k1 := start(src.Ends, begin), start(src.Ends, end)
	v0, v1 := start(src.ValueEnds, k0), start(src.ValueEnds, k1)
	d0, d1 := start(src.DataEnds, v0), start(src.DataEnds, v1)
	x.Ends = appendShifted(x.Ends, src.Ends[begin:end], uint64(len(x.Keys))-k0)
	x.ValueEnds = appendShifted(x.ValueEnds, src.ValueEnds[k0:k1], uint64(len(x.DataEnds))-v0)
	x.DataEnds = appendShifted(x.DataEnds, src.DataEnds[v0:v1], uint64(len(x.Data))-d0)
	x.Keys = append(x.Keys, src.Keys[k0:k1]...)
	x.Data = append(x.Data, src.Data[d0:d1]...)
}

// appendShifted adds by to every end; by may wrap, which subtracts.
func appendShifted(dst, ends []uint64, by uint64) []uint64 {
	for _, e := range ends {
		dst = append(dst, e+by)
	}
	return dst
}
