package agent

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"sluice"
)

// fakeDatapath is a kernel whose answers a test writes.
type fakeDatapath struct {
	changed chan struct{}
	apply   func(attempt int, endpoints []sluice.Endpoint) []sluice.EndpointStatus
	command func(ctx context.Context, what, endpointID string, emit func(sluice.FlowBlock) error) error
	mirror  func(attempt int, sources []sluice.MirrorSource) []sluice.MirrorSourceStatus
	err     error // of Counters

	mu      sync.Mutex
	applied []string // the ids of each Apply, and when
	times   []time.Time
	// the sources of each ApplyMirrors
	mirrored [][]sluice.MirrorSource
}

func (d *fakeDatapath) Apply(_ context.Context, endpoints []sluice.Endpoint) []sluice.EndpointStatus {
	d.mu.Lock()
	defer d.mu.Unlock()
	var ids []string
	for _, e := range endpoints {
		ids = append(ids, e.ID)
	}
	d.applied = append(d.applied, strings.Join(ids, " "))
	d.times = append(d.times, time.Now())
	if d.apply == nil {
		return nil
	}
	return d.apply(len(d.applied), endpoints)
}

func (d *fakeDatapath) ApplyMirrors(_ context.Context, sources []sluice.MirrorSource) []sluice.MirrorSourceStatus {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.mirrored = append(d.mirrored, sources)
	if d.mirror == nil {
		return nil
	}
	return d.mirror(len(d.mirrored), sources)
}

func (d *fakeDatapath) Capture(ctx context.Context, id string, _ sluice.FlowSelection, emit func(sluice.FlowBlock) error) error {
	return d.command(ctx, "capture", id, emit)
}

func (d *fakeDatapath) Flush(ctx context.Context, id string, _ sluice.FlowSelection, emit func(sluice.FlowBlock) error) error {
	return d.command(ctx, "flush", id, emit)
}

func (d *fakeDatapath) Counters() (sluice.DatapathCounters, error) {
	return sluice.DatapathCounters{Table: sluice.FlowTableCounters{Flows: 3}}, d.err
}

func (d *fakeDatapath) Changed() <-chan struct{} { return d.changed }

func (d *fakeDatapath) attempts() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]string{}, d.applied...)
}

func (d *fakeDatapath) attemptTimes() []time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]time.Time{}, d.times...)
}

// fakeController keeps what is reported.
type fakeController struct {
	mu       sync.Mutex
	statuses []sluice.AgentStatus
}

func (c *fakeController) Report(s sluice.AgentStatus) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.statuses = append(c.statuses, s)
}

func (c *fakeController) reports() []sluice.AgentStatus {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]sluice.AgentStatus{}, c.statuses...)
}

// start runs an agent for the time of a synctest bubble.
func start(t *testing.T, d *fakeDatapath, log *bytes.Buffer) (*Agent, *fakeController) {
	t.Helper()
	d.changed = make(chan struct{}, 1)
	c := &fakeController{}
	a := New(Options{HostID: "h", Datapath: d, Controller: c, Logger: slog.New(slog.NewTextHandler(log, nil))})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return a, c
}

func state(revision int64, ids ...string) sluice.DesiredState {
	d := sluice.DesiredState{Revision: revision}
	for _, id := range ids {
		d.Endpoints = append(d.Endpoints, sluice.Endpoint{ID: id})
	}
	return d
}

func TestNothingIsTouchedBeforeThereIsADesiredState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &fakeDatapath{}
		_, c := start(t, d, new(bytes.Buffer))
		d.changed <- struct{}{}
		time.Sleep(time.Minute)
		synctest.Wait()
		if len(d.attempts()) != 0 || len(c.reports()) != 0 {
			t.Errorf("applied %q, reported %v", d.attempts(), c.reports())
		}
	})
}

func TestDesiredStateIsAppliedAndReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &fakeDatapath{apply: func(_ int, es []sluice.Endpoint) (out []sluice.EndpointStatus) {
			for _, e := range es {
				out = append(out, sluice.EndpointStatus{ID: e.ID, Attached: []string{"eni-1"}})
			}
			return out
		}}
		a, c := start(t, d, new(bytes.Buffer))
		a.SetDesired(state(4, "x", "y"))
		synctest.Wait()
		a.SetDesired(state(5))
		synctest.Wait()
		d.changed <- struct{}{}
		synctest.Wait()
		time.Sleep(time.Hour)
		synctest.Wait()
		if diff := cmp.Diff([]string{"x y", "", ""}, d.attempts()); diff != "" {
			t.Errorf("applied (-want +got):\n%s", diff)
		}
		want := []sluice.AgentStatus{
			{HostID: "h", Revision: 4, Endpoints: []sluice.EndpointStatus{{ID: "x", Attached: []string{"eni-1"}}, {ID: "y", Attached: []string{"eni-1"}}}},
			{HostID: "h", Revision: 5}, {HostID: "h", Revision: 5},
		}
		if diff := cmp.Diff(want, c.reports()); diff != "" {
			t.Errorf("reported (-want +got):\n%s", diff)
		}
	})
}

func TestOnlyTheLastStateCountsWhenTheKernelIsSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &fakeDatapath{apply: func(int, []sluice.Endpoint) []sluice.EndpointStatus { time.Sleep(time.Second); return nil }}
		a, c := start(t, d, new(bytes.Buffer))
		for i := range int64(1000) {
			a.SetDesired(state(i, "x"))
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		reports := c.reports()
		if len(reports) > 2 || reports[len(reports)-1].Revision != 999 {
			t.Errorf("reported %v", reports)
		}
	})
}

func TestProblemsAreTriedAgainWithGrowingPauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		const failures = 12
		d := &fakeDatapath{apply: func(attempt int, _ []sluice.Endpoint) []sluice.EndpointStatus {
			s := sluice.EndpointStatus{ID: "x", Problem: "no memory"}
			if attempt > failures {
				s.Problem = ""
			}
			return []sluice.EndpointStatus{s}
		}}
		a, c := start(t, d, &log)
		a.SetDesired(state(1, "x"))
		time.Sleep(time.Hour)
		synctest.Wait()
		times := d.attemptTimes()
		if len(times) != failures+1 {
			t.Fatalf("%d attempts, want %d", len(times), failures+1)
		}
		for i := 1; i < len(times); i++ {
			want := min(firstRetry<<(i-1), lastRetry)
			if got := times[i].Sub(times[i-1]); got != want {
				t.Errorf("pause %d was %v, want %v", i, got, want)
			}
		}
		if r := c.reports(); r[0].Endpoints[0].Problem == "" || r[len(r)-1].Endpoints[0].Problem != "" {
			t.Errorf("reported %v", r)
		}
		if n := strings.Count(log.String(), "no memory"); n != 1 || !strings.Contains(log.String(), "in place again") {
			t.Errorf("%d log lines of one problem:\n%s", n, &log)
		}
	})
}

func TestANewStateDoesNotWaitForThePauseOfTheOld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &fakeDatapath{apply: func(_ int, es []sluice.Endpoint) []sluice.EndpointStatus {
			if es[0].ID == "bad" {
				return []sluice.EndpointStatus{{ID: "bad", Problem: "never"}}
			}
			return nil
		}}
		a, _ := start(t, d, new(bytes.Buffer))
		a.SetDesired(state(1, "bad"))
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		n := len(d.attempts())
		a.SetDesired(state(2, "good"))
		synctest.Wait()
		if got := d.attempts(); got[len(got)-1] != "good" {
			t.Errorf("applied %q", got)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if got := len(d.attempts()); got != n+1 {
			t.Errorf("%d more attempts at a state that is right", got-n-1)
		}
	})
}

func TestAnAttemptThatIsCutShortIsNotReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &fakeDatapath{changed: make(chan struct{})}
		c := &fakeController{}
		a := New(Options{HostID: "h", Datapath: d, Controller: c, Logger: slog.New(slog.DiscardHandler)})
		ctx, cancel := context.WithCancel(t.Context())
		d.apply = func(int, []sluice.Endpoint) []sluice.EndpointStatus { cancel(); return nil }
		a.SetDesired(state(1, "x"))
		if err := a.Run(ctx); err != nil || len(c.reports()) != 0 {
			t.Errorf("got %v, reported %v", err, c.reports())
		}
	})
}

