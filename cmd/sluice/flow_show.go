package main

import (
	"context"
	"fmt"
	"regexp"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/networkfirewall/types"
)

// operationID is the API's pattern of FlowOperationId (API reference,
// DescribeFlowOperation).
var operationID = regexp.MustCompile(`^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$`)

func flowShow(ctx context.Context, s *shell, args []string) error {
	f := newFlags("sluice flow show", "OPERATION", "Shows a capture or a flush of the last 12 hours: what was asked, and the flows.")
	var conn connection
	firewall := f.String("firewall", "", "`NAME` or ARN (default: the one that has the operation)")
	zone := f.String("zone", "", "availability `ZONE` that it was started in")
	by := f.String("sort", "", "largest first by `KEY`: age, packets or bytes")
	limit := f.Int("limit", 0, "print at most `N` flows, and how many there are")
	conn.register(f)
	operands, err := f.parse(s, args, 1, 1)
	if err != nil {
		return err
	}
	if err := conn.check(f); err != nil {
		return err
	}
	if err := checkSort(f, *by); err != nil {
		return err
	}
	if *limit < 0 {
		return usagef(f.command, "--limit can't be negative")
	}
	if !operationID.MatchString(operands[0]) {
		return usagef(f.command, "%q is no operation id such as 0f8fad5b-d9cb-469f-a165-70867728950e: sluice flow list shows those there are", operands[0])
	}
	c, err := conn.client(ctx, s)
	if err != nil {
		return err
	}
	p := startProgress(s.stderr, "waiting for operation "+operands[0])
	result, err := showOperation(ctx, c, *firewall, *zone, operands[0], keepLimit(*by, *limit), p)
	p.done()
	if err != nil {
		return err
	}
	if !conn.json() {
		printQuestion(s, result)
	}
	return result.print(s, &conn, *by, *limit)
}

// showOperation looks for the operation in the firewall named, or else in all of
// them: the id alone is enough for people.
func showOperation(ctx context.Context, c *apiClient, firewall, zone, id string, keep int, p *progress) (flowResult, error) {
	arns, err := candidates(ctx, c, firewall)
	if err != nil {
		return flowResult{}, err
	}
	for _, arn := range arns {
		scope := flowScope{firewallArn: arn, zone: zone}
		result, err := finishOperation(ctx, c, scope, id)
		if isCode(err, "ResourceNotFoundException") {
			continue
		}
		if err != nil {
			return flowResult{}, err
		}
		if aws.ToString(result.AvailabilityZone)+aws.ToString(result.VpcEndpointID) == "" {
			d, err := describeFirewall(ctx, c, arn)
			if err != nil {
				return flowResult{}, err
			}
			result.zones = d.zones()
		}
		return result, readFlows(ctx, c, scope, &result, keep, p)
	}
	if zone != "" {
		zone = " in " + zone
	}
	switch len(arns) {
	case 0:
		return flowResult{}, errNoFirewall
	case 1:
		return flowResult{}, fmt.Errorf("firewall %s%s has no operation %s of the last 12 hours: sluice flow list shows those there are", nameOfARN(arns[0]), zone, id)
	}
	return flowResult{}, fmt.Errorf("no firewall%s has an operation %s of the last 12 hours: sluice flow list shows those there are", zone, id)
}

// printQuestion writes to stderr what the operation was asked for.
func printQuestion(s *shell, r flowResult) {
	if r.FlowOperation == nil {
		return
	}
	where := nameOfARN(r.FirewallArn)
	if r.AvailabilityZone != nil && *r.AvailabilityZone != "" {
		where += " in " + *r.AvailabilityZone
	}
	fmt.Fprintf(s.stderr, "%s of %s, %s\n", operationKind(r.FlowOperationType), where, r.FlowOperationStatus)
	for _, text := range describeFilters(r.FlowOperation.FlowFilters) {
		fmt.Fprintf(s.stderr, "  filter %s\n", text)
	}
	if m := r.FlowOperation.MinimumFlowAgeInSeconds; m != nil {
		fmt.Fprintf(s.stderr, "  minimum age %ds\n", *m)
	}
	if r.FlowOperationStatus == types.FlowOperationStatusFailed {
		fmt.Fprintln(s.stderr, "  a failed operation has no flows")
	}
}
