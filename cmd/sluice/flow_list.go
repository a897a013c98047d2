package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/networkfirewall"
	"github.com/aws/aws-sdk-go-v2/service/networkfirewall/types"
)

// listedOperation is a row of flow list: AWS's metadata and the firewall that it
// belongs to.
type listedOperation struct {
	FirewallArn          string
	FlowOperationID      string `json:"FlowOperationId"`
	FlowOperationType    types.FlowOperationType
	FlowOperationStatus  types.FlowOperationStatus
	FlowRequestTimestamp *time.Time
}

func flowList(ctx context.Context, s *shell, args []string) error {
	f := newFlags("sluice flow list", "", "Lists the captures and flushes of the last 12 hours, newest first.")
	var conn connection
	firewall := f.String("firewall", "", "`NAME` or ARN (default every firewall)")
	zone := f.String("zone", "", "availability `ZONE` that they were started in")
	kind := f.String("type", "", "`TYPE`: capture or flush (default both)")
	limit := f.Int("limit", 0, "print at most `N` operations")
	conn.register(f)
	if _, err := f.parse(s, args, 0, 0); err != nil {
		return err
	}
	if err := conn.check(f); err != nil {
		return err
	}
	if *limit < 0 {
		return usagef(f.command, "--limit %d: can't be negative", *limit)
	}
	var t types.FlowOperationType
	switch *kind {
	case "":
	case "capture":
		t = types.FlowOperationTypeFlowCapture
	case "flush":
		t = types.FlowOperationTypeFlowFlush
	default:
		return usagef(f.command, "--type %q: want capture or flush", *kind)
	}
	c, err := conn.client(ctx, s)
	if err != nil {
		return err
	}
	p := startProgress(s.stderr, "listing operations")
	operations, err := listOperations(ctx, c, *firewall, *zone, t)
	p.done()
	if err != nil {
		return err
	}
	if *limit > 0 && len(operations) > *limit {
		operations = operations[:*limit]
	}
	if conn.json() {
		return writeJSON(s.stdout, map[string]any{"FlowOperations": operations})
	}
	if len(operations) == 0 {
		fmt.Fprintln(s.stderr, "no operations in the last 12 hours")
		return nil
	}
	tab := &table{columns: []column{{heading: "OPERATION"}, {heading: "TYPE"}, {heading: "STATUS"}, {heading: "FIREWALL"}, {heading: "STARTED"}}}
	for _, o := range operations {
		started := "-"
		if o.FlowRequestTimestamp != nil {
			started = o.FlowRequestTimestamp.Local().Format(time.DateTime)
		}
		tab.add(o.FlowOperationID, operationKind(o.FlowOperationType), string(o.FlowOperationStatus), nameOfARN(o.FirewallArn), started)
	}
	return tab.write(s.stdout, "")
}

func operationKind(t types.FlowOperationType) string {
	if t == types.FlowOperationTypeFlowFlush {
		return "flush"
	}
	return "capture"
}

// candidates are the firewalls that a verb without --firewall may mean.
func candidates(ctx context.Context, c *apiClient, firewall string) ([]string, error) {
	if firewall != "" {
		d, err := findFirewall(ctx, c, firewall)
		if err != nil {
			return nil, err
		}
		return []string{aws.ToString(d.Firewall.FirewallArn)}, nil
	}
	all, err := listFirewalls(ctx, c)
	if err != nil {
		return nil, err
	}
	arns := make([]string, len(all))
	for i, f := range all {
		arns[i] = aws.ToString(f.FirewallArn)
	}
	return arns, nil
}

func listOperations(ctx context.Context, c *apiClient, firewall, zone string, t types.FlowOperationType) ([]listedOperation, error) {
	arns, err := candidates(ctx, c, firewall)
	if err != nil {
		return nil, err
	}
	operations := []listedOperation{}
	for _, arn := range arns {
		scope := flowScope{firewallArn: arn, zone: zone}
		pages := networkfirewall.NewListFlowOperationsPaginator(c, &networkfirewall.ListFlowOperationsInput{
			FirewallArn: aws.String(arn), AvailabilityZone: scope.zonePointer(), FlowOperationType: t, MaxResults: aws.Int32(100)})
		for pages.HasMorePages() {
			page, err := pages.NextPage(ctx)
			if err != nil {
				return nil, err
			}
			for _, o := range page.FlowOperations {
				operations = append(operations, listedOperation{arn, aws.ToString(o.FlowOperationId), o.FlowOperationType, o.FlowOperationStatus, o.FlowRequestTimestamp})
			}
		}
	}
	slices.SortStableFunc(operations, func(a, b listedOperation) int {
		return cmp.Compare(aws.ToTime(b.FlowRequestTimestamp).UnixNano(), aws.ToTime(a.FlowRequestTimestamp).UnixNano())
	})
	return operations, nil
}
