package anchor

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A verifier that shares no code with this package agrees about the golden
// bundle, and about changes to each part of it.
func TestBundle_SecondVerifierAgrees(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("python3 is not installed: the second verifier cannot run")
	}
	original, err := os.ReadFile(filepath.Join("testdata", "bundle-v1.json"))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "bundle.json")
	verify := func(p string) (int, string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(p), 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command(python, filepath.Join("..", "scripts", "verify_bundle.py"), path, filepath.Join("testdata", "trust-v1.json")).CombinedOutput()
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			return exit.ExitCode(), string(out)
		} else if err != nil {
			t.Fatal(err)
		}
		return 0, string(out)
	}
	if code, out := verify(string(original)); code != ExitUnanchored {
		t.Fatalf("golden bundle: exit code %d, want %d:\n%s", code, ExitUnanchored, out)
	}
	for _, change := range [][2]string{
		{`"bytes": "1234"`, `"bytes": "1235"`},
		{`"dst_port": 443`, `"dst_port": 444`},
		{`"c0000203"`, `"c0000204"`},
		{`"src_mac": "02:`, `"src_mac": "00:`},
		{`-2-259"`, `-2-258"`},
		{`"salt": "d`, `"salt": "e`},
		{`"rows": "700"`, `"rows": "701"`},
		{`"sealed": "2026-11-22T12:00:10Z"`, `"sealed": "2026-11-22T12:00:11Z"`},
		{`ioV3kiyj`, `ioV4kiyj`},
		{`YyzsLqJL`, `YyzsLqJM`},
		{`RQeXb6a5`, `RQeXb6a6`},
		{`example.com/golden\n5\n`, `example.com/golden\n6\n`},
		{`"size": "4"`, `"size": "3"`},
		{`"root": "98`, `"root": "99`},
		{`"contract": "0xab`, `"contract": "0xac`},
	} {
		changed := strings.Replace(string(original), change[0], change[1], 1)
		if changed == string(original) {
			t.Fatalf("%s is not in the golden bundle", change[0])
		}
		if code, out := verify(changed); code != ExitFailed {
			t.Errorf("%s: exit code %d, want %d:\n%s", change[1], code, ExitFailed, out)
		}
	}
}
