package main

import (
	"errors"
	"slices"
	"testing"

	"tidemark/profile"
)

// TestOutbox_WhatCannotBePassedOnWaits: in its order, and each once.
func TestOutbox_WhatCannotBePassedOnWaits(t *testing.T) {
	full := errors.New("no space left on device")
	var disk error
	var got []string
	o := outbox{pass: func(e profile.Event) error {
		if disk == nil {
			got = append(got, e.Kind)
		}
		return disk
	}}
	if err := o.add(profile.Event{Kind: "a"}); err != nil {
		t.Fatal(err)
	}
	disk = full
	if err := o.add(profile.Event{Kind: "b"}, profile.Event{Kind: "c"}); !errors.Is(err, full) {
		t.Errorf("got %v, want %v", err, full)
	}
	if err := o.flush(); !errors.Is(err, full) {
		t.Errorf("again: got %v, want %v", err, full)
	}
	disk = nil
	for range 2 {
		if err := o.flush(); err != nil {
			t.Fatal(err)
		}
	}
	if want := []string{"a", "b", "c"}; !slices.Equal(got, want) {
		t.Errorf("passed on %q, want %q", got, want)
	}
}
