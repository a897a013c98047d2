package control_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"sluice"
	"sluice/control"
)

func TestAnOperationThatRunsHasNoRows(t *testing.T) {
	r := newRig(t)
	r.readyFirewall("f", "subnet-a")
	gate, emitted := make(chan struct{}), make(chan struct{})
	r.fleet.onCommand(func(_ context.Context, _ command, emit emitter) outcomes {
		err := emit(rows(1, 10))
		close(emitted)
		<-gate
		return outcomes{{Err: err}}
	})
	in := capture("f", zoneA)
	op, err := r.StartFlowOperation(t.Context(), in)
	must(t, err)
	<-emitted
	got, flows, more, err := r.FlowResults(t.Context(), in.Scope, op.ID, 0, 100)
	if err != nil || got.Status != sluice.OperationInProgress || len(flows) != 0 || more {
		t.Errorf("%+v, %d rows, %v, %v", got, len(flows), more, err)
	}
	close(gate)
	r.awaitEnd()
	if got := r.ports(in.Scope, op.ID, 100); len(got) != 10 {
		t.Errorf("%d rows after the end", len(got))
	}
}

func TestOperationsAreGoneAfterTwelveHours(t *testing.T) {
	r := newRig(t)
	f := r.readyFirewall("f", "subnet-a")
	r.fleet.onCommand(emits(1, 10))
	in := capture("f", zoneA)
	old := r.run(in)
	r.clock.advance(sluice.FlowOperationRetention)
	if got := r.ports(in.Scope, old.ID, 100); len(got) != 10 {
		t.Errorf("after twelve hours: %d rows", len(got))
	}
	young := r.run(in)
	r.clock.advance(time.Second)
	_, err := r.DescribeFlowOperation(t.Context(), in.Scope, old.ID)
	refused(t, err, sluice.KindNotFound, "FlowOperationId does not exist, parameter: ["+old.ID+"]")
	_, _, _, err = r.FlowResults(t.Context(), in.Scope, old.ID, 0, 1)
	refused(t, err, sluice.KindNotFound, "FlowOperationId does not exist, parameter: ["+old.ID+"]")
	all, err := r.ListFlowOperations(t.Context(), in.Scope, "")
	if err != nil || len(all) != 1 || all[0].ID != young.ID {
		t.Errorf("list: %+v, %v", all, err)
	}
	must(t, r.Sweep(t.Context()))
	stored, err := r.store.FlowOperations(t.Context(), f.ID)
	must(t, err)
	ids, err := r.results.List()
	must(t, err)
	if len(stored) != 1 || len(ids) != 1 || ids[0] != young.ID {
		t.Errorf("after the sweep: %d operations, results %v", len(stored), ids)
	}
}

// TestARestartEndsWhatWasRunning leaves operations behind as a killed process
// does: in progress in the store, with and without committed rows.
func TestARestartEndsWhatWasRunning(t *testing.T) {
	r := newRig(t)
	f := r.readyFirewall("f", "subnet-a", "subnet-b")
	r.readyFirewall("g", "subnet-a", "subnet-b")
	r.readyFirewall("h", "subnet-a")
	r.fleet.onCommand(emits(1, 10))
	ctx := t.Context()
	leave := func(name, zone string, kind sluice.FlowOperationType, rowsLeft int, commit bool) (control.FlowScope, string) {
		fw := r.describe(name)
		op := sluice.FlowOperation{ID: sluice.NewUUID(), Type: kind, FirewallArn: fw.Arn, FirewallID: fw.ID,
			Status: sluice.OperationInProgress, RequestTime: r.clock.Now(), Filters: anyFlow, Zones: []string{zone}}
		must(t, r.store.StartFlowOperation(ctx, name, op))
		must(t, r.results.Begin(op.ID))
		must(t, r.results.Append(op.ID, rows(1, rowsLeft)))
		if commit {
			_, err := r.results.Commit(op.ID)
			must(t, err)
		}
		return control.FlowScope{FirewallArn: fw.Arn, AvailabilityZone: zone}, op.ID
	}
	type left struct {
		scope  control.FlowScope
		id     string
		status sluice.FlowOperationStatus
		rows   int
	}
	var all []left
	add := func(status sluice.FlowOperationStatus, rows int) func(control.FlowScope, string) {
		return func(s control.FlowScope, id string) { all = append(all, left{s, id, status, rows}) }
	}
	add(sluice.OperationFailed, 0)(leave("f", zoneA, sluice.FlowCapture, 10, false))
	add(sluice.OperationCompletedWithErrors, 10)(leave("f", zoneB, sluice.FlowCapture, 10, true))
	add(sluice.OperationCompletedWithErrors, 10)(leave("g", zoneA, sluice.FlowFlush, 10, true))
	add(sluice.OperationFailed, 0)(leave("g", zoneB, sluice.FlowFlush, 10, false))
	add(sluice.OperationFailed, 0)(leave("h", zoneA, sluice.FlowFlush, 0, true))
	must(t, r.results.Begin("orphan")) // of an operation that was purged meanwhile
	if _, err := r.results.Commit("orphan"); err != nil {
		t.Fatal(err)
	}
	_, err := r.StartFlowOperation(ctx, capture("f", zoneA))
	refused(t, err, sluice.KindThrottling, "Flow operation already in progress, parameter: [eu-west-1a], context: AvailabilityZone")
	r.stop()
	r.start()
	for i, l := range all {
		op := r.operation(l.scope, l.id)
		if op.Status != l.status || op.Message != sluice.MessageFlowError || len(r.ports(l.scope, l.id, 100)) != l.rows {
			t.Errorf("operation %d: %+v", i, op)
		}
	}
	ids, err := r.results.List()
	if err != nil || len(ids) != 2 {
		t.Errorf("results left: %v, %v", ids, err)
	}
	r.run(capture("f", "")) // both zones are free
	if all, err := r.ListFlowOperations(ctx, control.FlowScope{FirewallArn: f.Arn}, ""); err != nil || len(all) != 3 {
		t.Errorf("operations: %d, %v", len(all), err)
	}
}

