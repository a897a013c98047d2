package api

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"sluice"
	"sluice/control"
)

// The fixture: what the fake backend knows.
const (
	testRegion   = "eu-west-1"
	testAccount  = "000000000000"
	firewallName = "gateway"
	firewallArn  = "arn:aws:network-firewall:eu-west-1:000000000000:firewall/gateway"
	policyArn    = "arn:aws:network-firewall:eu-west-1:000000000000:firewall-policy/policy"
	updateToken  = "11111111-2222-3333-4444-555555555555"
	operationID  = "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"
	subnetA      = "subnet-00000000000000a01"
	vpcA         = "vpc-00000000000000b01"
	eniA         = "eni-00000000000000c01"
	instanceA    = "i-00000000000000d01"
	endpointA    = "vpce-00000000000000e01"
)

var fixtureTime = time.Date(2026, 1, 2, 3, 4, 5, 678e6, time.UTC)

// fakeBackend answers from the fixture, or with err, and keeps what it was asked.
type fakeBackend struct {
	mu    sync.Mutex
	err   error
	asked []any // the arguments of the last call

	flows      []sluice.Flow
	operations []sluice.FlowOperation
	firewalls  []sluice.Firewall
	inventory  sluice.Inventory
	body       sluice.FirewallPolicyBody
	panics     bool
}

func newFakeBackend() *fakeBackend {
	return &fakeBackend{
		flows: fixtureFlows(), operations: []sluice.FlowOperation{fixtureOperation()},
		firewalls: []sluice.Firewall{fixtureFirewall()}, inventory: fixtureInventory(), body: fixtureBody(),
	}
}

func (b *fakeBackend) ask(args ...any) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.panics {
		panic("the inside of the process")
	}
	b.asked = args
	return b.err
}

func fixtureFirewall() sluice.Firewall {
	return sluice.Firewall{
		Name: firewallName, Arn: firewallArn, ID: "12345678-1234-1234-1234-123456789abc", PolicyArn: policyArn, VpcID: vpcA,
		SubnetMappings:   []sluice.SubnetMapping{{SubnetID: subnetA, IPAddressType: "IPV4", AvailabilityZone: "eu-west-1a", EndpointID: endpointA}},
		DeleteProtection: true, Description: "the <lab>", EnabledAnalysisTypes: []string{"TLS_SNI"}, Encryption: sluice.AWSOwnedKey,
		Tags: []sluice.Tag{{Key: "Name", Value: "lab"}}, UpdateToken: updateToken, Created: fixtureTime,
	}
}

func fixtureView() control.FirewallView {
	return control.FirewallView{Firewall: fixtureFirewall(), Status: control.FirewallStatus{
		Status: sluice.FirewallReady, SyncSummary: sluice.SyncInSync,
		Zones: map[string]control.ZoneState{"eu-west-1a": {
			SubnetID: subnetA, EndpointID: endpointA, Attachment: sluice.AttachmentReady, ConfigSync: sluice.SyncInSync, ConfigToken: updateToken,
		}},
	}}
}

func fixtureBody() sluice.FirewallPolicyBody {
	return sluice.FirewallPolicyBody{
		StatelessDefaultActions: []string{"aws:forward_to_sfe", "Count"}, StatelessFragmentDefaultActions: []string{"aws:drop"},
		StatelessCustomActions: []sluice.CustomAction{{Name: "Count", Dimensions: []string{"all"}}},
		StatefulDefaultActions: []string{"aws:drop_strict"},
		StatefulEngineOptions: &sluice.StatefulEngineOptions{
			RuleOrder: "STRICT_ORDER", StreamExceptionPolicy: "REJECT", FlowTimeouts: true, TCPIdleTimeoutSeconds: 60,
		},
		PolicyVariables: map[string][]string{"HOME_NET": {"10.0.0.0/8"}},
	}
}

func (b *fakeBackend) policy() control.PolicyView {
	return control.PolicyView{FirewallPolicy: sluice.FirewallPolicy{
		Name: "policy", Arn: policyArn, ID: "87654321-1234-1234-1234-123456789abc", Description: "all", Body: b.body,
		Encryption: sluice.AWSOwnedKey, UpdateToken: updateToken, LastModified: fixtureTime, Generation: 1,
	}, Status: "ACTIVE", Associations: 1}
}

func fixtureOperation() sluice.FlowOperation {
	return sluice.FlowOperation{
		ID: operationID, Type: sluice.FlowCapture, FirewallArn: firewallArn, Status: sluice.OperationCompletedWithErrors,
		Message: sluice.MessageFlowTimeout, RequestTime: fixtureTime, MinimumAge: 60, MinimumGiven: true,
		Filters:          []sluice.FlowFilter{{SourceAddress: "10.0.0.0/8", DestinationPort: "443", Protocols: []string{"6"}}, {DestinationAddress: "::/0"}},
		AvailabilityZone: "eu-west-1a", VpcEndpointID: endpointA, Zones: []string{"eu-west-1a"}, Flows: 2,
	}
}

