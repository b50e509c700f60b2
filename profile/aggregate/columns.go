package aggregate

import (
	"slices"

	"tidemark/storage"
)

// scratch is memory that is used again for each block.
type scratch struct {
	contacts, volumes, devices []byte
	u8                         []uint8
	u16                        []uint16
	u32                        []uint32
	u64                        []uint64
	i64                        []int64
	u128                       [][16]byte
	ends, hosts                []uint64
	starts                     []uint32
}

// column appends a column of what get takes out of each of rows.
func column[R any, T uint8 | uint16 | uint32 | uint64 | int64 | [16]byte](dst []byte, buf *[]T, name, typ string, rows []R, get func(*R) T) []byte {
	s := slices.Grow((*buf)[:0], len(rows))[:len(rows)]
	for i := range rows {
		s[i] = get(&rows[i])
	}
	*buf = s
	return storage.AppendColumn(dst, name, typ, s)
}

// grown returns buf with n elements, whose values are old ones.
func grown(buf *[]uint64, n int) []uint64 {
	*buf = slices.Grow((*buf)[:0], n)[:n]
	return *buf
}
