package api

import (
	"bytes"
	"encoding/json"
	"net/http/httptest"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/google/go-cmp/cmp"
)

// serveReal serves a real door at the time of day.
func serveReal(t *testing.T) (d *realDoor, url string) {
	t.Helper()
	d, stop := newRealDoor(t, time.Now, t.TempDir(), nil)
	server := httptest.NewServer(d)
	t.Cleanup(func() { server.Close(); stop() })
	return d, server.URL
}

var madeIDs = regexp.MustCompile(`\b(tmt|tmfr|tmf|tms|sgr|sg)-[0-9a-f]{17}\b`)

// TestBoto3Mirrors has boto3 build, modify, page, filter, tag and delete.
func TestBoto3Mirrors(t *testing.T) {
	installed(t, "python3", "-c", "import boto3")
	_, url := serveReal(t)
	cmd := exec.Command("python3", "testdata/boto3_mirror.py", url, testKey, testSecret)
	cmd.Env = clientEnvironment(t, url)
	var out, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v: %s", err, stderr.String())
	}
	seen := map[string]string{} // an id is written as the how many'th of its kind
	counts := map[string]int{}
	named := madeIDs.ReplaceAllStringFunc(out.String(), func(id string) string {
		if seen[id] == "" {
			kind, _, _ := strings.Cut(id, "-")
			counts[kind]++
			seen[id] = kind + "-" + string(rune('A'+counts[kind]-1))
		}
		return seen[id]
	})
	var results any
	if err := json.Unmarshal([]byte(named), &results); err != nil {
		t.Fatalf("%v: %s", err, named)
	}
	pretty, err := json.MarshalIndent(results, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "boto3_mirror.json", string(pretty)+"\n")
}

// TestAWSCLIMirrors has the AWS CLI do the same.
func TestAWSCLIMirrors(t *testing.T) {
	installed(t, "aws", "--version")
	d, url := serveReal(t)
	environment := clientEnvironment(t, url)
	run := func(command, query string) (string, error) {
		args := append([]string{"ec2"}, strings.Fields(d.fill(command))...)
		cmd := exec.Command("aws", append(args, "--output", "text", "--query", query)...)
		cmd.Env = environment
		out, err := cmd.CombinedOutput()
		return strings.TrimSpace(string(out)), err
	}
	for _, c := range []struct{ command, query, keep, want string }{
		{"create-traffic-mirror-target --network-interface-id " + eni(20) + " --description sensor --tag-specifications ResourceType=traffic-mirror-target,Tags=[{Key=a,Value=b}]",
			"TrafficMirrorTarget.TrafficMirrorTargetId", "t", ""},
		{"create-traffic-mirror-filter --description all", "TrafficMirrorFilter.TrafficMirrorFilterId", "f", ""},
		{"modify-traffic-mirror-filter-network-services --traffic-mirror-filter-id {f} --add-network-services amazon-dns", "TrafficMirrorFilter.NetworkServices[0]", "", "amazon-dns"},
		{"create-traffic-mirror-filter-rule --traffic-mirror-filter-id {f} --traffic-direction ingress --rule-number 1 --rule-action accept --protocol 6 --destination-port-range FromPort=80,ToPort=80 --source-cidr-block 0.0.0.0/0 --destination-cidr-block 0.0.0.0/0",
			"TrafficMirrorFilterRule.TrafficMirrorFilterRuleId", "r", ""},
		{"modify-traffic-mirror-filter-rule --traffic-mirror-filter-rule-id {r} --rule-action reject --remove-fields destination-port-range protocol", "TrafficMirrorFilterRule.[RuleAction,Protocol]", "", "reject\tNone"},
		{"create-traffic-mirror-session --network-interface-id " + eni(1) + " --traffic-mirror-target-id {t} --traffic-mirror-filter-id {f} --session-number 1 --packet-length 25 --virtual-network-id 9", "TrafficMirrorSession.TrafficMirrorSessionId", "s", ""},
		{"modify-traffic-mirror-session --traffic-mirror-session-id {s} --description changed --remove-fields packet-length", "TrafficMirrorSession.[Description,PacketLength,VirtualNetworkId]", "", "changed\tNone\t9"},
		{"describe-traffic-mirror-sessions --page-size 5 --filters Name=virtual-network-id,Values=9", "TrafficMirrorSessions[].SessionNumber", "", "1"},
		{"create-tags --resources {s} {f} --tags Key=x,Value=y", "@", "", ""},
		{"create-security-group --group-name sensor --description vxlan", "GroupId", "g", ""},
		{"authorize-security-group-ingress --group-id {g} --protocol udp --port 4789 --cidr 10.77.0.0/16", "Return", "", "True"},
		{"delete-traffic-mirror-session --traffic-mirror-session-id {s}", "TrafficMirrorSessionId", "", "{s}"},
		{"delete-traffic-mirror-filter-rule --traffic-mirror-filter-rule-id {r}", "TrafficMirrorFilterRuleId", "", "{r}"},
		{"delete-traffic-mirror-filter --traffic-mirror-filter-id {f}", "TrafficMirrorFilterId", "", "{f}"},
	} {
		out, err := run(c.command, c.query)
		if err != nil || c.keep == "" && out != d.fill(c.want) {
			t.Fatalf("aws ec2 %s: %v %q, want %q", d.fill(c.command), err, out, d.fill(c.want))
		}
		if c.keep != "" {
			d.saved[c.keep] = out
		}
	}
	out, err := run("delete-traffic-mirror-target --traffic-mirror-target-id {t} --dry-run", "@")
	if err == nil || !strings.Contains(out, "An error occurred (DryRunOperation) when calling the DeleteTrafficMirrorTarget operation: Request would have succeeded, but DryRun flag is set.") {
		t.Errorf("dry run: %v %s", err, out)
	}
}

