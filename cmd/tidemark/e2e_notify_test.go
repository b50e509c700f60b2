package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"tidemark/profile/notify"
)

// TestNotify_AnAlertOutlivesItsDaemon: the receiver is away and the daemon is killed; the
// next one delivers the alert when the receiver is back.
func TestNotify_AnAlertOutlivesItsDaemon(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	var away atomic.Bool
	away.Store(true)
	got := make(chan notify.Alert, 10)
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if away.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		var a notify.Alert
		if err := json.NewDecoder(r.Body).Decode(&a); err != nil {
			t.Errorf("read what was posted: %v", err)
		}
		got <- a
	}))
	defer receiver.Close()
	s.configure(fmt.Sprintf("collector: {listen: [%q], allow: [127.0.0.1]}", s.udp), `notify: [{name: soc, url: "`+receiver.URL+`/in"}]`)
	s.start()
	s.exporter("127.9.9.1").send(netflow5(0, 1)) // a stranger: the first of a day is told of
	waiting := func() int {
		files, err := filepath.Glob(filepath.Join(s.dir, "notify", "soc", "*.json"))
		if err != nil {
			t.Fatal(err)
		}
		return len(files)
	}
	until := func(n int) {
		t.Helper()
		for deadline := time.Now().Add(time.Minute); waiting() != n; time.Sleep(20 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%d alerts wait on disk, want %d", waiting(), n)
			}
		}
	}
	until(1)
	s.kill()
	if waiting() != 1 {
		t.Fatalf("%d alerts wait after the kill, want 1", waiting())
	}

	away.Store(false)
	s.start()
	select {
	case a := <-got:
		if a.Family != "unknown_sender" {
			t.Errorf("got %+v, want the alert of the sender", a)
		}
	case <-time.After(time.Minute):
		t.Fatal("nothing came within a minute")
	}
	until(0)
	s.stop()
	if n := len(got); n != 0 {
		t.Errorf("%d more were posted, want each once", n)
	}
}
