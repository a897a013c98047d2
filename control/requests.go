package control

import "sluice"

// Selector names a resource by name, by ARN or by both.
type Selector struct{ Name, Arn string }

// CreateFirewallPolicyInput is the request of CreateFirewallPolicy.
type CreateFirewallPolicyInput struct {
	Name        string
	Description string
	Body        sluice.FirewallPolicyBody
	Tags        []sluice.Tag
	Encryption  *sluice.EncryptionConfiguration // nil: the AWS owned key
	DryRun      bool
}

// UpdateFirewallPolicyInput is the request of UpdateFirewallPolicy. Body replaces
// the old one whole.
type UpdateFirewallPolicyInput struct {
	Selector    Selector
	UpdateToken string
	Description string // "" leaves the old one
	Body        sluice.FirewallPolicyBody
	Encryption  *sluice.EncryptionConfiguration
	DryRun      bool
}

// PolicyView is a policy and what is derived from the rest of the state.
type PolicyView struct {
	sluice.FirewallPolicy
	Status       string // "ACTIVE" or "DELETING"
	Associations int    // firewalls that use it
}

// CreateFirewallInput is the request of CreateFirewall.
type CreateFirewallInput struct {
	Name                           string
	PolicyArn                      string
	VpcID                          string
	SubnetMappings                 []sluice.SubnetMapping // SubnetID and IPAddressType only
	Description                    string
	DeleteProtection               bool
	SubnetChangeProtection         bool
	FirewallPolicyChangeProtection bool
	EnabledAnalysisTypes           []string
	Tags                           []sluice.Tag
	Encryption                     *sluice.EncryptionConfiguration
}

// FirewallView is a firewall and its status.
type FirewallView struct {
	sluice.Firewall
	Status FirewallStatus
}

// FirewallStatus is the FirewallStatus structure of the API.
type FirewallStatus struct {
	Status      string               // sluice.FirewallReady, …
	SyncSummary string               // sluice.SyncInSync or SyncPending
	Zones       map[string]ZoneState // by availability zone
}

// ZoneState is the SyncState of one zone.
type ZoneState struct {
	SubnetID   string
	EndpointID string // "" until the endpoint exists
	Attachment string // sluice.AttachmentReady, …
	Message    string // why, where Attachment is FAILED or ERROR
	// ConfigSync and ConfigToken are the SyncStatus and UpdateToken of the policy,
	// whose ARN is the only key of Config until rule groups exist.
	ConfigSync  string
	ConfigToken string
}

// FlowScope names the part of a firewall that a flow operation works on. All of
// it but FirewallArn may be empty.
type FlowScope struct {
	FirewallArn            string
	AvailabilityZone       string
	VpcEndpointID          string
	EndpointAssociationArn string
}

// StartFlowOperationInput is the request of StartFlowCapture and StartFlowFlush.
type StartFlowOperationInput struct {
	Type         sluice.FlowOperationType
	Scope        FlowScope
	Filters      []sluice.FlowFilter
	MinimumAge   int32 // seconds
	MinimumGiven bool
}
