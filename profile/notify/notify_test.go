package notify

import (
	"bufio"
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"
)

// hurry is a wait that does not.
func hurry(ctx context.Context, _ time.Duration) error { return ctx.Err() }

func open(t *testing.T, dir string, channels ...Channel) *Notifier {
	t.Helper()
	if errs := Validate(channels); len(errs) > 0 {
		t.Fatal(errs)
	}
	n, err := New(Options{Dir: dir, Site: "plant", Version: "1.2.3", Channels: channels, Log: zerolog.Nop(), wait: hurry})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// run delivers until done says so.
func run(t *testing.T, n *Notifier, done func() bool) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	finished := make(chan struct{})
	go func() { defer close(finished); n.Run(ctx) }()
	for deadline := time.Now().Add(20 * time.Second); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Error("not delivered within 20 s")
			break
		}
	}
	cancel()
	<-finished
}

func empty(n *Notifier) func() bool {
	return func() bool {
		for _, s := range n.Status() {
			if s.Waiting > 0 {
				return false
			}
		}
		return true
	}
}

func alerts(n int) (out []Alert) {
	for i := range n {
		a := camera()
		a.Version, a.Change = uint32(i+1), Raised
		out = append(out, a)
	}
	return out
}

func TestWebhook_BodyIsSignedAndInOrder(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("s3cret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var versions []uint32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mac := hmac.New(sha256.New, []byte("s3cret"))
		fmt.Fprintf(mac, "%s.%s", r.Header.Get("X-Tidemark-Timestamp"), body)
		if got, want := r.Header.Get("X-Tidemark-Signature"), "sha256="+hex.EncodeToString(mac.Sum(nil)); got != want {
			t.Errorf("got signature %s, want %s", got, want)
		}
		var a Alert
		if err := json.Unmarshal(body, &a); err != nil {
			t.Error(err)
		}
		if got := r.Header.Get("X-Tidemark-Delivery"); got != a.Key() {
			t.Errorf("got delivery %s, want %s", got, a.Key())
		}
		versions = append(versions, a.Version)
	}))
	defer server.Close()
	n := open(t, t.TempDir(), Channel{Name: "soc", URL: server.URL + "/hook", SecretFile: secret})
	for _, a := range alerts(5) {
		if err := n.Enqueue(a); err != nil {
			t.Fatal(err)
		}
	}
	run(t, n, empty(n))
	if fmt.Sprint(versions) != "[1 2 3 4 5]" {
		t.Errorf("got versions %v, want 1 to 5 in order", versions)
	}
}

// TestNotifier_ReceiverThatIsAwayDelaysAndLosesNothing stops the process in the
// middle too.
func TestNotifier_ReceiverThatIsAwayDelaysAndLosesNothing(t *testing.T) {
	var calls atomic.Int64
	got := map[string]bool{}
	var mu sync.Mutex
	up := atomic.Bool{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls.Add(1)
		if !up.Load() {
			http.Error(w, "away", http.StatusServiceUnavailable)
			return
		}
		mu.Lock()
		defer mu.Unlock()
		got[r.Header.Get("X-Tidemark-Delivery")] = true
	}))
	defer server.Close()
	dir, channel := t.TempDir(), Channel{Name: "soc", URL: server.URL}
	n := open(t, dir, channel)
	for _, a := range alerts(3) {
		if err := errors.Join(n.Enqueue(a), n.Enqueue(a)); err != nil { // a crash of the scorer says things twice
			t.Fatal(err)
		}
	}
	run(t, n, func() bool { return calls.Load() >= 10 })
	if s := n.Status()[0]; s.Waiting != 3 || !strings.Contains(s.Error, "503") {
		t.Errorf("got status %+v, want 3 waiting and the 503", s)
	}
	n = open(t, dir, channel) // as after a restart
	up.Store(true)
	run(t, n, empty(n))
	if len(got) != 3 {
		t.Errorf("got %v, want three alerts", got)
	}
}

func TestWebhook_RedirectIsNotFollowed(t *testing.T) {
	reached := atomic.Bool{}
	private := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Store(true) }))
	defer private.Close()
	server := httptest.NewServer(http.RedirectHandler(private.URL, http.StatusTemporaryRedirect))
	defer server.Close()
	n := open(t, t.TempDir(), Channel{Name: "soc", URL: server.URL})
	if err := n.Test(t.Context(), "soc"); err == nil || !strings.Contains(err.Error(), "redirect") || reached.Load() {
		t.Errorf("got error %v, reached %v: want the redirect refused", err, reached.Load())
	}
}

