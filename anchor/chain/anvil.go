package chain

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/rs/zerolog"
)

// anvilVersion is the one scripts/setup-chain.sh installs.
const anvilVersion = "1.7.1"

// AnvilOptions describe a development chain; a zero field means its default.
type AnvilOptions struct {
	Dir       string        // holds the chain's state, log and address; required
	Port      int           // 0: the port used last time in Dir, or a free one
	BlockTime time.Duration // whole seconds, default 1 s; the state file grows by 1.7 kB a block
	Binary    string        // default FindAnvil()
	Log       zerolog.Logger
}

// Anvil runs a development chain as a child process that survives its own death:
// the state file is written every few seconds, a copy of the last whole one is
// kept beside it, and a new process starts on the newer of the two that is whole.
// What the chain did in the last seconds before a kill -9 is lost with it.
//
// A lock on Dir is inherited by the child, so that two chains never share a
// state file, even for the moment between a killed parent and its child's end.
type Anvil struct {
	o    AnvilOptions
	url  string
	port int
}

// FindAnvil returns the path of the anvil program: TIDEMARK_ANVIL, or where
// scripts/setup-chain.sh installs it.
func FindAnvil() (string, error) {
	path, hint := os.Getenv("TIDEMARK_ANVIL"), "TIDEMARK_ANVIL points nowhere"
	if path == "" {
		cache := os.Getenv("TIDEMARK_CACHE")
		if cache == "" {
			base, err := os.UserCacheDir()
			if err != nil {
				return "", fmt.Errorf("find anvil: %w", err)
			}
			cache = filepath.Join(base, "tidemark")
		}
		path = filepath.Join(cache, "chain", anvilVersion, "anvil")
		hint = "run scripts/setup-chain.sh, or configure the URL of another Ethereum node"
	}
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("find anvil: %w: %s", err, hint)
	}
	return path, nil
}

// AnvilURL returns the URL that the development chain in dir has or had last.
func AnvilURL(dir string) (string, error) {
	b, err := os.ReadFile(filepath.Join(dir, "url"))
	if err != nil {
		return "", fmt.Errorf("find development chain: %w", err)
	}
	return strings.TrimSpace(string(b)), nil
}

// NewAnvil prepares a chain and chooses its port; Run starts it.
func NewAnvil(o AnvilOptions) (*Anvil, error) {
	if o.Dir == "" {
		return nil, errors.New("anvil: no directory given")
	}
	if o.BlockTime == 0 {
		o.BlockTime = time.Second
	}
	if o.BlockTime < time.Second || o.BlockTime%time.Second != 0 {
		return nil, fmt.Errorf("anvil: block time: got %s, want whole seconds", o.BlockTime)
	}
	if o.Binary == "" {
		path, err := FindAnvil()
		if err != nil {
			return nil, err
		}
		o.Binary = path
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("anvil: %w", err)
	}
	port, err := choosePort(o)
	if err != nil {
		return nil, err
	}
	a := &Anvil{o: o, port: port, url: fmt.Sprintf("http://127.0.0.1:%d", port)}
	return a, nil
}

// URL returns the chain's address.
func (a *Anvil) URL() string { return a.url }

