package anchor

import (
	"bufio"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// secondVerifier runs scripts/verify_bundle.py, which shares no code with this
// package, in one process for many files.
type secondVerifier struct {
	t     testing.TB
	file  string // written anew for each question
	ask   *json.Encoder
	reply *json.Decoder
}

const secondVerifierLoop = `
import contextlib, io, json, sys
sys.path.insert(0, sys.argv[1])
import verify_bundle
for line in sys.stdin:
    sys.argv = ["verify_bundle.py"] + json.loads(line)
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        code = verify_bundle.main()
    print(json.dumps({"code": code, "said": said.getvalue()}), flush=True)
`

// startSecondVerifier starts it. A machine without Python skips the test, but
// not where all tests must run.
func startSecondVerifier(t testing.TB) *secondVerifier {
	t.Helper()
	python, err := exec.LookPath("python3")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("python3 is not installed: the second verifier cannot run")
		}
		t.Skip("python3 is not installed: the second verifier cannot run")
	}
	cmd := exec.Command(python, "-c", secondVerifierLoop, filepath.Join("..", "scripts"))
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := in.Close(); err != nil {
			t.Error(err)
		}
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	})
	return &secondVerifier{t, filepath.Join(t.TempDir(), "file"), json.NewEncoder(in), json.NewDecoder(bufio.NewReader(out))}
}

// verify returns the exit code for a file, and what was said.
func (v *secondVerifier) verify(file []byte, trust string, flags ...string) (code int, said string) {
	v.t.Helper()
	if err := os.WriteFile(v.file, file, 0o600); err != nil {
		v.t.Fatal(err)
	}
	if err := v.ask.Encode(append([]string{v.file, filepath.Join("testdata", trust)}, flags...)); err != nil {
		v.t.Fatal(err)
	}
	var answer struct {
		Code int
		Said string
	}
	if err := v.reply.Decode(&answer); err != nil {
		v.t.Fatalf("the second verifier ended: %v", err)
	}
	return answer.Code, answer.Said
}

// refuses wants a file to prove nothing.
func (v *secondVerifier) refuses(what string, file []byte, trust string, flags ...string) {
	v.t.Helper()
	if code, said := v.verify(file, trust, flags...); code != ExitFailed {
		v.t.Errorf("%s: exit code %d, want %d:\n%s", what, code, ExitFailed, said)
	}
}
