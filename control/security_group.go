package control

import (
	"context"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"sluice"
)

// CreateSecurityGroupInput is the request of CreateSecurityGroup.
type CreateSecurityGroupInput struct {
	Name        string
	Description string
	VpcID       string // "" is the only VPC
	Tags        []sluice.Tag
	DryRun      bool
}

// SecurityGroupSelector names a group by id or by name.
type SecurityGroupSelector struct{ ID, Name string }

// AuthorizeSecurityGroupIngressInput is the request of AuthorizeSecurityGroupIngress.
type AuthorizeSecurityGroupIngressInput struct {
	Group       SecurityGroupSelector
	Permissions []IPPermission
	Tags        []sluice.Tag // of the rules
	DryRun      bool
}

// RevokeSecurityGroupIngressInput is the request of RevokeSecurityGroupIngress.
type RevokeSecurityGroupIngressInput struct {
	Group       SecurityGroupSelector
	Permissions []IPPermission
	RuleIDs     []string
	DryRun      bool
}

// The texts that groups may have (AWS: CreateSecurityGroup, for a VPC).
var (
	groupTextPattern = regexp.MustCompile(`^[a-zA-Z0-9 ._\-:/()#,@\[\]+=&;{}!$*]{0,255}$`)
	groupIDPattern   = regexp.MustCompile(`^sg-([0-9a-f]{8}|[0-9a-f]{17})$`)
)

// CreateSecurityGroup makes a group that allows everything out and nothing in.
func (c *Controller) CreateSecurityGroup(ctx context.Context, in CreateSecurityGroupInput) (sluice.SecurityGroup, error) {
	var none sluice.SecurityGroup
	switch {
	case in.Name == "":
		return none, sluice.MissingParameter("GroupName")
	case in.Description == "":
		return none, sluice.MissingParameter("GroupDescription")
	case !groupTextPattern.MatchString(in.Name) || strings.HasPrefix(in.Name, "sg-"):
		return none, sluice.InvalidValue("GroupName", in.Name, "Expecting at most 255 characters of a-zA-Z0-9 ._-:/()#,@[]+=&;{}!$* that do not begin with sg-.")
	case in.Name == "default":
		return none, sluice.EC2Errorf(sluice.KindInvalidRequest, "InvalidParameterValue", "Cannot use reserved security group name: default")
	case !groupTextPattern.MatchString(in.Description):
		return none, sluice.InvalidValue("GroupDescription", in.Description, "Expecting at most 255 characters of a-zA-Z0-9 ._-:/()#,@[]+=&;{}!$*.")
	}
	if err := checkEC2Tags(in.Tags); err != nil {
		return none, err
	}
	vpcID, err := groupVpc(c.o.Inventory.Snapshot(), in.VpcID)
	if err != nil {
		return none, err
	}
	g := sluice.SecurityGroup{
		ID: sluice.NewID("sg"), Name: in.Name, Description: in.Description, VpcID: vpcID, OwnerID: c.o.Scope.AccountID,
		Rules: []sluice.SecurityGroupRule{{
			ID: sluice.NewID("sgr"), Egress: true, Protocol: sluice.ProtocolAny, FromPort: anyPort, ToPort: anyPort,
			CIDR: netip.MustParsePrefix("0.0.0.0/0"),
		}},
		Tags: sortedTags(in.Tags), Created: c.o.Clock(),
	}
	return g, c.o.Store.CreateSecurityGroup(ctx, g, in.DryRun, c.o.Quotas.SecurityGroups)
}

func groupVpc(inv sluice.Inventory, id string) (string, error) {
	if id == "" {
		if len(inv.Vpcs) != 1 {
			return "", sluice.EC2Errorf(sluice.KindInvalidRequest, "VPCIdNotSpecified", "No default VPC for this user")
		}
		return inv.Vpcs[0].ID, nil
	}
	return id, knownVpc(inv, id)
}

func knownVpc(inv sluice.Inventory, id string) error {
	if slices.ContainsFunc(inv.Vpcs, func(v sluice.Vpc) bool { return v.ID == id }) {
		return nil
	}
	return sluice.NoSuchResource(sluice.ResourceVpc, id)
}

// SecurityGroups returns all groups, ordered by id.
func (c *Controller) SecurityGroups(ctx context.Context) ([]sluice.SecurityGroup, error) {
	return c.o.Store.SecurityGroups(ctx)
}

