package control

import (
	"context"

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
