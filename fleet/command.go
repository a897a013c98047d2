package fleet

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"

	"sluice"
)

// RunFlowCommand carries a command out on every host that has a part of its
// endpoint, all at the same time, and returns one outcome per host, ordered by
// host id; an endpoint that the desired state does not have, or without any
// interface, has none. It returns at the command's deadline at the latest, and
// from then on calls emit no more, whatever the agents still do. emit is called by
// one goroutine per host at a time.
func (f *Fleet) RunFlowCommand(ctx context.Context, cmd sluice.FlowCommand, emit func(sluice.FlowBlock) error) []sluice.FlowOutcome {
	if !cmd.Deadline.IsZero() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, cmd.Deadline)
		defer cancel()
	}
	hosts, members := f.hostsOf(cmd.EndpointID)
	outcomes := make([]sluice.FlowOutcome, len(hosts))
	var asked sync.WaitGroup
	for i, id := range hosts {
		asked.Go(func() {
			outcomes[i] = sluice.FlowOutcome{HostID: id, Err: ErrNotConnected}
			if m := members[i]; m != nil {
				outcomes[i].Err = m.run(ctx, cmd, emit)
			}
		})
	}
	asked.Wait()
	return outcomes
}

// hostsOf returns the hosts that have a part of an endpoint, sorted, and their
// agents; nil where there is none.
func (f *Fleet) hostsOf(endpointID string) ([]string, []*member) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var hosts []string
	for _, e := range f.desired.Endpoints {
		if e.ID != endpointID {
			continue
		}
		for _, n := range e.Interfaces {
			hosts = append(hosts, n.HostID)
		}
	}
	slices.Sort(hosts)
	hosts = slices.Compact(hosts)
	members := make([]*member, len(hosts))
	for i, id := range hosts {
		members[i] = f.members[id]
	}
	return hosts, members
}

// run carries out a command on one host and waits for its end or ctx's.
func (m *member) run(ctx context.Context, cmd sluice.FlowCommand, emit func(sluice.FlowBlock) error) error {
	select {
	case m.commands <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	g := &gate{emit: emit}
	ended := make(chan error, 1)
	go func() {
		defer func() { <-m.commands }()
		ended <- m.host.RunFlowCommand(ctx, cmd, g.pass)
	}()
	select {
	case err := <-ended:
		g.close()
		return err
	case <-ctx.Done():
		g.close()
	}
	select {
	case err := <-ended: // at the same moment: its rows are all through, or err says not
		return err
	default:
		return ctx.Err()
	}
}

// errLate is what an agent hears that still emits after its time.
var errLate = errors.New("the command has ended")

// gate lets the rows of one host through, one block at a time, until it is closed.
type gate struct {
	closed atomic.Bool
	mu     sync.Mutex // held while a block goes through
	emit   func(sluice.FlowBlock) error
}

func (g *gate) pass(block sluice.FlowBlock) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed.Load() {
		return errLate
	}
	return g.emit(block)
}

// close returns when the last block is through. The mark comes before the lock, or
// an agent that emits without a pause could take the lock first time and again.
func (g *gate) close() {
	g.closed.Store(true)
	g.mu.Lock()
	defer g.mu.Unlock()
}
