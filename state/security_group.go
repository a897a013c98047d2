package state

import (
	"context"
	"net/url"
	"slices"

	"sluice"
)

func groupNameKey(vpcID, name string) string {
	return securityGroupNamePrefix + url.PathEscape(vpcID) + "/" + url.PathEscape(name)
}

// CreateSecurityGroup adds a group under a name that is free in its VPC, while
// there are fewer than the quota.
func (s *Store) CreateSecurityGroup(ctx context.Context, g sluice.SecurityGroup, dryRun bool, q sluice.SecurityGroupQuotas) error {
	return s.transact(ctx, func(tx *transaction) error {
		_, taken, err := tx.get(groupNameKey(g.VpcID, g.Name))
		if err != nil {
			return err
		}
		if taken {
			return sluice.EC2Errorf(sluice.KindInvalidRequest, "InvalidGroup.Duplicate",
				"The security group '%s' already exists for VPC '%s'", g.Name, g.VpcID)
		}
		n, err := tx.count(securityGroupPrefix)
		if err != nil {
			return err
		}
		if n >= q.Groups {
			return sluice.EC2Errorf(sluice.KindLimitExceeded, "SecurityGroupLimitExceeded",
				"The maximum number of security groups has been reached (%d)", q.Groups)
		}
		if dryRun {
			return sluice.DryRun()
		}
		if err := save(tx, groupNameKey(g.VpcID, g.Name), g.ID); err != nil {
			return err
		}
		if err := saveTags(tx, g.ID, g.Tags); err != nil {
			return err
		}
		for _, r := range g.Rules {
			if err := save(tx, securityGroupRulePrefix+r.ID, g.ID); err != nil {
				return err
			}
		}
		return saveGroup(tx, g)
	})
}

// saveGroup writes a group without tags.
func saveGroup(tx *transaction, g sluice.SecurityGroup) error {
	g.Tags = nil
	g.Rules = slices.Clone(g.Rules)
	for i := range g.Rules {
		g.Rules[i].Tags = nil
	}
	return save(tx, securityGroupPrefix+g.ID, g)
}

func loadGroup(tx *transaction, id string) (sluice.SecurityGroup, error) {
	g, ok, err := load[sluice.SecurityGroup](tx, securityGroupPrefix+id)
	if err == nil && !ok {
		err = sluice.NoSuchResource(sluice.ResourceSecurityGroup, id)
	}
	return g, err
}

// SecurityGroups returns all groups, ordered by id.
func (s *Store) SecurityGroups(ctx context.Context) ([]sluice.SecurityGroup, error) {
	tx := &transaction{ctx: ctx, kv: s.kv}
	all, err := loadAll[sluice.SecurityGroup](tx, securityGroupPrefix)
	if err != nil {
		return nil, err
	}
	groups, err := tagsOf(tx, sluice.ResourceSecurityGroup)
	if err != nil {
		return nil, err
	}
	rules, err := tagsOf(tx, sluice.ResourceSecurityGroupRule)
	if err != nil {
		return nil, err
	}
	for i := range all {
		all[i].Tags = groups[all[i].ID]
		for j := range all[i].Rules {
			all[i].Rules[j].Tags = rules[all[i].Rules[j].ID]
		}
	}
	return all, nil
}

// UpdateSecurityGroup replaces the rules of a group by what the pure change makes
// of them. Groups that its rules name exist.
func (s *Store) UpdateSecurityGroup(ctx context.Context, id string, dryRun bool, change func(sluice.SecurityGroup) (sluice.SecurityGroup, error)) error {
	return s.transact(ctx, func(tx *transaction) error {
		old, err := loadGroup(tx, id)
		if err != nil {
			return err
		}
		g := old
		g.Rules = slices.Clone(old.Rules)
		if g, err = change(g); err != nil {
			return err
		}
		if err := replaceRules(tx, old, g); err != nil {
			return err
		}
		if dryRun {
			return sluice.DryRun()
		}
		return saveGroup(tx, g)
	})
}

// replaceRules writes what changes beside the group itself.
func replaceRules(tx *transaction, old, now sluice.SecurityGroup) error {
	has := func(g sluice.SecurityGroup, id string) bool {
		return slices.ContainsFunc(g.Rules, func(r sluice.SecurityGroupRule) bool { return r.ID == id })
	}
	for _, r := range old.Rules {
		if !has(now, r.ID) {
			tx.remove(securityGroupRulePrefix + r.ID)
			tx.remove(tagKey(r.ID))
		}
	}
	for _, r := range now.Rules {
		if has(old, r.ID) {
			continue
		}
		if r.GroupID != "" && r.GroupID != now.ID {
			if _, err := loadGroup(tx, r.GroupID); err != nil {
				return err
			}
		}
		if err := save(tx, securityGroupRulePrefix+r.ID, now.ID); err != nil {
			return err
		}
		if err := saveTags(tx, r.ID, r.Tags); err != nil {
			return err
		}
	}
	return nil
}

// DeleteSecurityGroup removes a group that no rule of another one names.
func (s *Store) DeleteSecurityGroup(ctx context.Context, id string, dryRun bool) error {
	return s.transact(ctx, func(tx *transaction) error {
		g, err := loadGroup(tx, id)
		if err != nil {
			return err
		}
		all, err := loadAll[sluice.SecurityGroup](tx, securityGroupPrefix)
		if err != nil {
			return err
		}
		for _, o := range all {
			if o.ID != id && slices.ContainsFunc(o.Rules, func(r sluice.SecurityGroupRule) bool { return r.GroupID == id }) {
				return sluice.EC2Errorf(sluice.KindInvalidOperation, "DependencyViolation", "resource %s has a dependent object", id)
			}
		}
		if dryRun {
			return sluice.DryRun()
		}
		for _, r := range g.Rules {
			tx.remove(securityGroupRulePrefix + r.ID)
			tx.remove(tagKey(r.ID))
		}
		tx.remove(groupNameKey(g.VpcID, g.Name))
		tx.remove(securityGroupPrefix + id)
		tx.remove(tagKey(id))
		return nil
	})
}
