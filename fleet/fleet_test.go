package fleet

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"sluice"
)

// fakeHost is an agent whose answers a test writes.
type fakeHost struct {
	run      func(ctx context.Context, cmd sluice.FlowCommand, emit func(sluice.FlowBlock) error) error
	counters func(ctx context.Context) (sluice.DatapathCounters, error)

	mu      sync.Mutex
	desired []sluice.DesiredState
}

func (h *fakeHost) SetDesired(d sluice.DesiredState) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.desired = append(h.desired, d)
}

func (h *fakeHost) RunFlowCommand(ctx context.Context, cmd sluice.FlowCommand, emit func(sluice.FlowBlock) error) error {
	return h.run(ctx, cmd, emit)
}

func (h *fakeHost) Counters(ctx context.Context) (sluice.DatapathCounters, error) {
	return h.counters(ctx)
}

func (h *fakeHost) last() sluice.DesiredState {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.desired) == 0 {
		return sluice.DesiredState{}
	}
	return h.desired[len(h.desired)-1]
}

func newFleet(t *testing.T) *Fleet {
	return New(slog.New(slog.NewTextHandler(t.Output(), nil)))
}

// desired has an endpoint on each host and one, "all", on all of them.
func desired(revision int64, hosts ...string) sluice.DesiredState {
	d := sluice.DesiredState{Revision: revision}
	all := sluice.Endpoint{ID: "all"}
	for _, h := range hosts {
		n := sluice.InterfaceRef{ID: "eni-" + h, HostID: h, Device: "eth0"}
		d.Endpoints = append(d.Endpoints, sluice.Endpoint{ID: "only-" + h, Interfaces: []sluice.InterfaceRef{n}})
		all.Interfaces = append(all.Interfaces, n, sluice.InterfaceRef{ID: "eni2-" + h, HostID: h, Device: "eth1"})
	}
	d.Endpoints = append(d.Endpoints, all)
	for _, h := range hosts {
		d.Mirrors = append(d.Mirrors, sluice.MirrorSource{Interface: sluice.InterfaceRef{ID: "eni-" + h, HostID: h, Device: "eth0"}})
	}
	return d
}

func TestEachHostGetsItsPart(t *testing.T) {
	f := newFleet(t)
	early, late, idle := &fakeHost{}, &fakeHost{}, &fakeHost{}
	f.Join("a", early)
	f.Join("c", idle)
	if len(early.desired) != 0 {
		t.Error("told an agent to keep nothing before anybody said so")
	}
	f.SetDesired(desired(7, "a", "b"))
	f.Join("b", late)
	want := func(h string) sluice.DesiredState {
		return sluice.DesiredState{Revision: 7, Endpoints: []sluice.Endpoint{
			{ID: "only-" + h, Interfaces: []sluice.InterfaceRef{{ID: "eni-" + h, HostID: h, Device: "eth0"}}},
			{ID: "all", Interfaces: []sluice.InterfaceRef{{ID: "eni-" + h, HostID: h, Device: "eth0"}, {ID: "eni2-" + h, HostID: h, Device: "eth1"}}},
		}, Mirrors: []sluice.MirrorSource{{Interface: sluice.InterfaceRef{ID: "eni-" + h, HostID: h, Device: "eth0"}}}}
	}
	for id, h := range map[string]*fakeHost{"a": early, "b": late} {
		if diff := cmp.Diff(want(id), h.last(), cmpopts.EquateComparable(netip.Addr{})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", id, diff)
		}
	}
	if diff := cmp.Diff([]sluice.DesiredState{{Revision: 7}}, idle.desired); diff != "" {
		t.Errorf("a host without a part (-want +got):\n%s", diff)
	}
}

func TestStatusesAreTheLastWordOfThoseWhoAreThere(t *testing.T) {
	f := newFleet(t)
	changed := func(c <-chan struct{}) bool {
		select {
		case <-c:
			return true
		default:
			return false
		}
	}
	leaveA := f.Join("a", &fakeHost{})
	f.Join("b", &fakeHost{})
	for _, step := range []struct {
		what    string
		do      func()
		changed bool
		hosts   string
	}{
		{"b reports", func() { f.Report(sluice.AgentStatus{HostID: "b", Revision: 1}) }, true, "b1"},
		{"a reports", func() { f.Report(sluice.AgentStatus{HostID: "a", Revision: 1}) }, true, "a1 b1"},
		{"a repeats itself", func() { f.Report(sluice.AgentStatus{HostID: "a", Revision: 1}) }, false, "a1 b1"},
		{"a moves on", func() { f.Report(sluice.AgentStatus{HostID: "a", Revision: 2}) }, true, "a2 b1"},
		{"a stranger reports", func() { f.Report(sluice.AgentStatus{HostID: "x"}) }, false, "a2 b1"},
		{"a leaves", leaveA, true, "b1"},
		{"a reports after that", func() { f.Report(sluice.AgentStatus{HostID: "a", Revision: 3}) }, false, "b1"},
		{"b comes back before it has left", func() { f.Join("b", &fakeHost{}) }, true, ""},
		{"a leaves again", leaveA, false, ""},
	} {
		c := f.Changed()
		step.do()
		var hosts []string
		for _, s := range f.Statuses() {
			hosts = append(hosts, fmt.Sprint(s.HostID, s.Revision))
		}
		if got := strings.Join(hosts, " "); got != step.hosts || changed(c) != step.changed {
			t.Errorf("%s: got %q changed=%t, want %q changed=%t", step.what, got, changed(c), step.hosts, step.changed)
		}
	}
}

