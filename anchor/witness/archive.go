package witness

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/mod/sumdb/note"
)

const archiveName = "cosigned.ndjson"

// Cosigned is a checkpoint that a witness cosigned.
type Cosigned struct {
	Witness    string    `json:"witness"` // name of its key
	Size       uint64    `json:"size"`
	Time       time.Time `json:"time"`       // that the witness claims
	Checkpoint string    `json:"checkpoint"` // signed note: the log's signature, then the witness's
}

// Read calls yield with what was cosigned, oldest first, until it returns false.
// A line that a crash cut short is skipped.
func Read(dir string, yield func(Cosigned) bool) error {
	f, err := os.Open(filepath.Join(dir, archiveName))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read cosignatures: %w", err)
	}
	defer f.Close()
	for r := bufio.NewReader(f); ; {
		line, err := r.ReadBytes('\n')
		var c Cosigned
		if err == nil && json.Unmarshal(line, &c) == nil && c.Size > 0 && !yield(c) {
			return nil
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read cosignatures: %w", err)
		}
	}
}

// Last returns what each witness cosigned last, as far as dir tells.
func Last(dir string) (out []Status, err error) {
	err = Read(dir, func(c Cosigned) bool {
		i := slices.IndexFunc(out, func(s Status) bool { return s.Name == c.Witness })
		if i < 0 {
			i, out = len(out), append(out, Status{Name: c.Witness})
		}
		out[i].Size, out[i].Time = max(out[i].Size, c.Size), c.Time
		return true
	})
	return out, err
}

// Covering returns the earliest archived checkpoint that holds header index, with
// the cosignatures of all witnesses that signed it; nil if there is none. The
// caller verifies it.
func Covering(dir string, index uint64) ([]byte, error) {
	var out []byte
	var size uint64
	err := Read(dir, func(c Cosigned) bool {
		switch {
		case c.Size <= index || out != nil && c.Size > size:
		case c.Size == size:
			out = merge(out, []byte(c.Checkpoint))
		default: // the first, or an earlier one of a witness that was late
			out, size = []byte(c.Checkpoint), c.Size
		}
		return true
	})
	return out, err
}

// merge adds to a the signature lines of b that it has not, if both are over one text.
func merge(a, b []byte) []byte {
	textA, sigsA, okA := bytes.Cut(a, []byte("\n\n"))
	textB, sigsB, okB := bytes.Cut(b, []byte("\n\n"))
	if !okA || !okB || !bytes.Equal(textA, textB) {
		return a
	}
	have := slices.Collect(bytes.Lines(sigsA))
	for line := range bytes.Lines(sigsB) {
		if !slices.ContainsFunc(have, func(l []byte) bool { return bytes.Equal(l, line) }) {
			a = append(a, line...)
		}
	}
	return a
}

// Cosignatures returns the names and times of the witnesses, among verifiers,
// whose valid cosignatures are on a signed checkpoint.
func Cosignatures(signed []byte, verifiers ...*Verifier) (map[string]time.Time, error) {
	out := map[string]time.Time{}
	for _, v := range verifiers {
		n, err := note.Open(signed, note.VerifierList(v))
		var none *note.UnverifiedNoteError
		if errors.As(err, &none) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("cosignature of %s: %w", v.Name(), err)
		}
		at, err := Timestamp(n.Sigs[0])
		if err != nil {
			return nil, err
		}
		out[v.Name()] = at
	}
	return out, nil
}

// archive appends to cosigned.ndjson; each line is on disk when append returns.
type archive struct{ file *os.File }

func openArchive(dir string) (*archive, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open cosignatures: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, archiveName), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open cosignatures: %w", err)
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
		f.Close()
		return nil, fmt.Errorf("open cosignatures: %w", err)
	}
	return &archive{f}, nil
}

func (a *archive) append(c Cosigned) error {
	b, err := json.Marshal(c)
	if err == nil {
		_, err = a.file.Write(append(b, '\n'))
	}
	if err == nil {
		err = a.file.Sync()
	}
	if err != nil {
		return fmt.Errorf("keep cosignature: %w", err)
	}
	return nil
}

func (a *archive) close() error { return a.file.Close() }
