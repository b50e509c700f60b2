//go:build 386 || amd64 || arm || arm64 || loong64 || mips64le || mipsle || ppc64le || riscv64

package storage

import (
	"io"
	"unsafe"
)

// On a little-endian machine a column in memory is a column on the wire. The
// engine exists for no other; a build for one fails here.

// octets is the memory of s. T has neither padding nor pointers (see word).
func octets[T word](s []T) []byte {
	if len(s) == 0 {
		return nil
	}
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(s))), len(s)*int(unsafe.Sizeof(s[0])))
}

// appendWire appends the values of s, little-endian.
func appendWire[T word](dst []byte, s []T) []byte { return append(dst, octets(s)...) }

// readWire fills s with little-endian values.
func readWire[T word](r io.Reader, s []T) error {
	_, err := io.ReadFull(r, octets(s))
	return err
}
