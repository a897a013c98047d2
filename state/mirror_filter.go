package state

import (
	"cmp"
	"context"
	"slices"

	"sluice"
)

// CreateTrafficMirrorFilter adds a filter while there are fewer than the quota.
func (s *Store) CreateTrafficMirrorFilter(ctx context.Context, c sluice.Creation, f sluice.TrafficMirrorFilter, q sluice.MirrorQuotas) (sluice.TrafficMirrorFilter, error) {
	return created(ctx, s, "CreateTrafficMirrorFilter", c, func(tx *transaction) (sluice.TrafficMirrorFilter, error) {
		return f, addFilter(tx, f, q)
	})
}

// addFilter writes a new filter while there are fewer than the quota.
func addFilter(tx *transaction, f sluice.TrafficMirrorFilter, q sluice.MirrorQuotas) error {
	n, err := tx.count(filterPrefix)
	if err != nil {
		return err
	}
	if n >= q.Filters {
		return sluice.EC2Errorf(sluice.KindLimitExceeded, "TrafficMirrorFilterLimitExceeded", "Filter limit reached (%d)", q.Filters)
	}
	if err := saveTags(tx, f.ID, f.Tags); err != nil {
		return err
	}
	return saveFilter(tx, f)
}

// saveFilter writes a filter without tags.
func saveFilter(tx *transaction, f sluice.TrafficMirrorFilter) error {
	f = f.Clone()
	f.Tags = nil
	for i := range f.Rules {
		f.Rules[i].Tags = nil
	}
	return save(tx, filterPrefix+f.ID, f)
}

// loadFilter reads a filter without tags.
func loadFilter(tx *transaction, id string) (sluice.TrafficMirrorFilter, error) {
	f, ok, err := load[sluice.TrafficMirrorFilter](tx, filterPrefix+id)
	if err == nil && !ok {
		err = sluice.NoSuchResource(sluice.ResourceMirrorFilter, id)
	}
	return f, err
}

// tagFilter reads the tags of a filter and of its rules.
func tagFilter(tx *transaction, f *sluice.TrafficMirrorFilter) (err error) {
	if f.Tags, err = loadTags(tx, f.ID); err != nil {
		return err
	}
	for i := range f.Rules {
		if f.Rules[i].Tags, err = loadTags(tx, f.Rules[i].ID); err != nil {
			return err
		}
	}
	return nil
}

// TrafficMirrorFilters returns all filters with their rules, ordered by id.
func (s *Store) TrafficMirrorFilters(ctx context.Context) ([]sluice.TrafficMirrorFilter, error) {
	tx := &transaction{ctx: ctx, kv: s.kv}
	all, err := loadAll[sluice.TrafficMirrorFilter](tx, filterPrefix)
	if err != nil {
		return nil, err
	}
	filters, err := tagsOf(tx, sluice.ResourceMirrorFilter)
	if err != nil {
		return nil, err
	}
	rules, err := tagsOf(tx, sluice.ResourceMirrorFilterRule)
	if err != nil {
		return nil, err
	}
	for i := range all {
		all[i].Tags = filters[all[i].ID]
		for j := range all[i].Rules {
			all[i].Rules[j].Tags = rules[all[i].Rules[j].ID]
		}
	}
	return all, nil
}

// UpdateTrafficMirrorFilter replaces a filter by what the pure change makes of it.
// Rules and tags stay.
func (s *Store) UpdateTrafficMirrorFilter(ctx context.Context, id string, dryRun bool,
	change func(sluice.TrafficMirrorFilter) (sluice.TrafficMirrorFilter, error)) (f sluice.TrafficMirrorFilter, err error) {
	err = s.transact(ctx, func(tx *transaction) error {
		if f, err = loadFilter(tx, id); err != nil {
			return err
		}
		if err := tagFilter(tx, &f); err != nil {
			return err
		}
		if f, err = change(f); err != nil {
			return err
		}
		if dryRun {
			return sluice.DryRun()
		}
		return saveFilter(tx, f)
	})
	return f, err
}

// DeleteTrafficMirrorFilter removes a filter that no session uses, with its rules.
func (s *Store) DeleteTrafficMirrorFilter(ctx context.Context, id string, dryRun bool) error {
	return s.transact(ctx, func(tx *transaction) error {
		if err := removeFilter(tx, id); err != nil {
			return err
		}
		if dryRun {
			return sluice.DryRun()
		}
		return nil
	})
}

// removeFilter removes a filter that no session uses.
func removeFilter(tx *transaction, id string) error {
	f, err := loadFilter(tx, id)
	if err != nil {
		return err
	}
	users, err := sessionUses(tx, "filter", id)
	if err != nil {
		return err
	}
	if len(users) > 0 {
		return sluice.EC2Errorf(sluice.KindInvalidOperation, "TrafficMirrorFilterInUse",
			"Cannot delete %s. Filter is in use by %s", id, users[0].SessionID)
	}
	for _, r := range f.Rules {
		tx.remove(filterRulePrefix + r.ID)
		tx.remove(tagKey(r.ID))
	}
	tx.remove(filterPrefix + id)
	tx.remove(tagKey(id))
	return nil
}

