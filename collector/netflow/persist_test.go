package netflow

import "testing"

// A damaged or forged record of the store is refused or read; it breaks nothing.
func FuzzRestore(f *testing.F) {
	store := &memoryStore{records: map[string][]byte{}}
	d := New(Config{Templates: store})
	run(f, d, router, v9(1, set(0, plain), set(256, plainRecord(1))), ipfix(1, set(2, yaf)),
		v9(1, options9(257, []uint16{2, 4}, []uint16{34, 4, 82, 8, 83, 4}), set(257, u32(7), u32(10), []byte("ethernet"), []byte("up\x00\x00"))))
	run(f, d, router, ipfix(1, options10(300, 1, 95, 4, 96, 4, 94, 4), set(300, u32(13<<24|80), []byte("http"), []byte("text"))))
	for _, record := range store.records {
		f.Add(record)
	}
	all := samples()
	f.Fuzz(func(t *testing.T, record []byte) {
		d := New(Config{Templates: &memoryStore{records: map[string][]byte{"x": record}}})
		if r := d.Restore(); r.Templates+r.Options > 1 {
			t.Fatalf("%+v of one record", r)
		}
		for _, s := range all {
			survive(t, d, s)
		}
	})
}
