package storage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Two locks order the users of a data directory. Both are flocks: they die with
// their holder, so none is ever stale.
//
//	daemon.lock  held by a daemon for its whole life: there is one
//	lock         held by whoever runs an engine: a daemon or a one-shot command
//
// A command that holds `lock` watches daemon.lock: when a daemon takes it, the
// command gives up `lock`.
const (
	daemonLockName = "daemon.lock"
	engineLockName = "lock"
)

// Waiting times of the locks.
const (
	yieldPoll  = 100 * time.Millisecond // how often a command looks for a daemon
	yieldWait  = 15 * time.Second       // how long a daemon waits for a command: longer than yieldGrace
	yieldGrace = 5 * time.Second        // how long a yielding command's statements may go on
	startWait  = 20 * time.Second       // how long a command waits for the socket of a daemon that starts
	endingWait = 3 * time.Second        // how long a command waits for the engine of a killed daemon to end
	probeWait  = time.Second            // how long a daemon outwaits commands looking at daemon.lock
)

// ErrYielded is what a command's calls return after it has given its engine up.
var ErrYielded = errors.New("a daemon has started on the data directory: run the command again")

// ErrLocked says that another process holds a lock.
var ErrLocked = errors.New("locked by another process")

// fileLock is a lock of the data directory.
type fileLock struct{ f *os.File }

// tryLock takes the lock name of dir, or returns an error that wraps ErrLocked
// and names the holder.
func tryLock(dir, name string) (*fileLock, error) {
	path := filepath.Join(dir, name)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		holder, _ := io.ReadAll(io.LimitReader(f, 32)) // only to name it
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			if pid := strings.TrimSpace(string(holder)); pid != "" {
				return nil, fmt.Errorf("%s: %w (pid %s)", path, ErrLocked, pid)
			}
			return nil, fmt.Errorf("%s: %w", path, ErrLocked)
		}
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	// The pid is for people; a failure to write it costs only the name.
	if f.Truncate(0) == nil {
		_, _ = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
	return &fileLock{f}, nil
}

// lockWithin tries to take the lock until it succeeds or d has passed.
func lockWithin(ctx context.Context, dir, name string, d time.Duration) (*fileLock, error) {
	for deadline := time.Now().Add(d); ; {
		l, err := tryLock(dir, name)
		if !errors.Is(err, ErrLocked) || time.Now().After(deadline) {
			return l, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(yieldPoll / 2):
		}
	}
}

// release gives the lock up. The file stays: removing it would let two
// processes lock two files of one name.
func (l *fileLock) release() {
	_ = l.f.Truncate(0)
	_ = l.f.Close() // a close of a file that was only locked has nothing to lose
}

// daemonPresent reports whether a daemon holds dir.
func daemonPresent(dir string) bool {
	f, err := os.Open(filepath.Join(dir, daemonLockName))
	if err != nil {
		return false // no daemon has ever run here
	}
	defer f.Close() // and with it the shared lock
	return errors.Is(unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB), unix.EWOULDBLOCK)
}

// watchDaemon calls yield once when a daemon takes dir, unless stop is called
// first; stop waits for a yield that is under way.
func watchDaemon(dir string, yield func()) (stop func()) {
	done := make(chan struct{})
	var watcher sync.WaitGroup
	watcher.Go(func() {
		tick := time.NewTicker(yieldPoll)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				if daemonPresent(dir) {
					yield()
					return
				}
			}
		}
	})
	return sync.OnceFunc(func() { close(done); watcher.Wait() })
}
