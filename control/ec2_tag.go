package control

import (
	"context"
	"slices"
	"strings"
	"unicode/utf8"

	"sluice"
)

// The bounds of tags (AWS: Tag in the EC2 API reference).
const (
	maxTagKey       = 127 // characters
	maxTagValue     = 256 // characters
	maxTagResources = 1000
)

// EC2TagSelector selects tags to delete: by key, and by value too where one is given.
type EC2TagSelector struct {
	Key   string
	Value *string
}

func invalidTag(format string, args ...any) error {
	return sluice.EC2Errorf(sluice.KindInvalidRequest, "InvalidParameterValue", format, args...)
}

func errTagLimit() error {
	return sluice.EC2Errorf(sluice.KindLimitExceeded, "TagLimitExceeded", "The maximum number of tags for a resource has been reached (%d)", maxTags)
}

// checkEC2Tags checks the tags of an EC2 request.
func checkEC2Tags(tags []sluice.Tag) error {
	seen := make(map[string]bool, len(tags))
	for _, t := range tags {
		switch {
		case t.Key == "":
			return invalidTag("Tag key cannot be empty")
		case utf8.RuneCountInString(t.Key) > maxTagKey:
			return invalidTag("Tag key exceeds the maximum length of %d characters", maxTagKey)
		case utf8.RuneCountInString(t.Value) > maxTagValue:
			return invalidTag("Tag value exceeds the maximum length of %d characters", maxTagValue)
		case !utf8.ValidString(t.Key) || !utf8.ValidString(t.Value):
			return invalidTag("Tag keys and values must be Unicode text")
		case strings.HasPrefix(strings.ToLower(t.Key), reservedTagPrefix):
			return invalidTag("Tag keys starting with 'aws:' are reserved for internal use")
		case seen[t.Key]:
			return invalidTag("Duplicate tag key '%s' specified", t.Key)
		}
		seen[t.Key] = true
	}
	if len(tags) > maxTags {
		return errTagLimit()
	}
	return nil
}

func sortedTags(tags []sluice.Tag) []sluice.Tag {
	out := slices.Clone(tags)
	sortTags(out)
	return out
}

// EC2Tags returns the tags that were given to EC2 resources of some types, of every
// type without one, by id. What the inventory calls its own things is not among them.
func (c *Controller) EC2Tags(ctx context.Context, resourceTypes ...string) (map[string][]sluice.Tag, error) {
	return c.o.Store.EC2Tags(ctx, resourceTypes...)
}

// CreateTags sets tags of resources, of all of them or of none.
func (c *Controller) CreateTags(ctx context.Context, ids []string, tags []sluice.Tag, dryRun bool) error {
	if err := checkTagged(ids); err != nil {
		return err
	}
	if len(tags) == 0 {
		return sluice.MissingParameter("Tag")
	}
	if err := checkEC2Tags(tags); err != nil {
		return err
	}
	return c.updateEC2Tags(ctx, ids, dryRun, func(id string, old []sluice.Tag) ([]sluice.Tag, error) {
		if sluice.EC2ResourceType(id) == sluice.ResourceMirrorSession {
			if err := (sluice.TrafficMirrorSession{Tags: tags}).CheckTags(); err != nil {
				return nil, err
			}
		}
		merged := slices.Clone(tags)
		for _, t := range old {
			if !slices.ContainsFunc(tags, func(n sluice.Tag) bool { return n.Key == t.Key }) {
				merged = append(merged, t)
			}
		}
		if len(merged) > maxTags {
			return nil, errTagLimit()
		}
		return merged, nil
	})
}

// DeleteTags removes the selected tags of resources, all tags without a selector.
// Tags that are not there are ignored.
func (c *Controller) DeleteTags(ctx context.Context, ids []string, selectors []EC2TagSelector, dryRun bool) error {
	if err := checkTagged(ids); err != nil {
		return err
	}
	if slices.ContainsFunc(selectors, func(s EC2TagSelector) bool { return s.Key == "" }) {
		return invalidTag("Tag key cannot be empty")
	}
	return c.updateEC2Tags(ctx, ids, dryRun, func(_ string, old []sluice.Tag) ([]sluice.Tag, error) {
		if len(selectors) == 0 {
			return nil, nil
		}
		return slices.DeleteFunc(slices.Clone(old), func(t sluice.Tag) bool {
			return slices.ContainsFunc(selectors, func(s EC2TagSelector) bool {
				return s.Key == t.Key && (s.Value == nil || *s.Value == t.Value)
			})
		}), nil
	})
}

func checkTagged(ids []string) error {
	if len(ids) == 0 {
		return sluice.MissingParameter("ResourceId")
	}
	if len(ids) > maxTagResources {
		return invalidTag("A request may name at most %d resources", maxTagResources)
	}
	return nil
}

func (c *Controller) updateEC2Tags(ctx context.Context, ids []string, dryRun bool, change func(string, []sluice.Tag) ([]sluice.Tag, error)) error {
	inv := c.o.Inventory.Snapshot()
	err := c.o.Store.UpdateEC2Tags(ctx, ids, dryRun, func(id string) error { return knownResource(inv, id) }, change)
	if err == nil {
		c.changed() // tags of sessions cap their copies
	}
	return err
}

// knownResource tells whether the inventory has a resource.
func knownResource(inv sluice.Inventory, id string) error {
	kind, ok := sluice.EC2ResourceType(id), false
	switch kind {
	case sluice.ResourceNetworkInterface:
		_, ok = inv.Interface(id)
	case sluice.ResourceSubnet:
		_, ok = inv.Subnet(id)
	case sluice.ResourceInstance:
		ok = slices.ContainsFunc(inv.Instances, func(i sluice.Instance) bool { return i.ID == id })
	case sluice.ResourceVpc:
		ok = slices.ContainsFunc(inv.Vpcs, func(v sluice.Vpc) bool { return v.ID == id })
	}
	if !ok {
		return sluice.NoSuchResource(kind, id)
	}
	return nil
}
