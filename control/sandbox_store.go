package control

import (
	"context"
	"time"

	"sluice"
)

// SandboxStore keeps sandboxes with everything that they hold. change, admit, complete
// and end are pure. A sandbox that is not there has KindNotFound.
type SandboxStore interface {
	// CreateSandbox fails where the quotas are used up or another sandbox has a member.
	CreateSandbox(ctx context.Context, b sluice.Sandbox, q sluice.SandboxQuotas) error
	Sandbox(ctx context.Context, id string) (sluice.Sandbox, error)
	// Sandboxes are ordered by id, and have those that ended too.
	Sandboxes(ctx context.Context) ([]sluice.Sandbox, error)
	// UpdateSandbox fails where another sandbox has a new member.
	UpdateSandbox(ctx context.Context, id string, change func(sluice.Sandbox) (sluice.Sandbox, error)) (sluice.Sandbox, error)
	// RemoveSandboxMembers is UpdateSandbox for a change that removes members: with them
	// goes what the sandbox mirrors from and to them, by one transaction or in an order
	// that leaves no mirroring without its member. gone tells whether an interface is one
	// of such an instance's. The sessions that went are returned with an error too.
	RemoveSandboxMembers(ctx context.Context, id string, change func(sluice.Sandbox) (sluice.Sandbox, error),
		gone func(instances []string, nic string) bool) ([]sluice.TrafficMirrorSession, error)
	// FinishSandbox frees members, pool items and targets of a sandbox without sessions.
	FinishSandbox(ctx context.Context, id string, end func(sluice.Sandbox) sluice.Sandbox) error
	PurgeSandboxes(ctx context.Context, before time.Time) error

	// CreateSandboxMirrors makes all mirrors or none: a crash leaves nothing half-made.
	// A session number that can't be had is an error of sluice.CodeSessionNumber whose
	// message is the source.
	CreateSandboxMirrors(ctx context.Context, id string, plans []sluice.SandboxMirror, q sluice.MirrorQuotas,
		admit func(sluice.Sandbox) error, complete MirrorCompletion, receiver func(sluice.TrafficMirrorTarget) error, session SessionCheck) ([]sluice.SandboxMirror, error)
	// RemoveSandboxMirrors removes sessions that the sandbox made, all without pick.
	RemoveSandboxMirrors(ctx context.Context, id string, pick func(sluice.TrafficMirrorSession, sluice.TrafficMirrorTarget) bool) ([]sluice.TrafficMirrorSession, error)
	// ReleaseSandboxTargets removes those targets that a sandbox made and no session uses.
	ReleaseSandboxTargets(ctx context.Context, id string, targets []string) error

	// CheckoutFromPool takes item.Value, or the lowest free number where it is "". ok is
	// false where that can't be had.
	CheckoutFromPool(ctx context.Context, item sluice.PoolItem, start, end int64, quota int, admit func(sluice.Sandbox) error) (value string, ok bool, err error)
	ReleaseFromPool(ctx context.Context, item sluice.PoolItem, values []string) error

	SandboxData(ctx context.Context, id string) (map[string]string, error)
	SetSandboxData(ctx context.Context, id string, set map[string]string, clear bool, q sluice.SandboxQuotas, admit func(sluice.Sandbox) error) error
	AddSandboxMessage(ctx context.Context, id, message string, q sluice.SandboxQuotas, admit func(sluice.Sandbox) error) error
	SandboxOutput(ctx context.Context, id string) ([]string, error)
}

// MirrorCompletion makes a mirror whole, of which the session's source and number and
// the target's interface are known.
type MirrorCompletion = func(sluice.Sandbox, sluice.SandboxMirror) (sluice.SandboxMirror, error)
