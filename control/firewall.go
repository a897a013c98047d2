package control

import (
	"context"
	"slices"

	"sluice"
)

func errDeleting(f sluice.Firewall) error {
	return sluice.Errorf(sluice.KindInvalidOperation, "Firewall is being deleted, parameter: [%s]", f.Name)
}

// errProtected must not contain "still in use", on which Terraform tries again.
func errProtected(protection string, f sluice.Firewall) error {
	return sluice.Errorf(sluice.KindInvalidOperation, "%s is enabled, parameter: [%s]", protection, f.Name)
}

// CreateFirewall makes a firewall. The answer says PROVISIONING; the agents build
// its endpoints from then on.
func (c *Controller) CreateFirewall(ctx context.Context, in CreateFirewallInput) (FirewallView, error) {
	f, err := c.newFirewall(in)
	if err != nil {
		return FirewallView{}, err
	}
	if err := c.o.Store.CreateFirewall(ctx, f, c.o.Quotas.Firewalls, c.o.Quotas.FirewallsPerPolicy); err != nil {
		return FirewallView{}, err
	}
	c.changed()
	p, err := c.policy(ctx, Selector{Arn: f.PolicyArn})
	if err != nil {
		return FirewallView{}, err
	}
	// Nothing has been published of this firewall, whatever the agents say already.
	return FirewallView{Firewall: f, Status: firewallStatus(f, p, publication{}, nil)}, nil
}

func (c *Controller) newFirewall(in CreateFirewallInput) (sluice.Firewall, error) {
	var none sluice.Firewall
	if !namePattern.MatchString(in.Name) {
		return none, sluice.InvalidParameter("FirewallName", "has invalid format", in.Name, "FirewallName")
	}
	if _, err := c.nameInArn("FirewallPolicyArn", sluice.ResourceFirewallPolicy, in.PolicyArn); err != nil {
		// The model of CreateFirewall has no ResourceNotFoundException.
		return none, sluice.Errorf(sluice.KindInvalidRequest, "%s", err.Error())
	}
	if in.VpcID == "" {
		return none, sluice.InvalidParameter("VpcId", "cannot be null or empty", "", "VpcId")
	}
	inv := c.o.Inventory.Snapshot()
	if !slices.ContainsFunc(inv.Vpcs, func(v sluice.Vpc) bool { return v.ID == in.VpcID }) {
		return none, sluice.InvalidParameter("VpcId", "does not exist", in.VpcID, "VpcId")
	}
	mappings, err := checkMappings(inv, in.VpcID, nil, in.SubnetMappings)
	if err != nil {
		return none, err
	}
	if err := checkTags(in.Tags); err != nil {
		return none, err
	}
	encryption, err := checkEncryption(in.Encryption)
	if err != nil {
		return none, err
	}
	return sluice.Firewall{
		Name:                           in.Name,
		Arn:                            c.o.Scope.FirewallARN(sluice.ResourceFirewall, in.Name),
		ID:                             sluice.NewUUID(),
		PolicyArn:                      in.PolicyArn,
		VpcID:                          in.VpcID,
		SubnetMappings:                 mappings,
		Description:                    in.Description,
		DeleteProtection:               in.DeleteProtection,
		SubnetChangeProtection:         in.SubnetChangeProtection,
		FirewallPolicyChangeProtection: in.FirewallPolicyChangeProtection,
		EnabledAnalysisTypes:           in.EnabledAnalysisTypes,
		Encryption:                     encryption,
		Tags:                           in.Tags,
		UpdateToken:                    sluice.NewUUID(),
		Created:                        c.o.Clock(),
	}, nil
}

// maxPolicyReads bounds how often a view is read again because its firewall and
// its policy were read at two moments.
const maxPolicyReads = 3

// DescribeFirewall returns a firewall with what its agents say of it.
func (c *Controller) DescribeFirewall(ctx context.Context, s Selector) (FirewallView, error) {
	f, err := c.firewall(ctx, s)
	if err != nil {
		return FirewallView{}, err
	}
	return c.firewallView(ctx, f)
}

func (c *Controller) firewallView(ctx context.Context, f sluice.Firewall) (FirewallView, error) {
	p, err := c.policy(ctx, Selector{Arn: f.PolicyArn})
	for range maxPolicyReads {
		if sluice.KindOf(err) != sluice.KindNotFound {
			break
		}
		// The firewall got another policy, and this one was deleted, since f was read.
		if f, err = c.firewall(ctx, Selector{Arn: f.Arn}); err == nil {
			p, err = c.policy(ctx, Selector{Arn: f.PolicyArn})
		}
	}
	if err != nil {
		return FirewallView{}, err
	}
	c.mu.Lock()
	published := c.published
	c.mu.Unlock()
	return FirewallView{Firewall: f, Status: firewallStatus(f, p, published, c.o.Fleet.Statuses())}, nil
}

// ListFirewalls returns the firewalls of the VPCs, ordered by name; all of them
// when no VPC is named.
func (c *Controller) ListFirewalls(ctx context.Context, vpcIDs []string) ([]sluice.Firewall, error) {
	all, err := c.o.Store.Firewalls(ctx)
	if err != nil || len(vpcIDs) == 0 {
		return all, err
	}
	return slices.DeleteFunc(all, func(f sluice.Firewall) bool { return !slices.Contains(vpcIDs, f.VpcID) }), nil
}

// DeleteFirewall begins to delete a firewall. It stays DELETING until the agents
// have let go of its endpoints and its flow operations have ended.
func (c *Controller) DeleteFirewall(ctx context.Context, s Selector) (FirewallView, error) {
	f, err := c.firewall(ctx, s)
	if err != nil {
		return FirewallView{}, err
	}
	p, err := c.policy(ctx, Selector{Arn: f.PolicyArn})
	if err != nil {
		return FirewallView{}, err
	}
	id := f.ID
	f, err = c.o.Store.UpdateFirewall(ctx, f.Name, c.o.Quotas.FirewallsPerPolicy, func(f sluice.Firewall) (sluice.Firewall, error) {
		if f.ID != id {
			return f, errNotFound(s.member(firewallNoun))
		}
		if f.DeleteProtection {
			return f, errProtected("DeleteProtection", f)
		}
		f.Deleting = true
		return f, nil
	})
	if err != nil {
		return FirewallView{}, err
	}
	c.cancelOperations(f.ID)
	c.changed()
	return FirewallView{Firewall: f, Status: firewallStatus(f, p, publication{}, nil)}, nil
}

// updateFirewall changes a firewall, whose token it compares, when one is given,
// and replaces.
func (c *Controller) updateFirewall(ctx context.Context, s Selector, token string, change func(sluice.Firewall) (sluice.Firewall, error)) (sluice.Firewall, error) {
	f, err := c.firewall(ctx, s)
	if err != nil {
		return f, err
	}
	id, next := f.ID, sluice.NewUUID()
	f, err = c.o.Store.UpdateFirewall(ctx, f.Name, c.o.Quotas.FirewallsPerPolicy, func(f sluice.Firewall) (sluice.Firewall, error) {
		if f.ID != id {
			return f, errNotFound(s.member(firewallNoun))
		}
		if f.Deleting {
			return f, errDeleting(f)
		}
		if token != "" && token != f.UpdateToken {
			return f, errToken(token)
		}
		f.UpdateToken = next
		return change(f)
	})
	if err == nil {
		c.changed()
	}
	return f, err
}
