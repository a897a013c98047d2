package datapath

import (
	"log/slog"
	"testing"
	"time"
)

func TestWatcherSubscribesAgain(t *testing.T) {
	needRoot(t)
	w := newWatcher(slog.New(slog.DiscardHandler))
	defer w.close()
	w.follow([]string{""})
	w.mu.Lock()
	stop := w.seen[""].stop
	w.mu.Unlock()
	if stop == nil {
		t.Fatal("not subscribed")
	}
	w.lost("", stop)
	select {
	case <-w.changed:
	case <-time.After(3 * time.Second):
		t.Fatal("no change was signalled, though some may have been missed")
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.seen[""].stop == nil {
		t.Error("not subscribed again")
	}
}
