package api

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// populated has seven sessions with tags, over two filters.
func populated(t *testing.T) *realDoor {
	t.Helper()
	d := prepared(t, nil)
	d.keep("g", "trafficMirrorFilterId", "CreateTrafficMirrorFilter?Description=other&TagSpecification.1.ResourceType=traffic-mirror-filter&TagSpecification.1.Tag.1.Key=ReservationId&TagSpecification.1.Tag.1.Value=r1")
	for n := 1; n <= 7; n++ {
		request := session(n, n, fmt.Sprintf("&VirtualNetworkId=%d&Description=%d_a*b", 100+n, n)+tagged(fmt.Sprint("ReservationId=r", n%2)))
		if n > 4 {
			request = strings.Replace(request, "{f}", "{g}", 1) + "&PacketLength=128"
		}
		d.keep(fmt.Sprint("s", n), "trafficMirrorSessionId", request)
	}
	return d
}

func TestFiltersOfMirrorReads(t *testing.T) {
	d := populated(t)
	const sessions, number = "DescribeTrafficMirrorSessions?", "sessionNumber"
	d.keep("r", "trafficMirrorFilterRuleId", rule(10, "&Protocol=6&Description=web"))
	d.keep("q", "trafficMirrorFilterRuleId", strings.Replace(rule(20, ""), "ingress", "egress", 1))
	filter := func(pairs ...string) string {
		var out []string
		for i, p := range pairs {
			name, values, _ := strings.Cut(p, "=")
			out = append(out, fmt.Sprintf("Filter.%d.Name=%s", i+1, name))
			for k, v := range strings.Split(values, ",") {
				if v != "" {
					out = append(out, fmt.Sprintf("Filter.%d.Value.%d=%s", i+1, k+1, url.QueryEscape(d.fill(v))))
				}
			}
		}
		return strings.Join(out, "&")
	}
	for _, c := range []struct{ request, element, want string }{
		{sessions, number, "1 2 3 4 5 6 7"},
		{sessions + filter("session-number=1"), number, "1"},
		{sessions + filter("session-number=?"), number, "1 2 3 4 5 6 7"},
		{sessions + filter("network-interface-id="+eni(3)), number, "3"},
		{sessions + filter("owner-id="+testAccount), number, "1 2 3 4 5 6 7"},
		{sessions + filter("packet-length=128"), number, "5 6 7"},
		{sessions + filter("packet-length=*"), number, "5 6 7"},
		{sessions + filter("virtual-network-id=10?", "virtual-network-id=*2"), number, "2"},
		{sessions + filter("traffic-mirror-session-id={s1},{s2}"), number, "1 2"},
		{sessions + filter("traffic-mirror-filter-id={g}", "tag:ReservationId=r1"), number, "5 7"},
		{sessions + filter("traffic-mirror-target-id={t}"), number, "1 2 3 4 5 6 7"},
		{sessions + filter("description=1_a\\*b"), number, "1"},
		{sessions + filter("description=1_a\\?b"), number, ""},
		{sessions + filter("tag-key=ReservationId", "session-number=4"), number, "4"},
		{sessions + filter("traffic-mirror-session-id="), number, ""}, // a list of ids that is empty
		{sessions + filter("tag:ReservationId="), number, ""},
		{sessions + "TrafficMirrorSessionId.1={s3}", number, "3"},
		{sessions + "TrafficMirrorSessionId.1={s3}&" + filter("session-number=4"), number, ""},
		{"DescribeTrafficMirrorTargets?" + filter("network-interface-id="+eni(20)), "type", "network-interface"},
		{"DescribeTrafficMirrorTargets?" + filter("network-load-balancer-arn=*/sensors/*"), "type", "network-load-balancer"},
		{"DescribeTrafficMirrorTargets?" + filter("traffic-mirror-target-id={t}", "owner-id=*"), "type", "network-interface"},
		{"DescribeTrafficMirrorTargets?" + filter("network-interface-id="), "type", ""},
		{"DescribeTrafficMirrorFilters?" + filter("description=other"), "key", "ReservationId"},
		{"DescribeTrafficMirrorFilters?" + filter("tag:ReservationId=r1"), "description", "other"},
		{"DescribeTrafficMirrorFilters?" + filter("traffic-mirror-filter-id={f}"), "ruleNumber", "10 20"},
		{"DescribeTrafficMirrorFilterRules?TrafficMirrorFilterId={f}", "ruleNumber", "10 20"},
		{"DescribeTrafficMirrorFilterRules?TrafficMirrorFilterId={g}", "ruleNumber", ""},
		{"DescribeTrafficMirrorFilterRules?" + filter("protocol=6"), "ruleNumber", "10"},
		{"DescribeTrafficMirrorFilterRules?" + filter("traffic-direction=egress", "rule-action=accept"), "ruleNumber", "20"},
		{"DescribeTrafficMirrorFilterRules?" + filter("source-cidr-block=0.0.0.0/0", "destination-cidr-block=0*", "description=web"), "ruleNumber", "10"},
		{"DescribeTrafficMirrorFilterRules?" + filter("rule-number=1*", "traffic-mirror-filter-rule-id={r},{q}", "traffic-mirror-filter-id=tmf-*"), "ruleNumber", "10"},
		{"DescribeTags?" + filter("resource-type=traffic-mirror-session", "tag:ReservationId=r0"), "value", "r0 r0 r0"},
		{"DescribeTags?" + filter("resource-id={s1}"), "key", "ReservationId"},
		{"DescribeTags?" + filter("key=Name", "value=client"), "resourceType", "subnet"},
	} {
		got := elements(d.ok(c.request).body, c.element)
		slices.Sort(got)
		if diff := cmp.Diff(c.want, strings.Join(got, " ")); diff != "" {
			t.Errorf("%s: %s", d.fill(c.request), diff)
		}
	}
}

