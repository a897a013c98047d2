package api

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	nfw "github.com/aws/aws-sdk-go-v2/service/networkfirewall"
	"github.com/aws/aws-sdk-go-v2/service/networkfirewall/types"

	"sluice"
)

const (
	byArn      = `{"FirewallArn":"` + firewallArn + `"}`
	badArn     = `{"FirewallArn":"gateway"}`
	badArnText = "1 validation error detected: Value 'gateway' at 'firewallArn' failed to satisfy constraint: Member must satisfy regular expression pattern: ^arn:aws.*"
)

func firewallCases() []operationCase {
	notFound := sluice.Errorf(sluice.KindNotFound, "The specified resource does not exist")
	return []operationCase{
		{
			service: serviceFirewall, name: "CreateFirewall",
			request:   `{"FirewallName":"gateway","FirewallPolicyArn":"` + policyArn + `","VpcId":"` + vpcA + `","SubnetMappings":[{"SubnetId":"` + subnetA + `"}]}`,
			malformed: `{"FirewallName":"gateway","FirewallPolicyArn":"` + policyArn + `","SubnetMappings":[{"SubnetId":"` + subnetA + `","IPAddressType":"IPX"}]}`, malformedCode: "ValidationException",
			malformedMessage: "1 validation error detected: Value 'IPX' at 'subnetMappings.1.member.iPAddressType' failed to satisfy constraint: Member must satisfy enum value set: [DUALSTACK, IPV4, IPV6]",
			wrong:            sluice.Errorf(sluice.KindInvalidRequest, "A resource with the specified name already exists"), wrongCode: "InvalidRequestException",
			sdk: func(ctx context.Context, c clients) (any, error) {
				return c.firewall.CreateFirewall(ctx, &nfw.CreateFirewallInput{FirewallName: aws.String("gateway"), FirewallPolicyArn: aws.String(policyArn),
					VpcId: aws.String(vpcA), SubnetMappings: []types.SubnetMapping{{SubnetId: aws.String(subnetA)}}})
			},
		},
		{
			service: serviceFirewall, name: "DescribeFirewall", request: byArn,
			malformed: badArn, malformedCode: "ValidationException", malformedMessage: badArnText,
			wrong: notFound, wrongCode: "ResourceNotFoundException",
			sdk: func(ctx context.Context, c clients) (any, error) {
				return c.firewall.DescribeFirewall(ctx, &nfw.DescribeFirewallInput{FirewallName: aws.String("gateway")})
			},
		},
		{
			service: serviceFirewall, name: "DescribeFirewallMetadata", request: byArn,
			malformed: badArn, malformedCode: "ValidationException", malformedMessage: badArnText,
			wrongRequest: `{}`, wrongCode: "InvalidRequestException",
			sdk: func(ctx context.Context, c clients) (any, error) {
				return c.firewall.DescribeFirewallMetadata(ctx, &nfw.DescribeFirewallMetadataInput{FirewallArn: aws.String(firewallArn)})
			},
		},
		{
			service: serviceFirewall, name: "DeleteFirewall", request: byArn,
			malformed: badArn, malformedCode: "ValidationException", malformedMessage: badArnText,
			wrong: sluice.Errorf(sluice.KindInvalidOperation, "DeleteProtection is on"), wrongCode: "InvalidOperationException",
			sdk: func(ctx context.Context, c clients) (any, error) {
				return c.firewall.DeleteFirewall(ctx, &nfw.DeleteFirewallInput{FirewallArn: aws.String(firewallArn)})
			},
		},
		{
			service: serviceFirewall, name: "ListFirewalls", request: `{"VpcIds":["` + vpcA + `"]}`,
			malformed: `{"MaxResults":101}`, malformedCode: "ValidationException",
			malformedMessage: "1 validation error detected: Value '101' at 'maxResults' failed to satisfy constraint: Member must have value less than or equal to 100",
			wrongRequest:     `{"NextToken":"abcd"}`, wrongCode: "InvalidRequestException",
			sdk: func(ctx context.Context, c clients) (any, error) {
				return c.firewall.ListFirewalls(ctx, &nfw.ListFirewallsInput{VpcIds: []string{vpcA}})
			},
		},
	}
}

// changeCase is a change of a firewall: request holds the members beside the
// selector.
func changeCase(name, members, malformed, malformedMessage string, sdk func(context.Context, clients) (any, error)) operationCase {
	prefix := `{"FirewallArn":"` + firewallArn + `","UpdateToken":"` + updateToken + `"`
	if members != "" {
		members = "," + members
	}
	return operationCase{
		service: serviceFirewall, name: name, request: prefix + members + `}`,
		malformed: `{"FirewallArn":"` + firewallArn + `"` + malformed + `}`, malformedCode: "ValidationException",
		malformedMessage: "1 validation error detected: Value " + malformedMessage,
		wrong:            sluice.Errorf(sluice.KindInvalidToken, "UpdateToken is stale"), wrongCode: "InvalidTokenException",
		sdk: sdk,
	}
}

