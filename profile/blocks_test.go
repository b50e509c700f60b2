package profile

import (
	"bytes"
	"encoding/binary"
	"slices"
	"testing"
)

// TestBlocks_EveryPrefixFails: an answer that breaks off gives no rows that are not
// whole, and an error, but between two blocks.
func TestBlocks_EveryPrefixFails(t *testing.T) {
	text := func(s string) []byte { return append(binary.AppendUvarint(nil, uint64(len(s))), s...) }
	words := func(list ...uint64) (out []byte) {
		for _, w := range list {
			out = binary.LittleEndian.AppendUint64(out, w)
		}
		return out
	}
	one := slices.Concat([]byte{5, 2},
		text("device"), text("UInt64"), words(7, 8),
		text("last"), text("SimpleAggregateFunction(max, DateTime64(3, 'UTC'))"), words(1000, 2000),
		text("identity"), text("UInt8"), []byte{1, 2},
		text("addresses"), text("Array(IPv6)"), words(2, 3), bytes.Repeat([]byte{1}, 16), bytes.Repeat([]byte{2}, 16), bytes.Repeat([]byte{3}, 16),
		text("name"), text("String"), text(""), text("camera"))
	answer := slices.Concat(one, one)
	for n := range len(answer) + 1 {
		rows := 0
		err := readBlocks(bytes.NewReader(answer[:n]), func(b *block) {
			devices, times, identities := b.uint64s(), b.times(), b.uint8s()
			addresses, ends := b.addresses(nil)
			names := b.texts()
			for i := range b.rows {
				rows++
				if devices[i] != 7+uint64(i) || times[i] != 1000*int64(1+i) || identities[i] != 1+uint8(i) || ends[i] != 2+i || names[i] != []string{"", "camera"}[i] {
					t.Fatalf("of %d octets: row %d is %d %d %d %d %q", n, i, devices[i], times[i], identities[i], ends[i], names[i])
				}
			}
			if b.rows > 0 && (len(addresses) != 3 || addresses[2][15] != 3) {
				t.Fatalf("of %d octets: addresses %x", n, addresses)
			}
		})
		if whole := n%len(one) == 0; (err == nil) != whole || rows != n/len(one)*2 {
			t.Errorf("of %d octets: %d rows, error %v", n, rows, err)
		}
	}
	if err := readBlocks(bytes.NewReader(one), func(b *block) { b.times() }); err == nil {
		t.Error("a column of another type was read")
	}
}
