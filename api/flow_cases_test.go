package api

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	nfw "github.com/aws/aws-sdk-go-v2/service/networkfirewall"
	"github.com/aws/aws-sdk-go-v2/service/networkfirewall/types"

	"sluice"
)

const startFlowBody = `{"FirewallArn":"` + firewallArn + `","AvailabilityZone":"eu-west-1a","MinimumFlowAgeInSeconds":60,"FlowFilters":[` +
	`{"SourceAddress":{"AddressDefinition":"10.0.0.0/8"},"DestinationAddress":{"AddressDefinition":"::/0"},"SourcePort":"ANY","DestinationPort":"1990:1994","Protocols":["6","17"]}],` +
	`"AvailabilityZoneId":"a member of tomorrow"}`

const noFilters = "1 validation error detected: Value null at 'flowFilters' failed to satisfy constraint: Member must not be null"

func sdkFilters() []types.FlowFilter {
	return []types.FlowFilter{{
		SourceAddress: &types.Address{AddressDefinition: aws.String("10.0.0.0/8")}, DestinationPort: aws.String("443"), Protocols: []string{"6"},
	}}
}

func flowCases() []operationCase {
	notFound := sluice.Errorf(sluice.KindNotFound, "The specified resource does not exist")
	named := `{"FirewallArn":"` + firewallArn + `","FlowOperationId":"` + operationID + `"}`
	badID := `{"FirewallArn":"` + firewallArn + `","FlowOperationId":"AAAAAAAA-bbbb-cccc-dddd-eeeeeeeeeeee"}`
	badIDMessage := "1 validation error detected: Value 'AAAAAAAA-bbbb-cccc-dddd-eeeeeeeeeeee' at 'flowOperationId' failed to satisfy constraint: " +
		"Member must satisfy regular expression pattern: " + uuidPattern
	return []operationCase{
		{
			service: serviceFirewall, name: "StartFlowCapture", request: startFlowBody,
			malformed: `{"FirewallArn":"` + firewallArn + `"}`, malformedCode: "ValidationException", malformedMessage: noFilters,
			wrong: sluice.Errorf(sluice.KindThrottling, "Flow operation already in progress, parameter: [eu-west-1a], context: AvailabilityZone"), wrongCode: "ThrottlingException",
			sdk: func(ctx context.Context, c clients) (any, error) {
				return c.firewall.StartFlowCapture(ctx, &nfw.StartFlowCaptureInput{FirewallArn: aws.String(firewallArn), FlowFilters: sdkFilters()})
			},
		},
		{
			service: serviceFirewall, name: "StartFlowFlush", request: startFlowBody,
			malformed: `{"FirewallArn":"` + firewallArn + `"}`, malformedCode: "ValidationException", malformedMessage: noFilters,
			wrong: sluice.Errorf(sluice.KindInvalidRequest, "Firewall is not ready"), wrongCode: "InvalidRequestException",
			sdk: func(ctx context.Context, c clients) (any, error) {
				return c.firewall.StartFlowFlush(ctx, &nfw.StartFlowFlushInput{FirewallArn: aws.String(firewallArn), FlowFilters: sdkFilters()})
			},
		},
		{
			service: serviceFirewall, name: "DescribeFlowOperation", request: named,
			malformed: badID, malformedCode: "ValidationException", malformedMessage: badIDMessage,
			wrong: notFound, wrongCode: "ResourceNotFoundException",
			sdk: func(ctx context.Context, c clients) (any, error) {
				return c.firewall.DescribeFlowOperation(ctx, &nfw.DescribeFlowOperationInput{FirewallArn: aws.String(firewallArn), FlowOperationId: aws.String(operationID)})
			},
		},
		{
			service: serviceFirewall, name: "ListFlowOperations", request: `{"FirewallArn":"` + firewallArn + `","FlowOperationType":"FLOW_CAPTURE"}`,
			malformed: `{"FirewallArn":"` + firewallArn + `","MaxResults":0}`, malformedCode: "ValidationException",
			malformedMessage: "1 validation error detected: Value '0' at 'maxResults' failed to satisfy constraint: Member must have value greater than or equal to 1",
			wrong:            notFound, wrongCode: "ResourceNotFoundException",
			sdk: func(ctx context.Context, c clients) (any, error) {
				return c.firewall.ListFlowOperations(ctx, &nfw.ListFlowOperationsInput{FirewallArn: aws.String(firewallArn), FlowOperationType: types.FlowOperationTypeFlowFlush})
			},
		},
		{
			service: serviceFirewall, name: "ListFlowOperationResults", request: named,
			malformed: badID, malformedCode: "ValidationException", malformedMessage: badIDMessage,
			wrong: notFound, wrongCode: "ResourceNotFoundException",
			sdk: func(ctx context.Context, c clients) (any, error) {
				return c.firewall.ListFlowOperationResults(ctx, &nfw.ListFlowOperationResultsInput{FirewallArn: aws.String(firewallArn), FlowOperationId: aws.String(operationID)})
			},
		},
	}
}