func TestWebhook_ErrorsDoNotTellThePath(t *testing.T) {
	n := open(t, t.TempDir(), Channel{Name: "soc", URL: "http://127.0.0.1:1/services/T0KEN"})
	err := n.Test(t.Context(), "soc")
	if err == nil || strings.Contains(err.Error(), "T0KEN") {
		t.Errorf("got %v, want an error without the token", err)
	}
	if c := n.channels[0]; strings.Contains(c.target()+c.Masked().URL, "T0KEN") {
		t.Error("the token shows")
	}
}

func TestNotifier_SlowReceiverHoldsUpOnlyItself(t *testing.T) {
	release := make(chan struct{})
	slow := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	defer slow.Close()
	defer close(release)
	log := filepath.Join(t.TempDir(), "alerts.ndjson")
	n := open(t, t.TempDir(), Channel{Name: "slow", URL: slow.URL}, Channel{Name: "file", URL: "file://" + log})
	for _, a := range alerts(2) {
		if err := n.Enqueue(a); err != nil {
			t.Fatal(err)
		}
	}
	run(t, n, func() bool { return n.Status()[1].Waiting == 0 })
	if n.Status()[0].Waiting != 2 {
		t.Error("the slow channel has lost an alert")
	}
	text, err := os.ReadFile(log)
	if err != nil || bytes.Count(text, []byte("\n")) != 2 {
		t.Errorf("got %q, %v: want two lines", text, err)
	}
}

func TestNotifier_RefusedAlertIsSetAside(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.Header.Get("X-Tidemark-Delivery"), "-1-raised") {
			http.Error(w, "no such field", http.StatusUnprocessableEntity)
		}
	}))
	defer server.Close()
	dir := t.TempDir()
	n := open(t, dir, Channel{Name: "soc", URL: server.URL})
	for _, a := range alerts(2) {
		if err := n.Enqueue(a); err != nil {
			t.Fatal(err)
		}
	}
	run(t, n, empty(n))
	if s := n.Status()[0]; s.Aside != 1 {
		t.Errorf("got %+v, want one set aside", s)
	}
	if open(t, dir, n.channels[0].Channel).Status()[0].Aside != 1 {
		t.Error("forgotten after a restart")
	}
}

func TestQueue_WhatACrashLeftIsSwept(t *testing.T) {
	dir := t.TempDir()
	n := open(t, dir, Channel{Name: "log", URL: "file://" + filepath.Join(t.TempDir(), "alerts")})
	if err := n.Enqueue(alerts(1)[0]); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"00000000000000000000-x.json": "{half", "00000000000000000009-y.json.new": "{"} {
		if err := os.WriteFile(filepath.Join(dir, "log", name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	n = open(t, dir, n.channels[0].Channel)
	if s := n.Status()[0]; s.Waiting != 2 {
		t.Fatalf("got %+v, want two waiting", s)
	}
	run(t, n, empty(n))
	if s := n.Status()[0]; s.Aside != 1 {
		t.Errorf("got %+v, want the broken file set aside", s)
	}
}

func TestQueue_IsBounded(t *testing.T) {
	n := open(t, t.TempDir(), Channel{Name: "log", URL: "file:///nonexistent/alerts"})
	q := n.channels[0].queue
	for i := range maxQueue {
		q.names = append(q.names, fmt.Sprintf("%020d-x.json", i))
	}
	if err := n.Enqueue(alerts(1)[0]); err != nil {
		t.Fatal(err)
	}
	if q.len() != maxQueue {
		t.Errorf("got %d waiting, want %d", q.len(), maxQueue)
	}
}

func TestChannel_MinRisk(t *testing.T) {
	n := open(t, t.TempDir(), Channel{Name: "log", URL: "file:///nonexistent/alerts", MinRisk: 73})
	if err := n.Enqueue(camera()); err != nil || n.Status()[0].Waiting != 0 {
		t.Errorf("got %v and %+v: an alert of risk 72 waits", err, n.Status())
	}
}

var rfc5424 = regexp.MustCompile(`^<(\d+)>1 \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z \S{1,255} tidemark - (\S{1,32}) - \x{feff}(CEF:0\|.*)$`)

func TestSyslog_UDPTCPAndTLS(t *testing.T) {
	cert, ca := certificate(t)
	for _, network := range []string{"udp", "tcp", "tls"} {
		got := make(chan []byte, 1)
		var address string
		if network == "udp" {
			c, err := net.ListenPacket("udp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			address = c.LocalAddr().String()
			go func() {
				b := make([]byte, 65536)
				k, _, _ := c.ReadFrom(b)
				got <- b[:k]
			}()
		} else {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			address = l.Addr().String()
			if network == "tls" {
				l = tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{cert}})
			}
			go func() {
				c, err := l.Accept()
				if err != nil {
					return
				}
				defer c.Close()
				r := bufio.NewReader(c)
				length, _ := r.ReadString(' ')
				var k int
				fmt.Sscan(length, &k)
				b := make([]byte, k)
				io.ReadFull(r, b)
				got <- b
			}()
		}
		n := open(t, t.TempDir(), Channel{Name: "siem", URL: "syslog+" + network + "://" + address, CA: ca})
		a := camera()
		a.Family, a.Text = "x y", strings.Repeat("é", 3000)
		if network != "udp" {
			a.Text = "line\nbreak"
		}
		if err := n.Enqueue(a); err != nil {
			t.Fatal(err)
		}
		run(t, n, empty(n))
		select {
		case b := <-got:
			m := rfc5424.FindSubmatch(b)
			if m == nil || string(m[1]) != "35" || string(m[2]) != "x_y" || len(b) > 2048 && network == "udp" {
				t.Errorf("%s: got %d octets %q", network, len(b), b[:min(len(b), 200)])
			}
		case <-time.After(10 * time.Second):
			t.Errorf("%s: nothing came; %+v", network, n.Status())
		}
	}
}

func TestValidate_AllFaultsAtOnce(t *testing.T) {
	errs := Validate([]Channel{
		{Name: "Bad Name", URL: "gopher://x"},
		{Name: "a", URL: "https://user:pass@host/x"},
		{Name: "a", URL: "smtp://tidemark@host", Format: "xml", MinRisk: 101},
		{Name: "b", URL: "file://relative/path", From: "x@y"},
		{Name: "c", URL: "https://hook.example/x", To: []string{"x@y"}},
	})
	text := errors.Join(errs...).Error()
	for _, want := range []string{"[0].name", "[0].url", "[1].url: got a password", "[2].name", "[2].format", "[2].min_risk", "[2].from", "[2].to", "[2].secret_file", "[3].url", "[4].from"} {
		if !strings.Contains(text, want) {
			t.Errorf("no fault for %s in\n%s", want, text)
		}
	}
	if strings.Contains(text, "pass@") {
		t.Error("a fault repeats the password")
	}
}

func TestNew_SecretOthersCanReadIsRefused(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := New(Options{Dir: t.TempDir(), Channels: []Channel{{Name: "a", URL: "https://hook.example", SecretFile: secret}}, Log: zerolog.Nop()})
	if err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("got %v, want a refusal that says what to do", err)
	}
}

