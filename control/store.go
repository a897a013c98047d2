package control

import (
	"context"
	"time"

	"sluice"
)

// Store is the state that survives. Every check of uniqueness, of a limit or of a
// reference happens in the same transaction as the write that depends on it, and
// what a call has acknowledged is durable. Errors that a caller may read are
// *sluice.Error; where a thing is missing their kind is KindNotFound.
type Store interface {
	FirewallPolicyStore
	FirewallStore
	FlowOperationStore
	TrafficMirrorStore
	SecurityGroupStore
	EC2TagStore
	SandboxStore
	// ForgetCreations forgets the client tokens of requests answered before a time.
	ForgetCreations(ctx context.Context, before time.Time) error
	// DesiredRevision numbers desired states: the number grows, over restarts too,
	// with each digest that differs from the one before.
	DesiredRevision(ctx context.Context, digest string) (int64, error)
}

// FirewallPolicyStore keeps firewall policies by name.
type FirewallPolicyStore interface {
	// CheckFirewallPolicy tells whether CreateFirewallPolicy would succeed now.
	CheckFirewallPolicy(ctx context.Context, name string, quota int) error
	// CreateFirewallPolicy fails when the name is taken or quota policies exist.
	CreateFirewallPolicy(ctx context.Context, p sluice.FirewallPolicy, quota int) error
	FirewallPolicy(ctx context.Context, name string) (sluice.FirewallPolicy, error)
	// FirewallPolicies are ordered by name.
	FirewallPolicies(ctx context.Context) ([]sluice.FirewallPolicy, error)
	// UpdateFirewallPolicy writes what change makes of the policy. change is pure:
	// it may be called several times.
	UpdateFirewallPolicy(ctx context.Context, name string, change func(sluice.FirewallPolicy) (sluice.FirewallPolicy, error)) (sluice.FirewallPolicy, error)
	// DeleteFirewallPolicy fails while a firewall uses the policy.
	DeleteFirewallPolicy(ctx context.Context, name string) (sluice.FirewallPolicy, error)
}

// FirewallStore keeps firewalls by name.
type FirewallStore interface {
	// CreateFirewall fails when the name is taken, quota firewalls exist, or the
	// policy does not exist or has perPolicy firewalls.
	CreateFirewall(ctx context.Context, f sluice.Firewall, quota, perPolicy int) error
	Firewall(ctx context.Context, name string) (sluice.Firewall, error)
	// Firewalls are ordered by name.
	Firewalls(ctx context.Context) ([]sluice.Firewall, error)
	// UpdateFirewall writes what the pure change makes of the firewall. Another
	// policy is checked as in CreateFirewall.
	UpdateFirewall(ctx context.Context, name string, perPolicy int, change func(sluice.Firewall) (sluice.Firewall, error)) (sluice.Firewall, error)
	// RemoveFirewall removes a firewall that is Deleting, with its flow operations,
	// and returns their ids.
	RemoveFirewall(ctx context.Context, name, id string) ([]string, error)
}

// FlowOperationStore keeps flow operations.
type FlowOperationStore interface {
	// StartFlowOperation writes op and takes its zones; it fails with
	// KindThrottling when another operation of the firewall holds one of them.
	StartFlowOperation(ctx context.Context, firewallName string, op sluice.FlowOperation) error
	// FinishFlowOperation writes the end of an operation in progress and frees its
	// zones.
	FinishFlowOperation(ctx context.Context, op sluice.FlowOperation) error
	FlowOperation(ctx context.Context, firewallID, id string) (sluice.FlowOperation, error)
	// FlowOperations returns the operations of a firewall, or of all with "".
	FlowOperations(ctx context.Context, firewallID string) ([]sluice.FlowOperation, error)
	// RemoveFlowOperations removes operations that have ended.
	RemoveFlowOperations(ctx context.Context, ops []sluice.FlowOperation) error
}

