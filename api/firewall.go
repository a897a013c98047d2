package api

import (
	"context"

	"sluice"
	"sluice/control"
)

// firewallSelector names a firewall by name, by ARN or by both.
type firewallSelector struct {
	FirewallName *string `shape:"ResourceName"`
	FirewallArn  *string `shape:"ResourceArn"`
}

func (s firewallSelector) selector() control.Selector {
	return control.Selector{Name: value(s.FirewallName), Arn: value(s.FirewallArn)}
}

type createFirewallRequest struct {
	FirewallName                     *string         `shape:"ResourceName" required:"true"`
	FirewallPolicyArn                *string         `shape:"ResourceArn" required:"true"`
	VpcId                            *string         `shape:"VpcId"`
	SubnetMappings                   []subnetMapping `json:",omitempty"`
	DeleteProtection                 *bool
	SubnetChangeProtection           *bool
	FirewallPolicyChangeProtection   *bool
	Description                      *string `shape:"Description"`
	Tags                             []tag   `shape:"TagList"`
	EncryptionConfiguration          *encryptionConfiguration
	EnabledAnalysisTypes             []string `of:"EnabledAnalysisType"`
	TransitGatewayId                 *string  `shape:"TransitGatewayId"`
	AvailabilityZoneMappings         []zoneMapping
	AvailabilityZoneChangeProtection *bool
}

type zoneMapping struct {
	AvailabilityZone *string `shape:"AvailabilityZoneMapping" required:"true"`
}

// refuseTransitGateway refuses the members of the variant that is attached to a
// transit gateway instead of subnets.
func (in *createFirewallRequest) refuseTransitGateway() error {
	switch {
	case in.TransitGatewayId != nil:
		return sluice.InvalidParameter("TransitGatewayId", "cannot be provided", *in.TransitGatewayId, "TransitGatewayId")
	case len(in.AvailabilityZoneMappings) > 0:
		return sluice.InvalidParameter("AvailabilityZoneMappings", "cannot be provided",
			value(in.AvailabilityZoneMappings[0].AvailabilityZone), "AvailabilityZoneMappings")
	case value(in.AvailabilityZoneChangeProtection):
		return sluice.InvalidParameter("AvailabilityZoneChangeProtection", "cannot be provided", "true", "AvailabilityZoneChangeProtection")
	}
	return nil
}

func createFirewall(ctx context.Context, c *call, in *createFirewallRequest) (*firewallResponse, error) {
	if err := in.refuseTransitGateway(); err != nil {
		return nil, err
	}
	v, err := c.backend.CreateFirewall(ctx, control.CreateFirewallInput{
		Name:                           *in.FirewallName,
		PolicyArn:                      *in.FirewallPolicyArn,
		VpcID:                          value(in.VpcId),
		SubnetMappings:                 mappingsOf(in.SubnetMappings),
		Description:                    value(in.Description),
		DeleteProtection:               value(in.DeleteProtection),
		SubnetChangeProtection:         value(in.SubnetChangeProtection),
		FirewallPolicyChangeProtection: value(in.FirewallPolicyChangeProtection),
		EnabledAnalysisTypes:           in.EnabledAnalysisTypes,
		Tags:                           tagsOf(in.Tags),
		Encryption:                     in.EncryptionConfiguration.configuration(),
	})
	if err != nil {
		return nil, err
	}
	return &firewallResponse{Firewall: showFirewall(v.Firewall), FirewallStatus: showStatus(v.Status, v.PolicyArn)}, nil
}

type nameFirewallRequest struct{ firewallSelector }

func describeFirewall(ctx context.Context, c *call, in *nameFirewallRequest) (*firewallResponse, error) {
	v, err := c.backend.DescribeFirewall(ctx, in.selector())
	if err != nil {
		return nil, err
	}
	return &firewallResponse{given(v.UpdateToken), showFirewall(v.Firewall), showStatus(v.Status, v.PolicyArn)}, nil
}

func deleteFirewall(ctx context.Context, c *call, in *nameFirewallRequest) (*firewallResponse, error) {
	v, err := c.backend.DeleteFirewall(ctx, in.selector())
	if err != nil {
		return nil, err
	}
	return &firewallResponse{Firewall: showFirewall(v.Firewall), FirewallStatus: showStatus(v.Status, v.PolicyArn)}, nil
}

type describeFirewallMetadataRequest struct {
	FirewallArn *string `shape:"ResourceArn"`
}

type zoneMetadata struct{ IPAddressType string }

type describeFirewallMetadataResponse struct {
	FirewallArn                string
	FirewallPolicyArn          string
	Description                *string `json:",omitempty"`
	Status                     string
	SupportedAvailabilityZones map[string]zoneMetadata
}

func describeFirewallMetadata(ctx context.Context, c *call, in *describeFirewallMetadataRequest) (*describeFirewallMetadataResponse, error) {
	if in.FirewallArn == nil {
		return nil, sluice.InvalidParameter("FirewallArn", "cannot be null or empty", "", "FirewallArn")
	}
	v, err := c.backend.DescribeFirewall(ctx, control.Selector{Arn: *in.FirewallArn})
	if err != nil {
		return nil, err
	}
	out := &describeFirewallMetadataResponse{
		FirewallArn:                v.Arn,
		FirewallPolicyArn:          v.PolicyArn,
		Description:                given(v.Description),
		Status:                     v.Status.Status,
		SupportedAvailabilityZones: map[string]zoneMetadata{},
	}
	for _, m := range v.SubnetMappings {
		out.SupportedAvailabilityZones[m.AvailabilityZone] = zoneMetadata{m.IPAddressType}
	}
	return out, nil
}

type listFirewallsRequest struct {
	paging
	VpcIds []string `of:"VpcId"`
}

type firewallMetadata struct{ FirewallName, FirewallArn string }

type listFirewallsResponse struct {
	NextToken *string `json:",omitempty"`
	Firewalls []firewallMetadata
}

func listFirewalls(ctx context.Context, c *call, in *listFirewallsRequest) (*listFirewallsResponse, error) {
	all, err := c.backend.ListFirewalls(ctx, in.VpcIds)
	if err != nil {
		return nil, err
	}
	page, next, err := byName(c, binding(c.operation, in.VpcIds), in.NextToken, in.MaxResults, all,
		func(f sluice.Firewall) string { return f.Name })
	if err != nil {
		return nil, err
	}
	out := &listFirewallsResponse{next, make([]firewallMetadata, len(page))}
	for i, f := range page {
		out.Firewalls[i] = firewallMetadata{f.Name, f.Arn}
	}
	return out, nil
}
