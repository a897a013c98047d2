package api

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sluice"
	"sluice/control"
)

// session is a request for a session from a source to target t and filter f.
func session(source int, number any, more string) string {
	return fmt.Sprintf("CreateTrafficMirrorSession?NetworkInterfaceId=%s&TrafficMirrorTargetId={t}&TrafficMirrorFilterId={f}&SessionNumber=%v%s", eni(source), number, more)
}

const invalid = "InvalidParameterValue"

// prepared makes target t on interface 20, target n on the group, and filter f.
func prepared(t *testing.T, change func(*control.Options)) *realDoor {
	t.Helper()
	d := freshDoor(t, change)
	d.keep("t", "trafficMirrorTargetId", "CreateTrafficMirrorTarget?NetworkInterfaceId="+eni(20))
	d.keep("n", "trafficMirrorTargetId", "CreateTrafficMirrorTarget?NetworkLoadBalancerArn="+groupArn)
	d.keep("f", "trafficMirrorFilterId", "CreateTrafficMirrorFilter")
	return d
}

func TestSessionsThatAreRefused(t *testing.T) {
	d := prepared(t, nil)
	const missing = "The request must contain the parameter "
	number := func(n string) string {
		return "Value (" + n + ") for parameter SessionNumber is invalid. Session number must be between 1 and 32766."
	}
	without := func(parameter string) string {
		var kept []string
		for _, p := range strings.Split(session(1, 1, ""), "&") {
			if !strings.Contains(p, parameter+"=") {
				kept = append(kept, p)
			} else if head, _, ok := strings.Cut(p, "?"); ok {
				kept = append(kept, head+"?DryRun=false")
			}
		}
		return strings.Join(kept, "&")
	}
	d.ok(session(1, 1, ""))
	for _, c := range []struct{ request, code, message string }{
		{without("NetworkInterfaceId"), "MissingParameter", missing + "NetworkInterfaceId"},
		{without("SessionNumber"), "MissingParameter", missing + "SessionNumber"},
		{without("TrafficMirrorTargetId"), "MissingParameter", missing + "TrafficMirrorTargetId"},
		{without("TrafficMirrorFilterId"), "MissingParameter", missing + "TrafficMirrorFilterId"},
		{session(1, 0, ""), invalid, number("0")},
		{session(1, -1, ""), invalid, number("-1")},
		{session(1, 32767, ""), invalid, number("32767")},
		{session(1, "abc", ""), invalid, "Value (abc) for parameter SessionNumber is invalid. Expecting an integer."},
		{session(1, 1, ""), invalid, "Session number 1 is already being used on " + eni(1)},
		{session(1, 9, "&VirtualNetworkId=-1"), invalid, ""},
		{session(1, 9, "&VirtualNetworkId=16777216"), invalid, "Value (16777216) for parameter VirtualNetworkId is invalid. Virtual network ID must be between 0 and 16777215."},
		{session(1, 9, "&PacketLength=0"), invalid, ""},
		{session(1, 9, "&PacketLength=-5"), invalid, ""},
		{session(1, 9, "&PacketLength=8501"), invalid, "Value (8501) for parameter PacketLength is invalid. Packet length must be between 1 and 8500."},
		{strings.Replace(session(1, 9, ""), "{t}", "tmt-00000000000000fff", 1), "InvalidTrafficMirrorTargetId.NotFound", "The traffic mirror target 'tmt-00000000000000fff' does not exist"},
		{strings.Replace(session(1, 9, ""), "{t}", "foo", 1), "InvalidTrafficMirrorTargetId.NotFound", ""},
		{strings.Replace(session(1, 9, ""), "{f}", "tmf-zz", 1), "InvalidTrafficMirrorFilterId.NotFound", "The traffic mirror filter 'tmf-zz' does not exist"},
		{session(98, 9, ""), "InvalidNetworkInterfaceID.NotFound", "The networkInterface ID '" + eni(98) + "' does not exist"},
		{session(99, 9, ""), "NetworkInterfaceNotSupported", eni(99) + " must be attached to a supported instance"},
		{session(20, 9, ""), invalid, eni(20) + " is in use by target {t}"},
		{session(1, 9, "&Description="+strings.Repeat("x", 256)), invalid, ""},
		{session(1, 9, "&ClientToken="+strings.Repeat("x", 65)), invalid, ""},
		{session(1, 9, "&ClientToken=%C3%A9"), invalid, ""},
		{session(1, 9, "&TagSpecification.1.ResourceType=instance&TagSpecification.1.Tag.1.Key=a"), invalid, "'instance' is not a valid taggable resource type for this operation."},
		{session(1, 9, "&TagSpecification.1.Tag.1.Key=a"), invalid, "Tag specification resource type must have a value"},
		{session(1, 9, tagged("aws:x=1")), invalid, "Tag keys starting with 'aws:' are reserved for internal use"},
		{session(1, 9, tagged("AWS:x=1")), invalid, "Tag keys starting with 'aws:' are reserved for internal use"},
		{session(1, 9, tagged("project=1", "project=2")), invalid, "Duplicate tag key 'project' specified"},
		{session(1, 9, tagged("=1")), invalid, "Tag key cannot be empty"},
		{session(1, 9, tagged(strings.Repeat("k", 128)+"=1")), invalid, "Tag key exceeds the maximum length of 127 characters"},
		{session(1, 9, tagged("k="+strings.Repeat("v", 257))), invalid, "Tag value exceeds the maximum length of 256 characters"},
		{session(1, 9, tagged(numbered("k%d=1", 51)...)), "TagLimitExceeded", ""},
		{session(1, 9, tagged("sluice:packets-per-second=fast")), invalid, "Value (fast) for parameter Tag sluice:packets-per-second is invalid. Expecting a whole number of packets per second."},
		{session(1, 9, tagged("sluice:bytes-per-second=-1")), invalid, "Value (-1) for parameter Tag sluice:bytes-per-second is invalid. Expecting a whole number of bytes per second."},
		{session(1, 9, tagged("sluice:bytes-per-second=999")), invalid, "Value (999) for parameter Tag sluice:bytes-per-second is invalid. Expecting at least 1000 bytes per second, or 0 for no cap."},
		{session(1, 9, "&Foo=1"), "UnknownParameter", "The parameter Foo is not recognized"},
		{session(1, 1, "&DryRun=true"), invalid, "Session number 1 is already being used on " + eni(1)},
		{session(1, 0, "&DryRun=true"), invalid, number("0")},
	} {
		d.refused(c.request, 400, c.code, c.message)
	}
	d.refused(session(1, 2, "&DryRun=true&ClientToken=dry"), 412, "DryRunOperation", "Request would have succeeded, but DryRun flag is set.")
	if ids := elements(d.ok("DescribeTrafficMirrorSessions").body, "trafficMirrorSessionId"); len(ids) != 1 {
		t.Errorf("refused requests made %d sessions", len(ids)-1)
	}
	d.ok(session(1, 2, "&ClientToken=dry")) // a dry run does not use a token up
}

