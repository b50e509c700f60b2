//go:build !(386 || amd64 || arm || arm64 || loong64 || mips64le || mipsle || ppc64le || riscv64)

package storage

import (
	"encoding/binary"
	"io"
)

// appendWire appends the values of s, little-endian.
func appendWire[T word](dst []byte, s []T) []byte {
	dst, _ = binary.Append(dst, binary.LittleEndian, s) // fails only on types outside word
	return dst
}

// readWire fills s with little-endian values.
func readWire[T word](r io.Reader, s []T) error {
	return binary.Read(r, binary.LittleEndian, s)
}
