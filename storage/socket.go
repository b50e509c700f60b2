package storage

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"time"
)

// socketName is the engine's socket in the data directory: mode 0600, so the
// file system decides who may speak to the engine.
const socketName = "engine.sock"

// maxSocketPath is the longest path that fits struct sockaddr_un with its final
// NUL, on every platform we know (Linux 108, macOS 104).
const maxSocketPath = 103

// withSocketPath calls f with a path of the socket name in dir that the kernel
// accepts. A longer one goes through a descriptor of the directory.
func withSocketPath(dir, name string, f func(path string) error) error {
	path := filepath.Join(dir, name)
	if len(path) <= maxSocketPath {
		return f(path)
	}
	if runtime.GOOS != "linux" {
		return fmt.Errorf("socket path %s has %d octets, want at most %d: choose a shorter data directory", path, len(path), maxSocketPath)
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return f(fmt.Sprintf("/proc/self/fd/%d/%s", d.Fd(), name))
}

// dialSocket connects to the engine of dir.
func dialSocket(ctx context.Context, dir string) (conn net.Conn, err error) {
	err = withSocketPath(dir, socketName, func(path string) error {
		var d net.Dialer
		conn, err = d.DialContext(ctx, "unix", path)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("connect to the engine of %s: %w", dir, err)
	}
	return conn, nil
}

// dialable reports whether an engine listens on the socket of dir.
func dialable(ctx context.Context, dir string) bool {
	conn, err := dialSocket(ctx, dir)
	if err != nil {
		return false
	}
	_ = conn.Close()
	return true
}

// listenSocket listens on the socket of dir, replacing one that a dead engine
// left. The socket gets its name when its mode is set, so nobody can connect
// before. The caller holds the locks of dir.
func listenSocket(dir string) (*net.UnixListener, error) {
	const fresh = socketName + ".new"
	if err := os.Remove(filepath.Join(dir, fresh)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	var l *net.UnixListener
	err := withSocketPath(dir, fresh, func(path string) (err error) {
		l, err = net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("listen for the engine of %s: %w", dir, err)
	}
	l.SetUnlinkOnClose(false) // the name will have changed
	err = os.Chmod(filepath.Join(dir, fresh), 0o600)
	if err == nil {
		err = os.Rename(filepath.Join(dir, fresh), filepath.Join(dir, socketName))
	}
	if err != nil {
		_ = l.Close()
		return nil, fmt.Errorf("listen for the engine of %s: %w", dir, err)
	}
	return l, nil
}

// socketTransport sends every request to the engine of dir.
func socketTransport(dir string) *http.Transport {
	return &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialSocket(ctx, dir)
		},
		MaxIdleConns:       16,
		IdleConnTimeout:    time.Minute,
		DisableCompression: true,
	}
}
