package witness

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/merkle/testonly"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
	"golang.org/x/mod/sumdb/note"
)

const origin = "example.org/site-1"

// memoryLog is a log whose leaves are a test's.
type memoryLog struct {
	tree   *testonly.Tree
	signer note.Signer
	vkey   string
}

func newLog(t *testing.T) *memoryLog {
	t.Helper()
	skey, vkey, err := note.GenerateKey(rand.Reader, origin)
	if err != nil {
		t.Fatal(err)
	}
	s, err := note.NewSigner(skey)
	if err != nil {
		t.Fatal(err)
	}
	return &memoryLog{tree: testonly.New(rfc6962.DefaultHasher), signer: s, vkey: vkey}
}

// fork is another history of the same log, with the same key.
func (l *memoryLog) fork(leaves int) *memoryLog {
	f := &memoryLog{tree: testonly.New(rfc6962.DefaultHasher), signer: l.signer, vkey: l.vkey}
	f.grow(leaves, 'x')
	return f
}

func (l *memoryLog) grow(leaves int, salt byte) {
	for range leaves {
		l.tree.AppendData(binary.BigEndian.AppendUint64([]byte{salt}, l.tree.Size()))
	}
}

func (l *memoryLog) Signed() (uint64, []byte, error) {
	size := l.tree.Size()
	signed, err := note.Sign(&note.Note{Text: fmt.Sprintf("%s\n%d\n%s\n", origin, size, base64.StdEncoding.EncodeToString(l.tree.Hash()))}, l.signer)
	return size, signed, err
}

func (l *memoryLog) Consistency(first, second uint64) ([][32]byte, error) {
	path, err := l.tree.ConsistencyProof(first, second)
	if err != nil {
		return nil, err
	}
	out := make([][32]byte, len(path))
	for i := range path {
		out[i] = [32]byte(path[i])
	}
	return out, nil
}

// litewitness runs a real witness that knows the log, and returns it as a peer.
func litewitness(t *testing.T, vkey string) Peer {
	t.Helper()
	out, err := exec.Command("sh", filepath.Join("..", "..", "scripts", "setup-witness.sh")).Output()
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("scripts/setup-witness.sh: %v", err)
		}
		t.Skipf("scripts/setup-witness.sh: %v", err)
	}
	dir := t.TempDir()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	sock := serveAgent(t, private)
	sshKey, err := ssh.NewPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	// witnessctl, which does this, needs a module that not every proxy has.
	db := filepath.Join(dir, "witness.db")
	sql := `import sqlite3,sys
c=sqlite3.connect(sys.argv[1])
c.execute("CREATE TABLE log (origin TEXT PRIMARY KEY, tree_size INTEGER NOT NULL, tree_hash TEXT NOT NULL)")
c.execute("CREATE TABLE key (origin TEXT NOT NULL, key TEXT NOT NULL, FOREIGN KEY(origin) REFERENCES log(origin))")
c.execute("INSERT INTO log VALUES (?,0,'47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=')",(sys.argv[2],))
c.execute("INSERT INTO key VALUES (?,?)",(sys.argv[2],sys.argv[3]))
c.commit()`
	if out, err := exec.Command("python3", "-c", sql, db, origin, vkey).CombinedOutput(); err != nil {
		t.Fatalf("prepare the witness: %v: %s", err, out)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	const name = "witness.example.net/one"
	log := new(bytes.Buffer)
	cmd := exec.Command(strings.TrimSpace(string(out)), "-db", db, "-name", name, "-key", ssh.FingerprintSHA256(sshKey), "-ssh-agent", sock, "-listen", address)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if c, err := net.Dial("tcp", address); err == nil {
			c.Close()
			return Peer{URL: "http://" + address, Key: vkeyOf(name, public)}
		}
		if time.Now().After(deadline) {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
			t.Fatalf("litewitness does not answer: %s", log)
		}
	}
}

// serveAgent serves an ssh-agent that holds a key on a unix socket.
func serveAgent(t *testing.T, key ed25519.PrivateKey) (sock string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "w") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	ring := agent.NewKeyring()
	if err := ring.Add(agent.AddedKey{PrivateKey: key}); err != nil {
		t.Fatal(err)
	}
	sock = filepath.Join(dir, "s")
	l, err := net.Listen("unix", sock)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { defer c.Close(); _ = agent.ServeAgent(ring, c) }()
		}
	}()
	return sock
}

