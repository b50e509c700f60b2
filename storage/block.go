package storage

import "encoding/binary"

// Block is one Native block and the table it is for.
type Block struct {
	Table string
	Data  []byte
}

// AppendBlock begins a Native block (without protocol version) of some columns,
// each of which follows by one of the other Append functions.
func AppendBlock(dst []byte, columns, rows int) []byte {
	return binary.AppendUvarint(binary.AppendUvarint(dst, uint64(columns)), uint64(rows))
}

// AppendColumn appends a column of values of fixed width.
func AppendColumn[T word](dst []byte, name, typ string, values []T) []byte {
	return appendWire(appendHeader(dst, name, typ), values)
}

// AppendArrays appends a column of arrays: row i owns values [ends[i-1], ends[i]).
func AppendArrays[T word](dst []byte, name, typ string, ends []uint64, values []T) []byte {
	return appendWire(appendWire(appendHeader(dst, name, typ), ends), values)
}

// AppendNumber appends a UInt64 column that holds one value.
func AppendNumber(dst []byte, name string, value uint64, rows int) []byte {
	return appendRepeated(appendHeader(dst, name, "UInt64"), value, rows)
}

// AppendName appends a LowCardinality(String) column that holds one value.
func AppendName(dst []byte, name, value string, rows int) []byte {
	return appendLowCardinality(appendHeader(dst, name, "LowCardinality(String)"), value, rows)
}