func TestMirrorReadsThatAreRefused(t *testing.T) {
	d := populated(t)
	for _, c := range []struct{ operation, id, code string }{
		{"DescribeTrafficMirrorSessions", "TrafficMirrorSessionId", "InvalidTrafficMirrorSessionId.NotFound"},
		{"DescribeTrafficMirrorTargets", "TrafficMirrorTargetId", "InvalidTrafficMirrorTargetId.NotFound"},
		{"DescribeTrafficMirrorFilters", "TrafficMirrorFilterId", "InvalidTrafficMirrorFilterId.NotFound"},
		{"DescribeTrafficMirrorFilterRules", "TrafficMirrorFilterRuleId", "InvalidTrafficMirrorFilterRuleId.NotFound"},
	} {
		lower := strings.ToLower(c.id[:1]) + c.id[1:]
		for _, r := range []struct{ params, code, message string }{
			{c.id + ".1=tms-zz", c.code, ""},
			{c.id + ".1=foo&Filter.1.Name=description", c.code, ""},
			{"MaxResults=4", invalid, "Value ( 4 ) for parameter maxResults is invalid. Expecting a value greater than 5."},
			{"MaxResults=1001", invalid, "Value ( 1001 ) for parameter maxResults is invalid. Expecting a value less than or equal to 1000."},
			{"MaxResults=5&" + c.id + ".1=x", "InvalidParameterCombination", "The parameter " + lower + " cannot be used with the parameter maxResults"},
			{"NextToken=garbage", "InvalidNextToken", "The token 'garbage' is invalid"},
			{"Filter.1.Name=bad-filter&Filter.1.Value.1=x", invalid, "The filter 'bad-filter' is invalid"},
			{"Filter.1.Value.1=x", invalid, "The filter 'null' is invalid"},
			{strings.Join(numbered("Filter.%d.Name=description", 51), "&"), "FilterLimitExceeded", ""},
			{"Filter.1.Name=description&" + strings.Join(numbered("Filter.1.Value.%d=x", 201), "&"), "FilterLimitExceeded", ""},
			{"Foo=1", "UnknownParameter", "The parameter Foo is not recognized"},
		} {
			d.refused(c.operation+"?"+r.params, 400, r.code, r.message)
		}
		d.refused(c.operation+"?DryRun=true", 412, "DryRunOperation", "")
	}
	d.refused("DescribeTrafficMirrorSessions?TrafficMirrorSessionId.1={s1}&TrafficMirrorSessionId.2=tms-00000000000000fff", 400, "InvalidTrafficMirrorSessionId.NotFound", "")
	d.refused("DescribeTrafficMirrorFilterRules?TrafficMirrorFilterId=tmf-1", 400, "InvalidTrafficMirrorFilterId.NotFound", "")
}