// CreateTrafficMirrorFilterRule adds a rule to a filter that has fewer than the
// quota, under a number that is free in its direction.
func (s *Store) CreateTrafficMirrorFilterRule(ctx context.Context, c sluice.Creation, r sluice.TrafficMirrorFilterRule, q sluice.MirrorQuotas) (sluice.TrafficMirrorFilterRule, error) {
	return created(ctx, s, "CreateTrafficMirrorFilterRule", c, func(tx *transaction) (sluice.TrafficMirrorFilterRule, error) {
		return r, addFilterRule(tx, r, q)
	})
}

// addFilterRule writes a new rule into its filter.
func addFilterRule(tx *transaction, r sluice.TrafficMirrorFilterRule, q sluice.MirrorQuotas) error {
	f, err := loadFilter(tx, r.FilterID)
	if err != nil {
		return err
	}
	if err := requireRuleNumber(f, r); err != nil {
		return err
	}
	if len(f.Rules) >= q.RulesPerFilter {
		return sluice.EC2Errorf(sluice.KindLimitExceeded, "TrafficMirrorFilterRuleLimitExceeded",
			"Filter rule limit reached (%d) in %s", q.RulesPerFilter, f.ID)
	}
	f.Rules = append(f.Rules, r)
	sortRules(f.Rules)
	if err := saveTags(tx, r.ID, r.Tags); err != nil {
		return err
	}
	if err := save(tx, filterRulePrefix+r.ID, f.ID); err != nil {
		return err
	}
	return saveFilter(tx, f)
}

// requireRuleNumber refuses a number that another rule of the direction has.
func requireRuleNumber(f sluice.TrafficMirrorFilter, r sluice.TrafficMirrorFilterRule) error {
	for _, o := range f.Rules {
		if o.ID != r.ID && o.TrafficDirection == r.TrafficDirection && o.RuleNumber == r.RuleNumber {
			return sluice.EC2Errorf(sluice.KindInvalidRequest, "TrafficMirrorFilterRuleAlreadyExists",
				"Rule number %d already exists for %s in %s", r.RuleNumber, r.TrafficDirection, f.ID)
		}
	}
	return nil
}

func sortRules(rules []sluice.TrafficMirrorFilterRule) {
	slices.SortFunc(rules, func(a, b sluice.TrafficMirrorFilterRule) int {
		return cmp.Or(cmp.Compare(a.RuleNumber, b.RuleNumber), cmp.Compare(a.ID, b.ID))
	})
}

// ruleOf reads the filter of a rule and the rule's place in it.
func ruleOf(tx *transaction, id string) (f sluice.TrafficMirrorFilter, at int, err error) {
	missing := sluice.NoSuchResource(sluice.ResourceMirrorFilterRule, id)
	filterID, ok, err := load[string](tx, filterRulePrefix+id)
	if err != nil {
		return f, 0, err
	}
	if !ok {
		return f, 0, missing
	}
	if f, err = loadFilter(tx, filterID); err != nil {
		return f, 0, err
	}
	at = slices.IndexFunc(f.Rules, func(r sluice.TrafficMirrorFilterRule) bool { return r.ID == id })
	if at < 0 {
		return f, 0, missing
	}
	return f, at, nil
}

// UpdateTrafficMirrorFilterRule replaces a rule by what the pure change makes of it.
// Its tags stay.
func (s *Store) UpdateTrafficMirrorFilterRule(ctx context.Context, id string, dryRun bool,
	change func(sluice.TrafficMirrorFilterRule) (sluice.TrafficMirrorFilterRule, error)) (r sluice.TrafficMirrorFilterRule, err error) {
	err = s.transact(ctx, func(tx *transaction) error {
		f, at, err := ruleOf(tx, id)
		if err != nil {
			return err
		}
		if r, err = change(f.Rules[at]); err != nil {
			return err
		}
		if err := requireRuleNumber(f, r); err != nil {
			return err
		}
		if dryRun {
			return sluice.DryRun()
		}
		f.Rules[at] = r
		sortRules(f.Rules)
		return saveFilter(tx, f)
	})
	return r, err
}

// DeleteTrafficMirrorFilterRule removes a rule, also while sessions use its filter.
func (s *Store) DeleteTrafficMirrorFilterRule(ctx context.Context, id string, dryRun bool) error {
	return s.transact(ctx, func(tx *transaction) error {
		f, at, err := ruleOf(tx, id)
		if err != nil {
			return err
		}
		if dryRun {
			return sluice.DryRun()
		}
		f.Rules = slices.Delete(f.Rules, at, at+1)
		tx.remove(filterRulePrefix + id)
		tx.remove(tagKey(id))
		return saveFilter(tx, f)
	})
}
