// Package ndjson owns files of JSON lines that are only ever appended to and
// outlive a crash: a line is on disk when Append returns, and half a line is
// passed over by readers.
package ndjson

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"os"
)

// Read calls yield with each line of the file at path, oldest first, until it
// returns false. No file has no lines; a line that is no T is skipped.
func Read[T any](path string, yield func(T) bool) error {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	for r := bufio.NewReader(f); ; {
		line, err := r.ReadBytes('\n')
		var v T
		if err == nil && json.Unmarshal(line, &v) == nil && !yield(v) {
			return nil
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// File is such a file, open for appending.
type File[T any] struct{ file *os.File }

// Open opens the file at path, making it with mode 0600 if there is none.
func Open[T any](path string) (*File[T], error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	// A crash may have left half a line: end it, so that the next one is whole.
	end, err := f.Seek(0, io.SeekEnd)
	if err == nil && end > 0 {
		last := make([]byte, 1)
		if _, err = f.ReadAt(last, end-1); err == nil && last[0] != '\n' {
			_, err = f.Write([]byte("\n"))
		}
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &File[T]{f}, nil
}

// Append writes v as a line and syncs it.
func (f *File[T]) Append(v T) error {
	b, err := json.Marshal(v)
	if err == nil {
		_, err = f.file.Write(append(b, '\n'))
	}
	if err == nil {
		err = f.file.Sync()
	}
	return err
}

// Close closes the file.
func (f *File[T]) Close() error { return f.file.Close() }
