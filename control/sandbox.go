package control

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"sluice"
)

// The bounds of a sandbox. A year is longer than any lab; a text longer than that is no
// name.
const (
	maxSandboxDuration = 366 * 24 * time.Hour
	maxSandboxName     = 256 // bytes
	maxPermittedUsers  = 100
	// sandboxMemory is how long an ended sandbox can be read.
	sandboxMemory = 24 * time.Hour
)

// errUnchanged ends an update that has nothing to change.
var errUnchanged = errors.New("nothing changes")

// CreateSandbox reserves the instances of a blueprint, or nothing at first.
func (c *Controller) CreateSandbox(ctx context.Context, u SandboxUser, in CreateSandboxInput) (Sandbox, error) {
	var none Sandbox
	owner := cmp.Or(in.Owner, u.Name)
	switch {
	case !u.Admin && !strings.EqualFold(owner, u.Name):
		return none, SandboxErrorf(SandboxErrorGeneral, "User '%s' may not create a reservation for '%.100s'.", u.Name, owner)
	case len(in.Name) > maxSandboxName || len(owner) > maxSandboxName:
		return none, SandboxErrorf(SandboxErrorGeneral, "The name of a reservation and of its owner have at most %d bytes.", maxSandboxName)
	case in.Duration < time.Minute || in.Duration > maxSandboxDuration:
		return none, SandboxErrorf(SandboxErrorGeneral, "durationInMinutes must be between 1 and %d.", int(maxSandboxDuration.Minutes()))
	}
	now := c.o.Clock()
	b := sluice.Sandbox{
		ID: sluice.NewUUID(), Name: in.Name, Owner: owner, Domain: u.Domain, Blueprint: in.Blueprint,
		Start: now, End: now.Add(in.Duration), Created: now, Modified: now,
		Status: SandboxStarted, Provisioning: ProvisioningNotRun,
	}
	if in.Blueprint != "" {
		b.Provisioning = ProvisioningReady
		var err error
		if b.Blueprint, b.Members, err = c.blueprintMembers(in.Blueprint, b.ID); err != nil {
			return none, err
		}
	}
	q := c.o.Quotas.Sandboxes
	if u.Admin { // whoever may end all sandboxes may also make more for one user
		q.PerOwner = 0
	}
	if err := c.o.Store.CreateSandbox(ctx, b, q); err != nil {
		return none, err
	}
	c.changed() // its end may be the next thing to happen
	return c.sandboxView(b), nil
}

// findSandbox returns a sandbox that a user may act on.
func (c *Controller) findSandbox(ctx context.Context, u SandboxUser, id string) (sluice.Sandbox, error) {
	id = strings.ToLower(strings.TrimSpace(id))
	b, err := c.o.Store.Sandbox(ctx, id)
	if sluice.KindOf(err) == sluice.KindNotFound {
		return b, SandboxErrorf(SandboxErrorGeneral, "Reservation with id '%.100s' not exists.", id)
	}
	if err != nil {
		return b, err
	}
	return b, permitted(u, b)
}

func permitted(u SandboxUser, b sluice.Sandbox) error {
	same := func(name string) bool { return strings.EqualFold(name, u.Name) }
	if u.Admin || same(b.Owner) || slices.ContainsFunc(b.PermittedUsers, same) {
		return nil
	}
	return SandboxErrorf(SandboxErrorGeneral, "User '%s' is not permitted to act on reservation '%s'.", u.Name, b.ID)
}

// living refuses a sandbox that has ended, is being torn down or is overdue. Drivers
// look for its last three words.
func (c *Controller) living(b sluice.Sandbox) error {
	if b.Status == SandboxStarted && c.o.Clock().Before(b.End) {
		return nil
	}
	return SandboxErrorf(SandboxErrorGeneral, "Reservation '%s' can't be changed: the reservation has ended", b.ID)
}

// updateSandbox changes a living sandbox of a user.
func (c *Controller) updateSandbox(ctx context.Context, u SandboxUser, id string, change func(sluice.Sandbox) (sluice.Sandbox, error)) (sluice.Sandbox, error) {
	b, err := c.findSandbox(ctx, u, id)
	if err != nil {
		return b, err
	}
	now := c.o.Clock()
	return c.o.Store.UpdateSandbox(ctx, b.ID, func(b sluice.Sandbox) (sluice.Sandbox, error) {
		if err := c.living(b); err != nil {
			return b, err
		}
		b.Modified = now
		return change(b)
	})
}

// Sandbox returns a sandbox, ended or not.
func (c *Controller) Sandbox(ctx context.Context, u SandboxUser, id string) (Sandbox, error) {
	b, err := c.findSandbox(ctx, u, id)
	if err != nil {
		return Sandbox{}, err
	}
	return c.sandboxView(b), nil
}

// Sandboxes returns the sandboxes that have not ended and that a user may see, of one
// owner or of all with "", oldest first.
func (c *Controller) Sandboxes(ctx context.Context, u SandboxUser, owner string) ([]Sandbox, error) {
	all, err := c.o.Store.Sandboxes(ctx)
	if err != nil {
		return nil, err
	}
	var out []Sandbox
	for _, b := range all {
		if b.Status == SandboxCompleted || permitted(u, b) != nil || owner != "" && !strings.EqualFold(owner, b.Owner) {
			continue
		}
		out = append(out, c.sandboxView(b))
	}
	slices.SortStableFunc(out, func(a, b Sandbox) int { return a.Start.Compare(b.Start) })
	return out, nil
}

