package oneline

import "testing"

func TestValid_OneLineThatDrivesNothing(t *testing.T) {
	for _, s := range []string{"", "lobby camera", "Büro 2", "カメラ", "a\u00a0b"} {
		if !Valid(s) {
			t.Errorf("%q is refused", s)
		}
	}
	for _, s := range []string{"a\nb", "a\rb", "\x1b[31m", "a\u0085b", "a\u2028b", "a\u2029b", "a\u202eb", "a\u2066b", "a\x7f", "a\xff"} {
		if Valid(s) {
			t.Errorf("%q is let through", s)
		}
	}
}
