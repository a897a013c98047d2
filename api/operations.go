package api

import "slices"

// operations is the table of everything that this door understands.
func operations() []operation {
	return slices.Concat(firewallOperations(), inventoryOperations(), mirrorOperations(), []operation{
		stsOperation("GetCallerIdentity", getCallerIdentity),
	})
}

// firewallOperations are those of Network Firewall.
func firewallOperations() []operation {
	return []operation{
		firewallOperation("StartFlowCapture", startFlowCapture),
		firewallOperation("StartFlowFlush", startFlowFlush),
		firewallOperation("DescribeFlowOperation", describeFlowOperation),
		firewallOperation("ListFlowOperations", listFlowOperations),
		firewallOperation("ListFlowOperationResults", listFlowOperationResults),

		firewallOperation("CreateFirewallPolicy", createFirewallPolicy),
		firewallOperation("DescribeFirewallPolicy", describeFirewallPolicy),
		firewallOperation("UpdateFirewallPolicy", updateFirewallPolicy),
		firewallOperation("DeleteFirewallPolicy", deleteFirewallPolicy),
		firewallOperation("ListFirewallPolicies", listFirewallPolicies),

		firewallOperation("CreateFirewall", createFirewall),
		firewallOperation("DescribeFirewall", describeFirewall),
		firewallOperation("DescribeFirewallMetadata", describeFirewallMetadata),
		firewallOperation("DeleteFirewall", deleteFirewall),
		firewallOperation("ListFirewalls", listFirewalls),

		firewallOperation("AssociateSubnets", associateSubnets),
		firewallOperation("DisassociateSubnets", disassociateSubnets),
		firewallOperation("AssociateFirewallPolicy", associateFirewallPolicy),
		firewallOperation("UpdateFirewallDeleteProtection", updateFirewallDeleteProtection),
		firewallOperation("UpdateSubnetChangeProtection", updateSubnetChangeProtection),
		firewallOperation("UpdateFirewallPolicyChangeProtection", updateFirewallPolicyChangeProtection),
		firewallOperation("UpdateFirewallDescription", updateFirewallDescription),
		firewallOperation("UpdateFirewallEncryptionConfiguration", updateFirewallEncryptionConfiguration),
		firewallOperation("UpdateFirewallAnalysisSettings", updateFirewallAnalysisSettings),

		firewallOperation("TagResource", tagResource),
		firewallOperation("UntagResource", untagResource),
		firewallOperation("ListTagsForResource", listTagsForResource),

		firewallOperation("AssociateAvailabilityZones", refuseTransitGateway),
		firewallOperation("DisassociateAvailabilityZones", refuseTransitGateway),
		firewallOperation("UpdateAvailabilityZoneChangeProtection", refuseTransitGateway),
		firewallOperation("AcceptNetworkFirewallTransitGatewayAttachment", refuseTransitGateway),
		firewallOperation("RejectNetworkFirewallTransitGatewayAttachment", refuseTransitGateway),
		firewallOperation("DeleteNetworkFirewallTransitGatewayAttachment", refuseTransitGateway),
	}
}

// inventoryOperations are the EC2 reads of what the hosts have.
func inventoryOperations() []operation {
	return []operation{
		ec2Operation("DescribeNetworkInterfaces", describeNetworkInterfaces),
		ec2Operation("DescribeInstances", describeInstances),
		ec2Operation("DescribeInstanceTypes", describeInstanceTypes),
		ec2Operation("DescribeSubnets", describeSubnets),
		ec2Operation("DescribeVpcs", describeVpcs),
		ec2Operation("DescribeAvailabilityZones", describeAvailabilityZones),
		ec2Operation("DescribeRegions", describeRegions),
	}
}

// mirrorOperations are those of EC2 for traffic mirroring, with tags and the security
// groups that clients open for copies.
func mirrorOperations() []operation {
	return []operation{
		ec2Operation("CreateTrafficMirrorTarget", createTrafficMirrorTarget),
		ec2Operation("DescribeTrafficMirrorTargets", describeTrafficMirrorTargets),
		ec2Operation("DeleteTrafficMirrorTarget", deleteTrafficMirrorTarget),

		ec2Operation("CreateTrafficMirrorFilter", createTrafficMirrorFilter),
		ec2Operation("DescribeTrafficMirrorFilters", describeTrafficMirrorFilters),
		ec2Operation("ModifyTrafficMirrorFilterNetworkServices", modifyTrafficMirrorFilterNetworkServices),
		ec2Operation("DeleteTrafficMirrorFilter", deleteTrafficMirrorFilter),

		ec2Operation("CreateTrafficMirrorFilterRule", createTrafficMirrorFilterRule),
		ec2Operation("DescribeTrafficMirrorFilterRules", describeTrafficMirrorFilterRules),
		ec2Operation("ModifyTrafficMirrorFilterRule", modifyTrafficMirrorFilterRule),
		ec2Operation("DeleteTrafficMirrorFilterRule", deleteTrafficMirrorFilterRule),

		ec2Operation("CreateTrafficMirrorSession", createTrafficMirrorSession),
		ec2Operation("DescribeTrafficMirrorSessions", describeTrafficMirrorSessions),
		ec2Operation("ModifyTrafficMirrorSession", modifyTrafficMirrorSession),
		ec2Operation("DeleteTrafficMirrorSession", deleteTrafficMirrorSession),

		ec2Operation("CreateTags", createTags),
		ec2Operation("DeleteTags", deleteTags),
		ec2Operation("DescribeTags", describeTags),

		ec2Operation("CreateSecurityGroup", createSecurityGroup),
		ec2Operation("DescribeSecurityGroups", describeSecurityGroups),
		ec2Operation("AuthorizeSecurityGroupIngress", authorizeSecurityGroupIngress),
		ec2Operation("RevokeSecurityGroupIngress", revokeSecurityGroupIngress),
		ec2Operation("DeleteSecurityGroup", deleteSecurityGroup),
	}
}
