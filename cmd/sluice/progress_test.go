package main

import (
	"strings"
	"testing"
	"time"
)

func TestWhatIsDoneSoonNeedsNoProgress(t *testing.T) {
	var w syncBuffer
	p := startProgress(&w, "capturing")
	p.say("reading %d flows", 7)
	p.done()
	if w.String() != "" {
		t.Errorf("wrote %q", w.String())
	}
}

func TestProgressIsOnePlainLineWhereThereIsNoTerminal(t *testing.T) {
	var w syncBuffer
	p := startProgress(&w, "capturing")
	p.say("reading %d flows", 7)
	for deadline := time.Now().Add(10 * time.Second); w.String() == "" && time.Now().Before(deadline); {
		time.Sleep(10 * time.Millisecond)
	}
	p.say("reading %d flows", 8)
	p.done()
	if w.String() != "reading 7 flows\n" {
		t.Errorf("wrote %q", w.String())
	}
}

func TestProgressOnATerminalWipesItself(t *testing.T) {
	var w syncBuffer
	p := &progress{w: &w, terminal: true, start: time.Now(), stop: make(chan struct{}), text: "capturing"}
	p.stopped.Go(p.loop)
	for deadline := time.Now().Add(10 * time.Second); w.String() == "" && time.Now().Before(deadline); {
		time.Sleep(10 * time.Millisecond)
	}
	p.done()
	if got := w.String(); !strings.HasPrefix(got, "\rcapturing 1s\x1b[K") || !strings.HasSuffix(got, "\r\x1b[K") || strings.Contains(got, "\n") {
		t.Errorf("wrote %q", got)
	}
}
