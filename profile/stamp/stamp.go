// Package stamp tells whether a file of the operator's has changed since it was read.
package stamp

import (
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
