package netflow

import (
	"testing"

	"tidemark/collector/flow"
)

// RFC 6313 structured data is not read into: a list is an octet string of its
// length, kept whole, and the fields and records behind it are where they are.
func TestDecoder_ListsAreKeptWholeAndSkippedSafely(t *testing.T) {
	const basicList, subTemplateList, subTemplateMultiList = 291, 292, 293
	list := join(u8(255), u16(14), u8(3), u16(4), u16(2), u16(1), u16(2), u16(3)) // 3: allOf; length says more than there is inside
	multi := join(u8(4), u16(999), u16(0xffff))                                   // an inner length far past the end
	for name, c := range map[string]struct {
		id   uint16
		list []byte
	}{
		"basicList":            {basicList, list[3:]},
		"subTemplateList":      {subTemplateList, join(u8(3), u16(400), make([]byte, 40))},
		"subTemplateMultiList": {subTemplateMultiList, multi},
		"empty":                {basicList, nil},
		"long":                 {subTemplateMultiList, make([]byte, 700)},
	} {
		template := join(u16(256), u16(3), u16(7), u16(2), u16(c.id), u16(variable), u16(1), u16(4))
		length := u8(byte(len(c.list)))
		if len(c.list) >= 255 {
			length = join(u8(255), u16(uint16(len(c.list))))
		}
		record := join(u16(1234), length, c.list, u32(99))
		b, r := run(t, New(Config{}), router, ipfix(1, set(2, template), set(256, record, record)))
		want(t, name+": flows", r.Flows, 2)
		for i := range b.Len() {
			want(t, name+": field before", b.SrcPort[i], 1234)
			want(t, name+": field behind", b.Bytes[i], 99)
			want(t, name+": list", string(extension(t, b, i, 0, c.id)), string(c.list))
		}
		// A list that claims more than the set holds ends the set, counted.
		_, r = run(t, New(Config{}), router, ipfix(1, set(2, template), set(256, record, u16(1), u8(200), u32(0))))
		want(t, name+": flows before the fault", r.Flows, 1)
		want(t, name+": short", r.Undecodable[flow.ReasonShort], 1)
	}
}
