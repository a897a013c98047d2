package api

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sluice"
	"sluice/control"
)

const fullPolicy = `{"StatelessDefaultActions":["aws:forward_to_sfe","Count"],"StatelessFragmentDefaultActions":["aws:drop"],` +
	`"StatelessCustomActions":[{"ActionName":"Count","ActionDefinition":{"PublishMetricAction":{"Dimensions":[{"Value":"all"}]}}}],` +
	`"StatefulDefaultActions":["aws:drop_strict"],"StatefulRuleGroupReferences":[],"StatelessRuleGroupReferences":null,` +
	`"StatefulEngineOptions":{"RuleOrder":"STRICT_ORDER","StreamExceptionPolicy":"REJECT","FlowTimeouts":{"TcpIdleTimeoutSeconds":60}},` +
	`"PolicyVariables":{"RuleVariables":{"HOME_NET":{"Definition":["10.0.0.0/8"]}}},"EnableTLSSessionHolding":false}`

// TestRequestsReachTheBackendWhole sends every member and compares what control is
// asked to do.
func TestRequestsReachTheBackendWhole(t *testing.T) {
	scope := control.FlowScope{FirewallArn: firewallArn, AvailabilityZone: "eu-west-1a", VpcEndpointID: endpointA,
		EndpointAssociationArn: "arn:aws:network-firewall:eu-west-1:000000000000:vpc-endpoint-association/a"}
	scopeBody := fmt.Sprintf(`"FirewallArn":%q,"AvailabilityZone":%q,"VpcEndpointId":%q,"VpcEndpointAssociationArn":%q`,
		scope.FirewallArn, scope.AvailabilityZone, scope.VpcEndpointID, scope.EndpointAssociationArn)
	tags := []sluice.Tag{{Key: "k", Value: "v"}}
	key := &sluice.EncryptionConfiguration{KeyID: "alias/k", Type: "CUSTOMER_KMS"}
	const more = `,"Description":"d","Tags":[{"Key":"k","Value":"v"}],"EncryptionConfiguration":{"KeyId":"alias/k","Type":"CUSTOMER_KMS"}`
	both := control.Selector{Name: firewallName, Arn: firewallArn}
	selector := fmt.Sprintf(`"FirewallName":%q,"FirewallArn":%q,"UpdateToken":%q`, firewallName, firewallArn, updateToken)
	for _, c := range []struct {
		operation, body string
		want            []any
	}{
		{"StartFlowFlush", `{` + scopeBody + `,"MinimumFlowAgeInSeconds":0,"FlowFilters":[{},{"SourceAddress":{"AddressDefinition":"::1"},"DestinationAddress":` +
			`{"AddressDefinition":"fd00::/8"},"SourcePort":"1","DestinationPort":"2:3","Protocols":["6","17"]}]}`,
			[]any{control.StartFlowOperationInput{Type: sluice.FlowFlush, Scope: scope, MinimumGiven: true, Filters: []sluice.FlowFilter{{},
				{SourceAddress: "::1", DestinationAddress: "fd00::/8", SourcePort: "1", DestinationPort: "2:3", Protocols: []string{"6", "17"}}}}}},
		{"StartFlowCapture", `{"FirewallArn":"` + firewallArn + `","FlowFilters":[]}`,
			[]any{control.StartFlowOperationInput{Type: sluice.FlowCapture, Scope: control.FlowScope{FirewallArn: firewallArn}, Filters: []sluice.FlowFilter{}}}},
		{"DescribeFlowOperation", `{` + scopeBody + `,"FlowOperationId":"` + operationID + `"}`, []any{scope, operationID}},
		{"ListFlowOperations", `{` + scopeBody + `,"FlowOperationType":"FLOW_FLUSH"}`, []any{scope, sluice.FlowFlush}},
		{"ListFlowOperationResults", `{` + scopeBody + `,"FlowOperationId":"` + operationID + `","MaxResults":7}`, []any{scope, operationID, int64(0), 7}},
		{"CreateFirewallPolicy", `{"FirewallPolicyName":"p","DryRun":true,"FirewallPolicy":` + fullPolicy + more + `}`,
			[]any{control.CreateFirewallPolicyInput{Name: "p", Description: "d", Body: fixtureBody(), Tags: tags, Encryption: key, DryRun: true}}},
		{"UpdateFirewallPolicy", `{"UpdateToken":"` + updateToken + `","FirewallPolicyName":"p","FirewallPolicyArn":"` + policyArn + `","FirewallPolicy":` + fullPolicy + more + `}`,
			[]any{control.UpdateFirewallPolicyInput{Selector: control.Selector{Name: "p", Arn: policyArn}, UpdateToken: updateToken, Description: "d", Body: fixtureBody(), Encryption: key}}},
		{"CreateFirewall", `{"FirewallName":"f","FirewallPolicyArn":"` + policyArn + `","VpcId":"` + vpcA + `","SubnetMappings":[{"SubnetId":"s","IPAddressType":"IPV6"}],` +
			`"DeleteProtection":true,"SubnetChangeProtection":true,"FirewallPolicyChangeProtection":true,"EnabledAnalysisTypes":["HTTP_HOST"]` + more + `}`,
			[]any{control.CreateFirewallInput{Name: "f", PolicyArn: policyArn, VpcID: vpcA, SubnetMappings: []sluice.SubnetMapping{{SubnetID: "s", IPAddressType: "IPV6"}},
				Description: "d", DeleteProtection: true, SubnetChangeProtection: true, FirewallPolicyChangeProtection: true,
				EnabledAnalysisTypes: []string{"HTTP_HOST"}, Tags: tags, Encryption: key}}},
		{"ListFirewalls", `{"VpcIds":["` + vpcA + `"]}`, []any{[]string{vpcA}}},
		{"AssociateSubnets", `{` + selector + `,"SubnetMappings":[{"SubnetId":"s"}]}`, []any{both, updateToken, []sluice.SubnetMapping{{SubnetID: "s"}}}},
		{"DisassociateSubnets", `{` + selector + `,"SubnetIds":["` + subnetA + `"]}`, []any{both, updateToken, []string{subnetA}}},
		{"AssociateFirewallPolicy", `{` + selector + `,"FirewallPolicyArn":"` + policyArn + `"}`, []any{both, updateToken, policyArn}},
		{"UpdateFirewallDeleteProtection", `{` + selector + `,"DeleteProtection":true}`, []any{both, updateToken, true}},
		{"UpdateFirewallDescription", `{"FirewallName":"gateway"}`, []any{control.Selector{Name: firewallName}, "", ""}},
		{"UpdateFirewallEncryptionConfiguration", `{` + selector + `}`, []any{both, updateToken, (*sluice.EncryptionConfiguration)(nil)}},
		{"UpdateFirewallAnalysisSettings", `{` + selector + `,"EnabledAnalysisTypes":["TLS_SNI"]}`, []any{both, updateToken, []string{"TLS_SNI"}}},
		{"TagResource", `{"ResourceArn":"` + policyArn + `","Tags":[{"Key":"k","Value":"v"}]}`, []any{policyArn, tags}},
		{"UntagResource", `{"ResourceArn":"` + policyArn + `","TagKeys":["k"]}`, []any{policyArn, []string{"k"}}},
	} {
		t.Run(c.operation, func(t *testing.T) {
			d := fixedDoor()
			if got := d.call(t, serviceFirewall, c.operation, c.body); got.status != 200 {
				t.Fatalf("%d %s", got.status, got.body)
			}
			if diff := cmp.Diff(c.want, d.backend.asked); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestPoliciesThatReferToWhatIsNotThere(t *testing.T) {
	const stateless, stateful = "arn:aws:network-firewall:eu-west-1:000000000000:stateless-rulegroup/a", "arn:aws:network-firewall:eu-west-1:000000000000:stateful-rulegroup/a"
	reference := func(arn, more string) string { return `{"ResourceArn":"` + arn + `"` + more + `}` }
	const strict = `,"StatefulEngineOptions":{"RuleOrder":"STRICT_ORDER"}`
	many := strings.TrimSuffix(strings.Repeat(reference(stateful, "")+",", 21), ",")
	for _, c := range []struct{ members, message string }{
		{`"StatefulRuleGroupReferences":[` + reference(stateful, "") + `]`, "rule group ARN does not exist"},
		{`"StatelessRuleGroupReferences":[` + reference(stateless, `,"Priority":1`) + `]`, "rule group ARN does not exist"},
		{`"StatefulRuleGroupReferences":[` + reference(stateless, "") + `]`, "rule group ARN is of incorrect entity type, parameter: [" + stateless + "]"},
		{`"StatefulRuleGroupReferences":[` + reference(strings.Replace(stateful, "eu-west-1", "mars", 1), "") + `]`,
			"rule group ARN is invalid, parameter: [" + strings.Replace(stateful, "eu-west-1", "mars", 1) + "]"},
		{`"StatefulRuleGroupReferences":[` + reference("arn:aws:s3:::bucket", "") + `]`, "rule group ARN is invalid, parameter: [arn:aws:s3:::bucket]"},
		{`"StatefulRuleGroupReferences":[` + reference(stateful, `,"Override":{"Action":"DROP_TO_ALERT"}`) + `]`, "rule group must be a managed resource, parameter: [" + stateful + "]"},
		{`"StatefulRuleGroupReferences":[` + reference(strings.Replace(stateful, testAccount, "aws-managed", 1), "") + `]`, "rule group ARN does not exist"},
		{`"StatefulRuleGroupReferences":[` + reference(stateful, "") + `]` + strict, "Priority cannot be null, context: StatefulRuleGroupReferences[0].Priority"},
		{`"StatefulRuleGroupReferences":[` + reference(stateful, `,"Priority":1`) + `]`, "Priority cannot be provided, parameter: [1], context: StatefulRuleGroupReferences[0][Priority=1]"},
		{`"StatefulRuleGroupReferences":[` + reference(stateful, `,"Priority":1`) + "," + reference(stateful, `,"Priority":1`) + `]` + strict,
			"Priority has duplicate values, parameter: [1], context: StatefulRuleGroupReferences[1][Priority=1]"},
		{`"StatelessRuleGroupReferences":[` + reference(stateless, `,"Priority":1`) + "," + reference(stateless, `,"Priority":1`) + `]`,
			"Priority has duplicate values, parameter: [1], context: StatelessRuleGroupReferences[Priority=1]"},
		{`"StatefulRuleGroupReferences":[` + many + `]`, "StatefulRuleGroupReferences limit exceeded, parameter: [21], context: StatefulRuleGroupReferences"},
		{`"EnableTLSSessionHolding":true`, "TLSInspectionConfigurationArn value is required when EnableTLSSessionHolding is true."},
		{`"TLSInspectionConfigurationArn":"arn:aws:x"`, "TLSInspectionConfigurationArn is invalid, parameter: [arn:aws:x], context: TLSInspectionConfigurationArn"},
		{`"StatefulEngineOptions":{"FlowTimeouts":{"TcpIdleTimeoutSeconds":0}}`,
			"TcpIdleTimeoutSeconds is not within the bound, parameter: [0], context: StatefulEngineOptions.FlowTimeouts.TcpIdleTimeoutSeconds"},
		{`"StatelessCustomActions":[{"ActionName":"a","ActionDefinition":{}}]`,
			"PublishMetricAction cannot be null, context: StatelessCustomActions[0].ActionDefinition.PublishMetricAction"},
	} {
		policy := `{"StatelessDefaultActions":["aws:pass"],"StatelessFragmentDefaultActions":["aws:pass"],` + c.members + `}`
		d := fixedDoor()
		d.call(t, serviceFirewall, "CreateFirewallPolicy", `{"FirewallPolicyName":"p","FirewallPolicy":`+policy+`}`).
			want(t, 400, "InvalidRequestException", c.message)
		d.call(t, serviceFirewall, "UpdateFirewallPolicy", `{"UpdateToken":"`+updateToken+`","FirewallPolicyName":"p","FirewallPolicy":`+policy+`}`).
			want(t, 400, "InvalidRequestException", c.message)
		if d.backend.asked != nil {
			t.Errorf("%s reached the backend", c.members)
		}
	}
}

func TestTransitGatewayFirewallsAreRefused(t *testing.T) {
	for member, message := range map[string]string{
		`"TransitGatewayId":"tgw-1"`:                                     "TransitGatewayId cannot be provided, parameter: [tgw-1], context: TransitGatewayId",
		`"AvailabilityZoneMappings":[{"AvailabilityZone":"eu-west-1a"}]`: "AvailabilityZoneMappings cannot be provided, parameter: [eu-west-1a], context: AvailabilityZoneMappings",
		`"AvailabilityZoneChangeProtection":true,"VpcId":"` + vpcA + `"`: "AvailabilityZoneChangeProtection cannot be provided, parameter: [true], context: AvailabilityZoneChangeProtection",
	} {
		fixedDoor().call(t, serviceFirewall, "CreateFirewall", `{"FirewallName":"f","FirewallPolicyArn":"`+policyArn+`",`+member+`}`).
			want(t, 400, "InvalidRequestException", message)
	}
}

func TestPolicyEchoesOnlyWhatWasSent(t *testing.T) {
	d := fixedDoor()
	d.backend.body = sluice.FirewallPolicyBody{StatelessDefaultActions: []string{"aws:pass"}, StatelessFragmentDefaultActions: []string{"aws:drop"}}
	got := d.call(t, serviceFirewall, "DescribeFirewallPolicy", `{"FirewallPolicyName":"policy"}`)
	if want := `"FirewallPolicy":{"StatelessDefaultActions":["aws:pass"],"StatelessFragmentDefaultActions":["aws:drop"]}}`; !strings.HasSuffix(got.body, want) {
		t.Error(got.body)
	}
}

// TestSeveralMistakesAreCounted is the plural of the front end's grammar.
func TestSeveralMistakesAreCounted(t *testing.T) {
	fixedDoor().call(t, serviceFirewall, "StartFlowCapture", `{"FirewallArn":"gateway","FlowFilters":[{"SourceAddress":{"AddressDefinition":"ANY"}}]}`).
		want(t, 400, "ValidationException", "2 validation errors detected: "+
			"Value 'gateway' at 'firewallArn' failed to satisfy constraint: Member must satisfy regular expression pattern: ^arn:aws.*; "+
			"Value 'ANY' at 'flowFilters.1.member.sourceAddress.addressDefinition' failed to satisfy constraint: Member must satisfy regular expression pattern: "+sluice.AddressPattern)
	fixedDoor().call(t, serviceFirewall, "StartFlowCapture", `{"FirewallArn":"`+firewallArn+`","FlowFilters":[{"Protocols":[6]}]}`).
		want(t, 400, "SerializationException", "NUMBER_VALUE can not be converted to a String, at 'flowFilters.1.member.protocols.1.member'")
}

// TestAnEmptyZoneIsNotAllZones: a shell variable that is not set must not widen a flush.
func TestAnEmptyZoneIsNotAllZones(t *testing.T) {
	for operation, more := range map[string]string{
		"StartFlowFlush":           `"FlowFilters":[{"SourceAddress":{"AddressDefinition":"::/0"}}]`,
		"StartFlowCapture":         `"FlowFilters":[{"SourceAddress":{"AddressDefinition":"::/0"}}]`,
		"DescribeFlowOperation":    `"FlowOperationId":"` + operationID + `"`,
		"ListFlowOperationResults": `"FlowOperationId":"` + operationID + `"`,
		"ListFlowOperations":       `"MaxResults":5`,
	} {
		fixedDoor().call(t, serviceFirewall, operation, `{"FirewallArn":"`+firewallArn+`","AvailabilityZone":"",`+more+`}`).
			want(t, 400, "InvalidRequestException", "AvailabilityZone cannot be null or empty, context: AvailabilityZone")
	}
}

func TestALongValueIsNotRepeatedWhole(t *testing.T) {
	got := fixedDoor().call(t, serviceFirewall, "DescribeFirewall", `{"FirewallArn":"`+strings.Repeat("x", 100_000)+`"}`)
	if len(got.body) > 1000 {
		t.Errorf("an error of %d bytes", len(got.body))
	}
}
