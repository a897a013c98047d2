package api

import (
	"context"
	"net/netip"

	"sluice"
	"sluice/control"
)

// The traffic mirroring of the fixture.
const (
	targetA  = "tmt-00000000000000a11"
	filterA  = "tmf-00000000000000a12"
	ruleA    = "tmfr-00000000000000a13"
	sessionA = "tms-00000000000000a14"
	groupA   = "sg-00000000000000a15"
)

func fixtureTarget() sluice.TrafficMirrorTarget {
	return sluice.TrafficMirrorTarget{ID: targetA, Type: sluice.TargetNetworkInterface, NetworkInterfaceID: eniA,
		Description: "sensor", OwnerID: testAccount, Tags: []sluice.Tag{{Key: "Name", Value: "sensor"}, {Key: "empty"}}}
}

func fixtureRule() sluice.TrafficMirrorFilterRule {
	return sluice.TrafficMirrorFilterRule{ID: ruleA, FilterID: filterA, TrafficDirection: sluice.TrafficIngress, RuleNumber: 10, RuleAction: sluice.MirrorAccept,
		Protocol: 6, DestinationPortRange: &sluice.PortRange{From: 0, To: 443}, SourceCIDR: netip.MustParsePrefix("10.0.0.0/8"),
		DestinationCIDR: netip.MustParsePrefix("0.0.0.0/0"), Description: "web", Tags: []sluice.Tag{{Key: "k", Value: "v"}}}
}

func fixtureMirrorFilter() sluice.TrafficMirrorFilter {
	all := sluice.TrafficMirrorFilterRule{ID: "tmfr-00000000000000a16", FilterID: filterA, TrafficDirection: sluice.TrafficEgress, RuleNumber: 1,
		RuleAction: sluice.MirrorReject, Protocol: -1, SourceCIDR: netip.MustParsePrefix("::/0"), DestinationCIDR: netip.MustParsePrefix("fd00::/8")}
	return sluice.TrafficMirrorFilter{ID: filterA, Description: "all", NetworkServices: []string{sluice.NetworkServiceDNS},
		Rules: []sluice.TrafficMirrorFilterRule{all, fixtureRule()}}
}

func fixtureSession() sluice.TrafficMirrorSession {
	return sluice.TrafficMirrorSession{ID: sessionA, NetworkInterfaceID: eniA, TargetID: targetA, FilterID: filterA, SessionNumber: 1,
		PacketLength: 128, VirtualNetworkID: 7159709, Description: "one", OwnerID: testAccount}
}

func fixtureGroup() sluice.SecurityGroup {
	return sluice.SecurityGroup{ID: groupA, Name: "sensor", Description: "of the sensor", VpcID: vpcA, OwnerID: testAccount, Rules: []sluice.SecurityGroupRule{
		{ID: "sgr-00000000000000a17", Egress: true, Protocol: "-1", FromPort: -1, ToPort: -1, CIDR: netip.MustParsePrefix("0.0.0.0/0")},
		{ID: "sgr-00000000000000a18", Protocol: "udp", FromPort: 4789, ToPort: 4789, CIDR: netip.MustParsePrefix("10.77.0.0/16"), Description: "vxlan"},
		{ID: "sgr-00000000000000a19", Protocol: "udp", FromPort: 4789, ToPort: 4789, CIDR: netip.MustParsePrefix("fd77::/16")},
		{ID: "sgr-00000000000000a20", Protocol: "udp", FromPort: 4789, ToPort: 4789, GroupID: groupA},
	}, Tags: []sluice.Tag{{Key: "Name", Value: "sensor"}}}
}

func (b *fakeBackend) CreateTrafficMirrorFilter(_ context.Context, in control.CreateTrafficMirrorFilterInput) (sluice.TrafficMirrorFilter, error) {
	return sluice.TrafficMirrorFilter{ID: filterA, Description: "all"}, b.ask(in)
}

func (b *fakeBackend) ModifyTrafficMirrorFilterNetworkServices(_ context.Context, id string, add, remove []string, dryRun bool) (sluice.TrafficMirrorFilter, error) {
	return fixtureMirrorFilter(), b.ask(id, add, remove, dryRun)
}

func (b *fakeBackend) DeleteTrafficMirrorFilter(_ context.Context, id string, dryRun bool) error {
	return b.ask(id, dryRun)
}