func TestAnOldStayDoesNotEndTheNewOne(t *testing.T) {
	f := newFleet(t)
	leaveOld := f.Join("a", &fakeHost{})
	now := &fakeHost{}
	f.Join("a", now)
	leaveOld()
	f.SetDesired(desired(1, "a"))
	if now.last().Revision != 1 {
		t.Error("the new agent was thrown out with the old one")
	}
}

// emitting returns a host that emits its name as the age of n flows, one a block.
func emitting(n int, err error) *fakeHost {
	return &fakeHost{run: func(_ context.Context, _ sluice.FlowCommand, emit func(sluice.FlowBlock) error) error {
		for range n {
			if err := emit(sluice.FlowBlock{{Protocol: 6}}); err != nil {
				return err
			}
		}
		return err
	}}
}

func TestCommandReachesAllHostsOfItsEndpoint(t *testing.T) {
	f := newFleet(t)
	broken := errors.New("broken")
	f.Join("a", emitting(3, nil))
	f.Join("b", emitting(2, broken))
	f.Join("d", emitting(100, nil)) // has no part
	f.SetDesired(desired(1, "a", "b", "c"))
	var mu sync.Mutex
	rows := 0
	outcomes := f.RunFlowCommand(t.Context(), sluice.FlowCommand{EndpointID: "all"}, func(b sluice.FlowBlock) error {
		mu.Lock()
		defer mu.Unlock()
		rows += len(b)
		return nil
	})
	want := []sluice.FlowOutcome{{HostID: "a"}, {HostID: "b", Err: broken}, {HostID: "c", Err: ErrNotConnected}}
	if diff := cmp.Diff(want, outcomes, cmpopts.EquateErrors()); diff != "" {
		t.Errorf("outcomes (-want +got):\n%s", diff)
	}
	if rows != 5 {
		t.Errorf("got %d rows, want 5", rows)
	}
	if got := f.RunFlowCommand(t.Context(), sluice.FlowCommand{EndpointID: "none"}, nil); len(got) != 0 {
		t.Errorf("an endpoint that nobody has: %v", got)
	}
}

func TestASilentHostCostsItsDeadlineAndNothingElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		release := make(chan struct{})
		var late error
		silent := &fakeHost{run: func(_ context.Context, _ sluice.FlowCommand, emit func(sluice.FlowBlock) error) error {
			<-release // it does not even look at its context
			late = emit(sluice.FlowBlock{{}})
			return nil
		}}
		f.Join("a", emitting(3, nil))
		f.Join("b", silent)
		f.SetDesired(desired(1, "a", "b"))
		begin := time.Now()
		rows := 0
		outcomes := f.RunFlowCommand(t.Context(), sluice.FlowCommand{EndpointID: "all", Deadline: begin.Add(5 * time.Second)},
			func(b sluice.FlowBlock) error { rows += len(b); return nil })
		if took := time.Since(begin); took != 5*time.Second {
			t.Errorf("took %v", took)
		}
		want := []sluice.FlowOutcome{{HostID: "a"}, {HostID: "b", Err: context.DeadlineExceeded}}
		if diff := cmp.Diff(want, outcomes, cmpopts.EquateErrors()); diff != "" {
			t.Errorf("outcomes (-want +got):\n%s", diff)
		}
		close(release)
		synctest.Wait()
		if rows != 3 || !errors.Is(late, errLate) {
			t.Errorf("%d rows, and the late one got %v", rows, late)
		}
	})
}