func firewallChangeCases() []operationCase {
	const null = " failed to satisfy constraint: Member must not be null"
	return []operationCase{
		changeCase("AssociateSubnets", `"SubnetMappings":[{"SubnetId":"`+subnetA+`","IPAddressType":"DUALSTACK"}]`, "", "null at 'subnetMappings'"+null,
			func(ctx context.Context, c clients) (any, error) {
				return c.firewall.AssociateSubnets(ctx, &nfw.AssociateSubnetsInput{FirewallName: aws.String("gateway"), SubnetMappings: []types.SubnetMapping{{SubnetId: aws.String(subnetA)}}})
			}),
		changeCase("DisassociateSubnets", `"SubnetIds":["`+subnetA+`"]`, "", "null at 'subnetIds'"+null,
			func(ctx context.Context, c clients) (any, error) {
				return c.firewall.DisassociateSubnets(ctx, &nfw.DisassociateSubnetsInput{FirewallName: aws.String("gateway"), SubnetIds: []string{subnetA}})
			}),
		changeCase("AssociateFirewallPolicy", `"FirewallPolicyArn":"`+policyArn+`"`, "", "null at 'firewallPolicyArn'"+null,
			func(ctx context.Context, c clients) (any, error) {
				return c.firewall.AssociateFirewallPolicy(ctx, &nfw.AssociateFirewallPolicyInput{FirewallName: aws.String("gateway"), FirewallPolicyArn: aws.String(policyArn)})
			}),
		changeCase("UpdateFirewallDeleteProtection", `"DeleteProtection":true`, "", "null at 'deleteProtection'"+null,
			func(ctx context.Context, c clients) (any, error) {
				return c.firewall.UpdateFirewallDeleteProtection(ctx, &nfw.UpdateFirewallDeleteProtectionInput{FirewallName: aws.String("gateway"), DeleteProtection: true})
			}),
		changeCase("UpdateSubnetChangeProtection", `"SubnetChangeProtection":false`, "", "null at 'subnetChangeProtection'"+null,
			func(ctx context.Context, c clients) (any, error) {
				return c.firewall.UpdateSubnetChangeProtection(ctx, &nfw.UpdateSubnetChangeProtectionInput{FirewallName: aws.String("gateway")})
			}),
		changeCase("UpdateFirewallPolicyChangeProtection", `"FirewallPolicyChangeProtection":false`, "", "null at 'firewallPolicyChangeProtection'"+null,
			func(ctx context.Context, c clients) (any, error) {
				return c.firewall.UpdateFirewallPolicyChangeProtection(ctx, &nfw.UpdateFirewallPolicyChangeProtectionInput{FirewallName: aws.String("gateway")})
			}),
		changeCase("UpdateFirewallDescription", `"Description":"new"`, `,"Description":"a\nb"`,
			"'a\nb' at 'description' failed to satisfy constraint: Member must satisfy regular expression pattern: ^.*$",
			func(ctx context.Context, c clients) (any, error) {
				return c.firewall.UpdateFirewallDescription(ctx, &nfw.UpdateFirewallDescriptionInput{FirewallName: aws.String("gateway")})
			}),
		changeCase("UpdateFirewallEncryptionConfiguration", `"EncryptionConfiguration":{"Type":"CUSTOMER_KMS","KeyId":"alias/k"}`, `,"EncryptionConfiguration":{}`,
			"null at 'encryptionConfiguration.type'"+null,
			func(ctx context.Context, c clients) (any, error) {
				return c.firewall.UpdateFirewallEncryptionConfiguration(ctx, &nfw.UpdateFirewallEncryptionConfigurationInput{FirewallName: aws.String("gateway")})
			}),
		changeCase("UpdateFirewallAnalysisSettings", `"EnabledAnalysisTypes":["HTTP_HOST"]`, `,"EnabledAnalysisTypes":["DNS"]`,
			"'[DNS]' at 'enabledAnalysisTypes' failed to satisfy constraint: Member must satisfy constraint: [Member must satisfy enum value set: [TLS_SNI, HTTP_HOST]]",
			func(ctx context.Context, c clients) (any, error) {
				return c.firewall.UpdateFirewallAnalysisSettings(ctx, &nfw.UpdateFirewallAnalysisSettingsInput{FirewallName: aws.String("gateway")})
			}),
	}
}