// tagged are the parameters that tag a session.
func tagged(tags ...string) string {
	out := "&TagSpecification.1.ResourceType=traffic-mirror-session"
	for i, tag := range tags {
		key, value, _ := strings.Cut(tag, "=")
		out += fmt.Sprintf("&TagSpecification.1.Tag.%d.Key=%s&TagSpecification.1.Tag.%d.Value=%s", i+1, key, i+1, value)
	}
	return out
}

func numbered(format string, n int) []string {
	var out []string
	for i := range n {
		out = append(out, fmt.Sprintf(format, i+1))
	}
	return out
}

func TestLimitsOfSessions(t *testing.T) {
	d := prepared(t, nil)
	d.keep("s", "trafficMirrorSessionId", session(1, 1, "&VirtualNetworkId=0&PacketLength=1"))
	d.ok(session(2, 1, "&VirtualNetworkId=16777215&PacketLength=34"))
	d.ok(session(1, 2, "&VirtualNetworkId=0")) // an explicit identifier need not be unique
	d.ok(session(1, 3, ""))
	d.refused(session(1, 4, ""), 400, "TrafficMirrorSessionsPerInterfaceLimitExceeded", "Sessions per interface limit reached (4)")
	d.ok("ModifyTrafficMirrorSession?TrafficMirrorSessionId={s}&SessionNumber=1")
	d.refused("ModifyTrafficMirrorSession?TrafficMirrorSessionId={s}&SessionNumber=2", 400, invalid, "Session number 2 is already being used on "+eni(1))
	for n := 3; n <= 10; n++ {
		d.ok(session(n, 1, ""))
	}
	d.refused(session(11, 1, ""), 400, "TrafficMirrorSourcesPerTargetLimitExceeded", "Sources per interface-target limit reached (11)")
	d.ok(session(2, 2, "")) // its source is counted already
	d.keep("t", "trafficMirrorTargetId", "CreateTrafficMirrorTarget?NetworkInterfaceId="+eni(20))
	d.refused(session(11, 1, ""), 400, "TrafficMirrorSourcesPerTargetLimitExceeded", "") // another target, the same interface
	d.saved["t"] = d.saved["n"]
	d.keep("g", "trafficMirrorSessionId", session(11, 1, ""))
	d.saved["t"] = elements(d.ok("DescribeTrafficMirrorSessions?TrafficMirrorSessionId.1={s}").body, "trafficMirrorTargetId")[0]
	d.refused("ModifyTrafficMirrorSession?TrafficMirrorSessionId={g}&TrafficMirrorTargetId={t}", 400, "TrafficMirrorSourcesPerTargetLimitExceeded", "")
}

