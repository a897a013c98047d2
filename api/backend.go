package api

import (
	"context"

	"sluice"
	"sluice/control"
)

// Backend is what the operations of this front door call. control.Controller is
// the one that ships; every error that a caller may read is a *sluice.Error.
type Backend interface {
	CreateFirewallPolicy(context.Context, control.CreateFirewallPolicyInput) (control.PolicyView, error)
	DescribeFirewallPolicy(context.Context, control.Selector) (control.PolicyView, error)
	UpdateFirewallPolicy(context.Context, control.UpdateFirewallPolicyInput) (control.PolicyView, error)
	DeleteFirewallPolicy(context.Context, control.Selector) (control.PolicyView, error)
	// ListFirewallPolicies returns all policies, ordered by name.
	ListFirewallPolicies(context.Context) ([]sluice.FirewallPolicy, error)

	CreateFirewall(context.Context, control.CreateFirewallInput) (control.FirewallView, error)
	DescribeFirewall(context.Context, control.Selector) (control.FirewallView, error)
	DeleteFirewall(context.Context, control.Selector) (control.FirewallView, error)
	// ListFirewalls returns the firewalls of the VPCs (all, when there are none),
	// ordered by name.
	ListFirewalls(ctx context.Context, vpcIDs []string) ([]sluice.Firewall, error)

	// The changes of a firewall take an UpdateToken ("" is unconditional) and
	// return the firewall with its new one.
	AssociateSubnets(ctx context.Context, s control.Selector, token string, mappings []sluice.SubnetMapping) (sluice.Firewall, error)
	DisassociateSubnets(ctx context.Context, s control.Selector, token string, subnetIDs []string) (sluice.Firewall, error)
	AssociateFirewallPolicy(ctx context.Context, s control.Selector, token, policyArn string) (sluice.Firewall, error)
	UpdateFirewallDeleteProtection(ctx context.Context, s control.Selector, token string, on bool) (sluice.Firewall, error)
	UpdateSubnetChangeProtection(ctx context.Context, s control.Selector, token string, on bool) (sluice.Firewall, error)
	UpdateFirewallPolicyChangeProtection(ctx context.Context, s control.Selector, token string, on bool) (sluice.Firewall, error)
	UpdateFirewallDescription(ctx context.Context, s control.Selector, token, description string) (sluice.Firewall, error)
	// A nil encryption means the AWS owned key.
	UpdateFirewallEncryptionConfiguration(ctx context.Context, s control.Selector, token string, e *sluice.EncryptionConfiguration) (sluice.Firewall, error)
	UpdateFirewallAnalysisSettings(ctx context.Context, s control.Selector, token string, types []string) (sluice.Firewall, error)

	// Tags of a firewall or a policy by ARN; ResourceTags orders them by key.
	TagResource(ctx context.Context, arn string, tags []sluice.Tag) error
	UntagResource(ctx context.Context, arn string, keys []string) error
	ResourceTags(ctx context.Context, arn string) ([]sluice.Tag, error)

	StartFlowOperation(context.Context, control.StartFlowOperationInput) (sluice.FlowOperation, error)
	DescribeFlowOperation(ctx context.Context, scope control.FlowScope, operationID string) (sluice.FlowOperation, error)
	// ListFlowOperations returns the operations of the last twelve hours in scope,
	// newest first; an empty type is both types.
	ListFlowOperations(ctx context.Context, scope control.FlowScope, t sluice.FlowOperationType) ([]sluice.FlowOperation, error)
	// FlowResults returns at most limit rows of a finished operation from row
	// offset on, in an order that never changes, and whether more follow. While the
	// operation runs, and when it failed, there are none.
	FlowResults(ctx context.Context, scope control.FlowScope, operationID string, offset int64, limit int) (op sluice.FlowOperation, rows []sluice.Flow, more bool, err error)

	// The EC2 changes of traffic mirroring. An error brings EC2's code; a dry run that
	// would have succeeded is one too.
	CreateTrafficMirrorFilter(context.Context, control.CreateTrafficMirrorFilterInput) (sluice.TrafficMirrorFilter, error)
	ModifyTrafficMirrorFilterNetworkServices(ctx context.Context, id string, add, remove []string, dryRun bool) (sluice.TrafficMirrorFilter, error)
	DeleteTrafficMirrorFilter(ctx context.Context, id string, dryRun bool) error
	CreateTrafficMirrorFilterRule(context.Context, control.CreateTrafficMirrorFilterRuleInput) (sluice.TrafficMirrorFilterRule, error)
	ModifyTrafficMirrorFilterRule(context.Context, control.ModifyTrafficMirrorFilterRuleInput) (sluice.TrafficMirrorFilterRule, error)
	DeleteTrafficMirrorFilterRule(ctx context.Context, id string, dryRun bool) error
	CreateTrafficMirrorTarget(context.Context, control.CreateTrafficMirrorTargetInput) (sluice.TrafficMirrorTarget, error)
	DeleteTrafficMirrorTarget(ctx context.Context, id string, dryRun bool) error
	CreateTrafficMirrorSession(context.Context, control.CreateTrafficMirrorSessionInput) (sluice.TrafficMirrorSession, error)
	ModifyTrafficMirrorSession(context.Context, control.ModifyTrafficMirrorSessionInput) (sluice.TrafficMirrorSession, error)
	DeleteTrafficMirrorSession(ctx context.Context, id string, dryRun bool) error
	// The lists return everything, with tags.
	TrafficMirrorFilters(context.Context) ([]sluice.TrafficMirrorFilter, error)
	TrafficMirrorTargets(context.Context) ([]sluice.TrafficMirrorTarget, error)
	TrafficMirrorSessions(context.Context) ([]sluice.TrafficMirrorSession, error)

	CreateSecurityGroup(context.Context, control.CreateSecurityGroupInput) (sluice.SecurityGroup, error)
	// AuthorizeSecurityGroupIngress and RevokeSecurityGroupIngress return the group and
	// the rules that came or went.
	AuthorizeSecurityGroupIngress(context.Context, control.AuthorizeSecurityGroupIngressInput) (sluice.SecurityGroup, []sluice.SecurityGroupRule, error)
	RevokeSecurityGroupIngress(context.Context, control.RevokeSecurityGroupIngressInput) (sluice.SecurityGroup, []sluice.SecurityGroupRule, error)
	// DeleteSecurityGroup returns the id of the group.
	DeleteSecurityGroup(ctx context.Context, s control.SecurityGroupSelector, dryRun bool) (string, error)
	SecurityGroups(context.Context) ([]sluice.SecurityGroup, error)

	CreateTags(ctx context.Context, ids []string, tags []sluice.Tag, dryRun bool) error
	DeleteTags(ctx context.Context, ids []string, selectors []control.EC2TagSelector, dryRun bool) error
	// EC2Tags returns the tags that EC2 resources of some types were given, of every
	// type without one, by id.
	EC2Tags(ctx context.Context, resourceTypes ...string) (map[string][]sluice.Tag, error)

	// Inventory is what the EC2 reads show.
	Inventory(context.Context) (sluice.Inventory, error)
	// Scope is the account and region that this installation answers for.
	Scope() sluice.Scope
}