// faults is a store that fails where it is told to.
type faults struct {
	control.Store
	start, finish atomic.Int32 // how many of the next calls fail
	// sandboxes counts down the writes of sandboxes; the one that makes it 0 fails.
	sandboxes  atomic.Int32
	afterwards bool // a start that fails has been written all the same
}

var errDisk = errors.New("commit transaction: disk is on fire")

func (f *faults) StartFlowOperation(ctx context.Context, name string, op sluice.FlowOperation) error {
	if f.start.Add(-1) < 0 {
		return f.Store.StartFlowOperation(ctx, name, op)
	}
	if f.afterwards {
		if err := f.Store.StartFlowOperation(ctx, name, op); err != nil {
			return err
		}
	}
	return errDisk
}

func (f *faults) FinishFlowOperation(ctx context.Context, op sluice.FlowOperation) error {
	if f.finish.Add(-1) < 0 {
		return f.Store.FinishFlowOperation(ctx, op)
	}
	return errDisk
}

func TestTheEndOfAnOperationIsWrittenAgainAfterAFault(t *testing.T) {
	r := newRig(t)
	r.readyFirewall("f", "subnet-a")
	r.fleet.onCommand(emits(1, 10))
	r.faults.finish.Store(1)
	in := capture("f", zoneA)
	if op := r.run(in); op.Status != sluice.OperationCompleted || len(r.ports(in.Scope, op.ID, 100)) != 10 {
		t.Errorf("%+v", op)
	}
}

func TestAnOperationWhoseStartFailedRunsNothingAndHoldsNoZone(t *testing.T) {
	r := newRig(t)
	r.readyFirewall("f", "subnet-a")
	var asked atomic.Bool
	r.fleet.onCommand(func(context.Context, command, emitter) outcomes {
		asked.Store(true)
		return outcomes{{}}
	})
	in := capture("f", zoneA)
	for _, afterwards := range []bool{false, true} { // nobody can know which it was
		r.faults.afterwards = afterwards
		r.faults.start.Store(1)
		if _, err := r.StartFlowOperation(t.Context(), in); !errors.Is(err, errDisk) {
			t.Fatalf("start: %v", err)
		}
	}
	if asked.Load() {
		t.Error("an agent was asked")
	}
	_, err := r.StartFlowOperation(t.Context(), in)
	refused(t, err, sluice.KindThrottling, "Flow operation already in progress, parameter: [eu-west-1a], context: AvailabilityZone")
	must(t, r.Sweep(t.Context()))
	all, err := r.ListFlowOperations(t.Context(), in.Scope, "")
	must(t, err)
	if len(all) != 1 || all[0].Status != sluice.OperationFailed {
		t.Errorf("after the sweep: %+v", all)
	}
	r.run(in)
}

// TestACallerThatGoesAwayLeavesNoZoneBehind: where its write was done, the
// operation runs.
func TestACallerThatGoesAwayLeavesNoZoneBehind(t *testing.T) {
	r := newRig(t)
	r.readyFirewall("f", "subnet-a")
	in := capture("f", zoneA)
	for i := range 40 {
		ctx, cancel := context.WithCancel(t.Context())
		timer := time.AfterFunc(time.Duration(i)*50*time.Microsecond, cancel)
		if _, err := r.StartFlowOperation(ctx, in); err == nil {
			r.awaitEnd()
		}
		timer.Stop()
		cancel()
		all, err := r.ListFlowOperations(t.Context(), in.Scope, "")
		must(t, err)
		for _, op := range all {
			if op.Status != sluice.OperationCompleted {
				t.Fatalf("caller %d: %+v", i, op)
			}
		}
	}
}

