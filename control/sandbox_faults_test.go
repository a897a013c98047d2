package control_test

import (
	"context"

	"sluice"
	"sluice/control"
)

// A fault of a sandbox is a write of the store that is done or not, and fails: the
// process might have ended there.

func (f *faults) sandboxFault(write func() error) error {
	if f.sandboxes.Add(-1) != 0 {
		return write()
	}
	if f.afterwards {
		if err := write(); err != nil {
			return err
		}
	}
	return errDisk
}

func (f *faults) UpdateSandbox(ctx context.Context, id string, change func(sluice.Sandbox) (sluice.Sandbox, error)) (b sluice.Sandbox, err error) {
	err = f.sandboxFault(func() error {
		b, err = f.Store.UpdateSandbox(ctx, id, change)
		return err
	})
	return b, err
}

func (f *faults) RemoveSandboxMembers(ctx context.Context, id string, change func(sluice.Sandbox) (sluice.Sandbox, error),
	gone func(instances []string, nic string) bool) (removed []sluice.TrafficMirrorSession, err error) {
	err = f.sandboxFault(func() error {
		removed, err = f.Store.RemoveSandboxMembers(ctx, id, change, gone)
		return err
	})
	return removed, err
}

func (f *faults) FinishSandbox(ctx context.Context, id string, end func(sluice.Sandbox) sluice.Sandbox) error {
	return f.sandboxFault(func() error { return f.Store.FinishSandbox(ctx, id, end) })
}

func (f *faults) CreateSandboxMirrors(ctx context.Context, id string, plans []sluice.SandboxMirror, q sluice.MirrorQuotas, admit func(sluice.Sandbox) error,
	complete control.MirrorCompletion, receiver func(sluice.TrafficMirrorTarget) error, session control.SessionCheck) (made []sluice.SandboxMirror, err error) {
	err = f.sandboxFault(func() error {
		made, err = f.Store.CreateSandboxMirrors(ctx, id, plans, q, admit, complete, receiver, session)
		return err
	})
	return made, err
}

func (f *faults) RemoveSandboxMirrors(ctx context.Context, id string, pick func(sluice.TrafficMirrorSession, sluice.TrafficMirrorTarget) bool) (gone []sluice.TrafficMirrorSession, err error) {
	err = f.sandboxFault(func() error {
		gone, err = f.Store.RemoveSandboxMirrors(ctx, id, pick)
		return err
	})
	return gone, err
}

func (f *faults) ReleaseSandboxTargets(ctx context.Context, id string, targets []string) error {
	return f.sandboxFault(func() error { return f.Store.ReleaseSandboxTargets(ctx, id, targets) })
}
