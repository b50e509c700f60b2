package storage

import "golang.org/x/sys/unix"

// directFlag opens a file for writes past the page cache.
const directFlag = unix.O_DIRECT
