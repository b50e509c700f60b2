package netflow

import (
	"testing"

	"tidemark/collector/flow"
)

// A list (RFC 6313) is an octet string of its length, kept whole, whatever it
// holds, and the fields and records behind it are where they are.
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

// listed are the templates of lists below: YAF's MAC addresses and TCP flags, a
// record of variable length, and the flow that holds them.
var listed = set(2, tmpl(300, 56, 6, 80, 6),
	join(u16(301), u16(4), pen(certPEN, 14, 1), pen(certPEN, 15, 1), pen(certPEN, certReverse|14, 1), pen(certPEN, certReverse|15, 1)),
	tmpl(302, 82, variable, 58, 2),
	join(u16(256), u16(6), u16(1), u16(4), pen(reversePEN, 1, 4), u16(8), u16(4), u16(12), u16(4), u16(293), u16(variable), u16(292), u16(variable)),
	tmpl(257, 1, 4, 56, 6, 293, variable))

func flowWith(reverse uint32, multi, sub []byte) []byte {
	return set(256, join(u32(1000), u32(reverse), ip("10.0.0.1"), ip("192.0.2.9"), u8(byte(len(multi))), multi, u8(byte(len(sub))), sub))
}

// entry is one template's records in a subTemplateMultiList.
func entry(template uint16, records ...[]byte) []byte {
	body := join(records...)
	return join(u16(template), u16(uint16(4+len(body))), body)
}

func TestDecoder_ListsFillWhatTheRecordLeavesOut(t *testing.T) {
	camera, router1 := []byte{2, 0, 0, 0, 0, 1}, []byte{2, 0, 0, 0, 0, 2}
	flags := entry(301, u8(0x02, 0x19, 0x12, 0x10))
	macs := entry(300, camera, router1)
	b, r := run(t, New(Config{}), router, ipfix(1, listed, flowWith(5000, join(u8(3), macs, flags), join(u8(3), u16(302), u8(2), []byte("lo"), u16(42)))))
	want(t, "flows", r.Flows, 2)
	want(t, "source MAC", b.SrcMAC[0], 0x020000000001)
	want(t, "destination MAC", b.DstMAC[0], 0x020000000002)
	want(t, "VLAN behind a variable length, in a subTemplateList", b.SrcVLAN[0], 42)
	want(t, "flags of the first packet and the others", b.TCPFlags[0], 0x1b)
	want(t, "presence", b.Presence[0], flow.HasBytes|flow.HasSrcMAC|flow.HasDstMAC|flow.HasVLANIn|flow.HasTCPFlags)
	want(t, "reverse: MACs swapped", b.SrcMAC[1], 0x020000000002)
	want(t, "reverse: flags", b.TCPFlags[1], 0x12)
	want(t, "the list is kept too", string(extension(t, b, 0, 0, 293)), string(join(u8(3), macs, flags)))

	// What the record says itself holds, and so does the first of several.
	b, _ = run(t, New(Config{}), router, ipfix(1, listed, set(257, join(u32(1), camera, u8(29), u8(3), entry(300, router1, router1, router1, camera)))))
	want(t, "the record's own", b.SrcMAC[0], 0x020000000001)
	want(t, "the first in the list", b.DstMAC[0], 0x020000000002)

	// The templates of lists are borrowed like those of records (another port).
	d := New(Config{})
	run(t, d, router, ipfix(1, listed))
	other := router
	other.Port++
	b, _ = run(t, d, other, ipfix(1, flowWith(0, join(u8(3), flags), nil)))
	want(t, "by the templates of another port", b.TCPFlags[0], 0x1b)
}

func TestDecoder_ListsThatLieFillNothing(t *testing.T) {
	mac := []byte{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2}
	for name, list := range map[string][]byte{
		"nothing":                {},
		"a semantic alone":       {3},
		"an unknown template":    join(u8(3), entry(999, mac)),
		"a length too long":      join(u8(3), u16(300), u16(17), mac),
		"a length too short":     join(u8(3), u16(300), u16(3), mac),
		"half a record":          join(u8(3), entry(300, mac[:11])),
		"a cut variable length":  join(u8(3), entry(302, u8(200), mac)),
		"an entry without data":  join(u8(3), entry(300)),
		"itself, and no further": join(u8(3), entry(256, u32(1), u32(0), mac[:8], u8(0, 0))),
	} {
		lies(t, name, flowWith(7, list, nil))
	}
	for name, list := range map[string][]byte{
		"a semantic and half a template": {3, 1},
		"an unknown template":            join(u8(3), u16(999), mac),
		"half a record":                  join(u8(3), u16(300), mac[:11]),
		"a cut variable length":          join(u8(3), u16(302), u8(200), mac),
	} {
		lies(t, "subTemplateList: "+name, flowWith(7, nil, list))
	}
}

func lies(t *testing.T, name string, in []byte) {
	t.Helper()
	b, r := run(t, New(Config{}), router, ipfix(1, listed, in))
	want(t, name+": flows", r.Flows, 2)
	want(t, name+": presence", b.Presence[0]&^flow.HasBytes, 0)
	want(t, name+": octets", b.Bytes[0], 1000)
}

// One octet per record would make a list dear; only its first records are read.
func TestDecoder_ListsAreReadSoFar(t *testing.T) {
	many := make([][]byte, maxListRecords+1)
	for i := range many {
		many[i] = u8(0)
	}
	many[maxListRecords-1] = u8(0x02)
	many[maxListRecords] = u8(0x10)
	one := join(u16(303), u16(1), pen(certPEN, 15, 1))
	b, _ := run(t, New(Config{}), router, ipfix(1, listed, set(2, one), flowWith(0, join(u8(3), entry(303, many...)), nil)))
	want(t, "flags", b.TCPFlags[0], 0x02)
}
