package state

import (
	"context"
	"slices"
	"strings"
	"time"

	"sluice"
)

// sandboxUse says that a sandbox has an instance.
type sandboxUse struct {
	SandboxID string
	Shared    bool
}

func noSuchSandbox(id string) error {
	return sluice.Errorf(sluice.KindNotFound, "Reservation with id '%.100s' not exists.", id)
}

func loadSandbox(tx *transaction, id string) (sluice.Sandbox, error) {
	b, ok, err := load[sluice.Sandbox](tx, sandboxPrefix+id)
	if err == nil && !ok {
		err = noSuchSandbox(id)
	}
	return b, err
}

// CreateSandbox adds a sandbox while fewer than the quotas live, if it can have its
// members. Of those that ended as many are kept; the first to end goes first.
func (s *Store) CreateSandbox(ctx context.Context, b sluice.Sandbox, q sluice.SandboxQuotas) error {
	return s.transact(ctx, func(tx *transaction) error {
		all, err := loadAll[sluice.Sandbox](tx, sandboxPrefix)
		if err != nil {
			return err
		}
		var living, theirs int
		var ended, endedTheirs []sluice.Sandbox
		for _, o := range all {
			same := strings.EqualFold(o.Owner, b.Owner)
			if o.ActualEnd.IsZero() {
				living++
				if same {
					theirs++
				}
				continue
			}
			ended = append(ended, o)
			if same {
				endedTheirs = append(endedTheirs, o)
			}
		}
		if q.PerOwner > 0 && theirs >= q.PerOwner {
			return sluice.Errorf(sluice.KindLimitExceeded, "User '%s' has %d sandboxes already, and may not have more; end one.", b.Owner, theirs)
		}
		if living >= q.Sandboxes {
			return sluice.Errorf(sluice.KindLimitExceeded, "There are %d sandboxes already, and no more can be; end one.", living)
		}
		forgetOldest(tx, ended, q.Sandboxes)
		if q.PerOwner > 0 {
			forgetOldest(tx, endedTheirs, q.PerOwner)
		}
		if err := replaceMembers(tx, b.ID, nil, b.Members); err != nil {
			return err
		}
		return save(tx, sandboxPrefix+b.ID, b)
	})
}

// maxForgottenSandboxes bounds those that one creation forgets; the next ones go on.
const maxForgottenSandboxes = 100

// forgetOldest forgets the sandboxes that ended first, but for some.
func forgetOldest(tx *transaction, ended []sluice.Sandbox, kept int) {
	slices.SortFunc(ended, func(a, b sluice.Sandbox) int { return a.ActualEnd.Compare(b.ActualEnd) })
	for _, o := range ended[:min(max(0, len(ended)-kept), maxForgottenSandboxes)] {
		forgetSandbox(tx, o.ID)
	}
}

// forgetSandbox removes what is left of a sandbox that has ended.
func forgetSandbox(tx *transaction, id string) {
	tx.remove(sandboxPrefix + id)
	tx.remove(sandboxDataPrefix + id + "/")
	tx.remove(sandboxOutputPrefix + id)
	tx.remove(sandboxLinePrefix + id + "/")
}

// replaceMembers takes the instances that are new to a sandbox and lets go of those
// that it has no more. An instance belongs to one sandbox, or to several that all share
// it.
func replaceMembers(tx *transaction, id string, old, now []sluice.SandboxMember) error {
	for _, m := range old {
		if !hasInstance(now, m.InstanceID) {
			tx.remove(sandboxUsePrefix + m.InstanceID + "/" + id)
		}
	}
	for _, m := range now {
		if hasInstance(old, m.InstanceID) {
			continue
		}
		uses, err := loadAll[sandboxUse](tx, sandboxUsePrefix+m.InstanceID+"/")
		if err != nil {
			return err
		}
		for _, u := range uses {
			if u.SandboxID != id && !(u.Shared && m.Shared) {
				return sluice.Errorf(sluice.KindInvalidOperation, "Resource '%s' is reserved by reservation %s, and is not shared by both.", m.Name, u.SandboxID)
			}
		}
		if err := save(tx, sandboxUsePrefix+m.InstanceID+"/"+id, sandboxUse{id, m.Shared}); err != nil {
			return err
		}
	}
	return nil
}

func hasInstance(members []sluice.SandboxMember, instance string) bool {
	return slices.ContainsFunc(members, func(m sluice.SandboxMember) bool { return m.InstanceID == instance })
}