// terraform makes the calls of the AWS provider (4.1 of its sources' summary: create,
// read, update, delete), with its inputs.
type terraform struct {
	t      *testing.T
	client *ec2.Client
}

func (tf terraform) must(err error) {
	tf.t.Helper()
	if err != nil {
		tf.t.Fatal(err)
	}
}

func (tf terraform) filter(id string) *types.TrafficMirrorFilter {
	tf.t.Helper()
	var found []types.TrafficMirrorFilter
	pages := ec2.NewDescribeTrafficMirrorFiltersPaginator(tf.client, &ec2.DescribeTrafficMirrorFiltersInput{TrafficMirrorFilterIds: []string{id}})
	for pages.HasMorePages() {
		page, err := pages.NextPage(tf.t.Context())
		tf.must(err)
		found = append(found, page.TrafficMirrorFilters...)
	}
	if len(found) != 1 || *found[0].TrafficMirrorFilterId != id {
		tf.t.Fatalf("read of filter %s: %d found", id, len(found))
	}
	return &found[0]
}

// rule reads a rule as the provider does: it looks through its filter.
func (tf terraform) rule(filterID, id string) *types.TrafficMirrorFilterRule {
	f := tf.filter(filterID)
	for _, r := range append(f.IngressFilterRules, f.EgressFilterRules...) {
		if *r.TrafficMirrorFilterRuleId == id {
			return &r
		}
	}
	return nil
}

func (tf terraform) session(id string) *types.TrafficMirrorSession {
	tf.t.Helper()
	out, err := tf.client.DescribeTrafficMirrorSessions(tf.t.Context(), &ec2.DescribeTrafficMirrorSessionsInput{TrafficMirrorSessionIds: []string{id}})
	tf.must(err)
	return &out.TrafficMirrorSessions[0]
}

