package anchor

import (
	"bytes"
	"crypto/aes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"tidemark/anchor/merkle/lanes"
	"tidemark/collector/flow"
)

// enrichment names the columns that may be recomputed and are not hashed. Every
// other column of flow.Batch must be in the leaf.
var enrichment = []string{"EventStart", "EventEnd", "SrcDevice", "DstDevice", "SrcIdentity", "DstIdentity",
	"Initiator", "InitiatorConfidence", "Scope", "ServicePort", "Conversation", "ExportTime"}

// columns are the columns of a batch that have one element per row.
func columns(b *flow.Batch) map[string]reflect.Value {
	out := map[string]reflect.Value{}
	v := reflect.ValueOf(b).Elem()
	for i := range v.NumField() {
		if f := v.Type().Field(i); f.IsExported() && f.Type.Kind() == reflect.Slice {
			out[f.Name] = v.Field(i)
		}
	}
	return out
}

// setRow fills the columns of row i from an endless stream of octets.
func setRow(b *flow.Batch, i int, next func() uint64) {
	v := reflect.ValueOf(b).Elem()
	for f := range v.NumField() { // in the order of the struct, so that the stream means something
		field := v.Type().Field(f)
		if !field.IsExported() || field.Type.Kind() != reflect.Slice {
			continue
		}
		e := v.Field(f).Index(i)
		switch e.Kind() {
		case reflect.Array:
			for j := range e.Len() {
				e.Index(j).SetUint(next() & 0xff)
			}
		case reflect.Int64:
			e.SetInt(int64(next()))
		default:
			x := next()
			switch field.Name {
			case "Protocol":
				x &= 31
			case "Transport":
				x &= 7
			case "SrcMAC", "DstMAC":
				x &= maxMAC
			}
			e.SetUint(x << (64 - e.Type().Bits()) >> (64 - e.Type().Bits()))
		}
	}
}

// counting is a stream in which every octet differs from its neighbours.
func counting() func() uint64 {
	n := uint64(0)
	return func() (x uint64) {
		for range 8 {
			n++
			x = x<<8 | n&0xff
		}
		return x
	}
}

func row(extend func(b *flow.Batch), change func(b *flow.Batch)) *flow.Batch {
	b := new(flow.Batch)
	b.NextRow()
	if change != nil {
		change(b)
	}
	if extend != nil {
		extend(b)
	}
	b.EndRow()
	return b
}

// randomBatch has n rows of random columns, some with extensions.
func randomBatch(seed uint64, n int) *flow.Batch {
	r := rand.New(rand.NewPCG(seed, 1))
	b := new(flow.Batch)
	for range n {
		setRow(b, b.NextRow(), r.Uint64)
		for range r.IntN(4) {
			value := make([]byte, r.IntN(9))
			for i := range value {
				value[i] = byte(r.Uint32())
			}
			b.Extend(flow.ExtensionKey(uint32(r.IntN(2)*6871), uint16(r.IntN(3))), value)
		}
		b.EndRow()
	}
	return b
}

func TestRow_Golden(t *testing.T) {
	key := SaltKey([]byte("0123456789abcdef"))
	var out []byte
	write := func(name string, b *flow.Batch) {
		encoded, err := AppendRow(nil, b, 0)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		var leaf [1][32]byte
		if err := Leaves(leaf[:], b, key); err != nil {
			t.Fatal(err)
		}
		out = vector(out, name+" row", encoded)
		out = vector(out, name+" leaf", leaf[0][:])
	}
	write("zero", row(nil, nil))
	write("every field", row(nil, func(b *flow.Batch) { setRow(b, 0, counting()) }))
	write("ones", row(nil, func(b *flow.Batch) { setRow(b, 0, func() uint64 { return ^uint64(0) }) }))
	for bit := range 16 {
		write(fmt.Sprintf("presence bit %d", bit), row(nil, func(b *flow.Batch) { b.Presence[0] = 1 << bit }))
	}
	for bit := range 9 {
		write(fmt.Sprintf("quality bit %d", bit), row(nil, func(b *flow.Batch) { b.Quality[0] = 1 << bit }))
	}
	for n := range 6 {
		write(fmt.Sprintf("extension of %d octets", n), row(func(b *flow.Batch) {
			b.Extend(flow.ExtensionKey(0, 15), []byte("abcdef")[:n])
		}, nil))
	}
	write("extension with PEN", row(func(b *flow.Batch) { b.Extend(flow.ExtensionKey(6871, 40), []byte{1, 2, 3}) }, nil))
	write("largest PEN and id", row(func(b *flow.Batch) { b.Extend(flow.ExtensionKey(1<<32-1, 1<<16-1), []byte{1}) }, nil))
	write("repeats, with and without PEN", row(func(b *flow.Batch) {
		b.Extend(flow.ExtensionKey(9, 70), []byte{1, 2, 3})
		b.Extend(flow.ExtensionKey(0, 70), []byte{0, 1, 2, 3})
		b.Extend(flow.ExtensionKey(0, 8), nil)
		b.Extend(flow.ExtensionKey(0, 70), []byte{0, 0})
		b.Extend(flow.ExtensionKey(9, 70), []byte{4})
	}, nil))
	for i := range uint64(3) {
		salt := key.Salt(i)
		out = vector(out, fmt.Sprintf("salt %d", i), salt[:])
	}
	golden(t, "row.golden", out)
}