func fixtureFlows() []sluice.Flow {
	return []sluice.Flow{
		{Source: netip.MustParseAddr("10.77.1.2"), Destination: netip.MustParseAddr("10.77.2.2"), SourcePort: 40000, DestinationPort: 443,
			Protocol: 6, Age: 90*time.Second + 900*time.Millisecond, Packets: [2]uint64{3, 4}, Bytes: [2]uint64{1 << 40, 5}},
		{Source: netip.MustParseAddr("fd77:1::2"), Destination: netip.MustParseAddr("fd77:2::2"), Protocol: 58,
			Age: 1e9 * time.Second, Packets: [2]uint64{1 << 63, 1 << 63}, Bytes: [2]uint64{1 << 63, 1 << 63}},
	}
}

func fixtureInventory() sluice.Inventory {
	prefix := netip.MustParsePrefix
	return sluice.Inventory{
		Interfaces: []sluice.Interface{
			{ID: eniA, HostID: "host", Netns: "sluice-gateway", Device: "client0", Index: 2, MAC: "0a:00:00:00:00:01", MTU: 1500, Up: true,
				Addresses:  []netip.Prefix{prefix("10.77.1.1/24"), prefix("10.77.1.9/24"), prefix("fd77:1::1/64"), prefix("fe80::1/64")},
				InstanceID: instanceA, SubnetID: subnetA, VpcID: vpcA, AvailabilityZone: "eu-west-1a", Firewall: true},
			{ID: "eni-00000000000000c02", HostID: "host", Device: "eth0", Index: 3, MAC: "0a:00:00:00:00:02", Addresses: []netip.Prefix{prefix("10.77.2.1/24")},
				InstanceID: "i-00000000000000d02", SubnetID: "subnet-00000000000000a02", VpcID: vpcA, AvailabilityZone: "eu-west-1b"},
		},
		Subnets: []sluice.Subnet{
			{ID: subnetA, Name: "client", VpcID: vpcA, AvailabilityZone: "eu-west-1a", CIDRs: []netip.Prefix{prefix("10.77.1.0/24"), prefix("fd77:1::/64")}},
			{ID: "subnet-00000000000000a02", VpcID: vpcA, AvailabilityZone: "eu-west-1b", CIDRs: []netip.Prefix{prefix("10.77.2.0/30")}},
		},
		Instances: []sluice.Instance{
			{ID: instanceA, Name: "sluice-gateway", HostID: "host", Netns: "sluice-gateway", AvailabilityZone: "eu-west-1a", VpcID: vpcA, SubnetID: subnetA, InterfaceIDs: []string{eniA}},
			{ID: "i-00000000000000d02", Name: "host", HostID: "host", AvailabilityZone: "eu-west-1b", VpcID: vpcA, SubnetID: "subnet-00000000000000a02", InterfaceIDs: []string{"eni-00000000000000c02"}},
		},
		Vpcs:  []sluice.Vpc{{ID: vpcA, CIDRs: []netip.Prefix{prefix("10.77.0.0/16"), prefix("fd77::/16")}}},
		Zones: []string{"eu-west-1a", "eu-west-1b"},
	}
}

func (b *fakeBackend) CreateFirewallPolicy(_ context.Context, in control.CreateFirewallPolicyInput) (control.PolicyView, error) {
	return b.policy(), b.ask(in)
}

func (b *fakeBackend) DescribeFirewallPolicy(_ context.Context, s control.Selector) (control.PolicyView, error) {
	return b.policy(), b.ask(s)
}

func (b *fakeBackend) UpdateFirewallPolicy(_ context.Context, in control.UpdateFirewallPolicyInput) (control.PolicyView, error) {
	return b.policy(), b.ask(in)
}

func (b *fakeBackend) DeleteFirewallPolicy(_ context.Context, s control.Selector) (control.PolicyView, error) {
	v := b.policy()
	v.Status = "DELETING"
	return v, b.ask(s)
}

func (b *fakeBackend) ListFirewallPolicies(context.Context) ([]sluice.FirewallPolicy, error) {
	return []sluice.FirewallPolicy{b.policy().FirewallPolicy}, b.ask()
}

func (b *fakeBackend) CreateFirewall(_ context.Context, in control.CreateFirewallInput) (control.FirewallView, error) {
	v := fixtureView()
	v.Status.Status, v.Status.SyncSummary = sluice.FirewallProvisioning, sluice.SyncPending
	v.Status.Zones = map[string]control.ZoneState{"eu-west-1a": {SubnetID: subnetA, Attachment: sluice.AttachmentCreating}}
	return v, b.ask(in)
}

