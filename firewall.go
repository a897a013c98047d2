package sluice

import "time"

// The values of FirewallStatus.Status.
const (
	FirewallProvisioning = "PROVISIONING"
	FirewallReady        = "READY"
	FirewallDeleting     = "DELETING"
)

// The values of ConfigurationSyncStateSummary and of a Config's SyncStatus.
const (
	SyncPending = "PENDING"
	SyncInSync  = "IN_SYNC"
)

// The values of Attachment.Status that Sluice uses.
const (
	AttachmentCreating = "CREATING"
	AttachmentDeleting = "DELETING"
	AttachmentFailed   = "FAILED"
	AttachmentError    = "ERROR"
	AttachmentReady    = "READY"
)

// The values of SubnetMapping.IPAddressType.
const (
	IPAddressDualstack = "DUALSTACK"
	IPAddressIPv4      = "IPV4"
	IPAddressIPv6      = "IPV6"
)

// SubnetMapping puts a firewall endpoint into a subnet.
type SubnetMapping struct {
	SubnetID         string
	IPAddressType    string
	AvailabilityZone string // of the subnet, when the mapping was made
	EndpointID       string // "vpce-" + 17 hex digits
}

// Firewall is a stored firewall: one endpoint in each mapped subnet's zone, all
// under one policy.
type Firewall struct {
	Name                           string
	Arn                            string
	ID                             string // lower-case UUID
	PolicyArn                      string
	VpcID                          string
	SubnetMappings                 []SubnetMapping // ordered as they were added
	Description                    string
	DeleteProtection               bool
	SubnetChangeProtection         bool
	FirewallPolicyChangeProtection bool
	EnabledAnalysisTypes           []string
	Encryption                     EncryptionConfiguration
	Tags                           []Tag
	UpdateToken                    string
	Created                        time.Time
	// Deleting says that DeleteFirewall was accepted; the firewall goes as soon as
	// the agents have let go of its endpoints.
	Deleting bool
}

// Mapping returns the firewall's mapping in a zone.
func (f Firewall) Mapping(zone string) (SubnetMapping, bool) {
	for _, m := range f.SubnetMappings {
		if m.AvailabilityZone == zone {
			return m, true
		}
	}
	return SubnetMapping{}, false
}