func TestTerraformsSequences(t *testing.T) {
	_, url := serveReal(t)
	ctx := t.Context()
	tf := terraform{t, sdkClients(url, testKey, testSecret, testRegion).ec2}
	token := func(s string) *string { return aws.String("terraform-20260102030405678900000" + s) }
	named := func(kind types.ResourceType) []types.TagSpecification {
		return []types.TagSpecification{{ResourceType: kind, Tags: []types.Tag{{Key: aws.String("Name"), Value: aws.String("x")}, {Key: aws.String("old"), Value: aws.String("")}}}}
	}
	target, err := tf.client.CreateTrafficMirrorTarget(ctx, &ec2.CreateTrafficMirrorTargetInput{ClientToken: token("1"), NetworkLoadBalancerArn: aws.String(groupArn),
		Description: aws.String("d"), TagSpecifications: named("traffic-mirror-target")})
	tf.must(err)
	filter, err := tf.client.CreateTrafficMirrorFilter(ctx, &ec2.CreateTrafficMirrorFilterInput{ClientToken: token("2"), TagSpecifications: named("traffic-mirror-filter")})
	tf.must(err)
	filterID := *filter.TrafficMirrorFilter.TrafficMirrorFilterId
	_, err = tf.client.ModifyTrafficMirrorFilterNetworkServices(ctx, &ec2.ModifyTrafficMirrorFilterNetworkServicesInput{TrafficMirrorFilterId: &filterID, AddNetworkServices: []types.TrafficMirrorNetworkService{"amazon-dns"}})
	tf.must(err)
	if f := tf.filter(filterID); f.Description != nil || len(f.NetworkServices) != 1 || len(f.Tags) != 2 {
		t.Errorf("filter is read as %+v", f)
	}
	_, err = tf.client.ModifyTrafficMirrorFilterNetworkServices(ctx, &ec2.ModifyTrafficMirrorFilterNetworkServicesInput{TrafficMirrorFilterId: &filterID, RemoveNetworkServices: []types.TrafficMirrorNetworkService{"amazon-dns"}})
	tf.must(err)
	if f := tf.filter(filterID); len(f.NetworkServices) != 0 {
		t.Errorf("network services %v", f.NetworkServices)
	}
	tf.ruleSequence(filterID, token("3"))
	session, err := tf.client.CreateTrafficMirrorSession(ctx, &ec2.CreateTrafficMirrorSessionInput{ClientToken: token("4"), NetworkInterfaceId: aws.String(eni(1)),
		TrafficMirrorFilterId: &filterID, TrafficMirrorTargetId: target.TrafficMirrorTarget.TrafficMirrorTargetId, SessionNumber: aws.Int32(1), TagSpecifications: named("traffic-mirror-session")})
	tf.must(err)
	sessionID := *session.TrafficMirrorSession.TrafficMirrorSessionId
	tf.sessionSequence(sessionID)

	// Tags that differ are deleted, then those that are new or changed are created.
	for _, id := range []string{sessionID, filterID, *target.TrafficMirrorTarget.TrafficMirrorTargetId} {
		_, err := tf.client.DeleteTags(ctx, &ec2.DeleteTagsInput{Resources: []string{id}, Tags: []types.Tag{{Key: aws.String("old"), Value: aws.String("")}}})
		tf.must(err)
		_, err = tf.client.CreateTags(ctx, &ec2.CreateTagsInput{Resources: []string{id}, Tags: []types.Tag{{Key: aws.String("Name"), Value: aws.String("y")}}})
		tf.must(err)
	}
	if diff := cmp.Diff("y", *tf.session(sessionID).Tags[0].Value); diff != "" {
		t.Error(diff)
	}
	_, err = tf.client.DeleteTrafficMirrorTarget(ctx, &ec2.DeleteTrafficMirrorTargetInput{TrafficMirrorTargetId: target.TrafficMirrorTarget.TrafficMirrorTargetId})
	if codeOf(err) != "TrafficMirrorTargetInUse" {
		t.Errorf("delete of a target in use: %v", err)
	}
	for range 2 { // what has gone already counts as deleted
		_, err = tf.client.DeleteTrafficMirrorSession(ctx, &ec2.DeleteTrafficMirrorSessionInput{TrafficMirrorSessionId: &sessionID})
	}
	_, filterErr := tf.client.DeleteTrafficMirrorFilter(ctx, &ec2.DeleteTrafficMirrorFilterInput{TrafficMirrorFilterId: &filterID})
	_, targetErr := tf.client.DeleteTrafficMirrorTarget(ctx, &ec2.DeleteTrafficMirrorTargetInput{TrafficMirrorTargetId: target.TrafficMirrorTarget.TrafficMirrorTargetId})
	if codeOf(err) != "InvalidTrafficMirrorSessionId.NotFound" || filterErr != nil || targetErr != nil {
		t.Errorf("deletions: %v, %v, %v", err, filterErr, targetErr)
	}
	_, err = tf.client.DescribeTrafficMirrorFilters(ctx, &ec2.DescribeTrafficMirrorFiltersInput{TrafficMirrorFilterIds: []string{filterID}})
	if codeOf(err) != "InvalidTrafficMirrorFilterId.NotFound" {
		t.Errorf("read of a filter that has gone: %v", err)
	}
}

