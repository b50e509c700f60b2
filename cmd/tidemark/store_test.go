package main

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"tidemark/storage/storagetest"
)

func TestStore_AnOlderDirectorySaysWhatToDo(t *testing.T) {
	s := &store{cfg: Defaults(), dir: "data", db: storagetest.Open(t)}
	missing := s.db.Conn().Exec(t.Context(), "SELECT * FROM no_such_table")
	if missing == nil {
		t.Fatal("want an error of the engine")
	}
	if err := s.orOlder(t.Context(), fmt.Errorf("list: %w", missing)); strings.Contains(err.Error(), "earlier version") {
		t.Errorf("got %q of a directory of this version", err)
	}
	if err := s.db.Conn().Exec(t.Context(), "ALTER TABLE migrations DELETE WHERE number >= 40 SETTINGS mutations_sync = 1"); err != nil {
		t.Fatal(err)
	}
	err := s.orOlder(t.Context(), fmt.Errorf("list: %w", missing))
	if !errors.Is(err, missing) || !strings.Contains(err.Error(), "from 0040_") || !strings.Contains(err.Error(), "tidemark --data-dir data run") {
		t.Errorf("got %q, want what is missing and what to do", err)
	}
	if other := errors.New("no device"); s.orOlder(t.Context(), other) != other {
		t.Error("an error of another kind was changed")
	}
}