func vkeyOf(name string, public ed25519.PublicKey) string {
	key := append([]byte{cosignatureV1}, public...)
	sum := sha256.Sum256(append([]byte(name+"\n"), key...))
	return fmt.Sprintf("%s+%x+%s", name, sum[:4], base64.StdEncoding.EncodeToString(key))
}

func open(t *testing.T, log Log, dir string, peers ...Peer) *Witnesses {
	t.Helper()
	w, err := New(log, Config{Dir: dir, Peers: peers, Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Close() })
	return w
}

// TestLitewitness_CosignsOurCheckpointsAndRefusesAFork runs against a witness of
// other authors.
func TestLitewitness_CosignsOurCheckpointsAndRefusesAFork(t *testing.T) {
	log, dir, ctx := newLog(t), t.TempDir(), context.Background()
	peer := litewitness(t, log.vkey)
	w := open(t, log, dir, peer)
	for _, leaves := range []int{1, 1, 5, 64, 1} {
		log.grow(leaves, 0)
		if err := w.Offer(ctx); err != nil {
			t.Fatal(err)
		}
		if s := w.Status()[0]; s.Size != log.tree.Size() || s.Error != "" || time.Since(s.Time).Abs() > time.Minute {
			t.Fatalf("status: %+v", s)
		}
	}
	v, err := NewVerifier(peer.Key)
	if err != nil {
		t.Fatal(err)
	}
	for index, size := range map[uint64]string{0: "1", 1: "2", 2: "7", 6: "7", 70: "71", 71: "72"} {
		signed, err := Covering(dir, index)
		if err != nil || !strings.HasPrefix(string(signed), origin+"\n"+size+"\n") {
			t.Fatalf("covering %d: %v\n%s", index, err, signed)
		}
		by, err := Cosignatures(signed, v)
		if _, ok := by[v.Name()]; err != nil || !ok {
			t.Errorf("cosignatures of %s headers: %v, %v", size, by, err)
		}
		logVerifier, err := note.NewVerifier(log.vkey)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := note.Open(signed, note.VerifierList(logVerifier, v)); err != nil {
			t.Errorf("the log's own signature: %v", err)
		}
	}
	if signed, err := Covering(dir, 72); err != nil || signed != nil {
		t.Errorf("a header that is not cosigned: %s, %v", signed, err)
	}

	// A directory that lost its memory is told the size, and goes on.
	log.grow(3, 0)
	lost := open(t, log, t.TempDir(), peer)
	if err := lost.Offer(ctx); err != nil || lost.Status()[0].Size != 75 {
		t.Errorf("without memory: %v, %+v", err, lost.Status())
	}
	// Another history, shorter, as long, longer; with our memory and without.
	for _, leaves := range []int{10, 75, 200} {
		for _, memory := range []string{t.TempDir(), dir} {
			forked := open(t, log.fork(leaves), memory, peer)
			if err := forked.Offer(ctx); !errors.Is(err, ErrRefused) {
				t.Errorf("a fork of %d headers: %v, want ErrRefused", leaves, err)
			}
			if s := forked.Status()[0]; !s.Refused || forked.Refusal() == nil {
				t.Errorf("status: %+v", s)
			}
		}
	}
	// The honest log is none the worse for it.
	log.grow(1, 0)
	if err := w.Offer(ctx); err != nil || w.Status()[0].Size != 76 || w.Refusal() != nil {
		t.Errorf("the honest log: %v, %+v", err, w.Status())
	}
	// A log it does not know, and a key it does not know.
	stranger := newLog(t)
	stranger.grow(1, 0)
	if err := open(t, stranger, t.TempDir(), peer).Offer(ctx); err == nil || !strings.Contains(err.Error(), "does not accept the log key") {
		t.Errorf("another key: %v", err)
	}
}

// fake is a witness that answers as a test says.
func fake(t *testing.T, answer http.HandlerFunc) Peer {
	t.Helper()
	public, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(answer)
	t.Cleanup(srv.Close)
	return Peer{URL: srv.URL + "/SECRET", Key: vkeyOf("fake.example", public)}
}