// TrafficMirrorStore keeps the objects of traffic mirroring, with their tags. A
// Creation whose token was answered before is answered so again, before any check; a
// dry run passes all checks and ends with sluice.DryRun. change and check are pure.
type TrafficMirrorStore interface {
	CreateTrafficMirrorFilter(ctx context.Context, c sluice.Creation, f sluice.TrafficMirrorFilter, q sluice.MirrorQuotas) (sluice.TrafficMirrorFilter, error)
	// TrafficMirrorFilters are ordered by id, like all lists here.
	TrafficMirrorFilters(ctx context.Context) ([]sluice.TrafficMirrorFilter, error)
	UpdateTrafficMirrorFilter(ctx context.Context, id string, dryRun bool, change func(sluice.TrafficMirrorFilter) (sluice.TrafficMirrorFilter, error)) (sluice.TrafficMirrorFilter, error)
	// DeleteTrafficMirrorFilter removes the rules too. It fails while a session uses
	// the filter.
	DeleteTrafficMirrorFilter(ctx context.Context, id string, dryRun bool) error

	// CreateTrafficMirrorFilterRule fails where the number is taken in the rule's
	// direction.
	CreateTrafficMirrorFilterRule(ctx context.Context, c sluice.Creation, r sluice.TrafficMirrorFilterRule, q sluice.MirrorQuotas) (sluice.TrafficMirrorFilterRule, error)
	UpdateTrafficMirrorFilterRule(ctx context.Context, id string, dryRun bool, change func(sluice.TrafficMirrorFilterRule) (sluice.TrafficMirrorFilterRule, error)) (sluice.TrafficMirrorFilterRule, error)
	DeleteTrafficMirrorFilterRule(ctx context.Context, id string, dryRun bool) error

	// CreateTrafficMirrorTarget asks check first. A load balancer is one target only.
	CreateTrafficMirrorTarget(ctx context.Context, c sluice.Creation, t sluice.TrafficMirrorTarget, q sluice.MirrorQuotas, check func() error) (sluice.TrafficMirrorTarget, error)
	TrafficMirrorTargets(ctx context.Context) ([]sluice.TrafficMirrorTarget, error)
	// DeleteTrafficMirrorTarget fails while a session uses the target.
	DeleteTrafficMirrorTarget(ctx context.Context, id string, dryRun bool) error

	// CreateTrafficMirrorSession gives check the session's target and writes what it
	// returns, with a network identifier that no session has where it has none.
	CreateTrafficMirrorSession(ctx context.Context, c sluice.Creation, s sluice.TrafficMirrorSession, q sluice.MirrorQuotas, check SessionCheck) (sluice.TrafficMirrorSession, error)
	TrafficMirrorSessions(ctx context.Context) ([]sluice.TrafficMirrorSession, error)
	UpdateTrafficMirrorSession(ctx context.Context, id string, dryRun bool, q sluice.MirrorQuotas, change func(sluice.TrafficMirrorSession) (sluice.TrafficMirrorSession, error), check SessionCheck) (sluice.TrafficMirrorSession, error)
	DeleteTrafficMirrorSession(ctx context.Context, id string, dryRun bool) error
	// DeleteSessionsOf removes all sessions of some sources and returns them. What it
	// returns with an error is removed all the same.
	DeleteSessionsOf(ctx context.Context, sources []string) ([]sluice.TrafficMirrorSession, error)

	// Mirrors returns everything as it was at one moment; of tags those of sessions
	// alone.
	Mirrors(ctx context.Context) ([]sluice.TrafficMirrorFilter, []sluice.TrafficMirrorTarget, []sluice.TrafficMirrorSession, error)
}

// SessionCheck checks a session against its target and completes it.
type SessionCheck = func(sluice.TrafficMirrorSession, sluice.TrafficMirrorTarget) (sluice.TrafficMirrorSession, error)

// SecurityGroupStore keeps security groups.
type SecurityGroupStore interface {
	// CreateSecurityGroup fails where the name is taken in the VPC.
	CreateSecurityGroup(ctx context.Context, g sluice.SecurityGroup, dryRun bool, q sluice.SecurityGroupQuotas) error
	SecurityGroups(ctx context.Context) ([]sluice.SecurityGroup, error)
	// UpdateSecurityGroup fails where a new rule names a group that is not there.
	UpdateSecurityGroup(ctx context.Context, id string, dryRun bool, change func(sluice.SecurityGroup) (sluice.SecurityGroup, error)) error
	// DeleteSecurityGroup fails while a rule of another group names this one.
	DeleteSecurityGroup(ctx context.Context, id string, dryRun bool) error
}

// EC2TagStore keeps the tags of EC2 resources.
type EC2TagStore interface {
	// EC2Tags returns the tags that were given to resources of some types, of every
	// type without one, by the id of the resource.
	EC2Tags(ctx context.Context, resourceTypes ...string) (map[string][]sluice.Tag, error)
	// UpdateEC2Tags changes the tags of all resources or of none. known tells whether
	// a resource exists that the store does not keep.
	UpdateEC2Tags(ctx context.Context, ids []string, dryRun bool, known func(id string) error, change func(id string, old []sluice.Tag) ([]sluice.Tag, error)) error
}