// TestPagesByTokenAlone reads as CloudShell does: the first request has filters and
// a page size, the others the token alone.
func TestPagesByTokenAlone(t *testing.T) {
	d := populated(t)
	var got []string
	request, pages := "DescribeTrafficMirrorSessions?MaxResults=5&Filter.1.Name=tag-key&Filter.1.Value.1=Reservation*", 0
	for {
		page := d.ok(request).body
		pages++
		got = append(got, elements(page, "sessionNumber")...)
		token := elements(page, "nextToken")
		if len(token) == 0 {
			break
		}
		d.refused("DescribeTrafficMirrorFilters?NextToken="+url.QueryEscape(token[0]), 400, "InvalidNextToken", "")
		d.refused("DescribeTrafficMirrorSessions?Filter.1.Name=owner-id&NextToken="+url.QueryEscape(token[0]), 400, "InvalidNextToken", "")
		request = "DescribeTrafficMirrorSessions?NextToken=" + url.QueryEscape(token[0])
	}
	slices.Sort(got)
	if diff := cmp.Diff([]string{"1", "2", "3", "4", "5", "6", "7"}, got); diff != "" || pages != 2 {
		t.Errorf("%d pages: %s", pages, diff)
	}
	for n := 1; n <= 6; n++ {
		d.ok(rule(n, ""))
	}
	page := d.ok("DescribeTrafficMirrorFilterRules?TrafficMirrorFilterId={f}&MaxResults=5").body
	next := "DescribeTrafficMirrorFilterRules?NextToken=" + url.QueryEscape(elements(page, "nextToken")[0])
	for _, request := range []string{next, next + "&TrafficMirrorFilterId={f}&MaxResults=5"} {
		if rest := elements(d.ok(request).body, "trafficMirrorFilterRuleId"); len(rest) != 1 {
			t.Errorf("%s: %d rules on the second page", request, len(rest))
		}
	}
}

