package anchor

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tidemark/anchor/merkle"
)

// told returns a directory with a history in it and nothing left to do.
func told(t *testing.T) *fixture {
	t.Helper()
	f := newFixture(t)
	for i := range uint64(4) {
		f.seal(i, 300)
	}
	f.mustCommit()
	c, _, err := f.l.Checkpoint()
	if err != nil {
		t.Fatal(err)
	}
	f.signed = append(f.signed, c)
	if err := f.l.Close(); err != nil {
		t.Fatal(err)
	}
	return f
}

func (f *fixture) path(name string) string { return filepath.Join(f.w.dir, name) }

func (f *fixture) openError() error {
	l, err := openWorld(f.w)
	if err == nil {
		err = l.Close()
	}
	return err
}

func TestOpen_SecondProcessIsRefused(t *testing.T) {
	f := newFixture(t)
	if err := f.openError(); !errors.Is(err, ErrLocked) {
		t.Fatalf("open: %v, want ErrLocked", err)
	}
}

func TestOpen_RefusesAnotherKeyOrOrigin(t *testing.T) {
	f, other := told(t), told(t)
	if _, err := open(t.Context(), Options{Dir: f.w.dir, Origin: "other"}, testSeams(f.w)); !errors.Is(err, ErrKey) {
		t.Errorf("another origin: %v, want ErrKey", err)
	}
	mine, err := os.ReadFile(f.path(keyFile))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(f.path(keyFile), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := f.openError(); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("key others may read: %v", err)
	}
	// Another key, first with the public key of the log, then with its own.
	other.w.ops++ // another seed
	if err := os.Remove(f.path(keyFile)); err != nil {
		t.Fatal(err)
	}
	if err := f.openError(); err == nil || !strings.Contains(err.Error(), "restore it from a backup") {
		t.Errorf("no key: %v", err)
	}
	stranger := newWorld(t.TempDir())
	stranger.ops = 999
	l, err := openWorld(stranger)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{keyFile, publicFile} {
		content, err := os.ReadFile(filepath.Join(stranger.dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Equal(content, mine) {
			t.Fatal("the stranger's key is ours")
		}
		if err := os.WriteFile(f.path(name), content, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := f.openError(); !errors.Is(err, ErrKey) && !errors.Is(err, ErrChain) {
			t.Errorf("another %s: %v, want ErrKey or ErrChain", name, err)
		}
	}
}

// One octet anywhere in the files of a finished log is found when it is opened,
// by the daemon and by a reader, and the file is named.
func TestOpen_FindsEveryFlippedOctet(t *testing.T) {
	f := told(t)
	for _, name := range []string{headersFile, batchesFile, nodesFile, tablesFile, checkpointFile} {
		content, err := os.ReadFile(f.path(name))
		if err != nil {
			t.Fatal(err)
		}
		step := max(1, len(content)/60)
		for i := 0; i < len(content); i += step {
			spoiled := bytes.Clone(content)
			spoiled[i] ^= 0x10
			if err := os.WriteFile(f.path(name), spoiled, 0o600); err != nil {
				t.Fatal(err)
			}
			// Whether the last header is wrong or what it speaks of, none can tell.
			undecided := name == headersFile && i >= len(content)-HeaderSize
			if err := f.openError(); err == nil || !undecided && !strings.Contains(err.Error(), f.path(name)) {
				t.Errorf("%s, octet %d: %v, want an error naming the file", name, i, err)
			}
			r, err := OpenReader(f.w.dir)
			if err == nil || !undecided && !strings.Contains(err.Error(), f.path(name)) {
				t.Errorf("%s, octet %d: OpenReader: %v, want an error naming the file", name, i, err)
			}
			if err == nil {
				_ = r.Close()
			}
		}
		if err := os.WriteFile(f.path(name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.openError(); err != nil {
		t.Fatalf("restored: %v", err)
	}
}

func TestOpen_CutsATornTail(t *testing.T) {
	f := told(t)
	sizes := map[string]int64{}
	for _, name := range []string{headersFile, batchesFile, nodesFile, tagsFile, tablesFile} {
		info, err := os.Stat(f.path(name))
		if err != nil {
			t.Fatal(err)
		}
		sizes[name] = info.Size()
		if err := os.Truncate(f.path(name), info.Size()+31); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.openError(); err != nil {
		t.Fatal(err)
	}
	for name, want := range sizes {
		if info, err := os.Stat(f.path(name)); err != nil || info.Size() != want {
			t.Errorf("%s: %d octets, %v, want %d", name, info.Size(), err, want)
		}
	}
}

func TestOpen_RefusesAFileThatEndsEarly(t *testing.T) {
	for _, name := range []string{headersFile, batchesFile, nodesFile, tablesFile} {
		f := told(t)
		if err := os.Truncate(f.path(name), 8); err != nil {
			t.Fatal(err)
		}
		err := f.openError()
		var corrupt *CorruptError
		if !errors.As(err, &corrupt) && !errors.Is(err, ErrRolledBack) {
			t.Errorf("%s: %v, want a CorruptError or ErrRolledBack", name, err)
		}
	}
}

// Ledgers that were begun before there were tags have none of their batches.
func TestOpen_TagsMayBeMissingOrShort(t *testing.T) {
	for name, change := range map[string]func(path string) error{
		"missing": os.Remove,
		"short":   func(path string) error { return os.Truncate(path, 8) },
	} {
		f := told(t)
		if err := change(f.path(tagsFile)); err != nil {
			t.Fatal(err)
		}
		r, err := OpenReader(f.w.dir)
		if err != nil {
			t.Fatalf("%s: OpenReader: %v", name, err)
		}
		h, err := r.Header(4)
		if err != nil || r.readTags(&h) != nil {
			t.Errorf("%s: batch 4 has tags, or %v", name, err)
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		f.l = nil
		f.reopen()
		f.seal(5, 300)
		f.mustCommit()
		for index, want := range map[uint64]int{1: 0, 4: 0, 5: 300 * tagSize} {
			if name == "short" && index == 1 {
				continue // has some
			}
			h := f.header(index)
			if got := len(f.l.reader.readTags(&h)); got != want {
				t.Errorf("%s: %d octets of tags of batch %d, want %d", name, got, index, want)
			}
		}
	}
}

// An older copy of the directory is the start of a second history under one key.
func TestOpen_RefusesADirectoryOlderThanItsCheckpoint(t *testing.T) {
	f := told(t)
	for _, cut := range []struct {
		name string
		size int64
	}{{headersFile, 3 * HeaderSize}, {batchesFile, 3 * batchSize}} {
		if err := os.Truncate(f.path(cut.name), cut.size); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.openError(); !errors.Is(err, ErrRolledBack) {
		t.Fatalf("open: %v, want ErrRolledBack", err)
	}
}

// Without a checkpoint the database still knows of batches that the files lost.
// Nothing is cut then: what is left may be needed to restore the rest.
func TestOpen_RefusesADirectoryThatLostItsLastHeader(t *testing.T) {
	f := told(t)
	if err := os.Remove(f.path(checkpointFile)); err != nil {
		t.Fatal(err)
	}
	headers, err := os.ReadFile(f.path(headersFile))
	if err != nil {
		t.Fatal(err)
	}
	for _, lost := range []int{1, 2, len(headers) / HeaderSize} {
		if err := os.WriteFile(f.path(headersFile), headers[:len(headers)-lost*HeaderSize], 0o600); err != nil {
			t.Fatal(err)
		}
		if err := f.openError(); !errors.Is(err, ErrRolledBack) {
			t.Fatalf("%d headers lost: open: %v, want ErrRolledBack", lost, err)
		}
	}
	if err := os.WriteFile(f.path(headersFile), headers, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := f.openError(); err != nil {
		t.Fatalf("open after the headers were restored: %v", err)
	}
}

// The spool of one ledger and the directory of another do not go together.
func TestOpen_RefusesAForeignSpool(t *testing.T) {
	f := newFixture(t)
	f.mustCommit()
	f.seal(1, 3)
	if err := f.l.Close(); err != nil {
		t.Fatal(err)
	}
	foreign := newWorld(t.TempDir())
	foreign.ops, foreign.spool = 4711, f.w.spool
	if _, err := openWorld(foreign); !errors.Is(err, ErrFork) {
		t.Fatalf("open: %v, want ErrFork", err)
	}
}

func TestOpen_NeedsAnOriginToBegin(t *testing.T) {
	w := newWorld(t.TempDir())
	if _, err := open(t.Context(), Options{Dir: w.dir}, testSeams(w)); err == nil || !strings.Contains(err.Error(), "origin") {
		t.Fatalf("open: %v", err)
	}
	if _, err := OpenReader(w.dir); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("OpenReader: %v, want os.ErrNotExist", err)
	}
}

func TestSealed_Golden(t *testing.T) {
	table, err := AppendExporterTable(nil, exporterCounts())
	if err != nil {
		t.Fatal(err)
	}
	h := secondHeader()
	nodes := []merkle.Hash{octets(160), octets(161)}
	h.ExporterTable, h.Rows, h.RowRoot = ExporterTableHash(table), 300, merkle.Root(nodes)
	s := &sealed{header: h, key: SaltKey([]byte("0123456789abcdef")), table: table, nodes: nodes}
	p := s.append(nil)
	golden(t, "sealed.golden", vector(nil, "meta of a spool record", p))
	back, err := parseSealed(1, recordFlows, p)
	if err != nil || back.header != s.header || back.key != s.key || !bytes.Equal(back.table, table) || !slices.Equal(back.nodes, nodes) {
		t.Fatalf("parsed %+v, %v", back, err)
	}
	for n := range p {
		if _, err := parseSealed(1, recordFlows, p[:n]); !errors.Is(err, ErrRecord) {
			t.Fatalf("prefix of %d octets: %v, want ErrRecord", n, err)
		}
	}
	for name, got := range map[string]error{
		"index": func() error { _, err := parseSealed(2, recordFlows, p); return err }(),
		"kind":  func() error { _, err := parseSealed(1, recordEvents, p); return err }(),
		"more":  func() error { _, err := parseSealed(1, recordFlows, append(p, 0)); return err }(),
		"nodes": func() error {
			q := bytes.Clone(p)
			q[len(q)-1] ^= 1
			_, err := parseSealed(1, recordFlows, q)
			return err
		}(),
	} {
		if !errors.Is(got, ErrRecord) {
			t.Errorf("%s: %v, want ErrRecord", name, got)
		}
	}
}