func TestOffer_BadAnswersAreErrorsAndNothingIsKept(t *testing.T) {
	status := func(code int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code); _, _ = io.WriteString(w, body) }
	}
	line := "— fake.example " + base64.StdEncoding.EncodeToString(make([]byte, 4+8+64)) + "\n"
	for name, c := range map[string]struct {
		answer  http.HandlerFunc
		want    string
		refused bool
	}{
		"no cosignature":      {status(200, ""), "without a cosignature", false},
		"of another key":      {status(200, line), "without a cosignature", false},
		"nonsense":            {status(200, "\x00\xff\n\n\n— a\n— a b\n"), "without a cosignature", false},
		"endless":             {status(200, strings.Repeat("x", maxAnswer+1)), "octets", false},
		"unknown log":         {status(404, ""), "does not know this log", false},
		"unknown key":         {status(403, ""), "does not accept the log key", false},
		"error":               {status(500, "oops"), "500", false},
		"inconsistent":        {status(422, ""), "another history", true},
		"ahead of us":         {status(409, "100\n"), "set back", true},
		"conflict of nothing": {status(409, ""), "without a size", false},
		"conflict of words":   {status(409, "-1\n"), "without a size", false},
		"the same size twice": {status(409, "0\n"), "another history", true},
		"another size forever": {func() http.HandlerFunc {
			n := 1
			return func(w http.ResponseWriter, _ *http.Request) { n++; w.WriteHeader(409); fmt.Fprintf(w, "%d\n", n) }
		}(), "changes its mind", false},
		"hang-up": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "EOF", false},
	} {
		log, dir := newLog(t), t.TempDir()
		log.grow(9, 0)
		w := open(t, log, dir, fake(t, c.answer))
		err := w.Offer(context.Background())
		if err == nil || !strings.Contains(err.Error(), c.want) || errors.Is(err, ErrRefused) != c.refused || strings.Contains(err.Error(), "SECRET") {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
		if s := w.Status()[0]; s.Size != 0 || s.Error == "" || s.Refused != c.refused {
			t.Errorf("%s: status %+v", name, s)
		}
		if got, err := Covering(dir, 0); got != nil || err != nil {
			t.Errorf("%s: kept %s, %v", name, got, err)
		}
	}
}

func TestNewVerifier_RefusesWhatIsNoCosignatureKey(t *testing.T) {
	public, _, _ := ed25519.GenerateKey(rand.Reader)
	good := vkeyOf("w.example", public)
	if v, err := NewVerifier(good); err != nil || v.Name() != "w.example" {
		t.Fatal(err)
	}
	_, logKey, _ := note.GenerateKey(rand.Reader, "w.example")
	for _, bad := range []string{"", "w.example", logKey, good[:len(good)-4], "x" + good, strings.Replace(good, "+", "+0", 1), good + "A"} {
		if _, err := NewVerifier(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

func TestArchive_TornLineIsSkippedAndMergesWitnesses(t *testing.T) {
	dir := t.TempDir()
	a, err := openArchive(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []Cosigned{
		{Witness: "b", Size: 9, Checkpoint: "t\n9\n\n— log x\n— b y\n"},
		{Witness: "a", Size: 5, Checkpoint: "t\n5\n\n— log x\n— a y\n"}, // it was late
		{Witness: "b", Size: 5, Checkpoint: "t\n5\n\n— log x\n— b z\n"},
	} {
		if err := a.Append(c); err != nil {
			t.Fatal(err)
		}
	}
	a.Close()
	torn, err := os.OpenFile(filepath.Join(dir, archiveName), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = torn.WriteString(`{"witness":"a","size":6,"checkp`)
	torn.Close()
	if a, err = openArchive(dir); err != nil {
		t.Fatal(err)
	}
	if err := a.Append(Cosigned{Witness: "a", Size: 7, Checkpoint: "t\n7\n\n— log x\n— a w\n"}); err != nil {
		t.Fatal(err)
	}
	a.Close()
	for index, want := range map[uint64]string{4: "t\n5\n\n— log x\n— a y\n— b z\n", 5: "t\n7\n\n— log x\n— a w\n", 8: "t\n9\n\n— log x\n— b y\n", 9: ""} {
		if got, err := Covering(dir, index); err != nil || string(got) != want {
			t.Errorf("covering %d: %q, %v, want %q", index, got, err, want)
		}
	}
}
