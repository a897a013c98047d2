package control

import (
	"context"
	"time"

	"sluice"
)

// Fleet is the agents, as far as control needs them.
type Fleet interface {
	// SetDesired gives every agent its part of the state to keep true, and returns
	// before they have. Endpoints are cut by InterfaceRef.HostID.
	SetDesired(sluice.DesiredState)
	// Statuses returns the last word of every agent.
	Statuses() []sluice.AgentStatus
	// Changed is closed when Statuses has changed since the call.
	Changed() <-chan struct{}
	// RunFlowCommand carries a command out on every host that has a part of the
	// endpoint. emit is called from several goroutines, one per host. The outcome
	// has one entry per host that was asked.
	RunFlowCommand(ctx context.Context, cmd sluice.FlowCommand, emit func(sluice.FlowBlock) error) []sluice.FlowOutcome
	// Counters returns the counters of every agent by host id.
	Counters(ctx context.Context) map[string]sluice.DatapathCounters
}

// Results keeps the rows of flow operations.
type Results interface {
	// Begin makes an empty, open result; what an earlier process left of it goes.
	Begin(operationID string) error
	// Append adds rows to an open result. It is safe for concurrent use.
	Append(operationID string, block sluice.FlowBlock) error
	// Commit closes a result: when it returns, the rows survive a crash and their
	// order is fixed. Of a result that is committed already, by an earlier process
	// too, it returns the rows again; where none is it is fs.ErrNotExist.
	Commit(operationID string) (rows int64, err error)
	// Read returns up to limit rows of a committed result from row offset on.
	Read(operationID string, offset int64, limit int) ([]sluice.Flow, error)
	// Delete removes a result, open or not; one that is not there is no error.
	Delete(operationID string) error
	// List returns the ids of all results on disk.
	List() ([]string, error)
}

// Inventory knows the interfaces of all hosts.
type Inventory interface {
	Snapshot() sluice.Inventory
	// Changed is closed when Snapshot has changed since the call.
	Changed() <-chan struct{}
}

// Clock is the time of day; tests inject their own.
type Clock func() time.Time