func (b *fakeBackend) DescribeFirewall(_ context.Context, s control.Selector) (control.FirewallView, error) {
	return fixtureView(), b.ask(s)
}

func (b *fakeBackend) DeleteFirewall(_ context.Context, s control.Selector) (control.FirewallView, error) {
	v := fixtureView()
	v.Status.Status = sluice.FirewallDeleting
	return v, b.ask(s)
}

func (b *fakeBackend) ListFirewalls(_ context.Context, vpcIDs []string) ([]sluice.Firewall, error) {
	return b.firewalls, b.ask(vpcIDs)
}

func (b *fakeBackend) AssociateSubnets(_ context.Context, s control.Selector, token string, m []sluice.SubnetMapping) (sluice.Firewall, error) {
	return fixtureFirewall(), b.ask(s, token, m)
}

func (b *fakeBackend) DisassociateSubnets(_ context.Context, s control.Selector, token string, ids []string) (sluice.Firewall, error) {
	return fixtureFirewall(), b.ask(s, token, ids)
}

func (b *fakeBackend) AssociateFirewallPolicy(_ context.Context, s control.Selector, token, arn string) (sluice.Firewall, error) {
	return fixtureFirewall(), b.ask(s, token, arn)
}

func (b *fakeBackend) UpdateFirewallDeleteProtection(_ context.Context, s control.Selector, token string, on bool) (sluice.Firewall, error) {
	return fixtureFirewall(), b.ask(s, token, on)
}

func (b *fakeBackend) UpdateSubnetChangeProtection(_ context.Context, s control.Selector, token string, on bool) (sluice.Firewall, error) {
	return fixtureFirewall(), b.ask(s, token, on)
}

func (b *fakeBackend) UpdateFirewallPolicyChangeProtection(_ context.Context, s control.Selector, token string, on bool) (sluice.Firewall, error) {
	return fixtureFirewall(), b.ask(s, token, on)
}

func (b *fakeBackend) UpdateFirewallDescription(_ context.Context, s control.Selector, token, description string) (sluice.Firewall, error) {
	return fixtureFirewall(), b.ask(s, token, description)
}

func (b *fakeBackend) UpdateFirewallEncryptionConfiguration(_ context.Context, s control.Selector, token string, e *sluice.EncryptionConfiguration) (sluice.Firewall, error) {
	return fixtureFirewall(), b.ask(s, token, e)
}

func (b *fakeBackend) UpdateFirewallAnalysisSettings(_ context.Context, s control.Selector, token string, types []string) (sluice.Firewall, error) {
	return fixtureFirewall(), b.ask(s, token, types)
}

func (b *fakeBackend) TagResource(_ context.Context, arn string, tags []sluice.Tag) error {
	return b.ask(arn, tags)
}

func (b *fakeBackend) UntagResource(_ context.Context, arn string, keys []string) error {
	return b.ask(arn, keys)
}

func (b *fakeBackend) ResourceTags(_ context.Context, arn string) ([]sluice.Tag, error) {
	return []sluice.Tag{{Key: "a", Value: "1"}, {Key: "b", Value: ""}, {Key: "c", Value: "3"}}, b.ask(arn)
}

func (b *fakeBackend) StartFlowOperation(_ context.Context, in control.StartFlowOperationInput) (sluice.FlowOperation, error) {
	op := fixtureOperation()
	op.Status = sluice.OperationInProgress
	return op, b.ask(in)
}

func (b *fakeBackend) DescribeFlowOperation(_ context.Context, s control.FlowScope, id string) (sluice.FlowOperation, error) {
	return b.operations[0], b.ask(s, id)
}

func (b *fakeBackend) ListFlowOperations(_ context.Context, s control.FlowScope, t sluice.FlowOperationType) ([]sluice.FlowOperation, error) {
	return b.operations, b.ask(s, t)
}

func (b *fakeBackend) FlowResults(_ context.Context, s control.FlowScope, id string, offset int64, limit int) (sluice.FlowOperation, []sluice.Flow, bool, error) {
	from := min(offset, int64(len(b.flows)))
	to := min(from+int64(limit), int64(len(b.flows)))
	return fixtureOperation(), b.flows[from:to], to < int64(len(b.flows)), b.ask(s, id, offset, limit)
}

func (b *fakeBackend) Inventory(context.Context) (sluice.Inventory, error) {
	return b.inventory, b.ask()
}

func (b *fakeBackend) Scope() sluice.Scope {
	return sluice.Scope{Region: testRegion, AccountID: testAccount}
}
