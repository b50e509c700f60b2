package storage

import (
	"encoding/binary"
	"slices"

	"tidemark/collector/flow"
)

// AppendFlowsBlock appends b as one block in ClickHouse's Native format
// (without protocol version) with every column of the table flows. It reads
// columns as they lie in memory and allocates only to grow dst.
func AppendFlowsBlock(dst []byte, log uint64, site string, index uint64, b *flow.Batch) []byte {
	rows := b.Len()
	columns := append(recordColumns(), enrichmentColumns()...)
	dst = slices.Grow(dst, blockSize(columns, len(site), b))

	dst = AppendBlock(dst, 4+len(columns), rows)
	dst = AppendNumber(dst, "log", log, rows)
	dst = AppendName(dst, "site", site, rows)
	dst = AppendNumber(dst, "batch_index", index, rows)
	dst = appendHeader(dst, "pos", "UInt32")
	for pos := range uint32(rows) {
		dst = binary.LittleEndian.AppendUint32(dst, pos)
	}
	for _, c := range columns {
		dst = appendHeader(dst, c.name, c.typ)
		dst = c.append(dst, b, rows)
	}
	return dst
}

// blockSize is at least as many octets as a block takes. Grown by appending, it
// would be copied several times, into memory that is touched for the first time.
func blockSize(columns []column, site int, b *flow.Batch) int {
	const (
		header = 200                   // more than the longest name and type
		beside = 2*8 + 1 + 4           // log, batch_index, site, pos
		length = binary.MaxVarintLen16 // of a value's length, flow.MaxExtension
	)
	size := (4+len(columns))*header + site + b.Len()*beside
	for _, c := range columns {
		size += b.Len() * c.width
	}
	x := &b.Ext
	return size + 8*(b.Len()+len(x.Keys)+len(x.ValueEnds)) + length*len(x.DataEnds) + len(x.Data)
}

func appendHeader(dst []byte, name, typ string) []byte {
	return appendString(appendString(dst, name), typ)
}

func appendString[S string | []byte](dst []byte, s S) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

func appendRepeated(dst []byte, v uint64, rows int) []byte {
	for range rows {
		dst = binary.LittleEndian.AppendUint64(dst, v)
	}
	return dst
}

// appendLowCardinality appends a LowCardinality(String) column that holds one
// value: a dictionary of the default (the empty string, always key 0) and the
// value, then a key of one octet per row.
func appendLowCardinality(dst []byte, value string, rows int) []byte {
	const (
		version        = 1       // SharedDictionariesWithAdditionalKeys
		additionalKeys = 1 << 9  // the dictionary stands in this block
		newDictionary  = 1 << 10 // and replaces what was known; low octet: keys are UInt8
	)
	dst = binary.LittleEndian.AppendUint64(dst, version)
	if rows == 0 {
		return dst
	}
	dst = binary.LittleEndian.AppendUint64(dst, additionalKeys|newDictionary)
	dst = binary.LittleEndian.AppendUint64(dst, 2)
	dst = appendString(dst, "")
	dst = appendString(dst, value)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(rows))
	for range rows {
		dst = append(dst, 1)
	}
	return dst
}

// appendExtensions appends a Map(UInt64, Array(String)): where each row's keys
// end, the keys, where each key's values end, the values.
func appendExtensions(dst []byte, b *flow.Batch, rows int) []byte {
	x := &b.Ext
	dst = appendWire(dst, x.Ends[:rows])
	dst = appendWire(dst, x.Keys)
	dst = appendWire(dst, x.ValueEnds)
	begin := uint64(0)
	for _, end := range x.DataEnds {
		dst = appendString(dst, x.Data[begin:end])
		begin = end
	}
	return dst
}
