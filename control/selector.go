package control

import (
	"context"
	"regexp"

	"sluice"
)

// namePattern is the pattern of resource names (Network Firewall model); the API
// checks it with a length of 1 to 128.
var namePattern = regexp.MustCompile(`^[a-zA-Z0-9-]{1,128}$`)

// errNotFound is the text for a reference to something that does not exist.
func errNotFound(member, value string) error {
	return sluice.Errorf(sluice.KindNotFound, "%s does not exist, parameter: [%s]", member, value)
}

// noun names the members that select a resource of a type.
type noun struct{ resource, name, arn string }

// The resources that selectors and ARNs can name.
var (
	firewallNoun = noun{sluice.ResourceFirewall, "FirewallName", "FirewallArn"}
	policyNoun   = noun{sluice.ResourceFirewallPolicy, "FirewallPolicyName", "FirewallPolicyArn"}
)

// nameOf returns the name that a selector means. Name and ARN may both be given
// when they agree.
func (c *Controller) nameOf(n noun, s Selector) (string, error) {
	if s.Name == "" && s.Arn == "" {
		return "", sluice.InvalidParameter(n.name+", "+n.arn, "cannot be null or empty", "", "")
	}
	if s.Arn == "" {
		if !namePattern.MatchString(s.Name) {
			return "", errNotFound(n.name, s.Name)
		}
		return s.Name, nil
	}
	name, err := c.nameInArn(n.arn, n.resource, s.Arn)
	if err != nil {
		return "", err
	}
	if s.Name != "" && s.Name != name {
		return "", sluice.InvalidParameter(n.name+", "+n.arn, "must name the same resource", s.Name+", "+s.Arn, "")
	}
	return name, nil
}

// nameInArn returns the name in an ARN of this account and region. A malformed
// ARN, or one of another region or type, is an invalid request; one of another
// account names something that does not exist here.
func (c *Controller) nameInArn(member, resource, arn string) (string, error) {
	a, err := sluice.ParseARN(arn)
	if err != nil {
		return "", sluice.InvalidParameter(member, "has invalid format", arn, member)
	}
	if a.Partition != "aws" || a.Service != "network-firewall" || a.Type != resource || a.Region != c.o.Scope.Region {
		return "", sluice.InvalidParameter(member, "is invalid", arn, member)
	}
	if a.AccountID != c.o.Scope.AccountID || !namePattern.MatchString(a.Name) {
		return "", errNotFound(member, arn)
	}
	return a.Name, nil
}

// member is the member of a selector that a message about it should name.
func (s Selector) member(n noun) (member, value string) {
	if s.Arn != "" {
		return n.arn, s.Arn
	}
	return n.name, s.Name
}

// firewall finds the firewall that a selector means.
func (c *Controller) firewall(ctx context.Context, s Selector) (sluice.Firewall, error) {
	name, err := c.nameOf(firewallNoun, s)
	if err != nil {
		return sluice.Firewall{}, err
	}
	f, err := c.o.Store.Firewall(ctx, name)
	if sluice.KindOf(err) == sluice.KindNotFound {
		return f, errNotFound(s.member(firewallNoun))
	}
	return f, err
}

// policy finds the firewall policy that a selector means.
func (c *Controller) policy(ctx context.Context, s Selector) (sluice.FirewallPolicy, error) {
	name, err := c.nameOf(policyNoun, s)
	if err != nil {
		return sluice.FirewallPolicy{}, err
	}
	p, err := c.o.Store.FirewallPolicy(ctx, name)
	if sluice.KindOf(err) == sluice.KindNotFound {
		return p, errNotFound(s.member(policyNoun))
	}
	return p, err
}
