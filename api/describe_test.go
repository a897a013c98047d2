package api

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestWildcards(t *testing.T) {
	for _, c := range []struct {
		pattern, text string
		want          bool
	}{
		{"abc", "abc", true}, {"abc", "ABC", false}, {"abc", "abcd", false}, {"", "", true}, {"", "a", false},
		{"*", "", true}, {"*", "anything", true}, {"a*c", "abbbc", true}, {"a*c", "abbbd", false}, {"*b*", "abc", true},
		{"a?c", "abc", true}, {"a?c", "ac", true}, {"a?c", "abbc", false}, {"???", "ab", true}, {"???", "abcd", false},
		{`a\*c`, "a*c", true}, {`a\*c`, "abc", false}, {`a\?`, "a?", true}, {`a\\b`, `a\b`, true}, {`a\`, `a\`, true},
		{"10.*.2", "10.77.2", true}, {"t*", "été", false}, {"?t?", "été", true}, {"*é", "été", true},
	} {
		if got := wildcard(c.pattern, c.text); got != c.want {
			t.Errorf("wildcard(%q, %q) is %v", c.pattern, c.text, got)
		}
	}
	began := time.Now()
	wildcard(strings.Repeat("*?", 127), strings.Repeat("a", 255)+"b")
	if took := time.Since(began); took > time.Second {
		t.Errorf("a hostile pattern took %v", took)
	}
}

var itemIDs = regexp.MustCompile(`<(?:networkInterfaceId|instanceId|subnetId|vpcId|zoneName|regionName|instanceType)>([^<]+)<`)

// selected returns the first id of each answered thing.
func (d *door) selected(t *testing.T, operation, params string) string {
	t.Helper()
	got := d.call(t, serviceEC2, operation, params)
	if got.status != 200 {
		return got.code
	}
	if operation == "DescribeInstances" {
		got.body = regexp.MustCompile(`<networkInterfaceSet>.*?</networkInterfaceSet>`).ReplaceAllString(got.body, "")
	}
	var out []string
	for _, item := range strings.Split(got.body, "<item>") {
		if m := itemIDs.FindStringSubmatch(item); m != nil && strings.HasPrefix(item, "<"+strings.SplitN(m[0], ">", 2)[0][1:]) {
			out = append(out, m[1])
		}
	}
	return strings.Join(out, " ")
}

func TestFiltersSelect(t *testing.T) {
	const n1, n2 = eniA, "eni-00000000000000c02"
	const i1, i2 = instanceA, "i-00000000000000d02"
	const s1, s2 = subnetA, "subnet-00000000000000a02"
	filter := func(pairs ...string) string {
		var out []string
		for i, p := range pairs {
			name, values, _ := strings.Cut(p, "=")
			out = append(out, fmt.Sprintf("Filter.%d.Name=%s", i+1, name))
			if values == "" {
				continue
			}
			for k, v := range strings.Split(values, ",") {
				out = append(out, fmt.Sprintf("Filter.%d.Value.%d=%s", i+1, k+1, v))
			}
		}
		return strings.Join(out, "&")
	}
	for _, c := range []struct{ operation, params, want string }{
		{"DescribeNetworkInterfaces", "", n1 + " " + n2},
		{"DescribeNetworkInterfaces", "NetworkInterfaceId.1=" + n2, n2},
		{"DescribeNetworkInterfaces", filter("network-interface-id=" + n2), n2},
		{"DescribeNetworkInterfaces", filter("attachment.instance-id=" + i1 + "," + i2), n1 + " " + n2},
		{"DescribeNetworkInterfaces", filter("subnet-id="+s1, "vpc-id="+vpcA), n1},
		{"DescribeNetworkInterfaces", filter("subnet-id="+s1, "subnet-id="+s2), ""},
		{"DescribeNetworkInterfaces", filter("addresses.private-ip-address=10.77.1.9"), n1},
		{"DescribeNetworkInterfaces", filter("private-ip-address=10.77.?.1"), n1 + " " + n2},
		{"DescribeNetworkInterfaces", filter("ipv6-addresses.ipv6-address=fe80*"), ""},
		{"DescribeNetworkInterfaces", filter("mac-address=*02"), n2},
		{"DescribeNetworkInterfaces", filter("attachment.device-index=0", "status=in-use", "attachment.status=attached", "interface-type=interface", "owner-id="+testAccount, "availability-zone=eu-west-1b"), n2},
		{"DescribeNetworkInterfaces", filter("description=*namespace sluice-gateway*"), n1},
		{"DescribeNetworkInterfaces", filter("tag:Name=sluice-gateway/client0"), n1},
		{"DescribeNetworkInterfaces", filter("tag-key=Name"), n1 + " " + n2},
		{"DescribeNetworkInterfaces", filter("tag-key=name"), ""},
		{"DescribeNetworkInterfaces", filter("tag:Owner=x"), ""},
		{"DescribeNetworkInterfaces", filter("group-id=*"), ""},
		{"DescribeNetworkInterfaces", filter("network-interface-id"), ""},
		{"DescribeInstances", filter("tag:Name=host"), i2},
		{"DescribeInstances", filter("instance-state-name=running", "instance-type=sluice.*"), i1 + " " + i2},
		{"DescribeInstances", filter("instance-state-name=stopped"), ""},
		{"DescribeInstances", filter("network-interface.network-interface-id=" + n1), i1},
		{"DescribeInstances", filter("network-interface.addresses.private-ip-address=10.77.1.9"), i1},
		{"DescribeInstanceTypes", filter("hypervisor=nitro", "bare-metal=false"), instanceType},
		{"DescribeInstanceTypes", filter("hypervisor=xen"), ""},
		{"DescribeSubnets", filter("cidr-block=10.77.2.0/30"), s2},
		{"DescribeSubnets", filter("availabilityZone=eu-west-1a"), s1},
		{"DescribeSubnets", filter("availability-zone-id=euw1-az2"), s2},
		{"DescribeSubnets", filter("ipv6-cidr-block-association.ipv6-cidr-block=fd77:1::/64"), s1},
		{"DescribeVpcs", filter("is-default=true"), ""},
		{"DescribeVpcs", filter("cidr-block-association.cidr-block=10.77.*"), vpcA},
		{"DescribeAvailabilityZones", filter("zone-id=euw1-az2"), "eu-west-1b"},
		{"DescribeAvailabilityZones", "ZoneId.1=euw1-az1", "eu-west-1a"},
		{"DescribeAvailabilityZones", "ZoneId.1=euw1-az9", "InvalidParameterValue"},
		{"DescribeAvailabilityZones", filter("state=available"), "eu-west-1a eu-west-1b"},
		{"DescribeRegions", filter("region-name=eu-*"), "eu-west-1"},
	} {
		t.Run(c.operation+" "+c.params, func(t *testing.T) {
			if diff := cmp.Diff(c.want, fixedDoor().selected(t, c.operation, strings.ReplaceAll(c.params, " ", "%20"))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestReadsThatAreRefused(t *testing.T) {
	many := func(format string, n int) string {
		var out []string
		for i := range n {
			out = append(out, fmt.Sprintf(format, i+1))
		}
		return strings.Join(out, "&")
	}
	for _, c := range []struct {
		operation, params string
		status            int
		code, message     string
	}{
		{"DescribeInstances", "Filter.1.Name=bad-filter&Filter.1.Value.1=x", 400, "InvalidParameterValue", "The filter 'bad-filter' is invalid"},
		{"DescribeInstances", "Filter.1.Value.1=x", 400, "InvalidParameterValue", "The filter 'null' is invalid"},
		{"DescribeRegions", "Filter.1.Name=tag:Name&Filter.1.Value.1=x", 400, "InvalidParameterValue", "The filter 'tag:Name' is invalid"},
		{"DescribeInstances", many("Filter.%d.Name=instance-id", 51), 400, "FilterLimitExceeded", ""},
		{"DescribeInstances", "Filter.1.Name=instance-id&" + many("Filter.1.Value.%d=x", 201), 400, "FilterLimitExceeded", ""},
		{"DescribeInstances", "Filter.1.Name=instance-id&Filter.1.Value.1=" + strings.Repeat("x", 256), 400, "FilterLimitExceeded", ""},
		{"DescribeInstances", "MaxResults=4", 400, "InvalidParameterValue", "Value ( 4 ) for parameter maxResults is invalid. Expecting a value greater than 5."},
		{"DescribeInstances", "MaxResults=1001", 400, "InvalidParameterValue", "Value ( 1001 ) for parameter maxResults is invalid. Expecting a value less than or equal to 1000."},
		{"DescribeInstanceTypes", "MaxResults=101", 400, "InvalidParameterValue", "Value ( 101 ) for parameter maxResults is invalid. Expecting a value less than or equal to 100."},
		{"DescribeInstances", "MaxResults=5&InstanceId.1=" + instanceA, 400, "InvalidParameterCombination", "The parameter instancesSet cannot be used with the parameter maxResults"},
		{"DescribeInstances", "MaxResults=many", 400, "InvalidParameterValue", "Value (many) for parameter MaxResults is invalid. Expecting an integer."},
		{"DescribeInstances", "DryRun=perhaps", 400, "InvalidParameterValue", "Value (perhaps) for parameter DryRun is invalid. Expecting true or false."},
		{"DescribeAvailabilityZones", "MaxResults=5", 400, "UnknownParameter", "The parameter MaxResults is not recognized"},
		{"DescribeInstances", "InstanceId.1=foo", 400, "InvalidInstanceID.Malformed", `Invalid id: "foo"`},
		{"DescribeInstances", "InstanceId.1=" + instanceA + "&InstanceId.2=i-00000000000000fff", 400, "InvalidInstanceID.NotFound", "The instance ID 'i-00000000000000fff' does not exist"},
		{"DescribeNetworkInterfaces", "NetworkInterfaceId.1=eni-1", 400, "InvalidNetworkInterfaceId.Malformed", `Invalid id: "eni-1"`},
		{"DescribeNetworkInterfaces", "NetworkInterfaceId.1=eni-12345678", 400, "InvalidNetworkInterfaceID.NotFound", "The networkInterface ID 'eni-12345678' does not exist"},
		{"DescribeSubnets", "SubnetId.1=subnet-ABCDEF01", 400, "InvalidSubnetID.Malformed", `Invalid id: "subnet-ABCDEF01"`},
		{"DescribeVpcs", "VpcId.1=vpc-12345678", 400, "InvalidVpcID.NotFound", "The vpc ID 'vpc-12345678' does not exist"},
		{"DescribeInstanceTypes", "InstanceType.1=t2.micro", 400, "InvalidInstanceType", "The following supplied instance types do not exist: [t2.micro]"},
		{"DescribeRegions", "RegionName.1=mars", 400, "InvalidParameterValue", "Invalid region name: [mars]"},
		{"DescribeAvailabilityZones", "ZoneName.1=mars", 400, "InvalidParameterValue", "Invalid availability zone: [mars]"},
		{"DescribeInstances", "DryRun=true", 412, "DryRunOperation", "Request would have succeeded, but DryRun flag is set."},
		{"DescribeRegions", "DryRun=True", 412, "DryRunOperation", ""},
		{"DescribeInstances", "DryRun=true&InstanceId.1=i-00000000000000fff", 400, "InvalidInstanceID.NotFound", ""},
	} {
		fixedDoor().call(t, serviceEC2, c.operation, c.params).want(t, c.status, c.code, c.message)
	}
}

func TestZoneIDs(t *testing.T) {
	for _, c := range [][3]string{
		{"eu-west-1", "eu-west-1a", "euw1-az1"}, {"us-east-2", "us-east-2c", "use2-az3"}, {"ap-southeast-1", "ap-southeast-1b", "apse1-az2"},
		{"ca-central-1", "ca-central-1d", "cac1-az4"}, {"eu-west-1", "lab", "lab"}, {"eu-west-1", "eu-west-1-lab-1a", "eu-west-1-lab-1a"},
	} {
		if got := zoneID(c[0], c[1]); got != c[2] {
			t.Errorf("zoneID(%q, %q) is %q, want %q", c[0], c[1], got, c[2])
		}
	}
}