// ExtendSandbox moves the end of a sandbox.
func (c *Controller) ExtendSandbox(ctx context.Context, u SandboxUser, id string, by time.Duration) error {
	if by < time.Minute {
		return SandboxErrorf(SandboxErrorGeneral, "minutesToAdd must be at least 1.")
	}
	_, err := c.updateSandbox(ctx, u, id, func(b sluice.Sandbox) (sluice.Sandbox, error) {
		if by > maxSandboxDuration || b.End.Add(by).Sub(c.o.Clock()) > maxSandboxDuration {
			return b, SandboxErrorf(SandboxErrorGeneral, "A reservation can't last longer than %d minutes from now.", int(maxSandboxDuration.Minutes()))
		}
		b.End = b.End.Add(by)
		return b, nil
	})
	return err
}

// AddPermittedUsers lets more users act on a sandbox. Whether they can log on is the
// front door's to know.
func (c *Controller) AddPermittedUsers(ctx context.Context, u SandboxUser, id string, users []string) error {
	_, err := c.updateSandbox(ctx, u, id, func(b sluice.Sandbox) (sluice.Sandbox, error) {
		b.PermittedUsers = slices.Clone(b.PermittedUsers)
		for _, name := range users {
			if len(name) > maxSandboxName || name == "" {
				return b, SandboxErrorf(SandboxErrorGeneral, "'%.100s' is not the name of a user.", name)
			}
			same := func(o string) bool { return strings.EqualFold(o, name) }
			if !same(b.Owner) && !slices.ContainsFunc(b.PermittedUsers, same) {
				b.PermittedUsers = append(b.PermittedUsers, name)
			}
		}
		if len(b.PermittedUsers) > maxPermittedUsers {
			return b, SandboxErrorf(SandboxErrorGeneral, "A reservation has at most %d permitted users.", maxPermittedUsers)
		}
		return b, nil
	})
	return err
}

// EndSandbox begins the end of a sandbox; Run does the rest. A second time changes
// nothing.
func (c *Controller) EndSandbox(ctx context.Context, u SandboxUser, id string) error {
	b, err := c.findSandbox(ctx, u, id)
	if err != nil {
		return err
	}
	return c.beginEnd(ctx, b.ID)
}

// TerminateSandbox ends a sandbox and returns when it has ended and its members mirror
// nothing of it any more, whoever ended it.
func (c *Controller) TerminateSandbox(ctx context.Context, u SandboxUser, id string) error {
	b, err := c.findSandbox(ctx, u, id)
	if err != nil {
		return err
	}
	if err := c.beginEnd(ctx, b.ID); err != nil {
		return err
	}
	if err := c.finishSandbox(ctx, b.ID); err != nil {
		return err
	}
	inv := c.o.Inventory.Snapshot()
	var hosts []string
	for _, n := range inv.Interfaces {
		if slices.ContainsFunc(b.Members, func(m sluice.SandboxMember) bool { return m.InstanceID == n.InstanceID }) {
			hosts = append(hosts, n.HostID)
		}
	}
	return c.awaitFollowed(ctx, hosts)
}

// beginEnd writes that a sandbox ends: from then on it can get nothing new.
func (c *Controller) beginEnd(ctx context.Context, id string) error {
	now := c.o.Clock()
	_, err := c.o.Store.UpdateSandbox(ctx, id, func(b sluice.Sandbox) (sluice.Sandbox, error) {
		if b.Status != SandboxStarted {
			return b, errUnchanged
		}
		b.Status, b.Provisioning, b.Modified = SandboxTeardown, ProvisioningTeardown, now
		return b, nil
	})
	if errors.Is(err, errUnchanged) {
		return nil
	}
	if err == nil {
		c.changed()
	}
	return err
}

// finishSandbox removes what a sandbox has made, gives back what it holds, and says
// that it has ended. What an earlier process left of that is done again.
func (c *Controller) finishSandbox(ctx context.Context, id string) error {
	removed, err := c.o.Store.RemoveSandboxMirrors(ctx, id, nil)
	if len(removed) > 0 { // also before a failure; Run, which tries again, must not hurry itself
		c.changed()
	}
	if err != nil {
		return fmt.Errorf("remove mirroring of sandbox %s: %w", id, err)
	}
	now := c.o.Clock()
	err = c.o.Store.FinishSandbox(ctx, id, func(b sluice.Sandbox) sluice.Sandbox {
		if b.ActualEnd.IsZero() {
			b.ActualEnd, b.Modified = now, now
		}
		b.Status, b.Provisioning = SandboxCompleted, ProvisioningTeardown
		return b
	})
	if err != nil {
		return fmt.Errorf("finish sandbox %s: %w", id, err)
	}
	return nil
}

// endSandboxes ends the sandboxes whose time is over, and finishes those that are being
// torn down. It returns when the next one is to end; zero is none.
func (c *Controller) endSandboxes(ctx context.Context) (next time.Time, _ error) {
	all, err := c.o.Store.Sandboxes(ctx)
	if err != nil {
		return next, fmt.Errorf("list sandboxes: %w", err)
	}
	var failed []error
	for _, b := range all {
		if b.Status == SandboxCompleted {
			continue
		}
		if c.living(b) == nil {
			if next.IsZero() || b.End.Before(next) {
				next = b.End
			}
			continue
		}
		if err := c.beginEnd(ctx, b.ID); err != nil {
			failed = append(failed, fmt.Errorf("end sandbox %s: %w", b.ID, err))
			continue
		}
		failed = append(failed, c.finishSandbox(ctx, b.ID))
	}
	return next, errors.Join(failed...)
}

func (c *Controller) forgetSandboxes(ctx context.Context) error {
	return c.o.Store.PurgeSandboxes(ctx, c.o.Clock().Add(-sandboxMemory))
}
