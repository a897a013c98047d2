package fleet

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"reflect"
	"slices"
	"sync"

	"sluice"
)

// Host is an agent as the fleet calls it.
type Host interface {
	// SetDesired replaces what the host has to keep true, and returns at once.
	SetDesired(sluice.DesiredState)
	// RunFlowCommand carries out a command, until it is done or ctx ends.
	RunFlowCommand(ctx context.Context, cmd sluice.FlowCommand, emit func(sluice.FlowBlock) error) error
	Counters(ctx context.Context) (sluice.DatapathCounters, error)
}

// ErrNotConnected is the outcome of a host that has a part of an endpoint and no
// agent in the fleet.
var ErrNotConnected = errors.New("no agent of this host is connected")

// maxCommands bounds the commands that run on one host at once. An agent that
// never answers holds as many goroutines, and no more.
const maxCommands = 16

// Fleet is the agents that have joined. It is safe for concurrent use.
type Fleet struct {
	log *slog.Logger

	mu       sync.Mutex
	members  map[string]*member // by host id
	desired  sluice.DesiredState
	known    bool // SetDesired has been called
	statuses map[string]sluice.AgentStatus
	changed  chan struct{}
}

// member is one agent's stay in the fleet.
type member struct {
	host     Host
	commands chan struct{} // has room for each command that may run
	counting chan struct{} // has room for one reading of counters
}

// New makes a fleet without agents.
func New(log *slog.Logger) *Fleet {
	return &Fleet{
		log:      log,
		members:  map[string]*member{},
		statuses: map[string]sluice.AgentStatus{},
		changed:  make(chan struct{}),
	}
}

// Join adds an agent, in the place of an older one of the same host, and gives it
// the desired state if there is one yet. The agent stays until leave is called,
// which may be more than once.
func (f *Fleet) Join(hostID string, h Host) (leave func()) {
	m := &member{host: h, commands: make(chan struct{}, maxCommands), counting: make(chan struct{}, 1)}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.members[hostID] = m
	f.forget(hostID)
	if f.known {
		h.SetDesired(cut(f.desired, hostID))
	}
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.members[hostID] == m {
			delete(f.members, hostID)
			f.forget(hostID)
		}
	}
}

// forget drops a host's status, which an agent that left can't stand for. f.mu is
// held.
func (f *Fleet) forget(hostID string) {
	if _, had := f.statuses[hostID]; had {
		delete(f.statuses, hostID)
		f.signal()
	}
}

// signal tells that Statuses has changed. f.mu is held.
func (f *Fleet) signal() {
	close(f.changed)
	f.changed = make(chan struct{})
}

// SetDesired gives every agent its part of a state, and returns before they have
// carried it out.
func (f *Fleet) SetDesired(d sluice.DesiredState) {
	f.mu.Lock()
	defer f.mu.Unlock() // held while agents are told, so that two calls keep their order
	f.desired, f.known = d, true
	for id, m := range f.members {
		m.host.SetDesired(cut(d, id))
	}
}

// cut returns the part of a state that is one host's: the endpoints that have
// interfaces there, with no others, and the sources of mirroring.
func cut(d sluice.DesiredState, hostID string) sluice.DesiredState {
	out := sluice.DesiredState{Revision: d.Revision}
	for _, e := range d.Endpoints {
		var own []sluice.InterfaceRef
		for _, n := range e.Interfaces {
			if n.HostID == hostID {
				own = append(own, n)
			}
		}
		if len(own) > 0 {
			e.Interfaces = own
			out.Endpoints = append(out.Endpoints, e)
		}
	}
	for _, m := range d.Mirrors {
		if m.Interface.HostID == hostID {
			out.Mirrors = append(out.Mirrors, m)
		}
	}
	return out
}

// Report takes the word of an agent. One that has not joined is not listened to.
func (f *Fleet) Report(s sluice.AgentStatus) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.members[s.HostID] == nil {
		return
	}
	if last, had := f.statuses[s.HostID]; had && reflect.DeepEqual(last, s) {
		return
	}
	f.statuses[s.HostID] = s
	f.signal()
}

// Statuses returns the last word of every agent, ordered by host id. An agent that
// has joined and said nothing yet is not in.
func (f *Fleet) Statuses() []sluice.AgentStatus {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := make([]sluice.AgentStatus, 0, len(f.statuses))
	for _, s := range f.statuses {
		out = append(out, s)
	}
	slices.SortFunc(out, func(a, b sluice.AgentStatus) int { return cmp.Compare(a.HostID, b.HostID) })
	return out
}

// Changed returns a channel that is closed when Statuses has changed since.
func (f *Fleet) Changed() <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.changed
}

// Counters asks every agent at the same time. One that fails or does not answer
// before ctx ends is logged and left out.
func (f *Fleet) Counters(ctx context.Context) map[string]sluice.DatapathCounters {
	f.mu.Lock()
	members := make(map[string]*member, len(f.members))
	for id, m := range f.members {
		members[id] = m
	}
	f.mu.Unlock()

	var mu sync.Mutex
	out := make(map[string]sluice.DatapathCounters, len(members))
	var asked sync.WaitGroup
	for id, m := range members {
		asked.Go(func() {
			c, err := m.readCounters(ctx)
			if err != nil {
				f.log.Warn("can't read counters", "host", id, "error", err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			out[id] = c
		})
	}
	asked.Wait()
	return out
}

// readCounters asks one agent, unless an earlier question is still open.
func (m *member) readCounters(ctx context.Context) (sluice.DatapathCounters, error) {
	select {
	case m.counting <- struct{}{}:
	case <-ctx.Done():
		return sluice.DatapathCounters{}, ctx.Err()
	}
	type answer struct {
		counters sluice.DatapathCounters
		err      error
	}
	answered := make(chan answer, 1)
	go func() {
		defer func() { <-m.counting }()
		c, err := m.host.Counters(ctx)
		answered <- answer{c, err}
	}()
	select {
	case a := <-answered:
		return a.counters, a.err
	case <-ctx.Done():
		return sluice.DatapathCounters{}, ctx.Err()
	}
}