// findGroup returns the group that a selector names.
func (c *Controller) findGroup(ctx context.Context, s SecurityGroupSelector) (sluice.SecurityGroup, error) {
	var none sluice.SecurityGroup
	switch {
	case s.ID == "" && s.Name == "":
		return none, sluice.MissingParameter("GroupId")
	case s.ID != "" && s.Name != "":
		return none, cannotCombine("GroupId", "GroupName")
	case s.ID != "" && !groupIDPattern.MatchString(s.ID):
		return none, sluice.EC2Errorf(sluice.KindInvalidRequest, "InvalidGroupId.Malformed", `Invalid id: "%.256s" (expecting "sg-...")`, s.ID)
	}
	all, err := c.o.Store.SecurityGroups(ctx)
	if err != nil {
		return none, err
	}
	for _, g := range all {
		if g.ID == s.ID || s.ID == "" && g.Name == s.Name {
			return g, nil
		}
	}
	if s.ID == "" {
		return none, sluice.NoSuchResource(sluice.ResourceSecurityGroup, s.Name)
	}
	return none, sluice.NoSuchResource(sluice.ResourceSecurityGroup, s.ID)
}

// AuthorizeSecurityGroupIngress adds rules to a group, all or none, and returns them.
func (c *Controller) AuthorizeSecurityGroupIngress(ctx context.Context, in AuthorizeSecurityGroupIngressInput) (sluice.SecurityGroup, []sluice.SecurityGroupRule, error) {
	var none sluice.SecurityGroup
	if len(in.Permissions) == 0 {
		return none, nil, sluice.MissingParameter("ipPermissions")
	}
	if err := checkEC2Tags(in.Tags); err != nil {
		return none, nil, err
	}
	rules, err := c.rulesOf(ctx, in.Permissions)
	if err != nil {
		return none, nil, err
	}
	for i := range rules {
		rules[i].ID, rules[i].Tags = sluice.NewID("sgr"), sortedTags(in.Tags)
	}
	g, err := c.findGroup(ctx, in.Group)
	if err != nil {
		return none, nil, err
	}
	limit := c.o.Quotas.SecurityGroups.RulesPerGroup
	err = c.o.Store.UpdateSecurityGroup(ctx, g.ID, in.DryRun, func(g sluice.SecurityGroup) (sluice.SecurityGroup, error) {
		for _, r := range rules {
			if slices.ContainsFunc(g.Rules, r.Same) {
				return g, sluice.EC2Errorf(sluice.KindInvalidRequest, "InvalidPermission.Duplicate",
					`the specified rule "%s" already exists`, describeGroupRule(r))
			}
			g.Rules = append(g.Rules, r)
		}
		ingress := 0
		for _, r := range g.Rules {
			if !r.Egress {
				ingress++
			}
		}
		if ingress > limit {
			return g, sluice.EC2Errorf(sluice.KindLimitExceeded, "RulesPerSecurityGroupLimitExceeded",
				"The maximum number of rules per security group has been reached (%d)", limit)
		}
		return g, nil
	})
	return g, rules, err
}

// RevokeSecurityGroupIngress removes rules of a group, all or none, and returns them.
func (c *Controller) RevokeSecurityGroupIngress(ctx context.Context, in RevokeSecurityGroupIngressInput) (sluice.SecurityGroup, []sluice.SecurityGroupRule, error) {
	var none sluice.SecurityGroup
	switch {
	case len(in.Permissions) == 0 && len(in.RuleIDs) == 0:
		return none, nil, sluice.MissingParameter("ipPermissions")
	case len(in.Permissions) > 0 && len(in.RuleIDs) > 0:
		return none, nil, cannotCombine("ipPermissions", "securityGroupRuleIds")
	}
	wanted, err := c.rulesOf(ctx, in.Permissions)
	if err != nil {
		return none, nil, err
	}
	g, err := c.findGroup(ctx, in.Group)
	if err != nil {
		return none, nil, err
	}
	var revoked []sluice.SecurityGroupRule
	err = c.o.Store.UpdateSecurityGroup(ctx, g.ID, in.DryRun, func(g sluice.SecurityGroup) (sluice.SecurityGroup, error) {
		revoked = nil
		take := func(wanted func(sluice.SecurityGroupRule) bool) bool {
			at := slices.IndexFunc(g.Rules, func(r sluice.SecurityGroupRule) bool { return !r.Egress && wanted(r) })
			if at >= 0 {
				revoked = append(revoked, g.Rules[at])
				g.Rules = slices.Delete(g.Rules, at, at+1)
			}
			return at >= 0
		}
		for _, w := range wanted {
			if !take(w.Same) {
				return g, sluice.EC2Errorf(sluice.KindNotFound, "InvalidPermission.NotFound", "The specified rule does not exist in this security group.")
			}
		}
		for _, id := range in.RuleIDs {
			if !take(func(r sluice.SecurityGroupRule) bool { return r.ID == id }) {
				return g, sluice.NoSuchResource(sluice.ResourceSecurityGroupRule, id)
			}
		}
		return g, nil
	})
	return g, revoked, err
}

// DeleteSecurityGroup removes a group that no rule of another one names, and returns
// its id.
func (c *Controller) DeleteSecurityGroup(ctx context.Context, s SecurityGroupSelector, dryRun bool) (string, error) {
	g, err := c.findGroup(ctx, s)
	if err != nil {
		return "", err
	}
	return g.ID, c.o.Store.DeleteSecurityGroup(ctx, g.ID, dryRun)
}