func TestPacketLengthOfALoadBalancerTarget(t *testing.T) {
	d := prepared(t, nil)
	length := func(got answered) string { return strings.Join(elements(got.body, "packetLength"), " ") }
	d.keep("s", "trafficMirrorSessionId", session(1, 1, ""))
	if got := length(d.ok("DescribeTrafficMirrorSessions")); got != "" {
		t.Errorf("to an interface: %q", got)
	}
	if got := length(d.ok("ModifyTrafficMirrorSession?TrafficMirrorSessionId={s}&TrafficMirrorTargetId={n}")); got != "8500" {
		t.Errorf("moved to a load balancer: %q", got)
	}
	if got := length(d.ok("ModifyTrafficMirrorSession?TrafficMirrorSessionId={s}&PacketLength=100")); got != "100" {
		t.Errorf("given: %q", got)
	}
	if got := length(d.ok("ModifyTrafficMirrorSession?TrafficMirrorSessionId={s}&RemoveField.1=packet-length")); got != "8500" {
		t.Errorf("removed: %q", got)
	}
	d.ok("ModifyTrafficMirrorSession?TrafficMirrorSessionId={s}&TrafficMirrorTargetId={t}")
	if got := length(d.ok("ModifyTrafficMirrorSession?TrafficMirrorSessionId={s}&RemoveField.1=packet-length")); got != "" {
		t.Errorf("removed, to an interface: %q", got)
	}
}

