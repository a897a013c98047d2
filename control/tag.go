package control

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"sluice"
)

// maxTags is the most tags that a resource can have (Network Firewall: Tag).
const maxTags = 50

// reservedTagPrefix begins the keys that only AWS itself may set.
const reservedTagPrefix = "aws:"

// checkTags checks the tags of a request.
func checkTags(tags []sluice.Tag) error {
	seen := make(map[string]bool, len(tags))
	for _, t := range tags {
		if strings.HasPrefix(strings.ToLower(t.Key), reservedTagPrefix) {
			return sluice.InvalidParameter("Tags", "is invalid", t.Key, "Tags")
		}
		if seen[t.Key] {
			return sluice.InvalidParameter("Tags", "has duplicate values", t.Key, "Tags")
		}
		seen[t.Key] = true
	}
	if len(tags) > maxTags {
		return sluice.InvalidParameter("Tags", "limit exceeded", strconv.Itoa(len(tags)), "Tags")
	}
	return nil
}

// mergeTags returns old with the values of added, which wins, ordered by key.
func mergeTags(old, added []sluice.Tag) ([]sluice.Tag, error) {
	merged := slices.Clone(added)
	for _, t := range old {
		if !slices.ContainsFunc(added, func(n sluice.Tag) bool { return n.Key == t.Key }) {
			merged = append(merged, t)
		}
	}
	if len(merged) > maxTags {
		return nil, sluice.InvalidParameter("Tags", "limit exceeded", strconv.Itoa(len(merged)), "Tags")
	}
	sortTags(merged)
	return merged, nil
}

func sortTags(tags []sluice.Tag) {
	slices.SortFunc(tags, func(a, b sluice.Tag) int { return strings.Compare(a.Key, b.Key) })
}

// TagResource sets tags of a firewall or a policy. The resource's UpdateToken
// stays, since clients that hold it do not know of the change.
func (c *Controller) TagResource(ctx context.Context, arn string, tags []sluice.Tag) error {
	if err := checkTags(tags); err != nil {
		return err
	}
	return c.changeTags(ctx, arn, func(old []sluice.Tag) ([]sluice.Tag, error) { return mergeTags(old, tags) })
}

// UntagResource removes tags of a firewall or a policy; keys that it does not
// have are ignored.
func (c *Controller) UntagResource(ctx context.Context, arn string, keys []string) error {
	return c.changeTags(ctx, arn, func(old []sluice.Tag) ([]sluice.Tag, error) {
		return slices.DeleteFunc(old, func(t sluice.Tag) bool { return slices.Contains(keys, t.Key) }), nil
	})
}

// taggable finds out what kind of resource an ARN means.
func (c *Controller) taggable(arn string) (n noun, name string, err error) {
	n = firewallNoun
	if a, err := sluice.ParseARN(arn); err == nil && a.Type == policyNoun.resource {
		n = policyNoun
	}
	name, err = c.nameInArn("ResourceArn", n.resource, arn)
	return n, name, err
}

func (c *Controller) changeTags(ctx context.Context, arn string, change func([]sluice.Tag) ([]sluice.Tag, error)) error {
	n, name, err := c.taggable(arn)
	if err != nil {
		return err
	}
	if n == policyNoun {
		_, err = c.o.Store.UpdateFirewallPolicy(ctx, name, func(p sluice.FirewallPolicy) (_ sluice.FirewallPolicy, err error) {
			p.Tags, err = change(p.Tags)
			return p, err
		})
	} else {
		_, err = c.o.Store.UpdateFirewall(ctx, name, c.o.Quotas.FirewallsPerPolicy, func(f sluice.Firewall) (_ sluice.Firewall, err error) {
			if f.Deleting {
				return f, errDeleting(f)
			}
			f.Tags, err = change(f.Tags)
			return f, err
		})
	}
	if sluice.KindOf(err) == sluice.KindNotFound {
		return errNotFound("ResourceArn", arn)
	}
	return err
}

// ResourceTags returns the tags of a firewall or a policy, ordered by key.
func (c *Controller) ResourceTags(ctx context.Context, arn string) ([]sluice.Tag, error) {
	n, name, err := c.taggable(arn)
	if err != nil {
		return nil, err
	}
	var tags []sluice.Tag
	if n == policyNoun {
		var p sluice.FirewallPolicy
		p, err = c.o.Store.FirewallPolicy(ctx, name)
		tags = p.Tags
	} else {
		var f sluice.Firewall
		f, err = c.o.Store.Firewall(ctx, name)
		tags = f.Tags
	}
	if sluice.KindOf(err) == sluice.KindNotFound {
		return nil, errNotFound("ResourceArn", arn)
	}
	sortTags(tags)
	return tags, err
}
