package state_test

import (
	"fmt"
	"testing"
	"time"

	"sluice"
	"sluice/state"
)

func operation(f sluice.Firewall, zones ...string) sluice.FlowOperation {
	return sluice.FlowOperation{
		ID: sluice.NewUUID(), Type: sluice.FlowCapture, FirewallArn: f.Arn, FirewallID: f.ID,
		Status: sluice.OperationInProgress, RequestTime: time.Now().UTC(), Zones: zones,
	}
}

func withFirewall(t *testing.T) (*state.Store, sluice.Firewall) {
	t.Helper()
	s, f := fresh(t), firewall("f", "p")
	must(t, s.CreateFirewallPolicy(t.Context(), policy("p"), 10))
	must(t, s.CreateFirewall(t.Context(), f, 10, 10))
	return s, f
}

func TestOneOperationRunsInAZone(t *testing.T) {
	s, f := withFirewall(t)
	ctx := t.Context()
	zones := [][]string{{"a"}, {"a", "b"}, {"b", "c"}, {"c"}}
	for round := range 10 {
		running := map[string]int{}
		together(t, s, 24, func(i int, s *state.Store) error {
			return s.StartFlowOperation(ctx, f.Name, operation(f, zones[i%len(zones)]...))
		}, sluice.KindThrottling)
		all, err := s.FlowOperations(ctx, f.ID)
		must(t, err)
		for _, op := range all {
			if op.Status != sluice.OperationInProgress {
				continue
			}
			for _, z := range op.Zones {
				running[z]++
			}
			op.Status = sluice.OperationCompleted
			must(t, s.FinishFlowOperation(ctx, op))
		}
		for _, z := range []string{"a", "b", "c"} {
			if running[z] > 1 {
				t.Fatalf("round %d: %d operations in zone %s", round, running[z], z)
			}
		}
		if len(running) == 0 {
			t.Fatalf("round %d: nothing ran", round)
		}
	}
}

func TestABusyZoneIsNamedAndFreedByTheEnd(t *testing.T) {
	s, f := withFirewall(t)
	ctx := t.Context()
	op := operation(f, "b")
	must(t, s.StartFlowOperation(ctx, f.Name, op))
	err := s.StartFlowOperation(ctx, f.Name, operation(f, "a", "b"))
	if want := "Flow operation already in progress, parameter: [b], context: AvailabilityZone"; err == nil || err.Error() != want || sluice.KindOf(err) != sluice.KindThrottling {
		t.Errorf("second operation: %v", err)
	}
	must(t, s.StartFlowOperation(ctx, f.Name, operation(f, "a"))) // the refused one took nothing
	op.Status = sluice.OperationFailed
	must(t, s.FinishFlowOperation(ctx, op))
	if err := s.FinishFlowOperation(ctx, op); sluice.KindOf(err) != sluice.KindInvalidOperation {
		t.Errorf("finish twice: %v", err)
	}
	must(t, s.StartFlowOperation(ctx, f.Name, operation(f, "b")))
}

func TestAnOperationNeedsAFirewallThatStays(t *testing.T) {
	s, f := withFirewall(t)
	ctx := t.Context()
	op := operation(f, "a")
	must(t, s.StartFlowOperation(ctx, f.Name, op))
	_, err := s.UpdateFirewall(ctx, f.Name, 10, func(f sluice.Firewall) (sluice.Firewall, error) {
		f.Deleting = true
		return f, nil
	})
	must(t, err)
	if err := s.StartFlowOperation(ctx, f.Name, operation(f, "b")); err == nil || err.Error() != "Firewall is not ready" {
		t.Errorf("start on a firewall that is being deleted: %v", err)
	}
	ids, err := s.RemoveFirewall(ctx, f.Name, f.ID)
	must(t, err)
	if len(ids) != 1 || ids[0] != op.ID {
		t.Errorf("operations removed with the firewall: %v", ids)
	}
	if err := s.FinishFlowOperation(ctx, op); sluice.KindOf(err) != sluice.KindNotFound {
		t.Errorf("finish after that: %v", err)
	}
	again := firewall("f", "p") // the name is free, and inherits nothing
	must(t, s.CreateFirewall(ctx, again, 10, 10))
	must(t, s.StartFlowOperation(ctx, again.Name, operation(again, "a")))
	if err := s.StartFlowOperation(ctx, f.Name, operation(f, "a")); sluice.KindOf(err) != sluice.KindNotFound {
		t.Errorf("start on the old firewall's id: %v", err)
	}
}

func TestRemovingOperationsKeepsTheOnesThatRun(t *testing.T) {
	s, f := withFirewall(t)
	ctx := t.Context()
	for i := range 250 {
		op := operation(f, fmt.Sprint("z", i))
		must(t, s.StartFlowOperation(ctx, f.Name, op))
		if i != 100 {
			op.Status = sluice.OperationCompleted
			must(t, s.FinishFlowOperation(ctx, op))
		}
	}
	all, err := s.FlowOperations(ctx, "")
	must(t, err)
	must(t, s.RemoveFlowOperations(ctx, all))
	left, err := s.FlowOperations(ctx, f.ID)
	must(t, err)
	if len(left) != 1 || left[0].Zones[0] != "z100" {
		t.Errorf("left: %+v", left)
	}
}
