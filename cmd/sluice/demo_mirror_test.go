package main

import "testing"

func TestCopiesAreComparedWithTheirFrames(t *testing.T) {
	list := func(texts ...string) (out [][]byte) {
		for _, text := range texts {
			out = append(out, []byte(text))
		}
		return out
	}
	for _, c := range []struct {
		name           string
		frames, copies [][]byte
		lost, moved    int
	}{
		{"equal", list("a", "b", "a"), list("a", "b", "a"), 0, 0},
		{"overtaken", list("a", "b", "c"), list("b", "a", "c"), 0, 2},
		{"changed", list("a", "b"), list("a", "x"), 1, 1},
		{"one twice instead of both", list("a", "b"), list("a", "a"), 1, 1},
	} {
		if lost := withoutCopy(c.frames, c.copies); lost != c.lost {
			t.Errorf("%s: %d without a copy, want %d", c.name, lost, c.lost)
		}
		if n := moved(c.frames, c.copies); n != c.moved {
			t.Errorf("%s: %d moved, want %d", c.name, n, c.moved)
		}
	}
	if lost := withoutCopy(list("a", "b"), list("a")); lost != 1 {
		t.Errorf("of a frame that is missing: %d", lost)
	}
}