func (b *fakeBackend) CreateTrafficMirrorFilterRule(_ context.Context, in control.CreateTrafficMirrorFilterRuleInput) (sluice.TrafficMirrorFilterRule, error) {
	return fixtureRule(), b.ask(in)
}

func (b *fakeBackend) ModifyTrafficMirrorFilterRule(_ context.Context, in control.ModifyTrafficMirrorFilterRuleInput) (sluice.TrafficMirrorFilterRule, error) {
	return fixtureRule(), b.ask(in)
}

func (b *fakeBackend) DeleteTrafficMirrorFilterRule(_ context.Context, id string, dryRun bool) error {
	return b.ask(id, dryRun)
}

func (b *fakeBackend) CreateTrafficMirrorTarget(_ context.Context, in control.CreateTrafficMirrorTargetInput) (sluice.TrafficMirrorTarget, error) {
	return fixtureTarget(), b.ask(in)
}

func (b *fakeBackend) DeleteTrafficMirrorTarget(_ context.Context, id string, dryRun bool) error {
	return b.ask(id, dryRun)
}

func (b *fakeBackend) CreateTrafficMirrorSession(_ context.Context, in control.CreateTrafficMirrorSessionInput) (sluice.TrafficMirrorSession, error) {
	return fixtureSession(), b.ask(in)
}

func (b *fakeBackend) ModifyTrafficMirrorSession(_ context.Context, in control.ModifyTrafficMirrorSessionInput) (sluice.TrafficMirrorSession, error) {
	s := fixtureSession()
	s.PacketLength = 0
	return s, b.ask(in)
}

func (b *fakeBackend) DeleteTrafficMirrorSession(_ context.Context, id string, dryRun bool) error {
	return b.ask(id, dryRun)
}

func (b *fakeBackend) TrafficMirrorFilters(context.Context) ([]sluice.TrafficMirrorFilter, error) {
	return []sluice.TrafficMirrorFilter{fixtureMirrorFilter()}, b.ask()
}

func (b *fakeBackend) TrafficMirrorTargets(context.Context) ([]sluice.TrafficMirrorTarget, error) {
	return []sluice.TrafficMirrorTarget{fixtureTarget()}, b.ask()
}

func (b *fakeBackend) TrafficMirrorSessions(context.Context) ([]sluice.TrafficMirrorSession, error) {
	return []sluice.TrafficMirrorSession{fixtureSession()}, b.ask()
}

func (b *fakeBackend) CreateSecurityGroup(_ context.Context, in control.CreateSecurityGroupInput) (sluice.SecurityGroup, error) {
	return fixtureGroup(), b.ask(in)
}

func (b *fakeBackend) AuthorizeSecurityGroupIngress(_ context.Context, in control.AuthorizeSecurityGroupIngressInput) (sluice.SecurityGroup, []sluice.SecurityGroupRule, error) {
	return fixtureGroup(), fixtureGroup().Rules[1:], b.ask(in)
}

func (b *fakeBackend) RevokeSecurityGroupIngress(_ context.Context, in control.RevokeSecurityGroupIngressInput) (sluice.SecurityGroup, []sluice.SecurityGroupRule, error) {
	return fixtureGroup(), fixtureGroup().Rules[1:], b.ask(in)
}

func (b *fakeBackend) DeleteSecurityGroup(_ context.Context, s control.SecurityGroupSelector, dryRun bool) (string, error) {
	return groupA, b.ask(s, dryRun)
}

func (b *fakeBackend) SecurityGroups(context.Context) ([]sluice.SecurityGroup, error) {
	return []sluice.SecurityGroup{fixtureGroup()}, b.ask()
}

func (b *fakeBackend) CreateTags(_ context.Context, ids []string, tags []sluice.Tag, dryRun bool) error {
	return b.ask(ids, tags, dryRun)
}

func (b *fakeBackend) DeleteTags(_ context.Context, ids []string, selectors []control.EC2TagSelector, dryRun bool) error {
	return b.ask(ids, selectors, dryRun)
}

func (b *fakeBackend) EC2Tags(context.Context, ...string) (map[string][]sluice.Tag, error) {
	return map[string][]sluice.Tag{eniA: {{Key: "role", Value: "source"}}, targetA: fixtureTarget().Tags}, b.ask()
}
