package api

import (
	"sluice"
	"sluice/control"
)

// maxCIDRs is what a firewall may resolve from IP set references, of which it has
// none (AWS: Network Firewall quotas).
const maxCIDRs = 1_000_000

// subnetMapping is the SubnetMapping structure, in requests and answers.
type subnetMapping struct {
	SubnetId      *string `required:"true"`
	IPAddressType *string `json:",omitempty" shape:"IPAddressType"`
}

func mappingsOf(in []subnetMapping) []sluice.SubnetMapping {
	out := make([]sluice.SubnetMapping, len(in))
	for i, m := range in {
		out[i] = sluice.SubnetMapping{SubnetID: value(m.SubnetId), IPAddressType: value(m.IPAddressType)}
	}
	return out
}

func showMappings(in []sluice.SubnetMapping) []subnetMapping {
	out := make([]subnetMapping, len(in))
	for i, m := range in {
		out[i] = subnetMapping{&m.SubnetID, given(m.IPAddressType)}
	}
	return out
}

// firewall is the Firewall structure.
type firewall struct {
	FirewallName                   string
	FirewallArn                    string
	FirewallPolicyArn              string
	VpcId                          string
	SubnetMappings                 []subnetMapping
	DeleteProtection               bool
	SubnetChangeProtection         bool
	FirewallPolicyChangeProtection bool
	Description                    *string `json:",omitempty"`
	FirewallId                     string
	Tags                           []tag
	EncryptionConfiguration        *encryptionConfiguration
	NumberOfAssociations           int32    // of VPC endpoint associations: none
	EnabledAnalysisTypes           []string `json:",omitempty"`
}

func showFirewall(f sluice.Firewall) *firewall {
	return &firewall{
		FirewallName:                   f.Name,
		FirewallArn:                    f.Arn,
		FirewallPolicyArn:              f.PolicyArn,
		VpcId:                          f.VpcID,
		SubnetMappings:                 showMappings(f.SubnetMappings),
		DeleteProtection:               f.DeleteProtection,
		SubnetChangeProtection:         f.SubnetChangeProtection,
		FirewallPolicyChangeProtection: f.FirewallPolicyChangeProtection,
		Description:                    given(f.Description),
		FirewallId:                     f.ID,
		Tags:                           showTags(f.Tags),
		EncryptionConfiguration:        showEncryption(f.Encryption),
		EnabledAnalysisTypes:           f.EnabledAnalysisTypes,
	}
}

// firewallResponse is the answer of CreateFirewall, DeleteFirewall and, with the
// token, DescribeFirewall.
type firewallResponse struct {
	UpdateToken    *string `json:",omitempty"`
	Firewall       *firewall
	FirewallStatus *firewallStatus
}

type firewallStatus struct {
	Status                        string
	ConfigurationSyncStateSummary string
	SyncStates                    map[string]syncState
	CapacityUsageSummary          capacityUsage
}

type syncState struct {
	Attachment attachment
	// Config is keyed by the ARN of the policy. The model says name, AWS says ARN.
	Config map[string]configStatus
}

type attachment struct {
	SubnetId      string
	EndpointId    *string `json:",omitempty"`
	Status        string
	StatusMessage *string `json:",omitempty"`
}

type configStatus struct {
	SyncStatus  string
	UpdateToken string
}

type capacityUsage struct{ CIDRs cidrSummary }

type cidrSummary struct {
	AvailableCIDRCount int32
	UtilizedCIDRCount  int32
	IPSetReferences    struct{}
}

func showStatus(s control.FirewallStatus, policyArn string) *firewallStatus {
	out := &firewallStatus{
		Status:                        s.Status,
		ConfigurationSyncStateSummary: s.SyncSummary,
		SyncStates:                    map[string]syncState{},
		CapacityUsageSummary:          capacityUsage{cidrSummary{AvailableCIDRCount: maxCIDRs}},
	}
	for zone, z := range s.Zones {
		state := syncState{
			Attachment: attachment{z.SubnetID, given(z.EndpointID), z.Attachment, given(z.Message)},
			Config:     map[string]configStatus{},
		}
		if z.ConfigSync != "" {
			state.Config[policyArn] = configStatus{z.ConfigSync, z.ConfigToken}
		}
		out.SyncStates[zone] = state
	}
	return out
}

// firewallChange is what the answers of all changes of a firewall begin with.
type firewallChange struct {
	FirewallArn  string
	FirewallName string
	UpdateToken  string
}

func showChange(f sluice.Firewall) firewallChange {
	return firewallChange{f.Arn, f.Name, f.UpdateToken}
}