func TestModifiedSessions(t *testing.T) {
	d := prepared(t, nil)
	d.keep("s", "trafficMirrorSessionId", session(1, 1, "&Description=one&PacketLength=100&VirtualNetworkId=7"+tagged("a=1")))
	before := d.ok("DescribeTrafficMirrorSessions").body
	item := func(body string) string {
		return body[strings.Index(body, "<trafficMirrorSessionId>"):strings.Index(body, "</tagSet>")]
	}
	if got := item(d.ok("ModifyTrafficMirrorSession?TrafficMirrorSessionId={s}").body); got != item(before) {
		t.Errorf("an empty change makes\n%s of\n%s", got, item(before))
	}
	got := d.ok("ModifyTrafficMirrorSession?TrafficMirrorSessionId={s}&RemoveField.1=description&RemoveField.2=virtual-network-id&SessionNumber=5").body
	if vni := elements(got, "virtualNetworkId"); len(vni) != 1 || vni[0] == "7" || elements(got, "description") != nil || elements(got, "sessionNumber")[0] != "5" {
		t.Errorf("after the change: %s", got)
	}
	d.ok(session(1, 1, "")) // its old number is free
	const modify = "ModifyTrafficMirrorSession?TrafficMirrorSessionId={s}"
	d.refused(modify+"&RemoveField.1=foo", 400, invalid, "Value (foo) for parameter RemoveField is invalid.")
	d.refused(modify+"&RemoveField.1=description&Description=x", 400, "InvalidParameterCombination", "")
	d.refused(modify+"&RemoveField.1=packet-length&PacketLength=1", 400, "InvalidParameterCombination", "")
	d.refused(modify+"&SessionNumber=0", 400, invalid, "")
	d.refused(modify+"&TrafficMirrorTargetId=tmt-1", 400, "InvalidTrafficMirrorTargetId.NotFound", "")
	d.refused(modify+"&TrafficMirrorFilterId=tmf-1", 400, "InvalidTrafficMirrorFilterId.NotFound", "")
	d.refused(modify+"&SessionNumber=6&DryRun=true", 412, "DryRunOperation", "")
	d.refused("ModifyTrafficMirrorSession?TrafficMirrorSessionId=tms-1", 400, "InvalidTrafficMirrorSessionId.NotFound", "The traffic mirror session 'tms-1' does not exist")
	if got := elements(d.ok("DescribeTrafficMirrorSessions?TrafficMirrorSessionId.1={s}").body, "sessionNumber")[0]; got != "5" {
		t.Errorf("session number after refused changes: %s", got)
	}
}

func TestTargets(t *testing.T) {
	d := prepared(t, nil)
	const create = "CreateTrafficMirrorTarget?"
	const endpoint = "GatewayLoadBalancerEndpointId=vpce-00000000000000e01"
	for _, c := range []struct{ request, code, message string }{
		{create + "Description=x", "MissingParameter", "The request must contain the parameter NetworkInterfaceId"},
		{create + "NetworkInterfaceId=" + eni(1) + "&NetworkLoadBalancerArn=" + groupArn, "InvalidParameterCombination", "The parameter NetworkInterfaceId cannot be used with the parameter NetworkLoadBalancerArn"},
		{create + "NetworkLoadBalancerArn=" + groupArn + "&" + endpoint, "InvalidParameterCombination", ""},
		{create + "NetworkInterfaceId=" + eni(98), "InvalidTrafficMirrorTarget", "The interface ID '" + eni(98) + "' does not exist"},
		{create + "NetworkLoadBalancerArn=arn:aws:foo", "InvalidNetworkLoadBalancerArn.Malformed", ""},
		{create + "NetworkLoadBalancerArn=" + strings.Replace(groupArn, "sensors", "others", 1), "InvalidNetworkLoadBalancerArn.NotFound", ""},
		{create + "NetworkLoadBalancerArn=" + groupArn, "NlbInUseByTrafficMirrorTargetException", ""},
		{create + "GatewayLoadBalancerEndpointId=foo", "InvalidVpcEndpointId.Malformed", ""},
		{create + endpoint, "UnsupportedOperation", "Gateway Load Balancer endpoints are not supported as targets; use NetworkInterfaceId or NetworkLoadBalancerArn"},
		{"DeleteTrafficMirrorTarget?TrafficMirrorTargetId=tmt-1", "InvalidTrafficMirrorTargetId.NotFound", ""},
	} {
		d.refused(c.request, 400, c.code, c.message)
	}
	d.keep("s", "trafficMirrorSessionId", session(1, 1, ""))
	d.refused("DeleteTrafficMirrorTarget?TrafficMirrorTargetId={t}", 400, "TrafficMirrorTargetInUse", "Cannot delete {t}. Target is in use by {s}")
	d.refused("DeleteTrafficMirrorFilter?TrafficMirrorFilterId={f}", 400, "TrafficMirrorFilterInUse", "Cannot delete {f}. Filter is in use by {s}")
	d.ok("ModifyTrafficMirrorSession?TrafficMirrorSessionId={s}&TrafficMirrorTargetId={n}")
	d.refused("DeleteTrafficMirrorTarget?TrafficMirrorTargetId={t}&DryRun=true", 412, "DryRunOperation", "")
	d.ok("DeleteTrafficMirrorTarget?TrafficMirrorTargetId={t}")
	d.refused("DeleteTrafficMirrorTarget?TrafficMirrorTargetId={t}", 400, "InvalidTrafficMirrorTargetId.NotFound", "The traffic mirror target '{t}' does not exist")
	d.ok(strings.Replace(session(20, 1, ""), "{t}", "{n}", 1)) // no target stands for it any more
	d.refused("DeleteTrafficMirrorTarget?TrafficMirrorTargetId={n}", 400, "TrafficMirrorTargetInUse", "")
}