func TestASweepLeavesARunningOperationAlone(t *testing.T) {
	r := newRig(t)
	r.readyFirewall("f", "subnet-a")
	gate := make(chan struct{})
	r.fleet.onCommand(func(_ context.Context, _ command, emit emitter) outcomes {
		<-gate
		return outcomes{{Err: emit(rows(1, 3))}}
	})
	in := capture("f", zoneA)
	op, err := r.StartFlowOperation(t.Context(), in)
	must(t, err)
	r.clock.advance(24 * time.Hour)
	must(t, r.Sweep(t.Context()))
	r.clock.advance(-24 * time.Hour)
	close(gate)
	r.awaitEnd()
	if got := r.operation(in.Scope, op.ID); got.Status != sluice.OperationCompleted || got.Flows != 3 {
		t.Errorf("%+v", got)
	}
}

func TestAStopEndsWhatRunsHonestly(t *testing.T) {
	r := newRig(t)
	r.readyFirewall("f", "subnet-a", "subnet-b")
	started := make(chan struct{}, 2)
	r.fleet.onCommand(func(ctx context.Context, c command, emit emitter) outcomes {
		started <- struct{}{}
		return silent(ctx, c, emit)
	})
	in := capture("f", "")
	op, err := r.StartFlowOperation(t.Context(), in)
	must(t, err)
	<-started
	<-started
	r.stop()
	r.start()
	if got := r.operation(in.Scope, op.ID); got.Status != sluice.OperationFailed || got.Message != sluice.MessageFlowError {
		t.Errorf("%+v", got)
	}
}

func TestDeletingAFirewallEndsAndRemovesItsOperations(t *testing.T) {
	r := newRig(t)
	f := r.readyFirewall("f", "subnet-a")
	r.fleet.onCommand(emits(1, 10))
	in := capture("f", zoneA)
	done := r.run(in)
	started := make(chan struct{})
	r.fleet.onCommand(func(ctx context.Context, c command, emit emitter) outcomes {
		close(started)
		return silent(ctx, c, emit)
	})
	_, err := r.StartFlowOperation(t.Context(), in)
	must(t, err)
	<-started
	_, err = r.DeleteFirewall(t.Context(), control.Selector{Name: "f"})
	must(t, err)
	await(t, "firewall gone", func() bool {
		_, err := r.DescribeFirewall(t.Context(), control.Selector{Name: "f"})
		return sluice.KindOf(err) == sluice.KindNotFound
	})
	await(t, "results gone", func() bool {
		ids, err := r.results.List()
		must(t, err)
		return len(ids) == 0
	})
	stored, err := r.store.FlowOperations(t.Context(), f.ID)
	if err != nil || len(stored) != 0 {
		t.Errorf("operations left: %v, %v", stored, err)
	}
	r.fleet.onCommand(emits(1, 10))
	again := r.readyFirewall("f", "subnet-a")
	if all, err := r.ListFlowOperations(t.Context(), control.FlowScope{FirewallArn: again.Arn}, ""); err != nil || len(all) != 0 {
		t.Errorf("a new firewall of the name inherits %v, %v", all, err)
	}
	_, err = r.DescribeFlowOperation(t.Context(), in.Scope, done.ID)
	refused(t, err, sluice.KindNotFound, "FlowOperationId does not exist, parameter: ["+done.ID+"]")
}

func TestDamagedResultsAreAFaultOfOurs(t *testing.T) {
	r := newRig(t)
	r.readyFirewall("f", "subnet-a")
	r.fleet.onCommand(emits(1, 10))
	in := capture("f", zoneA)
	op := r.run(in)
	path := filepath.Join(r.dir, "results", op.ID+".flows")
	must(t, os.Truncate(path, 50))
	_, flows, _, err := r.FlowResults(t.Context(), in.Scope, op.ID, 0, 100)
	if err == nil || sluice.KindOf(err) != sluice.KindInternal || len(flows) != 0 {
		t.Errorf("%d rows, %v", len(flows), err)
	}
}

// TestAFleetThatHangsDoesNotHoldTheZone: the fleet promises to return at the
// deadline, and a zone is not lost where it breaks its word.
func TestAFleetThatHangsDoesNotHoldTheZone(t *testing.T) {
	r := newRig(t, func(o *control.Options) { o.OperationDeadline = 10 * time.Millisecond })
	r.readyFirewall("f", "subnet-a")
	gate, late := make(chan struct{}), make(chan error, 1)
	r.fleet.onCommand(func(_ context.Context, _ command, emit emitter) outcomes {
		<-gate
		err := emit(rows(1, 1))
		late <- err
		return outcomes{{Err: err}}
	})
	op := r.run(capture("f", zoneA))
	if op.Status != sluice.OperationFailed || op.Message != sluice.MessageFlowTimeout {
		t.Errorf("%+v", op)
	}
	close(gate)
	if err := <-late; err == nil {
		t.Error("a row was taken after the end")
	}
}
