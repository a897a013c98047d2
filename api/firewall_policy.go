package api

import (
	"context"

	"sluice"
	"sluice/api/wire"
	"sluice/control"
)

// policySelector names a policy by name, by ARN or by both.
type policySelector struct {
	FirewallPolicyName *string `shape:"ResourceName"`
	FirewallPolicyArn  *string `shape:"ResourceArn"`
}

func (s policySelector) selector() control.Selector {
	return control.Selector{Name: value(s.FirewallPolicyName), Arn: value(s.FirewallPolicyArn)}
}

type createFirewallPolicyRequest struct {
	FirewallPolicyName      *string         `shape:"ResourceName" required:"true"`
	FirewallPolicy          *firewallPolicy `required:"true"`
	Description             *string         `shape:"Description"`
	Tags                    []tag           `shape:"TagList"`
	DryRun                  *bool
	EncryptionConfiguration *encryptionConfiguration
}

// firewallPolicyResponse is the FirewallPolicyResponse structure: what is known of a
// policy beside what the client sent. Consumed capacities are of rule groups, which
// no policy can have.
type firewallPolicyResponse struct {
	FirewallPolicyName            string
	FirewallPolicyArn             string
	FirewallPolicyId              string
	Description                   *string `json:",omitempty"`
	FirewallPolicyStatus          string
	Tags                          []tag
	ConsumedStatelessRuleCapacity int32
	ConsumedStatefulRuleCapacity  int32
	NumberOfAssociations          int32
	EncryptionConfiguration       *encryptionConfiguration
	LastModifiedTime              wire.Timestamp
}

func showPolicy(v control.PolicyView) *firewallPolicyResponse {
	return &firewallPolicyResponse{
		FirewallPolicyName:      v.Name,
		FirewallPolicyArn:       v.Arn,
		FirewallPolicyId:        v.ID,
		Description:             given(v.Description),
		FirewallPolicyStatus:    v.Status,
		Tags:                    showTags(v.Tags),
		NumberOfAssociations:    wire.Int32(v.Associations),
		EncryptionConfiguration: showEncryption(v.Encryption),
		LastModifiedTime:        wire.Timestamp(v.LastModified),
	}
}

type changeFirewallPolicyResponse struct {
	UpdateToken            string
	FirewallPolicyResponse *firewallPolicyResponse
}

func createFirewallPolicy(ctx context.Context, c *call, in *createFirewallPolicyRequest) (*changeFirewallPolicyResponse, error) {
	body, err := in.FirewallPolicy.body(c.backend.Scope())
	if err != nil {
		return nil, err
	}
	v, err := c.backend.CreateFirewallPolicy(ctx, control.CreateFirewallPolicyInput{
		Name:        *in.FirewallPolicyName,
		Description: value(in.Description),
		Body:        body,
		Tags:        tagsOf(in.Tags),
		Encryption:  in.EncryptionConfiguration.configuration(),
		DryRun:      value(in.DryRun),
	})
	if err != nil {
		return nil, err
	}
	return &changeFirewallPolicyResponse{v.UpdateToken, showPolicy(v)}, nil
}

type updateFirewallPolicyRequest struct {
	UpdateToken *string `shape:"UpdateToken" required:"true"`
	policySelector
	FirewallPolicy          *firewallPolicy `required:"true"`
	Description             *string         `shape:"Description"`
	DryRun                  *bool
	EncryptionConfiguration *encryptionConfiguration
}

func updateFirewallPolicy(ctx context.Context, c *call, in *updateFirewallPolicyRequest) (*changeFirewallPolicyResponse, error) {
	body, err := in.FirewallPolicy.body(c.backend.Scope())
	if err != nil {
		return nil, err
	}
	v, err := c.backend.UpdateFirewallPolicy(ctx, control.UpdateFirewallPolicyInput{
		Selector:    in.selector(),
		UpdateToken: *in.UpdateToken,
		Description: value(in.Description),
		Body:        body,
		Encryption:  in.EncryptionConfiguration.configuration(),
		DryRun:      value(in.DryRun),
	})
	if err != nil {
		return nil, err
	}
	return &changeFirewallPolicyResponse{v.UpdateToken, showPolicy(v)}, nil
}

type namePolicyRequest struct{ policySelector }

type describeFirewallPolicyResponse struct {
	UpdateToken            string
	FirewallPolicyResponse *firewallPolicyResponse
	FirewallPolicy         *firewallPolicy
}

func describeFirewallPolicy(ctx context.Context, c *call, in *namePolicyRequest) (*describeFirewallPolicyResponse, error) {
	v, err := c.backend.DescribeFirewallPolicy(ctx, in.selector())
	if err != nil {
		return nil, err
	}
	return &describeFirewallPolicyResponse{v.UpdateToken, showPolicy(v), showPolicyBody(v.Body)}, nil
}

type deleteFirewallPolicyResponse struct{ FirewallPolicyResponse *firewallPolicyResponse }

func deleteFirewallPolicy(ctx context.Context, c *call, in *namePolicyRequest) (*deleteFirewallPolicyResponse, error) {
	v, err := c.backend.DeleteFirewallPolicy(ctx, in.selector())
	if err != nil {
		return nil, err
	}
	return &deleteFirewallPolicyResponse{showPolicy(v)}, nil
}

type listFirewallPoliciesRequest struct{ paging }

type firewallPolicyMetadata struct{ Name, Arn string }

type listFirewallPoliciesResponse struct {
	NextToken        *string `json:",omitempty"`
	FirewallPolicies []firewallPolicyMetadata
}

func listFirewallPolicies(ctx context.Context, c *call, in *listFirewallPoliciesRequest) (*listFirewallPoliciesResponse, error) {
	all, err := c.backend.ListFirewallPolicies(ctx)
	if err != nil {
		return nil, err
	}
	page, next, err := byName(c, binding(c.operation), in.NextToken, in.MaxResults, all,
		func(p sluice.FirewallPolicy) string { return p.Name })
	if err != nil {
		return nil, err
	}
	out := &listFirewallPoliciesResponse{next, make([]firewallPolicyMetadata, len(page))}
	for i, p := range page {
		out.FirewallPolicies[i] = firewallPolicyMetadata{p.Name, p.Arn}
	}
	return out, nil
}
