package state

import (
	"cmp"
	"context"
	"net/url"

	"sluice"
)

// receiver is what a target stands for, as a part of a key.
func receiver(t sluice.TrafficMirrorTarget) string {
	return url.PathEscape(cmp.Or(t.NetworkInterfaceID, t.NetworkLoadBalancerArn))
}

// CreateTrafficMirrorTarget adds a target while there are fewer than the quota. A
// load balancer can be one target only. check is asked first whether the receiver
// exists.
func (s *Store) CreateTrafficMirrorTarget(ctx context.Context, c sluice.Creation, t sluice.TrafficMirrorTarget, q sluice.MirrorQuotas, check func() error) (sluice.TrafficMirrorTarget, error) {
	return created(ctx, s, "CreateTrafficMirrorTarget", c, func(tx *transaction) (sluice.TrafficMirrorTarget, error) {
		return t, addTarget(tx, t, q, check)
	})
}

// addTarget writes a new target.
func addTarget(tx *transaction, t sluice.TrafficMirrorTarget, q sluice.MirrorQuotas, check func() error) error {
	if err := check(); err != nil {
		return err
	}
	if !t.Interface() {
		users, err := loadAll[string](tx, targetUsePrefix+receiver(t)+"/")
		if err != nil {
			return err
		}
		if len(users) > 0 {
			return sluice.EC2Errorf(sluice.KindInvalidOperation, "NlbInUseByTrafficMirrorTargetException",
				"The network load balancer '%s' is in use by target %s", t.NetworkLoadBalancerArn, users[0])
		}
	}
	n, err := tx.count(targetPrefix)
	if err != nil {
		return err
	}
	if n >= q.Targets {
		return sluice.EC2Errorf(sluice.KindLimitExceeded, "TrafficMirrorTargetLimitExceeded", "Target limit reached (%d)", q.Targets)
	}
	if err := saveTags(tx, t.ID, t.Tags); err != nil {
		return err
	}
	if err := save(tx, targetUsePrefix+receiver(t)+"/"+t.ID, t.ID); err != nil {
		return err
	}
	stored := t
	stored.Tags = nil
	return save(tx, targetPrefix+t.ID, stored)
}

// loadTarget reads a target without tags.
func loadTarget(tx *transaction, id string) (sluice.TrafficMirrorTarget, error) {
	t, ok, err := load[sluice.TrafficMirrorTarget](tx, targetPrefix+id)
	if err == nil && !ok {
		err = sluice.NoSuchResource(sluice.ResourceMirrorTarget, id)
	}
	return t, err
}

// TrafficMirrorTargets returns all targets, ordered by id.
func (s *Store) TrafficMirrorTargets(ctx context.Context) ([]sluice.TrafficMirrorTarget, error) {
	tx := &transaction{ctx: ctx, kv: s.kv}
	all, err := loadAll[sluice.TrafficMirrorTarget](tx, targetPrefix)
	if err != nil {
		return nil, err
	}
	tags, err := tagsOf(tx, sluice.ResourceMirrorTarget)
	for i := range all {
		all[i].Tags = tags[all[i].ID]
	}
	return all, err
}

// DeleteTrafficMirrorTarget removes a target that no session uses.
func (s *Store) DeleteTrafficMirrorTarget(ctx context.Context, id string, dryRun bool) error {
	return s.transact(ctx, func(tx *transaction) error {
		if err := removeTarget(tx, id); err != nil {
			return err
		}
		if dryRun {
			return sluice.DryRun()
		}
		return nil
	})
}

// removeTarget removes a target that no session uses.
func removeTarget(tx *transaction, id string) error {
	t, err := loadTarget(tx, id)
	if err != nil {
		return err
	}
	users, err := sessionUses(tx, "target", id)
	if err != nil {
		return err
	}
	if len(users) > 0 {
		return sluice.EC2Errorf(sluice.KindInvalidOperation, "TrafficMirrorTargetInUse",
			"Cannot delete %s. Target is in use by %s", id, users[0].SessionID)
	}
	tx.remove(targetPrefix + id)
	tx.remove(targetUsePrefix + receiver(t) + "/" + id)
	tx.remove(tagKey(id))
	tx.remove(sandboxTargetPrefix + id)
	tx.remove(sandboxTargetUsePrefix + id + "/")
	return nil
}
