package collector

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"tidemark/collector/flow"
)

func openTemplates(t testing.TB, path string) *TemplateFile {
	t.Helper()
	f, err := OpenTemplates(path, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.file.Close() })
	return f
}

func loaded(f *TemplateFile) map[string]string {
	out := map[string]string{}
	f.Load(func(k string, r []byte) { out[k] = string(r) })
	return out
}

// runBriefly runs the store until what it holds is written.
func runBriefly(t testing.TB, f *TemplateFile) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := f.Run(ctx); err != nil {
		t.Fatal(err)
	}
}

func TestTemplateFile_KeepsTheLastRecordOfEachKey(t *testing.T) {
	path := filepath.Join(t.TempDir(), "templates")
	f := openTemplates(t, path)
	f.Save("a", []byte("1"))
	f.Save("b", []byte("2"))
	runBriefly(t, f)
	f = openTemplates(t, path)
	f.Save("a", []byte("3"))
	f.Save("c", []byte("4"))
	f.Save("b", nil)
	runBriefly(t, f)
	if got := fmt.Sprint(loaded(openTemplates(t, path))); got != "map[a:3 c:4]" {
		t.Errorf("got %s, want a:3 and c:4", got)
	}
	if s, _ := os.Stat(path); s.Mode().Perm() != 0o600 {
		t.Errorf("mode %o, want 600", s.Mode().Perm())
	}
}

func TestTemplateFile_WritesWithoutBeingStopped(t *testing.T) {
	path := filepath.Join(t.TempDir(), "templates")
	f := openTemplates(t, path)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f.Run(ctx) }()
	f.Save("a", []byte("1"))
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.HasSuffix(b, []byte("a1")) {
			break
		}
		if time.Now().After(end) {
			t.Fatal("the record has not been written")
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func TestTemplateFile_TornTailIsCutOff(t *testing.T) {
	path := filepath.Join(t.TempDir(), "templates")
	f := openTemplates(t, path)
	f.Save("a", []byte("first"))
	runBriefly(t, f)
	one, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	two := appendTemplate(append([]byte{}, one...), "b", []byte("second"))
	check := func(b []byte, want string) {
		t.Helper()
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		f := openTemplates(t, path)
		if got := fmt.Sprint(loaded(f)); got != want {
			t.Fatalf("%d octets: got %s, want %s", len(b), got, want)
		}
		f.Save("c", []byte("third")) // what follows is readable
		runBriefly(t, f)
		if got := loaded(openTemplates(t, path)); got["c"] != "third" {
			t.Fatalf("%d octets: c is %q after a restart", len(b), got["c"])
		}
	}
	for n := range len(one) {
		check(one[:n], "map[]")
	}
	for n := len(one); n < len(two); n++ {
		check(two[:n], "map[a:first]")
	}
	for i := len(one); i < len(two); i++ {
		broken := append([]byte{}, two...)
		broken[i] ^= 0x40
		check(broken, "map[a:first]")
	}
	check(two, "map[a:first b:second]")
	check(append(append([]byte{}, one...), make([]byte, 4096)...), "map[a:first]") // zeros, as some file systems leave
}

func TestTemplateFile_RefusesAnotherKindOfFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "templates")
	if err := os.WriteFile(path, []byte("precious notes of somebody"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenTemplates(path, zerolog.Nop()); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("error %v, want one that names %s", err, path)
	}
	if b, _ := os.ReadFile(path); string(b) != "precious notes of somebody" {
		t.Errorf("the file was changed to %q", b)
	}
}

func TestTemplateFile_StaysBounded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "templates")
	f := openTemplates(t, path)
	record := make([]byte, 64<<10)
	for i := range 200 { // one key, rewritten: 12.5 MiB in all
		binary.BigEndian.PutUint32(record, uint32(i))
		f.Save("a", append([]byte{}, record...))
		if err := f.write(); err != nil {
			t.Fatal(err)
		}
	}
	s, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if s.Size() > 2<<20 {
		t.Errorf("the file has %d octets for one record of %d", s.Size(), len(record))
	}
	if got := loaded(openTemplates(t, path))["a"]; binary.BigEndian.Uint32([]byte(got)) != 199 {
		t.Errorf("the last record is not there after the file was written anew")
	}
	f.Save("huge", make([]byte, maxTemplateRecord+1))
	for i := range maxTemplateOctets/maxTemplateRecord + 10 {
		f.Save(fmt.Sprint("k", i), make([]byte, maxTemplateRecord))
	}
	if f.octets > maxTemplateOctets || f.refused < 10 || f.live["huge"] != nil {
		t.Errorf("%d octets kept, %d records refused", f.octets, f.refused)
	}
}

// After a restart, even without a clean end, data is decoded before any template comes again.
func TestCollector_TemplatesOutliveTheProcess(t *testing.T) {
	template := []byte{0, 9, 0, 1, 0, 1, 0, 0, 0x65, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7,
		0, 0, 0, 20, 1, 0, 0, 3, 0, 8, 0, 4, 0, 12, 0, 4, 0, 1, 0, 4}
	data := []byte{0, 9, 0, 1, 0, 1, 0, 0, 0x65, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 7,
		1, 0, 0, 16, 10, 0, 0, 1, 192, 0, 2, 1, 0, 0, 0, 100}
	path := filepath.Join(t.TempDir(), "templates")

	first := start(t, Config{Workers: 1}, Deps{Log: zerolog.Nop(), Templates: openTemplates(t, path)})
	conn := first.dial(0)
	write(t, conn, template)
	first.await(1)
	var crashed []byte // the file as a crash would leave it
	for end := time.Now().Add(10 * time.Second); len(crashed) <= len(templateMagic); time.Sleep(time.Millisecond) {
		var err error
		if crashed, err = os.ReadFile(path); err != nil || time.Now().After(end) {
			t.Fatalf("no template has been written: %v", err)
		}
	}
	port := first.Addrs()[0]
	first.stop()
	again := filepath.Join(t.TempDir(), "templates")
	if err := os.WriteFile(again, crashed, 0o600); err != nil {
		t.Fatal(err)
	}

	s := &sink{}
	second := start(t, Config{Listen: []string{port.String()}}, Deps{Log: zerolog.Nop(), Handle: s.handle, Templates: openTemplates(t, again)})
	write(t, conn, data)
	second.await(1)
	second.stop()
	if s.rows() != 1 || s.batch.Bytes[0] != 100 || s.batch.Quality[0]&flow.LateTemplate != 0 {
		t.Errorf("rows of %v octets, quality %v, want one of 100: %+v", s.batch.Bytes, s.batch.Quality, second.Exporters())
	}
}
