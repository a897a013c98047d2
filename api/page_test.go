package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	nfw "github.com/aws/aws-sdk-go-v2/service/networkfirewall"
	"github.com/google/go-cmp/cmp"

	"sluice"
)

// page is what any list of Network Firewall answers, as far as paging goes.
type page struct {
	NextToken        string
	Firewalls        []struct{ FirewallName string }
	FlowOperations   []struct{ FlowOperationId string }
	Flows            []struct{ SourcePort string }
	Tags             []struct{ Key string }
	FirewallPolicies []struct{ Name string }
}

func (d *door) list(t *testing.T, operation, members string) page {
	t.Helper()
	got := d.call(t, serviceFirewall, operation, "{"+members+"}")
	if got.status != 200 {
		t.Fatalf("%s {%s}: %d %s", operation, members, got.status, got.body)
	}
	var p page
	if err := json.Unmarshal([]byte(got.body), &p); err != nil {
		t.Fatal(err)
	}
	return p
}

func someFlows(n int) []sluice.Flow {
	out := make([]sluice.Flow, n)
	for i := range out {
		out[i] = fixtureFlows()[0]
		out[i].SourcePort = uint16(i)
	}
	return out
}

func TestFlowsComeInPagesThroughThePaginator(t *testing.T) {
	d := newDoor(time.Now)
	d.backend.flows = someFlows(250)
	server := httptest.NewServer(d)
	defer server.Close()
	p := nfw.NewListFlowOperationResultsPaginator(sdkClients(server.URL, testKey, testSecret, testRegion).firewall,
		&nfw.ListFlowOperationResultsInput{FirewallArn: aws.String(firewallArn), FlowOperationId: aws.String(operationID), MaxResults: aws.Int32(100)})
	var sizes []int
	var ports []string
	for p.HasMorePages() {
		out, err := p.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		sizes = append(sizes, len(out.Flows))
		for _, f := range out.Flows {
			ports = append(ports, aws.ToString(f.SourcePort))
		}
	}
	if diff := cmp.Diff([]int{100, 100, 50}, sizes); diff != "" {
		t.Error(diff)
	}
	for i, port := range ports {
		if port != fmt.Sprint(i) {
			t.Fatalf("row %d is %s", i, port)
		}
	}
}

func TestListsByNameSurviveChanges(t *testing.T) {
	d := fixedDoor()
	firewalls := func(names ...string) {
		d.backend.firewalls = nil
		for _, n := range names {
			d.backend.firewalls = append(d.backend.firewalls, sluice.Firewall{Name: n})
		}
	}
	firewalls("a", "b", "c", "d")
	first := d.list(t, "ListFirewalls", `"MaxResults":2`)
	if len(first.Firewalls) != 2 || first.NextToken == "" {
		t.Fatalf("%+v", first)
	}
	firewalls("a", "aa", "c", "d", "e")
	second := d.list(t, "ListFirewalls", `"MaxResults":3,"NextToken":"`+first.NextToken+`"`)
	var names []string
	for _, f := range append(first.Firewalls, second.Firewalls...) {
		names = append(names, f.FirewallName)
	}
	if diff := cmp.Diff([]string{"a", "b", "c", "d", "e"}, names); diff != "" || second.NextToken != "" {
		t.Errorf("token %q, %s", second.NextToken, diff)
	}
	tags := d.list(t, "ListTagsForResource", `"ResourceArn":"`+firewallArn+`","MaxResults":2`)
	rest := d.list(t, "ListTagsForResource", `"ResourceArn":"`+firewallArn+`","NextToken":"`+tags.NextToken+`"`)
	if len(tags.Tags) != 2 || len(rest.Tags) != 1 || rest.Tags[0].Key != "c" {
		t.Errorf("%+v %+v", tags, rest)
	}
}

func TestOperationsNewestFirstWithoutGapsOrRepeats(t *testing.T) {
	d := fixedDoor()
	d.backend.operations = nil
	for i := range 5 {
		d.backend.operations = append(d.backend.operations, sluice.FlowOperation{ID: fmt.Sprint(i), RequestTime: fixtureTime.Add(-time.Duration(i) * time.Second)})
	}
	const scope = `"FirewallArn":"` + firewallArn + `","MaxResults":2`
	first := d.list(t, "ListFlowOperations", scope)
	// One more begins, and the one that the token stands on is purged.
	d.backend.operations = append([]sluice.FlowOperation{{ID: "new", RequestTime: fixtureTime.Add(time.Second)}}, slices.Delete(slices.Clone(d.backend.operations), 1, 2)...)
	second := d.list(t, "ListFlowOperations", scope+`,"NextToken":"`+first.NextToken+`"`)
	third := d.list(t, "ListFlowOperations", scope+`,"NextToken":"`+second.NextToken+`"`)
	var ids []string
	for _, o := range slices.Concat(first.FlowOperations, second.FlowOperations, third.FlowOperations) {
		ids = append(ids, o.FlowOperationId)
	}
	if diff := cmp.Diff([]string{"0", "1", "2", "3", "4"}, ids); diff != "" || third.NextToken != "" {
		t.Errorf("token %q, %s", third.NextToken, diff)
	}
}