func policyCases() []operationCase {
	policy := `{"StatelessDefaultActions":["aws:pass"],"StatelessFragmentDefaultActions":["aws:drop"]}`
	sdkPolicy := &types.FirewallPolicy{StatelessDefaultActions: []string{"aws:pass"}, StatelessFragmentDefaultActions: []string{"aws:drop"}}
	return []operationCase{
		{
			service: serviceFirewall, name: "CreateFirewallPolicy", request: `{"FirewallPolicyName":"policy","FirewallPolicy":` + policy + `}`,
			malformed: `{"FirewallPolicyName":"policy"}`, malformedCode: "ValidationException",
			malformedMessage: "1 validation error detected: Value null at 'firewallPolicy' failed to satisfy constraint: Member must not be null",
			wrong:            sluice.Errorf(sluice.KindLimitExceeded, "too many"), wrongCode: "LimitExceededException",
			sdk: func(ctx context.Context, c clients) (any, error) {
				return c.firewall.CreateFirewallPolicy(ctx, &nfw.CreateFirewallPolicyInput{FirewallPolicyName: aws.String("policy"), FirewallPolicy: sdkPolicy})
			},
		},
		{
			service: serviceFirewall, name: "DescribeFirewallPolicy", request: `{"FirewallPolicyName":"policy"}`,
			malformed: `{"FirewallPolicyName":"a b"}`, malformedCode: "ValidationException",
			malformedMessage: "1 validation error detected: Value 'a b' at 'firewallPolicyName' failed to satisfy constraint: Member must satisfy regular expression pattern: ^[a-zA-Z0-9-]+$",
			wrong:            sluice.Errorf(sluice.KindNotFound, "none"), wrongCode: "ResourceNotFoundException",
			sdk: func(ctx context.Context, c clients) (any, error) {
				return c.firewall.DescribeFirewallPolicy(ctx, &nfw.DescribeFirewallPolicyInput{FirewallPolicyArn: aws.String(policyArn)})
			},
		},
		{
			service: serviceFirewall, name: "UpdateFirewallPolicy", request: `{"UpdateToken":"` + updateToken + `","FirewallPolicyArn":"` + policyArn + `","FirewallPolicy":` + policy + `}`,
			malformed: `{"FirewallPolicyArn":"` + policyArn + `","FirewallPolicy":` + policy + `}`, malformedCode: "ValidationException",
			malformedMessage: "1 validation error detected: Value null at 'updateToken' failed to satisfy constraint: Member must not be null",
			wrong:            sluice.Errorf(sluice.KindInvalidToken, "stale"), wrongCode: "InvalidTokenException",
			sdk: func(ctx context.Context, c clients) (any, error) {
				return c.firewall.UpdateFirewallPolicy(ctx, &nfw.UpdateFirewallPolicyInput{UpdateToken: aws.String(updateToken), FirewallPolicyArn: aws.String(policyArn), FirewallPolicy: sdkPolicy})
			},
		},
		{
			service: serviceFirewall, name: "DeleteFirewallPolicy", request: `{"FirewallPolicyArn":"` + policyArn + `"}`,
			malformed: `{"FirewallPolicyArn":"policy"}`, malformedCode: "ValidationException",
			malformedMessage: "1 validation error detected: Value 'policy' at 'firewallPolicyArn' failed to satisfy constraint: Member must satisfy regular expression pattern: ^arn:aws.*",
			wrong:            sluice.Errorf(sluice.KindInvalidOperation, "Unable to delete the object because it is still in use"), wrongCode: "InvalidOperationException",
			sdk: func(ctx context.Context, c clients) (any, error) {
				return c.firewall.DeleteFirewallPolicy(ctx, &nfw.DeleteFirewallPolicyInput{FirewallPolicyName: aws.String("policy")})
			},
		},
		{
			service: serviceFirewall, name: "ListFirewallPolicies", request: `{}`,
			malformed: `{"NextToken":"a-b_c"}`, malformedCode: "ValidationException",
			malformedMessage: `1 validation error detected: Value 'a-b_c' at 'nextToken' failed to satisfy constraint: Member must satisfy regular expression pattern: ^[0-9A-Za-z:\/+=]+$`,
			wrongRequest:     `{"NextToken":"abcd"}`, wrongCode: "InvalidRequestException",
			sdk: func(ctx context.Context, c clients) (any, error) {
				return c.firewall.ListFirewallPolicies(ctx, &nfw.ListFirewallPoliciesInput{})
			},
		},
	}
}
