package netflow

import "testing"

// What Header reads is what Decode says of the same octets.
func TestDecoder_HeaderAgreesWithDecode(t *testing.T) {
	for name, whole := range samples() {
		d := New(Config{})
		for n := range len(whole) + 1 {
			h, ok := d.Header(whole[:n])
			_, r := run(t, New(Config{}), router, whole[:n])
			if !ok {
				if n >= v9Header+4 {
					t.Errorf("%s cut to %d octets: no header", name, n)
				}
				continue
			}
			if h.Protocol != r.Protocol || h.Domain != r.Domain || h.Sequence != r.Sequence || h.ExportTime != r.ExportTime ||
				h.UptimeMs != r.UptimeMs || h.Unit != r.Unit {
				t.Errorf("%s cut to %d octets: header %+v, decoded %+v", name, n, h, r)
			}
			if h.Uncounted == 0 && h.SequenceUnits != r.SequenceUnits && name != "glued" {
				t.Errorf("%s cut to %d octets: %d units, decoded %d", name, n, h.SequenceUnits, r.SequenceUnits)
			}
		}
	}
}