// TestTokensAreTiedToTheirRequest changes each selecting member in turn.
func TestTokensAreTiedToTheirRequest(t *testing.T) {
	d := fixedDoor()
	d.backend.flows = someFlows(3)
	scope := `"FirewallArn":"` + firewallArn + `","FlowOperationId":"` + operationID + `","MaxResults":1`
	token := `,"NextToken":"` + d.list(t, "ListFlowOperationResults", scope).NextToken + `"`
	if got := d.list(t, "ListFlowOperationResults", strings.Replace(scope, `:1`, `:2`, 1)+token); len(got.Flows) != 2 && len(got.Flows) != 1 {
		t.Errorf("another page size: %+v", got)
	}
	for _, members := range []string{
		strings.Replace(scope, "firewall/gateway", "firewall/other", 1),
		strings.Replace(scope, "aaaaaaaa", "aaaaaaab", 1),
		scope + `,"AvailabilityZone":"eu-west-1a"`,
		scope + `,"VpcEndpointId":"` + endpointA + `"`,
		scope + `,"VpcEndpointAssociationArn":"arn:aws:x"`,
	} {
		d.call(t, serviceFirewall, "ListFlowOperationResults", "{"+members+token+"}").want(t, 400, "InvalidRequestException", "NextToken is invalid")
	}
	d.call(t, serviceFirewall, "ListFlowOperations", `{"FirewallArn":"`+firewallArn+`"`+token+"}").want(t, 400, "InvalidRequestException", "NextToken is invalid")
	d.call(t, serviceFirewall, "ListFirewalls", `{"NextToken":"AAAA"}`).want(t, 400, "InvalidRequestException", "NextToken is invalid")
}

func manySubnets(n int) []sluice.Subnet {
	out := make([]sluice.Subnet, n)
	for i := range out {
		out[i] = sluice.Subnet{ID: fmt.Sprintf("subnet-%017x", n-i), Name: fmt.Sprintf("net-%d", i%2), VpcID: vpcA, AvailabilityZone: "eu-west-1a"}
	}
	return out
}

func TestEC2PagesThroughThePaginator(t *testing.T) {
	d := newDoor(time.Now)
	d.backend.inventory.Subnets = manySubnets(23)
	server := httptest.NewServer(d)
	defer server.Close()
	p := ec2.NewDescribeSubnetsPaginator(sdkClients(server.URL, testKey, testSecret, testRegion).ec2, &ec2.DescribeSubnetsInput{MaxResults: aws.Int32(5)})
	seen := map[string]bool{}
	pages := 0
	for p.HasMorePages() {
		out, err := p.NextPage(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		pages++
		for _, s := range out.Subnets {
			seen[*s.SubnetId] = true
		}
	}
	if pages != 5 || len(seen) != 23 {
		t.Errorf("%d pages, %d subnets", pages, len(seen))
	}
}

func between(s, from, to string) string {
	_, s, _ = strings.Cut(s, from)
	s, _, _ = strings.Cut(s, to)
	return s
}

// TestEC2TokensCarryTheRequest sends the token alone for the second page, as some
// clients do.
func TestEC2TokensCarryTheRequest(t *testing.T) {
	d := fixedDoor()
	d.backend.inventory.Subnets = manySubnets(30)
	const filters = "&Filter.1.Name=tag:Name&Filter.1.Value.1=net-1"
	first := d.call(t, serviceEC2, "DescribeSubnets", "MaxResults=10"+filters)
	token := between(first.body, "<nextToken>", "</nextToken>")
	escaped := strings.NewReplacer("+", "%2B", "/", "%2F", "=", "%3D").Replace(token)
	second := d.call(t, serviceEC2, "DescribeSubnets", "NextToken="+escaped)
	if n := strings.Count(second.body, "<item><subnetId>"); n != 5 || strings.Contains(second.body, ">net-0<") || strings.Contains(second.body, "nextToken") {
		t.Errorf("%d subnets: %s", n, second.body)
	}
	if got := d.call(t, serviceEC2, "DescribeSubnets", "MaxResults=10&NextToken="+escaped+filters); got.status != 200 {
		t.Errorf("the whole request repeated: %d %s", got.status, got.body)
	}
	for _, foreign := range []string{
		"NextToken=" + escaped + "&Filter.1.Name=tag:Name&Filter.1.Value.1=net-0",
		"NextToken=" + escaped + "&SubnetId.1=" + subnetA,
		"NextToken=tok",
	} {
		d.call(t, serviceEC2, "DescribeSubnets", foreign).want(t, 400, "InvalidNextToken", "")
	}
	d.call(t, serviceEC2, "DescribeVpcs", "NextToken="+escaped).want(t, 400, "InvalidNextToken", "")
	d.call(t, serviceEC2, "DescribeVpcs", "NextToken=tok").want(t, 400, "InvalidNextToken", "The token 'tok' is invalid")
}
