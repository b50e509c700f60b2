package aggregate

import (
	"encoding/binary"
	"math/bits"
)

// ClickHouse's cityHash64 (CityHash 1.0.2) of what the tables' keys are made
// from; queries compare these hashes with their own.

const kMul = 0x9ddfea08eb382d69

// city128 joins two hashes: Hash128to64.
func city128(low, high uint64) uint64 {
	a := (low ^ high) * kMul
	a ^= a >> 47
	b := (high ^ a) * kMul
	b ^= b >> 47
	return b * kMul
}

// city16 is the hash of 16 octets, given as two little-endian words.
func city16(a, b uint64) uint64 {
	return city128(a, bits.RotateLeft64(b+16, -16)) ^ b
}

func cityAddress(a *[16]byte) uint64 {
	return city16(binary.LittleEndian.Uint64(a[:]), binary.LittleEndian.Uint64(a[8:]))
}

// intHash is what cityHash64 makes of one integer.
func intHash(x uint64) uint64 {
	x ^= 0x4cf2d2baae6da887
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	x *= 0xc4ceb9fe1a85ec53
	return x ^ x>>33
}
