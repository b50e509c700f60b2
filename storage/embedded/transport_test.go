package embedded

import (
	"io"
	"net/http"
	"testing"
)

// An answer without a body begins and ends in one moment; it must never pass for
// a request that was cancelled.
func TestTransport_EmptyAnswerIsNoCancellation(t *testing.T) {
	silent := transport{http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})}
	for i := range 20_000 {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://engine", nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := silent.RoundTrip(r)
		if err != nil {
			t.Fatalf("request %d: %v", i, err)
		}
		if body, err := io.ReadAll(res.Body); err != nil || len(body) != 0 || res.StatusCode != http.StatusOK {
			t.Fatalf("request %d: status %d, body %q, error %v", i, res.StatusCode, body, err)
		}
	}
}