func TestTags(t *testing.T) {
	d := populated(t)
	d.keep("r", "trafficMirrorFilterRuleId", rule(1, ""))
	d.keep("sg", "groupId", "CreateSecurityGroup?GroupName=sensor&GroupDescription=d")
	d.keep("sgr", "securityGroupRuleId", "AuthorizeSecurityGroupIngress?GroupId={sg}&IpProtocol=-1&CidrIp=0.0.0.0/0")
	tags := func(id string) string {
		var out []string
		got := d.ok("DescribeTags?Filter.1.Name=resource-id&Filter.1.Value.1=" + id).body
		values := elements(got, "value")
		for i, key := range elements(got, "key") {
			out = append(out, key+"="+values[i])
		}
		return strings.Join(out, " ")
	}
	for _, id := range []string{"{t}", "{f}", "{r}", "{s1}", "{sg}", "{sgr}", eni(1), instanceA, subnetA, vpcA} {
		d.ok("DeleteTags?ResourceId.1=" + id)
		named := map[string]string{eni(1): " Name=eth1", instanceA: " Name=host", subnetA: " Name=client"}[id]
		sorted := func(list string) string {
			all := strings.Fields(list + named)
			slices.Sort(all)
			return strings.Join(all, " ")
		}
		for _, step := range []struct{ request, want string }{
			{"CreateTags?Tag.1.Key=a&Tag.1.Value=1&Tag.2.Key=b&Tag.2.Value=", "a=1 b="},
			{"CreateTags?Tag.1.Key=b&Tag.1.Value=2&Tag.2.Key=c", "a=1 b=2 c="},
			{"DeleteTags?Tag.1.Key=a&Tag.1.Value=other&Tag.2.Key=b&Tag.2.Value=&Tag.3.Key=z", "a=1 b=2 c="},
			{"DeleteTags?Tag.1.Key=a&Tag.1.Value=1&Tag.2.Key=c&Tag.2.Value=", "b=2"},
			{"DeleteTags?Tag.1.Key=b", ""},
			{"CreateTags?Tag.1.Key=a", "a="},
			{"DeleteTags?DryRun=false", ""},
		} {
			if got := d.ok(step.request + "&ResourceId.1=" + id); !strings.Contains(got.body, "<return>true</return>") {
				t.Errorf("answer %s", got.body)
			}
			if diff := cmp.Diff(sorted(step.want), tags(id)); diff != "" {
				t.Errorf("%s after %s: %s", d.fill(id), step.request, diff)
			}
		}
	}
	d.ok("CreateTags?ResourceId.1=" + eni(1) + "&Tag.1.Key=Name&Tag.1.Value=uplink")
	if got := elements(d.ok("DescribeNetworkInterfaces?Filter.1.Name=tag:Name&Filter.1.Value.1=uplink").body, "networkInterfaceId"); !slices.Equal(got, []string{eni(1)}) {
		t.Errorf("interfaces named uplink: %v", got)
	}
	create := "CreateTags?ResourceId.1={s1}"
	for _, c := range []struct{ request, code, message string }{
		{"CreateTags?ResourceId.1=foo&Tag.1.Key=a", "InvalidID", "The ID 'foo' is not valid"},
		{"CreateTags?ResourceId.1=tms-00000000000000fff&Tag.1.Key=a", "InvalidTrafficMirrorSessionId.NotFound", ""},
		{"CreateTags?ResourceId.1=" + eni(98) + "&Tag.1.Key=a", "InvalidNetworkInterfaceID.NotFound", ""},
		{"CreateTags?ResourceId.1={s2}&ResourceId.2=sg-1&Tag.1.Key=a", "InvalidGroup.NotFound", ""},
		{"CreateTags?Tag.1.Key=a", "MissingParameter", ""},
		{create, "MissingParameter", ""},
		{create + "&Tag.1.Key=aws:a", invalid, "Tag keys starting with 'aws:' are reserved for internal use"},
		{create + "&Tag.1.Key=a&Tag.2.Key=a", invalid, "Duplicate tag key 'a' specified"},
		{create + "&Tag.1.Value=a", invalid, "Tag key cannot be empty"},
		{create + "&Tag.1.Key=sluice:bytes-per-second&Tag.1.Value=1e6", invalid, "Value (1e6) for parameter Tag sluice:bytes-per-second is invalid. Expecting a whole number of bytes per second."},
		{"CreateTags?" + strings.Join(numbered("ResourceId.%d={s1}", 1001), "&") + "&Tag.1.Key=a", invalid, ""},
		{"DeleteTags?ResourceId.1=tmf-1&Tag.1.Key=a", "InvalidTrafficMirrorFilterId.NotFound", ""},
		{"DeleteTags?ResourceId.1={s1}&Tag.1.Value=a", invalid, ""},
	} {
		d.refused(c.request, 400, c.code, c.message)
	}
	d.refused(create+"&Tag.1.Key=a&DryRun=true", 412, "DryRunOperation", "")
	if got := tags("{s2}"); got != "ReservationId=r0" {
		t.Errorf("a request that failed has tagged: %s", got)
	}
	d.ok("CreateTags?ResourceId.1={s2}&" + strings.Join(numbered("Tag.%d.Key=k%[1]d", 49), "&"))
	d.refused("CreateTags?ResourceId.1={s2}&Tag.1.Key=another", 400, "TagLimitExceeded", "")
	d.ok("CreateTags?ResourceId.1={s2}&Tag.1.Key=k1&Tag.1.Value=changed") // not one more
	d.ok("DeleteTrafficMirrorSession?TrafficMirrorSessionId={s2}")
	if got := tags("{s2}"); got != "" {
		t.Errorf("tags of a session that has gone: %s", got)
	}
}