func TestSessionsOutliveWhatTheyNeed(t *testing.T) {
	d := prepared(t, nil)
	d.keep("s", "trafficMirrorSessionId", session(1, 1, ""))
	inv := manyInterfaces(18) // without the target's interface
	inv.Interfaces = inv.Interfaces[1:]
	d.inventory.set(inv)
	d.ok("DescribeTrafficMirrorSessions?TrafficMirrorSessionId.1={s}")
	d.ok("DescribeTrafficMirrorTargets?TrafficMirrorTargetId.1={t}")
	d.ok("ModifyTrafficMirrorSession?TrafficMirrorSessionId={s}&Description=waits")
	d.refused(session(2, 1, ""), 400, "InvalidTrafficMirrorTarget", "The interface ID '"+eni(20)+"' does not exist")
	d.keep("m", "trafficMirrorTargetId", "CreateTrafficMirrorTarget?NetworkInterfaceId="+eni(18))
	d.ok("ModifyTrafficMirrorSession?TrafficMirrorSessionId={s}&TrafficMirrorTargetId={m}")
	d.refused("ModifyTrafficMirrorSession?TrafficMirrorSessionId={s}&TrafficMirrorTargetId={t}", 400, "InvalidTrafficMirrorTarget", "")
}

// rule is a request for a rule of filter f.
func rule(number any, more string) string {
	return fmt.Sprintf("CreateTrafficMirrorFilterRule?TrafficMirrorFilterId={f}&TrafficDirection=ingress&RuleNumber=%v&RuleAction=accept&SourceCidrBlock=0.0.0.0/0&DestinationCidrBlock=0.0.0.0/0%s", number, more)
}

