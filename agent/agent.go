package agent

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"sluice"
)

// Controller is who the agent reports to.
type Controller interface {
	Report(sluice.AgentStatus)
}

// Options are what an Agent is made of.
type Options struct {
	HostID     string
	Datapath   Datapath
	Controller Controller
	Logger     *slog.Logger
}

// Agent keeps one host as the controller wants it. It is safe for concurrent use.
type Agent struct {
	options  Options
	commands chan struct{} // has room for each command that may run
	wake     chan struct{} // has room for one: the desired state is new

	mu      sync.Mutex
	desired sluice.DesiredState
	known   bool // a desired state has come
}

// maxCommands bounds the flow commands that run at once; further ones wait, as
// long as their deadline allows. Each scans the whole flow table.
const maxCommands = 4

// The pauses between attempts to build what could not be built.
const (
	firstRetry = 100 * time.Millisecond
	lastRetry  = 30 * time.Second
)

// New makes an Agent that does nothing before Run.
func New(o Options) *Agent {
	return &Agent{options: o, commands: make(chan struct{}, maxCommands), wake: make(chan struct{}, 1)}
}

// SetDesired replaces what the host has to keep true, and returns at once. States
// that Run has not come to are skipped for the last one.
func (a *Agent) SetDesired(d sluice.DesiredState) {
	a.mu.Lock()
	a.desired, a.known = d, true
	a.mu.Unlock()
	select {
	case a.wake <- struct{}{}:
	default: // Run has yet to come to the one before
	}
}

// Run applies the desired state whenever it or the host's devices change, and
// until it has succeeded. Before the first desired state it touches nothing: what
// an earlier process left in the kernel goes on. It ends with ctx and leaves the
// kernel as it is.
func (a *Agent) Run(ctx context.Context) error {
	pause := firstRetry
	retry := time.NewTimer(0)
	retry.Stop()
	defer retry.Stop()
	var problems string
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-a.wake:
			pause = firstRetry
		case <-a.options.Datapath.Changed():
			pause = firstRetry
		case <-retry.C:
		}
		status, ok := a.apply(ctx)
		if ctx.Err() != nil {
			return nil // what was cut short says nothing
		}
		if !ok {
			continue
		}
		a.options.Controller.Report(status)
		found := problemsOf(status)
		a.logProblems(found, problems)
		problems = found
		retry.Stop()
		if found != "" {
			retry.Reset(pause)
			pause = min(2*pause, lastRetry)
		}
	}
}

// apply brings the kernel to the last desired state. It is false when there is
// none yet.
func (a *Agent) apply(ctx context.Context) (sluice.AgentStatus, bool) {
	a.mu.Lock()
	desired, known := a.desired, a.known
	a.mu.Unlock()
	if !known {
		return sluice.AgentStatus{}, false
	}
	return sluice.AgentStatus{
		HostID:    a.options.HostID,
		Revision:  desired.Revision,
		Endpoints: a.options.Datapath.Apply(ctx, desired.Endpoints),
		Mirrors:   a.options.Datapath.ApplyMirrors(ctx, desired.Mirrors),
	}, true
}

// problemsOf names what could not be built; "" is nothing.
func problemsOf(s sluice.AgentStatus) string {
	var text string
	for _, e := range s.Endpoints {
		if e.Problem != "" {
			text += fmt.Sprintf("%s: %s; ", e.ID, e.Problem)
		}
	}
	for _, m := range s.Mirrors {
		if m.Problem != "" {
			text += fmt.Sprintf("mirror of %s: %s; ", m.InterfaceID, m.Problem)
		}
	}
	return text
}

// logProblems logs when problems come, change or go, rather than at each attempt.
func (a *Agent) logProblems(now, before string) {
	switch {
	case now == before:
	case now == "":
		a.options.Logger.Info("all endpoints and mirrors are in place again")
	default:
		a.options.Logger.Error("can't build endpoints or mirrors; trying again", "problems", now)
	}
}

// RunFlowCommand captures or flushes flows of one endpoint and calls emit with
// them. It ends with the command's deadline or ctx's error, whichever is first.
func (a *Agent) RunFlowCommand(ctx context.Context, cmd sluice.FlowCommand, emit func(sluice.FlowBlock) error) error {
	if !cmd.Deadline.IsZero() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, cmd.Deadline)
		defer cancel()
	}
	select {
	case a.commands <- struct{}{}:
		defer func() { <-a.commands }()
	case <-ctx.Done():
		return fmt.Errorf("await turn of operation %s: %w", cmd.OperationID, ctx.Err())
	}
	if err := ctx.Err(); err != nil { // both were ready
		return fmt.Errorf("begin operation %s: %w", cmd.OperationID, err)
	}
	var err error
	switch cmd.Type {
	case sluice.FlowCapture:
		err = a.options.Datapath.Capture(ctx, cmd.EndpointID, cmd.Selection, emit)
	case sluice.FlowFlush:
		err = a.options.Datapath.Flush(ctx, cmd.EndpointID, cmd.Selection, emit)
	default:
		err = fmt.Errorf("unknown type %q", cmd.Type)
	}
	if err != nil {
		return fmt.Errorf("run operation %s: %w", cmd.OperationID, err)
	}
	return nil
}

// Counters reads the counters of the host.
func (a *Agent) Counters(ctx context.Context) (sluice.DatapathCounters, error) {
	if err := ctx.Err(); err != nil {
		return sluice.DatapathCounters{}, err
	}
	c, err := a.options.Datapath.Counters()
	if err != nil {
		return sluice.DatapathCounters{}, fmt.Errorf("read counters of %s: %w", a.options.HostID, err)
	}
	return c, nil
}
