package state

import (
	"context"
	"slices"
	"strings"

	"sluice"
)

// errTaken is the answer of AWS where a name is in use already (there is no
// exception shape of its own for it).
func errTaken() error {
	return sluice.Errorf(sluice.KindInvalidRequest, "A resource with the specified name already exists")
}

func errMissing(member, value string) error {
	return sluice.Errorf(sluice.KindNotFound, "%s does not exist, parameter: [%s]", member, value)
}

func errQuota(noun string, quota int) error {
	return sluice.Errorf(sluice.KindLimitExceeded, "%s limit exceeded, parameter: [%d]", noun, quota)
}

// CheckFirewallPolicy tells whether a policy could be created now.
func (s *Store) CheckFirewallPolicy(ctx context.Context, name string, quota int) error {
	return s.transact(ctx, func(tx *transaction) error { return checkFirewallPolicy(tx, name, quota) })
}

func checkFirewallPolicy(tx *transaction, name string, quota int) error {
	all, err := loadAll[sluice.FirewallPolicy](tx, firewallPolicyPrefix)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(all, func(p sluice.FirewallPolicy) bool { return p.Name == name }) {
		return errTaken()
	}
	if len(all) >= quota {
		return errQuota("FirewallPolicy", quota)
	}
	return nil
}

// CreateFirewallPolicy adds a policy under a name that is free, while there are
// fewer than quota.
func (s *Store) CreateFirewallPolicy(ctx context.Context, p sluice.FirewallPolicy, quota int) error {
	return s.transact(ctx, func(tx *transaction) error {
		if err := checkFirewallPolicy(tx, p.Name, quota); err != nil {
			return err
		}
		return save(tx, firewallPolicyPrefix+p.Name, p)
	})
}

// FirewallPolicy returns a policy by name.
func (s *Store) FirewallPolicy(ctx context.Context, name string) (p sluice.FirewallPolicy, err error) {
	tx := &transaction{ctx: ctx, kv: s.kv}
	p, ok, err := load[sluice.FirewallPolicy](tx, firewallPolicyPrefix+name)
	if err == nil && !ok {
		err = errMissing("FirewallPolicyName", name)
	}
	return p, err
}

// FirewallPolicies returns all policies, ordered by name.
func (s *Store) FirewallPolicies(ctx context.Context) ([]sluice.FirewallPolicy, error) {
	return loadAll[sluice.FirewallPolicy](&transaction{ctx: ctx, kv: s.kv}, firewallPolicyPrefix)
}

// UpdateFirewallPolicy replaces a policy by what change makes of it. change may
// be called several times.
func (s *Store) UpdateFirewallPolicy(ctx context.Context, name string, change func(sluice.FirewallPolicy) (sluice.FirewallPolicy, error)) (sluice.FirewallPolicy, error) {
	var changed sluice.FirewallPolicy
	err := s.transact(ctx, func(tx *transaction) error {
		p, ok, err := load[sluice.FirewallPolicy](tx, firewallPolicyPrefix+name)
		if err != nil {
			return err
		}
		if !ok {
			return errMissing("FirewallPolicyName", name)
		}
		if changed, err = change(p); err != nil {
			return err
		}
		return save(tx, firewallPolicyPrefix+name, changed)
	})
	return changed, err
}

// DeleteFirewallPolicy removes a policy that no firewall uses, and returns what
// it was.
func (s *Store) DeleteFirewallPolicy(ctx context.Context, name string) (p sluice.FirewallPolicy, err error) {
	err = s.transact(ctx, func(tx *transaction) error {
		var ok bool
		if p, ok, err = load[sluice.FirewallPolicy](tx, firewallPolicyPrefix+name); err != nil {
			return err
		}
		if !ok {
			return errMissing("FirewallPolicyName", name)
		}
		users, err := loadAll[sluice.Firewall](tx, firewallPrefix)
		if err != nil {
			return err
		}
		if slices.ContainsFunc(users, func(f sluice.Firewall) bool { return f.PolicyArn == p.Arn }) {
			// The text is one that clients wait on: they delete again after a while.
			return sluice.Errorf(sluice.KindInvalidOperation, "Unable to delete the object because it is still in use")
		}
		tx.remove(firewallPolicyPrefix + name)
		return nil
	})
	return p, err
}

// requirePolicy makes a transaction depend on a policy that exists, by ARN.
func requirePolicy(tx *transaction, arn string, kind sluice.Kind) error {
	name := arn[strings.LastIndexByte(arn, '/')+1:]
	p, ok, err := load[sluice.FirewallPolicy](tx, firewallPolicyPrefix+name)
	if err != nil {
		return err
	}
	if !ok || p.Arn != arn {
		return sluice.Errorf(kind, "FirewallPolicyArn does not exist, parameter: [%s]", arn)
	}
	return nil
}
