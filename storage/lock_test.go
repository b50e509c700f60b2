package storage

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestLock_OneHolderNamedByPid(t *testing.T) {
	dir := t.TempDir()
	l, err := tryLock(dir, engineLockName)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tryLock(dir, engineLockName); !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), "pid ") {
		t.Errorf("second holder: got %v, want a refusal with a pid", err)
	}
	l.release()
	l, err = tryLock(dir, engineLockName)
	if err != nil {
		t.Fatalf("after release: %v", err)
	}
	l.release()
}

func TestWatchDaemon_YieldsOnceAndStops(t *testing.T) {
	dir := t.TempDir()
	yields := make(chan struct{}, 2)
	stop := watchDaemon(dir, func() { yields <- struct{}{} })
	if daemonPresent(dir) {
		t.Error("a daemon is seen where none is")
	}
	l, err := lockWithin(t.Context(), dir, daemonLockName, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	<-yields
	stop()
	stop()
	l.release()
	if daemonPresent(dir) || len(yields) != 0 {
		t.Errorf("after release: present %v, %d more yields", daemonPresent(dir), len(yields))
	}
	stop = watchDaemon(dir, func() { t.Error("yield without a daemon") })
	stop()
}