func TestRow_LayoutIsThatOfTheSchema(t *testing.T) {
	b := row(nil, func(b *flow.Batch) {
		b.Protocol[0], b.Transport[0] = flow.IPFIX, flow.File
		b.SrcMAC[0], b.DstMAC[0] = 0x010203040506, 0x0708090a0b0c
		b.TimeReceived[0] = -2
		b.DstAS[0] = 0xdeadbeef
	})
	encoded, err := AppendRow(nil, b, 0)
	if err != nil || len(encoded) != 39*4 {
		t.Fatalf("%d octets, %v, want 156", len(encoded), err)
	}
	for _, c := range []struct {
		word int
		want []byte
	}{
		{0, []byte{0, 1, 1, 10<<3 | 4}},
		{1, []byte{0, 1, 0, 0}},
		{2, []byte{255, 255, 255, 255, 255, 255, 255, 254}},
		{29, []byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}},
		{38, []byte{0xde, 0xad, 0xbe, 0xef}},
	} {
		if got := encoded[c.word*4 : c.word*4+len(c.want)]; !bytes.Equal(got, c.want) {
			t.Errorf("w%d: %x, want %x", c.word, got, c.want)
		}
	}
}

// Every bit of every hashed column is in the row or the row is refused.
func TestRow_EveryBitOfEveryColumnMatters(t *testing.T) {
	b := row(func(b *flow.Batch) { b.Extend(5, []byte{1}) }, func(b *flow.Batch) { setRow(b, 0, counting()) })
	base, err := AppendRow(nil, b, 0)
	if err != nil {
		t.Fatal(err)
	}
	for name, column := range columns(b) {
		hashed := !slices.Contains(enrichment, name)
		flipped := 0
		flip := func(e reflect.Value, bits int) {
			old := reflect.ValueOf(e.Interface())
			for bit := range bits {
				if e.CanInt() {
					e.SetInt(old.Int() ^ 1<<bit)
				} else {
					e.SetUint(old.Uint() ^ 1<<bit)
				}
				got, err := AppendRow(nil, b, 0)
				if changed := err != nil || !bytes.Equal(got, base); changed != hashed {
					t.Errorf("%s, bit %d: leaf changed: %v, want %v", name, bit, changed, hashed)
				}
				flipped++
				e.Set(old)
			}
		}
		if e := column.Index(0); e.Kind() == reflect.Array {
			for j := range e.Len() {
				flip(e.Index(j), 8)
			}
		} else {
			flip(e, e.Type().Bits())
		}
		if flipped == 0 {
			t.Errorf("%s: nothing was tried", name)
		}
	}
}

func TestRow_EveryPartOfExtensionsMatters(t *testing.T) {
	seen := map[string]string{}
	for name, extend := range map[string]func(b *flow.Batch){
		"none":         func(b *flow.Batch) {},
		"empty":        func(b *flow.Batch) { b.Extend(1, nil) },
		"zero":         func(b *flow.Batch) { b.Extend(1, []byte{0}) },
		"two zeros":    func(b *flow.Batch) { b.Extend(1, []byte{0, 0}) },
		"other key":    func(b *flow.Batch) { b.Extend(2, []byte{0}) },
		"key zero":     func(b *flow.Batch) { b.Extend(0, []byte{0}) },
		"PEN":          func(b *flow.Batch) { b.Extend(flow.ExtensionKey(1, 1), []byte{0}) },
		"repeat":       func(b *flow.Batch) { b.Extend(1, []byte{0}); b.Extend(1, []byte{1}) },
		"order":        func(b *flow.Batch) { b.Extend(1, []byte{1}); b.Extend(1, []byte{0}) },
		"one for two":  func(b *flow.Batch) { b.Extend(1, []byte{0, 1}) },
		"looks like 2": func(b *flow.Batch) { b.Extend(1, []byte{0, 0, 0, 0, 0, 1, 0, 1, 1}) },
	} {
		encoded, err := AppendRow(nil, row(extend, nil), 0)
		if err != nil || len(encoded)%4 != 0 {
			t.Fatalf("%s: %d octets, %v", name, len(encoded), err)
		}
		if other, taken := seen[string(encoded)]; taken {
			t.Errorf("%q and %q encode alike", name, other)
		}
		seen[string(encoded)] = name
	}
}