func tagCases() []operationCase {
	notFound := sluice.Errorf(sluice.KindNotFound, "The specified resource does not exist")
	return []operationCase{
		{
			service: serviceFirewall, name: "TagResource", request: `{"ResourceArn":"` + firewallArn + `","Tags":[{"Key":"a","Value":""}]}`,
			malformed: `{"ResourceArn":"` + firewallArn + `","Tags":[{"Key":"a"}]}`, malformedCode: "ValidationException",
			malformedMessage: "1 validation error detected: Value null at 'tags.1.member.value' failed to satisfy constraint: Member must not be null",
			wrong:            notFound, wrongCode: "ResourceNotFoundException",
			sdk: func(ctx context.Context, c clients) (any, error) {
				return c.firewall.TagResource(ctx, &nfw.TagResourceInput{ResourceArn: aws.String(firewallArn), Tags: []types.Tag{{Key: aws.String("k"), Value: aws.String("")}}})
			},
		},
		{
			service: serviceFirewall, name: "UntagResource", request: `{"ResourceArn":"` + firewallArn + `","TagKeys":["a"]}`,
			malformed: `{"ResourceArn":"` + firewallArn + `","TagKeys":[]}`, malformedCode: "ValidationException",
			malformedMessage: "1 validation error detected: Value '[]' at 'tagKeys' failed to satisfy constraint: Member must have length greater than or equal to 1",
			wrong:            notFound, wrongCode: "ResourceNotFoundException",
			sdk: func(ctx context.Context, c clients) (any, error) {
				return c.firewall.UntagResource(ctx, &nfw.UntagResourceInput{ResourceArn: aws.String(firewallArn), TagKeys: []string{"k"}})
			},
		},
		{
			service: serviceFirewall, name: "ListTagsForResource", request: `{"ResourceArn":"` + firewallArn + `","MaxResults":0}`,
			malformed: `{"ResourceArn":"` + firewallArn + `","MaxResults":-1}`, malformedCode: "ValidationException",
			malformedMessage: "1 validation error detected: Value '-1' at 'maxResults' failed to satisfy constraint: Member must have value greater than or equal to 0",
			wrong:            notFound, wrongCode: "ResourceNotFoundException",
			sdk: func(ctx context.Context, c clients) (any, error) {
				return c.firewall.ListTagsForResource(ctx, &nfw.ListTagsForResourceInput{ResourceArn: aws.String(firewallArn)})
			},
		},
	}
}

func transitGatewayCases() []operationCase {
	refused := func(name string, sdk func(context.Context, clients) (any, error)) operationCase {
		return operationCase{
			service: serviceFirewall, name: name, request: `{"Whatever":[1]}`, refused: "UnsupportedOperationException",
			wrongCode: "UnsupportedOperationException", sdk: sdk,
		}
	}
	zones := []types.AvailabilityZoneMapping{{AvailabilityZone: aws.String("eu-west-1a")}}
	attachment := aws.String("tgw-attach-0123456789abcdef0")
	return []operationCase{
		refused("AssociateAvailabilityZones", func(ctx context.Context, c clients) (any, error) {
			return c.firewall.AssociateAvailabilityZones(ctx, &nfw.AssociateAvailabilityZonesInput{AvailabilityZoneMappings: zones})
		}),
		refused("DisassociateAvailabilityZones", func(ctx context.Context, c clients) (any, error) {
			return c.firewall.DisassociateAvailabilityZones(ctx, &nfw.DisassociateAvailabilityZonesInput{AvailabilityZoneMappings: zones})
		}),
		refused("UpdateAvailabilityZoneChangeProtection", func(ctx context.Context, c clients) (any, error) {
			return c.firewall.UpdateAvailabilityZoneChangeProtection(ctx, &nfw.UpdateAvailabilityZoneChangeProtectionInput{})
		}),
		refused("AcceptNetworkFirewallTransitGatewayAttachment", func(ctx context.Context, c clients) (any, error) {
			return c.firewall.AcceptNetworkFirewallTransitGatewayAttachment(ctx, &nfw.AcceptNetworkFirewallTransitGatewayAttachmentInput{TransitGatewayAttachmentId: attachment})
		}),
		refused("RejectNetworkFirewallTransitGatewayAttachment", func(ctx context.Context, c clients) (any, error) {
			return c.firewall.RejectNetworkFirewallTransitGatewayAttachment(ctx, &nfw.RejectNetworkFirewallTransitGatewayAttachmentInput{TransitGatewayAttachmentId: attachment})
		}),
		refused("DeleteNetworkFirewallTransitGatewayAttachment", func(ctx context.Context, c clients) (any, error) {
			return c.firewall.DeleteNetworkFirewallTransitGatewayAttachment(ctx, &nfw.DeleteNetworkFirewallTransitGatewayAttachmentInput{TransitGatewayAttachmentId: attachment})
		}),
	}
}
