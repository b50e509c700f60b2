package witness

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/mod/sumdb/note"

	"tidemark/anchor/ndjson"
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
	err := ndjson.Read(filepath.Join(dir, archiveName), func(c Cosigned) bool { return c.Size == 0 || yield(c) })
	if err != nil {
		return fmt.Errorf("read cosignatures: %w", err)
	}
	return nil
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

func openArchive(dir string) (*ndjson.File[Cosigned], error) {
	err := os.MkdirAll(dir, 0o700)
	if err == nil {
		var a *ndjson.File[Cosigned]
		if a, err = ndjson.Open[Cosigned](filepath.Join(dir, archiveName)); err == nil {
			return a, nil
		}
	}
	return nil, fmt.Errorf("open cosignatures: %w", err)
}
