package api

import (
	"context"

	"sluice"
)

// firewallChangeRequest are the members of every change of a firewall.
type firewallChangeRequest struct {
	UpdateToken *string `shape:"UpdateToken"`
	firewallSelector
}

type associateSubnetsRequest struct {
	firewallChangeRequest
	SubnetMappings []subnetMapping `required:"true"`
}

type subnetsResponse struct {
	firewallChange
	SubnetMappings []subnetMapping
}

func showSubnets(f sluice.Firewall, err error) (*subnetsResponse, error) {
	return &subnetsResponse{showChange(f), showMappings(f.SubnetMappings)}, err
}

func associateSubnets(ctx context.Context, c *call, in *associateSubnetsRequest) (*subnetsResponse, error) {
	return showSubnets(c.backend.AssociateSubnets(ctx, in.selector(), value(in.UpdateToken), mappingsOf(in.SubnetMappings)))
}

type disassociateSubnetsRequest struct {
	firewallChangeRequest
	SubnetIds []string `of:"AzSubnet" required:"true"`
}

func disassociateSubnets(ctx context.Context, c *call, in *disassociateSubnetsRequest) (*subnetsResponse, error) {
	return showSubnets(c.backend.DisassociateSubnets(ctx, in.selector(), value(in.UpdateToken), in.SubnetIds))
}

type associateFirewallPolicyRequest struct {
	firewallChangeRequest
	FirewallPolicyArn *string `shape:"ResourceArn" required:"true"`
}

type associateFirewallPolicyResponse struct {
	firewallChange
	FirewallPolicyArn string
}

func associateFirewallPolicy(ctx context.Context, c *call, in *associateFirewallPolicyRequest) (*associateFirewallPolicyResponse, error) {
	f, err := c.backend.AssociateFirewallPolicy(ctx, in.selector(), value(in.UpdateToken), *in.FirewallPolicyArn)
	return &associateFirewallPolicyResponse{showChange(f), f.PolicyArn}, err
}

type updateFirewallDeleteProtectionRequest struct {
	firewallChangeRequest
	DeleteProtection *bool `required:"true"`
}

type updateFirewallDeleteProtectionResponse struct {
	firewallChange
	DeleteProtection bool
}

func updateFirewallDeleteProtection(ctx context.Context, c *call, in *updateFirewallDeleteProtectionRequest) (*updateFirewallDeleteProtectionResponse, error) {
	f, err := c.backend.UpdateFirewallDeleteProtection(ctx, in.selector(), value(in.UpdateToken), *in.DeleteProtection)
	return &updateFirewallDeleteProtectionResponse{showChange(f), f.DeleteProtection}, err
}

type updateSubnetChangeProtectionRequest struct {
	firewallChangeRequest
	SubnetChangeProtection *bool `required:"true"`
}

type updateSubnetChangeProtectionResponse struct {
	firewallChange
	SubnetChangeProtection bool
}

func updateSubnetChangeProtection(ctx context.Context, c *call, in *updateSubnetChangeProtectionRequest) (*updateSubnetChangeProtectionResponse, error) {
	f, err := c.backend.UpdateSubnetChangeProtection(ctx, in.selector(), value(in.UpdateToken), *in.SubnetChangeProtection)
	return &updateSubnetChangeProtectionResponse{showChange(f), f.SubnetChangeProtection}, err
}

type updateFirewallPolicyChangeProtectionRequest struct {
	firewallChangeRequest
	FirewallPolicyChangeProtection *bool `required:"true"`
}

type updateFirewallPolicyChangeProtectionResponse struct {
	firewallChange
	FirewallPolicyChangeProtection bool
}

func updateFirewallPolicyChangeProtection(ctx context.Context, c *call, in *updateFirewallPolicyChangeProtectionRequest) (*updateFirewallPolicyChangeProtectionResponse, error) {
	f, err := c.backend.UpdateFirewallPolicyChangeProtection(ctx, in.selector(), value(in.UpdateToken), *in.FirewallPolicyChangeProtection)
	return &updateFirewallPolicyChangeProtectionResponse{showChange(f), f.FirewallPolicyChangeProtection}, err
}

type updateFirewallDescriptionRequest struct {
	firewallChangeRequest
	Description *string `shape:"Description"`
}

type updateFirewallDescriptionResponse struct {
	firewallChange
	Description *string `json:",omitempty"`
}

func updateFirewallDescription(ctx context.Context, c *call, in *updateFirewallDescriptionRequest) (*updateFirewallDescriptionResponse, error) {
	f, err := c.backend.UpdateFirewallDescription(ctx, in.selector(), value(in.UpdateToken), value(in.Description))
	return &updateFirewallDescriptionResponse{showChange(f), given(f.Description)}, err
}

type updateFirewallEncryptionConfigurationRequest struct {
	firewallChangeRequest
	EncryptionConfiguration *encryptionConfiguration
}

type updateFirewallEncryptionConfigurationResponse struct {
	firewallChange
	EncryptionConfiguration *encryptionConfiguration
}

func updateFirewallEncryptionConfiguration(ctx context.Context, c *call, in *updateFirewallEncryptionConfigurationRequest) (*updateFirewallEncryptionConfigurationResponse, error) {
	f, err := c.backend.UpdateFirewallEncryptionConfiguration(ctx, in.selector(), value(in.UpdateToken), in.EncryptionConfiguration.configuration())
	return &updateFirewallEncryptionConfigurationResponse{showChange(f), showEncryption(f.Encryption)}, err
}

type updateFirewallAnalysisSettingsRequest struct {
	firewallChangeRequest
	EnabledAnalysisTypes []string `of:"EnabledAnalysisType"`
}

type updateFirewallAnalysisSettingsResponse struct {
	firewallChange
	EnabledAnalysisTypes []string
}

func updateFirewallAnalysisSettings(ctx context.Context, c *call, in *updateFirewallAnalysisSettingsRequest) (*updateFirewallAnalysisSettingsResponse, error) {
	f, err := c.backend.UpdateFirewallAnalysisSettings(ctx, in.selector(), value(in.UpdateToken), in.EnabledAnalysisTypes)
	return &updateFirewallAnalysisSettingsResponse{showChange(f), listed(f.EnabledAnalysisTypes)}, err
}
