package state

import (
	"context"
	"slices"
	"strings"

	"sluice"
)

// resourceTags are the tags of one EC2 resource.
type resourceTags struct {
	ID   string
	Tags []sluice.Tag // ordered by key; never empty
}

func tagKey(id string) string { return tagPrefix + sluice.EC2ResourceType(id) + "/" + id }

// saveTags writes the tags of a resource; none at all is no record.
func saveTags(tx *transaction, id string, tags []sluice.Tag) error {
	if len(tags) == 0 {
		tx.remove(tagKey(id))
		return nil
	}
	tags = slices.Clone(tags)
	slices.SortFunc(tags, func(a, b sluice.Tag) int { return strings.Compare(a.Key, b.Key) })
	return save(tx, tagKey(id), resourceTags{id, tags})
}

func loadTags(tx *transaction, id string) ([]sluice.Tag, error) {
	t, _, err := load[resourceTags](tx, tagKey(id))
	return t.Tags, err
}

// tagsOf returns the tags of all resources of some types, of every type without one,
// by id.
func tagsOf(tx *transaction, resourceTypes ...string) (map[string][]sluice.Tag, error) {
	out := map[string][]sluice.Tag{}
	prefixes := []string{tagPrefix}
	if len(resourceTypes) > 0 {
		prefixes = nil
	}
	for _, t := range resourceTypes {
		prefixes = append(prefixes, tagPrefix+t+"/")
	}
	for _, prefix := range prefixes {
		all, err := loadAll[resourceTags](tx, prefix)
		if err != nil {
			return nil, err
		}
		for _, t := range all {
			out[t.ID] = t.Tags
		}
	}
	return out, nil
}

// EC2Tags returns the tags that were given to EC2 resources of some types, of every
// type without one, by id.
func (s *Store) EC2Tags(ctx context.Context, resourceTypes ...string) (map[string][]sluice.Tag, error) {
	return tagsOf(&transaction{ctx: ctx, kv: s.kv}, resourceTypes...)
}

// UpdateEC2Tags replaces the tags of all resources by what the pure change makes
// of them, or of none. The resources that are kept here have to exist; of the
// others known tells.
func (s *Store) UpdateEC2Tags(ctx context.Context, ids []string, dryRun bool, known func(id string) error,
	change func(id string, old []sluice.Tag) ([]sluice.Tag, error)) error {
	ids = slices.Compact(slices.Sorted(slices.Values(ids)))
	return s.transact(ctx, func(tx *transaction) error {
		for _, id := range ids {
			if err := requireResource(tx, id, known); err != nil {
				return err
			}
		}
		for _, id := range ids {
			old, err := loadTags(tx, id)
			if err != nil {
				return err
			}
			tags, err := change(id, old)
			if err != nil {
				return err
			}
			if err := saveTags(tx, id, tags); err != nil {
				return err
			}
		}
		if dryRun {
			return sluice.DryRun()
		}
		return nil
	})
}

// requireResource makes a transaction depend on a resource that exists.
func requireResource(tx *transaction, id string, known func(id string) error) error {
	kind := sluice.EC2ResourceType(id)
	prefix := map[string]string{
		sluice.ResourceMirrorFilter:      filterPrefix,
		sluice.ResourceMirrorFilterRule:  filterRulePrefix,
		sluice.ResourceMirrorSession:     sessionPrefix,
		sluice.ResourceMirrorTarget:      targetPrefix,
		sluice.ResourceSecurityGroup:     securityGroupPrefix,
		sluice.ResourceSecurityGroupRule: securityGroupRulePrefix,
	}[kind]
	if prefix == "" {
		return known(id)
	}
	_, ok, err := tx.get(prefix + id)
	if err == nil && !ok {
		err = sluice.NoSuchResource(kind, id)
	}
	return err
}
