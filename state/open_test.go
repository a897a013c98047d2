package state_test

import (
	"context"
	"log/slog"
	"os"
	"testing"
	"time"

	"sluice"
	"sluice/state"
)

func open(t testing.TB, dir string) *state.Store {
	t.Helper()
	s, err := state.Open(context.Background(), state.Options{Dir: dir, Logger: slog.New(slog.NewTextHandler(os.Stderr, nil))})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestWhatWasAcknowledgedIsThereAfterAReopen(t *testing.T) {
	dir := t.TempDir()
	ctx := context.Background()
	began := time.Now()
	s := open(t, dir)
	t.Logf("fresh start: %v", time.Since(began))
	p := sluice.FirewallPolicy{Name: "p", Arn: "arn:aws:network-firewall:eu-west-1:000000000000:firewall-policy/p"}
	began = time.Now()
	if err := s.CreateFirewallPolicy(ctx, p, 10); err != nil {
		t.Fatal(err)
	}
	t.Logf("create: %v", time.Since(began))
	began = time.Now()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	t.Logf("close: %v", time.Since(began))
	began = time.Now()
	s = open(t, dir)
	defer s.Close()
	got, err := s.FirewallPolicy(ctx, "p")
	t.Logf("restart to first read: %v", time.Since(began))
	if err != nil || got.Arn != p.Arn {
		t.Fatalf("policy after reopen: %+v, %v", got, err)
	}
}