// ruleSequence is the life of a filter rule.
func (tf terraform) ruleSequence(filterID string, token *string) {
	ctx, t := tf.t.Context(), tf.t
	out, err := tf.client.CreateTrafficMirrorFilterRule(ctx, &ec2.CreateTrafficMirrorFilterRuleInput{ClientToken: token, TrafficMirrorFilterId: &filterID,
		TrafficDirection: "ingress", RuleNumber: aws.Int32(1), RuleAction: "accept", SourceCidrBlock: aws.String("10.10.0.0/16"), DestinationCidrBlock: aws.String("10.20.0.0/16")})
	tf.must(err)
	id := out.TrafficMirrorFilterRule.TrafficMirrorFilterRuleId
	if r := tf.rule(filterID, *id); r == nil || r.Protocol != nil || r.DestinationPortRange != nil || r.Description != nil {
		t.Errorf("rule is read as %+v", r)
	}
	_, err = tf.client.ModifyTrafficMirrorFilterRule(ctx, &ec2.ModifyTrafficMirrorFilterRuleInput{TrafficMirrorFilterRuleId: id, Protocol: aws.Int32(6), Description: aws.String("web"),
		DestinationPortRange: &types.TrafficMirrorPortRangeRequest{FromPort: aws.Int32(22), ToPort: aws.Int32(53)}, SourcePortRange: &types.TrafficMirrorPortRangeRequest{FromPort: aws.Int32(0), ToPort: aws.Int32(10)}})
	tf.must(err)
	if r := tf.rule(filterID, *id); *r.Protocol != 6 || *r.DestinationPortRange.ToPort != 53 || *r.SourcePortRange.FromPort != 0 {
		t.Errorf("rule is read as %+v", r)
	}
	_, err = tf.client.ModifyTrafficMirrorFilterRule(ctx, &ec2.ModifyTrafficMirrorFilterRuleInput{TrafficMirrorFilterRuleId: id,
		RemoveFields: []types.TrafficMirrorFilterRuleField{"description", "destination-port-range", "protocol", "source-port-range"}})
	tf.must(err)
	if r := tf.rule(filterID, *id); r.Protocol != nil || r.DestinationPortRange != nil || r.SourcePortRange != nil || r.Description != nil {
		t.Errorf("rule is read as %+v", r)
	}
	_, err = tf.client.DeleteTrafficMirrorFilterRule(ctx, &ec2.DeleteTrafficMirrorFilterRuleInput{TrafficMirrorFilterRuleId: id})
	tf.must(err)
	if tf.rule(filterID, *id) != nil {
		t.Error("the rule is still there")
	}
	_, err = tf.client.DeleteTrafficMirrorFilterRule(ctx, &ec2.DeleteTrafficMirrorFilterRuleInput{TrafficMirrorFilterRuleId: id})
	if codeOf(err) != "InvalidTrafficMirrorFilterRuleId.NotFound" {
		t.Errorf("second deletion: %v", err)
	}
}

