package control

import (
	"context"
	"reflect"

	"sluice"
)

// The values of PolicyView.Status that Sluice uses.
const (
	policyActive   = "ACTIVE"
	policyDeleting = "DELETING"
)

// checkEncryption fills in the AWS owned key where none is named.
func checkEncryption(e *sluice.EncryptionConfiguration) (sluice.EncryptionConfiguration, error) {
	if e == nil {
		return sluice.AWSOwnedKey, nil
	}
	switch {
	case e.Type == sluice.AWSOwnedKey.Type && (e.KeyID == "" || e.KeyID == sluice.AWSOwnedKey.KeyID):
		return sluice.AWSOwnedKey, nil
	case e.Type == sluice.AWSOwnedKey.Type:
		return *e, sluice.InvalidParameter("KeyId, Type", "cannot exist together", e.KeyID+", "+e.Type, "EncryptionConfiguration")
	case e.Type != "CUSTOMER_KMS":
		return *e, sluice.InvalidParameter("Type", "is invalid", e.Type, "EncryptionConfiguration.Type")
	case e.KeyID == "":
		return *e, sluice.InvalidParameter("KeyId", "cannot be null or empty", "", "EncryptionConfiguration.KeyId")
	}
	return *e, nil
}

// shown returns a policy as reads show it: where the engine options were sent
// without a stream exception policy, AWS adds the default.
func shown(p sluice.FirewallPolicy) sluice.FirewallPolicy {
	if o := p.Body.StatefulEngineOptions; o != nil && o.StreamExceptionPolicy == "" {
		filled := *o
		filled.StreamExceptionPolicy = sluice.StreamExceptionDrop
		p.Body.StatefulEngineOptions = &filled
	}
	return p
}

func (c *Controller) policyView(ctx context.Context, p sluice.FirewallPolicy) (PolicyView, error) {
	all, err := c.o.Store.Firewalls(ctx)
	if err != nil {
		return PolicyView{}, err
	}
	v := PolicyView{FirewallPolicy: shown(p), Status: policyActive}
	for _, f := range all {
		if f.PolicyArn == p.Arn {
			v.Associations++
		}
	}
	return v, nil
}

// CreateFirewallPolicy makes a policy. With DryRun it checks everything and
// answers as if it had; the ARN in the answer is not of a resource then.
func (c *Controller) CreateFirewallPolicy(ctx context.Context, in CreateFirewallPolicyInput) (PolicyView, error) {
	if !namePattern.MatchString(in.Name) {
		return PolicyView{}, sluice.InvalidParameter("FirewallPolicyName", "has invalid format", in.Name, "FirewallPolicyName")
	}
	if err := checkPolicyBody(in.Body); err != nil {
		return PolicyView{}, err
	}
	if err := checkTags(in.Tags); err != nil {
		return PolicyView{}, err
	}
	encryption, err := checkEncryption(in.Encryption)
	if err != nil {
		return PolicyView{}, err
	}
	p := sluice.FirewallPolicy{
		Name:         in.Name,
		Arn:          c.o.Scope.FirewallARN(sluice.ResourceFirewallPolicy, in.Name),
		ID:           sluice.NewUUID(),
		Description:  in.Description,
		Body:         in.Body,
		Encryption:   encryption,
		Tags:         in.Tags,
		UpdateToken:  sluice.NewUUID(),
		LastModified: c.o.Clock(),
		Generation:   1,
	}
	if in.DryRun {
		err = c.o.Store.CheckFirewallPolicy(ctx, p.Name, c.o.Quotas.FirewallPolicies)
	} else {
		err = c.o.Store.CreateFirewallPolicy(ctx, p, c.o.Quotas.FirewallPolicies)
	}
	if err != nil {
		return PolicyView{}, err
	}
	return PolicyView{FirewallPolicy: shown(p), Status: policyActive}, nil
}

// DescribeFirewallPolicy returns a policy.
func (c *Controller) DescribeFirewallPolicy(ctx context.Context, s Selector) (PolicyView, error) {
	p, err := c.policy(ctx, s)
	if err != nil {
		return PolicyView{}, err
	}
	return c.policyView(ctx, p)
}

// ListFirewallPolicies returns all policies, ordered by name.
func (c *Controller) ListFirewallPolicies(ctx context.Context) ([]sluice.FirewallPolicy, error) {
	all, err := c.o.Store.FirewallPolicies(ctx)
	for i := range all {
		all[i] = shown(all[i])
	}
	return all, err
}

// UpdateFirewallPolicy replaces the body of a policy. Firewalls that use it are
// PENDING until their agents enforce the new one.
func (c *Controller) UpdateFirewallPolicy(ctx context.Context, in UpdateFirewallPolicyInput) (PolicyView, error) {
	p, err := c.policy(ctx, in.Selector)
	if err != nil {
		return PolicyView{}, err
	}
	if err := checkPolicyBody(in.Body); err != nil {
		return PolicyView{}, err
	}
	encryption, err := checkEncryption(in.Encryption)
	if err != nil {
		return PolicyView{}, err
	}
	token, now := sluice.NewUUID(), c.o.Clock()
	change := func(p sluice.FirewallPolicy) (sluice.FirewallPolicy, error) {
		if p.UpdateToken != in.UpdateToken {
			return p, errToken(in.UpdateToken)
		}
		if order := in.Body.RuleOrder(); order != p.Body.RuleOrder() {
			return p, sluice.InvalidParameter("RuleOrder", "cannot be changed", order, "StatefulEngineOptions.RuleOrder")
		}
		if !reflect.DeepEqual(p.Body, in.Body) {
			p.Generation++
		}
		p.Body = in.Body
		if in.Description != "" {
			p.Description = in.Description
		}
		if in.Encryption != nil {
			p.Encryption = encryption
		}
		p.UpdateToken, p.LastModified = token, now
		return p, nil
	}
	if in.DryRun {
		p, err = change(p)
	} else {
		p, err = c.o.Store.UpdateFirewallPolicy(ctx, p.Name, change)
	}
	if err != nil {
		return PolicyView{}, err
	}
	c.changed()
	return c.policyView(ctx, p)
}

// errToken is the answer to an UpdateToken that is not the resource's own.
func errToken(token string) error {
	return sluice.Errorf(sluice.KindInvalidToken, "UpdateToken is invalid, parameter: [%s], context: UpdateToken", token)
}

// DeleteFirewallPolicy removes a policy that no firewall uses. It is gone when the
// answer comes, though that says DELETING as AWS does.
func (c *Controller) DeleteFirewallPolicy(ctx context.Context, s Selector) (PolicyView, error) {
	p, err := c.policy(ctx, s)
	if err != nil {
		return PolicyView{}, err
	}
	if p, err = c.o.Store.DeleteFirewallPolicy(ctx, p.Name); err != nil {
		return PolicyView{}, err
	}
	return PolicyView{FirewallPolicy: shown(p), Status: policyDeleting}, nil
}