// Sandbox returns a sandbox, ended or not.
func (s *Store) Sandbox(ctx context.Context, id string) (sluice.Sandbox, error) {
	return loadSandbox(&transaction{ctx: ctx, kv: s.kv}, id)
}

// Sandboxes returns all sandboxes, ended or not, ordered by id.
func (s *Store) Sandboxes(ctx context.Context) ([]sluice.Sandbox, error) {
	return loadAll[sluice.Sandbox](&transaction{ctx: ctx, kv: s.kv}, sandboxPrefix)
}

// UpdateSandbox replaces a sandbox by what the pure change makes of it, if it can have
// its new members.
func (s *Store) UpdateSandbox(ctx context.Context, id string, change func(sluice.Sandbox) (sluice.Sandbox, error)) (b sluice.Sandbox, err error) {
	err = s.transact(ctx, func(tx *transaction) error {
		old, err := loadSandbox(tx, id)
		if err != nil {
			return err
		}
		if b, err = change(old); err != nil {
			return err
		}
		if err := replaceMembers(tx, id, old.Members, b.Members); err != nil {
			return err
		}
		return save(tx, sandboxPrefix+id, b)
	})
	return b, err
}

// RemoveSandboxMembers replaces a sandbox by what the pure change makes of it, which has
// fewer members, and removes the mirroring that it made from and to those that go, in
// the same transaction. gone, which is pure too, tells what interfaces belong to an
// instance that went, where the mirroring itself doesn't say. A sandbox of hundreds of such
// sessions loses them in several steps, its members with the last. It returns the
// sessions that went, also with an error.
func (s *Store) RemoveSandboxMembers(ctx context.Context, id string, change func(sluice.Sandbox) (sluice.Sandbox, error),
	gone func(instances []string, nic string) bool) (removed []sluice.TrafficMirrorSession, err error) {
	for last := false; !last; {
		var batch []sluice.TrafficMirrorSession
		err := s.transact(ctx, func(tx *transaction) error {
			old, err := loadSandbox(tx, id)
			if err != nil {
				return err
			}
			b, err := change(old)
			if err != nil {
				return err
			}
			var instances []string
			for _, m := range old.Members {
				if !hasInstance(b.Members, m.InstanceID) {
					instances = append(instances, m.InstanceID)
				}
			}
			batch, last, err = removeMirrorsOf(tx, id, instances, gone)
			if err != nil || !last {
				return err
			}
			if err := replaceMembers(tx, id, old.Members, b.Members); err != nil {
				return err
			}
			return save(tx, sandboxPrefix+id, b)
		})
		if err != nil {
			return removed, err
		}
		removed = append(removed, batch...)
	}
	return removed, nil
}

// FinishSandbox gives back everything that a sandbox holds, once its mirroring is
// removed, and writes what the pure end makes of it. Targets that sandboxes have made
// go with the last session that uses them.
func (s *Store) FinishSandbox(ctx context.Context, id string, end func(sluice.Sandbox) sluice.Sandbox) error {
	return s.transact(ctx, func(tx *transaction) error {
		b, err := loadSandbox(tx, id)
		if err != nil {
			return err
		}
		objects, err := loadAll[sandboxObject](tx, sandboxObjectPrefix+id+"/")
		if err != nil {
			return err
		}
		for _, o := range objects {
			if sluice.EC2ResourceType(o.ID) != sluice.ResourceMirrorTarget {
				return sluice.Errorf(sluice.KindInvalidOperation, "Reservation %s still mirrors by %s", id, o.ID)
			}
			if err := releaseTarget(tx, o.ID); err != nil {
				return err
			}
			unlistTarget(tx, id, o.ID)
		}
		if err := replaceMembers(tx, id, b.Members, nil); err != nil {
			return err
		}
		items, err := loadAll[sluice.PoolItem](tx, sandboxPoolPrefix+id+"/")
		if err != nil {
			return err
		}
		for _, i := range items {
			removeItem(tx, i)
		}
		return save(tx, sandboxPrefix+id, end(b))
	})
}

// PurgeSandboxes forgets sandboxes that ended before a time.
func (s *Store) PurgeSandboxes(ctx context.Context, before time.Time) error {
	all, err := s.Sandboxes(ctx)
	if err != nil {
		return err
	}
	for _, b := range all {
		if b.ActualEnd.IsZero() || !b.ActualEnd.Before(before) {
			continue
		}
		err := s.transact(ctx, func(tx *transaction) error {
			forgetSandbox(tx, b.ID) // nothing changes an ended one
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}
