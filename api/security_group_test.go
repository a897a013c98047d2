package api

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sluice"
	"sluice/control"
)

const vxlan = "&IpPermissions.1.IpProtocol=udp&IpPermissions.1.FromPort=4789&IpPermissions.1.ToPort=4789"

// made is a request for a security group.
func made(name string) string {
	return "CreateSecurityGroup?GroupName=" + name + "&GroupDescription=d&VpcId=" + vpcA
}

// grouped has group g, sensor, with rule r and three others, and group h, other,
// which a rule of g names. There is room for one more group, and for no rule in g.
func grouped(t *testing.T) *realDoor {
	t.Helper()
	d := freshDoor(t, func(o *control.Options) {
		o.Quotas.SecurityGroups = sluice.SecurityGroupQuotas{Groups: 3, RulesPerGroup: 4}
	})
	d.keep("g", "groupId", made("sensor"))
	d.keep("h", "groupId", strings.Replace(made("other"), "&VpcId="+vpcA, "", 1)+"&TagSpecification.1.ResourceType=security-group&TagSpecification.1.Tag.1.Key=a&TagSpecification.1.Tag.1.Value=b")
	d.keep("r", "securityGroupRuleId", "AuthorizeSecurityGroupIngress?GroupId={g}"+vxlan+"&IpPermissions.1.IpRanges.1.CidrIp=10.77.1.9/16&IpPermissions.1.IpRanges.1.Description=vxlan")
	d.ok("AuthorizeSecurityGroupIngress?GroupName=sensor" + vxlan + "&IpPermissions.1.Ipv6Ranges.1.CidrIpv6=fd77::/16&IpPermissions.1.Groups.1.GroupId={h}&IpPermissions.1.Groups.1.UserId=" + testAccount)
	d.ok("AuthorizeSecurityGroupIngress?GroupId={g}&IpProtocol=icmp&FromPort=8&ToPort=-1&CidrIp=0.0.0.0/0")
	return d
}

func TestSecurityGroupsThatAreRefused(t *testing.T) {
	d := grouped(t)
	for _, c := range []struct{ request, code, message string }{
		{"CreateSecurityGroup?GroupDescription=d", "MissingParameter", "The request must contain the parameter GroupName"},
		{"CreateSecurityGroup?GroupName=x", "MissingParameter", "The request must contain the parameter GroupDescription"},
		{made("sg-x"), invalid, ""},
		{made("default"), invalid, ""},
		{made("%C3%A9"), invalid, ""},
		{made(strings.Repeat("x", 256)), invalid, ""},
		{made("sensor"), "InvalidGroup.Duplicate", "The security group 'sensor' already exists for VPC '" + vpcA + "'"},
		{strings.Replace(made("x"), vpcA, "vpc-1", 1), "InvalidVpcID.NotFound", ""},
		{"AuthorizeSecurityGroupIngress?GroupId={g}", "MissingParameter", ""},
		{"AuthorizeSecurityGroupIngress?IpProtocol=-1&CidrIp=0.0.0.0/0", "MissingParameter", ""},
		{"AuthorizeSecurityGroupIngress?GroupId=foo&IpProtocol=-1&CidrIp=0.0.0.0/0", "InvalidGroupId.Malformed", `Invalid id: "foo" (expecting "sg-...")`},
		{"AuthorizeSecurityGroupIngress?GroupId=sg-00000000000000fff&IpProtocol=-1&CidrIp=0.0.0.0/0", "InvalidGroup.NotFound", ""},
		{"AuthorizeSecurityGroupIngress?GroupId={g}&IpProtocol=-1&CidrIp=10.0.0.0/33", invalid, "CIDR block 10.0.0.0/33 is malformed"},
		{"AuthorizeSecurityGroupIngress?GroupId={g}&IpProtocol=tcp&CidrIp=0.0.0.0/0", invalid, "Invalid value 'Must specify both from and to ports with TCP/UDP.' for portRange."},
		{"AuthorizeSecurityGroupIngress?GroupId={g}&IpProtocol=tcp&FromPort=9&ToPort=8&CidrIp=0.0.0.0/0", invalid, ""},
		{"AuthorizeSecurityGroupIngress?GroupId={g}&IpProtocol=foo&CidrIp=0.0.0.0/0", invalid, ""},
		{"AuthorizeSecurityGroupIngress?GroupId={g}&IpProtocol=-1", "MissingParameter", ""},
		{"AuthorizeSecurityGroupIngress?GroupId={g}&IpProtocol=-1&SourceSecurityGroupName=nobody", "InvalidGroup.NotFound", ""},
		{"AuthorizeSecurityGroupIngress?GroupId={g}" + vxlan + "&IpPermissions.1.PrefixListIds.1.PrefixListId=pl-1", "InvalidPrefixListId.NotFound", ""},
		{"AuthorizeSecurityGroupIngress?GroupId={g}&IpProtocol=17&FromPort=4789&ToPort=4789&CidrIp=10.77.0.0/16", "InvalidPermission.Duplicate",
			`the specified rule "peer: 10.77.0.0/16, UDP, from port: 4789, to port: 4789, ALLOW" already exists`},
		{"AuthorizeSecurityGroupIngress?GroupId={g}&IpProtocol=-1&CidrIp=0.0.0.0/0", "RulesPerSecurityGroupLimitExceeded", ""},
		{"RevokeSecurityGroupIngress?GroupId={g}", "MissingParameter", ""},
		{"RevokeSecurityGroupIngress?GroupId={g}&IpProtocol=-1&CidrIp=0.0.0.0/0", "InvalidPermission.NotFound", "The specified rule does not exist in this security group."},
		{"RevokeSecurityGroupIngress?GroupId={g}&SecurityGroupRuleId.1=sgr-1", "InvalidSecurityGroupRuleId.NotFound", ""},
		{"DeleteSecurityGroup?GroupId={h}", "DependencyViolation", "resource {h} has a dependent object"},
		{"DeleteSecurityGroup?GroupId={h}&GroupName=other", "InvalidParameterCombination", ""},
		{"DeleteSecurityGroup?GroupName=nobody", "InvalidGroup.NotFound", "The security group 'nobody' does not exist"},
		{"DescribeSecurityGroups?GroupName.1=nobody", "InvalidGroup.NotFound", ""},
		{"DescribeSecurityGroups?GroupId.1=foo", "InvalidGroupId.Malformed", ""},
		{"DescribeSecurityGroups?MaxResults=5&GroupId.1={g}", "InvalidParameterCombination", ""},
	} {
		d.refused(c.request, 400, c.code, c.message)
	}
	for _, request := range []string{made("dry"), "AuthorizeSecurityGroupIngress?GroupId={h}&IpProtocol=-1&CidrIp=0.0.0.0/0",
		"RevokeSecurityGroupIngress?GroupId={g}&SecurityGroupRuleId.1={r}", "DeleteSecurityGroup?GroupId={g}"} {
		d.refused(request+"&DryRun=true", 412, "DryRunOperation", "")
	}
}

