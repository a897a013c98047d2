package state_test

import (
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// TestAWriteThatFillsTheStoreIsDoneOnce: others fill the store while lines are written,
// so that etcd says "no space" of some that it has written, and of some that it hasn't.
// Either way each acknowledged line is there, once.
func TestAWriteThatFillsTheStoreIsDoneOnce(t *testing.T) {
	s := small(t, t.TempDir())
	defer s.Close()
	s.Unreserved()
	ctx := t.Context()
	must(t, s.CreateSandbox(ctx, sandbox("b1"), sandboxQuotas(1)))
	q := sandboxQuotas(1)
	q.OutputBytes, q.Messages = 1<<30, 1<<20
	var acknowledged []string
	for range 6 {
		var others sync.WaitGroup
		for range 24 {
			others.Go(func() {
				for n := range 1000 {
					if s.PutRaw(ctx, same(0), large(n)) != nil {
						return // it is full
					}
				}
			})
		}
		full := make(chan struct{})
		go func() { others.Wait(); close(full) }()
		for writing := true; writing; {
			select {
			case <-full:
				writing = false // once more: this one makes room
			default:
			}
			line := strconv.Itoa(len(acknowledged)) + strings.Repeat(" y", 50)
			must(t, s.AddSandboxMessage(ctx, "b1", line, q, admitted))
			acknowledged = append(acknowledged, line)
		}
	}
	lines, err := s.SandboxOutput(ctx, "b1")
	must(t, err)
	if !slices.Equal(lines, acknowledged) {
		t.Errorf("%d lines are stored, %d were acknowledged", len(lines), len(acknowledged))
	}
}