// sessionSequence is the life of a session between its creation and its end, with a
// move to another target and filter.
func (tf terraform) sessionSequence(id string) {
	ctx, t := tf.t.Context(), tf.t
	s := tf.session(id)
	if s.PacketLength == nil || *s.PacketLength != 8500 || s.VirtualNetworkId == nil || *s.OwnerId != testAccount || s.Description != nil || len(s.Tags) != 2 {
		t.Errorf("session is read as %+v", s)
	}
	other, err := tf.client.CreateTrafficMirrorTarget(ctx, &ec2.CreateTrafficMirrorTargetInput{NetworkInterfaceId: aws.String(eni(20))})
	tf.must(err)
	filter, err := tf.client.CreateTrafficMirrorFilter(ctx, &ec2.CreateTrafficMirrorFilterInput{})
	tf.must(err)
	_, err = tf.client.ModifyTrafficMirrorSession(ctx, &ec2.ModifyTrafficMirrorSessionInput{TrafficMirrorSessionId: &id, SessionNumber: aws.Int32(2), PacketLength: aws.Int32(25),
		VirtualNetworkId: aws.Int32(77), Description: aws.String("d"), TrafficMirrorTargetId: other.TrafficMirrorTarget.TrafficMirrorTargetId, TrafficMirrorFilterId: filter.TrafficMirrorFilter.TrafficMirrorFilterId})
	tf.must(err)
	moved := tf.session(id)
	if *moved.SessionNumber != 2 || *moved.PacketLength != 25 || *moved.VirtualNetworkId != 77 || *moved.Description != "d" {
		t.Errorf("session is read as %+v", moved)
	}
	_, err = tf.client.ModifyTrafficMirrorSession(ctx, &ec2.ModifyTrafficMirrorSessionInput{TrafficMirrorSessionId: &id, TrafficMirrorTargetId: s.TrafficMirrorTargetId,
		TrafficMirrorFilterId: s.TrafficMirrorFilterId, RemoveFields: []types.TrafficMirrorSessionField{"packet-length", "description", "virtual-network-id"}})
	tf.must(err)
	if s := tf.session(id); *s.PacketLength != 8500 || s.Description != nil || s.VirtualNetworkId == nil {
		t.Errorf("session is read as %+v", s)
	}
}