func TestSecurityGroups(t *testing.T) {
	d := grouped(t)
	for _, c := range []struct{ filter, want string }{
		{"group-name=sen*", "sensor"}, {"group-id={h}", "other"}, {"vpc-id=" + vpcA, "other sensor"}, {"tag:a=b", "other"},
		{"ip-permission.protocol=udp", "sensor"}, {"ip-permission.from-port=4789", "sensor"}, {"ip-permission.cidr=10.77.*", "sensor"},
		{"ip-permission.ipv6-cidr=fd77::/16", "sensor"}, {"ip-permission.group-id={h}", "sensor"}, {"egress.ip-permission.cidr=0.0.0.0/0", "other sensor"},
		{"ip-permission.to-port=1", ""}, {"description=", ""},
	} {
		name, value, _ := strings.Cut(c.filter, "=")
		request := "DescribeSecurityGroups?Filter.1.Name=" + name
		if value != "" {
			request += "&Filter.1.Value.1=" + value
		}
		got := map[string]bool{}
		for _, n := range elements(d.ok(request).body, "groupName") {
			got[n] = true
		}
		want := map[string]bool{}
		for _, n := range strings.Fields(c.want) {
			want[n] = true
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", c.filter, diff)
		}
	}
	d.ok("RevokeSecurityGroupIngress?GroupId={g}&SecurityGroupRuleId.1={r}")
	d.ok("RevokeSecurityGroupIngress?GroupName=sensor" + vxlan + "&IpPermissions.1.Groups.1.GroupName=other")
	got := elements(d.ok("DescribeSecurityGroups?GroupName.1=sensor").body, "cidrIp")
	if diff := cmp.Diff([]string{"0.0.0.0/0", "0.0.0.0/0"}, got); diff != "" { // ICMP in, everything out
		t.Error(diff)
	}
	d.ok("DeleteSecurityGroup?GroupName=other")
	d.keep("h", "groupId", made("other")) // the name is free
	d.ok(made("third"))
	d.refused(made("fourth"), 400, "SecurityGroupLimitExceeded", "")
}
