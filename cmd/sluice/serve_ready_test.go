package main

import (
	"log/slog"
	"strconv"
	"strings"
	"testing"

	"sluice"
	"sluice/control"
	"sluice/state"
)

func TestAServerWhoseStoreIsFullIsNotReady(t *testing.T) {
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	store, err := state.Open(t.Context(), state.Options{Dir: t.TempDir(), QuotaBytes: 4 << 20, Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	v := &server{log: log, store: store, controller: control.New(control.Options{Store: store})}
	v.ready.Store(true)
	if err := v.checkReady(t.Context()); err != nil {
		t.Fatalf("while the store has room: %v", err)
	}
	quotas := sluice.SandboxQuotas{Sandboxes: 1000}
	// To the last place: what refuses a large write may still take a small one.
	n := 0
	for _, size := range []int{256 << 10, 16 << 10, 1 << 10} {
		for err = nil; err == nil; n++ {
			b := sluice.Sandbox{ID: strconv.Itoa(n), Description: strings.Repeat("x", size)}
			if err = store.CreateSandbox(t.Context(), b, quotas); n > 900 {
				t.Fatal("the store is never full")
			}
		}
	}
	if got := v.checkReady(t.Context()); got == nil || got.Error() != "the store is full and refuses writes" {
		t.Errorf("after %v: %v", err, got)
	}
}
