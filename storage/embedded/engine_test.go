package embedded

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// openEngine starts the engine of this process; tests that use it are not parallel.
func openEngine(t *testing.T) *Engine {
	t.Helper()
	e, err := Open(Options{Path: t.TempDir(), Library: libraryPath(t), MemoryLimit: 1 << 30})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close(t.Context()) }) // a test may have closed it
	return e
}

func libraryPath(t *testing.T) string {
	t.Helper()
	path, err := FindLibrary("")
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// post runs a statement and returns status, header and body.
func post(t *testing.T, rt http.RoundTripper, target, params, body string) (*http.Response, string, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, target+"?"+params, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	res, err := rt.RoundTrip(req)
	if err != nil {
		t.Fatalf("%.60s: %v", body, err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	return res, string(text), err
}

func TestEngine_SpeaksHTTPLikeAServer(t *testing.T) {
	e := openEngine(t)
	server := httptest.NewServer(e)
	defer server.Close()
	insert := "query=" + url.QueryEscape("INSERT INTO t FORMAT CSV")
	for name, rt := range map[string]http.RoundTripper{"in process": e.Transport(), "network": http.DefaultTransport} {
		t.Run(name, func(t *testing.T) {
			for _, c := range []struct {
				params, body string
				status       int
				code, want   string
			}{
				{"", "CREATE OR REPLACE TABLE t (n UInt64) ENGINE = Memory", 200, "", ""},
				{insert, "1\n2\n", 200, "", ""},
				{insert + "&max_insert_block_size=1", "3", 200, "", ""},
				{insert, "4\nx\n", 500, "117", "Code: 117. DB::Exception: "},
				{insert, strings.Repeat("x\n", 1<<22), 500, "117", "Code: 117. DB::Exception: "},
				{"query=" + url.QueryEscape("INSERT INTO missing FORMAT CSV"), strings.Repeat("1\n", 1<<22), 404, "60", "Code: 60. DB::Exception: "},
				{"", "INSERT INTO t VALUES (5)", 200, "", ""},
				{"query=SELECT", " sum(n) FROM t", 200, "", "11\n"},
				{"default_format=CSV", "SELECT 'a'", 200, "", "\"a\"\n"},
				{"default_format=CSV", "SELECT 'a' FORMAT TSV", 200, "", "a\n"},
				{"database=system", "SELECT currentDatabase()", 200, "", "system\n"},
				{"database=missing", "SELECT 1", 404, "81", "Code: 81. DB::Exception: "},
				{"database=" + url.QueryEscape("a`; DROP TABLE t; --"), "SELECT 1", 404, "81", "Code: 81. DB::Exception: "},
				{"no_such=1", "SELECT 1", 400, "115", "Code: 115. DB::Exception: "},
				{url.QueryEscape("a = 1, b") + "=1", "SELECT 1", 400, "115", "Code: 115. DB::Exception: "},
				{"log_comment=x", "SELECT 1", 400, "36", "Code: 36. DB::Exception: "},
				{"default_format=NoSuch", "SELECT 1", 500, "73", "Code: 73. DB::Exception: "},
				{"compress=1", "SELECT 1", 501, "48", "Code: 48. DB::Exception: "},
				{"", "", 400, "62", "Code: 62. DB::Exception: "},
				{"", strings.Repeat(" ", maxStatement+1), 413, "307", "Code: 307. DB::Exception: "},
			} {
				target := "http://engine/"
				if name == "network" {
					target = server.URL + "/"
				}
				res, text, err := post(t, rt, target, c.params, c.body)
				if err != nil || res.StatusCode != c.status || res.Header.Get("X-ClickHouse-Exception-Code") != c.code || !strings.HasPrefix(text, c.want) {
					t.Errorf("%s %.60q: got %d, code %q, %.200q, %v, want %d, code %q, %q", c.params, c.body,
						res.StatusCode, res.Header.Get("X-ClickHouse-Exception-Code"), text, err, c.status, c.code, c.want)
				}
			}
		})
	}
}

func TestEngine_ErrorInMidStreamBreaksTheBody(t *testing.T) {
	e := openEngine(t)
	server := httptest.NewServer(e)
	defer server.Close()
	const query = "SELECT throwIf(number = 1000000), number FROM numbers(2000000) SETTINGS max_block_size = 65536, max_threads = 1"
	for target, rt := range map[string]http.RoundTripper{"http://engine/": e.Transport(), server.URL + "/": http.DefaultTransport} {
		res, text, err := post(t, rt, target, "", query)
		if res.StatusCode != 200 || !errors.Is(err, io.ErrUnexpectedEOF) || !strings.Contains(text, "\r\n__exception__\r\n"+res.Header.Get("X-ClickHouse-Exception-Tag")+"\r\nCode: 395. ") {
			t.Errorf("%s: got %d, %v, tail %q", target, res.StatusCode, err, text[max(0, len(text)-300):])
		}
	}
}

func TestEngine_InsertCutShortWritesNothing(t *testing.T) {
	e := openEngine(t)
	server := httptest.NewServer(e)
	defer server.Close()
	post(t, e.Transport(), "http://engine/", "", "CREATE TABLE t (n UInt64) ENGINE = Memory")
	for target, rt := range map[string]http.RoundTripper{"http://engine/": e.Transport(), server.URL + "/": http.DefaultTransport} {
		body := io.MultiReader(strings.NewReader("1\n2\n3\n"), failingReader{})
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, target+"?query="+url.QueryEscape("INSERT INTO t FORMAT CSV"), io.NopCloser(body))
		if err != nil {
			t.Fatal(err)
		}
		if res, err := rt.RoundTrip(req); err == nil {
			res.Body.Close()
			if res.StatusCode == 200 {
				t.Errorf("%s: the insert succeeded", target)
			}
		}
	}
	if _, text, _ := post(t, e.Transport(), "http://engine/", "", "SELECT count() FROM t"); text != "0\n" {
		t.Errorf("got %q rows, want 0", text)
	}
}

type failingReader struct{}

func (failingReader) Read([]byte) (int, error) { return 0, errors.New("the sender is gone") }

// TestTransport_CancelledInsertGivesBufferBack: when RoundTrip has returned, the
// engine must not read the caller's memory any more.
func TestTransport_CancelledInsertGivesBufferBack(t *testing.T) {
	e := openEngine(t)
	post(t, e.Transport(), "http://engine/", "", "CREATE TABLE t (n UInt64) ENGINE = Null")
	for range 20 {
		ctx, cancel := context.WithCancel(t.Context())
		body := &endlessBody{read: func() { cancel() }}
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://engine/?query="+url.QueryEscape("INSERT INTO t FORMAT CSV"), body)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := e.Transport().RoundTrip(req); !errors.Is(err, context.Canceled) {
			t.Fatalf("got %v, want context.Canceled", err)
		}
		body.returned.Store(true)
		time.Sleep(time.Millisecond)
		if body.late.Load() {
			t.Fatal("the engine read the body after RoundTrip had returned")
		}
	}
}

type endlessBody struct {
	read           func()
	returned, late atomic.Bool
}

func (b *endlessBody) Read(p []byte) (int, error) {
	if b.returned.Load() {
		b.late.Store(true)
	}
	b.read()
	return copy(p, "1\n"), nil
}

func (b *endlessBody) Close() error { return nil }

func TestEngine_CloseWaitsThenKills(t *testing.T) {
	e := openEngine(t)
	done := make(chan string, 1)
	go func() {
		_, text, _ := post(t, e.Transport(), "http://engine/", "", "SELECT count() FROM numbers(10000000000000) WHERE sipHash64(number) = 1")
		done <- text
	}()
	for {
		if _, text, _ := post(t, e.Transport(), "http://engine/", "", "SELECT count() FROM system.processes WHERE query LIKE '%sipHash64%' AND query NOT LIKE '%system%'"); text == "1\n" {
			break
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := e.Close(ctx); err != nil {
		t.Fatal(err)
	}
	if text := <-done; !strings.HasPrefix(text, "Code: 394. ") {
		t.Errorf("statement under way: got %q, want code 394", text)
	}
	if _, text, _ := post(t, e.Transport(), "http://engine/", "", "SELECT 1"); !strings.Contains(text, "shutting down") {
		t.Errorf("later statement: got %q", text)
	}
	if err := e.Close(t.Context()); err == nil {
		t.Error("second Close: no error")
	}
}

func TestOpen_RefusesSecondDirectoryAndNoLibrary(t *testing.T) {
	openEngine(t)
	if _, err := Open(Options{Path: t.TempDir(), Library: libraryPath(t)}); err == nil || !strings.Contains(err.Error(), "another directory") {
		t.Errorf("second directory: got %v", err)
	}
	notLibrary := filepath.Join(t.TempDir(), "libchdb.so")
	if err := os.WriteFile(notLibrary, []byte("no library"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Options{Path: t.TempDir(), Library: notLibrary}); err == nil || !strings.Contains(err.Error(), notLibrary) {
		t.Errorf("no library: got %v, want an error that names it", err)
	}
}

func TestOpen_OutwaitsAnEngineThatIsEnding(t *testing.T) {
	dir := t.TempDir()
	f, err := os.Create(filepath.Join(dir, "status"))
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(200*time.Millisecond, func() { f.Close() })
	e, err := Open(Options{Path: dir, Library: libraryPath(t)})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestFindLibrary_SaysWhatToDo(t *testing.T) {
	t.Setenv("TIDEMARK_LIBCHDB", "/nowhere/libchdb.so")
	if _, err := FindLibrary(""); err == nil || !strings.Contains(err.Error(), "TIDEMARK_LIBCHDB is /nowhere/libchdb.so") {
		t.Errorf("got %v", err)
	}
	t.Setenv("TIDEMARK_LIBCHDB", "")
	t.Setenv("TIDEMARK_CACHE", t.TempDir())
	if _, err := FindLibrary(""); err == nil || !strings.Contains(err.Error(), "make setup") {
		t.Errorf("got %v", err)
	}
}

func TestParseError_CodeOrStdException(t *testing.T) {
	for text, want := range map[string]int{
		"Code: 60. DB::Exception: Unknown table":        60,
		"Error: Code: 60. DB::Exception: Unknown table": 60,
		"something else":                    codeStdException,
		"Code: 99999999999. DB::Exception:": codeStdException,
	} {
		if e := parseError(text); e.Code != want || !strings.HasPrefix(e.Text, fmt.Sprintf("Code: %d. DB::Exception: ", want)) {
			t.Errorf("%q: got code %d, text %q", text, e.Code, e.Text)
		}
	}
}

func TestOpen_IgnoresConfigFilesOfTheWorkingDirectory(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "config.xml"), []byte("<clickhouse><path>/nowhere</path><default_database></default_database><x"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
	e := openEngine(t)
	if _, text, _ := post(t, e.Transport(), "http://engine/", "", "SELECT 1"); text != "1\n" {
		t.Errorf("got %q", text)
	}
}

func TestEngine_HalfReadResultsDoNotHoldUpInserts(t *testing.T) {
	e := openEngine(t)
	post(t, e.Transport(), "http://engine/", "", "CREATE TABLE t (n UInt64) ENGINE = Memory")
	for range maxStatements {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://engine/", strings.NewReader("SELECT number FROM numbers(10000000000)"))
		if err != nil {
			t.Fatal(err)
		}
		res, err := e.Transport().RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
	}
	if res, text, _ := post(t, e.Transport(), "http://engine/", "query="+url.QueryEscape("INSERT INTO t FORMAT CSV"), "1\n"); res.StatusCode != 200 {
		t.Errorf("insert: got %d %s", res.StatusCode, text)
	}
	if res, text, _ := post(t, e.Transport(), "http://engine/ping", "", ""); res.StatusCode != 200 {
		t.Errorf("ping: got %d %s", res.StatusCode, text)
	}
}
