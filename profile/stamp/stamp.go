// Package stamp reads files of the operator's within bounds, and tells whether one
// has changed since it was read.
package stamp

import (
	"fmt"
	"io"
	"os"
	"time"
)

// Stamp is what a change of a file changes. The zero value is that of no file.
type Stamp struct {
	modified time.Time
	size     int64
}

// Of is the stamp of the file at path as of now; zero if it cannot be had.
func Of(path string) (s Stamp) {
	if info, err := os.Stat(path); err == nil {
		s = Stamp{info.ModTime(), info.Size()}
	}
	return s
}

// Open opens a regular file: a pipe would be waited for, and a device never ends.
func Open(path string) (*os.File, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("open %s: it is no regular file", path)
	}
	return os.Open(path)
}

// Read reads a regular file of at most so many octets.
func Read(path string, most int64) ([]byte, error) {
	f, err := Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && int64(len(text)) > most {
		err = fmt.Errorf("read %s: it has more than %d octets", path, most)
	}
	return text, err
}