func TestRow_RefusesWhatDoesNotFit(t *testing.T) {
	one := func(b *flow.Batch) { b.Extend(3, []byte{1}); b.Extend(4, []byte{1}) }
	for name, spoil := range map[string]func(b *flow.Batch){
		"protocol 32":         func(b *flow.Batch) { b.Protocol[0] = 32 },
		"transport 8":         func(b *flow.Batch) { b.Transport[0] = 8 },
		"source MAC":          func(b *flow.Batch) { b.SrcMAC[0] = 1 << 48 },
		"destination MAC":     func(b *flow.Batch) { b.DstMAC[0] = 1 << 63 },
		"key of 49 bits":      func(b *flow.Batch) { b.Ext.Keys[1] = 1 << 48 },
		"keys descend":        func(b *flow.Batch) { b.Ext.Keys[0] = 5 },
		"key twice":           func(b *flow.Batch) { b.Ext.Keys[0] = 4 },
		"key without a value": func(b *flow.Batch) { b.Ext.ValueEnds[0] = 0 },
		"value too long": func(b *flow.Batch) {
			b.Ext.Data = make([]byte, 1<<15+1)
			b.Ext.DataEnds[1] = uint64(len(b.Ext.Data))
		},
		"too many values": func(b *flow.Batch) {
			b.Ext.DataEnds = make([]uint64, 1<<16)
			b.Ext.ValueEnds[1] = 1 << 16
		},
	} {
		b := row(one, nil)
		if _, err := AppendRow(nil, b, 0); err != nil {
			t.Fatal(err)
		}
		spoil(b)
		dst := []byte("kept")
		got, err := AppendRow(dst, b, 0)
		var rowErr *RowError
		if !errors.As(err, &rowErr) || string(got) != "kept" {
			t.Errorf("%s: %v, dst %q, want a RowError and dst as it was", name, err, got)
		}
		if err := Leaves(make([][32]byte, 1), b, SaltKey{}); !errors.As(err, &rowErr) {
			t.Errorf("%s: Leaves: %v, want a RowError", name, err)
		}
	}
}

func TestLeaves_EqualOneByOne(t *testing.T) {
	key := SaltKey{7}
	for _, n := range []int{0, 1, 4095, 4096, 4097, 10_000} {
		b := randomBatch(uint64(n), n)
		got := make([][32]byte, n)
		if err := Leaves(got, b, key); err != nil {
			t.Fatal(err)
		}
		for i := range got {
			encoded, err := AppendRow(nil, b, i)
			if err != nil {
				t.Fatal(err)
			}
			if got[i] != LeafHash(encoded, key.Salt(uint64(i))) {
				t.Fatalf("%d rows: leaf %d differs", n, i)
			}
		}
	}
	if err := Leaves(make([][32]byte, 1), new(flow.Batch), key); err == nil {
		t.Fatal("wrong room: no error")
	}
}

func TestLeaves_NamesTheFirstBadRow(t *testing.T) {
	b := randomBatch(3, 20_000)
	b.SrcMAC[17_000], b.DstMAC[9_000] = 1<<50, 1<<50
	var rowErr *RowError
	if err := Leaves(make([][32]byte, b.Len()), b, SaltKey{}); !errors.As(err, &rowErr) || rowErr.Pos != 9_000 {
		t.Fatalf("got %v, want row 9000", err)
	}
}

func TestLeaves_AllocatesPerBlockOnly(t *testing.T) {
	b := randomBatch(4, 4096)
	dst := make([][32]byte, b.Len())
	if n := testing.AllocsPerRun(3, func() { _ = Leaves(dst, b, SaltKey{}) }); n > 20 {
		t.Fatalf("%v allocations for 4096 rows", n)
	}
}

func TestSaltKey_IsAESOfTheIndex(t *testing.T) {
	key := SaltKey{1, 2, 3}
	block, err := aes.NewCipher(key[:])
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range []uint64{0, 1, 255, 256, 4096, MaxRows - 1, 1<<64 - 1} {
		var in, want [16]byte
		binary.BigEndian.PutUint64(in[8:], i)
		block.Encrypt(want[:], in[:])
		if got := key.Salt(i); got != want {
			t.Errorf("salt %d: %x, want %x", i, got, want)
		}
	}
}

// BenchmarkLeaves encodes and hashes rows; TIDEMARK_LANES sets the lanes.
func BenchmarkLeaves(b *testing.B) {
	plain := new(flow.Batch)
	for r := rand.New(rand.NewPCG(1, 1)); plain.Len() < benchRows; {
		setRow(plain, plain.NextRow(), r.Uint64)
		plain.EndRow()
	}
	for name, batch := range map[string]*flow.Batch{"plain": plain, "extensions": randomBatch(1, benchRows)} {
		b.Run(name+"/"+lanes.Best().String(), func(b *testing.B) {
			dst := make([][32]byte, batch.Len())
			b.ReportAllocs()
			used := cpuTime(b)
			for b.Loop() {
				if err := Leaves(dst, batch, SaltKey{}); err != nil {
					b.Fatal(err)
				}
			}
			reportRows(b, batch.Len(), used)
		})
	}
}