func TestRules(t *testing.T) {
	d := prepared(t, nil)
	const ports, network = "InvalidParameterCombination", "This is not a valid CIDR block."
	swap := func(old, now string) string { return strings.Replace(rule(1, ""), old, now, 1) }
	for _, c := range []struct{ request, code, message string }{
		{rule(0, ""), invalid, "Value (0) for parameter RuleNumber is invalid. Rule number must be between 1 and 32766."},
		{rule(32767, ""), invalid, ""},
		{swap("&RuleNumber=1", ""), "MissingParameter", "The request must contain the parameter RuleNumber"},
		{swap("&TrafficDirection=ingress", ""), "MissingParameter", ""},
		{swap("&RuleAction=accept", ""), "MissingParameter", ""},
		{swap("&SourceCidrBlock=0.0.0.0/0", ""), "MissingParameter", ""},
		{swap("&DestinationCidrBlock=0.0.0.0/0", ""), "MissingParameter", ""},
		{swap("{f}", "tmf-00000000000000fff"), "InvalidTrafficMirrorFilterId.NotFound", ""},
		{swap("ingress", "both"), invalid, "Value (both) for parameter TrafficDirection is invalid."},
		{swap("accept", "drop"), invalid, "Value (drop) for parameter RuleAction is invalid."},
		{swap("SourceCidrBlock=0.0.0.0/0", "SourceCidrBlock=10.0.0.0/33"), invalid, "Value (10.0.0.0/33) for parameter SourceCidrBlock is invalid. " + network},
		{swap("SourceCidrBlock=0.0.0.0/0", "SourceCidrBlock=10.0.0.0"), invalid, ""},
		{swap("SourceCidrBlock=0.0.0.0/0", "SourceCidrBlock=::/0"), invalid, "Source and destination CIDR blocks must be of the same IP version"},
		{rule(1, "&DestinationPortRange.FromPort=1&DestinationPortRange.ToPort=2"), ports, "Port ranges require protocol 6 or 17"},
		{rule(1, "&Protocol=1&SourcePortRange.FromPort=1&SourcePortRange.ToPort=2"), ports, ""},
		{rule(1, "&Protocol=6&DestinationPortRange.FromPort=90&DestinationPortRange.ToPort=80"), invalid, ""},
		{rule(1, "&Protocol=6&DestinationPortRange.FromPort=1&DestinationPortRange.ToPort=70000"), invalid, "Value (70000) for parameter DestinationPortRange.ToPort is invalid. Ports are between 0 and 65535."},
		{rule(1, "&Protocol=6&SourcePortRange.FromPort=-1&SourcePortRange.ToPort=2"), invalid, ""},
		{rule(1, "&Protocol=6&DestinationPortRange.FromPort=80"), "MissingParameter", "The request must contain the parameter DestinationPortRange.ToPort"},
		{rule(1, "&Protocol=256"), invalid, "Value (256) for parameter Protocol is invalid. Protocol must be between 0 and 255, or -1 for all."},
		{rule(1, "&Protocol=-2"), invalid, ""},
		{rule(1, "&TagSpecification.1.ResourceType=traffic-mirror-filter"), invalid, ""},
	} {
		d.refused(c.request, 400, c.code, c.message)
	}
	got := d.ok(rule(1, "&Protocol=17&DestinationPortRange.ToPort=53")).body
	if elements(got, "fromPort")[0] != "0" || elements(got, "toPort")[0] != "53" {
		t.Errorf("half a range: %s", got)
	}
	got = d.ok(strings.NewReplacer("SourceCidrBlock=0.0.0.0/0", "SourceCidrBlock=FD00:0:0::1/8", "DestinationCidrBlock=0.0.0.0/0", "DestinationCidrBlock=::/0").Replace(rule(2, ""))).body
	if cidr := elements(got, "sourceCidrBlock")[0]; cidr != "fd00::/8" {
		t.Errorf("host bits: %s", cidr)
	}
	if elements(got, "protocol") != nil || elements(got, "fromPort") != nil {
		t.Errorf("what was not given is shown: %s", got)
	}
	d.refused(rule(1, ""), 400, "TrafficMirrorFilterRuleAlreadyExists", "Rule number 1 already exists for ingress in {f}")
	d.ok(strings.Replace(rule(1, ""), "ingress", "egress", 1))
	for n := 3; n <= 9; n++ {
		d.ok(rule(n, ""))
	}
	d.refused(rule(10, ""), 400, "TrafficMirrorFilterRuleLimitExceeded", "")
	d.ok("DeleteTrafficMirrorFilter?TrafficMirrorFilterId={f}") // with its rules
	d.refused("DeleteTrafficMirrorFilter?TrafficMirrorFilterId={f}", 400, "InvalidTrafficMirrorFilterId.NotFound", "")
	if ids := elements(d.ok("DescribeTrafficMirrorFilterRules").body, "trafficMirrorFilterRuleId"); ids != nil {
		t.Errorf("rules of a filter that has gone: %v", ids)
	}
}