func TestProgram_GetsTheAlertAndMustEndWell(t *testing.T) {
	dir := t.TempDir()
	script := filepath.Join(dir, "hook")
	if err := os.WriteFile(script, []byte("#!/bin/sh\ncat >"+dir+"/got\necho \"$TIDEMARK_ALERT $#\" >>"+dir+"/got\nexit $(cat "+dir+"/code)\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	n := open(t, t.TempDir(), Channel{Name: "hook", URL: "exec://" + script})
	for code, want := range map[string]string{"0": "", "3": "exit status 3"} {
		if err := os.WriteFile(filepath.Join(dir, "code"), []byte(code), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := n.Test(t.Context(), "hook"); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("exit code %s: got %v, want %q", code, err, want)
		}
	}
	got, err := os.ReadFile(filepath.Join(dir, "got"))
	if err != nil || !strings.HasPrefix(string(got), `{"id":"0000000000000000"`) || !strings.HasSuffix(string(got), "0000000000000000 0\n") {
		t.Errorf("got %q, %v: want the alert on standard input, its id in the environment and no argument", got, err)
	}
	if err := os.WriteFile(script, []byte("#!/bin/sh\nsleep 100 & sleep 100\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := n.Test(ctx, "hook"); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Errorf("got %v from a program that does not end", err)
	}
}

// A device may call itself anything: what leaves is one line of plain text in every
// format.
func TestNotifier_NamesCannotDriveWhoReadsThem(t *testing.T) {
	const name = "cam\x1b[2J\u202egpj\u2028\r\nSubject: x\x85\xff"
	for _, f := range Formats() {
		dir := t.TempDir()
		n := open(t, dir, Channel{Name: "log", URL: "file://" + filepath.Join(dir, "out"), Format: f})
		a := camera()
		a.Device.Name, a.Device.Vendor, a.Observed, a.Text, a.Reason = name, name, name, name, name
		a.Lines[0].Target, a.Lines[0].Observed = name, name
		if err := n.attempt(context.Background(), n.channels[0], &a); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(filepath.Join(dir, "out"))
		if err != nil {
			t.Fatal(err)
		}
		for _, bad := range []string{"\x1b", `\u001b`, "\u202e", "\u2028", `\u2028`, "\r", `\r`, "\u0085", `\nSubject`, "\xff"} {
			if strings.Contains(string(text), bad) {
				t.Errorf("%s: %q is in what leaves: %q", f, bad, text)
			}
		}
		if a.Device.Name != name {
			t.Errorf("%s: the alert itself was changed", f)
		}
	}
}