// TestCloudShellsSequences makes the calls of its mirroring flow: create, remove by
// target with empty lists of ids, clean up by reservation, and waits by NotFound.
func TestCloudShellsSequences(t *testing.T) {
	_, url := serveReal(t)
	ctx := t.Context()
	client := sdkClients(url, testKey, testSecret, testRegion).ec2
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	reservation := func(kind types.ResourceType) []types.TagSpecification {
		return []types.TagSpecification{{ResourceType: kind, Tags: []types.Tag{{Key: aws.String("ReservationId"), Value: aws.String("r1")}}}}
	}
	by := func(name string, values ...string) []types.Filter {
		return []types.Filter{{Name: aws.String(name), Values: values}}
	}
	existing, err := client.DescribeTrafficMirrorTargets(ctx, &ec2.DescribeTrafficMirrorTargetsInput{Filters: by("network-interface-id", eni(20))})
	must(err)
	if len(existing.TrafficMirrorTargets) != 0 {
		t.Fatalf("%d targets before", len(existing.TrafficMirrorTargets))
	}
	target, err := client.CreateTrafficMirrorTarget(ctx, &ec2.CreateTrafficMirrorTargetInput{NetworkInterfaceId: aws.String(eni(20)), Description: aws.String(eni(20)), TagSpecifications: reservation("traffic-mirror-target")})
	must(err)
	targetID := *target.TrafficMirrorTarget.TrafficMirrorTargetId
	var sessions, filters []string
	for n := range 3 {
		f, err := client.CreateTrafficMirrorFilter(ctx, &ec2.CreateTrafficMirrorFilterInput{Description: aws.String("f"), TagSpecifications: reservation("traffic-mirror-filter")})
		must(err)
		filters = append(filters, *f.TrafficMirrorFilter.TrafficMirrorFilterId)
		_, err = client.CreateTrafficMirrorFilterRule(ctx, &ec2.CreateTrafficMirrorFilterRuleInput{TrafficMirrorFilterId: &filters[n], TrafficDirection: "ingress", RuleNumber: aws.Int32(1), RuleAction: "accept",
			Protocol: aws.Int32(17), DestinationPortRange: &types.TrafficMirrorPortRangeRequest{ToPort: aws.Int32(53)}, SourceCidrBlock: aws.String("192.168.0.124/24"), DestinationCidrBlock: aws.String("0.0.0.0/0")})
		must(err)
		s, err := client.CreateTrafficMirrorSession(ctx, &ec2.CreateTrafficMirrorSessionInput{NetworkInterfaceId: aws.String(eni(1)), TrafficMirrorTargetId: &targetID, TrafficMirrorFilterId: &filters[n],
			SessionNumber: aws.Int32(int32(5 + n)), Description: aws.String("5_" + eni(1) + "_" + eni(20)), TagSpecifications: reservation("traffic-mirror-session")})
		must(err)
		sessions = append(sessions, *s.TrafficMirrorSession.TrafficMirrorSessionId)
	}
	count := func(filters []types.Filter) int {
		t.Helper()
		out, err := client.DescribeTrafficMirrorSessions(ctx, &ec2.DescribeTrafficMirrorSessionsInput{Filters: filters, MaxResults: aws.Int32(100)})
		must(err)
		return len(out.TrafficMirrorSessions)
	}
	for _, c := range []struct {
		filters []types.Filter
		want    int
	}{
		{by("traffic-mirror-session-id"), 0}, {by("traffic-mirror-target-id"), 0}, {by("network-interface-id"), 0},
		{by("traffic-mirror-session-id", sessions[0]), 1}, {by("traffic-mirror-target-id", targetID), 3}, {by("tag:ReservationId", "r1"), 3}, {by("tag:ReservationId", "r2"), 0},
	} {
		if got := count(c.filters); got != c.want {
			t.Errorf("filter %s %v: %d sessions", *c.filters[0].Name, c.filters[0].Values, got)
		}
	}
	for _, id := range sessions {
		_, err := client.DeleteTrafficMirrorSession(ctx, &ec2.DeleteTrafficMirrorSessionInput{TrafficMirrorSessionId: &id})
		must(err)
	}
	if _, err := client.DescribeTrafficMirrorSessions(ctx, &ec2.DescribeTrafficMirrorSessionsInput{TrafficMirrorSessionIds: sessions}); codeOf(err) != "InvalidTrafficMirrorSessionId.NotFound" {
		t.Errorf("wait for sessions: %v", err)
	}
	for _, id := range filters {
		_, err := client.DeleteTrafficMirrorFilter(ctx, &ec2.DeleteTrafficMirrorFilterInput{TrafficMirrorFilterId: &id})
		must(err)
	}
	if _, err := client.DescribeTrafficMirrorFilters(ctx, &ec2.DescribeTrafficMirrorFiltersInput{TrafficMirrorFilterIds: filters}); codeOf(err) != "InvalidTrafficMirrorFilterId.NotFound" {
		t.Errorf("wait for filters: %v", err)
	}
	left, err := client.DescribeTrafficMirrorTargets(ctx, &ec2.DescribeTrafficMirrorTargetsInput{Filters: by("tag:ReservationId", "r1"), MaxResults: aws.Int32(123)})
	must(err)
	for _, target := range left.TrafficMirrorTargets {
		_, err := client.DeleteTrafficMirrorTarget(ctx, &ec2.DeleteTrafficMirrorTargetInput{TrafficMirrorTargetId: target.TrafficMirrorTargetId})
		must(err)
	}
	if _, err := client.DescribeTrafficMirrorTargets(ctx, &ec2.DescribeTrafficMirrorTargetsInput{TrafficMirrorTargetIds: []string{targetID}}); codeOf(err) != "InvalidTrafficMirrorTargetId.NotFound" {
		t.Errorf("wait for targets: %v", err)
	}
}
