package state

import (
	"context"
	"slices"

	"sluice"
)

// CreateFirewall adds a firewall under a name that is free, while there are fewer
// than quota and its policy exists and has fewer than perPolicy firewalls.
func (s *Store) CreateFirewall(ctx context.Context, f sluice.Firewall, quota, perPolicy int) error {
	return s.transact(ctx, func(tx *transaction) error {
		all, err := loadAll[sluice.Firewall](tx, firewallPrefix)
		if err != nil {
			return err
		}
		if slices.ContainsFunc(all, func(o sluice.Firewall) bool { return o.Name == f.Name }) {
			return errTaken()
		}
		// The model of CreateFirewall has no ResourceNotFoundException.
		if err := requirePolicy(tx, f.PolicyArn, sluice.KindInvalidRequest); err != nil {
			return err
		}
		if len(all) >= quota {
			return errQuota("Firewall", quota)
		}
		if uses(all, f.PolicyArn) >= perPolicy {
			return errQuota("FirewallPolicyArn", perPolicy)
		}
		return save(tx, firewallPrefix+f.Name, f)
	})
}

func uses(all []sluice.Firewall, policyArn string) int {
	n := 0
	for _, f := range all {
		if f.PolicyArn == policyArn {
			n++
		}
	}
	return n
}

// Firewall returns a firewall by name.
func (s *Store) Firewall(ctx context.Context, name string) (f sluice.Firewall, err error) {
	tx := &transaction{ctx: ctx, kv: s.kv}
	f, ok, err := load[sluice.Firewall](tx, firewallPrefix+name)
	if err == nil && !ok {
		err = errMissing("FirewallName", name)
	}
	return f, err
}

// Firewalls returns all firewalls, ordered by name.
func (s *Store) Firewalls(ctx context.Context) ([]sluice.Firewall, error) {
	return loadAll[sluice.Firewall](&transaction{ctx: ctx, kv: s.kv}, firewallPrefix)
}

// UpdateFirewall replaces a firewall by what change makes of it. change may be
// called several times. When it names another policy, that one exists and has
// fewer than perPolicy firewalls.
func (s *Store) UpdateFirewall(ctx context.Context, name string, perPolicy int, change func(sluice.Firewall) (sluice.Firewall, error)) (sluice.Firewall, error) {
	var changed sluice.Firewall
	err := s.transact(ctx, func(tx *transaction) error {
		f, ok, err := load[sluice.Firewall](tx, firewallPrefix+name)
		if err != nil {
			return err
		}
		if !ok {
			return errMissing("FirewallName", name)
		}
		if changed, err = change(f); err != nil {
			return err
		}
		if changed.PolicyArn != f.PolicyArn {
			if err := movePolicy(tx, changed.PolicyArn, perPolicy); err != nil {
				return err
			}
		}
		return save(tx, firewallPrefix+name, changed)
	})
	return changed, err
}

func movePolicy(tx *transaction, policyArn string, perPolicy int) error {
	if err := requirePolicy(tx, policyArn, sluice.KindNotFound); err != nil {
		return err
	}
	all, err := loadAll[sluice.Firewall](tx, firewallPrefix)
	if err != nil {
		return err
	}
	if uses(all, policyArn) >= perPolicy {
		return errQuota("FirewallPolicyArn", perPolicy)
	}
	return nil
}

// RemoveFirewall removes a firewall that is being deleted, with its flow
// operations, and returns the ids of those.
func (s *Store) RemoveFirewall(ctx context.Context, name, id string) ([]string, error) {
	var ids []string
	err := s.transact(ctx, func(tx *transaction) error {
		ids = nil
		f, ok, err := load[sluice.Firewall](tx, firewallPrefix+name)
		if err != nil {
			return err
		}
		if !ok || f.ID != id {
			return errMissing("FirewallName", name)
		}
		if !f.Deleting {
			return sluice.Errorf(sluice.KindInvalidOperation, "Firewall is not being deleted, parameter: [%s]", name)
		}
		ops, err := loadAll[sluice.FlowOperation](tx, flowOperationPrefix+id+"/")
		if err != nil {
			return err
		}
		for _, op := range ops {
			ids = append(ids, op.ID)
		}
		tx.remove(firewallPrefix + name)
		tx.remove(flowOperationPrefix + id + "/")
		tx.remove(runningPrefix + id + "/")
		return nil
	})
	return ids, err
}