func TestModifiedRules(t *testing.T) {
	d := prepared(t, nil)
	d.keep("r", "trafficMirrorFilterRuleId", rule(1, "&Protocol=6&DestinationPortRange.FromPort=80&DestinationPortRange.ToPort=90&Description=web&TagSpecification.1.ResourceType=traffic-mirror-filter-rule&TagSpecification.1.Tag.1.Key=a"))
	d.ok(rule(2, ""))
	const modify = "ModifyTrafficMirrorFilterRule?TrafficMirrorFilterRuleId={r}"
	for _, c := range []struct{ request, code, message string }{
		{modify + "&RuleNumber=2", "TrafficMirrorFilterRuleAlreadyExists", "Rule number 2 already exists for ingress in {f}"},
		{modify + "&RemoveField.1=protocol", "InvalidParameterCombination", "Port ranges require protocol 6 or 17"},
		{modify + "&Protocol=1", "InvalidParameterCombination", ""},
		{modify + "&SourceCidrBlock=::/0", invalid, "Source and destination CIDR blocks must be of the same IP version"},
		{modify + "&RemoveField.1=foo", invalid, "Value (foo) for parameter RemoveField is invalid."},
		{modify + "&RemoveField.1=description&Description=x", "InvalidParameterCombination", ""},
		{modify + "&TrafficDirection=both", invalid, ""},
		{modify + "&DestinationPortRange.FromPort=1", "MissingParameter", ""},
		{"ModifyTrafficMirrorFilterRule?TrafficMirrorFilterRuleId=tmfr-1", "InvalidTrafficMirrorFilterRuleId.NotFound", "The traffic mirror filter rule 'tmfr-1' does not exist"},
		{"DeleteTrafficMirrorFilterRule?TrafficMirrorFilterRuleId=tmfr-1", "InvalidTrafficMirrorFilterRuleId.NotFound", ""},
	} {
		d.refused(c.request, 400, c.code, c.message)
	}
	d.refused(modify+"&RuleAction=reject&DryRun=true", 412, "DryRunOperation", "")
	got := d.ok(modify).body
	if elements(got, "ruleAction")[0] != "accept" || elements(got, "description")[0] != "web" || elements(got, "key") != nil {
		t.Errorf("an empty change: %s", got)
	}
	d.ok(modify + "&RuleNumber=1&SourceCidrBlock=::/0&DestinationCidrBlock=fd00::/8")
	d.ok(modify + "&TrafficDirection=egress&RuleNumber=2")
	got = d.ok(modify + "&RemoveField.1=description&RemoveField.2=destination-port-range&RemoveField.3=protocol&RemoveField.4=source-port-range").body
	if elements(got, "description") != nil || elements(got, "protocol") != nil || elements(got, "toPort") != nil {
		t.Errorf("after removal: %s", got)
	}
	got = d.ok("DescribeTrafficMirrorFilterRules?TrafficMirrorFilterRuleId.1={r}").body
	if elements(got, "key")[0] != "a" || elements(got, "trafficDirection")[0] != "egress" {
		t.Errorf("the rule is %s", got)
	}
	d.ok("DeleteTrafficMirrorFilterRule?TrafficMirrorFilterRuleId={r}")
	d.refused("DeleteTrafficMirrorFilterRule?TrafficMirrorFilterRuleId={r}", 400, "InvalidTrafficMirrorFilterRuleId.NotFound", "")
}

func TestNetworkServices(t *testing.T) {
	d := prepared(t, nil)
	const modify = "ModifyTrafficMirrorFilterNetworkServices?TrafficMirrorFilterId={f}"
	services := func(got answered) int { return strings.Count(got.body, "<item>amazon-dns</item>") }
	d.refused(modify+"&AddNetworkService.1=ntp", 400, invalid, "Value (ntp) for parameter AddNetworkService is invalid.")
	d.refused(modify+"&RemoveNetworkService.1=ntp", 400, invalid, "")
	d.refused(modify+"&AddNetworkService.1=amazon-dns&RemoveNetworkService.1=amazon-dns", 400, "InvalidParameterCombination", "")
	for _, c := range []struct {
		more string
		want int
	}{{"", 0}, {"&AddNetworkService.1=amazon-dns", 1}, {"&AddNetworkService.1=amazon-dns", 1}, {"", 1}, {"&RemoveNetworkService.1=amazon-dns", 0}, {"&RemoveNetworkService.1=amazon-dns", 0}} {
		if got := services(d.ok(modify + c.more)); got != c.want {
			t.Errorf("after %q: %d services", c.more, got)
		}
	}
}