func TestCommandsReachTheDatapath(t *testing.T) {
	broken := errors.New("broken")
	var seen []string
	d := &fakeDatapath{command: func(_ context.Context, what, id string, emit func(sluice.FlowBlock) error) error {
		seen = append(seen, what+" "+id)
		return emit(sluice.FlowBlock{{}})
	}}
	a := New(Options{HostID: "h", Datapath: d, Logger: slog.New(slog.DiscardHandler)})
	rows := 0
	emit := func(b sluice.FlowBlock) error { rows += len(b); return nil }
	for _, typ := range []sluice.FlowOperationType{sluice.FlowCapture, sluice.FlowFlush} {
		if err := a.RunFlowCommand(t.Context(), sluice.FlowCommand{Type: typ, EndpointID: "x"}, emit); err != nil {
			t.Error(err)
		}
	}
	if err := a.RunFlowCommand(t.Context(), sluice.FlowCommand{Type: "FLOW_PAINT"}, emit); err == nil {
		t.Error("ran a command of an unknown type")
	}
	err := a.RunFlowCommand(t.Context(), sluice.FlowCommand{Type: sluice.FlowCapture, EndpointID: "x"},
		func(sluice.FlowBlock) error { return broken })
	if !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	if want := []string{"capture x", "flush x", "capture x"}; !cmp.Equal(want, seen) || rows != 2 {
		t.Errorf("ran %q, %d rows", seen, rows)
	}
}

func TestCommandsAreBoundedAndHaveDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		running, most := 0, 0
		d := &fakeDatapath{command: func(ctx context.Context, _, _ string, _ func(sluice.FlowBlock) error) error {
			mu.Lock()
			running++
			most = max(most, running)
			mu.Unlock()
			<-ctx.Done()
			mu.Lock()
			running--
			mu.Unlock()
			return ctx.Err()
		}}
		a := New(Options{HostID: "h", Datapath: d, Logger: slog.New(slog.DiscardHandler)})
		begin := time.Now()
		var all sync.WaitGroup
		for range 5 * maxCommands {
			all.Go(func() {
				cmd := sluice.FlowCommand{Type: sluice.FlowFlush, Deadline: begin.Add(time.Second)}
				if err := a.RunFlowCommand(context.Background(), cmd, nil); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("got %v", err)
				}
			})
		}
		all.Wait()
		if most != maxCommands || time.Since(begin) != time.Second {
			t.Errorf("%d at once, all over after %v", most, time.Since(begin))
		}
	})
}

func TestCountersCarryTheirError(t *testing.T) {
	d := &fakeDatapath{}
	a := New(Options{HostID: "h", Datapath: d, Logger: slog.New(slog.DiscardHandler)})
	if c, err := a.Counters(t.Context()); err != nil || c.Table.Flows != 3 {
		t.Errorf("got %v, %v", c, err)
	}
	d.err = errors.New("no map")
	if _, err := a.Counters(t.Context()); !errors.Is(err, d.err) {
		t.Errorf("got %v", err)
	}
}

func TestMirrorsAreAppliedReportedAndTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const failures = 3
		var log bytes.Buffer
		d := &fakeDatapath{mirror: func(attempt int, sources []sluice.MirrorSource) []sluice.MirrorSourceStatus {
			s := sluice.MirrorSourceStatus{InterfaceID: sources[0].Interface.ID, Problem: "no room"}
			if attempt > failures {
				s = sluice.MirrorSourceStatus{InterfaceID: s.InterfaceID, Attached: true}
			}
			return []sluice.MirrorSourceStatus{s}
		}}
		a, c := start(t, d, &log)
		desired := state(1)
		desired.Mirrors = []sluice.MirrorSource{{Interface: sluice.InterfaceRef{ID: "eni-1"}}}
		a.SetDesired(desired)
		time.Sleep(time.Hour)
		synctest.Wait()
		if len(d.mirrored) != failures+1 {
			t.Errorf("%d attempts", len(d.mirrored))
		}
		reports := c.reports()
		if reports[0].Mirrors[0].Problem == "" || !reports[len(reports)-1].Mirrors[0].Attached {
			t.Errorf("reported %v", reports)
		}
		if n := strings.Count(log.String(), "mirror of eni-1: no room"); n != 1 {
			t.Errorf("%d log lines of one problem:\n%s", n, &log)
		}
	})
}