func TestRowsThatAreOnTheirWayAtTheDeadlineArriveBeforeTheOutcome(t *testing.T) {
	f := newFleet(t)
	ended := make(chan struct{})
	whole := emitting(2, nil).run
	f.Join("a", &fakeHost{run: func(ctx context.Context, cmd sluice.FlowCommand, emit func(sluice.FlowBlock) error) error {
		defer close(ended)
		return whole(ctx, cmd, emit)
	}})
	f.SetDesired(desired(1, "a"))
	ctx, cancel := context.WithCancel(t.Context())
	var arrived atomic.Int32
	returned := make(chan []sluice.FlowOutcome)
	onTheirWay, slowDisk := make(chan struct{}), make(chan struct{})
	go func() {
		returned <- f.RunFlowCommand(ctx, sluice.FlowCommand{EndpointID: "all"}, func(sluice.FlowBlock) error {
			onTheirWay <- struct{}{}
			<-slowDisk
			arrived.Add(1)
			return nil
		})
	}()
	<-onTheirWay
	cancel()
	select {
	case o := <-returned:
		t.Fatalf("returned %v while rows were on their way", o)
	case <-time.After(50 * time.Millisecond): // long enough to return, were it wrong
	}
	close(slowDisk)
	outcomes := <-returned
	if len(outcomes) != 1 || outcomes[0].Err == nil {
		t.Errorf("a cut-off answer passed for a whole one: %v", outcomes)
	}
	<-ended
	if n := arrived.Load(); n != 1 {
		t.Errorf("%d blocks arrived, want 1", n)
	}
}

func TestCommandsOnASilentHostAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		release := make(chan struct{})
		var begun atomic.Int32
		f.Join("a", &fakeHost{run: func(context.Context, sluice.FlowCommand, func(sluice.FlowBlock) error) error {
			begun.Add(1)
			<-release
			return nil
		}})
		f.SetDesired(desired(1, "a"))
		var asked sync.WaitGroup
		for range 3 * maxCommands {
			asked.Go(func() {
				o := f.RunFlowCommand(t.Context(), sluice.FlowCommand{EndpointID: "all", Deadline: time.Now().Add(time.Second)}, nil)
				if !errors.Is(o[0].Err, context.DeadlineExceeded) {
					t.Errorf("got %v", o[0].Err)
				}
			})
		}
		asked.Wait()
		if n := begun.Load(); n != maxCommands {
			t.Errorf("%d commands run on a host that answers none, want %d", n, maxCommands)
		}
		close(release)
	})
}

func TestCancelledCommandEndsAtOnce(t *testing.T) {
	f := newFleet(t)
	f.Join("a", &fakeHost{run: func(ctx context.Context, _ sluice.FlowCommand, _ func(sluice.FlowBlock) error) error {
		<-ctx.Done()
		return ctx.Err()
	}})
	f.SetDesired(desired(1, "a"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	o := f.RunFlowCommand(ctx, sluice.FlowCommand{EndpointID: "all"}, nil)
	if !errors.Is(o[0].Err, context.Canceled) {
		t.Errorf("got %v", o[0].Err)
	}
}

func TestCountersOfThoseWhoAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		f := New(slog.New(slog.NewTextHandler(&log, nil)))
		answer := func(flows uint64, err error) *fakeHost {
			return &fakeHost{counters: func(context.Context) (sluice.DatapathCounters, error) {
				return sluice.DatapathCounters{Table: sluice.FlowTableCounters{Flows: flows}}, err
			}}
		}
		release := make(chan struct{})
		var asked atomic.Int32
		f.Join("a", answer(1, nil))
		f.Join("b", answer(2, nil))
		f.Join("broken", answer(0, errors.New("no map")))
		f.Join("silent", &fakeHost{counters: func(context.Context) (sluice.DatapathCounters, error) {
			asked.Add(1)
			<-release
			return sluice.DatapathCounters{}, nil
		}})
		for range 3 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			got := f.Counters(ctx)
			cancel()
			if len(got) != 2 || got["a"].Table.Flows != 1 || got["b"].Table.Flows != 2 {
				t.Errorf("got %v", got)
			}
		}
		if n := asked.Load(); n != 1 {
			t.Errorf("a silent agent was asked %d times over", n)
		}
		for _, want := range []string{"host=broken error=\"no map\"", "host=silent"} {
			if !strings.Contains(log.String(), want) {
				t.Errorf("the log lacks %s:\n%s", want, &log)
			}
		}
		close(release)
	})
}

func TestManyAtOnce(t *testing.T) {
	f := newFleet(t)
	hosts := []string{"a", "b", "c", "d"}
	var all sync.WaitGroup
	for _, h := range hosts {
		all.Go(func() {
			for i := range 50 {
				leave := f.Join(h, emitting(5, nil))
				f.Report(sluice.AgentStatus{HostID: h, Revision: int64(i)})
				if i < 49 {
					leave()
				}
			}
		})
		all.Go(func() {
			for i := range 50 {
				f.SetDesired(desired(int64(i), hosts...))
				f.RunFlowCommand(t.Context(), sluice.FlowCommand{EndpointID: "all"}, func(sluice.FlowBlock) error { return nil })
				f.Statuses()
				<-time.After(0)
			}
		})
	}
	all.Wait()
	if got := len(f.Statuses()); got != len(hosts) {
		t.Errorf("%d statuses, want %d", got, len(hosts))
	}
}