func TestClientTokens(t *testing.T) {
	dir := t.TempDir()
	now := fixtureTime
	d, stop := newRealDoor(t, func() time.Time { return now }, dir, nil)
	d.keep("t", "trafficMirrorTargetId", "CreateTrafficMirrorTarget?NetworkInterfaceId="+eni(20)+"&ClientToken=a")
	d.keep("f", "trafficMirrorFilterId", "CreateTrafficMirrorFilter?ClientToken=a&Description=x") // a token is of one operation
	d.keep("s", "trafficMirrorSessionId", session(1, 1, "&ClientToken=a"+tagged("a=1", "b=2")))
	first := d.ok(session(1, 1, "&ClientToken=a"+tagged("b=2", "a=1"))).body // the order of tags says nothing
	if elements(first, "trafficMirrorSessionId")[0] != d.saved["s"] || elements(first, "clientToken")[0] != "a" {
		t.Errorf("the repetition answers %s", first)
	}
	d.refused(session(1, 2, "&ClientToken=a"+tagged("a=1", "b=2")), 400, "IdempotentParameterMismatch", "")
	d.refused(session(1, 1, "&ClientToken=a"), 400, "IdempotentParameterMismatch", "")
	d.refused(session(1, 1, "&ClientToken=A"), 400, invalid, "") // tokens are case-sensitive
	d.refused(session(1, 1, "&ClientToken=b"), 400, invalid, "") // what failed is not remembered
	d.ok("ModifyTrafficMirrorSession?TrafficMirrorSessionId={s}&SessionNumber=3")
	d.ok(session(1, 1, "&ClientToken=b"))
	d.ok("DeleteTrafficMirrorSession?TrafficMirrorSessionId={s}")
	again := func(d *realDoor) []string {
		return elements(d.ok(session(1, 1, "&ClientToken=a"+tagged("a=1", "b=2"))).body, "trafficMirrorSessionId")
	}
	if diff := cmp.Diff([]string{d.saved["s"]}, again(d)); diff != "" {
		t.Errorf("after the deletion: %s", diff)
	}
	saved := d.saved
	stop()
	d, stop = newRealDoor(t, func() time.Time { return now }, dir, nil)
	defer stop()
	d.saved = saved
	if diff := cmp.Diff([]string{d.saved["s"]}, again(d)); diff != "" {
		t.Errorf("after a restart: %s", diff)
	}
	one, two := elements(d.ok("CreateTrafficMirrorFilter").body, "clientToken"), elements(d.ok("CreateTrafficMirrorFilter").body, "clientToken")
	if len(one) != 1 || len(two) != 1 || one[0] == two[0] {
		t.Errorf("tokens of requests without one: %v, %v", one, two)
	}
	if n := strings.Count(d.ok("DescribeTrafficMirrorFilters").body, "<trafficMirrorFilterId>"); n != 3 {
		t.Errorf("%d filters", n)
	}
}

func TestQuotasOfTheConfiguration(t *testing.T) {
	d := prepared(t, func(o *control.Options) {
		o.Quotas.Mirror = sluice.MirrorQuotas{Filters: 1, Targets: 2, Sessions: 2, RulesPerFilter: 1, SessionsPerSource: 1, SourcesPerTarget: 2}
	})
	d.refused("CreateTrafficMirrorFilter", 400, "TrafficMirrorFilterLimitExceeded", "")
	d.refused("CreateTrafficMirrorTarget?NetworkInterfaceId="+eni(3), 400, "TrafficMirrorTargetLimitExceeded", "")
	d.ok(rule(1, ""))
	d.refused(rule(2, ""), 400, "TrafficMirrorFilterRuleLimitExceeded", "")
	d.ok(session(1, 1, ""))
	d.refused(session(1, 2, ""), 400, "TrafficMirrorSessionsPerInterfaceLimitExceeded", "")
	d.ok(session(2, 1, ""))
	d.refused(session(3, 1, ""), 400, "TrafficMirrorSourcesPerTargetLimitExceeded", "")
	d.saved["t"] = d.saved["n"]
	d.refused(session(3, 1, ""), 400, "TrafficMirrorSessionLimitExceeded", "")
}

func TestCodesOfEC2StayWithEC2(t *testing.T) {
	d := fixedDoor()
	d.backend.err = sluice.NoSuchResource(sluice.ResourceVpc, vpcA)
	d.call(t, serviceEC2, "DescribeVpcs", "").want(t, 400, "InvalidVpcID.NotFound", "The vpc ID '"+vpcA+"' does not exist")
	d.call(t, serviceFirewall, "ListFirewalls", "{}").want(t, 400, "ResourceNotFoundException", "The vpc ID '"+vpcA+"' does not exist")
}