func choosePort(o AnvilOptions) (int, error) {
	if o.Port != 0 {
		return o.Port, nil
	}
	if last, err := AnvilURL(o.Dir); err == nil {
		if _, port, ok := strings.Cut(strings.TrimPrefix(last, "http://"), ":"); ok {
			// Another program, or a chain that is still stopping, may have it now.
			if l, err := net.Listen("tcp", "127.0.0.1:"+port); err == nil {
				return portOf(l), nil
			}
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("anvil: find a free port: %w", err)
	}
	return portOf(l), nil
}

func portOf(l net.Listener) int {
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// Run starts the chain, starts it again whenever it ends, and stops it cleanly,
// with its state written, when ctx ends. It returns an error only if the chain
// cannot be started at all.
func (a *Anvil) Run(ctx context.Context) error {
	lock, err := lockDir(ctx, a.o.Dir)
	if err != nil {
		return err
	}
	defer lock.Close()
	const first = 250 * time.Millisecond
	backoff, refusals := first, 0
	for {
		started := time.Now()
		err := a.runOnce(ctx, lock)
		if ctx.Err() != nil {
			return nil
		}
		if time.Since(started) > 10*time.Second {
			backoff, refusals = first, 0
		}
		// An exit by itself, unlike one by a signal, will happen again.
		if exit := new(exec.ExitError); !errors.As(err, &exit) || exit.Exited() {
			if refusals++; refusals == 4 {
				return err
			}
		}
		a.o.Log.Warn().Err(err).Dur("again_in", backoff).Msg("development chain ended, starting it again")
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(backoff):
		}
		backoff = min(2*backoff, 2*time.Second)
	}
}

// Ready waits until the chain answers.
func (a *Anvil) Ready(ctx context.Context) error {
	for {
		c, err := Dial(ctx, a.url, 0)
		if err == nil {
			c.Close()
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for development chain at %s: %w (see %s)", a.url, err, a.file("log"))
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func (a *Anvil) file(name string) string { return filepath.Join(a.o.Dir, name) }

// runOnce runs one process from start to end.
func (a *Anvil) runOnce(ctx context.Context, lock *os.File) error {
	state := stateFile{path: a.file("state.json")}
	if err := state.recover(a.o.Log); err != nil {
		return err
	}
	log, err := os.OpenFile(a.file("log"), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("anvil: %w", err)
	}
	defer log.Close()
	if err := os.WriteFile(a.file("url"), []byte(a.url+"\n"), 0o600); err != nil {
		return fmt.Errorf("anvil: %w", err)
	}
	// A umask of its own: the state file holds the keys of unlocked accounts.
	cmd := exec.Command("sh", "-c", `umask 077; exec "$@"`, "sh", a.o.Binary, "--host", "127.0.0.1", "--port", strconv.Itoa(a.port),
		"--state", state.path, "--state-interval", strconv.Itoa(state.interval()),
		"--block-time", strconv.Itoa(int(a.o.BlockTime/time.Second)), "--slots-in-an-epoch", "1", "--quiet")
	cmd.Stdout, cmd.Stderr = log, log
	cmd.ExtraFiles = []*os.File{lock}
	// Its own group: Ctrl-C at the terminal is for the parent, which stops the
	// chain last. Pdeathsig: a parent that is killed takes the chain with it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}

	ended := make(chan error, 1)
	pid := make(chan int, 1)
	go func() {
		// Pdeathsig fires when the thread that forked ends: keep it.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		if err == nil {
			pid <- cmd.Process.Pid
			err = cmd.Wait()
		}
		close(pid)
		ended <- err
	}()
	if p, ok := <-pid; ok {
		a.o.Log.Info().Int("pid", p).Str("url", a.url).Msg("development chain started")
	}
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case err := <-ended:
			return fmt.Errorf("anvil: %w: %s", orEnded(err), tail(a.file("log")))
		case <-tick.C:
			if err := state.keepGood(time.Now()); err != nil {
				a.o.Log.Warn().Err(err).Msg("copy of the development chain's state not kept")
			}
		case <-ctx.Done():
			return stop(cmd, ended)
		}
	}
}

func stop(cmd *exec.Cmd, ended <-chan error) error {
	if cmd.Process == nil {
		return <-ended
	}
	_ = cmd.Process.Signal(syscall.SIGTERM) // it writes its state and ends
	select {
	case <-ended:
	case <-time.After(15 * time.Second):
		_ = cmd.Process.Kill()
		<-ended
	}
	return nil
}

func orEnded(err error) error {
	if err == nil {
		return errors.New("ended by itself")
	}
	return err
}

// tail returns the end of a log on one line.
func tail(path string) string {
	b, _ := os.ReadFile(path)
	b = b[max(0, len(b)-300):]
	return strings.Join(strings.Fields(string(b)), " ")
}

// lockDir waits until no other process runs a chain on dir.
func lockDir(ctx context.Context, dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("anvil: %w", err)
	}
	deadline := time.Now().Add(20 * time.Second)
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return f, nil
		}
		if ctx.Err() != nil || time.Now().After(deadline) {
			f.Close()
			return nil, fmt.Errorf("anvil: another process runs the development chain in %s", dir)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// stateFile is the file Anvil rewrites in place every few seconds, with a copy
// of its last whole content: a kill -9 in the middle of a write leaves half a file.
type stateFile struct {
	path   string
	seen   time.Time // modification time at the last look
	copied time.Time // modification time of what the copy holds
}

func (s *stateFile) good() string { return s.path + ".good" }

// recover puts the copy in place of a state that is not whole.
func (s *stateFile) recover(log zerolog.Logger) error {
	b, err := os.ReadFile(s.path)
	if err == nil && json.Valid(b) {
		return os.Chmod(s.path, 0o600) // Anvil rewrites it in place, and keeps the mode it once had
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("anvil: %w", err)
	}
	if err == nil {
		log.Warn().Str("file", s.path).Msg("state of the development chain is torn, kept as .torn; going back to the last whole copy")
		if err := os.Rename(s.path, s.path+".torn"); err != nil {
			return fmt.Errorf("anvil: %w", err)
		}
	}
	b, err = os.ReadFile(s.good())
	if errors.Is(err, os.ErrNotExist) {
		return nil // a new chain
	}
	if err == nil && json.Valid(b) {
		err = WriteFileSync(s.path, b)
	}
	if err != nil {
		return fmt.Errorf("anvil: go back to the last whole state: %w", err)
	}
	return nil
}

// keepGood copies the state when it has rested since the last look.
func (s *stateFile) keepGood(now time.Time) error {
	info, err := os.Stat(s.path)
	if err != nil {
		return nil // not written yet
	}
	m := info.ModTime()
	if m.Equal(s.copied) || !m.Equal(s.seen) || now.Sub(m) < 200*time.Millisecond {
		s.seen = m
		return nil
	}
	b, err := os.ReadFile(s.path)
	if err != nil {
		return err
	}
	if !json.Valid(b) {
		return nil // being written now; the next look
	}
	if err := WriteFileSync(s.good(), b); err != nil {
		return err
	}
	s.copied = m
	return nil
}

// interval returns the seconds between two writes of the state: 5 while it is
// small, longer when writing it all each time would keep a disk busy.
func (s *stateFile) interval() int {
	info, err := os.Stat(s.path)
	if err != nil {
		return 5
	}
	return 5 + int(info.Size()>>25)
}

// WriteFileSync replaces a file so that after a crash it has the old content or
// the new, never a part: written beside it, synced, renamed, directory synced.
func WriteFileSync(path string, b []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*") // mode 0600
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name())
		return err
	}
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
